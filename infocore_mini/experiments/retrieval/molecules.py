"""Answers as molecules: which ones are found in the place of the true one, and what they have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from rdkit.Chem import MolFromSmiles

from infocore_mini.evaluate.ranking import nearest, unit_rows
from infocore_mini.experiments.names import Arm
from infocore_mini.experiments.retrieval.run import Embeddings
from infocore_mini.featurize import morgan, murcko_scaffold, tanimoto
from infocore_mini.screens import PairedScreen

HEAVY_ATOMS = (12, 32)  # of molecules that are drawn: large enough to be of interest, small enough to read


def similarity(smiles: Sequence[str]) -> np.ndarray:
    """(n, n) Tanimoto coefficients of Morgan fingerprints, 1 = the same bits."""
    bits = morgan(smiles)
    return tanimoto(bits, bits)


def first_mistakes(embeddings: Mapping[str, Embeddings], screen: PairedScreen) -> pd.DataFrame:
    """The best-ranked wrong molecule of the whole library: how near it is to the true one, mean over queries.

    One condition for each molecule, hard batch labels. Columns: Tanimoto coefficient, percent of the same Murcko
    scaffold (molecules with rings), percent of the same experimental batch. Two rows of reference: a random molecule
    of the query's batch, and a random one.
    """
    smiles = screen.smiles[screen.drug_id]
    scaffold = np.array(murcko_scaffold(smiles))
    same_scaffold = (scaffold[:, None] == scaffold) & (scaffold != "")
    same_batch = (screen.batch_id[:, None] == screen.batch_id).numpy()
    measures = {
        "Tanimoto": similarity(smiles),
        "same scaffold, %": 100.0 * same_scaffold,
        "same batch, %": 100.0 * same_batch,
    }
    query, other = np.arange(len(smiles)), ~np.eye(len(smiles), dtype=bool)
    alone = (same_batch & other).sum(1) == 0
    rows = {}
    for name, (z_screen, z_drug) in embeddings.items():
        found, _ = nearest(z_screen, z_drug, n=2)
        wrong = np.where(found[:, 0] == query, found[:, 1], found[:, 0])
        rows[name] = {measure: values[query, wrong].mean() for measure, values in measures.items()}
    for name, allowed in {"random, same batch": same_batch & other, "random": other}.items():
        kept = ~alone if name != "random" else slice(None)
        rows[name] = {
            measure: np.average(values[kept], axis=1, weights=allowed[kept]).mean()
            for measure, values in measures.items()
        }
    return pd.DataFrame(rows).T


class Answer(NamedTuple):
    """What an arm answers to a query: the place of the true molecule, 1 = first, and the molecules that it puts first."""

    place: int
    smiles: Sequence[str]
    cosine: Sequence[float]
    batch: Sequence[str]


class Query(NamedTuple):
    """A profile to look at: its molecule, its experimental batch, how many molecules were ranked, the arms' answers."""

    true: str
    batch: str
    n_library: int
    answers: Mapping[str, Answer]


def browse(embeddings: Mapping[str, Embeddings], screen: PairedScreen, *, n: int = 6, shown: int = 3) -> list[Query]:
    """``n`` queries from the best found to the worst, each with the first ``shown`` molecules of the whole library.

    Nothing is picked by hand: the molecules that are small enough to draw and large enough to be of interest are sorted
    by the place of the true one, mean over the arms, and the first, the last and those at equal steps between are taken.
    One condition for each molecule, hard batch labels.

    Raises:
        ValueError: if fewer than ``n`` molecules can be drawn.
    """
    smiles = screen.smiles[screen.drug_id]
    batch = np.array(screen.batch_names, dtype=object)[screen.batch_id]
    places = {arm: _places(*z) for arm, z in embeddings.items()}
    atoms = np.array([MolFromSmiles(text).GetNumHeavyAtoms() for text in smiles])
    drawable = np.flatnonzero((atoms >= HEAVY_ATOMS[0]) & (atoms <= HEAVY_ATOMS[1]))
    if len(drawable) < n:
        raise ValueError(f"n: got {n}, expected at most {len(drawable)}, the molecules of {HEAVY_ATOMS} heavy atoms")
    ranked = drawable[np.mean([place[drawable] for place in places.values()], axis=0).argsort(kind="stable")]
    chosen = ranked[np.linspace(0, len(ranked) - 1, n).round().astype(int)]
    first = {arm: nearest(z_screen[chosen], z_drug, n=shown) for arm, (z_screen, z_drug) in embeddings.items()}
    return [
        Query(
            smiles[row],
            batch[row],
            len(smiles),
            {
                arm: Answer(int(places[arm][row]), smiles[found[at]], cosine[at], batch[found[at]])
                for arm, (found, cosine) in first.items()
            },
        )
        for at, row in enumerate(chosen)
    ]


def _places(z_screen: torch.Tensor, z_drug: torch.Tensor) -> np.ndarray:
    """(n,) how many molecules lie nearer to each profile than its own, plus one."""
    cosine = unit_rows("z_screen", z_screen) @ unit_rows("z_drug", z_drug).T
    return 1 + (cosine > cosine.diag()[:, None]).sum(1).numpy()


def places(queries: Sequence[Query], arms: Mapping[str, Arm]) -> pd.DataFrame:
    """The queries as a table: of each arm the place of the true molecule, and how many of those shown share its batch."""
    rows = [
        {
            (what, arms[arm].label): value
            for arm, answer in query.answers.items()
            for what, value in (
                ("place of the true molecule", answer.place),
                (f"of the first {len(answer.batch)}, same batch", sum(name == query.batch for name in answer.batch)),
            )
        }
        for query in queries
    ]
    table = pd.DataFrame(rows, index=pd.Index(range(1, len(rows) + 1), name="query"))
    table.columns = pd.MultiIndex.from_tuples(table.columns)
    return table.sort_index(axis=1, level=0, ascending=False, sort_remaining=False)
