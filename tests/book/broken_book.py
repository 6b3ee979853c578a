"""A book with one fault of every kind that was once let through, planted in its sources and built."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

import build
import nbformat
from conftest import ROOT
from nbformat import v4

NOTATION = """
See {ref}`no-such-label`.

<a href="no_such_page.html">A page that is missing</a> and <a href="glossary.html#no-such-word">a missing word</a>.

A repository: <https://github.com/somebody-else/infocore-mini>.

In Colab: <https://colab.research.google.com/github/infocore-mini/infocore-mini/blob/main/notebooks/99_planted.ipynb>.

<style>@import url("https://fonts.example/planted.css");</style>
<script>window.planted = () => import("https://cdn.example/module.mjs");</script>

<p>Markup that is none inside HTML: {ref}`planted` and $$ planted $$.</p>
"""
FIVE = """
<script>console.error("planted"); fetch("https://api.example/planted");</script>
"""
FOUR = """
<script src="https://cdn.example/planted.js"></script>
<img src="no_such_picture.png" alt="A picture that is not there">
"""
SIX = r"""
A formula that cannot be set: $\frac{1}{\planted$.
"""
SEVEN = """
<div style="width: 900px">A block wider than a telephone.</div>
"""
EIGHT = (
    r"""
$$
"""
    + " + ".join(f"\\text{{a formula of many words}}_{{{i}}}" for i in range(9))
    + """
$$
"""
)
TEN = """
<button id="planted-button"></button>
<p id="planted-pale" style="color: #dddddd">Ink for a dark page.</p>
<p id="planted-deep" style="color: #101060">Ink for a light page.</p>
<div id="planted-scroller" style="overflow-x: auto; white-space: nowrap"><p>A line without a break, wider than a telephone, whose end is out of reach.</p></div>
"""
ADDED = {
    "04_gene_expression": FOUR,
    "05_cell_painting": FIVE,
    "06_retrieval": SIX,
    "07_property_prediction": SEVEN,
    "08_fairness": EIGHT,
    "10_performance": TEN,
}
WIDGET = {"application/vnd.jupyter.widget-view+json": {"model_id": "planted", "version_major": 2, "version_minor": 0}}


@dataclass(frozen=True)
class BrokenBook:
    html: Path
    done: subprocess.CompletedProcess


def make(folder: Path) -> BrokenBook:
    """Gather the sources below `folder`, plant the faults, and build; Sphinx notices the first of NOTATION alone."""
    stage = folder / "stage"
    build.gather(ROOT / "notebooks", stage)
    page = stage / "book" / "notation.md"
    page.write_text(page.read_text() + NOTATION)
    for path in (stage / "notebooks").glob("*.ipynb"):
        notebook = nbformat.read(path, as_version=4)
        if path.stem in ADDED:
            notebook.cells.append(v4.new_markdown_cell(ADDED[path.stem]))
        if path.stem == "03_molecules":
            for cell in notebook.cells:
                cell.metadata.get("mystnb", {}).pop("image", None)
        if path.stem == "10_performance":
            outputs = [v4.new_output("display_data", WIDGET | {"text/plain": "0%"})]
            outputs += [v4.new_output("execute_result", {"text/plain": "'planted.json'"}, execution_count=1)]
            notebook.cells += [v4.new_code_cell("planted", outputs=[output]) for output in outputs]
        nbformat.write(notebook, path)
    done = build.build(stage, folder)
    return BrokenBook(folder / "_build" / "html", done)
