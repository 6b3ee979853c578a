"""The statistics of the audit: each reads fixed geometry and many permuted labels at a time.

Neighbours, folds and the metric are computed once and without labels, so that a permutation costs additions only, and
that a comparison of observed labels with permuted ones is exact whatever the embedding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.covariance import ledoit_wolf_shrinkage
from sklearn.decomposition import PCA
from torch import Tensor

from infocore_mini.confounding.exchange import Exchange

K = 10  # neighbours
QUERIES = 10_000  # rows whose neighbours are sought, at most
COMPONENTS = 256  # principal components that the linear checks see, at most
FOLDS = 5
ENTRIES = 2**24  # numbers held at a time: 64 MiB
Statistic = Callable[["Geometry", Tensor, int], Tensor]  # geometry, labels (p, n), number of values -> (p,)


@dataclass(frozen=True)
class Geometry:
    """What the checks know of the rows of an embedding besides labels.

    Attributes:
        query: (q,) rows whose neighbours are known.
        neighbour: (q, k) nearest rows of another molecule by cosine, nearest first; -1 where there are fewer.
        white: (n, c) float32 principal components of unit variance, those of small variance shrunk.
        axes: (d, c) what takes centred rows to ``white``.
        fold: (n,) codes; a molecule lies in one.
    """

    query: Tensor
    neighbour: Tensor
    white: Tensor
    axes: Tensor
    fold: Tensor

    @property
    def plane(self) -> NDArray[np.float32]:
        """(n, 2) first two components, for a picture; of one component a line."""
        first = self.white[:, :2].numpy()
        return first if first.shape[1] == 2 else np.repeat(first, 2, axis=1)

    @classmethod
    def of(cls, points: NDArray[np.float32], molecule: NDArray[np.int64] | None, seed: int) -> Geometry:
        """Of rows, (n, d), with codes of their molecules, (n,); None = each row is its own."""
        rng, n = np.random.default_rng(seed), len(points)
        query = np.sort(rng.permutation(n)[:QUERIES])
        group = np.arange(n) if molecule is None else molecule
        fold = (rng.permutation(int(group.max()) + 1) % FOLDS)[group]
        axes = whitening(points, seed)
        return cls(
            query=torch.from_numpy(query),
            neighbour=torch.from_numpy(nearest_rows(points, group, query)),
            white=torch.from_numpy(points - points.mean(0)) @ axes,
            axes=axes,
            fold=torch.from_numpy(fold),
        )


def whitening(points: NDArray[np.float32], seed: int) -> Tensor:
    """(d, c) axes on which centred rows, (n, d), have unit variance, after shrinkage as by Ledoit and Wolf (2004)."""
    spread = points.std(0)
    scale = np.divide(1, spread, out=np.zeros_like(spread), where=spread > 1e-6 * max(spread.max(), 1e-30))
    scaled = (points - points.mean(0)) * scale
    pca = PCA(min(*scaled.shape, COMPONENTS), svd_solver="auto", random_state=seed).fit(scaled)
    some = pca.transform(scaled[np.random.default_rng(seed).permutation(len(scaled))[:QUERIES]])
    shrunk = ledoit_wolf_shrinkage(some)
    variance = (1 - shrunk) * pca.explained_variance_ + shrunk * pca.explained_variance_.mean()
    axes = scale[:, None] * pca.components_.T / np.sqrt(variance.clip(1e-6 * variance.max()))
    return torch.from_numpy(axes.astype(np.float32))


def nearest_rows(
    points: NDArray[np.float32], group: NDArray[np.int64], query: NDArray[np.int64], *, by: str = "cosine"
) -> NDArray[np.int64]:
    """(q, K) rows of another group nearest to some rows, by cosine or by distance, in blocks; -1 where there are fewer."""
    rows, code = torch.from_numpy(points), torch.from_numpy(group)
    rows = torch.nn.functional.normalize(rows, dim=1) if by == "cosine" else rows
    k = min(K, len(rows) - 1)
    found = []
    for some in torch.from_numpy(query).split(max(1, ENTRIES // len(rows))):
        nearness = rows[some] @ rows.T if by == "cosine" else -torch.cdist(rows[some], rows)
        best = nearness.masked_fill_(code[some, None] == code, -torch.inf).topk(k, dim=1)
        found.append(best.indices.masked_fill(best.values.isinf(), -1))
    return torch.cat(found).numpy()


def neighbours(geometry: Geometry, labels: Tensor, n_values: int) -> Tensor:
    """Share of the pairs of a row and one of its nearest neighbours that carry the same label, (p,)."""
    there = geometry.neighbour >= 0
    same = labels[:, geometry.query, None] == labels[:, geometry.neighbour.clamp(min=0)]
    return (same & there).sum((1, 2)) / there.sum()


def nearest_vote(geometry: Geometry, labels: Tensor, n_values: int) -> Tensor:
    """Balanced accuracy of the label that is most over-represented among a row's nearest neighbours, (p,)."""
    return balanced_accuracy(vote(geometry.neighbour, labels, n_values), labels[:, geometry.query], n_values)


def vote(nearest: Tensor, labels: Tensor, n_values: int) -> Tensor:
    """(p, q) the label that is most over-represented among some rows, (q, k), of which -1 is none."""
    there = (nearest >= 0).float()
    found = labels[:, nearest.clamp(min=0)]
    votes = torch.zeros(*found.shape[:2], n_values).scatter_add_(2, found, there.expand(found.shape))
    return (votes / one_hot(labels, n_values).sum(1, keepdim=True).clamp(min=1)).argmax(2)


def nearest_mean(geometry: Geometry, labels: Tensor, n_values: int, shift: Tensor | None = None) -> Tensor:
    """Balanced accuracy of a linear probe, (p,): the nearest mean of the other folds, under the metric of all rows.

    Linear discriminant analysis with equal priors, but for the metric, which is that of the total covariance: it does
    not change when labels do.
    """
    white = geometry.white if shift is None else shift
    guess = torch.empty_like(labels)
    member = one_hot(labels, n_values)
    total, count = member.mT @ white, member.sum(1)
    for fold in range(FOLDS):
        rows = geometry.fold == fold
        held_out = member[:, rows]
        others = (count - held_out.sum(1)).unsqueeze(2)
        mean = (total - held_out.mT @ white[rows]) / others.clamp(min=1)
        score = white[rows] @ mean.mT - (mean**2).sum(2).unsqueeze(1) / 2
        guess[:, rows] = score.masked_fill(others.mT == 0, -torch.inf).argmax(2)
    return balanced_accuracy(guess, labels, n_values)


def drift(geometry: Geometry, labels: Tensor, n_values: int, shift: Tensor | None = None) -> Tensor:
    """How far the mean of the value that drifts most lies from the mean of the rest, (p,).

    Mean squared distance over the components, in units of what its standard error would give by chance.
    """
    return drifts(geometry, labels, n_values, shift).amax(1)


def drifts(geometry: Geometry, labels: Tensor, n_values: int, shift: Tensor | None = None) -> Tensor:
    """`drift` of each value when it is held out, (p, n_values)."""
    white = geometry.white if shift is None else shift
    member = one_hot(labels, n_values)
    count = member.sum(1)
    others = (count.sum(1, keepdim=True) - count).clamp(min=1)
    total = member.mT @ white
    gap = total / count.clamp(min=1).unsqueeze(2) - (total.sum(1, keepdim=True) - total) / others.unsqueeze(2)
    return (gap**2).mean(2) / (1 / count.clamp(min=1) + 1 / others) * (count > 0)


def one_hot(labels: Tensor, n_values: int) -> Tensor:
    """(p, n, n_values) float32."""
    return torch.zeros(*labels.shape, n_values).scatter_(2, labels.unsqueeze(2), 1)


def balanced_accuracy(guess: Tensor, labels: Tensor, n_values: int) -> Tensor:
    """(p,) mean over the values of the share of their rows, (p, q), that are guessed."""
    count = torch.zeros(len(labels), n_values).scatter_add_(1, labels, torch.ones_like(labels, dtype=torch.float32))
    hits = torch.zeros(len(labels), n_values).scatter_add_(1, labels, (guess == labels).float())
    return (hits / count.clamp(min=1)).sum(1) / (count > 0).sum(1)


CHECKS: Mapping[str, Statistic] = {
    "neighbours": neighbours,
    "kNN probe": nearest_vote,
    "linear probe": nearest_mean,
    "drift of a held-out value": drift,
}
OF_CONTROLS = ("neighbours", "linear probe", "drift of a held-out value")


def values(
    geometry: Geometry,
    exchanges: Mapping[str, Exchange],
    checks: Mapping[str, Statistic],
    n_permutations: int,
    seed: int,
) -> dict[tuple[str, str], NDArray[np.float64]]:
    """Every check of every nuisance under the observed labels and under permutations, the same ones for all checks.

    Args:
        geometry: of n rows.
        exchanges: nuisance -> which rows may exchange it.
        checks: name -> statistic.
        n_permutations: beside the observed labels.
        seed: of the permutations.

    Returns:
        (nuisance, check) -> (1 + n_permutations,), the observed value first.
    """
    found: dict[tuple[str, str], list[Tensor]] = {(name, check): [] for name in exchanges for check in checks}
    for number, (name, exchange) in enumerate(exchanges.items()):
        rng, n_values = np.random.default_rng([seed, number]), int(exchange.code.max()) + 1
        at_a_time = max(1, ENTRIES // (len(exchange.code) * max(n_values, K)))
        for start in range(0, 1 + n_permutations, at_a_time):
            labels = exchange.permuted(min(at_a_time, 1 + n_permutations - start), rng)
            if start == 0:
                labels[0] = exchange.code
            for check, statistic in checks.items():
                found[name, check].append(statistic(geometry, torch.from_numpy(labels), n_values))
    return {key: torch.cat(parts).double().numpy() for key, parts in found.items()}
