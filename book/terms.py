"""The first use of an abbreviation on a page links to its entry in the glossary and shows the definition: a Sphinx extension.

By mouse and by keyboard the theme's tooltip shows it, on a touch screen the link leads to it. The glossary is the only source:
its terms that look like abbreviations, with a capital and a further capital or digit, are the ones that are explained.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.ext.autosummary import autosummary_table
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.nodes import clean_astext

GLOSSARY = "book/glossary"
ABBREVIATION = re.compile(r"[A-Z].*[A-Z0-9]")
# A word in these is a name, a formula, or already a link.
NOT_PROSE = (nodes.title, nodes.rubric, nodes.reference, nodes.literal, nodes.math, nodes.term, addnodes.desc_signature)
NOT_PROSE += (nodes.FixedTextElement,)  # code, formulas, raw HTML


class Entry(NamedTuple):
    """Where the glossary defines a term, and in which words."""

    identifier: str
    definition: str


class explained(nodes.reference):  # noqa: N801 - docutils names a node as its tag
    """A link to an entry of the glossary that carries the definition."""


def abbreviations(env: BuildEnvironment) -> dict[str, Entry]:
    """The glossary's terms that look like abbreviations, with their entries."""
    entries = {}
    for item in env.get_doctree(GLOSSARY).findall(nodes.definition_list_item):
        for term in item.findall(nodes.term):
            name = term.astext()
            if ABBREVIATION.search(name) and term["ids"]:
                definition = " ".join(next(item.findall(nodes.definition)).astext().split())
                entries[name] = Entry(term["ids"][0], definition)
    return entries


class ExplainAbbreviations(SphinxPostTransform):
    """Replace the first use of each abbreviation by an `explained`; a link to the glossary that is there already becomes one."""

    builders = ("html",)
    default_priority = 900

    def run(self, **_kwargs: Any) -> None:
        """Change the page that Sphinx is about to write."""
        if self.env.docname == GLOSSARY:
            return
        waiting = abbreviations(self.env)
        for node in list(self.document.findall()):
            if isinstance(node, nodes.reference):
                name = clean_astext(node)
                if name in waiting and node.get("refuri", "").endswith(f"#{waiting[name].identifier}"):
                    node.replace_self(
                        explained("", "", *node.children, definition=waiting.pop(name).definition, **node.attributes)
                    )
            elif isinstance(node, nodes.Text) and _is_prose(node):
                pieces = self._pieces(node.astext(), waiting)
                if len(pieces) > 1:
                    node.parent.replace(node, pieces)

    def _pieces(self, text: str, waiting: dict[str, Entry]) -> list[nodes.Node]:
        """`text` with a link at each name in `waiting`, which loses it."""
        pieces: list[nodes.Node] = []
        while waiting:
            names = "|".join(map(re.escape, sorted(waiting, key=len, reverse=True)))
            found = re.search(rf"(?<![\w-])(?:{names})(?![\w-])", text)
            if not found:
                break
            entry = waiting.pop(found[0])
            address = self.app.builder.get_relative_uri(self.env.docname, GLOSSARY) + f"#{entry.identifier}"
            pieces += [
                nodes.Text(text[: found.start()]),
                explained("", found[0], refuri=address, definition=entry.definition),
            ]
            text = text[found.end() :]
        return [*pieces, nodes.Text(text)]


def _is_prose(text: nodes.Text) -> bool:
    above = text.parent
    while above is not None:
        if isinstance(above, NOT_PROSE):
            return isinstance(above, autosummary_table)  # to docutils a comment
        above = above.parent
    return True


def _visit(translator: Any, node: explained) -> None:
    told = {"href": node["refuri"], "title": node["definition"], "data-bs-toggle": "tooltip"}
    translator.body.append(translator.starttag(node, "a", "", CLASS="explained", **told))


def _depart(translator: Any, _node: explained) -> None:
    translator.body.append("</a>")


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension."""
    app.add_node(explained, html=(_visit, _depart))
    app.add_post_transform(ExplainAbbreviations)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
