"""The picture of the first chapter, still and by alpha: what an embedding calls similar. Simulated data."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from sklearn.neighbors import NearestNeighbors

from infocore_mini.experiments.style import CATEGORIES, figure, finish
from infocore_mini.experiments.touch import Touchable, touchable

KINDS = ("same effect, another batch", "same batch", "neither")
_COLOURS = (CATEGORIES[9], CATEGORIES[3], (0.87, 0.87, 0.87))
_INK = ("black", "white", "black")  # on those colours


def neighbour_kinds(z, effect, batch_id, *, k: int = 10) -> np.ndarray:
    """What each point's k nearest neighbours are: 0, 1 or 2, a position in ``KINDS``.

    A neighbour from the point's own experimental batch counts as "same batch" whatever its effect,
    since the batch alone may have brought it there.

    Args:
        z: (n, d) embeddings or readouts; Euclidean distance, which ranks unit-norm rows like the cosine.
        effect, batch_id: (n,) codes.
        k: number of neighbours, below n.

    Returns:
        (n, k) integers, nearest neighbour first.
    """
    effect, batch_id = np.asarray(effect), np.asarray(batch_id)
    nearest = NearestNeighbors(n_neighbors=k).fit(np.asarray(z)).kneighbors(return_distance=False)
    same_effect, same_batch = effect[nearest] == effect[:, None], batch_id[nearest] == batch_id[:, None]
    return np.select([same_batch, same_effect], [1, 0], 2)


def neighbour_tables(kinds: Mapping[str, np.ndarray], *, n_queries: int = 20) -> Figure:
    """Side by side: the shares of each kind over all queries (bar), and the first queries one by one (squares).

    Args:
        kinds: name of a method -> (n, k) of ``neighbour_kinds``, the same queries for each.
        n_queries: rows of squares.
    """
    options = dict(squeeze=False, sharex="col", gridspec_kw={"height_ratios": [1, 9]}, dpi=125)
    fig, axes = figure(2, len(kinds), panel=(2.5, 2.2), **options)
    for (bar, squares), (method, kind) in zip(axes.T, kinds.items()):
        k = kind.shape[1]
        _shares(bar, kind)
        bar.set_title(method, fontweight="bold", fontsize=12)
        squares.pcolormesh(
            kind[:n_queries], cmap=ListedColormap(_COLOURS), vmin=-0.5, vmax=2.5, edgecolor="white", linewidth=1.5
        )
        squares.invert_yaxis()
        squares.set(xticks=[0.5, k - 0.5], yticks=[], xlabel="its nearest neighbours")
        squares.set_xticklabels(["1st", f"{k}th"])
        squares.tick_params(length=0)
        squares.spines[:].set_visible(False)
    axes[1, 0].set_ylabel(f"{n_queries} held-out screens, one a row")
    handles = [Patch(color=colour, label=kind) for colour, kind in zip(_COLOURS, KINDS)]
    fig.legend(
        handles=handles,
        loc="outside lower center",
        ncols=len(KINDS),
        frameon=False,
        fontsize=9,
        handlelength=1,
        columnspacing=1,
    )
    return finish(fig)


def alpha_dial(clip: np.ndarray, by_alpha: Mapping[float, np.ndarray], *, first: float) -> Touchable:
    """`neighbour_tables` of CLIP beside InfoCORE, a frame for each alpha.

    Args:
        clip: (n, k) of `neighbour_kinds` for CLIP.
        by_alpha: alpha -> (n, k) for InfoCORE.
        first: the alpha to begin with.
    """
    pairs = {f"{alpha:g}": {"CLIP": clip, f"InfoCORE, alpha = {alpha:g}": kind} for alpha, kind in by_alpha.items()}
    figures = {label: neighbour_tables(kinds) for label, kinds in pairs.items()}
    words = {label: ". ".join(map(_in_words, kinds, kinds.values())) + "." for label, kinds in pairs.items()}
    return touchable("alpha-dial", "alpha =", figures, words, first=f"{first:g}")


def _in_words(method: str, kind: np.ndarray) -> str:
    share = np.bincount(kind.ravel(), minlength=len(KINDS)) / kind.size
    return f"{method}: {', '.join(f'{part:.0%} {name}' for part, name in zip(share, KINDS))}"


def _shares(ax, kind: np.ndarray) -> None:
    """One stacked bar as wide as the squares below it, with the percentages written in."""
    share = np.bincount(kind.ravel(), minlength=len(KINDS)) / kind.size
    width = share * kind.shape[1]
    ax.barh(np.zeros(len(share)), width, left=width.cumsum() - width, color=_COLOURS, edgecolor="white")
    for end, size, part, ink in zip(width.cumsum(), width, share, _INK):
        if part > 0.07:
            ax.text(end - size / 2, 0, f"{part:.0%}", ha="center", va="center", fontsize=8.5, color=ink)
    ax.set_axis_off()
