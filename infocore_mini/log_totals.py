"""log sum_j w_ij e^f_ij, exactly and cheaply: the sums behind InfoCORE's losses, one way for each kind of label.

Nothing of shape (anchors, candidates, n_B) is ever made.  Symbols as in `losses`, which checks what comes here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor

BLOCK = {True: 2**18, False: 2**24}  # pairs at a time on a CPU, and elsewhere
FLOOR = -1e30  # stands for log 0: keeps maxima finite where a whole row or column has probability 0


def log_total_of_columns(
    similarity: Tensor,
    log_anchor: Tensor,
    log_candidate: Callable[[slice], Tensor],
    alpha: float,
    gradient_scale: float,
) -> Tensor:
    """(n,) log sum_j e^f_ij (alpha p_i(b_i) + (1 - alpha) p_j(b_i)), for integer labels.

    ``log_anchor`` (n,) and ``log_candidate`` of some anchors, (r, m), are the columns of the anchors' batches. Some
    anchors at a time, so that what a CPU works on stays in its cache and large sets of candidates need little memory.
    """
    size = max(1, BLOCK[similarity.device.type == "cpu"] // similarity.shape[1])
    totals = []
    # Split, not sliced: the gradient of a slice is as large as the whole, so that of all would be quadratic in their number.
    for start, f in zip(range(0, len(similarity), size), similarity.split(size)):
        rows = slice(start, start + size)
        from_anchor = scale_gradient(log_anchor[rows, None], gradient_scale) + _safe_log(alpha)
        from_candidate = scale_gradient(log_candidate(rows), gradient_scale) + _safe_log(1 - alpha)
        totals.append((f + torch.logaddexp(from_anchor, from_candidate)).logsumexp(1))
    return torch.cat(totals)


def log_total_of_labels(
    similarity: Tensor, anchor: Tensor, share: Tensor, log_anchor: Tensor, log_candidate: Tensor, alpha: float
) -> Tensor:
    """(n,) sum over the labels l of anchor i of share_l log sum_j e^f_ij (alpha p_i(b_l) + (1 - alpha) p_j(b_l)).

    Args:
        similarity: (n, m) f.
        anchor: (p,) int64, ascending, the row of each label; every row has one.
        share: (p,) of each label in its anchor.
        log_anchor, log_candidate: (p,) and (p, m) log p of the label's batch.
        alpha: in [0, 1].
    """
    return cast(Tensor, _LogTotalOfLabels.apply(similarity, anchor, share, log_anchor, log_candidate, alpha))


class _LogTotalOfLabels(torch.autograd.Function):
    """`log_total_of_labels` with its gradient.

    The sum over j splits into alpha p_i(b) sum_j e^f_ij, whose sum the labels of an anchor share, and
    (1 - alpha) sum_j e^f_ij p_j(b). The gradient in f is a mixture of the same exponentials over their sums, so it is
    worked out beside the value, and nothing else of the size of the inputs is kept. Blocks as in `log_total_of_columns`;
    a GPU takes all in one, since it would have to be waited for to tell whose labels lie in which.
    """

    @staticmethod
    def forward(
        context: Any,
        similarity: Tensor,
        anchor: Tensor,
        share: Tensor,
        log_anchor: Tensor,
        log_candidate: Tensor,
        alpha: float,
    ) -> Tensor:
        """The value; for the gradient keeps what its rows and labels get of it."""
        n, m = similarity.shape
        total, of_anchor = similarity.new_empty(n), torch.empty_like(log_anchor)
        of_similarity = torch.empty_like(similarity) if context.needs_input_grad[0] else None
        of_candidate = torch.empty_like(log_candidate) if context.needs_input_grad[4] else None
        size, bounds = n, [0, len(anchor)]
        if similarity.device.type == "cpu":
            size = max(1, BLOCK[True] // m)
            bounds = torch.searchsorted(anchor, torch.arange(0, n + size, size)).tolist()
        tiny = torch.finfo(similarity.dtype).tiny
        for start, first, last in zip(range(0, n, size), bounds, bounds[1:]):
            rows, labels = slice(start, start + size), slice(first, last)
            f, at = similarity[rows], anchor[labels] - start
            mine = (at == torch.arange(len(f), device=at.device)[:, None]).to(f.dtype)  # (rows, labels): whose is which
            top = f.amax(1, keepdim=True)
            e = (f - top).exp_()
            e_sum = e.sum(1)
            g = f[at].add_(log_candidate[labels])
            g_top = g.amax(1, keepdim=True).clamp_min_(FLOOR)
            g.sub_(g_top).exp_()
            g_sum = g.sum(1)
            from_anchor = _safe_log(alpha) + log_anchor[labels] + (top.squeeze(1) + e_sum.log())[at]
            from_candidates = _safe_log(1 - alpha) + g_top.squeeze(1) + g_sum.log()
            log_total = torch.logaddexp(from_anchor, from_candidates)
            total[rows] = mine @ (share[labels] * log_total)
            of_anchor[labels] = share[labels] * (from_anchor - log_total).exp()
            of_candidates = share[labels] * (from_candidates - log_total).exp() / g_sum.clamp_min(tiny)
            if of_candidate is not None:
                torch.mul(g, of_candidates[:, None], out=of_candidate[labels])
            if of_similarity is not None:
                e *= (mine @ of_anchor[labels] / e_sum)[:, None]
                torch.addmm(e, mine * of_candidates, g, out=of_similarity[rows])
        context.save_for_backward(anchor, of_similarity, of_anchor, of_candidate)
        return total

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """What each got, times the gradient of its anchor."""
        anchor, of_similarity, of_anchor, of_candidate = context.saved_tensors
        of_label = gradient[anchor]
        return (
            None if of_similarity is None else of_similarity * gradient[:, None],
            None,
            None,
            of_anchor * of_label,
            None if of_candidate is None else of_candidate * of_label[:, None],
            None,
        )


def log_total_of_shares(similarity: Tensor, log_anchor: Tensor, log_candidate: Tensor, alpha: float) -> Tensor:
    """(n, n_B) log sum_j e^f_ij (alpha p_i(b) + (1 - alpha) p_j(b)), for labels over all batches."""
    from_anchor = _safe_log(alpha) + log_anchor + similarity.logsumexp(1, keepdim=True)
    from_candidates = _safe_log(1 - alpha) + _log_matmul(similarity, log_candidate)
    return torch.logaddexp(from_anchor, from_candidates)


def geometric_log_total(
    similarity: Tensor,
    batch_id: Tensor,
    log_anchor: Tensor,
    log_candidate: Tensor,
    alpha: float,
    log_prior: Tensor | None,
) -> Tensor:
    """(n,) or (n, n_B): log sum_j e^(f_ij - log Z_ij) p_i(b)^s p_j(b)^t prior(b)^(1 - s - t)."""
    if log_prior is None:
        log_left, log_right = alpha * log_anchor, (1 - alpha) * log_candidate
    else:
        s, t = min(1.0, 2 * alpha), min(1.0, 2 * (1 - alpha))
        log_left = s * log_anchor + (1 - s - t) * log_prior
        log_right = t * log_candidate
    log_normaliser = _log_matmul(log_left, log_right.T)  # (n, m) log Z_ij, the sum over batches
    adjusted = similarity - log_normaliser
    if batch_id.ndim == 1:
        code = batch_id.long()
        return (adjusted + column_of(log_left, code)[:, None] + columns_of(log_right, code)).logsumexp(1)
    return log_left + _log_matmul(adjusted, log_right)


def column_of(value: Tensor, code: Tensor) -> Tensor:
    """(n,) entry b_i of row i of (n, n_B)."""
    return value.gather(1, code[:, None]).squeeze(1)


def columns_of(value: Tensor, code: Tensor) -> Tensor:
    """(n, m) columns b_i of (m, n_B), one a row; contiguous, as everything that is combined with it."""
    return value.T.index_select(0, code)


def _log_matmul(log_left: Tensor, log_right: Tensor) -> Tensor:
    """log(exp(log_left) @ exp(log_right)), (n, k) x (k, p) -> (n, p), one matrix product in float64.

    Row and column maxima are factored out; float64 keeps products down to 1e-300 of them, which no
    log-softmax in float32 reaches in practice. Below that the value stays finite.
    """
    left_max = log_left.detach().amax(1, keepdim=True).clamp_min(FLOOR)
    right_max = log_right.detach().amax(0, keepdim=True).clamp_min(FLOOR)
    left, right = (log_left - left_max).double().exp(), (log_right - right_max).double().exp()
    product = (left @ right).clamp_min(torch.finfo(torch.float64).tiny)
    return product.log().to(log_left.dtype) + left_max + right_max


def _safe_log(value: float) -> float:
    return math.log(value) if value > 0 else FLOOR


def scale_gradient(value: Tensor, scale: float) -> Tensor:
    """The same log-posterior, floored at log 0; its gradient multiplied by scale (lambda of appendix D)."""
    value = value.clamp_min(FLOOR)
    if scale == 1:
        return value
    detached = value.detach()
    return detached if scale == 0 else detached + scale * (value - detached)
