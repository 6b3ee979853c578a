"""CCL-K (Tsai et al. 2022): how alike experimental batches are by what was measured on them, and negatives weighted by it."""

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


def kernel_weighted(
    similarity: Tensor, batch_id_anchor: Tensor, batch_id_candidate: Tensor, log_kernel: Tensor
) -> Tensor:
    """CCL-K's weights of negatives: the (n, m) similarity plus log k(b_i, b_j) of the two experimental batches.

    The kernel smooths the condition of CCL (Tsai et al. 2022, "Conditional contrastive learning with kernel"): where
    k is 1 within a batch and 0 between batches, the loss is CCL's, where it is 1 everywhere CLIP's. These are the
    weights of Nadaraya and Watson; Tsai et al. multiply them by (K + lambda)^-1, which can turn weights negative.

    Args:
        similarity: (n, m).
        batch_id_anchor, batch_id_candidate: (n,) and (m,) integer codes, or (n, n_B) and (m, n_B) soft labels, whose
            weight is the expected kernel.
        log_kernel: (n_B, n_B) log k, at most 0.
    """
    if batch_id_anchor.ndim == 1:
        return similarity + log_kernel[batch_id_anchor][:, batch_id_candidate]
    expected = batch_id_anchor @ log_kernel.exp() @ batch_id_candidate.T
    return similarity + expected.clamp_min(torch.finfo(expected.dtype).tiny).log()
