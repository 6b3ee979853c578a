"""Screens to and from other programs: AnnData (``.h5ad``) and Parquet; nothing here unpickles."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import issparse

from infocore_mini.featurize import mol2vec
from infocore_mini.screens import Featuriser, PairedScreen

from .wells import ReadError, ReadScreen, Wells, listed, located, require, require_columns

LABELS = ["smiles", "cell_line", "batch", "condition"]
OBS = {"smiles": "SMILES", "cell_line": "cell_type", "batch": "batch", "condition": "condition"}
NAMES = ["batch_names", "cell_line_names"]
METADATA = "Metadata_"
SCHEMA_KEY = b"infocore_mini"
PROFILES, DRUGS = "profiles.parquet", "drugs.parquet"


def read_h5ad(
    path: str | Path,
    *,
    drug: Featuriser = mol2vec,
    smiles: str = "SMILES",
    cell_line: str = "cell_type",
    batch: str = "batch",
) -> ReadScreen:
    """A screen published as ``.h5ad``, one observation per profile, controls subtracted already.

    The layout of the L1000 set that the paper trains on: 199,620 x 978, obs with SMILES, cell_type, batch.

    Args:
        path: file.
        drug: featuriser of SMILES.
        smiles, cell_line, batch: columns of obs with the molecule, the cell line and the experimental batch.

    Returns:
        The screen of the observations whose molecule RDKit reads.

    Raises:
        ReadError: for a damaged file, a missing column or label, a value that is not finite, or no usable molecule.
    """
    path = located(path)
    try:
        data = anndata.read_h5ad(path)
    except (OSError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise ReadError(f"{path}: got {error}, expected an AnnData file (.h5ad)") from error
    columns = {"smiles": smiles, "cell_line": cell_line, "batch": batch}
    require_columns(data.obs, list(columns.values()), path)
    info = pd.DataFrame({key: data.obs[column].astype(object) for key, column in columns.items()})
    for key in ("cell_line", "batch"):
        require(info[key].notna().all(), path, f"missing entries in obs[{columns[key]!r}]", "an entry in every row")
    info = info.reset_index(drop=True).assign(is_control=False)
    info["name"] = info["smiles"].fillna("(none)")
    require(data.X is not None and data.n_obs > 0, path, "no X", "a matrix of profiles")
    profile = np.asarray(data.X.toarray() if issparse(data.X) else data.X, dtype=np.float32)
    require(np.isfinite(profile).all(), path, "values that are not finite", "finite numbers")
    return Wells(profile, info, tuple(map(str, data.var_names))).screen(drug, str(path))


def to_anndata(screen: PairedScreen) -> anndata.AnnData:
    """The screen as AnnData.

    Returns:
        X (n_profiles, n_g) float32; obs with SMILES, cell_type, batch, condition; drug features and names in uns.
    """
    labels = _labels(screen).rename(columns=OBS).set_index(_text(map(str, range(len(screen.profile)))))
    for column in ("SMILES", "cell_type", "batch"):
        labels[column] = pd.Categorical(labels[column], categories=_text(sorted(set(labels[column]))))
    names = screen.feature_names or [f"feature {k}" for k in range(screen.profile.shape[1])]
    data = anndata.AnnData(screen.profile.numpy(), obs=labels, var=pd.DataFrame(index=_text(names)))
    data.uns["drug"] = screen.drug.numpy()
    data.uns["smiles"] = screen.smiles.astype(object)
    data.uns["has_feature_names"] = bool(screen.feature_names)
    for name in NAMES:
        data.uns[name] = np.array(getattr(screen, name), dtype=object)
    return data


def from_anndata(data: anndata.AnnData) -> PairedScreen:
    """The screen that `to_anndata` made, equal in every field.

    Raises:
        ReadError: if a part is missing.
    """
    require_columns(data.obs, list(OBS.values()), "data.obs")
    missing = [name for name in ("drug", "smiles", "has_feature_names", *NAMES) if name not in data.uns]
    require(not missing, "data.uns", f"no {listed(missing)}", "what to_anndata stores")
    labels = data.obs.rename(columns={column: key for key, column in OBS.items()})
    features = tuple(map(str, data.var_names)) if data.uns["has_feature_names"] else ()
    names = {name: tuple(map(str, data.uns[name])) for name in NAMES}
    return _rebuilt(labels, data.X, data.uns["drug"], data.uns["smiles"], feature_names=features, **names)


def write_parquet(screen: PairedScreen, folder: str | Path) -> None:
    """Write ``profiles.parquet`` and ``drugs.parquet`` into `folder`, which is made if need be.

    The profiles have pycytominer's manner: columns ``Metadata_...`` and the features, so that other programs read them.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    names = screen.feature_names or tuple(f"feature_{k}" for k in range(screen.profile.shape[1]))
    labels = _labels(screen).add_prefix(METADATA)
    profiles = {column: pa.array(labels[column].to_numpy()) for column in labels}
    profiles |= {name: pa.array(column) for name, column in zip(names, screen.profile.numpy().T, strict=True)}
    stored = {name: getattr(screen, name) for name in (*NAMES, "feature_names")}
    table = pa.table(profiles).replace_schema_metadata({SCHEMA_KEY: json.dumps(stored)})
    pq.write_table(table, folder / PROFILES)
    drugs = {f"{METADATA}smiles": pa.array(screen.smiles.astype(object))}
    drugs |= {f"drug_{k}": pa.array(column) for k, column in enumerate(screen.drug.numpy().T)}
    pq.write_table(pa.table(drugs), folder / DRUGS)


def read_parquet(folder: str | Path) -> PairedScreen:
    """The screen that `write_parquet` wrote into `folder`, equal in every field.

    Raises:
        ReadError: for a damaged or foreign file.
        FileNotFoundError: if a file is missing.
    """
    profiles, drugs = (_parquet(located(Path(folder) / name)) for name in (PROFILES, DRUGS))
    stored = (profiles.schema.metadata or {}).get(SCHEMA_KEY)
    if stored is None:
        raise ReadError(f"{Path(folder) / PROFILES}: got no screen's names, expected a file of write_parquet")
    names = {key: tuple(value) for key, value in json.loads(stored).items()}
    labels = profiles.select([METADATA + label for label in LABELS]).to_pandas().set_axis(LABELS, axis=1)
    return _rebuilt(labels, _matrix(profiles), _matrix(drugs), drugs[METADATA + "smiles"].to_pylist(), **names)


def _labels(screen: PairedScreen) -> pd.DataFrame:
    """A line for each profile: SMILES, cell line, experimental batch as text, and the condition's code."""
    condition = screen.condition
    columns = {
        "smiles": np.asarray(screen.smiles)[screen.drug_id[condition]],
        "cell_line": np.array(screen.cell_line_names)[screen.cell_line[condition]],
        "batch": np.array(screen.batch_names)[screen.profile_batch],
    }
    text = {name: pd.Series(values.astype(object), dtype=object) for name, values in columns.items()}
    return pd.DataFrame({**text, "condition": condition.numpy()})


def _text(values: Iterable[str]) -> pd.Index:
    """An index of Python strings: anndata cannot write the string type that pandas 3 infers."""
    return pd.Index(list(values), dtype=object)


def _rebuilt(
    labels: pd.DataFrame,
    profile: ArrayLike,
    drug: ArrayLike,
    smiles: Sequence[str],
    *,
    batch_names: tuple[str, ...],
    cell_line_names: tuple[str, ...],
    feature_names: tuple[str, ...],
) -> PairedScreen:
    def codes(label: str, names: Sequence[str]) -> torch.Tensor:
        return torch.from_numpy(pd.Index(names).get_indexer(labels[label].astype(object)).astype(np.int64))

    condition = torch.from_numpy(np.array(labels["condition"], dtype=np.int64))
    first = torch.from_numpy(np.unique(condition.numpy(), return_index=True)[1])
    return PairedScreen(
        drug=torch.from_numpy(np.array(drug, dtype=np.float32)),
        smiles=np.array(list(smiles), dtype=str),
        profile=torch.from_numpy(np.array(profile, dtype=np.float32)),
        condition=condition,
        profile_batch=codes("batch", batch_names),
        drug_id=codes("smiles", smiles)[first],
        cell_line=codes("cell_line", cell_line_names)[first],
        batch_names=batch_names,
        cell_line_names=cell_line_names,
        feature_names=feature_names,
    )


def _parquet(path: Path) -> pa.Table:
    try:
        return pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise ReadError(f"{path}: got {error}, expected a Parquet file") from error


def _matrix(table: pa.Table) -> NDArray[np.float32]:
    """The columns that are no metadata, (n_rows, n_columns) float32."""
    columns = [name for name in table.column_names if not name.startswith(METADATA)]
    return np.column_stack([table[name].to_numpy() for name in columns]).astype(np.float32)
