"""Which method for my screen? Five questions, a recommendation each, and the evidence for it from stored results."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import NamedTuple

import pandas as pd

from infocore_mini.experiments.gene_expression import doses
from infocore_mini.experiments.names import METHOD_NAMES, STUDY_NAMES, listed
from infocore_mini.experiments.new_plates import across, placement
from infocore_mini.experiments.new_plates.report import NAMES, SCREEN_NAMES, comparisons
from infocore_mini.experiments.pretraining import report as pretraining
from infocore_mini.experiments.results import StoredResult, stored

REAL = ("l1000_plates", "comas", "toxcast")  # pretraining studies on real screens, batches seen in training


class Question(NamedTuple):
    """What a reader asks of a screen before training.

    Attributes:
        asked: the question.
        tell: how the answer is found on one's own screen, Markdown.
        advice: what to do, by the answer, Markdown.
        evidence: what the stored results say to it, Markdown, computed.
        pages: files of the chapters that have the evidence in full.
    """

    asked: str
    tell: str
    advice: str
    evidence: Callable[[], str]
    pages: Sequence[str]


def page() -> str:
    """The questions as Markdown."""
    return "\n\n".join(_markdown(number, question) for number, question in enumerate(QUESTIONS, 1))


def _markdown(number: int, question: Question) -> str:
    pages = listed([f"{{doc}}`chapter {int(page[:2])} </notebooks/{page}>`" for page in question.pages])
    return (
        f"## {number}. {question.asked}\n\n"
        f"**How to tell.** {question.tell}\n\n"
        f"**Do this.** {question.advice}\n\n"
        f"**Evidence.** {question.evidence()}\n\nIn full: {pages}."
    )


@cache
def boards() -> Mapping[str, StoredResult]:
    """The board of every screen of new plates, as stored."""
    return {name: stored(f"new_plates_{name}") for name in SCREEN_NAMES}


# ------------------------------------------------------------------ evidence


def audits() -> str:
    """What audits of new batches say of the arms that are trained."""
    return across.audited(boards())


def arrows() -> str:
    """How far structure gives the batch away in real screens, and what it does to InfoCORE's lead on simulated ones."""
    table = doses.arrows(stored("structure_arrow").results)
    real = table[table["data"] == "real"]
    scale = "; ".join(f"{name} {row.auc:.0f}" for name, row in zip(real.index, real.itertuples()))
    return f"AUC of the batch from structure, percent (50 by chance), real screens: {scale}. On simulated screens {doses.turning(doses.at_doses())}"


def libraries() -> str:
    """Methods against CLIP on real screens whose batches were trained on, by library: how often each outcome is said."""
    return "\n".join(["Top 1, 5 and 10 on real screens whose batches training saw:\n", *_libraries()])


def _libraries() -> Iterator[str]:
    names = listed([STUDY_NAMES[name] for name in REAL])
    for method in ("infocore", "ccl"):
        rows = pd.concat([pretraining.told(pretraining.stored_tables(name), method, "clip") for name in REAL])
        for library, name in (("whole", "among all molecules"), ("batch", "within a batch")):
            said = rows.loc[rows["library"] == library, "said"].value_counts()
            counts = ", ".join(f"{outcome} {count} times" for outcome, count in said.items())
            yield f"- {METHOD_NAMES[method]} against {METHOD_NAMES['clip']}, {name}: {counts} ({names})."


def new_plates() -> str:
    """The claim of the chapter on new plates, and what correcting with shrunken statistics does for replicates."""
    replicates = {name: _row(of, "InfoCORE, stabilised minus", "replicates") for name, of in _with_replicates().items()}
    gains = "; ".join(
        f"{across.title_of(name, boards()[name])} {row.difference:+.1f} [{row.low:+.1f}, {row.high:+.1f}]"
        for name, row in replicates.items()
    )
    return (
        f"{across.claim(boards())} {across.claim_together(boards())} Replicates across new plates, {NAMES['infocore']} on "
        f"stabilised readouts minus raw ones, in points: {gains}."
    )


def _with_replicates() -> dict[str, StoredResult]:
    return across.read_on(boards(), "replicates")


def _row(of: StoredResult, start: str, score: str) -> pd.Series:
    table = comparisons(of, score)
    [name] = [name for name in table.index if name.startswith(start)]
    return table.loc[name]


def sizes() -> str:
    """What the number of molecules in a batch does to each method against CLIP, on new batches (simulated)."""
    curve = placement.curves({"per_batch": stored("new_plates_phases_per_batch")}).loc["per_batch", "mean"]
    wide = curve.unstack("method").sort_index()
    change = wide.sub(wide["clip"], axis=0).drop(columns="clip")
    parts = [
        f"{value:g} molecules a batch: "
        + ", ".join(f"{NAMES.get(method, method)} {points:+.1f}" for method, points in row.items())
        for value, row in change.iterrows()
    ]
    return f"Simulated, new batches, points of others beaten against {METHOD_NAMES['clip']}: {'; '.join(parts)}."


QUESTIONS: Sequence[Question] = ()
