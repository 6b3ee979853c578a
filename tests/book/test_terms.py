"""Abbreviations explain themselves at their first use on every page, in the words of the glossary and of nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import pages
import pytest
from bs4 import BeautifulSoup, NavigableString, Tag
from conftest import ROOT, toc_pages

pytestmark = pytest.mark.xdist_group("book")

NOT_PROSE = ["h1", "h2", "h3", "h4", "h5", "code", "pre", "a", "script", "style", "dt", "mjx-container", "button"]
PAGES = [page for page in toc_pages(ROOT) if page != "book/glossary"]
WANTED = "CLIP InfoNCE MoCo SimCLR MLP SMILES COMAS PRISM BBBP BACE SIDER mAP".split()


def glossary() -> dict[str, str]:
    """What book/glossary.md says of each term, less its markup."""
    text = (ROOT / "book" / "glossary.md").read_text(encoding="utf-8")
    entries = re.findall(r"^(\S.*)\n((?:  .+\n)+)", text.split("```{glossary}\n")[1], re.M)
    plain = {term: re.sub(r"\{term\}`([^<`]*?)(?: <[^`]*)?`", r"\1", " ".join(said.split())) for term, said in entries}
    return {term: said.replace("`", "") for term, said in plain.items()}


ABBREVIATIONS = [term for term in glossary() if re.search("[A-Z].*[A-Z0-9]", term)]


def opened(html: Path, page: str) -> Tag:
    return pages.article(BeautifulSoup((html / f"{page}.html").read_text(encoding="utf-8"), "html.parser"))


def in_prose(text: NavigableString) -> bool:
    """Whether words are a page's own; the glossary's links count, what a cell printed as HTML and signatures do not."""
    link = text.find_parent("a")
    if link and "explained" in link.get("class", []):
        return True
    return not (
        text.find_parent(NOT_PROSE) or text.find_parent(class_=["math", "text_html", "admonition-title", "rubric"])
    )


def test_the_glossary_has_the_abbreviations_in_order():
    assert set(WANTED) <= set(ABBREVIATIONS)
    assert list(glossary()) == sorted(glossary(), key=str.casefold)


@pytest.mark.parametrize("page", PAGES)
def test_the_first_use_explains_itself(book_html: Path, page: str):
    article = opened(book_html, page)
    links = {link.get_text(): link for link in article.select("a.explained")}
    assert len(links) == len(article.select("a.explained")), "one is explained twice"
    found = set()
    for text in filter(in_prose, article.find_all(string=True)):
        for term in re.findall(
            rf"(?<![\w-])(?:{'|'.join(sorted(ABBREVIATIONS, key=len, reverse=True))})(?![\w-])", text
        ):
            if term not in found:
                assert text.parent is links.get(term), f"{term} is first used in {text[:80]!r}"
                found.add(term)
    assert found == set(links)
    for term, link in links.items():
        assert link["title"].replace("’", "'") == glossary()[term]
        assert link["href"].endswith(f"glossary.html#term-{term.replace(' ', '-')}")
        assert link["data-bs-toggle"] == "tooltip"  # by mouse and by keyboard: test_browser.py


def test_some_pages_explain_many(book_html: Path):
    assert len(opened(book_html, "notebooks/07_property_prediction").select("a.explained")) >= 5
    assert not opened(book_html, "book/glossary").select("a.explained")
