"""Penalties on what an embedding tells of the experimental batch, as pure functions: rivals of InfoCORE's weights."""

from __future__ import annotations

import torch
from torch import Tensor

from infocore_mini.validation import require


def normalised_hsic(z: Tensor, batch_id: Tensor) -> Tensor:
    """Dependence of embedding and experimental batch in a minibatch: 0 = none, 1 = one kernel is the other's multiple.

    HSIC(z, b) / sqrt(HSIC(z, z) HSIC(b, b)), with the biased estimate of the Hilbert-Schmidt independence criterion
    (Gretton et al. 2005), the trace of K H L H; divided as in centred alignment (Cortes et al. 2012), so that one factor
    means the same for any number of batches. K is Gaussian of width 1, which the unit sphere suggests; L is 1 within a
    batch and 0 between batches.

    Args:
        z: (n, d) unit-norm embeddings.
        batch_id: (n,) integer codes, (n, n_B) soft labels, or (n, k) columns of several nuisances, as training has it.

    Returns:
        Scalar; 0 where all rows are of one batch.

    Raises:
        ValueError: if the numbers of rows differ.
    """
    require(z.ndim == 2, "z", f"shape {tuple(z.shape)}", "(n, d)")
    require(len(batch_id) == len(z), "batch_id", f"{len(batch_id)} rows", f"{len(z)} like z")
    if batch_id.is_floating_point():
        same = batch_id @ batch_id.T
    else:
        same = torch.stack([column[:, None] == column for column in batch_id.reshape(len(z), -1).T]).to(z.dtype).sum(0)
    of_z, of_batch = _centred((z @ z.T - 1).exp()), _centred(same.to(z.dtype))
    return (of_z * of_batch).sum() / (of_z.norm() * of_batch.norm()).clamp_min(torch.finfo(z.dtype).eps)


def _centred(kernel: Tensor) -> Tensor:
    """H K H with H = 1 - 1/n."""
    return kernel - kernel.mean(0) - kernel.mean(1, keepdim=True) + kernel.mean()
