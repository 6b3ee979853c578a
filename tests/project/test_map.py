"""The map of the code in CONTRIBUTING.md is true: what it names is there, and no part of the package is missing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def named(root: Path) -> set[str]:
    """Files and folders in the first columns of the map, relative to the package."""
    text = (root / "CONTRIBUTING.md").read_text()
    text = text[text.index("## The map of the code") : text.index("### Walls")]
    found = set()
    for row in re.findall(r"^\| (`.*?) \|", text, re.M):
        folder = ""
        for name in re.findall(r"`([^`]+)`", row):  # `evaluate/` `mixing.py` stands for evaluate/mixing.py
            found.add(name if "/" in name else folder + name)
            folder = name[: name.rfind("/") + 1] or folder
    return found


def test_what_the_map_names_is_there(root: Path, named: set[str]):
    exact = {name for name in named if "<" not in name}
    assert len(exact) > 30
    assert [name for name in sorted(exact) if not (root / "infocore_mini" / name).exists()] == []


def test_the_map_names_every_module_at_the_top_and_every_folder(root: Path, named: set[str]):
    package = root / "infocore_mini"
    modules = {path.name for path in package.glob("[a-z]*.py")}
    folders = {f"{path.parent.name}/" for path in package.glob("*/__init__.py")}
    assert sorted((modules | folders) - named - {"experiments/"}) == []
