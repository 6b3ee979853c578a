"""Soft labels: the few experimental batches that a row came from and the share of each, never a row of all of them.

A profile that is averaged or mixed over replicates names as many experimental batches as its replicates lie in, one to
three of a thousand. Codes and shares of those are all that a step of training needs.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import nll_loss

# A batch that is read by itself takes as long as 16 to 50 columns of a matrix product over all of them.
FEW = 16


class SoftLabels(NamedTuple):
    """The experimental batches of n rows, up to L each.

    Attributes:
        code: (n, L) int64 codes. A row of fewer batches is filled up with codes of its own, at share 0.
        share: (n, L) float, rows that sum to 1; what stands at the same code adds up.
    """

    code: Tensor
    share: Tensor

    def named(self) -> Named:
        """Every batch that a row names, row after row.

        On a CPU those of share above 0. On a GPU, which would have to be waited for, all n L of them.
        """
        n, width = self.code.shape
        if self.code.device.type != "cpu":
            row = torch.arange(n, device=self.code.device).repeat_interleave(width)
            return Named(row, self.code.flatten(), self.share.flatten())
        row, column = self.share.nonzero(as_tuple=True)
        return Named(row, self.code[row, column], self.share[row, column])

    def dense(self, n_batches: int) -> Tensor:
        """(n, n_B) the share of every experimental batch."""
        return self.share.new_zeros(len(self.share), n_batches).scatter_add_(1, self.code, self.share)


class Named(NamedTuple):
    """Labels one by one: row (p,), ascending; code (p,) of an experimental batch and its share (p,) of the row."""

    row: Tensor
    code: Tensor
    share: Tensor


# (n,) codes; (n, n_B) float rows, where they name many batches; (n, k) columns of the posteriors of several nuisances.
Labels = Tensor | SoftLabels


def rows_of(labels: Labels, rows: Tensor | slice | int) -> Labels:
    """The labels of some rows, or without the first axis those of one."""
    return SoftLabels(*(part[rows] for part in labels)) if isinstance(labels, SoftLabels) else labels[rows]


def few_or_all(shares: Tensor) -> Labels:
    """Rows of (n, n_B) shares as ``SoftLabels`` if they name few batches; else as they are, and read by matrix products."""
    most = int((shares > 0).sum(1).max())
    if FEW * most > shares.shape[1]:
        return shares
    share, code = shares.topk(most, dim=1)
    return SoftLabels(code.where(share > 0, code[:, :1]), share)


def cross_entropy(log_posterior: Tensor, labels: Labels) -> Tensor:
    """Mean over rows of minus the log-posterior (n, n_B) of their labels, by share; of several nuisances the sum."""
    if not len(log_posterior):  # a process without a share of the rows
        return log_posterior.sum()
    if isinstance(labels, SoftLabels):
        return -(labels.share * log_posterior.gather(1, labels.code)).sum(1).mean()
    if labels.ndim == 1:
        return nll_loss(log_posterior, labels)
    soft = labels.is_floating_point()
    return -(labels * log_posterior if soft else log_posterior.gather(1, labels)).sum(1).mean()
