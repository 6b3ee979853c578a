"""What the chapter on molecules shows: well-known drugs, their neighbours among real molecules, and measured limits."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import chain

import numpy as np
import pandas as pd
from rdkit import Chem
from scipy.stats import spearmanr
from sklearn.metrics.pairwise import cosine_similarity

from infocore_mini.featurize import SubstructureVectors, mol2vec, morgan, substructure_sentences, tanimoto
from infocore_mini.simulate.molecules import drug_like
from infocore_mini.sources import DataUnavailable, fetch

LIBRARY = "broad_id_smiles.tsv.gz"
QUERIES = ("aspirin", "diazepam", "dexamethasone", "imatinib", "penicillin V")

DRUGS = {  # by class; well-known structures, written down here for this book
    "anti-inflammatory": {
        "aspirin": "CC(=O)Oc1ccccc1C(=O)O",
        "salicylic acid": "O=C(O)c1ccccc1O",
        "paracetamol": "CC(=O)Nc1ccc(O)cc1",
        "ibuprofen": "CC(C)Cc1ccc(C(C)C(=O)O)cc1",
        "naproxen": "COc1ccc2cc(C(C)C(=O)O)ccc2c1",
        "ketoprofen": "CC(C(=O)O)c1cccc(C(=O)c2ccccc2)c1",
        "diclofenac": "O=C(O)Cc1ccccc1Nc1c(Cl)cccc1Cl",
        "indomethacin": "COc1ccc2c(c1)c(CC(=O)O)c(C)n2C(=O)c1ccc(Cl)cc1",
        "celecoxib": "Cc1ccc(-c2cc(C(F)(F)F)nn2-c2ccc(S(N)(=O)=O)cc2)cc1",
    },
    "benzodiazepine": {
        "diazepam": "CN1C(=O)CN=C(c2ccccc2)c2cc(Cl)ccc21",
        "temazepam": "CN1C(=O)C(O)N=C(c2ccccc2)c2cc(Cl)ccc21",
        "oxazepam": "O=C1Nc2ccc(Cl)cc2C(c2ccccc2)=NC1O",
        "lorazepam": "O=C1Nc2ccc(Cl)cc2C(c2ccccc2Cl)=NC1O",
        "clonazepam": "O=C1CN=C(c2ccccc2Cl)c2cc([N+](=O)[O-])ccc2N1",
        "alprazolam": "Cc1nnc2n1-c1ccc(Cl)cc1C(c1ccccc1)=NC2",
        "midazolam": "Cc1ncc2n1-c1ccc(Cl)cc1C(c1ccccc1F)=NC2",
    },
    "steroid": {
        "dexamethasone": "C[C@@H]1C[C@H]2[C@@H]3CCC4=CC(=O)C=C[C@]4(C)[C@@]3(F)[C@@H](O)C[C@]2(C)[C@@]1(O)C(=O)CO",
        "betamethasone": "C[C@H]1C[C@H]2[C@@H]3CCC4=CC(=O)C=C[C@]4(C)[C@@]3(F)[C@@H](O)C[C@]2(C)[C@@]1(O)C(=O)CO",
        "prednisolone": "CC12CC(O)C3C(CCC4=CC(=O)C=CC43C)C1CCC2(O)C(=O)CO",
        "hydrocortisone": "CC12CCC(=O)C=C1CCC1C2C(O)CC2(C)C1CCC2(O)C(=O)CO",
        "testosterone": "CC12CCC3C(CCC4=CC(=O)CCC43C)C1CCC2O",
        "progesterone": "CC(=O)C1CCC2C3CCC4=CC(=O)CCC4(C)C3CCC12C",
        "estradiol": "CC12CCC3c4ccc(O)cc4CCC3C1CCC2O",
        "cholesterol": "CC(C)CCCC(C)C1CCC2C3CC=C4CC(O)CCC4(C)C3CCC12C",
    },
    "kinase inhibitor": {
        "imatinib": "Cc1ccc(NC(=O)c2ccc(CN3CCN(C)CC3)cc2)cc1Nc1nccc(-c2cccnc2)n1",
        "nilotinib": "Cc1cn(-c2cc(NC(=O)c3ccc(C)c(Nc4nccc(-c5cccnc5)n4)c3)cc(C(F)(F)F)c2)cn1",
        "dasatinib": "Cc1nc(Nc2ncc(C(=O)Nc3c(C)cccc3Cl)s2)cc(N2CCN(CCO)CC2)n1",
        "gefitinib": "COc1cc2ncnc(Nc3ccc(F)c(Cl)c3)c2cc1OCCCN1CCOCC1",
        "erlotinib": "C#Cc1cccc(Nc2ncnc3cc(OCCOC)c(OCCOC)cc23)c1",
        "sorafenib": "CNC(=O)c1cc(Oc2ccc(NC(=O)Nc3ccc(Cl)c(C(F)(F)F)c3)cc2)ccn1",
    },
    "beta-lactam": {
        "penicillin V": "CC1(C)SC2C(NC(=O)COc3ccccc3)C(=O)N2C1C(=O)O",
        "penicillin G": "CC1(C)SC2C(NC(=O)Cc3ccccc3)C(=O)N2C1C(=O)O",
        "ampicillin": "CC1(C)SC2C(NC(=O)C(N)c3ccccc3)C(=O)N2C1C(=O)O",
        "amoxicillin": "CC1(C)SC2C(NC(=O)C(N)c3ccc(O)cc3)C(=O)N2C1C(=O)O",
        "oxacillin": "Cc1onc(-c2ccccc2)c1C(=O)NC1C(=O)N2C1SC(C)(C)C2C(=O)O",
        "cefalexin": "CC1=C(C(=O)O)N2C(=O)C(NC(=O)C(N)c3ccccc3)C2SC1",
    },
    "opioid": {
        "morphine": "CN1CCC23C4Oc5c(O)ccc(CC1C2C=CC4O)c53",
        "codeine": "COc1ccc2C3CC4C=CC(O)C5Oc1c2C54CCN3C",
        "hydromorphone": "CN1CCC23C4Oc5c(O)ccc(CC1C2CCC4=O)c53",
        "oxycodone": "COc1ccc2CC3N(C)CCC45C(Oc1c24)C(=O)CCC35O",
        "naloxone": "C=CCN1CCC23C4Oc5c(O)ccc(CC1C2(O)CCC4=O)c53",
        "fentanyl": "CCC(=O)N(c1ccccc1)C1CCN(CCc2ccccc2)CC1",
    },
    "other": {
        "caffeine": "Cn1c(=O)c2c(ncn2C)n(C)c1=O",
        "theophylline": "Cn1c(=O)c2[nH]cnc2n(C)c1=O",
        "propranolol": "CC(C)NCC(O)COc1cccc2ccccc12",
        "atenolol": "CC(C)NCC(O)COc1ccc(CC(N)=O)cc1",
        "fluoxetine": "CNCCC(Oc1ccc(C(F)(F)F)cc1)c1ccccc1",
        "sertraline": "CNC1CCC(c2ccc(Cl)c(Cl)c2)c2ccccc21",
        "amitriptyline": "CN(C)CCC=C1c2ccccc2CCc2ccccc21",
        "chlorpromazine": "CN(C)CCCN1c2ccccc2Sc2ccc(Cl)cc21",
        "haloperidol": "O=C(CCCN1CCC(O)(c2ccc(Cl)cc2)CC1)c1ccc(F)cc1",
        "warfarin": "CC(=O)CC(c1ccccc1)c1c(O)c2ccccc2oc1=O",
        "simvastatin": "CCC(C)(C)C(=O)OC1CC(C)C=C2C=CC(C)C(CCC3CC(O)CC(=O)O3)C21",
        "metformin": "CN(C)C(=N)NC(=N)N",
        "ciprofloxacin": "O=C(O)c1cn(C2CC2)c2cc(N3CCNCC3)c(F)cc2c1=O",
        "sulfamethoxazole": "Cc1cc(NS(=O)(=O)c2ccc(N)cc2)no1",
        "trimethoprim": "COc1cc(Cc2cnc(N)nc2N)cc(OC)c1OC",
        "captopril": "CC(CS)C(=O)N1CCCC1C(=O)O",
        "methotrexate": "CN(Cc1cnc2nc(N)nc(N)c2n1)c1ccc(C(=O)NC(CCC(=O)O)C(=O)O)cc1",
        "fluorouracil": "O=c1[nH]cc(F)c(=O)[nH]1",
        "sildenafil": "CCCc1nn(C)c2c1nc(-c1cc(S(=O)(=O)N3CCN(C)CC3)ccc1OCC)[nH]c2=O",
        "omeprazole": "COc1ccc2[nH]c(S(=O)Cc3ncc(C)c(OC)c3C)nc2c1",
        "tamoxifen": "CCC(=C(c1ccccc1)c1ccc(OCCN(C)C)cc1)c1ccccc1",
        "chloroquine": "CCN(CC)CCCC(C)Nc1ccnc2cc(Cl)ccc12",
        "quinine": "C=CC1CN2CCC1CC2C(O)c1ccnc2ccc(OC)cc12",
        "nicotine": "CN1CCCC1c1cccnc1",
        "lidocaine": "CCN(CC)CC(=O)Nc1c(C)cccc1C",
    },
}
_CLASSES = {drug_like(smiles): group for group, drugs in DRUGS.items() if group != "other" for smiles in drugs.values()}
NAMED = {name: smiles for group in DRUGS.values() for name, smiles in group.items()}


@dataclass(frozen=True)
class Library:
    """Molecules to search in.

    Attributes:
        smiles: canonical, without stereochemistry, unique; the well-known drugs come first.
        notice: what to tell the reader if no list of real compounds could be had, else "".
    """

    smiles: list[str]
    notice: str


def library() -> Library:
    """The drug-like molecules of the Broad compound list and the well-known drugs; the latter alone without the list."""
    named = [molecule for molecule in map(drug_like, NAMED.values()) if molecule]
    try:
        listed = pd.read_csv(fetch(LIBRARY), sep="\t")["smiles"]
    except DataUnavailable as reason:
        notice = f"No list of real compounds here: the library is our {len(NAMED)} well-known drugs alone. {reason}"
        return Library(list(dict.fromkeys(named)), notice)
    written = dict.fromkeys(text.split("|")[0] for text in listed)  # after "|": ChemAxon's extensions
    found = [molecule for molecule in map(drug_like, written) if molecule]
    return Library(list(dict.fromkeys(named + found)), "")


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
    names: tuple[str, ...], pool: Library, found: dict[str, np.ndarray], vectors, k: int = 4
) -> pd.DataFrame:
    """The k most similar molecules of the library to each named drug, the drug itself left out.

    Args:
        found: ``features(pool.smiles, vectors)``.

    Returns:
        a row per (drug, kind, rank) with smiles, similarity and name ("" if it is none of ours).
    """
    known = {drug_like(smiles): name for name, smiles in reversed(NAMED.items())}
    own = [drug_like(NAMED[name]) for name in names]
    rows = []
    for kind, query in features(own, vectors).items():
        for name, itself, scores in zip(names, own, similarity(kind, query, found[kind])):
            nearest = [i for i in np.argsort(-scores, kind="stable")[: k + 1] if pool.smiles[i] != itself][:k]
            for rank, i in enumerate(nearest, 1):
                rows.append((name, kind, rank, pool.smiles[i], float(scores[i]), known.get(pool.smiles[i], "")))
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


def limits(pool: Library, found: dict[str, np.ndarray], vectors: SubstructureVectors) -> pd.Series:
    """What decides the length of a Mol2vec vector, how alike all are, and what the featurisers cannot tell apart."""
    words = np.array(list(chain.from_iterable(substructure_sentences(pool.smiles))), dtype=np.int64)
    order = np.random.default_rng(0).permutation(len(pool.smiles))
    halves = found["Mol2vec"][order[::2]][:500], found["Mol2vec"][order[1::2]][:500]  # no molecule is in both
    length = np.linalg.norm(found["Mol2vec"], axis=1)
    return pd.Series(
        {
            "rank correlation of length with heavy atoms": spearmanr(length, heavy_atoms(pool.smiles)).statistic,
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
