"""What the cell-painting chapter measures besides the pretraining studies: what marks a week, what structure tells."""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from infocore_mini.correct import ControlMean, Correction, PlateCentring, RobustZ, Sphering
from infocore_mini.experiments.neighbours import of_real_screens
from infocore_mini.experiments.pretraining.report import Tables, accuracies, paper_accuracies, paper_chance
from infocore_mini.readers import Wells, read_bbbc021_wells, read_injury
from infocore_mini.screens import PairedScreen

# What is commonly done to plates with solvent wells.
_CORRECTIONS: dict[str, tuple[Correction, ...]] = {
    "as published": (),
    "mean of the solvent wells": (ControlMean(),),
    "robust z by the solvent wells": (RobustZ(),),
    "mean of the whole plate": (PlateCentring(),),
    "mean of the solvent wells, then sphering": (ControlMean(), Sphering()),
}


def injury_plates() -> tuple[pd.DataFrame, str]:
    """Percent of Dahlin's wells whose nearest neighbour shares the plate, or the drug, by correction; and a notice.

    Labels are permuted within the two experiments. See `neighbours.of_real_screens`.
    """
    return of_real_screens({"Dahlin 2023": read_injury}, _CORRECTIONS, strata="experiment")


def bbbc021_weeks(wells: Wells | None = None) -> pd.DataFrame:
    """Percent accuracy of a linear classifier of the week on BBBC021's wells, tested on plates that it has not seen.

    Shared wells are those at the positions that every plate fills; the table at hand says of no well what it holds.
    Rows: profiles as they come, after the mean of the shared wells of the plate is subtracted, and the share of the
    largest week. Columns: classifiers trained and tested on the shared wells, and on all others.

    Args:
        wells: as ``read_bbbc021_wells`` returns; None reads them. Raises `sources.DataUnavailable`.

    Raises:
        ValueError: if no position is filled on every plate.
    """
    wells = read_bbbc021_wells() if wells is None else wells
    plate, position = wells.info["plate"], wells.info["well"]
    shared = (plate.groupby(position).transform("nunique") == plate.nunique()).to_numpy()
    if not shared.any():
        raise ValueError("wells: no position is filled on every plate, expected at least one")
    mean = pd.DataFrame(wells.profile[shared]).groupby(plate[shared].to_numpy()).mean()
    versions = {
        "as measured": wells.profile,
        "mean of the shared wells subtracted": wells.profile - mean.loc[plate].to_numpy(),
    }
    week = wells.info["batch"]
    return pd.DataFrame(
        {
            name: {version: _by_group(x[kept], week[kept], plate[kept]) for version, x in versions.items()}
            | {"always the largest week": _largest(week[kept])}
            for name, kept in {"shared wells": shared, "other wells": ~shared}.items()
        }
    )


def batch_from_structure(screen: PairedScreen) -> pd.DataFrame:
    """Percent accuracy of linear classifiers of a condition's batch on its molecule's features, molecules held out.

    A molecule measured in two batches has two conditions with equal features and different labels. Were folds drawn by
    condition, training would hold a test molecule under its *other* label, and accuracy fall below chance.

    Args:
        screen: COMAS, one batch per condition (see `PairedScreen.per_batch`), batches named "run ..." and "date ...".

    Returns:
        Rows: run or date, run 1 or run 2, and all batches; columns "from structure" and "always the largest".
    """
    batch = pd.Series(screen.batch_names)[screen.batch_id.numpy()].reset_index(drop=True)
    kind = batch.str.split().str[0]
    questions = {"run or date": kind, "run 1 or run 2": batch[kind == "run"], "which run or which date": batch}
    molecule = screen.drug_id.numpy()
    table = {
        name: (_by_group(screen.drug.numpy()[molecule[label.index]], label, molecule[label.index]), _largest(label))
        for name, label in questions.items()
    }
    return pd.DataFrame.from_dict(table, orient="index", columns=["from structure", "always the largest"])


def lift_beside_paper(by_arm: Tables) -> pd.DataFrame:
    """Accuracy as a multiple of chance, ours on a simulated screen and the paper's: rows (library, top, arm)."""
    ours = accuracies(by_arm).set_index(["library", "top", "arm"])["lift"]
    paper, chance = paper_accuracies("cell_painting"), paper_chance("cell_painting")
    printed = {(library, top, arm): paper[arm, library, top] / chance[library, top] for library, top, arm in ours.index}
    return pd.DataFrame({"ours, simulated: lift": ours, "paper: lift": pd.Series(printed)})


def _by_group(x: np.ndarray, label, group) -> float:
    """Percent accuracy over five folds that keep a group together; 50 components, fitted within each fold."""
    model = make_pipeline(StandardScaler(), PCA(50, random_state=0), LogisticRegression(C=0.1, max_iter=2000))
    return 100 * float(cross_val_score(model, x, label, groups=group, cv=GroupKFold(5)).mean())


def _largest(label) -> float:
    return 100 * float(pd.Series(label).value_counts(normalize=True).max())
