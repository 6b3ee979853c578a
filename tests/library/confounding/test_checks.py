"""The statistics against loops and scikit-learn, and permuted labels against what chance gives."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.covariance import ledoit_wolf
from sklearn.metrics import balanced_accuracy_score
from sklearn.metrics.pairwise import cosine_similarity

from infocore_mini.confounding import checks
from infocore_mini.confounding.checks import CHECKS, Geometry, values
from infocore_mini.confounding.exchange import Exchange
from infocore_mini.confounding.trees import boosted_trees


@pytest.fixture(scope="module")
def rows():
    """90 rows of 30 molecules, 7 features of unlike scale, and a nuisance of 4 values that shows in them."""
    rng = np.random.default_rng(5)
    molecule, code = np.repeat(np.arange(30), 3), rng.permutation(np.arange(90) % 4)
    points = rng.normal(size=(90, 7)) * np.arange(1, 8) + (code == 2)[:, None] * 2
    return points.astype(np.float32), code, molecule, Geometry.of(points.astype(np.float32), molecule, seed=0)


def statistic(check: str, rows) -> float:
    _, code, _, geometry = rows
    return CHECKS[check](geometry, torch.from_numpy(code)[None], 4).item()


def nearest(rows, i: int) -> list[int]:
    points, _, molecule, _ = rows
    cosine = cosine_similarity(points)[i]
    return sorted(np.flatnonzero(molecule != molecule[i]).tolist(), key=lambda j: -cosine[j])[: checks.K]


def test_neighbours_are_those_of_other_molecules_by_cosine(rows):
    code = rows[1]
    expected = np.mean([[code[j] == code[i] for j in nearest(rows, i)] for i in range(90)])
    assert statistic("neighbours", rows) == pytest.approx(expected, abs=1e-6)


def test_the_vote_of_neighbours_weighs_rare_values_up(rows):
    code = rows[1]
    guess = [np.argmax([np.mean(code[nearest(rows, i)] == v) / (code == v).sum() for v in range(4)]) for i in range(90)]
    assert statistic("kNN probe", rows) == pytest.approx(balanced_accuracy_score(code, guess), abs=1e-6)


def test_the_metric_is_the_shrunk_covariance_of_standardised_features(rows):
    points, _, _, geometry = rows
    scaled = (points - points.mean(0)) / points.std(0)
    expected = np.linalg.inv(ledoit_wolf(scaled)[0] * 90 / 89)  # of sample variances
    found = (geometry.white @ geometry.white.T).numpy()
    np.testing.assert_allclose(found, scaled @ expected @ scaled.T, rtol=0.02, atol=0.1)
    assert np.corrcoef(found.ravel(), (scaled @ expected @ scaled.T).ravel())[0, 1] > 0.9999


def test_the_linear_probe_guesses_the_nearest_mean_of_the_other_folds(rows):
    _, code, molecule, geometry = rows
    white, fold = geometry.white.double().numpy(), geometry.fold.numpy()
    assert all(len(np.unique(fold[molecule == m])) == 1 for m in range(30)) and len(np.unique(fold)) == 5
    guess = []
    for i in range(90):
        others = [np.linalg.norm(white[i] - white[(fold != fold[i]) & (code == v)].mean(0)) for v in range(4)]
        guess.append(int(np.argmin(others)))
    assert statistic("linear probe", rows) == pytest.approx(balanced_accuracy_score(code, guess), abs=1e-6)


def test_drift_is_the_largest_squared_gap_in_units_of_its_standard_error(rows):
    _, code, _, geometry = rows
    white, gaps = geometry.white.double().numpy(), []
    for v in range(4):
        here, rest = white[code == v], white[code != v]
        gaps.append(((here.mean(0) - rest.mean(0)) ** 2).mean() / (1 / len(here) + 1 / len(rest)))
    assert np.argmax(gaps) == 2 and statistic("drift of a held-out value", rows) == pytest.approx(max(gaps), rel=1e-4)


def test_blocks_of_permutations_and_of_rows_change_nothing(rows, monkeypatch):
    points, code, molecule, geometry = rows
    exchange = {"plate": Exchange(code, np.zeros(90, dtype=int), None)}
    whole = values(geometry, exchange, CHECKS, 20, seed=3)
    monkeypatch.setattr(checks, "ENTRIES", 90 * 10 * 21)
    for key, found in values(geometry, exchange, CHECKS, 20, seed=3).items():
        np.testing.assert_allclose(found, whole[key], rtol=1e-5)
    monkeypatch.setattr(checks, "ENTRIES", 200)
    assert torch.equal(Geometry.of(points, molecule, seed=0).neighbour, geometry.neighbour)


def test_permuted_labels_are_the_same_for_all_checks_and_the_first_is_observed(rows):
    _, code, _, geometry = rows
    exchange = {"plate": Exchange(code, np.zeros(90, dtype=int), None)}
    drawn = []

    def first_label(geometry, labels, n_values):
        drawn.append(labels.clone())
        return labels[:, 0].float()

    values(geometry, exchange, {"a": first_label, "b": first_label}, 6, seed=0)
    assert torch.equal(drawn[0], drawn[1]) and torch.equal(drawn[0][0], torch.from_numpy(code))
    assert all(sorted(labels.tolist()) == sorted(code.tolist()) for labels in drawn[0])


def test_trees_see_a_difference_in_variance_alone():
    rng = np.random.default_rng(0)
    code = rng.integers(0, 2, 400)
    points = (rng.normal(size=(400, 4)) * np.where(code, 3, 1)[:, None]).astype(np.float32)
    geometry, exchange = Geometry.of(points, None, seed=0), Exchange(code, np.zeros(400, dtype=int), None)
    by_trees = boosted_trees(geometry, {"plate": exchange}, None, 99, seed=0)["plate"]
    linear = values(geometry, {"plate": exchange}, {"linear": checks.nearest_mean}, 99, seed=0)["plate", "linear"]
    assert by_trees[0] > by_trees[1:].max() + 0.1
    assert linear[0] < np.quantile(linear[1:], 0.99) + 0.05


def test_trees_are_scored_on_other_molecules_than_they_are_trained_on():
    """Labels are molecules' own: memory of a molecule would be perfect, and nothing else can be better than chance."""
    rng = np.random.default_rng(0)
    molecule = np.repeat(np.arange(100), 4)
    code, of_molecule = np.repeat(rng.integers(0, 2, 100), 4), rng.normal(size=(100, 6))
    points = (of_molecule[molecule] + 0.01 * rng.normal(size=(400, 6))).astype(np.float32)
    exchange = Exchange(code, np.zeros(400, dtype=int), molecule)
    found = boosted_trees(Geometry.of(points, molecule, seed=0), {"plate": exchange}, molecule, 99, seed=0)["plate"]
    assert 0.3 < found[0] < 0.7 and np.mean(found[1:] >= found[0]) > 0.01
