"""The file that a run is saved in after every epoch and goes on from: whole or not at all, of one run, for one process."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock, Timeout
from torch import Tensor

LAYOUT = 3  # one more whenever an older file could not be read


class Checkpoint:
    """A checkpoint of one run.

    Args:
        path: of the file.
        identity: what the run is, such as settings and checksum of the data, as JSON could hold it: a file of
            another run is refused.

    Raises:
        ValueError: if the folder does not exist or cannot be written to.
    """

    def __init__(self, path: Path, identity: Mapping[str, Any]) -> None:
        self.path, self.identity = path, {"layout": LAYOUT, **identity}
        if path.is_dir() or not os.access(path.parent, os.W_OK):
            got = "a folder" if path.is_dir() else f"no folder {path.parent} that can be written to"
            raise ValueError(f"checkpoint: got {path}, {got}, expected a file in an existing folder")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes off the file. Raises ValueError if one is at work on it."""
        lock = FileLock(self.path.with_name(self.path.name + ".lock"), timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise ValueError(f"checkpoint: another process is at work on {self.path}, expected one at a time") from None
        try:
            yield
        finally:
            with suppress(OSError):
                os.unlink(lock.lock_file)
            lock.release()

    def load(self, device: str) -> dict[str, Any] | None:
        """What was saved last, on ``device``; None where there is no file yet.

        Raises:
            ValueError: if the file is damaged, no checkpoint of ours, or of another run; it says what differs.
        """
        if not self.path.exists():
            return None
        try:
            state = torch.load(self.path, map_location=device, weights_only=True)
        except Exception as error:  # torch raises errors of many kinds for files that are not its own
            raise ValueError(f"checkpoint: {self.path} cannot be read ({error}); remove it to start again") from error
        if not isinstance(state, dict) or "identity" not in state:
            raise ValueError(f"checkpoint: {self.path} is no checkpoint of this version; remove it to start again")
        differs = _differences(state["identity"], self.identity)
        if differs:
            raise ValueError(
                f"checkpoint: {self.path} belongs to another run ({'; '.join(differs)}); "
                "name another file, or remove this one to start again"
            )
        return state

    def save(self, state: Mapping[str, Any]) -> None:
        """Write ``state``; a kill leaves the old file or the new one, never half of one.

        Raises:
            OSError: if there is no room for it; the old file stays.
        """
        partial = self.path.with_name(self.path.name + ".partial")
        try:
            torch.save({**state, "identity": self.identity}, partial)
            os.replace(partial, self.path)
        except (OSError, RuntimeError) as error:  # torch's writer raises RuntimeError where the disk is full
            partial.unlink(missing_ok=True)
            raise OSError(f"checkpoint: {self.path} could not be written ({error})") from error


def checksum(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of names, shapes and values, in hexadecimal."""
    found = hashlib.sha256()
    for name, value in sorted(tensors.items()):
        found.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        found.update(np.ascontiguousarray(value.detach().cpu().numpy()).data.cast("B") if value.numel() else b"")
    return found.hexdigest()


def _differences(stored: Mapping[str, Any], expected: Mapping[str, Any]) -> list[str]:
    """In words, what two identities differ in."""
    found = []
    for name in sorted({*stored, *expected}):
        was, now = stored.get(name), expected.get(name)
        if isinstance(was, Mapping) and isinstance(now, Mapping):
            found += _differences(was, now)
        elif was != now:
            found.append(f"{name}: {was} there, {now} here")
    return found
