"""A screen as one table of labels, and the screen of such a table: what its forms in AnnData and in Parquet share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray

from infocore_mini.platemap import Columns, Controls
from infocore_mini.screens import PairedScreen

from .tables import listed, require, require_columns

FACTS = ("batch_names", "cell_line_names", "feature_names", "corrections", "featuriser")  # of all rows


def labels_of(screen: PairedScreen, called: Callable[[str], str], taken: Iterable[str] = ()) -> pd.DataFrame:
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


def types_of(screen: PairedScreen) -> dict[str, dict[str, str]]:
    """Names and types of the columns of `info`, those of the profiles and those of the control wells."""
    controls = Columns() if screen.controls is None else screen.controls.info
    return {
        part: {name: values.dtype.name for name, values in info.items()}
        for part, info in (("profiles", screen.info), ("controls", controls))
    }


def screen_of(
    labels: pd.DataFrame,
    called: Callable[[str], str],
    blocks: Iterable[NDArray[np.float32]],
    n_features: int,
    *,
    drug: ArrayLike,
    smiles: list[str],
    n_profiles: int,
    types: dict[str, dict[str, str]],
    facts: Mapping[str, Any],
) -> PairedScreen:
    """The screen of a table like that of `labels_of`, in any order, and of its profiles in blocks of rows."""
    known: dict[str, Any] = {name: tuple(fact) if isinstance(fact, list) else fact for name, fact in facts.items()}
    control = labels[called("is_control")].to_numpy(dtype=bool)
    rows, control_rows = np.flatnonzero(~control), np.flatnonzero(control)
    require(len(rows) > 0, "profiles", "no profile of a molecule", "at least one")

    def codes(label: str, at: NDArray[np.intp], names: Sequence[str]) -> NDArray[np.int64]:
        require_columns(labels, [called(label)], "profiles")
        found = labels[called(label)].iloc[at].astype(object)
        code = pd.Index(names, dtype=object).get_indexer(found)
        unknown = found[code < 0].unique()
        require(len(unknown) == 0, called(label), listed(unknown), "labels that the screen was stored with")
        return code.astype(np.int64)

    def info(part: str, at: NDArray[np.intp]) -> Columns:
        require_columns(labels, [called(name) for name in types[part]], "profiles")
        return Columns({name: _typed(labels[called(name)].iloc[at], kind) for name, kind in types[part].items()})

    require_columns(labels, [called("condition")], "profiles")
    stored = labels[called("condition")].iloc[rows].to_numpy(dtype=np.int64)
    rows = rows[np.argsort(stored, kind="stable")]
    place = np.empty(len(labels), dtype=np.int64)
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
        batch, cell_line = (codes(name, control_rows, known[f"{name}_names"]) for name in ("batch", "cell_line"))
        of_controls = info("controls", control_rows)
        controls = Controls(control_profile, torch.from_numpy(batch), torch.from_numpy(cell_line), of_controls)
    return PairedScreen(
        drug=torch.from_numpy(np.asarray(drug, dtype=np.float32)[drugs]),
        smiles=np.array(smiles, dtype=object)[drugs],
        profile=profile,
        condition=torch.from_numpy(condition.astype(np.int64)),
        profile_batch=torch.from_numpy(codes("batch", rows, known["batch_names"])),
        drug_id=torch.from_numpy(drug_id.astype(np.int64)),
        cell_line=torch.from_numpy(codes("cell_line", rows[first], known["cell_line_names"])),
        info=info("profiles", rows),
        controls=controls,
        **known,
    )


def _typed(column: pd.Series, kind: str) -> NDArray[Any]:
    """Values in the type that a column of `info` had."""
    if kind == "object":
        values = column.astype(object)
        return values.where(values.notna(), None).to_numpy(dtype=object)
    return column.to_numpy(dtype=kind, na_value=np.nan) if kind == "float64" else column.to_numpy().astype(kind)
