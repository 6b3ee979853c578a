"""How alike experimental batches are, by what was measured on them: the condition of CCL-K."""

from __future__ import annotations

import torch
from torch import Tensor


@torch.no_grad()
def log_batch_kernel(profile: Tensor, batch_id: Tensor, n_batches: int, *, width: float) -> Tensor:
    """Logarithm of a Gaussian kernel between the mean profiles of experimental batches.

    Made once, of the training rows. A new batch needs no row of it: the kernel weighs negatives, and embedding has none.

    Args:
        profile: (n, n_g); NaN = not measured.
        batch_id: (n,) codes or (n, n_B) soft labels.
        n_batches: n_B.
        width: standard deviation of the kernel, in median distances between two batches of training.

    Returns:
        (n_B, n_B), 0 on the diagonal; a batch without rows counts as the mean of all, and is asked by no anchor.
    """
    measured = (~profile.isnan()).to(profile.dtype)
    filled = profile.nan_to_num(0.0)
    centre = filled.sum(0) / measured.sum(0).clamp_min(1)
    deviation = (filled - centre) * measured
    deviation = deviation / (deviation.square().sum(0) / measured.sum(0).clamp_min(1)).sqrt().clamp_min(1e-6)
    if batch_id.ndim == 2:
        total, count = batch_id.T @ deviation, batch_id.T @ measured
        rows = batch_id.sum(0)
    else:
        total, count = (
            deviation.new_zeros(n_batches, x.shape[1]).index_add_(0, batch_id, x) for x in (deviation, measured)
        )
        rows = batch_id.bincount(minlength=n_batches)
    mean = total / count.clamp_min(1e-6)
    distance = torch.cdist(mean, mean)
    present = rows > 0
    between = distance[present][:, present]
    typical = between[~torch.eye(len(between), dtype=torch.bool, device=between.device)].median()
    log_kernel = -(distance / (width * typical).clamp_min(1e-6)).square() / 2
    return log_kernel.fill_diagonal_(0.0)
