"""The vectors behind Mol2vec: what Word2Vec learnt of substructures, and the files that hold them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save

from infocore_mini.sources import data_file

if TYPE_CHECKING:
    from gensim.models import KeyedVectors

UNSEEN = "UNK"  # the word that stands for every substructure that training did not see, or saw too rarely


@dataclass(frozen=True, eq=False)
class SubstructureVectors:
    """What Word2Vec learnt: a vector for each Morgan identifier.

    Attributes:
        identifiers: (n_words,) int64, ascending.
        vectors: (n_words + 1, dim) float32; the last row belongs to every identifier that is not in the list.
        metadata: corpus, settings and versions of the training.
    """

    identifiers: NDArray[np.int64]
    vectors: NDArray[np.float32]
    metadata: dict[str, Any]

    def rows(self, identifiers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Row of ``vectors`` for each identifier, (n,) int64; ``len(self.identifiers)`` for the unseen."""
        place = np.searchsorted(self.identifiers, identifiers)
        known = self.identifiers[np.minimum(place, len(self.identifiers) - 1)] == identifiers
        return np.where(known, place, len(self.identifiers))

    def save(self, path: str | Path) -> None:
        """Write identifiers (int64), vectors (float16) and metadata to one safetensors file, always the same bytes."""
        tensors: dict[str, NDArray] = {"identifiers": self.identifiers, "vectors": self.vectors.astype(np.float16)}
        about = {"mol2vec": json.dumps(self.metadata)}  # one entry: safetensors writes several in random order
        Path(path).write_bytes(save(tensors, metadata=about))

    @classmethod
    def from_keyed_vectors(cls, words: KeyedVectors, metadata: dict[str, Any]) -> SubstructureVectors:
        """From what gensim trained.

        Args:
            words: vectors whose words are Morgan identifiers written as decimals, and "UNK".
            metadata: corpus, settings and versions of the training.

        Raises:
            ValueError: if "UNK" is missing or another word is no number.
        """
        if UNSEEN not in words.key_to_index:
            raise ValueError(f"words: {len(words)} words without {UNSEEN!r}, expected a model trained with it")
        strange = [word for word in words.index_to_key if word != UNSEEN and not word.isdecimal()]
        if strange:
            raise ValueError(f"words: got {strange[0]!r}, expected Morgan identifiers such as '2246728737'")
        known = sorted((int(word), word) for word in words.index_to_key if word != UNSEEN)
        vectors = words[[word for _, word in known] + [UNSEEN]]
        return cls(np.array([identifier for identifier, _ in known], dtype=np.int64), vectors, metadata)


def load_vectors(path: str | Path | None = None) -> SubstructureVectors:
    """Substructure vectors: this project's, or those in another file.

    Args:
        path: None for ``data/mol2vec.safetensors``; else a file of `SubstructureVectors.save`, or a model in word2vec's
            format, binary (``.bin``) or text (any other ending).  Pickles are not read: the model card says how
            to convert the published 300-d model once.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is a pickle or no Mol2vec model.
    """
    path = Path(path or data_file("mol2vec.safetensors"))
    if not path.is_file():
        raise FileNotFoundError(f"path: no file {path}")
    if path.suffix != ".safetensors":
        return SubstructureVectors.from_keyed_vectors(_word2vec_file(path), {"file": path.name})
    with safe_open(path, "numpy") as file:
        about = (file.metadata() or {}).get("mol2vec")
        if about is None:
            raise ValueError(f"path: {path} holds no substructure vectors, expected a file of SubstructureVectors.save")
        vectors = file.get_tensor("vectors").astype(np.float32)
        return SubstructureVectors(file.get_tensor("identifiers"), vectors, json.loads(about))


def _word2vec_file(path: Path) -> KeyedVectors:
    from gensim.models import KeyedVectors  # a second of import time that few readers need

    with path.open("rb") as file:
        if file.read(1) == b"\x80":
            raise ValueError(f"path: got {path.name}, a pickle, which can run any code; expected word2vec's own format "
                             "(the model card shows how to convert)")  # fmt: skip
    try:
        return KeyedVectors.load_word2vec_format(str(path), binary=path.suffix == ".bin")
    except (ValueError, EOFError) as error:
        raise ValueError(f"path: {path.name} is not in word2vec's own format ({error})") from error
