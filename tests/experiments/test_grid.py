"""Cells of a grid: their rows, what they refuse, and the tables gathered from them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from scipy import stats
from test_pretraining import TOY

from infocore_mini.experiments import grid
from infocore_mini.experiments.fairness import run as fairness
from infocore_mini.experiments.pretraining import studies
from infocore_mini.experiments.pretraining.run import run
from infocore_mini.experiments.results import save_results, stored
from infocore_mini.experiments.simulation import run as simulation


@pytest.fixture
def toy(monkeypatch):
    monkeypatch.setattr(studies, "STUDIES", {"comas": TOY})


def test_a_pretraining_cell_is_one_run_of_the_library(toy, tmp_path):
    rows, [record] = grid.run_cell("comas", "ccl", 1, runs=tmp_path)
    expected = [
        row for row in run(TOY, "ccl", 1).result["retrieval"] if row["cell_line"] == "mean" and row["top"] in (1, 5, 10)
    ]
    assert [row["value"] for row in rows] == [row["accuracy"] for row in expected]
    assert {row["data"] for row in rows} == {"toy_screen"} and record.provenance["data_sha256"] == {}
    assert {row["what"] for row in rows} == {
        f"{name} library, top-{k}" for name in ("whole", "batch") for k in (1, 5, 10)
    }


def test_a_change_is_another_run_and_a_repetition_is_none(toy, tmp_path, monkeypatch):
    first = grid.run_cell("comas", "clip", 0, runs=tmp_path)
    changed = grid.run_cell("comas", "clip", 0, change={"temperature": 1.0}, runs=tmp_path)
    assert len(list(tmp_path.glob("*.json"))) == 2 and changed != first
    monkeypatch.setattr(grid.pretraining, "pretrain_screen", None)
    assert grid.run_cell("comas", "clip", 0, runs=tmp_path) == first


def test_a_quick_cell_is_the_run_of_the_notebooks(monkeypatch, tmp_path):
    monkeypatch.setattr(studies, "quick", lambda name, seed: TOY)
    rows, _ = grid.run_cell("toxcast", "clip", 0, profile="quick", runs=tmp_path)
    assert {row["data"] for row in rows} == {"toy_screen"}


def test_a_simulation_cell_has_the_numbers_of_one_draw(tmp_path):
    rows, [record] = grid.run_cell("simulation", "clip", 3, change={"epochs": 1}, runs=tmp_path)
    frame = simulation.run([3], ["clip"], settings={"epochs": 1}, n_jobs=1).set_index("view")
    assert {row["what"]: row["value"] for row in rows} == {
        f"{view}, {target} accuracy": frame.loc[view, target]
        for view in ("screen", "drug")
        for target in ("effect", "batch")
    }
    assert record.result == grid.run_cell("simulation", "clip", 3, change={"epochs": 1}, runs=tmp_path)[1][0].result
    assert len(list(tmp_path.glob("*.json"))) == 1


def test_a_fairness_cell_has_every_table_at_the_setting_that_was_chosen(monkeypatch, tmp_path):
    asked = []

    def run_method(data, method, setting, budget, seed):
        asked.append((data.name, method, setting, seed))
        scores = {
            "accuracy": 0.9,
            "equalized_odds": 0.1,
            "equal_opportunity": 0.2,
            "demographic_parity": len(asked) / 10,
        }
        return {"after": {str(fairness.STEPS): {"test": {"mean": scores}}}}

    def table(name, **options):
        return SimpleNamespace(name=name, sha256={f"{name}.csv": "0"})

    monkeypatch.setattr(fairness, "run_method", run_method)
    monkeypatch.setattr(fairness, "load_fairness", table)
    for _ in range(2):  # the second time they are found
        rows, records = grid.run_cell("fairness", "infocore", 4, change={"alpha": 0.25}, runs=tmp_path)
    assert [name for name, *_ in asked] == ["adult", "law_school", "compas"]
    chosen = stored("fairness").results["chosen"]["shared"]
    for _, method, setting, seed in asked:
        assert (method, seed, setting.alpha) == ("infocore", 4, 0.25)
        assert (setting.temperature, setting.gradient_scale) == (chosen["temperature"], chosen["gradient_scale"])
    assert [row["value"] for row in rows if row["what"] == "demographic parity"] == [0.1, 0.2, 0.3]
    files = {file for record in records for file in record.provenance["data_sha256"]}
    assert files == {"adult.csv", "law_school.csv", "compas.csv"}


@pytest.mark.parametrize(
    ("study", "arm", "change", "message"),
    [
        ("coma", "clip", {}, r"study = 'coma': expected one of .*comas.*simulation, fairness"),
        ("comas", "clipp", {}, "arm = 'clipp': expected one of clip, ccl"),
        ("comas", "clip", {"alhpa": 0.1}, "alhpa"),
        ("simulation", "supervised", {}, "arm = 'supervised': expected one of clip, ccl, infocore"),
        ("simulation", "clip", {"alhpa": 0.1}, "alhpa"),
        ("fairness", "moco", {}, "arm = 'moco': expected one of clip, ccl, infocore, supervised"),
        ("fairness", "clip", {"alhpa": 0.1}, "change = 'alhpa': expected one of .*alpha"),
    ],
)
def test_what_is_unknown_is_refused_by_name(toy, tmp_path, study, arm, change, message):
    with pytest.raises(ValueError, match=message):
        grid.run_cell(study, arm, 0, change=change, runs=tmp_path)


def test_a_table_holds_mean_interval_and_number_of_seeds(tmp_path):
    def record(arm: str, seed: int, value: float, change: dict) -> Path:
        rows = [{"data": "comas", "what": "whole library, top-1", "value": value}]
        parameters = {"ARM": arm, "SEED": seed, "CHANGE": change}
        return save_results("cell", parameters, rows, output_dir=tmp_path / f"{arm}{seed}{len(change)}")

    values = [0.1, 0.2, 0.6]
    paths = [record("infocore", seed, value, {}) for seed, value in enumerate(values)]
    paths += [record("infocore", 0, 0.5, {"framework": "simclr"}), record("CLIP without MoCo", 0, 0.25, {})]
    table = grid.gather(paths).set_index("arm")
    assert list(table.index) == ["InfoCORE", "InfoCORE, framework = simclr", "CLIP without MoCo"]
    low, high = stats.t.interval(0.95, 2, loc=0.3, scale=stats.sem(values))
    assert table.loc["InfoCORE", "mean"] == pytest.approx(0.3)
    assert table.loc["InfoCORE", "half_width"] == pytest.approx((high - low) / 2)
    assert list(table["seeds"]) == [3, 1, 1]
    assert table.loc["CLIP without MoCo"].isna()["half_width"]
