"""Execute the notebooks with papermill, two at a time, into ``_build/executed``; skip those whose inputs are unchanged.

``python book/execute.py [-p NAME VALUE ...]`` passes each parameter to every notebook, as papermill does.
The code in the solutions of the exercises runs behind each notebook, at its default parameters, and leaves no trace.
"Unchanged" is decided by a fingerprint of content, never of time stamps: the notebook without its outputs, the
parameters, the library, the data folder, the lock file, and which of the downloadable data files can be had.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import nbformat
from filelock import FileLock, Timeout
from nbformat import v4

ROOT = Path(__file__).resolve().parents[1]
WORKERS = 2
_SOLUTION = re.compile(r"^::::\{solution\} (\S+)\n(.*?)^::::$", re.DOTALL | re.MULTILINE)
_CODE = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
QUIET = {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1", "PYDEVD_DISABLE_FILE_VALIDATION": "1"}


class NotebookFailed(RuntimeError):
    """At least one notebook stopped with an error; the message names each of them."""


def available_data() -> dict[str, bool]:
    """For each file in ``data/sources.csv``: can it be had?  (Fetches it once; a wrong file raises ChecksumError.)"""
    from infocore_mini import sources

    def can_be_had(name: str) -> bool:
        try:
            sources.fetch(name)
        except sources.DataUnavailable:
            return False
        return True

    return {name: can_be_had(name) for name in sources.registry()}


def fingerprint(notebook: Path, parameters: dict[str, str], available: dict[str, bool], root: Path = ROOT) -> str:
    """SHA-256, in hexadecimal, of everything that the outputs of `notebook` depend on."""
    cells = nbformat.read(notebook, as_version=4)
    cells.metadata.pop("seals", None)  # of the stored outputs: see store_outputs.py
    for cell in cells.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    library = [path for pattern in ("infocore_mini/**/*.py", "data/**/*") for path in sorted(root.glob(pattern))]
    files = {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in [*library, root / "requirements.lock"]
        if path.is_file()
    }
    python = ".".join(map(str, sys.version_info[:2]))
    parts = [cells, parameters, available, files, python, version("torch")]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def execute_one(notebook: Path, parameters: dict[str, str], target: Path) -> str:
    """Run `notebook` in a process of its own and write it to `target`; the error text, empty if it succeeded."""
    source, running = stage(notebook, target.parent, solutions=not parameters), target.with_suffix(".running.ipynb")
    command = [sys.executable, "-m", "papermill", "--no-progress-bar", "--cwd", str(source.parent)]
    for name, value in parameters.items():
        command += ["-p", name, value]
    done = subprocess.run(
        [*command, str(source), str(running)],
        capture_output=True,
        text=True,
        env=os.environ | QUIET,
    )
    if done.returncode:
        return done.stderr[-6000:]
    keep(nbformat.read(running, as_version=4), target)
    running.unlink()
    return ""


def stage(notebook: Path, folder: Path, *, solutions: bool = True) -> Path:
    """A copy of `notebook` in a folder of its own below `folder`, where it writes, with the solutions behind it or without."""
    copy = work(notebook, folder)
    copy.parent.mkdir(parents=True, exist_ok=True)
    cells = nbformat.read(notebook, as_version=4)
    nbformat.write(with_solutions(cells) if solutions else cells, copy)
    return copy


def work(notebook: Path, folder: Path) -> Path:
    """Where `stage` puts the copy of `notebook`."""
    return folder / "work" / notebook.stem / notebook.name


def keep(executed: nbformat.NotebookNode, target: Path) -> None:
    """Write to `target`, all at once, what was executed, without the solutions."""
    executed.cells = [cell for cell in executed.cells if "solution" not in cell.metadata]
    part = target.with_suffix(".part")
    nbformat.write(executed, part)
    part.replace(target)


def with_solutions(cells: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The notebook with the Python of its exercises' solutions behind it, a cell a solution, whose metadata name it."""
    text = "\n".join(cell.source for cell in cells.cells if cell.cell_type == "markdown")
    for name, solution in _SOLUTION.findall(text):
        code = "\n".join(_CODE.findall(solution))
        if code:
            cells.cells.append(v4.new_code_cell(code, metadata={"solution": name}, id=name))
    return cells


def execute(
    notebooks: list[Path], parameters: dict[str, str], available: dict[str, bool], root: Path = ROOT
) -> list[str]:
    """Execute the notebooks whose fingerprint changed; the names of those that were run.

    Executed copies are written to ``root/_build/executed``.  Of two executions at once the second waits for the first.
    Raises NotebookFailed when all have been tried.
    """
    folder = root / "_build" / "executed"
    folder.mkdir(parents=True, exist_ok=True)

    def run(notebook: Path) -> tuple[str, str]:
        target, stamp = folder / notebook.name, folder / f"{notebook.stem}.fingerprint"
        wanted = fingerprint(notebook, parameters, available, root)
        if target.is_file() and stamp.is_file() and stamp.read_text() == wanted:
            _say(notebook, "unchanged")
            return "unchanged", ""
        stamp.unlink(missing_ok=True)
        _say(notebook, "executing ...")
        start = time.monotonic()
        error = execute_one(notebook, parameters, target)
        _say(notebook, f"{'FAILED' if error else 'done'} after {time.monotonic() - start:.0f} s")
        if not error:
            stamp.write_text(wanted)
        return "executed", error

    with _alone(folder), ThreadPoolExecutor(WORKERS) as pool:
        _forget_removed(folder, {notebook.stem for notebook in notebooks})
        outcomes = dict(zip((notebook.stem for notebook in notebooks), pool.map(run, notebooks), strict=True))
    failures = {name: error for name, (_, error) in outcomes.items() if error}
    if failures:
        raise NotebookFailed("\n".join(f"{name} failed:\n{error}" for name, error in failures.items()))
    return [name for name, (outcome, _) in outcomes.items() if outcome == "executed"]


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, which ends with the process that holds it."""
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(f"  another execution is at work in {folder}: waiting for its end", flush=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _say(notebook: Path, what: str) -> None:
    sys.stdout.write(f"  {notebook.stem}: {what}\n")  # one write a line: two threads speak here
    sys.stdout.flush()


def _forget_removed(folder: Path, names: set[str]) -> None:
    for copy in folder.glob("*.ipynb"):
        if copy.stem not in names:
            copy.unlink()


def main() -> int:
    """Execute what changed; 0 if all went well."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-p", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"), dest="parameters")
    parameters = dict(parser.parse_args().parameters)
    available = available_data()
    for name in (name for name, there in available.items() if not there):
        print(f"  {name} cannot be had here: the notebook that reads it says so and shows simulated data instead")
    notebooks = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    try:
        execute(notebooks, parameters, available)
    except NotebookFailed as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
