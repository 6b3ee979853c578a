"""One look for every figure: palette, names, panel sizes, colours of a stored picture."""

from __future__ import annotations

import io

import matplotlib.pyplot as plt
import seaborn as sns
from matplotlib.figure import Figure
from PIL import Image

_PALETTE = sns.color_palette("colorblind")

METHOD_COLOURS = {"clip": _PALETTE[1], "ccl": _PALETTE[2], "infocore": _PALETTE[0]}
NEUTRAL = "0.35"  # chance levels, truths, the paper's numbers
CATEGORIES = _PALETTE  # up to ten categories, such as effects


def figure(n_rows: int = 1, n_columns: int = 1, *, panel: tuple[float, float] = (3.2, 2.9), **options):
    """``(figure, axes)`` of n_rows x n_columns panels in the book's style; panel = (width, height) in inches."""
    with plt.rc_context(
        {"font.size": 10, "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False}
    ):
        size = (panel[0] * n_columns, panel[1] * n_rows)
        return plt.subplots(n_rows, n_columns, figsize=size, layout="constrained", **options)


def finish(fig: Figure) -> Figure:
    """Detach a figure from pyplot, so that returning it from a cell shows it exactly once."""
    plt.close(fig)
    return fig


def fewer_colours(png: bytes, colours: int = 64) -> bytes:
    """A PNG as another one with at most so many colours, without dithering: with 64 a fifth of the bytes."""
    image = Image.open(io.BytesIO(png)).convert("RGB")
    small = io.BytesIO()
    image.quantize(colours, dither=Image.Dither.NONE).save(small, "PNG", optimize=True)
    return small.getvalue()
