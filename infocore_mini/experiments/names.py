"""How methods, studies and arms are called: in stored rows by a key, on the pages by a label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

METHOD_NAMES = {"clip": "CLIP", "ccl": "CCL", "infocore": "InfoCORE"}
RIVAL_NAMES = {"ccl_k": "CCL-K", "reversal": "CLIP, gradient reversal", "hsic": "CLIP, HSIC penalty"}
DATASET_NAMES = {"adult": "UCI Adult", "law_school": "Law School", "compas": "COMPAS"}  # of tables about people
STUDY_NAMES = {  # of the pretraining studies, by what they train on
    "gene_expression": "simulated L1000",
    "l1000_plates": "three L1000 plates",
    "comas": "COMAS cell painting",
    "cell_painting": "simulated cell painting",
    "scaffold_0": "simulated L1000, plates drawn at random",
    "scaffold_0.75": "simulated L1000, weaker arrow",
    "scaffold_3": "simulated L1000, stronger arrow",
    "soft_labels": "simulated L1000, replicates in three batches",
    "toxcast": "ToxCast",
    "simulated": "simulated screen",
    "simclr": "simulated L1000, SimCLR",
    "comas_simclr": "COMAS cell painting, SimCLR",
}


@dataclass(frozen=True)
class Arm:
    """An arm of a study: a method and what it changes.

    Attributes:
        method: "clip", "ccl" or "infocore", or the name of a control.
        note: for readers, what sets the arm apart from the method as the study has it; "" if nothing.
        study: that the arm's encoder was pretrained in; "" where the arm is not about a pretrained encoder.
        change: settings that differ from the study's.
    """

    method: str
    note: str = ""
    study: str = ""
    change: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def key(self) -> str:
        """What stored rows call the arm, where its study gives it no other name: "clip, comas"."""
        return ", ".join(filter(None, (self.method, self.study, self.note)))

    @property
    def label(self) -> str:
        """What the pages call it: "CLIP, COMAS cell painting"."""
        named = METHOD_NAMES.get(self.method, self.method), STUDY_NAMES.get(self.study, self.study), self.note
        return ", ".join(filter(None, named))

    @property
    def settings(self) -> dict[str, Any]:
        """The method and what it changes, as settings of ``Config``."""
        return {"method": self.method, **self.change}


METHOD_ARMS = {method: Arm(method) for method in METHOD_NAMES}


def label(key: str) -> str:
    """What the pages call a stored arm: "infocore, one batch" is "InfoCORE (one batch)"."""
    method, _, rest = key.partition(", ")
    return METHOD_NAMES.get(method, method) + (f" ({rest})" if rest else "")


def listed(names: Sequence[str], nothing: str = "none") -> str:
    """Names as a sentence has them, "a, b and c"; ``nothing`` where there is none."""
    if not names:
        return nothing
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
