"""How much of the effect, and of the experimental batch, an embedding holds (appendix I; Xu et al. 2021)."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold, cross_val_score
from sklearn.neighbors import NearestNeighbors

from infocore_mini.inputs import label_codes
from infocore_mini.validation import as_matrix, positive_integers, require

ENTRIES = 2**25  # cosines held at a time: 128 MiB
TIE = 1e-6  # cosines closer than this are equal: what single precision tells apart


def linear_probe(
    z: ArrayLike, label: ArrayLike, *, group: ArrayLike | None = None, folds: int = 5, seed: int = 0
) -> tuple[float, float]:
    """Accuracy of a linear classifier of ``label`` on ``z``, by stratified cross-validation.

    Needs 16 bytes for every row and class: 2 GB for 100,000 rows in 1,019 experimental batches.

    Args:
        z: (n, d) embeddings.
        label: (n,) effect or batch_id.
        group: (n,) what a point belongs to, such as its molecule; a group stays in one fold. Needed where points of one
            group carry different labels: in training under the other label, they push the accuracy below chance.
            None = every point by itself.
        folds: number of folds, at least 2.
        seed: of the shuffle into folds.

    Returns:
        (mean, standard deviation) of the accuracy over folds, fractions.

    Raises:
        ValueError: on NaN, a missing label, lengths that differ, fewer than two classes, or folds that leave one class
            to train on.
    """
    points = _points("z", z)
    labels = _codes("label", label, points)
    groups = None if group is None else _codes("group", group, points)
    most = min(int(np.bincount(labels).max()), len(points) if groups is None else int(groups.max()) + 1)
    require(labels.max() > 0, "label", "one class", "at least 2")
    whole = isinstance(folds, int | np.integer) and 2 <= folds <= most
    require(
        whole, "folds", repr(folds), f"a whole number from 2 to {most}, the points of the largest class or the groups"
    )
    split = StratifiedKFold if groups is None else StratifiedGroupKFold
    with warnings.catch_warnings():  # classes rarer than the folds still get a score
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        splits = list(split(folds, shuffle=True, random_state=seed).split(points, labels, groups))
    trained_on = min(len(np.unique(labels[train])) for train, _ in splits)
    require(trained_on > 1, "folds", f"{folds}, which leaves one class to train on", "another number for these labels")
    scores = cross_val_score(LogisticRegression(max_iter=1000), points, labels, cv=splits)
    return float(scores.mean()), float(scores.std())


def knn_purity(x: ArrayLike, z: ArrayLike, batch_id: ArrayLike, *, k: Sequence[int]) -> NDArray[np.float64]:
    """Share of each point's k nearest neighbours in the input that stay so in the embedding (Xu et al. 2021).

    Neighbours are sought within the point's experimental batch, so that removing a batch effect
    is not held against an embedding. Batches of k points or fewer are left out.

    Args:
        x: (n, n_features) the input, such as the screen readout.
        z: (n, d) its embedding.
        batch_id: (n,) codes.
        k: numbers of neighbours.

    Returns:
        (len(k),) mean overlap in [0, 1].

    Raises:
        ValueError: on NaN, a missing batch, lengths that differ, or no batch with more than max(k) points.
    """
    inputs, points, sizes = _points("x", x), _points("z", z), positive_integers("k", k, "(10, 50)")
    require(len(points) == len(inputs), "z", f"{len(points)} rows", f"{len(inputs)} like the rows of x")
    code = _codes("batch_id", batch_id, inputs, "x")
    overlaps, largest = [], max(sizes)
    for members in np.split(np.argsort(code, kind="stable"), np.bincount(code).cumsum()[:-1]):
        if len(members) <= largest:
            continue
        in_input, in_embedding = _neighbours(inputs[members], largest), _neighbours(points[members], largest)
        overlaps.append([_overlap(in_input[:, :size], in_embedding[:, :size]) for size in sizes])
    if not overlaps:
        raise ValueError(f"batch_id: no experimental batch has more than k = {largest} points")
    return np.mean(overlaps, axis=0)


def batch_mixing_entropy(z: ArrayLike, batch_id: ArrayLike, *, k: Sequence[int]) -> NDArray[np.float64]:
    """Entropy of the experimental batches among each point's k nearest neighbours, mean over points (Xu et al. 2021).

    Args:
        z: (n, d) embeddings.
        batch_id: (n,) codes.
        k: numbers of neighbours, each below n.

    Returns:
        (len(k),) in nats; log n_B would be a perfect mix.

    Raises:
        ValueError: on NaN, a missing batch, lengths that differ, or k >= n.
    """
    points, sizes = _points("z", z), positive_integers("k", k, "(10, 50)")
    codes = _codes("batch_id", batch_id, points)
    require(max(sizes) < len(points), "k", max(sizes), f"less than the {len(points)} points")
    neighbour_codes = codes[_neighbours(points, max(sizes))]
    return np.array([-_negative_entropy(neighbour_codes[:, :size], int(codes.max()) + 1).mean() for size in sizes])


class SameLabel(NamedTuple):
    """How often the nearest neighbour shares a label, and what permuted labels give.

    Attributes:
        rate: share of the points, in [0, 1].
        chance: mean share under permuted labels.
        p_value: of a rate this high under permuted labels, one-sided; at least 1 / (n_permutations + 1).
        n: number of points that have a neighbour to judge.
    """

    rate: float
    chance: float
    p_value: float
    n: int


def same_label_neighbours(
    z: ArrayLike,
    label: ArrayLike,
    *,
    other_than: ArrayLike | None = None,
    strata: ArrayLike | None = None,
    n_permutations: int = 99,
    seed: int = 0,
) -> SameLabel:
    """Share of the points whose nearest neighbour by cosine carries the same label, such as the experimental batch.

    Neighbours that are equally near count by the share of them that carry the label. A row of zeros has no direction
    and a point may be left without a candidate; neither is counted.

    Args:
        z: (n, d) readouts or embeddings.
        label: (n,) what is compared.
        other_than: (n,) such as the molecule: neighbours are sought among the points where it differs, so that
            replicates do not find each other. None = among all other points.
        strata: (n,) such as the cell line: labels are permuted within it. None = across all points.
        n_permutations: number of permutations behind ``chance`` and ``p_value``.
        seed: of the permutations.

    Returns:
        The rate, what permuted labels give, the p-value and how many points were judged.

    Raises:
        ValueError: on NaN, a missing label, lengths that differ, or no point with a neighbour.
    """
    points, (n_permutations,) = _points("z", z), positive_integers("n_permutations", [n_permutations], "99")
    codes, n = _codes("label", label, points), len(points)
    kind = np.arange(n) if other_than is None else _codes("other_than", other_than, points)
    stratum = np.zeros(n, dtype=int) if strata is None else _codes("strata", strata, points)
    query, neighbour = _nearest_by_cosine(points, kind)
    if not len(query):
        raise ValueError("z: no point has a neighbour to compare it with, expected at least one")
    weight = 1 / np.bincount(query)[query]
    n_queries = len(np.unique(query))

    def rate(values: NDArray) -> float:
        return float(weight[values[query] == values[neighbour]].sum() / n_queries)

    rng = np.random.default_rng(seed)
    order = np.argsort(stratum, kind="stable")
    permuted = []
    for _ in range(n_permutations):
        shuffled = np.empty_like(codes)
        shuffled[order] = codes[np.lexsort((rng.random(n), stratum))]
        permuted.append(rate(shuffled))
    observed = rate(codes)
    reached = sum(value >= observed - 1e-12 for value in permuted)
    return SameLabel(observed, float(np.mean(permuted)), (1 + reached) / (1 + n_permutations), n_queries)


def _nearest_by_cosine(
    points: NDArray, kind: NDArray, block: int | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs of a point and each of its equally near neighbours of another kind; in blocks, so that n may be large."""
    block = block or max(1, min(1024, ENTRIES // len(points)))
    norm = np.linalg.norm(points, axis=1, keepdims=True)
    unit = (points / np.where(norm > 0, norm, 1)).astype(np.float32)
    alive = norm[:, 0] > 0
    queries, neighbours = [], []
    for start in range(0, len(unit), block):
        here = slice(start, start + block)
        cosine = unit[here] @ unit.T
        cosine[(kind[here, None] == kind) | ~alive | ~alive[here, None]] = -np.inf
        best = cosine.max(1, keepdims=True)
        row, column = np.nonzero((cosine >= best - TIE) & np.isfinite(best))
        queries.append(row + start)
        neighbours.append(column)
    return np.concatenate(queries), np.concatenate(neighbours)


def _neighbours(points: NDArray, k: int) -> NDArray[np.int64]:
    """(n, k) indices of the nearest other points, nearest first."""
    return NearestNeighbors(n_neighbors=k).fit(points).kneighbors(return_distance=False)


def _overlap(left: NDArray, right: NDArray) -> float:
    """Mean share of the entries of each row of ``left`` found in the same row of ``right``; no row holds one twice."""
    both = np.sort(np.concatenate([left, right], axis=1), axis=1)
    return int(np.count_nonzero(both[:, 1:] == both[:, :-1])) / left.size


def _negative_entropy(codes: NDArray, n_codes: int) -> NDArray[np.float64]:
    """(n,) sum p log p over the codes in each row, (n, k) -> (n,); some rows at a time, never (n, n_codes)."""
    sums, step = [], max(1, ENTRIES // 16 // n_codes)
    for start in range(0, len(codes), step):
        some = codes[start : start + step]
        place = some + n_codes * np.arange(len(some))[:, None]
        share = np.bincount(place.ravel(), minlength=n_codes * len(some)).reshape(len(some), n_codes) / some.shape[1]
        sums.append((share * np.log(np.where(share > 0, share, 1))).sum(axis=1))
    return np.concatenate(sums)


def _points(name: str, matrix: ArrayLike) -> NDArray[np.float64]:
    """(n, d) finite float64."""
    return as_matrix(name, matrix, dtype=torch.float64).detach().cpu().numpy()


def _codes(name: str, label: ArrayLike, points: NDArray, like: str = "z") -> NDArray[np.int64]:
    """(n,) labels of the points numbered from 0."""
    return label_codes(name, label, len(points), like)[1]
