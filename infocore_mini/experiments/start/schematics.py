"""Drawings that explain: the graphical model and the way the loss is put together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch, Rectangle

from infocore_mini.experiments.style import CATEGORIES, NEUTRAL, figure, finish

DRUG, SCREEN, BATCH = CATEGORIES[9], CATEGORIES[4], CATEGORIES[3]
_INK = "0.15"
_DPI = 115


def graphical_model() -> Figure:
    """Who causes what (the paper's Figure 2): the batch reaches both views, and the encoders see only the views."""
    fig, ax = _canvas(5.2, 3.9)
    at = {"b": (2.6, 3.4), "d": (1.0, 2.0), "g": (4.2, 2.0), "zd": (1.0, 0.55), "zg": (4.2, 0.55)}
    _node(ax, at["b"], "$X_b$", BATCH)
    _node(ax, at["d"], "$X_d$", DRUG)
    _node(ax, at["g"], "$X_g$", SCREEN)
    _node(ax, at["zd"], "$Z_d$", DRUG, hollow=True)
    _node(ax, at["zg"], "$Z_g$", SCREEN, hollow=True)
    for start, end, colour, line in (("b", "d", BATCH, "-"), ("b", "g", BATCH, "-"), ("d", "g", _INK, "-"), ("d", "zd", DRUG, "--"), ("g", "zg", SCREEN, "--")):  # fmt: skip
        _arrow(ax, at[start], at[end], colour, line, gap=0.36)
    _text(ax, 3.05, 3.4, "experimental batch", BATCH, ha="left")
    _text(ax, 1.5, 2.95, "decides which\ndrugs are run", BATCH, ha="right")
    _text(ax, 3.7, 2.95, "shifts the\nreadout", BATCH, ha="left")
    _text(ax, 2.6, 2.13, "what we want to learn", _INK, va="bottom")
    _text(ax, 0.58, 2.0, "drug", DRUG, ha="right")
    _text(ax, 4.62, 2.0, "screen", SCREEN, ha="left")
    _text(ax, 1.13, 1.27, "encoder", DRUG, ha="left")
    _text(ax, 4.07, 1.27, "encoder", SCREEN, ha="right")
    _text(ax, 2.6, 0.55, "embeddings", _INK)
    return finish(fig)


def how_it_works(similarity, weight, batch_names: Sequence[str]) -> Figure:
    """From two views to one loss (the paper's Figure 1), with the two matrices of a small example written in.

    Rows are anchors (screens), columns candidates (drugs); the true pairs, on the diagonal, are framed.

    Args:
        similarity: (n, n) f_ij of screen i and drug j.
        weight: (n, n) M_ij, fractions.
        batch_names: (n,) the experimental batch of each pair; short.
    """
    left, middle, right = 1.45, 2.95, 4.45
    fig, ax = _canvas(5.8, 6.5)
    for x, colour, view, encoder in (
        (left, DRUG, "drugs $X_d$", "drug encoder"),
        (right, SCREEN, "screens $X_g$", "screen encoder"),
    ):
        _text(ax, x, 6.3, view, colour, size=11)
        _arrow(ax, (x, 6.15), (x, 5.8), colour)
        _box(ax, (x, 5.58), (1.6, 0.42), encoder, colour)
        _arrow(ax, (x, 5.36), (x, 4.98), colour)
    _box(ax, (middle, 4.74), (4.6, 0.46), "", NEUTRAL)
    _text(ax, left, 4.74, "embeddings $D_j$", DRUG)
    _text(ax, right, 4.74, "embeddings $G_i$", SCREEN)
    _arrow(ax, (left, 4.5), (left, 3.56), NEUTRAL)
    _text(ax, left + 0.12, 4.05, r"cosine / $\tau$", ha="left")
    _arrow(ax, (right, 4.5), (right, 4.2), NEUTRAL)
    _box(ax, (right, 3.98), (1.9, 0.42), "two batch classifiers", BATCH)
    _arrow(ax, (right, 3.76), (right, 3.56), BATCH)
    _matrix(ax, (left, 2.25), np.asarray(similarity), batch_names, "how alike: $f_{ij}$", NEUTRAL)
    _matrix(ax, (right, 2.25), np.asarray(weight), batch_names, "how likely batch $B_i$: $M_{ij}$", BATCH)
    _text(ax, left - 1.22, 2.25, "screen $i$ (anchor)", SCREEN, rotation=90)
    _text(ax, left, 1.13, "drug $j$ (candidate)", DRUG)
    _text(ax, right, 1.13, r"$\alpha\,\bar G_i[B_i] + (1-\alpha)\,\bar D_j[B_i]$", BATCH)
    for x, colour in ((left, NEUTRAL), (right, BATCH)):
        _arrow(ax, (x, 0.98), (x, 0.72), colour)
    _box(ax, (middle, 0.38), (4.6, 0.66), "", NEUTRAL)
    _text(ax, middle, 0.36, r"$\mathrm{loss}_i\;=\;\log\,\sum_j\; M_{ij}\; e^{\,f_{ij}}\;-\; f_{ii}$", size=12)
    return finish(fig)


# ------------------------------------------------------------------ pieces


def _canvas(width: float, height: float):
    """An empty page whose unit is the inch, origin at the lower left."""
    fig, ax = figure(panel=(width, height), dpi=_DPI)
    ax.set(xlim=(0, width), ylim=(0, height), aspect="equal")
    ax.set_axis_off()
    return fig, ax


def _node(ax: Axes, centre: tuple[float, float], name: str, colour, *, hollow: bool = False) -> None:
    face = "white" if hollow else _tint(colour, 0.35)
    ax.add_patch(Circle(centre, 0.33, facecolor=face, edgecolor=colour, linewidth=1.8, zorder=2))
    ax.text(*centre, name, ha="center", va="center", fontsize=13, color=_INK, zorder=3)


def _box(ax: Axes, centre: tuple[float, float], size: tuple[float, float], words: str, colour) -> None:
    corner = (centre[0] - size[0] / 2, centre[1] - size[1] / 2)
    style = dict(
        boxstyle="round,pad=0,rounding_size=0.1", facecolor=_tint(colour, 0.15), edgecolor=colour, linewidth=1.5
    )
    ax.add_patch(FancyBboxPatch(corner, *size, **style))
    _text(ax, *centre, words)


def _matrix(
    ax: Axes, centre: tuple[float, float], values: np.ndarray, names: Sequence[str], title: str, colour
) -> None:
    """Cells of 0.44 inch, darker = larger, numbers inside, the batch of each row and column outside."""
    n, cell = len(values), 0.44
    x0, top = centre[0] - n * cell / 2, centre[1] + n * cell / 2
    depth = 0.6 * (values - values.min()) / max(np.ptp(values), 1e-9)
    _text(ax, centre[0], top + 0.32, title)
    for i, name in enumerate(names):
        middle = (i + 0.5) * cell
        _text(ax, x0 - 0.12, top - middle, name, BATCH, size=9)
        _text(ax, x0 + middle, top + 0.1, name, BATCH, size=9)
        for j in range(n):
            corner = (x0 + j * cell, top - (i + 1) * cell)
            ax.add_patch(
                Rectangle(corner, cell, cell, facecolor=_tint(colour, depth[i, j]), edgecolor="white", linewidth=1.5)
            )
            _text(ax, x0 + (j + 0.5) * cell, top - middle, _number(values[i, j]), size=8.5)
    for i in range(n):
        ax.add_patch(
            Rectangle((x0 + i * cell, top - (i + 1) * cell), cell, cell, fill=False, edgecolor=_INK, linewidth=1.5)
        )


def _number(value: float) -> str:
    return f"{round(float(value), 2) + 0.0:.2f}".replace("-", "\u2212")


def _arrow(ax: Axes, start, end, colour, line: str = "-", *, gap: float = 0.0) -> None:
    """From start to end, leaving ``gap`` inches free at each."""
    start, end = np.array(start), np.array(end)
    unit = (end - start) / np.linalg.norm(end - start)
    style = dict(arrowstyle="-|>", mutation_scale=13, linewidth=1.8, linestyle=line, color=colour, shrinkA=0, shrinkB=0)
    ax.add_patch(FancyArrowPatch(start + gap * unit, end - gap * unit, **style, zorder=1))


def _text(
    ax: Axes, x: float, y: float, words: str, colour=_INK, *, size: float = 10, ha="center", va="center", rotation=0
) -> None:
    ax.text(x, y, words, color=_shade(colour), fontsize=size, ha=ha, va=va, rotation=rotation)


def _tint(colour, amount: float) -> tuple[float, ...]:
    """The colour mixed with white; amount 1 leaves it as it is."""
    return tuple(1 - amount * (1 - np.array(to_rgb(colour))))


def _shade(colour) -> tuple[float, ...]:
    """Dark enough to be read as small text."""
    return tuple(0.65 * np.array(to_rgb(colour)))
