"""Which method for my screen? Five questions, a recommendation each, and the evidence for it from stored results."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import NamedTuple

import pandas as pd

from infocore_mini.evaluate.seeds import Interval, paired
from infocore_mini.experiments.gene_expression import doses
from infocore_mini.experiments.names import METHOD_NAMES, STUDY_NAMES, listed
from infocore_mini.experiments.new_plates import across
from infocore_mini.experiments.new_plates.figures import AXIS_NAMES
from infocore_mini.experiments.new_plates.phases import METHODS as PHASE_METHODS
from infocore_mini.experiments.new_plates.report import NAMES, SCREEN_NAMES, comparisons
from infocore_mini.experiments.pretraining import report as pretraining
from infocore_mini.experiments.results import StoredResult, stored

REAL = ("l1000_plates", "comas", "toxcast")  # pretraining studies on real screens, batches seen in training
NO_ALPHA = "infocore, alpha = 0"
STABILISED = "InfoCORE, stabilised minus InfoCORE, raw"  # rows of `comparisons`
CENTRED = "CLIP, batch centring minus CLIP, raw"


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
    return (
        f"AUC of the batch from structure, percent (50 by chance), real screens: {scale}. On simulated screens, the "
        f"arrow being that from batch to structure (0: none), {doses.turning(doses.at_doses())}\n\n"
        f"On new batches, also simulated, points against {METHOD_NAMES['clip']} as batch and structure are confounded (the share of a molecule's vector that its batch explains):\n\n{dial('confounding')}"
    )


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
    rows = pretraining.told(pretraining.stored_tables("toxcast"), NO_ALPHA, "clip").set_index(["library", "top"])
    said = listed(
        [
            f"{row.said} at top {row.Index} ({100 * row.difference:+.1f} "
            f"[{100 * row.difference_low:+.1f}, {100 * row.difference_high:+.1f}] points)"
            for row in rows.loc["batch"].itertuples()
        ]
    )
    yield f"- {METHOD_NAMES['infocore']} at `alpha` 0 against {METHOD_NAMES['clip']}, within a batch: {said} (ToxCast)."


def new_plates() -> str:
    """The claim of the chapter on new plates, and what correcting with shrunken statistics does for replicates."""
    repeated = across.read_on(boards(), "replicates")
    replicates = {name: comparisons(of, "replicates").loc[STABILISED] for name, of in repeated.items()}
    gains = "; ".join(
        f"{across.title_of(name, boards()[name])} {row.difference:+.1f} [{row.low:+.1f}, {row.high:+.1f}]"
        for name, row in replicates.items()
    )
    return (
        f"{across.claim(boards())} {across.claim_together(boards())} Replicates across new plates, {NAMES['infocore']} on "
        f"stabilised readouts minus raw ones, in points: {gains}."
    )


def dials() -> str:
    """What centring brings on real screens, and what sizes and strengths do to each method against CLIP (simulated)."""
    row = across.together(boards()).loc[CENTRED]
    one = comparisons(boards()["connectivity_map"]).loc[CENTRED]
    return (
        f"On the {row.screens} real screens together (not planned), {CENTRED}, new plates: {row.difference:+.1f} "
        f"[{row.low:+.1f}, {row.high:+.1f}] points of others beaten, {row.said}; on the Connectivity Map {one.difference:+.1f} "
        f"[{one.low:+.1f}, {one.high:+.1f}]. On simulated screens, new molecules on new "
        f"batches, points against {METHOD_NAMES['clip']}, paired by draw, with the 95 % interval (40 molecules a batch "
        f"where the strength is turned, strength 0.5 where the size is):\n\n{dial('per_batch')}\n\n{dial('strength')}\n\n"
        f"{in_the_audits_terms()}"
    )


def in_the_audits_terms() -> str:
    """What an audit would find on the simulated screens as the strength is turned, and on the real ones."""
    rows = pd.DataFrame(stored("new_plates_phases_strength").results["measured"])
    share, permuted = 100 * rows.groupby("strength")["own batch"].mean(), 100 * rows["permuted"].mean()
    simulated = "; ".join(f"{strength:g}: {one:.0f}" for strength, one in share.items())
    table = pd.DataFrame(stored("audit_screens").results["table"])
    real = table[table["correction"] == "none"].set_index("screen")
    found = "; ".join(
        f"{name} {100 * one:.0f} ({100 * null:.0f})"
        for name, one, null in zip(real.index, real["treated: neighbours"], real["treated: neighbours, expected"])
    )
    return (
        f"The strength in the audit's terms, percent of readouts whose nearest neighbour is of their own batch, simulated: "
        f"{simulated} (permuted labels: {permuted:.0f}). Real screens, in brackets permuted labels: {found}."
    )


def dial(axis: str) -> str:
    """Each method against CLIP on new batches as one dial of the (simulated) phase diagram is turned: a Markdown table."""
    rows = pd.DataFrame(stored(f"new_plates_phases_{axis}").results["rows"])
    rows["beaten"] = [100 * found["whole"]["beaten"] for found in rows["new"]]
    lines, methods = [], [method for method in PHASE_METHODS if method != "clip"]
    for value, found in rows.groupby(axis):
        wide = found.pivot(index="draw", columns="method", values="beaten")
        apart = (paired(wide[method], wide["clip"]) for method in methods)
        lines.append([f"{value:g}", *(_points(one) for one in apart)])
    head = [AXIS_NAMES[axis], *(NAMES.get(method, method) for method in methods)]
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, ["---:"] * len(head), *lines])


def _points(of: Interval) -> str:
    """As "+1.2 [-0.3, +2.7]" that does not break within the brackets, and without a negative zero."""
    mean, low, high = (f"{round(value, 1) + 0.0:+.1f}" for value in of)
    return f"{mean} [{low},\u00a0{high}]"


QUESTIONS: Sequence[Question] = (
    Question(
        "Does the batch show in the readouts?",
        "`infocore-mini audit wells.csv --smiles smiles --batch plate`, or {py:func}`~infocore_mini.audit`.",
        "*Clean*: train CLIP; there is little to leave out. *Cannot tell*: put the same controls, or "
        "the same molecules, into several batches before you train anything. *Confounded*: read on, and audit the "
        "embeddings of held-out batches as well, whatever you train: training hardly ever made clean what was not.",
        audits,
        ("11_your_own_screen", "12_new_plates"),
    ),
    Question(
        "Does structure give the batch away?",
        "Were molecules plated by series, library or supplier? Fit a linear discriminant of the batch on the drug "
        "features of some molecules, and ask it for the batches of others.",
        "Hardly better than a coin: CLIP and InfoCORE differ little, so take CLIP. Well above: pairing by batch pays "
        "among all molecules and not within a batch, so the next question decides; and do not centre batches, whose mean "
        "is then biology, too.",
        arrows,
        ("04_gene_expression", "12_new_plates"),
    ),
    Question(
        "Among which molecules will you search?",
        "Among all that there are, or among those of one batch, such as one library or one collection?",
        "Among all: CLIP, and InfoCORE with a large `alpha` beside it; not CCL, whose "
        "negatives all come from the anchor's batch. Within a batch: CLIP beside InfoCORE with a small `alpha`, from 0 to "
        "0.33. In simulation InfoCORE wins there, above all if structure gives the batch away (question 2); of three real screens "
        "one tells it from CLIP, at `alpha` 0 and by a point.",
        libraries,
        ("04_gene_expression", "05_cell_painting", "06_retrieval"),
    ),
    Question(
        "Will there be new plates?",
        "Will readouts be embedded from batches that training has not seen?",
        "Choose settings on held-out batches and molecules at once. Then expect no method to beat CLIP at finding new "
        "molecules there. If readouts must find their replicates on other plates, correct each plate by statistics that "
        "are shrunk towards training ({py:class}`~infocore_mini.correct.Stabilised`) before you train.",
        new_plates,
        ("12_new_plates",),
    ),
    Question(
        "How large are the batches, and how strong is their mark?",
        "Count the molecules of a batch. The audit says how many readouts have their nearest neighbour in their own batch.",
        "A handful a batch: leave centring and CCL alone, both lose by it. Forty or more, and a mark as strong as that of "
        "the molecules: try CLIP on centred batches beside CLIP on raw ones, unless structure gives the batch away; in the "
        "simulation nothing else does as much for new plates. Let held-out batches decide: centring did not help any of "
        "the real screens on them, the one that lies there (Connectivity Map) included. A weak mark: no method differs "
        "much.",
        dials,
        ("12_new_plates",),
    ),
)
