"""The grid of reruns: the paper's is complete, a tiny one runs, survives a kill and a failing cell, and repeats nothing."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from itertools import product
from pathlib import Path

import jupytext
import nbformat
import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import ROOT
from filelock import FileLock

from infocore_mini.experiments import grid
from infocore_mini.experiments.pretraining.run import run
from infocore_mini.experiments.pretraining.studies import STUDIES, quick

psutil = pytest.importorskip("psutil")
pytest.importorskip("snakemake", reason="the grid of reruns needs the extra `scale`: pip install -e '.[book,scale]'")

WORKFLOW = ROOT / "workflow"
PAPER = yaml.safe_load((WORKFLOW / "paper.yaml").read_text())
TINY = yaml.safe_load((WORKFLOW / "tiny.yaml").read_text())
FIRST_EPOCHS = 2  # of a cell, before it is cut off

# Runs at the start of every kernel: one line for each epoch that was really trained, whatever else may be kept.
# Epochs are slowed down, so that a cell is still at work when the kill reaches its kernel.
COUNTER = """
def _count():
    import time
    from pathlib import Path
    from infocore_mini.training import trainer
    trained = trainer.Trainer.run_epoch
    def run_epoch(self):
        trained(self)
        time.sleep(0.3)
        with Path({log!r}).open("a") as lines:
            lines.write(f"{{self.config.method}} {{self.config.seed}} {{self.epoch}}\\n")
    trainer.Trainer.run_epoch = run_epoch
_count()
"""


def cells(config: dict) -> list[dict]:
    """The parameters of every cell of a configuration, written out independently of the Snakefile."""
    return [
        dict(zip(lists, values)) | {"group": group}
        for group, lists in config["groups"].items()
        for values in product(*lists.values())
    ]


def command(config: Path, folder: Path, *options: str) -> list[str]:
    """Snakemake as ``make grid`` calls it, at work in another folder."""
    snakefile = ["--snakefile", str(WORKFLOW / "Snakefile"), "--directory", str(folder)]
    return [sys.executable, "-m", "snakemake", *snakefile, "--configfile", str(config), *options]


def snakemake(config: Path, folder: Path, *options: str, **more) -> subprocess.CompletedProcess:
    return subprocess.run(command(config, folder, *options), capture_output=True, text=True, timeout=900, **more)


def written(config: dict, path: Path) -> Path:
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    return path


# ---- the grid of the paper ---------------------------------------------------------------------------------------


def test_a_dry_run_plans_every_cell_of_the_paper(tmp_path):
    done = snakemake(WORKFLOW / "paper.yaml", tmp_path, "--dry-run")
    assert done.returncode == 0, done.stdout + done.stderr
    planned = dict(line.split() for line in (done.stdout + done.stderr).splitlines() if len(line.split()) == 2)
    assert int(planned["cell"]) == len(cells(PAPER))
    assert int(planned["table"]) == len(PAPER["tables"])


def test_every_table_of_the_paper_is_planned():
    printed = json.loads((ROOT / "data" / "paper_tables.json").read_text())
    missing = {name for name in printed if name.startswith("table")} - set(PAPER["tables"])
    assert not missing
    assert {group for groups in PAPER["tables"].values() for group in groups} == set(PAPER["groups"])


def test_every_cell_of_the_paper_can_be_run_and_no_two_are_the_same_run():
    runs = Counter()
    for cell in cells(PAPER):
        assert cell["STUDY"] in grid.CELLS
        change = cell.get("CHANGE", {})
        if cell["STUDY"] in STUDIES:
            study = STUDIES[cell["STUDY"]]
            arm = study.arms[cell["ARM"]]
            changed = replace(study, arms={"arm": replace(arm, change={**arm.change, **change})})
            runs[study.make_screen.__name__, repr(changed.config("arm", cell["SEED"]))] += 1
        else:
            runs[cell["STUDY"], cell["ARM"], cell["SEED"], str(change)] += 1
    assert runs.most_common(1)[0][1] == 1, runs.most_common(1)


def test_each_table_has_the_methods_of_the_paper():
    printed = json.loads((ROOT / "data" / "paper_tables.json").read_text())
    for table, groups in PAPER["tables"].items():
        rows = printed[table]
        rows = rows if isinstance(rows, list) else rows.get("gene_expression") or rows["rows"]
        methods = {row["method"].lower() for row in rows} - {"random"}
        arms = {cell["ARM"].lower().split(", ")[0] for cell in cells(PAPER) if cell["group"] in groups}
        assert {method for method in methods if "(" not in method} <= arms, table


def test_every_command_starts_the_same_python_even_where_its_path_holds_a_space(tmp_path):
    python = f"{tmp_path}/my project/python"
    call = f"import sys; from snakemake.cli import main; sys.executable = {python!r}; main(sys.argv[1:])"
    options = command(WORKFLOW / "tiny.yaml", tmp_path, "--dry-run", "--printshellcmds", "--quiet", "host")[3:]
    done = subprocess.run([sys.executable, "-c", call, *options], capture_output=True, text=True)
    shown = [
        line.split(": ", 1)[1]
        for line in (done.stdout + done.stderr).splitlines()
        if "Shell command: " in line and "None" not in line
    ]
    assert len(shown) == len(cells(TINY)) + len(TINY["tables"]), done.stdout + done.stderr
    assert {shlex.split(line)[0] for line in shown} == {python}


# ---- the notebook of a cell --------------------------------------------------------------------------------------


def test_the_cell_is_paired_and_stored_without_outputs():
    notebook, script = WORKFLOW / "cell.ipynb", jupytext.read(WORKFLOW / "cell.py")
    stored = nbformat.read(notebook, as_version=4)
    assert jupytext.writes(stored, "py:percent") == jupytext.writes(script, "py:percent"), "run `make sync`"
    assert not any(cell.get("outputs") for cell in stored.cells)


def test_the_cell_stops_on_an_unknown_parameter(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "papermill", "--no-progress-bar", "-p", "SEDE", "1"]
        + [str(WORKFLOW / "cell.ipynb"), str(tmp_path / "out.ipynb")],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode != 0
    assert "SEDE" in done.stderr.rsplit("ParameterError", 1)[1]


# ---- real runs ---------------------------------------------------------------------------------------------------


def finished(folder: Path) -> dict[tuple[str, int], list[float]]:
    """(arm, seed) -> values, of each record that is there."""
    records = [json.loads(path.read_text()) for path in folder.glob(f"{TINY['folder']}/cells/*/*/results/cell.json")]
    return {
        (record["parameters"]["ARM"], record["parameters"]["SEED"]): [row["value"] for row in record["results"]]
        for record in records
    }


def epochs(log: Path) -> Counter:
    """(method, seed, epoch) -> how often it was trained."""
    lines = log.read_text().splitlines() if log.exists() else []
    return Counter((method, int(seed), int(epoch)) for method, seed, epoch in map(str.split, lines))


def wait_until(condition, process: subprocess.Popen, seconds: float = 600) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, "the grid ended before it could be killed"
        assert time.monotonic() < end, "the grid did not get half way in time"
        time.sleep(0.02)


def test_killed_half_way_it_ends_with_all_results_and_computes_none_twice(tmp_path):
    log = tmp_path / "epochs.log"
    startup = tmp_path / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "count.py").write_text(COUNTER.format(log=str(log)))
    environment = os.environ | {"IPYTHONDIR": str(tmp_path / "ipython")}
    start = command(WORKFLOW / "tiny.yaml", tmp_path, "--cores", "2")
    expected = {(cell["ARM"], cell["SEED"]) for cell in cells(TINY)}

    def half_way() -> bool:
        count = epochs(log)
        done = {key[:2] for key in count if key[2] == n_epochs}
        return len(finished(tmp_path)) >= 2 and any(key[2] >= FIRST_EPOCHS for key in count if key[:2] not in done)

    n_epochs = quick("gene_expression", 0).config("clip", 0).epochs
    with (tmp_path / "first.log").open("w") as output:
        first = subprocess.Popen(start, env=environment, start_new_session=True, stdout=output, stderr=output)
    try:
        wait_until(half_way, first)
    finally:
        family = psutil.Process(first.pid).children(recursive=True)
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
        _, alive = psutil.wait_procs(family, timeout=20)  # kernels see that their parent is gone, and go
        for process in alive:
            process.kill()
    assert not alive, alive

    before, trained = finished(tmp_path), epochs(log)
    cut_off = [key for key in trained if key[2] < n_epochs and (*key[:2], n_epochs) not in trained]
    assert 2 <= len(before) < len(expected) and cut_off, "the kill came too late to show anything"

    second = snakemake(WORKFLOW / "tiny.yaml", tmp_path, "--cores", "2", env=environment)
    assert second.returncode == 0, second.stdout + second.stderr

    values = finished(tmp_path)
    assert set(values) == expected
    assert {cell: values[cell] for cell in before} == before

    # Every epoch of every cell was trained once; of a cell that was cut off, the epoch that was not yet saved may be
    # trained a second time, but only that one.
    count = epochs(log)
    assert set(count) == {(*cell, epoch) for cell in expected for epoch in range(1, n_epochs + 1)}
    repeated = {key for key, times in count.items() if times > 1}
    assert repeated <= {max(key for key in cut_off if key[:2] == cell) for cell in {key[:2] for key in cut_off}}

    # A resumed cell has the numbers of one that was never cut off, and the table is the mean over its cells.
    arm, seed, _ = cut_off[0]
    whole = run(quick("gene_expression", seed), arm, seed).result["retrieval"]
    wanted = [row["accuracy"] for row in whole if row["cell_line"] == "mean" and row["top"] in (1, 5, 10)]
    assert values[arm, seed] == pytest.approx(wanted)
    table = pd.read_csv(tmp_path / TINY["folder"] / "tables" / "table2_retrieval.csv")
    for method, name in (("clip", "CLIP"), ("infocore", "InfoCORE")):
        means = np.mean([values[method, seed] for seed in (0, 1)], axis=0)
        assert table.loc[table["arm"] == name, "mean"].to_numpy() == pytest.approx(means)

    third = snakemake(WORKFLOW / "tiny.yaml", tmp_path, "--dry-run")
    assert "Nothing to be done" in third.stdout + third.stderr


def test_a_failing_cell_stops_no_other_and_no_table_is_made_without_it(tmp_path):
    group = {"STUDY": ["gene_expression"], "SEED": [0], "CHANGE": [{"epochs": 1, "warmup_epochs": 0}]}
    groups = {"good": group | {"ARM": ["clip"]}, "mixed": group | {"ARM": ["nonesuch", "infocore"]}}
    tables = {"good": ["good"], "mixed": ["mixed"]}
    config = written(TINY | {"groups": groups, "tables": tables}, tmp_path / "grid.yaml")
    done = snakemake(config, tmp_path, "--cores", "1")
    assert done.returncode != 0
    assert len(finished(tmp_path)) == 2
    assert [path.stem for path in (tmp_path / TINY["folder"]).glob("tables/*.csv")] == ["good"]
    [failed] = tmp_path.glob(f"{TINY['folder']}/cells/mixed/*nonesuch*/cell.ipynb")  # the error, where it happened
    assert "arm = 'nonesuch': expected one of clip, ccl, infocore" in failed.read_text()


def test_two_runs_in_one_folder_are_refused(tmp_path):
    with FileLock(tmp_path / TINY["folder"] / ".lock"):
        done = snakemake(WORKFLOW / "tiny.yaml", tmp_path, "--cores", "1")
    assert done.returncode != 0
    assert "another run is at work" in done.stdout + done.stderr
    assert not finished(tmp_path)


def test_two_cells_of_one_name_are_refused(tmp_path):
    groups = {"twice": {"STUDY": ["gene_expression"], "ARM": ["clip", "CLIP"], "SEED": [0]}}
    config = written(TINY | {"groups": groups, "tables": {"twice": ["twice"]}}, tmp_path / "grid.yaml")
    done = snakemake(config, tmp_path, "--dry-run")
    assert done.returncode != 0
    assert "twice: two cells are called gene-expression-clip-0" in done.stdout + done.stderr
