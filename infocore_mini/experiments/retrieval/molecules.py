"""Hits and misses as molecules: which ones are found in the place of the true one, and what they have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from rdkit.Chem import MolFromSmiles

from infocore_mini.evaluate.ranking import nearest, retrieval_hits
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


class Examples(NamedTuple):
    """Queries to draw: ``molecules`` as `plotting.retrieval.hits_and_misses` takes them, ``facts`` a row for each."""

    molecules: dict
    facts: pd.DataFrame


def examples(z: Embeddings, screen: PairedScreen, seed: int, *, n: int = 2, shown: int = 4) -> Examples:
    """``n`` queries found at the first place of the whole library and ``n`` not among the first ten, drawn by ``seed``.

    One condition for each molecule. facts: of the best-ranked wrong molecule its Tanimoto coefficient
    with the true one, whether it has the same scaffold, and whether it is from the same experimental batch.
    """
    smiles, everything = screen.smiles[screen.drug_id], np.arange(len(screen))
    hits, _ = retrieval_hits(*z, everything, top=(1, 10))
    drawable = np.array([HEAVY_ATOMS[0] <= MolFromSmiles(text).GetNumHeavyAtoms() <= HEAVY_ATOMS[1] for text in smiles])
    rng = np.random.default_rng(seed)
    groups = {"hit": hits[:, 0] == 1, "miss": hits[:, 1] == 0}
    chosen = {kind: rng.permutation(np.flatnonzero(rows & drawable))[:n] for kind, rows in groups.items()}
    query = np.concatenate(list(chosen.values()))
    titles = [f"{kind} {i + 1}" for kind, rows in chosen.items() for i in range(len(rows))]
    found, cosine = nearest(z[0][query], z[1], n=shown)
    wrong = np.where(found[:, 0] == query, found[:, 1], found[:, 0])
    pairs = list(zip(smiles[query], smiles[wrong], strict=True))
    scaffolds = [murcko_scaffold(pair) for pair in pairs]
    facts = pd.DataFrame(
        {
            "first wrong molecule: Tanimoto": [similarity(pair)[0, 1].round(2) for pair in pairs],
            "same scaffold": [a == b != "" for a, b in scaffolds],
            "same batch": (screen.batch_id[query] == screen.batch_id[wrong]).numpy(),
        },
        index=titles,
    )
    return Examples(
        {"true": smiles[query], "retrieved": smiles[found].tolist(), "cosine": cosine, "titles": titles}, facts
    )
