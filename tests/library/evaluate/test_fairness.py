"""Fairness metrics against tables worked by hand and a naive loop."""

from __future__ import annotations

from functools import partial
from itertools import combinations
from statistics import mean, median

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infocore_mini.evaluate.fairness import GAPS, fairness_gaps, group_rates, pairwise_gaps


def rows(group, *, tp, fn, fp, tn):
    truth = [1] * (tp + fn) + [0] * (fp + tn)
    predicted = [1] * tp + [0] * fn + [1] * fp + [0] * tn
    return truth, predicted, [group] * len(truth)


def stacked(*parts):
    return (np.concatenate(columns) for columns in zip(*parts, strict=True))


def test_two_groups_worked_by_hand():
    # a: TPR 3/4, FPR 1/4, selected 4/8;  b: TPR 1/2, FPR 0, selected 1/6
    y, p, g = stacked(rows("a", tp=3, fn=1, fp=1, tn=3), rows("b", tp=1, fn=1, fp=0, tn=4))
    expected = {
        "accuracy": 11 / 14,
        "equalized_odds": 1 / 4 + 1 / 4,
        "equal_opportunity": 1 / 4,
        "demographic_parity": 1 / 2 - 1 / 6,
    }
    assert fairness_gaps(y, p, g) == pytest.approx(expected)
    for aggregate in ("max", "median"):  # one pair: nothing to aggregate
        assert fairness_gaps(y, p, g, aggregate=aggregate) == pytest.approx(expected)


def test_three_groups_worked_by_hand():
    # TPR 1, 1/2, 0; FPR 0, 0, 1/2; selected 1/2, 1/4, 1/4
    y, p, g = stacked(rows(0, tp=2, fn=0, fp=0, tn=2), rows(1, tp=1, fn=1, fp=0, tn=2), rows(2, tp=0, fn=2, fp=1, tn=1))
    assert fairness_gaps(y, p, g) == pytest.approx(
        {"accuracy": 8 / 12, "equalized_odds": 1.0, "equal_opportunity": 2 / 3, "demographic_parity": 1 / 6}
    )  # pairs: EO 1/2, 3/2, 1; EOPP 1/2, 1, 1/2; DP 1/4, 1/4, 0
    assert fairness_gaps(y, p, g, aggregate="max")["equalized_odds"] == pytest.approx(1.5)
    assert fairness_gaps(y, p, g, aggregate="median")["equal_opportunity"] == pytest.approx(0.5)


def naive_gaps(y, p, g, aggregate):
    def rate(group, label):
        chosen = [b for a, b, c in zip(y, p, g, strict=True) if c == group and label in (a, None)]
        return sum(chosen) / len(chosen)

    pairs = list(combinations(sorted(set(g)), 2))
    eopp = [abs(rate(a, 1) - rate(b, 1)) for a, b in pairs]
    eo = [t + abs(rate(a, 0) - rate(b, 0)) for t, (a, b) in zip(eopp, pairs, strict=True)]
    dp = [abs(rate(a, None) - rate(b, None)) for a, b in pairs]
    hits = sum(a == b for a, b in zip(y, p, strict=True)) / len(y)
    return {"accuracy": hits} | dict(zip(GAPS, map(aggregate, (eo, eopp, dp)), strict=True))


@given(st.integers(0, 2**32 - 1), st.integers(2, 5))
@settings(max_examples=25, deadline=None)
def test_equals_a_naive_loop(seed, n_groups):
    rng = np.random.default_rng(seed)
    g = np.concatenate([np.repeat(np.arange(n_groups), 2), rng.integers(0, n_groups, 40)])
    y = np.concatenate([np.tile([0, 1], n_groups), rng.integers(0, 2, 40)])
    p = rng.integers(0, 2, len(y))
    for name, function in (("mean", mean), ("max", max), ("median", median)):
        expected = naive_gaps(y.tolist(), p.tolist(), g.tolist(), function)
        assert fairness_gaps(y, p, g, aggregate=name) == pytest.approx(expected)
    assert len(pairwise_gaps(y, p, g)) == n_groups * (n_groups - 1) / 2


def test_rates_are_the_means_of_predictions_in_each_group():
    rng = np.random.default_rng(0)
    y, p, g = rng.integers(0, 2, 300), rng.integers(0, 2, 300), rng.choice(["a", "b", "c", "d"], 300)
    found = group_rates(y, p, g)
    for name in "abcd":
        for rate, rows in (("tpr", y == 1), ("fpr", y == 0), ("selection", y >= 0)):
            assert found.loc[name, rate] == pytest.approx(p[rows & (g == name)].mean())


@pytest.mark.parametrize("aggregate", ["mean", "max", "median"])
def test_perfect_and_constant_predictions_have_no_odds_gap(aggregate):
    y, p, g = stacked(rows("a", tp=3, fn=1, fp=1, tn=3), rows("b", tp=1, fn=1, fp=0, tn=4))
    assert fairness_gaps(y, y, g, aggregate=aggregate)["equalized_odds"] == 0
    assert fairness_gaps(y, np.ones_like(y), g, aggregate=aggregate)["demographic_parity"] == 0


@pytest.mark.parametrize(
    "y, p, g, message",
    [
        ([1, 1, 0], [1, 1, 1], ["a", "a", "b"], "'a' has no negatives"),
        ([1, 0, 0], [1, 1, 1], ["a", "a", "b"], "'b' has no positives"),
        ([1, 0], [1, 1], ["a", "a"], "at least two groups"),
        ([1, 2], [1, 1], ["a", "b"], "y_true: got .*2.*, expected only 0 and 1"),
        ([1, 0], [0.5, 1], ["a", "b"], "y_pred: got .*0.5.*, expected only 0 and 1"),
        ([1, 0], [1], ["a", "b"], "y_pred: got shape"),
        ([1, 0], [1, 1], ["a", "b", "b"], "group: got shape"),
    ],
)
def test_bad_input_is_named(y, p, g, message):
    with pytest.raises(ValueError, match=message):
        fairness_gaps(y, p, g)


@pytest.mark.parametrize("column", [np.array, pd.Series, partial(pd.Series, dtype="category"), list])
def test_a_group_without_positives_is_named_whatever_holds_the_groups(column):
    y, group = np.array([0, 1] * 15), np.repeat(["a", "b", "c"], 10)
    known = fairness_gaps(y, 1 - y, group)
    assert fairness_gaps(y.astype(bool), 1.0 - y, column(group)) == known
    y[group == "c"] = 0
    with pytest.raises(ValueError, match="group 'c' has no positives"):
        fairness_gaps(y, y, column(group))


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
def test_a_person_without_a_group_is_named(missing):
    y, group = [0, 1, 0, 1, 1], ["a", "a", "b", "b", missing]
    for groups in (group, np.array(group, dtype=object), pd.Series(group)):
        with pytest.raises(ValueError, match="group: got a missing label in row 4"):
            fairness_gaps(y, y, groups)


def test_unknown_aggregate_is_named():
    with pytest.raises(ValueError, match="aggregate.*'sum'"):
        fairness_gaps([1, 0, 1, 0], [1, 0, 1, 0], [0, 0, 1, 1], aggregate="sum")
