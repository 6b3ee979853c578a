"""Take out of the built pages what no reader needs: rules of style and icons that no page uses, colours of pictures.

A first visit to a chapter loads half as much for it; tests/book/test_browser.py holds what a page may weigh.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from fontTools import subset

from infocore_mini.experiments.style import fewer_colours

TEXT = r"""(?:[^{}"']|"[^"]*"|'[^']*')*"""
RULE = re.compile(rf"({TEXT})(\{{{TEXT}\}})")  # the innermost ones; the braces of @media stay around them
COMMENT = re.compile(r"/\*.*?\*/", re.S)
EMPTY = re.compile(r"@(?:media|supports)[^{}]*\{\s*\}")
NESTED = re.compile(r":(?:not|is|where|has)\((?:[^()]|\([^()]*\))*\)")
NAME = re.compile(r"[.#](-?[A-Za-z_](?:[\w-]|\\.)*)")
COMMA = re.compile(r",(?![^()\[\]]*[)\]])")
ATTRIBUTES = re.compile(r'\b(?:class|id)="([^"]*)"')
WORD = re.compile(r"[\w-]+")
ESCAPED = re.compile(r"""content:\s*["']\\([0-9a-fA-F]{1,5})["']""")
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
    drawn = {int(code, 16) for text in styles.values() for code in ESCAPED.findall(text)}
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

    def wanted(selector: str) -> bool:
        return {re.sub(r"\\(.)", r"\1", name) for name in NAME.findall(NESTED.sub("", selector))} <= used

    def kept(rule: re.Match) -> str:
        before, block = rule.groups()
        head = before[before.rfind(";") + 1 :]
        if head.lstrip().startswith("@"):
            return rule[0]
        selectors = [selector for selector in COMMA.split(head) if wanted(selector)]
        return before[: len(before) - len(head)] + (",".join(selectors) + block if selectors else "")

    licences = [text for text in COMMENT.findall(style) if text.startswith("/*!")]
    style = RULE.sub(kept, COMMENT.sub("", style))
    while EMPTY.search(style):
        style = EMPTY.sub("", style)
    return "\n".join([*licences, style])


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
