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
from infocore_mini.experiments import results
from infocore_mini.experiments.results import save_results


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


def test_provenance_says_how_to_make_it_again(tmp_path):
    checksums = {"adult.data": "ab" * 32}
    found = read(save_results("x", {}, {}, output_dir=tmp_path, data=checksums))["provenance"]
    assert set(found) == {
        "infocore_mini",
        "commit",
        "python",
        "packages",
        "hardware",
        "wall_time_seconds",
        "data_sha256",
    }
    assert found["infocore_mini"] == infocore_mini.__version__
    assert found["packages"]["torch"] == version("torch")
    assert {"numpy", "scipy", "scikit-learn", "pandas"} <= set(found["packages"])
    assert found["hardware"]["cores"] == os.cpu_count()
    assert found["wall_time_seconds"] > 0
    assert found["data_sha256"] == checksums


def test_no_data_is_an_empty_table(tmp_path):
    assert read(save_results("x", {}, {}, output_dir=tmp_path))["provenance"]["data_sha256"] == {}


def test_outside_a_repository_the_commit_is_unknown(monkeypatch):
    def missing(*arguments, **options):
        raise FileNotFoundError("git")

    monkeypatch.setattr(results.subprocess, "run", missing)
    assert results.provenance()["commit"] is None


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


def test_paper_numbers_are_the_printed_ones():
    rows = {(row["dataset"], row["method"]): row for row in results.paper_table("table4_and_9_fairness")}
    assert len(rows) == 9
    assert rows["uci_adult", "InfoCORE"]["equalized_odds"] == 14.9
    assert rows["compas", "CLIP"]["demographic_parity_sd"] == 1.1


def test_an_unknown_paper_table_lists_what_exists():
    with pytest.raises(KeyError, match="table4_and_9_fairness"):
        results.paper_table("table44")
