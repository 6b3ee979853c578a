"""What to do next about a finding."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_CONFOUNDED = {
    "treated": (
        "Compare within {nuisance} only, or correct for it and audit again on rows that the correction was not fitted "
        "on. If neither label nor molecule was given, first make sure that the values of {nuisance} hold the same biology."
    ),
    "controls": (
        "The same wells look different under another {nuisance}: a technical effect, whatever the treated rows hold. "
        "Correct by the controls of each value, keep some of them out, and audit those."
    ),
    "label": "The {nuisance} alone tells the label better than the embedding does: report every score beside this baseline.",
}
_OVER_CORRECTED = {
    "treated": (
        "The correction was fitted on these very rows, so that a low accuracy here proves nothing. Fit it on one part of "
        "the screen and audit another, and compare replicates before and after (argument before)."
    ),
    "replicates": "Fewer replicates find each other than before: use a weaker correction, or none.",
}
_CANNOT_TELL = {
    "design": (
        "No analysis can tell these values of {nuisance} from the biology that they hold. Measure some molecules or "
        "controls under both, or make no claim that compares them."
    ),
    "label": "Embedding and {nuisance} tell the label about as well: do not call it biology yet.",
    "replicates": "Replicates do not find each other: there is nothing to find, or a correction took it. Give before.",
    "controls": (
        "Too few control wells to find a shift of this size, or wells that the correction was fitted on: keep control "
        "wells out of the fit, in every value of {nuisance}."
    ),
    "treated": (
        "A shift of this size could have gone unseen, or nothing may be exchanged: measure more rows that share library "
        "and label across {nuisance}, or ask the controls."
    ),
}
_NEXT: Mapping[str, Mapping[str, str]] = {
    "confounded": _CONFOUNDED,
    "over-corrected": _OVER_CORRECTED,
    "cannot tell": _CANNOT_TELL,
}


def next_step(finding: Mapping[str, Any]) -> str:
    """A sentence or two for a row of an audit's table; "" where nothing is to be done."""
    return _NEXT.get(finding["verdict"], {}).get(finding["rows"], "").format(nuisance=finding["nuisance"])
