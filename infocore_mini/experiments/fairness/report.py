"""Tables of the fairness experiment: means with intervals, comparisons paired by seed, beside the paper's numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd

from infocore_mini.evaluate import seeds
from infocore_mini.evaluate.fairness import GAPS
from infocore_mini.experiments.results import paper_table, stored
from infocore_mini.readers.fairness import GROUPS, FairnessData

MEASURES = ("accuracy", *GAPS)
PAPER_NAMES = {"uci_adult": "adult", "law_school": "law_school", "compas": "compas"}


def stored_scores() -> pd.DataFrame:
    """Test scores of the full run: a row per (dataset, arm, seed, aggregate), scores as fractions."""
    return pd.DataFrame(stored("fairness").results["test"])


def sizes(tables: dict[str, FairnessData]) -> pd.DataFrame:
    """Rows of each part, training rows of each group, inputs, favourable labels (%) and rows left out, by dataset."""
    rows = {}
    for name, data in tables.items():
        counts = np.bincount(data.train.group, minlength=len(GROUPS))
        parts = {part: len(getattr(data, part)) for part in ("train", "validation", "test")}
        favourable = 100 * data.test.label.mean()
        rest = {"inputs": data.train.x.shape[1], "favourable in test (%)": favourable, "left out": data.left_out}
        rows[name] = parts | dict(zip(GROUPS, counts, strict=True)) | rest | {"simulated": data.simulated}
    return pd.DataFrame(rows).astype(object)


def averaged(scores: pd.DataFrame, aggregate: str = "mean") -> pd.DataFrame:
    """Mean over seeds, in percent: rows (dataset, arm), a block per dataset, columns `MEASURES`."""
    chosen = scores[scores["aggregate"] == aggregate]
    means = 100 * chosen.groupby(["dataset", "arm"], sort=False)[list(MEASURES)].mean()
    return means.loc[list(chosen["dataset"].unique())]


def paper_means() -> pd.DataFrame:
    """Tables 4 and 9 as printed, in percent: rows (dataset, method), columns `MEASURES`."""
    rows = pd.DataFrame(paper_table("table4_and_9_fairness")).replace({"dataset": PAPER_NAMES})
    rows["arm"] = rows["method"].str.lower()
    return rows.set_index(["dataset", "arm"])[list(MEASURES)]


def beside_paper(scores: pd.DataFrame) -> pd.DataFrame:
    """Our means over seeds and the paper's over its 5 seeds, in percent, for the arms that the paper has."""
    both = {"here": averaged(scores), "paper": paper_means()}
    joined = pd.concat(both, axis=1, join="inner").swaplevel(axis=1)
    return joined[[(measure, source) for measure in MEASURES for source in both]].round(1)


def paired(
    scores: pd.DataFrame,
    arm: str = "infocore",
    baseline: str = "clip",
    *,
    measure: str = "equalized_odds",
    aggregate="mean",
) -> pd.DataFrame:
    """`arm` against `baseline`, paired by seed: a row per dataset.

    Columns, all but `seeds` and `lower_in` in percent or points: baseline and arm means; difference (arm - baseline) with
    its 95 % t-interval; `cut`, by how much the arm's mean is below the baseline's, relative, with a 95 % interval from
    10,000 resamples of the seeds; `accuracy_change` with its 95 % t-interval; `lower_in`, the share of seeds in which
    the arm is lower.
    """
    chosen = scores[scores["aggregate"] == aggregate]
    rows = {}
    for dataset, part in chosen.groupby("dataset", sort=False):
        table = part.pivot(index="seed", columns="arm")[[measure, "accuracy"]].dropna(axis=1)
        ours, theirs = 100 * table[measure, arm], 100 * table[measure, baseline]
        accuracy = [100 * table["accuracy", name] for name in (arm, baseline)]
        row = {"seeds": len(table), "baseline": theirs.mean(), "arm": ours.mean()}
        row |= _interval("difference", ours, theirs) | _cut(ours.to_numpy(), theirs.to_numpy())
        rows[dataset] = row | _interval("accuracy_change", *accuracy) | {"lower_in": (ours < theirs).mean()}
    return pd.DataFrame(rows).T


def _interval(name: str, ours: pd.Series, theirs: pd.Series) -> dict[str, float]:
    mean, low, high = seeds.paired(ours, theirs)
    return {name: mean, f"{name}_low": low, f"{name}_high": high}


def _cut(ours: np.ndarray, theirs: np.ndarray) -> dict[str, float]:
    resampled = np.random.default_rng(0).integers(0, len(ours), (10_000, len(ours)))
    cuts = 100 * (1 - ours[resampled].mean(1) / theirs[resampled].mean(1))
    low, high = np.quantile(cuts, [0.025, 0.975])
    return {"cut": 100 * (1 - ours.mean() / theirs.mean()), "cut_low": low, "cut_high": high}
