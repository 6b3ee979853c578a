"""How the book cites: "Wang et al. (2024)" in a sentence, "(Wang et al., 2024)" beside it, "Wang et al. 2024" in the list.

A Sphinx extension, for sphinxcontrib-bibtex has author and year in square brackets alone, and no labels to match.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from string import ascii_lowercase

import sphinxcontrib.bibtex.plugin
from pybtex.database import Entry
from pybtex.plugin import register_plugin
from pybtex.style.formatting.unsrt import Style
from pybtex.style.labels import BaseLabelStyle
from sphinx.application import Sphinx
from sphinxcontrib.bibtex.style.referencing import BracketStyle
from sphinxcontrib.bibtex.style.referencing.author_year import AuthorYearReferenceStyle


@dataclass
class RoundAuthorYear(AuthorYearReferenceStyle):
    """Author and year, in round brackets."""

    bracket_textual: BracketStyle = field(default_factory=lambda: BracketStyle("(", ")"))
    bracket_parenthetical: BracketStyle = field(default_factory=lambda: BracketStyle("(", ")"))
    bracket_year: BracketStyle = field(default_factory=lambda: BracketStyle("(", ")"))


class AuthorYearLabels(BaseLabelStyle):
    """Up to two family names, or the first "et al.", and the year; a letter where two entries would agree."""

    def format_labels(self, sorted_entries: Sequence[Entry]) -> Iterator[str]:
        """One label an entry, in their order."""
        labels = [f"{_names(entry)} {entry.fields['year']}" for entry in sorted_entries]
        alike, seen = Counter(labels), Counter()
        for label in labels:
            yield label + (ascii_lowercase[seen[label]] if alike[label] > 1 else "")
            seen[label] += 1


def _names(entry: Entry) -> str:
    names = [" ".join([*person.prelast_names, *person.last_names]) for person in entry.persons["author"]]
    if len(names) > 2 or "others" in names:
        return f"{names[0]} et al."
    return " and ".join(names)


class AuthorYearStyle(Style):
    """A list sorted by author, with labels of author and year."""

    default_label_style = AuthorYearLabels
    default_sorting_style = "author_year_title"


def setup(app: Sphinx) -> dict[str, bool]:
    """Register both styles under the name ``round_author_year``."""
    sphinxcontrib.bibtex.plugin.register_plugin(
        "sphinxcontrib.bibtex.style.referencing", "round_author_year", RoundAuthorYear
    )
    register_plugin("pybtex.style.formatting", "round_author_year", AuthorYearStyle)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
