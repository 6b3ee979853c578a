"""What chance gives: neighbours in random order, and minibatches as they are drawn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.stats import hypergeom

from infocore_mini.config import Config
from infocore_mini.simulate.study import SimulationStudy
from infocore_mini.training.pairs import Pairs, sample


def purity_by_chance(batch_id: ArrayLike, *, k: Sequence[int]) -> NDArray[np.float64]:
    """Expected ``knn_purity`` of an embedding that puts the neighbours within a batch in random order.

    A point of a batch of n has n - 1 others, so k of them drawn at random hold any given one with k / (n - 1).

    Args:
        batch_id: (n,) codes.
        k: numbers of neighbours. Batches of max(k) points or fewer are left out, as they are there.

    Returns:
        (len(k),) in [0, 1].
    """
    sizes = np.bincount(np.asarray(batch_id))
    sizes = sizes[sizes > max(k)]
    return np.array([np.mean(size / (sizes - 1)) for size in k])


def entropy_by_chance(batch_id: ArrayLike, *, k: Sequence[int]) -> NDArray[np.float64]:
    """Expected ``batch_mixing_entropy`` of neighbours drawn at random from all other points.

    Exact: the number of neighbours from a batch is hypergeometric, and the entropy is a sum over batches.

    Returns:
        (len(k),) in nats.
    """
    sizes = np.bincount(np.asarray(batch_id))
    n, expected = sizes.sum(), []
    for size in k:
        counts = np.arange(1, size + 1)
        terms = -(counts / size) * np.log(counts / size)
        from_own = hypergeom.pmf(counts[:, None], n - 1, sizes - 1, size).T @ terms  # by batch of the point
        from_other = hypergeom.pmf(counts[:, None], n - 1, sizes, size).T @ terms  # by batch of the neighbours
        expected.append((sizes / n) @ (from_own + from_other.sum() - from_other))
    return np.array(expected)


def own_batch_negatives(study: SimulationStudy, config: Config) -> float:
    """How many candidates of its own experimental batch an anchor has besides its partner, mean over an epoch."""
    rows = study.train
    batch_id = study.batch_id[rows]
    pairs = Pairs(study.drug[rows], study.screen[rows], batch_id, int(study.batch_id.max()) + 1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        minibatches = [batch_id[chosen.conditions] for chosen in sample(pairs, config)]
    others = torch.cat([(codes[:, None] == codes).sum(1) - 1 for codes in minibatches])
    return float(others.double().mean())
