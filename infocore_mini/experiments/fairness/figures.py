"""Figures of the fairness chapter; every function returns a matplotlib figure.  Scores are percent, gaps are points."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from infocore_mini.evaluate.seeds import half_width
from infocore_mini.experiments.fairness.report import averaged
from infocore_mini.experiments.names import METHOD_NAMES, Arm
from infocore_mini.experiments.style import METHOD_COLOURS, NEUTRAL, figure, finish

DATASET_NAMES = {"adult": "UCI Adult", "law_school": "Law School", "compas": "COMPAS"}
MEASURE_NAMES = {
    "accuracy": "accuracy (%)",
    "equalized_odds": "equalized odds gap (points)",
    "equal_opportunity": "equal opportunity gap (points)",
    "demographic_parity": "demographic parity gap (points)",
}
MARKERS = {"mean": "o", "max": "^", "median": "s"}


def gaps(
    scores: pd.DataFrame, arms: Sequence[Arm], *, measure: str = "equalized_odds", paper: pd.DataFrame | None = None
) -> Figure:
    """Every seed as a dot, the mean with its 95 % t-interval; dashed: the paper's mean.  One panel per dataset.

    scores: as `scores_of` returns, fractions; arms: which, from left to right; paper: as `paper_means` returns.
    """
    datasets = list(scores["dataset"].unique())
    fig, axes = figure(1, len(datasets), sharey=True, squeeze=False, panel=(2.6, 2.5))
    for ax, dataset in zip(axes[0], datasets, strict=True):
        part = scores[(scores["dataset"] == dataset) & (scores["aggregate"] == "mean")]
        for place, arm in enumerate(arms):
            values = 100 * part.loc[part["arm"] == arm.key, measure].to_numpy()
            colour = METHOD_COLOURS.get(arm.method, NEUTRAL)
            ax.scatter(
                place + np.linspace(-0.25, 0.25, len(values)), values, s=9, color=colour, alpha=0.5, linewidths=0
            )
            ax.errorbar(place, values.mean(), half_width(values), fmt="o", color=colour, capsize=3, markersize=5)
            if paper is not None and (dataset, arm.key) in paper.index:
                ax.hlines(
                    paper.loc[(dataset, arm.key), measure], place - 0.4, place + 0.4, colors=NEUTRAL, linestyles="--"
                )
        ax.set_xticks(range(len(arms)), _short_names(arms), rotation=35, ha="right")
        ax.set_title(DATASET_NAMES[dataset])
    axes[0, 0].set_ylim(bottom=0)
    axes[0, 0].set_ylabel(MEASURE_NAMES[measure])
    return finish(fig)


def cuts(comparisons: dict[str, pd.DataFrame]) -> Figure:
    """Relative cut of the equalized odds gap, with 95 % interval, for each comparison (name -> `paired` table)."""
    datasets = list(next(iter(comparisons.values())).index)
    fig, axes = figure(
        1, len(datasets), sharex=True, sharey=True, squeeze=False, panel=(3.2, 0.6 + 0.35 * len(comparisons))
    )
    for ax, dataset in zip(axes[0], datasets, strict=True):
        for place, table in enumerate(comparisons.values()):
            row = table.loc[dataset]
            reach = [[row["cut"] - row["cut_low"]], [row["cut_high"] - row["cut"]]]
            ax.errorbar(row["cut"], place, xerr=reach, fmt="o", color=METHOD_COLOURS["infocore"], capsize=3)
        ax.axvline(0, color=NEUTRAL, linewidth=0.8)
        ax.axvline(20, color=NEUTRAL, linewidth=0.8, linestyle=":")
        ax.set_title(DATASET_NAMES[dataset])
        ax.set_xlabel("gap cut (%)")
    axes[0, 0].set_yticks(range(len(comparisons)), list(comparisons))
    axes[0, 0].invert_yaxis()
    return finish(fig)


def aggregations(scores: pd.DataFrame, methods: tuple[str, ...] = ("clip", "ccl", "infocore")) -> Figure:
    """The equalized odds gap under the mean, the maximum and the median over the six pairs of groups (Appendix G)."""
    datasets = list(scores["dataset"].unique())
    fig, axes = figure(1, len(datasets), sharey=True, squeeze=False, panel=(2.6, 2.5))
    for how, marker in MARKERS.items():
        means = averaged(scores, how)["equalized_odds"]
        axes[0, 0].scatter([], [], color=NEUTRAL, marker=marker, label=how)
        for ax, dataset in zip(axes[0], datasets, strict=True):
            values = [means[dataset, method] for method in methods]
            ax.plot(range(len(methods)), values, color=NEUTRAL, linewidth=0.8, zorder=1)
            ax.scatter(
                range(len(methods)),
                values,
                color=[METHOD_COLOURS[method] for method in methods],
                marker=marker,
                zorder=2,
            )
            ax.set_title(DATASET_NAMES[dataset])
            ax.set_xticks(range(len(methods)), [METHOD_NAMES[method] for method in methods])
    axes[0, 0].set_ylabel(MEASURE_NAMES["equalized_odds"])
    axes[0, 0].set_ylim(bottom=0)
    axes[0, 0].legend(title="over pairs")
    return finish(fig)


def choice(validation: pd.DataFrame, shared: dict) -> Figure:
    """Every setting on validation rows: accuracy against the equalized odds gap, mean of the tables; ringed: chosen.

    validation: rows of method, setting (a dict), dataset, accuracy, equalized_odds as fractions; shared: a setting.
    """
    keyed = validation.assign(key=validation["setting"].map(lambda setting: str(sorted(setting.items()))))
    means = 100 * keyed.groupby(["method", "key"], sort=False)[["accuracy", "equalized_odds"]].mean()
    fig, ax = figure(panel=(4.6, 3.4))
    for method, part in means.groupby(level="method", sort=False):
        ax.scatter(
            part["accuracy"], part["equalized_odds"], s=18, color=METHOD_COLOURS[method], label=METHOD_NAMES[method]
        )
    chosen = means.loc["infocore"].loc[str(sorted(shared.items()))]
    ax.scatter(*chosen, s=110, facecolors="none", edgecolors=NEUTRAL)
    ax.set(xlabel="validation accuracy (%)", ylabel="validation equalized odds gap (points)")
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return finish(fig)


def _short_names(arms: Sequence[Arm]) -> list[str]:
    """Labels of `arms`; a note that all share, such as "no race or sex", is left to the caption."""
    shared = len({arm.note for arm in arms}) == 1
    return [METHOD_NAMES.get(arm.method, arm.method) if shared else arm.label for arm in arms]
