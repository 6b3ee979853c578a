"""Every page of the book, as stored and as executed, and a book with planted faults: each check must find its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pages
import pytest

pytestmark = pytest.mark.xdist_group("book")

FOUND = {
    pages.asks_the_network: [
        "04_gene_expression.html: <script> loads https://cdn.example/planted.js",
        "notation.html: <style> loads https://fonts.example/planted.css",
        "notation.html: <script> loads https://cdn.example/module.mjs",
    ],
    pages.leads_nowhere: [
        "notation.html: <a> leads to no_such_page.html, which is missing",
        "notation.html: glossary.html#no-such-word has no place of that name",
        "04_gene_expression.html: <img> leads to no_such_picture.png, which is missing",
    ],
    pages.leads_to_a_wrong_repository: [
        "notation.html: github.com/somebody-else/infocore-mini",
        "notebooks/99_planted.ipynb is not in the repository",
    ],
    pages.lacks_words: ["03_molecules.html: ../_images/"],
    pages.shows_what_readers_need_not_see: [
        "a cell prints 'planted.json'",
        "10_performance.html: holds a widget",
        "notation.html: shows {ref}`",
        "notation.html: shows $$",
    ],
}


@pytest.mark.parametrize("check", pages.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("made", ["book_html", "executed_html"])
def test_no_page(check: Callable[[Path], list[str]], made: str, request: pytest.FixtureRequest):
    assert check(request.getfixturevalue(made)) == []


@pytest.mark.parametrize("check", pages.CHECKS, ids=lambda check: check.__name__)
def test_a_planted_fault_is_found(check: Callable[[Path], list[str]], broken_book):
    faults = check(broken_book.html)
    missed = [words for words in FOUND[check] if not any(words in fault for fault in faults)]
    assert not missed, f"planted and not found: {missed}; found: {faults}"


def test_all_words_of_a_chapter_removed_is_a_fault_a_picture(broken_book):
    assert len([fault for fault in pages.lacks_words(broken_book.html) if "03_molecules" in fault]) == 3
