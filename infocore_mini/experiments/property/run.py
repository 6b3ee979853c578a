"""Property prediction (section 3.2, Tables 3 and 8): an untrained encoder, pretrained ones, and a chemist's controls.

``run_all`` fills a cell for each data set, arm and seed. With a folder every pretrained encoder and every cell is kept
there, so that a study that is stopped, or spread over several papermill reruns, goes on where it was.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import torch
from joblib import delayed
from torch import Tensor, nn

from infocore_mini.config import settings_of
from infocore_mini.evaluate.property import chosen, fine_tune
from infocore_mini.experiments.names import Arm
from infocore_mini.experiments.pretraining.run import METHODS
from infocore_mini.experiments.property.baseline import BODY, FINE_TUNING, LARGE, run_toxcast_variants, untrained
from infocore_mini.experiments.property.controls import BOOSTING, CONTROLS, FOREST, run_control
from infocore_mini.experiments.property.sets import (
    SIMULATED_SCREENS,
    STAND_IN,
    checksums_behind,
    prepared,
    pretraining_study,
)
from infocore_mini.experiments.records import Made, Record, in_parallel, kept, path_of
from infocore_mini.experiments.results import save_results
from infocore_mini.featurize import murcko_scaffold, skeletons
from infocore_mini.pretrained import Pretrained
from infocore_mini.readers.property import PROPERTY_SETS
from infocore_mini.screens import PairedScreen
from infocore_mini.train import pretrain_screen

PRETRAINED_IN = ("gene_expression", "l1000_plates", "comas", "toxcast")
# Tox21's assays are among ToxCast's: a model pretrained on ToxCast has seen the answers.
NEVER_SCORED = MappingProxyType({"toxcast": ("Tox21", "ToxCast")})
# Of a study what its search chose and its settings do not have.
CHOSEN: Mapping[str, Mapping[str, Any]] = MappingProxyType({"simclr": {"alpha": 0.2}})
BASELINE = "Mol2vec"


@dataclass(frozen=True)
class PropertyStudy:
    """Which cells to fill.

    Attributes:
        datasets: names of property sets (``readers.property.PROPERTY_SETS``), or stand-ins.
        studies: names of the studies whose screens encoders are pretrained on.
        seeds: of pretraining, linear layer, order of molecules, forests.
        without_pretraining: the baseline and controls to run.
    """

    datasets: tuple[str, ...]
    studies: tuple[str, ...] = PRETRAINED_IN
    seeds: tuple[int, ...] = (0, 1, 2)
    without_pretraining: tuple[str, ...] = (BASELINE, *CONTROLS)

    @property
    def arms(self) -> dict[str, Arm]:
        """By key: the baseline and controls, then every method of each study."""
        found = [Arm(name) for name in self.without_pretraining]
        found += [Arm(method, study=study) for study in self.studies for method in self.methods(study)]
        return {arm.key: arm for arm in found}

    def methods(self, study: str) -> tuple[str, ...]:
        """Methods that the pretraining study has."""
        return tuple(name for name in METHODS if name in pretraining_study(study).arms)

    def scored(self, study: str) -> tuple[str, ...]:
        """Data sets that a model pretrained in a study may be scored on; "": on nothing."""
        return tuple(name for name in self.datasets if name not in NEVER_SCORED.get(study, ()))

    def has(self, dataset: str, arm: Arm, seed: int) -> bool:
        """Whether there is such a cell.

        Boosting draws nothing at random, and a seed of ToxCast takes 617 forests: there the first seed is enough.
        """
        once = arm.method == BOOSTING or (dataset, arm.method) == ("ToxCast", FOREST)
        return dataset in self.scored(arm.study) and (not once or seed == self.seeds[0])


class Runs(NamedTuple):
    """Records of ``pretrain_without`` and of ``run_cell``."""

    pretraining: list[Record]
    cells: list[Record]


def run_all(study: PropertyStudy, folder: Path, *, n_jobs: int = 2, verbose: int = 0) -> Runs:
    """Pretrain, then fill every cell, ``n_jobs`` at a time with one thread each.

    Args:
        folder: where encoders and records are kept and found again.
    """
    parallel = in_parallel(n_jobs, verbose=verbose)
    models = [(arm, seed) for seed in study.seeds for arm in study.arms.values() if arm.study]
    pretraining = parallel(delayed(pretrain_without)(study, *model, folder) for model in models)
    encoder = {model: folder / record.result["encoder"] for model, record in zip(models, pretraining, strict=True)}
    cells = [
        (dataset, arm, seed, encoder.get((arm, seed)))
        for dataset in study.datasets
        for seed in study.seeds
        for arm in study.arms.values()
        if study.has(dataset, arm, seed)
    ]
    return Runs(pretraining, parallel(delayed(run_cell)(*cell, folder) for cell in cells))


def run_study(study: PropertyStudy, folder: Path | None = None, *, n_jobs: int = 2) -> dict[str, list[dict]]:
    """The results of ``run_all``, by "pretraining" and "cells", which the reports take; ``folder`` None keeps nothing."""
    if folder is None:
        with tempfile.TemporaryDirectory() as passing:
            return run_study(study, Path(passing), n_jobs=n_jobs)
    return _results(run_all(study, folder, n_jobs=n_jobs))


def run_arm(study: PropertyStudy, key: str, seed: int, folder: Path) -> Runs:
    """One arm on one seed, data set after data set.

    Raises:
        ValueError: if there is no such arm.
    """
    if key not in study.arms:
        raise ValueError(f"arm: got {key!r}, expected one of {'; '.join(study.arms)}")
    arm = study.arms[key]
    pretraining = [pretrain_without(study, arm, seed, folder)] if arm.study else []
    encoder = folder / pretraining[0].result["encoder"] if arm.study else None
    datasets = [name for name in study.datasets if study.has(name, arm, seed)]
    return Runs(pretraining, [run_cell(name, arm, seed, encoder, folder) for name in datasets])


def _results(runs: Runs) -> dict[str, list[dict]]:
    return {name: [record.result for record in records] for name, records in runs._asdict().items()}


# ------------------------------------------------------------------ pretraining


def pretrain_without(study: PropertyStudy, arm: Arm, seed: int, folder: Path) -> Record:
    """Pretrain on a screen without any molecule that is in a test part of the data sets scored with it.

    Returns:
        A record whose result is {"study", "method", "seed", "encoder" (file in ``folder``), "molecules" left to pretrain
        on, "simulated", "leakage": {data set: {"test" molecules, "in_screen" before they were removed, "same_scaffold"
        as a molecule that is left}}, "seconds"}.
    """
    torch.set_num_threads(1)
    datasets, source = study.scored(arm.study), pretraining_study(arm.study)
    config = replace(source.config(arm.method, seed, CHOSEN.get(arm.study, {})), **BODY)
    settings: dict[str, Any] = {"screen": source.make_screen.__name__, "shape": dict(source.shape)}
    settings |= {"config": settings_of(config), "without": datasets}
    encoder = path_of(folder, "property_pretraining", settings).with_suffix(".safetensors")

    def make() -> Made:
        whole = source.screen(seed)
        test = {name: prepared(name).test_smiles for name in datasets}
        removed = set().union(*(skeletons(smiles) for smiles in test.values()))
        skeleton = np.array(skeletons(whole.smiles))
        rest = whole.subset(torch.from_numpy(~np.isin(skeleton, list(removed))))
        train, validation = _two_parts(rest, seed)
        checkpoint = encoder.with_suffix(".pt")
        pretrain_screen(train, config, validation=validation, checkpoint=checkpoint).save(encoder)
        checkpoint.unlink()
        scaffolds = set(murcko_scaffold(rest.smiles)) - {""}
        leakage = {name: _leakage(smiles, set(skeleton), scaffolds) for name, smiles in test.items()}
        simulated = source.make_screen in SIMULATED_SCREENS
        result = {"encoder": encoder.name, "molecules": len(rest.drug), "simulated": simulated, "leakage": leakage}
        return result, checksums_behind(datasets, [arm.study])

    folder.mkdir(parents=True, exist_ok=True)
    record = kept(folder, "property_pretraining", settings, make)
    about = {"study": arm.study, "method": arm.method, "seed": seed}
    return replace(record, result=about | record.result | {"seconds": record.provenance["seconds"]})


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


def run_cell(dataset: str, arm: Arm, seed: int, encoder: Path | None, folder: Path) -> Record:
    """One data set, one arm, one seed.

    Returns:
        A record whose result is {"dataset", "arm" (its key), "seed", "kind", "sizes" of the parts, "learning_rate",
        "epochs" (None for the controls), "validation" and "test" score as fractions, "seconds"}.
    """
    torch.set_num_threads(1)
    tuning = LARGE.get(dataset, FINE_TUNING)
    start = arm.method if encoder is None else encoder.name
    settings = {"dataset": dataset, "start": start, "seed": seed, "tuning": asdict(tuning), "body": dict(BODY)}

    def make() -> Made:
        data = prepared(dataset)
        if arm.method in CONTROLS:
            score = run_control(dataset, arm.method, seed)
        else:
            x, body = _start(dataset, encoder, seed)
            best = chosen(fine_tune(body, x, data.target, data.parts, data.kind, config=tuning, seed=seed))
            score = best._asdict()
        return {"kind": data.kind, "sizes": [len(part) for part in data.parts]} | score, checksums_behind([dataset], [])

    record = kept(folder, "property", settings, make)
    about = {"dataset": dataset, "arm": arm.key, "seed": seed}
    return replace(record, result=about | record.result | {"seconds": record.provenance["seconds"]})


def _start(dataset: str, encoder: Path | None, seed: int) -> tuple[Tensor, nn.Module]:
    """Scaled features and the drug encoder before fine-tuning: pretrained, or of random weights."""
    data = prepared(dataset)
    if encoder is None:
        return untrained(data.mol2vec, data.parts, seed)
    scaler, body = Pretrained.load(encoder).drug_body()
    return scaler(data.mol2vec), body


# ------------------------------------------------------------------ the stored studies

FULL = PropertyStudy(datasets=PROPERTY_SETS)
# Table 8: studies of FULL and, on the same screens, those without a queue.
BY_SIMCLR = MappingProxyType({"gene_expression": "simclr", "comas": "comas_simclr"})
SIMCLR = PropertyStudy(datasets=PROPERTY_SETS, studies=tuple(BY_SIMCLR.values()), without_pretraining=())
STUDIES = MappingProxyType({"property": FULL, "property_simclr": SIMCLR})
ARMS = MappingProxyType(  # every arm that a row may name, by key
    PropertyStudy(PROPERTY_SETS, studies=(*FULL.studies, *SIMCLR.studies, STAND_IN)).arms
)


def store(name: str, output: Path, runs: Path, n_jobs: int = 2) -> Path:
    """Run what is missing of a study of ``STUDIES`` in the folder ``runs`` and write ``results/<name>.json``."""
    study = STUDIES[name]
    done = run_all(study, runs, n_jobs=n_jobs, verbose=10)
    results, records = _results(done), [*done.pretraining, *done.cells]
    if BASELINE in study.arms:
        variants = run_toxcast_variants(study.seeds, runs)
        results["toxcast_variants"] = [record.result for record in variants]
        records += variants
    settings = asdict(study) | {"body": dict(BODY), "fine_tuning": asdict(FINE_TUNING)}
    settings["large"] = {dataset: asdict(tuning) for dataset, tuning in LARGE.items()}
    made = [record.provenance for record in records]
    return save_results(name, settings, results, output_dir=output, runs=made)
