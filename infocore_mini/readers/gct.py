"""GCT (text, versions 1.2 and 1.3) and GCTX (HDF5) files of the Connectivity Map.

cmapPy is the usual reader; its newest release (4.0.1) calls ``pandas.to_numeric(errors="ignore")``, which pandas 3
removed, so that it opens no file there.  The formats are simple, and read here with pandas and h5py.
"""

from __future__ import annotations

import csv
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import h5py
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .tables import DAMAGED, ReadError, as_text, listed, open_text, require

BLOCK = 1024  # columns of a GCTX read at once: 50 MB at 12,328 genes


@dataclass(frozen=True, eq=False)
class Gct:
    """A matrix with metadata.

    Attributes:
        matrix: (n_columns, n_rows) float32, NaN where missing, transposed as stored: the file's columns are wells, its
            rows genes.
        columns: n_columns lines of metadata as text, NaN where missing (empty, NA, -666), the ids as index.
        rows: n_rows lines of metadata, likewise.
    """

    matrix: NDArray[np.float32]
    columns: pd.DataFrame
    rows: pd.DataFrame


def read_gct(path: Path, *, columns: Collection[object] | None = None, rows: Collection[object] | None = None) -> Gct:
    """Read a ``.gct`` file, compressed or not, or a ``.gctx`` file, of which only the wanted ids; the file's order stays.

    Args:
        path: file; its first bytes tell the format.
        columns: ids of the wanted columns (wells), numbers or text, None = all.
        rows: ids of the wanted rows (genes), None = all.

    Returns:
        Matrix and metadata of the wanted wells and genes; version 1.2 has no metadata but a `Description` of each row.

    Raises:
        ReadError: if the file is damaged, of another format, lacks a wanted id, repeats an id, or holds text for a value.
    """
    known = [suffix.lower() for suffix in path.suffixes if suffix.lower() in (".gct", ".gctx")]
    require(len(known) > 0, path, f"suffix {path.suffix!r}", ".gct or .gctx")
    if known[-1] == ".gctx":
        return _read_hdf5(path, columns, rows)
    try:
        with open_text(path) as lines:
            return _read_text(path, lines, columns, rows)
    except DAMAGED as error:
        raise error if isinstance(error, ReadError) else ReadError(f"{path}: got {error}, expected GCT") from error


def _read_text(path: Path, lines: TextIO, columns: Collection[object] | None, rows: Collection[object] | None) -> Gct:
    version, shape = lines.readline().strip(), lines.readline().split()
    n_counts = {"#1.2": 2, "#1.3": 4}.get(version, 0)
    require(n_counts > 0, path, f"first line {version[:40]!r}", "#1.3 or #1.2")
    fits = len(shape) == n_counts and all(count.isdecimal() for count in shape)
    require(fits, path, f"second line {shape[:8]}", f"{'four' if n_counts == 4 else 'two'} counts")
    n_rows, n_columns, n_row_fields, n_column_fields = (
        int(count) for count in (shape if n_counts == 4 else [*shape, "1", "0"])
    )
    form: dict[str, Any] = {"sep": "\t", "quoting": csv.QUOTE_NONE, "dtype": str, "keep_default_na": False}
    table = pd.read_csv(lines, **form, index_col=0, header=None)
    table = table.loc[:, ~(table == "").all()] if table.shape[1] > n_row_fields + n_columns else table  # a last tab
    table = table[1:].set_axis(table.iloc[0].str.strip().to_list(), axis=1)  # a header would rename repeated ids
    table.index = table.index.str.strip()
    found, expected = table.shape, (n_column_fields + n_rows, n_row_fields + n_columns)
    require(found == expected, path, f"a table of {found}", f"{expected} as its second line says")
    column_fields = _metadata(table.iloc[:n_column_fields, n_row_fields:].T)
    row_fields = _metadata(table.iloc[n_column_fields:, :n_row_fields])
    at, on = (_wanted(path, fields.index, ids) for fields, ids in ((column_fields, columns), (row_fields, rows)))
    matrix = _values(table.iloc[n_column_fields:, n_row_fields:].iloc[on, at], path)
    return Gct(matrix, column_fields.iloc[at], row_fields.iloc[on])


def _values(table: pd.DataFrame, path: Path) -> NDArray[np.float32]:
    """(n_columns, n_rows) numbers, NaN where missing; ReadError that names row and column of what is neither."""
    text = table.to_numpy(dtype=object)
    try:
        return text.astype(np.float32).T
    except ValueError:
        values = np.empty(text.shape, dtype=np.float32)
    for k, row in enumerate(text):
        entries = as_text(row)
        numbers = pd.to_numeric(entries, errors="coerce").to_numpy(dtype=np.float32)
        odd = np.flatnonzero(entries.notna().to_numpy() & np.isnan(numbers))
        where = "".join(f"{entries[at]!r} in row {table.index[k]}, column {table.columns[at]}" for at in odd[:1])
        require(len(odd) == 0, path, where, "GCT with a number, NA or nothing there")
        values[k] = numbers
    return values.T


def _metadata(fields: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({name: as_text(fields[name]).to_numpy() for name in fields}, index=fields.index.astype(object))


def _read_hdf5(path: Path, columns: Collection[object] | None, rows: Collection[object] | None) -> Gct:
    try:
        with h5py.File(path) as file:
            column_ids, row_ids = (_ids(file[f"0/META/{side}/id"]) for side in ("COL", "ROW"))
            stored = file["0/DATA/0/matrix"]
            expected = (len(column_ids), len(row_ids))
            require(stored.shape == expected, path, f"a matrix of {stored.shape}", f"{expected} like its ids")
            at, on = _wanted(path, column_ids, columns), _wanted(path, row_ids, rows)
            matrix = _read_blocks(stored, at, on)
            column_fields, row_fields = _fields(file["0/META/COL"], at), _fields(file["0/META/ROW"], on)
    except (OSError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise ReadError(f"{path}: got {error}, expected a GCTX file (HDF5 with /0/DATA and /0/META)") from error
    return Gct(matrix, column_fields, row_fields)


def _read_blocks(stored: h5py.Dataset, at: NDArray[np.intp], on: NDArray[np.intp]) -> NDArray[np.float32]:
    """Lines `at` and positions `on` of `stored`; memory beyond the result is one block."""
    matrix = np.empty((len(at), len(on)), dtype=np.float32)
    starts = np.unique(at // BLOCK) * BLOCK
    for start in starts:
        chosen = (at >= start) & (at < start + BLOCK)
        block = stored[start : start + BLOCK]
        matrix[chosen] = block[np.ix_(at[chosen] - start, on)]
    return matrix


def _ids(stored: h5py.Dataset) -> list[str]:
    """Ids as text, whether stored as text, bytes or numbers."""
    return [entry or "" for entry in as_text(stored[()])]


def _fields(group: h5py.Group, at: NDArray[np.intp]) -> pd.DataFrame:
    columns = {name: as_text(field[()][at]).to_numpy() for name, field in group.items() if name != "id"}
    return pd.DataFrame(columns, index=pd.Index(np.array(_ids(group["id"]), dtype=object)[at], name="id"))


def _wanted(path: Path, found: Collection[str], ids: Collection[object] | None) -> NDArray[np.intp]:
    """Positions of `ids` in `found`, ascending; all of them for None."""
    present = pd.Index(found)
    require(present.is_unique, path, f"repeated ids {listed(present[present.duplicated()])}", "unique ids")
    if ids is None:
        return np.arange(len(present))
    wanted = as_text(ids).dropna().unique()
    missing = [name for name in wanted if name not in present]
    require(not missing, path, f"no id {listed(missing)}", "every wanted id")
    return np.sort(present.get_indexer(pd.Index(wanted)))
