"""Figures of the property chapter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from infocore_mini.plotting.style import METHOD_COLOURS, METHOD_NAMES, NEUTRAL, figure, finish


def gains(panels: Mapping[str, Mapping[str, pd.DataFrame]], controls: Mapping[str, pd.Series]) -> Figure:
    """What pretraining adds to the encoder that was not pretrained, in points, a panel for each screen.

    Args:
        panels: screen -> method -> rows data sets; difference, low, high, as ``property_report.paired``.
        controls: name -> difference of a control from the same encoder, by data set; shown in every panel.
    """
    n_rows = -(-len(panels) // 2)
    fig, axes = figure(n_rows, min(2, len(panels)), panel=(4.4, 2.7), squeeze=False)
    for ax, (screen, methods) in zip(axes.flat, panels.items()):
        names = list(next(iter(methods.values())).index)
        place = np.arange(len(names))
        for marker, (control, values) in zip("v^", controls.items()):
            ax.scatter(place, values.reindex(names), marker=marker, s=22, color="0.7", label=control, zorder=1)
        for shift, (method, rows) in zip((-0.22, 0.0, 0.22), methods.items()):
            error = np.abs(rows[["low", "high"]].to_numpy().T - rows["difference"].to_numpy())
            ax.errorbar(
                place + shift,
                rows["difference"],
                _error_bars(error),
                fmt="o",
                ms=4,
                color=METHOD_COLOURS[method],
                label=METHOD_NAMES[method],
            )
        ax.axhline(0, color=NEUTRAL, lw=0.8, ls=":")
        ax.set_xticks(place, names, rotation=40, ha="right", fontsize=8)
        ax.set(title=screen, ylabel="points over no pretraining", ylim=(-20, 15))
    axes.flat[0].legend(fontsize=7, ncols=2)
    for ax in axes.flat[len(panels) :]:
        ax.remove()
    return finish(fig)


def _error_bars(error: np.ndarray) -> np.ndarray | None:
    """Error bars, none where one seed gives no interval."""
    return error if np.isfinite(error).all() else None


def scores_by_column(table: pd.DataFrame, label, paper: pd.Series, datasets: Sequence[str]) -> Figure:
    """Test score of every column and seed, a panel for each data set; dashed: the paper's encoder without pretraining.

    Args:
        table: dataset, column, seed, score (percent).
        label: column -> its name for a reader.
        paper: percent by data set.
        datasets: panels, in order.
    """
    columns = list(table["column"].unique())
    fig, axes = figure(1, len(datasets), panel=(2.6, 0.28 * len(columns) + 1.0), sharey=True, squeeze=False)
    for ax, dataset in zip(axes[0], datasets):
        part = table[table["dataset"] == dataset]
        for place, column in enumerate(columns):
            values = part.loc[part["column"] == column, "score"]
            colour = METHOD_COLOURS.get(column.partition(", ")[0], NEUTRAL)
            ax.scatter(values, [place] * len(values), s=16, color=colour, zorder=2)
        if dataset in paper:
            ax.axvline(paper[dataset], color=NEUTRAL, lw=0.9, ls="--")
        ax.set(title=dataset, xlabel="ROC-AUC (%)")
    axes[0, 0].set_yticks(range(len(columns)), [label(column) for column in columns], fontsize=8)
    axes[0, 0].invert_yaxis()
    return finish(fig)
