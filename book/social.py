"""What search engines and messengers show of a page, and the page for addresses that lead nowhere: a Sphinx extension.

The description is the page's own first sentences, the picture its first figure, which the project's code drew.
"""

from __future__ import annotations

import re
from html import escape, unescape
from typing import Any

from address import published_at
from docutils import nodes
from sphinx.application import Sphinx

SHORTEST, LONGEST = 50, 200  # characters: less says little, more is cut by those who show it
PICTURE = "_static/start_here.png"
FORMULA = "\N{OBJECT REPLACEMENT CHARACTER}"
SENTENCE = re.compile(r"(?<=[.?!])\s+(?=[A-Z])")


def description(page: nodes.document) -> str:
    """The first sentences without a formula, `SHORTEST` to `LONGEST` characters; '' if no paragraph begins with such."""
    for paragraph in page.findall(nodes.paragraph):
        words = [FORMULA if isinstance(part, nodes.math) else part.astext() for part in paragraph.findall(_is_leaf)]
        first, *others = SENTENCE.split(" ".join("".join(words).split()))
        if FORMULA in first or not isinstance(paragraph.parent, nodes.section):
            continue
        for sentence in others:
            if FORMULA in sentence or len(first) + len(sentence) >= LONGEST:
                break
            first += f" {sentence}"
        if len(first) >= SHORTEST:
            return first if len(first) <= LONGEST else first[: first.rfind(" ", 0, LONGEST)] + " ..."
    return ""


def _is_leaf(node: nodes.Node) -> bool:
    return isinstance(node, nodes.math) or (isinstance(node, nodes.Text) and not isinstance(node.parent, nodes.math))


def _picture(app: Sphinx, page: nodes.document) -> str:
    shown = (image["uri"].rpartition("/")[2] for image in page.findall(nodes.image))  # Sphinx has made it an address
    return next((f"_images/{name}" for name in shown if name in app.builder.images.values()), PICTURE)


def describe(app: Sphinx, page: str, _template: str, context: dict[str, Any], doctree: nodes.document | None) -> None:
    """Write the description of a page into its head; the page 404 learns where the book is published."""
    address = published_at(app.config.html_theme_options["repository_url"])
    context["base"] = re.sub(r"^https://[^/]+", "", address)
    if doctree is None:
        return
    told = {
        "og:title": unescape(re.sub("<[^>]+>", "", context["title"])),
        "og:type": "article",
        "og:url": f"{address}{page}.html",
        "og:description": description(doctree),
        "og:image": address + _picture(app, doctree),
        "og:site_name": app.config.html_title,
    }
    tags = [f'<meta property="{name}" content="{escape(text)}" />' for name, text in told.items()]
    tags.append(f'<meta name="description" content="{escape(told["og:description"])}" />')
    context["metatags"] = context.get("metatags", "") + "\n".join(tags)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension."""
    app.connect("html-page-context", describe)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
