"""Growth of yeast strains under the compounds of LOPAC (Wildenhain et al. 2015), with the library's racks."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
from rdkit import Chem, rdBase

from infocore_mini.featurisers import Featuriser
from infocore_mini.featurize import mol2vec

from .tables import located, numbers, open_text, read_table, report, require
from .wells import ReadScreen, Wells

GROWTH, RACKS, SMILES_TABLE = "yeast_lopac_growth.csv", "yeast_lopac_racks.sdf", "yeast_lopac_smiles.csv"
FIELD = re.compile(r"^> *<(\w+)>.*\n(.*)", re.MULTILINE)


def read_yeast_growth(
    path: str | Path = GROWTH,
    racks: str | Path = RACKS,
    *,
    drug: Featuriser = mol2vec,
    smiles: str | Path = SMILES_TABLE,
) -> ReadScreen:
    """The growth of yeast strains under the compounds of LOPAC: experimental batch = the rack of the library.

    That a rack of the library was one assay plate is inferred, not stated.

    Args:
        path: table with supplier_obj_id ("LOPAC 00228") and a z-score of growth for each strain; negative = slower.
        racks: structures of LOPAC in SDF with the fields ID (228), RackNo and RackPos.
        drug: featuriser of SMILES.
        smiles: table with the columns Supplier ID, Name and Canonical SMILES, used for names, and where the structure
            in `racks` cannot be read: its SMILES lack the hydrogen of aromatic nitrogen, so 166 of them fail.

    Returns:
        The screen, with rack (plate), well, row and column beside each profile; compounds without a rack are in
        `left_out`.

    Raises:
        ReadError: for a damaged file, a missing column or value, or compounds of which none has a rack.
    """
    path, racks, smiles = map(located, (path, racks, smiles))
    table = read_table(path, ["supplier_obj_id"], text=["supplier_obj_id"])
    strains = [name for name in table if name != "supplier_obj_id"]
    profile = numbers(table, strains, path, "strains")
    require(bool(np.isfinite(profile).all()), path, "missing values among the strains", "finite numbers")
    number = table["supplier_obj_id"].str.extract(r"^LOPAC 0*(\d+)$", expand=False)
    names = read_table(smiles, ["Supplier ID", "Name", "Canonical SMILES"]).drop_duplicates("Supplier ID")
    names = names.set_index("Supplier ID").reindex(table["supplier_obj_id"])
    places = _places(racks).reindex(number)
    position = places["RackPos"].str.extract(r"^(?P<row>[A-H])(?P<column>\d\d)$")
    info = pd.DataFrame(
        {
            "name": names["Name"].fillna(pd.Series(names.index, names.index)).to_numpy(),
            "smiles": places["smiles"].fillna(pd.Series(names["Canonical SMILES"].to_numpy(), places.index)).to_numpy(),
            "batch": places["RackNo"].to_numpy(),
            "plate": places["RackNo"].to_numpy(),
            "well": places["RackPos"].to_numpy(),
            "row": position["row"].to_numpy(),
            "column": position["column"].astype(float).astype("Int64").to_numpy(),
            "compound": table["supplier_obj_id"],
            "is_control": False,
        }
    )
    placed = info["batch"].notna().to_numpy()
    require(placed.any(), racks, "no compound of the growth table", "their racks")
    left_out = report(info["name"][~placed], "of no known rack")
    return Wells(profile, info, tuple(strains)).where(placed).screen(drug, str(path), left_out=left_out)


def _places(path: Path) -> pd.DataFrame:
    """RackNo, RackPos and SMILES (missing where RDKit refuses the structure) by ID; records without an ID are skipped."""
    with open_text(path) as lines:
        records = lines.read().split("$$$$\n")[:-1]
    rows = []
    with rdBase.BlockLogs():
        for record in records:
            fields = dict(FIELD.findall(record))
            if {"ID", "RackNo", "RackPos"} <= set(fields):
                molecule = Chem.MolFromMolBlock(record)
                rows.append({**fields, "smiles": None if molecule is None else Chem.MolToSmiles(molecule)})
    require(len(rows) > 0, path, f"{len(records)} records without ID, RackNo and RackPos", "at least one with them")
    return pd.DataFrame(rows).drop_duplicates("ID").set_index("ID")[["RackNo", "RackPos", "smiles"]]
