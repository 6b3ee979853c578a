"""Copy the outputs of the executed copies into the notebooks of the repository (``make sync``).

Cells, ids and metadata stay as they are, so that a difference in version control is a difference in content.
A seal, a hash of each code cell with its outputs, goes into the notebook's metadata: a test finds a cell that was changed,
or an output that was written by hand, since.
Figures are stored with 64 colours, a fifth of the bytes, and so are those of a book that is built (build.py).
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import sys
from pathlib import Path

import nbformat

from infocore_mini.experiments.style import fewer_colours

ROOT = Path(__file__).resolve().parents[1]


def store_outputs(notebook: Path, executed: Path) -> None:
    """Give each cell of `notebook` the outputs and the number it has in `executed`; ValueError if the cells differ."""
    kept, run = (nbformat.read(path, as_version=4) for path in (notebook, executed))
    if [cell.source for cell in kept.cells] != [cell.source for cell in run.cells]:
        raise ValueError(f"{executed}: its cells are not those of {notebook}; execute it without parameters first")
    for cell, done in zip(kept.cells, run.cells, strict=True):
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = done.outputs, done.execution_count
            for output in cell.outputs:
                if "image/png" in output.get("data", {}):
                    small = fewer_colours(base64.b64decode(output.data["image/png"]))
                    output.data["image/png"] = base64.b64encode(small).decode()
    kept.metadata["seals"] = seals(kept)
    nbformat.write(kept, notebook)


def seals(notebook: nbformat.NotebookNode) -> list[str]:
    """For each code cell but Colab's, twelve digits of the SHA-256 of its source and its outputs."""
    parts = ([cell.source, cell.outputs] for cell in _sealed(notebook))
    return [hashlib.sha256(json.dumps(part, sort_keys=True).encode()).hexdigest()[:12] for part in parts]


def broken_seals(notebook: nbformat.NotebookNode) -> list[str]:
    """First lines of the code cells that are not as they were when their outputs were stored; all, if none has a seal."""
    stored = notebook.metadata.get("seals", [])
    pairs = itertools.zip_longest(_sealed(notebook), stored, seals(notebook))
    return [cell.source.split("\n")[0] if cell else "a cell that is gone" for cell, old, new in pairs if old != new]


def _sealed(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [c for c in notebook.cells if c.cell_type == "code" and "colab" not in c.metadata.get("tags", [])]


def store_picture(notebook: Path, target: Path) -> None:
    """Save the first figure that `notebook` shows as a PNG file, for README and intro; ValueError if it has none."""
    for cell in nbformat.read(notebook, as_version=4).cells:
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                target.write_bytes(base64.b64decode(output["data"]["image/png"]))
                return
    raise ValueError(f"{notebook}: no cell shows a figure")


def main() -> int:
    """Store the outputs of every notebook and the picture of the first page."""
    for notebook in sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")):
        store_outputs(notebook, ROOT / "_build" / "executed" / notebook.name)
    store_picture(ROOT / "notebooks" / "00_start_here.ipynb", ROOT / "book" / "assets" / "start_here.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
