"""Contrastive losses: CLIP, CCL and InfoCORE, as pure functions of embeddings and batch posteriors.

Every loss is the mean over both anchor directions of one directional core. A core sees a similarity
matrix ``(n, m)`` of n anchors against m candidates (the minibatch, or the minibatch and a queue) and
returns one value per anchor, so SimCLR and MoCo share the same code.

InfoCORE's pair weights are exact and cheap: nothing of shape (minibatch, candidates, n_B) is ever made.
With integer labels one column of the posteriors is read for each anchor, that of its experimental batch; with soft
labels that name few batches the columns of these, and with labels over all batches one matrix product does it.

Symbols follow the paper: f = cos / temperature, p_hat = batch posterior, x_b = experimental batch.

The sums behind InfoCORE's losses are in `log_totals`.  Longer than the other modules on purpose: the losses and the
checks of what they are given are one thought, and are read together.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from infocore_mini.log_totals import (
    column_of,
    columns_of,
    geometric_log_total,
    log_total_of_columns,
    log_total_of_labels,
    log_total_of_shares,
    scale_gradient,
)

Mixture = Literal["arithmetic", "geometric"]


# ------------------------------------------------------------------ directional cores, (n, m) -> (n,)


def info_nce(similarity: Tensor, positive: Tensor) -> Tensor:
    """InfoNCE of each anchor: log sum_j e^f_ij - f_i,positive (appendix E, without the constant 1/K).

    Args:
        similarity: (n, m) f, already divided by the temperature; -inf leaves a candidate out.
        positive: (n,) int64, column of each anchor's true partner.

    Returns:
        (n,) loss in nats.

    Raises:
        ValueError: if the shapes do not fit.
    """
    _check_similarity(similarity, positive)
    return similarity.logsumexp(1) - _take_positive(similarity, positive)


def reweighted_info_nce(
    similarity: Tensor,
    positive: Tensor,
    batch_id: Tensor,
    log_posterior_anchor: Tensor,
    log_posterior_candidate: Tensor,
    *,
    alpha: float = 0.33,
    gradient_scale: float = 0.0,
    mixture: Mixture = "arithmetic",
    log_prior: Tensor | None = None,
) -> Tensor:
    """InfoNCE with candidate j weighted by how likely anchor i and it come from anchor i's experimental batch.

    loss_i = log sum_j w_ij e^f_ij - f_i,positive, the anchor term of L_CLIP in proposition 2 (without 1/K), with

    * arithmetic: w_ij = alpha p_hat(b_i | anchor i) + (1 - alpha) p_hat(b_i | candidate j)   (proposition 3)
    * geometric: w_ij = p_hat(b_i | i)^alpha p_hat(b_i | j)^(1 - alpha), normalised over batches
    * geometric with ``log_prior``: both experts' evidence over the prior,
      w_ij ~ prior (p_hat(. | i) / prior)^s (p_hat(. | j) / prior)^t, s = min(1, 2 alpha),
      t = min(1, 2 (1 - alpha)). At alpha = 1/2 this is Bayes' rule for embeddings that are independent
      given the batch; at alpha = 1 or 0 it is the posterior of one side, as in the other mixtures.

    Args:
        similarity: (n, m) f, already divided by the temperature; -inf leaves a candidate out.
        positive: (n,) int64, column of each anchor's true partner.
        batch_id: (n,) int64 codes of the anchors' experimental batches, or (n, n_B) float rows that sum
            to 1 (a profile averaged over replicates from several batches); then the loss is
            sum_b y_ib (log sum_j w_ij(b) e^f_ij - f_i,positive).
        log_posterior_anchor: (n, n_B) log p_hat(x_b | anchor).
        log_posterior_candidate: (m, n_B) log p_hat(x_b | candidate).
        alpha: weight of the anchor's own posterior, in [0, 1].
        gradient_scale: lambda of appendix D, >= 0; multiplies (sign kept) the gradient that flows back through
            the posteriors. 0 = stop-gradient.
        mixture: "arithmetic" or "geometric".
        log_prior: (n_B,) log p(x_b), with mixture="geometric" only.

    Returns:
        (n,) loss in nats.

    Raises:
        ValueError: if shapes or settings do not fit, for a code outside [0, n_B), label rows that are no distributions,
            and NaN; the message names the argument. On a GPU, which would have to be waited for, only shapes and
            settings are looked at.
    """
    _check_similarity(similarity, positive)
    _check_posteriors(
        similarity.shape,
        batch_id,
        log_posterior_anchor=log_posterior_anchor,
        log_posterior_candidate=log_posterior_candidate,
    )
    _check_settings(alpha, gradient_scale, mixture, log_prior, log_posterior_anchor)
    if similarity.device.type == "cpu":  # a GPU would have to be waited for
        _check_labels(batch_id, log_posterior_anchor.shape[1])
    log_anchor, log_candidate = log_posterior_anchor, log_posterior_candidate
    if mixture == "arithmetic" and batch_id.ndim == 1:
        code = batch_id.long()
        log_total = log_total_of_columns(
            similarity,
            column_of(log_anchor, code),
            lambda rows: columns_of(log_candidate, code[rows]),
            alpha,
            gradient_scale,
        )
    else:
        log_anchor, log_candidate = (scale_gradient(p, gradient_scale) for p in (log_anchor, log_candidate))
        if mixture == "geometric":
            log_total = geometric_log_total(similarity, batch_id, log_anchor, log_candidate, alpha, log_prior)
        else:
            log_total = log_total_of_shares(similarity, log_anchor, log_candidate, alpha)
    if batch_id.ndim == 2:
        log_total = (batch_id * log_total).sum(1)
    if similarity.device.type == "cpu" and bool(log_total.isnan().any()) and not bool(similarity.isnan().any()):
        name = "log_posterior_anchor" if bool(log_anchor.isnan().any()) else "log_posterior_candidate"
        raise ValueError(f"{name}: got NaN, expected log-probabilities")
    return log_total - _take_positive(similarity, positive)


def reweighted_info_nce_from_columns(
    similarity: Tensor,
    positive: Tensor,
    log_column_anchor: Tensor,
    log_column_candidate: Tensor,
    *,
    alpha: float = 0.33,
    gradient_scale: float = 0.0,
) -> Tensor:
    """``reweighted_info_nce`` for integer labels and the arithmetic mixture, from the columns that it reads.

    The pair weight w_ij = alpha p_hat(b_i | anchor i) + (1 - alpha) p_hat(b_i | candidate j) needs of each posterior
    only the column of b_i, the anchor's experimental batch. A queue that keeps (n_B, K) posteriors hands over those n
    columns and never copies the rest.

    Args:
        similarity, positive: as ``reweighted_info_nce``.
        log_column_anchor: (n,) log p_hat(b_i | anchor i).
        log_column_candidate: (n, m) log p_hat(b_i | candidate j).
        alpha, gradient_scale: as ``reweighted_info_nce``.

    Returns:
        (n,) loss in nats.

    Raises:
        ValueError: if shapes or settings do not fit; the message names the argument.
    """
    _check_similarity(similarity, positive)
    for name, value, shape in (
        ("log_column_anchor", log_column_anchor, similarity.shape[:1]),
        ("log_column_candidate", log_column_candidate, similarity.shape),
    ):
        if value.shape != shape:
            raise ValueError(f"{name}: got shape {tuple(value.shape)}, expected {tuple(shape)} like similarity")
    _check_numbers(alpha, gradient_scale)
    log_total = log_total_of_columns(
        similarity, log_column_anchor, lambda rows: log_column_candidate[rows], alpha, gradient_scale
    )
    return log_total - _take_positive(similarity, positive)


def reweighted_info_nce_from_labels(
    similarity: Tensor,
    positive: Tensor,
    anchor: Tensor,
    share: Tensor,
    log_column_anchor: Tensor,
    log_column_candidate: Tensor,
    *,
    alpha: float = 0.33,
    gradient_scale: float = 0.0,
) -> Tensor:
    """``reweighted_info_nce`` for soft labels and the arithmetic mixture, from the columns that it reads.

    The p labels, an anchor's few or one, stand one by one: sum_l share_l (log sum_j w_ij(b_l) e^f_ij - f_i,positive) over
    the labels l of anchor i. As in ``reweighted_info_nce_from_columns`` nothing else of the posteriors is looked at.

    Args:
        similarity, positive: as ``reweighted_info_nce``.
        anchor: (p,) int64 row of similarity that each label is of, ascending.
        share: (p,) of the experimental batch b_l among those of its anchor; they sum to 1 for each anchor.
        log_column_anchor: (p,) log p_hat(b_l | the label's anchor).
        log_column_candidate: (p, m) log p_hat(b_l | candidate j).
        alpha, gradient_scale: as ``reweighted_info_nce``.

    Returns:
        (n,) loss in nats.

    Raises:
        ValueError: if shapes or settings do not fit; the message names the argument.
    """
    _check_similarity(similarity, positive)
    p = len(anchor)
    for name, value, shape in (
        ("anchor", anchor, (p,)),
        ("share", share, (p,)),
        ("log_column_anchor", log_column_anchor, (p,)),
        ("log_column_candidate", log_column_candidate, (p, similarity.shape[1])),
    ):
        if value.shape != shape:
            raise ValueError(f"{name}: got shape {tuple(value.shape)}, expected {shape} for {p} labels")
    _check_numbers(alpha, gradient_scale)
    own = scale_gradient(log_column_anchor, gradient_scale)
    # Without gradient as it comes: the sum knows log 0, and a copy of so many numbers takes its time.
    other = (
        log_column_candidate.detach() if gradient_scale == 0 else scale_gradient(log_column_candidate, gradient_scale)
    )
    log_total = log_total_of_labels(similarity, anchor, share, own, other, alpha)
    return log_total - _take_positive(similarity, positive)


def same_batch_only(similarity: Tensor, batch_id_anchor: Tensor, batch_id_candidate: Tensor) -> Tensor:
    """CCL's choice of negatives: the (n, m) similarity with candidates of other experimental batches left out.

    Args:
        similarity: (n, m).
        batch_id_anchor, batch_id_candidate: (n,) and (m,) integer codes.
    """
    return similarity.masked_fill(batch_id_anchor[:, None] != batch_id_candidate[None, :], -torch.inf)


# ------------------------------------------------------------------ symmetric losses, both directions


def clip_loss(z_a: Tensor, z_b: Tensor, *, temperature: float = 0.1) -> Tensor:
    """Symmetric InfoNCE of CLIP: every other row of the minibatch is an equally good negative.

    Args:
        z_a, z_b: (n, d) unit-norm embeddings of the two views, row i of one belongs to row i of the other.
        temperature: tau > 0; f = cos / tau.

    Returns:
        Scalar, mean over anchors and both directions, in nats.

    Raises:
        ValueError: on shapes that do not match, NaN or infinite values, temperature <= 0.
    """
    similarity, positive = _similarity(z_a, z_b, temperature)
    return (info_nce(similarity, positive) + info_nce(similarity.T, positive)).mean() / 2


def ccl_loss(z_a: Tensor, z_b: Tensor, batch_id: Tensor, *, temperature: float = 0.1) -> Tensor:
    """Conditional contrastive loss (Ma et al. 2021): negatives from the anchor's experimental batch only.

    An anchor that is alone in its experimental batch has no negative and contributes 0.

    Args:
        z_a, z_b: (n, d) unit-norm embeddings of the two views.
        batch_id: (n,) int64 codes.
        temperature: tau > 0.

    Returns:
        Scalar, mean over anchors and both directions, in nats.

    Raises:
        ValueError: as ``clip_loss``, and if batch_id is not (n,) integers.
    """
    similarity, positive = _similarity(z_a, z_b, temperature)
    if batch_id.shape != positive.shape or batch_id.is_floating_point():
        raise ValueError(
            f"batch_id: got shape {tuple(batch_id.shape)} of {batch_id.dtype}, "
            f"expected ({len(positive)},) integers (CCL has no soft labels)"
        )
    similarity = same_batch_only(similarity, batch_id, batch_id)
    return (info_nce(similarity, positive) + info_nce(similarity.T, positive)).mean() / 2


def infocore_loss(
    z_a: Tensor,
    z_b: Tensor,
    batch_id: Tensor,
    log_posterior_a: Tensor,
    log_posterior_b: Tensor,
    *,
    alpha: float = 0.33,
    temperature: float = 0.1,
    gradient_scale: float = 0.0,
    mixture: Mixture = "arithmetic",
    log_prior: Tensor | None = None,
) -> Tensor:
    """L_CLIP of InfoCORE (proposition 2): symmetric InfoNCE with every pair weighted by batch posterior.

    alpha = 1 gives ``clip_loss`` plus the mean over anchors of log p_hat(b_i | z_i).

    Args:
        z_a, z_b: (n, d) unit-norm embeddings of the two views.
        batch_id: (n,) int64 codes in [0, n_B) or (n, n_B) float rows that sum to 1.
        log_posterior_a, log_posterior_b: (n, n_B) log p_hat(x_b | z_a), log p_hat(x_b | z_b).
        alpha, gradient_scale, mixture, log_prior: see ``reweighted_info_nce``.
        temperature: tau > 0.

    Returns:
        Scalar, mean over anchors and both directions, in nats.

    Raises:
        ValueError: on wrong shapes, NaN or infinite embeddings, posteriors that are no log-probabilities, a batch_id
            outside [0, n_B), label rows that do not sum to 1, or settings out of range.
    """
    similarity, positive = _similarity(z_a, z_b, temperature)
    _check_posteriors(similarity.shape, batch_id, log_posterior_a=log_posterior_a, log_posterior_b=log_posterior_b)
    _check_labels(batch_id, log_posterior_a.shape[1])
    log_a, log_b = _single(log_posterior_a), _single(log_posterior_b)
    _check_log_posterior("log_posterior_a", log_a)
    _check_log_posterior("log_posterior_b", log_b)

    def direction(f: Tensor, log_anchor: Tensor, log_candidate: Tensor) -> Tensor:
        return reweighted_info_nce(
            f,
            positive,
            batch_id,
            log_anchor,
            log_candidate,
            alpha=alpha,
            gradient_scale=gradient_scale,
            mixture=mixture,
            log_prior=log_prior,
        )

    return (direction(similarity, log_a, log_b) + direction(similarity.T, log_b, log_a)).mean() / 2


def _take_positive(similarity: Tensor, positive: Tensor) -> Tensor:
    return similarity.gather(1, positive[:, None]).squeeze(1)


# ------------------------------------------------------------------ checks

_SUMS_TO_ONE = 1e-2  # |log of the sum| of a row of probabilities, in bfloat16 as well


def _similarity(z_a: Tensor, z_b: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """(n, n) cosine / temperature of unit-norm rows, in float32 at least; and the column of each partner."""
    if z_a.ndim != 2 or z_a.shape != z_b.shape or len(z_a) == 0:
        raise ValueError(
            f"z_a, z_b: got shapes {tuple(z_a.shape)} and {tuple(z_b.shape)}, expected the same (n, d) with n >= 1"
        )
    if not temperature > 0:
        raise ValueError(f"temperature: got {temperature}, expected a number > 0")
    for name, value in (("z_a", z_a), ("z_b", z_b)):
        if not bool(value.isfinite().all()):
            raise ValueError(f"{name}: got NaN or infinite values, expected finite embeddings")
    z_a, z_b = _single(z_a), _single(z_b)
    return z_a @ z_b.T / temperature, torch.arange(len(z_a), device=z_a.device)


def _single(value: Tensor) -> Tensor:
    """float32 in the place of half precision, whose range holds no log 0."""
    return value.float() if value.dtype in (torch.float16, torch.bfloat16) else value


def _check_similarity(similarity: Tensor, positive: Tensor) -> None:
    if similarity.ndim != 2:
        raise ValueError(f"similarity: got shape {tuple(similarity.shape)}, expected (n anchors, m candidates)")
    if positive.shape != (len(similarity),) or positive.dtype != torch.int64:
        raise ValueError(
            f"positive: got shape {tuple(positive.shape)} of {positive.dtype}, expected ({len(similarity)},) of int64"
        )


def _check_posteriors(shape: torch.Size, batch_id: Tensor, **log_posteriors: Tensor) -> None:
    n = shape[0]
    n_batches = next(iter(log_posteriors.values())).shape[-1]
    for rows, (name, value) in zip(shape, log_posteriors.items()):
        if value.shape != (rows, n_batches):
            raise ValueError(f"{name}: got shape {tuple(value.shape)}, expected ({rows}, {n_batches}), rows by n_B")
    hard = batch_id.shape == (n,) and not batch_id.is_floating_point()
    soft = batch_id.shape == (n, n_batches) and batch_id.is_floating_point()
    if not (hard or soft):
        raise ValueError(
            f"batch_id: got shape {tuple(batch_id.shape)} of {batch_id.dtype}, "
            f"expected ({n},) integers or ({n}, {n_batches}) floats"
        )


def _check_labels(batch_id: Tensor, n_batches: int) -> None:
    if batch_id.ndim == 1:
        low, high = int(batch_id.min()), int(batch_id.max())
        if low < 0 or high >= n_batches:
            raise ValueError(
                f"batch_id: got codes from {low} to {high}, expected 0 to {n_batches - 1} (n_B = {n_batches})"
            )
    elif not bool(((batch_id.sum(1) - 1).abs() < 1e-4).all() and (batch_id >= 0).all()):
        raise ValueError("batch_id: got soft labels whose rows are not distributions, expected rows >= 0 that sum to 1")


def _check_settings(
    alpha: float, gradient_scale: float, mixture: str, log_prior: Tensor | None, log_anchor: Tensor
) -> None:
    _check_numbers(alpha, gradient_scale)
    if mixture not in ("arithmetic", "geometric"):
        raise ValueError(f"mixture: got {mixture!r}, expected 'arithmetic' or 'geometric'")
    if log_prior is None:
        return
    if mixture != "geometric":
        raise ValueError("log_prior: got a prior with mixture='arithmetic', expected mixture='geometric'")
    if log_prior.shape != (log_anchor.shape[1],) or bool(log_prior.isnan().any()):
        got = f"shape {tuple(log_prior.shape)}" + (" with NaN" if bool(log_prior.isnan().any()) else "")
        raise ValueError(f"log_prior: got {got}, expected ({log_anchor.shape[1]},) log-probabilities")


def _check_numbers(alpha: float, gradient_scale: float) -> None:
    if isinstance(alpha, Tensor):
        raise ValueError(f"alpha: got a tensor ({alpha}), expected a plain number: it is chosen, not learnt")
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha: got {alpha}, expected a number from 0 to 1")
    if not 0 <= gradient_scale < math.inf:
        raise ValueError(f"gradient_scale: got {gradient_scale}, expected a finite number >= 0")


def _check_log_posterior(name: str, value: Tensor) -> None:
    """ValueError unless the rows are log-probabilities; logits and probabilities are the usual mistakes."""
    if bool(value.isnan().any()):
        raise ValueError(f"{name}: got NaN, expected log-probabilities")
    total = value.logsumexp(1)
    if not bool((total.abs() < _SUMS_TO_ONE).all()):
        worst = int(total.abs().argmax())
        raise ValueError(
            f"{name}: got a row {worst} whose probabilities sum to {float(total[worst].exp()):.4g}, expected "
            "log-probabilities, such as log_softmax of a classifier's logits"
        )
