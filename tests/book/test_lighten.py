"""Nothing that a page uses is taken out of it."""

from __future__ import annotations

import re
from pathlib import Path

import lighten
import pages
import pytest
from fontTools.ttLib import TTFont

pytestmark = pytest.mark.xdist_group("book")

STYLE = r"""@charset "utf-8";/*! licence */:root{--a:1}/* said */
.used,.unused a{color:red}.unused{color:"}"}p:not(.unused),#there .used:hover{top:0}.sm\:used{left:0}
@media (min-width:1px){.unused{top:1px}@supports (top:0){.unused{top:2px}}}
@media print{.used{top:3px}}@font-face{font-family:A;src:url("a.woff2")}@keyframes k{50.5%{top:0}}"""


def test_rules_that_no_page_uses_go_and_all_others_stay():
    kept = lighten.without_unused(STYLE, {"used", "there", "sm:used"})
    assert "".join(kept.split()) == "".join(
        r"""/*! licence */@charset "utf-8";:root{--a:1}.used{color:red}p:not(.unused),#there .used:hover{top:0}
        .sm\:used{left:0}@media print{.used{top:3px}}@font-face{font-family:A;src:url("a.woff2")}
        @keyframes k{50.5%{top:0}}""".split()
    )


def test_names_are_those_of_classes_and_ids():
    assert lighten.names(['<p class="a b-c" id="d">e</p>', "<p class='f'>"]) == {"a", "b-c", "d"}


def test_every_icon_of_every_page_has_its_glyph(book_html: Path):
    style = (book_html / "_static" / "styles" / "pydata-sphinx-theme.css").read_text()
    fonts = [TTFont(path) for path in (book_html / "_static/vendor/fontawesome/webfonts").glob("*.ttf")]
    drawn = {code for font in fonts for code in font.getBestCmap()}
    used = {name for _, page in pages.pages(book_html) for icon in page.select("i[class]") for name in icon["class"]}
    icons = {name: re.search(rf"\.{name}:before[^{{}}]*\{{content:\"(.)\"", style) for name in used}
    codes = {name: ord(found[1]) for name, found in icons.items() if found}
    assert len(codes) >= 8
    assert {name for name, code in codes.items() if code not in drawn} == set()
    assert len(drawn) < 100 and ".woff2" not in style


def test_the_index_of_the_search_is_read_where_it_is_searched(book_html: Path):
    asking = {name for name, page in pages.pages(book_html) if page.select('script[src*="searchindex.js"]')}
    assert asking == {"search.html"}
