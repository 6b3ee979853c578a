"""The repository's address is the same wherever it stands, and one command replaces it everywhere."""

from __future__ import annotations

import subprocess
from pathlib import Path

import address
import pages
import pytest

NEW = "https://github.com/someone/a-new-name"


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True)


def kept_files() -> list[Path]:
    try:
        return address.files()
    except subprocess.CalledProcessError:
        pytest.skip("not a git checkout: no list of the project's files")


def test_every_file_has_the_one_address(root: Path):
    """Addresses of the tests' own making aside."""
    faults = {
        path.relative_to(root).as_posix(): pages.wrong_addresses(path.read_text(encoding="utf-8"))
        for path in kept_files()
        if "tests" not in path.relative_to(root).parts
    }
    assert {path: wrong for path, wrong in faults.items() if wrong} == {}


def test_a_wrong_address_is_found():
    assert pages.wrong_addresses("pip install git+https://github.com/planted/infocore-mini.git") == [
        "github.com/planted/infocore-mini.git"
    ]
    assert pages.wrong_addresses(f"{address.address()}/issues/17, {address.address()}.git") == []


def test_one_command_replaces_it_everywhere(tmp_path: Path, root: Path):
    for path in kept_files():
        text = path.read_text(encoding="utf-8")
        if pages.repository() in text:
            copy = tmp_path / path.relative_to(root)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(text, encoding="utf-8")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    changed = {path.relative_to(tmp_path).as_posix() for path in address.replace(NEW, tmp_path)}
    assert {"pyproject.toml", "_config.yml", "CITATION.cff", "book/how_to_use.md"} < changed
    assert {path.split(".")[1] for path in changed if path.startswith("notebooks/")} == {"py", "ipynb"}
    assert address.address(tmp_path) == NEW
    left = [path for path in address.files(tmp_path) if f"github.com/{pages.repository()}" in path.read_text()]
    assert left == []
    assert "github/someone/a-new-name/blob/main" in (tmp_path / "tests/book/broken_book.py").read_text()


@pytest.mark.parametrize("wrong", ["", "github.com/owner/name", "https://github.com/owner", "https://example.org/a/b"])
def test_what_is_no_address_changes_nothing(wrong: str, tmp_path: Path):
    with pytest.raises(ValueError, match="expected https://github.com/owner/name"):
        address.replace(wrong, tmp_path)
