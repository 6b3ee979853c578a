"""Copy the outputs of the executed copies into the notebooks of the repository, and nothing else (``make sync``).

Cells, ids and metadata stay as they are, so that a difference in version control is a difference in content.
"""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parents[1]


def store_outputs(notebook: Path, executed: Path) -> None:
    """Give each cell of `notebook` the outputs and the number it has in `executed`; ValueError if the cells differ."""
    kept, run = (nbformat.read(path, as_version=4) for path in (notebook, executed))
    if [cell.source for cell in kept.cells] != [cell.source for cell in run.cells]:
        raise ValueError(f"{executed}: its cells are not those of {notebook}; execute it without parameters first")
    for cell, done in zip(kept.cells, run.cells, strict=True):
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = done.outputs, done.execution_count
    nbformat.write(kept, notebook)


def main() -> int:
    for notebook in sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")):
        store_outputs(notebook, ROOT / "_build" / "executed" / notebook.name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
