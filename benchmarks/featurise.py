"""Mol2vec features of a whole benchmark: this library's path against the ``mol2vec`` package's own.

``python -m benchmarks.featurise --output data`` writes ``results/benchmark_featurise.json``. Both start from the same
SMILES, run in turn in one process on one core, and must give the same numbers. The package's ``sentences2vec`` calls
attributes that gensim 4 removed; it is given our vectors under the old names, and runs as it is.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np
import pandas as pd
from mol2vec.features import MolSentence, mol2alt_sentence, sentences2vec
from rdkit import Chem, rdBase

from benchmarks.timing import interleaved, ratio
from infocore_mini.experiments.results import save_results
from infocore_mini.featurize import mol2vec
from infocore_mini.readers.property import property_files, read_property
from infocore_mini.sources import fetch, sha256_of
from infocore_mini.vectors import UNSEEN, load_vectors


@dataclass(frozen=True)
class _OldWordVectors:
    """Word vectors under the names that ``sentences2vec`` calls."""

    vocab: dict[str, np.ndarray]

    def word_vec(self, word: str) -> np.ndarray:
        return self.vocab[word]


@dataclass(frozen=True)
class _OldModel:
    wv: _OldWordVectors

    @classmethod
    def ours(cls) -> _OldModel:
        vectors = load_vectors()
        words = [*map(str, vectors.identifiers), UNSEEN]
        return cls(_OldWordVectors(dict(zip(words, vectors.vectors))))


def packages_own(smiles: list[str], model: _OldModel, *, rewritten: bool) -> np.ndarray:
    """(n, 300) features as ``mol2vec.features.featurize`` makes them of a table of SMILES, less its reading and writing.

    rewritten: whether to write the SMILES of each molecule anew, as the package does, though it does not need them.
    """
    table = pd.DataFrame({"Smiles": smiles})
    with rdBase.BlockLogs():  # a deprecation notice for each molecule
        table["ROMol"] = table["Smiles"].map(Chem.MolFromSmiles)
        if rewritten:
            table["Smiles"] = table["ROMol"].map(Chem.MolToSmiles)
        sentences = table.apply(lambda row: MolSentence(mol2alt_sentence(row["ROMol"], 1)), axis=1)
    return sentences2vec(sentences, model, unseen=UNSEEN)


def main() -> None:
    """Measure and store, as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", default="data", help="folder that holds results/")
    parser.add_argument("--dataset", default="HIV", help="property set (default: %(default)s)")
    parser.add_argument("--molecules", type=int, help="only so many (default: all)")
    parser.add_argument("--repeats", type=int, default=3, help="of each measurement (default: %(default)s)")
    settings = parser.parse_args()
    smiles = list(read_property(settings.dataset).smiles)[: settings.molecules]
    model = _OldModel.ours()
    ours, theirs = mol2vec(smiles), packages_own(smiles, model, rewritten=True)
    largest = float(np.abs(theirs).max())
    work = {
        "package": lambda: packages_own(smiles, model, rewritten=True),
        "package, SMILES not rewritten": lambda: packages_own(smiles, model, rewritten=False),
        "ours": lambda: mol2vec(smiles),
    }
    seconds = interleaved(work, settings.repeats)
    results = {
        "molecules": len(smiles),
        "times_faster": {name: ratio(seconds[name], seconds["ours"]) for name in list(work)[:2]},
        "largest_difference_relative": float(np.abs(ours - theirs).max()) / largest,
    }
    if not results["largest_difference_relative"] < 1e-5:
        raise ArithmeticError(f"features differ by {results['largest_difference_relative']} of the largest entry")
    parameters = {"dataset": settings.dataset, "repeats": settings.repeats, "mol2vec": version("mol2vec")}
    data = {name: sha256_of(fetch(name)) for name in property_files(settings.dataset)}
    print(save_results("benchmark_featurise", parameters, results, output_dir=settings.output, data=data))


if __name__ == "__main__":
    main()
