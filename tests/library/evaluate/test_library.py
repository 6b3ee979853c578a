"""A library in blocks: ranks and neighbours equal those of one float64 matrix of cosines, whatever float32 cannot tell."""

from __future__ import annotations

import weakref

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from infocore_mini.evaluate.library import Library, rounding
from infocore_mini.evaluate.ranking import TIE, nearest, retrieval_hits

KINDS = ("random", "clustered", "below float32", "duplicated", "scaled", "constant", "extreme lengths", "positive")
TOP = (1, 2, 5, 40)
N, M, D = 23, 97, 12


def library_of(kind: str, seed: int, *, m: int = M, d: int = D) -> np.ndarray:
    """(m, d) float64."""
    rng = np.random.default_rng(seed)
    z, centre = rng.normal(size=(m, d)), rng.normal(size=(5, d))[rng.integers(0, 5, m)]
    return {
        "random": z,
        "clustered": centre + 1e-4 * z,
        "below float32": centre + 1e-8 * z,
        "duplicated": centre,
        "scaled": centre * rng.uniform(0.1, 9, (m, 1)),
        "constant": np.tile(centre[:1], (m, 1)),
        "extreme lengths": z * 10.0 ** rng.integers(-18, 30, (m, 1)) * rng.integers(0, 2, (m, 1)),
        "positive": np.abs(z) + 5,
    }[kind]


def float64_cosines(z_query, z_library) -> np.ndarray:
    unit = [
        np.float64(z) / np.linalg.norm(np.float64(z), axis=1, keepdims=True).clip(1e-12) for z in (z_query, z_library)
    ]
    return unit[0] @ unit[1].T


def float64_hits(cosine: np.ndarray, target: np.ndarray, candidate: np.ndarray | bool = True) -> np.ndarray:
    """What `retrieval_hits` counts, from the whole matrix at once."""
    gap = cosine - np.take_along_axis(cosine, target[:, None], 1)
    above = ((gap > TIE) & candidate).sum(1, keepdims=True)
    tied = ((abs(gap) <= TIE) & candidate).sum(1, keepdims=True)
    return ((np.array(TOP) - above) / tied).clip(0, 1)


def float64_nearest(cosine: np.ndarray, n: int) -> np.ndarray:
    """Row numbers by cosine in units of TIE, then by number."""
    steps = np.round(cosine / TIE)
    return np.array([np.lexsort((np.arange(len(row)), -row))[:n] for row in steps])


@pytest.fixture
def small_tiles(monkeypatch):
    """Ranks then cross many tiles: 7 queries against 5 rows."""
    monkeypatch.setattr("infocore_mini.evaluate.library.TILE_QUERIES", 7)
    monkeypatch.setattr("infocore_mini.evaluate.library.TILE_ENTRIES", 35)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(3))
def test_equals_one_matrix_of_float64_cosines(small_tiles, kind, dtype, seed):
    rng = np.random.default_rng(seed)
    z_library, target = library_of(kind, seed).astype(dtype), rng.integers(0, M, N)
    near = (z_library[target] + 1e-3 * rng.normal(size=(N, D))).astype(dtype)
    for z_query in (near, z_library[target], rng.normal(size=(N, D)).astype(dtype)):
        cosine = float64_cosines(z_query, z_library)
        hits, size = retrieval_hits(z_query, z_library, target, top=TOP)
        np.testing.assert_array_equal(hits, float64_hits(cosine, target))
        assert (size == M).all()
        member = rng.random((M, 4)) < 0.4
        query_batch = rng.integers(0, 4, N)
        member[target, query_batch] = True
        hits, size = retrieval_hits(z_query, z_library, target, top=TOP, query_batch=query_batch, library_batch=member)
        np.testing.assert_array_equal(hits, float64_hits(cosine, target, member[:, query_batch].T))
        np.testing.assert_array_equal(size, member.sum(0)[query_batch])
        rows, values = nearest(z_query, z_library, n=10)
        np.testing.assert_array_equal(rows, float64_nearest(cosine, 10))
        np.testing.assert_allclose(values, np.take_along_axis(cosine, rows, 1), atol=1e-12)


def test_default_tiles_equal_one_matrix():
    rng = np.random.default_rng(0)
    z_library, target = library_of("clustered", 0, m=9000, d=32).astype(np.float32), rng.integers(0, 9000, 600)
    z_query = z_library[target] + 1e-4 * rng.normal(size=(600, 32)).astype(np.float32)
    cosine = float64_cosines(z_query, z_library)
    np.testing.assert_array_equal(retrieval_hits(z_query, z_library, target, top=TOP)[0], float64_hits(cosine, target))
    for some in (1, 600):  # few queries and many cut the library differently
        np.testing.assert_array_equal(nearest(z_query[:some], z_library, n=7)[0], float64_nearest(cosine[:some], 7))


class Blocks:
    """A library that is read again from its beginning each time, and how many of its blocks were alive at once."""

    def __init__(self, z: np.ndarray, length: int):
        self.z, self.length, self.alive, self.most = z, length, weakref.WeakSet(), 0

    def __iter__(self):
        for start in range(0, len(self.z), self.length):
            block = torch.tensor(self.z[start : start + self.length])
            self.alive.add(block)
            self.most = max(self.most, len(self.alive))
            yield block


@given(st.integers(0, 2**32 - 1), st.integers(1, 120))
@settings(max_examples=20, deadline=None)
def test_blocks_equal_the_matrix(seed, length):
    rng = np.random.default_rng(seed)
    z_library, target = library_of("duplicated", seed).astype(np.float32), rng.integers(0, M, N)
    z_query = rng.normal(size=(N, D))
    blocks = Blocks(z_library, length)
    expected, (rows, cosine) = retrieval_hits(z_query, z_library, target)[0], nearest(z_query, z_library, n=9)
    np.testing.assert_array_equal(retrieval_hits(z_query, blocks, target)[0], expected)
    for source in (blocks, iter(blocks), list(blocks), tuple(np.float64(block) for block in blocks)):
        found = nearest(z_query, source, n=9)
        np.testing.assert_array_equal(found[0], rows)
        np.testing.assert_allclose(found[1], cosine, atol=1e-14)


def test_blocks_are_let_go():
    blocks = Blocks(library_of("random", 0), 4)
    retrieval_hits(np.eye(D), blocks, np.arange(D))
    assert 1 <= blocks.most <= 2  # the one in use, and the next


def test_every_container_gives_the_same(tmp_path):
    z_library, z_query = library_of("random", 0).astype(np.float32), library_of("random", 1)[:N]
    mapped = np.memmap(tmp_path / "library", dtype=np.float32, mode="w+", shape=z_library.shape)
    mapped[:] = z_library
    mapped.flush()
    read_only = np.memmap(tmp_path / "library", dtype=np.float32, mode="r", shape=z_library.shape)
    others = [read_only, torch.tensor(z_library, requires_grad=True), pd.DataFrame(z_library), z_library.tolist()]
    others += [z_library.astype(">f4"), np.asfortranarray(z_library), torch.tensor(z_library).repeat(2, 1)[:M]]
    target, expected = np.arange(N), retrieval_hits(z_query, z_library, np.arange(N), top=TOP)[0]
    for other in others:
        np.testing.assert_array_equal(retrieval_hits(z_query, other, target, top=TOP)[0], expected)


@pytest.mark.parametrize("d", [1, 3, 256, 3000])
@pytest.mark.parametrize("kind", KINDS)
def test_float32_cosines_are_within_the_bound(kind, d):
    z_library = library_of(kind, 0, d=d).astype(np.float32)
    z_query = torch.nn.functional.normalize(torch.tensor(library_of(kind, 1, d=d)), dim=1)
    columns = 0
    for tile in Library(z_library, d).tiles(z_query):
        row, column, exact = tile.exact(z_query[tile.queries], torch.ones_like(tile.cosine, dtype=torch.bool))
        assert (tile.cosine[row, column] - exact).abs().max() <= rounding(d)
        columns += len(tile.block) * (tile.queries.start == 0)
    assert columns == M


def test_progress_is_shown_on_request(capsys):
    z = np.eye(D)
    retrieval_hits(z, z, np.arange(D))
    nearest(z, z)
    assert capsys.readouterr().err == ""
    for blocks, total in ((z, f"{D}/{D}"), ([z, z], f"{2 * D} molecules")):
        retrieval_hits(z, blocks, np.arange(D), progress=True)
        assert total in capsys.readouterr().err
        nearest(z, blocks, progress=True)
        assert total in capsys.readouterr().err


def with_nan(row: int) -> np.ndarray:
    z = np.ones((6, D), dtype=np.float32)
    z[row, 3] = np.nan
    return z


@pytest.mark.parametrize(
    "z_library, message",
    [
        ([np.ones((6, D)), np.ones((6, D + 1))], rf"z_library: got shape \(6, {D + 1}\), expected \(n, {D}\)"),
        ([np.ones((6, D)), np.ones(D)], rf"z_library: got shape \({D},\)"),
        ([np.ones((6, D)), with_nan(2)], r"z_library: got NaN or infinite values \(first in row 8\)"),
        ([np.ones((6, D)), "text"], "z_library: got values that are no numbers"),
        (Blocks(np.empty((0, D)), 5), "z_library: got no rows"),
        ([np.ones((2, D))], "target: got 0 to 2, expected 0 to 1"),
        (iter([np.ones((6, D))]), "z_library: got a list_iterator, which can be read only once"),
        (7, "z_library: got shape"),
    ],
)
def test_bad_libraries_are_named(z_library, message):
    with pytest.raises(ValueError, match=message):
        retrieval_hits(np.ones((3, D)), z_library, [0, 1, 2])


def test_more_neighbours_than_the_blocks_hold_are_refused():
    with pytest.raises(ValueError, match="n: got 9, expected 1..8"):
        nearest(np.ones((3, D)), iter([np.ones((4, D))] * 2), n=9)
    with pytest.raises(ValueError, match="n: got 0"):
        nearest(np.ones((3, D)), iter([np.ones((4, D))]), n=0)
