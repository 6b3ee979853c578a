"""Which molecule a SMILES is: the same one under every salt, solvate, charge, tautomer and spelling.

Splits, negatives and retrieval take their groups from here. The parent is made by RDKit's MolStandardize (Landrum 2021,
after MolVS), fragment by fragment, and named by its InChIKey (Heller et al. 2015).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from functools import cache, partial
from itertools import chain
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from rdkit import Chem, rdBase
from rdkit.Chem import Mol, rdMolHash
from rdkit.Chem.MolStandardize import rdMolStandardize

from infocore_mini.screens import PairedScreen
from infocore_mini.smiles import InvalidSmiles, by_chunk

MAX_TAUTOMERS = 200  # beyond, a molecule is known by the tautomers that InChI itself sees
_AT_ONCE = 64  # molecules a process is given at a time: tautomers cost some 50 ms each
# What is left out where another organic fragment remains: counter-ions, then solvents.
_PARTNERS = """
C(=O)O CC(=O)O OC(=O)C(F)(F)F OC(=O)C(=O)O OC(=O)CC(=O)O OC(=O)CCC(=O)O OC(=O)CCCCC(=O)O OC(=O)C=CC(=O)O
CC(O)C(=O)O OC(=O)CC(O)C(=O)O OC(=O)C(O)C(O)C(=O)O OC(=O)CC(O)(C(=O)O)CC(=O)O OCC(O)C(O)C(O)C(O)C(=O)O
OCC(O)C(O)C(O)C(O)C(O)C(=O)O OC(=O)C(O)C(O)C(O)C(O)C(=O)O OC(=O)C(O)C(O)C(OC1OC(CO)C(O)C(O)C1O)C(O)CO
NC(CC(=O)O)C(=O)O NC(CCC(=O)O)C(=O)O NCCCCC(N)C(=O)O NC(CCCNC(=N)N)C(=O)O OC(=O)c1ccccc1 OC(=O)c1ccccc1O
O=C(O)CNC(=O)c1ccccc1 O=C(O)c1ccc2ccccc2c1O O=C(O)c1cc2ccccc2cc1O OC(=O)c1cc2ccccc2c(Cc2c(O)c(C(=O)O)cc3ccccc23)c1O
CCCCCCCCCCCCCCCCCC(=O)O CCCCCCCCCCCCCCCC(=O)O CS(=O)(=O)O CCS(=O)(=O)O OCCS(=O)(=O)O OS(=O)(=O)CCS(=O)(=O)O
O=S(=O)(O)c1ccccc1 Cc1ccc(S(=O)(=O)O)cc1 O=S(=O)(O)c1cccc2c(S(=O)(=O)O)cccc12 CC1(C)C2CCC1(CS(=O)(=O)O)C(=O)C2
O=S(=O)(O)NC1CCCCC1 COS(=O)(=O)O CCCCCCCCCCCCOS(=O)(=O)O Oc1c([N+](=O)[O-])cc([N+](=O)[O-])cc1[N+](=O)[O-]
CNCC(O)C(O)C(O)C(O)CO NC(CO)(CO)CO NCCO OCCNCCO OCCN(CCO)CCO NCCN CCNCC CCN(CC)CC C1CNCCN1 NC1CCCCC1
C1CCC(NC2CCCCC2)CC1 C[N+](C)(C)CCO c1ccc(CNCCNCc2ccccc2)cc1
CO CCO CC(C)O CC(O)CO CC(C)=O CC#N CS(C)=O CN(C)C=O CCOC(C)=O CCOCC C1CCOC1 C1COCCO1 ClCCl ClC(Cl)Cl
""".split()
_ORGANIC = {5, 6, 7, 8, 9, 15, 16, 17, 35, 53}  # no metal among them
_INORGANIC = ["OC(=O)O", "C#N", "N=C=S", "O=C=O"]  # hold carbon all the same


class _Parent(NamedTuple):
    key: str
    smiles: str
    fault: str  # what could not be done, "" if all was


def parents(smiles: Iterable[str], *, stereo: bool = True, n_jobs: int = 1) -> list[str]:
    """The InChIKey of each molecule's parent: one for all salts, solvates, charges, isotopes and tautomers of it.

    Metals are disconnected and every fragment is neutralised (permanent charges stay). Inorganic fragments, common
    counter-ions and solvents go where another organic fragment remains, however large they are; of what is left the
    largest fragment is the parent, in its canonical tautomer. Where nothing is organic all fragments count together.
    Of stereochemistry that a tautomer loses, centres are kept where the canonical tautomer has them, double bonds never.

    Where the tautomers are more than ``MAX_TAUTOMERS`` (macrocycles, peptides), the parent is the neutral fragment as
    drawn: InChI still merges its mobile hydrogens, not its keto and enol forms. Where InChI knows no name (a dummy
    atom), the parent is a canonical SMILES. A warning says how many molecules that were.

    Args:
        smiles: n SMILES.
        stereo: tell stereoisomers apart. No featuriser of this package does.
        n_jobs: processes, as in joblib.

    Returns:
        n InChIKeys.

    Raises:
        InvalidSmiles: if a row is no molecule or holds no atom.

    Examples:
        >>> aspirin, sodium_salt, toluene = parents(
        ...     ["CC(=O)Oc1ccccc1C(=O)O", "[Na+].CC(=O)Oc1ccccc1C(=O)[O-]", "Cc1ccccc1"]
        ... )
        >>> aspirin == sodium_salt, aspirin == toluene
        (True, False)
    """
    return [parent.key for parent in _warned(smiles, stereo, n_jobs)]


def parent_smiles(smiles: Iterable[str], *, stereo: bool = True, n_jobs: int = 1) -> list[str]:
    """The canonical SMILES of each molecule's parent, see `parents`.

    Raises:
        InvalidSmiles: if a row is no molecule or holds no atom.
    """
    return [parent.smiles for parent in _warned(smiles, stereo, n_jobs)]


def merged(smiles: Iterable[str], *, stereo: bool = True, n_jobs: int = 1) -> pd.DataFrame:
    """What `parents` takes for one molecule though it is written in several ways.

    Args:
        smiles: n SMILES.
        stereo: tell stereoisomers apart.
        n_jobs: processes, as in joblib.

    Returns:
        One row for each parent that is written in at least two ways: parent, spellings (a tuple, sorted), count (of
        rows of ``smiles``); those of most rows first.

    Raises:
        InvalidSmiles: if a row is no molecule or holds no atom.
    """
    smiles = list(smiles)
    table = pd.DataFrame({"label": _labels(smiles, stereo, n_jobs), "spelling": smiles}, dtype=object)
    found = table.groupby("label")["spelling"].agg(
        spellings=lambda texts: tuple(sorted(set(texts))), count="size"
    )  # fmt: skip
    several = found[found["spellings"].map(len) > 1]
    first = [spellings[0] for spellings in several["spellings"]]
    several = several.assign(parent=parents(first, stereo=stereo, n_jobs=n_jobs))[["parent", "spellings", "count"]]
    return several.sort_values(["count", "parent"], ascending=[False, True], ignore_index=True)


def one_spelling(
    smiles: Iterable[str], count: ArrayLike | None = None, *, stereo: bool = False, n_jobs: int = 1
) -> NDArray[np.object_]:
    """Each molecule in one of the ways in which it comes: that of most rows, and of those the first in the alphabet.

    So a screen holds the drug itself rather than its parent: the features of a salt that nobody writes otherwise stay.

    Args:
        smiles: n SMILES.
        count: (n,) how many rows each of them stands for; None = one.
        stereo: tell stereoisomers apart.
        n_jobs: processes, as in joblib.

    Returns:
        (n,) SMILES, all among those given; equal for those that `molecule_groups` puts together.

    Raises:
        InvalidSmiles: if a row is no molecule or holds no atom.

    Examples:
        >>> one_spelling(["CCN.Cl", "CCN.Cl", "CCN", "CCO"]).tolist()
        ['CCN.Cl', 'CCN.Cl', 'CCN.Cl', 'CCO']
    """
    smiles = list(smiles)
    table = pd.DataFrame({"parent": _labels(smiles, stereo, n_jobs), "spelling": smiles}, dtype=object)
    table["count"] = 1 if count is None else np.asarray(count)
    total = table.groupby(["parent", "spelling"], as_index=False)["count"].sum()
    order = total.sort_values(["count", "spelling"], ascending=[False, True])
    chosen = order.drop_duplicates("parent").set_index("parent")["spelling"]
    return chosen.loc[table["parent"]].to_numpy(dtype=object)


def molecule_groups(
    molecules: PairedScreen | Iterable[str], *, stereo: bool = False, names: bool = False, n_jobs: int = 1
) -> NDArray[np.int64]:
    """Codes of the molecules, equal for equal parents: what must not be parted by a split or contrasted in training.

    Args:
        molecules: a screen (its ``smiles``) or n SMILES.
        stereo: tell stereoisomers apart. By default not, since equal features are no two molecules to a model.
        names: a text that is no SMILES stands for a molecule of its own, the same wherever the text is equal.
        n_jobs: processes, as in joblib.

    Returns:
        (n,) int64 codes from 0, in the order in which the parents come.

    Raises:
        InvalidSmiles: if a row is no molecule, unless ``names``.
    """
    smiles = molecules.smiles.tolist() if isinstance(molecules, PairedScreen) else list(molecules)
    try:
        found = _labels(smiles, stereo, n_jobs)
    except InvalidSmiles as error:
        if not names:
            raise
        unread = {row for row, *_ in error.faults}
        read = iter(_labels([text for row, text in enumerate(smiles) if row not in unread], stereo, n_jobs))
        found = [f"name {text}" if row in unread else next(read) for row, text in enumerate(smiles)]
    return pd.factorize(np.array(found, dtype=object))[0].astype(np.int64)


def canonical(mol: Mol) -> str:
    """RDKit's canonical isomeric SMILES that stays the same when it is read and written again.

    For some molecules RDKit's own does not (an imine with a drawn hydrogen): of those it goes through, the first in
    the alphabet.
    """
    seen: list[str] = []
    text = Chem.MolToSmiles(mol)
    while text not in seen:
        seen.append(text)
        again = Chem.MolFromSmiles(text)
        if again is None:  # written, and not read: nothing better can be had
            return text
        text = Chem.MolToSmiles(again)
    return min(seen[seen.index(text) :])


def _labels(smiles: Iterable[str], stereo: bool, n_jobs: int) -> list[str]:
    """Equal for equal parents: the parent's key, or less where that tells which of these molecules have one parent.

    Tautomers cost fifty times what the bare graph of a molecule costs, and molecules of two graphs are none.
    """
    smiles = list(smiles) if not isinstance(smiles, str) else smiles
    found = list(chain.from_iterable(by_chunk(partial(_graphs, stereo), smiles, n_jobs, at_once=_AT_ONCE)))
    drawn: dict[str, dict[str, str]] = {}  # graph -> the ways to draw it -> the first SMILES
    for (graph, drawing), text in zip(found, smiles):
        drawn.setdefault(graph, {}).setdefault(drawing, text)
    unsure = {drawing: text for ways in drawn.values() if len(ways) > 1 for drawing, text in ways.items()}
    key = dict(zip(unsure, (parent.key for parent in _found(unsure.values(), stereo, n_jobs))))
    return [key.get(drawing, graph) for graph, drawing in found]


def _graphs(stereo: bool, mols: list[Mol]) -> list[tuple[str, str]]:
    """Of each parent the elements and bonds, whatever their orders, charges and hydrogens; and the parent as drawn."""
    found = []
    with rdBase.BlockLogs():
        for mol in mols:
            if not stereo:
                Chem.RemoveStereochemistry(mol)
            bare = _bare(mol)
            drawing = Chem.MolToSmiles(bare)
            Chem.RemoveStereochemistry(bare)
            found.append((rdMolHash.MolHash(bare, rdMolHash.HashFunction.ElementGraph), drawing))
    return found


def _bare(mol: Mol) -> Mol:
    """The fragment that `_parent` chooses; a molecule of one fragment without metals, isotopes, hydrogens is its own."""
    plain = all(atom.GetAtomicNum() in _ORGANIC and not atom.GetIsotope() for atom in mol.GetAtoms())
    if plain and len(Chem.GetMolFrags(mol)) == 1:
        return mol
    try:
        return _chosen(_neutral(mol))
    except (RuntimeError, ValueError):  # what RDKit raises; `_parent` then takes it as drawn
        return mol


def _found(smiles: Iterable[str], stereo: bool, n_jobs: int) -> list[_Parent]:
    return list(chain.from_iterable(by_chunk(partial(_parents, stereo), smiles, n_jobs, at_once=_AT_ONCE)))


def _warned(smiles: Iterable[str], stereo: bool, n_jobs: int) -> list[_Parent]:
    """The parents, and a warning that says how many of them are less sure."""
    smiles = list(smiles) if not isinstance(smiles, str) else smiles
    found = _found(smiles, stereo, n_jobs)
    faults = [(text, parent.fault) for text, parent in zip(smiles, found) if parent.fault]
    if faults:
        count = f"{len(faults)} of {len(found)} molecules are known less well"
        warnings.warn(f"smiles: {count}, the first {faults[0][0]!r}: {faults[0][1]}", stacklevel=3)
    return found


def _parents(stereo: bool, mols: list[Mol]) -> list[_Parent]:
    """The parents of the molecules of a chunk, each molecule once."""
    with rdBase.BlockLogs():
        spelt = [canonical(mol) for mol in mols]
        found = {text: _parent(text, stereo) for text in dict.fromkeys(spelt)}
    return [found[text] for text in spelt]


def _parent(text: str, stereo: bool) -> _Parent:
    mol = Chem.MolFromSmiles(text)
    if mol is None:
        return _Parent(text, text, "its canonical SMILES cannot be read")
    if not stereo:
        Chem.RemoveStereochemistry(mol)
    try:
        whole = _neutral(mol)
        chosen = _chosen(whole)
        result = _enumerator().Enumerate(chosen)
        fault = "" if result.status == rdMolStandardize.TautomerEnumeratorStatus.Completed else (
            f"more than {MAX_TAUTOMERS} tautomers"
        )  # fmt: skip
        parent = chosen if fault else _enumerator().PickCanonical(result)
    except (RuntimeError, ValueError) as error:  # what RDKit raises
        parent, fault = mol, f"no parent ({error})"
    key, spelt = _key(parent), canonical(parent)
    return _Parent(key or spelt, spelt, fault if key else fault or "InChI has no name for it")


def _neutral(mol: Mol) -> Mol:
    """Metals disconnected, groups drawn in one way, neutral as far as protons can make it, no isotopes."""
    mol = rdMolStandardize.Cleanup(mol)
    for atom in mol.GetAtoms():
        atom.SetIsotope(0)
    fragments = [_uncharger().uncharge(part) for part in Chem.GetMolFrags(Chem.RemoveHs(mol), asMols=True)]
    whole = fragments[0]
    for part in fragments[1:]:
        whole = Chem.CombineMols(whole, part)
    Chem.SanitizeMol(whole)
    return Chem.MolFromSmiles(canonical(whole)) or whole


def _chosen(mol: Mol) -> Mol:
    """The fragment that is the molecule; all of them if none is organic."""
    parts = {_skeleton(part): part for part in Chem.GetMolFrags(mol, asMols=True)}
    organic = {key: part for key, part in parts.items() if _has_carbon(part) and key not in _skeletons("inorganic")}
    if not organic:
        return mol
    drugs = {key: part for key, part in organic.items() if key not in _skeletons("partners")} or organic
    return max(drugs.items(), key=lambda item: (item[1].GetNumHeavyAtoms(), item[0]))[1]


def _has_carbon(mol: Mol) -> bool:
    return any(atom.GetAtomicNum() == 6 for atom in mol.GetAtoms())


def _key(mol: Mol) -> str:
    return Chem.MolToInchiKey(mol)


def _skeleton(mol: Mol) -> str:
    return _key(mol)[:14] or canonical(mol)


@cache
def _skeletons(kind: str) -> frozenset[str]:
    listed = _PARTNERS if kind == "partners" else _INORGANIC
    return frozenset(_skeleton(_neutral(Chem.MolFromSmiles(text))) for text in listed)


@cache
def _enumerator() -> rdMolStandardize.TautomerEnumerator:
    enumerator = rdMolStandardize.TautomerEnumerator()
    enumerator.SetMaxTautomers(MAX_TAUTOMERS)
    enumerator.SetMaxTransforms(2 * MAX_TAUTOMERS)
    enumerator.SetRemoveSp3Stereo(False)  # else the two hands of ibuprofen, which has an enol, are one
    return enumerator


@cache
def _uncharger() -> rdMolStandardize.Uncharger:
    return rdMolStandardize.Uncharger(True, True)  # in canonical order; acids also beside a permanent charge
