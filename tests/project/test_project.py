"""What the project says about itself in several places agrees."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml
from conftest import NOTEBOOKS
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from rattler import MatchSpec

CONDA_NAMES = {"torch": "pytorch", "matplotlib": "matplotlib-base"}  # where conda-forge says it differently
TEXT = {".py", ".md", ".yml", ".toml", ".ipynb", ".cfg", ".csv", ".json", ".lock", ".bib", ".css", ".svg", ".cff", ""}


@pytest.fixture(scope="module")
def pyproject(root: Path) -> dict:
    return tomllib.loads((root / "pyproject.toml").read_text())


@pytest.fixture(scope="module")
def declared(pyproject: dict) -> dict[str, SpecifierSet]:
    """Every dependency of pyproject.toml, by its name on conda-forge."""
    project = pyproject["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    found = [Requirement(line) for lines in lists for line in lines]
    return {CONDA_NAMES.get(line.name, line.name): line.specifier for line in found}


def bounds(specifier: object) -> set[str]:
    """``{">=2.4", "<2.14"}`` of a specifier, pip's or conda's."""
    return {part.strip() for part in str(specifier).split(",") if part.strip()}


def test_environment_mirrors_pyproject(root: Path, pyproject: dict, declared: dict[str, SpecifierSet]):
    lines = yaml.safe_load((root / "environment.yml").read_text())["dependencies"]
    [pip] = [line["pip"] for line in lines if isinstance(line, dict)]
    from_conda = [MatchSpec(line, strict=True) for line in lines if isinstance(line, str)]
    from_pip = [Requirement(line) for line in pip if not line.startswith("--")]

    mirrored = {spec.name.normalized: bounds(spec.version) for spec in from_conda}
    assert mirrored.pop("pip") == {"None"}
    assert mirrored.pop("python") == bounds(pyproject["project"]["requires-python"])
    mirrored |= {line.name: bounds(line.specifier) for line in from_pip}
    assert mirrored == {name: bounds(specifier) for name, specifier in declared.items()}


def test_python_versions_agree(pyproject: dict):
    project = pyproject["project"]
    named = {line.rsplit(" ", 1)[1] for line in project["classifiers"] if re.search(r":: 3\.\d+$", line)}
    assert named == {"3.11", "3.12", "3.13"}
    allowed = SpecifierSet(project["requires-python"])
    assert {f"3.{minor}" for minor in range(8, 20) if f"3.{minor}.5" in allowed} == named


def test_the_lock_holds_every_dependency_but_torch(root: Path, pyproject: dict):
    locked = re.findall(r"^([a-z0-9][a-z0-9._-]*)==(\S+)", (root / "requirements.lock").read_text(), re.M)
    versions = dict(locked)
    project = pyproject["project"]
    for line in sum(project["optional-dependencies"].values(), project["dependencies"]):
        wanted = Requirement(line)
        if wanted.name != "torch":
            assert versions[wanted.name] in wanted.specifier, f"requirements.lock is behind {line}: run `make lock`"
    heavy = {name for name in versions if name in ("torch", "triton") or name.startswith(("nvidia-", "cuda-"))}
    assert not heavy, "these belong to some builds of torch only"
    assert {"filelock", "fsspec", "jinja2", "networkx", "sympy", "typing-extensions"} <= set(versions), (
        "torch needs them"
    )


def test_the_lock_is_hashed_and_names_no_host(root: Path):
    text = (root / "requirements.lock").read_text()
    entries = re.split(r"\n(?=\S)", text.strip())
    assert all("--hash=sha256:" in entry for entry in entries)
    assert "://" not in text
    assert "+cpu" not in text


def test_versions_agree(root: Path, pyproject: dict):
    import infocore_mini

    version = pyproject["project"]["version"]
    assert infocore_mini.__version__ == version
    assert str(yaml.safe_load((root / "CITATION.cff").read_text())["version"]) == version
    assert f"## {version}" in (root / "CHANGELOG.md").read_text()


def test_every_notebook_is_in_the_contents(root: Path):
    toc = yaml.safe_load((root / "_toc.yml").read_text())
    listed = {chapter["file"] for part in toc["parts"] for chapter in part["chapters"]}
    assert {page for page in listed if page.startswith("notebooks/")} == {
        f"notebooks/{path.stem}" for path in NOTEBOOKS
    }


def test_one_address_of_the_repository(root: Path, pyproject: dict):
    address = pyproject["project"]["urls"]["Repository"]
    assert yaml.safe_load((root / "_config.yml").read_text())["repository"]["url"] == address
    assert yaml.safe_load((root / "CITATION.cff").read_text())["repository-code"] == address


def test_no_path_of_a_machine(root: Path):
    """Neither this machine's home or folder of the repository, nor what looks like another's."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=root, capture_output=True, text=True
    )
    if listed.returncode:
        pytest.skip("not a git checkout: no list of the project's files")
    files = [root / line for line in listed.stdout.splitlines()]
    assert files
    here = "|".join(re.escape(f"{place}/") for place in (root.parent, Path.home()) if len(place.parts) > 1)
    place = re.compile(rf"{here}|(?<![\w.:/~-])/(?:home|root|Users|work|tmp|var|mnt)/\w")
    faults = [
        f"{path.relative_to(root)}: {found.group()}"
        for path in files
        if path.is_file() and path.suffix in TEXT
        if (found := place.search(path.read_text(errors="replace")))
    ]
    assert not faults


def test_an_installed_copy_brings_its_data(root: Path, tmp_path: Path):
    """The wheel holds the table of sources and the paper's numbers beside the code."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(root)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    [wheel] = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"infocore_mini/data/sources.csv", "infocore_mini/data/paper_tables.json"} <= names
    assert "infocore_mini/losses.py" in names
    assert not [name for name in names if name.startswith(("tests/", "notebooks/", "book/"))]
