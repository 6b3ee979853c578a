"""The committed notebooks: paired, parametrised, executed, small, and checked by something that can fail."""

from __future__ import annotations

import copy
import html
import os
import re
import subprocess
import sys
from pathlib import Path

import execute
import jupytext
import nbformat
import pytest
import store_outputs
from conftest import NOTEBOOKS, ROOT

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
LIMIT = 300_000  # bytes
LINES, WIDTH = 15, 84  # of code in a cell, of characters in a line: more is cut at the edge of a page


def read(path: Path):
    return nbformat.read(path, as_version=4)


def code_cells(path: Path) -> list:
    return [cell for cell in read(path).cells if cell.cell_type == "code" and cell.source.strip()]


def tagged(path: Path, tag: str) -> list:
    return [cell for cell in code_cells(path) if tag in cell.metadata.get("tags", [])]


def run(*command: str, **options) -> subprocess.CompletedProcess:
    env = os.environ | {"TQDM_DISABLE": "1"}
    return subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True, env=env, **options)


def nbval(path: Path) -> subprocess.CompletedProcess:
    sanitize = str(ROOT / "tests" / "nbval_sanitize.cfg")
    options = ["--nbval-lax", "--nbval-current-env", "--nbval-sanitize-with", sanitize, "-p", "no:cacheprovider"]
    return run("pytest", *options, f"--rootdir={path.parent}", str(path), cwd=path.parent)


def test_there_are_notebooks():
    assert NOTEBOOKS


@every_notebook
def test_pair_is_equal(path: Path):
    """The .py says the same as the .ipynb, and the .ipynb survives the way there and back."""
    script = path.with_suffix(".py")
    assert script.is_file(), f"{path.name} has no paired {script.name}"
    done = run("jupytext", "--quiet", "--test-strict", "--to", "py:percent", str(path))
    assert done.returncode == 0, done.stdout + done.stderr

    from_script = jupytext.writes(jupytext.read(script), "py:percent")
    assert jupytext.writes(read(path), "py:percent") == from_script, "run `make sync`"


@every_notebook
def test_one_parameters_cell(path: Path):
    [cell] = tagged(path, "parameters")
    names = {line.split("=")[0].split(":")[0].strip() for line in cell.source.splitlines() if "=" in line}
    assert {"SEED", "PROFILE", "OUTPUT_DIR"} <= names


def code_lines(cell) -> list[str]:
    """The lines of a cell that are neither blank nor comment."""
    return [line for line in cell.source.splitlines() if line.strip() and not line.strip().startswith("#")]


@pytest.mark.parametrize("path", [*NOTEBOOKS, ROOT / "workflow" / "cell.ipynb"], ids=lambda path: path.stem)
def test_cells_are_short_enough_to_read(path: Path):
    """At most 15 lines of code to a cell, 84 characters to a line; more belongs in the chapter's folder."""
    cells = [cell for cell in jupytext.read(path.with_suffix(".py")).cells if cell.cell_type == "code"]
    long = [cell.source.splitlines()[0] for cell in cells if len(code_lines(cell)) > LINES]
    wide = [line for cell in cells for line in cell.source.splitlines() if len(line) > WIDTH]
    assert not long, f"cells of more than {LINES} lines of code, by their first line: {long}"
    assert not wide, f"lines of more than {WIDTH} characters: {wide}"


FENCED = re.compile(r"^```(?!\{)\w*\n(.*?)^```$", re.DOTALL | re.MULTILINE)
BARE_TABLE = re.compile(r"(?<!paper's )(?<!its )(?<!Its )\bTables? \d")  # of the book itself, as it reads


def bare_tables(text: str) -> list[str]:
    """In text, HTML, or code, whose strings may be cut between the words."""
    return BARE_TABLE.findall(re.sub(r'"\s*"', "", html.unescape(text)))


def wide_fences(text: str) -> list[str]:
    return [line for code in FENCED.findall(text) for line in code.splitlines() if len(line) > WIDTH]


@every_notebook
def test_code_in_the_text_is_no_wider_than_a_cell(path: Path):
    """In exercises and solutions, too."""
    texts = [cell.source for cell in jupytext.read(path.with_suffix(".py")).cells if cell.cell_type == "markdown"]
    assert [line for text in texts for line in wide_fences(text)] == []


def test_a_wide_line_in_a_fence_is_found_and_one_of_prose_is_not():
    wide = "x" * (WIDTH + 1)
    assert wide_fences(f"{wide}\n\n```python\nshort\n{wide}\n```\n{wide}\n\n```\nnone\n```") == [wide]


@every_notebook
def test_a_table_with_a_number_alone_is_one_of_this_book(path: Path):
    cells = jupytext.read(path.with_suffix(".py")).cells
    texts = [cell.source for cell in cells]
    outputs = [output.get("data", {}) for cell in code_cells(path) for output in cell.outputs]
    texts += [text for data in outputs for kind, text in data.items() if kind in ("text/markdown", "text/html")]
    assert [found for text in texts for found in bare_tables(text)] == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("as in Table 5", True),
        ("Tables 2 to 9", True),
        ("the paper's Table 5, its Table 7", False),
        ("stable 5", False),
    ],
)
def test_a_bare_table_is_told_from_one_of_the_paper(text: str, found: bool):
    assert bool(bare_tables(text)) == found


def test_a_long_cell_is_counted_without_blank_lines_and_comments():
    cell = nbformat.v4.new_code_cell("# why\n\na = 1\n    # how\nb = 2  # what\n")
    assert code_lines(cell) == ["a = 1", "b = 2  # what"]


@every_notebook
def test_imports_are_hidden_under_a_label_that_says_what_they_are(path: Path):
    for cell in jupytext.read(path.with_suffix(".py")).cells:
        if cell.cell_type == "code" and "from infocore_mini.experiments.notebook import" in cell.source:
            assert "hide-input" in cell.metadata["tags"]
            assert cell.metadata["mystnb"]["code_prompt_show"] == "Show the imports"


@every_notebook
def test_executed_from_top_to_bottom(path: Path):
    cells = code_cells(path)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert any(cell.outputs for cell in cells)


@every_notebook
def test_no_error_or_warning_is_stored(path: Path):
    outputs = [output for cell in code_cells(path) for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    assert not [output.text for output in outputs if output.get("name") == "stderr"]


@every_notebook
def test_small(path: Path):
    assert path.stat().st_size <= LIMIT


@every_notebook
def test_something_is_compared(path: Path):
    checked = tagged(path, "nbval-check-output")
    assert checked
    assert all(cell.outputs for cell in checked), "a checked cell without an output checks nothing"


def test_nbval_fails_on_a_corrupted_output(tmp_path: Path):
    """The first notebook up to its first checked cell: passes as it is, fails when one stored output is changed."""
    path = next(path for path in NOTEBOOKS if tagged(path, "nbval-check-output"))
    notebook = read(path)
    at = next(i for i, cell in enumerate(notebook.cells) if "nbval-check-output" in cell.metadata.get("tags", []))
    notebook.cells = notebook.cells[: at + 1]
    corrupted = copy.deepcopy(notebook)
    output = corrupted.cells[at].outputs[0]
    if "text" in output:
        output.text += "corrupted"
    else:
        output.data["text/plain"] += "corrupted"

    good, bad = tmp_path / "good.ipynb", tmp_path / "bad.ipynb"
    nbformat.write(notebook, good)
    nbformat.write(corrupted, bad)
    passed, failed = nbval(good), nbval(bad)
    assert passed.returncode == 0, passed.stdout + passed.stderr
    assert failed.returncode == 1, failed.stdout + failed.stderr
    assert "corrupted" in failed.stdout


def papermill(path: Path, folder: Path, name: str, value: str) -> subprocess.CompletedProcess:
    options = ["--no-progress-bar", "--cwd", str(folder), "-p", name, value]
    return run("papermill", *options, str(path), str(folder / "out.ipynb"))


@every_notebook
def test_plain_papermill_stops_on_an_unknown_parameter(path: Path, tmp_path: Path):
    done = papermill(path, tmp_path, "ALHPA", "0.5")
    assert done.returncode != 0
    assert "ParameterError" in done.stderr
    assert "ALHPA" in done.stderr.rsplit("ParameterError", 1)[1]


@pytest.mark.parametrize(("name", "value"), [("ALPHA", "1.5"), ("METHOD", "clipp")])
def test_plain_papermill_stops_on_an_impossible_value(name: str, value: str, tmp_path: Path):
    done = papermill(ROOT / "notebooks" / "02_simulation.ipynb", tmp_path, name, value)
    assert done.returncode != 0
    message = done.stderr.rsplit("ParameterError", 1)[1]
    assert name in message
    assert value in message
    assert "should be" in message, "what is allowed is said"


@every_notebook
def test_outputs_are_those_of_the_cells_that_stand_there(path: Path):
    changed = store_outputs.broken_seals(read(path))
    assert not changed, f"changed since the outputs were stored: {changed}; run `make sync`"


def a_default(notebook) -> None:
    cell = next(cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))
    cell.source = cell.source.replace("SEED = 0", "SEED = 1")


def an_output(notebook) -> None:
    """Of a cell that nbval does not compare."""
    unchecked = (cell for cell in notebook.cells if "nbval-check-output" not in cell.metadata.get("tags", []))
    next(cell for cell in unchecked if cell.get("outputs")).outputs[-1].data["text/plain"] += " planted"


def a_comment(notebook) -> None:
    [cell for cell in notebook.cells if cell.cell_type == "code"][-1].source += "\n# planted"


def a_cell(notebook) -> None:
    notebook.cells.insert(3, nbformat.v4.new_code_cell("planted = 1"))


def a_cell_less(notebook) -> None:
    notebook.cells.remove([cell for cell in notebook.cells if cell.cell_type == "code"][-1])


def an_output_less(notebook) -> None:
    next(cell for cell in notebook.cells if cell.get("outputs")).outputs = []


@pytest.mark.parametrize(
    "change", [a_default, an_output, a_comment, a_cell, a_cell_less, an_output_less], ids=lambda f: f.__name__
)
def test_a_seal_breaks_with(change):
    notebook = read(NOTEBOOKS[0])
    assert store_outputs.broken_seals(notebook) == []
    change(notebook)
    assert store_outputs.broken_seals(notebook)


@every_notebook
def test_no_widget_is_stored(path: Path):
    """It is dead on a page, and a live one asks two CDNs for its scripts."""
    assert not [
        kind
        for cell in code_cells(path)
        for output in cell.outputs
        for kind in output.get("data", {})
        if "widget" in kind
    ]
    assert "widgets" not in read(path).metadata


def test_a_progress_bar_is_quiet_where_notebooks_are_executed(tmp_path: Path):
    """tqdm's bar for notebooks is a widget and does not read TQDM_DISABLE."""
    source = "from infocore_mini.experiments.simulation.run import tqdm\nfor _ in tqdm(range(2)): pass"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, tmp_path / "bar.ipynb")
    assert execute.execute_one(tmp_path / "bar.ipynb", {}, tmp_path / "out.ipynb") == ""
    assert read(tmp_path / "out.ipynb").cells[0].outputs == []
