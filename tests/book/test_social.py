"""Each page says in its head what it is about, in its own words, with a picture of its own; links to it show that."""

from __future__ import annotations

from pathlib import Path

import address
import pages
import pytest
import social
from bs4 import BeautifulSoup
from conftest import ROOT, toc_pages

pytestmark = pytest.mark.xdist_group("book")

PUBLISHED = address.published_at(f"https://github.com/{pages.repository()}")


def heads(html: Path) -> dict[str, dict[str, str]]:
    """For each page of the contents, what its meta elements say."""
    found = {}
    for page in toc_pages(ROOT):
        head = BeautifulSoup((html / f"{page}.html").read_text(encoding="utf-8"), "html.parser").head
        named = ((meta.get("property") or meta.get("name"), meta.get("content")) for meta in head.find_all("meta"))
        found[page] = dict(pair for pair in named if pair[0])
    return found


def test_every_page_is_described_in_its_own_words(book_html: Path):
    for page, told in heads(book_html).items():
        said = told["description"]
        assert social.SHORTEST <= len(said) <= social.LONGEST + 4, f"{page}: {said!r}"
        text = " ".join(
            pages.article(BeautifulSoup((book_html / f"{page}.html").read_text(), "html.parser")).get_text().split()
        )
        assert said.removesuffix(" ...") in text, f"{page} does not say {said!r}"
        assert told["og:description"] == said
        assert told["og:title"] in text and told["og:url"] == f"{PUBLISHED}{page}.html"


def test_no_two_pages_are_described_alike(book_html: Path):
    said = [told["description"] for told in heads(book_html).values()]
    assert len(set(said)) == len(said)


def test_every_page_has_a_picture_that_is_there(book_html: Path):
    pictures = {page: told["og:image"] for page, told in heads(book_html).items()}
    for page, picture in pictures.items():
        assert picture.startswith(PUBLISHED) and (book_html / picture.removeprefix(PUBLISHED)).is_file(), page
    assert len(set(pictures.values())) > 8  # a chapter's own first figure


@pytest.mark.parametrize(
    ("repository", "expected"),
    [
        ("https://github.com/owner/name", "https://owner.github.io/name/"),
        ("https://github.com/owner/name/", "https://owner.github.io/name/"),
        ("https://github.com/owner/owner.github.io", "https://owner.github.io/"),
    ],
)
def test_where_the_pages_are_published(repository: str, expected: str):
    assert address.published_at(repository) == expected
