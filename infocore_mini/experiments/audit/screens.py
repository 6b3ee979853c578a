"""The audit of the book's real screens, before and after corrections of the readout, as planned in ``plan.md``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from infocore_mini import PairedScreen, audit, readers
from infocore_mini.confounding import Audit, labelled_rows
from infocore_mini.confounding.rows import BATCH
from infocore_mini.confounding.verdict import of_all
from infocore_mini.correct import ComBat, ControlMean, Correction, PlateCentring, Sphering
from infocore_mini.experiments.records import Record, kept
from infocore_mini.experiments.results import checksums, save_results
from infocore_mini.readers.behaviour import PROFILES
from infocore_mini.readers.cell_painting import COMAS
from infocore_mini.readers.connectivity_map import DOWN, INSTANCES, UP
from infocore_mini.readers.growth import GROWTH, RACKS
from infocore_mini.readers.injury import INJURY
from infocore_mini.readers.l1000 import PLATES

# what is audited besides the experimental batch, as `labelled_rows` takes it
SCREENS: Mapping[str, tuple[Callable[..., PairedScreen], dict[str, Any], Sequence[str]]] = {
    "COMAS": (readers.read_comas, {"nuisance": ["plate"], "library": "file"}, COMAS),
    "L1000 plates": (readers.read_l1000, {"position": "well"}, PLATES),
    "Dahlin 2023": (
        readers.read_injury,
        {"position": "well", "cell_count": "relative_cell_count", "library": "experiment", "label": "compound_class"},
        INJURY,
    ),
    "zebrafish behaviour": (readers.read_zebrafish, {}, [PROFILES]),
    "yeast growth": (readers.read_yeast_growth, {"position": "well"}, [GROWTH, RACKS]),
    "Connectivity Map": (readers.read_connectivity_map, {"library": "cell_line"}, [UP, DOWN, INSTANCES]),
}
CORRECTIONS: Mapping[str, Sequence[Correction]] = {
    "none": (),
    "mean of the batch": (PlateCentring(),),
    "ComBat": (ComBat(),),
    "mean of the controls": (ControlMean(),),
    "mean of the controls, sphering": (ControlMean(), Sphering()),
}
SHOWN = ("estimability", "neighbours", "linear probe", "nearest of another value is a replicate")  # checks in the table


def audited(
    screen: PairedScreen, columns: Mapping[str, Any], corrections: Sequence[Correction], seed: int = 0
) -> Audit:
    """The audit of a screen after corrections that are fitted on it; the uncorrected readout is what was before."""
    corrected = screen
    for step in corrections:
        corrected = step.fit_transform(corrected)
    (points, known), before = labelled_rows(corrected, **columns), None
    if corrections:
        before = points.copy()
        before[: len(screen.profile)] = screen.profile.numpy()  # of controls it is not read
    return audit(points, **known, before=before, seed=seed)


def run(name: str, correction: str, folder: Path | None = None) -> Record:
    """Verdict and findings of a screen after a correction, or why it is not possible; kept in ``folder``."""
    _, columns, files = SCREENS[name]

    def make() -> tuple[dict[str, Any], Mapping[str, str]]:
        screen = _read(name)
        try:
            found = audited(screen, columns, CORRECTIONS[correction])
        except ValueError as reason:
            return {"verdict": "not possible", "reason": str(reason), "findings": []}, checksums(files)
        shown = {"verdict": found.verdict, "reason": "", "findings": found.table.to_dict("records")}
        return shown | {"n": len(screen.profile), "screen": repr(screen)}, checksums(files)

    return kept(folder, "audit_screens", {"screen": name, "correction": correction, "seed": 0}, make)


@lru_cache(maxsize=1)  # the corrections of a screen follow one another
def _read(name: str) -> PairedScreen:
    return SCREENS[name][0](drug=_without_features)


def _without_features(smiles: Sequence[str]) -> NDArray[np.float32]:
    return np.zeros((len(smiles), 1), dtype=np.float32)


def row(result: Mapping[str, Any]) -> dict[str, Any]:
    """What the table shows of an audit: its verdict, and of the batch what each kind of rows says."""
    shown: dict[str, Any] = {"verdict": result["verdict"], "n": result.get("n"), "not possible": result["reason"]}
    if not result["findings"]:
        return shown
    findings = pd.DataFrame(result["findings"])
    findings = findings[findings["nuisance"] == BATCH]
    for rows, found in findings.groupby("rows", sort=False):
        shown[f"{rows}: verdict"] = of_all(found["verdict"])
        for one in found[found["check"].isin(SHOWN)].to_dict("records"):
            name = f"{rows}: {one['check']}"
            shown |= {name: one["observed"], f"{name}, expected": one["expected"]}
    return shown


def store(output: Path, runs: Path, n_jobs: int = 1) -> Path:
    """Audit what is missing in the folder ``runs``, one screen after the other, and write ``results/audit_screens.json``."""
    records = {(name, correction): run(name, correction, runs) for name in SCREENS for correction in CORRECTIONS}
    table = [
        {"screen": name, "correction": correction, **row(record.result)}
        for (name, correction), record in records.items()
    ]
    audits = {f"{name} / {correction}": record.result for (name, correction), record in records.items()}
    parameters = {"screens": list(SCREENS), "corrections": list(CORRECTIONS), "seed": 0}
    provenances = [record.provenance for record in records.values()]
    return save_results(
        "audit_screens", parameters, {"table": table, "audits": audits}, output_dir=output, runs=provenances
    )
