"""Notebooks for Colab and Jupyter, which know no MyST: each chapter once more, in plain Markdown, as the book is built.

Roles become links to the published book, equations carry their tags, exercises are headings and solutions fold.
Outputs stay: a reader sees the results before the first run, and where data cannot be had.  So do code cells with their
tags, among them papermill's ``parameters``.  They take the place of the sources that Sphinx copies beside the pages, so
that the page's button of downloads gives them too; .github/workflows/book.yml puts that folder on the branch that the
Colab buttons name, since Colab opens no other place than GitHub's.  As a Sphinx extension, this sets those buttons.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from address import address, published_at
from bs4 import BeautifulSoup
from citations import AuthorYearLabels
from nbformat import NotebookNode, v4
from pybtex.database import parse_file
from sphinx.application import Sphinx

BRANCH = "colab"
FOLDER = "_sources/notebooks"  # below the folder of pages
ADMONITIONS = {"admonition", "caution", "important", "note", "seealso", "tip", "warning"}
MYST = {
    "a role": r"\{[a-z:-]+\}`",
    "a directive": r"^ *(?::{3,}|`{3,}\{|~{3,}\{)",
    "an option": r"^:[\w-]+:",
    "the label of an equation": r"^\$\$ *\(",
    "a target": r"^\([\w-]+\)=\s*$",
    "a substitution": r"\{\{",
    "a link within the book": r"\]\((?!https?:|#)",
}
_OPEN = re.compile(r"^(?P<fence>:{3,}|`{3,})(?:\{(?P<name>[\w:-]+)\})?[ ]*(?P<argument>.*)$")
_OPTION = re.compile(r"^:([\w-]+):[ ]*(.*)$")
_ROLE = re.compile(r"\{([a-z:-]+)\}`([^`]+)`")
_TARGET = re.compile(r"^(.*?)\s*<([^>]+)>$", re.DOTALL)
_LINK = re.compile(r"\]\((?!https?:|#)([^)\s]+)\)")
_TAG = re.compile(r"^\$\$ \(([\w-]+)\)$", re.MULTILINE)


@dataclass(frozen=True)
class Book:
    """What the built pages say of themselves.

    Attributes:
        titles: of each page, "notebooks/02_simulation".
        places: of each label, its words ("Fig. 2.1", "(1.3)") and its page with the anchor.
        citations: of each key, the names, the year and the page with the anchor.
        address: where the pages are published, with a slash at its end.
    """

    titles: Mapping[str, str]
    places: Mapping[str, tuple[str, str]]
    citations: Mapping[str, tuple[str, str, str]]
    address: str

    @classmethod
    def read(cls, html: Path, bibliography: Path) -> Book:
        """From the folder of built pages and the file of references."""
        titles, places, listed = {}, {}, {}
        for path in sorted([*html.glob("book/*.html"), *html.glob("notebooks/*.html")]):
            page = path.relative_to(html).with_suffix("").as_posix()
            article = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser").find("article")
            titles[page] = article.h1.get_text().rstrip("#") if article.h1 else page
            for number in article.select(".eqno, .caption-number"):
                anchor = number.find_parent(id=True)["id"]
                words = number.get_text().rstrip("#").strip()
                places[anchor.removeprefix("equation-")] = words, f"{page}.html#{anchor}"
            for entry in article.select("div.citation"):
                listed[entry.select_one(".label").get_text().strip("[]")] = f"{page}.html#{entry['id']}"
        entries = parse_file(str(bibliography)).entries
        labels = dict(zip(entries, AuthorYearLabels().format_labels(list(entries.values())), strict=True))
        citations = {key: (*label.rsplit(" ", 1), listed[label]) for key, label in labels.items() if label in listed}
        return cls(titles, places, citations, published_at(address()))

    def link(self, words: str, place: str) -> str:
        """To a place of the published book."""
        return f"[{words}]({self.address}{place})"

    def page(self, target: str) -> str:
        """Of a target as chapters write it, "02_simulation" or "/book/data", the page; ValueError if there is none."""
        page = posixpath.normpath(posixpath.join("/notebooks", target)).lstrip("/")
        if page not in self.titles:
            raise ValueError(f"a link: got {target!r}, expected a page of the book")
        return page


def write(notebooks: Path, html: Path, bibliography: Path) -> None:
    """A clean copy of each notebook of a folder into `FOLDER` of the pages that were built from it.

    Raises:
        ValueError: MyST in a notebook that this module does not know.
    """
    book = Book.read(html, bibliography)
    (html / FOLDER).mkdir(parents=True, exist_ok=True)
    for path in sorted(notebooks.glob("[0-9][0-9]_*.ipynb")):
        try:
            cleaned = clean(nbformat.read(path, as_version=4), path.stem, book)
        except ValueError as error:
            raise ValueError(f"{path.name}: {error}") from error
        nbformat.write(cleaned, html / FOLDER / path.name)


def clean(notebook: NotebookNode, name: str, book: Book) -> NotebookNode:
    """The notebook of the chapter `name` without MyST; ValueError for MyST that is not known here."""
    cells = []
    for cell in notebook.cells:
        figure = cell.metadata.get("mystnb", {}).get("figure")
        cells.append(v4.new_markdown_cell(plain(cell.source, book), id=cell.id) if _text(cell) else _code(cell))
        if figure:
            words, _ = book.places[figure["name"]]
            caption = f"*{words}. {plain(figure['caption'], book)}*"
            cells.append(v4.new_markdown_cell(caption, id=f"{cell.id}-caption"))
    cells[0].source += f"\n\n*{book.link('This chapter in the book', f'notebooks/{name}.html')}.*"
    kept = {key: notebook.metadata[key] for key in ("kernelspec", "language_info") if key in notebook.metadata}
    cleaned = v4.new_notebook(cells=cells, metadata=kept)
    if faults := left_over(cleaned):
        raise ValueError("; ".join(faults))
    return cleaned


def left_over(notebook: NotebookNode) -> list[str]:
    """What of MyST is left in text and in outputs of text."""
    texts = [cell.source for cell in notebook.cells if _text(cell)]
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    texts += [output.data["text/markdown"] for output in outputs if "text/markdown" in output.get("data", {})]
    return [
        f"{what} is left: {line.strip()}"
        for text in texts
        for line in text.splitlines()
        for what, pattern in MYST.items()
        if re.search(pattern, line)
    ]


def plain(text: str, book: Book) -> str:
    """MyST as Markdown; ValueError for a role or a directive that is not known here."""
    done, prose, lines = [], [], iter(text.split("\n"))

    def flush() -> None:
        if prose:
            done.append(_inline("\n".join(prose), book))
            prose.clear()

    for line in lines:
        opened = _OPEN.match(line)
        if not opened:
            prose.append(line)
            continue
        flush()
        inner = []
        for within in lines:
            if within == opened["fence"]:
                break
            inner.append(within)
        if opened["name"]:
            done.append(_directive(opened["name"], opened["argument"], inner, book))
        else:
            done.append("\n".join([line, *inner, opened["fence"]]))
    flush()
    return "\n".join(done)


def _text(cell: NotebookNode) -> bool:
    return cell.cell_type == "markdown"


def _code(cell: NotebookNode) -> NotebookNode:
    """A cell of code with its outputs and its tags; the words for a picture go where Jupyter reads them."""
    words = cell.metadata.get("mystnb", {}).get("image", {}).get("alt")
    for output in cell.get("outputs", []):
        if words and "image/png" in output.get("data", {}):
            output.metadata["image/png"] = {"alt": words}
    cell.metadata = NotebookNode({key: value for key, value in cell.metadata.items() if key == "tags"})
    return cell


def _inline(text: str, book: Book) -> str:
    text = _TAG.sub(lambda found: f"\\tag{{{book.places[found[1]][0].strip('()')}}}\n$$", text)
    text = _ROLE.sub(lambda found: _role(found[1], found[2], book), text)
    return _LINK.sub(lambda found: f"]({book.address}{book.page(found[1])}.html)", text)


def _role(name: str, content: str, book: Book) -> str:
    if name == "doc":
        named = _TARGET.match(content)
        page = book.page(named[2] if named else content)
        return book.link(named[1] if named else book.titles[page], f"{page}.html")
    if name in ("eq", "numref", "prf:ref"):
        if content not in book.places:
            raise ValueError(f"{{{name}}}: got {content!r}, expected a label of the book")
        return book.link(*book.places[content])
    if name in ("cite:t", "cite:p"):
        cited = [book.citations[key.strip()] for key in content.split(",")]
        if name == "cite:t":
            return ", ".join(book.link(f"{names} ({year})", place) for names, year, place in cited)
        return f"({'; '.join(book.link(f'{names}, {year}', place) for names, year, place in cited)})"
    raise ValueError(f"the role {{{name}}} of {content!r} is not known to book/colab.py")


def _directive(name: str, argument: str, lines: list[str], book: Book) -> str:
    options = {}
    while lines and (option := _OPTION.match(lines[0])):
        options[option[1]] = option[2]
        lines = lines[1:]
    body = plain("\n".join(lines).strip("\n"), book)
    if name == "exercise":
        return f"### {book.places[options['label']][0]}\n\n{body}"
    if name == "solution":
        return f"<details>\n<summary><b>Solution of {book.places[argument][0]}</b></summary>\n\n{body}\n\n</details>"
    if name == "prf:proof":
        return f"*Proof.* {body}\n∎"
    if name.startswith("prf:"):
        named = f" ({_inline(argument, book)})" if argument else ""
        return f"**{book.places[options['label']][0]}{named}.** {body}"
    if name in ADMONITIONS:
        title = argument if name == "admonition" else name.capitalize()
        return "\n".join(f"> {line}".rstrip() for line in (f"**{title}**", "", *body.split("\n")))
    raise ValueError(f"the directive {{{name}}} is not known to book/colab.py")


def button(page: str) -> str:
    """Where Colab opens the chapter of a page, "notebooks/02_simulation"."""
    repository = address().removeprefix("https://github.com/")
    return f"https://colab.research.google.com/github/{repository}/blob/{BRANCH}/{Path(page).name}.ipynb"


def lead_to_the_clean_ones(_app: Sphinx, page: str, _template: str, context: dict[str, Any], _doctree: Any) -> None:
    """The theme's Colab buttons know one branch alone, that of the sources: give them theirs."""
    for group in context.get("header_buttons", []):
        for entry in group.get("buttons", []):
            if entry["text"] == "Colab":
                entry["url"] = button(page)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension, behind the theme, which adds the buttons."""
    app.connect("html-page-context", lead_to_the_clean_ones, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
