"""The cells of a grid of reruns and the tables that are gathered from them; ``workflow/Snakefile`` runs both.

A cell is one arm of one study on one seed. Its numbers are rows of "data", "what" and "value", so that the cells of
any study can stand in one table.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType

import pandas as pd
from filelock import FileLock

from infocore_mini.evaluate.fairness import GAPS
from infocore_mini.experiments.fairness import report as fairness_report
from infocore_mini.experiments.fairness import run as fairness
from infocore_mini.experiments.fairness.training import Setting
from infocore_mini.experiments.names import METHOD_NAMES
from infocore_mini.experiments.pretraining import run as pretraining
from infocore_mini.experiments.pretraining import studies
from infocore_mini.experiments.property import run as property_experiment
from infocore_mini.experiments.property import sets as property_sets
from infocore_mini.experiments.simulation import run as simulation
from infocore_mini.readers.fairness import load_fairness

TOP = (1, 5, 10)
Rows = list[dict]
Checksums = dict[str, str]


def run_cell(
    study: str, arm: str, seed: int, *, change: Mapping = MappingProxyType({}), profile: str = "paper", runs: Path
) -> tuple[Rows, Checksums]:
    """Run one arm of one study on one seed, or find the run in ``runs``, or go on from its checkpoint there.

    Args:
        study: one of ``CELLS``.
        arm: of that study.
        seed: of data, split and training.
        change: settings that differ from the arm's own, such as ``{"framework": "simclr"}``.
        profile: of a pretraining study: "quick" takes the short runs of the notebooks, "paper" the reported ones.
        runs: folder of single runs, shared by all cells. A simulation run takes seconds and is not kept there.

    Returns:
        Rows {"data", "what", "value"}, fractions; and file name -> sha256 of every data file read.

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
        record = json.loads(Path(path).read_text(encoding="utf-8"))
        given = record["parameters"]
        frames.append(pd.DataFrame(record["results"]).assign(arm=_label(given["ARM"], given["CHANGE"])))
    rows = pd.concat(frames, ignore_index=True)
    values = rows.groupby(["data", "what", "arm"], sort=False)["value"]
    return values.agg(mean="mean", half_width=simulation.half_width, seeds="size").reset_index()


def _label(arm: str, change: Mapping) -> str:
    return ", ".join([METHOD_NAMES.get(arm, arm)] + [f"{name} = {value}" for name, value in change.items()])


def _member(argument: str, given: str, known: Iterable[str]) -> None:
    if given not in known:
        raise ValueError(f"{argument} = {given!r}: expected one of {', '.join(known)}")


# ---- how the cells of each study run -----------------------------------------------------------------------------


def _pretraining(study: str, arm: str, seed: int, change: dict, profile: str, runs: Path) -> tuple[Rows, Checksums]:
    """Tables 2, 5 and 7: retrieval accuracy, mean over cell lines."""
    chosen = studies.quick(study, seed) if profile == "quick" else studies.STUDIES[study]
    _member("arm", arm, chosen.arms)
    chosen = replace(chosen, arms={arm: dict(chosen.arms[arm]) | change})
    table = pretraining.run(chosen, arm, seed, runs)["retrieval"]
    rows = [
        {
            "data": chosen.screen.__name__,
            "what": f"{row['library']} library, top-{row['top']}",
            "value": row["accuracy"],
        }
        for row in table
        if row["cell_line"] == "mean" and row["top"] in TOP
    ]
    return rows, studies.checksums(chosen)


def _simulation(arm: str, seed: int, change: dict, profile: str, runs: Path) -> tuple[Rows, Checksums]:
    """Table 6: accuracy of linear probes for effect and batch on both embeddings."""
    _member("arm", arm, simulation.METHODS)
    table = simulation.run([seed], [arm], settings=change, n_jobs=1).to_dict("records")
    rows = [
        {"data": "simulation", "what": f"{row['view']}, {target} accuracy", "value": row[target]}
        for row in table
        for target in ("effect", "batch")
    ]
    return rows, {}


def _fairness(arm: str, seed: int, change: dict, profile: str, runs: Path) -> tuple[Rows, Checksums]:
    """Tables 4 and 9, at the settings that the stored study chose on validation rows."""
    chosen = fairness_report.stored()["results"]["chosen"]
    arms = fairness.arms({name: Setting(**setting) for name, setting in chosen.items()})
    _member("arm", arm, arms)
    for name in change:
        _member("change", name, Setting.__dataclass_fields__)
    method, setting, sensitive = arms[arm]
    setting = replace(setting, **change)
    kept = runs / f"fairness-{arm.replace(' ', '-').replace(',', '')}-{seed}.jsonl"
    rows, checksums = [], {}
    with FileLock(kept.with_suffix(".lock")):
        finished = fairness.Runs(kept)
        for dataset in fairness.DATASETS:
            scores = finished.get(dataset, method, setting, seed, sensitive_inputs=sensitive)["test"]["mean"]
            rows += [
                {"data": dataset, "what": what.replace("_", " "), "value": scores[what]} for what in ("accuracy", *GAPS)
            ]
            checksums |= load_fairness(dataset, seed=seed).sha256
    return rows, checksums


def _property(arm: str, seed: int, change: dict, profile: str, runs: Path) -> tuple[Rows, Checksums]:
    """Tables 3 and 8: ROC-AUC, or R2 for PRISM, on the test part of every set."""
    if change:
        raise ValueError(f"change = {change!r}: expected none, the grid of fine-tuning is fixed")
    screen = arm.partition(", ")[2]
    full = property_experiment.SIMCLR if screen in property_experiment.SIMCLR.screens else property_experiment.FULL
    chosen = replace(full, datasets=("BBBP", "BACE", "ClinTox"), seeds=(seed,)) if profile == "quick" else full
    cells = property_experiment.run_column(chosen, arm, seed, runs)
    rows = [{"data": cell["dataset"], "what": "test score", "value": cell["test"]} for cell in cells]
    return rows, property_sets.checksums(chosen.datasets, [screen] if screen in chosen.screens else [])


CELLS: Mapping[str, Callable] = MappingProxyType(
    {name: partial(_pretraining, name) for name in studies.STUDIES}
    | {"simulation": _simulation, "fairness": _fairness, "property": _property}
)
