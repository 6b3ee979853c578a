"""The chapter on molecules: vectors trained and stored, the neighbours that it shows, its figures."""

from __future__ import annotations

import hashlib
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from mol2vec.features import insert_unk
from sklearn.metrics import pairwise

from infocore_mini import sources
from infocore_mini.experiments.molecules import figures, tables
from infocore_mini.experiments.molecules import report as chapter
from infocore_mini.experiments.molecules.run import CORPUS, Training, mark_rare, train
from infocore_mini.featurize import mol2vec, substructure_sentences
from infocore_mini.sources import BROAD_SMILES, DataUnavailable, registry
from infocore_mini.vectors import UNSEEN, SubstructureVectors, load_vectors

SMILES = list(chapter.NAMED.values())
SMALL = Training(dim=8, epochs=1)


@pytest.fixture(scope="module")
def vectors() -> SubstructureVectors:
    return load_vectors()


@pytest.fixture(scope="module")
def small() -> SubstructureVectors:
    return train(SMILES, SMALL)


# ---- training and what it gave ----------------------------------------------------------------------------------


def test_rare_words_are_marked_as_the_package_does(tmp_path):
    sentences = substructure_sentences(SMILES)
    (tmp_path / "corpus").write_text("".join(" ".join(s) + "\n" for s in sentences))
    insert_unk(str(tmp_path / "corpus"), str(tmp_path / "marked"), threshold=3)
    marked = mark_rare(sentences, 3)
    assert marked == [line.split(" ") for line in (tmp_path / "marked").read_text().splitlines()]
    assert min(n for word, n in Counter(word for s in marked for word in s).items() if word != UNSEEN) == 4


def test_training_repeats_exactly_and_the_seed_matters(small):
    again, other = train(SMILES, SMALL), train(SMILES, Training(seed=1, dim=8, epochs=1))
    np.testing.assert_array_equal(again.vectors, small.vectors)
    assert not np.array_equal(other.vectors, small.vectors)


def test_the_artefact_says_what_it_is(vectors, root):
    about, card = vectors.metadata, (root / "book" / "model_cards.md").read_text(encoding="utf-8")
    stored = hashlib.sha256(vectors.identifiers.tobytes() + vectors.vectors.astype(np.float16).tobytes()).hexdigest()
    assert stored in card
    assert f"{about['n_molecules']:,}" in card and f"{len(vectors.identifiers):,}" in card
    assert registry()[CORPUS].sha256 in about["corpus"] and about["training"] | vars(Training()) == about["training"]
    assert sources.data_file("mol2vec.safetensors").stat().st_size < 6e6
    assert (np.diff(vectors.identifiers) > 0).all() and np.isfinite(vectors.vectors).all()


def test_drugs_of_a_class_are_neighbours(vectors):
    found = chapter.same_class(vectors)
    assert (found["Mol2vec"] >= found["drugs"] - 2).all() and found["Mol2vec"].sum() >= 0.9 * found["drugs"].sum()
    shuffled = np.vstack([np.random.default_rng(0).permutation(vectors.vectors[:-1]), vectors.vectors[-1:]])
    chance = chapter.same_class(SubstructureVectors(vectors.identifiers, shuffled, {}))
    assert chance["Mol2vec"].sum() < found["Mol2vec"].sum()


# ---- what the chapter shows -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def drugs() -> list[str]:
    """The well-known drugs, which are the first of the library."""
    return chapter.library()[: len({chapter.drug_like(text) for text in chapter.NAMED.values()} - {None})]


def test_the_library_holds_the_drugs_first_and_then_the_broads_list(drugs):
    pool = chapter.library()
    assert set(drugs) == {chapter.drug_like(text) for text in chapter.NAMED.values()} - {None}
    assert len(pool) == len(set(pool)) > 14_000 and all(chapter.drug_like(text) == text for text in pool[::500])


def test_the_neighbours_of_a_drug_are_of_its_class(drugs, vectors):
    found = chapter.neighbours(chapter.QUERIES, drugs, chapter.features(drugs, vectors), vectors, k=3)
    assert found.groupby(["drug", "kind"]).size().eq(3).all() and len(found) == 2 * 3 * len(chapter.QUERIES)
    own = {name: chapter.drug_like(chapter.NAMED[name]) for name in chapter.QUERIES}
    assert not (found["smiles"] == found["drug"].map(own)).any()
    assert found.groupby(["drug", "kind"])["similarity"].agg(lambda s: s.is_monotonic_decreasing).all()
    first = found[(found["rank"] == 1) & (found["kind"] == "Mol2vec")].set_index("drug")["name"]
    assert first["penicillin V"] == "penicillin G" and first["diazepam"] == "temazepam"


def test_similarities_against_scikit_learn(small):
    for kind, table in chapter.features(SMILES, small).items():
        got = chapter.similarity(kind, table[:9], table)
        if kind == "Mol2vec":
            expected = pairwise.cosine_similarity(table[:9], table)
        else:
            expected = 1 - pairwise.pairwise_distances(table[:9].astype(bool), table.astype(bool), metric="jaccard")
        np.testing.assert_allclose(got, expected, rtol=1e-4)


def test_shared_rows():
    assert chapter.shared(np.array([[1.0, 2], [1, 2], [3, 4], [1, 2], [5, 6]])) == pytest.approx(3 / 5)


def test_pairs_that_mol2vec_cannot_tell_apart(vectors):
    pairs = {"stereo": ("C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O"), "different": ("CCO", "c1ccccc1")}
    scores = chapter.compare_pairs(pairs, vectors)["Mol2vec"]
    assert scores["stereo"] == pytest.approx(1, abs=1e-6) and scores["different"] < 0.9


def test_figures_show_what_they_are_given(drugs, vectors):
    aspirin = chapter.NAMED["aspirin"]
    [sentence] = substructure_sentences([aspirin])
    panels = figures.substructure_panels(aspirin)
    assert {ax.get_xlabel() for ax in panels.axes if ax.images} == set(sentence)
    times = [int(ax.get_title().split(", ")[1].split()[0]) for ax in panels.axes if ax.images]
    assert sum(times) == len(sentence)

    found = chapter.neighbours(("aspirin", "morphine"), drugs, chapter.features(drugs, vectors), vectors, k=2)
    drawn = {"aspirin": aspirin, "morphine": chapter.NAMED["morphine"]}
    assert sum(len(ax.images) for ax in figures.neighbour_panels(found, drawn).axes) == 2 * 2 * (1 + 2)

    groups = ["steroid"] * 10 + [""] * 20
    fig = figures.size_and_map(mol2vec(SMILES[:30], vectors=vectors), chapter.heavy_atoms(SMILES[:30]), groups, seed=0)
    assert sorted(len(dots.get_offsets()) for dots in fig.axes[1].collections) == [10, 20]
    assert [text.get_text() for text in fig.legends[0].get_texts()] == ["steroid"]


def test_the_table_of_broad_ids_is_what_its_command_makes():
    try:
        made = tables.broad_smiles()
    except DataUnavailable as reason:
        pytest.skip(f"data: {reason}")
    stored = pd.read_csv(sources.data_file(BROAD_SMILES), sep="\t")
    pd.testing.assert_frame_equal(made, stored, check_dtype=False)
    assert stored["broad_id"].is_unique and len(stored) == 33_230


def test_sizes_in_the_prose_are_those_of_the_vectors(vectors, root):
    page = (root / "notebooks" / "03_molecules.py").read_text(encoding="utf-8")
    n = int(vectors.metadata["n_molecules"])
    assert page.count(f"{n:,}") == 2
    assert "about 20 million compounds" in page
    assert round(20e6 / n, -1) == 70 and "Our vectors saw 70 times fewer molecules" in page
    assert "some sixty well-known drugs" in page and 55 < len(SMILES) < 70
