"""What an audit is given, checked and numbered: an array or an AnnData, and labels of its rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from infocore_mini.inputs import label_codes
from infocore_mini.validation import as_matrix, require

PARTS = 5  # of equal size that cell counts are cut into


@dataclass(frozen=True)
class Rows:
    """Treated rows, or control wells.

    Attributes:
        kind: "treated" or "controls".
        points: (n, d) float32.
        nuisances: name -> (n,) codes.
        names: name -> what its codes stand for.
        stratum: (n,) codes; nuisance labels are exchanged within.
        molecule: (n,) codes, or None.
    """

    kind: str
    points: NDArray[np.float32]
    nuisances: dict[str, NDArray[np.int64]]
    names: dict[str, NDArray[Any]]
    stratum: NDArray[np.int64]
    molecule: NDArray[np.int64] | None


@dataclass(frozen=True)
class Given:
    """All that an audit looks at.

    Attributes:
        treated, controls: the two kinds of rows; ``controls`` may be None.
        designed: the nuisances that were given by name, rather than made of positions and cell counts.
        label: (n_treated,) codes of the label, or None.
        label_names: what they stand for.
        library: (n_treated,) codes; all 0 where none was given.
        baselines: name -> (n_treated, q) float32: cell count, position.
        before: (n_treated, d) float32 the same rows before a correction, or None.
        plate_map: (n_all, 2) row and column from 0 of all rows in the order given, or None.
        is_control: (n_all,) booleans.
    """

    treated: Rows
    controls: Rows | None
    designed: tuple[str, ...]
    label: NDArray[np.int64] | None
    label_names: NDArray[Any]
    library: NDArray[np.int64]
    baselines: dict[str, NDArray[np.float32]]
    before: NDArray[np.float32] | None
    plate_map: NDArray[np.int64] | None
    is_control: NDArray[np.bool_]


def read(
    embedding: Any,
    nuisance: Mapping[str, Any] | Sequence[str],
    *,
    obsm: str | None = None,
    before: Any = None,
    controls: Any = None,
    **columns: Any,
) -> Given:
    """Arguments of `audit`, checked; ``columns``: label, molecule, library, position, cell_count."""
    found = _Columns(embedding, obsm)
    n = len(found.points)
    given = dict(nuisance) if isinstance(nuisance, Mapping) else {name: name for name in nuisance}
    require(len(given) > 0, "nuisance", "nothing", 'labels by name, such as {"plate": plate}')
    control = np.zeros(n, dtype=bool) if controls is None else np.asarray(found.get("controls", controls))
    fits = control.shape == (n,) and control.dtype == bool
    require(fits, "controls", f"shape {control.shape} of {control.dtype}", f"({n},) booleans")
    require(controls is None or int(control.sum()) >= 8, "controls", f"{control.sum()} control wells", "at least 8")
    require(int((~control).sum()) >= 20, "embedding", f"{(~control).sum()} rows that are no controls", "at least 20")
    labels = {name: np.asarray(found.get(f"nuisance[{name!r}]", value)) for name, value in given.items()}
    position = _position(found.get("position", columns["position"]), n)
    count = _cell_count(found.get("cell_count", columns["cell_count"]), n)
    baselines = {}
    if position is not None:
        labels = {"row": position[:, 0], "column": position[:, 1]} | labels
        baselines["position"] = position.astype(np.float32)
    if count is not None:
        parts = np.unique(np.quantile(count[~control], np.arange(1, PARTS) / PARTS))
        labels = {"cell count": np.searchsorted(parts, count)} | labels
        baselines["cell count"] = np.log1p(count).astype(np.float32)[:, None]
    coded = {name: label_codes(f"nuisance[{name!r}]", value, n, "embedding") for name, value in labels.items()}
    coded = {name: coded[name] for name in [*given, *(name for name in coded if name not in given)]}
    for name in given:
        require(len(coded[name][0]) > 1, f"nuisance[{name!r}]", "one value", "at least 2")
    treated = np.flatnonzero(~control)
    of_treated = {
        name: _of_some(name, found.get(name, columns[name]), n, treated)
        for name in ("label", "molecule")
        if columns[name] is not None
    }
    label_names, label = of_treated.get("label", (np.array([]), None))
    molecule = of_treated["molecule"][1] if "molecule" in of_treated else None
    library = np.zeros(n, dtype=np.int64)
    if columns["library"] is not None:
        library = label_codes("library", found.get("library", columns["library"]), n, "embedding")[1]
    stratum = library[treated] if label is None else library[treated] * len(label_names) + label

    def rows(kind: str, which: NDArray, within: NDArray, members: NDArray | None) -> Rows:
        present = {name: np.unique(code[which], return_inverse=True) for name, (_, code) in coded.items()}
        return Rows(
            kind=kind,
            points=found.points[which],
            nuisances={name: codes for name, (_, codes) in present.items()},
            names={name: coded[name][0][values] for name, (values, _) in present.items()},
            stratum=np.unique(within, return_inverse=True)[1],
            molecule=members,
        )

    wells = np.flatnonzero(control)
    return Given(
        treated=rows("treated", treated, stratum, molecule),
        controls=rows("controls", wells, library[wells], None) if len(wells) else None,
        designed=tuple(given),
        label=label,
        label_names=label_names,
        library=library[treated],
        baselines={name: values[treated] for name, values in baselines.items()},
        before=None if before is None else _matrix("before", found.get("before", before), n)[treated],
        plate_map=position,
        is_control=control,
    )


class _Columns:
    """The matrix of an array or AnnData, and the columns of its ``obs``, by name."""

    def __init__(self, embedding: Any, obsm: str | None) -> None:
        self.obs = getattr(embedding, "obs", None)
        self.obsm = getattr(embedding, "obsm", {})
        if self.obs is None:
            require(obsm is None, "obsm", repr(obsm), "None, since embedding is no AnnData")
            self.points = _matrix("embedding", embedding)
        elif obsm is None:
            self.points = _matrix("embedding", embedding.X.toarray() if hasattr(embedding.X, "nnz") else embedding.X)
        else:
            require(obsm in self.obsm, "obsm", repr(obsm), f"one of {sorted(self.obsm)}")
            self.points = _matrix("embedding", self.obsm[obsm])

    def get(self, name: str, value: Any) -> Any:
        """The value itself, or the column of ``obs`` (``before``: the entry of ``obsm``) that a text names."""
        if not isinstance(value, str):
            return value
        table = self.obsm if name == "before" else self.obs
        known = [] if table is None else list(table)
        require(
            table is not None and value in known,
            name,
            repr(value),
            f"values, or with an AnnData one of {', '.join(map(str, known))}",
        )
        return np.asarray(table[value])  # type: ignore[index]


def _matrix(name: str, value: Any, n: int | None = None) -> NDArray[np.float32]:
    points = as_matrix(name, value, dtype=torch.float32).detach().cpu().numpy()
    require(n is None or len(points) == n, name, f"{len(points)} rows", f"{n} like embedding")
    require(bool((points != points[0]).any()), name, "equal rows", "rows that differ")
    return points


def _of_some(name: str, value: Any, n: int, rows: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Labels and codes of some rows; of the others nothing is asked but that they are there."""
    labels = np.asarray(value, dtype=object)
    require(labels.shape == (n,), name, f"shape {labels.shape}", f"({n},) like the rows of embedding")
    return label_codes(name, labels[rows], len(rows), "embedding")


def _cell_count(value: Any, n: int) -> NDArray[np.float64] | None:
    if value is None:
        return None
    count = np.asarray(value, dtype=np.float64)
    require(count.shape == (n,), "cell_count", f"shape {count.shape}", f"({n},) like the rows of embedding")
    require(bool((count >= 0).all()), "cell_count", "a missing or negative count", "one >= 0 for each row")
    return count


def _position(value: Any, n: int) -> NDArray[np.int64] | None:
    """(n, 2) row and column from 0, of such, or of names of wells such as "B07"."""
    if value is None:
        return None
    place = np.asarray(value)
    if place.ndim == 1:
        found = pd.Series(place.astype(str)).str.extract(r"^([A-Za-z]{1,2})(\d{1,2})$")
        wrong = found.isna().any(axis=1).to_numpy()
        got = f"a well {place[wrong][:1].tolist()}"
        require(not wrong.any(), "position", got, 'wells such as "B07", or (n, 2) rows and columns')
        number = found[0].str.upper().map(lambda text: sum((ord(c) - 64) * 26**i for i, c in enumerate(text[::-1])))
        place = np.stack([number.to_numpy(), found[1].astype(int).to_numpy()], 1)
    whole = place.shape == (n, 2) and place.dtype.kind in "iu"
    require(whole, "position", f"shape {place.shape} of {place.dtype}", f"({n}, 2) whole numbers, or ({n},) wells")
    return place.astype(np.int64) - place.min(0)
