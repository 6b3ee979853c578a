"""The tables that the chapter writes to files: a screen, and three that are wrong in ways that teach."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from infocore_mini import PairedScreen
from infocore_mini.correct import ComBat
from infocore_mini.experiments.pretraining.studies import CP_DOSES
from infocore_mini.readers.cell_painting import COMAS
from infocore_mini.simulate.screen import simulate_screen
from infocore_mini.sources import DataUnavailable, fetch

KNOWN = ["smiles", "run", "plate", "collection"]  # columns that are no readouts
COLLECTIONS = {COMAS[0]: "dark matter"}  # the other files: natural products


def measured_or_simulated(seed: int) -> tuple[pd.DataFrame, str]:
    """COMAS as one table, a well a row, or a simulated one where its files cannot be had; and what to say of it.

    Returns:
        Columns `KNOWN` and the readouts; a banner.
    """
    try:
        tables = {name: pd.read_csv(fetch(name), sep="\t", dtype={"Run": str}) for name in COMAS}
    except DataUnavailable:
        return _simulated(seed), "SIMULATED SCREEN: the COMAS files are not at hand (set INFOCORE_DATA)"
    parts = []
    for name, table in tables.items():
        run = "run " + table["Run"] if "Run" in table else "date " + table["Plate"].str[-6:]
        plate, collection = table.get("Plate", run), COLLECTIONS.get(name, "natural products")
        about = dict(smiles=table["Smiles"], run=run, plate=plate, collection=collection, well=table["Well_Id"])
        parts.append(pd.concat([pd.DataFrame(about), table.filter(like="Median_")], axis=1))
    whole = pd.concat(parts, ignore_index=True).drop_duplicates(["run", "well"], ignore_index=True)
    return whole.drop(columns="well"), "Real data: COMAS, cell painting"


def _simulated(seed: int) -> pd.DataFrame:
    """Two collections of molecules, each measured in two runs."""
    shape = dict(n_drugs=400, cell_lines=("U2OS",), n_batches=4, n_features=100, n_replicates=2, replicate_batches=2)
    screen = simulate_screen(seed, doses=CP_DOSES, **shape).screen
    table = _rows(screen)
    first = screen.batch_names.index(table["run"].iloc[0])
    runs = screen.membership()[screen.condition][:, first].numpy()  # those that share a drug plate with the first row
    return table.assign(
        plate=table["run"], collection=np.where(runs, "dark matter", "natural products")
    )[[*KNOWN, *screen.feature_names]]  # fmt: skip


def readouts(table: pd.DataFrame) -> list[str]:
    """The columns that are readouts."""
    return [name for name in table if name not in KNOWN]


def one_run_each(table: pd.DataFrame) -> pd.DataFrame:
    """Each collection as measured in its largest run alone, so that run and collection are one thing."""
    largest = table.groupby("collection")["run"].agg(lambda runs: runs.value_counts().index[0])
    return table[table["run"] == table["collection"].map(largest)].reset_index(drop=True)


def untidy(table: pd.DataFrame, seed: int, n: int = 60) -> pd.DataFrame:
    """Wells of `n` molecules as they come from a laboratory: salts, a structure that is none, gaps, idle columns."""
    rng = np.random.default_rng(seed)
    molecules = rng.choice(table["smiles"].unique(), n, replace=False)
    part = table[table["smiles"].isin(molecules)].reset_index(drop=True)
    part = part[[*KNOWN, *readouts(table)[:20]]].copy()
    first, second, third = readouts(part)[:3]
    again = part["smiles"].duplicated()
    part.loc[again & ~part["smiles"].str.contains(".", regex=False), "smiles"] += ".Cl"  # the same molecule as a salt
    part.loc[part.index[:2], "smiles"] = "not known"
    part.loc[part.index[2], "smiles"] = None
    part.loc[part.index[::3], first] = np.nan
    part.loc[part.index[5], readouts(part)] = np.nan
    return part.assign(**{second: 0.0, f"{third}_copy": part[third]})


def combat_on_all_rows(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The collection whose molecules were measured in two runs, before and after ComBat that was fitted on all its rows."""
    several = table.groupby("collection")["run"].nunique()
    part = table[table["collection"] == several[several == 2].index[0]]
    screen = PairedScreen.from_profiles(
        smiles=part["smiles"].tolist(),
        drug=_without_features,
        profile=part[readouts(part)].to_numpy(np.float32),
        batch=part["run"].tolist(),
        feature_names=readouts(part),
    )
    return _rows(screen), _rows(ComBat().fit_transform(screen))


def _rows(screen: PairedScreen) -> pd.DataFrame:
    """A well a row, with its molecule and run."""
    about = {
        "smiles": screen.smiles[screen.drug_id[screen.condition].numpy()],
        "run": np.array(screen.batch_names)[screen.profile_batch.numpy()],
    }
    names = screen.feature_names or [f"feature_{k}" for k in range(screen.profile.shape[1])]
    return pd.concat([pd.DataFrame(about), pd.DataFrame(screen.profile.numpy(), columns=list(names))], axis=1)


def _without_features(smiles: Sequence[str]) -> NDArray[np.float32]:
    return np.zeros((len(smiles), 1), dtype=np.float32)
