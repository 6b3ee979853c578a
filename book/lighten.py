"""Take out of the built pages what no reader needs: rules of style and icons that no page uses, colours of pictures.

A first visit to a chapter loads half as much for it; tests/book/test_browser.py holds what a page may weigh.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import tinycss2
from fontTools import subset
from tinycss2 import ast

from infocore_mini.experiments.style import fewer_colours

COMMA = ast.LiteralToken(0, 0, ",")
GROUPS = ("media", "supports")  # at-rules that hold rules
ATTRIBUTES = re.compile(r'\b(?:class|id)="([^"]*)"')
WORD = re.compile(r"[\w-]+")
DRAWN = re.compile(r'content:\s*"(.)"')
WOFF2 = re.compile(r'url\([^)]*\.woff2\)\s*format\("woff2"\),\s*')
# What Bootstrap's script puts on the parts that the book has, tooltips and menus; it knows many more, such as carousels.
BOOTSTRAP = {
    "bs-tooltip-auto",
    "tooltip",
    "tooltip-arrow",
    "tooltip-inner",
    "fade",
    "show",
    "showing",
    "hiding",
    "collapsing",
}
SCRIPTS_OF_SEARCH = ("searchtools.js", "language_data.js", "searchindex.js")


def lighten(html: Path) -> None:
    """Change the built book in the folder `html`; what a build that failed early lacks is passed over."""
    pages = list(html.glob("**/*.html"))
    _search_where_it_is_asked_for(pages)
    static = html / "_static"
    scripts = [path for path in static.glob("**/*.js") if not {"mathjax", "bootstrap.js"} & {*path.parts}]
    used = names(path.read_text(encoding="utf-8") for path in pages)
    used |= BOOTSTRAP | {word for path in scripts for word in WORD.findall(path.read_text(encoding="utf-8"))}
    styles = {path: without_unused(path.read_text(encoding="utf-8"), used) for path in static.glob("**/*.css")}
    drawn = {ord(icon) for text in styles.values() for icon in DRAWN.findall(text)}
    for path, text in styles.items():
        path.write_text(WOFF2.sub("", text), encoding="utf-8")
    for font in static.glob("vendor/fontawesome/webfonts/*"):
        font.unlink() if font.suffix == ".woff2" else _keep_glyphs(font, drawn)
    for script in static.glob("scripts/fontawesome.js"):  # draws the icons as well as the font, in 1.2 MB
        script.write_text("", encoding="utf-8")
    for picture in (html / "_images").glob("*.png"):
        picture.write_bytes(fewer_colours(picture.read_bytes()))


def names(pages: Iterable[str]) -> set[str]:
    """Every class and id in the HTML of `pages`."""
    return {name for page in pages for value in ATTRIBUTES.findall(page) for name in value.split()}


def without_unused(style: str, used: set[str]) -> str:
    """A style sheet without the selectors that ask for a class or an id that is not in `used`; licences (``/*!``) stay."""
    licences = [
        part for part in tinycss2.parse_component_value_list(style) if part.type == "comment" and part.value[0] == "!"
    ]
    parts = tinycss2.parse_component_value_list(style, skip_comments=True)
    return tinycss2.serialize([*licences, *_wanted(tinycss2.parse_stylesheet(parts, skip_whitespace=True), used)])


def _wanted(rules: Iterable[ast.Node], used: set[str]) -> Iterator[ast.Node]:
    for rule in rules:
        if rule.type == "qualified-rule":
            rule.prelude = _selectors(rule.prelude, used)
            if rule.prelude:
                yield rule
        elif rule.type == "at-rule" and rule.lower_at_keyword in GROUPS:
            rule.content = [*_wanted(tinycss2.parse_rule_list(rule.content, skip_whitespace=True), used)]
            if rule.content:
                yield rule
        else:
            yield rule


def _selectors(prelude: list[ast.Node], used: set[str]) -> list[ast.Node]:
    """Those of a rule's selectors all whose names are used; what stands in brackets, as in ``:not(.name)``, is not asked for."""
    kept: list[ast.Node] = []
    for comma, selector in itertools.groupby(prelude, key=lambda part: part == ","):
        parts = [*selector]
        names = {part.value for part in parts if part.type == "hash"}
        names |= {name.value for dot, name in itertools.pairwise(parts) if dot == "." and name.type == "ident"}
        if not comma and names <= used:
            kept += [COMMA, *parts] if kept else parts
    return kept


def _search_where_it_is_asked_for(pages: Iterable[Path]) -> None:
    """The theme loads the index of the whole book on every page; the page of the search is the one that reads it."""
    scripts = re.compile(rf'\s*<script src="[^"]*(?:{"|".join(map(re.escape, SCRIPTS_OF_SEARCH))})[^"]*"></script>')
    for page in pages:
        if page.name != "search.html":
            page.write_text(scripts.sub("", page.read_text(encoding="utf-8")), encoding="utf-8")


def _keep_glyphs(font: Path, codes: set[int]) -> None:
    options = subset.Options(layout_features=[], name_IDs=["*"], notdef_outline=True)
    opened = subset.load_font(font, options)
    subsetter = subset.Subsetter(options)
    subsetter.populate(unicodes=codes)
    subsetter.subset(opened)
    subset.save_font(opened, font, options)
