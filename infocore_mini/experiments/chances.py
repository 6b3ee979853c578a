"""Equal chances for the methods of a comparison: what they share, how many candidates each has, which one is reported.

Every method trains with its study's own networks, minibatch size, epochs and learning rates. Temperature and one
further setting are searched, with as many candidates for each method; of each split the candidate with the best
retrieval on validation molecules is reported, on test molecules that nothing was chosen on. What else differs needs a
reason (``REASONS``), and ``unequal`` finds it where there is none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import product
from types import MappingProxyType
from typing import Any

from infocore_mini.config import Config
from infocore_mini.screens import PairedScreen
from infocore_mini.training.pairs import ScreenPairs, sample

TEMPERATURES = (0.1, 0.3)
ALPHAS = (0.33, 0.83)  # the paper's, for gene expression and for cell painting
DROPOUTS = (0.1, 0.3)  # rates of feature dropout, for methods without alpha
FURTHER: Mapping[str, tuple[str, tuple[float, ...]]] = MappingProxyType(  # a method's own setting; others have dropout
    {
        "ccl_k": ("kernel_width", (0.5, 1.0)),
        "reversal": ("penalty_scale", (0.1, 1.0)),
        "hsic": ("penalty_scale", (1.0, 10.0)),
    }
)
SEARCHED = ("temperature", "alpha", "feature_dropout_screen", "kernel_width", "penalty_scale")
STEPS, CANDIDATES = "optimiser steps", "candidates"

_ITS_OWN = "CCL compares an anchor with others of its experimental batch: a random minibatch or queue has next to none"
REASONS: Mapping[str, Mapping[str, str]] = MappingProxyType(  # method -> what it may have of its own -> why
    {
        "ccl": {
            "sampling": _ITS_OWN,
            "framework": _ITS_OWN,
            "smallest_minibatch": "the rest of an experimental batch is a minibatch too short to contrast in, as in the paper",
            STEPS: "an experimental batch ends within a minibatch, so the same epochs are more and shorter steps",
        }
    }
)


def candidates(method: str, alphas: Sequence[float] = ALPHAS) -> tuple[dict[str, Any], ...]:
    """The settings that a method may choose from, as many for each: its temperature, and its own or feature dropout.

    Args:
        method: "clip", "ccl", "infocore", or a rival: "ccl_k", "reversal" or "hsic".
        alphas: of InfoCORE.
    """
    own = {**FURTHER, "infocore": ("alpha", tuple(alphas))}
    name, values = own.get(method, ("feature_dropout_screen", DROPOUTS))
    return tuple({"temperature": temperature, name: value} for temperature, value in product(TEMPERATURES, values))


def best_on_validation(rows: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> list[dict[str, Any]]:
    """Of the rows that agree in ``keys`` the one with the highest "validation", of equals the first.

    Returns:
        These rows, in the order in which their group begins; "search": the validation scores of their group.
    """
    groups: dict[tuple, list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault(tuple(row[key] for key in keys), []).append(row)
    return [
        dict(max(group, key=lambda row: row["validation"])) | {"search": [row["validation"] for row in group]}
        for group in groups.values()
    ]


def steps_of(screen: PairedScreen, config: Config) -> int:
    """Optimiser steps of a training: those of its first epoch times the epochs."""
    return config.epochs * len(sample(ScreenPairs(screen, "cpu"), config))


def unequal(
    by_method: Mapping[str, Sequence[Config]],
    steps: Mapping[str, int] = MappingProxyType({}),
    reasons: Mapping[str, Mapping[str, str]] = REASONS,
) -> list[str]:
    """In what a method has other chances than the first one, without a stated reason: a sentence each.

    Args:
        by_method: the configurations of every method's candidates.
        steps: optimiser steps of each method, where they are to be compared; up to a tenth may differ.
        reasons: method -> setting -> why it may differ.
    """
    reference, *others = by_method
    found = []
    for method in others:
        stated = reasons.get(method, {})
        of_one, of_other = (_shared(by_method[name]) for name in (reference, method))
        of_one[CANDIDATES], of_other[CANDIDATES] = len(by_method[reference]), len(by_method[method])
        differing = {name for name in of_one if of_one[name] != of_other[name]}
        if steps:
            of_one[STEPS], of_other[STEPS] = steps[reference], steps[method]
            differing |= {STEPS} if abs(steps[method] / steps[reference] - 1) > 0.1 else set()
        found += [
            f"{name}: {method} has {of_other[name]}, {reference} {of_one[name]}"
            for name in of_one
            if name in differing and name not in stated
        ]
    return found


def _shared(configs: Sequence[Config]) -> dict[str, Any]:
    """Setting -> the values that a method's candidates take, of settings that methods are to have alike."""
    listed = [asdict(config) for config in configs]
    own = ("method", "penalty", "seed", *SEARCHED)
    return {name: sorted({repr(each[name]) for each in listed}) for name in listed[0] if name not in own}
