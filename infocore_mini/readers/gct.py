"""GCT (text, version 1.3) and GCTX (HDF5) files of the Connectivity Map.

cmapPy is the usual reader; its newest release (4.0.1) calls ``pandas.to_numeric(errors="ignore")``, which pandas 3
removed, so that it opens no file there.  The formats are simple, and read here with pandas and h5py.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .tables import ReadError, listed, require

BLOCK = 1024  # columns of a GCTX read at once: 50 MB at 12,328 genes


@dataclass(frozen=True, eq=False)
class Gct:
    """A matrix with metadata.

    Attributes:
        matrix: (n_columns, n_rows) float32, transposed as stored: the file's columns are wells, its rows genes.
        columns: n_columns lines of metadata as text, the ids as index.
        rows: n_rows lines of metadata as text, the ids as index.
    """

    matrix: NDArray[np.float32]
    columns: pd.DataFrame
    rows: pd.DataFrame


def read_gct(path: Path, *, columns: Collection[str] | None = None, rows: Collection[str] | None = None) -> Gct:
    """Read a ``.gct`` or ``.gctx`` file, of a GCTX only the wanted ids; the order is the file's.

    Args:
        path: file; the suffix tells the format.
        columns: ids of the wanted columns (wells), None = all.
        rows: ids of the wanted rows (genes), None = all.

    Returns:
        Matrix and metadata of the wanted wells and genes.

    Raises:
        ReadError: if the file is damaged, of another format, lacks a wanted id, repeats an id, or holds a value that
            is not a finite number.
    """
    require(path.suffix in (".gct", ".gctx"), path, f"suffix {path.suffix!r}", ".gct or .gctx")
    gct = _read_text(path, columns, rows) if path.suffix == ".gct" else _read_hdf5(path, columns, rows)
    require(np.isfinite(gct.matrix).all(), path, "values that are not finite", "finite numbers")
    return gct


def _read_text(path: Path, columns: Collection[str] | None, rows: Collection[str] | None) -> Gct:
    try:
        with path.open(encoding="utf-8") as lines:
            version, shape = lines.readline().strip(), lines.readline().split()
            require(version == "#1.3", path, f"first line {version[:40]!r}", "#1.3")
            require(len(shape) == 4, path, f"second line {shape[:8]}", "four counts")
            n_rows, n_columns, n_row_fields, n_column_fields = map(int, shape)
            table = pd.read_csv(lines, sep="\t", dtype=str, keep_default_na=False, index_col=0, header=None)
        table = table[1:].set_axis(table.iloc[0].to_list(), axis=1)  # a header would rename repeated ids
        found, expected = table.shape, (n_column_fields + n_rows, n_row_fields + n_columns)
        require(found == expected, path, f"a table of {found}", f"{expected} as its second line says")
        matrix = table.iloc[n_column_fields:, n_row_fields:].to_numpy(dtype=np.float32).T
    except (ValueError, OSError) as error:
        raise error if isinstance(error, ReadError) else ReadError(f"{path}: got {error}, expected GCT 1.3") from error
    column_fields = table.iloc[:n_column_fields, n_row_fields:].T
    row_fields = table.iloc[n_column_fields:, :n_row_fields]
    at, on = (_wanted(path, fields.index, ids) for fields, ids in ((column_fields, columns), (row_fields, rows)))
    return Gct(matrix[np.ix_(at, on)], column_fields.iloc[at], row_fields.iloc[on])


def _read_hdf5(path: Path, columns: Collection[str] | None, rows: Collection[str] | None) -> Gct:
    try:
        with h5py.File(path) as file:
            column_ids, row_ids = (file[f"0/META/{side}/id"].asstr()[:] for side in ("COL", "ROW"))
            stored = file["0/DATA/0/matrix"]
            expected = (len(column_ids), len(row_ids))
            require(stored.shape == expected, path, f"a matrix of {stored.shape}", f"{expected} like its ids")
            at, on = _wanted(path, column_ids, columns), _wanted(path, row_ids, rows)
            matrix = _read_blocks(stored, at, on)
            column_fields, row_fields = _fields(file["0/META/COL"], at), _fields(file["0/META/ROW"], on)
    except (OSError, KeyError) as error:
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


def _fields(group: h5py.Group, at: NDArray[np.intp]) -> pd.DataFrame:
    columns = {}
    for name, field in group.items():
        values = field.asstr()[:] if h5py.check_string_dtype(field.dtype) else field[:].astype(str)
        columns[name] = [text.strip() for text in values[at]]
    table = pd.DataFrame(columns)
    return table.set_index("id")


def _wanted(path: Path, found: Collection[str], ids: Collection[str] | None) -> NDArray[np.intp]:
    """Positions of `ids` in `found`, ascending; all of them for None."""
    present = pd.Index(found)
    require(present.is_unique, path, f"repeated ids {listed(present[present.duplicated()])}", "unique ids")
    if ids is None:
        return np.arange(len(present))
    missing = [name for name in ids if name not in present]
    require(not missing, path, f"no id {listed(missing)}", "every wanted id")
    return np.sort(present.get_indexer(pd.Index(list(ids)).unique()))
