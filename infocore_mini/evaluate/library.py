"""A library of molecules read block by block, and its cosines with the queries one small tile at a time.

A million embeddings and their cosines with a thousand queries (4 GB) never stand in memory together. A tile of float32
cosines fits in the processor's cache and is used up before the next one overwrites it; `rounding` bounds how far it is
from the true cosines, and what that leaves open is decided by `Tile.exact`, in float64. A library that lies on a GPU is
worked on there, in tiles that keep it busy.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple, cast

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.nn.functional import normalize
from tqdm import tqdm

from infocore_mini.validation import as_matrix, check_shape

TILE_QUERIES, TILE_ENTRIES = 512, 2**19  # cosines of a tile: 2 MiB
BLOCK_ENTRIES = 2**20  # numbers of the library read at a time: 4 MiB
LARGER_ON_GPU = 2**8  # times as many, which have no cache to fit in
FEW = 1 / 128  # share of a tile above which a float64 matrix product beats one inner product after the other
SHORTEST = 1e-12  # a shorter vector counts as this long, as in torch.nn.functional.normalize


def rounding(d: int) -> float:
    """Bound on float32 cosine - true cosine in d dimensions: d roundings of the product, d / 2 of the norm, a few more.

    The standard bound |error| <= d u sum |x_i y_i| of an inner product in any order of summation, u = 2^-24 (Higham,
    Accuracy and Stability of Numerical Algorithms, section 3.1), with sum |x_i y_i| <= 1 for unit vectors.
    """
    return (1.5 * d + 16) * 2**-24


class Tile(NamedTuple):
    """Some queries against some rows of the library, c and b in number."""

    queries: slice
    rows: slice
    cosine: Tensor  # (c, b) float32, to be used before the next tile overwrites it
    block: Tensor  # (b, d) as it came

    def reaching(self, floor: Tensor) -> tuple[Tensor, Tensor]:
        """Queries (r,) with a cosine of at least ``floor`` (n, 1), of all queries, and their cosines (r, b)."""
        some = (self.cosine.amax(1, keepdim=True) >= floor[self.queries]).nonzero()[:, 0]
        return some + self.queries.start, self.cosine if len(some) == len(self.cosine) else self.cosine[some]

    def exact(self, z_query: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Row, column and float64 cosine, each (k,), of the entries in ``mask`` (r, b) for unit queries (r, d)."""
        row, column = mask.nonzero(as_tuple=True)
        if len(row) > FEW * mask.numel():
            return row, column, (z_query @ normalize(self.block.double(), dim=1).T)[row, column]
        return row, column, (z_query[row] * normalize(self.block[column].double(), dim=1)).sum(1)


class Library:
    """(m, d) embeddings, as a matrix or as blocks of its rows.

    Args:
        value: (m, d) tensor, array, ``numpy.memmap`` or table; or an iterable of such matrices, one after the other.
        width: d.
        name: of the argument, for messages.

    Attributes:
        device: where the library lies, and is worked on; blocks of an iterable are worked on on the CPU.

    Raises:
        ValueError: here or while it is read, naming the argument: another width, no rows, NaN or infinite values.
    """

    def __init__(self, value: ArrayLike | Iterable[ArrayLike], width: int, *, name: str = "z_library") -> None:
        self.width, self.name = width, name
        self.device = value.device if isinstance(value, Tensor) else torch.device("cpu")
        larger = 1 if self.device.type == "cpu" else LARGER_ON_GPU
        self._tile_entries, self._block_entries = larger * TILE_ENTRIES, larger * BLOCK_ENTRIES
        self._source: Iterable[ArrayLike]
        self.size: float = math.inf  # m, where it is known before reading
        if isinstance(value, Iterable) and not _is_matrix(value):
            self._source = value
        else:
            matrix = self._matrix(cast(ArrayLike, value))
            self._source, self.size = [matrix], len(matrix)

    def take(self, rows: Tensor) -> tuple[Tensor, int]:
        """Unit float64 embeddings (n, d) of these rows, NaN for one that does not exist, on the CPU; and m. Reads all blocks.

        Raises ValueError for an iterator, which could not be read again afterwards.
        """
        if isinstance(self._source, Iterator):
            raise ValueError(
                f"{self.name}: got a {type(self._source).__name__}, which can be read only once, expected a matrix or "
                "blocks that can be read again (a list, or an object whose __iter__ starts over): "
                "the true rows are read before all rows are ranked"
            )
        found, m = torch.full((len(rows), self.width), torch.nan, dtype=torch.float64), 0
        for first, piece in self._pieces(self._block_entries // self.width):
            m = first + len(piece)
            here = ((rows >= first) & (rows < m)).nonzero().squeeze(1)
            if len(here):
                found[here] = normalize(_float64(piece[(rows[here] - first).numpy()]), dim=1)
        return found, m

    def tiles(self, z_query: Tensor, *, progress: bool = False) -> Iterator[Tile]:
        """The cosines of unit queries (n, d) with the whole library, block by block."""
        z_query, buffer = z_query.float(), torch.empty(0, device=self.device)
        length = min(self._block_entries // self.width, self._tile_entries // min(len(z_query), TILE_QUERIES))
        with tqdm(total=self.size, desc="library", unit=" molecules", disable=not progress) as bar:
            for first, piece in self._pieces(length):
                block, values, scale = self._scaled(piece, first)
                for start in range(0, len(z_query), TILE_QUERIES):
                    some = z_query[start : start + TILE_QUERIES]
                    n_entries = len(some) * len(block)
                    if n_entries > len(buffer):
                        buffer = torch.empty(n_entries, device=self.device)
                    cosine = buffer[:n_entries].view(len(some), len(block))
                    with _all_of_float32():
                        torch.mm(some, values.T, out=cosine).mul_(scale)
                    yield Tile(slice(start, start + len(some)), slice(first, first + len(block)), cosine, block)
                bar.update(len(block))

    def _pieces(self, length: int) -> Iterator[tuple[int, Tensor | np.ndarray]]:
        """The blocks, cut to at most ``length`` rows, and the number of their first row."""
        first = 0
        for block in self._source:
            matrix = self._matrix(block)
            for start in range(0, len(matrix), max(1, length)):
                piece = matrix[start : start + max(1, length)]
                yield first, piece
                first += len(piece)
        if not first:
            raise ValueError(f"{self.name}: got no rows, expected at least one")

    def _matrix(self, value: ArrayLike) -> Tensor | np.ndarray:
        matrix: Tensor | np.ndarray
        if isinstance(value, Tensor) or (isinstance(value, np.ndarray) and value.dtype.kind in "biuf"):
            matrix = value
        else:
            matrix = as_matrix(self.name, value, dtype=torch.float64)
        check_shape(self.name, matrix, self.width)
        return matrix

    def _scaled(self, piece: Tensor | np.ndarray, first: int) -> tuple[Tensor, Tensor, Tensor]:
        """The piece as a tensor, and float32 values (b, d) and scale (b,) whose product is its unit rows."""
        if isinstance(piece, np.ndarray) and piece.dtype == np.float32:
            piece = torch.from_numpy(np.require(piece, requirements="W"))  # a copy if read-only
        if isinstance(piece, Tensor) and piece.dtype == torch.float32:
            piece = piece.detach().to(self.device)
            norm = torch.linalg.vector_norm(piece, dim=1)
            if bool(norm.isfinite().all()):  # not so if an entry is NaN, or its square overflows: float64 tells which
                return piece, piece, norm.clamp_min_(SHORTEST).reciprocal_()
        piece = as_matrix(self.name, _float64(piece), dtype=torch.float64, first_row=first).to(self.device)
        return piece, normalize(piece, dim=1).float(), torch.ones(len(piece), device=self.device)


@contextmanager
def _all_of_float32() -> Iterator[None]:
    """Products of float32 matrices without the shorter formats that a process may have allowed: `rounding` counts on it."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def _is_matrix(value: Iterable) -> bool:
    """Whether it is one matrix, an array or nested lists of numbers, rather than blocks of one."""
    return hasattr(value, "shape") or (isinstance(value, Sequence) and not (len(value) and np.ndim(value[0]) == 2))


def _float64(matrix: Tensor | np.ndarray) -> Tensor:
    """A float64 tensor on the CPU."""
    return matrix.detach().cpu().double() if isinstance(matrix, Tensor) else torch.from_numpy(np.float64(matrix))
