"""One parent for every salt, solvate, charge, tautomer and spelling of a molecule; other molecules keep their own."""

from __future__ import annotations

import random
import warnings

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem

from infocore_mini import identity
from infocore_mini.identity import canonical, merged, molecule_groups, one_spelling, parent_smiles, parents
from infocore_mini.screens import PairedScreen
from infocore_mini.simulate.molecules import sample_molecules
from infocore_mini.smiles import InvalidSmiles

PAMOIC = "OC(=O)c1cc2ccccc2c(Cc2c(O)c(C(=O)O)cc3ccccc23)c1O"
SAME = {
    "aspirin": ["CC(=O)Oc1ccccc1C(=O)O", "CC(=O)Oc1ccccc1C(=O)[O-].[Na+]", "CC(=O)Oc1ccccc1C(=O)O[Na]",
                "NCCCC[C@H](N)C(=O)O.CC(=O)Oc1ccccc1C(=O)O"],
    "pyrantel under a larger acid": ["CN1CCCN=C1/C=C/c1cccs1", f"CN1CCCN=C1/C=C/c1cccs1.{PAMOIC}"],
    "a hemisulfate": ["CC(N)Cc1ccccc1", "CC(N)Cc1ccccc1.CC([NH3+])Cc1ccccc1.O=S(=O)([O-])O"],
    "a solvate": ["O=C1CN=C(c2ccccc2Cl)c2cc([N+](=O)[O-])ccc2N1",
                  "O=C1CN=C(c2ccccc2Cl)c2cc([N+](=O)[O-])ccc2N1.CS(C)=O.O.O"],
    "a zwitterion": ["NCC(=O)O", "[NH3+]CC(=O)[O-]", "[NH3+]CC(=O)O.[Cl-]", "NCC(=O)[O-].[K+]"],
    "a betaine": ["C[N+](C)(C)CC(=O)[O-]", "C[N+](C)(C)CC(=O)O.[Cl-]"],
    "pyridone": ["O=c1cccc[nH]1", "Oc1ccccn1"],
    "a diketone": ["CC(=O)CC(C)=O", "CC(=O)C=C(C)O"],
    "imidazole": ["Cc1c[nH]cn1", "Cc1cnc[nH]1", "Cc1c[nH]c[nH+]1.[Br-]"],
    "sulfoxide": ["CS(=O)c1ccccc1", "C[S+]([O-])c1ccccc1"],
    "nitro": ["CC[N+](=O)[O-]", "CCN(=O)=O"],
    "labelled caffeine": ["Cn1c(=O)c2c(ncn2C)n(C)c1=O", "[2H]C([2H])([2H])n1c(=O)c2c(ncn2C)n(C)c1=O"],
    "an acid that is no counter-ion here": ["CC(=O)O", "CC(=O)[O-].[Na+]"],
    "lithium carbonate": ["[Li+].[Li+].[O-]C([O-])=O", "[O-]C(=O)[O-].[Li+].[Li+]"],
    "sodium carbonate": ["[Na+].[Na+].[O-]C([O-])=O"],
    "potassium chloride": ["[K+].[Cl-]"],
    "water": ["O", "[H]O[H]"],
    "a dummy atom": ["*c1ccccc1", "c1ccc(*)cc1"],
}  # fmt: skip
HANDS = {
    "ibuprofen": ("CC(C)Cc1ccc([C@H](C)C(=O)O)cc1", "CC(C)Cc1ccc([C@@H](C)C(=O)O)cc1"),
    "thalidomide": ("O=C1CC[C@@H](N2C(=O)c3ccccc3C2=O)C(=O)N1", "O=C1CC[C@H](N2C(=O)c3ccccc3C2=O)C(=O)N1"),
    "stilbene": ("C(=C/c1ccccc1)\\c1ccccc1", "C(=C\\c1ccccc1)\\c1ccccc1"),
}


@pytest.fixture(scope="module")
def drugs() -> list[str]:
    return list(sample_molecules(40, 3).smiles)


@pytest.mark.filterwarnings("ignore:.*InChI has no name")
def test_one_parent_for_one_molecule_and_another_for_another():
    found = {name: set(parents(spellings)) for name, spellings in SAME.items()}
    assert {name: len(keys) for name, keys in found.items()} == dict.fromkeys(SAME, 1)
    assert len(set.union(*found.values())) == len(SAME)


def test_a_parent_is_the_inchikey_of_the_neutral_molecule():
    assert parents(SAME["aspirin"]) == ["BSYNRYMUTXBXSQ-UHFFFAOYSA-N"] * 4
    assert parent_smiles(SAME["aspirin"]) == ["CC(=O)Oc1ccccc1C(=O)O"] * 4


@pytest.mark.parametrize("name", HANDS)
def test_stereoisomers_are_told_apart_if_asked_for(name):
    assert len(set(parents(HANDS[name]))) == 2
    assert len(set(parents(HANDS[name], stereo=False))) == 1
    salts = [f"{smiles}.Cl.O" for smiles in HANDS[name]]
    assert parents(salts) == parents(HANDS[name])


@pytest.mark.filterwarnings("ignore:.*known less well")
def test_salts_charges_and_spellings_of_many_molecules(drugs):
    rng = random.Random(0)
    partners = ["Cl", "[Na+].[Cl-]", "O", "CS(=O)(=O)O", PAMOIC, "OC(=O)/C=C/C(=O)O", "CCO.O"]
    written = []
    for smiles in drugs:
        mol = Chem.MolFromSmiles(smiles)
        [first, second] = Chem.MolToRandomSmilesVect(mol, 2, randomSeed=rng.randrange(1000))
        written += [first, f"{second}.{rng.choice(partners)}", Chem.MolToSmiles(mol, allHsExplicit=True)]
    expected = parents(drugs, stereo=False)
    assert len(set(expected)) == len({canonical(Chem.MolFromSmiles(s)) for s in drugs})
    assert parents(written, stereo=False) == [key for key in expected for _ in range(3)]


def test_chunks_and_processes_change_nothing(monkeypatch):
    smiles = [text for spellings in SAME.values() for text in spellings if "*" not in text]
    expected = parents(smiles)
    monkeypatch.setattr(identity, "_AT_ONCE", 8)
    assert parents(smiles, n_jobs=2) == expected


def test_too_many_tautomers_are_said_and_the_molecule_is_known_as_drawn(recwarn):
    smiles = "C=C1c2c(Cl)ccc(O)c2C(=O)C2C(=O)C3(O)C(=O)C(C(N)=O)C(=O)C(N(C)C)C3C(O)C12"  # many ketones
    assert parents(["CCO", smiles, f"{smiles}.O"])[1:] == [Chem.MolToInchiKey(Chem.MolFromSmiles(smiles))] * 2
    [warning] = recwarn
    assert "2 of 3 molecules" in str(warning.message) and "more than 200 tautomers" in str(warning.message)


def test_every_row_that_is_no_molecule_is_named():
    for function in (parents, merged, molecule_groups):
        with pytest.raises(InvalidSmiles) as error:
            function([*["CCO"] * 100, "C(", "", None])
        assert [row for row, *_ in error.value.faults] == [100, 101, 102]
    with pytest.raises(ValueError, match="smiles: got the string 'CCO'"):
        parents("CCO")


def test_what_was_merged_is_listed():
    smiles = ["CCN", "Oc1ccccn1", "CCN.Cl", "CCN", "O=c1cccc[nH]1", "c1ccccc1", "c1ccccc1"]
    table = merged(smiles)
    assert table.columns.tolist() == ["parent", "spellings", "count"]
    assert table["spellings"].tolist() == [("CCN", "CCN.Cl"), ("O=c1cccc[nH]1", "Oc1ccccn1")]
    assert table["count"].tolist() == [3, 2] and table["parent"].tolist() == parents(["CCN", "Oc1ccccn1"])
    assert len(merged(["CCO", "CCO"])) == 0 and len(merged([])) == 0


def test_groups_are_codes_in_the_order_of_the_molecules():
    codes = molecule_groups(["CCO", "CCN.Cl", *HANDS["ibuprofen"], "CCN"])
    assert codes.tolist() == [0, 1, 2, 2, 1] and codes.dtype == np.int64
    assert molecule_groups(HANDS["ibuprofen"], stereo=True).tolist() == [0, 1]
    assert molecule_groups([]).shape == (0,)


@pytest.mark.parametrize("stereo", [False, True])
def test_groups_are_those_of_the_parents_though_few_parents_are_worked_out(drugs, stereo, monkeypatch):
    given = [text for spellings in (*SAME.values(), *HANDS.values()) for text in spellings] + drugs
    given += [f"{text}.Cl" for text in drugs[:10]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = pd.factorize(np.array(parents(given, stereo=stereo), dtype=object))[0]
    asked: list[str] = []
    monkeypatch.setattr(
        identity, "_parent", lambda text, _, known=identity._parent: asked.append(text) or known(text, _)
    )
    assert molecule_groups(given, stereo=stereo).tolist() == expected.tolist()
    assert not set(asked) & {canonical(Chem.MolFromSmiles(text)) for text in drugs}  # no two of them look alike


def test_one_spelling_is_the_one_of_most_rows():
    given = ["CCN.Cl", "CCN", "Oc1ccccn1", "O=c1cccc[nH]1", "CCO", "CCN"]
    assert one_spelling(given).tolist() == ["CCN", "CCN", "O=c1cccc[nH]1", "O=c1cccc[nH]1", "CCO", "CCN"]
    assert one_spelling(given[:3], [5, 1, 1]).tolist() == ["CCN.Cl", "CCN.Cl", "Oc1ccccn1"]
    assert one_spelling(HANDS["ibuprofen"], stereo=True).tolist() == list(HANDS["ibuprofen"])
    assert one_spelling([]).shape == (0,)


def test_groups_of_a_screen_are_those_of_its_molecules():
    screen = PairedScreen.from_profiles(
        smiles=["CCN", "CCN.Cl", "CCO", "CCN"],
        drug=lambda s: np.ones((len(s), 2)),
        profile=np.ones((4, 3)),
        batch=[0] * 4,
    )
    assert molecule_groups(screen).tolist() == molecule_groups(screen.smiles.tolist()).tolist() == [0, 0, 1]


def test_names_that_are_no_smiles_count_only_where_that_is_said():
    texts = ["CCN", "compound 7", "CCN.Cl", "compound 8", "compound 7"]
    with pytest.raises(InvalidSmiles, match="compound 7"):
        molecule_groups(texts)
    assert molecule_groups(texts, names=True).tolist() == [0, 1, 0, 2, 1]


@pytest.mark.parametrize(
    "smiles",
    [r"[H]/N=C(C=C)\C(/N=C\[O-])=N\[H]", r"[H]/N=C(/C=C)C(=N)N", "[H]N=C1C=CC=CC1=N[H]", *SAME["a betaine"], "[H][H]"],
)
def test_a_canonical_smiles_stays_as_it_is_when_it_is_read_again(smiles):
    text = canonical(Chem.MolFromSmiles(smiles))
    assert canonical(Chem.MolFromSmiles(text)) == text
    assert parents([smiles]) == parents([text])
