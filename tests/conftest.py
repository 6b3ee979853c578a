"""What several test files share: where things are, the notebooks, and the built copies of the book."""

from __future__ import annotations

import filecmp
import sys
from pathlib import Path

import pytest
import yaml

from infocore_mini.sources import DataUnavailable, fetch

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
sys.path.insert(0, str(ROOT / "book"))  # execute.py, build.py, store_outputs.py


def at_hand(*files: str) -> None:
    """Skip the test, saying why, unless these files of ``data/sources.csv`` can be had."""
    try:
        for file in files:
            fetch(file)
    except DataUnavailable as reason:
        pytest.skip(f"needs the real file: {reason}")


def toc_pages(root: Path) -> list[str]:
    toc = yaml.safe_load((root / "_toc.yml").read_text())
    return [toc["root"], *(chapter["file"] for part in toc["parts"] for chapter in part["chapters"])]


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def book_html(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of pages built from the committed outputs; tests that use it share an xdist group, so it is built once."""
    import build

    folder = tmp_path_factory.mktemp("book")
    build.gather(ROOT / "notebooks", folder / "stage")
    done = build.build(folder / "stage", folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "_build" / "html"


@pytest.fixture(scope="session")
def executed_html(root: Path) -> Path:
    """The folder of pages that ``make book`` built, where it built them from what it executed."""
    executed, stage = root / "_build" / "executed", root / "_build" / "stage" / "notebooks"
    names = [path.name for path in NOTEBOOKS]
    _, differ, missing = filecmp.cmpfiles(executed, stage, names, shallow=False)
    if differ or missing or not (root / "_build" / "html" / "index.html").is_file():
        pytest.skip("no book of executed notebooks: `make book` builds it")
    return root / "_build" / "html"


@pytest.fixture(scope="session")
def broken_book(tmp_path_factory: pytest.TempPathFactory):
    """A book with planted faults, built once."""
    import broken_book

    return broken_book.make(tmp_path_factory.mktemp("broken"))
