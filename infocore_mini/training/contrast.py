"""SimCLR and MoCo: two ways to supply candidates to the same loss.

SimCLR's candidates are the other view of the minibatch, gradient included. MoCo's come from a slowly
moving copy of the model, without gradient: the minibatch's partners first, then a queue of older ones.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from infocore_mini.config import Config
from infocore_mini.networks import TwoTower
from infocore_mini.training.pairs import Minibatch
from infocore_mini.training.queue import Candidates, Queue

Views = tuple[Tensor, Tensor]  # of the drug, of the screen


class SimCLR(nn.Module):
    """Candidates = the minibatch, seen from the other side."""

    def candidates(self, minibatch: Minibatch, z: Views, log_posteriors: Views | None) -> tuple[Candidates, Candidates]:
        """Candidates for drugs as anchors, then for screens as anchors."""
        of_drug, of_screen = _partners(minibatch, z, log_posteriors)
        return of_screen, of_drug

    def update(self, model: TwoTower) -> None:
        """Nothing to do after a step: there is no state."""

    def models(self) -> tuple[TwoTower, ...]:
        """No model beside the online one."""
        return ()


class MoCo(nn.Module):
    """Momentum copies of encoders and classifiers, and queues for each view (He et al. 2020; appendix F).

    With several cell lines each view has two queues: one for minibatches drawn at random, and one with a ring
    of half the size for each cell line, which serves the minibatches of that line.

    Args:
        model: the online model; copied.
        config: of the run.
        n_batches: n_B.
        n_cell_lines: number of cell lines.
        line_batches: (n_cell_lines, width) experimental batches of each cell line; None = not known.
        label: of one row, for shape and type, as ``Queue`` takes it.
        embed: how a model embeds a minibatch, where several processes share the work.
    """

    def __init__(
        self,
        model: TwoTower,
        config: Config,
        *,
        n_batches: int,
        n_cell_lines: int = 1,
        line_batches: Tensor | None = None,
        label: Tensor | None = None,
        embed: Callable[[TwoTower, Minibatch], Views] | None = None,
    ) -> None:
        super().__init__()
        self.embed = embed or _embed
        self.slow = copy.deepcopy(model).requires_grad_(False)
        self.per_batch = config.method == "ccl"
        self.momentum, self.classifier_momentum = config.momentum, config.classifier_momentum
        label = torch.empty((), dtype=torch.int64) if label is None else label
        # An arithmetic mixture reads the column of the anchor's batch; soft labels and the geometric one read all.
        soft = label.is_floating_point()
        self.weighted = config.method == "infocore"
        self.reads_columns = self.weighted and config.mixture == "arithmetic" and not soft

        def queues(size: int, n_rings: int, ring_batches: Tensor | None, n: int) -> nn.ModuleList:
            stored = n_batches if self.weighted else 0
            return nn.ModuleList(
                Queue(size, n_rings, config.embedding_dim, stored, label, ring_batches) for _ in range(n)
            )

        self.queues = queues(config.queue_size, n_batches if self.per_batch else 1, None, 2)
        ring_batches = line_batches if self.reads_columns else None
        n_line_queues = 2 if config.sampling == "alternate" else 0
        self.line_queues = queues(config.queue_size // 2, n_cell_lines, ring_batches, n_line_queues)

    @torch.no_grad()
    def candidates(self, minibatch: Minibatch, z: Views, log_posteriors: Views | None) -> tuple[Candidates, Candidates]:
        """Momentum-encoded partners, then the queue, for drugs and for screens as anchors. Fills the queues."""
        slow_z = self.embed(self.slow, minibatch)
        columns = minibatch.batch_id if self.reads_columns else None
        extended = []
        for queue, new in zip(
            self.queues if minibatch.only_line is None else self.line_queues,
            _partners(minibatch, slow_z, self.slow.log_posteriors(slow_z) if self.weighted else None),
        ):
            assert isinstance(queue, Queue)
            extended.append(queue.extend(new, minibatch.only_line, columns))
            queue.push(new, self._ring(minibatch))
        of_drug, of_screen = extended
        return of_screen, of_drug

    def _ring(self, minibatch: Minibatch) -> Tensor:
        if minibatch.only_line is None and self.per_batch:
            return minibatch.batch_id
        ring = minibatch.only_line or 0
        return torch.full((len(minibatch.drug),), ring, dtype=torch.int64, device=minibatch.drug.device)

    @torch.no_grad()
    def update(self, model: TwoTower) -> None:
        """Move the slow copy towards the online model, after an optimiser step."""
        for part, momentum in (("encoders", self.momentum), ("classifiers", self.classifier_momentum)):
            slow, online = list(getattr(self.slow, part).parameters()), list(getattr(model, part).parameters())
            if slow:
                torch._foreach_lerp_(slow, online, 1 - momentum)

    def models(self) -> tuple[TwoTower, ...]:
        """The slow copy."""
        return (self.slow,)


def _embed(model: TwoTower, minibatch: Minibatch) -> Views:
    return model.embed(minibatch.drug, minibatch.screen, minibatch.cell_line)


def _partners(minibatch: Minibatch, z: Views, log_posteriors: Views | None) -> Iterator[Candidates]:
    """The minibatch as candidates, seen as drugs and as screens."""
    filled = torch.ones(len(z[0]), dtype=torch.bool, device=z[0].device)
    for view, z_v in enumerate(z):
        log_posterior = None if log_posteriors is None else log_posteriors[view]
        yield Candidates(z_v, minibatch.batch_id, minibatch.drug_id, filled, log_posterior)
