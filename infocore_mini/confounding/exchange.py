"""Which rows may exchange their values of a nuisance if the embedding holds nothing of it.

The hypothesis is that, given a row's stratum (its library and its label, as far as they are given), the embedding does
not depend on the nuisance. Two kinds of units are exchangeable then:

- a row of a molecule that was measured under several values exchanges them with other rows of the same molecule and
  stratum: nothing but the nuisance tells these rows apart;
- a molecule that was measured under one value exchanges it, whole, with other such molecules of its stratum. Its rows
  resemble each other whatever the nuisance is, so that they never move alone.

Without molecules, each row is a unit of its own. One set of permutations serves all checks of a nuisance, so that the
largest statistic of a permutation may be compared with the largest observed. Those of two nuisances are drawn apart; if
the nuisances are related, the largest over both is too large rather than too small (Sidak 1967).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array


class Exchange:
    """Permutations of the values of a nuisance among n rows.

    Args:
        code: (n,) codes of the nuisance.
        stratum: (n,) codes; labels stay within.
        molecule: (n,) codes, or None.
    """

    def __init__(self, code: NDArray[np.int64], stratum: NDArray[np.int64], molecule: NDArray[np.int64] | None) -> None:
        rows = np.arange(len(code))
        if molecule is None:
            unit, within = rows, stratum
        else:
            member = _codes(molecule, stratum)
            pair = np.unique(np.stack([member, code]), axis=1)
            crossed = np.bincount(pair[0])[member] > 1
            unit = _codes(np.where(crossed, len(rows) + rows, member))
            within = _codes(np.where(crossed, member, -1 - stratum))
        self.unit = unit
        _, self.first = np.unique(unit, return_index=True)
        self.stratum = within[self.first]
        self.code = code

    @property
    def n_units(self) -> int:
        """How many units there are."""
        return len(self.first)

    @property
    def n_movable(self) -> int:
        """How many units lie in a stratum in which the nuisance takes several values."""
        pair = np.unique(np.stack([self.stratum, self.code[self.first]]), axis=1)
        several = np.bincount(pair[0], minlength=int(self.stratum.max()) + 1) > 1
        return int(several[self.stratum].sum())

    def spread(self, points: NDArray[np.float32]) -> NDArray[np.float64]:
        """(d,) standard deviations of rows, (n, d), among those that may exchange values: biology is no part of them."""
        group = np.unique(self.stratum[self.unit], return_inverse=True)[1]
        size = np.bincount(group)
        total = coo_array((np.ones(len(group)), (group, np.arange(len(group))))).tocsr() @ points.astype(np.float64)
        squares = ((points - (total / size[:, None])[group]) ** 2).sum(0)
        return np.sqrt(squares / max(len(group) - len(size), 1))

    def permuted(self, n: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """(n, n_rows) permuted codes."""
        order = np.argsort(self.stratum, kind="stable")
        source = np.empty((n, self.n_units), dtype=np.int64)
        source[:, order] = self.first[np.argsort(self.stratum + rng.random((n, self.n_units)), axis=1)]
        return self.code[source[:, self.unit]]

    def of(self, rows: NDArray[np.int64]) -> Exchange:
        """The same exchanges among some rows, (m,) sorted, that hold each molecule whole or not at all."""
        part = object.__new__(Exchange)
        part.unit = _codes(self.unit[rows])
        _, part.first = np.unique(part.unit, return_index=True)
        part.stratum = self.stratum[self.unit[rows]][part.first]
        part.code = self.code[rows]
        return part


def _codes(*columns: NDArray[np.int64]) -> NDArray[np.int64]:
    """(n,) codes from 0 of the combinations of columns."""
    return np.unique(np.stack(columns), axis=1, return_inverse=True)[1].reshape(-1)
