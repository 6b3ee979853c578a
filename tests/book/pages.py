"""What every built page holds to, as functions from the folder of pages to a list of faults; no browser is needed."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bs4 import BeautifulSoup, Tag
from conftest import ROOT

LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href", "object": "data"}
LOADING_LINKS = {"stylesheet", "icon", "preload", "prefetch", "preconnect", "dns-prefetch", "modulepreload"}
IN_STYLE = re.compile(r"""(?:@import\s+|url\()\s*["']?((?:https?:)?//[^"')\s]+)""")
IN_SCRIPT = re.compile(r"""["'](https?://[^"']+\.(?:js|mjs|css|woff2?)(?:\?[^"']*)?)["']""")
GITHUB = re.compile(r"\bgithub(?:usercontent)?\.com/(?:github/)?([\w.-]+)/([\w-]+(?:\.[\w-]+)*)")
RAW = re.compile(r"\{[a-z:]+\}`|\$\$|\\begin\{|\\frac\b|^:::|^```", re.M)  # MyST that was not understood
NOT_TEXT = {"pre", "code", "script", "style"}


@lru_cache(maxsize=128)
def _parsed(path: Path, _changed: int) -> BeautifulSoup:
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


def pages(html: Path) -> Iterator[tuple[str, BeautifulSoup]]:
    """Every page: its path below `html`, and what it says."""
    for path in sorted(html.glob("**/*.html")):
        if "_static" not in path.parts:
            yield path.relative_to(html).as_posix(), _parsed(path, path.stat().st_mtime_ns)


def article(page: BeautifulSoup) -> Tag:
    return page.find("article") or page


def asks_the_network(html: Path) -> list[str]:
    """Scripts, styles, fonts, pictures and frames that a page would load from elsewhere."""
    faults = []
    for name, page in pages(html):
        for tag, attribute in LOADED.items():
            for element in page.find_all(tag):
                address = element.get(attribute) or ""
                loads = tag != "link" or LOADING_LINKS & set(element.get("rel", []))
                if loads and re.match(r"(https?:)?//", address):
                    faults.append(f"{name}: <{tag}> loads {address}")
        for tag, pattern in (("style", IN_STYLE), ("script", IN_SCRIPT)):
            text = "\n".join(element.get_text() for element in page.find_all(tag))
            faults += [f"{name}: <{tag}> loads {address}" for address in pattern.findall(text)]
    for style in sorted(html.glob("_static/**/*.css")):
        text = style.read_text(encoding="utf-8")
        faults += [f"{style.name}: loads {address}" for address in IN_STYLE.findall(text)]
    return faults


def leads_nowhere(html: Path) -> list[str]:
    """Links and pictures whose file is missing, and links to a place on a page that it does not have."""
    ids = {name: {element["id"] for element in page.find_all(id=True)} for name, page in pages(html)}
    faults = []
    for name, page in pages(html):
        named = [(element, element.get("href")) for element in page.find_all("a")]
        named += [(element, element.get("src")) for element in page.find_all(["img", "script", "source"])]
        for element, address in named:
            parts = urlsplit(address or "")
            if parts.scheme or parts.netloc or not (parts.path or parts.fragment):
                continue
            target = (html / name).parent / unquote(parts.path) if parts.path else html / name
            if not target.is_file():
                faults.append(f"{name}: <{element.name}> leads to {address}, which is missing")
                continue
            known = ids.get(target.resolve().relative_to(html.resolve()).as_posix())
            if parts.fragment and known is not None and unquote(parts.fragment) not in known | {"top"}:
                faults.append(f"{name}: {address} has no place of that name")
    return faults


def repository() -> str:
    """``owner/name`` on GitHub, from pyproject.toml."""
    address = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]["Repository"]
    return address.removeprefix("https://github.com/")


@lru_cache
def origins() -> set[str]:
    """``owner/name`` of every repository that the table of data files or their cards name."""
    text = "".join((ROOT / path).read_text(encoding="utf-8") for path in ("data/sources.csv", "book/data.md"))
    return {"/".join(found) for found in GITHUB.findall(text)}


def wrong_addresses(text: str) -> list[str]:
    """GitHub repositories in `text` that are neither this project's nor the origin of one of its data files."""
    return [
        f"github.com/{owner}/{name}"
        for owner, name in GITHUB.findall(text)
        if f"{owner}/{name.removesuffix('.git')}" not in {repository(), "owner/name"} | origins()
    ]


def leads_to_a_wrong_repository(html: Path) -> list[str]:
    """Addresses of a repository that is not the project's, and of files that this repository does not have."""
    faults, own = [], re.compile(rf"/{re.escape(repository())}/(?:blob|edit|tree)/main/([^?#]+)")
    for name, page in pages(html):
        for address in (element["href"] for element in page.find_all("a", href=True)):
            faults += [f"{name}: {wrong}" for wrong in wrong_addresses(address)]
            missing = [path for path in own.findall(address) if not (ROOT / unquote(path)).exists()]
            faults += [f"{name}: {address} is not in the repository" for _ in missing]
    return faults


def lacks_words(html: Path) -> list[str]:
    """Pictures in the text without words for those who do not see them; a path or a file's name is none."""
    return [
        f"{name}: {picture['src']} has the alternative text {picture.get('alt')!r}"
        for name, page in pages(html)
        for picture in article(page).find_all("img")
        if len((picture.get("alt") or "").split()) < 3
    ]


def shows_what_readers_need_not_see(html: Path) -> list[str]:
    """Markup that was not understood, widgets that are dead on a page, and outputs that are no more than a file's name."""
    faults = []
    for name, page in pages(html):
        printed = (output.get_text().strip() for output in article(page).select(".cell_output"))
        faults += [f"{name}: a cell prints {text}" for text in printed if re.fullmatch(r"'?[\w/.-]+\.\w+'?", text)]
        if page.select('script[type^="application/vnd.jupyter.widget"]'):
            faults.append(f"{name}: holds a widget")
        faults += [
            f"{name}: shows {found}"
            for text in article(page).find_all(string=RAW)
            for found in RAW.findall(text)
            if not any(above.name in NOT_TEXT or "math" in above.get("class", []) for above in text.parents)
        ]
    return faults


CHECKS = (
    asks_the_network,
    leads_nowhere,
    leads_to_a_wrong_repository,
    lacks_words,
    shows_what_readers_need_not_see,
)
