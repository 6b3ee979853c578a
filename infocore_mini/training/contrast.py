"""SimCLR and MoCo: two ways to supply candidates to the same loss.

SimCLR's candidates are the other view of the minibatch, gradient included. MoCo's come from a slowly
moving copy of the model, without gradient: the minibatch's partners first, then a queue of older ones.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from infocore_mini.config import Config
from infocore_mini.training.pairs import Minibatch


class TwoTower(nn.Module):
    """Two encoders and, for InfoCORE, a batch classifier on each embedding. Views may share both.

    Args:
        encoders: (encoder of view a, encoder of view b); the same module twice = shared.
        classifiers: (classifier of z_a, classifier of z_b), or None for methods without one.
        scalers: what standardises each view, after noise and before the encoders; None = nothing to do.
        bf16: run the networks in bfloat16 (autocast); weights, embeddings and posteriors stay float32.
    """

    def __init__(
        self,
        encoders: tuple[nn.Module, nn.Module],
        classifiers: tuple[nn.Module, nn.Module] | None,
        scalers: tuple[nn.Module, nn.Module] | None = None,
        *,
        bf16: bool = False,
    ) -> None:
        super().__init__()
        self.bf16 = bf16
        self.encoders = nn.ModuleList(encoders)
        self.classifiers = nn.ModuleList(classifiers or ())
        self.scalers = nn.ModuleList(scalers or (nn.Identity(), nn.Identity()))

    def embed(self, minibatch: Minibatch) -> tuple[Tensor, Tensor]:
        """Unit-norm z_a and z_b of the pairs, each (n, d); only view a, the drug, depends on the cell line."""
        of_a, of_b = self.encoders
        with self._precision(minibatch.a):
            return of_a(minibatch.a, minibatch.cell_line), of_b(minibatch.b)

    def log_posteriors(self, z: tuple[Tensor, Tensor]) -> tuple[Tensor | None, Tensor | None]:
        """log p_hat(x_b | z) of each view, each (n, n_B); None without classifiers."""
        if not self.classifiers:
            return None, None
        with self._precision(z[0]):
            return tuple(classifier(embedding) for classifier, embedding in zip(self.classifiers, z))

    def _precision(self, x: Tensor) -> torch.autocast:
        return torch.autocast(x.device.type, torch.bfloat16, enabled=self.bf16)


@dataclass(frozen=True)
class Candidates:
    """What the anchors of one view are compared with. The first rows are the minibatch's own partners.

    z: (m, d). log_posterior: (m, n_B) or None. batch_id: (m,) integers (unused entries -1), or (m, n_B).
    drug_id: (m,) codes of the molecules (unused entries -1), or None.
    filled: (m,) boolean, rows that exist.
    asked: None, or (n,) codes of the anchors' experimental batches; then column i of ``log_posterior``, (m, n), is
    that of batch asked_i, and the others were never copied.
    """

    z: Tensor
    log_posterior: Tensor | None
    batch_id: Tensor
    drug_id: Tensor | None
    filled: Tensor
    asked: Tensor | None = None

    def excluded(self, minibatch: Minibatch) -> Tensor:
        """(n, m) or (1, m) boolean: rows that do not exist, or hold the anchor's molecule without being its partner.

        The same molecule in another cell line, or in an older step of the queue, is no negative: retrieval
        counts it as right.
        """
        if self.drug_id is None:
            return ~self.filled[None]
        same = self.drug_id == minibatch.drug_id[:, None]
        same.fill_diagonal_(False)  # the partners come first, in the order of the anchors
        return same | ~self.filled


class SimCLR(nn.Module):
    """Candidates = the minibatch, seen from the other side."""

    def candidates(self, minibatch: Minibatch, z, log_posteriors) -> tuple[Candidates, Candidates]:
        """Candidates for anchors of view a, then for anchors of view b."""
        filled = torch.ones(len(z[0]), dtype=torch.bool, device=z[0].device)
        of_a, of_b = (
            Candidates(z_v, p_v, minibatch.batch_id, minibatch.drug_id, filled) for z_v, p_v in zip(z, log_posteriors)
        )
        return of_b, of_a

    def update(self, model: TwoTower) -> None:
        """Nothing to do after a step: there is no state."""


class Queue(nn.Module):
    """Ring buffers of past candidates, one lane each: one lane, one per experimental batch (CCL), or per cell line.

    Args:
        size: rows a lane.
        n_lanes: 1, or the number of groups of which ``size`` rows each are kept.
        dim: embedding dimension.
        n_batches: n_B, or 0 to store no posteriors.
        label_shape: () for integer batch ids, (n_B,) for soft labels.
        lane_batches: (n_lanes, width) experimental batches, ascending, of which each lane stores the posterior,
            because its anchors lie in no other; None = all of them.
    """

    def __init__(
        self,
        size: int,
        n_lanes: int,
        dim: int,
        n_batches: int,
        label_shape: tuple[int, ...] = (),
        lane_batches: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.size, self.n_lanes = size, n_lanes
        rows, width = size * n_lanes, n_batches if lane_batches is None else lane_batches.shape[1]
        self.register_buffer("lane_batches", lane_batches, persistent=False)
        self.register_buffer("z", torch.zeros(rows, dim))
        # One row an experimental batch: a loss reads a few of them whole, whatever n_B is.
        self.register_buffer("log_posterior", torch.zeros(width, rows) if n_batches else None)
        self.register_buffer("batch_id", torch.zeros(rows, *label_shape) if label_shape else torch.full((rows,), -1))
        self.register_buffer("drug_id", torch.full((rows,), -1))
        self.register_buffer("filled", torch.zeros(rows, dtype=torch.bool))
        self.register_buffer("cursor", torch.zeros(n_lanes, dtype=torch.int64))

    @torch.no_grad()
    def push(self, new: Candidates, lane: Tensor) -> None:
        """Store the rows of ``new`` over the oldest of their lanes, (n,) codes; at most ``size`` a lane."""
        member = (lane[:, None] == torch.arange(self.n_lanes, device=lane.device)).long()  # (n, lanes)
        rank = member.cumsum(0).gather(1, lane[:, None]).squeeze(1) - 1  # position among the lane's new rows
        slot = lane * self.size + (self.cursor[lane] + rank) % self.size
        for name in ("z", "batch_id", "drug_id", "filled"):
            value = getattr(new, name)
            if value is not None:
                getattr(self, name)[slot] = value
        if self.log_posterior is not None:
            kept = self.lane_batches
            kept = new.log_posterior if kept is None else new.log_posterior.gather(1, kept[lane])
            self.log_posterior.index_copy_(1, slot, kept.T)
        self.cursor += member.sum(0)

    def extend(self, new: Candidates, lane: int | None = None, asked: Tensor | None = None) -> Candidates:
        """``new`` and behind it what the queue holds, of one lane or of all; posteriors of the batches ``asked`` only."""
        rows = slice(None) if lane is None else slice(lane * self.size, (lane + 1) * self.size)
        both = {
            name: None if (value := getattr(new, name)) is None else torch.cat([value, getattr(self, name)[rows]])
            for name in ("z", "batch_id", "drug_id", "filled")
        }
        if self.log_posterior is None:
            return Candidates(log_posterior=None, **both)
        front, stored = new.log_posterior.T, self.log_posterior[:, rows]
        if asked is not None:
            column = asked if self.lane_batches is None else torch.searchsorted(self.lane_batches[lane], asked)
            front, stored = front[asked], stored[column]
        return Candidates(log_posterior=torch.cat([front, stored], 1).T, asked=asked, **both)


class MoCo(nn.Module):
    """Momentum copies of encoders and classifiers, and queues for each view (He et al. 2020; appendix F).

    With several cell lines each view has two queues: one for minibatches drawn at random, and one with a lane
    of half the size for each cell line, which serves the minibatches of that line.

    Args:
        model: the online model; copied.
        config: of the run.
        n_batches: n_B.
        n_cell_lines: number of cell lines.
        line_batches: (n_cell_lines, width) experimental batches of each cell line; None = not known.
        label_shape: () for integer batch ids, (n_B,) for soft labels.
        embed: how the slow copy embeds a minibatch, where several processes share the work.
    """

    def __init__(
        self,
        model: TwoTower,
        config: Config,
        *,
        n_batches: int,
        n_cell_lines: int = 1,
        line_batches: Tensor | None = None,
        label_shape: tuple[int, ...] = (),
        embed: Callable[[TwoTower, Minibatch], tuple[Tensor, Tensor]] = TwoTower.embed,
    ) -> None:
        super().__init__()
        self.embed = embed
        self.slow = copy.deepcopy(model).requires_grad_(False)
        self.per_batch = config.method == "ccl"
        self.momentum, self.classifier_momentum = config.momentum, config.classifier_momentum
        stored = dict(dim=config.embedding_dim, label_shape=label_shape)
        stored["n_batches"] = n_batches if model.classifiers else 0
        n_lanes = n_batches if self.per_batch else 1
        self.queues = nn.ModuleList(Queue(config.queue_size, n_lanes, **stored) for _ in range(2))
        by_line = config.sampling == "alternate"
        # An arithmetic mixture asks about the anchor's own batch; soft labels and the geometric one about all of them.
        self.own_batch_only = bool(model.classifiers) and config.mixture == "arithmetic" and not label_shape
        stored["lane_batches"] = line_batches if self.own_batch_only else None
        self.line_queues = nn.ModuleList(
            Queue(config.queue_size // 2, n_cell_lines, **stored) for _ in range(2 if by_line else 0)
        )

    @torch.no_grad()
    def candidates(self, minibatch: Minibatch, z, log_posteriors) -> tuple[Candidates, Candidates]:
        """Momentum-encoded partners, then the queue, for anchors of view a and of view b. Fills the queues."""
        slow_z = self.embed(self.slow, minibatch)
        slow_posteriors = self.slow.log_posteriors(slow_z)
        filled = torch.ones(len(slow_z[0]), dtype=torch.bool, device=slow_z[0].device)
        queues = self.queues if minibatch.lane is None else self.line_queues
        asked = minibatch.batch_id if self.own_batch_only else None
        extended = []
        for queue, z_v, p_v in zip(queues, slow_z, slow_posteriors):
            new = Candidates(z_v, p_v, minibatch.batch_id, minibatch.drug_id, filled)
            extended.append(queue.extend(new, minibatch.lane, asked))
            queue.push(new, self._lanes(minibatch))
        of_a, of_b = extended
        return of_b, of_a

    def _lanes(self, minibatch: Minibatch) -> Tensor:
        if minibatch.lane is None and self.per_batch:
            return minibatch.batch_id
        lane = minibatch.lane or 0
        return torch.full((len(minibatch.a),), lane, dtype=torch.int64, device=minibatch.a.device)

    @torch.no_grad()
    def update(self, model: TwoTower) -> None:
        """Move the slow copy towards the online model, after an optimiser step."""
        for part, momentum in (("encoders", self.momentum), ("classifiers", self.classifier_momentum)):
            slow, online = list(getattr(self.slow, part).parameters()), list(getattr(model, part).parameters())
            if slow:
                torch._foreach_lerp_(slow, online, 1 - momentum)
