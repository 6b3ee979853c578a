"""Where the true molecule ranks among the candidates, for each query.

The rank is counted, not sorted for: 1 + the number of candidates above the true one. Cosines are float64; two closer
than ``TIE`` are tied, and a tie is scored by its expected value under a random order of the tied candidates: with a
candidates above the true one and t tied (itself included), P(rank <= k) = (k - a) / t, clipped to [0, 1]. A constant
embedding therefore scores chance.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.nn.functional import normalize

from infocore_mini.evaluate.library import Library, rounding
from infocore_mini.validation import as_matrix, positive_integers

TIE = 1e-9  # far above the rounding of float64 cosines, far below what float32 embeddings resolve
_ROWS = 2**32  # more than a library has
_LAST = torch.iinfo(torch.int64).min
CHUNK_ENTRIES = 2**22  # cosines held at a time: 32 MiB


@torch.no_grad()
def retrieval_hits(
    z_query: ArrayLike,
    z_library: ArrayLike | Iterable[ArrayLike],
    target: ArrayLike,
    *,
    top: Sequence[int] = (1, 5, 10),
    query_batch: ArrayLike | None = None,
    library_batch: ArrayLike | None = None,
    progress: bool = False,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Whether each query finds its true library row, and in how large a library.

    Args:
        z_query: (n, d) embeddings; any length (a zero vector has cosine 0 with everything).
        z_library: (m, d), in memory, on a GPU (which then does the work) or a ``numpy.memmap``; or blocks of it that can be iterated over twice, for a
            library that is never in memory at once (the first time, the true rows are picked out).
        target: (n,) integers, the true library row of each query.
        top: the k's, positive integers.
        query_batch: (n,) integers, the experimental batch whose molecules are the library of the query.
        library_batch: (m,) integer codes, or (m, n_B) booleans where a row may be in several experimental batches.
        progress: whether to show a progress bar.

    Returns:
        ``(hits, size)``: (n, len(top)) float64 probability of a rank <= k (0 or 1 unless the true row is tied);
        (n,) int64 library rows that were ranked, the true one included.

    Raises:
        ValueError: naming the argument that has NaN, another shape or an index out of range; for one of
            ``query_batch`` and ``library_batch`` without the other; for a true row outside its query's library; for a
            library that can be read only once.
    """
    query = unit_rows("z_query", z_query)
    n, d = query.shape
    ranks = torch.tensor(checked_top(top), dtype=torch.float64)
    library, true_row = Library(z_library, d), _codes("target", target, n)
    z_true, m = library.take(true_row)
    true_row = _codes("target", target, n, m)
    in_batches = query_batch is not None
    batch, member = _batches(query_batch, library_batch, n, m)
    of_true = member[true_row]
    inside = of_true == batch if of_true.ndim == 1 else of_true[torch.arange(n), batch]
    if not bool(inside.all()):
        i = int((~inside).nonzero()[0])
        raise ValueError(
            f"target: library row {int(true_row[i])} of query {i} is not in experimental batch {int(batch[i])}, "
            "expected the true row in the query's library"
        )
    query, z_true, batch, member = (value.to(library.device) for value in (query, z_true, batch, member))
    true, unsure = (query * z_true).sum(1, keepdim=True), TIE + rounding(d)
    above, tied = torch.zeros(2, n, 1, dtype=torch.int64, device=library.device)
    for tile in library.tiles(query, progress=progress):
        reaching, cosine = tile.reaching(true - unsure)
        if not len(reaching):
            continue
        gap = cosine.sub_(true[reaching].float())
        if in_batches:
            gap.masked_fill_(~_candidates(batch[reaching], member[tile.rows]), -torch.inf)
        distance = gap.abs()
        gap.gt_(unsure)  # 0 or 1 in place: no matrix of booleans to add up
        above[reaching] += gap.sum(1, keepdim=True).long()
        close = distance.amin(1) <= unsure
        if not bool(close.any()):
            continue
        reaching = reaching[close]
        row, _, exact = tile.exact(query[reaching], distance[close] <= unsure)
        number = reaching[row]  # of the query, an entry each
        gap = exact[:, None] - true[number]
        above.index_add_(0, number, (gap > TIE).long())
        tied.index_add_(0, number, (gap.abs() <= TIE).long())
    return ((ranks - above.cpu()) / tied.cpu()).clamp(0, 1).numpy(), _sizes(batch.cpu(), member.cpu()).numpy()


@torch.no_grad()
def nearest(
    z_query: ArrayLike, z_library: ArrayLike | Iterable[ArrayLike], *, n: int = 5, progress: bool = False
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The n library rows most similar to each query, best first.

    Cosines that are equal to the nearest multiple of ``TIE`` are in the order of the library.

    Args:
        z_query: (q, d) embeddings; any length.
        z_library: (m, d) as for `retrieval_hits`; blocks are read once, so an iterator will do.
        n: how many, 1 to m.
        progress: whether to show a progress bar.

    Returns:
        ``(rows, cosine)``: (q, n) int64 row numbers of the library; (q, n) float64 cosines.

    Raises:
        ValueError: for embeddings that do not fit and for an n outside 1..m.
    """
    query = unit_rows("z_query", z_query)
    library, unsure = Library(z_library, query.shape[1]), TIE + rounding(query.shape[1])
    _check_n(n, library.size)
    query = query.to(library.device)
    # The order of a library row as one integer: its cosine in units of TIE, then its number, the first one highest.
    order = torch.full((len(query), n), _LAST, device=library.device)
    cosine = torch.full((len(query), n), -torch.inf, dtype=torch.float64, device=library.device)
    for tile in library.tiles(query, progress=progress):
        floor = cosine.amin(1, keepdim=True) - unsure
        reaching, rough = tile.reaching(floor)
        if not len(reaching):
            continue
        row, column, exact = tile.exact(query[reaching], rough.sub_(floor[reaching].float()) >= 0)
        count = row.bincount(minlength=len(reaching))
        place = (
            torch.arange(len(row), device=row.device) - (count.cumsum(0) - count)[row]
        )  # of a candidate among those of its query
        orders = torch.full((len(reaching), int(count.max())), _LAST, device=row.device)
        orders[row, place] = (exact / TIE).round().long() * _ROWS - (tile.rows.start + column)
        values = torch.full(orders.shape, -torch.inf, dtype=torch.float64, device=row.device)
        values[row, place] = exact
        order[reaching], kept = torch.cat([order[reaching], orders], 1).topk(n)
        cosine[reaching] = torch.cat([cosine[reaching], values], 1).gather(1, kept)
    _check_n(n, tile.rows.stop)
    return (-order % _ROWS).cpu().numpy(), cosine.cpu().numpy()


def _check_n(n: int, m: float) -> None:
    if not (isinstance(n, int | np.integer) and 1 <= n <= m):
        raise ValueError(f"n: got {n}, expected 1..{m}, the rows of z_library")


def cosines(z_query: Tensor, z_library: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Queries (c,) and their cosines with the whole library (c, m), a bounded number at a time; unit (n, d), (m, d)."""
    for queries in torch.arange(len(z_query)).split(max(1, CHUNK_ENTRIES // len(z_library))):
        yield queries, z_query[queries] @ z_library.T


def _candidates(query_batch: Tensor, library_batch: Tensor) -> Tensor:
    """(c, m) boolean: library rows in the experimental batch of each query."""
    return query_batch[:, None] == library_batch if library_batch.ndim == 1 else library_batch[:, query_batch].T


def share_among_first(cosine: Tensor, same: Tensor, k: int) -> Tensor:
    """(c,) expected share of ``same`` among the k highest cosines, ties in random order."""
    lowest = cosine.topk(k, dim=1).values[:, -1:]
    above, tied = cosine > lowest + TIE, (cosine - lowest).abs() <= TIE
    places_left = k - above.sum(1)
    return ((above & same).sum(1) + places_left * (tied & same).sum(1) / tied.sum(1)) / k


def unit_rows(name: str, z: ArrayLike, width: int | None = None) -> Tensor:
    """(n, width) float64 embeddings scaled to length 1, on the CPU; ValueError, naming the argument, if they do not fit."""
    on_cpu = z.detach().cpu() if isinstance(z, Tensor) else z
    return normalize(as_matrix(name, on_cpu, width, dtype=torch.float64), dim=1)


def _sizes(query_batch: Tensor, library_batch: Tensor) -> Tensor:
    """(n,) rows of the library in the experimental batch of each query."""
    if library_batch.ndim == 2:
        return rows_of_batches(library_batch)[query_batch]
    code, count = library_batch.unique(return_counts=True)
    return count[torch.searchsorted(code, query_batch)]


def rows_of_batches(member: Tensor) -> Tensor:
    """(n_B,) rows in each experimental batch, (m, n_B) booleans; Tensor.sum would copy them as int64 first."""
    return torch.from_numpy(np.count_nonzero(member.numpy(), axis=0))


def _batches(query_batch: ArrayLike | None, library_batch: ArrayLike | None, n: int, m: int) -> tuple[Tensor, Tensor]:
    """(n,) codes and (m,) codes or (m, n_B) booleans; one experimental batch for all where none is given."""
    if (query_batch is None) != (library_batch is None):
        missing, given = ("query_batch", "library_batch") if query_batch is None else ("library_batch", "query_batch")
        raise ValueError(f"{missing}: got None, expected experimental batches, since {given} is given")
    if query_batch is None or library_batch is None:
        return torch.zeros(n, dtype=torch.int64), torch.zeros(m, dtype=torch.int64)
    member = _array(library_batch)
    if member.ndim == 1:
        return _codes("query_batch", query_batch, n), _codes("library_batch", member, m)
    if member.ndim != 2 or len(member) != m or member.dtype != bool:
        raise ValueError(
            f"library_batch: got shape {member.shape} of {member.dtype}, "
            f"expected ({m},) integer codes or ({m}, n_B) booleans"
        )
    return _codes("query_batch", query_batch, n, member.shape[1]), torch.from_numpy(member)


def _codes(name: str, value: ArrayLike, length: int, n_codes: int | None = None) -> Tensor:
    """(length,) int64, in 0..n_codes - 1 where that is given."""
    code = _array(value)
    if code.shape != (length,) or code.dtype.kind not in "iu":
        raise ValueError(f"{name}: got shape {code.shape} of {code.dtype}, expected ({length},) integers")
    if n_codes is not None and not (0 <= code.min() and code.max() < n_codes):
        raise ValueError(f"{name}: got {code.min()} to {code.max()}, expected 0 to {n_codes - 1}")
    return torch.from_numpy(code.astype(np.int64))


def _array(value: ArrayLike) -> np.ndarray:
    return value.detach().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)


def checked_top(top: Sequence[int]) -> list[int]:
    """The k's as positive integers; ValueError for others."""
    return positive_integers("top", top, "(1, 5, 10)")
