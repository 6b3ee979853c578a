"""Checks of data that come from outside: the message names the argument, what came and what was expected."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from infocore_mini.config import Config

_NUMPY = {torch.float32: np.float32, torch.float64: np.float64}


def as_matrix(name: str, value, n_features: int | None = None, dtype: torch.dtype = torch.float32) -> Tensor:
    """An array, tensor or table of numbers as a tensor (n, n_features) of ``dtype``.

    Raises:
        ValueError: if it is no finite matrix with at least one row, or has another number of features.
    """
    try:
        x = value if isinstance(value, Tensor) else torch.from_numpy(np.array(value, dtype=_NUMPY[dtype]))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}: got values that are no numbers ({error}), expected a matrix of numbers") from None
    if x.ndim != 2 or len(x) == 0 or (n_features is not None and x.shape[1] != n_features):
        features = "features" if n_features is None else n_features
        raise ValueError(f"{name}: got shape {tuple(x.shape)}, expected (n, {features}) with n >= 1")
    x = x.to(dtype)
    if not bool(x.isfinite().all()):
        row = int((~x.isfinite().all(1)).nonzero()[0])
        raise ValueError(f"{name}: got NaN or infinite values (first in row {row}), expected finite numbers")
    return x


def check_pairs(a, b, batch_id, config: Config) -> tuple[Tensor, Tensor | None, Tensor, int]:
    """The arguments of ``train.pretrain`` as tensors on its device, and n_B; ValueError names what does not fit."""
    a = as_matrix("a", a)
    b = None if b is None else as_matrix("b", b)
    if b is not None and len(b) != len(a):
        raise ValueError(f"b: got {len(b)} rows, expected {len(a)} like a")
    if len(a) < 2:
        raise ValueError(f"a: got {len(a)} row, expected at least 2 to contrast")
    batch_id = torch.as_tensor(np.asarray(batch_id)) if not isinstance(batch_id, Tensor) else batch_id
    soft = batch_id.ndim == 2 and batch_id.is_floating_point()
    if len(batch_id) != len(a) or not (soft or (batch_id.ndim == 1 and not batch_id.is_floating_point())):
        raise ValueError(
            f"batch_id: got shape {tuple(batch_id.shape)} of {batch_id.dtype}, "
            f"expected ({len(a)},) integer codes or ({len(a)}, n_B) float rows that sum to 1"
        )
    if soft and (config.method == "ccl" or config.sampling == "one_batch"):
        raise ValueError("batch_id: got soft labels, expected integer codes for method='ccl' or sampling='one_batch'")
    n_batches = batch_id.shape[1] if soft else int(batch_id.max()) + 1
    if not soft and int(batch_id.min()) < 0:
        raise ValueError(f"batch_id: got {int(batch_id.min())}, expected codes >= 0")
    if soft and not bool(((batch_id.sum(1) - 1).abs() < 1e-4).all() and (batch_id >= 0).all()):
        raise ValueError("batch_id: got soft labels whose rows are not distributions, expected rows >= 0 that sum to 1")
    if config.method == "ccl" and int(batch_id.bincount().max()) < 2:
        raise ValueError("batch_id: every experimental batch has one row, expected rows to contrast for method='ccl'")
    if config.method != "clip" and n_batches < 2:
        raise ValueError(
            f"batch_id: got one experimental batch, expected at least 2 for method={config.method!r} (CLIP needs none)"
        )
    if config.framework == "moco" and config.queue_size < config.minibatch_size:
        raise ValueError(
            f"queue_size: got {config.queue_size}, expected at least minibatch_size = {config.minibatch_size}"
        )
    device = torch.device(config.device)
    return (
        a.to(device),
        None if b is None else b.to(device),
        batch_id.to(device, torch.float32 if soft else torch.int64),
        n_batches,
    )
