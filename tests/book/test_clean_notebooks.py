"""The notebooks that Colab opens: no MyST, the same code, and nothing that book/colab.py does not know passes."""

from __future__ import annotations

import re
from pathlib import Path

import colab
import nbformat
import pytest
from address import published_at
from conftest import NOTEBOOKS
from nbformat import v4

pytestmark = pytest.mark.xdist_group("book")
every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)

BOOK = colab.Book(
    titles={"notebooks/02_simulation": "Simulation", "book/data": "Data cards"},
    places={
        "eq-start": ("(1)", "notebooks/00.html#equation-eq-start"),
        "fig-a": ("Fig. 2.1", "notebooks/02.html#fig-a"),
        "ex-a": ("Exercise 2.1", "notebooks/02.html#ex-a"),
        "prop-a": ("Proposition 1.1", "notebooks/01.html#prop-a"),
    },
    citations={
        "wang": ("Wang et al.", "2024", "book/references.html#id2"),
        "ma": ("Ma and Tsai", "2021", "book/references.html#id6"),
    },
    address="https://book/",
)
FENCE = "`" * 3


def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def code(notebook: nbformat.NotebookNode) -> list[tuple]:
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return [(cell.source, cell.metadata.get("tags", []), len(cell.outputs)) for cell in cells]


@every_notebook
def test_a_clean_notebook_has_no_myst_and_the_same_code_outputs_and_tags(path: Path, book_html: Path):
    cleaned = read(book_html / colab.FOLDER / path.name)
    nbformat.validate(cleaned)
    assert colab.left_over(cleaned) == []
    assert code(cleaned) == code(read(path))
    assert len([cell for cell in cleaned.cells if "parameters" in cell.metadata.get("tags", [])]) == 1


@every_notebook
def test_solutions_fold_and_captions_are_kept(path: Path, book_html: Path):
    source = "\n".join(cell.source for cell in read(path).cells)
    text = "\n".join(cell.source for cell in read(book_html / colab.FOLDER / path.name).cells)
    assert text.count("<details>") == text.count("</details>") == source.count("{solution}")
    for cell in read(path).cells:
        figure = cell.metadata.get("mystnb", {}).get("figure")
        assert not figure or figure["caption"].split(".")[0] in text


@every_notebook
def test_the_uncleaned_notebook_would_be_found(path: Path):
    assert colab.left_over(read(path))


def test_links_of_clean_notebooks_lead_to_pages_that_are_published(book_html: Path):
    address = re.escape(published_at(colab.address()))
    links = {
        link
        for path in (book_html / colab.FOLDER).glob("*.ipynb")
        for cell in read(path).cells
        for link in re.findall(rf"\]\({address}([^)#]+)", cell.source)
    }
    assert len(links) > len(NOTEBOOKS)
    assert [link for link in sorted(links) if not (book_html / link).is_file()] == []


@pytest.mark.parametrize(
    ("myst", "markdown"),
    [
        ("{doc}`02_simulation`", "[Simulation](https://book/notebooks/02_simulation.html)"),
        ("{doc}`cards </book/data>`", "[cards](https://book/book/data.html)"),
        ("[chapter 2](02_simulation)", "[chapter 2](https://book/notebooks/02_simulation.html)"),
        ("{cite:t}`wang`", "[Wang et al. (2024)](https://book/book/references.html#id2)"),
        (
            "{cite:p}`wang,ma`",
            "([Wang et al., 2024](https://book/book/references.html#id2); "
            "[Ma and Tsai, 2021](https://book/book/references.html#id6))",
        ),
        ("by {eq}`eq-start`", "by [(1)](https://book/notebooks/00.html#equation-eq-start)"),
        ("{numref}`fig-a`", "[Fig. 2.1](https://book/notebooks/02.html#fig-a)"),
        ("$$\na = b\n$$ (eq-start)", "$$\na = b\n\\tag{1}\n$$"),
        ("::::{exercise}\n:label: ex-a\n\nWhy?\n::::", "### Exercise 2.1\n\nWhy?"),
        (
            f"::::{{solution}} ex-a\n:class: dropdown\n\nSo.\n\n{FENCE}python\nx = {{1: ':::'}}\n{FENCE}\n::::",
            "<details>\n<summary><b>Solution of Exercise 2.1</b></summary>\n\n"
            f"So.\n\n{FENCE}python\nx = {{1: ':::'}}\n{FENCE}\n\n</details>",
        ),
        (
            ":::{prf:proposition} $C$ and more\n:label: prop-a\n\nIt is.\n:::",
            "**Proposition 1.1 ($C$ and more).** It is.",
        ),
        (":::{note}\nTwo\n\nlines.\n:::", "> **Note**\n>\n> Two\n>\n> lines."),
        ("`:::` and $x_{ij}$", "`:::` and $x_{ij}$"),
    ],
)
def test_myst_becomes(myst: str, markdown: str):
    assert colab.plain(myst, BOOK) == markdown


@pytest.mark.parametrize(
    ("planted", "said"),
    [
        (":::{figure} picture.png\n:::", "the directive {figure} is not known"),
        (f"{FENCE}{{bibliography}}\n{FENCE}", "the directive {bibliography} is not known"),
        ("::::{exercise}\n:label: ex-a\n\n:::{planted}\n:::\n::::", "the directive {planted} is not known"),
        ("{planted}`x`", "the role {planted} of 'x' is not known"),
        ("{eq}`eq-nowhere`", "got 'eq-nowhere', expected a label of the book"),
        ("[there](nowhere)", "got 'nowhere', expected a page of the book"),
        ("(a-label)=\n## A heading", "a target is left: (a-label)="),
        ("- in a list\n\n  :::{note}\n  :::", "a directive is left: :::{note}"),
        ("$$\na\n$$(eq-start)", "the label of an equation is left: $$(eq-start)"),
        ("{{ name }}", "a substitution is left"),
    ],
)
def test_planted_myst_is_caught(planted: str, said: str):
    notebook = v4.new_notebook(cells=[v4.new_markdown_cell(planted)])
    with pytest.raises(ValueError, match=re.escape(said)):
        colab.clean(notebook, "00_start_here", BOOK)


def test_myst_that_a_cell_prints_is_caught():
    output = v4.new_output("display_data", {"text/markdown": "See {doc}`02_simulation`."})
    notebook = v4.new_notebook(cells=[v4.new_markdown_cell("# A"), v4.new_code_cell("planted", outputs=[output])])
    with pytest.raises(ValueError, match="a role is left"):
        colab.clean(notebook, "00_start_here", BOOK)
