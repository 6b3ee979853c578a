"""SimCLR and MoCo: two ways to supply candidates to the same loss.

SimCLR's candidates are the other view of the minibatch, gradient included. MoCo's come from a slowly
moving copy of the model, without gradient: the minibatch's partners first, then a queue of older ones.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn


class TwoTower(nn.Module):
    """Two encoders and, for InfoCORE, a batch classifier on each embedding. Views may share both.

    Args:
        encoders: (encoder of view a, encoder of view b); the same module twice = shared.
        classifiers: (classifier of z_a, classifier of z_b), or None for methods without one.
    """

    def __init__(self, encoders: tuple[nn.Module, nn.Module], classifiers: tuple[nn.Module, nn.Module] | None):
        super().__init__()
        self.encoders = nn.ModuleList(encoders)
        self.classifiers = nn.ModuleList(classifiers or ())

    def embed(self, views: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """(n, n_a), (n, n_b) -> unit-norm z_a, z_b, each (n, d)."""
        return tuple(encoder(view) for encoder, view in zip(self.encoders, views))

    def log_posteriors(self, z: tuple[Tensor, Tensor]) -> tuple[Tensor | None, Tensor | None]:
        """log p_hat(x_b | z) of each view, each (n, n_B); None without classifiers."""
        if not self.classifiers:
            return None, None
        return tuple(classifier(embedding) for classifier, embedding in zip(self.classifiers, z))


@dataclass(frozen=True)
class Candidates:
    """What the anchors of one view are compared with. The first rows are the minibatch's own partners.

    z: (m, d). log_posterior: (m, n_B) or None. batch_id: (m,) integers (unused entries -1), or (m, n_B).
    filled: (m,) boolean, rows that exist.
    """

    z: Tensor
    log_posterior: Tensor | None
    batch_id: Tensor
    filled: Tensor


class SimCLR(nn.Module):
    """Candidates = the minibatch, seen from the other side."""

    def candidates(self, views, z, log_posteriors, batch_id) -> tuple[Candidates, Candidates]:
        """Candidates for anchors of view a, then for anchors of view b."""
        filled = torch.ones(len(z[0]), dtype=torch.bool, device=z[0].device)
        of_a, of_b = (Candidates(z_v, p_v, batch_id, filled) for z_v, p_v in zip(z, log_posteriors))
        return of_b, of_a

    def update(self, model: TwoTower) -> None:
        """Nothing to do after a step: there is no state."""


class Queue(nn.Module):
    """Ring buffers of past candidates, one lane each: one lane, or one per experimental batch (CCL).

    Args:
        size: rows a lane.
        n_lanes: 1, or n_B to keep ``size`` rows of every experimental batch.
        dim: embedding dimension.
        n_batches: n_B, or 0 to store no posteriors.
    """

    def __init__(self, size: int, n_lanes: int, dim: int, n_batches: int, label_shape: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.size, self.n_lanes = size, n_lanes
        rows = size * n_lanes
        self.register_buffer("z", torch.zeros(rows, dim))
        self.register_buffer("log_posterior", torch.zeros(rows, n_batches) if n_batches else None)
        self.register_buffer("batch_id", torch.zeros(rows, *label_shape) if label_shape else torch.full((rows,), -1))
        self.register_buffer("filled", torch.zeros(rows, dtype=torch.bool))
        self.register_buffer("cursor", torch.zeros(n_lanes, dtype=torch.int64))

    @torch.no_grad()
    def push(self, z: Tensor, log_posterior: Tensor | None, batch_id: Tensor) -> None:
        """Store (n, d) embeddings over the oldest rows of their lanes; n <= size."""
        lane = batch_id if self.n_lanes > 1 else torch.zeros(len(z), dtype=torch.int64, device=z.device)
        member = nn.functional.one_hot(lane, self.n_lanes)  # (n, lanes)
        rank = member.cumsum(0).gather(1, lane[:, None]).squeeze(1) - 1  # position among the lane's new rows
        slot = lane * self.size + (self.cursor[lane] + rank) % self.size
        self.z[slot] = z
        self.batch_id[slot] = batch_id
        self.filled[slot] = True
        if log_posterior is not None:
            self.log_posterior[slot] = log_posterior
        self.cursor += member.sum(0)


class MoCo(nn.Module):
    """Momentum copies of encoders and classifiers, and one queue per view (He et al. 2020; appendix F).

    Args:
        model: the online model; copied.
        queue_size, n_lanes, dim, n_batches: see ``Queue``.
        momentum, classifier_momentum: share of the old weights kept at each update.
        label_shape: () for integer batch ids, (n_B,) for soft labels.
    """

    def __init__(
        self,
        model: TwoTower,
        *,
        queue_size: int,
        n_lanes: int,
        dim: int,
        n_batches: int,
        momentum: float,
        classifier_momentum: float,
        label_shape: tuple[int, ...] = (),
    ) -> None:
        super().__init__()
        self.slow = copy.deepcopy(model).requires_grad_(False)
        self.queues = nn.ModuleList(Queue(queue_size, n_lanes, dim, n_batches, label_shape) for _ in range(2))
        self.momentum, self.classifier_momentum = momentum, classifier_momentum

    @torch.no_grad()
    def candidates(self, views, z, log_posteriors, batch_id) -> tuple[Candidates, Candidates]:
        """Momentum-encoded partners, then the queue, for anchors of view a and of view b. Fills the queues."""
        slow_z = self.slow.embed(views)
        slow_posteriors = self.slow.log_posteriors(slow_z)
        of_a, of_b = (self._extend(*new, batch_id) for new in zip(self.queues, slow_z, slow_posteriors))
        return of_b, of_a

    def _extend(self, queue: Queue, z: Tensor, log_posterior: Tensor | None, batch_id: Tensor) -> Candidates:
        filled = torch.ones(len(z), dtype=torch.bool, device=z.device)
        extended = Candidates(
            z=torch.cat([z, queue.z]),
            log_posterior=None if log_posterior is None else torch.cat([log_posterior, queue.log_posterior]),
            batch_id=torch.cat([batch_id, queue.batch_id]),
            filled=torch.cat([filled, queue.filled]),
        )
        queue.push(z, log_posterior, batch_id)
        return extended

    @torch.no_grad()
    def update(self, model: TwoTower) -> None:
        """Move the slow copy towards the online model, after an optimiser step."""
        for part, momentum in (("encoders", self.momentum), ("classifiers", self.classifier_momentum)):
            slow, online = list(getattr(self.slow, part).parameters()), list(getattr(model, part).parameters())
            if slow:
                torch._foreach_lerp_(slow, online, 1 - momentum)
