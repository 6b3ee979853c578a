"""Where a number came from: every result is saved with what is needed to make it again."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from infocore_mini import __version__
from infocore_mini.sources import data_file

_STARTED = time.time()
_PACKAGES = ("torch", "numpy", "scipy", "scikit-learn", "pandas", "matplotlib")


def provenance(data: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Versions, commit, hardware, wall time since import (seconds) and checksums of the data used.

    Args:
        data: file name -> sha256 of every data file read; empty for a pure simulation.
    """
    return {
        "infocore_mini": __version__,
        "commit": _commit(),
        "python": platform.python_version(),
        "packages": {name: importlib.metadata.version(name) for name in _PACKAGES},
        "hardware": {
            "machine": platform.machine(),
            "cores": os.cpu_count(),
            "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        },
        "wall_time_seconds": round(time.time() - _STARTED, 1),
        "data_sha256": dict(data or {}),
    }


def save_results(
    name: str,
    parameters: Mapping[str, Any],
    results: Any,
    *,
    output_dir: str | Path,
    data: Mapping[str, str] | None = None,
) -> Path:
    """Write ``<output_dir>/results/<name>.json``: parameters, results and provenance.

    Args:
        name: of the notebook or experiment, without folder or ending.
        parameters: as checked by ``check_parameters``.
        results: anything JSON can hold; numpy numbers and arrays are converted.
        data: file name -> sha256 of every data file read.

    Returns:
        The path written.
    """
    path = Path(output_dir) / "results" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    record = {"name": name, "parameters": dict(parameters), "results": results, "provenance": provenance(data)}
    text = json.dumps(record, indent=1, default=_plain) + "\n"
    partial = path.with_suffix(f".{os.getpid()}.partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)
    return path


def paper_table(name: str):
    """A table of numbers as the paper prints them, e.g. ``"table4_and_9_fairness"`` (percentages).

    Raises KeyError for an unknown name.
    """
    tables = json.loads(data_file("paper_tables.json").read_text(encoding="utf-8"))
    if name not in tables:
        raise KeyError(f"name: no table {name!r}; known: {sorted(tables)}")
    return tables[name]


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Iterable):
        return list(value)
    return str(value)


def _commit() -> str | None:
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None
