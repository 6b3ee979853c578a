"""Whether the design lets anyone tell a nuisance from biology, whatever the embedding is."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

NAMED = 3  # pairs that are named


class Estimability(NamedTuple):
    """Which values of a nuisance can be compared given the biology, within libraries.

    Attributes:
        contrasts: independent comparisons of two values of one library.
        estimable: how many of them the rows allow: the rank that the nuisance adds to biology in a linear model.
        pairs: some pairs of values that no chain of shared biology connects.
    """

    contrasts: int
    estimable: int
    pairs: list[tuple[str, str]]


def estimability(
    nuisance: NDArray[np.int64], names: NDArray, biology: NDArray[np.int64], library: NDArray[np.int64]
) -> Estimability:
    """Connected parts of the graph of values and biology (Searle 1987): values of one part can be compared.

    Args:
        nuisance: (n,) codes.
        names: what they stand for.
        biology: (n,) codes of label or molecule.
        library: (n,) codes; values are compared within one.
    """
    contrasts, estimable, pairs = 0, 0, []
    for one in np.unique(library):
        values, code = np.unique(nuisance[library == one], return_inverse=True)
        of_biology = np.unique(biology[library == one], return_inverse=True)[1] + len(values)
        size = int(of_biology.max()) + 1
        graph = coo_array((np.ones(len(code)), (code, of_biology)), shape=(size, size))
        n_parts, part = connected_components(graph, directed=False)
        contrasts, estimable = contrasts + len(values) - 1, estimable + len(values) - n_parts
        _, first = np.unique(part[: len(values)], return_index=True)
        pairs += [(str(names[values[first[0]]]), str(names[values[other]])) for other in first[1:]]
    return Estimability(contrasts, estimable, pairs[:NAMED])
