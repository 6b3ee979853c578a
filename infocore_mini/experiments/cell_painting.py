"""What the cell-painting chapter measures besides the pretraining studies: how far a week marks its profiles."""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from infocore_mini.readers import Wells, read_bbbc021_wells
from infocore_mini.screens import PairedScreen
from infocore_mini.simulate_screen import CP_DOSES, simulate_screen


def bbbc021_weeks(wells: Wells | None = None) -> pd.Series:
    """Percent accuracy of a linear classifier of the week on BBBC021's wells, tested on plates that it has not seen.

    Profiles as they come, and after the mean of all wells of the plate is subtracted (the table at hand marks no
    controls). Features are standardised and reduced to 50 components within each fold.

    Args:
        wells: as ``read_bbbc021_wells`` returns; None reads them. Raises `sources.DataUnavailable`.
    """
    wells = read_bbbc021_wells() if wells is None else wells
    week, plate = wells.info["batch"].to_numpy(), wells.info["plate"].to_numpy()
    centred = wells.profile - pd.DataFrame(wells.profile).groupby(plate).transform("mean").to_numpy()
    accuracy = {"as measured": wells.profile, "plate mean subtracted": centred}
    scores = {name: 100 * _by_plate(np.nan_to_num(x), week, plate) for name, x in accuracy.items()}
    return pd.Series(
        scores | {"always the largest week": 100 * float(pd.Series(week).value_counts(normalize=True).max())}
    )


def _by_plate(x: np.ndarray, week: np.ndarray, plate: np.ndarray) -> float:
    model = make_pipeline(StandardScaler(), PCA(50, random_state=0), LogisticRegression(C=0.1, max_iter=500))
    return float(cross_val_score(model, x, week, groups=plate, cv=GroupKFold(5)).mean())


def simulated_cell_painting(seed: int) -> PairedScreen:
    """A simulated cell-painting screen at much reduced shape: 1,500 molecules, 10 experimental batches, 300 features."""
    return simulate_screen(
        seed, n_drugs=1500, cell_lines=("U2OS",), n_batches=10, n_features=300, n_replicates=3, doses=CP_DOSES
    ).screen
