"""L1000 level 3 (Subramanian et al. 2017): quantile-normalised log2 expression of 978 landmark genes, plate by plate.

Two layouts are read: single plates in GCT or GCTX with the wells' metadata inside, and the public releases
(GEO GSE92742), one GCTX with the metadata in tables beside it.
The experimental batch is the plate, the condition a drug in a cell line (appendix H), and the mean over the DMSO
wells of a plate is subtracted from each of its wells.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from infocore_mini.featurisers import Featuriser
from infocore_mini.featurize import mol2vec
from infocore_mini.sources import BROAD_SMILES, data_file

from .gct import Gct, read_gct
from .tables import hours, listed, located, micromolar, read_table, report, require, require_columns
from .usable import with_labels, without_missing
from .wells import ReadScreen, Wells

PLATES = ("l1000_CPC006_A375_6H_X1.gctx", "l1000_LJP005_A375_24H_X1_B19.gct", "l1000_LJP009_A375_24H_X1_B20.gct")
BRD_CORE = 13  # characters of a BRD id that name the compound; what follows names salt and lot
COMPOUND_KINDS = ("trt_cp", "trt_poscon")  # a positive control is a drug like another
ALIASES = {
    "exp_pert_dose": "pert_dose",
    "exp_pert_time": "pert_time",
    "pert_desc": "pert_iname",
    "pert_idose": "pert_dose",
    "pert_itime": "pert_time",
}
NEEDED = ["pert_id", "pert_type", "cell_id", "pert_dose", "pert_time"]


def read_l1000_wells(paths: Sequence[str | Path] = PLATES, *, smiles: str | Path | None = None) -> Wells:
    """The wells of single L1000 level-3 plates, DMSO wells included, nothing subtracted.

    Args:
        paths: GCT 1.3 or GCTX files, or names in ``data/sources.csv``; their genes may come in any order.
        smiles: table with the columns broad_id and smiles; None = the project's own.

    Returns:
        Wells with 978 log2 expressions each, NaN where missing, named by gene symbol; `info` has name (the BRD id),
        alias, smiles, batch (det_plate), well, kind, cell_line, dose (micromolar where the file gives no unit), time
        (hours), is_control.

    Raises:
        ReadError: for a damaged file, missing metadata, a plate that comes twice, or plates of different genes.
    """
    require(not isinstance(paths, str | Path) and len(paths) > 0, "paths", repr(paths), "a list of files")
    found = [located(path) for path in paths]
    plates = [read_gct(path) for path in found]
    probes = plates[0].rows.index
    for path, plate in zip(found, plates, strict=True):
        same = set(plate.rows.index) == set(probes)
        require(same, path, f"other probes than {found[0].name}", f"the same {len(probes)}")
    profile = np.concatenate([plate.matrix[:, plate.rows.index.get_indexer(probes)] for plate in plates])
    info = pd.concat([_plate_info(plate, path) for plate, path in zip(plates, found, strict=True)], ignore_index=True)
    twice = info[info.duplicated(["batch", "well"])]
    require(len(twice) == 0, "paths", f"wells twice on {listed(twice['batch'].unique())}", "every plate once")
    info["smiles"] = smiles_of(info["name"], *broad_table(smiles))
    return Wells(profile, info, _gene_names(plates[0], found[0]))


def read_l1000(
    paths: Sequence[str | Path] = PLATES,
    *,
    drug: Featuriser = mol2vec,
    smiles: str | Path | None = None,
    cell_lines: Collection[str] | None = None,
    separate: Sequence[str] = (),
) -> ReadScreen:
    """The screen on single L1000 level-3 plates: per-plate DMSO mean subtracted, experimental batch = plate.

    Args:
        paths, smiles: see `read_l1000_wells`.
        drug: featuriser of SMILES.
        cell_lines: names of the wanted cell lines, None = all.
        separate: ("dose",), ("time",) or both: replicates then also agree in these.

    Returns:
        The screen of the compound wells; wells of other kinds, those without a cell line or name, and what has missing
        values (see `usable.without_missing`) are in `left_out`.

    Raises:
        ReadError: as `read_l1000_wells`; also for a plate without DMSO well and an unknown cell line.
    """
    wells = read_l1000_wells(paths, smiles=smiles)
    source = listed(map(str, paths))
    return _screen(_in_cell_lines(wells, cell_lines, source), source, drug, separate)


def read_l1000_release(
    gctx: str | Path,
    inst_info: str | Path,
    pert_info: str | Path,
    *,
    gene_info: str | Path | None = None,
    drug: Featuriser = mol2vec,
    cell_lines: Collection[str] | None = None,
    separate: Sequence[str] = (),
) -> ReadScreen:
    """The screen in a public L1000 release (GSE92742 level 3), of which only the wanted wells are read.

    Memory is that of the chosen wells and genes, twice while the control means are subtracted.

    Args:
        gctx: the matrix.
        inst_info: table of wells with inst_id, rna_plate, pert_id, pert_type, cell_id, pert_dose, pert_time.
        pert_info: table of compounds with pert_id, canonical_smiles.
        gene_info: table of genes with pr_gene_id, pr_gene_symbol, pr_is_lm, of which the landmark genes (pr_is_lm = 1)
            are read; None = every gene of the matrix.
        drug, cell_lines, separate: as in `read_l1000`.

    Returns:
        The screen of the compound wells; wells of other kinds are in `left_out`.

    Raises:
        ReadError: as `read_l1000`; also where the matrix lacks a well of `inst_info`.
    """
    gctx, inst_info, pert_info = map(located, (gctx, inst_info, pert_info))
    needed = ["inst_id", "rna_plate", *NEEDED]
    instances = read_table(inst_info, needed, text=[*needed, "pert_iname"])
    info = _info(instances, instances["rna_plate"], inst_info)
    info["well"] = instances["inst_id"]
    info = _in_cell_lines(Wells(np.empty((len(info), 0), np.float32), info, ()), cell_lines, str(inst_info)).info
    info = info[info["is_control"] | info["kind"].isin(COMPOUND_KINDS)]
    compounds = read_table(pert_info, ["pert_id", "canonical_smiles"], text=["pert_id", "canonical_smiles"])
    known = compounds["canonical_smiles"].where(compounds["canonical_smiles"] != "restricted", None)
    info["smiles"] = smiles_of(info["name"], compounds["pert_id"], known)
    names = None if gene_info is None else _landmarks(located(gene_info))
    matrix = read_gct(gctx, columns=info["well"], rows=None if names is None else names.index)
    info = info.set_index("well").loc[matrix.columns.index].reset_index(names="well")
    genes = tuple(matrix.rows.index) if names is None else tuple(names[matrix.rows.index])
    return _screen(Wells(matrix.matrix, info, genes), str(gctx), drug, separate)


def _screen(wells: Wells, source: str, drug: Featuriser, separate: Sequence[str]) -> ReadScreen:
    wells, unlabelled = with_labels(wells, source, {"name": "pert_id", "cell_line": "cell_id"})
    compound = (wells.info["is_control"] | wells.info["kind"].isin(COMPOUND_KINDS)).to_numpy()
    other = wells.info[~compound]
    no_compound = report(other["name"], "no compound: " + other["kind"])
    wells, incomplete = without_missing(wells.where(compound), source)
    left_out = pd.concat([no_compound, unlabelled, incomplete], ignore_index=True)
    return wells.minus_controls(source).screen(drug, source, separate=separate, left_out=left_out)


def _plate_info(plate: Gct, path: Path) -> pd.DataFrame:
    fields = plate.columns.rename(columns={old: new for old, new in ALIASES.items() if new not in plate.columns})
    require_columns(fields, ["det_plate", *NEEDED], path)
    return _info(fields, fields["det_plate"], path).assign(well=fields.index.to_numpy())


def _info(fields: pd.DataFrame, plate: pd.Series, path: Path) -> pd.DataFrame:
    kind = fields["pert_type"].str.lower()
    compound = kind.isin(COMPOUND_KINDS)  # doses of ligands and hairpins have other units
    unit = fields["pert_dose_unit"].fillna("") if "pert_dose_unit" in fields else ""
    dose = (fields["pert_dose"] + " " + unit).where(compound & fields["pert_dose"].notna())
    time = pd.Series(hours(fields["pert_time"], path, "pert_time"), index=fields.index)
    dose = pd.Series(micromolar(dose, path, "pert_dose"), index=fields.index)
    columns = {
        "name": fields["pert_id"],
        "alias": fields["pert_iname"] if "pert_iname" in fields else fields["pert_id"],
        "batch": plate,
        "kind": kind,
        "cell_line": fields["cell_id"],
        "dose": dose.where(dose > 0),  # -666 = none
        "time": time.where(time > 0),
        "is_control": (kind == "ctl_vehicle") & (fields["pert_id"].str.upper() == "DMSO").fillna(False).astype(bool),
    }
    info = pd.DataFrame(columns).reset_index(drop=True)
    unnamed = info[["batch", "kind"]].isna().any()
    require(not unnamed.any(), path, f"empty entries under {listed(unnamed[unnamed].index)}", "an entry for each well")
    return info


def _gene_names(plate: Gct, path: Path) -> tuple[str, ...]:
    """Gene symbols of one plate; the probe ids match the plates, as their symbols are of different years."""
    require_columns(plate.rows, ["pr_gene_symbol"], path)
    names = plate.rows["pr_gene_symbol"]
    require(names.is_unique, path, f"genes twice: {listed(names[names.duplicated()])}", "each gene once")
    return tuple(names)


def _landmarks(path: Path) -> pd.Series:
    """Symbols of the landmark genes, by id."""
    columns = ["pr_gene_id", "pr_gene_symbol", "pr_is_lm"]
    table = read_table(path, columns, text=columns)
    table = table[table["pr_is_lm"] == "1"]
    require(len(table) > 0, path, "no gene with pr_is_lm = 1", "the landmark genes")
    return table.set_index("pr_gene_id")["pr_gene_symbol"]


def broad_table(smiles: str | Path | None = None) -> tuple[pd.Series, pd.Series]:
    """The columns broad_id and smiles of a table; None = the project's own."""
    path = data_file(BROAD_SMILES) if smiles is None else located(smiles)
    table = read_table(path, ["broad_id", "smiles"], text=["broad_id", "smiles"])
    return table["broad_id"], table["smiles"]


def smiles_of(names: pd.Series, ids: pd.Series, smiles: pd.Series) -> pd.Series:
    """SMILES by the compound part of the BRD id; missing where the table has none."""
    table = pd.Series(smiles.to_numpy(), index=ids.str[:BRD_CORE].to_numpy()).dropna()
    return names.str[:BRD_CORE].map(table[~table.index.duplicated()])


def _in_cell_lines(wells: Wells, cell_lines: Collection[str] | None, source: str) -> Wells:
    if cell_lines is None:
        return wells
    present = wells.info["cell_line"].dropna().unique()
    unknown = sorted(set(cell_lines) - set(present))
    require(len(cell_lines) > 0 and not unknown, "cell_lines", repr(list(cell_lines)),
            f"some of {listed(sorted(present))}, which {source} holds")  # fmt: skip
    return wells.where(wells.info["cell_line"].isin(cell_lines).to_numpy())
