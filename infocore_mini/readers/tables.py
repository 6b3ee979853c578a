"""Tables as they are found: by any usual ending, compression, separator and encoding; entries as text, doses, hours."""

from __future__ import annotations

import bz2
import codecs
import csv
import gzip
import hashlib
import io
import lzma
import re
import unicodedata
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TextIO

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from infocore_mini.sources import fetch, registry

LEFT_OUT_COLUMNS = ["name", "reason", "profiles"]
COMPRESSED = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open}  # by their first bytes
DAMAGED = (ValueError, OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile)  # pandas' and pyarrow's, too
MISSING = {"", "na", "n/a", "#n/a", "nan", "none", "null", "<na>"}
NO_VALUE = re.compile(r"-666(\.0*)?")  # the Connectivity Map's mark for a missing entry
MICROMOLAR = {"": 0, "m": 6, "mm": 3, "um": 0, "nm": -3, "pm": -6}  # powers of ten of M, mM, uM, nM and pM
MICROMOLAR |= {unit[:-1] + "mol/l": power for unit, power in MICROMOLAR.items() if unit}
HOURS = {"": 0, "h": 0, "hr": 0, "hrs": 0, "hour": 0, "hours": 0}
GROUP = 16  # columns of a Parquet file read at once
QUANTITY = re.compile(r"([-+]?\d*[.,]?\d+(?:e[-+]?\d+)?)\s*([a-z/]*)")


class ReadError(ValueError):
    """A file is damaged or does not hold what the reader needs; the message names file, finding and expectation."""


# ---- files -------------------------------------------------------------------------------------------------------


def located(path: str | Path) -> Path:
    """`path` itself, or the checked file for a name in ``data/sources.csv``.

    Raises:
        FileNotFoundError: if there is neither.
        ReadError: for text that is such a name while another file of that name lies in the working folder.
    """
    if isinstance(path, str) and path in registry():
        here = Path(path)
        same = not here.is_file() or hashlib.sha256(here.read_bytes()).hexdigest() == registry()[path].sha256
        require(
            same, "path", f"{path!r}, a name in data/sources.csv and another file here", f"Path({path!r}) for yours"
        )
        return fetch(path)
    if not Path(path).is_file():
        raise FileNotFoundError(f"path: no file {path}; expected a file or a name in data/sources.csv")
    return Path(path)


@contextmanager
def open_text(path: Path) -> Iterator[TextIO]:
    """A text file, plain or in gzip, bzip2, xz or zip, as its first bytes tell; in UTF-8, UTF-16 with mark or Latin-1."""
    with _open_bytes(path) as file:
        encoding = _encoding(file)
    with _open_bytes(path) as file, io.TextIOWrapper(file, encoding=encoding) as lines:
        yield lines


@contextmanager
def _open_bytes(path: Path) -> Iterator[IO[bytes]]:
    with path.open("rb") as plain:
        start = plain.read(6)
    if start.startswith(b"PK\x03\x04"):
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if not name.endswith("/") and "__MACOSX" not in name]
            require(len(names) == 1, path, f"an archive of {listed(names) or 'nothing'}", "one file in it")
            with archive.open(names[0]) as member:
                yield member
    else:
        opener: Any = next((opener for mark, opener in COMPRESSED.items() if start.startswith(mark)), open)
        with opener(path, "rb") as file:
            yield file


def _encoding(file: IO[bytes]) -> str:
    decoder, first = codecs.getincrementaldecoder("utf-8")(), True
    while block := file.read(1 << 20):
        if first and block.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return "utf-16"
        first = False
        try:
            decoder.decode(block)
        except UnicodeDecodeError:
            return "latin-1"
    return "latin-1" if decoder.getstate()[0] else "utf-8-sig"


# ---- tables ------------------------------------------------------------------------------------------------------


def read_table(path: Path, columns: Sequence[str], *, text: Iterable[str] = (), **options: Any) -> pd.DataFrame:
    """A table in Parquet or in text; separator, quotes, compression and encoding are found in the file, not its name.

    Args:
        path: file.
        columns: names that the table must have; others are kept.
        text: columns whose entries are text, "007" among them, and NaN where missing, see `as_text`.
        options: of ``pandas.read_csv``.

    Raises:
        ReadError: for a damaged or empty file, for a missing column, and where an open quote swallows lines.
    """
    return next(table_blocks(path, columns, text=text, **options))


def table_blocks(
    path: Path, columns: Sequence[str], *, text: Iterable[str] = (), rows: int | None = None, **options: Any
) -> Iterator[pd.DataFrame]:
    """A table in blocks, one of text in blocks of at most `rows` lines; what is asked of it is checked on the first, see `read_table`."""
    text, seen = list(text), 0
    try:
        for block in _parquet(path) if is_parquet(path) else _lines(path, text, rows, options):
            if not seen:
                require_columns(block, columns, path)
            for name in text:
                if name in block:
                    block[name] = as_text(block[name]).to_numpy()
            seen += len(block)
            require(seen > 0, path, "a table without rows", "at least one")
            yield block
    except ReadError:
        raise
    except DAMAGED as error:
        expected = "a readable table, its columns separated by tab, comma or semicolon"
        raise ReadError(f"{path}: got {str(error).strip()}, expected {expected}") from error


def is_parquet(path: Path) -> bool:
    """Whether a file is Parquet, by its first bytes or its name."""
    with path.open("rb") as file:
        return file.read(4) == b"PAR1" or path.suffix.lower() in (".parquet", ".pq")


def _parquet(path: Path) -> Iterator[pd.DataFrame]:
    """The whole table."""
    names, n_rows = parquet_shape(path)
    yield pd.concat([pd.DataFrame(index=range(n_rows)), *column_groups(path, names)], axis=1)


def parquet_shape(path: Path) -> tuple[list[str], int]:
    """The columns of a Parquet file, without the index of a table that was saved in it, and the number of rows."""
    with _parquet_file(path) as file:
        names = [name for name in file.schema_arrow.names if not name.startswith("__index_level_")]
        return names, file.metadata.num_rows


def column_groups(path: Path, names: list[str]) -> Iterator[pd.DataFrame]:
    """Columns of a Parquet file, some at a time: a row group often holds all rows, and Arrow copies what it reads."""
    with _parquet_file(path) as file:
        for start in range(0, len(names), GROUP):
            yield file.read(columns=names[start : start + GROUP], use_threads=False).to_pandas(ignore_metadata=True)
            pa.default_memory_pool().release_unused()  # it would keep most of the file


@contextmanager
def _parquet_file(path: Path) -> Iterator[pq.ParquetFile]:
    try:
        with pq.ParquetFile(path) as file:
            yield file
    except DAMAGED as error:
        raise ReadError(f"{path}: got {str(error).strip()}, expected a readable table in Parquet") from error


def _lines(path: Path, text: Sequence[str], rows: int | None, options: Mapping[str, Any]) -> Iterator[pd.DataFrame]:
    with open_text(path) as lines:
        n_before, head = 0, [lines.readline() for _ in range(9)]
        while len(head) > 1 and re.fullmatch(r'\s*|"?sep=.{1,3}\s*', head[0]):  # empty, or what Excel takes for itself
            n_before, head = n_before + 1, head[1:]
        lines.seek(0)
        sep = "\t" if "\t" in head[0] else max(",;", key=head[0].count)
        found = _form(head, sep) | {"skiprows": n_before, "dtype": dict.fromkeys(text, str), "low_memory": False}
        found |= {key: value for key, value in options.items() if key != "encoding"}
        tables: Any = pd.read_csv(lines, sep=sep, chunksize=rows, **found)
        for table in [tables] if rows is None else tables:
            quoted = found["quoting"] != csv.QUOTE_NONE
            if quoted:
                _require_no_swallowed_lines(table, sep, path)
            table = table.reset_index(drop=True)
            yield table if quoted else _unquoted(table)


def _form(head: list[str], sep: str) -> dict[str, Any]:
    """Options of ``read_csv`` from the first lines: whether quotes mean anything, decimal commas, a last separator."""
    header = head[0].rstrip("\r\n").split(sep)
    quoted = sep != "\t" or all(re.fullmatch('".*"', name) for name in header)  # a tab needs no quotes, so 5" is text
    fields = [field for line in head[1:] for field in line.rstrip("\r\n").split(sep)]
    commas = sep == ";" and any(re.fullmatch(r"-?\d+,\d+(e-?\d+)?", field, re.IGNORECASE) for field in fields)
    form: dict[str, Any] = {
        "quoting": csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE,
        "decimal": "," if commas else ".",
    }
    first = head[1].rstrip("\r\n").split(sep) if len(head) > 1 else []
    if len(first) == len(header) + 1 and first[-1] == "":  # else pandas takes the first column for an index
        form |= {"index_col": False, "usecols": range(len(header))}
    return form


def _require_no_swallowed_lines(table: pd.DataFrame, sep: str, path: Path) -> None:
    """An entry with a line end and as many separators as a line has is a quote that was never closed."""
    if table.shape[1] < 2:
        return
    for name in table.columns[[not pd.api.types.is_numeric_dtype(kind) for kind in table.dtypes]]:
        for entry in table[name]:
            if isinstance(entry, str) and "\n" in entry:
                swallowed = entry.count(sep) >= table.shape[1] - 1
                require(
                    not swallowed, path, f"lines within a quote in {name} ({entry[:40]!r})", "quotes that are closed"
                )


def _unquoted(table: pd.DataFrame) -> pd.DataFrame:
    """Text that stands in quotes as a whole, without them."""

    def bare(entry: Any) -> Any:
        whole = isinstance(entry, str) and len(entry) > 1 and entry[0] == entry[-1] == '"'
        return entry[1:-1].replace('""', '"') if whole else entry

    for name in table.columns[[not pd.api.types.is_numeric_dtype(kind) for kind in table.dtypes]]:
        if table[name].astype(str).str.startswith('"').any():
            table[name] = table[name].map(bare)
    return table.rename(columns=bare)


def numbers(table: pd.DataFrame, columns: Sequence[str], path: Path, what: str) -> NDArray[np.float32]:
    """(n_rows, n_columns) values of some columns; ReadError, calling the columns `what`, if one holds text."""
    try:
        return table[list(columns)].to_numpy(dtype=np.float32)
    except ValueError as error:
        raise ReadError(f"{path}: got {error}, expected numbers in the {what}") from error


# ---- entries -----------------------------------------------------------------------------------------------------


def as_text(values: Iterable[object]) -> pd.Series:
    """Entries as text without spaces around, None where missing: empty, NA, NaN, None, null, -666."""
    known: dict[object, str | None] = {None: None}
    texts = []
    for value in values:
        missing = value is None or value is pd.NA or value is pd.NaT or value != value
        key = None if missing else (type(value), value)  # True is no 1
        if key not in known:
            known[key] = _text(value)
        texts.append(known[key])
    return pd.Series(texts, dtype=object)


def _text(value: Any) -> str | None:
    if isinstance(value, bytes):
        text = decoded(value)
    elif isinstance(value, float | np.floating) and float(value).is_integer():
        text = str(int(value))  # a plate that came as 7.0 since another is missing
    else:
        text = str(value)
    text = text.strip().strip("\0")
    return None if text.lower() in MISSING or NO_VALUE.fullmatch(text) else text


def decoded(value: bytes) -> str:
    """UTF-8, or Latin-1 where that it is not."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")


def micromolar(doses: Iterable[object], source: str | Path, column: str) -> NDArray[np.float64]:
    """(n,) concentrations in micromolar of numbers (micromolar already) or text such as "10 uM", "0.5 µM", "100 nM".

    Raises:
        ReadError: for an entry that is no concentration, such as "high" or "10 ug/ml".
    """
    return _quantities(doses, MICROMOLAR, source, column, "concentrations, in micromolar or with M, mM, uM, nM or pM")


def hours(times: Iterable[object], source: str | Path, column: str) -> NDArray[np.float64]:
    """(n,) hours of numbers or text such as "24 h"; ReadError for an entry that is no such time."""
    return _quantities(times, HOURS, source, column, "times in hours")


def _quantities(
    values: Iterable[object], units: Mapping[str, int], source: str | Path, column: str, expected: str
) -> NDArray[np.float64]:
    texts = as_text(values)
    found = {text: _quantity(text, units) for text in texts.dropna().unique()}
    odd = [text for text, number in found.items() if number is None]
    require(not odd, source, f"{listed(map(repr, odd))} under {column}", expected)
    return np.array([np.nan if text is None else found[text] for text in texts], dtype=np.float64)


def _quantity(text: str, units: Mapping[str, int]) -> float | None:
    plain = unicodedata.normalize("NFKC", text).replace("μ", "u").strip().lower()
    match = QUANTITY.fullmatch(plain.replace("micromolar", "um").replace("nanomolar", "nm"))
    if match is None or match[2] not in units or re.search(r"[1-9]\d*,\d{3}$", match[1]):  # 1,000: a thousand or one?
        return None
    number, power = float(match[1].replace(",", ".")), units[match[2]]
    return number * 10**power if power >= 0 else number / 10**-power


# ---- messages ----------------------------------------------------------------------------------------------------


def report(name: Iterable[object], reason: Iterable[object] | str) -> pd.DataFrame:
    """A table like `ReadScreen.left_out`: profiles counted by name and reason."""
    names = ["(no name)" if text is None else text for text in as_text(name)]
    reasons = [reason] * len(names) if isinstance(reason, str) else list(reason)
    table = pd.DataFrame({"name": names, "reason": reasons}, dtype=object)
    return table.groupby(["name", "reason"], sort=True).size().reset_index(name="profiles")


def require_columns(table: pd.DataFrame, columns: Sequence[str], path: str | Path) -> None:
    """Raises ReadError if a column is missing."""
    missing = [column for column in columns if column not in table]
    require(not missing, path, f"no column {listed(missing)} among {listed(table.columns)}", listed(columns))


def require(holds: bool | np.bool_, source: object, got: object, expected: str) -> None:
    """Raises ReadError unless `holds`."""
    if not holds:
        raise ReadError(f"{source}: got {got}, expected {expected}")


def listed(names: Iterable[object], at_most: int = 8) -> str:
    """Names for a message: the first few, and how many more."""
    texts = list(map(str, names))
    return ", ".join(texts[:at_most]) + (f" and {len(texts) - at_most} more" if len(texts) > at_most else "")
