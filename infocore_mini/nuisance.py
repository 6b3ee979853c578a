"""What must not be learnt, as labels that a classifier can learn: numbers by bins, columns of a plate map by kind."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from infocore_mini.inputs import label_codes
from infocore_mini.platemap import Columns
from infocore_mini.validation import require


def binned(value: ArrayLike, *, n_bins: int = 10, soft: bool = False) -> NDArray[Any]:
    """Levels of a continuous nuisance, each with about the same number of rows.

    Args:
        value: (n,) finite numbers, such as cell counts.
        n_bins: of levels; fewer come out where many values are equal.
        soft: a value between two knots, quantiles at equal steps, belongs to both, the more the nearer it is to one (the
            triangular kernel), so that no border parts values that are almost equal. False: the bin that it lies in.

    Returns:
        (n,) int64 codes; with ``soft`` (n, levels) float64 shares, rows that sum to 1.

    Raises:
        ValueError: on other shapes, values that are not finite, fewer than 2 bins, or a value that never varies.

    Examples:
        >>> from infocore_mini.nuisance import binned
        >>> binned([310, 20, 150, 420], n_bins=2).tolist()
        [1, 0, 0, 1]
        >>> binned([0, 5, 10], n_bins=3, soft=True).tolist()
        [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    x = np.asarray(value, dtype=np.float64)
    require(x.ndim == 1 and len(x) > 0, "value", f"shape {x.shape}", "(n,) with n >= 1")
    require(bool(np.isfinite(x).all()), "value", "NaN or infinite values", "finite numbers")
    whole = isinstance(n_bins, int | np.integer) and n_bins >= 2
    require(whole, "n_bins", repr(n_bins), "a whole number from 2")
    edges = np.unique(np.quantile(x, np.linspace(0, 1, n_bins if soft else n_bins + 1)))
    require(len(edges) > 1, "value", "one value throughout", "values that vary")
    if not soft:
        return np.unique(np.searchsorted(edges[1:-1], x, side="right"), return_inverse=True)[1].astype(np.int64)
    return np.stack([np.interp(x, edges, corner) for corner in np.eye(len(edges))], axis=1)


def column_codes(info: Columns, name: str) -> NDArray[np.int64]:
    """(n_profiles,) codes of a column of a screen's ``info``: text, whole numbers, booleans are labels, others binned.

    Raises:
        ValueError: if there is no such column, or it lacks a value in some row.
    """
    require(name in info, "nuisance", repr(name), f"columns of the screen's info: {', '.join(info) or 'it has none'}")
    _, codes = label_codes(f"nuisance {name!r}", info[name], len(info[name]), like="the screen's profiles")
    return binned(info[name]) if info[name].dtype.kind == "f" else codes
