"""Mol2vec against the mol2vec package's own code, spelling invariance, errors that name the rows, files of vectors."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from conftest import at_hand
from gensim.models import KeyedVectors
from hypothesis import given, settings
from hypothesis import strategies as st
from mol2vec.features import mol2alt_sentence
from rdkit import Chem, rdBase
from rdkit.Chem.Crippen import MolLogP
from rdkit.Chem.rdFingerprintGenerator import GetMorganGenerator
from rdkit.Chem.rdMolDescriptors import Properties
from rdkit.Chem.Scaffolds import MurckoScaffold
from safetensors.numpy import save_file

from infocore_mini.featurize import (
    descriptors,
    mol2vec,
    morgan,
    murcko_scaffold,
    scaffold_split,
    skeletons,
    substructure_sentences,
)
from infocore_mini.readers.property import MOLECULENET, property_files, read_property
from infocore_mini.simulate.molecules import sample_molecules
from infocore_mini.smiles import InvalidSmiles
from infocore_mini.vectors import UNSEEN, SubstructureVectors, load_vectors

DIAZEPAM = "CN1C(=O)CN=C(c2ccccc2)c2cc(Cl)ccc21"
DRUGS = [
    DIAZEPAM,
    "CC(=O)Oc1ccccc1C(=O)O",
    "COc1ccc2c(c1)c(CC(=O)O)c(C)n2C(=O)c1ccc(Cl)cc1",
    "Cc1ccc(-c2cc(C(F)(F)F)nn2-c2ccc(S(N)(=O)=O)cc2)cc1",
    "O=C1CN=C(c2ccccc2Cl)c2cc([N+](=O)[O-])ccc2N1",
    "Cc1nnc2n1-c1ccc(Cl)cc1C(c1ccccc1)=NC2",
    "C[C@@H]1C[C@H]2[C@@H]3CCC4=CC(=O)C=C[C@]4(C)[C@@]3(F)[C@@H](O)C[C@]2(C)[C@@]1(O)C(=O)CO",
    "CC12CCC3c4ccc(O)cc4CCC3C1CCC2O",
    "Cc1ccc(NC(=O)c2ccc(CN3CCN(C)CC3)cc2)cc1Nc1nccc(-c2cccnc2)n1",
    "Cc1nc(Nc2ncc(C(=O)Nc3c(C)cccc3Cl)s2)cc(N2CCN(CCO)CC2)n1",
    "C#Cc1cccc(Nc2ncnc3cc(OCCOC)c(OCCOC)cc23)c1",
    "CC1(C)SC2C(NC(=O)COc3ccccc3)C(=O)N2C1C(=O)O",
    "Cc1onc(-c2ccccc2)c1C(=O)NC1C(=O)N2C1SC(C)(C)C2C(=O)O",
    "CN1CCC23C4Oc5c(O)ccc(CC1C2C=CC4O)c53",
    "Cn1c(=O)c2c(ncn2C)n(C)c1=O",
    "CC(=O)CC(c1ccccc1)c1c(O)c2ccccc2oc1=O",
    "CN(C)C(=N)NC(=N)N",
    "O=C(O)c1cn(C2CC2)c2cc(N3CCNCC3)c(F)cc2c1=O",
    "CN(Cc1cnc2nc(N)nc(N)c2n1)c1ccc(C(=O)NC(CCC(=O)O)C(=O)O)cc1",
    "COc1ccc2[nH]c(S(=O)Cc3ncc(C)c(OC)c3C)nc2c1",
    "CCC(=C(c1ccccc1)c1ccc(OCCN(C)C)cc1)c1ccccc1",
    "C=CC1CN2CCC1CC2C(O)c1ccnc2ccc(OC)cc12",
]
ODD = [
    "[Na+].[Cl-]",
    "C",
    "[H][H]",
    "C[Te]C",
    "[2H]C([2H])[2H]",
    "O=C=O",
    "CCO.CCO",
    "*c1ccccc1",
    "C/C=C/C",
    "[H]/N=C/c1ccccc1",
    "[H]O[H]",
    "[H+]",
]
SMILES = [*DRUGS, *ODD]


@pytest.fixture(scope="module")
def vectors() -> SubstructureVectors:
    return load_vectors()


@pytest.fixture(scope="module")
def small() -> SubstructureVectors:
    """Random vectors for every substructure of our molecules."""
    words = np.unique([int(word) for sentence in substructure_sentences(SMILES) for word in sentence])
    table = np.random.default_rng(0).normal(size=(len(words) + 1, 8)).astype(np.float32)
    return SubstructureVectors(words, table, {"training": "none"})


def package_sentence(smiles: str) -> list[str]:
    with rdBase.BlockLogs():  # the package calls a deprecated function for each molecule
        return mol2alt_sentence(Chem.MolFromSmiles(smiles), 1)


def package_vector(smiles: str, words: dict[str, np.ndarray]) -> np.ndarray:
    """What the package's ``sentences2vec(..., unseen="UNK")`` computes, word by word."""
    return sum(words.get(word, words[UNSEEN]) for word in package_sentence(smiles))


def as_words(vectors: SubstructureVectors) -> dict[str, np.ndarray]:
    return dict(zip([*map(str, vectors.identifiers), UNSEEN], vectors.vectors.astype(np.float64)))


# ---- the same as Mol2vec ----------------------------------------------------------------------------------------


def test_sentences_are_those_of_the_package():
    assert substructure_sentences(SMILES) == [package_sentence(smiles) for smiles in SMILES]


def test_vectors_are_those_of_the_package(vectors):
    words = as_words(vectors)
    expected = np.array([package_vector(smiles, words) for smiles in SMILES])
    got = mol2vec(SMILES)
    assert got.shape == (len(SMILES), 300) and got.dtype == np.float32
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


def test_unseen_substructures_get_the_vector_of_rare_ones(vectors):
    [sentence] = substructure_sentences(["F[Xe]F"])
    unseen = vectors.rows(np.array(sentence, dtype=np.int64)) == len(vectors.identifiers)
    words = as_words(vectors)
    expected = sum(words[UNSEEN] if new else words[word] for new, word in zip(unseen, sentence))
    assert unseen.any() and not unseen.all()
    np.testing.assert_allclose(mol2vec(["F[Xe]F"])[0], expected, rtol=1e-4, atol=1e-5)


def test_lookup_of_identifiers_beyond_both_ends():
    vectors = SubstructureVectors(np.array([10, 20, 30]), np.zeros((4, 2), np.float32), {})
    assert vectors.rows(np.array([30, 5, 10, 11, 31, 20])).tolist() == [2, 3, 0, 3, 3, 1]


# ---- spelling ---------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(SMILES), st.integers(0, 2**31 - 1))
def test_no_feature_depends_on_the_spelling(smiles, seed):
    spellings = [smiles, *Chem.MolToRandomSmilesVect(Chem.MolFromSmiles(smiles), 5, randomSeed=seed)]
    for features in (mol2vec, morgan):
        table = features(spellings)
        assert (table == table[0]).all()
    assert len(set(murcko_scaffold(spellings))) == 1


def test_kekule_spelling():
    mols = [Chem.MolFromSmiles(smiles) for smiles in SMILES]
    spelt = [
        Chem.MolToSmiles(mol, kekuleSmiles=True) for mol in mols if Chem.Kekulize(mol, clearAromaticFlags=True) is None
    ]
    assert sum(a != b for a, b in zip(spelt, SMILES)) >= 20
    np.testing.assert_array_equal(mol2vec(spelt), mol2vec(SMILES))


def test_every_fragment_of_a_salt_counts():
    base, salt, chloride = mol2vec(["CCN", "CCN.Cl", "Cl"])
    np.testing.assert_allclose(salt, base + chloride, rtol=1e-5, atol=1e-6)


# ---- rows that are no molecules ---------------------------------------------------------------------------------


@pytest.mark.parametrize("features", [mol2vec, morgan, murcko_scaffold, substructure_sentences])
def test_each_bad_row_is_named_with_the_reason(features):
    with pytest.raises(InvalidSmiles) as error:
        features(["CCO", "C(", "F(C)C", "", None, "c1cc1", "CC"])
    assert [(row, given) for row, given, _ in error.value.faults] == [
        (1, "C("),
        (2, "F(C)C"),
        (3, ""),
        (4, None),
        (5, "c1cc1"),
    ]
    syntax, valence, empty, kind, aromatic = [reason for *_, reason in error.value.faults]
    assert "not SMILES" in syntax and "valence" in valence and "no atoms" in empty
    assert "NoneType" in kind and "kekulize" in aromatic
    assert "5 rows are no molecules" in str(error.value) and "row 2: 'F(C)C'" in str(error.value)


@pytest.mark.parametrize("huge", ["C" * 10**6, "C(" * 10**5 + "C" + ")" * 10**5, ".".join("C" * 10**5), "[" * 10**6])
def test_a_smiles_of_enormous_size_is_refused_unread_and_not_printed_whole(huge, monkeypatch):
    parse = Chem.MolFromSmiles
    monkeypatch.setattr(
        Chem, "MolFromSmiles", lambda text, *options: pytest.fail("parsed") if text is huge else parse(text, *options)
    )
    for featurise in (morgan, mol2vec, descriptors, murcko_scaffold):
        with pytest.raises(InvalidSmiles, match="row 1: .* characters, expected at most 2,000") as error:
            featurise(["CCO", huge])
        assert len(str(error.value)) < 400


def test_a_long_list_of_bad_rows_is_cut_and_counted(monkeypatch):
    monkeypatch.setattr("infocore_mini.smiles._CHUNK", 7)  # rows are counted on from chunk to chunk
    smiles = ["C" if i % 2 else "bad" for i in range(60)]
    with pytest.raises(InvalidSmiles, match="30 rows are no molecules") as error:
        mol2vec(smiles)
    assert [row for row, *_ in error.value.faults] == list(range(0, 60, 2))
    assert "row 18" in str(error.value) and "row 20" not in str(error.value) and "20 more" in str(error.value)


def test_a_lone_string_is_refused():
    with pytest.raises(ValueError, match="smiles: got the string 'CCO'"):
        mol2vec("CCO")


# ---- shapes, fingerprints, scaffolds ----------------------------------------------------------------------------


def test_chunks_and_processes_change_nothing(monkeypatch, small):
    expected = mol2vec(SMILES, vectors=small), morgan(SMILES)
    monkeypatch.setattr("infocore_mini.smiles._CHUNK", 20)
    np.testing.assert_array_equal(mol2vec(SMILES, vectors=small, n_jobs=2), expected[0])
    np.testing.assert_array_equal(morgan(SMILES, n_jobs=2), expected[1])


def test_no_rows_in_no_rows_out(small):
    assert mol2vec([], vectors=small).shape == (0, 8)
    assert morgan([], n_bits=64).shape == (0, 64)
    assert murcko_scaffold([]) == []


@pytest.mark.parametrize(("radius", "n_bits"), [(2, 2048), (3, 512), (0, 64)])
def test_morgan_bits_are_those_of_rdkit(radius, n_bits):
    generator = GetMorganGenerator(radius=radius, fpSize=n_bits)
    table = morgan(SMILES, radius=radius, n_bits=n_bits)
    assert table.shape == (len(SMILES), n_bits) and table.dtype == np.float32 and set(np.unique(table)) == {0, 1}
    for smiles, row in zip(SMILES, table):
        assert row.nonzero()[0].tolist() == list(generator.GetFingerprint(Chem.MolFromSmiles(smiles)).GetOnBits())


def test_morgan_refuses_impossible_sizes():
    for wrong in ({"radius": -1}, {"n_bits": 0}):
        with pytest.raises(ValueError, match="radius, n_bits"):
            morgan(["C"], **wrong)


def test_scaffolds():
    assert murcko_scaffold(["CCO", "Cc1ccccc1", DIAZEPAM, "C[C@H]1CCCO1"]) == [
        "",
        "c1ccccc1",
        Chem.CanonSmiles("O=C1CN=C(c2ccccc2)c2ccccc2N1"),
        "C1CCOC1",
    ]


def test_a_scaffold_does_not_depend_on_hydrogens_in_brackets():
    spellings = ["CCC=C1c2ccccc2CCc2ccccc21", "CC[CH]=C1c2ccccc2CCc2ccccc21", "C[CH2]C([H])=C1c2ccccc2CCc2ccccc21"]
    assert murcko_scaffold(spellings) == ["C=C1c2ccccc2CCc2ccccc21"] * 3
    for smiles in DRUGS:
        mol = Chem.MolFromSmiles(smiles)
        [plain], [bracketed] = murcko_scaffold([smiles]), murcko_scaffold([Chem.MolToSmiles(mol, allHsExplicit=True)])
        assert plain == bracketed == MurckoScaffold.MurckoScaffoldSmiles(smiles=smiles, includeChirality=False)


@pytest.mark.parametrize(
    ("plain", "labelled", "seen"),
    [
        ("CCO", "[2H]CCO", True),
        ("CCO", "[14CH3]CO", True),
        ("CCO", "CC[18OH]", True),
        ("CCO", "[13CH3]CO", False),
        ("CN", "C[15NH2]", False),
    ],
)
def test_isotopes_are_seen_from_a_whole_unit_on(plain, labelled, seen):
    for features in (mol2vec, morgan):
        a, b = features([plain, labelled])
        assert np.array_equal(a, b) != seen


# ---- files ------------------------------------------------------------------------------------------------------


def keyed(vectors: SubstructureVectors) -> KeyedVectors:
    words = KeyedVectors(vectors.vectors.shape[1])
    words.add_vectors(
        [*map(str, vectors.identifiers[::-1]), UNSEEN], np.vstack([vectors.vectors[-2::-1], vectors.vectors[-1]])
    )
    return words


def test_our_own_file_round_trips_and_is_always_the_same_bytes(tmp_path, small):
    for name in ("a.safetensors", "b.safetensors"):
        small.save(tmp_path / name)
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    read = load_vectors(tmp_path / "a.safetensors")
    np.testing.assert_array_equal(read.identifiers, small.identifiers)
    np.testing.assert_allclose(read.vectors, small.vectors, rtol=1e-3, atol=1e-4)  # stored as float16
    assert read.metadata == small.metadata


@pytest.mark.parametrize(("name", "binary"), [("model.bin", True), ("model.txt", False)])
def test_a_readers_word2vec_file(tmp_path, small, name, binary):
    keyed(small).save_word2vec_format(str(tmp_path / name), binary=binary)
    read = load_vectors(tmp_path / name)
    np.testing.assert_array_equal(read.identifiers, small.identifiers)
    np.testing.assert_allclose(mol2vec(SMILES, vectors=read), mol2vec(SMILES, vectors=small), rtol=1e-4, atol=1e-5)


def test_a_pickle_is_never_opened(tmp_path):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("the pickle was loaded",))

    for name in ("model_300dim.pkl", "model.model", "model.bin"):
        (tmp_path / name).write_bytes(pickle.dumps(Trap()))
        with pytest.raises(ValueError, match="path: got model.*, a pickle"):
            load_vectors(tmp_path / name)


def test_files_that_are_no_model(tmp_path):
    with pytest.raises(FileNotFoundError, match="path: no file"):
        load_vectors(tmp_path / "missing.bin")
    save_file({"x": np.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="path: .* holds no substructure vectors"):
        load_vectors(tmp_path / "other.safetensors")
    (tmp_path / "broken.bin").write_bytes(b"no such format")
    with pytest.raises(ValueError, match="path: broken.bin is not in word2vec's own format"):
        load_vectors(tmp_path / "broken.bin")
    (tmp_path / "no_unk.txt").write_text("1 2\n2246728737 0.5 1\n")
    with pytest.raises(ValueError, match="without 'UNK'"):
        load_vectors(tmp_path / "no_unk.txt")
    (tmp_path / "words.txt").write_text("2 2\nUNK 0.5 1\nthe 1 2\n")
    with pytest.raises(ValueError, match="got 'the', expected Morgan identifiers"):
        load_vectors(tmp_path / "words.txt")


# ---- splits, identity, descriptors ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*MOLECULENET, "PRISM", None])
def test_no_molecule_or_scaffold_in_two_parts(name):
    if name is None:
        smiles = np.array(sample_molecules(600, 0).smiles, dtype=object)
    else:
        at_hand(*property_files(name))
        smiles = read_property(name).smiles
    parts = scaffold_split(smiles)
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(smiles)))
    assert [len(part) / len(smiles) for part in parts] == pytest.approx([0.8, 0.1, 0.1], abs=0.01)
    scaffold, molecule = np.array(murcko_scaffold(smiles), dtype=object), np.array(smiles, dtype=object)
    for what in (scaffold, molecule):
        sets = [set(what[part]) for part in parts]
        assert not (sets[0] & sets[1] or sets[0] & sets[2] or sets[1] & sets[2])


def test_scaffold_split_is_that_of_the_usual_recipe():
    """Hu et al.'s loop written out again with RDKit's own scaffolds, chirality left out."""
    smiles = list(sample_molecules(300, 1).smiles)
    groups = {}
    for row, text in enumerate(smiles):
        groups.setdefault(MurckoScaffold.MurckoScaffoldSmiles(smiles=text, includeChirality=False), []).append(row)
    train, validation, test = [], [], []
    for size, _first, group in sorted(((len(g), g[0], g) for g in groups.values()), reverse=True):
        if len(train) + size > 240:
            (test if len(train) + len(validation) + size > 270 else validation).extend(group)
        else:
            train.extend(group)
    assert [part.tolist() for part in scaffold_split(smiles)] == [sorted(train), sorted(validation), sorted(test)]
    assert [p.tolist() for p in scaffold_split(smiles)] == [p.tolist() for p in scaffold_split(smiles)]


def test_a_split_needs_enough_scaffolds():
    with pytest.raises(ValueError, match="2 molecules of 1 scaffolds"):
        scaffold_split(["c1ccccc1C", "c1ccccc1CC"])
    with pytest.raises(InvalidSmiles, match="row 1"):
        scaffold_split(["CCO", "nonsense"])


def test_a_skeleton_knows_a_molecule_through_salt_charge_chirality_and_tautomer():
    acid, salt, left, right, keto, enol = skeletons(
        ["CC(=O)O", "CC(=O)[O-].[Na+]", "C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O", "O=c1cccc[nH]1", "Oc1ccccn1"]
    )
    assert acid == salt and left == right and keto == enol and len({acid, left, keto}) == 3


def test_descriptors_are_rdkits():
    table = descriptors(["CCO", "c1ccccc1C(=O)O"])
    names = list(Properties.GetAvailableProperties())
    molecules = [Chem.MolFromSmiles("CCO"), Chem.MolFromSmiles("c1ccccc1C(=O)O")]
    assert table[:, names.index("CrippenClogP")] == pytest.approx([MolLogP(m) for m in molecules], rel=1e-6)
    assert np.isfinite(table).all() and table.shape == (2, len(names))


def test_scaffolds_are_found_without_a_word(capfd):
    assert murcko_scaffold(["[H+].c1ccccc1CN", "CC"]) == ["c1ccccc1", ""]
    assert capfd.readouterr() == ("", "")
