"""Fairness: metrics against hand-worked tables and independent code; the three tables against what is known of them;
the experiment's choices, comparisons and bookkeeping on made-up scores."""

from __future__ import annotations

from itertools import combinations
from statistics import mean, median

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.collections import PathCollection

from infocore_mini.evaluate.fairness import GAPS, fairness_gaps, group_rates, pairwise_gaps
from infocore_mini.experiments.fairness import figures
from infocore_mini.experiments.fairness import run as experiment
from infocore_mini.experiments.fairness.report import beside_paper, paired, paper_means, stored, stored_scores
from infocore_mini.experiments.fairness.training import Budget, Setting, config_for, fit_head, run_method
from infocore_mini.readers import fairness as fairness_data
from infocore_mini.readers.fairness import GROUPS, load_fairness, read_table, simulated_law_school, split_and_encode
from infocore_mini.sources import DataUnavailable, registry


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
    assert (
        table.label[table.features["priors_count"] == 0].mean() > table.label[table.features["priors_count"] > 5].mean()
    )


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


# ---- the experiment ----------------------------------------------------------------------------------------------

TINY = Budget(steps=4, minibatch_size=16)


def validation_rows(scores):
    """(method, dim, alpha, accuracy, equalized odds) on every table -> what `validation_table` returns."""
    rows = []
    for method, dim, alpha, accuracy, gap in scores:
        for dataset in experiment.DATASETS:
            setting = Setting(embedding_dim=dim, alpha=alpha)
            rows.append(dict(method=method, setting=setting, dataset=dataset, accuracy=accuracy, equalized_odds=gap))
    return pd.DataFrame(rows)


def test_the_shared_setting_is_the_largest_relative_cut_within_the_margin():
    table = validation_rows(
        [
            ("clip", 8, 0.5, 0.80, 0.40),
            ("infocore", 8, 0.5, 0.799, 0.30),  # kept: cut of a quarter
            ("infocore", 8, 0.9, 0.780, 0.10),  # a larger cut, but 2 points of accuracy
            ("clip", 16, 0.5, 0.84, 0.20),
            ("infocore", 16, 0.5, 0.84, 0.19),  # a lower gap, but hardly below its own CLIP
        ]
    )
    assert experiment.best_against_clip(table) == Setting(embedding_dim=8, alpha=0.5)
    nothing_keeps_accuracy = table[(table["method"] == "clip") | (table["accuracy"] < 0.79)]
    assert experiment.best_against_clip(nothing_keeps_accuracy) == Setting(embedding_dim=8, alpha=0.9)


def test_a_methods_own_best_is_its_lowest_gap_near_its_best_accuracy():
    table = validation_rows(
        [("clip", 4, 0.5, 0.70, 0.01), ("clip", 8, 0.5, 0.80, 0.40), ("clip", 16, 0.5, 0.797, 0.30)]
    )
    assert experiment.best_alone(table, "clip") == Setting(embedding_dim=16)


def test_selection_and_reported_seeds_do_not_meet():
    assert not set(experiment.SELECTION_SEEDS) & set(experiment.REPORTED_SEEDS)
    assert len(set(experiment.REPORTED_SEEDS)) >= 10


def test_choosing_reads_validation_rows_only():
    class Recorded:
        def get(self, dataset, method, setting, seed):
            assert seed in experiment.SELECTION_SEEDS
            return {
                "validation": {"mean": {"accuracy": 0.8, "equalized_odds": 0.1 * setting.embedding_dim}}
            }  # no "test"

    chosen, table = experiment.choose(Recorded())
    assert set(chosen) == {"shared", "clip", "ccl", "infocore"}
    assert chosen["clip"].embedding_dim == min(setting.embedding_dim for setting in experiment.ENCODER_GRID)
    assert len(table) == 3 * (3 * len(experiment.ENCODER_GRID) + len(experiment.WEIGHT_GRID))


def test_finished_runs_are_read_back_and_not_run_again(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(experiment, "load_fairness", lambda *a, **k: "data")
    monkeypatch.setattr(
        experiment, "run_method", lambda data, method, *rest: calls.append(method) or {"test": len(calls)}
    )
    path = tmp_path / "runs.jsonl"
    first = experiment.Runs(path).get("compas", "clip", Setting(alpha=0.2), 0)
    assert experiment.Runs(path).get("compas", "clip", Setting(alpha=0.9), 0) == first  # CLIP has no alpha
    assert calls == ["clip"]
    runs = experiment.Runs(path)
    runs.get("compas", "clip", Setting(noise=0.1), 0)
    runs.get("compas", "clip", Setting(), 0, sensitive_inputs=False)
    runs.get("compas", "infocore", Setting(), 0)
    runs.get("compas", "infocore", Setting(alpha=0.2), 0)
    assert len(calls) == 5 and len(path.read_text().splitlines()) == 5


@pytest.mark.parametrize("method", ["supervised", "clip", "ccl", "infocore"])
def test_a_run_scores_both_parts_and_repeats_exactly(method):
    data = split_and_encode(simulated_law_school(0), seed=0)
    scores = [run_method(data, method, Setting(), TINY, seed=5) for _ in range(2)]
    assert scores[0] == scores[1]
    assert set(scores[0]) == {"validation", "test"} and set(scores[0]["test"]) == {"mean", "max", "median"}
    assert scores[0]["test"]["mean"]["accuracy"] > 0.5


def test_ccl_has_one_queue_per_group_and_as_many_candidates():
    clip, ccl = (config_for(m, Setting(), Budget(500, 64), n_rows=1350, seed=0) for m in ("clip", "ccl"))
    assert clip.framework == ccl.framework == "moco"
    assert clip.queue_size == len(GROUPS) * ccl.queue_size


def test_the_head_learns_what_is_not_linear():
    x = torch.randn(2000, 2, generator=torch.manual_seed(0))
    label = (x.prod(dim=1) > 0).long()
    predict = fit_head(x[:1000], label[:1000], x[1000:], label[1000:], seed=0)
    assert (predict(x[1000:]) == label[1000:].numpy()).mean() > 0.9


def test_paired_comparison_by_hand():
    rows = []
    for seed, (clip, infocore) in enumerate([(0.40, 0.30), (0.20, 0.15), (0.30, 0.30)]):
        for arm, gap, accuracy in (("clip", clip, 0.8), ("infocore", infocore, 0.79)):
            scores = dict.fromkeys(GAPS, gap) | {"accuracy": accuracy}
            rows.append({"dataset": "compas", "arm": arm, "seed": seed, "aggregate": "mean"} | scores)
    row = paired(pd.DataFrame(rows)).loc["compas"]
    assert row["baseline"] == pytest.approx(30) and row["arm"] == pytest.approx(25)
    assert row["difference"] == pytest.approx(-5)
    half = 4.302653 * 5 / np.sqrt(3)  # t(0.975, 2 degrees of freedom); differences -10, -5, 0 have s.d. 5
    assert (row["difference_low"], row["difference_high"]) == pytest.approx((-5 - half, -5 + half), rel=1e-5)
    assert row["cut"] == pytest.approx(100 / 6) and row["cut_low"] < row["cut"] < row["cut_high"]
    assert row["accuracy_change"] == pytest.approx(-1) and row["lower_in"] == pytest.approx(2 / 3)


def test_the_papers_numbers_stand_beside_ours():
    assert paper_means().loc[("adult", "infocore"), "equalized_odds"] == 14.9
    assert len(paper_means()) == 9


def test_the_stored_run_is_complete_and_says_where_it_came_from():
    record, scores = stored(), stored_scores()
    assert set(record["provenance"]["data_sha256"]) == {"adult.data", "adult.test", "law_school.csv", "compas.csv"}
    for name, checksum in record["provenance"]["data_sha256"].items():
        assert checksum == registry()[name].sha256
    assert set(scores["dataset"]) == set(experiment.DATASETS)
    chosen = {name: Setting(**setting) for name, setting in record["results"]["chosen"].items()}
    assert set(scores["arm"]) == set(experiment.arms(chosen))
    assert (scores.groupby(["dataset", "arm", "aggregate"])["seed"].nunique() >= 10).all()
    assert not beside_paper(scores).isna().any(axis=None)


@pytest.mark.parametrize("draw", ["gaps", "aggregations"])
def test_figures_show_every_point(draw):
    scores = stored_scores()
    arms = {"gaps": (["clip", "infocore", "supervised"],), "aggregations": ()}[draw]
    for ax in getattr(figures, draw)(scores, *arms).axes:
        points = np.concatenate([dots.get_offsets() for dots in ax.collections if isinstance(dots, PathCollection)])
        assert len(points) >= 9
        low, high = ax.get_ylim()
        assert low == 0 and (points[:, 1] <= high).all()


def test_the_stored_choice_follows_from_the_stored_validation_scores():
    results = stored()["results"]
    table = pd.DataFrame(results["validation"])
    table["setting"] = [Setting(**setting) for setting in table["setting"]]
    chosen = {name: Setting(**setting) for name, setting in results["chosen"].items()}
    assert experiment.best_against_clip(table) == chosen["shared"]
    assert all(experiment.best_alone(table, method) == chosen[method] for method in experiment.METHODS)
