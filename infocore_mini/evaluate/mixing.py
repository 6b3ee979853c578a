"""How much of the effect, and of the experimental batch, an embedding holds (appendix I; Xu et al. 2021)."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold, cross_val_score
from sklearn.neighbors import NearestNeighbors


def linear_probe(
    z: ArrayLike, label: ArrayLike, *, group: ArrayLike | None = None, folds: int = 5, seed: int = 0
) -> tuple[float, float]:
    """Accuracy of a linear classifier of ``label`` on ``z``, by stratified cross-validation.

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
        ValueError: on NaN, lengths that differ, or fewer than two classes.
    """
    points, labels = _checked("z", z, label=label)
    groups = None if group is None else _checked("z", z, group=group)[1]
    if len(np.unique(labels)) < 2:
        raise ValueError("label: got one class, expected at least 2")
    model = LogisticRegression(max_iter=1000)
    split = StratifiedKFold if groups is None else StratifiedGroupKFold
    splits = split(folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():  # classes rarer than the folds still get a score
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        scores = cross_val_score(model, points, labels, groups=groups, cv=splits)
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
        ValueError: on NaN, lengths that differ, or no batch with more than max(k) points.
    """
    inputs, code = _checked("x", x, batch_id=batch_id)
    points, _ = _checked("z", z, batch_id=batch_id)
    overlaps, largest = [], max(k)
    for batch in np.unique(code):
        members = np.flatnonzero(code == batch)
        if len(members) <= largest:
            continue
        in_input, in_embedding = _neighbours(inputs[members], largest), _neighbours(points[members], largest)
        overlaps.append([_overlap(in_input[:, :size], in_embedding[:, :size]) for size in k])
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
        ValueError: on NaN, lengths that differ, or k >= n.
    """
    points, batch = _checked("z", z, batch_id=batch_id)
    if max(k) >= len(points):
        raise ValueError(f"k: got {max(k)}, expected less than the {len(points)} points")
    codes = np.unique(batch, return_inverse=True)[1]
    neighbour_codes = codes[_neighbours(points, max(k))]
    member = neighbour_codes[:, :, None] == np.arange(codes.max() + 1)
    return np.array([_entropy(member[:, :size].mean(axis=1)) for size in k])


def _neighbours(points: NDArray, k: int) -> NDArray[np.int64]:
    """(n, k) indices of the nearest other points, nearest first."""
    return NearestNeighbors(n_neighbors=k).fit(points).kneighbors(return_distance=False)


def _overlap(left: NDArray, right: NDArray) -> float:
    """Mean share of the entries of each row of ``left`` found in the same row of ``right``."""
    return float((left[:, :, None] == right[:, None, :]).any(axis=2).mean())


def _entropy(share: NDArray) -> float:
    """Mean over rows of -sum p log p, (n, n_B) shares."""
    return float(-(share * np.log(np.where(share > 0, share, 1))).sum(axis=1).mean())


def _checked(name: str, matrix: ArrayLike, **labels: ArrayLike) -> tuple[NDArray, NDArray]:
    """(n, d) floats and the one (n,) label that is given by its name."""
    ((label_name, given),) = labels.items()
    points, label = np.asarray(matrix, dtype=float), np.asarray(given)
    if points.ndim != 2:
        raise ValueError(f"{name}: got shape {points.shape}, expected (n, d)")
    if label.shape != (len(points),):
        raise ValueError(f"{label_name}: got shape {label.shape}, expected ({len(points)},) like the rows of {name}")
    if not np.isfinite(points).all():
        raise ValueError(f"{name}: got NaN or infinite values, expected finite numbers")
    return points, label
