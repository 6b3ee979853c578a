"""Checks of data that come from outside: the message names the argument, what came and what was expected."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from infocore_mini.config import Config

if TYPE_CHECKING:
    from infocore_mini.screens import PairedScreen

_NUMPY = {torch.float32: np.float32, torch.float64: np.float64}


def as_matrix(
    name: str,
    value,
    n_features: int | None = None,
    dtype: torch.dtype = torch.float32,
    *,
    missing: bool = False,
    first_row: int = 0,
) -> Tensor:
    """An array, tensor or table of numbers as a tensor (n, n_features) of ``dtype``.

    With ``missing``, NaN may stand for values that were not measured. ``first_row`` is the number of the first row in
    messages, for a block of a larger matrix.

    Raises:
        ValueError: if it is no finite matrix with at least one row, or has another number of features.
    """
    try:
        x = value if isinstance(value, Tensor) else torch.from_numpy(np.array(value, dtype=_NUMPY[dtype]))
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
    if not soft and int(batch_id.min()) < 0:
        raise ValueError(f"batch_id: got {int(batch_id.min())}, expected codes >= 0")
    if soft and not bool(((batch_id.sum(1) - 1).abs() < 1e-4).all() and (batch_id >= 0).all()):
        raise ValueError("batch_id: got soft labels whose rows are not distributions, expected rows >= 0 that sum to 1")
    for name, off in {
        "cell_line_heads": False,
        "mixup_concentration": 0,
        "clip_drug": None,
        "clip_screen": None,
    }.items():
        if getattr(config, name) != off:
            raise ValueError(f"{name}: got {getattr(config, name)}, expected {off} (pretrain_screen reads it)")
    if config.sampling == "alternate":
        raise ValueError("sampling: got 'alternate', expected 'random' or 'one_batch' (pretrain_screen has cell lines)")
    _check_labels(batch_id, config)
    device = torch.device(config.device)
    return (
        a.to(device),
        None if b is None else b.to(device),
        batch_id.to(device, torch.float32 if soft else torch.int64),
        batch_id.shape[1] if soft else int(batch_id.max()) + 1,
    )


def check_screen(screen: PairedScreen, config: Config, validation: PairedScreen | None) -> None:
    """The arguments of ``train.pretrain_screen``; ValueError names what does not fit."""
    if len(screen.drug) < 2:
        raise ValueError(f"screen: got {len(screen.drug)} molecule, expected at least 2 to contrast")
    if config.sampling == "alternate" and config.queue_size < 2 * config.minibatch_size:
        raise ValueError(
            f"queue_size: got {config.queue_size}, expected at least 2 minibatch_size = {2 * config.minibatch_size}: "
            "each cell line's queue has half of it"
        )
    _check_labels(screen.batch_id, config)
    if validation is None:
        return
    for name in ("batch_names", "cell_line_names", "feature_names"):
        if getattr(screen, name) != getattr(validation, name):
            raise ValueError(f"validation: got other {name} than screen, expected a subset of the same screen")
    shared = np.intersect1d(screen.smiles, validation.smiles)
    if len(shared):
        raise ValueError(f"validation: got {len(shared)} molecules of screen (first {shared[0]}), expected others")


def _check_labels(batch_id: Tensor, config: Config) -> None:
    """What the method asks of the experimental batches; codes or soft labels."""
    soft = batch_id.ndim == 2
    if soft and (config.method == "ccl" or config.sampling == "one_batch"):
        raise ValueError("batch_id: got soft labels, expected integer codes for method='ccl' or sampling='one_batch'")
    if not soft and config.method == "ccl" and int(batch_id.bincount().max()) < 2:
        raise ValueError("batch_id: every experimental batch has one row, expected rows to contrast for method='ccl'")
    present = int((batch_id.sum(0) > 0).sum()) if soft else len(batch_id.unique())
    if config.method != "clip" and present < 2:
        raise ValueError(
            f"batch_id: got one experimental batch, expected at least 2 for method={config.method!r} (CLIP needs none)"
        )
    if config.framework == "moco" and config.queue_size < config.minibatch_size:
        raise ValueError(
            f"queue_size: got {config.queue_size}, expected at least minibatch_size = {config.minibatch_size}"
        )
