"""Real molecules for simulated screens, and what stands in for them where no list of real ones can be had."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from rdkit import Chem, rdBase
from rdkit.Chem.rdFingerprintGenerator import GetMorganGenerator

from infocore_mini.sources import BROAD_SMILES, DataUnavailable, data_file, fetch

LISTS = (BROAD_SMILES, "smiles_corpus.txt.gz")
HEAVY_ATOMS = (10, 60)
ELEMENTS = frozenset("H B C N O F P S Cl Br I".split())

# The fallback: two places for substituents on each scaffold, written here by hand.
SCAFFOLDS = (
    "c1cc({a})ccc1{b}",
    "c1cc({a})cc({b})c1",
    "c1cc({a})ncc1{b}",
    "c1c({a})ncnc1{b}",
    "c1ccc2c({a})nc({b})cc2c1",
    "c1ccc2c({a})ncnc2c1{b}",
    "c1cc2[nH]c({a})cc2cc1{b}",
    "c1cc2nc({a})[nH]c2cc1{b}",
    "c1cc2oc({a})cc2cc1{b}",
    "c1cc2sc({a})nc2cc1{b}",
    "c1cc({a})sc1{b}",
    "c1c({a})nn(C)c1{b}",
    "c1sc({a})nc1{b}",
    "c1oc({a})nc1{b}",
    "C1CN({a})CCC1{b}",
    "C1CN({a})CCN1c1ccc({b})cc1",
    "C1CC({a})CCC1{b}",
    "O=C1NC({a})C(=O)N1c1ccc({b})cc1",
    "O=C1C=C({a})Oc2cc({b})ccc12",
    "O=c1cc({a})oc2cc({b})ccc12",
    "c1nc({a})c2nc({b})n(C3CCCC3)c2n1",
    "O=C(c1ccc({a})cc1)c1ccc({b})cc1",
    "O=S(=O)(Nc1ccc({a})cc1)c1ccc({b})cc1",
    "C(Oc1ccc({a})cc1)c1ccc({b})cc1",
    "O=C1CN=C(c2ccc({a})cc2)c2cc({b})ccc2N1",
)
SUBSTITUENTS = tuple(  # ring closures numbered 9, apart from those of the scaffolds
    "C CC C(C)C C(C)(C)C CCCC C9CC9 C9CCCCC9 C(F)(F)F CO CCO CN(C)C C#N C(=O)O C(=O)OC C(=O)N C(=O)NC C(=O)N(C)C "
    "C(=O)C C(=O)c9ccccc9 c9ccccc9 c9ccc(F)cc9 c9ccc(Cl)cc9 c9ccc(OC)cc9 c9ccncc9 c9ccco9 c9cccs9 Cc9ccccc9 CCc9ccccc9 "
    "CN9CCOCC9 CN9CCN(C)CC9 CCN9CCCCC9 CC(=O)O CC(=O)NC CCC(=O)OCC CNC(=O)c9ccccc9 CS(=O)(=O)C CCS CCCl CCBr C=C".split()
)


@dataclass(frozen=True)
class Molecules:
    """Unique drug-like molecules.

    Attributes:
        smiles: RDKit-canonical SMILES without stereochemistry, one per molecule, in random order.
        real: whether they come from lists of real compounds.
        source: where they come from, in words; to be shown wherever results on them are shown.
    """

    smiles: tuple[str, ...]
    real: bool
    source: str


def sample_molecules(n: int, seed: int) -> Molecules:
    """Draw n unique molecules: real ones if a list of so many can be had, else enumerated ones.

    The project's table of the Broad Institute's compounds comes first; a demand beyond it is filled from the corpus of
    Mol2vec, which has no public address.
    Stereoisomers count as one molecule, as neither Mol2vec nor Morgan fingerprints tell them apart here.

    Args:
        n: number of molecules.
        seed: decides which and in what order.

    Returns:
        The molecules, and in words where they come from.

    Raises:
        ValueError: if n is below 1 or exceeds what the source holds.
    """
    if n < 1:
        raise ValueError(f"n: got {n}, expected at least 1")
    rng = np.random.default_rng(seed)
    found: dict[str, None] = {}
    used = []
    try:
        _check_enough(n, map(_real_smiles, LISTS))
        for name in LISTS:
            if len(found) < n:
                used.append(name)
                _collect(found, n, _shuffled(_real_smiles(name), rng))
        real, source = True, "real molecules of " + " and ".join(used)
    except DataUnavailable:
        real, source = False, f"enumerated from {len(SCAFFOLDS)} scaffolds, as no list of real molecules could be had"
        found.clear()
        _check_enough(n, [_enumerated()])
        _collect(found, n, _shuffled(_enumerated(), rng))
    if len(found) < n:
        raise ValueError(f"n: got {n:,}, expected at most the {len(found):,} molecules of this source ({source})")
    smiles = np.array(list(found), dtype=object)
    return Molecules(tuple(smiles[rng.permutation(n)]), real, source)


def drug_like(smiles: str) -> str | None:
    """Canonical SMILES without stereochemistry of a drug-like molecule, None of anything else.

    Drug-like here: parsed by RDKit, one fragment, 10 to 60 heavy atoms, common organic elements, some carbon.
    """
    text = smiles.split("|")[0].strip()  # what follows "|" are ChemAxon's extensions
    if "." in text:
        return None
    with rdBase.BlockLogs():
        molecule = Chem.MolFromSmiles(text)
    if molecule is None or not HEAVY_ATOMS[0] <= molecule.GetNumHeavyAtoms() <= HEAVY_ATOMS[1]:
        return None
    elements = {atom.GetSymbol() for atom in molecule.GetAtoms()}
    return Chem.MolToSmiles(molecule, isomericSmiles=False) if "C" in elements and elements <= ELEMENTS else None


def substructure_counts(smiles: Sequence[str], n_bits: int = 1024) -> np.ndarray:
    """(n, n_bits) float32 counts of Morgan substructures of radius up to 2, folded.

    Raises:
        ValueError: naming the SMILES that RDKit cannot parse.
    """
    generator = GetMorganGenerator(radius=2, fpSize=n_bits)
    counts = np.zeros((len(smiles), n_bits), dtype=np.float32)
    broken: list[str] = []
    for row, text in enumerate(smiles):
        molecule = Chem.MolFromSmiles(text)
        if molecule is None:
            broken.append(f"{row}: {text!r}")
        else:
            counts[row] = generator.GetCountFingerprintAsNumPy(molecule)
    if broken:
        raise ValueError(f"smiles: got {len(broken)} that RDKit cannot parse ({', '.join(broken[:5])}), expected none")
    return counts


def _check_enough(n: int, lists: Iterable[Sequence[str]]) -> None:
    """ValueError, before a molecule is parsed, if the lists together are shorter than n; reads no more than it needs."""
    length = 0
    for texts in lists:
        length += len(texts)
        if length >= n:
            return
    raise ValueError(f"n: got {n:,}, expected at most the {length:,} molecules that are listed")


def _real_smiles(name: str) -> list[str]:
    path = data_file(name) if name == BROAD_SMILES else fetch(name)
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        texts = [line.rstrip("\n") for line in lines]
    return [text.split("\t")[1] for text in texts[1:]] if name.endswith(".tsv.gz") else texts


def _enumerated() -> list[str]:
    return [scaffold.format(a=a, b=b) for scaffold in SCAFFOLDS for a in SUBSTITUENTS for b in SUBSTITUENTS]


def _shuffled(texts: Sequence[str], rng: np.random.Generator) -> Iterator[str]:
    return (texts[i] for i in rng.permutation(len(texts)))


def _collect(found: dict[str, None], n: int, candidates: Iterable[str]) -> None:
    """Add drug-like candidates to ``found`` until it holds n."""
    for candidate in candidates:
        if len(found) >= n:
            return
        if canonical := drug_like(candidate):
            found[canonical] = None
