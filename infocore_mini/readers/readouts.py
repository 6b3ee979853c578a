"""Which columns of a table of wells are readouts, and their numbers in little more memory than they take.

By name and type here: numbers whose column's name does not say that it describes the well. By value in `usable`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .tables import as_text, column_groups, is_parquet, listed, parquet_shape, require, require_columns, table_blocks

BLOCK = 8192  # rows of a table of text that are in memory as they were read
METADATA = re.compile(r"(image_)?metadata_", re.IGNORECASE)
_OF_WELLS = (
    "plate|well|row|col|column|site|field|batch|run|replicate|rep|dose|conc|concentration|time|timepoint|day|date"
)
_FURTHER = "id|no|nr|num|number|index|code|[nuµμ]m|h|hrs?|hours?"  # behind one of them
_CELLS = "(cell|nuclei|nucleus|object)s?"
NO_FEATURES = {  # of CellProfiler's modules, of programs that save tables, of laboratories
    "column without a name": r"(Unnamed: \d+.*|index|level_\d+|__index_level_\d+__|\.\.\.\d+)?",
    "place in the image": r"(.*_)?(Location|AreaShape)_(Center|CenterMassIntensity|MaxIntensity|BoundingBox).*",
    "number of an object": r".*ObjectNumber.*|(.*_)?Object_Number|(.*_)?(Image|Table)Number|(.*_)?Parent_.*",
    "name of a well": rf"({_OF_WELLS})([\W_]*({_OF_WELLS}|{_FURTHER}))*[\W_]*",
    "identifier": r"(.*[\W_])?(ID|CID|SID|Barcode)",
    "number of cells": rf"(n|nr|num|number|count)s?([\W_]*of)?[\W_]*{_CELLS}|{_CELLS}[\W_]*(no|nr|num|number|counts?)",
}  # fmt: skip


class Readouts(NamedTuple):
    """What a table holds.

    Attributes:
        info: columns that describe wells.
        profile: (n, n_g) float32 readouts; NaN where missing or text.
        features: (n_g,) their names.
        no_features: name -> reason of the columns that are neither.
    """

    info: pd.DataFrame
    profile: NDArray[np.float32]
    features: list[str]
    no_features: dict[str, str]


def read_readouts(
    path: Path, needed: list[str], text: list[str], exclude: Sequence[str], features: Sequence[str] = ()
) -> Readouts:
    """A table in Parquet or text.

    Args:
        path: of the table.
        needed: columns that it must have, and that describe wells, as all do whose names start with ``Metadata_``.
        text: columns whose entries are text.
        exclude: names or patterns of further columns that are no readouts.
        features: names or patterns of the columns that are, whatever else their names say; () = all that may be.

    Raises:
        ReadError: for a damaged file, a missing column, a pattern that no column fits, or no numeric column.
    """
    found = (_by_columns if is_parquet(path) else _by_rows)(
        path, needed, text, partial(_parted, needed, exclude, features)
    )
    read = found.n_texts <= found.n_numbers
    texts = {name: "column of text" for name, numeric in zip(found.columns, read, strict=True) if not numeric}
    numeric = [name for name in found.columns if name not in texts]
    require(len(numeric) > 0, path, "no numeric feature", "at least one, if need be by its name in `features`")
    profile = found.profile if read.all() else found.profile[:, read]
    return Readouts(found.info, profile, numeric, found.no_features | texts)


def named(patterns: Sequence[str], names: Collection[str]) -> list[str]:
    """The names that patterns are or fit, in the order of the patterns, each once."""
    known = set(names)
    fitting = [[one] if one in known else [name for name in names if fnmatchcase(str(name), one)] for one in patterns]
    return list(dict.fromkeys(name for names in fitting for name in names))


class _Columns(NamedTuple):
    """A table, with how many numbers and how many entries of another kind its columns have that may be readouts."""

    info: pd.DataFrame
    profile: NDArray[np.float32]
    columns: list[str]
    n_numbers: NDArray[np.int64]
    n_texts: NDArray[np.int64]
    no_features: dict[str, str]


_Parted = Callable[[list[str]], tuple[list[str], list[str], dict[str, str]]]


def _by_rows(path: Path, needed: list[str], text: list[str], parted: _Parted) -> _Columns:
    """A table of text, a block of lines at a time."""
    infos: list[pd.DataFrame] = []
    profiles: list[NDArray[np.float32]] = []
    described: list[str] = []
    columns: list[str] = []
    n_numbers = n_texts = np.zeros(0, dtype=np.int64)
    no_features: dict[str, str] = {}
    for block in table_blocks(path, needed, text=text, rows=BLOCK):
        if not infos:
            described, columns, no_features = parted(list(block))
            n_numbers = n_texts = np.zeros(len(columns), dtype=np.int64)
        values, there, odd = _numbers(block[columns])
        n_numbers, n_texts = n_numbers + there, n_texts + odd
        profiles.append(values)
        infos.append(block[described].copy())
        del block, values
    profile = np.empty((sum(map(len, profiles)), len(columns)), dtype=np.float32)
    start = 0
    profiles.reverse()
    while profiles:  # each block goes as soon as it is copied
        block = profiles.pop()
        profile[start : start + len(block)] = block
        start += len(block)
    return _Columns(pd.concat(infos, ignore_index=True), profile, columns, n_numbers, n_texts, no_features)


def _by_columns(path: Path, needed: list[str], text: list[str], parted: _Parted) -> _Columns:
    """A Parquet file, some columns at a time: a row group often holds all rows."""
    names, n_rows = parquet_shape(path)
    require_columns(pd.DataFrame(columns=names), needed, path)
    require(n_rows > 0, path, "a table without rows", "at least one")
    described, columns, no_features = parted(names)
    profile = np.empty((n_rows, len(columns)), dtype=np.float32)
    counts = np.zeros((2, len(columns)), dtype=np.int64)
    start = 0
    for group in column_groups(path, columns):
        at = slice(start, start + group.shape[1])
        profile[:, at], counts[0, at], counts[1, at] = _numbers(group)
        start += group.shape[1]
        del group
    info = pd.concat([pd.DataFrame(index=range(n_rows)), *column_groups(path, described)], axis=1)
    for name in set(text) & set(described):
        info[name] = as_text(info[name]).to_numpy()
    return _Columns(info, profile, columns, counts[0], counts[1], no_features)


def _numbers(table: pd.DataFrame) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
    """(n, n_columns) values, and of each column how many numbers there are and how many entries of another kind."""
    found = [_as_numbers(table.iloc[:, k]) for k in range(table.shape[1])]
    values = np.column_stack([column for column, _, _ in found] or [np.empty((len(table), 0), np.float32)])
    return values, np.array([n for _, n, _ in found], np.int64), np.array([n for *_, n in found], np.int64)


def _parted(
    needed: Collection[str], exclude: Sequence[str], features: Sequence[str], names: list[str]
) -> tuple[list[str], list[str], dict[str, str]]:
    """Columns that describe wells, those that may be features, and the others with the reason, by their names."""
    unknown = [pattern for pattern in exclude if not named([pattern], names)]
    require(not unknown, "exclude", listed(unknown), f"names or patterns of columns, some of {listed(names)}")
    known = set(names)
    absent = [pattern for pattern in features if pattern not in known and not named([pattern], names)]
    require(not absent, "features", f"no column {listed(absent)}", f"names or patterns, some of {listed(names)}")
    excluded, asked = set(named(exclude, names)), set(named(features, names))
    described = [name for name in names if name in needed or (METADATA.match(str(name)) and name not in asked)]
    others = {}
    for name in [name for name in names if name not in described]:
        form = next((why for why, form in NO_FEATURES.items() if re.fullmatch(form, str(name), re.IGNORECASE)), "")
        if name in excluded:
            others[name] = "column in `exclude`"
        elif features and name not in asked:
            others[name] = "feature that was not asked for"
        elif form and not features:
            others[name] = form
    return described, [name for name in names if name not in others and name not in described], others


def _as_numbers(column: pd.Series) -> tuple[NDArray[np.float32], int, int]:
    """Values, NaN where missing or text; how many numbers there are, and how many entries are something else."""
    if pd.api.types.is_bool_dtype(column) or pd.api.types.is_datetime64_any_dtype(column):
        return np.full(len(column), np.nan, dtype=np.float32), 0, len(column)
    there = column.notna().to_numpy()
    numeric = pd.api.types.is_numeric_dtype(column)
    values = column if numeric else pd.to_numeric(column, errors="coerce")
    with np.errstate(over="ignore"):  # to infinity, which is left out by its name
        plain = isinstance(values.dtype, np.dtype)
        numbers = values.to_numpy(dtype=np.float32) if plain else values.to_numpy(dtype=np.float32, na_value=np.nan)
    odd = 0 if numeric else int((there & np.isnan(numbers)).sum())
    return numbers, int(there.sum()) - odd, odd
