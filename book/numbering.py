"""Numbers of tables begin with the chapter's: a Sphinx extension that tells the style sheet which chapter a page is.

book/assets/book.css counts the captions of a page, as `infocore_mini.experiments.tables` writes them.
"""

from __future__ import annotations

from typing import Any

from sphinx.application import Sphinx


def tell_the_chapter(app: Sphinx, page: str, _template: str, context: dict[str, Any], _doctree: Any) -> None:
    """Set the variable ``--chapter`` of a page that has a number, "5." for chapter 5."""
    number = app.env.toc_secnumbers.get(page, {}).get("", ())
    if number:
        style = f'<style>:root {{ --chapter: "{number[0]}."; }}</style>'
        context["metatags"] = context.get("metatags", "") + style


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension."""
    app.connect("html-page-context", tell_the_chapter)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
