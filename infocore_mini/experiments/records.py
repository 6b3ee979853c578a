"""Runs that are kept: a long grid that is stopped goes on where it was."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock


def key_of(*settings: object) -> str:
    """Twelve hexadecimal digits that name the settings of a run; equal settings have equal ``repr``."""
    return hashlib.sha256(repr(settings).encode()).hexdigest()[:12]


def kept(path: Path, make: Callable[[], dict]) -> dict:
    """The record at ``path``, or the one that ``make`` returns, which is kept there: whole or not at all.

    Of two processes that want the same record the second waits, and finds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        if path.exists():
            return json.loads(path.read_text(encoding="utf-8"))
        record = make()
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(record), encoding="utf-8")
        partial.replace(path)
    return record
