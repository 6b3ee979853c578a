"""Figures of the property chapter."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from infocore_mini.experiments.names import METHOD_NAMES
from infocore_mini.experiments.style import METHOD_COLOURS, NEUTRAL, figure, finish


def gains(panels: Mapping[str, Mapping[str, pd.DataFrame]], controls: Mapping[str, pd.Series]) -> Figure:
    """What pretraining adds to the encoder that was not pretrained, in points, a panel for each study.

    Args:
        panels: study -> method -> rows data sets; difference, low, high, as ``report.paired``.
        controls: name -> difference of a control from the same encoder, by data set; shown in every panel.
    """
    n_rows = -(-len(panels) // 2)
    fig, axes = figure(n_rows, min(2, len(panels)), panel=(4.4, 2.7), squeeze=False)
    for ax, (study, methods) in zip(axes.flat, panels.items()):
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
        ax.set(title=study, ylabel="points over no pretraining", ylim=(-20, 15))
    axes.flat[0].legend(fontsize=7, ncols=2)
    for ax in axes.flat[len(panels) :]:
        ax.remove()
    return finish(fig)


def _error_bars(error: np.ndarray) -> np.ndarray | None:
    """Error bars, none where one seed gives no interval."""
    return error if np.isfinite(error).all() else None
