"""Screens to and from other programs: AnnData (``.h5ad``) and Parquet; nothing here unpickles.

Control wells are rows without SMILES after the others.  Columns of a screen's `info` have the names of pycytominer
(``Metadata_Plate``) in Parquet and of cell-painting-io (``Plate``) in AnnData.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from scipy.sparse import issparse

from infocore_mini.platemap import FILE_NAMES
from infocore_mini.screens import PairedScreen

from .stored import FACTS, labels_of, screen_of, types_of
from .tables import ReadError, listed, located, require, require_columns

OBS = {"smiles": "SMILES", "cell_line": "cell_type", "batch": "batch", "condition": "condition"}
NAMES = ("batch_names", "cell_line_names")  # entries of AnnData's uns, as arrays
AS_JSON = ("corrections", "featuriser")  # likewise, as text; files of earlier versions lack the featuriser
METADATA = "Metadata_"
CONTROL_TYPE = f"{METADATA}control_type"  # "negcon" or "trt", as the recipes of pycytominer have it
SCHEMA_KEY = b"infocore_mini"
PROFILES, DRUGS = "profiles.parquet", "drugs.parquet"
BLOCK = 4096  # rows that are written at once; four times those that are read


# ---- AnnData -----------------------------------------------------------------------------------------------------


def to_anndata(screen: PairedScreen) -> anndata.AnnData:
    """The screen as AnnData.

    anndata before 0.13 cannot write the type that pandas 3 gives to columns of text.  So that such a column, added to
    the result, can be saved, pandas' ``mode.string_storage`` is set to "python" and anndata's
    ``allow_write_nullable_strings`` to true there, for the whole process.

    Returns:
        X (n_profiles + n_controls, n_g) float32; obs with SMILES (missing for control wells), cell_type, batch,
        condition (-1 for control wells), is_control and the columns of `info`; drug features and names in uns.

    Raises:
        ValueError: if two columns would have one name.
    """
    _let_text_be_written()
    table = labels_of(screen, _called_in_anndata)
    table["condition"] = table["condition"].fillna(-1).astype(np.int64)
    for column in table.select_dtypes(object):
        table[column] = pd.Categorical(table[column], categories=_text(sorted(set(table[column].dropna()))))
    table.index = _text(map(str, range(len(table))))
    names = screen.feature_names or _unnamed(screen.profile.shape[1])
    x = screen.profile if screen.controls is None else torch.cat([screen.profile, screen.controls.profile])
    data = anndata.AnnData(x.numpy(), obs=table, var=pd.DataFrame(index=_text(names)))
    data.uns["drug"] = screen.drug.numpy()
    data.uns["smiles"] = screen.smiles.astype(object)
    data.uns["has_feature_names"] = bool(screen.feature_names)
    data.uns["n_profiles"] = len(screen.profile)
    data.uns["info"] = json.dumps(types_of(screen))
    for name in AS_JSON:
        data.uns[name] = json.dumps(getattr(screen, name))
    for name in NAMES:
        data.uns[name] = np.array(getattr(screen, name), dtype=object)
    return data


def from_anndata(data: anndata.AnnData) -> PairedScreen:
    """The screen that `to_anndata` made, equal in every field; X may have become sparse.

    Of a part of its observations, in any order, the screen of what is left: conditions are numbered anew, and molecules
    without a profile are gone.

    Raises:
        ReadError: if a part is missing, or a label is none of those in uns.
    """
    require_columns(data.obs, [*OBS.values(), "is_control"], "data.obs")
    parts = ("drug", "smiles", "has_feature_names", "n_profiles", "info", "corrections", *NAMES)
    missing = [name for name in parts if name not in data.uns]
    require(not missing, "data.uns", f"no {listed(missing)}", "what to_anndata stores")
    require(data.X is not None, "data", "no X", "a matrix of profiles")
    facts = {"feature_names": list(map(str, data.var_names)) if data.uns["has_feature_names"] else []}
    facts |= {name: list(map(str, data.uns[name])) for name in NAMES}
    return screen_of(
        data.obs,
        _called_in_anndata,
        _blocks(data.X),
        data.n_vars,
        drug=data.uns["drug"],
        smiles=list(map(str, data.uns["smiles"])),
        n_profiles=int(data.uns["n_profiles"]),
        types=json.loads(str(data.uns["info"])),
        facts=facts | {name: json.loads(str(data.uns[name])) for name in AS_JSON if name in data.uns},
    )


def _called_in_anndata(name: str) -> str:
    return (OBS | FILE_NAMES).get(name, name)


def _text(values: Iterable[str]) -> pd.Index:
    """An index of Python strings: anndata before 0.13 cannot write the string type that pandas 3 infers."""
    return pd.Index(list(values), dtype=object)


def _let_text_be_written() -> None:
    release = tuple(map(int, version("anndata").split(".")[:2]))
    if release < (0, 13) and pd.Series(["text"]).dtype != object:
        pd.set_option("mode.string_storage", "python")
        anndata.settings.allow_write_nullable_strings = True


# ---- Parquet -----------------------------------------------------------------------------------------------------


def write_parquet(screen: PairedScreen, folder: str | Path) -> None:
    """Write ``profiles.parquet`` and ``drugs.parquet`` into `folder`, which is made if need be.

    The profiles have pycytominer's manner: columns ``Metadata_...`` and the features, so that other programs read them;
    control wells are the rows whose ``Metadata_control_type`` is "negcon".

    Raises:
        ValueError: if two columns would have one name.
    """
    folder = Path(folder)
    names = screen.feature_names or _unnamed(screen.profile.shape[1])
    table = labels_of(screen, _called_in_parquet, taken=(CONTROL_TYPE, *names))
    table[CONTROL_TYPE] = table.pop(_called_in_parquet("is_control")).map({True: "negcon", False: "trt"}).astype(object)
    labels = {
        name: pa.array(column, pa.string() if column.dtype == object else None, from_pandas=column.dtype == object)
        for name, column in table.items()
    }
    fields = [(name, array.type) for name, array in labels.items()] + [(name, pa.float32()) for name in names]
    counts = {"n_profiles": len(screen.profile), "n_features": len(names)}
    stored = {name: getattr(screen, name) for name in FACTS} | counts | {"types": types_of(screen)}
    schema = pa.schema(fields, {SCHEMA_KEY: json.dumps(stored)})
    folder.mkdir(parents=True, exist_ok=True)
    start = 0
    parts = [screen.profile] if screen.controls is None else [screen.profile, screen.controls.profile]
    with pq.ParquetWriter(
        folder / PROFILES, schema, use_dictionary=list(labels), write_statistics=list(labels)
    ) as writer:
        for block in chain.from_iterable(_blocks(part.numpy()) for part in parts):
            rows = [array.slice(start, len(block)) for array in labels.values()]
            writer.write_table(pa.table([*rows, *map(pa.array, np.ascontiguousarray(block.T))], schema=schema))
            start += len(block)
    drugs = {f"{METADATA}smiles": pa.array(screen.smiles.astype(object))}
    drugs |= {f"drug_{k}": pa.array(column) for k, column in enumerate(screen.drug.numpy().T)}
    pq.write_table(pa.table(drugs), folder / DRUGS)


def read_parquet(folder: str | Path) -> PairedScreen:
    """The screen that `write_parquet` wrote into `folder`, equal in every field; read by blocks of rows.

    Raises:
        ReadError: for a damaged or foreign file.
        FileNotFoundError: if a file is missing.
    """
    profiles, drugs = (located(Path(folder) / name) for name in (PROFILES, DRUGS))
    with _parquet(profiles) as file, _parquet(drugs) as drug_file:
        found = (file.schema_arrow.metadata or {}).get(SCHEMA_KEY)
        if found is None:
            raise ReadError(f"{profiles}: got no screen's names, expected a file of write_parquet")
        stored = json.loads(found)
        names = stored["feature_names"] or list(_unnamed(stored["n_features"]))
        table = file.read([name for name in file.schema_arrow.names if name not in set(names)])
        table = table.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}.get)
        require_columns(table, [CONTROL_TYPE], profiles)
        drug = drug_file.read().to_pandas()
        return screen_of(
            table.assign(**{_called_in_parquet("is_control"): table[CONTROL_TYPE] == "negcon"}),
            _called_in_parquet,
            (_dense(batch, names) for batch in file.iter_batches(BLOCK // 4, columns=names)),
            len(names),
            smiles=drug.pop(f"{METADATA}smiles").tolist(),
            drug=drug.to_numpy(),
            n_profiles=stored["n_profiles"],
            types=stored["types"],
            facts={name: stored[name] for name in FACTS if name in stored},
        )


def _called_in_parquet(name: str) -> str:
    return METADATA + FILE_NAMES.get(name, name)


@contextmanager
def _parquet(path: Path) -> Iterator[pq.ParquetFile]:
    try:
        with pq.ParquetFile(path, pre_buffer=False) as file:
            yield file
    except (OSError, pa.ArrowException) as error:
        raise ReadError(f"{path}: got {error}, expected a Parquet file") from error


def _dense(batch: pa.RecordBatch, names: Sequence[str]) -> NDArray[np.float32]:
    """(n_rows, n_columns) float32; missing = NaN."""
    return np.column_stack([batch[name].to_numpy(zero_copy_only=False) for name in names]).astype(np.float32)


# ---- both --------------------------------------------------------------------------------------------------------


def _unnamed(n_features: int) -> tuple[str, ...]:
    return tuple(f"feature_{k}" for k in range(n_features))


def _blocks(matrix: Any) -> Iterator[NDArray[np.float32]]:
    """Dense blocks of rows."""
    rows = matrix.tocsr() if issparse(matrix) else matrix
    for start in range(0, rows.shape[0], BLOCK):
        block = rows[start : start + BLOCK]
        yield np.asarray(block.toarray() if issparse(block) else block, dtype=np.float32)
