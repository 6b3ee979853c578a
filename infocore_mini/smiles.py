"""SMILES to molecules: the one way in which every function of the library reads them, a chunk of rows at a time.

RDKit parses and sanitises the text and *nothing is removed*, as ``mol2vec featurize`` has it (Jaeger, Fulle and Turk
2018), so that each fragment of a salt counts.  Rows that are no molecules are told together, each with its reason.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

import joblib
from rdkit import Chem, rdBase
from rdkit.Chem import Mol

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
