"""Where a number came from: every result is saved with what is needed to make it again, and read in one way."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from infocore_mini import __version__
from infocore_mini.sources import DataUnavailable, data_file, fetch, sha256_of

_STARTED = time.time()
_PACKAGES = ("torch", "numpy", "scipy", "scikit-learn", "pandas", "matplotlib")
_PLACE = ("infocore_mini", "python", "packages", "hardware")


def commit() -> str | None:
    """The commit of this copy of the code, "-dirty" behind it if files were changed; None outside a repository."""
    return _git("describe", "--always", "--dirty", "--abbrev=12")


def committed() -> str | None:
    """The day of that commit, such as 2026-11-27: how old the code of a result is, the same whenever it is run."""
    return _git("log", "-1", "--format=%cs")


def _git(*command: str) -> str | None:
    try:
        found = subprocess.run(["git", *command], cwd=Path(__file__).parent, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None


# Of the code that this process has loaded, whatever is committed while it runs.
_COMMIT, _COMMITTED = commit(), committed()


def provenance(data: Mapping[str, str] | None = None, *, seconds: float | None = None) -> dict[str, Any]:
    """Versions, commit and its day, hardware, wall time (seconds) and checksums of the data used.

    Args:
        data: file name -> sha256 of every data file read; empty for a pure simulation.
        seconds: that the run took; None takes the time since this module was imported.
    """
    return {
        "infocore_mini": __version__,
        "commit": _COMMIT,
        "committed": _COMMITTED,
        "python": platform.python_version(),
        "packages": {name: importlib.metadata.version(name) for name in _PACKAGES},
        "hardware": {
            "machine": platform.machine(),
            "cores": os.cpu_count(),
            "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        },
        "seconds": round(time.time() - _STARTED if seconds is None else seconds, 1),
        "data_sha256": dict(data or {}),
    }


def provenance_of_runs(runs: Sequence[Mapping[str, Any]], data: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The provenances of single runs as one.

    Returns:
        Versions and hardware of the first run, "elsewhere": those of the runs that had others, if any; "commits",
        sorted, each once; "runs", their number; "seconds", their sum; "data_sha256" of all.
    """
    places: list[dict[str, Any]] = []
    for run in runs:
        place = {name: run[name] for name in _PLACE}
        if place not in places:
            places.append(place)
    first, *others = places
    return {
        **first,
        **({"elsewhere": others} if others else {}),
        "commits": sorted({run["commit"] for run in runs if run["commit"]}),
        "committed": sorted({run["committed"] for run in runs if run.get("committed")}),  # old runs do not know it
        "runs": len(runs),
        "seconds": round(sum(run["seconds"] for run in runs), 1),
        "data_sha256": {name: digest for run in runs for name, digest in run["data_sha256"].items()} | dict(data or {}),
    }


def checksums(files: Iterable[str]) -> dict[str, str]:
    """File name -> sha256 of data files named in ``data/sources.csv``, as far as they can be had."""
    found = {}
    for name in files:
        with suppress(DataUnavailable):
            found[name] = sha256_of(fetch(name))
    return found


def save_results(
    name: str,
    parameters: Mapping[str, Any],
    results: Any,
    *,
    output_dir: str | Path,
    data: Mapping[str, str] | None = None,
    runs: Sequence[Mapping[str, Any]] = (),
) -> Path:
    """Write ``<output_dir>/results/<name>.json``: parameters, results and provenance.

    Args:
        name: of the notebook or study, without folder or ending.
        parameters: as checked by ``check_parameters``.
        results: anything JSON can hold; numpy numbers and arrays are converted, numbers that are not finite are null.
        data: file name -> sha256 of every data file read.
        runs: provenances of the kept runs that the results are gathered from; none: this process made them.

    Returns:
        The path written.
    """
    path = Path(output_dir) / "results" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    made = provenance_of_runs(runs, data) if runs else provenance(data)
    record = {"name": name, "parameters": dict(parameters), "results": results, "provenance": made}
    text = json.dumps(as_json(record), indent=1, allow_nan=False) + "\n"
    partial = path.with_suffix(f".{os.getpid()}.partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)
    return path


@dataclass(frozen=True)
class StoredResult:
    """What ``save_results`` wrote.

    Attributes:
        provenance: as ``provenance`` or ``provenance_of_runs`` gives it. Files of version 0.1.0 hold the time since
            the process began as "wall_time_seconds"; where they were gathered from runs of earlier processes, "note"
            says what is not known of them.
    """

    name: str
    parameters: dict[str, Any]
    results: Any
    provenance: dict[str, Any]

    @classmethod
    def read(cls, path: str | Path) -> StoredResult:
        """Raises FileNotFoundError, or ValueError if the file is no stored result."""
        try:
            return cls(**json.loads(Path(path).read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            raise ValueError(f"{path}: got {error}, expected a file that save_results wrote") from None

    @property
    def commits(self) -> list[str]:
        """The commits that the runs were made at, as far as they are known."""
        made = self.provenance
        return made["commits"] if "commits" in made else [made["commit"]]

    @property
    def days(self) -> list[str]:
        """The days of those commits, sorted; none of a result that does not know them."""
        days = self.provenance.get("committed") or []
        return [days] if isinstance(days, str) else days

    @property
    def made(self) -> str:
        """Where it was made, for a page: "commit 1234 of 2026-11-27, 2 cores (x86_64, cpu), Python 3.11.7, torch 2.13.0, 97 s."."""
        made, machine = self.provenance, self.provenance["hardware"]
        seconds = f", {made['seconds']:,.0f} s" if "seconds" in made else ""
        note = f" {made['note']}" if "note" in made else ""
        days = " to ".join(dict.fromkeys((self.days[0], self.days[-1]))) if self.days else "a day not known"
        return (
            f"commit{'s' * (len(self.commits) > 1)} {', '.join(self.commits)} of {days}, "
            f"{machine['cores']} cores ({machine['machine']}, {machine['device']}), Python {made['python']}, "
            f"torch {made['packages']['torch']}{seconds}.{note}"
        )


def stored(name: str) -> StoredResult:
    """``data/results/<name>.json``, shipped with the project. Raises FileNotFoundError."""
    return StoredResult.read(data_file(f"results/{name}.json"))


def costs(names: Iterable[str]) -> pd.DataFrame:
    """What the stored studies cost: a row a study, its runs and the hours of one core.

    Of files that keep no runs of their own the time is that of the process; their runs are "not kept".

    Args:
        names: of studies; those that are not stored are left out.
    """
    rows = []
    for name in names:
        with suppress(FileNotFoundError):
            made = stored(name).provenance
            hours = made.get("seconds", made.get("wall_time_seconds", 0)) / 3600
            rows.append({"study": name, "runs": made.get("runs", "not kept"), "hours": round(hours, 2)})
    return pd.DataFrame(rows).sort_values("hours", ascending=False, ignore_index=True)


def paper_table(name: str):
    """A table of numbers as the paper prints them, e.g. ``"table4_and_9_fairness"`` (percentages).

    Raises KeyError for an unknown name.
    """
    tables = json.loads(data_file("paper_tables.json").read_text(encoding="utf-8"))
    if name not in tables:
        raise KeyError(f"name: no table {name!r}; known: {sorted(tables)}")
    return tables[name]


def as_json(value: Any) -> Any:
    """What a reader of the JSON file gets: tuples are lists, keys are text; JSON has no NaN and no infinity: None."""
    return json.loads(json.dumps(value, default=plain), parse_constant=lambda _: None)


def plain(value: Any) -> Any:
    """What JSON cannot hold, as something that it can: arrays and sets as lists, the rest as text."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Iterable):
        return list(value)
    return str(value)
