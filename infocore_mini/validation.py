"""Checks of matrices and labels that come from outside: the message names the argument, what came and what was expected."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

_BLOCK = 1024  # rows of a matrix that are read at once


def as_matrix(
    name: str,
    value: Any,
    n_features: int | None = None,
    dtype: torch.dtype = torch.float32,
    *,
    missing: bool = False,
    first_row: int = 0,
) -> Tensor:
    """An array, tensor or table of numbers as a tensor (n, n_features) of ``dtype``.

    Args:
        name: of the argument, for messages.
        value: what came.
        n_features: expected columns; None = any number.
        dtype: of the result, float32 or float64.
        missing: NaN may stand for values that were not measured.
        first_row: number of the first row in messages, for a block of a larger matrix.

    Raises:
        ValueError: if it is no finite matrix with at least one row, or has another number of features.
    """
    if hasattr(value, "nnz") and hasattr(value, "toarray"):
        raise ValueError(f"{name}: got a sparse matrix, expected a dense one (call .toarray())")
    if "complex" in str(getattr(value, "dtype", "")):
        raise ValueError(f"{name}: got complex numbers, expected real ones (Complex data not supported)")
    try:
        numpy_dtype = np.float32 if dtype == torch.float32 else np.float64
        x = value if isinstance(value, Tensor) else torch.from_numpy(np.array(value, dtype=numpy_dtype, order="C"))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}: got values that are no numbers ({error}), expected a matrix of numbers") from None
    check_shape(name, x, n_features)
    x = x.to(dtype)
    finite = (x.isfinite() | x.isnan() if missing else x.isfinite()).all(1)
    if not bool(finite.all()):
        row = first_row + int((~finite).nonzero()[0])
        got, expected = ("", "finite numbers or NaN") if missing else ("NaN or ", "finite numbers")
        raise ValueError(f"{name}: got {got}infinite values (first in row {row}), expected {expected}")
    return x


def rows_in_order(name: str, matrix: Any, place: np.ndarray | None = None, *, missing: bool = False) -> Tensor:
    """The rows of a matrix, perhaps in another order, read once and by blocks, so that little memory is held beside it.

    Args:
        name: of the argument, for messages.
        matrix: (n, n_features): an array, a table, what gives rows when sliced, such as a dataset in a file, or a
            `Spare` array, whose rows are put in order where they lie.
        place: (n,) int64 row of the result that each row goes to; None = in the order given.
        missing: NaN stands for "not measured"; a row of nothing else is still an error.

    Returns:
        (n, n_features) float32.

    Raises:
        ValueError: as ``as_matrix``.
    """
    spare = isinstance(matrix, Spare)
    sliceable = hasattr(matrix, "shape") and not hasattr(matrix, "iloc") and not hasattr(matrix, "nnz")
    source = matrix.rows if spare else matrix if sliceable else as_matrix(name, matrix, missing=True)
    require(len(source.shape) == 2, name, f"shape {tuple(source.shape)}", "(n, n_features)")
    place = np.arange(source.shape[0]) if place is None else place
    require(source.shape[0] == len(place), name, f"{source.shape[0]} rows", f"{len(place)} like smiles")
    ordered = torch.empty((0, 0) if spare else tuple(source.shape))
    for start in range(0, len(place), _BLOCK):
        block = as_matrix(name, source[start : start + _BLOCK], missing=missing, first_row=start)
        empty = block.isnan().all(1)
        got = f"a row without any measurement (row {start + int(empty.int().argmax())})"
        require(not bool(empty.any()), name, got, "at least one in each row")
        if not spare:
            ordered[torch.from_numpy(place[start : start + _BLOCK])] = block
    return torch.from_numpy(matrix.in_order(np.argsort(place)).rows) if spare else ordered


class Spare:
    """An array that nobody needs afterwards: its rows are put in order without the memory of a copy.

    Attributes:
        rows: (n, n_features) float32, C-contiguous.
    """

    def __init__(self, rows: np.ndarray) -> None:
        self.rows = rows

    def in_order(self, wanted: np.ndarray) -> Spare:
        """The same array after row ``wanted[i]``, (n,) each once, was moved to i, cycle by cycle."""
        source = wanted.tolist()
        for start in range(len(source)):
            if source[start] in (start, -1):
                continue
            held, here = self.rows[start].copy(), start
            while source[here] != start:
                self.rows[here] = self.rows[source[here]]
                source[here], here = -1, source[here]
            self.rows[here], source[here] = held, -1
        return self

    def apart(self, *parts: np.ndarray) -> list[Spare]:
        """Some rows, (n_part,) numbers each and none twice, one part behind the other: views of the array."""
        chosen = np.concatenate(parts)
        self.in_order(np.concatenate([chosen, np.setdiff1d(np.arange(len(self.rows)), chosen)]))
        ends = np.cumsum([len(part) for part in parts]).tolist()
        return [Spare(self.rows[end - len(part) : end]) for end, part in zip(ends, parts, strict=True)]


def check_shape(name: str, x: Tensor | np.ndarray, n_features: int | None = None) -> None:
    """ValueError unless ``x`` is a matrix (n, n_features) with at least one row."""
    if x.ndim == 2 and len(x) > 0 and x.shape[1] == 0:
        raise ValueError(f"{name}: got 0 feature(s) (shape={tuple(x.shape)}) while a minimum of 1 is required.")
    if x.ndim != 2 or len(x) == 0 or (n_features is not None and x.shape[1] != n_features):
        features = "features" if n_features is None else n_features
        advice = ". Reshape your data: one row is x[None]" if x.ndim == 1 else ""
        raise ValueError(f"{name}: got shape {tuple(x.shape)}, expected (n, {features}) with n >= 1{advice}")


def positive_integers(name: str, values: Any, example: str) -> list[int]:
    """One or several whole numbers from 1, such as the k's of "top k". ValueError for others."""
    several = isinstance(values, Sequence | np.ndarray) and not isinstance(values, str) and np.ndim(values) == 1
    whole = several and all(isinstance(k, int | np.integer) and not isinstance(k, bool) and k >= 1 for k in values)
    require(whole and len(values) > 0, name, repr(values), f"positive integers such as {example}")
    return [int(k) for k in values]


def require_labels(name: str, values: Sequence | np.ndarray) -> None:
    """ValueError for a missing label (None, NaN, NA), naming its row."""
    import pandas as pd  # here, since a process that trains on tensors can do without its 70 MB

    missing = pd.isna(np.asarray(values, dtype=object))
    require(not missing.any(), name, f"a missing label in row {missing.argmax()}", "a label in every row")


def require(holds: bool, name: str, got: object, expected: str) -> None:
    """ValueError "name: got ..., expected ..." unless it holds."""
    if not holds:
        raise ValueError(f"{name}: got {got}, expected {expected}")
