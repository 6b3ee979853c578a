"""The walls of the house stand, and each check of them fails when its wall is broken."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from walls import below, chains, circle, import_graph, private_names, source_files, unexplained_lengths

PACKAGE = "infocore_mini"
EXPERIMENTS = {f"{PACKAGE}.experiments"}
PURE = {f"{PACKAGE}.{name}" for name in ("losses", "log_totals", "encoders", "networks", "training.augment")}
FILES_NOTEBOOKS_PLOTS = {f"{PACKAGE}.{name}" for name in ("experiments", "readers", "sources")} | {
    *("anndata", "h5py", "io", "json", "pandas", "pathlib", "pooch", "pyarrow", "safetensors"),
    *("IPython", "nbformat", "papermill"),
    *("matplotlib", "seaborn"),
}


class House(NamedTuple):
    """What the checks read of the project below a folder."""

    everywhere: dict[str, Path]
    modules: dict[str, Path]  # without notebooks, which are as long as their story
    graph: dict[str, set[str]]
    library: set[str]
    evaluate: set[str]


def house(root: Path) -> House:
    everywhere = source_files(root, PACKAGE, "benchmarks", "book", "notebooks", "workflow")
    graph = import_graph({module: path for module, path in everywhere.items() if below(module, {PACKAGE})})
    library = {module for module in graph if not below(module, EXPERIMENTS)}
    evaluate = {module for module in graph if below(module, {f"{PACKAGE}.evaluate"})}
    assert evaluate and library > PURE | evaluate, "a module that a wall names is missing"
    return House(everywhere, source_files(root, PACKAGE, "benchmarks", "book"), graph, library, evaluate)


WALLS = {
    "library without experiments": lambda house: chains(house.graph, house.library, EXPERIMENTS),
    "library without plots": lambda house: chains(house.graph, house.library, {"matplotlib", "seaborn"}),
    "pure modules without files": lambda house: chains(house.graph, PURE, FILES_NOTEBOOKS_PLOTS),
    "evaluate without readers": lambda house: chains(house.graph, house.evaluate, {f"{PACKAGE}.readers"}),
    "no circle": lambda house: circle(house.graph),
    "no private name of another": lambda house: private_names(house.everywhere),
    "no unexplained length": lambda house: unexplained_lengths(house.modules),
}


@pytest.mark.parametrize("wall", WALLS)
def test_every_wall_stands(root: Path, wall):
    assert WALLS[wall](house(root)) == []


def test_all_but_experiments_is_imported_where_nothing_can_plot():
    script = f"""
import importlib, pkgutil, sys
sys.modules |= dict.fromkeys(["matplotlib", "seaborn"])  # to import one of them fails
import {PACKAGE}
names = [found.name for found in pkgutil.walk_packages({PACKAGE}.__path__, "{PACKAGE}.")]
names = [name for name in names if not name.startswith("{PACKAGE}.experiments") and not name.endswith("__main__")]
print(*[importlib.import_module(name).__name__ for name in names])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert {f"{PACKAGE}.losses", f"{PACKAGE}.evaluate.fairness", f"{PACKAGE}.readers.l1000"} <= set(done.stdout.split())


def test_the_tests_of_the_library_never_import_experiments(root: Path):
    tests = source_files(root, "tests/library")
    assert len(tests) > 10
    assert chains(import_graph(tests), set(tests), EXPERIMENTS) == []


# ---- the checks can fail -----------------------------------------------------------------------------------------

SOUND = {
    "__init__": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from infocore_mini.estimator import InfoCORE\n",
    "losses": "import math\n",
    "log_totals": "",
    "encoders": "",
    "networks": "from infocore_mini import encoders\n",
    "training/__init__": "",
    "training/augment": "",
    "evaluate/__init__": "",
    "evaluate/property": "import numpy as np\n",
    "readers/__init__": "from infocore_mini import sources\n",
    "sources": "from pathlib import Path\n_CACHE = Path()\n",
    "estimator": "from infocore_mini.networks import TwoTower\n",
    "experiments/__init__": "",
    "experiments/style": "from matplotlib import pyplot\nfrom infocore_mini import losses\n",
}


def built(root: Path, sources: dict[str, str]) -> House:
    for name, text in sources.items():
        path = root / PACKAGE / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return house(root)


def faults(house: House) -> list[str]:
    return [fault for check in WALLS.values() for fault in check(house)]


def test_a_sound_house_has_no_faults(tmp_path):
    assert faults(built(tmp_path, SOUND)) == []


@pytest.mark.parametrize(
    ("wall", "module", "added", "fault"),
    [
        (
            "library without experiments",
            "evaluate/property",
            "from infocore_mini.experiments.style import save",
            "style",
        ),
        ("library without experiments", "losses", "def f():\n    import infocore_mini.experiments.style", "style"),
        ("library without experiments", "readers/__init__", "from ..experiments import style", "style"),
        ("library without plots", "readers/__init__", "import seaborn as sns", "seaborn"),
        ("library without plots", "estimator", "def f():\n    from matplotlib import pyplot", "matplotlib"),
        ("pure modules without files", "losses", "import pandas as pd", "losses -> pandas"),
        (
            "pure modules without files",
            "encoders",
            "from infocore_mini import sources",
            "networks -> infocore_mini.encoders -> ",
        ),
        (
            "pure modules without files",
            "training/augment",
            "from ..readers import read",
            "augment -> infocore_mini.readers",
        ),
        (
            "evaluate without readers",
            "evaluate/property",
            "from infocore_mini.readers import Kind",
            "infocore_mini.readers",
        ),
        ("no circle", "encoders", "def f():\n    from infocore_mini.networks import build", "infocore_mini.networks"),
        ("no circle", "networks", "from infocore_mini.estimator import InfoCORE", "infocore_mini.estimator"),
        (
            "no private name of another",
            "experiments/style",
            "from infocore_mini.sources import _CACHE",
            "style: _CACHE",
        ),
        ("no private name of another", "experiments/style", "losses._mix()", "losses._mix"),
        (
            "no private name of another",
            "estimator",
            "import infocore_mini.sources\ninfocore_mini.sources._CACHE",
            "sources._CACHE",
        ),
        ("no unexplained length", "losses", "\n" * 350, "losses: 352 lines"),
    ],
)
def test_a_break_in_a_wall_is_found(tmp_path, wall, module, added, fault):
    found = WALLS[wall](built(tmp_path, SOUND | {module: SOUND[module] + added + "\n"}))
    assert any(fault in line for line in found)


def test_what_only_a_type_checker_reads_is_no_import(tmp_path):
    added = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from infocore_mini.readers import Kind\n"
    assert faults(built(tmp_path, SOUND | {"evaluate/property": added})) == []


def test_a_long_module_may_give_its_reason(tmp_path):
    text = '"""One thought.\n\nLonger than\nothers: its parts make no sense alone.\n"""\n' + "\n" * 400
    assert faults(built(tmp_path, SOUND | {"losses": text})) == []
