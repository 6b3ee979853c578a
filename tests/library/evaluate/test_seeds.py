"""The one interval over seeds, and two methods paired by seed, against scipy."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from infocore_mini.evaluate.seeds import detectable, half_width, paired, t_interval


@pytest.mark.parametrize("n", [2, 3, 10])
def test_the_interval_is_scipys(n):
    values = np.random.default_rng(n).normal(size=n)
    low, high = stats.t.interval(0.95, n - 1, loc=values.mean(), scale=stats.sem(values))
    found = t_interval(values)
    assert found == pytest.approx((values.mean(), low, high))
    assert half_width(values) == pytest.approx((high - low) / 2)


def test_splits_of_one_data_set_have_wider_intervals():
    """Nadeau and Bengio (2003), corrected resampled t-test: 1/n becomes 1/n + n_test / n_train."""
    values = np.array([0.1, 0.2, 0.4])
    expected = stats.t.ppf(0.975, 2) * np.sqrt(values.var(ddof=1) * (1 / 3 + 0.25))
    assert half_width(values, overlap=0.25) == pytest.approx(expected)
    assert t_interval(values, overlap=0.25).low == pytest.approx(values.mean() - expected)
    scores = pd.Series(values)
    assert paired(scores, 0.0, overlap=0.25) == pytest.approx(t_interval(values, overlap=0.25))


def test_repeated_splits_need_the_correction_to_be_right():
    """Means of a tenth of the rows, of ten splits: the plain interval misses the truth several times too often."""
    rng = np.random.default_rng(0)
    missed = {0.0: 0, 0.25: 0}
    for _ in range(300):
        data = rng.normal(size=100)
        scores = [data[rng.permutation(100)[:20]].mean() for _ in range(10)]
        for overlap in missed:
            found = t_interval(scores, overlap=overlap)
            missed[overlap] += not found.low <= 0 <= found.high
    assert missed[0.25] / 300 < 0.1 < 0.15 < missed[0.0] / 300


def test_an_effect_of_the_detectable_size_is_found_four_times_in_five():
    rng, n, found, sizes = np.random.default_rng(0), 6, 0, []
    for _ in range(2000):
        noise = rng.normal(size=n)
        sizes.append(detectable(noise))
    size = np.sqrt(np.mean(np.square(sizes)))  # the scatter of a few seeds is itself uncertain
    for _ in range(2000):
        found += t_interval(rng.normal(size, size=n)).low > 0
    assert found / 2000 == pytest.approx(0.8, abs=0.06)


def test_intervals_are_over_the_last_axis():
    values = np.random.default_rng(0).normal(size=(4, 3, 5))
    found = t_interval(values)
    assert found.mean.shape == found.low.shape == (4, 3)
    assert [part[1, 2] for part in found] == pytest.approx(list(t_interval(values[1, 2])))


def test_one_seed_has_a_mean_and_no_interval():
    found = t_interval([0.3])
    assert found.mean == pytest.approx(0.3) and np.isnan(found.low) and np.isnan(found.high)
    assert np.isnan(half_width([[1.0], [2.0]])).tolist() == [True, True]


def test_a_missing_value_is_not_passed_over():
    found = t_interval([[0.1, np.nan, 0.3], [0.1, 0.2, 0.3]])
    assert np.isnan(found.mean).tolist() == np.isnan(found.low).tolist() == [True, False]


def test_pandas_aggregates_by_it():
    table = pd.DataFrame({"arm": list("aabb"), "x": [1.0, 2.0, 5.0, 9.0]})
    found = table.groupby("arm")["x"].agg(half_width)
    assert found["b"] == pytest.approx(half_width([5.0, 9.0]))


def test_paired_differences_are_scipys_and_matched_by_seed():
    rng = np.random.default_rng(1)
    theirs = pd.Series(rng.normal(size=6), index=range(6))
    ours = theirs + rng.normal(0.5, 0.2, size=6)
    test = stats.ttest_rel(ours, theirs).confidence_interval(0.95)
    expected = ((ours - theirs).mean(), test.low, test.high)
    assert paired(ours, theirs) == pytest.approx(expected)
    assert paired(ours.sample(frac=1, random_state=0), theirs) == pytest.approx(expected)


def test_only_seeds_that_both_have_are_paired():
    ours, theirs = pd.Series({0: 1.0, 1: 2.0, 7: 100.0}), pd.Series({0: 0.5, 1: 1.0, 9: -100.0})
    assert paired(ours, theirs) == pytest.approx(t_interval([0.5, 1.0]))


def test_a_method_without_seeds_is_compared_with_every_seed():
    ours = pd.Series([1.0, 2.0, 3.0])
    assert paired(ours, 1.0) == pytest.approx(t_interval([0.0, 1.0, 2.0]))
    assert paired(1.0, ours).mean == pytest.approx(-1.0) and np.isnan(paired(1.0, 2.0).low)
