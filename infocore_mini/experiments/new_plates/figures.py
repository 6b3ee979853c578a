"""Figures of the new plates: a board as a dot plot, and the phase diagram, an axis at a time."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure

from infocore_mini.experiments.new_plates.phases import CENTRED
from infocore_mini.experiments.new_plates.report import NAMES, SCREEN_NAMES, by_fold, label
from infocore_mini.experiments.results import StoredResult
from infocore_mini.experiments.style import CATEGORIES, METHOD_COLOURS, NEUTRAL, figure, finish
from infocore_mini.experiments.touch import Touchable, touchable

COLOURS = {
    **METHOD_COLOURS,
    "ccl_k": CATEGORIES[5],
    CENTRED: CATEGORIES[4],
    "reversal": CATEGORIES[8],
    "hsic": CATEGORIES[6],
}
AXIS_NAMES = {
    "per_batch": "molecules per batch",
    "n_batches": "training batches",
    "strength": "strength of the batch effect",
    "confounding": "confounding of batch and structure",
    "temperature": "temperature",
}


def board_figure(of: StoredResult) -> Figure:
    """Percent of the others that the right molecule beats on new plates: a fold a dot, the mean a bar, an arm a row."""
    table = by_fold(of)["beaten"]
    mean = table.groupby(level=["correction", "method"]).mean().sort_values()
    fig, axis = figure(panel=(6.5, 0.2 * len(mean) + 1))
    for row, arm in enumerate(mean.index):
        colour = COLOURS.get(arm[1], NEUTRAL)
        axis.plot(table.loc[arm], [row] * len(table.loc[arm]), "o", color=colour, markersize=3, alpha=0.5)
        axis.plot(mean[arm], row, "|", color=colour, markersize=12, markeredgewidth=2)
    axis.axvline(50, color=NEUTRAL, linestyle="--", linewidth=1)
    axis.set_yticks(range(len(mean)), [label(arm, of) for arm in mean.index], fontsize=7)
    axis.set_xlabel("others beaten by the right molecule (%)")
    axis.set_title(SCREEN_NAMES[of.parameters["screen"]], fontsize=10)
    return finish(fig)


def phase_diagram(seen: pd.DataFrame, new: pd.DataFrame) -> Touchable:
    """`placement.curves` of both tests, a frame an axis of the diagram; simulated, and says so."""
    on = {"seen batches": seen, "new batches": new}
    names = {axis: AXIS_NAMES[axis] for axis in new.index.unique("axis")}
    lowest = 5 * (min(table["low"].min() for table in on.values()) // 5)  # one range, so that nothing jumps
    figures = {
        name: _phases({part: table.loc[axis] for part, table in on.items()}, name, lowest)
        for axis, name in names.items()
    }
    words = {name: _phases_in_words(new.loc[axis], name) for axis, name in names.items()}
    return touchable("phase-diagram", "turn", figures, words)


def _phases(parts: Mapping[str, pd.DataFrame], name: str, lowest: float) -> Figure:
    """A panel a test, a line a method, 95 % intervals over draws; CLIP broad, so that what lies on it is seen."""
    fig, panels = figure(1, len(parts), panel=(3.2, 3.0), sharey=True)
    for panel, (part, table) in zip(panels, parts.items(), strict=True):
        for method, found in table.groupby(level="method", sort=False):
            found, colour = found.droplevel("method").sort_index(), COLOURS[method]
            at = range(len(found))
            broad = dict(linewidth=5, alpha=0.45) if method == "clip" else {}
            panel.plot(at, found["mean"], "o-", color=colour, label=NAMES.get(method, method), markersize=3, **broad)
            panel.fill_between(at, found["low"], found["high"], color=colour, alpha=0.15, linewidth=0)
            panel.set_xticks(at, [f"{value:g}" for value in found.index])
        panel.set(xlabel=name, ylim=(lowest, 100))
        panel.set_title(f"new molecules, {part}", fontsize=10)
    panels[0].set_ylabel("others beaten (%), simulated")
    handles, labels = panels[0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    return finish(fig)


def _phases_in_words(new: pd.DataFrame, name: str) -> str:
    """Who leads at either end of an axis, on new batches."""
    mean = new["mean"].unstack("method").sort_index()
    ends = (
        f"at {value:g} {NAMES.get(row.idxmax(), row.idxmax())} is highest with {row.max():.0f} percent"
        for value, row in mean.iloc[[0, -1]].iterrows()
    )
    return f"As {name} changes, new molecules on new batches: {', '.join(ends)}."
