"""The figure of the calibration: simulated screens beside real plates, in the same panels."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from infocore_mini.experiments.style import CATEGORIES, NEUTRAL, figure, finish

_COLOURS = {"real": NEUTRAL, "simulated": CATEGORIES[0]}
_KINDS = {  # title, line of the one kind, line of the other
    "well size": {"control_rms": ("control", ":"), "treated_rms": ("treated", "-")},
    "correlation of two wells": {
        "replicate_other": ("other molecule", ":"),
        "replicate_same": ("same molecule", "-"),
    },
}
_XLABELS = {"well size": "rms over features", "correlation of two wells": "Pearson correlation"}
_DIAGNOSTICS = {
    "same_plate_raw": "same plate, raw",
    "same_plate_subtracted": "same plate, controls subtracted",
    "same_run": "same run",
    "structure_auc": "structure: AUC",
    "structure_neighbour": "structure: neighbour",
    "replicate_same": "replicates, same molecule",
    "replicate_other": "replicates, other molecule",
    "replicate_same_50": "replicates, same molecule",
    "replicate_other_50": "replicates, other molecule",
    "control_pc1": "first component, controls",
    "treated_pc1": "first component, treated",
}


def real_and_simulated(record: Mapping) -> Figure:
    """Distributions over wells and pairs of wells, then the diagnostics that are rates, shares or correlations.

    Args:
        record: "gene_expression" or "cell_painting" of ``results/calibration.json``, as ``experiments.calibration`` makes
            it. Distributions are drawn from their stored percentiles; a small point is one simulated draw.
    """
    fig, axes = figure(1, 3, panel=(3.4, 3.0), width_ratios=(1, 1, 1.25))
    for ax, (title, kinds) in zip(axes, _KINDS.items()):
        for source, colour in _COLOURS.items():
            for name, (label, line) in kinds.items():
                if name in record["distributions"][source]:
                    values = np.asarray(record["distributions"][source][name])
                    share = np.linspace(0, 1, len(values))
                    ax.plot(values, share, color=colour, linestyle=line, label=f"{source}, {label}")
        ax.set(title=title, xlabel=_XLABELS[title], ylabel="cumulative share")
        ax.set(ylim=(-0.05, 1.6), yticks=(0, 0.5, 1))  # room for the legend above the curves
        ax.legend(fontsize=7, loc="upper left")
    axes[0].set_xlim(0, 1.1 * np.quantile(record["distributions"]["real"]["treated_rms"], 0.99))
    _diagnostics(axes[2], record)
    return finish(fig)


def _diagnostics(ax, record: Mapping) -> None:
    names = [name for name in _DIAGNOSTICS if name in record["real"]]
    draws = pd.DataFrame(record["simulated"])
    plates = pd.DataFrame(record.get("real_plates", []))
    for row, name in enumerate(names):
        ax.scatter(draws[name], np.full(len(draws), row + 0.15), s=8, color=_COLOURS["simulated"], alpha=0.5)
        if name in plates:
            ax.scatter(plates[name], np.full(len(plates), row - 0.15), s=8, color=_COLOURS["real"], alpha=0.5)
    ax.scatter(draws[names].mean(), np.arange(len(names)) + 0.15, marker="|", s=90, color=_COLOURS["simulated"],
               label="simulated")  # fmt: skip
    ax.scatter([record["real"][name] for name in names], np.arange(len(names)) - 0.15, marker="|", s=90,
               color=_COLOURS["real"], label="real")  # fmt: skip
    ax.set_yticks(range(len(names)), [_DIAGNOSTICS[name] for name in names], fontsize=8)
    ax.invert_yaxis()
    ax.set(title="diagnostics", xlabel="rate, share or correlation", xlim=(-0.02, 1.05))
    ax.legend(fontsize=7, loc="lower right")
