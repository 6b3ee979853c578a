"""SMILES to numbers: Mol2vec (sums of learnt substructure vectors), Morgan fingerprints, and Murcko scaffolds.

Every function reads molecules in one way, that of ``mol2vec featurize`` (Jaeger, Fulle and Turk, 2018): RDKit parses and
sanitises the SMILES and *nothing is removed*, so that each fragment of a salt counts.  Morgan identifiers see no
chirality; they do see which tautomer was drawn, and of isotopes those that weigh a whole unit more or less than the
element's mean: deuterium and carbon-14, not carbon-13 or nitrogen-15.  ``identity`` knows which molecules are the same.
Longer than most modules, since all of them read through that one way, a chunk of molecules at a time.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import joblib
import numpy as np
from numpy.typing import NDArray
from rdkit import Chem, rdBase
from rdkit.Chem import Mol
from rdkit.Chem.rdFingerprintGenerator import AdditionalOutput, FingerprintGenerator64, GetMorganGenerator
from rdkit.Chem.rdMolDescriptors import Properties
from rdkit.Chem.Scaffolds.MurckoScaffold import MurckoScaffoldSmiles
from safetensors import safe_open
from safetensors.numpy import save
from scipy.sparse import csr_array

from infocore_mini.sources import data_file

if TYPE_CHECKING:
    from gensim.models import KeyedVectors

RADIUS = 1  # Mol2vec's sentences hold the identifiers of radius 0 and 1
UNSEEN = "UNK"  # the word that stands for every substructure that training did not see, or saw too rarely
MAX_SMILES = 2000  # characters: the longest of our 400,000 has 1,340, and RDKit's time grows with their square
_CHUNK = 2048  # molecules held in memory at a time
_AS_WRITTEN = Chem.SmilesParserParams()  # sanitising afterwards tells why it fails, and leaves stereochemistry alone
_AS_WRITTEN.sanitize = _AS_WRITTEN.removeHs = False  # type: ignore[assignment]  # its stubs type no setter
_HYDROGEN = re.compile(r"\[\d*H")  # a hydrogen written as an atom (or mercury and the like)


class InvalidSmiles(ValueError):
    """Some rows are no molecules; the message shows the first ten.

    Attributes:
        faults: each of them as (row, what came, why).
    """

    def __init__(self, faults: list[tuple[int, Any, str]]) -> None:
        self.faults = faults
        shown = [f"row {row}: {_short(given)}: {reason}" for row, given, reason in faults[:10]]
        more = [f"... and {len(faults) - 10} more"] if len(faults) > 10 else []
        count = "1 row is no molecule" if len(faults) == 1 else f"{len(faults)} rows are no molecules"
        super().__init__("\n  ".join([f"smiles: {count}", *shown, *more]))


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


def mol2vec(
    smiles: Iterable[str], *, vectors: SubstructureVectors | None = None, n_jobs: int = 1
) -> NDArray[np.float32]:
    """Mol2vec features (Jaeger et al. 2018): the sum of the vectors of a molecule's substructures of radius 0 and 1.

    The features of a molecule do not depend on how its SMILES is spelt, to the last bit.

    Args:
        smiles: n SMILES.
        vectors: default ``load_vectors()``.
        n_jobs: processes, as in joblib.

    Returns:
        (n, dim) float32, dim = 300 with the default vectors; unscaled, so longer for larger molecules.

    Raises:
        InvalidSmiles: if a row is no molecule or holds no atom.
    """
    vectors = _default_vectors() if vectors is None else vectors
    return np.concatenate(by_chunk(partial(_sums, vectors), smiles, n_jobs) or [_sums(vectors, [])])


def morgan(smiles: Iterable[str], *, radius: int = 2, n_bits: int = 2048, n_jobs: int = 1) -> NDArray[np.float32]:
    """Morgan fingerprints (ECFP; Rogers and Hahn 2010): which substructures are there, hashed.

    Args:
        smiles: n SMILES.
        radius: largest number of bonds from a substructure's central atom.
        n_bits: length of the fingerprint.
        n_jobs: processes, as in joblib.

    Returns:
        (n, n_bits) float32 of zeros and ones.

    Raises:
        InvalidSmiles: if a row is no molecule or holds no atom.
        ValueError: if ``radius`` or ``n_bits`` is out of range.
    """
    if radius < 0 or n_bits < 1:
        raise ValueError(f"radius, n_bits: got {radius}, {n_bits}, expected radius >= 0 and n_bits >= 1")
    bits = partial(_bits, radius, n_bits)
    return np.concatenate(by_chunk(bits, smiles, n_jobs) or [bits([])])


def descriptors(smiles: Iterable[str], *, n_jobs: int = 1) -> NDArray[np.float32]:
    """RDKit's physico-chemical descriptors: size, polarity, lipophilicity, counts of atoms, rings and bonds, topology.

    Args:
        smiles: n SMILES.
        n_jobs: processes, as in joblib.

    Returns:
        (n, 45 or so) float32, unscaled, in the order of RDKit's ``Properties``; NaN where one is not finite.

    Raises:
        InvalidSmiles: if a row is no molecule or holds no atom.
    """
    return np.concatenate(by_chunk(_descriptors, smiles, n_jobs) or [_descriptors([])])


def skeletons(smiles: Iterable[str]) -> list[str]:
    """Which molecule each is, whatever its salt, charge, stereochemistry or tautomer: to find one molecule in two lists.

    Returns:
        For each molecule the first block of the InChIKey of its largest fragment.

    Raises:
        InvalidSmiles: if a row is no molecule or holds no atom.
    """
    return list(chain.from_iterable(by_chunk(_skeletons, smiles, n_jobs=1)))


def tanimoto(a: NDArray, b: NDArray) -> NDArray:
    """Tanimoto coefficients of fingerprints of zeros and ones, (n, n_bits) and (m, n_bits) -> (n, m); 1 = equal."""
    shared = a @ b.T
    return shared / (a.sum(1)[:, None] + b.sum(1) - shared)


def murcko_scaffold(smiles: Iterable[str]) -> list[str]:
    """Bemis-Murcko scaffold of each molecule: its rings and what links them, as canonical SMILES without chirality.

    Molecules without a ring have the scaffold ``""``.

    Raises:
        InvalidSmiles: if a row is no molecule or holds no atom.
    """
    return list(chain.from_iterable(by_chunk(_scaffolds, smiles, n_jobs=1)))


class Parts(NamedTuple):
    """Molecules of a split as row numbers, int64, ascending; no molecule in two of them."""

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]


def scaffold_split(smiles: Sequence[str]) -> Parts:
    """Train, validation and test, 80 / 10 / 10 %, by Murcko scaffold, always the same (Hu et al. 2020).

    The molecules of a scaffold stay together.  Scaffolds go, the largest first (of equal ones that whose first molecule
    comes last), into training while it has room, else into validation while both have, else into test.  Unlike
    theirs, our scaffolds do not see chirality, so that no two parts hold stereoisomers of one scaffold.

    Raises:
        InvalidSmiles: if a row is no molecule or holds no atom.
        ValueError: if a part would be empty.
    """
    rows: dict[str, list[int]] = {}
    for row, scaffold in enumerate(murcko_scaffold(smiles)):
        rows.setdefault(scaffold, []).append(row)
    parts: tuple[list[int], ...] = ([], [], [])
    train, validation, test = parts
    n = sum(map(len, rows.values()))
    for group in sorted(rows.values(), key=lambda group: (len(group), group[0]), reverse=True):
        if len(train) + len(group) <= 0.8 * n:
            train += group
        elif len(train) + len(validation) + len(group) <= 0.9 * n:
            validation += group
        else:
            test += group
    if not all(parts):
        raise ValueError(f"smiles: got {n} molecules of {len(rows)} scaffolds, expected enough for three parts")
    return Parts(*(np.sort(np.array(part)) for part in parts))


def substructure_sentences(smiles: Iterable[str]) -> list[list[str]]:
    """Each molecule as Mol2vec's sentence: for each atom in turn its Morgan identifiers at radius 0, then 1.

    An atom whose neighbourhood covers the same bonds as another's says nothing at radius 1.

    Raises:
        InvalidSmiles: if a row is no molecule or holds no atom.
    """
    return list(chain.from_iterable(by_chunk(_sentences, smiles, n_jobs=1)))


def substructures(mol: Mol) -> list[tuple[int, int, int]]:
    """The substructures of radius 0 and 1 as (central atom, radius, Morgan identifier), atom by atom."""
    places = AdditionalOutput()
    places.AllocateBitInfoMap()
    _morgan_generator(RADIUS).GetSparseCountFingerprint(mol, additionalOutput=places)
    return sorted((*place, word) for word, where in places.GetBitInfoMap().items() for place in where)


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


@cache
def _default_vectors() -> SubstructureVectors:
    return load_vectors()


@cache
def _morgan_generator(radius: int, n_bits: int = 2048) -> FingerprintGenerator64:
    return GetMorganGenerator(radius=radius, fpSize=n_bits)


def _sentences(mols: list[Mol]) -> list[list[str]]:
    return [[sys.intern(str(word)) for _atom, _radius, word in substructures(mol)] for mol in mols]


def _sums(vectors: SubstructureVectors, mols: list[Mol]) -> NDArray[np.float32]:
    """Counts (molecule x word), a sparse matrix, times the vectors (word x dim)."""
    generator = _morgan_generator(RADIUS)
    counts = [generator.GetSparseCountFingerprint(mol).GetNonzeroElements() for mol in mols]
    columns = vectors.rows(np.fromiter(chain.from_iterable(counts), np.int64))
    values = np.fromiter(chain.from_iterable(count.values() for count in counts), np.float32)
    rows = np.repeat(np.arange(len(mols)), [len(count) for count in counts])
    table = csr_array((values, (rows, columns)), shape=(len(mols), len(vectors.vectors)))
    table.sum_duplicates()  # also sorts the columns: a sum never depends on the order of a molecule's atoms
    return table @ vectors.vectors


def _bits(radius: int, n_bits: int, mols: list[Mol]) -> NDArray[np.float32]:
    generator = _morgan_generator(radius, n_bits)
    table = np.empty((len(mols), n_bits), np.float32)
    for row, mol in zip(table, mols):
        row[:] = generator.GetFingerprintAsNumPy(mol)
    return table


def _scaffolds(mols: list[Mol]) -> list[str]:
    with rdBase.BlockLogs():  # a lone proton, such as a hydrochloride's, is worth a warning to RDKit
        return [MurckoScaffoldSmiles(mol=_plainly_spelt(mol), includeChirality=False) for mol in mols]


def _plainly_spelt(mol: Mol) -> Mol:
    """The same molecule without chirality and without brackets that it does not need.

    Where a bond is cut off a bracketed atom, RDKit keeps the bracket's count of hydrogens and makes a radical.
    """
    return Chem.MolFromSmiles(Chem.MolToSmiles(mol, isomericSmiles=False)) or mol


def _descriptors(mols: list[Mol]) -> NDArray[np.float32]:
    properties = Properties()
    table = np.empty((len(mols), len(properties.GetPropertyNames())), np.float32)
    for row, mol in zip(table, mols):
        row[:] = properties.ComputeProperties(mol)
    table[~np.isfinite(table)] = np.nan
    return table


def _skeletons(mols: list[Mol]) -> list[str]:
    with rdBase.BlockLogs():
        fragments = [max(Chem.GetMolFrags(mol, asMols=True), key=Mol.GetNumHeavyAtoms) for mol in mols]
        return [Chem.MolToInchiKey(fragment)[:14] or Chem.MolToSmiles(fragment, False) for fragment in fragments]


def by_chunk(
    features: Callable[[list[Mol]], Any], smiles: Iterable[str], n_jobs: int, *, at_once: int | None = None
) -> list:
    """``features`` of the molecules of each chunk of rows, in order.

    Args:
        features: molecules -> what is wanted of them; to be sent to another process.
        smiles: n SMILES.
        n_jobs: processes, as in joblib.
        at_once: molecules in a chunk; None = 2048.

    Raises:
        InvalidSmiles: if any row of any chunk is no molecule or holds no atom.
    """
    if isinstance(smiles, str):
        raise ValueError(f"smiles: got the string {smiles!r}, expected a list of SMILES")
    smiles, size = list(smiles), at_once or _CHUNK
    done = joblib.Parallel(n_jobs)(
        joblib.delayed(_one_chunk)(features, start, smiles[start : start + size])
        for start in range(0, len(smiles), size)
    )
    faults = [fault for _, chunk_faults in done for fault in chunk_faults]
    if faults:
        raise InvalidSmiles(faults)
    return [result for result, _ in done]


def _one_chunk(features: Callable, start: int, smiles: list[str]) -> tuple[Any, list]:
    with rdBase.BlockLogs():
        read = [_molecule(text) for text in smiles]
    faults = [(start + i, text, mol) for i, (text, mol) in enumerate(zip(smiles, read)) if isinstance(mol, str)]
    return (None if faults else features(read)), faults


def _short(given: Any) -> str:
    text = repr(given)
    return text if len(text) <= 200 else f"{text[:200]}..."


def _molecule(text: Any) -> Mol | str:
    """The molecule, or why there is none."""
    if not isinstance(text, str):
        return f"a {type(text).__name__}, expected a string"
    if len(text) > MAX_SMILES:
        return f"{len(text):,} characters, expected at most {MAX_SMILES:,}"
    mol = Chem.MolFromSmiles(text, _AS_WRITTEN)
    if mol is None:
        return "not SMILES"
    if not mol.GetNumAtoms():
        return "no atoms"
    try:
        if _HYDROGEN.search(text):
            return Chem.RemoveHs(mol)  # sanitises too, at half the speed
        Chem.SanitizeMol(mol)
        return mol
    except Chem.MolSanitizeException as problem:
        return str(problem)
