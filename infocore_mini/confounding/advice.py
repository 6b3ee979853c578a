"""What to do next about a finding."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

_CONFOUNDED = {
    "treated": (
        "Compare within one value only, or correct and audit again on rows that the correction was not fitted on. If "
        "neither label nor molecule was given, first make sure that the values hold the same biology."
    ),
    "controls": (
        "Wells that hold the same look different: a technical effect, whatever the treated rows hold. Correct by the "
        "controls of each value, keep some of them out, and audit those."
    ),
    "label": "The baseline alone tells the label better than the embedding does: report every score beside it.",
}
_OVER_CORRECTED = {
    "treated": (
        "The correction was fitted on these very rows, so that a low accuracy here proves nothing. Fit it on one part of "
        "the screen and audit another, and compare replicates before and after (argument before)."
    ),
    "controls": (
        "The correction was fitted on these very wells, as where their mean is subtracted plate by plate: they are alike by "
        "construction, which is no sign of confounding and none of its absence. Keep some wells of every value out of the "
        "fit, and audit those. (Controls at the same places of every plate can look like this, too.)"
    ),
    "replicates": "Fewer replicates find each other than before: use a weaker correction, or none.",
}
_CANNOT_TELL = {
    "design": (
        "No analysis can tell these values from the biology that they hold. Measure some molecules or controls under "
        "both, or make no claim that compares them."
    ),
    "label": "Embedding and baseline tell the label about as well: do not call it biology yet.",
    "replicates": "Replicates do not find each other: there is nothing to find, or a correction took it. Give before.",
    "controls": "Too few control wells to find a shift of this size: measure more of them under every value.",
    "treated": (
        "A shift of this size could have gone unseen, or nothing may be exchanged: measure more rows that share library "
        "and label across the values, or ask the controls."
    ),
}
_NEXT: Mapping[str, Mapping[str, str]] = {
    "confounded": _CONFOUNDED,
    "over-corrected": _OVER_CORRECTED,
    "cannot tell": _CANNOT_TELL,
}


def next_step(verdict: str, rows: str) -> str:
    """A sentence or two for the verdict of some rows of an audit's table; "" where nothing is to be done."""
    return _NEXT.get(verdict, {}).get(rows, "")


def next_steps(findings: Iterable[Mapping[str, Any]]) -> list[tuple[str, str, list[str], str]]:
    """(verdict, rows, nuisances, what to do) for each verdict and kind of rows that asks for something."""
    asking: dict[tuple[str, str], list[str]] = {}
    for row in findings:
        asking.setdefault((row["verdict"], row["rows"]), []).append(row["nuisance"])
    return [
        (called, rows, list(dict.fromkeys(nuisances)), step)
        for (called, rows), nuisances in asking.items()
        if (step := next_step(called, rows))
    ]
