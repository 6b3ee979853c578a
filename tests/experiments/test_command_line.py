"""``python -m infocore_mini.experiments``: every stored study by its name, and nothing else."""

from __future__ import annotations

import json
import subprocess

import pytest

from infocore_mini.experiments import __main__ as command_line
from infocore_mini.experiments.new_plates import phases as new_plates_phases
from infocore_mini.experiments.new_plates.folds import SCREENS
from infocore_mini.experiments.results import stored


def test_every_study_on_the_command_line_is_stored():
    for name in command_line.STUDIES:
        if name not in ("mol2vec", "broad_smiles"):  # whose results are data of their own
            assert stored(name).name == name


def test_an_unknown_study_stops_and_all_are_listed(capsys):
    with pytest.raises(SystemExit) as stop:
        command_line.main(["simulation", "simulaton"])
    assert stop.value.code != 0
    said = capsys.readouterr().err
    assert "'simulaton'" in said and all(f"'{name}'" in said for name in command_line.STUDIES)


def test_studies_are_run_and_stored_in_turn_where_the_options_say(tmp_path, monkeypatch, capsys):
    def store(output, runs, n_jobs):
        calls.append((output, runs, n_jobs))
        return output / "x.json"

    calls: list = []
    monkeypatch.setattr(command_line, "STUDIES", {"a": store, "b": store})
    command_line.main(["b", "a", "--output", str(tmp_path), "--runs", str(tmp_path / "runs"), "--jobs", "1"])
    assert calls == [(tmp_path, tmp_path / "runs", 1)] * 2
    assert capsys.readouterr().out == f"{tmp_path / 'x.json'}\n" * 2


def test_workers_find_what_they_run_by_import(tmp_path):
    """As a module, with two processes: what a worker gets must not live in ``__main__``."""
    import subprocess
    import sys

    program = (
        "import runpy, sys; from infocore_mini.experiments.simulation import studies;"
        "studies.variants = lambda: {'default': [(0, 'clip', {}, {'epochs': 1}), (1, 'ccl', {}, {'epochs': 1})]};"
        f"sys.argv = ['experiments', 'simulation', '--output', {str(tmp_path)!r}, '--runs', {str(tmp_path / 'runs')!r}];"
        "runpy.run_module('infocore_mini.experiments', run_name='__main__', alter_sys=True)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=300)
    record = json.loads((tmp_path / "results" / "simulation.json").read_text())
    assert record["results"]["scores"]["default"]["draw"] == [0, 0, 1, 1] and record["provenance"]["runs"] == 2


def test_one_command_reruns_the_whole_board(root):
    said = subprocess.run(["make", "--dry-run", "board"], cwd=root, capture_output=True, text=True, check=True).stdout
    [command] = [line for line in said.splitlines() if "infocore_mini.experiments" in line]
    studies = set(command.split("infocore_mini.experiments ")[1].split())
    assert studies == {f"new_plates_{name}" for name in SCREENS} | set(new_plates_phases.STORES)
