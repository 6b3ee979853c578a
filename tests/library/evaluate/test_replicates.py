"""Replicate scores against scikit-learn on listed pairs, copairs where it is installed, and counted arrangements."""

from __future__ import annotations

import tracemalloc
from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score
from sklearn.metrics.pairwise import cosine_similarity

from infocore_mini.evaluate import replicates
from infocore_mini.evaluate.replicates import activity, average_precision, replicate_map

RULES = [
    dict(pos_sameby=["drug"], neg_diffby=["drug"]),
    dict(pos_sameby=["drug"], pos_diffby=["plate"], neg_sameby=["plate"], neg_diffby=["drug"]),
    dict(pos_sameby=["drug", "line"], neg_diffby=["drug", "plate"]),
    dict(pos_sameby=["drug"], pos_diffby=["plate", "line"], neg_sameby=["line"], neg_diffby=["drug"]),
]


def design(seed: int) -> tuple[np.ndarray, pd.DataFrame]:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(50, 90))
    meta = pd.DataFrame({"drug": rng.integers(0, 12, n), "plate": rng.integers(0, 3, n), "line": rng.integers(0, 2, n)})
    return rng.normal(size=(n, 5)) + rng.normal(size=(12, 5))[meta["drug"]], meta


def naive(z, meta, pos_sameby, neg_diffby, pos_diffby=(), neg_sameby=()) -> np.ndarray:
    """Average precision by scikit-learn, of pairs listed by a loop."""
    similarity = cosine_similarity(z).round(12)
    rows = meta.to_dict("records")

    def pairs(i, same, differ):
        fits = lambda j: all(rows[i][c] == rows[j][c] for c in same) and all(rows[i][c] != rows[j][c] for c in differ)  # noqa: E731
        return [j for j in range(len(rows)) if j != i and fits(j)]

    scores = []
    for i in range(len(rows)):
        positive, negative = pairs(i, pos_sameby, pos_diffby), pairs(i, neg_sameby, neg_diffby)
        relevant = np.repeat([1, 0], [len(positive), len(negative)])
        found = positive and negative
        scores.append(average_precision_score(relevant, similarity[i, positive + negative]) if found else np.nan)
    return np.array(scores)


@pytest.mark.parametrize("rules", RULES)
@pytest.mark.parametrize("seed", [0, 1])
def test_average_precision_equals_scikit_learn_on_listed_pairs(rules, seed):
    z, meta = design(seed)
    z[3], z[10] = z[20], z[30]  # equal similarities
    found = average_precision(z, meta, **rules)["average_precision"]
    np.testing.assert_allclose(found, naive(z, meta, **rules), atol=1e-9)


@pytest.mark.parametrize("seed", range(20))
def test_scores_equal_copairs_and_p_values_lie_between_its_bounds(seed):
    copairs = pytest.importorskip("copairs.map", reason="copairs is not installed")
    z, meta = design(seed)
    rules = {"pos_diffby": [], "neg_sameby": []} | RULES[seed % 4]
    theirs = copairs.average_precision(meta, z, **rules, progress_bar=False)
    ours = average_precision(z, meta, **rules)
    ranked = ours["average_precision"].notna()  # copairs also scores rows without negatives
    for column in ("average_precision", "normalized_average_precision", "n_pos_pairs", "n_total_pairs"):
        np.testing.assert_allclose(ours.loc[ranked, column], theirs.loc[ranked, column], atol=1e-9)
    draws = dict(null_size=5000, threshold=0.05, seed=0, progress_bar=False)
    theirs = copairs.mean_average_precision(theirs[ranked], rules["pos_sameby"], **draws)
    both = replicate_map(z, meta, **rules, n_permutations=5000).merge(theirs, on=rules["pos_sameby"])
    np.testing.assert_allclose(both["mean_average_precision_x"], both["mean_average_precision_y"], atol=1e-9)
    error = 4 * np.sqrt(2 * both["p_value_x"] * (1 - both["p_value_x"]) / 5000) + 2 / 5000
    assert (both["p_value_y"] <= both["p_value_x"] + error).all()  # copairs leaves ties with the null out
    tied = both["exact"]
    assert (abs(both["p_value_y"] - both["p_value_x"]) <= error)[~tied].all()


def test_blocks_change_nothing(monkeypatch):
    z, meta = design(4)
    whole = average_precision(z, meta, **RULES[1])
    monkeypatch.setattr(replicates, "ENTRIES", 3 * len(z))
    pd.testing.assert_frame_equal(average_precision(z, meta, **RULES[1]), whole)


def test_a_constant_embedding_scores_the_share_of_positives():
    meta = pd.DataFrame({"drug": np.repeat(["a", "b"], 5)})
    found = average_precision(np.ones((10, 3)), meta, pos_sameby=["drug"], neg_diffby=["drug"])
    np.testing.assert_allclose(found["average_precision"], 4 / 9)


def test_normalized_scores_have_mean_zero_over_all_orders():
    orders = {tuple(order) for order in permutations([1, 1, 0, 0, 0])}
    scores = [average_precision_score(order, [5, 4, 3, 2, 1]) for order in orders]
    assert replicates._expected(np.array([2]), np.array([5]))[0] == pytest.approx(np.mean(scores))
    np.testing.assert_allclose(np.sort(replicates._all_arrangements(2, 5)), np.sort(scores))


def test_the_p_value_of_two_replicates_is_their_rank():
    """Angles 0 and 10 degrees are replicates; from 0 one negative is nearer (-5), from 10 none: AP 1/2 and 1."""
    angle = np.deg2rad([0, 10, -5, 40, 90, 120])
    z, meta = np.stack([np.cos(angle), np.sin(angle)], 1), pd.DataFrame({"drug": list("aabcde")})
    found = replicate_map(z, meta, pos_sameby=["drug"], neg_diffby=["drug"]).iloc[0]
    assert found["mean_average_precision"] == pytest.approx(0.75) and found["n"] == 2 and found["exact"]
    assert found["p_value"] == pytest.approx(1 / 5)  # of ranks 1 to 5, both rows the same: 1, 1/2, ..: one reaches 3/4


def test_draws_agree_with_all_arrangements():
    drawn = replicates._draws(3, 12, 40_000, np.random.default_rng(0))
    everything = replicates._all_arrangements(3, 12)
    for quantile in (0.25, 0.4, 0.7):
        assert (drawn >= quantile).mean() == pytest.approx((everything >= quantile).mean(), abs=0.01)


def test_p_values_of_groups_with_several_configurations_agree_with_a_sum_over_all():
    drawn = {0: (replicates._all_arrangements(1, 4), True), 1: (replicates._all_arrangements(2, 5), True)}
    rng = np.random.default_rng(0)
    found, exact = replicates._p_value(0.6, np.array([0, 0, 1]), drawn, 10, rng)
    sums = [2 / 3 * a + 1 / 3 * b for a in drawn[0][0] for b in drawn[1][0]]
    assert exact and found == pytest.approx(np.mean(np.array(sums) >= 0.6))
    by_draws, exact = replicates._p_value(
        0.6,
        np.array([0, 0, 1]),
        {k: (v, False) for k, (v, _) in drawn.items()}
        | {0: (rng.choice(drawn[0][0], 20_000), False), 1: (rng.choice(drawn[1][0], 20_000), False)},
        20_000,
        rng,
    )
    assert not exact and by_draws == pytest.approx(found, abs=0.015)


def test_treatments_that_were_planted_are_called_active():
    rng = np.random.default_rng(1)
    treatment = np.repeat([f"drug {i:02d}" for i in range(20)], 4).tolist() + ["DMSO"] * 60
    control, n = np.repeat([False, True], [80, 60]), 140
    z = rng.normal(size=(n, 12))
    effect = 3 * rng.normal(size=(5, 12))
    z[:20] += np.repeat(effect, 4, axis=0)  # the first five treatments
    found = activity(z, treatment, control, within=np.arange(n) % 4, n_permutations=2000).set_index("treatment")
    assert found["active"][:5].all() and found["distant"][:5].all()
    assert found["active"][5:].sum() <= 1 and found["distant"][5:].sum() <= 1
    assert (found["n"] == 4).all() and found.index.tolist() == [f"drug {i:02d}" for i in range(20)]


def test_means_of_controls_are_drawn_in_blocks_as_at_once():
    """The draws of all at once, without their memory: an order of all controls for every draw, 320 MB here."""
    points, controls, n = np.random.default_rng(1).normal(size=(20_000, 4)), np.arange(0, 20_000, 2), 2000
    chosen = np.random.default_rng(0).random((n, len(controls))).argsort(1)[:, :5]
    tracemalloc.start()
    found = replicates._means_of_controls(points, controls, 5, n, np.random.default_rng(0))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(found, points[controls[chosen]].mean(1))
    assert peak < 1e8


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(pos_sameby=["molecule"]), "pos_sameby: got a column"),
        (dict(pos_sameby="drug"), "pos_sameby: got 'drug', expected a list"),
        (dict(pos_diffby=["drug"]), "pos_sameby: got .*which pos_diffby has too"),
        (dict(neg_diffby=[]), "neg_diffby: got no column"),
        (dict(pos_sameby=[]), "pos_sameby: got no column"),
        (dict(pos_diffby=["constant"]), "pos_sameby, pos_diffby: got no pair"),
        (dict(z=np.zeros((8, 2))), "z: got zeros only in row 0"),
        (dict(z=np.ones((5, 2))), "meta: got 8 rows, expected 5"),
        (dict(pos_diffby=["gap"]), "meta: got missing values"),
    ],
)
def test_what_does_not_fit_is_named(change, message):
    meta = pd.DataFrame({"drug": [0, 0, 1, 1, 2, 2, 3, 3], "constant": 1, "gap": [None] + [1] * 7})
    given = dict(z=np.random.default_rng(0).normal(size=(8, 2)), pos_sameby=["drug"], neg_diffby=["drug"]) | change
    with pytest.raises(ValueError, match=message):
        average_precision(given.pop("z"), meta, **given)
