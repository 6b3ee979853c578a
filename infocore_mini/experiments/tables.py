"""One look for every table: a data frame as the HTML that notebooks and pages show, the same on every run.

`register` hands it to IPython; book/assets/book.css gives it its colours and lines, and numbers the captions.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from html import escape
from itertools import groupby
from numbers import Integral, Number
from typing import Any

import numpy as np
import pandas as pd

from infocore_mini.experiments.names import DATASET_NAMES, METHOD_NAMES, RIVAL_NAMES

DIGITS = 3  # significant ones of a column's largest number, where the column was not rounded
MOST_DECIMALS = 3
LONG_WORD = 20  # characters
BEST, NOT_TOLD_APART = "best", "not told apart"
_SIGNS = {BEST: "★", NOT_TOLD_APART: "☆"}
_MEANING = {
    BEST: "best",
    NOT_TOLD_APART: "not told apart from the best (by the 95 % interval of the difference, pair by pair)",
}
_WHOLE_NAMES = METHOD_NAMES | RIVAL_NAMES | DATASET_NAMES
_SPELT_OUT = {
    "auc": "AUC",
    "fpr": "false positive rate",
    "n_batches": "experimental batches",
    "n_queries": "queries",
    "r2": "R²",
    "std": "s.d.",
    "tpr": "true positive rate",
}
_METHOD = re.compile(rf"\b({'|'.join(METHOD_NAMES)})\b")
_ARM = re.compile(rf"^({'|'.join(METHOD_NAMES)})(?=, |$)")  # how the key of an arm begins: "clip, comas"
_SYMBOL = re.compile(r"\$?\b(?:([A-Z])_([A-Za-z0-9])|([a-z])_([A-Z0-9]))\b\$?")  # n_B, $Z_g$
_FIGURES = re.compile(
    r"(?=[-+−\d])(?:[-+−]?[\d.,]+(?:e[-+−]?\d+)?|±|to|[x×%()\[\] ])+"
)  # "6.5 [5.9, 7.1]", "9 (8 to 11)"
_GLUED = re.compile(r" (?![\[(])")
_HYPHEN = re.compile(r"(?<![\w.)\]])-(?=[\d.])")


def captioned(frame: pd.DataFrame, caption: str, *, marks: pd.DataFrame | None = None) -> pd.DataFrame:
    """A copy of ``frame`` that is shown under ``caption``: what it says, of which data, in which unit.

    Args:
        marks: of each cell `BEST`, `NOT_TOLD_APART` or "", where an interval says so (`experiments.best`); rows and
            columns that it lacks get none. The caption then ends with what the marks mean.

    Raises:
        ValueError: if ``marks`` has a row or a column that ``frame`` has not, or another mark.
    """
    copy = frame.copy()
    copy.attrs["caption"] = caption
    if marks is not None:
        strange = [*marks.index.difference(frame.index), *marks.columns.difference(frame.columns)]
        strange += [mark for mark in pd.unique(marks.to_numpy().ravel()) if mark not in ("", *_SIGNS)]
        if strange:
            raise ValueError(f"marks: got {strange[0]!r}, expected rows and columns of the table, and {list(_SIGNS)}")
        everywhere = marks.reindex(index=frame.index, columns=frame.columns, fill_value="")
        copy.attrs["marks"] = everywhere.to_numpy().tolist()
        legend = [f"{sign} {_MEANING[mark]}" for mark, sign in _SIGNS.items() if (everywhere == mark).any(axis=None)]
        copy.attrs["caption"] += f" {', '.join(legend)}." if legend else ""
    return copy


def with_intervals(frame: pd.DataFrame, bounds: Mapping[str, tuple[str, str]], places: int) -> pd.DataFrame:
    """Columns and their bounds in one, as text: "0.27 [0.19, 0.36]"; alone where a bound is missing.

    Args:
        bounds: column -> (column of the lower bound, column of the upper one), which are left out.
        places: decimals.
    """
    table = frame.drop(columns=[name for ends in bounds.values() for name in ends])
    for column, ends in bounds.items():
        rows = frame[[column, *ends]].itertuples(index=False)
        table[column] = [
            f"{value:.{places}f}" + ("" if np.isnan([low, high]).any() else f" [{low:.{places}f}, {high:.{places}f}]")
            for value, low, high in rows
        ]
    return table


def register() -> None:
    """Let the running notebook show data frames and series by `html`; nothing outside IPython."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    if shell is not None:
        formatter = shell.display_formatter.formatters["text/html"]
        for kind in (pd.DataFrame, pd.Series):
            formatter.for_type(kind, html)


def html(table: pd.DataFrame | pd.Series) -> str:
    """A table as HTML in plain words.

    Methods have their names, underscores are spaces, missing values are empty, booleans "yes" and "no"; the numbers of
    a column share their decimals. An index of numbers without a name says nothing and is left out.

    Args:
        table: of any index and columns; of a MultiIndex, a level that repeats is shown once. Its
            ``attrs["caption"]``, if any, stands above, ``attrs["marks"]`` in the cells (see `captioned`).
    """
    frame = table.to_frame(table.name or "") if isinstance(table, pd.Series) else table
    columns = [frame.iloc[:, at].tolist() for at in range(frame.shape[1])]
    classes = [_class(values) for values in columns]
    cells = [_cells(values, kind) for values, kind in zip(columns, classes)]
    levels = (
        [] if _says_nothing(frame.index) else [frame.index.get_level_values(at) for at in range(frame.index.nlevels)]
    )
    marked = _marked(list(zip(*cells)), table.attrs.get("marks"))
    body = zip(_row_heads(levels, len(frame)), marked if cells else [()] * len(frame))
    rows = "\n".join(f"<tr>{heads}{''.join(row)}</tr>" for heads, row in body)
    caption = table.attrs.get("caption", "")
    above = f"<caption><span>{escape(caption)}</span></caption>\n" if caption else ""
    name = escape(caption or "Table", quote=True)
    return (
        f'<div class="table-scroll" role="region" tabindex="0" aria-label="{name}">\n<table class="shown">\n{above}'
        f"<thead>\n{_head(frame, levels, classes)}\n</thead>\n<tbody>\n{rows}\n</tbody>\n</table>\n</div>"
    )


def _marked(rows: Sequence[Sequence[str]], marks: Sequence[Sequence[str]] | None) -> list[list[str]]:
    """Cells with their marks in front, where they leave the figures one below the other; the best one is bold, too."""

    def cell(text: str, mark: str) -> str:
        start, said = text.removesuffix("</td>").split(">", 1)
        sign = f'<span role="img" aria-label="{mark}">{_SIGNS[mark]}</span>&nbsp;' if mark else ""
        return f"{start}>{sign}{f'<strong>{said}</strong>' if mark == BEST else said}</td>"

    if marks is None:
        return [list(row) for row in rows]
    return [[cell(*pair) for pair in zip(*both, strict=True)] for both in zip(rows, marks, strict=True)]


def words(label: Hashable) -> str:
    """What the pages call a row or a column, as HTML: "infocore" is InfoCORE, "peak_bytes" peak bytes, n_B has its index."""
    if _missing(label):
        return ""
    if not isinstance(label, str):
        return _number(label, decimals(pd.Series([label]))) if _numeric(label) else words(str(label))
    named = (_WHOLE_NAMES | _SPELT_OUT).get(label) or _METHOD.sub(_named, label)
    parts = _SYMBOL.sub(r"\1\3<sub>\2\4</sub>", escape(_true_minus(named)))
    return parts.replace("_", " ")


def decimals(values: Iterable[Any]) -> int:
    """How many decimals the finite numbers of a column need: none for counts, else at most three digits and no noise."""
    numbers = np.array(
        [float(v) for v in values if _numeric(v) and not isinstance(v, Integral) and np.isfinite(float(v))]
    )
    if not len(numbers):
        return 0
    noise = min(1e-9, 1e-6 * np.abs(numbers).max())
    for places in range(MOST_DECIMALS + 1):
        if np.allclose(numbers, numbers.round(places), rtol=0, atol=noise):
            return places
    places = max(0, DIGITS - 1 - int(np.floor(np.log10(np.abs(numbers).max()))))
    shown = numbers.round(places)
    while places and np.allclose(shown, shown.round(places - 1), rtol=1e-9, atol=0):
        places -= 1
    return places


def _class(values: Sequence[Any]) -> str:
    """Numbers, and text that is made of them, stand on the right with what heads them; long words may break, as SMILES."""
    said = [
        value for value in values if not _missing(value) and not isinstance(value, (bool, np.bool_)) and value != ""
    ]
    right = all(_numeric(value) or (isinstance(value, str) and _FIGURES.fullmatch(value)) for value in said)
    if right and said:
        return ' class="number"'
    longest = max((len(word) for value in said for word in str(value).split()), default=0)
    return ' class="long"' if longest > LONG_WORD else ""


def _cells(values: Sequence[Any], kind: str) -> list[str]:
    places = decimals(values)
    return [f"<td{kind}>{_cell(value, places)}</td>" for value in values]


def _cell(value: Any, places: int) -> str:
    if _missing(value):
        return ""
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if _numeric(value):
        return _number(value, places)
    text = _WHOLE_NAMES.get(str(value)) or _ARM.sub(_named, str(value))
    return escape(_true_minus(text))


def _number(value: Any, places: int) -> str:
    if isinstance(value, Integral):
        places = 0
    if not np.isfinite(float(value)):
        return "∞" if value > 0 else "−∞"
    if places > 2 * MOST_DECIMALS and value:
        digits, power = f"{float(value):.{DIGITS - 1}e}".split("e")
        return f"{digits} × 10<sup>{int(power)}</sup>".replace("-", "−")
    return f"{float(value) + 0.0:z,.{places}f}".replace("-", "−")


def _named(method: re.Match) -> str:
    return METHOD_NAMES[method[0]]


def _true_minus(text: str) -> str:
    """In text made of numbers a hyphen is a minus sign, and a line breaks only before a bracket."""
    return _GLUED.sub("\N{NO-BREAK SPACE}", _HYPHEN.sub("−", text)) if _FIGURES.fullmatch(text) else text


def _numeric(value: Any) -> bool:
    return isinstance(value, Number) and not isinstance(value, (bool, np.bool_))


def _missing(value: Any) -> bool:
    return value is None or (pd.api.types.is_scalar(value) and bool(pd.isna(value)))


def _says_nothing(index: pd.Index) -> bool:
    return index.nlevels == 1 and index.name is None and pd.api.types.is_integer_dtype(index.dtype)


def _runs(levels: Sequence[Sequence], level: int) -> list[int]:
    """Lengths of the runs of one level's labels within the labels of the levels before it."""
    return [len(list(run)) for _, run in groupby(zip(*levels[: level + 1]), key=lambda labels: tuple(map(str, labels)))]


def _row_heads(levels: Sequence[pd.Index], n_rows: int) -> Iterator[str]:
    """For each row, its headers; those that an earlier row has set are left out."""
    heads = [""] * n_rows
    for at, labels in enumerate(levels):
        inner, row = at == len(levels) - 1, 0
        for length in [1] * n_rows if inner else _runs(levels, at):
            span = f' rowspan="{length}"' if length > 1 else ""
            heads[row] += f'<th scope="{"row" if inner else "rowgroup"}"{span}>{_label(labels, row)}</th>'
            row += length
    return iter(heads)


def _label(labels: pd.Index, at: int) -> str:
    """One label of a level; the numbers of a level share their decimals."""
    value = labels[at]
    return _number(value, decimals(labels.unique())) if _numeric(value) else words(value)


def _head(frame: pd.DataFrame, levels: Sequence[pd.Index], classes: Sequence[str]) -> str:
    """A row for each level of the columns; the names of the index stand in the last."""
    columns = [frame.columns.get_level_values(at) for at in range(frame.columns.nlevels)]
    rows = []
    for at, labels in enumerate(columns):
        last, cells, column = at == len(columns) - 1, [], 0
        names = [words(name) if last else "" for name in (level.name for level in levels)]
        cells += [f'<th scope="col">{name}</th>' if name else "<td></td>" for name in names]
        for length in [1] * len(labels) if last else _runs(columns, at):
            span = f' colspan="{length}"' if length > 1 else ""
            text = _label(labels, column)
            if _numeric(labels[column]) and labels.name is not None:
                text = f"{words(labels.name)} {text}"  # "top 5"
            kind = f' scope="col"{classes[column]}' if last else ' scope="colgroup"'
            cells.append(f"<th{kind}{span}>{text}</th>" if text else f"<td{span}></td>")
            column += length
        rows.append(f"<tr>{''.join(cells)}</tr>")
    return "\n".join(rows)
