"""ToxCast as a screen (Richard et al. 2016, as in MoleculeNet): molecules by assays, and the testing campaign read off what was measured.

Not every molecule went into every assay, and what a molecule went into was decided by the campaign it came with.
Assays that were run on exactly the same molecules form a *panel*; the set of panels that a molecule went through is
its *campaign*, which plays the part of the experimental batch.
Assays that share their molecules with no other (most of NovaScreen's, run molecule by molecule) say nothing about
campaigns and are read like the rest.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from infocore_mini.featurisers import Featuriser
from infocore_mini.featurize import mol2vec

from .tables import located, numbers, read_table, report, require
from .wells import ReadScreen, Wells

TOXCAST = "toxcast.csv.gz"
SMALLEST_PANEL = 2  # assays


def read_toxcast(path: str | Path = TOXCAST, *, drug: Featuriser = mol2vec, smallest_campaign: int = 20) -> ReadScreen:
    """The ToxCast screen: 617 assay calls per molecule, 0 or 1, NaN = not measured; experimental batch = campaign.

    NaN itself gives the campaign away: a model that sees which assays are missing sees the experimental batch.
    Lines with the same canonical SMILES are profiles of one molecule.

    Args:
        path: table with smiles and one column per assay.
        drug: featuriser of SMILES.
        smallest_campaign: molecules of campaigns with fewer profiles are left out, by name.

    Returns:
        A screen of one profile a line of the file, one cell line.

    Raises:
        ReadError: for a damaged file, values other than 0, 1 and missing, or no campaign that is large enough.
    """
    path = located(path)
    table = read_table(path, ["smiles"], text=["smiles"])
    assays = [name for name in table if name != "smiles" and not name.startswith("Unnamed: ")]  # a saved index
    values = numbers(table, assays, path, "assays")
    require(values.size > 0 and np.isin(values[~np.isnan(values)], (0, 1)).all(), path, "other values", "0, 1, missing")
    campaign, _ = campaigns(~np.isnan(values))
    size = campaign.map(campaign.value_counts()).to_numpy()  # of each molecule's campaign
    measured, large = ~np.isnan(values).all(1), size >= smallest_campaign
    require((measured & large).any(), "smallest_campaign", smallest_campaign, f"at most {size.max()}")
    names = table["smiles"].fillna("(no SMILES)")
    left_out = pd.concat(
        [
            report(names[measured & ~large], f"campaign of fewer than {smallest_campaign} rows"),
            report(names[~measured], "no measurement"),
        ]
    )
    info = pd.DataFrame({"name": names, "smiles": table["smiles"], "batch": campaign, "is_control": False})
    wells = Wells(values, info, tuple(assays)).where(measured & large)
    return wells.screen(drug, str(path), left_out=left_out, allow_missing=True)


def campaigns(measured: NDArray[np.bool_]) -> tuple[pd.Series, NDArray[np.int64]]:
    """Testing campaigns from what was measured.

    Args:
        measured: (n_molecules, n_assays) booleans.

    Returns:
        Each molecule's campaign, (n_molecules,) names such as "campaign 07" numbered from the largest, and each assay's
        panel, (n_assays,) integers, -1 for an assay that shares its molecules with no other.
    """
    patterns, panel, size = np.unique(measured.T, axis=0, return_inverse=True, return_counts=True)
    panel = panel.reshape(-1)
    is_panel = size >= SMALLEST_PANEL
    number = np.where(is_panel, is_panel.cumsum() - 1, -1)
    through = patterns[is_panel].T.reshape(len(measured), -1)
    _, campaign, n_molecules = np.unique(through, axis=0, return_inverse=True, return_counts=True)
    rank = np.argsort(np.argsort(-n_molecules, kind="stable"))
    width = len(str(len(n_molecules)))
    names = [f"campaign {k + 1:0{width}d}" for k in rank[campaign.reshape(-1)]]
    return pd.Series(names, dtype=object), number[panel]
