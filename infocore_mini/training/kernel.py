"""CCL-K (Tsai et al. 2022): how alike experimental batches are by what was measured on them, and negatives weighted by it."""

from __future__ import annotations

from functools import reduce

import torch
from torch import Tensor

from infocore_mini.labels import Labels, SoftLabels


@torch.no_grad()
def log_batch_kernel(profile: Tensor, batch_id: Labels, n_batches: int, *, width: float) -> Tensor:
    """Logarithm of a Gaussian kernel between the mean profiles of experimental batches.

    Made once, of the training rows. A new batch needs no row of it: the kernel weighs negatives, and embedding has none.

    Args:
        profile: (n, n_g); NaN = not measured.
        batch_id: (n,) codes, (n, n_B) soft labels, or `SoftLabels`.
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
    total, count, rows = (_sums(x, batch_id, n_batches) for x in (deviation, measured, torch.ones_like(profile[:, :1])))
    mean = total / count.clamp_min(1e-6)
    distance = torch.cdist(mean, mean)
    present = rows[:, 0] > 0
    between = distance[present][:, present]
    typical = between[~torch.eye(len(between), dtype=torch.bool, device=between.device)].median()
    log_kernel = -(distance / (width * typical).clamp_min(1e-6)).square() / 2
    return log_kernel.fill_diagonal_(0.0)


def _sums(x: Tensor, batch_id: Labels, n_batches: int) -> Tensor:
    """(n_B, d) sum of the rows of x, (n, d), in each experimental batch, by their shares."""
    if isinstance(batch_id, Tensor) and batch_id.ndim == 2:
        return batch_id.T @ x
    total = x.new_zeros(n_batches, x.shape[1])
    if isinstance(batch_id, Tensor):
        return total.index_add_(0, batch_id, x)
    for code, share in zip(batch_id.code.T, batch_id.share.T):
        total.index_add_(0, code, share[:, None] * x)
    return total


def kernel_weighted(
    similarity: Tensor, batch_id_anchor: Labels, batch_id_candidate: Labels, log_kernel: Tensor
) -> Tensor:
    """CCL-K's weights of negatives: the (n, m) similarity plus log k(b_i, b_j) of the two experimental batches.

    The kernel smooths the condition of CCL (Tsai et al. 2022, "Conditional contrastive learning with kernel"): where
    k is 1 within a batch and 0 between batches, the loss is CCL's, where it is 1 everywhere CLIP's. These are the
    weights of Nadaraya and Watson; Tsai et al. multiply them by (K + lambda)^-1, which can turn weights negative.

    Args:
        similarity: (n, m).
        batch_id_anchor, batch_id_candidate: (n,) and (m,) integer codes, or (n, n_B) and (m, n_B) soft labels, whose
            weight is the expected kernel; or `SoftLabels`.
        log_kernel: (n_B, n_B) log k, at most 0.
    """
    if isinstance(batch_id_anchor, SoftLabels):
        batch_id_anchor = batch_id_anchor.dense(len(log_kernel))
    elif batch_id_anchor.ndim == 1:
        return similarity + log_kernel[batch_id_anchor][:, batch_id_candidate]
    of_anchor = batch_id_anchor @ log_kernel.exp()
    if isinstance(batch_id_candidate, SoftLabels):
        each = zip(batch_id_candidate.code.T, batch_id_candidate.share.T)
        expected = reduce(torch.add, (of_anchor[:, code] * share for code, share in each))
    else:
        expected = of_anchor @ batch_id_candidate.T
    return similarity + expected.clamp_min(torch.finfo(expected.dtype).tiny).log()
