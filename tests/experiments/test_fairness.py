"""The fairness experiment: its choices, comparisons and bookkeeping on made-up scores, and what it stored."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.collections import PathCollection

from infocore_mini.evaluate.fairness import GAPS
from infocore_mini.experiments.fairness import figures
from infocore_mini.experiments.fairness import run as experiment
from infocore_mini.experiments.fairness.report import beside_paper, paired, paper_means, stored_scores
from infocore_mini.experiments.fairness.training import Budget, Setting, config_for, fit_head, run_method
from infocore_mini.experiments.names import Arm
from infocore_mini.experiments.records import Record
from infocore_mini.experiments.results import stored
from infocore_mini.readers.fairness import GROUPS, simulated_law_school, split_and_encode
from infocore_mini.sources import registry

TINY = Budget(steps=4, minibatch_size=16)


def validation_rows(scores):
    """(method, dim, alpha, accuracy, equalized odds) on every table -> the table of `validate`."""
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


def test_choosing_reads_validation_rows_only(monkeypatch):
    def run(task, folder, simulate):
        assert task.seed in experiment.SELECTION_SEEDS
        gap = 0.1 * task.arm.change["setting"].embedding_dim
        return Record(
            "fairness", {}, {"validation": {"mean": {"accuracy": 0.8, "equalized_odds": gap}}}, {}
        )  # no "test"

    monkeypatch.setattr(experiment, "run", run)
    chosen, validation = experiment.choose()
    assert set(chosen) == {"shared", "clip", "ccl", "infocore"}
    assert chosen["clip"].embedding_dim == min(setting.embedding_dim for setting in experiment.ENCODER_CANDIDATES)
    n_settings = 3 * len(experiment.ENCODER_CANDIDATES) + len(experiment.WEIGHT_CANDIDATES)
    assert len(validation.table) == 3 * n_settings and len(validation.runs) == 2 * 3 * n_settings


def test_finished_runs_are_read_back_and_not_run_again(tmp_path, monkeypatch):
    calls = []

    def run(method, seed=0, **change):
        change = {"setting": Setting()} | change
        return experiment.run(experiment.Task("compas", Arm(method, change=change), seed), tmp_path).result

    monkeypatch.setattr(experiment, "load_fairness", lambda *a, **k: SimpleNamespace(sha256={"compas.csv": "0"}))
    monkeypatch.setattr(
        experiment, "run_method", lambda data, method, *rest: calls.append(method) or {"test": len(calls)}
    )
    first = run("clip", setting=Setting(alpha=0.2))
    assert run("clip", setting=Setting(alpha=0.9)) == first  # CLIP has no alpha
    assert calls == ["clip"]
    run("clip", setting=Setting(noise=0.1))
    run("clip", sensitive_inputs=False)
    run("clip", seed=1)
    run("infocore")
    run("infocore", setting=Setting(alpha=0.2))
    assert len(calls) == 6 and len(list(tmp_path.glob("*.json"))) == 6
    monkeypatch.setattr(experiment, "BUDGET", TINY)
    run("infocore")
    assert len(calls) == 7


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
    record, scores = stored("fairness"), stored_scores()
    assert set(record.provenance["data_sha256"]) == {"adult.data", "adult.test", "law_school.csv", "compas.csv"}
    for name, checksum in record.provenance["data_sha256"].items():
        assert checksum == registry()[name].sha256
    assert set(scores["dataset"]) == set(experiment.DATASETS)
    chosen = {name: Setting(**setting) for name, setting in record.results["chosen"].items()}
    assert set(scores["arm"]) == set(experiment.arms(chosen))
    assert (scores.groupby(["dataset", "arm", "aggregate"])["seed"].nunique() >= 10).all()
    assert not beside_paper(scores).isna().any(axis=None)


@pytest.mark.parametrize("draw", ["gaps", "aggregations"])
def test_figures_show_every_point(draw):
    scores = stored_scores()
    arms = {"gaps": ([Arm(m) for m in ("clip", "infocore", "supervised")],), "aggregations": ()}[draw]
    for ax in getattr(figures, draw)(scores, *arms).axes:
        points = np.concatenate([dots.get_offsets() for dots in ax.collections if isinstance(dots, PathCollection)])
        assert len(points) >= 9
        low, high = ax.get_ylim()
        assert low == 0 and (points[:, 1] <= high).all()


def test_the_stored_choice_follows_from_the_stored_validation_scores():
    results = stored("fairness").results
    table = pd.DataFrame(results["validation"])
    table["setting"] = [Setting(**setting) for setting in table["setting"]]
    chosen = {name: Setting(**setting) for name, setting in results["chosen"].items()}
    assert experiment.best_against_clip(table) == chosen["shared"]
    assert all(experiment.best_alone(table, method) == chosen[method] for method in experiment.METHODS)
