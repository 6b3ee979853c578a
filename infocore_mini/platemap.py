"""What a plate map knows of profiles beside molecule and experimental batch: named columns, and control wells."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from infocore_mini.validation import require, rows_in_order

TEXT = ("plate", "well")
NUMBERS = ("dose", "time", "cell_count")  # micromolar, hours, cells
KINDS = "numbers, booleans or text (None or NaN where missing)"
TAKEN = ("smiles", "cell_line", "batch", "condition", "is_control")  # a screen holds these itself

PREFIXES = ("image_metadata_", "metadata_", "meta_")
FILE_NAMES = {  # after "Metadata_" as pycytominer has it, or alone as cell-painting-io has it
    "plate": "Plate",
    "well": "Well",
    "row": "Row",
    "column": "Column",
    "site": "Site",
    "dose": "Concentration",
    "time": "Timepoint",
    "cell_count": "Object_Count",
}
_ALIASES = {file_name.lower(): name for name, file_name in FILE_NAMES.items()} | {
    "dose": "dose",
    "time": "time",
    "time_point": "time",
    "cell_count": "cell_count",
    "count_cells": "cell_count",
}
_TYPES = {"b": np.bool_, "i": np.int64, "u": np.int64, "f": np.float64, "O": object, "U": object}


class Columns(Mapping[str, NDArray[Any]]):
    """Named columns of one length, in the order given; neither names nor values can be changed.

    Values are int64, float64 (NaN = missing), bool, or text: an array of str objects (None = missing).  `plate` and
    `well` are always text; `dose` (micromolar), `time` (hours) and `cell_count` are always float64.

    Args:
        columns: mapping or DataFrame, name -> (n,) numbers, booleans or text.
        name: what to call it in messages.

    Raises:
        ValueError: for a name that is no text or that a screen uses itself (`TAKEN`), columns that are not flat or not
            of one length, and values of another type.

    Examples:
        >>> from infocore_mini.platemap import Columns
        >>> columns = Columns({"plate": [7, 8], "well": ["A01", None], "dose": [10, 3]})
        >>> columns["plate"].tolist(), columns["well"].tolist(), columns["dose"].tolist()
        (['7', '8'], ['A01', None], [10.0, 3.0])
    """

    def __init__(self, columns: Any = (), *, name: str = "info") -> None:
        self._columns: dict[str, NDArray[Any]] = {}
        for key in columns:
            expected = f"names other than {', '.join(TAKEN)}"
            require(isinstance(key, str) and bool(key) and key not in TAKEN, name, f"a column {key!r}", expected)
            self._columns[key] = _typed(f"{name}[{key!r}]", columns[key], key)
        lengths = {key: len(values) for key, values in self._columns.items()}
        require(len(set(lengths.values())) < 2, name, f"columns of other lengths {lengths}", "one length")

    def __getitem__(self, name: str) -> NDArray[Any]:
        """(n,) values of a column, read-only."""
        return self._columns[name]

    def __iter__(self) -> Iterator[str]:
        """The names, in order."""
        return iter(self._columns)

    def __len__(self) -> int:
        """Number of columns."""
        return len(self._columns)

    def __repr__(self) -> str:
        return f"Columns({', '.join(self)})"

    def __eq__(self, other: object) -> bool:
        """Whether names, their order, types and values agree; missing equals missing."""
        if not isinstance(other, Columns) or list(self) != list(other):
            return False
        return all(a.dtype == b.dtype and _listed(a) == _listed(b) for a, b in zip(self.values(), other.values()))

    __hash__ = None  # type: ignore[assignment]  # compared by value

    def take(self, rows: Any) -> Columns:
        """The same columns at some rows: numbers or booleans, (n_rows,), as a NumPy array or tensor."""
        part = Columns()
        part._columns = {name: _frozen(values[np.asarray(rows)]) for name, values in self.items()}
        return part

    def check_rows(self, n: int, name: str = "info") -> None:
        """ValueError unless there are no columns or `n` rows."""
        found = len(next(iter(self.values()))) if self else n
        require(found == n, name, f"{found} rows", f"{n} like profile")


@dataclass(frozen=True, eq=False)
class Controls:
    """Control wells of a screen: profiles without a molecule, treated in all else like its other profiles.

    Attributes:
        profile: (n_controls, n_g) float32 readouts, corrected as the screen's are; NaN = not measured.
        batch_id: (n_controls,) int64 code of the experimental batch, of the screen's `batch_names`.
        cell_line: (n_controls,) int64 code of the cell line, of the screen's `cell_line_names`.
        info: columns of n_controls rows, as the screen's `info`.
    """

    profile: Tensor
    batch_id: Tensor
    cell_line: Tensor
    info: Columns = field(default_factory=Columns)

    @classmethod
    def from_labels(cls, given: Mapping[str, Any], batch_names: Sequence[str], cell_line_names: Sequence[str]) -> Self:
        """Control wells of a screen with these names.

        Args:
            given: `profile` and `batch`, perhaps `cell_line` (may be left out where there is one) and `info`.
            batch_names, cell_line_names: the screen's.

        Raises:
            ValueError: for other keys, other lengths, and labels that are not the screen's.
        """
        known = {"profile", "batch"} <= set(given) <= {"profile", "batch", "cell_line", "info"}
        require(known, "controls", ", ".join(map(str, given)), "profile and batch, perhaps cell_line and info")
        profile = rows_in_order("controls.profile", given["profile"], missing=True)
        one_line = [cell_line_names[0]] * len(profile) if len(cell_line_names) == 1 else []
        codes = {}
        for name, names in (("batch", batch_names), ("cell_line", cell_line_names)):
            labels = list(map(str, given.get(name, one_line if name == "cell_line" else [])))
            require(
                len(labels) == len(profile), f"controls.{name}", f"{len(labels)} rows", f"{len(profile)} of profile"
            )
            unknown = sorted(set(labels) - set(names))
            require(not unknown, f"controls.{name}", ", ".join(unknown[:3]), "labels that the other profiles have")
            code_of = {label: code for code, label in enumerate(names)}
            codes[name] = torch.tensor([code_of[label] for label in labels])
        info = Columns(given.get("info", ()), name="controls.info")
        return cls(profile, codes["batch"], codes["cell_line"], info)

    def __post_init__(self) -> None:
        """Shapes and types that do not fit raise ValueError."""
        n = len(self.profile)
        fits = self.profile.ndim == 2 and n > 0 and self.profile.dtype == torch.float32
        got = f"{tuple(self.profile.shape)} of {self.profile.dtype}"
        require(fits, "controls.profile", got, "(n_controls, n_g) of torch.float32, n_controls >= 1")
        if not isinstance(self.info, Columns):
            object.__setattr__(self, "info", Columns(self.info, name="controls.info"))
        self.info.check_rows(n, "controls.info")
        infinite = any(bool(block.isinf().any()) for block in self.profile.split(1024))  # less memory than all at once
        require(not infinite, "controls.profile", "infinite values", "finite numbers or NaN")

    def check(self, n_features: int, n_batches: int, n_cell_lines: int, info: Columns) -> None:
        """ValueError unless these are control wells of a screen with so many features, batches and cell lines."""
        found = self.profile.shape[1]
        require(found == n_features, "controls.profile", f"{found} features", f"{n_features} like profile")
        for name, codes, n_codes in (
            ("batch_id", self.batch_id, n_batches),
            ("cell_line", self.cell_line, n_cell_lines),
        ):
            fits = codes.shape == (len(self),) and codes.dtype == torch.int64
            got = f"{tuple(codes.shape)} of {codes.dtype}"
            require(fits, f"controls.{name}", got, f"({len(self)},) of torch.int64")
            low, high = int(codes.min()), int(codes.max())
            require(0 <= low and high < n_codes, f"controls.{name}", f"{low}..{high}", f"codes in 0..{n_codes - 1}")
        for name in self.info.keys() & info.keys():
            values = (self.info[name], info[name])
            unknown = any(column.dtype == object and set(column.tolist()) == {None} for column in values)
            kinds = {column.dtype == object for column in values}
            require(
                unknown or len(kinds) == 1,
                f"controls.info[{name!r}]",
                "another type than info",
                "text or numbers in both",
            )

    def __len__(self) -> int:
        """Number of control wells."""
        return len(self.profile)


def _typed(name: str, given: Any, key: str) -> NDArray[Any]:
    """Read-only values in one of the four types."""
    try:
        values = np.asarray(given)
    except ValueError as error:
        raise ValueError(f"{name}: got rows of several shapes, expected one value a row") from error
    require(values.ndim == 1, name, f"shape {values.shape}", "one value a row")
    if values.dtype.kind == "O":
        values = _of_objects(name, values)
    if key in TEXT and values.dtype.kind in "iuf":
        values = _names_of_numbers(values)
    if key in NUMBERS and all(value is None for value in values.tolist()):
        values = np.full(len(values), np.nan)
    kinds, expected = "biufOU", KINDS
    if key in TEXT:
        kinds, expected = "OU", "text or whole numbers"
    elif key in NUMBERS:
        kinds, expected = "iuf", "numbers"
    got = "text" if values.dtype.kind in "OU" else f"values of type {values.dtype}"
    require(values.dtype.kind in kinds, name, got, expected)
    return _frozen(values.astype(np.float64 if key in NUMBERS else _TYPES[values.dtype.kind]))


def _of_objects(name: str, values: NDArray[Any]) -> NDArray[Any]:
    """Objects that are all text, with None where missing, or all numbers, with NaN."""
    missing = np.array([_is_missing(value) for value in values], dtype=bool)
    there = values[~missing]
    if all(isinstance(value, str) for value in there):
        text = np.full(len(values), None, dtype=object)
        text[~missing] = [str(value) for value in there]
        return text
    odd = [type(value).__name__ for value in there if not isinstance(value, int | float | np.number | np.bool_)]
    require(not odd, name, f"values of type {' and '.join(sorted(set(odd))[:2])} in some rows", KINDS)
    if not missing.any():
        return np.array(there.tolist())
    numbers = np.full(len(values), np.nan)
    numbers[~missing] = there.astype(np.float64)
    return numbers


def _names_of_numbers(values: NDArray[Any]) -> NDArray[Any]:
    """Text of whole numbers, as of plates that came as 7.0 because another is missing; else the values as they are."""
    missing = np.isnan(values)
    if not (missing | (values == np.round(values))).all():
        return values
    return np.array([None if gone else str(int(value)) for value, gone in zip(values, missing)], dtype=object)


def _is_missing(value: object) -> bool:
    """None, NaN, and pandas' NA and NaT, which are known by name so that pandas need not be imported."""
    return (
        value is None or type(value).__name__ in ("NAType", "NaTType") or (isinstance(value, float) and value != value)
    )


def _frozen(values: NDArray[Any]) -> NDArray[Any]:
    values.flags.writeable = False
    return values


def _listed(values: NDArray[Any]) -> list[Any]:
    return [None if _is_missing(value) else value for value in values.tolist()]


def standard_name(column: str) -> str:
    """The name in a screen's `info` of a file's column: "plate" for "Metadata_Plate"; others lose the prefix alone."""
    prefix = next((prefix for prefix in PREFIXES if column.lower().startswith(prefix)), "")
    bare = column[len(prefix) :] or column
    return _ALIASES.get(bare.lower(), bare)
