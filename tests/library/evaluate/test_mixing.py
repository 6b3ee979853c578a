"""Mixing metrics against naive loops, hand-worked tables and scikit-learn called directly."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from scipy.stats import entropy
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

from infocore_mini.evaluate import mixing
from infocore_mini.evaluate.mixing import batch_mixing_entropy, knn_purity, linear_probe, same_label_neighbours

NAN_ROW = np.array([[0.0, 1.0], [np.nan, 0.0], [1.0, 1.0], [2.0, 0.0]])


@pytest.fixture
def points():
    """90 rows in 3 groups of unequal size: an input in 5 dimensions, its noisy image in 2, and the codes."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(90, 5))
    return x, x[:, :2] + 0.5 * rng.normal(size=(90, 2)), np.repeat([4, 7, 9], [20, 30, 40])


def nearest(points, row: int, among, k: int) -> list[int]:
    """The k rows of ``among`` closest to a row, itself left out, by sorting all distances."""
    others = [other for other in among if other != row]
    return sorted(others, key=lambda other: np.linalg.norm(points[other] - points[row]))[:k]


# ------------------------------------------------------------------ purity


def test_purity_equals_a_naive_loop(points):
    x, z, batch_id = points
    expected = []
    for k in (1, 5, 12):
        of_batches = []
        for code in np.unique(batch_id):
            rows = np.flatnonzero(batch_id == code)
            shared = [len({*nearest(x, i, rows, k)} & {*nearest(z, i, rows, k)}) / k for i in rows]
            of_batches.append(np.mean(shared))
        expected.append(np.mean(of_batches))
    np.testing.assert_allclose(knn_purity(x, z, batch_id, k=(1, 5, 12)), expected)
    assert 0.1 < min(expected) and max(expected) < 0.9  # neither trivial end


def test_purity_by_hand():
    """Four points on a line; the embedding swaps the last two: 0 and 1 keep their neighbour, 2 and 3 as well, at k = 2 half."""
    x = np.array([[0.0], [1.0], [10.0], [12.0]])
    z = np.array([[0.0], [1.0], [12.0], [10.0]])
    # k = 1: 0-1, 1-0, 2-3, 3-2 in both. k = 2 in x: {1,2} {0,2} {3,1} {2,1}; in z: {1,3} {0,3} {3,1} {2,1}.
    np.testing.assert_allclose(knn_purity(x, z, np.zeros(4, int), k=(1, 2)), [1.0, (0.5 + 0.5 + 1 + 1) / 4])


def test_purity_looks_only_within_a_batch(points):
    x, _, batch_id = points
    shifted = x + 100.0 * batch_id[:, None]  # a batch effect on the embedding
    np.testing.assert_array_equal(knn_purity(x, shifted, batch_id, k=(3, 10)), [1.0, 1.0])


def test_purity_leaves_small_batches_out(points):
    x, z, batch_id = points
    large = batch_id != 4
    np.testing.assert_allclose(
        knn_purity(x, z, batch_id, k=(20,)), knn_purity(x[large], z[large], batch_id[large], k=(20,))
    )


def test_purity_of_an_unrelated_embedding_is_chance():
    rng = np.random.default_rng(0)
    x, z = rng.normal(size=(2, 400, 3))
    assert knn_purity(x, z, np.zeros(400, int), k=(40,))[0] == pytest.approx(40 / 399, abs=0.01)


# ------------------------------------------------------------------ entropy


def test_entropy_equals_a_naive_loop(points):
    _, z, batch_id = points
    expected = []
    for k in (2, 7, 30):
        per_point = [
            entropy([(batch_id[nearest(z, i, range(90), k)] == c).mean() for c in (4, 7, 9)]) for i in range(90)
        ]
        expected.append(np.mean(per_point))
    np.testing.assert_allclose(batch_mixing_entropy(z, batch_id, k=(2, 7, 30)), expected)


def test_entropy_by_hand():
    """Two pairs far apart. Pure pairs: 0. Mixed pairs: the neighbour and one of the other pair, both kinds for every point."""
    z = np.array([[0.0], [1.0], [10.0], [11.0]])
    np.testing.assert_allclose(batch_mixing_entropy(z, np.array([0, 0, 1, 1]), k=(1, 2)), [0, np.log(2)])
    # labels 0 1 0 1: two nearest are 1,2 / 0,2 / 3,1 / 2,1 with labels {1,0} {0,0} {1,1} {0,1}
    np.testing.assert_allclose(batch_mixing_entropy(z, np.array([0, 1, 0, 1]), k=(1, 2)), [0, np.log(2) / 2])


def test_entropy_of_a_perfect_mix_approaches_log_of_the_number_of_batches():
    rng = np.random.default_rng(0)
    value = batch_mixing_entropy(rng.normal(size=(600, 2)), np.arange(600) % 3, k=(200,))[0]
    assert np.log(3) - 0.02 < value <= np.log(3)


# ------------------------------------------------------------------ probe


def test_probe_equals_scikit_learn_called_directly(points):
    _, z, batch_id = points
    scores = []
    for train, test in StratifiedKFold(4, shuffle=True, random_state=11).split(z, batch_id):
        model = LogisticRegression(max_iter=1000).fit(z[train], batch_id[train])
        scores.append((model.predict(z[test]) == batch_id[test]).mean())
    mean, deviation = linear_probe(z, batch_id, folds=4, seed=11)
    assert mean == pytest.approx(np.mean(scores))
    assert deviation == pytest.approx(np.std(scores))


def test_probe_reads_what_is_there_and_not_what_is_not():
    rng = np.random.default_rng(1)
    label = np.arange(400) % 4
    z = np.eye(4)[label] + 0.1 * rng.normal(size=(400, 4))
    assert linear_probe(z, label)[0] > 0.99
    shuffled = [linear_probe(z, rng.permutation(label))[0] for _ in range(5)]
    assert np.mean(shuffled) == pytest.approx(0.25, abs=0.05)


def test_probe_keeps_a_group_in_one_fold():
    """One embedding under two labels, as a molecule measured in two runs: at chance with groups, below it without."""
    rng = np.random.default_rng(3)
    z, molecule, label = np.repeat(rng.normal(size=(60, 30)), 2, axis=0), np.arange(120) // 2, np.arange(120) % 2
    assert linear_probe(z, label)[0] < 0.4
    assert linear_probe(z, label, group=molecule)[0] == pytest.approx(0.5)
    with pytest.raises(ValueError, match="group: got shape"):
        linear_probe(z, label, group=molecule[:-1])


def test_probe_accepts_text_labels_and_rare_classes(recwarn):
    rng = np.random.default_rng(2)
    label = np.array(["plate a"] * 30 + ["plate b"] * 30 + ["plate c"] * 2)
    assert 0 < linear_probe(rng.normal(size=(62, 2)), label)[0] < 1
    assert not recwarn.list


# ------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: linear_probe(NAN_ROW, [0, 1, 0, 1]), "got NaN"),
        (lambda: linear_probe(np.zeros((4, 2)), [0, 1, 0]), "label"),
        (lambda: linear_probe(np.zeros((4, 2)), [1, 1, 1, 1]), "label: got one class"),
        (lambda: knn_purity(np.zeros((4, 2)), NAN_ROW, [0, 0, 0, 0], k=(1,)), "got NaN"),
        (lambda: knn_purity(np.zeros((4, 2)), np.zeros((4, 2)), [0, 0, 1, 1], k=(1, 2)), "more than k = 2"),
        (lambda: knn_purity(np.zeros((4, 2)), np.zeros((3, 2)), [0, 0, 0, 0], k=(1,)), "z: got 3 rows"),
        (lambda: knn_purity(np.zeros((4, 2)), np.zeros((4, 2)), [0, 0, 0], k=(1,)), "batch_id: got shape"),
        (lambda: batch_mixing_entropy(np.zeros((4, 2)), [0, 0, 1, 1], k=(2, 4)), "k: got 4"),
        (lambda: batch_mixing_entropy(NAN_ROW, [0, 0, 1, 1], k=(1,)), "got NaN"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("k", [3, [0], [], [2.0], [True], "5", None, [[1, 2]]])
def test_what_is_no_list_of_numbers_of_neighbours_is_named(points, k):
    x, z, batch_id = points
    for measure in (lambda: knn_purity(x, z, batch_id, k=k), lambda: batch_mixing_entropy(z, batch_id, k=k)):
        with pytest.raises(ValueError, match=r"^k: got .*, expected positive integers such as"):
            measure()


def test_numbers_of_neighbours_may_be_of_any_kind(points):
    x, z, batch_id = points
    expected = knn_purity(x, z, batch_id, k=(2, 4))
    for k in ([2, 4], np.array([2, 4]), range(2, 5, 2)):
        np.testing.assert_array_equal(knn_purity(x, z, batch_id, k=k), expected)


@pytest.mark.parametrize("missing", [np.nan, None])
def test_a_missing_label_is_named(points, missing):
    x, z, batch_id = points
    holed = [missing if row == 7 else name for row, name in enumerate(batch_id.tolist())]
    text = [missing if row == 7 else f"plate {row % 3}" for row in range(90)]
    for label in (holed, text, np.array(text, dtype=object)):
        for call, name in (
            (lambda given: linear_probe(z, given), "label"),
            (lambda given: linear_probe(z, batch_id, group=given), "group"),
            (lambda given: knn_purity(x, z, given, k=(2,)), "batch_id"),
            (lambda given: batch_mixing_entropy(z, given, k=(2,)), "batch_id"),
            (lambda given: same_label_neighbours(z, given), "label"),
            (lambda given: same_label_neighbours(z, batch_id, other_than=given), "other_than"),
            (lambda given: same_label_neighbours(z, batch_id, strata=given), "strata"),
        ):
            with pytest.raises(ValueError, match=f"^{name}: got a missing label in row 7"):
                call(label)


@pytest.mark.parametrize("folds", [1, 0, -3, 41, 2.5, "5", None])
def test_folds_that_cannot_be_are_named(points, folds):
    _, z, batch_id = points  # 40 points in the largest class
    with pytest.raises(ValueError, match=r"^folds: got .*, expected a whole number from 2 to 40"):
        linear_probe(z, batch_id, folds=folds)
    with pytest.raises(ValueError, match=r"^folds: got .*, expected a whole number from 2 to 10"):
        linear_probe(z, batch_id, group=np.arange(90) % 10, folds=folds)


def test_folds_that_leave_one_class_to_train_on_are_named():
    z, label = np.random.default_rng(0).normal(size=(12, 2)), [0] * 11 + [1]
    with pytest.raises(ValueError, match="^folds: got 3, which leaves one class to train on"):
        linear_probe(z, label, folds=3)


def test_entropy_by_blocks_equals_entropy_at_once(points, monkeypatch):
    _, z, batch_id = points
    at_once = batch_mixing_entropy(z, batch_id, k=(2, 7, 30))
    monkeypatch.setattr(mixing, "ENTRIES", 16 * 3 * 7)  # seven rows of three batches
    np.testing.assert_array_equal(batch_mixing_entropy(z, batch_id, k=(2, 7, 30)), at_once)


def peak(call) -> float:
    """The most memory, in MB, that Python and numpy held at once during a call beyond what they held before."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1] / 2**20
    finally:
        tracemalloc.stop()


def test_memory_grows_neither_with_neighbours_times_batches_nor_with_pairs_of_neighbours():
    rng = np.random.default_rng(0)
    z, batch_id = rng.normal(size=(10_000, 2)), np.arange(10_000) % 1019
    assert peak(lambda: batch_mixing_entropy(z, batch_id, k=(50,))) < 150  # (n, k, n_B) booleans: 486
    assert peak(lambda: knn_purity(z[:2000], z[:2000, ::-1], np.zeros(2000), k=(400,))) < 100  # (n, k, k): 305


# ------------------------------------------------------------------ same label


def naive_same_label(z, label, kind) -> float:
    """By loops: every point's best cosine among points of another kind, equal ones by their share."""
    unit = z / np.linalg.norm(z, axis=1, keepdims=True)
    shares = []
    for i in range(len(z)):
        others = [j for j in range(len(z)) if kind[j] != kind[i]]
        best = max(unit[i] @ unit[j] for j in others)
        near = [j for j in others if unit[i] @ unit[j] >= best - 1e-9]
        shares.append(np.mean([label[j] == label[i] for j in near]))
    return float(np.mean(shares))


def test_the_same_label_rate_equals_a_naive_loop_with_ties_and_over_blocks(points):
    _, z, batch_id = points
    z = np.sign(np.round(z)) + np.array([0.5, 0.0])  # few directions: most neighbours are tied
    molecule = np.arange(90) % 31
    expected = naive_same_label(z, batch_id, molecule)
    assert same_label_neighbours(z, batch_id, other_than=molecule).rate == pytest.approx(expected)
    whole = mixing._nearest_by_cosine(z, molecule)
    blocks = mixing._nearest_by_cosine(z, molecule, block=7)
    assert all(np.array_equal(a, b) for a, b in zip(whole, blocks, strict=True))


def test_a_batch_effect_is_found_and_labels_without_one_stay_at_chance():
    rng = np.random.default_rng(0)
    label = np.repeat(np.arange(5), 40)
    z = rng.normal(size=(200, 8))
    free = same_label_neighbours(z, label)
    bound = same_label_neighbours(z + 6 * np.eye(8)[label], label)
    assert free.p_value > 0.05 and abs(free.rate - free.chance) < 0.08
    assert free.chance == pytest.approx(39 / 199, abs=0.02)
    assert bound.rate > 0.95 and bound.p_value == 1 / 100 and bound.n == 200


def test_replicates_do_not_find_each_other():
    rng = np.random.default_rng(1)
    molecule = np.repeat(np.arange(50), 2)
    z = rng.normal(size=(50, 6))[molecule] + 0.01 * rng.normal(size=(100, 6))
    assert same_label_neighbours(z, molecule).rate == 1
    assert same_label_neighbours(z, molecule, other_than=molecule).rate == 0


def test_labels_permuted_within_strata_keep_what_the_strata_explain():
    rng = np.random.default_rng(2)
    cell_line = np.repeat([0, 1], 100)
    batch = 2 * cell_line + np.tile([0, 1], 100)  # two batches in each cell line, no effect of their own
    z = rng.normal(size=(200, 6)) + 6 * np.eye(6)[cell_line]
    across, within = (same_label_neighbours(z, batch, strata=s) for s in (None, cell_line))
    assert across.rate == within.rate and across.chance < 0.3 and across.p_value == 0.01
    assert within.chance == pytest.approx(0.5, abs=0.03) and within.p_value > 0.05


def test_rows_of_zeros_are_not_counted():
    z = np.array([[1.0, 0], [1, 0.1], [0, 0], [0, 1], [0.1, 1]])
    label = [0, 0, 0, 1, 1]
    assert same_label_neighbours(z, label)[::3] == (1.0, 4)
    with pytest.raises(ValueError, match="no point has a neighbour"):
        same_label_neighbours(z, label, other_than=np.zeros(5))
    with pytest.raises(ValueError, match=r"strata: got shape \(2,\)"):
        same_label_neighbours(z, label, strata=[0, 1])
    with pytest.raises(ValueError, match="z: got NaN"):
        same_label_neighbours(NAN_ROW, [0, 0, 1, 1])
