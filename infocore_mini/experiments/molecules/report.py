"""What the chapter on molecules shows: well-known drugs, their neighbours among real molecules, and measured limits."""

from __future__ import annotations

from collections import Counter
from itertools import chain

import numpy as np
import pandas as pd
from rdkit import Chem
from scipy.stats import spearmanr
from sklearn.metrics.pairwise import cosine_similarity

from infocore_mini.experiments.molecules.drugs import DRUGS, NAMED
from infocore_mini.featurize import mol2vec, morgan, substructure_sentences, tanimoto
from infocore_mini.simulate.molecules import drug_like
from infocore_mini.sources import BROAD_SMILES, data_file
from infocore_mini.vectors import SubstructureVectors

QUERIES = ("aspirin", "diazepam", "dexamethasone", "imatinib", "penicillin V")

_CLASSES = {drug_like(smiles): group for group, drugs in DRUGS.items() if group != "other" for smiles in drugs.values()}


def library() -> list[str]:
    """The well-known drugs and the drug-like molecules of the Broad's list: canonical, without stereochemistry, unique."""
    listed = pd.read_csv(data_file(BROAD_SMILES), sep="\t")["smiles"]
    written = dict.fromkeys([*NAMED.values(), *listed])
    return list(dict.fromkeys(molecule for molecule in map(drug_like, written) if molecule))


def class_of(smiles: str) -> str:
    """The class of one of our drugs by its SMILES in the library; "" for every other molecule and for class "other"."""
    return _CLASSES.get(smiles, "")


def features(smiles: list[str], vectors: SubstructureVectors) -> dict[str, np.ndarray]:
    """Both featurisers: "Mol2vec" (n, dim) and "Morgan" (n, 2048)."""
    return {"Mol2vec": mol2vec(smiles, vectors=vectors), "Morgan": morgan(smiles)}


def similarity(kind: str, query: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Cosine of Mol2vec rows, Tanimoto of Morgan bits: (n_query, n_other), 1 for equal rows."""
    return cosine_similarity(query, other) if kind == "Mol2vec" else tanimoto(query, other)


def neighbours(
    names: tuple[str, ...], pool: list[str], found: dict[str, np.ndarray], vectors, k: int = 4
) -> pd.DataFrame:
    """The k most similar molecules of the library to each named drug, the drug itself left out.

    Args:
        found: ``features(pool, vectors)``.

    Returns:
        a row per (drug, kind, rank) with smiles, similarity and name ("" if it is none of ours).
    """
    known = {drug_like(smiles): name for name, smiles in reversed(NAMED.items())}
    queries = [drug_like(NAMED[name]) for name in names]
    rows = []
    for kind, query in features(queries, vectors).items():
        for name, itself, scores in zip(names, queries, similarity(kind, query, found[kind])):
            nearest = [i for i in np.argsort(-scores, kind="stable")[: k + 1] if pool[i] != itself][:k]
            for rank, i in enumerate(nearest, 1):
                rows.append((name, kind, rank, pool[i], float(scores[i]), known.get(pool[i], "")))
    return pd.DataFrame(rows, columns=["drug", "kind", "rank", "smiles", "similarity", "name"])


def same_class(vectors: SubstructureVectors) -> pd.DataFrame:
    """For how many drugs of each class (of ours) the nearest other drug of all is of that class too."""
    names = {name: group for group, drugs in DRUGS.items() for name in drugs}
    groups = np.array(list(names.values()))
    counts = {"drugs": pd.Series(groups).value_counts(sort=False)}
    for kind, table in features([NAMED[name] for name in names], vectors).items():
        scores = similarity(kind, table, table)
        np.fill_diagonal(scores, -1)
        counts[kind] = pd.Series(groups[scores.argmax(1)] == groups).groupby(groups).sum()
    return pd.DataFrame(counts).drop("other")


def compare_pairs(pairs: dict[str, tuple[str, str]], vectors: SubstructureVectors) -> pd.DataFrame:
    """Similarity of the two molecules of each pair: a row per pair, a column per featuriser."""
    first, second = (features(list(side), vectors) for side in zip(*pairs.values()))
    scores = {kind: similarity(kind, first[kind], second[kind]).diagonal() for kind in first}
    return pd.DataFrame(scores, index=list(pairs))


def limits(pool: list[str], found: dict[str, np.ndarray], vectors: SubstructureVectors) -> pd.Series:
    """What decides the length of a Mol2vec vector, how alike all are, and what the featurisers cannot tell apart."""
    words = np.array(list(chain.from_iterable(substructure_sentences(pool))), dtype=np.int64)
    order = np.random.default_rng(0).permutation(len(pool))
    halves = found["Mol2vec"][order[::2]][:500], found["Mol2vec"][order[1::2]][:500]  # no molecule is in both
    length = np.linalg.norm(found["Mol2vec"], axis=1)
    return pd.Series(
        {
            "rank correlation of length with heavy atoms": spearmanr(length, heavy_atoms(pool)).statistic,
            "median cosine of two random molecules": np.median(similarity("Mol2vec", *halves)),
            "molecules that share their Mol2vec (%)": 100 * shared(found["Mol2vec"]),
            "molecules that share their Morgan bits (%)": 100 * shared(found["Morgan"]),
            "unseen substructures (%)": 100 * (vectors.rows(words) == len(vectors.identifiers)).mean(),
        }
    )


def heavy_atoms(smiles: list[str]) -> np.ndarray:
    """(n,) numbers of atoms other than hydrogen."""
    return np.array([Chem.MolFromSmiles(text).GetNumHeavyAtoms() for text in smiles])


def shared(table: np.ndarray) -> float:
    """Share of the rows that another row equals, bit by bit."""
    times = Counter(row.tobytes() for row in table)
    return sum(n for n in times.values() if n > 1) / len(table)
