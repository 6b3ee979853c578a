"""Candidates of a contrastive loss, and the queue that keeps older ones for MoCo."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce

import torch
from torch import Tensor, nn

from infocore_mini.labels import Labels, SoftLabels

_CODE = torch.empty((), dtype=torch.int64)


@dataclass(frozen=True)
class Candidates:
    """What the anchors of one view are compared with. The first rows are the minibatch's own partners.

    Attributes:
        z: (m, d) embeddings.
        batch_id: labels of the experimental batches, codes -1 where nothing is stored; None if nothing reads them.
        drug_id: (m,) codes of the molecules (-1 where nothing is stored), or None: every row is a molecule of its own.
        filled: (m,) boolean, rows that exist.
        log_posterior: (m, n_B) log p_hat(x_b | candidate), or None.
        log_column: in its place (n, m): row i is its column of anchor i's experimental batch, and no other was copied; of
            several nuisances the sum of their columns. With soft labels (p, m), a row for each that an anchor names.
    """

    z: Tensor
    batch_id: Labels | None
    drug_id: Tensor | None
    filled: Tensor
    log_posterior: Tensor | None = None
    log_column: Tensor | None = None

    def excluded(self, drug_id: Tensor | None) -> Tensor:
        """(n, m) or (1, m) boolean: rows that do not exist, or hold the anchor's molecule without being its partner.

        The same molecule in another cell line, or in an older step of the queue, is no negative: retrieval
        counts it as right.

        Args:
            drug_id: (n,) molecules of the anchors, or None.
        """
        if self.drug_id is None or drug_id is None:
            return ~self.filled[None]
        same = self.drug_id == drug_id[:, None]
        same.fill_diagonal_(False)  # the partners come first, in the order of the anchors
        return same | ~self.filled


class Queue(nn.Module):
    """Ring buffers of past candidates: one for all, one per experimental batch (CCL), or one per cell line.

    Args:
        size: rows of a ring.
        n_rings: 1, or the number of groups of which ``size`` rows each are kept.
        dim: embedding dimension.
        n_batches: n_B, or 0 to store no posteriors.
        label: of one row, for shape and type: an integer batch id, soft labels, or (k,) of several nuisances; None to
            store none.
        ring_batches: (n_rings, width) experimental batches, ascending, of which each ring stores the posterior,
            because its anchors lie in no other; None = all of them.
    """

    z: Tensor
    batch_id: Tensor | None
    share: Tensor | None
    drug_id: Tensor
    filled: Tensor
    cursor: Tensor
    log_posterior: Tensor | None
    ring_batches: Tensor | None

    def __init__(
        self,
        size: int,
        n_rings: int,
        dim: int,
        n_batches: int,
        label: Labels | None = _CODE,
        ring_batches: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.size, self.n_rings = size, n_rings
        rows, width = size * n_rings, n_batches if ring_batches is None else ring_batches.shape[1]
        self.register_buffer("ring_batches", ring_batches, persistent=False)
        self.register_buffer("z", torch.zeros(rows, dim))
        # One row an experimental batch: a loss reads a few of them whole, whatever n_B is.
        self.register_buffer("log_posterior", torch.zeros(width, rows) if n_batches else None)
        for name, part in ({"batch_id": None, "share": None} | _by_buffer(label)).items():
            self.register_buffer(name, None if part is None else _empty(rows, part))
        self.register_buffer("drug_id", torch.full((rows,), -1))
        self.register_buffer("filled", torch.zeros(rows, dtype=torch.bool))
        self.register_buffer("cursor", torch.zeros(n_rings, dtype=torch.int64))

    @torch.no_grad()
    def push(self, new: Candidates, ring: Tensor) -> None:
        """Store the rows of ``new`` over the oldest of their rings, (n,) numbers; at most ``size`` a ring."""
        member = (ring[:, None] == torch.arange(self.n_rings, device=ring.device)).long()  # (n, rings)
        rank = member.cumsum(0).gather(1, ring[:, None]).squeeze(1) - 1  # position among the ring's new rows
        slot = ring * self.size + (self.cursor[ring] + rank) % self.size
        labels = {} if self.batch_id is None else _by_buffer(new.batch_id)
        for name, value in ({"z": new.z, "drug_id": new.drug_id, "filled": new.filled} | labels).items():
            if value is not None:
                getattr(self, name)[slot] = value
        if self.log_posterior is not None and new.log_posterior is not None:
            batches = self.ring_batches
            kept = new.log_posterior if batches is None else new.log_posterior.gather(1, batches[ring])
            self.log_posterior.index_copy_(1, slot, kept.T)
        self.cursor += member.sum(0)

    def extend(self, new: Candidates, ring: int | None = None, columns: Tensor | None = None) -> Candidates:
        """``new``, and behind it what the queue holds.

        Args:
            new: the minibatch's partners.
            ring: number of the ring to read; None = all of them.
            columns: (p,) experimental batches of the anchors, or (n, k) of several nuisances: only these columns of the
                posteriors are copied, and those of nuisances added up.
        """
        rows = slice(None) if ring is None else slice(ring * self.size, (ring + 1) * self.size)
        z, filled = (torch.cat([getattr(new, name), getattr(self, name)[rows]]) for name in ("z", "filled"))
        drug_id = None if new.drug_id is None else torch.cat([new.drug_id, self.drug_id[rows]])
        labels = {} if self.batch_id is None else _by_buffer(new.batch_id)
        parts = [torch.cat([value, getattr(self, name)[rows]]) for name, value in labels.items()]
        batch_id = SoftLabels(*parts) if len(parts) == 2 else parts[0] if parts else None
        both = Candidates(z, batch_id, drug_id, filled)
        if self.log_posterior is None or new.log_posterior is None:
            return both
        front, stored = new.log_posterior.T, self.log_posterior[:, rows]
        if columns is None:
            return replace(both, log_posterior=torch.cat([front, stored], 1).T)
        place = columns if self.ring_batches is None else torch.searchsorted(self.ring_batches[ring], columns)
        return replace(both, log_column=torch.cat([of_labels(front, columns), of_labels(stored, place)], 1))


def _by_buffer(labels: Labels | None) -> dict[str, Tensor]:
    """What each buffer of a queue holds of the labels, of one row or of several."""
    if labels is None:
        return {}
    return {"batch_id": labels.code, "share": labels.share} if isinstance(labels, SoftLabels) else {"batch_id": labels}


def _empty(rows: int, part: Tensor) -> Tensor:
    """Rows of labels of which ``part`` is one, before any is stored."""
    empty = 0 if part.is_floating_point() else -1
    return torch.full((rows, *part.shape), empty, dtype=part.dtype)


def of_labels(log_posterior: Tensor, columns: Tensor) -> Tensor:
    """(p, m) log p_hat of p labels under the posteriors of m candidates.

    Args:
        log_posterior: (n_B, m), or of several nuisances (sum of their levels, m).
        columns: (p,) codes, or (p, k) columns, whose posteriors are multiplied. Nothing larger than (p, m) is made.
    """
    return reduce(torch.add, (log_posterior[column] for column in columns.reshape(len(columns), -1).T))
