"""What the estimators are given: features or SMILES, arrays, tables or AnnData, labels of any kind."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from infocore_mini.featurisers import by_name
from infocore_mini.validation import as_matrix, require


def drug_features(
    value: Any, name: str = "X_drug", names: tuple[str, ...] = (), featuriser: str = "mol2vec"
) -> tuple[NDArray[np.float64], tuple[str, ...], str | None]:
    """(n, n_d) features, their names, and what made them of SMILES; None if they came as features."""
    if not is_smiles(value):
        return *table_of_numbers(name, value, names), None
    return by_name(featuriser)(list(value)).astype(np.float64), (), featuriser


def is_smiles(value: Any) -> bool:
    """Whether it is a list, array or Series of text."""
    flat = getattr(value, "ndim", 1) == 1 and hasattr(value, "__len__") and not isinstance(value, str)
    return flat and len(value) > 0 and isinstance(next(iter(value)), str)


def table_of_numbers(
    name: str, value: Any, names: tuple[str, ...] = (), n_features: int | None = None
) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """(n, n_features) float64 of an array, table, sparse matrix or AnnData, and its names, () where it has none.

    The columns of a table come in the order of ``names``, if these are given.
    """
    if hasattr(value, "var_names") and hasattr(value, "X"):
        found = tuple(map(str, value.var_names))
        value = value.X
    else:
        columns = getattr(value, "columns", ())
        found = tuple(columns) if all(isinstance(column, str) for column in columns) else ()
    value = value.toarray() if hasattr(value, "toarray") else value  # encoders read dense rows
    if names and found and found != names:
        missing, more = (sorted(set(a) - set(b)) for a, b in ((names, found), (found, names)))
        if missing or more or len(found) != len(names):
            what = f"no column {missing[0]!r}" if missing else f"a column {more[0]!r}" if more else "columns twice"
            raise ValueError(f"{name}: got {what}, expected the {len(names)} columns that fit was given, by name")
        place = {column: i for i, column in enumerate(found)}
        value = np.asarray(value, dtype=np.float64)[:, [place[column] for column in names]]
    return as_matrix(name, value, n_features, torch.float64).numpy(), found


def readouts(
    value: Any, names: tuple[str, ...] = (), n_features: int | None = None
) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """As ``table_of_numbers``, of ``y_screen``; (n,) is one number a row."""
    shaped = value if hasattr(value, "shape") else np.asarray(value, dtype=object)
    column = np.asarray(shaped)[:, None] if len(shaped.shape) == 1 else value
    return table_of_numbers("y_screen", column, names, n_features)


def label_codes(name: str, value: Any, n: int, like: str = "X_drug") -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Sorted labels and (n,) codes. Raises ValueError for missing labels, naming the row, and unless they fit ``like``."""
    if value is None:
        raise ValueError(f"{name}: got None, expected ({n},) labels")
    labels = np.asarray(value)
    if labels.shape != (n,):
        raise ValueError(f"{name}: got shape {labels.shape}, expected ({n},) like the rows of {like}")
    each = np.asarray(value, dtype=object)  # as they came: in an array of text a missing one would read "nan"
    missing = [i for i, label in enumerate(each.tolist()) if _is_missing(label)]
    if missing:
        raise ValueError(f"{name}: got a missing label in row {missing[0]}, expected a label in every row")
    if labels.dtype.kind not in "biufU":  # text in other clothes, dates, categories
        labels = labels.astype(str)
    batches, codes = np.unique(labels, return_inverse=True)
    return batches, codes.astype(np.int64)


def level_labels(name: str, value: Any, n: int) -> NDArray[Any]:
    """(n,) codes of the labels of a nuisance, or the (n, levels) shares that came."""
    return as_matrix(name, value).numpy() if np.ndim(value) == 2 else label_codes(name, value, n)[1]


def _is_missing(label: Any) -> bool:
    """None, NaN, NaT, or pandas' NA, which is not even unequal to itself."""
    return label is None or not isinstance(label == label, bool | np.bool_) or bool(label != label)


def equal_rows(x: NDArray[np.float64]) -> NDArray[np.int64]:
    """(n,) codes; rows with equal values share one."""
    code: dict[bytes, int] = {}
    return np.array([code.setdefault(row.tobytes(), len(code)) for row in x + 0.0], dtype=np.int64)  # -0.0 is 0.0


def molecules(value: Any) -> NDArray[np.int64]:
    """(n,) codes of the rows' molecules: salts, tautomers, stereoisomers of one are it; of features, equal rows are one."""
    if not is_smiles(value):
        return equal_rows(table_of_numbers("X_drug", value)[0])
    from infocore_mini.identity import molecule_groups

    texts, row = np.unique(np.asarray(list(value), dtype=str), return_inverse=True)
    return molecule_groups(texts.tolist())[row]


def apart_by_molecule(
    groups: NDArray[np.int64], fraction: float, seed: int
) -> tuple[NDArray[np.int64] | slice, NDArray[np.int64]]:
    """The rows to train on, and those that are held out, all rows of a share of the molecules; by number, or all of them.

    Raises:
        ValueError: where some are wanted, but fewer than 2 molecules would be held out or left.
    """
    n_molecules = len(np.unique(groups))
    if fraction == 0:
        return slice(None), np.arange(0)  # a view, no copy
    n_held_out = int(np.ceil(fraction * n_molecules))
    got = f"{fraction} of {n_molecules} molecules, {n_held_out}"
    require(2 <= n_held_out <= n_molecules - 2, "validation_fraction", got, "at least 2 to hold out and 2 to train on")
    from sklearn.model_selection import GroupShuffleSplit

    parts = GroupShuffleSplit(n_splits=1, test_size=n_held_out, random_state=seed)
    return next(parts.split(groups, groups=groups))


def row_names(value: Any, n: int) -> NDArray[Any]:
    """(n,) SMILES, the labels of a table's rows, or row numbers."""
    if is_smiles(value):
        return np.asarray(list(value), dtype=object)
    index = getattr(value, "obs_names", getattr(value, "index", None))
    return np.arange(n) if index is None or callable(index) else np.asarray(index)
