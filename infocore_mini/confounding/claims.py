"""What an embedding claims to know: labels better than a baseline knows them, replicates as they were before."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from infocore_mini.confounding import verdict
from infocore_mini.confounding.checks import QUERIES, Geometry, nearest_rows, vote
from infocore_mini.confounding.exchange import Exchange
from infocore_mini.confounding.finding import Finding
from infocore_mini.confounding.given import Given

SIGN_FLIPS = 1_999


def baselines(given: Given, geometry: Geometry, n_families: int) -> Iterator[Finding]:
    """Whether the embedding knows the label better than the cell count or the position of a well does.

    Both guess it from the nearest rows of other molecules; compared are the same rows.
    """
    if given.label is None:
        return
    group = _group(given)
    query = geometry.query
    by_embedding = _guessed(geometry.neighbour, query, given.label)
    for name, baseline in given.baselines.items():
        scaled = (baseline - baseline.mean(0)) / np.maximum(baseline.std(0), 1e-12)
        nearest = nearest_rows(scaled.astype(np.float32), group, query.numpy(), by="distance")
        by_baseline = _guessed(torch.from_numpy(nearest), query, given.label)
        p_value = paired_p_value(by_embedding - by_baseline, group[query.numpy()])
        adjusted = min(1.0, p_value * len(given.baselines) * n_families)
        yield Finding(
            rows="label",
            nuisance=name,
            check="label beyond a baseline",
            observed=by_embedding.mean(),
            expected=by_baseline.mean(),
            p_value=p_value,
            p_adjusted=adjusted,
            verdict=verdict.of_pairs(adjusted, by_embedding.mean() - by_baseline.mean(), "confounded"),
            n=len(query),
            detail=f"label of {by_embedding.mean():.1%} of the rows, {name} alone {by_baseline.mean():.1%}",
        )


def replicates(given: Given, n_families: int, n_permutations: int, seed: int) -> Iterator[Finding]:
    """Whether replicates find each other across the values of the first nuisance, and whether they did so before.

    Molecules are permuted within those values, so that what a value does to all its rows is no merit.
    """
    molecule, name = given.treated.molecule, given.designed[0]
    if molecule is None:
        return
    value = given.treated.nuisances[name]
    pair = np.unique(np.stack([molecule, value]), axis=1)
    rng = np.random.default_rng(seed)
    query = rng.permutation(np.flatnonzero((np.bincount(pair[0]) > 1)[molecule]))[:QUERIES]
    if not len(query):
        return
    nearest = nearest_rows(given.treated.points, value, query)[:, 0]
    exchange = Exchange(molecule, value * (int(given.library.max()) + 1) + given.library, None)
    permuted = (exchange.permuted(1, rng)[0] for _ in range(n_permutations))
    null = np.array([(label[nearest] == label[query]).mean() for label in permuted])
    hits = (molecule[nearest] == molecule[query]).astype(float)
    p_value = (1 + int((null >= hits.mean() - 1e-12).sum())) / (1 + n_permutations)
    low, high = np.quantile(null, [0.025, 0.975])
    yield Finding(
        rows="replicates",
        nuisance=name,
        check="nearest of another value is a replicate",
        observed=hits.mean(),
        expected=null.mean(),
        low=low,
        high=high,
        p_value=p_value,
        p_adjusted=p_value,
        verdict="clean" if p_value <= verdict.LEVEL else "cannot tell",
        n=len(query),
    )
    if given.before is None:
        return
    earlier = (molecule[nearest_rows(given.before, value, query)[:, 0]] == molecule[query]).astype(float)
    p_value = paired_p_value(hits - earlier, molecule[query])
    adjusted = min(1.0, p_value * n_families)
    lost = adjusted <= verdict.LEVEL and hits.mean() < earlier.mean()
    yield Finding(
        rows="replicates",
        nuisance=name,
        check="replicates kept by the correction",
        observed=hits.mean(),
        expected=earlier.mean(),
        p_value=p_value,
        p_adjusted=adjusted,
        verdict="over-corrected" if lost else "clean",
        n=len(query),
        detail=f"found {hits.mean():.1%}, before {earlier.mean():.1%}",
    )


def paired_p_value(difference: NDArray[np.float64], group: NDArray[np.int64]) -> float:
    """Two-sided p-value of a mean difference, (q,), under flips of the sign of whole molecules, (q,) codes."""
    total = np.bincount(group, weights=difference)
    total = total[total != 0]
    signs = np.random.default_rng(0).choice([-1.0, 1.0], size=(SIGN_FLIPS, len(total)))
    reached = int((abs(signs @ total) >= abs(total.sum()) - 1e-9).sum())
    return (1 + reached) / (1 + SIGN_FLIPS)


def _group(given: Given) -> NDArray[np.int64]:
    molecule = given.treated.molecule
    return np.arange(len(given.treated.points)) if molecule is None else molecule


def _guessed(nearest: Tensor, query: Tensor, label: NDArray[np.int64]) -> NDArray[np.float64]:
    """(q,) 1 where the label of a row is the one most over-represented among its nearest rows, (q, k), else 0."""
    labels = torch.from_numpy(label)[None]
    return (vote(nearest, labels, int(label.max()) + 1)[0] == labels[0, query]).double().numpy()
