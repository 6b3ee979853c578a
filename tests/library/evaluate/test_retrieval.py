"""Retrieval against sorting every list, enumeration of tie orders, closed-form chance, and toys worked by hand."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_screen import toy_embeddings, toy_screen

from infocore_mini.evaluate.library import Library
from infocore_mini.evaluate.ranking import nearest, retrieval_hits
from infocore_mini.evaluate.retrieval import retrieval_accuracy, same_batch_share, screen_retrieval
from infocore_mini.evaluate.seeds import compare, over_seeds
from infocore_mini.screens import PairedScreen

TOP = (1, 3, 10)


def random_unit(rng, n, d=8):
    z = rng.normal(size=(n, d))
    return z / np.linalg.norm(z, axis=1, keepdims=True)


def sorted_rank(similarity, target, candidates):
    """Rank of the true row by sorting the candidates of one query; for similarities without ties."""
    order = sorted(candidates, key=lambda row: -similarity[row])
    return 1 + order.index(target)


# ------------------------------------------------------------------ ranks


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_equals_double_argsort(seed):
    rng = np.random.default_rng(seed)
    n, m = rng.integers(1, 30), rng.integers(1, 40)
    z_query, z_library, target = random_unit(rng, n), random_unit(rng, m), rng.integers(0, m, n)
    ranks = (-(z_query @ z_library.T)).argsort(axis=1).argsort(axis=1)[np.arange(n), target]
    found = retrieval_accuracy(z_query, z_library, target, top=TOP)
    assert found == pytest.approx({k: np.mean(ranks < k) for k in TOP})


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_batch_library_equals_a_loop_and_membership_equals_codes(seed):
    rng = np.random.default_rng(seed)
    n, m, n_batches = 20, 35, 4
    z_query, z_library, target = random_unit(rng, n), random_unit(rng, m), rng.integers(0, m, n)
    library_batch = rng.integers(0, n_batches, m)
    query_batch = library_batch[target]
    similarity = z_query @ z_library.T
    libraries = [np.flatnonzero(library_batch == code) for code in query_batch]
    ranks = np.array([sorted_rank(*one) for one in zip(similarity, target, libraries, strict=True)])
    by_codes = retrieval_hits(z_query, z_library, target, top=TOP, query_batch=query_batch, library_batch=library_batch)
    np.testing.assert_array_equal(by_codes[0], ranks[:, None] <= TOP)
    np.testing.assert_array_equal(by_codes[1], [len(library) for library in libraries])
    member = library_batch[:, None] == np.arange(n_batches)
    by_member = retrieval_hits(z_query, z_library, target, top=TOP, query_batch=query_batch, library_batch=member)
    for one, other in zip(by_codes, by_member, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_molecule_may_be_in_several_batches():
    z_library = np.array([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]])
    member = np.array([[True, True], [True, False], [False, True]])
    # the query is nearest to row 1, then row 0, then row 2; the truth is row 0
    found = [
        retrieval_hits([[0.9, 0.436]], z_library, [0], top=(1,), query_batch=[code], library_batch=member)
        for code in (0, 1)
    ]
    assert [hits.item() for hits, _ in found] == [0, 1] and [size.item() for _, size in found] == [2, 2]


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_ties_score_the_mean_over_all_orders(seed):
    rng = np.random.default_rng(seed)
    z_library = np.eye(3)[rng.integers(0, 3, 5)]  # five molecules at three places: many ties
    z_query, target = random_unit(rng, 1, 3), [int(rng.integers(5))]
    similarity = (z_library @ z_query[0]).tolist()
    ranks = np.array([sorted_rank(similarity, target[0], order) for order in permutations(range(5))])
    found = retrieval_accuracy(z_query, z_library, target, top=(1, 2, 3, 4))
    assert found == pytest.approx({k: np.mean(ranks <= k) for k in (1, 2, 3, 4)})


@pytest.mark.parametrize("constant", [np.ones(6), np.array([0.3, 0, 0.1, 0, -0.7, 2]), np.zeros(6)])
def test_a_constant_embedding_scores_chance(constant):
    z = np.tile(constant, (40, 1)).astype(np.float32)
    found = retrieval_accuracy(z, z, np.arange(40), top=(1, 10, 40))
    assert found == pytest.approx({1: 1 / 40, 10: 1 / 4, 40: 1})
    pairs = np.repeat(np.arange(20), 2)
    found = retrieval_accuracy(z, z, np.arange(40), top=(1, 5), query_batch=pairs, library_batch=pairs)
    assert found == pytest.approx({1: 1 / 2, 5: 1})


def test_random_embeddings_score_chance_and_perfect_ones_score_one():
    rng = np.random.default_rng(0)
    n, m = 3000, 50
    z_library, target = random_unit(rng, m), rng.integers(0, m, n)
    found = retrieval_accuracy(random_unit(rng, n), z_library, target, top=TOP)
    for k in TOP:
        p = k / m
        assert abs(found[k] - p) < 4 * np.sqrt(p * (1 - p) / n)
    assert retrieval_accuracy(z_library[target], z_library, target, top=TOP) == dict.fromkeys(TOP, 1.0)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=15, deadline=None)
def test_order_of_the_library_length_and_container_do_not_matter_and_k_is_monotone(seed):
    rng = np.random.default_rng(seed)
    z_query, z_library, target = random_unit(rng, 30), random_unit(rng, 25), rng.integers(0, 25, 30)
    z_library[5:10] = z_library[5]  # some ties
    expected = retrieval_accuracy(z_query, z_library, target, top=range(1, 26))
    order = rng.permutation(25)
    permuted = retrieval_accuracy(z_query, z_library[order], np.argsort(order)[target], top=range(1, 26))
    scaled = torch.tensor(z_query * rng.uniform(0.1, 9, (30, 1)), requires_grad=True)
    as_tensors = retrieval_accuracy(scaled, torch.tensor(z_library), torch.tensor(target), top=range(1, 26))
    assert permuted == pytest.approx(expected) and as_tensors == pytest.approx(expected)
    assert (np.diff(list(expected.values())) >= 0).all() and expected[25] == 1


def test_chunks_equal_one_go(monkeypatch):
    rng = np.random.default_rng(1)
    z_query, z_library, target = random_unit(rng, 50), random_unit(rng, 30), rng.integers(0, 30, 50)
    z_library[3] = z_library[7]
    member = rng.random((30, 3)) < 0.6
    member[:, 0] = True
    arguments = dict(top=TOP, query_batch=np.zeros(50, int), library_batch=member)
    at_once = retrieval_hits(z_query, z_library, target, **arguments)
    seen = []
    original = Library.tiles
    monkeypatch.setattr("infocore_mini.evaluate.library.TILE_QUERIES", 20)
    monkeypatch.setattr("infocore_mini.evaluate.library.TILE_ENTRIES", 100)
    monkeypatch.setattr(
        Library, "tiles", lambda *z, **kind: (seen.append(t.cosine.shape) or t for t in original(*z, **kind))
    )
    in_chunks = retrieval_hits(z_query, z_library, target, **arguments)
    assert len(seen) == 3 * 6 and max(rows * columns for rows, columns in seen) <= 100
    for one, other in zip(at_once, in_chunks, strict=True):
        np.testing.assert_array_equal(one, other)


def test_nearest_is_the_sorted_head():
    rng = np.random.default_rng(2)
    z_query, z_library = random_unit(rng, 6), random_unit(rng, 20)
    rows, cosine = nearest(z_query, z_library, n=4)
    similarity = z_query @ z_library.T
    np.testing.assert_array_equal(rows, np.argsort(-similarity, axis=1)[:, :4])
    np.testing.assert_allclose(cosine, -np.sort(-similarity, axis=1)[:, :4])
    with pytest.raises(ValueError, match="n: got 21"):
        nearest(z_query, z_library, n=21)


GOOD = dict(z_query=np.eye(3), z_library=np.eye(3), target=[0, 1, 2])


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(z_query=[[np.nan, 0, 0]] * 3), "z_query: got NaN"),
        (dict(z_library=[[1, np.inf, 0]] * 3), "z_library: got NaN or inf"),
        (dict(z_library=np.empty((0, 3))), r"z_library: got shape \(0, 3\)"),
        (dict(z_library=np.eye(4)), r"z_library: got shape \(4, 4\)"),
        (dict(z_query=np.ones(3)), r"z_query: got shape \(3,\)"),
        (dict(target=[0, 1]), r"target: got shape \(2,\)"),
        (dict(target=[0, 1, 3]), "target: got 0 to 3, expected 0 to 2"),
        (dict(target=[0, -1, 2]), "target: got -1"),
        (dict(target=[0.0, 1.0, 2.0]), "target: got .* of float64"),
        (dict(top=()), "top: got"),
        (dict(top=(0, 1)), "top: got"),
        (dict(query_batch=[0, 0, 0]), "library_batch: got None"),
        (dict(library_batch=[0, 0, 0]), "query_batch: got None"),
        (dict(query_batch=[0, 0], library_batch=[0, 0, 0]), "query_batch: got shape"),
        (dict(query_batch=[0, 0, 0], library_batch=[0, 0]), "library_batch: got shape"),
        (dict(query_batch=["a"] * 3, library_batch=[0, 0, 0]), "query_batch: got"),
        (dict(query_batch=[0, 0, 0], library_batch=np.ones((3, 2))), "library_batch: .* booleans"),
        (dict(query_batch=[0, 0, 2], library_batch=np.ones((3, 2), bool)), "query_batch: got 0 to 2"),
        (dict(query_batch=[0, 0, 0], library_batch=[0, 1, 0]), "target: library row 1 of query 1 is not in"),
        (dict(query_batch=[0, 0, 1], library_batch=np.eye(3, 2, dtype=bool)), "target: library row 1 of query 1"),
    ],
)
def test_bad_input_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        retrieval_accuracy(**(GOOD | change))


# ------------------------------------------------------------------ a screen


def loop_over_screen(z_screen, z_drug, screen, minimum_library, k):
    """{(cell_line, library): (hits, sizes, left out)} by sorting each list, with names instead of codes."""
    tables = {}
    batches = [set(row.nonzero().flatten().tolist()) for row in screen.membership()]
    conditions = range(len(screen))
    for code, name in enumerate(screen.cell_line_names):
        here = [c for c in conditions if screen.cell_line[c] == code]
        found = {"whole": ([], [], 0), "batch": ([], [], 0)}
        for query in here:
            libraries = [("whole", here)]
            libraries += [("batch", [c for c in here if b in batches[c]]) for b in batches[query]]
            for library, rows in libraries:
                hits, sizes, left_out = found[library]
                if library == "batch" and len(rows) < minimum_library:
                    found[library] = (hits, sizes, left_out + 1)
                    continue
                cosine = z_drug @ z_screen[query] / np.linalg.norm(z_drug, axis=1)
                hits.append(sorted_rank(cosine, query, rows) <= k)
                sizes.append(len(rows))
        tables |= {(name, library): scores for library, scores in found.items()}
    return tables


@pytest.mark.parametrize("minimum_library", [1, 25, 30])
def test_screen_table_equals_a_loop(minimum_library):
    screen = toy_screen()
    z_screen, z_drug = toy_embeddings(screen)
    table = screen_retrieval(z_screen, z_drug, screen, top=(3,), minimum_library=minimum_library, n_bootstrap=0)
    expected = loop_over_screen(z_screen, z_drug, screen, minimum_library, k=3)
    rows = table.set_index(["cell_line", "library"])
    assert set(rows.index) == {*expected, ("mean", "whole"), ("mean", "batch")}
    for key, (hits, sizes, left_out) in expected.items():
        row = rows.loc[key]
        assert (row["n_queries"], row["n_left_out"]) == (len(hits), left_out)
        assert row["accuracy"] == pytest.approx(np.mean(hits) if hits else np.nan, nan_ok=True)
        chance = np.mean([min(3, size) / size for size in sizes]) if hits else np.nan
        assert row["chance"] == pytest.approx(chance, nan_ok=True)
        assert row["lift"] == pytest.approx(row["accuracy"] / chance, nan_ok=True)
        assert row["library_size"] == pytest.approx(np.mean(sizes) if hits else np.nan, nan_ok=True)
    for library in ("whole", "batch"):
        lines = rows.loc[[key for key in expected if key[1] == library]]
        assert rows.loc[("mean", library), "accuracy"] == pytest.approx(lines["accuracy"].mean(), nan_ok=True)
        assert rows.loc[("mean", library), "n_left_out"] == lines["n_left_out"].sum()
    assert table[["low", "high"]].isna().all(axis=None)


def test_some_libraries_are_left_out_and_some_lines_have_none():
    """Guards the test above: its minima do bite."""
    screen = toy_screen()
    left_out = {
        minimum: [scores[2] for key, scores in loop_over_screen(*toy_embeddings(screen), screen, minimum, 3).items()]
        for minimum in (1, 25, 30)
    }
    assert sum(left_out[1]) == 0 < sum(left_out[25]) < sum(left_out[30])


def test_no_library_large_enough_gives_nan_rows_and_a_count():
    screen = toy_screen()
    table = screen_retrieval(*toy_embeddings(screen), screen, minimum_library=1000, n_bootstrap=20)
    batch = table[table["library"] == "batch"]
    assert batch[["accuracy", "chance", "lift", "low", "high"]].isna().all(axis=None)
    assert (batch["n_queries"] == 0).all() and (batch["n_left_out"] > 0).all()
    assert table.loc[table["library"] == "whole", "accuracy"].notna().all()


def test_every_molecule_under_every_head_is_the_papers_whole_library():
    screen = toy_screen()
    z_screen, z_drug = toy_embeddings(screen)
    of_molecules = np.stack([np.random.default_rng(0).normal(size=(len(screen.drug), 6))] * 2)
    np.testing.assert_array_equal(of_molecules[screen.cell_line, screen.drug_id], z_drug)
    by_condition = screen_retrieval(z_screen, z_drug, screen, minimum_library=5, n_bootstrap=0)
    by_molecule = screen_retrieval(z_screen, of_molecules, screen, minimum_library=5, n_bootstrap=0)
    batch = by_condition["library"] == "batch"
    pd.testing.assert_frame_equal(by_condition[batch], by_molecule[batch])
    sizes = by_molecule[~batch].groupby("cell_line")["library_size"].first()
    assert set(sizes) == {60} and by_condition.loc[~batch, "library_size"].min() < 60
    assert (by_molecule.loc[~batch, "accuracy"] <= by_condition.loc[~batch, "accuracy"]).all()


def test_several_conditions_of_a_molecule_are_one_library_row():
    smiles = ["C", "C", "CC", "CCC"]
    screen = PairedScreen.from_profiles(
        smiles=smiles,
        condition=["low", "high", "low", "low"],
        batch=[0] * 4,
        drug=lambda unique: np.eye(3)[: len(unique)],
        profile=np.zeros((4, 2)),
    )
    z_drug = np.eye(3)[screen.drug_id]
    table = screen_retrieval(z_drug, z_drug, screen, minimum_library=3, n_bootstrap=5).set_index(["cell_line", "top"])
    assert (table["library_size"] == 3).all() and (table["n_queries"] == 4).all() and (table["n_molecules"] == 3).all()
    assert table.loc[("all", 1), "accuracy"].tolist() == [1, 1]
    with pytest.raises(ValueError, match="z_drug: got different embeddings of one molecule"):
        screen_retrieval(z_drug, np.eye(4)[:, :3], screen)


def test_chance_and_perfection_on_a_screen():
    screen = toy_screen(n_molecules=200)
    z_screen, z_drug = toy_embeddings(screen)
    constant = screen_retrieval(np.ones_like(z_screen), np.ones_like(z_drug), screen, n_bootstrap=0)
    np.testing.assert_allclose(constant["accuracy"], constant["chance"])
    perfect = screen_retrieval(z_drug, z_drug, screen, n_bootstrap=10)
    assert (perfect[["accuracy", "low", "high"]] == 1).all(axis=None)


def test_intervals_cover_the_truth_over_molecules():
    """Molecules that are found always or never: queries of one are copies, so the interval must widen with them."""
    truth, covered, widths = 0.4, [], {}
    for copies in (1, 4):
        for seed in range(60):
            rng = np.random.default_rng(seed)
            n = 80
            screen = toy_screen(n_molecules=n, n_batches=1, cell_lines=tuple(f"L{i}" for i in range(copies)))
            z_molecule = np.eye(n)
            found = rng.random(n) < truth
            z_query = np.where(found[:, None], z_molecule, np.roll(z_molecule, 1, axis=0))[screen.drug_id]
            table = screen_retrieval(
                z_query, z_molecule[screen.drug_id], screen, top=(1,), n_bootstrap=200, seed=seed
            ).set_index(["cell_line", "library"])
            mean = table.loc[("mean", "whole")]
            covered.append(mean["low"] <= truth <= mean["high"])
            widths.setdefault(copies, []).append(mean["high"] - mean["low"])
    assert 0.86 <= np.mean(covered) <= 1  # 95 % expected of 120 trials, s.d. 2 points
    binomial = 2 * 1.96 * np.sqrt(truth * (1 - truth) / 80)
    assert np.mean(widths[1]) == pytest.approx(binomial, rel=0.1)
    assert np.mean(widths[4]) > 0.9 * np.mean(widths[1])  # four cell lines of the same molecules are no new molecules


def test_the_bootstrap_is_seeded():
    screen = toy_screen()
    z = toy_embeddings(screen)
    one, same, other = (screen_retrieval(*z, screen, n_bootstrap=50, seed=seed) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(one, same)
    assert not one["low"].equals(other["low"])


def test_molecules_of_training_or_selection_are_refused():
    screen = toy_screen()
    split = screen.split(0)
    z = toy_embeddings(split.test)
    screen_retrieval(*z, split.test, minimum_library=2, n_bootstrap=0, seen=(split.train, split.validation))
    with pytest.raises(ValueError, match="screen: got 60 molecules that training or selection"):
        screen_retrieval(*toy_embeddings(screen), screen, seen=(screen,))
    with pytest.raises(ValueError, match="screen: got Split"):
        screen_retrieval(*z, split)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda z, d: (z[1:], d), "z_screen: got shape"),
        (lambda z, d: (z, d[:, 1:]), "z_drug: got shape"),
        (lambda z, d: (z, d * np.nan), "z_library: got NaN"),
    ],
)
def test_embeddings_that_do_not_fit_the_screen_are_named(change, message):
    screen = toy_screen()
    with pytest.raises(ValueError, match=message):
        screen_retrieval(*change(*toy_embeddings(screen)), screen)


# ------------------------------------------------------------------ which batch is retrieved


def test_same_batch_share_equals_a_loop():
    screen = toy_screen(n_molecules=25)
    z_screen, z_drug = toy_embeddings(screen)
    table = same_batch_share(z_screen, z_drug, screen, top=(1, 4)).set_index(["condition", "top"])
    assert len(table) == 2 * len(screen)
    member = screen.membership().numpy()
    for query in range(len(screen)):
        others = [c for c in range(len(screen)) if screen.cell_line[c] == screen.cell_line[query] and c != query]
        cosine = z_drug @ z_screen[query] / np.linalg.norm(z_drug, axis=1)
        order = sorted(others, key=lambda c: -cosine[c])
        for k in (1, 4):
            expected = np.mean([(member[query] & member[c]).any() for c in order[:k]])
            assert table.loc[(query, k), "share"] == pytest.approx(expected)
        expected = np.mean([(member[query] & member[c]).any() for c in others])
        assert table.loc[(query, 1), "expected"] == pytest.approx(expected)


def test_same_batch_share_of_an_embedding_of_nothing_and_of_the_batch():
    screen = toy_screen(n_molecules=40, n_batches=4, replicates=1, cell_lines=("A549",))
    constant = np.ones((len(screen), 4))
    blind = same_batch_share(constant, constant, screen, top=(5,))
    np.testing.assert_allclose(blind["share"], blind["expected"], atol=1e-6)
    z_batch = np.eye(4)[screen.batch_id]
    assert min(np.bincount(screen.batch_id)) > 5
    assert (same_batch_share(z_batch, z_batch, screen, top=(5,))["share"] == 1).all()


def test_one_molecule_cannot_be_ranked():
    screen = toy_screen(n_molecules=1, cell_lines=("A549",))
    with pytest.raises(ValueError, match="screen: got one molecule in each cell line"):
        same_batch_share(np.ones((1, 2)), np.ones((1, 2)), screen)


# ------------------------------------------------------------------ over seeds


def tables(*accuracies, chance=0.1):
    columns = {"cell_line": "mean", "library": "batch", "top": 1, "chance": chance}
    return {seed: pd.DataFrame([columns | {"accuracy": value}]) for seed, value in enumerate(accuracies)}


def test_comparison_by_hand():
    row = compare(tables(0.22, 0.36, 0.56), tables(0.2, 0.3, 0.4)).iloc[0]
    # relative gains 0.1, 0.2, 0.4; t(0.975, 2) = 4.302653
    assert row["relative"] == pytest.approx(0.7 / 3)
    half = 4.302653 * np.std([0.1, 0.2, 0.4], ddof=1) / np.sqrt(3)
    assert (row["relative_low"], row["relative_high"]) == pytest.approx((0.7 / 3 - half, 0.7 / 3 + half))
    assert row["difference"] == pytest.approx(0.08)
    assert (row["a_higher"], row["n_seeds"], row["accuracy_b"]) == pytest.approx((1, 3, 0.3))
    swapped = dict(reversed(tables(0.2, 0.3, 0.4).items()))  # pairing is by seed, not by order
    pd.testing.assert_series_equal(compare(tables(0.22, 0.36, 0.56), swapped).iloc[0], row)


def test_mean_over_seeds_by_hand_and_one_seed_has_no_interval():
    row = over_seeds(tables(0.2, 0.4)).iloc[0]
    half = 12.706205 * np.std([0.2, 0.4], ddof=1) / np.sqrt(2)
    assert (row["accuracy"], row["low"], row["high"]) == pytest.approx((0.3, 0.3 - half, 0.3 + half))
    assert (row["lift"], row["n_seeds"]) == pytest.approx((3, 2))
    assert over_seeds(tables(0.2)).loc[0, ["low", "high"]].isna().all()
    assert np.isnan(compare(tables(0.2, 0.3), tables(0.0, 0.1)).loc[0, "relative"])


def test_tables_that_do_not_match_are_named():
    other = {seed: table.assign(top=5) for seed, table in tables(0.1, 0.2).items()}
    with pytest.raises(ValueError, match=r"tables_b: got seeds \[0\]"):
        compare(tables(0.1, 0.2), tables(0.1))
    with pytest.raises(ValueError, match="tables_b: got other"):
        compare(tables(0.1, 0.2), other)
    with pytest.raises(ValueError, match="tables: the rows of seed 1 differ"):
        over_seeds({0: tables(0.1)[0], 1: other[1]})
    with pytest.raises(ValueError, match="tables: got no tables"):
        over_seeds({})
