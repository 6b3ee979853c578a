"""Retrieval in a held-out screen: given a profile, find the molecule that caused it (section 3.2, appendix I).

Molecules are ranked by cosine (``evaluate.ranking``), in two libraries: all held-out molecules (*whole*), and those
that share the query's experimental batch (*batch*). All accuracies are fractions.

Longer than others: both libraries, and the share of the batch, go through the same tasks of a cell line.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from infocore_mini.evaluate.ranking import (
    checked_top,
    cosines,
    retrieval_hits,
    rows_of_batches,
    share_among_first,
    unit_rows,
)
from infocore_mini.screens import PairedScreen

_COLUMNS = """cell_line library top accuracy chance lift low high
              n_queries n_molecules library_size n_left_out""".split()
_AT_ONCE = 50  # resamples: all of a thousand would take 400 MB at 100,000 molecules


def retrieval_accuracy(
    z_query: ArrayLike,
    z_library: ArrayLike | Iterable[ArrayLike],
    target: ArrayLike,
    *,
    top: Sequence[int] = (1, 5, 10),
    query_batch: ArrayLike | None = None,
    library_batch: ArrayLike | None = None,
) -> dict[int, float]:
    """Share of queries whose true library row is among the k most similar.

    Arguments and errors as in `retrieval_hits`, which gives the same query by query.

    Returns:
        A fraction for each k in ``top``.
    """
    hits, _ = retrieval_hits(z_query, z_library, target, top=top, query_batch=query_batch, library_batch=library_batch)
    return dict(zip(top, hits.mean(axis=0).tolist(), strict=True))


def paired_retrieval(
    z_screen: ArrayLike,
    z_drug: ArrayLike,
    molecule: ArrayLike,
    *,
    top: Sequence[int] = (1, 5, 10),
    batch_id: ArrayLike | None = None,
) -> dict[int, float]:
    """Retrieval accuracy of paired rows, whose library holds each molecule as its first row.

    Args:
        z_screen, z_drug: (n, d) embeddings; row i of one belongs to row i of the other.
        molecule: (n,) label of each row's molecule.
        top: the k's.
        batch_id: (n,) integer codes from 0; then only molecules with a row in the query's experimental batch count.

    Returns:
        A fraction for each k in ``top``.

    Raises:
        ValueError: as `retrieval_hits`.
    """
    _, first, target = np.unique(molecule, return_index=True, return_inverse=True)
    library = np.asarray(z_drug)[first]
    if batch_id is None:
        return retrieval_accuracy(z_screen, library, target, top=top)
    codes = np.asarray(batch_id)
    member = np.zeros((len(first), int(codes.max()) + 1), dtype=bool)
    member[target, codes] = True
    return retrieval_accuracy(z_screen, library, target, top=top, query_batch=codes, library_batch=member)


def screen_retrieval(
    z_screen: ArrayLike,
    z_drug: ArrayLike,
    screen: PairedScreen,
    *,
    top: Sequence[int] = (1, 5, 10),
    minimum_library: int = 20,
    n_bootstrap: int = 1000,
    seed: int = 0,
    seen: Sequence[PairedScreen] = (),
) -> pd.DataFrame:
    """Retrieval in a held-out screen, cell line by cell line, among all its molecules and within experimental batches.

    Pass ``split.test`` alone: the authors' evaluation script ranks and scores every molecule outside the training
    set, those of model selection included. ``seen`` guards against it.

    Two libraries. *whole*: one query for each condition, every molecule of the cell line a candidate. *batch*: one
    query for each condition and experimental batch that holds a profile of it, as in the authors' script;
    candidates are the molecules of the same cell line and batch; libraries below ``minimum_library`` are left out.

    Args:
        z_screen: (n_conditions, d) embedded profile of each condition.
        z_drug: (n_conditions, d) embedded molecule of each condition under its cell line's head. Or
            (n_cell_lines, n_drugs, d), every molecule under every head: then the whole library holds all molecules
            of the screen, measured in that cell line or not, as in the paper.
        screen: the held-out molecules.
        top: the k's.
        minimum_library: molecules that a batch library needs (the paper's configuration: 20).
        n_bootstrap: resamples of the molecules that are queried, with all their queries; the libraries stay. 0: none.
        seed: of the resamples.
        seen: screens used to train or to select, such as ``(split.train, split.validation)``.

    Returns:
        A row for each cell line that the screen holds, and "mean" (unweighted mean of the cell lines with a query, as
        in the paper), by library and top. Columns: accuracy; chance (expected accuracy of a random order, the mean of
        min(k, size) / size); lift = accuracy / chance; low, high: 95 % bootstrap interval of the accuracy; n_queries;
        n_molecules queried; library_size, mean over queries; n_left_out queries. NaN where no query is left.

    Raises:
        ValueError: if shapes do not fit ``screen``, a molecule has two embeddings in one cell line, or a molecule of
            ``screen`` is in ``seen``.
    """
    top = checked_top(top)
    _check_held_out(screen, seen)
    tasks = list(_tasks(z_screen, z_drug, screen))
    in_whole = [_score_whole(task, top) for task in tasks]
    in_batch = [_score_batch(task, top, minimum_library) for task in tasks]
    draws = _resampled([*in_whole, *in_batch], len(screen.drug), n_bootstrap, seed)
    whole = _table(in_whole, draws[: len(tasks)], top).assign(library="whole")
    batch = _table(in_batch, draws[len(tasks) :], top).assign(library="batch")
    return pd.concat([whole, batch], ignore_index=True)[_COLUMNS]


@torch.no_grad()
def same_batch_share(
    z_screen: ArrayLike, z_drug: ArrayLike, screen: PairedScreen, *, top: Sequence[int] = (1, 5, 10)
) -> pd.DataFrame:
    """How many of the molecules retrieved from the whole library share an experimental batch with the query.

    The true molecule is left out, so that finding it does not count as following the batch. A molecule shares a
    batch if any profile of it and of the query's condition lie in one. Ties are scored by their expected share.
    Arguments and errors as in `screen_retrieval`.

    Returns:
        A row for each condition and top: condition (number in the screen), cell_line, top, share of the first k
        molecules, expected share under a random order. Cell lines of fewer than 2 molecules have no row.

    Raises:
        ValueError: as `screen_retrieval`; also if no cell line has 2 molecules.
    """
    parts, tops = [], checked_top(top)
    for task in _tasks(z_screen, z_drug, screen):
        n_others = len(task.z_library) - 1
        if not n_others:
            continue
        z_query = unit_rows("z_screen", task.z_query)
        z_library = unit_rows("z_drug", task.z_library, z_query.shape[1])
        # Filled in place: small results of their own would keep the heap from giving back what lay between them.
        share, expected = torch.empty(len(z_query), len(tops)), torch.empty(len(z_query))
        for queries, cosine in cosines(z_query, z_library):
            batches = task.query_member[queries].any(0)  # few: the rest would cost (m, n_B) floats
            same = (task.query_member[queries][:, batches].float() @ task.library_member[:, batches].T.float()) > 0
            itself = task.target[queries, None]
            cosine.scatter_(1, itself, -torch.inf)
            same.scatter_(1, itself, False)
            expected[queries] = same.sum(1) / n_others
            for column, k in enumerate(tops):
                share[queries, column] = share_among_first(cosine, same, min(k, n_others))
        columns = {"condition": task.condition.repeat_interleave(len(tops)), "top": tops * len(z_query)}
        scores = {"share": share.flatten(), "expected": expected.repeat_interleave(len(tops))}
        parts.append(pd.DataFrame(columns | {"cell_line": task.cell_line} | scores))
    if not parts:
        raise ValueError("screen: got one molecule in each cell line, expected at least 2 to rank")
    order = ["condition", "cell_line", "top", "share", "expected"]
    return pd.concat(parts)[order].sort_values(["condition", "top"], ignore_index=True)


# ------------------------------------------------------------------ a screen, cell line by cell line


class _Task(NamedTuple):
    """Retrieval in one cell line: n conditions, m molecules."""

    cell_line: str
    condition: Tensor  # (n,) number in the screen
    molecule: Tensor  # (n,) row of screen.drug
    z_query: Tensor  # (n, d)
    z_library: Tensor  # (m, d)
    target: Tensor  # (n,)
    query_member: Tensor  # (n, n_B) boolean
    library_member: Tensor  # (m, n_B) boolean


class _Scored(NamedTuple):
    """Queries of one cell line in one library."""

    cell_line: str
    molecule: NDArray[np.int64]  # (n,) row of screen.drug
    hits: NDArray[np.float64]  # (n, len(top))
    size: NDArray[np.int64]  # (n,)
    n_left_out: int


def _tasks(z_screen: ArrayLike, z_drug: ArrayLike, screen: PairedScreen) -> Iterator[_Task]:
    if not isinstance(screen, PairedScreen):
        raise ValueError(f"screen: got {type(screen).__name__}, expected a PairedScreen such as split.test")
    queries, drugs = (torch.as_tensor(z).detach().cpu() for z in (z_screen, z_drug))
    if queries.ndim != 2 or len(queries) != len(screen):
        raise ValueError(f"z_screen: got shape {tuple(queries.shape)}, expected ({len(screen)}, d), a row a condition")
    whole = (len(screen.cell_line_names), len(screen.drug), queries.shape[1])
    if tuple(drugs.shape) not in (tuple(queries.shape), whole):
        expected = f"{tuple(queries.shape)} like z_screen, or (n_cell_lines, n_drugs, d) = {whole}"
        raise ValueError(f"z_drug: got shape {tuple(drugs.shape)}, expected {expected}")
    membership = screen.membership()
    for code in screen.cell_line.unique().tolist():
        condition = (screen.cell_line == code).nonzero().squeeze(1)
        name, molecule = screen.cell_line_names[code], screen.drug_id[condition]
        if drugs.ndim == 3:
            z_library, target = drugs[code], molecule
        else:
            z_library, target = _unique_library(_rows(drugs, condition), molecule, name)
        query_member = _rows(membership, condition)
        member = torch.zeros(len(z_library), screen.n_batches, dtype=torch.bool)
        query, batch = query_member.nonzero(as_tuple=True)
        member[target[query], batch] = True
        yield _Task(name, condition, molecule, _rows(queries, condition), z_library, target, query_member, member)


def _rows(x: Tensor, index: Tensor) -> Tensor:
    """``x[index]``, without a copy where the index is all rows in their order, as in a screen of one cell line."""
    whole = len(index) == len(x) and torch.equal(index, torch.arange(len(x)))
    return x if whole else x[index]


def _unique_library(z_drug: Tensor, molecule: Tensor, cell_line: str) -> tuple[Tensor, Tensor]:
    """One embedding for each molecule, (m, d), and the library row of each condition, (n,)."""
    _, first, code = np.unique(molecule.numpy(), return_index=True, return_inverse=True)
    z_library, target = _rows(z_drug, torch.from_numpy(first)), torch.from_numpy(code)
    if not torch.allclose(z_drug, z_library[target], rtol=0, atol=1e-4, equal_nan=True):
        raise ValueError(
            f"z_drug: got different embeddings of one molecule in cell line {cell_line}, expected one: "
            "that of the molecule under the cell line's head"
        )
    return z_library, target


def _score_whole(task: _Task, top: list[int]) -> _Scored:
    hits, size = retrieval_hits(task.z_query, task.z_library, task.target, top=top)
    return _Scored(task.cell_line, task.molecule.numpy(), hits, size, 0)


def _score_batch(task: _Task, top: list[int], minimum_library: int) -> _Scored:
    query, query_batch = task.query_member.nonzero().T
    large = rows_of_batches(task.library_member)[query_batch] >= minimum_library
    n_left_out = int((~large).sum())
    query, query_batch = query[large], query_batch[large]
    if not len(query):
        return _Scored(task.cell_line, np.empty(0, int), np.empty((0, len(top))), np.empty(0, int), n_left_out)
    hits, size = retrieval_hits(
        _rows(task.z_query, query),
        task.z_library,
        task.target[query],
        top=top,
        query_batch=query_batch,
        library_batch=task.library_member,
    )
    return _Scored(task.cell_line, task.molecule[query].numpy(), hits, size, n_left_out)


def _resampled(scored: list[_Scored], n_drugs: int, n_bootstrap: int, seed: int) -> list[NDArray[np.float32]]:
    """For each of ``scored``, (n_bootstrap, len(top)) accuracies with each molecule counted as often as it was drawn.

    NaN where no molecule of it was. All share the draws; a few draws are held at a time.
    """
    totals = [_totals(line, n_drugs) for line in scored]
    draws = [np.empty((n_bootstrap, total.shape[1] - 1), dtype=np.float32) for total in totals]
    rng, share = np.random.default_rng(seed), np.full(n_drugs, 1 / n_drugs)
    weights = np.empty((min(n_bootstrap, _AT_ONCE), n_drugs), dtype=np.float32)
    for start in range(0, n_bootstrap, _AT_ONCE):
        rows = slice(start, min(start + _AT_ONCE, n_bootstrap))
        drawn = weights[: rows.stop - start]
        for draw in drawn:
            draw[:] = rng.multinomial(n_drugs, share)  # which counts in int64
        for accuracy, total in zip(draws, totals, strict=True):
            summed = drawn @ total
            with np.errstate(invalid="ignore"):
                accuracy[rows] = summed[:, :-1] / summed[:, -1:]
    return draws


def _totals(line: _Scored, n_drugs: int) -> NDArray[np.float32]:
    """(n_drugs, len(top) + 1) hits of each molecule's queries, and their number."""
    total = np.zeros((n_drugs, line.hits.shape[1] + 1), dtype=np.float32)
    np.add.at(total, line.molecule, np.column_stack([line.hits, np.ones(len(line.hits))]))
    return total


def _table(scored: list[_Scored], draws: list[NDArray[np.float32]], top: list[int]) -> pd.DataFrame:
    """Rows of `screen_retrieval` for one library: each cell line, then their mean."""
    table = pd.concat([_line_rows(line, drawn, top) for line, drawn in zip(scored, draws, strict=True)])
    queried = [i for i, line in enumerate(scored) if len(line.molecule)]
    columns = ["accuracy", "chance", "library_size"]
    mean = table.groupby("top")[columns].mean().reindex(top).rename_axis("top").reset_index()
    low, high = _interval(np.mean([draws[i] for i in queried], axis=0) if queried else np.empty((0, len(top))))
    molecules = np.concatenate([line.molecule for line in scored])
    mean = mean.assign(
        cell_line="mean",
        low=low,
        high=high,
        n_queries=len(molecules),
        n_molecules=len(np.unique(molecules)),
        n_left_out=sum(line.n_left_out for line in scored),
    )
    table = pd.concat([table, mean])
    return table.assign(lift=table["accuracy"] / table["chance"])


def _line_rows(line: _Scored, draws: NDArray, top: list[int]) -> pd.DataFrame:
    """One cell line: a row for each top."""
    accuracy, chance, library_size = np.full(len(top), np.nan), np.full(len(top), np.nan), np.nan
    if len(line.molecule):
        size = line.size[:, None]
        accuracy, chance = line.hits.mean(axis=0), (np.minimum(top, size) / size).mean(axis=0)
        library_size = float(line.size.mean())
    low, high = _interval(draws)
    return pd.DataFrame(
        {
            "cell_line": line.cell_line,
            "top": top,
            "accuracy": accuracy,
            "chance": chance,
            "library_size": library_size,
            "low": low,
            "high": high,
            "n_queries": len(line.molecule),
            "n_molecules": len(np.unique(line.molecule)),
            "n_left_out": line.n_left_out,
        }
    )


def _interval(draws: NDArray) -> NDArray:
    """(2, len(top)) 2.5 and 97.5 % quantiles over the resamples that hold a query of every cell line."""
    draws = draws[np.isfinite(draws).all(axis=1)]
    return np.quantile(draws, [0.025, 0.975], axis=0) if len(draws) else np.full((2, draws.shape[1]), np.nan)


def _check_held_out(screen: PairedScreen, seen: Sequence[PairedScreen]) -> None:
    for other in seen:
        shared = np.intersect1d(screen.smiles, other.smiles)
        if len(shared):
            raise ValueError(
                f"screen: got {len(shared)} molecules that training or selection has seen (first {shared[0]}), "
                "expected held-out molecules only, such as split.test"
            )
