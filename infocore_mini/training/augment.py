"""Augmentations of a readout (appendix F), vectorised, on whichever device the tensor lives."""

from __future__ import annotations

import torch
from torch import Tensor


def gaussian_noise(x: Tensor, scale: float) -> Tensor:
    """x plus independent normal noise of standard deviation ``scale`` >= 0, in the units of x. Any shape."""
    if not scale >= 0:
        raise ValueError(f"scale: got {scale}, expected a number >= 0")
    return x + scale * torch.randn_like(x) if scale > 0 else x


def feature_dropout(x: Tensor, rate: float) -> Tensor:
    """x with each entry set to 0 with probability ``rate``; entries that stay are not rescaled. Any shape."""
    if not 0 <= rate <= 1:
        raise ValueError(f"rate: got {rate}, expected a number from 0 to 1")
    return x * (torch.rand_like(x) >= rate) if rate > 0 else x


def dirichlet_weights(present: Tensor, concentration: float) -> Tensor:
    """Random weights of each condition's replicates for Dirichlet mixup (appendix F, 2).

    Args:
        present: (n, R) boolean, which of up to R replicates exist; at least one a row.
        concentration: of the symmetric Dirichlet over the replicates that exist, > 0.

    Returns:
        (n, R) float32, rows sum to 1, zero where no replicate is.

    Raises:
        ValueError: if a condition has no replicate, or concentration <= 0.
    """
    if not concentration > 0:
        raise ValueError(f"concentration: got {concentration}, expected a number > 0")
    if present.device.type == "cpu" and not bool(present.any(1).all()):  # a GPU would have to be waited for
        empty = int((~present.any(1)).nonzero()[0])
        raise ValueError(f"present: condition {empty} has no replicate, expected at least one a row")
    shape = torch.full(present.shape, float(concentration), device=present.device)
    share = torch._standard_gamma(shape).clamp_min(torch.finfo(shape.dtype).tiny) * present
    return share / share.sum(1, keepdim=True)


def mix_replicates(replicates: Tensor, weight: Tensor, *, missing: bool = True) -> Tensor:
    """Weighted mean of each condition's replicates, feature by feature over those that were measured.

    Args:
        replicates: (n, R, n_g) readouts, padded to R; NaN = not measured.
        weight: (n, R), rows sum to 1, zero for padding.
        missing: whether there may be NaN; False spares the work that only they need.

    Returns:
        (n, n_g); NaN where no replicate of weight > 0 was measured.

    Raises:
        ValueError: if the shapes do not fit.
    """
    if weight.shape != replicates.shape[:2]:
        raise ValueError(f"weight: got shape {tuple(weight.shape)}, expected {tuple(replicates.shape[:2])}")
    if replicates.shape[1] == 1:
        return replicates.squeeze(1)
    if not missing:
        return torch.einsum("nr,nrg->ng", weight, replicates)
    total = torch.einsum("nr,nrg->ng", weight, replicates.nan_to_num(0.0))
    return total / torch.einsum("nr,nrg->ng", weight, (~replicates.isnan()).to(weight.dtype))
