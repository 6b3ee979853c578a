"""The board of new plates: one cell a record, one stored file a screen. The plan stands in ``plan.md``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from joblib import delayed
from numpy.typing import NDArray

from infocore_mini import audit
from infocore_mini.config import Config, settings_of
from infocore_mini.experiments.chances import candidates
from infocore_mini.experiments.new_plates import folds, scores
from infocore_mini.experiments.new_plates.arms import (
    CORRECTIONS,
    METHODS,
    SETTINGS,
    cells,
    checked,
    config,
    corrected,
    tested,
    trained,
    transductive,
)
from infocore_mini.experiments.new_plates.folds import BOTH, N_FOLDS, NEW_BATCHES, SCREENS, TESTS, TRAIN, Folded
from infocore_mini.experiments.new_plates.search import ALPHAS, SEARCH_FOLDS, TRIALS, alpha_run, choice, trial
from infocore_mini.experiments.new_plates.untrained import UNTRAINED, Views
from infocore_mini.experiments.records import Made, Record, in_parallel, kept
from infocore_mini.experiments.results import checksums, save_results, stored
from infocore_mini.screens import PairedScreen

AUDIT_FOLD = 3  # one with at least three batches in every screen


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
        found, screen = checked(name), None
        try:
            screen = corrected(found, fold, correction)
            return _scored(found, screen, fold, method, of_run), checksums(SCREENS[name][1])
        except ValueError as reason:
            if screen is not None and of_run is not None:
                raise  # the screen has what it takes, so a training that fails is a fault
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
        model = trained(found, screen, part == TRAIN, of_run)

    def views(test: PairedScreen) -> Views:
        if of_run is None:
            return UNTRAINED[method](train, test)
        z_screen, z_drug = model.embed(test)
        return z_screen.numpy(), z_drug.numpy()

    new = np.isin(part, (NEW_BATCHES, BOTH))
    rows = found.where(new, screen)
    z_new = views(rows)[0]
    audited = _audited(z_new, rows, found.molecule[new]) if fold == AUDIT_FOLD else None
    about = {"new batches": scores.of_rows(z_new, rows, found.molecule[new]), "audit": audited}
    return {"tests": {test: tested(found, screen, part == code, views) for test, code in TESTS.items()}, **about}


def _audited(z: NDArray, rows: PairedScreen, molecule: NDArray) -> dict[str, Any]:
    """The verdict of an audit of the embeddings of new batches, and why there is none."""
    library = {"library": rows.cell_line.numpy()} if len(rows.cell_line.unique()) > 1 else {}
    try:
        found = audit(z, nuisance={"batch": rows.batch_id.numpy()}, molecule=molecule, n_permutations=99, **library)
    except ValueError as reason:
        return {"verdict": "not possible", "reason": str(reason)}
    return {"verdict": found.verdict, "reason": ""}


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
    parallel = in_parallel(n_jobs, verbose=verbose)
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
        dict(zip(("correction", "method", "fold"), task)) | _shown(record.result)
        for task, record in zip(tasks, made, strict=True)
    ]
    of_alpha = [
        {"alpha": alpha, "fold": fold} | record.result for (alpha, fold), record in zip(alphas, by_alpha, strict=True)
    ]
    return {"chosen": chosen, "cells": rows, "alpha": of_alpha}, [*searched, *made, *by_alpha]


def _shown(result: Mapping[str, Any]) -> dict[str, Any]:
    """What a stored file has of a cell: the worst batch, not all of them."""
    tests = {test: found and scores.without_batches(found) for test, found in result.get("tests", {}).items()}
    return {**result, "tests": tests} if tests else dict(result)


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
