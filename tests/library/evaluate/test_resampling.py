"""Intervals that resample test rows and training seeds: against loops, worked by hand, and how often they cover."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from scipy import stats

from infocore_mini.evaluate.fairness import AGGREGATES, GAPS, fairness_gaps, resampled_gaps, weighted_gaps
from infocore_mini.evaluate.seeds import basic_interval, detectable, resampled_detectable, resampled_means


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def rows(rng):
    n = 60
    return np.tile([0, 1], n // 2), rng.integers(0, 2, (2, 3, n)), np.repeat(list("abc"), n // 3)


@pytest.mark.parametrize("aggregate", AGGREGATES)
def test_weighted_gaps_are_those_of_rows_that_are_repeated(rows, rng, aggregate):
    true, predicted, group = rows
    weights = np.stack([np.ones(60, dtype=int), 1 + rng.poisson(1, 60)])
    found = weighted_gaps(true, predicted, group, weights, aggregate=aggregate)
    for draw, weight in enumerate(weights):
        again = np.repeat(np.arange(60), weight)
        for method in range(2):
            for seed in range(3):
                one = fairness_gaps(true[again], predicted[method, seed][again], group[again], aggregate=aggregate)
                assert {name: found[name][draw, method, seed] for name in found} == pytest.approx(one)


def test_resampled_rows_are_drawn_with_replacement_and_shared_by_all_predictors(rows):
    true, predicted, group = rows
    found = resampled_gaps(true, predicted[:, :1].repeat(3, axis=1), group, draws=250, seed=3)
    assert found["accuracy"].shape == (250, 2, 3) and set(found) == {"accuracy", *GAPS}
    assert (found["equalized_odds"][..., 0] == found["equalized_odds"][..., 2]).all()
    right = (true == predicted[0, 0]).mean()
    assert found["accuracy"][:, 0, 0].std() == pytest.approx(np.sqrt(right * (1 - right) / 60), rel=0.15)
    again = resampled_gaps(true, predicted[0, 0], group, draws=250, seed=3)
    np.testing.assert_array_equal(again["accuracy"], found["accuracy"][:, 0, 0])


def test_bad_weights_and_predictions_are_named(rows):
    true, predicted, group = rows
    with pytest.raises(ValueError, match=r"weights: got shape \(2, 59\), expected \(draws, 60\)"):
        weighted_gaps(true, predicted, group, np.ones((2, 59)))
    with pytest.raises(ValueError, match="y_pred: got .*2.*, expected only 0 and 1"):
        weighted_gaps(true, 2 * predicted, group, np.ones((1, 60)))
    with pytest.raises(ValueError, match="aggregate.*'sum'"):
        resampled_gaps(true, predicted, group, aggregate="sum")


def test_a_sample_without_a_label_in_a_group_has_no_gap():
    found = weighted_gaps([0, 1, 0, 1], [0, 1, 1, 1], list("aabb"), [[1, 1, 1, 1], [1, 0, 1, 1]])
    assert found["equalized_odds"][0] == 1 and np.isnan(found["equalized_odds"][1])
    assert found["accuracy"].tolist() == pytest.approx([3 / 4, 2 / 3])


def test_seeds_are_drawn_with_replacement_once_for_all_methods():
    by_seed = np.tile([0.0, 1.0, 10.0], (27_000, 2, 1)) + np.array([[[0.0], [100.0]]])
    found = resampled_means(by_seed)
    np.testing.assert_allclose(found[:, 1] - found[:, 0], 100)
    by_hand = Counter(round((a + b + c) / 3, 6) for a in (0, 1, 10) for b in (0, 1, 10) for c in (0, 1, 10))
    seen = Counter(found[:, 0].round(6).tolist())
    assert set(seen) == set(by_hand)
    assert all(abs(seen[mean] / 1000 - times) < 0.15 * times for mean, times in by_hand.items())


def test_the_basic_interval_turns_the_draws_round_the_estimate():
    draws = np.arange(1001)[:, None] / 1000 + np.array([0.0, 5.0])  # quantiles 0.025 and 0.975, the second 5 higher
    mean, low, high = basic_interval([0.5, 5.1], draws)
    assert (mean[0], low[0], high[0]) == pytest.approx((0.5, 0.025, 0.975))
    assert (low[1], high[1]) == pytest.approx((10.2 - 5.975, 10.2 - 5.025))


def test_what_draws_could_have_seen_agrees_with_the_t_interval(rng):
    values = rng.normal(size=200)
    draws = resampled_means(np.tile(values, (4000, 1)))
    assert resampled_detectable(draws) == pytest.approx(detectable(values), rel=0.05)


def test_the_basic_interval_covers_the_cut_and_percentiles_and_seeds_alone_do_not():
    """Two methods, 8 seeds, one test set of four groups with 40 to 400 rows of a label; the second gap is half."""
    cells, runs, draws, rng = (
        np.array([[400, 300], [300, 80], [100, 60], [100, 40]]),
        100,
        200,
        np.random.default_rng(0),
    )
    rates = np.array([[0.10, 0.62], [0.04, 0.40], [0.05, 0.40], [0.02, 0.30]])  # P(predicted 1 | group, label)
    rates = np.stack([rates, (rates + rates.mean(axis=0)) / 2])
    group = np.repeat(np.repeat(np.arange(4), 2), cells.ravel())
    label = np.repeat(np.tile([0, 1], 4), cells.ravel())
    threshold = stats.norm.ppf(rates[:, group, label])[:, None]
    hits = Counter()
    for run in range(runs):
        person, noise = rng.normal(size=len(group)), rng.normal(size=(2, 8, len(group)))
        predicted = np.sqrt(0.8) * person + np.sqrt(0.2) * noise < threshold
        once = weighted_gaps(label, predicted, group, np.ones((1, len(group))))["equalized_odds"]
        rows = resampled_gaps(label, predicted, group, draws=draws, seed=run)["equalized_odds"]
        gaps = once.mean(axis=-1)[0], resampled_means(rows), resampled_means(np.repeat(once, draws, axis=0))
        estimate, both, alone = (1 - gap[..., 1] / gap[..., 0] for gap in gaps)
        percentiles = {"percentile": np.quantile(both, [0.025, 0.975]), "alone": np.quantile(alone, [0.025, 0.975])}
        for name, (low, high) in {"basic": basic_interval(estimate, both)[1:], **percentiles}.items():
            hits[name] += low <= 0.5 <= high
    assert hits["basic"] >= 88  # of 100; nominal 95
    assert 35 <= hits["percentile"] <= 60 and hits["alone"] < 50
