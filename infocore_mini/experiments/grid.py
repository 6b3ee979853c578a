"""The cells of a grid of reruns and the tables that are gathered from them; ``workflow/Snakefile`` runs both.

A cell is one arm of one study on one seed. Its numbers are rows of "data", "what" and "value", so that the cells of
any study can stand in one table. ``python -m infocore_mini.experiments.grid TABLE.csv CELL.json ...`` gathers one.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType

import pandas as pd

from infocore_mini.evaluate.fairness import GAPS
from infocore_mini.evaluate.seeds import half_width
from infocore_mini.experiments.fairness import run as fairness
from infocore_mini.experiments.fairness.training import Setting
from infocore_mini.experiments.names import METHOD_NAMES
from infocore_mini.experiments.pretraining import run as pretraining
from infocore_mini.experiments.pretraining import studies
from infocore_mini.experiments.property import run as property_experiment
from infocore_mini.experiments.records import Record
from infocore_mini.experiments.results import StoredResult, stored
from infocore_mini.experiments.simulation import run as simulation

TOP = (1, 5, 10)
Cell = tuple[list[dict], list[Record]]


def run_cell(
    study: str, arm: str, seed: int, *, change: Mapping = MappingProxyType({}), profile: str = "paper", runs: Path
) -> Cell:
    """Run one arm of one study on one seed, or find the run in ``runs``, or go on from its checkpoint there.

    Args:
        study: one of ``CELLS``.
        arm: of that study.
        seed: of data, split and training.
        change: settings that differ from the arm's own, such as ``{"framework": "simclr"}``.
        profile: of a pretraining study: "quick" takes the short runs of the notebooks, "paper" the reported ones.
        runs: folder of single runs, shared by all cells.

    Returns:
        Rows {"data", "what", "value"}, fractions; and the records of the runs behind them.

    Raises:
        ValueError: on an unknown study, arm or setting.
        DataUnavailable: if the study needs a file that cannot be had.
    """
    _member("study", study, CELLS)
    runs.mkdir(parents=True, exist_ok=True)
    return CELLS[study](arm, seed, dict(change), profile, runs)


def gather(cells: Iterable[Path]) -> pd.DataFrame:
    """One table from the records of many cells, as ``workflow/cell.ipynb`` wrote them.

    Returns:
        A row for each data set, measure ("what") and arm: mean over seeds, half of its 95 % t-interval (NaN for one
        seed) and the number of seeds, in the order of the cells.
    """
    frames = []
    for path in cells:
        record = StoredResult.read(path)
        given = record.parameters
        frames.append(pd.DataFrame(record.results).assign(arm=_label(given["ARM"], given["CHANGE"])))
    rows = pd.concat(frames, ignore_index=True)
    values = rows.groupby(["data", "what", "arm"], sort=False)["value"]
    return values.agg(mean="mean", half_width=half_width, seeds="size").reset_index()


def _label(arm: str, change: Mapping) -> str:
    return ", ".join([METHOD_NAMES.get(arm, arm)] + [f"{name} = {value}" for name, value in change.items()])


def _member(argument: str, given: str, known: Iterable[str]) -> None:
    if given not in known:
        raise ValueError(f"{argument} = {given!r}: expected one of {', '.join(known)}")


# ---- how the cells of each study run -----------------------------------------------------------------------------


def _pretraining(study: str, arm: str, seed: int, change: dict, profile: str, runs: Path) -> Cell:
    """Tables 2, 5 and 7: retrieval accuracy, mean over cell lines."""
    chosen = studies.quick(study, seed) if profile == "quick" else studies.STUDIES[study]
    _member("arm", arm, chosen.arms)
    changed = replace(chosen.arms[arm], change={**chosen.arms[arm].change, **change})
    records = pretraining.search(replace(chosen, arms={arm: changed}), arm, seed, runs)
    (best,) = pretraining.chosen(records)
    rows = [
        {
            "data": chosen.make_screen.__name__,
            "what": f"{row['library']} library, top-{row['top']}",
            "value": row["accuracy"],
        }
        for row in best["retrieval"]
        if row["cell_line"] == "mean" and row["top"] in TOP
    ]
    return rows, records


def _simulation(arm: str, seed: int, change: dict, profile: str, runs: Path) -> Cell:
    """Table 6: accuracy of linear probes for effect and batch on both embeddings."""
    _member("arm", arm, simulation.METHODS)
    record = simulation.run_one(seed, arm, {}, change, runs)
    rows = [
        {"data": "simulation", "what": f"{row['view']}, {target} accuracy", "value": row[target]}
        for row in record.result["scores"]
        for target in ("effect", "batch")
    ]
    return rows, [record]


def _fairness(arm: str, seed: int, change: dict, profile: str, runs: Path) -> Cell:
    """Tables 4 and 9, at the settings that the stored study chose on validation rows."""
    chosen = stored("fairness").results["chosen"]
    arms = fairness.arms({name: Setting(**setting) for name, setting in chosen.items()})
    _member("arm", arm, arms)
    for name in change:
        _member("change", name, Setting.__dataclass_fields__)
    setting = replace(arms[arm].change["setting"], **change)
    changed = replace(arms[arm], change={**arms[arm].change, "setting": setting})
    rows, records = [], []
    for dataset in fairness.DATASETS:
        records.append(fairness.run(fairness.Task(dataset, changed, seed), runs))
        scores = fairness.after(records[-1])["test"]["mean"]
        rows += [
            {"data": dataset, "what": what.replace("_", " "), "value": scores[what]} for what in ("accuracy", *GAPS)
        ]
    return rows, records


def _property(arm: str, seed: int, change: dict, profile: str, runs: Path) -> Cell:
    """Tables 3 and 8: ROC-AUC, or R2 for PRISM, on the test part of every set."""
    if change:
        raise ValueError(f"change = {change!r}: expected none, the settings of fine-tuning are fixed")
    study = property_experiment.SIMCLR if arm in property_experiment.SIMCLR.arms else property_experiment.FULL
    if profile == "quick":
        study = replace(study, datasets=("BBBP", "BACE", "ClinTox"), seeds=(seed,))
    done = property_experiment.run_arm(study, arm, seed, runs)
    cells = [record.result for record in done.cells]
    rows = [{"data": cell["dataset"], "what": "test score", "value": cell["test"]} for cell in cells]
    return rows, [*done.pretraining, *done.cells]


CELLS: Mapping[str, Callable] = MappingProxyType(
    {name: partial(_pretraining, name) for name in studies.STUDIES}
    | {"simulation": _simulation, "fairness": _fairness, "property": _property}
)


if __name__ == "__main__":
    gather(map(Path, sys.argv[2:])).to_csv(sys.argv[1], index=False)
