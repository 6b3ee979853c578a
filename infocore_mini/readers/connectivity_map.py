"""Connectivity Map, build 02 (Lamb et al. 2006): 6,100 expression signatures of 1,309 drugs in human cell lines.

A signature is a set of genes: the 100 most raised and the 100 most lowered against the vehicle wells of the experimental
batch, without magnitudes.  So the vehicle is subtracted already, and there is no control well in the files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from infocore_mini.featurisers import Featuriser
from infocore_mini.featurize import mol2vec
from infocore_mini.sources import data_file

from .tables import DAMAGED, ReadError, listed, located, open_text, read_table, report, require
from .wells import ReadScreen, Wells

UP, DOWN, INSTANCES = "CmapUp100.gmt.xz", "CmapDn100.gmt.xz", "cmap_instances_02.txt"
SMILES_TABLE = "cmap_smiles.tsv"
COLUMNS = {
    "instance_id": "instance",
    "batch_id": "batch",
    "cmap_name": "name",
    "concentration (M)": "dose",
    "duration (h)": "time",
    "cell2": "cell_line",
    "array3": "array",
    "perturbation_scan_id": "scan",
    "vehicle_scan_id4": "vehicle_scan",
    "vehicle": "vehicle",
}


def read_connectivity_map_wells(
    up: str | Path = UP,
    down: str | Path = DOWN,
    instances: str | Path = INSTANCES,
    *,
    smiles: str | Path | None = None,
    n_genes: int | None = 1500,
) -> Wells:
    """The signatures of the Connectivity Map, those of drugs without a known structure included.

    Args:
        up, down: gene sets in GMT, compressed or not, named drug@cell#dose_instance: the genes most raised and lowered.
        instances: the table of the instances, tab-separated.
        smiles: table with the columns name and smiles; None = the project's own.
        n_genes: the genes that stand in most signatures, ties in the order of their names; None = all 12,317.

    Returns:
        Wells whose profile is 1 for a raised gene, -1 for a lowered one and 0 for any other; `info` has name, smiles,
        batch (302, each one cell line, array type and vehicle), cell_line, dose (micromolar), time (hours), plate and
        well, row and column (of the array; missing for single arrays), array, vehicle, vehicle_scan, instance,
        is_control (never).

    Raises:
        ReadError: for a damaged file, a missing column, signatures without an instance, or `n_genes` out of range.
    """
    signs = {1: located(up), -1: located(down)}
    sets = {sign: _gene_sets(path) for sign, path in signs.items()}
    instances = located(instances)
    info = read_table(instances, list(COLUMNS), text=COLUMNS)[list(COLUMNS)]
    info = info.set_axis(list(COLUMNS.values()), axis=1)
    repeated = info["instance"][info["instance"].duplicated()]
    require(len(repeated) == 0, instances, f"instances twice: {listed(repeated)}", "each instance once")
    for sign, path in signs.items():
        unknown = set(sets[sign]) ^ set(info["instance"])
        require(not unknown, path, f"instances {listed(sorted(unknown))} in one file alone", f"those of {instances}")
    genes = _frequent_genes(list(sets.values()), n_genes)
    column = {gene: at for at, gene in enumerate(genes)}
    profile = np.zeros((len(info), len(genes)), dtype=np.float32)
    for sign, found in sets.items():
        for row, name in enumerate(info["instance"]):
            profile[row, [column[gene] for gene in found[name] if gene in column]] = sign
    empty = ~profile.any(1)
    require(not empty.any(), "n_genes", f"{n_genes}, which leaves {empty.sum()} signatures without a gene", "more")
    return Wells(profile, _info(info, smiles, instances), tuple(genes))


def read_connectivity_map(
    up: str | Path = UP,
    down: str | Path = DOWN,
    instances: str | Path = INSTANCES,
    *,
    drug: Featuriser = mol2vec,
    smiles: str | Path | None = None,
    n_genes: int | None = 1500,
    cell_lines: Collection[str] | None = None,
    min_molecules: int = 1,
    separate: tuple[str, ...] = (),
) -> ReadScreen:
    """The Connectivity Map as a screen: experimental batch = batch_id, condition = a drug in a cell line.

    Args:
        up, down, instances, smiles, n_genes: see `read_connectivity_map_wells`.
        drug: featuriser of SMILES.
        cell_lines: names of the wanted cell lines, None = all five.
        min_molecules: experimental batches with fewer molecules of known structure are left out.
        separate: such as ("dose",): replicates then also agree in these columns.

    Returns:
        The screen; `left_out` lists drugs without a known structure and batches that are too small.

    Raises:
        ReadError: as `read_connectivity_map_wells`; also for an unknown cell line, or if no batch is large enough.
    """
    wells = read_connectivity_map_wells(up, down, instances, smiles=smiles, n_genes=n_genes)
    if cell_lines is not None:
        wells = wells.where(_in_cell_lines(wells.info["cell_line"], cell_lines))
    molecules = wells.info.groupby("batch")["smiles"].transform("nunique")
    small = (wells.info["smiles"].notna() & (molecules < min_molecules)).to_numpy()
    left_out = report("batch " + wells.info["batch"][small], f"fewer than {min_molecules} molecules")
    largest = molecules.max()
    require(min_molecules <= largest, "min_molecules", min_molecules, f"at most {largest}, those of the largest batch")
    return wells.where(~small).screen(drug, str(instances), separate=separate, left_out=left_out)


def _gene_sets(path: Path) -> dict[str, list[str]]:
    """Instance -> its genes."""
    try:
        with open_text(path) as lines:
            rows = [line.rstrip("\r\n").split("\t") for line in lines if line.strip()]
    except DAMAGED as error:
        raise ReadError(f"{path}: got {error}, expected gene sets in GMT") from error
    bad = [row[0] for row in rows if len(row) < 3 or "_" not in row[0]]
    require(
        len(rows) > 0 and not bad, path, f"lines {listed(bad)} of {len(rows)}", "drug@cell#dose_instance, size, genes"
    )
    sets = {name.rsplit("_", 1)[1]: genes for name, _, *genes in rows}
    require(len(sets) == len(rows), path, f"{len(rows)} lines of {len(sets)} instances", "each instance once")
    return sets


def _frequent_genes(sets: list[dict[str, list[str]]], n_genes: int | None) -> list[str]:
    count = Counter(gene for found in sets for genes in found.values() for gene in genes)
    n = len(count) if n_genes is None else n_genes
    require(1 <= n <= len(count), "n_genes", n, f"1 to {len(count)}, the genes of the file")
    return sorted(count, key=lambda gene: (-count[gene], gene))[:n]


def _info(info: pd.DataFrame, smiles: str | Path | None, path: Path) -> pd.DataFrame:
    table = data_file(SMILES_TABLE) if smiles is None else located(smiles)
    known = read_table(table, ["name", "smiles"]).drop_duplicates("name").set_index("name")["smiles"]
    try:
        dose, time = info["dose"].astype(float), info["time"].astype(float)
    except ValueError as error:
        raise ReadError(f"{path}: got {error}, expected numbers for concentration and duration") from error
    # spreadsheets take "12.E01" for a number, so the table quotes the wells of row E
    array = info["scan"].str.extract(r"^'?(?P<plate>.+)\.(?P<row>[A-P])(?P<column>\d\d)$")
    return info.drop(columns="scan").assign(
        smiles=info["name"].map(known),
        dose=(1e6 * dose).round(6),
        time=time,
        plate=array["plate"],
        well=array["row"] + array["column"],
        row=array["row"],
        column=array["column"].astype(float).astype("Int64"),
        is_control=False,
    )


def _in_cell_lines(found: pd.Series, wanted: Collection[str]) -> NDArray[np.bool_]:
    unknown = sorted(set(wanted) - set(found))
    require(len(wanted) > 0 and not unknown, "cell_lines", repr(list(wanted)), f"some of {listed(sorted(set(found)))}")
    return found.isin(wanted).to_numpy()
