"""Behaviour of zebrafish larvae (Rihel et al. 2010): sleep and activity by day and night under 5,756 treatments."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from infocore_mini.featurisers import Featuriser
from infocore_mini.featurize import mol2vec
from infocore_mini.sources import data_file

from .tables import as_text, located, micromolar, numbers, read_table, report, require
from .wells import ReadScreen, Wells

PROFILES = "zebrafish_rihel2010.csv"
SMILES_TABLE = "zebrafish_smiles.tsv"
PERIODS = ("night1", "day1", "night2", "day2")
MEASURES = ("sleep", "sleepBout", "sleepLength", "sleepLatency", "averageActivity", "averageWaking")
FEATURES = tuple(f"{period}_{measure}" for measure in MEASURES for period in PERIODS)
CONTROL = "Control"  # under `pharma`


def read_zebrafish(
    path: str | Path = PROFILES,
    *,
    drug: Featuriser = mol2vec,
    smiles: str | Path | None = None,
    separate: Sequence[str] = (),
) -> ReadScreen:
    """Behavioural profiles of zebrafish larvae: experimental batch = the library that a compound came in.

    A profile is the difference to the wild type in standard deviations, six measures in two nights and two days; the
    file's two means over days and nights repeat them and are left out.

    Args:
        path: table with name, cid, library, concentration, pharma and the 24 features.
        drug: featuriser of SMILES.
        smiles: table with the columns cid (of PubChem) and smiles; None = the project's own.
        separate: ("dose",) keeps the concentrations of a molecule apart.

    Returns:
        The screen, with cid, dose (micromolar) and pharma beside each profile and the control wells of each library;
        `left_out` lists profiles of no named library and compounds without a known structure.

    Raises:
        ReadError: for a damaged file, a missing column or value, or a concentration that is none.
    """
    path = located(path)
    table = read_table(path, ["name", "cid", "library", "concentration", "pharma", *FEATURES])
    profile = numbers(table, FEATURES, path, "features")
    require(bool(np.isfinite(profile).all()), path, "missing values among the features", "finite numbers")
    structures = data_file(SMILES_TABLE) if smiles is None else located(smiles)
    known = read_table(structures, ["cid", "smiles"], text=["cid"]).drop_duplicates("cid").set_index("cid")["smiles"]
    cid = as_text(table["cid"])
    info = pd.DataFrame(
        {
            "name": as_text(table["name"]),
            "smiles": cid.map(known),
            "batch": as_text(table["library"]),
            "dose": micromolar(table["concentration"].replace("?", None), path, "concentration"),
            "cid": cid,
            "pharma": as_text(table["pharma"]),
            "is_control": (table["pharma"] == CONTROL).to_numpy(),
        }
    )
    named = info["batch"].notna().to_numpy()
    left_out = report(info["name"][~named], "of no named library")
    wells = Wells(profile, info, FEATURES).where(named)
    return wells.screen(drug, str(path), separate=separate, left_out=left_out)
