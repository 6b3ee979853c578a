"""Figures of the gene-expression chapter: plates in two dimensions, and arms compared seed by seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from sklearn.decomposition import PCA

from infocore_mini.evaluate.seeds import half_width
from infocore_mini.experiments.names import METHOD_NAMES
from infocore_mini.experiments.style import CATEGORIES, METHOD_COLOURS, NEUTRAL, figure, finish


def plates_in_two_dimensions(panels: Mapping[str, Sequence[np.ndarray]], names: Sequence[str]) -> Figure:
    """First two principal components of all wells together, a panel for each way to treat them, a colour a plate.

    Args:
        panels: title -> one array (n_wells, n_g) for each plate.
        names: of the plates.
    """
    fig, axes = figure(1, len(panels), squeeze=False, panel=(3.4, 3.0))
    for ax, (title, profiles) in zip(axes[0], panels.items()):
        z = PCA(2, svd_solver="full").fit_transform(np.concatenate(profiles))
        start = 0
        for profile, name, colour in zip(profiles, names, CATEGORIES):
            rows = z[start : start + len(profile)]
            ax.scatter(rows[:, 0], rows[:, 1], s=6, color=colour, alpha=0.6, label=name, linewidths=0)
            start += len(profile)
        ax.set(title=title, xlabel="first principal component", ylabel="second", xticks=[], yticks=[])
    axes[0, 0].legend(fontsize=8, markerscale=2)
    return finish(fig)


def scores_by_method(table: pd.DataFrame, chance: Mapping[str, float], overlap: float) -> Figure:
    """A panel for each score: every split, the mean and its 95 % interval, for each method and kind of input.

    Args:
        table: percent, index (input, method, seed), a column a score.
        chance: percent, by score: a dotted line.
        overlap: of the splits, as in `evaluate.seeds.half_width`.
    """
    fig, axes = figure(2, 2, panel=(3.6, 2.5))
    colours = {METHOD_NAMES[key]: colour for key, colour in METHOD_COLOURS.items()}
    kinds, methods = table.index.unique("input"), table.index.unique("method")
    for ax, score in zip(axes.flat, table):
        by_seed = table[score].unstack("seed").T
        for j, kind in enumerate(kinds):
            for i, method in enumerate(methods):
                values, place = by_seed[kind, method], i + 0.3 * (j - (len(kinds) - 1) / 2)
                look = dict(color=colours[method], mfc="white" if j == 0 else colours[method])
                ax.plot([place - 0.09] * len(values), values, "o", ms=2.5, color=NEUTRAL, alpha=0.5, lw=0)
                ax.errorbar(place, values.mean(), half_width(values, overlap=overlap), fmt="o", capsize=2, **look)
        ax.axhline(chance[score], color=NEUTRAL, lw=0.8, ls=":")
        ax.set_xticks(range(len(methods)), methods)
        ax.set(title=score, ylabel="%", ylim=(0, None))
    handles = [
        Line2D([], [], marker="o", lw=0, color=NEUTRAL, mfc="white" if j == 0 else NEUTRAL, label=f"{kind} input")
        for j, kind in enumerate(kinds)
    ]
    fig.legend(handles=handles, fontsize=8, ncol=2, loc="outside upper center")
    return finish(fig)


def seed_by_seed(tables: Mapping[str, Mapping[int, pd.DataFrame]], *, top: int = 1) -> Figure:
    """Top-k accuracy of each arm, one line for each seed, in the whole and in the batch library.

    Args:
        tables: arm -> seed -> rows of ``screen_retrieval``.
    """
    fig, axes = figure(1, 2, panel=(3.0, 2.8))
    arms = list(tables)
    for ax, library in zip(axes, ("whole", "batch")):
        values = np.array([[_value(tables[arm][seed], library, top) for arm in arms] for seed in tables[arms[0]]])
        ax.plot(range(len(arms)), values.T, color=NEUTRAL, lw=0.8, alpha=0.7)
        for place, arm in enumerate(arms):
            ax.scatter([place] * len(values), values[:, place], color=METHOD_COLOURS.get(arm, NEUTRAL), zorder=3)
        ax.set_xticks(range(len(arms)), [METHOD_NAMES.get(arm, arm) for arm in arms])
        ax.set(title=f"{library} library", ylabel=f"top-{top} accuracy (%)", ylim=(0, None))
    return finish(fig)


def ablation(ours: pd.DataFrame, paper: pd.DataFrame, *, reference: str = "CLIP", top: int = 1) -> Figure:
    """Top-k accuracy of each arm with its interval over seeds beside what the paper prints, each against its own CLIP.

    Args:
        ours: rows arm, library, top, accuracy, low, high (fractions), as ``pretraining_report.accuracies``.
        paper: percent, index arm, columns (library, top).
        reference: the arm that stands at 100.
    """
    fig, axes = figure(1, 2, panel=(3.8, 2.9), sharey=True)
    arms = list(paper.index)
    for ax, library in zip(axes, ("whole", "batch")):
        rows = ours[(ours["library"] == library) & (ours["top"] == top)].set_index("arm").loc[arms]
        printed, place = paper[library, top], np.arange(len(arms))
        clip = rows.loc[reference, "accuracy"]
        error = np.abs(rows[["low", "high"]].to_numpy().T - rows["accuracy"].to_numpy()) / clip * 100
        ax.errorbar(
            rows["accuracy"] / clip * 100,
            place + 0.12,
            xerr=error,
            fmt="o",
            color=CATEGORIES[0],
            label="ours, simulated",
        )
        ax.scatter(printed / printed[reference] * 100, place - 0.12, marker="D", color=NEUTRAL, label="paper")
        ax.axvline(100, color=NEUTRAL, lw=0.8, ls=":")
        ax.set(title=f"{library} library", xlabel=f"top-{top} accuracy, {reference} = 100")
    axes[0].set_yticks(range(len(arms)), arms)
    axes[0].invert_yaxis()
    axes[1].legend(fontsize=8)
    return finish(fig)


def sweep(changes: Mapping[float, pd.DataFrame], xlabel: str = "alpha", *, clip_at: float | None = 1.0) -> Figure:
    """What a setting does in the two libraries: change of top-1, 5 and 10 accuracy relative to CLIP, 95 % intervals.

    Args:
        changes: setting -> rows library, top, relative, relative_low, relative_high (fractions), as
            ``pretraining_report.against``.
        xlabel: what the setting is called.
        clip_at: the setting at which the method is CLIP, whose point is drawn; None = nowhere.
    """
    fig, axes = figure(1, 2, panel=(3.4, 2.8))
    beside = 0.015 * (max(changes) - min(changes))
    for ax, library in zip(axes, ("whole", "batch")):
        for shift, top, colour in zip((-beside, 0.0, beside), (1, 5, 10), CATEGORIES):
            rows = pd.DataFrame(
                {alpha: rows.set_index(["library", "top"]).loc[(library, top)] for alpha, rows in changes.items()}
            ).T
            change, low, high = (
                100 * rows[name].astype(float) for name in ("relative", "relative_low", "relative_high")
            )
            ax.errorbar(
                rows.index + shift,
                change,
                [change - low, high - change],
                fmt="o-",
                ms=4,
                color=colour,
                label=f"top {top}",
            )
        ax.axhline(0, color=NEUTRAL, lw=0.8, ls=":")
        if clip_at is not None:
            ax.scatter([clip_at], [0], color=METHOD_COLOURS["clip"], zorder=3)
            ax.annotate("CLIP", (clip_at, 0), textcoords="offset points", xytext=(-4, 6), ha="right", fontsize=8)
        ax.set(title=f"{library} library", xlabel=xlabel, ylabel="accuracy over CLIP (%)")
    axes[1].legend(fontsize=8)
    return finish(fig)


def _value(table: pd.DataFrame, library: str, top: int) -> float:
    row = table[(table["cell_line"] == "mean") & (table["library"] == library) & (table["top"] == top)]
    return 100 * float(row["accuracy"].iloc[0])
