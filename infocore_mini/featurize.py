"""SMILES to numbers: Mol2vec (sums of learnt substructure vectors), fingerprints, descriptors; scaffolds and their split.

Morgan identifiers see no chirality; they do see which tautomer was drawn, and of isotopes those that weigh a whole unit
more or less than the element's mean: deuterium and carbon-14, not carbon-13 or nitrogen-15.  ``identity`` knows which
molecules are the same, ``smiles`` how they are read.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from functools import cache, partial
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem, rdBase
from rdkit.Chem import Mol
from rdkit.Chem.rdFingerprintGenerator import AdditionalOutput, FingerprintGenerator64, GetMorganGenerator
from rdkit.Chem.rdMolDescriptors import Properties
from rdkit.Chem.Scaffolds.MurckoScaffold import MurckoScaffoldSmiles
from scipy.sparse import csr_array

from infocore_mini.smiles import InvalidSmiles, by_chunk
from infocore_mini.vectors import SubstructureVectors, load_vectors

__all__ = [
    "RADIUS",
    "InvalidSmiles",
    "Parts",
    "SubstructureVectors",
    "descriptors",
    "load_vectors",
    "mol2vec",
    "morgan",
    "murcko_scaffold",
    "scaffold_split",
    "skeletons",
    "substructure_sentences",
    "substructures",
    "tanimoto",
]

RADIUS = 1  # Mol2vec's sentences hold the identifiers of radius 0 and 1


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


def murcko_scaffold(smiles: Iterable[str], *, chirality: bool = False) -> list[str]:
    """Bemis-Murcko scaffold of each molecule: its rings and what links them, as canonical SMILES.

    Molecules without a ring have the scaffold ``""``.

    Args:
        smiles: molecules.
        chirality: whether scaffolds differ if their stereocentres do.

    Raises:
        InvalidSmiles: if a row is no molecule or holds no atom.
    """
    scaffolds = _chiral_scaffolds if chirality else _scaffolds
    return list(chain.from_iterable(by_chunk(scaffolds, smiles, n_jobs=1)))


class Parts(NamedTuple):
    """Molecules of a split as row numbers, int64, ascending; no molecule in two of them."""

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]


def scaffold_split(smiles: Sequence[str], *, chirality: bool = False) -> Parts:
    """Train, validation and test, 80 / 10 / 10 %, by Murcko scaffold, always the same (Hu et al. 2020).

    The molecules of a scaffold stay together.  Scaffolds go, the largest first (of equal ones that whose first molecule
    comes last), into training while it has room, else into validation while both have, else into test.  Unlike
    theirs, our scaffolds do not see chirality, so that no two parts hold stereoisomers of one scaffold.

    Args:
        smiles: molecules.
        chirality: as theirs.

    Raises:
        InvalidSmiles: if a row is no molecule or holds no atom.
        ValueError: if a part would be empty.
    """
    rows: dict[str, list[int]] = {}
    for row, scaffold in enumerate(murcko_scaffold(smiles, chirality=chirality)):
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


def _chiral_scaffolds(mols: list[Mol]) -> list[str]:
    with rdBase.BlockLogs():
        return [MurckoScaffoldSmiles(mol=mol, includeChirality=True) for mol in mols]


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
