"""The two ways to compute one loss: with the (n, m, n_B) tensor of all weights, and without."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from infocore_mini.losses import reweighted_info_nce

ALPHA = 0.33


def dense(similarity: Tensor, batch_id: Tensor, log_anchor: Tensor, log_candidate: Tensor) -> Tensor:
    """(n,) loss by its definition: every weight w_ij(b) of proposition 3 is written down, (n, m, n_B)."""
    log_weight = (ALPHA * log_anchor.exp()[:, None] + (1 - ALPHA) * log_candidate.exp()).log()
    log_total = (similarity[:, :, None] + log_weight).logsumexp(1)
    return (one_hot(batch_id, log_total.shape[1]) * log_total).sum(1) - similarity.diagonal()


def scalable(similarity: Tensor, batch_id: Tensor, log_anchor: Tensor, log_candidate: Tensor) -> Tensor:
    """(n,) the library's form of the same."""
    positive = torch.arange(len(similarity), device=similarity.device)
    return reweighted_info_nce(similarity, positive, batch_id, log_anchor, log_candidate, alpha=ALPHA)


FORMULATIONS = {"dense": dense, "scalable": scalable}


def work(formulation: str, n: int, candidates: int, n_batches: int, *, device: str = "cpu") -> Callable[[], Tensor]:
    """Forward and backward on random inputs, candidates stored as a queue has them; gives the (n, m) gradient."""
    generator = torch.Generator().manual_seed(0)
    # In place, so that making the inputs leaves no peak of memory above what they take.
    similarity = torch.rand(n, candidates, generator=generator).mul_(10).to(device).requires_grad_()
    batch_id = torch.randint(n_batches, (n,), generator=generator).to(device)
    log_anchor = torch.rand(n, n_batches, generator=generator).add_(0.5).div_(n_batches).log_().to(device)
    log_candidate = torch.rand(n_batches, candidates, generator=generator).add_(0.5).div_(n_batches).log_().to(device).T

    def run() -> Tensor:
        similarity.grad = None
        FORMULATIONS[formulation](similarity, batch_id, log_anchor, log_candidate).mean().backward()
        return similarity.grad

    return run
