"""Checks of matrices that come from outside: the message names the argument, what came and what was expected."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor


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
        raise ValueError(f"{name}: got NaN or infinite values (first in row {row}), expected finite numbers")
    return x


def check_shape(name: str, x: Tensor | np.ndarray, n_features: int | None = None) -> None:
    """ValueError unless ``x`` is a matrix (n, n_features) with at least one row."""
    if x.ndim != 2 or len(x) == 0 or (n_features is not None and x.shape[1] != n_features):
        features = "features" if n_features is None else n_features
        raise ValueError(f"{name}: got shape {tuple(x.shape)}, expected (n, {features}) with n >= 1")
