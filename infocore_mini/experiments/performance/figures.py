"""Figures of the performance chapter."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

from infocore_mini.experiments.style import CATEGORIES, NEUTRAL, figure, finish


def loss_sizes(against_dense: pd.DataFrame, growth: pd.DataFrame, candidates: int = 4097) -> Figure:
    """Left: how many times faster than the dense loss, by n_B. Right: how the library's own time grows with n_B.

    Args:
        against_dense: candidates, n_B, "times faster", low, high.
        growth: n_B, time (relative), low, high.
        candidates: at which the left panel is drawn.
    """
    fig, (left, right) = figure(1, 2, panel=(3.5, 2.8))
    rows = against_dense[against_dense["candidates"] == candidates].dropna().sort_values("n_B")
    _line(left, rows, "times faster", CATEGORIES[0])
    left.set(xscale="log", yscale="log", xlabel="experimental batches $n_B$", ylabel="times faster than dense")
    _ticks(left.xaxis, rows["n_B"])
    _ticks(left.yaxis, [50, 100, 200, 500])
    _line(right, growth, "time", CATEGORIES[0])
    right.axhline(1, color=NEUTRAL, lw=0.8, ls=":")
    right.set(
        xscale="log", xlabel="experimental batches $n_B$", ylabel="time over that at the smallest", ylim=(0, None)
    )
    _ticks(right.xaxis, growth["n_B"])
    return finish(fig)


def step_scaling(scaling: pd.DataFrame) -> Figure:
    """Time of a training step as each size grows, over the time at the smallest; both axes logarithmic."""
    names = {"n_batches": "experimental batches", "queue_size": "queue", "minibatch_size": "minibatch"}
    fig, axes = figure(1, len(names), panel=(2.7, 2.6))
    for ax, (axis, name), colour in zip(axes, names.items(), CATEGORIES):
        rows = scaling[scaling["axis"] == axis]
        ax.plot(rows["size"], rows["time"], "o-", ms=4, color=colour)
        ax.plot(rows["size"], rows["size"] / rows["size"].iloc[0], color=NEUTRAL, lw=0.8, ls=":")
        ax.set(xscale="log", yscale="log", xlabel=name, ylabel="time of a step, relative")
        _ticks(ax.xaxis, rows["size"].iloc[::2])
        _ticks(ax.yaxis, [1, 2, 5, 10, 20, 50])
        ax.set_ylim(0.8, 1.3 * max(8, rows["time"].max()))
    return finish(fig)


def _ticks(axis, values) -> None:
    """These values and no others on a logarithmic axis, written out."""
    axis.set_minor_locator(NullLocator())
    axis.set_major_locator(FixedLocator(list(values)))
    axis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))


def _line(ax, rows: pd.DataFrame, name: str, colour) -> None:
    error = [rows[name] - rows["low"], rows["high"] - rows[name]]
    ax.errorbar(rows["n_B"], rows[name], error, fmt="o-", ms=4, color=colour)
