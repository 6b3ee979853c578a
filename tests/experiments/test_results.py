"""Saved results: everything that was given, enough to make it again, and never half a file."""

from __future__ import annotations

import json
import os
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch

import infocore_mini
from infocore_mini import sources
from infocore_mini.experiments import results
from infocore_mini.experiments.results import StoredResult, save_results, stored


def read(path: Path) -> dict:
    return json.loads(path.read_text())


def test_content_and_place(tmp_path):
    path = save_results(
        "02_simulation", {"SEED": 3, "ALPHA": 0.5}, {"gain": 12.5}, output_dir=tmp_path / "new" / "output"
    )
    assert path == tmp_path / "new" / "output" / "results" / "02_simulation.json"
    record = read(path)
    assert record["name"] == "02_simulation"
    assert record["parameters"] == {"SEED": 3, "ALPHA": 0.5}
    assert record["results"] == {"gain": 12.5}


def test_a_name_with_a_dot_keeps_it(tmp_path):
    """Two names that differ after a dot must not share a file."""
    paths = {save_results(name, {}, {}, output_dir=tmp_path).name for name in ("alpha=0.1", "alpha=0.5")}
    assert paths == {"alpha=0.1.json", "alpha=0.5.json"}


def test_numbers_of_numpy_and_torch_become_plain(tmp_path):
    results = {
        "number": np.float32(0.5),
        "count": np.int64(3),
        "flag": np.bool_(True),
        "array": np.arange(6.0).reshape(2, 3),
        "tensor": torch.tensor([1.5, 2.5]),
        "codes": {7},
        "path": Path("a") / "b",
    }
    assert read(save_results("x", {}, results, output_dir=tmp_path))["results"] == {
        "number": 0.5,
        "count": 3,
        "flag": True,
        "array": [[0, 1, 2], [3, 4, 5]],
        "tensor": [1.5, 2.5],
        "codes": [7],
        "path": os.path.join("a", "b"),
    }


def test_files_are_strict_json_and_old_ones_with_nan_can_still_be_read(tmp_path):
    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    values = {"low": float("nan"), "high": np.float64("inf"), "all": np.array([1.0, np.nan]), "n": 3}
    path = save_results("x", {"AT": float("nan")}, values, output_dir=tmp_path)
    record = json.loads(path.read_text(), parse_constant=refuse)
    assert record["results"] == {"low": None, "high": None, "all": [1.0, None], "n": 3}
    assert record["parameters"] == {"AT": None}
    path.write_text(path.read_text().replace('"low": null', '"low": NaN'))
    assert np.isnan(StoredResult.read(path).results["low"])
    for file in (sources.data_file("sources.csv").parent / "results").glob("*.json"):
        json.loads(file.read_text(), parse_constant=refuse)


def test_provenance_says_how_to_make_it_again(tmp_path):
    checksums = {"adult.data": "ab" * 32}
    found = read(save_results("x", {}, {}, output_dir=tmp_path, data=checksums))["provenance"]
    assert set(found) == {
        "infocore_mini",
        "commit",
        "committed",
        "python",
        "packages",
        "hardware",
        "seconds",
        "data_sha256",
    }
    assert found["infocore_mini"] == infocore_mini.__version__
    assert found["packages"]["torch"] == version("torch")
    assert {"numpy", "scipy", "scikit-learn", "pandas"} <= set(found["packages"])
    assert found["hardware"]["cores"] == os.cpu_count()
    assert found["seconds"] > 0
    assert found["data_sha256"] == checksums


def test_no_data_is_an_empty_table(tmp_path):
    assert read(save_results("x", {}, {}, output_dir=tmp_path))["provenance"]["data_sha256"] == {}


def test_outside_a_repository_the_commit_is_unknown(monkeypatch):
    def missing(*arguments, **options):
        raise FileNotFoundError("git")

    before = results.provenance()["commit"]
    monkeypatch.setattr(results.subprocess, "run", missing)
    assert results.commit() is None
    assert results.provenance()["commit"] == before  # that of the code which this process has loaded


def test_a_second_run_replaces_the_first_and_leaves_nothing_else(tmp_path):
    save_results("x", {}, {"run": 1}, output_dir=tmp_path)
    path = save_results("x", {}, {"run": 2}, output_dir=tmp_path)
    assert read(path)["results"] == {"run": 2}
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("step", ["write_text", "replace"])
def test_a_failure_keeps_the_old_file_whole(tmp_path, monkeypatch, step):
    path = save_results("x", {}, {"run": 1}, output_dir=tmp_path)

    def fail(*arguments, **options):
        raise OSError("disk full")

    owner = Path if step == "write_text" else results.os
    monkeypatch.setattr(owner, step, fail)
    with pytest.raises(OSError, match="disk full"):
        save_results("x", {}, {"run": 2}, output_dir=tmp_path)
    assert read(path)["results"] == {"run": 1}


def run_at(commit: str | None, seconds: float, **changes) -> dict:
    return results.provenance({"a.csv": "0" * 64}) | {"commit": commit, "seconds": seconds} | changes


def test_results_gathered_from_runs_list_their_commits_and_sum_their_seconds(tmp_path):
    runs = [
        run_at("b", 2.5, committed="2026-11-27"),
        run_at("a", 3.0, committed="2026-11-25"),
        run_at("b", 4.0, committed="2026-11-27", data_sha256={"b.csv": "1" * 64}),
    ]
    found = StoredResult.read(save_results("x", {}, {}, output_dir=tmp_path, runs=runs))
    assert found.provenance["commits"] == found.commits == ["a", "b"] and "commit" not in found.provenance
    assert (found.provenance["seconds"], found.provenance["runs"]) == (9.5, 3)
    assert found.provenance["data_sha256"] == {"a.csv": "0" * 64, "b.csv": "1" * 64}
    assert found.provenance["hardware"]["cores"] == os.cpu_count() and "elsewhere" not in found.provenance
    assert found.made.startswith("commits a, b of 2026-11-25 to 2026-11-27, ") and ", 10 s" in found.made


def test_a_result_says_the_day_of_its_commit_or_that_it_is_not_known(tmp_path):
    path = save_results("x", {}, {}, output_dir=tmp_path, runs=[run_at("a", 1.0, committed="2026-11-25")])
    assert StoredResult.read(path).made.startswith("commit a of 2026-11-25, ")
    one = StoredResult("x", {}, {}, run_at("a", 1.0, committed="2026-11-25"))
    assert one.days == ["2026-11-25"] and one.made.startswith("commit a of 2026-11-25, ")
    old = run_at("a", 1.0)
    del old["committed"]
    path = save_results("x", {}, {}, output_dir=tmp_path, runs=[old])
    assert StoredResult.read(path).made.startswith("commit a of a day not known, ")


def test_runs_of_another_machine_are_not_hidden(tmp_path):
    other = {"machine": "aarch64", "cores": 64, "device": "cpu"}
    runs = [run_at("a", 1.0), run_at("a", 1.0, hardware=other), run_at(None, 1.0, hardware=other)]
    found = StoredResult.read(save_results("x", {}, {}, output_dir=tmp_path, runs=runs)).provenance
    assert [place["hardware"] for place in found["elsewhere"]] == [other] and found["commits"] == ["a"]


@pytest.mark.parametrize("text", ["{", "[]", '{"name": "x"}'])
def test_what_is_no_stored_result_is_refused_by_its_path(tmp_path, text):
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(ValueError, match="x.json: got .*, expected a file that save_results wrote"):
        StoredResult.read(path)


STORED = sorted(path.stem for path in (Path(__file__).parents[2] / "data" / "results").glob("*.json"))


@pytest.mark.parametrize("name", STORED)
def test_every_stored_result_is_read_and_says_where_it_was_made(name):
    found = stored(name)
    assert found.name == name and found.parameters and found.results
    assert found.commits and all(commit in found.made for commit in found.commits)
    assert found.days and found.days[-1] in found.made
    assert not any(commit.endswith("-dirty") for commit in found.commits)


@pytest.mark.parametrize("name", ["property", "alpha_sweep", "property_simclr", "simulation_sweeps"])
def test_what_is_not_known_of_a_stored_result_is_said(name):
    assert stored(name).provenance["note"] in stored(name).made
    if name != "simulation_sweeps":  # reshaped from a file that kept none
        assert stored(name).provenance["seconds"] > 0


def test_paper_numbers_are_the_printed_ones():
    rows = {(row["dataset"], row["method"]): row for row in results.paper_table("table4_and_9_fairness")}
    assert len(rows) == 9
    assert rows["uci_adult", "InfoCORE"]["equalized_odds"] == 14.9
    assert rows["compas", "CLIP"]["demographic_parity_sd"] == 1.1


def test_an_unknown_paper_table_lists_what_exists():
    with pytest.raises(KeyError, match="table4_and_9_fairness"):
        results.paper_table("table44")
