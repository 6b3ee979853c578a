"""Benchmarks of molecular properties.

Seven sets of MoleculeNet (Wu et al. 2018), and viability of five cell lines from PRISM (Corsello et al. 2020).
Each comes as SMILES and a table of targets; molecules that RDKit cannot read are listed, never filled in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from infocore_mini.parameters import TargetKind
from infocore_mini.sources import fetch

from .gct import read_gct
from .l1000 import broad_table, smiles_of
from .tables import located, numbers, read_table, report, require
from .wells import canonical_smiles

PRISM = "prism_auc.gctx"
PRISM_LINES = ("A549", "MCF7", "A375", "PC3", "HT29")


@dataclass(frozen=True, eq=False)
class PropertySet:
    """Molecules and what is to be predicted of them.

    Attributes:
        name: as in the paper's Table 3.
        kind: "classification" (targets 0 or 1) or "regression".
        smiles: (n,) RDKit's canonical isomeric SMILES; a molecule that the file lists twice stays twice.
        target: (n, n_tasks) float32; NaN = not measured.
        tasks: (n_tasks,) names.
        left_out: name, reason and count of the molecules that could not be used.
    """

    name: str
    kind: TargetKind
    smiles: NDArray[np.object_]
    target: NDArray[np.float32]
    tasks: tuple[str, ...]
    left_out: pd.DataFrame

    def __len__(self) -> int:
        """Number of molecules."""
        return len(self.smiles)


# Name in the paper's Table 3 -> file in data/sources.csv and task columns; None = every numeric column.
MOLECULENET: Mapping[str, tuple[str, tuple[str, ...] | None]] = MappingProxyType(
    {
        "BBBP": ("bbbp.csv", ("p_np",)),
        "BACE": ("bace.csv", ("Class",)),
        "ClinTox": ("clintox.csv", ("FDA_APPROVED", "CT_TOX")),
        "Tox21": ("tox21.csv", None),
        "ToxCast": ("toxcast.csv.gz", None),
        "SIDER": ("sider.csv", None),
        "HIV": ("hiv.csv", ("HIV_active",)),
    }
)
PROPERTY_SETS = (*MOLECULENET, "PRISM")


def property_files(name: str) -> tuple[str, ...]:
    """Names in ``data/sources.csv`` of the files behind a property set. Raises ValueError for an unknown set."""
    _check_name(name)
    return (PRISM,) if name == "PRISM" else (MOLECULENET[name][0],)


def read_property(name: str, path: str | Path | None = None) -> PropertySet:
    """One benchmark of molecular properties.

    Args:
        name: one of ``PROPERTY_SETS``.
        path: file of the same layout; None = the file in ``data/sources.csv``.

    Returns:
        The molecules that RDKit reads, with their targets; of PRISM 1 - area under the dose-response curve.

    Raises:
        ValueError: for an unknown name.
        ReadError: for a damaged file, a missing column, targets that are not 0, 1 or missing, or no valid molecule.
        sources.DataUnavailable: if the file cannot be had.
    """
    _check_name(name)
    if name == "PRISM":
        return _read_prism(located(path) if path else fetch(PRISM))
    file, columns = MOLECULENET[name]
    path = located(path) if path else fetch(file)  # whatever lies in the working folder under the file's name
    table = read_table(path, ["smiles", *(columns or ())])
    tasks = columns or tuple(column for column in table if pd.api.types.is_numeric_dtype(table[column]))
    require(len(tasks) > 0, path, "no numeric column", "at least one task")
    target = numbers(table, tasks, path, "tasks")
    require((np.isnan(target) | (target == 0) | (target == 1)).all(), path, "other targets", "0, 1 or missing")
    label = table["smiles"].fillna("(empty)")
    return _checked(name, "classification", path, label, table["smiles"], target, tuple(tasks))


def _read_prism(path: Path) -> PropertySet:
    """1 - area under the dose-response curve, so that larger = more killing; five cell lines of the paper."""
    gct = read_gct(path)
    require("cell_iname" in gct.rows, path, "no row field cell_iname", "the names of the cell lines")
    missing = sorted(set(PRISM_LINES) - set(gct.rows["cell_iname"]))
    require(not missing, path, f"no cell line {', '.join(missing)}", "the five lines of the paper")
    column = pd.Index(gct.rows["cell_iname"]).get_indexer(list(PRISM_LINES))
    ids = pd.Series(gct.columns.index)
    smiles = smiles_of(ids, *broad_table())
    return _checked("PRISM", "regression", path, ids, smiles, gct.matrix[:, column], PRISM_LINES)


def _checked(
    name: str,
    kind: TargetKind,
    path: Path,
    label: pd.Series,
    smiles: Iterable[object],
    target: NDArray[np.float32],
    tasks: tuple[str, ...],
) -> PropertySet:
    canonical, reason = canonical_smiles(smiles)
    reason[(reason == "") & np.isnan(target).all(1)] = "no measurement"
    usable = (reason == "").to_numpy()
    require(usable.any(), path, f"no valid molecule among {len(usable)}", "at least one")
    left_out = report(label[~usable], reason[~usable])
    return PropertySet(name, kind, canonical[usable].to_numpy(), target[usable], tasks, left_out)


def _check_name(name: str) -> None:
    if name not in PROPERTY_SETS:
        raise ValueError(f"name: got {name!r}, expected one of {', '.join(PROPERTY_SETS)}")
