"""Screens that others published as AnnData (``.h5ad``), read by blocks of rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from anndata.io import read_elem
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from infocore_mini.featurisers import Featuriser
from infocore_mini.featurize import mol2vec
from infocore_mini.platemap import TAKEN, standard_name

from .tables import ReadError, listed, located, require, require_columns
from .wells import ReadScreen, Wells


def read_h5ad(
    path: str | Path,
    *,
    drug: Featuriser = mol2vec,
    smiles: str = "SMILES",
    cell_line: str | None = "cell_type",
    batch: str = "batch",
    layer: str | None = None,
    allow_missing: bool = False,
) -> ReadScreen:
    """A screen published as ``.h5ad``, one observation per profile, controls subtracted already.

    The layout of the L1000 set that the paper trains on: 199,620 x 978, obs with SMILES, cell_type, batch.
    The matrix is read by blocks, into the screen; what else the file holds (obsm, raw, uns) is not touched, but for what
    `to_anndata` notes there of how the readouts were corrected.
    Observations for which a column ``is_control`` of obs is true become the control wells; plate, well, dose and the
    other columns of obs become the screen's `info`, known by the names of pycytominer and of cell-painting-io.

    Args:
        path: file.
        drug: featuriser of SMILES.
        smiles, cell_line, batch: columns of obs with the molecule, the cell line (None = one) and the experimental batch.
        layer: name of the layer to read in place of X.
        allow_missing: NaN stands for "not measured".

    Returns:
        The screen of the observations whose molecule RDKit reads.

    Raises:
        ReadError: for a damaged file, a missing column or label, a value that is not finite, no usable molecule, or an
            encoding that the installed anndata cannot read.
    """
    found = located(path)
    try:
        file = h5py.File(found)
    except OSError as error:
        raise ReadError(f"{found}: got {error}, expected an AnnData file (.h5ad)") from error
    with file:
        columns = {"smiles": smiles, "batch": batch} | ({"cell_line": cell_line} if cell_line else {})
        obs = _table(file, "obs", found, needed=[*columns.values(), "is_control"])
        require_columns(obs, list(columns.values()), found)
        for column in (cell_line, batch):
            missing = column is not None and obs[column].isna().any()
            require(not missing, found, f"missing entries in obs[{column!r}]", "an entry in every row")
        profile = _Matrix(file, "X" if layer is None else f"layers/{layer}", found, len(obs))
        genes = _table(file, "var", found, needed=[]).index.astype(str)
        require(len(genes) == profile.shape[1], found, f"{len(genes)} rows of var", f"{profile.shape[1]}, as columns")
        about = _info(obs, columns, found)
        wells = Wells(profile, about, tuple(genes), noted_corrections(found))  # type: ignore[arg-type]  # sliced as an array
        try:
            return wells.screen(drug, str(found), allow_missing=allow_missing)
        except (OSError, KeyError, ValueError) as error:
            if isinstance(error, ValueError) and type(error) is not ValueError:  # a reader's or a featuriser's own
                raise
            raise ReadError(f"{found}: {error}") from error


def _info(obs: pd.DataFrame, columns: dict[str, str], path: Path) -> pd.DataFrame:
    """Columns as `Wells` has them."""
    own = pd.DataFrame({key: obs[column].astype(object) for key, column in columns.items()}).reset_index(drop=True)
    control = obs["is_control"].to_numpy() if "is_control" in obs else np.zeros(len(obs), dtype=bool)
    require(control.dtype == bool, path, f"is_control of type {control.dtype}", "booleans")
    own["is_control"] = control
    own["name"] = own["smiles"].fillna("(none)")
    for column in obs.columns.drop([*columns.values(), "is_control"], errors="ignore"):
        name = standard_name(str(column))
        if name not in own and name not in TAKEN:
            values = obs[column].reset_index(drop=True)
            own[name] = values.astype(object) if isinstance(values.dtype, pd.CategoricalDtype) else values
    return own


def noted_corrections(path: Path) -> tuple[str, ...]:
    """What was done to the readouts of an AnnData file, as far as `to_anndata` noted it."""
    try:
        with h5py.File(path) as file:
            return tuple(json.loads(str(_decoded(file, "uns/corrections", path)))) if "uns/corrections" in file else ()
    except ValueError:  # another program's
        return ()


def _table(file: h5py.File, key: str, path: Path, needed: list[str]) -> pd.DataFrame:
    """A table of the file; columns that anndata cannot read are left out unless they are needed."""
    require(key in file, path, f"no {key}", "an AnnData file (.h5ad)")
    group = file[key]
    if not isinstance(group, h5py.Group) or "column-order" not in group.attrs:
        table = _decoded(file, key, path)
        require(isinstance(table, pd.DataFrame), path, f"{key} that is no table", "an AnnData file (.h5ad)")
        return table
    index = _decoded(file, f"{key}/{group.attrs['_index']}", path)
    columns = {}
    for name in group.attrs["column-order"]:
        try:
            columns[name] = _decoded(file, f"{key}/{name}", path)
        except ReadError:
            if name in needed:
                raise
    return pd.DataFrame(columns, index=pd.Index(index).astype(str))


def _decoded(file: h5py.File, key: str, path: Path) -> Any:
    try:
        return read_elem(file[key])
    except Exception as error:  # a decoder of anndata's may raise anything
        raise ReadError(f"{path}: got {key}, which anndata cannot read ({error}), expected AnnData (.h5ad)") from error


class _Matrix:
    """A matrix of the file, (n_obs, n_var), dense blocks of which are read when it is sliced."""

    def __init__(self, file: h5py.File, key: str, path: Path, n_obs: int) -> None:
        layers = listed(file["layers"]) if "layers" in file else "none"
        require(key in file, path, f"no {key} (layers: {layers})", "a matrix of profiles")
        self._matrix, self._sparse = file[key], isinstance(file[key], h5py.Group)
        if self._sparse and self._matrix.attrs.get("encoding-type") == "csr_matrix":
            self.shape = tuple(map(int, self._matrix.attrs["shape"]))
            self._starts = self._matrix["indptr"][:]
        else:
            if self._sparse:  # rows of a matrix stored by columns cannot be had alone
                self._matrix = _decoded(file, key, path).tocsr()
            self.shape = tuple(self._matrix.shape)
        fits = len(self.shape) == 2 and self.shape[0] == n_obs > 0
        require(fits, path, f"{key} of shape {self.shape}", f"({n_obs} observations, features)")

    def __getitem__(self, rows: slice | NDArray[np.intp]) -> NDArray[np.float32]:
        """(n_rows, n_var) a block, or some rows one by one."""
        if not isinstance(rows, slice):
            return np.concatenate([self[int(row) : int(row) + 1] for row in rows])
        if isinstance(self._matrix, h5py.Group):
            starts = self._starts[rows.start : min(rows.stop, self.shape[0]) + 1]
            stored = slice(int(starts[0]), int(starts[-1]))
            parts = (self._matrix["data"][stored], self._matrix["indices"][stored], starts - starts[0])
            return csr_matrix(parts, shape=(len(starts) - 1, self.shape[1])).toarray().astype(np.float32)
        block = self._matrix[rows]
        return np.asarray(block.toarray() if self._sparse else block, dtype=np.float32)
