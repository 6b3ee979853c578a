"""A pytest plugin: what nbval executed becomes the book's executed notebook, so that ``make test`` runs no notebook twice.

It takes the copies that ``execute.stage`` makes.  A notebook of which a cell failed is not kept: ``book/execute.py``, which
finds the others unchanged, executes that one again and says what went wrong.
"""

from __future__ import annotations

import sys
from itertools import groupby
from pathlib import Path

import nbformat
import pytest
from nbval.plugin import IPyNbCell

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "book"))

import execute


class Keeper:
    """Remembers which notebooks failed and keeps the others; a copy lies where `execute.work` says, two folders down."""

    def __init__(self) -> None:
        self.failed: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed.add(Path(report.location[0]).name)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        cells = [item for item in session.items if isinstance(item, IPyNbCell)]
        for file, of_file in groupby(cells, key=lambda cell: cell.parent):
            ran = [cell for cell in of_file if cell.test_outputs is not None]
            if (
                len(ran) == sum(cell.cell_type == "code" for cell in file.nb.cells)
                and file.path.name not in self.failed
            ):
                for cell in ran:
                    cell.cell.outputs = cell.test_outputs
                self.keep(file.path, file.nb)

    def keep(self, copy: Path, executed: nbformat.NotebookNode) -> None:
        folder = copy.parents[2]
        root, target = folder.parents[1], folder / copy.name
        stamp = target.with_suffix(".fingerprint")
        stamp.unlink(missing_ok=True)
        execute.keep(executed, target)
        stamp.write_text(execute.fingerprint(root / "notebooks" / copy.name, {}, execute.available_data(), root))


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Keeper())
