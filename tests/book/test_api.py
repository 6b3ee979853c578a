"""The API page shows every name of the face, whose examples run; so do the README's snippets, in its own order."""

from __future__ import annotations

import doctest
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import infocore_mini
from infocore_mini.confounding.verdict import ORDER

SMILES = ["CCO", "CC(=O)O", "c1ccccc1", "CCN", "CC(C)O", "c1ccncc1", "CCCC", "C1CCCCC1", "CCOC", "CC#N"]


def example(name: str) -> doctest.DocTest:
    """The lines after ``>>>`` in the docstring of a name of the face."""
    finder = doctest.DocTestFinder(recurse=False, exclude_empty=False)
    [found] = finder.find(getattr(infocore_mini, name), name, globs={})
    return found


def failures(test: doctest.DocTest) -> str:
    """What the lines gave in the place of what they say; "" if all is well."""
    report: list[str] = []
    doctest.DocTestRunner().run(test, out=report.append)
    return "".join(report)


def snippet(root: Path, imports: str) -> str:
    """The README's Python that has this line."""
    found = re.findall(r"```python\n(.*?)```", (root / "README.md").read_text(), re.S)
    [text] = [text for text in found if imports in text.splitlines()]
    return text


@pytest.mark.parametrize("name", infocore_mini.__all__)
def test_every_name_of_the_face_has_an_example_that_runs(name: str):
    test = example(name)
    assert test.examples, f"{name}: its docstring has no line with >>>"
    assert failures(test) == ""


def test_an_example_that_says_something_else_fails():
    test = doctest.DocTestParser().get_doctest(">>> 1 + 1\n3\n", {}, "planted", None, None)
    assert "Expected:\n    3\nGot:\n    2" in failures(test)


def directives(root: Path) -> list[tuple[str, str]]:
    """(autoclass or autofunction, full name) of everything that the page describes, in its order."""
    text = (root / "book" / "api.md").read_text()
    found = re.findall(r"\.\. auto(class|function):: (\S+)", text)
    return [(kind, name if name.startswith("infocore_mini.") else f"infocore_mini.{name}") for kind, name in found]


def test_the_page_describes_every_name_of_the_face_once(root: Path):
    described = [name for _, name in directives(root)]
    assert len(described) == len(set(described))
    assert {f"infocore_mini.{name}" for name in infocore_mini.__all__} <= set(described)


def test_the_tables_of_the_page_list_what_it_describes(root: Path):
    text = (root / "book" / "api.md").read_text()
    tables = re.findall(r"\.\. autosummary::\n   :nosignatures:\n\n((?:   \S+\n)+)", text)
    listed = [f"infocore_mini.{name}" for table in tables for name in table.split()]
    assert listed and sorted(listed) == sorted(name for _, name in directives(root))


@pytest.mark.xdist_group("book")
def test_the_built_page_holds_signatures_and_descriptions(book_html: Path, root: Path):
    page = (book_html / "book" / "api.html").read_text()
    for _, name in directives(root):
        assert f'id="{name}"' in page, f"{name} is not described"
    text = re.sub(r"<[^>]+>", "", page)
    assert "alpha: float = 0.33" in text and "gradient_scale: float = 0.0" in text
    assert "weight of the anchor’s own posterior" in text


def test_the_readme_fits_scores_and_loads_an_estimator(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    made_up: dict[str, Any] = {"plate": ["plate 1", "plate 2"] * 5, "new_plate": ["plate 3"] * 10}
    made_up |= {"smiles": SMILES, "new_smiles": SMILES[::-1], "candidates": SMILES}
    made_up |= {"readout": rng.normal(size=(10, 6)), "new_readout": rng.normal(size=(10, 6))}
    exec(snippet(root, "from infocore_mini import InfoCORE"), made_up)
    assert made_up["best"].columns.tolist() == ["query", "rank", "molecule", "cosine"]
    assert made_up["z_drug"].shape == made_up["z_screen"].shape == (10, 256)
    assert 0 <= made_up["accuracy"] <= 1
    assert np.array_equal(made_up["model"].embed_drug(SMILES), made_up["z_drug"])


def test_the_readme_searches_with_scikit_learn(root: Path):
    import sklearn

    rng = np.random.default_rng(0)
    made_up: dict[str, Any] = {"InfoCORE": infocore_mini.InfoCORE}  # imported by the snippet before
    made_up |= {"plate": rng.choice(["plate 1", "plate 2"], size=40), "readout": rng.normal(size=(40, 6))}
    made_up |= {"smiles": ["C" * (1 + i % 20) for i in range(40)], "molecule": [i % 20 for i in range(40)]}
    with sklearn.config_context():
        exec(snippet(root, "from sklearn.model_selection import GridSearchCV, GroupKFold"), made_up)
    assert set(made_up["search"].cv_results_["params"][0]) == {"alpha"}
    assert made_up["search"].best_estimator_.embed_drug(SMILES).shape == (10, 256)


def wells(n_molecules: int = 40) -> pd.DataFrame:
    """Two wells of each molecule, on four plates."""
    rng, n = np.random.default_rng(0), 2 * n_molecules
    plate = np.arange(n) // 2 % 4
    table = pd.DataFrame(rng.normal(size=(n, 6)) + plate[:, None], columns=[f"feature_{i}" for i in range(6)])
    return table.assign(smiles=["C" * (1 + i // 2) for i in range(n)], plate=[f"plate {i}" for i in plate])


def test_the_readme_goes_from_a_file_to_an_answer(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    wells(200).to_csv("wells.csv", index=False)
    made_up: dict[str, Any] = {}
    road = snippet(root, "from infocore_mini import Config, audit, pretrain_screen")
    assert len([line for line in road.splitlines() if line]) < 15
    exec(road, made_up)
    assert {path.name for path in tmp_path.iterdir()} == {"wells.csv", "before.html", "after.html", "model.safetensors"}
    assert made_up["readout"].shape[0] == 80 and made_up["split"].test.profile.shape[0] == 80


def test_the_readme_audits_a_representation(root: Path):
    rng, n = np.random.default_rng(0), 160
    made_up: dict[str, Any] = {"audit": infocore_mini.audit}  # imported by the first snippet
    made_up |= {"embedding": rng.normal(size=(n, 4)), "plate": np.arange(n) % 4}
    made_up |= {"mechanism": np.arange(n) // 4 % 5, "is_control": np.arange(n) < 40}
    [line] = re.findall(r"`(audit\(embedding.*?)`", (root / "README.md").read_text())
    assert eval(line, made_up) in ORDER


def test_the_readme_runs_from_a_shell(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from infocore_mini.__main__ import main

    monkeypatch.chdir(tmp_path)
    wells().to_csv("wells.csv", index=False)
    wells().to_csv("new_plate.csv", index=False)
    Path("candidates.smi").write_text("\n".join(SMILES))
    text = (root / "README.md").read_text()
    lines = [shlex.split(line) for line in text.splitlines() if line.startswith("infocore-mini ")]
    assert [line[1] for line in lines] == ["audit", "train", "embed", "audit", "retrieve"]
    assert [main(line[1:]) for line in lines] == [0] * 5
    assert {"before.html", "after.html", "model.safetensors"} < {path.name for path in tmp_path.iterdir()}


def test_the_readme_computes_a_loss(root: Path):
    made_up: dict[str, Any] = {}
    exec(snippet(root, "from infocore_mini.losses import infocore_loss"), made_up)
    assert made_up["loss"].ndim == 0 and bool(made_up["loss"].isfinite())
