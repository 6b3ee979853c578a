"""Fairness metrics against hand-worked tables and a naive loop; the three tables against what is known of them."""

from __future__ import annotations

from itertools import combinations
from statistics import mean, median

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infocore_mini import fairness_data
from infocore_mini.evaluate.fairness import GAPS, fairness_gaps, pairwise_gaps
from infocore_mini.fairness_data import GROUPS, load_fairness, read_table, simulated_law_school, split_and_encode
from infocore_mini.sources import DataUnavailable


def table_or_skip(name):
    try:
        return read_table(name)
    except DataUnavailable as reason:
        pytest.skip(f"data: {reason}")


# ---- metrics -----------------------------------------------------------------------------------------------------


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
    y, p, g = stacked(
        rows(0, tp=2, fn=0, fp=0, tn=2), rows(1, tp=1, fn=1, fp=0, tn=2), rows(2, tp=0, fn=2, fp=1, tn=1)
    )
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
        ([1, 2], [1, 1], ["a", "b"], "y_true: expected only 0 and 1"),
        ([1, 0], [0.5, 1], ["a", "b"], "y_pred: expected only 0 and 1"),
        ([1, 0], [1], ["a", "b"], "y_pred: expected shape"),
        ([1, 0], [1, 1], ["a", "b", "b"], "group: expected shape"),
    ],
)
def test_bad_input_is_named(y, p, g, message):
    with pytest.raises(ValueError, match=message):
        fairness_gaps(y, p, g)


def test_unknown_aggregate_is_named():
    with pytest.raises(ValueError, match="aggregate.*'sum'"):
        fairness_gaps([1, 0, 1, 0], [1, 0, 1, 0], [0, 0, 1, 1], aggregate="sum")


# ---- tables ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, kept, left_out, favourable",
    [("adult", 46_447, 2_395, 0.2406), ("law_school", 23_726, 2_825, 0.8087), ("compas", 5_278, 894, 0.5296)],
)
def test_rows_groups_and_labels(name, kept, left_out, favourable):
    table = table_or_skip(name)
    assert (len(table.label), table.left_out, table.simulated) == (kept, left_out, False)
    assert table.label.mean() == pytest.approx(favourable, abs=5e-4)
    assert set(np.unique(table.group)) == set(range(4))
    for code, name_of_group in enumerate(GROUPS):
        rows_of_group = table.features[table.group == code]
        race, sex = name_of_group.split()
        assert (rows_of_group["race"].str.lower() == race).all() and (rows_of_group["sex"].str.lower() == sex).all()


def test_adult_keeps_its_own_test_file():
    table = table_or_skip("adult")
    data = split_and_encode(table, seed=0)
    assert len(data.test) == table.is_test.sum() == 15_507
    assert table.label[table.is_test].mean() == pytest.approx(0.2366, abs=1e-4)


def test_compas_is_the_usual_6172_rows_and_favours_no_recidivism():
    table = table_or_skip("compas")
    assert len(table.label) + table.left_out == 6_172
    assert table.label[table.features["priors_count"] == 0].mean() > table.label[table.features["priors_count"] > 5].mean()


def test_law_school_columns_mean_what_the_docstring_says():
    features, label = table_or_skip("law_school").features, table_or_skip("law_school").label
    index = 600 * (features["lsat"] - 10) / 38 + 100 * features["undergraduate_grades"]
    np.testing.assert_allclose(features["admission_index"], index, atol=1e-6)
    by_race, by_sex = features.groupby("race"), features.groupby("sex")
    assert by_race["lsat"].mean()["Black"] < by_race["lsat"].mean()["White"] - 8
    assert (features["race"] == "Black").sum() == 1_790
    female = features["sex"] == "Female"
    assert female[features["race"] == "Black"].mean() > 0.5 > female.mean()
    assert by_sex["undergraduate_grades"].mean()["Female"] > by_sex["undergraduate_grades"].mean()["Male"] + 0.1
    born = features["birth_year"].where(features["birth_year"] > 0)
    assert (features["part_time"] == 1).mean() < 0.1
    assert born[features["part_time"] == 1].mean() < born[features["part_time"] == 2].mean() - 4
    assert np.corrcoef(features["first_year_grades"], label)[0, 1] > 0.2
    assert abs(features["first_year_grades"].mean()) < 0.1  # z-scores within school


@pytest.mark.parametrize("name", ["adult", "law_school", "compas", "simulated"])
def test_split_subsample_and_encoding(name):
    table = simulated_law_school(3) if name == "simulated" else table_or_skip(name)
    data = split_and_encode(table, seed=1)
    unit = np.bincount(data.train.group)[3]
    assert np.bincount(data.train.group).tolist() == [10 * unit, 2 * unit, 2 * unit, unit]
    if table.is_test is None:
        assert len(data.test) == pytest.approx(0.3 * len(table.label), abs=1)
        assert len(data.validation) == pytest.approx(0.2 * 0.7 * len(table.label), abs=1)
    for part in (data.train, data.validation, data.test):
        assert part.x.shape == (len(part), len(data.feature_names)) and np.isfinite(part.x).all()
    numeric = [i for i, feature in enumerate(data.feature_names) if not set(np.unique(data.train.x[:, i])) <= {0, 1}]
    assert data.train.x[:, numeric].mean(axis=0) == pytest.approx(0, abs=1e-4)  # scaled on the training rows...
    assert data.train.x[:, numeric].std(axis=0) == pytest.approx(1, abs=1e-3)
    assert abs(data.test.x[:, numeric].mean(axis=0)).max() > 1e-3  # ...and on them alone

    again, other = split_and_encode(table, seed=1), split_and_encode(table, seed=2)
    np.testing.assert_array_equal(data.train.x, again.train.x)
    assert not np.array_equal(data.train.label, other.train.label)
    np.testing.assert_array_equal(data.test.label, other.test.label)  # the test rows never change


def test_no_row_is_in_two_parts():
    table = simulated_law_school(0)
    table.features["lsat"] = np.arange(len(table.features))  # a serial number: distinct after encoding
    data = split_and_encode(table, seed=0)
    column = data.feature_names.index("lsat")
    serial = np.concatenate([part.x[:, column] for part in (data.train, data.validation, data.test)])
    assert len(np.unique(serial)) == len(serial)


def test_race_and_sex_can_be_kept_from_the_inputs():
    table = simulated_law_school(0)
    full, blind = (split_and_encode(table, seed=0, sensitive_inputs=flag) for flag in (True, False))
    assert set(full.feature_names) - set(blind.feature_names) == {"race_Black", "race_White", "sex_Female", "sex_Male"}
    np.testing.assert_array_equal(full.train.group, blind.train.group)


def test_simulation_stands_in_only_when_asked_and_only_for_law_school(monkeypatch):
    def nowhere():
        raise DataUnavailable("no source")

    monkeypatch.setattr(fairness_data, "READERS", dict.fromkeys(("adult", "law_school", "compas"), nowhere))
    with pytest.raises(DataUnavailable):
        load_fairness("law_school")
    with pytest.raises(DataUnavailable):
        load_fairness("adult", simulate=True)
    data = load_fairness("law_school", simulate=True)
    assert data.simulated and data.sha256 == {}
    assert "SIMULATED" in fairness_data.SIMULATED_NOTICE


def test_unknown_table_is_named():
    with pytest.raises(ValueError, match="'adults'"):
        read_table("adults")
