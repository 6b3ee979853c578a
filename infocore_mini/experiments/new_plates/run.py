"""The board of new plates: what is trained, on what, how settings are chosen; one cell a record.

A cell is a screen, a correction, a method and a fold. The plan stands in ``plan.md``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from joblib import Parallel, delayed
from numpy.typing import NDArray

from infocore_mini import audit
from infocore_mini.config import Config, settings_of
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
from infocore_mini.experiments.chances import candidates
from infocore_mini.experiments.new_plates import folds, scores
from infocore_mini.experiments.new_plates.folds import BOTH, N_FOLDS, SCREENS, TESTS, TRAIN, Folded, screen_of
from infocore_mini.experiments.new_plates.untrained import UNTRAINED
from infocore_mini.experiments.records import Made, Record, kept
from infocore_mini.experiments.results import checksums, save_results, stored
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
SEARCH_FOLDS = (1, 2)  # fold 0 has the largest group of batches, which leaves COMAS 12 molecules to choose on
ALPHAS = (0.0, 0.33, 0.6, 0.83)  # to choose from without labels
AUDIT_FOLD = 3  # one with at least three batches in every screen
TRIALS = 4


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


# ------------------------------------------------------------------ the search


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
        model = _trained(found, found.screen, part == TRAIN, of_run, part == BOTH)
        return {"validation": _validations(model)}, checksums(SCREENS[name][1])

    described = {"screen": name, "method": method, "fold": fold, "config": settings_of(of_run)}
    return kept(folder, "new_plates_search", described, make)


def _trained(
    found: Folded, screen: PairedScreen, train: NDArray, of_run: Config, validation: NDArray | None = None
) -> Pretrained:
    """The model of some conditions; where others validate, that of their best epoch."""
    held_out = None if validation is None else found.where(validation, screen)
    return pretrain_screen(found.where(train, screen), of_run, validation=held_out, validate_every=VALIDATE_EVERY)


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


# ------------------------------------------------------------------ the cells


def cell(
    name: str, correction: str, method: str, fold: int, chosen: Mapping[str, Any] | None, folder: Path | None = None
) -> Record:
    """Scores of a method on a corrected screen, on the three tests of a fold.

    Args:
        name, correction, method, fold: of the cell.
        chosen: as `choice` gives it; None for what is not trained.
        folder: of kept runs.

    Returns:
        A record whose result is {"tests": {test: `scores.retrieval`, or None where it has less than two molecules},
        "new batches": `scores.of_rows` of all conditions on them, "audit": verdict on these, of one fold}, or
        {"not possible": why}.
    """
    of_run = None
    if chosen is not None:
        of_run = config(
            method, {**chosen["candidate"], "epochs": chosen["epochs"], "halve_at": _halved(chosen["epochs"])}, fold
        )

    def make() -> Made:
        torch.set_num_threads(1)
        found = checked(name)
        try:
            screen = corrected(found, fold, correction)
            return _scored(found, screen, fold, method, of_run), checksums(SCREENS[name][1])
        except ValueError as reason:
            return {"not possible": str(reason)}, checksums(SCREENS[name][1])

    described = {"screen": name, "correction": correction, "method": method, "fold": fold}
    described |= {"corrections": [repr(step) for step in CORRECTIONS[correction]]}
    return kept(folder, "new_plates", described | {"config": None if of_run is None else settings_of(of_run)}, make)


def _halved(epochs: int) -> tuple[int, ...]:
    return tuple(epoch for epoch in SETTINGS["halve_at"] if epoch < epochs)


def _scored(found: Folded, screen: PairedScreen, fold: int, method: str, of_run: Config | None) -> dict[str, Any]:
    part = found.parts(fold)
    train = found.where(part == TRAIN, screen)
    if of_run is not None:
        model = _trained(found, screen, part == TRAIN, of_run)

    def views(test: PairedScreen) -> tuple[NDArray, NDArray]:
        if of_run is None:
            return UNTRAINED[method](train, test)
        z_screen, z_drug = model.embed(test)
        return z_screen.numpy(), z_drug.numpy()

    new = np.isin(part, (TESTS["seen molecules, new batches"], BOTH))
    rows = found.where(new, screen)
    z_new = views(rows)[0]
    audited = _audited(z_new, rows, found.molecule[new]) if fold == AUDIT_FOLD else None
    about = {"new batches": scores.of_rows(z_new, rows, found.molecule[new]), "audit": audited}
    return {"tests": {test: _test(found, screen, part == code, views) for test, code in TESTS.items()}, **about}


def _test(found: Folded, screen: PairedScreen, rows: NDArray, views) -> dict[str, Any] | None:
    if len(np.unique(found.molecule[rows])) < 2:
        return None
    test = found.where(rows, screen)
    return scores.retrieval(*views(test), test.drug_id.numpy(), test.batch_id.numpy())


def _audited(z: NDArray, rows: PairedScreen, molecule: NDArray) -> dict[str, Any]:
    """The verdict of an audit of the embeddings of new batches, and why there is none."""
    library = {"library": rows.cell_line.numpy()} if len(rows.cell_line.unique()) > 1 else {}
    try:
        found = audit(z, nuisance={"batch": rows.batch_id.numpy()}, molecule=molecule, n_permutations=99, **library)
    except ValueError as reason:
        return {"verdict": "not possible", "reason": str(reason)}
    return {"verdict": found.verdict, "reason": ""}


# ------------------------------------------------------------------ alpha without labels


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
        model = _trained(found, found.screen, part == TRAIN, of_run, part == BOTH)
        held_out = found.where(part == BOTH)
        z = model.embed(held_out)[0].numpy()
        of_test = _test(
            found, found.screen, found.parts(fold) == BOTH, lambda test: [v.numpy() for v in model.embed(test)]
        )
        about = scores.of_rows(z, held_out, found.molecule[part == BOTH])
        result = {"validation": max(_validations(model)), "mixing": about["mixing"]}
        beaten = of_test["whole"]["beaten"] if of_test and of_test["whole"] else None
        return {**result, "beaten": beaten}, checksums(SCREENS[name][1])

    return kept(folder, "new_plates_alpha", {"screen": name, "fold": fold, "config": settings_of(of_run)}, make)


# ------------------------------------------------------------------ all of it


def run_all(
    name: str,
    folder: Path | None = None,
    *,
    folds_run: Sequence[int] = range(N_FOLDS),
    n_jobs: int = 2,
    verbose: int = 0,
) -> tuple[dict[str, Any], list[Record]]:
    """Search, cells and alpha of a screen, ``n_jobs`` runs at a time; what is kept in ``folder`` is not run again.

    Returns:
        {"chosen": method -> `choice`, "cells": rows {"correction", "method", "fold"} and the result of `cell`, "alpha":
        rows {"alpha", "fold"} and the result of `alpha_run`}, and all records.
    """
    parallel = Parallel(n_jobs=n_jobs, verbose=verbose)
    trials = [(method, candidate, fold) for method in METHODS for candidate in range(TRIALS) for fold in SEARCH_FOLDS]
    searched = parallel(delayed(trial)(name, *task, folder) for task in trials)
    scores_of: dict[str, dict[int, list]] = {}
    for (method, candidate, _), record in zip(trials, searched, strict=True):
        scores_of.setdefault(method, {}).setdefault(candidate, []).append(record.result["validation"])
    chosen = {method: choice(found, method) for method, found in scores_of.items()}
    tasks = [(correction, method, fold) for correction, method in cells() for fold in folds_run]
    made = parallel(
        delayed(cell)(name, correction, method, fold, chosen.get(method), folder) for correction, method, fold in tasks
    )
    alphas = [(alpha, fold) for alpha in ALPHAS for fold in folds_run]
    by_alpha = parallel(delayed(alpha_run)(name, alpha, fold, chosen["infocore"], folder) for alpha, fold in alphas)
    rows = [
        dict(zip(("correction", "method", "fold"), task)) | record.result
        for task, record in zip(tasks, made, strict=True)
    ]
    of_alpha = [
        {"alpha": alpha, "fold": fold} | record.result for (alpha, fold), record in zip(alphas, by_alpha, strict=True)
    ]
    return {"chosen": chosen, "cells": rows, "alpha": of_alpha}, [*searched, *made, *by_alpha]


def store(name: str, output: Path, runs: Path, n_jobs: int = 2) -> Path:
    """Run what is missing in the folder ``runs`` and write ``results/new_plates_<screen>.json``."""
    results, records = run_all(name, runs, n_jobs=n_jobs, verbose=10)
    parameters = {
        "screen": name,
        "simulated": name == "simulated",
        "settings": dict(SETTINGS),
        "methods": {method: dict(own) for method, own in METHODS.items()},
        "candidates": {method: candidates(method) for method in METHODS},
        "corrections": {key: [repr(step) for step in steps] for key, steps in CORRECTIONS.items()},
        "transductive": [key for key in CORRECTIONS if transductive(key)],
        "search_folds": SEARCH_FOLDS,
        "alphas": ALPHAS,
        "folds": stored(folds.STUDY).results[name],
    }
    made = [record.provenance for record in records]
    return save_results(f"new_plates_{name}", parameters, results, output_dir=output, runs=made)
