"""The one way to keep a run: a JSON file named by the run's settings, so that a study that is stopped goes on.

A run is kept with its own provenance: a study may be filled by many processes, at several commits.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock
from joblib import Parallel

from infocore_mini.experiments.results import as_json, plain, provenance

Made = tuple[Any, Mapping[str, str]]


@dataclass(frozen=True)
class Record:
    """A finished run, as its file holds it.

    Attributes:
        kind: of run, such as "pretraining".
        settings: everything that the result depends on besides the code.
        result: as JSON holds it: tuples are lists, keys are text, numbers that are not finite None.
        provenance: of this run alone, see ``results.provenance``.
    """

    kind: str
    settings: dict[str, Any]
    result: Any
    provenance: dict[str, Any]


def path_of(folder: Path, kind: str, settings: Mapping[str, Any]) -> Path:
    """Where the record of a run is kept: ``<kind>-<12 hexadecimal digits of the settings>.json``."""
    text = json.dumps([kind, settings], sort_keys=True, default=plain)
    return folder / f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:12]}.json"


def kept(folder: Path | None, kind: str, settings: Mapping[str, Any], make: Callable[[], Made]) -> Record:
    """The record of a run: found in ``folder``, or made and kept there, whole or not at all.

    Of two processes that want the same run the second waits, and finds it.

    Args:
        folder: of single runs; None keeps nothing.
        kind: of run; settings are compared within a kind.
        settings: everything that the result depends on besides the code; anything JSON can hold.
        make: computes the run; returns its result and file name -> sha256 of every data file read.

    Raises:
        ValueError: if the file at the run's place is damaged or holds another run.
    """
    settings = as_json(settings)
    if folder is None:
        return _made(kind, settings, make)
    path = path_of(folder, kind, settings)
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        if path.exists():
            return _read(path, kind, settings)
        record = _made(kind, settings, make)
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(asdict(record), allow_nan=False), encoding="utf-8")
        partial.replace(path)
    return record


def _made(kind: str, settings: dict[str, Any], make: Callable[[], Made]) -> Record:
    started = time.perf_counter()
    result, data = make()
    return Record(kind, settings, as_json(result), provenance(data, seconds=time.perf_counter() - started))


def _read(path: Path, kind: str, settings: dict[str, Any]) -> Record:
    try:
        record = Record(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: got a damaged file ({error}), expected the record of a run; delete it") from None
    if (record.kind, record.settings) != (kind, settings):
        raise ValueError(f"{path}: got a run of other settings, expected {kind} of {settings}; delete it")
    return record


def in_parallel(n_jobs: int, **options: Any) -> Parallel:
    """joblib's workers, one run at a time each; ``options`` are joblib's.

    Runs that are kept take no time, from which joblib would guess that the next ones take none either, and hand out so
    many at once that in the end one worker has all that is left.
    """
    return Parallel(n_jobs=n_jobs, batch_size=1, **options)
