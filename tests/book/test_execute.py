"""The runner: what is unchanged is not run again, what changed is, and a failure has a name."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import execute
import nbformat
import pytest
import store_outputs
from nbformat import v4
from PIL import Image

THERE = {"table.csv": True}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with a library of one line, a lock file and one notebook with the parameter N."""
    (tmp_path / "infocore_mini").mkdir()
    (tmp_path / "infocore_mini" / "one.py").write_text("one = 1\n")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "sources.csv").write_text("file\n")
    (tmp_path / "requirements.lock").write_text("a==1\n")
    write(tmp_path / "notebooks" / "00_toy.ipynb", "print(N)")
    return tmp_path


def write(path: Path, source: str) -> None:
    path.parent.mkdir(exist_ok=True)
    parameters = v4.new_code_cell("N = 1", metadata={"tags": ["parameters"]}, id="a")
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(v4.new_notebook(cells=[parameters, v4.new_code_cell(source, id="b")], metadata=kernel), path)


def run(project: Path, parameters: dict[str, str] | None = None, available: dict[str, bool] = THERE) -> list[str]:
    return execute.execute(sorted((project / "notebooks").glob("*.ipynb")), parameters or {}, available, project)


def test_second_run_executes_nothing(project: Path):
    assert run(project) == ["00_toy"]
    executed = nbformat.read(project / "_build" / "executed" / "00_toy.ipynb", as_version=4)
    assert executed.cells[-1].outputs[0].text == "1\n"
    before = (project / "notebooks" / "00_toy.ipynb").read_bytes()
    assert run(project) == []
    (project / "notebooks" / "00_toy.ipynb").touch()
    assert run(project) == [], "a time stamp is no change"
    assert (project / "notebooks" / "00_toy.ipynb").read_bytes() == before, "the repository's notebook is left alone"


SOLVED = """::::{exercise}
:label: ex-one
What is N?
::::

::::{solution} ex-one
:class: dropdown

```python
CODE
```
::::"""


def test_solutions_run_behind_the_notebook_and_leave_no_trace(project: Path):
    path = project / "notebooks" / "00_toy.ipynb"
    notebook = nbformat.read(path, as_version=4)
    trace = project / "solved"
    code = f"import pathlib; pathlib.Path({str(trace)!r}).write_text(str(N))"
    notebook.cells.append(v4.new_markdown_cell(SOLVED.replace("CODE", code), id="c"))
    nbformat.write(notebook, path)
    run(project)
    executed = nbformat.read(project / "_build" / "executed" / "00_toy.ipynb", as_version=4)
    assert trace.read_text() == "1" and len(executed.cells) == 3
    trace.unlink()
    run(project, {"N": "2"})
    assert not trace.exists()  # at the default parameters alone


def test_a_solution_that_fails_fails_the_notebook(project: Path):
    path = project / "notebooks" / "00_toy.ipynb"
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.append(v4.new_markdown_cell(SOLVED.replace("CODE", "print(M)"), id="c"))
    nbformat.write(notebook, path)
    with pytest.raises(execute.NotebookFailed, match="name 'M' is not defined"):
        run(project)


def by_nbval(project: Path) -> subprocess.CompletedProcess:
    """As ``make test`` does it: the staged notebooks, compared, and kept by the plugin."""
    staged = [execute.stage(path, project / "_build" / "executed") for path in (project / "notebooks").glob("*.ipynb")]
    options = ["-p", "keep_executed", "-p", "no:cacheprovider", "-n", "2", "--dist", "loadfile", "--nbval"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *options, "--nbval-current-env", f"--rootdir={project}", *map(str, staged)],
        env=os.environ | execute.QUIET | {"PYTHONPATH": str(execute.ROOT / "tests")},
        cwd=project,
        capture_output=True,
        text=True,
    )


def test_what_nbval_executed_is_kept_and_not_executed_again(project: Path):
    """With its solutions, and those without a trace; but for the notebook that failed."""
    path, bad = project / "notebooks" / "00_toy.ipynb", project / "notebooks" / "01_bad.ipynb"
    notebook = nbformat.read(path, as_version=4)
    code = f"import pathlib; pathlib.Path({str(project / 'solved')!r}).write_text(str(N))"
    notebook.cells.append(v4.new_markdown_cell(SOLVED.replace("CODE", code), id="c"))
    nbformat.write(notebook, path)
    available = execute.available_data()
    run(project, available=available)
    by_papermill = nbformat.read(project / "_build" / "executed" / "00_toy.ipynb", as_version=4)
    store_outputs.store_outputs(path, project / "_build" / "executed" / "00_toy.ipynb")
    shutil.rmtree(project / "_build")
    (project / "solved").unlink()
    write(bad, "raise ValueError('no such thing')")

    done = by_nbval(project)
    assert done.returncode == 1 and "no such thing" in done.stdout, done.stdout + done.stderr
    kept = nbformat.read(project / "_build" / "executed" / "00_toy.ipynb", as_version=4)
    assert (project / "solved").read_text() == "1"
    assert [cell.get("outputs") for cell in kept.cells] == [cell.get("outputs") for cell in by_papermill.cells]
    assert not (project / "_build" / "executed" / "01_bad.ipynb").exists()
    bad.unlink()
    assert run(project, available=available) == []


def test_an_output_that_differs_is_no_reason_to_keep_it(project: Path):
    path = project / "notebooks" / "00_toy.ipynb"
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[-1].outputs = [v4.new_output("stream", name="stdout", text="2\n")]
    notebook.cells[0].execution_count, notebook.cells[-1].execution_count = 1, 2
    nbformat.write(notebook, path)
    done = by_nbval(project)
    assert done.returncode == 1 and "Cell outputs differ" in done.stdout, done.stdout + done.stderr
    assert run(project, available=execute.available_data()) == ["00_toy"]


def test_every_solution_with_code_is_found(root):
    """As many as the pages' sources have by another count: fences inside a solution."""
    for path in (root / "notebooks").glob("[0-9][0-9]_*.ipynb"):
        notebook = nbformat.read(path, as_version=4)
        text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
        inside = [part.split("\n::::")[0] for part in text.split("::::{solution}")[1:]]
        expected = sum("```python" in part for part in inside)
        cells = execute.with_solutions(notebook).cells
        assert sum("solution" in cell.metadata for cell in cells) == expected


def test_stored_outputs_do_not_count_as_a_change(project: Path):
    run(project)
    store_outputs.store_outputs(
        project / "notebooks" / "00_toy.ipynb", project / "_build" / "executed" / "00_toy.ipynb"
    )
    stored = nbformat.read(project / "notebooks" / "00_toy.ipynb", as_version=4)
    assert stored.cells[-1].outputs[0].text == "1\n"
    assert stored.cells[-1].metadata == {}
    assert run(project) == []


@pytest.mark.parametrize("file", ["infocore_mini/one.py", "data/sources.csv", "requirements.lock"])
def test_a_changed_file_executes_again(project: Path, file: str):
    run(project)
    with (project / file).open("a") as lines:
        lines.write("# changed\n")
    assert run(project) == ["00_toy"]


def test_a_changed_parameter_or_availability_executes_again(project: Path):
    run(project)
    assert run(project, {"N": "2"}) == ["00_toy"]
    executed = nbformat.read(project / "_build" / "executed" / "00_toy.ipynb", as_version=4)
    assert executed.cells[-1].outputs[0].text == "2\n"
    assert run(project, {"N": "2"}, {"table.csv": False}) == ["00_toy"]


def test_a_failing_notebook_fails_by_name_and_stops_no_other(project: Path):
    write(project / "notebooks" / "01_bad.ipynb", "raise ValueError('no such thing')")
    with pytest.raises(execute.NotebookFailed, match=r"01_bad failed:(.|\n)*no such thing"):
        run(project)
    assert (project / "_build" / "executed" / "00_toy.ipynb").is_file()
    assert not (project / "_build" / "executed" / "01_bad.ipynb").exists()
    with pytest.raises(execute.NotebookFailed):
        run(project)  # a failure is never taken for a result


def test_of_two_executions_at_once_the_second_waits_and_finds_what_the_first_made(project: Path, capsys):
    write(project / "notebooks" / "00_toy.ipynb", "import time; time.sleep(1)")
    with ThreadPoolExecutor(2) as pool:
        ran = list(pool.map(lambda _: run(project), range(2)))
    assert sorted(ran) == [[], ["00_toy"]]
    assert capsys.readouterr().out.count("another execution is at work") == 1
    assert run(project) == []


def test_a_removed_notebook_leaves_no_page_behind(project: Path):
    write(project / "notebooks" / "01_gone.ipynb", "print(N)")
    run(project)
    (project / "notebooks" / "01_gone.ipynb").unlink()
    run(project)
    assert not (project / "_build" / "executed" / "01_gone.ipynb").exists()


def test_a_parameter_that_was_injected_is_not_stored(project: Path):
    run(project, {"N": "2"})
    with pytest.raises(ValueError, match="cells are not those"):
        store_outputs.store_outputs(
            project / "notebooks" / "00_toy.ipynb", project / "_build" / "executed" / "00_toy.ipynb"
        )


def test_stored_figures_keep_their_size_and_lose_colours():
    noisy, stored = Image.frombytes("RGB", (40, 30), os.urandom(3 * 40 * 30)), io.BytesIO()
    noisy.save(stored, "PNG")
    image = Image.open(io.BytesIO(store_outputs.fewer_colours(stored.getvalue())))
    assert image.size == (40, 30)
    assert len(image.getcolors()) <= 64
