"""The table of SMILES by Broad id that the repository holds: of the compounds in the files that its readers know."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from rdkit import Chem, rdBase

from infocore_mini.identity import canonical
from infocore_mini.readers.gct import read_gct
from infocore_mini.readers.l1000 import BRD_CORE, SMILES_TABLE, read_l1000_wells
from infocore_mini.readers.lincs import WELLS
from infocore_mini.readers.property import PRISM
from infocore_mini.sources import fetch

LIST = "broad_id_smiles.tsv.gz"  # 33,230 compounds, merged from two public lists


def broad_smiles() -> pd.DataFrame:
    """The compounds of the L1000 plates, of PRISM and of LINCS pilot 1 that the list of Broad ids has.

    Returns:
        broad_id (up to the compound, without its batch of synthesis) and smiles, canonical where RDKit reads it, sorted by id.

    Raises:
        DataUnavailable: if one of these files or the list is not at hand.
    """
    plates = read_l1000_wells(smiles=fetch(LIST)).info["name"]
    prism = pd.Series(read_gct(fetch(PRISM)).columns.index)
    pilot = pd.read_csv(fetch(WELLS), usecols=["broad_sample"])["broad_sample"].dropna()
    wanted = set(pd.concat([plates, prism, pilot]).astype(str).str[:BRD_CORE])
    listed = pd.read_csv(fetch(LIST), sep="\t").dropna()
    table = listed.assign(broad_id=listed["broad_id"].str[:BRD_CORE]).drop_duplicates("broad_id")
    table = table[table["broad_id"].isin(wanted)].sort_values("broad_id", ignore_index=True)
    with rdBase.BlockLogs():
        found = [Chem.MolFromSmiles(text) for text in table["smiles"]]
    spelt = [canonical(mol) if mol else text for mol, text in zip(found, table["smiles"])]
    return table.assign(smiles=spelt)[["broad_id", "smiles"]]


def store(output: Path, runs: Path, n_jobs: int = 1) -> Path:
    """Write ``broad_smiles.tsv`` into the folder ``output``; nothing is kept in ``runs``."""
    path = output / SMILES_TABLE
    broad_smiles().to_csv(path, sep="\t", index=False, lineterminator="\n")
    return path
