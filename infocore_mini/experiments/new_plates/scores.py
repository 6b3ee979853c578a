"""Scores of a cell of the board: from embeddings of readouts and molecules, whatever made them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from infocore_mini.evaluate.mixing import same_label_neighbours
from infocore_mini.evaluate.replicates import average_precision
from infocore_mini.screens import PairedScreen

TOP = (1, 5, 10)
LEAST_QUERIES = 5  # of a batch that may be the worst one
LEAST_LIBRARY = 5  # molecules of a batch library
TIE = 1e-9


def retrieval(z_screen: NDArray, z_drug: NDArray, molecule: NDArray, batch_id: NDArray) -> dict[str, Any]:
    """How early each readout finds its molecule, by cosine, among all molecules and among those of its own batch.

    Args:
        z_screen, z_drug: (n, d) of conditions; the candidates are the molecules that they hold, each once.
        molecule, batch_id: (n,) codes.

    Returns:
        For each library "whole" and "batch": "beaten", the mean share of the other candidates that the right one is
        above (0.5 in a random order, whatever the size of the library; of ties half); "top 1", ...; "chance 1", ...;
        "worst batch", the least mean of "beaten" over batches with five queries; "by batch", that of each; "queries";
        "molecules". None where no query has a library of two, or of five in the batch.
    """
    _, first, target = np.unique(molecule, return_index=True, return_inverse=True)
    cosine = _unit(z_screen) @ _unit(z_drug[first]).T
    member = np.zeros((len(first), int(batch_id.max()) + 1), dtype=bool)
    member[target, batch_id] = True
    libraries = {"whole": np.ones(cosine.shape, dtype=bool), "batch": member[:, batch_id].T}
    return {name: _ranked(cosine, target, batch_id, among) for name, among in libraries.items()}


def _ranked(cosine: NDArray, target: NDArray, batch_id: NDArray, among: NDArray) -> dict[str, Any] | None:
    size = among.sum(1)
    asked = size >= (2 if among.all() else LEAST_LIBRARY)
    if not asked.any():
        return None
    gap = np.where(among, cosine - cosine[np.arange(len(target)), target][:, None], -np.inf)
    above, tied = (gap > TIE).sum(1)[asked], (np.abs(gap) <= TIE).sum(1)[asked]
    size, batch_id = size[asked], batch_id[asked]
    beaten = (size - above - (tied + 1) / 2) / (size - 1)
    by_batch = {
        int(b): float(beaten[batch_id == b].mean())
        for b in np.unique(batch_id)
        if (batch_id == b).sum() >= LEAST_QUERIES
    }
    found: dict[str, Any] = {"beaten": float(beaten.mean())}
    for k in TOP:
        found |= {
            f"top {k}": float(((k - above) / tied).clip(0, 1).mean()),
            f"chance {k}": float((np.minimum(k, size) / size).mean()),
        }
    worst = min(by_batch.values()) if by_batch else None
    return found | {
        "worst batch": worst,
        "by batch": by_batch,
        "queries": int(asked.sum()),
        "molecules": len(np.unique(target[asked])),
    }


def without_batches(found: Mapping[str, dict[str, Any] | None]) -> dict[str, dict[str, Any] | None]:
    """`retrieval` without the scores of single batches, which a kept run has and a stored file need not."""
    return {
        library: scored and {key: value for key, value in scored.items() if key != "by batch"}
        for library, scored in found.items()
    }


def replicates(z: NDArray, molecule: NDArray, batch_id: NDArray) -> float | None:
    """Mean normalised average precision of a molecule's conditions in other batches, against other molecules of the own.

    0 = a random order, 1 = all of them first; None where no molecule is in two batches.
    """
    alive = np.linalg.norm(z, axis=1) > 0
    meta = pd.DataFrame({"molecule": molecule[alive], "batch": batch_id[alive]})
    pairs = dict(pos_sameby=["molecule"], pos_diffby=["batch"], neg_sameby=["batch"], neg_diffby=["molecule"])
    if meta.groupby("molecule")["batch"].nunique().max() < 2:
        return None
    try:
        found = average_precision(z[alive], meta, **pairs)["normalized_average_precision"].mean()
    except ValueError:  # every batch holds one molecule
        return None
    return None if np.isnan(found) else float(found)


def mixing(z: NDArray, molecule: NDArray, batch_id: NDArray, line: NDArray) -> dict[str, float] | None:
    """Share of the conditions whose nearest neighbour of another molecule is of their own batch, and under permutation.

    None where there is one batch.
    """
    if len(np.unique(batch_id)) < 2:
        return None
    found = same_label_neighbours(z, batch_id, other_than=molecule, strata=line, n_permutations=19)
    return {"own batch": found.rate, "permuted": found.chance}


def of_rows(z: NDArray, part: PairedScreen, molecule: NDArray) -> dict[str, Any]:
    """`replicates` and `mixing` of the conditions of a part, by their readouts' embeddings, (n, d)."""
    batch_id, line = part.batch_id.numpy(), part.cell_line.numpy()
    return {"replicates": replicates(z, molecule, batch_id), "mixing": mixing(z, molecule, batch_id, line)}


def _unit(z: NDArray) -> NDArray[np.float64]:
    z = np.asarray(z, dtype=np.float64)
    return z / np.linalg.norm(z, axis=1, keepdims=True).clip(1e-12)
