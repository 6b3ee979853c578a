"""Put MathJax beside the book, so that a reader without a network sees the maths.

The official npm package comes first, then a wheel on the package index that ships the same release.
Both are checked against a checksum; nothing of this is committed.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "assets" / "vendor" / "mathjax"
SCRIPT = "es5/tex-mml-chtml.js"
PARTS = (SCRIPT, "es5/output/chtml/", "es5/input/", "es5/a11y/", "es5/sre/", "es5/ui/", "LICENSE")
CDN = "https://cdn.jsdelivr.net/npm/mathjax@3.2.2/" + SCRIPT
SOURCES = (
    (
        ["npm", "pack", "--silent", "mathjax@3.2.2"],
        "1b9c0a1c44df864e915690558e72adb9cc5203360daefd385084ced3b6c64c09",
        "package/",
    ),
    (
        [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "django-static-mathjax==3.2.2.1"],
        "05ad109fd9e5d9d380c76389689b7f523e9ccb7f7a85c1eb962c7564eac7601d",
        "mathjax/static/mathjax/",
    ),
)


def mathjax_path() -> str:
    """What Sphinx's ``mathjax_path`` should be: the copy in the book's static files, or else the CDN's address."""
    if not (FOLDER / SCRIPT).is_file() and not any(_install(*source) for source in SOURCES):
        print("MathJax could not be had from npm or the package index: readers will fetch it from a CDN", flush=True)
        return CDN
    return f"vendor/mathjax/{SCRIPT}"


def _install(command: list[str], sha256: str, prefix: str) -> bool:
    with tempfile.TemporaryDirectory() as temporary:
        try:
            subprocess.run(command, cwd=temporary, check=True, capture_output=True, timeout=180)
        except (OSError, subprocess.SubprocessError):
            return False
        [archive] = Path(temporary).iterdir()
        if hashlib.sha256(archive.read_bytes()).hexdigest() != sha256:
            print(f"{archive.name}: wrong checksum, not used", flush=True)
            return False
        unpacked = Path(temporary) / "unpacked"
        if archive.suffix == ".whl":
            with zipfile.ZipFile(archive) as wheel:
                wheel.extractall(unpacked)
        else:
            with tarfile.open(archive) as tar:
                tar.extractall(unpacked, filter="data")
        for part in PARTS:
            found, target = unpacked / prefix / part, FOLDER / part
            target.parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if found.is_dir() else shutil.copy)(found, target)
    return True
