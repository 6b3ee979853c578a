"""SimCLR and MoCo: two ways to supply candidates to the same loss.

SimCLR's candidates are the other view of the minibatch, gradient included. MoCo's come from a slowly
moving copy of the model, without gradient: the minibatch's partners first, then a queue of older ones.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from infocore_mini.config import Config
from infocore_mini.labels import Labels, SoftLabels
from infocore_mini.losses import (
    reweighted_info_nce,
    reweighted_info_nce_from_columns,
    reweighted_info_nce_from_labels,
)
from infocore_mini.networks import TwoTower
from infocore_mini.training.pairs import Minibatch
from infocore_mini.training.queue import Candidates, Queue, of_labels

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
        label: Labels | None = None,
        embed: Callable[[TwoTower, Minibatch], Views] | None = None,
    ) -> None:
        super().__init__()
        self.embed = embed or _embed
        self.slow = copy.deepcopy(model).requires_grad_(False)
        self.per_batch = config.method == "ccl"
        self.momentum, self.classifier_momentum = config.momentum, config.classifier_momentum
        label = torch.empty((), dtype=torch.int64) if label is None else label
        # An arithmetic mixture reads the columns of the anchor's batches; labels over all of them and the geometric one
        # read all.
        of_all = isinstance(label, Tensor) and label.is_floating_point()
        self.weighted = config.method == "infocore"
        self.reads_columns = self.weighted and config.mixture == "arithmetic" and not of_all
        # Of soft labels of candidates only CCL-K's kernel asks; codes are few bytes.
        soft = of_all or isinstance(label, SoftLabels)
        kept = None if soft and config.method != "ccl_k" else label

        def queues(size: int, n_rings: int, ring_batches: Tensor | None, n: int) -> nn.ModuleList:
            stored = n_batches if self.weighted else 0
            return nn.ModuleList(
                Queue(size, n_rings, config.embedding_dim, stored, kept, ring_batches) for _ in range(n)
            )

        self.queues = queues(config.queue_size, n_batches if self.per_batch else 1, None, 2)
        ring_batches = line_batches if self.reads_columns else None
        n_line_queues = 2 if config.sampling == "alternate" else 0
        self.line_queues = queues(config.queue_size // 2, n_cell_lines, ring_batches, n_line_queues)

    @torch.no_grad()
    def candidates(self, minibatch: Minibatch, z: Views, log_posteriors: Views | None) -> tuple[Candidates, Candidates]:
        """Momentum-encoded partners, then the queue, for drugs and for screens as anchors. Fills the queues."""
        slow_z = self.embed(self.slow, minibatch)
        columns = _columns(minibatch.batch_id) if self.reads_columns else None
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
            assert isinstance(minibatch.batch_id, Tensor)  # CCL has no soft labels
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


def reweighted(
    similarity: Tensor,
    positive: Tensor,
    labels: Labels,
    log_posterior: Tensor,
    candidates: Candidates,
    config: Config,
) -> Tensor:
    """InfoCORE's loss of each anchor, (n,), from as many columns of the posteriors as it reads.

    Args:
        similarity: (n, m). positive: (n,). labels: of the n anchors.
        log_posterior: (n, n_B) of the anchors.
        candidates: m of them, with their posteriors or the columns that are read.
        config: of the run.
    """
    weights: dict[str, Any] = dict(alpha=config.alpha, gradient_scale=config.gradient_scale)
    log_column = candidates.log_column
    several = isinstance(labels, SoftLabels) or (labels.ndim == 2 and not labels.is_floating_point())
    if candidates.log_posterior is not None and several and config.mixture == "arithmetic":
        log_column = of_labels(candidates.log_posterior.T, _columns(labels))
    if log_column is not None and isinstance(labels, SoftLabels):
        anchor, code, share = labels.named()
        column = log_posterior[anchor, code]
        return reweighted_info_nce_from_labels(similarity, positive, anchor, share, column, log_column, **weights)
    if log_column is not None and isinstance(labels, Tensor):
        column = log_posterior.gather(1, labels.reshape(len(labels), -1)).sum(1)
        return reweighted_info_nce_from_columns(similarity, positive, column, log_column, **weights)
    assert candidates.log_posterior is not None
    dense = labels.dense(log_posterior.shape[1]) if isinstance(labels, SoftLabels) else labels
    of_candidates, mixture = candidates.log_posterior, config.mixture
    return reweighted_info_nce(similarity, positive, dense, log_posterior, of_candidates, mixture=mixture, **weights)


def _columns(labels: Labels) -> Tensor:
    """The columns of the posteriors that are read: (n,) of codes, (p,) of soft labels, (n, k) of several nuisances."""
    return labels.named().code if isinstance(labels, SoftLabels) else labels


def _embed(model: TwoTower, minibatch: Minibatch) -> Views:
    return model.embed(minibatch.drug, minibatch.screen, minibatch.cell_line)


def _partners(minibatch: Minibatch, z: Views, log_posteriors: Views | None) -> Iterator[Candidates]:
    """The minibatch as candidates, seen as drugs and as screens."""
    filled = torch.ones(len(z[0]), dtype=torch.bool, device=z[0].device)
    for view, z_v in enumerate(z):
        log_posterior = None if log_posteriors is None else log_posteriors[view]
        yield Candidates(z_v, minibatch.batch_id, minibatch.drug_id, filled, log_posterior)
