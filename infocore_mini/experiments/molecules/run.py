"""Train the substructure vectors of Mol2vec.

Skip-gram Word2Vec over substructure sentences, as Jaeger, Fulle and Turk (2018) do, on the molecules of
``smiles_corpus.txt.gz``.  One worker, so that the same seed gives the same vectors.
"""

from __future__ import annotations

import gzip
import importlib.metadata
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from gensim.models import Word2Vec

from infocore_mini.experiments.results import provenance
from infocore_mini.featurize import RADIUS, substructure_sentences
from infocore_mini.sources import fetch, registry
from infocore_mini.vectors import UNSEEN, SubstructureVectors

CORPUS = "smiles_corpus.txt.gz"


@dataclass(frozen=True)
class Training:
    """Settings.  Those of the published model, except that its corpus is about 70 times as large.

    Attributes:
        seed: of gensim's initial vectors and sampling.
        dim: length of a vector.
        window: words on either side that count as context.
        rare: a word seen at most this often becomes "UNK" (mol2vec's ``insert_unk``).
        negative, epochs: as in gensim, whose defaults these are.
    """

    seed: int = 0
    dim: int = 300
    window: int = 10
    rare: int = 3
    negative: int = 5
    epochs: int = 5


def train(smiles: Iterable[str], training: Training, *, corpus: str = "given by the caller") -> SubstructureVectors:
    """Learn a vector for each substructure of radius 0 and 1 that is not rare, and one for all rare ones together.

    Args:
        smiles: the molecules, in the order in which they are learnt.
        training: settings.
        corpus: what to write in the metadata about where the molecules are from.

    Raises:
        InvalidSmiles: if one is no molecule.
    """
    sentences = mark_rare(substructure_sentences(smiles), training.rare)
    model = Word2Vec(
        sentences,
        sg=1,  # skip-gram
        vector_size=training.dim,
        window=training.window,
        negative=training.negative,
        epochs=training.epochs,
        min_count=1,  # rare words are already replaced
        seed=training.seed,
        workers=1,
    )
    made = provenance()
    metadata = {
        "corpus": corpus,
        "n_molecules": len(sentences),
        "n_words": model.corpus_total_words,
        "training": asdict(training) | {"architecture": "skip-gram", "radius": RADIUS},
        "versions": {name: importlib.metadata.version(name) for name in ("gensim", "numpy", "rdkit")},
        "python": made["python"],
        "commit": made["commit"],
    }
    return SubstructureVectors.from_keyed_vectors(model.wv, metadata)


def mark_rare(sentences: list[list[str]], at_most: int) -> list[list[str]]:
    """The sentences with "UNK" in the place of each word that they hold at most ``at_most`` times in all."""
    count = Counter(word for sentence in sentences for word in sentence)
    spelling = {word: word if n > at_most else UNSEEN for word, n in count.items()}  # one string object per word
    return [[spelling[word] for word in sentence] for sentence in sentences]


def store(output: Path, runs: Path, n_jobs: int = 1) -> Path:
    """Train on the whole corpus and write ``mol2vec.safetensors`` into the folder ``output``; about ten minutes.

    One run in one process: the vectors are the run, and nothing is kept in ``runs``.
    """
    with gzip.open(fetch(CORPUS), "rt", encoding="utf-8") as lines:
        smiles = lines.read().split("\n")[:-1]
    vectors = train(smiles, Training(), corpus=f"{CORPUS} sha256 {registry()[CORPUS].sha256}")
    path = output / "mol2vec.safetensors"
    vectors.save(path)
    return path
