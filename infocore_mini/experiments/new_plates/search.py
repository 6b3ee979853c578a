"""How settings are chosen: equal trials on new plates of training, and alpha without labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from infocore_mini.config import settings_of
from infocore_mini.experiments.chances import candidates
from infocore_mini.experiments.new_plates import scores
from infocore_mini.experiments.new_plates.arms import VALIDATE_EVERY, checked, config, tested, trained
from infocore_mini.experiments.new_plates.folds import BOTH, SCREENS, TRAIN
from infocore_mini.experiments.records import Made, Record, kept
from infocore_mini.experiments.results import checksums
from infocore_mini.pretrained import Pretrained

SEARCH_FOLDS = (1, 2)  # fold 0 has the largest group of batches, which leaves COMAS 12 molecules to choose on
ALPHAS = (0.0, 0.33, 0.6, 0.83)  # to choose from without labels
TRIALS = 4


def trial(name: str, method: str, candidate: int, fold: int, folder: Path | None = None) -> Record:
    """Train one candidate on raw readouts, without the test of a fold, and score its epochs on new plates of training.

    Returns:
        A record whose result is {"validation": the retrieval score of every second epoch}.
    """
    of_run = config(method, candidates(method)[candidate], fold)

    def make() -> Made:
        torch.set_num_threads(1)
        found = checked(name)
        part = found.chosen_on(fold)
        model = trained(found, found.screen, part == TRAIN, of_run, part == BOTH)
        return {"validation": _validations(model)}, checksums(SCREENS[name][1])

    described = {"screen": name, "method": method, "fold": fold, "config": settings_of(of_run)}
    return kept(folder, "new_plates_search", described, make)


def _validations(model: Pretrained) -> list[float]:
    return [epoch["validation"] for epoch in model.history if "validation" in epoch]


def choice(found: Mapping[int, Sequence[Sequence[float]]], method: str) -> dict[str, Any]:
    """The candidate and the number of epochs with the best mean over the folds of the search, of equals the first.

    Args:
        found: candidate -> for each fold the validation scores of its epochs.
        method: whose candidates they are.

    Returns:
        {"candidate": its settings, "epochs", "validation": its mean score, "search": all mean scores}.
    """
    mean = {candidate: np.mean(by_fold, axis=0) for candidate, by_fold in found.items()}
    best = max(mean, key=lambda candidate: mean[candidate].max())
    return {
        "candidate": candidates(method)[best],
        "epochs": VALIDATE_EVERY * (int(mean[best].argmax()) + 1),
        "validation": float(mean[best].max()),
        "search": {str(candidate): values.tolist() for candidate, values in mean.items()},
    }


def alpha_run(name: str, alpha: float, fold: int, chosen: Mapping[str, Any], folder: Path | None = None) -> Record:
    """InfoCORE on raw readouts with one alpha: what the held-out plates of training say, and what the test says.

    Returns:
        A record whose result is {"validation": the best retrieval score of an epoch, "mixing" of the validation
        conditions, "beaten": on new molecules and new batches of the test}.
    """
    of_run = config("infocore", {**chosen["candidate"], "alpha": alpha}, fold)

    def make() -> Made:
        torch.set_num_threads(1)
        found = checked(name)
        part = found.chosen_on(fold)
        model = trained(found, found.screen, part == TRAIN, of_run, part == BOTH)
        held_out = found.where(part == BOTH)
        z = model.embed(held_out)[0].numpy()
        of_test = tested(
            found, found.screen, found.parts(fold) == BOTH, lambda test: [v.numpy() for v in model.embed(test)]
        )
        about = scores.of_rows(z, held_out, found.molecule[part == BOTH])
        result = {"validation": max(_validations(model)), "mixing": about["mixing"]}
        beaten = of_test["whole"]["beaten"] if of_test and of_test["whole"] else None
        return {**result, "beaten": beaten}, checksums(SCREENS[name][1])

    return kept(folder, "new_plates_alpha", {"screen": name, "fold": fold, "config": settings_of(of_run)}, make)
