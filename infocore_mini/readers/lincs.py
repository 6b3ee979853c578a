"""The design of a large screen: plates, plate maps, doses and cell counts of LINCS pilot 1 (Way et al. 2022)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from .l1000 import broad_table, smiles_of
from .tables import as_text, located, numbers, read_table, require
from .wells import Wells

WELLS = "lincs_pilot1_wells.csv.gz"
COLUMNS = {
    "plate": "plate",
    "well": "well",
    "plate_map": "plate_map",
    "Batch_Number": "experiment",
    "Batch_Date": "date",
    "broad_sample": "name",
    "mmoles_per_liter": "dose",
}


def read_lincs_pilot_wells(path: str | Path = WELLS, *, smiles: str | Path | None = None) -> Wells:
    """The wells of LINCS pilot 1, of whose readout only the number of cells is public in a small file.

    For semi-synthetic screens: the plates, maps, replicates and doses are real, a readout is to be drawn.

    Args:
        path: table with plate, well, plate_map, Batch_Number, Batch_Date, broad_sample, mmoles_per_liter, cell_count.
        smiles: table with the columns broad_id and smiles; None = the project's own.

    Returns:
        Wells with one readout, cell_count; `info` has name (the BRD id), smiles, batch (the plate), plate, well, row,
        column, plate_map, experiment, date, dose (micromolar, which the column's name hides), cell_count, is_control
        (DMSO alone).

    Raises:
        ReadError: for a damaged file, a missing column or count, or a well that stands twice.
    """
    path = located(path)
    table = read_table(path, [*COLUMNS, "cell_count"], text=["plate", "well", "plate_map", "broad_sample"])
    twice = table.duplicated(["plate", "well"])
    require(not twice.any(), path, f"{twice.sum()} wells twice", "each well once")
    count = numbers(table, ["cell_count"], path, "cell counts")
    require(bool(np.isfinite(count).all()), path, "wells without a cell count", "one for each")
    info = table[list(COLUMNS)].set_axis(list(COLUMNS.values()), axis=1)
    control = info["name"].isna()
    position = info["well"].str.extract(r"^([A-P])(\d\d)$")
    info = info.assign(
        name=info["name"].fillna("DMSO"),
        smiles=smiles_of(as_text(info["name"]), *broad_table(smiles)),
        batch=info["plate"],
        row=position[0],
        column=position[1].astype(float).astype("Int64"),
        dose=pd.to_numeric(info["dose"]),
        cell_count=count[:, 0],
        is_control=control.to_numpy(),
    )
    return Wells(count, info, ("cell_count",))
