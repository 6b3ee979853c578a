"""The figure of the chapter: what an audit observed, beside what permuted labels give."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from infocore_mini.confounding import Audit
from infocore_mini.experiments.style import CATEGORIES, NEUTRAL, figure, finish

SHOWN = ("neighbours", "kNN probe", "linear probe", "boosted trees")  # shares, which one axis can hold


def observed_and_permuted(audits: Mapping[str, Audit], nuisance: str) -> Figure:
    """A panel for each audit: shares observed among treated rows (dots) and the middle 95 % of permuted labels (bars).

    Args:
        audits: title -> audit.
        nuisance: whose checks are drawn.
    """
    fig, axes = figure(1, len(audits), panel=(3.3, 2.2), sharex=True, sharey=True, squeeze=False)
    for ax, (title, found) in zip(axes[0], audits.items(), strict=True):
        table = found.table[(found.table["rows"] == "treated") & (found.table["nuisance"] == nuisance)]
        table = table.set_index("check").reindex(SHOWN)
        at, percent = np.arange(len(SHOWN)), 100 * table[["low", "high", "observed"]].to_numpy(float)
        ax.barh(at, percent[:, 1] - percent[:, 0], left=percent[:, 0], height=0.5, color=NEUTRAL, alpha=0.35)
        ax.plot(percent[:, 2], at, "o", color=CATEGORIES[3])
        ax.set(title=title, xlabel=f"{nuisance} told (%)", yticks=at, yticklabels=SHOWN, xlim=(0, 100))
        ax.invert_yaxis()
    axes[0][0].set_ylim(len(SHOWN) - 0.5, -0.5)
    return finish(fig)
