"""Cell painting: tables of morphological profiles, one well a line, features beside metadata."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from infocore_mini.featurisers import Featuriser
from infocore_mini.featurize import mol2vec

from .tables import listed, located, numbers, read_table, report, require, require_columns
from .wells import ReadScreen, Wells

COMAS = (
    "cell_painting_dark_matter.tsv",
    "cell_painting_natural_products.tsv",
    "cell_painting_natural_products_more.tsv",
)
BBBC021 = "cell_painting_bbbc021.csv.gz"
METADATA = ("Metadata_", "Image_Metadata_")
IMAGE_COLUMNS = {
    "Image_Metadata_Plate_DAPI": "plate",
    "Image_Metadata_Well_DAPI": "well",
    "Image_Metadata_Compound": "name",
    "Image_Metadata_Concentration": "dose",
}


def read_comas(
    paths: Sequence[str | Path] = COMAS, *, drug: Featuriser = mol2vec, separate: Sequence[str] = ()
) -> ReadScreen:
    """The COMAS screens of dark chemical matter and of natural products, on their shared 579 features.

    The profiles are robust z-scores against the DMSO wells of their plate already; nothing is subtracted.
    The experimental batch is the run (dark chemical matter: "run 1", "run 2") or the date that ends a plate's name
    (natural products: "date 181116").  A well that a later file repeats is left out.

    Args:
        paths: TSV files with Compound_Id, Well_Id, Smiles, Run or Plate, and ``Median_...`` features.
        drug: featuriser of SMILES.
        separate: ("dose",) keeps the concentrations of a molecule apart; () makes them replicates.

    Returns:
        The screen on the features named ``Median_...``, one cell line.

    Raises:
        ReadError: for a damaged file, a missing column, other features than in the first file, a plate name without
            date, or wells that two files describe differently.
    """
    require(not isinstance(paths, str | Path) and len(paths) > 0, "paths", repr(paths), "a list of files")
    found = [located(path) for path in paths]
    needed = ["Compound_Id", "Well_Id", "Smiles"]
    tables = [read_table(path, needed, text=[*needed, "Plate", "Run"]) for path in found]
    features = [name for name in tables[0] if name.startswith("Median_")]
    require(len(features) > 0, found[0], "no feature named Median_...", "at least one")
    parts = []
    for path, table in zip(found, tables, strict=True):
        require_columns(table, features, path)
        require(not set(table.filter(regex="^Median_")) - set(features), path, "more features", f"{len(features)}")
        parts.append(_comas_wells(table, features, path))
    info = pd.concat([part.info for part in parts], ignore_index=True)
    wells = Wells(np.concatenate([part.profile for part in parts]), info, tuple(features))
    repeated = info.duplicated(["well", "batch"]).to_numpy()
    _require_equal_wells(wells, listed(found))
    left_out = report(info["file"][repeated], "a well that an earlier row holds")
    return wells.where(~repeated).screen(drug, listed(found), separate=separate, left_out=left_out)


def read_bbbc021_wells(path: str | Path = BBBC021, *, images: str | Path | None = None) -> Wells:
    """The wells of BBBC021 (Ljosa et al. 2013): per-well means of 516 features, DMSO wells included.

    The table names plate and well and no compound; the collection's image table does.

    Args:
        path: table with Image_Metadata_Plate ("Week10_40111"), Image_Metadata_Well and features.
        images: ``BBBC021_v1_image.csv`` of the Broad Bioimage Benchmark Collection, which says what each well holds;
            None leaves names and SMILES unknown and marks no control.

    Returns:
        Wells; `info` has plate, well, batch (the week), name, smiles (all missing), dose, is_control (DMSO).

    Raises:
        ReadError: for a damaged file, a missing column, or a well that `images` lacks.
    """
    path = located(path)
    place = ["Image_Metadata_Plate", "Image_Metadata_Well"]
    table = read_table(path, place, text=place)
    info = table[place].set_axis(["plate", "well"], axis=1)
    info["batch"] = info["plate"].astype("str").str.extract(r"^(Week\d+)_", expand=False)
    require(info["batch"].notna().all(), path, f"plates {listed(info['plate'][info['batch'].isna()])}", "WeekN_...")
    if images is None:
        info = info.assign(name="", dose=np.nan)
    else:
        known = read_table(located(images), list(IMAGE_COLUMNS), text=list(IMAGE_COLUMNS)[:3]).rename(
            columns=IMAGE_COLUMNS
        )
        known = known[list(IMAGE_COLUMNS.values())].drop_duplicates(["plate", "well"])
        info = info.merge(known, on=["plate", "well"], how="left")
        unknown = info["plate"][info["name"].isna()] + " " + info["well"][info["name"].isna()]
        require(len(unknown) == 0, images, f"nothing on the wells {listed(unknown)}", f"the wells of {path}")
    info = info.assign(smiles=None, is_control=info["name"].str.upper() == "DMSO")
    features = _feature_columns(table, METADATA)
    return Wells(_matrix(table, features, path), info, tuple(features))


def read_bbbc021(
    images: str | Path,
    compounds: str | Path,
    *,
    path: str | Path = BBBC021,
    drug: Featuriser = mol2vec,
    separate: Sequence[str] = (),
) -> ReadScreen:
    """BBBC021 as a screen: per-plate DMSO mean subtracted, experimental batch = week.

    Args:
        images, path: see `read_bbbc021_wells`.
        compounds: ``BBBC021_v1_compound.csv`` of the same collection: compound, smiles.
        drug: featuriser of SMILES.
        separate: ("dose",) keeps the concentrations of a molecule apart.

    Returns:
        The screen on 516 features, one cell line (MCF7).

    Raises:
        ReadError: as `read_bbbc021_wells`; also for a plate without DMSO well.
    """
    wells = read_bbbc021_wells(path, images=images)
    columns = ["compound", "smiles"]
    table = read_table(located(compounds), columns, text=columns).drop_duplicates("compound")
    wells.info["smiles"] = wells.info["name"].map(table.set_index("compound")["smiles"])
    return wells.minus_controls(str(path), plate="plate").screen(drug, str(path), separate=separate)


def _comas_wells(table: pd.DataFrame, features: list[str], path: Path) -> Wells:
    if "Run" in table:
        require(table["Run"].notna().all(), path, "rows without an entry under Run", "a run for each well")
        batch = "run " + table["Run"]
    else:
        require_columns(table, ["Plate"], path)
        date = table["Plate"].astype("str").str.extract(r"-(\d{6})$", expand=False)
        require(date.notna().all(), path, f"plates {listed(table['Plate'][date.isna()])}", "names that end in -YYMMDD")
        batch = "date " + date
    info = pd.DataFrame(
        {
            "name": table["Compound_Id"],
            "smiles": table["Smiles"],
            "batch": batch,
            "plate": table.get("Plate", batch),
            "well": table["Well_Id"],
            "dose": table["Well_Id"].str.extract(r"_([\d.]+)$", expand=False).astype(float),
            "is_control": False,
            "file": path.name,
        }
    )
    return Wells(_matrix(table, features, path), info, tuple(features))


def _require_equal_wells(wells: Wells, source: str) -> None:
    key = wells.info.groupby(["well", "batch"]).ngroup().to_numpy()
    _, first = np.unique(key, return_index=True)
    differs = (wells.profile != wells.profile[first[key]]).any(1)
    names = wells.info["well"][differs]
    require(not differs.any(), source, f"wells twice with other values: {listed(names)}", "each well once")


def _feature_columns(table: pd.DataFrame, prefixes: tuple[str, ...], leave: Sequence[str] = ()) -> list[str]:
    numeric = table.select_dtypes("number").columns
    return [name for name in numeric if not name.startswith(prefixes) and name not in leave]


def _matrix(table: pd.DataFrame, features: list[str], path: Path) -> NDArray[np.float32]:
    require(len(features) > 0, path, "no numeric feature", "at least one")
    matrix = numbers(table, features, path, "features")
    bad = ~np.isfinite(matrix).all(0)
    require(not bad.any(), path, f"missing values in {listed(np.array(features)[bad])}", "finite numbers")
    return matrix
