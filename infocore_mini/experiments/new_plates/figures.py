"""Figures of the new plates: a board as a dot plot, and the phase diagram."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from infocore_mini.experiments.new_plates.phases import CENTRED
from infocore_mini.experiments.new_plates.report import NAMES, SCREEN_NAMES, by_fold, label
from infocore_mini.experiments.results import StoredResult
from infocore_mini.experiments.style import CATEGORIES, METHOD_COLOURS, NEUTRAL, figure, finish

COLOURS = {
    **METHOD_COLOURS,
    "ccl_k": CATEGORIES[3],
    CENTRED: CATEGORIES[4],
    "reversal": CATEGORIES[5],
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


def phase_figure(table: pd.DataFrame) -> Figure:
    """`placement.curves`: a panel an axis, a line a method, 95 % intervals over draws; simulated, and says so."""
    axes_of = list(table.index.unique("axis"))
    fig, panels = figure(1, len(axes_of), panel=(2.6, 2.9), sharey=True, squeeze=False)
    for panel, axis in zip(panels[0], axes_of, strict=True):
        for method, found in table.loc[axis].groupby(level="method", sort=False):
            found = found.droplevel("method").sort_index()
            panel.plot(
                range(len(found)),
                found["mean"],
                "o-",
                color=COLOURS[method],
                label=NAMES.get(method, method),
                markersize=3,
            )
            panel.fill_between(
                range(len(found)), found["low"], found["high"], color=COLOURS[method], alpha=0.15, linewidth=0
            )
            panel.set_xticks(range(len(found)), [f"{value:g}" for value in found.index])
        panel.set_xlabel(AXIS_NAMES[axis])
    panels[0, 0].set_ylabel("others beaten (%), simulated")
    panels[0, -1].legend(fontsize=7)
    return finish(fig)
