"""Figures of the fairness chapter; every function returns a matplotlib figure.  Scores are percent, gaps are points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from infocore_mini.experiments.fairness import intervals
from infocore_mini.experiments.fairness.intervals import Drawn
from infocore_mini.experiments.fairness.report import averaged
from infocore_mini.experiments.fairness.run import METHODS
from infocore_mini.experiments.names import DATASET_NAMES, METHOD_NAMES, Arm
from infocore_mini.experiments.style import METHOD_COLOURS, NEUTRAL, figure, finish

MEASURE_NAMES = {
    "accuracy": "accuracy (%)",
    "equalized_odds": "equalized odds gap (points)",
    "equal_opportunity": "equal opportunity gap (points)",
    "demographic_parity": "demographic parity gap (points)",
}
MARKERS = {"mean": "o", "max": "^", "median": "s"}


def gaps(
    of: Drawn, arms: Sequence[Arm], *, measure: str = "equalized_odds", paper: pd.DataFrame | None = None
) -> Figure:
    """Every seed as a dot, the mean with its 95 % interval over rows and seeds; dashed: the paper's mean.

    One panel per dataset.  arms: which, from left to right; paper: as `paper_means` returns.
    """
    table = intervals.means(of, measure)
    datasets = list(table.index.unique("dataset"))
    fig, axes = figure(1, len(datasets), sharey=True, squeeze=False, panel=(2.6, 2.5))
    for ax, dataset in zip(axes[0], datasets, strict=True):
        for place, arm in enumerate(arms):
            values, row = of.by_seed.xs(dataset).xs(arm.key)[measure], table.loc[(dataset, arm.key)]
            colour = METHOD_COLOURS.get(arm.method, NEUTRAL)
            ax.scatter(
                place + np.linspace(-0.25, 0.25, len(values)), values, s=9, color=colour, alpha=0.5, linewidths=0
            )
            ax.vlines(place, row["low"], row["high"], colors=[colour], linewidth=2)
            ax.scatter(place, row["mean"], s=28, color=colour)
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
    """Relative cut of the equalized odds gap for each comparison (name -> `paired` table), with two 95 % intervals.

    Thin: over test rows and seeds.  Thick: over seeds alone.
    """
    datasets = list(next(iter(comparisons.values())).index)
    fig, axes = figure(
        1, len(datasets), sharex=True, sharey=True, squeeze=False, panel=(3.2, 0.6 + 0.35 * len(comparisons))
    )
    colour = METHOD_COLOURS["infocore"]
    for ax, dataset in zip(axes[0], datasets, strict=True):
        for place, table in enumerate(comparisons.values()):
            row = table.loc[dataset]
            ax.hlines(place, row["cut_low"], row["cut_high"], colors=[colour], linewidth=1.2)
            ax.hlines(place, row["cut_alone_low"], row["cut_alone_high"], colors=[colour], linewidth=4, alpha=0.4)
            ax.scatter(row["cut"], place, s=28, color=colour)
        ax.axvline(0, color=NEUTRAL, linewidth=0.8)
        ax.set_title(DATASET_NAMES[dataset])
        ax.set_xlabel("gap cut (%)")
    axes[0, 0].set_yticks(range(len(comparisons)), list(comparisons))
    axes[0, 0].invert_yaxis()
    return finish(fig)


def lengths(by_steps: Mapping[int, Drawn], methods: Sequence[str] = METHODS) -> Figure:
    """Equalized odds gap (above) and accuracy (below) against the length of training, one column per dataset.

    by_steps: steps -> `drawn`; every seed a dot, the mean with its 95 % interval over rows and seeds.
    """
    tables = {
        measure: {steps: intervals.means(of, measure) for steps, of in by_steps.items()}
        for measure in ("equalized_odds", "accuracy")
    }
    datasets = list(next(iter(by_steps.values())).by_seed.index.unique("dataset"))
    fig, axes = figure(2, len(datasets), sharex=True, sharey="row", squeeze=False, panel=(2.6, 2.1))
    for row, (measure, of_steps) in zip(axes, tables.items(), strict=True):
        for ax, dataset in zip(row, datasets, strict=True):
            for shift, method in zip(np.linspace(0.94, 1.06, len(methods)), methods, strict=True):
                found = pd.DataFrame({steps: table.loc[(dataset, method)] for steps, table in of_steps.items()}).T
                x, colour = found.index.to_numpy() * shift, METHOD_COLOURS[method]
                ax.plot(x, found["mean"], color=colour, marker="o", markersize=4, label=METHOD_NAMES[method])
                ax.vlines(x, found["low"], found["high"], colors=[colour])
                for place, of in zip(x, by_steps.values(), strict=True):
                    values = of.by_seed.xs(dataset).xs(method)[measure]
                    ax.scatter(np.full(len(values), place), values, s=7, color=colour, alpha=0.4, linewidths=0)
            ax.set_xscale("log")
            ax.set_xticks(list(by_steps), [f"{steps:,}" for steps in by_steps])
            ax.minorticks_off()
        row[0].set_ylabel(MEASURE_NAMES[measure].replace(" gap", "").replace(" (", "\n("))
    for ax, dataset in zip(axes[0], datasets, strict=True):
        ax.set_title(DATASET_NAMES[dataset])
        ax.set_ylim(bottom=0)
    for ax in axes[-1]:
        ax.set_xlabel("steps of pretraining")
    axes[0, -1].legend(loc="upper left", bbox_to_anchor=(1, 1))
    return finish(fig)


def convergence(curves: pd.DataFrame, marks: Sequence[int]) -> Figure:
    """Contrastive loss along pretraining, a thin line per seed and their mean; dotted: the lengths that are scored.

    curves: as `report.curves` returns.  One panel per dataset; a method's level depends on its candidates.
    """
    datasets = [name for name in DATASET_NAMES if name in curves.index.unique("dataset")]
    fig, axes = figure(1, len(datasets), sharex=True, squeeze=False, panel=(2.6, 2.3))
    for ax, dataset in zip(axes[0], datasets, strict=True):
        for method in METHODS:
            part = curves.xs(dataset).xs(method)
            ax.plot(part.index, part, color=METHOD_COLOURS[method], linewidth=0.6, alpha=0.4)
            ax.plot(part.index, part.mean(axis=1), color=METHOD_COLOURS[method], label=METHOD_NAMES[method])
        for steps in marks:
            ax.axvline(steps, color=NEUTRAL, linewidth=0.8, linestyle=":")
        ax.set_title(DATASET_NAMES[dataset])
        ax.set_xlabel("steps of pretraining")
    axes[0, 0].set_ylabel("contrastive loss (nats)")
    axes[0, -1].legend(loc="upper left", bbox_to_anchor=(1, 1))
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
