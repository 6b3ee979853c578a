"""Screens to and from other programs: AnnData (``.h5ad``) and Parquet; nothing here unpickles.

Control wells are rows without SMILES after the others.  Columns of a screen's `info` have the names of pycytominer
(``Metadata_Plate``) in Parquet and of cell-painting-io (``Plate``) in AnnData.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
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
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import issparse

from infocore_mini.platemap import FILE_NAMES, Columns, Controls
from infocore_mini.screens import PairedScreen

from .tables import ReadError, listed, located, require, require_columns

OBS = {"smiles": "SMILES", "cell_line": "cell_type", "batch": "batch", "condition": "condition"}
NAMES = ["batch_names", "cell_line_names"]
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
    table = _table(screen, _called_in_anndata)
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
    data.uns["info"] = json.dumps(_types(screen))
    data.uns["corrections"] = json.dumps(screen.corrections)
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
    features = tuple(map(str, data.var_names)) if data.uns["has_feature_names"] else ()
    return _rebuilt(
        data.obs,
        _called_in_anndata,
        _blocks(data.X),
        data.n_vars,
        drug=data.uns["drug"],
        smiles=list(map(str, data.uns["smiles"])),
        n_profiles=int(data.uns["n_profiles"]),
        types=json.loads(str(data.uns["info"])),
        corrections=tuple(json.loads(str(data.uns["corrections"]))),
        feature_names=features,
        **{name: tuple(map(str, data.uns[name])) for name in NAMES},
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
    table = _table(screen, _called_in_parquet, taken=(CONTROL_TYPE, *names))
    table[CONTROL_TYPE] = table.pop(_called_in_parquet("is_control")).map({True: "negcon", False: "trt"}).astype(object)
    labels = {
        name: pa.array(column, pa.string() if column.dtype == object else None, from_pandas=column.dtype == object)
        for name, column in table.items()
    }
    fields = [(name, array.type) for name, array in labels.items()] + [(name, pa.float32()) for name in names]
    stored = {name: getattr(screen, name) for name in (*NAMES, "feature_names", "corrections")}
    stored |= {"n_profiles": len(screen.profile), "n_features": len(names), "types": _types(screen)}
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
        names = list(stored["feature_names"]) or list(_unnamed(stored["n_features"]))
        table = file.read([name for name in file.schema_arrow.names if name not in set(names)])
        table = table.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}.get)
        require_columns(table, [CONTROL_TYPE], profiles)
        drug = drug_file.read().to_pandas()
        return _rebuilt(
            table.assign(**{_called_in_parquet("is_control"): table[CONTROL_TYPE] == "negcon"}),
            _called_in_parquet,
            (_dense(batch, names) for batch in file.iter_batches(BLOCK // 4, columns=names)),
            len(names),
            smiles=drug.pop(f"{METADATA}smiles").tolist(),
            drug=drug.to_numpy(),
            n_profiles=stored["n_profiles"],
            types=stored["types"],
            **{name: tuple(stored[name]) for name in (*NAMES, "feature_names", "corrections")},
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


def _table(screen: PairedScreen, called: Callable[[str], str], taken: Iterable[str] = ()) -> pd.DataFrame:
    """A row for each profile, then each control well: its labels and `info`, as the file calls them."""
    condition, controls = screen.condition, screen.controls
    cell_line, batch = screen.cell_line[condition], screen.profile_batch
    if controls is not None:
        cell_line, batch = torch.cat([cell_line, controls.cell_line]), torch.cat([batch, controls.batch_id])
    n, without_molecule = len(batch), [None] * (len(batch) - len(condition))
    smiles = [*screen.smiles[screen.drug_id[condition]].astype(object), *without_molecule]
    columns = {
        "smiles": pd.Series(smiles, dtype=object),
        "cell_line": pd.Series(np.array(screen.cell_line_names, dtype=object)[cell_line], dtype=object),
        "batch": pd.Series(np.array(screen.batch_names, dtype=object)[batch], dtype=object),
        "condition": pd.Series([*condition.tolist(), *without_molecule], dtype="Int64"),
        "is_control": pd.Series(np.arange(n) >= len(condition)),
        **_joined_info(screen),
    }
    names = [*taken, *map(called, columns)]
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if twice:
        raise ValueError(f"screen: got several columns that a file would call {listed(twice)}, expected other names")
    return pd.DataFrame({called(name): column for name, column in columns.items()})


def _joined_info(screen: PairedScreen) -> dict[str, pd.Series]:
    """The columns of `info`, of the profiles and then of the control wells; what only one of them has is missing."""
    parts = [(screen.info, len(screen.profile))]
    parts += [] if screen.controls is None else [(screen.controls.info, len(screen.controls))]
    joined = {}
    for name in dict.fromkeys(name for info, _ in parts for name in info):
        given = [info[name] if name in info else np.full(n, None, dtype=object) for info, n in parts]
        types = {info[name].dtype for info, _ in parts if name in info}
        kind = "float64" if len(types) > 1 else types.pop().name
        nullable = {"bool": "boolean", "int64": "Int64"}.get(kind, kind)
        column = pd.concat([pd.Series(values, dtype=object) for values in given], ignore_index=True).astype(nullable)
        joined[name] = column if column.isna().any() else column.astype(kind)
    return joined


def _types(screen: PairedScreen) -> dict[str, dict[str, str]]:
    """Names and types of the columns of `info`, those of the profiles and those of the control wells."""
    controls = Columns() if screen.controls is None else screen.controls.info
    return {
        part: {name: values.dtype.name for name, values in info.items()}
        for part, info in (("profiles", screen.info), ("controls", controls))
    }


def _rebuilt(
    table: pd.DataFrame,
    called: Callable[[str], str],
    blocks: Iterable[NDArray[np.float32]],
    n_features: int,
    *,
    drug: ArrayLike,
    smiles: list[str],
    n_profiles: int,
    types: dict[str, dict[str, str]],
    batch_names: tuple[str, ...],
    cell_line_names: tuple[str, ...],
    feature_names: tuple[str, ...],
    corrections: tuple[str, ...],
) -> PairedScreen:
    """The screen of a table like `_table`'s, in any order, and of its profiles in blocks of rows."""
    control = table[called("is_control")].to_numpy(dtype=bool)
    rows, control_rows = np.flatnonzero(~control), np.flatnonzero(control)
    require(len(rows) > 0, "profiles", "no profile of a molecule", "at least one")

    def codes(label: str, at: NDArray[np.intp], names: Sequence[str]) -> NDArray[np.int64]:
        require_columns(table, [called(label)], "profiles")
        found = table[called(label)].iloc[at].astype(object)
        code = pd.Index(names, dtype=object).get_indexer(found)
        unknown = found[code < 0].unique()
        require(len(unknown) == 0, called(label), listed(unknown), "labels that the screen was stored with")
        return code.astype(np.int64)

    def info(part: str, at: NDArray[np.intp]) -> Columns:
        require_columns(table, [called(name) for name in types[part]], "profiles")
        return Columns({name: _typed(table[called(name)].iloc[at], kind) for name, kind in types[part].items()})

    require_columns(table, [called("condition")], "profiles")
    stored = table[called("condition")].iloc[rows].to_numpy(dtype=np.int64)
    rows = rows[np.argsort(stored, kind="stable")]
    place = np.empty(len(table), dtype=np.int64)
    place[rows], place[control_rows] = np.arange(len(rows)), np.arange(len(control_rows))
    profile, control_profile = torch.empty(len(rows), n_features), torch.empty(len(control_rows), n_features)
    start = 0
    for block in blocks:
        of_control, at = control[start : start + len(block)], place[start : start + len(block)]
        profile[at[~of_control]] = torch.from_numpy(block[~of_control])
        control_profile[at[of_control]] = torch.from_numpy(block[of_control])
        start += len(block)

    _, first, condition = np.unique(np.sort(stored), return_index=True, return_inverse=True)
    drug_id, drugs = codes("smiles", rows[first], smiles), np.arange(len(smiles))
    if len(rows) < n_profiles:
        drugs, drug_id = np.unique(drug_id, return_inverse=True)
    controls = None
    if len(control_rows) > 0:
        batch, cell_line = codes("batch", control_rows, batch_names), codes("cell_line", control_rows, cell_line_names)
        of_controls = info("controls", control_rows)
        controls = Controls(control_profile, torch.from_numpy(batch), torch.from_numpy(cell_line), of_controls)
    return PairedScreen(
        drug=torch.from_numpy(np.asarray(drug, dtype=np.float32)[drugs]),
        smiles=np.array(smiles, dtype=object)[drugs],
        profile=profile,
        condition=torch.from_numpy(condition.astype(np.int64)),
        profile_batch=torch.from_numpy(codes("batch", rows, batch_names)),
        drug_id=torch.from_numpy(drug_id.astype(np.int64)),
        cell_line=torch.from_numpy(codes("cell_line", rows[first], cell_line_names)),
        batch_names=batch_names,
        cell_line_names=cell_line_names,
        feature_names=feature_names,
        info=info("profiles", rows),
        controls=controls,
        corrections=corrections,
    )


def _typed(column: pd.Series, kind: str) -> NDArray[Any]:
    """Values in the type that a column of `info` had."""
    if kind == "object":
        values = column.astype(object)
        return values.where(values.notna(), None).to_numpy(dtype=object)
    return column.to_numpy(dtype=kind, na_value=np.nan) if kind == "float64" else column.to_numpy().astype(kind)
