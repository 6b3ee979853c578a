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


def dirichlet_mixup(replicates: Tensor, present: Tensor, concentration: float) -> Tensor:
    """Random convex mixture of each condition's replicates (appendix F, 2).

    Args:
        replicates: (n, R, n_g) readouts, padded to R replicates a condition.
        present: (n, R) boolean, which of them exist; at least one a row.
        concentration: of the symmetric Dirichlet over the replicates that exist, > 0.

    Returns:
        (n, n_g).

    Raises:
        ValueError: if a condition has no replicate, the shapes do not fit, or concentration <= 0.
    """
    if not concentration > 0:
        raise ValueError(f"concentration: got {concentration}, expected a number > 0")
    if present.shape != replicates.shape[:2]:
        raise ValueError(f"present: got shape {tuple(present.shape)}, expected {tuple(replicates.shape[:2])}")
    if not bool(present.any(1).all()):
        empty = int((~present.any(1)).nonzero()[0])
        raise ValueError(f"present: condition {empty} has no replicate, expected at least one a row")
    shape = torch.full(present.shape, float(concentration), device=replicates.device)
    share = torch._standard_gamma(shape).clamp_min(torch.finfo(shape.dtype).tiny) * present
    weight = share / share.sum(1, keepdim=True)
    return torch.einsum("nr,nrg->ng", weight.to(replicates.dtype), replicates)
