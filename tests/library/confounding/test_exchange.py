"""Which rows exchange a nuisance, worked out by hand and counted."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from infocore_mini.confounding.exchange import Exchange


def seen(exchange: Exchange, n: int = 4000) -> dict[tuple[int, ...], int]:
    """How often each arrangement is drawn."""
    drawn, count = np.unique(exchange.permuted(n, np.random.default_rng(0)), axis=0, return_counts=True)
    return dict(zip(map(tuple, drawn.tolist()), count.tolist(), strict=True))


def test_rows_without_molecules_exchange_within_their_stratum_and_every_arrangement_is_as_likely():
    found = seen(Exchange(np.array([0, 1, 2, 3, 4]), np.array([0, 0, 0, 1, 1]), None))
    expected = {(*first, *last) for first in permutations([0, 1, 2]) for last in permutations([3, 4])}
    assert set(found) == expected and len(expected) == 12
    assert min(found.values()) > 4000 / 12 - 5 * np.sqrt(4000 / 12)


def test_a_molecule_of_one_value_moves_whole_and_rows_of_one_of_several_move_among_themselves():
    molecule = np.array([0, 0, 1, 2, 2, 3, 3])
    code = np.array([5, 5, 6, 7, 7, 8, 9])  # molecules 0, 1, 2 lie in one batch each, 3 in two
    found = seen(Exchange(code, np.zeros(7, dtype=int), molecule))
    whole = {(a, a, b, c, c) for a, b, c in permutations([5, 6, 7])}
    assert set(found) == {(*first, *last) for first in whole for last in permutations([8, 9])}


def test_a_molecule_of_one_value_never_leaves_its_stratum():
    exchange = Exchange(np.array([0, 0, 1, 1]), np.array([0, 0, 1, 1]), np.array([0, 0, 1, 1]))
    assert set(seen(exchange, 50)) == {(0, 0, 1, 1)} and exchange.n_movable == 0


@pytest.mark.parametrize(
    ("code", "stratum", "molecule", "movable"),
    [
        ([0, 1, 0, 1], [0, 0, 1, 1], None, 4),
        ([0, 0, 1, 1], [0, 0, 1, 1], None, 0),  # the nuisance coincides with the label
        ([0, 0, 1, 1, 1], [0, 0, 0, 1, 1], None, 3),
        ([0, 0, 1, 1], [0, 0, 0, 0], [0, 0, 1, 1], 2),
        ([0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 1, 2], 2),  # the other two molecules share a value
    ],
)
def test_units_that_can_move_are_counted(code, stratum, molecule, movable):
    molecule = None if molecule is None else np.array(molecule)
    assert Exchange(np.array(code), np.array(stratum), molecule).n_movable == movable


def test_some_rows_exchange_as_they_do_among_all():
    rng = np.random.default_rng(1)
    molecule, stratum = np.repeat(np.arange(30), 2), np.repeat(np.arange(30) % 3, 2)
    code = np.where(molecule < 10, rng.integers(0, 4, 60), molecule % 4)
    rows = np.flatnonzero(molecule % 2 == 0)
    part = Exchange(code, stratum, molecule).of(rows)
    alone = Exchange(code[rows], stratum[rows], molecule[rows])
    assert part.n_units == alone.n_units and part.n_movable == alone.n_movable
    drawn = [one.permuted(3, np.random.default_rng(2)) for one in (part, alone)]
    np.testing.assert_array_equal(*(np.sort(values, axis=1) for values in drawn))


def test_the_spread_is_that_of_rows_that_may_exchange_values():
    """Molecule 0 lies in two batches: its rows are compared with each other; the others with their stratum."""
    points = np.array([[10.0], [12.0], [0.0], [3.0], [6.0], [100.0], [104.0]])
    molecule, stratum = np.array([0, 0, 1, 2, 3, 4, 5]), np.array([0, 0, 0, 0, 0, 1, 1])
    exchange = Exchange(np.array([0, 1, 0, 1, 1, 0, 1]), stratum, molecule)
    squares = 2 * 1**2 + 3**2 + 0 + 3**2 + 2 * 2**2
    np.testing.assert_allclose(exchange.spread(points.astype(np.float32)), np.sqrt(squares / (7 - 3)))
