"""The book builds without a warning, holds every page of its table of contents, and a fault in it stops the build."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import colab
import pages
import pytest
import vendor
from conftest import toc_pages

pytestmark = pytest.mark.xdist_group("book")


def test_every_page_of_the_contents_is_rendered(book_html: Path, root: Path):
    assert (book_html / "index.html").is_file()
    for page in toc_pages(root):
        text = (book_html / f"{page}.html").read_text()
        assert "<h1>" in text, f"{page} has no title"


def test_every_page_leads_on_to_the_next(book_html: Path, root: Path):
    listed = toc_pages(root)
    for page, following in zip(listed, listed[1:], strict=False):
        found = re.search(r'class="right-next"\s+href="([^"]+)"', (book_html / f"{page}.html").read_text())
        assert found, f"{page} has no link to the next page"
        assert found.group(1).endswith(f"{Path(following).name}.html")


def test_notebook_pages_show_the_stored_outputs(book_html: Path, root: Path):
    for page in (page for page in toc_pages(root) if page.startswith("notebooks/")):
        assert "cell_output" in (book_html / f"{page}.html").read_text(), f"{page} shows no output"


def test_notebook_pages_have_a_colab_button_whose_notebook_the_book_holds(book_html: Path, root: Path):
    for page in (page for page in toc_pages(root) if page.startswith("notebooks/")):
        found = re.findall(r'https://colab\.research[^"]+', (book_html / f"{page}.html").read_text())
        assert found == [colab.button(page)]
        assert found[0].startswith(
            f"https://colab.research.google.com/github/{pages.repository()}/blob/{colab.BRANCH}/"
        )
        assert (book_html / colab.FOLDER / found[0].rsplit("/", 1)[1]).is_file()


def test_a_broken_cross_reference_fails_the_build(book_html: Path, broken_book):
    """`book_html` shows that the same sources build without it."""
    assert broken_book.done.returncode != 0
    assert "no-such-label" in broken_book.done.stdout + broken_book.done.stderr


def test_mathjax_falls_back_to_a_cdn_and_says_so(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setattr(vendor, "FOLDER", tmp_path)
    monkeypatch.setattr(vendor, "SOURCES", ((["no-such-command"], "0" * 64, ""),))
    assert vendor.mathjax_path() is None
    assert "CDN" in capsys.readouterr().out


def test_mathjax_with_a_wrong_checksum_is_not_used(tmp_path: Path, monkeypatch, capsys):
    fake = tmp_path / "fake.tgz"
    fake.write_bytes(b"not MathJax")
    monkeypatch.setattr(vendor, "FOLDER", tmp_path / "vendor")
    monkeypatch.setattr(vendor, "SOURCES", (([shutil.which("cp"), str(fake), "."], "0" * 64, ""),))
    assert vendor.mathjax_path() is None
    assert "wrong checksum" in capsys.readouterr().out
    assert not (tmp_path / "vendor").exists()
