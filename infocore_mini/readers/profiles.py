"""Per-well profiles in tables, one well a row: what pycytominer, CellProfiler's exports and many laboratories write."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from infocore_mini.featurisers import Featuriser
from infocore_mini.featurize import mol2vec
from infocore_mini.platemap import TAKEN, standard_name

from .readouts import Readouts, named, read_readouts
from .tables import (
    LEFT_OUT_COLUMNS,
    ReadError,
    as_text,
    hours,
    listed,
    located,
    micromolar,
    read_table,
    report,
    require,
)
from .usable import with_labels, without_idle_features, without_labels, without_missing, without_repeats
from .wells import ReadScreen, Wells, canonical_smiles

VEHICLES = ("dmso", "water", "h2o", "pbs", "saline", "vehicle", "mock", "untreated", "medium", "media", "empty")
DMSO = "CS(C)=O"
CONTROL_TYPE = "Metadata_control_type"  # JUMP's: negcon, poscon_cp, poscon_diverse, ...


def read_profiles(
    path: str | Path | Sequence[str | Path],
    *,
    drug: Featuriser = mol2vec,
    smiles: str = "Metadata_smiles",
    name: str = "Metadata_broad_sample",
    batch: str = "Metadata_Plate",
    plate: str | None = "Metadata_Plate",
    well: str | None = None,
    dose: str | None = None,
    time: str | None = None,
    controls: tuple[str, str | Collection[str]] | None = ("Metadata_pert_type", "control"),
    cell_line: str | None = None,
    separate: Sequence[str] = (),
    keep: Sequence[str] = (),
    exclude: Sequence[str] = (),
    smiles_table: str | Path | None = None,
    smiles_key: str | None = None,
    features: Literal["intersection", "union"] | Sequence[str] = "intersection",
    tolerance: float = 0.0,
) -> ReadScreen:
    """Per-well profiles as pycytominer writes them and Bray et al. (2017) published them, in text or Parquet.

    Features are the numeric columns, but for those that describe a well by their names (``Metadata_...``, plate, well,
    dose, id, cell count, ...), are coordinates in the image or numbers of objects, never vary or repeat another, count
    the rows, or have one value for each batch, plate, well, cell line or molecule (`usable.without_labels`).  A feature
    with missing values goes where this loses less than leaving out the wells that miss them (`usable.without_missing`);
    a value of 1e12 or more counts as missing.  `left_out` names each with the reason; ``features`` takes columns by name.

    Args:
        path: the table, or several, such as one a plate.
        drug: featuriser of SMILES.
        smiles, name, batch, plate: columns with the SMILES, the compound's name, the experimental batch and the plate;
            plate = None: not known.
        well: column with the well; None = ``Metadata_Well`` where there is one.
        dose, time: columns with the dose, in micromolar or with its unit, and the hours; None = not known.
        controls: column and value, or values, of the control wells (Bray et al.: ("Metadata_ASSAY_WELL_ROLE", "mock")),
            whose mean over the plate, or the batch where no plate is known, is subtracted, as `corrections` notes;
            None = the profiles are normalised already.  Only vehicle wells are subtracted: positive controls among them
            are molecules like others.
        cell_line: column with the cell line, None = one.
        separate: what tells conditions apart beside molecule and cell line: "dose", "time" or names of further columns.
        keep: columns that describe wells whatever their names and types, and so come into ``info``.
        exclude: columns that are no features either, by name or pattern ("Nuclei_Texture_*").
        smiles_table: table that holds the column `smiles` in place of the profiles' own.
        smiles_key: its column with the names, None = called like `name`.
        features: of several files, "intersection" keeps the features that all have, "union" every one: NaN where a file
            has it not. Names or patterns take these columns alone, in this order, whatever they are called and hold here:
            those that a model was trained on (``model.trained_on.screen_features``), so that a new plate is read as the
            training was.
        tolerance: wells and features with at most this share of missing values stay, the gaps as NaN.

    Returns:
        The screen on the usable features; `left_out` names every feature, well and molecule that was not taken.

    Raises:
        ReadError: for a damaged file, a missing column, a plate without control well, a control well without plate, two
            rows of one well that differ, controls that are all positive, or no usable feature or well.
    """
    paths = [located(one) for one in ([path] if isinstance(path, str | Path) else path)]
    require(len(paths) > 0, "path", repr(path), "a file or a list of files")
    by_name = not isinstance(features, str)
    fits = (
        len(features) > 0 and len(set(features)) == len(features) if by_name else features in ("intersection", "union")
    )
    require(fits, "features", repr(features), '"intersection", "union", or names, each once')
    columns = {"smiles": None if smiles_table is not None else smiles, "name": name, "batch": batch, "plate": plate}
    columns |= {"well": well, "dose": dose, "time": time, "cell_line": cell_line}
    given = {key: column for key, column in columns.items() if column}
    further = [name for name in separate if name not in given]  # "dose" is the column that `dose` names
    asked = list(features) if by_name else []
    parts = [_read(one, given, controls, further, keep, exclude, asked) for one in paths]
    source = listed(paths)
    wells, unread = _joined(parts, features, source)
    left_out = [unread]
    if not by_name:
        for without in (without_idle_features, without_labels):
            wells, others = without(wells, source)
            left_out.append(others)
    elsewhere = _elsewhere(wells, parts) if features == "union" else None
    del parts  # their readouts, where some have been left out since
    wells, incomplete = without_missing(wells, source, tolerance=tolerance, elsewhere=elsewhere, all_features=by_name)
    left_out.append(incomplete)
    if len(incomplete) and not by_name:
        wells, idle = without_idle_features(wells, source)
        left_out.append(idle)
    if smiles_table is not None:
        wells, unsure = _with_smiles(wells, located(smiles_table), smiles_key or name, smiles)
        left_out.append(unsure)
    if controls:
        wells.info["is_control"] = vehicles(wells.info, source)
    labels = {key: column for key, column in given.items() if key in ("batch", "plate", "cell_line")}
    wells, unlabelled = with_labels(wells, source, labels)
    left_out.append(unlabelled)
    if "well" in wells.info:
        by = dict.fromkeys(("batch", "plate", "well", "cell_line", "site", *separate))
        wells, repeated = without_repeats(wells, source, [key for key in by if key in wells.info])
        left_out.append(repeated)
    if controls:
        wells = wells.minus_controls(source, plate="plate" if plate else "batch", copy=False)
    wells = replace(wells, info=wells.info.drop(columns="control_type", errors="ignore"))
    listing = pd.concat(left_out, ignore_index=True)
    missing = bool(tolerance) or features == "union"
    return wells.screen(drug, source, separate=separate, left_out=listing, allow_missing=missing, copy=False)


# ---- one file ----------------------------------------------------------------------------------------------------


def _read(
    path: Path,
    given: Mapping[str, str],
    controls: tuple[str, str | Collection[str]] | None,
    separate: Sequence[str],
    keep: Sequence[str],
    exclude: Sequence[str],
    features: Sequence[str],
) -> Readouts:
    control = [controls[0]] if controls else []
    needed = list(dict.fromkeys([*given.values(), *control, *separate, *keep]))
    text = [*given.values(), *control, CONTROL_TYPE, "Metadata_Well"]
    found = read_readouts(path, needed, text, exclude, features)
    return found._replace(info=_info(found.info, given, controls, separate, path))


def _info(
    table: pd.DataFrame,
    given: Mapping[str, str],
    controls: tuple[str, str | Collection[str]] | None,
    separate: Sequence[str],
    path: Path,
) -> pd.DataFrame:
    """The columns of a screen's `info`: the named ones, those of `separate`, and other metadata under standard names."""
    for name in table.select_dtypes(["object", "string"]):
        table[name] = as_text(table[name]).to_numpy()  # blocks may differ in type
    info = {key: table[column] for key, column in given.items()} | {name: table[name] for name in separate}
    for key, convert in (("dose", micromolar), ("time", hours)):
        if key in info:
            info[key] = pd.Series(convert(info[key], path, given.get(key, key)))
    if controls:
        values = [controls[1]] if isinstance(controls[1], str) else list(map(str, controls[1]))
        info["is_control"] = as_text(table[controls[0]]).isin(values)
    else:
        info["is_control"] = pd.Series(False, index=table.index)
    if CONTROL_TYPE in table:
        info["control_type"] = table[CONTROL_TYPE]
    for name in table:
        key = standard_name(name)
        if name in given.values() or key in info or key in TAKEN or name in separate:
            continue
        try:
            info[key] = pd.Series({"dose": micromolar, "time": hours}[key](table[name], path, name))
        except KeyError:
            info[key] = table[name]
        except ReadError:
            info[name] = table[name]
    return pd.DataFrame(info)


# ---- several files -----------------------------------------------------------------------------------------------


def _joined(parts: list[Readouts], features: str | Sequence[str], source: str) -> tuple[Wells, pd.DataFrame]:
    """The wells of all files, and the columns that are not among their features."""
    names = list(dict.fromkeys(name for part in parts for name in part.features))
    shared = set(names).intersection(*[part.features for part in parts])
    kept = names if features == "union" else [name for name in names if name in shared]
    if not isinstance(features, str):
        in_all = [name for name in names if name in shared]
        absent = [name for name in features if name not in shared and not named([name], in_all)]
        require(not absent, source, f"no feature {listed(absent)}", f"the {len(features)} in `features`")
        kept = named(features, in_all)
    require(len(kept) > 0, source, "files without a common feature", "at least one, or features='union'")
    if len(parts) == 1 and kept == parts[0].features:
        profile = parts[0].profile
    else:
        profile = np.full((sum(len(part.info) for part in parts), len(kept)), np.nan, dtype=np.float32)
        start = 0
        for part in parts:
            at = pd.Index(part.features).get_indexer(pd.Index(kept))
            profile[start : start + len(part.info), at >= 0] = part.profile[:, at[at >= 0]]
            start += len(part.info)
    info = pd.concat([part.info for part in parts], ignore_index=True)
    columns = [
        report([str(name)], reason).assign(profiles=len(part.info))
        for part in parts
        for name, reason in part.no_features.items()
    ]
    reason = "feature that not every file has" if isinstance(features, str) else "feature that was not asked for"
    somewhere = [
        report([name], reason).assign(profiles=len(part.info))
        for part in parts
        for name in part.features
        if name not in set(kept)
    ]
    left_out = pd.concat([pd.DataFrame(columns=LEFT_OUT_COLUMNS), *columns, *somewhere])
    left_out = left_out.groupby(["name", "reason"], sort=False)["profiles"].sum().reset_index()
    return Wells(profile, info, tuple(kept)), left_out


def _elsewhere(wells: Wells, parts: list[Readouts]) -> NDArray[np.bool_]:
    """(n_wells, n_g): whether the well's file has no such feature."""
    absent = [~np.isin(wells.feature_names, part.features) for part in parts]
    return np.repeat(np.array(absent), [len(part.info) for part in parts], axis=0)


# ---- molecules ---------------------------------------------------------------------------------------------------


def _with_smiles(wells: Wells, path: Path, key: str, smiles: str) -> tuple[Wells, pd.DataFrame]:
    """The wells with the SMILES that a table has for their names; names with several structures are left out."""
    table = read_table(path, [key, smiles], text=[key, smiles]).dropna(subset=[key, smiles])
    table = table.assign(canonical=canonical_smiles(table[smiles])[0].to_numpy()).drop_duplicates([key, "canonical"])
    unsure = wells.info["name"].isin(table[key][table[key].duplicated()]).to_numpy()
    found = wells.info["name"].map(table.drop_duplicates(key).set_index(key)[smiles])
    got = f"none of the names {listed(wells.info['name'].dropna().unique())} under {key}"
    require(found.notna().any(), path, got, "structures of the profiles' names")
    kept = replace(wells, info=wells.info.assign(smiles=found))
    reason = f"several structures in {path.name}"
    return (kept.where(~unsure) if unsure.any() else kept), report(wells.info["name"][unsure], reason)


def vehicles(info: pd.DataFrame, source: str) -> NDArray[np.bool_]:
    """Which of the control wells hold the vehicle; the others are positive controls.  ReadError where none does."""
    chosen = info["is_control"].to_numpy(dtype=bool)
    controls = info[chosen]
    kind = controls.get("control_type", pd.Series(None, index=controls.index, dtype=object))
    structure = canonical_smiles(controls["smiles"])[0].set_axis(controls.index)
    name = controls["name"].fillna("").str.lower()
    positive = kind.fillna("").str.lower().str.startswith("pos")
    if not kind.notna().any() and structure.where(structure != "", name).nunique() > 1:
        known = name.str.fullmatch(rf"({'|'.join(VEHICLES)})([\W_\d].*)?") | ((name == "") & (structure == ""))
        positive = ~(known | (structure == DMSO))
    got = f"control wells of {listed(controls['name'].unique())}, none of them the vehicle"
    expected = "the column and value of vehicle wells, such as those of DMSO"
    require(len(controls) == 0 or not positive.all(), source, got, f"in `controls` {expected}")
    vehicle = chosen.copy()
    vehicle[chosen] = ~positive.to_numpy(dtype=bool)
    return vehicle
