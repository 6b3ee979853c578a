"""Cell painting of cytotoxic compounds with their plates and solvent wells (Dahlin et al. 2023, IDR0133)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from infocore_mini.featurisers import Featuriser
from infocore_mini.featurize import mol2vec

from .tables import listed, located, micromolar, numbers, read_table, report, require, require_columns
from .wells import ReadScreen, Wells

INJURY = tuple(f"cell_painting_injury_{part}.csv.gz" for part in ("plate", "treatment", "wells"))
COLUMNS = {
    "Compound Name": "name",
    "Compound SMILES": "smiles",
    "Plate": "plate",
    "Well": "well",
    "Compound Concentration (microMolar)": "dose",
    "Experimental Condition [Treatment time (h)]": "time",
    "Experimental Condition [Experimental Batch]": "experiment",
    "Characteristics [Cell Line]": "cell_line",
    "Control Type": "control",
    "Compound Class": "compound_class",
    "Relative well cellcount": "relative_cell_count",
}
COMPARTMENTS = ("Cells_", "Cytoplasm_", "Nuclei_")
PLACE = r"_AreaShape_Center_[XYZ]$"  # where a cell lies in its image is no feature of the cell


def read_injury_wells(paths: Sequence[str | Path] = INJURY) -> Wells:
    """The wells of Dahlin et al., solvent wells included, nothing subtracted.

    The three files are the parts that a later study held out; a well under two labels stands in them twice.

    Args:
        paths: tables of wells with metadata and features.

    Returns:
        Wells whose `info` has name, smiles, batch (the plate), plate, well, row, column, dose (micromolar), time
        (hours), experiment (1 or 2), cell_line, compound_class, relative_cell_count (1 = that of the solvent wells), is_control
        (DMSO; the positive controls are compounds like others).

    Raises:
        ReadError: for a damaged file, a missing column or value, other features than in the first file, or a well with
            two profiles.
    """
    return _wells(paths)[0]


def read_injury(
    paths: Sequence[str | Path] = INJURY, *, drug: Featuriser = mol2vec, separate: Sequence[str] = ()
) -> ReadScreen:
    """The wells of Dahlin et al. as a screen: experimental batch = plate, nothing subtracted.

    Args:
        paths: see `read_injury_wells`.
        drug: featuriser of SMILES.
        separate: ("dose",), ("time",) or both: replicates then also agree in these.

    Returns:
        The screen with its solvent wells; too few molecules to train on, many plates to diagnose.

    Raises:
        ReadError: as `read_injury_wells`.
    """
    wells, left_out = _wells(paths)
    return wells.screen(drug, listed(map(str, paths)), separate=separate, left_out=left_out)


def _wells(paths: Sequence[str | Path]) -> tuple[Wells, pd.DataFrame]:
    """The wells, and what was left out: repeated wells, and coordinates."""
    require(not isinstance(paths, str | Path) and len(paths) > 0, "paths", repr(paths), "a list of files")
    found = [located(path) for path in paths]
    tables = [read_table(path, list(COLUMNS)) for path in found]
    features = [name for name in tables[0] if name.startswith(COMPARTMENTS)]
    for path, other in zip(found, tables, strict=True):
        require_columns(other, features, path)
    table = pd.concat(tables, ignore_index=True)
    repeated = table.duplicated(["Plate", "Well"]).to_numpy()
    differs = table[["Plate", "Well", *features]].drop_duplicates().duplicated(["Plate", "Well"])
    require(not differs.any(), listed(found), f"{differs.sum()} wells with two profiles", "each well once")
    place = pd.Index(features).str.contains(PLACE)
    left_out = pd.concat(
        [
            report(table["Compound Name"][repeated], "a well that an earlier row holds"),
            report(np.array(features)[place], "coordinate, no feature").assign(profiles=int((~repeated).sum())),
        ]
    )
    table = table[~repeated].reset_index(drop=True)
    features = [name for name, out in zip(features, place, strict=True) if not out]
    profile = numbers(table, features, found[0], "features")
    require(bool(np.isfinite(profile).all()), listed(found), "missing values among the features", "finite numbers")
    info = table[list(COLUMNS)].set_axis(list(COLUMNS.values()), axis=1)
    position = info["well"].str.extract(r"^([A-P])(\d{1,2})$")
    info = info.assign(
        name=info["name"].fillna(info["smiles"]),  # one compound has no name
        batch=info["plate"],
        row=position[0],
        column=position[1].astype(float).astype("Int64"),
        dose=micromolar(info["dose"], found[0], "Compound Concentration (microMolar)"),
        is_control=info["control"] == "Negative",
    )
    return Wells(profile, info.drop(columns="control"), tuple(features)), left_out
