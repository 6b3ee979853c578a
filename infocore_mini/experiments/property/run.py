"""Property prediction (section 3.2, Tables 3 and 8): an untrained encoder, pretrained ones, and a chemist's controls.

``run_grid`` fills a grid of data sets x columns x seeds. With a folder every pretrained encoder and every cell is kept
there, so that a grid that is stopped, or spread over several papermill reruns, goes on where it was.
``python -m infocore_mini.experiments.property.run --runs FOLDER`` fills what is missing of the full grid and stores it;
with ``--simclr`` that of Table 8.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch
from joblib import Parallel, delayed
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from torch import Tensor, nn

from infocore_mini.evaluate.property import chosen, fine_tune, property_score
from infocore_mini.experiments.pretraining.run import METHODS
from infocore_mini.experiments.property.baseline import BODY, FINE_TUNING, LARGE, toxcast_variants, untrained
from infocore_mini.experiments.property.sets import SIMULATED_SCREENS, checksums, prepared, screen_study
from infocore_mini.experiments.records import kept, key_of
from infocore_mini.experiments.results import save_results
from infocore_mini.featurize import descriptors, morgan, murcko_scaffold, skeletons
from infocore_mini.parameters import TargetKind
from infocore_mini.pretrained import Pretrained
from infocore_mini.readers.property import PROPERTY_SETS
from infocore_mini.screens import PairedScreen
from infocore_mini.train import pretrain_screen

SCREENS = ("gene_expression", "l1000_plates", "comas", "toxcast")
# Tox21's assays are among ToxCast's: a model pretrained on ToxCast has seen the answers.
NEVER_SCORED = MappingProxyType({"toxcast": ("Tox21", "ToxCast")})
BASELINE, BOOSTING, FOREST = "Mol2vec", "descriptors, boosting", "fingerprints, forest"
CONTROLS = (BOOSTING, FOREST)


@dataclass(frozen=True)
class Grid:
    """Which cells to fill.

    Attributes:
        datasets: names of property sets (``readers.property.PROPERTY_SETS``), or stand-ins.
        screens: names of studies to pretrain on.
        seeds: of pretraining, linear layer, order of molecules, forests.
        without_pretraining: columns that pretrain on nothing.
    """

    datasets: tuple[str, ...]
    screens: tuple[str, ...] = SCREENS
    seeds: tuple[int, ...] = (0, 1, 2)
    without_pretraining: tuple[str, ...] = (BASELINE, *CONTROLS)

    def seeds_of(self, dataset: str, column: str) -> tuple[int, ...]:
        """Boosting draws nothing at random, and a seed of ToxCast takes 617 forests: there the first seed is enough."""
        once = column == BOOSTING or (dataset, column) == ("ToxCast", FOREST)
        return self.seeds[:1] if once else self.seeds

    def methods(self, screen: str) -> tuple[str, ...]:
        """Methods that pretrain on ``screen``: those that its study has."""
        return tuple(name for name in METHODS if name in screen_study(screen).arms)

    def scored(self, screen: str) -> tuple[str, ...]:
        """Data sets that a model pretrained on ``screen`` may be scored on."""
        return tuple(name for name in self.datasets if name not in NEVER_SCORED.get(screen, ()))


def run_grid(grid: Grid, folder: Path | None = None, *, n_jobs: int = 2, verbose: int = 0) -> dict[str, list[dict]]:
    """Pretrain, then fill every cell, ``n_jobs`` at a time with one thread each.

    Args:
        folder: where encoders and records are kept and found again; None = nowhere.

    Returns:
        {"pretraining": records of ``pretrain_without``, "cells": records of ``run_cell``}.
    """
    if folder is None:
        with tempfile.TemporaryDirectory() as passing:
            return run_grid(grid, Path(passing), n_jobs=n_jobs, verbose=verbose)
    parallel = Parallel(n_jobs=n_jobs, verbose=verbose)
    models = [
        (screen, method, seed) for seed in grid.seeds for screen in grid.screens for method in grid.methods(screen)
    ]
    pretraining = parallel(delayed(pretrain_without)(grid, *model, folder) for model in models)
    encoder = {(r["screen"], r["method"], r["seed"]): folder / r["encoder"] for r in pretraining}
    cells = []
    for dataset in grid.datasets:
        for seed in grid.seeds:
            without = [column for column in grid.without_pretraining if seed in grid.seeds_of(dataset, column)]
            cells += [(dataset, column, seed, None) for column in without]
            for (screen, method, s), path in encoder.items():
                if s == seed and dataset in grid.scored(screen):
                    cells.append((dataset, f"{method}, {screen}", seed, path))
    return {"pretraining": pretraining, "cells": parallel(delayed(run_cell)(*cell, folder) for cell in cells)}


def run_column(grid: Grid, column: str, seed: int, folder: Path) -> list[dict]:
    """One column of the grid on one seed, data set after data set; records of ``run_cell``.

    Raises:
        ValueError: if there is no such column.
    """
    if column in grid.without_pretraining:
        datasets = [name for name in grid.datasets if seed in grid.seeds_of(name, column)]
        return [run_cell(name, column, seed, None, folder) for name in datasets]
    method, _, screen = column.partition(", ")
    pretrained = [f"{method}, {screen}" for screen in grid.screens for method in grid.methods(screen)]
    if column not in pretrained:
        known = [*grid.without_pretraining, *pretrained]
        raise ValueError(f"column: got {column!r}, expected one of {'; '.join(known)}")
    encoder = folder / pretrain_without(grid, screen, method, seed, folder)["encoder"]
    return [run_cell(name, column, seed, encoder, folder) for name in grid.scored(screen)]


# ------------------------------------------------------------------ pretraining


def pretrain_without(grid: Grid, screen: str, method: str, seed: int, folder: Path) -> dict:
    """Pretrain on a screen without any molecule that is in a test part of the data sets scored with it.

    Returns:
        {"screen", "method", "seed", "encoder" (file in ``folder``), "simulated", "molecules" left to pretrain on,
        "leakage": {data set: {"test" molecules, "in_screen" before they were removed, "same_scaffold" as a molecule that
        is left}}, "seconds"}.
    """
    torch.set_num_threads(1)
    datasets = grid.scored(screen)
    study = screen_study(screen)
    config = replace(study.config(method, seed), **BODY)
    key = key_of(study.name, config, datasets)
    encoder = f"{screen}-{method}-{seed}-{key}.safetensors"

    def make() -> dict:
        started = time.time()
        whole = study.screen(seed)
        test = {name: prepared(name).test_smiles for name in datasets}
        removed = set().union(*(skeletons(smiles) for smiles in test.values()))
        skeleton = np.array(skeletons(whole.smiles))
        rest = whole.subset(torch.from_numpy(~np.isin(skeleton, list(removed))))
        train, validation = _two_parts(rest, seed)
        checkpoint = folder / f"{encoder}.pt"
        pretrain_screen(train, config, validation=validation, checkpoint=checkpoint).save(folder / encoder)
        checkpoint.unlink()
        scaffolds = set(murcko_scaffold(rest.smiles)) - {""}
        leakage = {name: _leakage(smiles, set(skeleton), scaffolds) for name, smiles in test.items()}
        about = {"screen": screen, "method": method, "seed": seed, "encoder": encoder, "molecules": len(rest.drug)}
        about |= {"simulated": study.screen in SIMULATED_SCREENS, "leakage": leakage}
        return about | {"seconds": round(time.time() - started, 1)}

    folder.mkdir(parents=True, exist_ok=True)
    return kept(folder / f"{encoder}.json", make)


def _two_parts(screen: PairedScreen, seed: int) -> tuple[PairedScreen, PairedScreen]:
    """84 % of the molecules to train on, 16 % to choose the epoch by retrieval, as many as in ``screen.split``."""
    order = np.random.default_rng(seed).permutation(len(screen.drug))
    validation = np.isin(np.arange(len(order)), order[: max(1, round(0.16 * len(order)))])
    return screen.subset(torch.from_numpy(~validation)), screen.subset(torch.from_numpy(validation))


def _leakage(smiles: Sequence[str], screen_skeletons: set[str], scaffolds: set[str]) -> dict[str, int]:
    shared = sum(skeleton in screen_skeletons for skeleton in skeletons(smiles))
    same = sum(scaffold in scaffolds for scaffold in murcko_scaffold(smiles))
    return {"test": len(smiles), "in_screen": shared, "same_scaffold": same}


# ------------------------------------------------------------------ cells


def run_cell(dataset: str, column: str, seed: int, encoder: Path | None, folder: Path) -> dict:
    """One data set, one column, one seed.

    Returns:
        {"dataset", "column", "seed", "kind", "test" and "validation" score as fractions, "learning_rate", "epochs"
        (None for the controls), "sizes" of the parts, "seconds"}.
    """
    torch.set_num_threads(1)
    tuning = LARGE.get(dataset, FINE_TUNING)
    key = key_of(dataset, column, seed, None if encoder is None else encoder.name, tuning, dict(BODY))

    def make() -> dict:
        started = time.time()
        data = prepared(dataset)
        if column in CONTROLS:
            score = _control(dataset, column, seed)
        else:
            x, body = _start(dataset, encoder, seed)
            best = chosen(fine_tune(body, x, data.target, data.parts, data.kind, config=tuning, seed=seed))
            score = best._asdict()
        about = {"dataset": dataset, "column": column, "seed": seed, "kind": data.kind}
        about["sizes"] = [len(part) for part in data.parts]
        return about | score | {"seconds": round(time.time() - started, 1)}

    return kept(folder / f"{dataset}-{key}.json", make)


def _start(dataset: str, encoder: Path | None, seed: int) -> tuple[Tensor, nn.Module]:
    """Scaled features and the drug encoder before fine-tuning: pretrained, or of random weights."""
    data = prepared(dataset)
    if encoder is None:
        return untrained(data.mol2vec, data.parts, seed)
    scaler, body = Pretrained.load(encoder).drug_body()
    return scaler(data.mol2vec), body


_CONTROL_MODELS = {
    (BOOSTING, "classification"): HistGradientBoostingClassifier,
    (BOOSTING, "regression"): HistGradientBoostingRegressor,
    (FOREST, "classification"): RandomForestClassifier,
    (FOREST, "regression"): RandomForestRegressor,
}


def _control(dataset: str, column: str, seed: int) -> dict:
    """scikit-learn's model with its default settings for each task, on the molecules measured in it."""
    data = prepared(dataset)
    x = control_features(dataset, column)
    outputs = np.full(data.target.shape, np.nan)
    for task, y in enumerate(data.target.T):
        train = data.parts.train[~np.isnan(y[data.parts.train])]
        if len(np.unique(y[train])) < 2:
            outputs[:, task] = 0.0  # nothing to learn from: every molecule scores the same
            continue
        model = _CONTROL_MODELS[column, data.kind](random_state=seed).fit(x[train], y[train])
        held_out = np.concatenate(data.parts[1:])
        outputs[held_out, task] = _output(model, x[held_out], data.kind)
    validation, test = (property_score(data.target[rows], outputs[rows], data.kind) for rows in data.parts[1:])
    return {"learning_rate": None, "epochs": None, "validation": validation, "test": test}


def _output(model, x: np.ndarray, kind: TargetKind) -> np.ndarray:
    return model.predict_proba(x)[:, 1] if kind == "classification" else model.predict(x)


@cache
def control_features(dataset: str, column: str) -> np.ndarray:
    """(n, n_features) of a control column."""
    smiles = prepared(dataset).smiles
    return descriptors(smiles) if column == BOOSTING else morgan(smiles)


FULL = Grid(datasets=PROPERTY_SETS)
# Table 8: studies of FULL and, on the same screens, those without a queue.
BY_SIMCLR = MappingProxyType({"gene_expression": "simclr", "comas": "comas_simclr"})
SIMCLR = Grid(datasets=PROPERTY_SETS, screens=tuple(BY_SIMCLR.values()), without_pretraining=())


def main() -> None:
    """Fill a grid, or what is missing of it, and store ``results/property.json`` or ``property_simclr.json``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("data"), help="folder that gets results/property.json")
    parser.add_argument("--runs", type=Path, default=Path("_build/runs/property"), help="folder of single records")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--simclr", action="store_true", help="encoders pretrained by SimCLR alone, and no controls")
    options = parser.parse_args()
    name, grid = ("property_simclr", SIMCLR) if options.simclr else ("property", FULL)
    results = run_grid(grid, options.runs, n_jobs=options.jobs, verbose=10)
    if not options.simclr:
        results["toxcast_variants"] = toxcast_variants(grid.seeds, options.runs)
    settings = asdict(grid) | {"body": dict(BODY), "fine_tuning": asdict(FINE_TUNING)}
    settings["large"] = {name: asdict(tuning) for name, tuning in LARGE.items()}
    data = checksums(grid.datasets, grid.screens)
    print(save_results(name, settings, results, output_dir=options.output, data=data))


if __name__ == "__main__":
    from infocore_mini.experiments.property import run as by_name

    by_name.main()
