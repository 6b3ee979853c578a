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
    """Every dependency of pyproject.toml, by its name on conda-forge; an extra that names another adds none."""
    project = pyproject["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    found = [Requirement(line) for lines in lists for line in lines]
    return {CONDA_NAMES.get(line.name, line.name): line.specifier for line in found if line.name != project["name"]}


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
        if wanted.name not in ("torch", project["name"]):
            assert versions[wanted.name] in wanted.specifier, f"requirements.lock is behind {line}: run `make lock`"
    heavy = {name for name in versions if name in ("torch", "triton") or name.startswith(("nvidia-", "cuda-"))}
    assert not heavy, "these belong to some builds of torch only"
    assert {"filelock", "fsspec", "jinja2", "networkx", "sympy", "typing-extensions"} <= set(versions), (
        "torch needs them"
    )


def test_any_newer_torch_is_let_in_and_one_is_named_as_tested(root: Path, pyproject: dict):
    """Colab would replace its own torch below an upper bound; the stored outputs need the one that made them."""
    [wanted] = [line for line in map(Requirement, pyproject["project"]["dependencies"]) if line.name == "torch"]
    assert {part.operator for part in wanted.specifier} == {">="}
    [tested] = [line for line in pyproject["tool"]["uv"]["constraint-dependencies"] if line.startswith("torch")]
    installs = subprocess.run(["make", "--dry-run", "setup"], cwd=root, capture_output=True, text=True).stdout
    assert f'"{tested}"' in installs and "==" in tested
    assert tested in (root / "README.md").read_text()


def test_every_extra_is_locked(pyproject: dict):
    """All but those that another of them brings."""
    extras = pyproject["project"]["optional-dependencies"]
    reached = set(pyproject["tool"]["uv"]["pip"]["extra"])
    for _ in extras:
        reached |= {name for extra in reached for line in map(Requirement, extras[extra]) for name in line.extras}
    assert reached == set(extras)


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
    assert "infocore_mini/data/models/comas.safetensors" in names
    assert {"infocore_mini/losses.py", "infocore_mini/py.typed"} <= names
    assert not [name for name in names if name.startswith(("tests/", "notebooks/", "book/"))]


def test_importing_the_estimator_is_light():
    """What only experiments, readers and molecules need is loaded by those who use it."""
    # scikit-learn itself loads pandas where it can; without it, an import of ours would fail
    script = "import sys; sys.modules['pandas'] = None; from infocore_mini import InfoCORE; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    heavy = {"anndata", "fairlearn", "gensim", "matplotlib", "pyarrow", "rdkit", "seaborn"}
    assert {"torch", "sklearn"} <= loaded
    assert heavy & loaded == set()


def test_the_estimator_needs_no_extra():
    """It is fitted and scored where what the extras bring cannot be imported."""
    script = """
import sys
extras = "anndata fairlearn gensim h5py matplotlib mol2vec pooch pyarrow rdkit seaborn".split()
sys.modules |= dict.fromkeys(extras)
import numpy as np
from infocore_mini import InfoCORE
drug, screen = np.random.default_rng(0).normal(size=(2, 40, 5))
model = InfoCORE(epochs=1, hidden_drug=(8,), hidden_screen=(8,), hidden_classifier=(8,), embedding_dim=4)
model.fit(drug, screen, batch_id=np.arange(40) % 2)
assert model.embed_drug(drug).shape == (40, 4) and 0 <= model.score(drug, screen) <= 1
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def tool(command: str) -> str:
    """``ruff check .`` of ``@.venv/bin/ruff check .``"""
    return command.strip().removeprefix("@").removeprefix(".venv/bin/")


def test_make_lint_pre_commit_and_continuous_integration_run_the_same_checks(root: Path):
    import run_all

    [recipe] = re.findall(r"^lint:.*\n((?:\t.*\n)+)", (root / "Makefile").read_text(), re.M)
    by_make = [tool(line) for line in recipe.splitlines()]
    [local] = yaml.safe_load((root / ".pre-commit-config.yaml").read_text())["repos"]
    hooks = local["hooks"]
    assert local["repo"] == "local" and all(hook["language"] == "system" for hook in hooks), "hooks fetch nothing"
    assert [tool(hook["entry"]) for hook in hooks if not hook["pass_filenames"]] == by_make
    of_all = [" ".join(command[2:]) for command in run_all.steps().values() if command[1] == "-m"]
    assert of_all[: len(by_make)] == by_make and len(by_make) == 3
