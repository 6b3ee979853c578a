"""The table of SMILES by Broad id that the repository holds, from the list that two public ones were merged into."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from rdkit import Chem, rdBase

from infocore_mini.identity import canonical
from infocore_mini.sources import BROAD_SMILES, fetch

LIST = "broad_id_smiles.tsv.gz"  # 33,230 compounds


def broad_smiles() -> pd.DataFrame:
    """The compounds of the list in its order, which simulated screens draw from.

    Returns:
        broad_id and smiles, canonical where RDKit reads it, without ChemAxon's extensions.

    Raises:
        DataUnavailable: if the list is not at hand.
    """
    table = pd.read_csv(fetch(LIST), sep="\t")
    with rdBase.BlockLogs():
        found = [Chem.MolFromSmiles(text) for text in table["smiles"]]
    spelt = [canonical(mol) if mol else text for mol, text in zip(found, table["smiles"])]
    return table[["broad_id"]].assign(smiles=spelt)


def store(output: Path, runs: Path, n_jobs: int = 1) -> Path:
    """Write ``broad_smiles.tsv.gz`` into the folder ``output``, the same bytes each time; nothing is kept in ``runs``."""
    path = output / BROAD_SMILES
    how = {"method": "gzip", "mtime": 0}
    broad_smiles().to_csv(path, sep="\t", index=False, lineterminator="\n", compression=how)
    return path
