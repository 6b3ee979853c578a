"""Put MathJax beside the book, so that a reader without a network sees the maths.

The official npm package comes first, then a wheel on the package index that ships the same release.
Both are checked against a checksum; nothing of this is committed.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "assets" / "vendor" / "mathjax"
SCRIPT = "es5/startup.js"
# What sets the book's formulas and hands them to screen readers; the usual bundle adds a menu and MathML as input.
COMPONENTS = ("core", "input/tex", "output/chtml", "a11y/assistive-mml")
PARTS = (  # complete once SCRIPT is
    *(f"es5/{component}.js" for component in COMPONENTS),
    "es5/input/tex/extensions",
    "es5/output/chtml/fonts",
    "LICENSE",
    SCRIPT,
)
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


def mathjax_path() -> str | None:
    """What Sphinx's ``mathjax_path`` should be; None, for Sphinx's own choice of a CDN, if no copy could be had."""
    if not (FOLDER / SCRIPT).is_file() and not any(_install(*source) for source in SOURCES):
        print("MathJax could not be had from npm or the package index: readers will fetch it from a CDN", flush=True)
        return None
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
        shutil.unpack_archive(archive, unpacked, "zip" if archive.suffix == ".whl" else "gztar")
        shutil.rmtree(FOLDER, ignore_errors=True)
        for part in PARTS:
            found, target = unpacked / prefix / part, FOLDER / part
            target.parent.mkdir(parents=True, exist_ok=True)
            if found.is_dir():
                shutil.copytree(found, target, dirs_exist_ok=True)
            else:
                shutil.copy(found, target)
    return True
