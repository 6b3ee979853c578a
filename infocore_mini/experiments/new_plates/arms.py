"""What the board crosses: methods, corrections of the readout, and how one of each is trained on a fold."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infocore_mini.config import Config
from infocore_mini.correct import (
    CellCountRegression,
    ComBat,
    ControlMean,
    Correction,
    Harmony,
    PlateCentring,
    RobustZ,
    Sphering,
    Stabilised,
)
from infocore_mini.experiments.new_plates import folds, scores
from infocore_mini.experiments.new_plates.folds import TRAIN, Folded, screen_of
from infocore_mini.experiments.new_plates.untrained import Views
from infocore_mini.experiments.results import stored
from infocore_mini.pretrained import Pretrained
from infocore_mini.screens import PairedScreen
from infocore_mini.train import pretrain_screen

METHODS: Mapping[str, Mapping[str, Any]] = MappingProxyType(  # those that are trained, as settings of Config
    {
        "clip": {"method": "clip"},
        "ccl": {"method": "ccl", "sampling": "one_batch"},
        "ccl_k": {"method": "ccl_k"},
        "reversal": {"method": "clip", "penalty": "reversal"},
        "hsic": {"method": "clip", "penalty": "hsic"},
        "infocore": {"method": "infocore"},
    }
)
CORRECTIONS: Mapping[str, tuple[Correction, ...]] = MappingProxyType(
    {
        "raw": (),
        "control mean": (ControlMean(),),
        "robust z": (RobustZ(wells="all"),),
        "batch centring": (PlateCentring(),),
        "sphering": (ControlMean(), Sphering()),
        "ComBat": (ComBat(),),
        "Harmony": (Harmony(),),
        "cell-count regression": (CellCountRegression(),),
        "stabilised": (Stabilised(),),
    }
)
SETTINGS = MappingProxyType(
    dict(
        framework="simclr",
        embedding_dim=64,
        hidden_drug=(256,),
        hidden_screen=(256,),
        hidden_classifier=(128,),
        layer_norm=True,
        dropout=0.1,
        clip_drug=2.5,
        feature_dropout_screen=0.1,
        epochs=16,
        steps_per_epoch=48,
        minibatch_size=64,
        learning_rate=1e-3,
        classifier_learning_rate=1e-3,
        halve_at=(8, 12),
        adam_betas=(0.5, 0.999),
    )
)
VALIDATE_EVERY = 2


def cells() -> Iterator[tuple[str, str]]:
    """(correction, method) of the board: a cross, not the product, and the dumb baselines first."""
    yield from (("raw", "batch_mean"), ("raw", "cell_count"))
    for correction in CORRECTIONS:
        yield from ((correction, method) for method in ("none", "clip", "infocore"))
    for correction in ("raw", "batch centring"):
        yield from ((correction, method) for method in ("pca", "ccl", "ccl_k", "reversal", "hsic"))


def transductive(correction: str) -> bool:
    """Whether the correction has to see the wells of the test when it is fitted."""
    return not all(step.inductive for step in CORRECTIONS[correction])


def config(method: str, settings: Mapping[str, Any], seed: int) -> Config:
    """What a method trains with: shared settings, those of a candidate, and its own."""
    return Config(**{**SETTINGS, **settings, **METHODS[method], "seed": seed})


def corrected(found: Folded, fold: int, correction: str) -> PairedScreen:
    """The whole screen after a correction that is fitted on the training conditions of a fold.

    A plate is corrected with all of its wells, as it comes from the reader; no molecule is looked at. A correction that
    cannot be applied to new batches is fitted on all wells (`transductive`).

    Raises:
        ValueError: if the screen has not the wells or columns that it needs.
    """
    screen, train = found.screen, found.parts(fold) == TRAIN
    for step in CORRECTIONS[correction]:
        screen = step.fit(found.where(train, screen) if step.inductive else screen).transform(screen)
    return screen


@cache
def checked(name: str) -> Folded:
    """A screen whose folds are those that were stored before any method ran.

    Raises:
        ValueError: if they are others, such as those of other data.
    """
    found, known = screen_of(name), stored(folds.STUDY).results[name]["sha256"]
    got = folds.account(found)["sha256"]
    if got != known:
        raise ValueError(f"{name}: got folds of checksum {got}, expected those of {folds.STUDY}, {known}")
    return found


def trained(
    found: Folded, screen: PairedScreen, train: NDArray, of_run: Config, validation: NDArray | None = None
) -> Pretrained:
    """The model of some conditions; where others validate, that of their best epoch."""
    held_out = None if validation is None else found.where(validation, screen)
    return pretrain_screen(found.where(train, screen), of_run, validation=held_out, validate_every=VALIDATE_EVERY)


def tested(
    found: Folded, screen: PairedScreen, rows: NDArray, views: Callable[[PairedScreen], Views]
) -> dict[str, Any] | None:
    """`scores.retrieval` of some conditions; ``views`` embeds a screen. None where they hold one molecule."""
    if len(np.unique(found.molecule[rows])) < 2:
        return None
    test = found.where(rows, screen)
    return scores.retrieval(*views(test), test.drug_id.numpy(), test.batch_id.numpy())
