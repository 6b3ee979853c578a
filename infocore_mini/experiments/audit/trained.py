"""The audit of trained embeddings of real screens, beside the readouts of the same wells, as planned in ``plan.md``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from joblib import delayed

from infocore_mini import Config, audit, pretrain_screen
from infocore_mini.confounding import Audit, labelled_rows
from infocore_mini.experiments.audit import screens
from infocore_mini.experiments.names import METHOD_NAMES
from infocore_mini.experiments.pretraining.run import METHODS
from infocore_mini.experiments.pretraining.studies import STUDIES
from infocore_mini.experiments.records import Made, Record, in_parallel, kept
from infocore_mini.experiments.results import checksums, save_results
from infocore_mini.screens import Split

SEED = 0
READOUT = "none"  # the readouts as they come, of the same wells
TRAININGS = MappingProxyType({READOUT: None} | {METHOD_NAMES[method]: method for method in METHODS})
SETTINGS: Mapping[str, Any] = STUDIES["comas"].settings


def config(method: str, settings: Mapping[str, Any] = MappingProxyType({})) -> Config:
    """The one setting of all screens, or with some of it changed."""
    return Config(**dict(SETTINGS) | METHODS[method].settings | settings | {"seed": SEED})


def audited(split: Split, columns: Mapping[str, Any], settings: Config | None) -> Audit:
    """The audit of the wells of the test molecules, and of the control wells: their readouts, or embeddings of these.

    Args:
        split: by molecule; a condition lies in one experimental batch.
        columns: as in ``screens.SCREENS``.
        settings: of the training on the other molecules; None = the readouts themselves.
    """
    readout, known = labelled_rows(split.test, **columns)
    if settings is None:
        return audit(readout, **known, seed=SEED)
    model = pretrain_screen(split.train, settings, validation=split.validation)
    return audit(model.embed_screen(readout).numpy(), **known, before=readout, seed=SEED)


def run(name: str, training: str, folder: Path | None = None) -> Record:
    """Verdict and findings of a screen after a training, or why it is not possible; kept in ``folder``."""
    _, columns, files = screens.SCREENS[name]
    method = TRAININGS[training]
    settings = None if method is None else config(method)

    def make() -> Made:
        torch.set_num_threads(1)
        split = _read(name)
        n = len(split.test.profile)
        try:
            found = audited(split, columns, settings)
        except ValueError as reason:
            return {"verdict": "not possible", "reason": str(reason), "findings": [], "n": n}, checksums(files)
        shown = {"verdict": found.verdict, "reason": "", "findings": found.table.to_dict("records"), "n": n}
        return shown | {"molecules": len(split.test.drug), "trained on": len(split.train.drug)}, checksums(files)

    about = {
        "screen": name,
        "training": training,
        "seed": SEED,
        "config": None if settings is None else asdict(settings),
    }
    return kept(folder, "audit_trained", about, make)


@lru_cache(maxsize=1)  # the trainings of a screen follow one another
def _read(name: str) -> Split:
    return screens.SCREENS[name][0]().per_batch().split(SEED)


def store(output: Path, runs: Path, n_jobs: int = 2) -> Path:
    """Train and audit what is missing in the folder ``runs``, and write ``results/audit_trained.json``."""
    tasks = [(name, training) for name in screens.SCREENS for training in TRAININGS]
    records = in_parallel(n_jobs, verbose=10)(delayed(run)(*task, runs) for task in tasks)
    table, audits = [], {}
    for (name, training), record in zip(tasks, records, strict=True):
        table.append({"screen": name, "training": training, **screens.row(record.result)})
        audits[f"{name} / {training}"] = record.result
    parameters = {
        "screens": list(screens.SCREENS),
        "trainings": list(TRAININGS),
        "settings": dict(SETTINGS),
        "seed": SEED,
    }
    results = {"table": table, "audits": audits}
    made = [record.provenance for record in records]
    return save_results("audit_trained", parameters, results, output_dir=output, runs=made)
