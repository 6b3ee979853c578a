"""What the protocol does to a property score: the paper's protocol beside the sound one, and each difference by itself.

The plan stands in ``plan.md``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import torch
from joblib import delayed
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.model_selection import GroupKFold
from torch import Tensor, nn

from infocore_mini.evaluate.property import FineTuning, Predicted, fine_tune_each, property_score
from infocore_mini.experiments.names import METHOD_NAMES, Arm
from infocore_mini.experiments.property.baseline import BODY, FINE_TUNING, LARGE, untrained
from infocore_mini.experiments.property.run import BASELINE, PropertyStudy, pretrain_without
from infocore_mini.experiments.property.sets import Prepared, checksums_behind, prepared, pretraining_study
from infocore_mini.experiments.records import Made, Record, in_parallel, kept
from infocore_mini.experiments.results import save_results
from infocore_mini.featurize import Parts, murcko_scaffold, scaffold_split, skeletons
from infocore_mini.pretrained import Pretrained
from infocore_mini.readers.property import PROPERTY_SETS

SCREEN = "comas"  # real; the three methods are pretrained on it
SEEDS = (0, 1, 2, 3, 4)  # of pretraining and fine-tuning; the paper averages five models
WITH_MISSING = ("Tox21", "ToxCast")  # the classification sets in which some targets were not measured
DATASETS = ("BBBP", "BACE", "ClinTox", "SIDER", "Tox21", "PRISM")  # of the pretrained encoders; the baseline has all
WIDE = FineTuning(learning_rates=(3e-5, 1e-4, 3e-4, 1e-3, 3e-3), epochs=(2, 5, 10, 20, 40))
PAPER = FineTuning(learning_rates=(1e-5, 5e-5, 2e-4), epochs=tuple(range(4, 81, 4)), minibatch_size=50)
# 33,000 molecules: fewer candidates, so that a cell ends within half an hour
_HIV = MappingProxyType(
    {
        "wide": FineTuning(learning_rates=(1e-4, 3e-4, 1e-3, 3e-3), epochs=(1, 2, 5, 8, 12), minibatch_size=256),
        "paper": replace(PAPER, learning_rates=(1e-4,), epochs=(4, 8, 12, 16, 20)),
    }
)
DROPPED = (0.15, 0.85)  # quantiles of viability between which the paper drops PRISM's values
FOLDS = 10

Grid = Literal["board", "wide", "paper"]


@dataclass(frozen=True)
class Training:
    """One way to cut a data set, to read it and to train on it.

    Attributes:
        grid: "board", as in the stored study of all arms; "wide", that grid widened in both directions; "paper".
        chirality: scaffolds of the split differ if their stereocentres do, as in the paper's split.
        missing: targets that were not measured are "masked", or "inactive" as in the paper.
    """

    grid: Grid = "board"
    chirality: bool = False
    missing: Literal["masked", "inactive"] = "masked"

    def tuning(self, dataset: str) -> FineTuning:
        """The candidates of a data set."""
        if self.grid == "board":
            return LARGE.get(dataset, FINE_TUNING)
        if dataset == "HIV":
            return _HIV[self.grid]
        if self.grid == "paper":
            return PAPER
        minibatch = LARGE.get(dataset, FINE_TUNING).minibatch_size
        return replace(WIDE, minibatch_size=minibatch)


# What a page calls it -> the training; "one at a time" differ from the first in a single thing.
TRAININGS: Mapping[str, Training] = MappingProxyType(
    {
        "sound": Training(),
        "wider grid": Training(grid="wide"),
        "the paper's grid": Training(grid="paper"),
        "chiral scaffolds": Training(chirality=True),
        "missing read as inactive": Training(missing="inactive"),
        "the paper's": Training(grid="paper", chirality=True, missing="inactive"),
    }
)
OF_PRETRAINED = ("sound", "wider grid", "the paper's")  # what is run of the pretrained encoders
# Of PRISM besides: whether the middle of the viabilities is dropped, whether scaffold folds are pooled, and the grid.
PRISM_VARIANTS: Mapping[str, tuple[bool, bool, Grid]] = MappingProxyType(
    {
        "extremes alone": (True, False, "board"),
        "ten folds pooled": (False, True, "board"),
        "the paper's, PRISM": (True, True, "paper"),
    }
)


def arms() -> dict[str, Arm]:
    """The baseline, and each method as pretrained on the screen, by key."""
    found = [Arm(BASELINE), *(Arm(method, study=SCREEN) for method in METHOD_NAMES)]
    return {arm.key: arm for arm in found}


def cells() -> list[tuple[str, str, str]]:
    """(data set, training or variant of PRISM, arm) of all cells."""
    found = []
    for key, arm in arms().items():
        datasets = DATASETS if arm.study else PROPERTY_SETS
        trainings = OF_PRETRAINED if arm.study else tuple(TRAININGS)
        pairs = [pair for pair in product(datasets, trainings) if _differs(*pair)]
        pairs += [("PRISM", variant) for variant in PRISM_VARIANTS]
        found += [(dataset, training, key) for dataset, training in pairs]
    return found


def _differs(dataset: str, training: str) -> bool:
    """Whether a training is another one for this data set: not where nothing is missing, and PRISM has its own."""
    given = TRAININGS[training]
    if dataset == "PRISM":
        return given.missing == "masked"
    return dataset in WITH_MISSING or given != Training(missing="inactive")


# ------------------------------------------------------------------ one cell


def run_cell(dataset: str, training: str, arm: Arm, encoders: Sequence[Path], folder: Path | None) -> Record:
    """One data set, one training or variant of PRISM, one arm; ``encoders`` by seed, none of the baseline.

    Returns:
        A record whose result is {"dataset", "training", "arm", "single": test score of each of five models, "averaged":
        of the mean of their predictions, "validation", "learning_rate", "epochs" of the chosen candidates}.
    """
    torch.set_num_threads(1)
    extremes, pooled, grid = PRISM_VARIANTS.get(training, (False, False, "board"))
    given = TRAININGS.get(training, Training(grid=grid))
    tuning = given.tuning(dataset)
    settings = {"dataset": dataset, "training": asdict(given), "extremes": extremes, "pooled": pooled, "seeds": SEEDS}
    settings |= {"start": [path.name for path in encoders], "tuning": asdict(tuning), "body": dict(BODY)}

    def make() -> Made:
        data = prepared(dataset)
        target = np.nan_to_num(data.target) if given.missing == "inactive" else data.target
        target = without_middle(target) if extremes else target
        cut = scaffold_split(data.smiles, chirality=True) if given.chirality else data.parts
        folds = scaffold_folds(data.smiles) if pooled else [cut]
        return scored(data, folds, target, tuning, encoders), checksums_behind([dataset], [SCREEN] if pooled else [])

    record = kept(folder, "property_protocol", settings, make)
    return replace(record, result={"dataset": dataset, "training": training, "arm": arm.key} | record.result)


def scored(
    data: Prepared, folds: Sequence[Parts], target: NDArray, tuning: FineTuning, encoders: Sequence[Path] = ()
) -> dict[str, list[float] | float]:
    """Five models, alone and averaged, their test parts pooled over the folds; see `run_cell`."""
    y = np.concatenate([target[parts.test] for parts in folds])
    runs = [
        [_best(*_start(data, parts, seed, encoders), data, parts, target, tuning, seed) for parts in folds]
        for seed in SEEDS
    ]
    outputs = [np.concatenate([best.pop("output") for best in of_seed]) for of_seed in runs]
    return {
        "single": [property_score(y, output, data.kind) for output in outputs],
        "averaged": property_score(y, np.mean(outputs, axis=0), data.kind),
        **{name: [best[name] for of_seed in runs for best in of_seed] for name in runs[0][0]},
    }


def _start(data: Prepared, parts: Parts, seed: int, encoders: Sequence[Path]) -> tuple[Tensor, nn.Module]:
    if not encoders:
        return untrained(data.mol2vec, parts, seed)
    scaler, body = Pretrained.load(encoders[SEEDS.index(seed)]).drug_body()
    return scaler(data.mol2vec), body


def _best(
    x: Tensor, body: nn.Module, data: Prepared, parts: Parts, target: NDArray, tuning: FineTuning, seed: int
) -> dict[str, Any]:
    """The candidate with the best validation score, the first of equals: that score, its settings, its test output.

    Outputs are what is averaged: probabilities, or values.
    """
    output = {"best": -np.inf, "of": np.empty(0)}

    def look(predicted: Predicted) -> float:
        score = property_score(target[parts.validation], predicted(parts.validation), data.kind)
        if score > output["best"]:
            found = predicted(parts.test)
            output.update(best=score, of=expit(found) if data.kind == "classification" else found)
        return score

    tried = fine_tune_each(body, x, target, parts, data.kind, look, config=tuning, seed=seed)
    learning_rate, epochs, score = max(tried, key=lambda each: each[2])
    return {"validation": score, "learning_rate": learning_rate, "epochs": epochs, "output": output["of"]}


def without_middle(target: NDArray) -> NDArray:
    """Targets with those between the quantiles `DROPPED` of their task as not measured, as the paper reads PRISM."""
    low, high = np.nanquantile(target, DROPPED, axis=0)
    return np.where((target > low) & (target < high), np.float32(np.nan), target)


def scaffold_folds(smiles: NDArray) -> list[Parts]:
    """Ten folds by scaffold, each tested once and used once to choose on; molecules of the screen always train."""
    screen = set(skeletons(pretraining_study(SCREEN).screen(0).smiles))
    forced = np.isin(skeletons(smiles), list(screen))
    scaffold = np.unique(murcko_scaffold(smiles), return_inverse=True)[1]
    folds = [test[~forced[test]] for _, test in GroupKFold(FOLDS).split(scaffold, groups=scaffold)]
    found = []
    for k, test in enumerate(folds):
        validation = folds[(k + 1) % FOLDS]
        train = np.setdiff1d(np.arange(len(smiles)), np.concatenate([test, validation]))
        found.append(Parts(train, validation, test))
    return found


# ------------------------------------------------------------------ the stored study


def store(output: Path, runs: Path, n_jobs: int = 2) -> Path:
    """Run what is missing in the folder ``runs`` and write ``results/property_protocols.json``."""
    parallel, by_key = in_parallel(n_jobs, verbose=10), arms()
    without = PropertyStudy(datasets=DATASETS, studies=(SCREEN,), seeds=SEEDS)
    models = [(key, seed) for key, arm in by_key.items() if arm.study for seed in SEEDS]
    pretraining = parallel(delayed(pretrain_without)(without, by_key[key], seed, runs) for key, seed in models)
    encoders: dict[str, list[Path]] = {}
    for (key, _), record in zip(models, pretraining, strict=True):
        encoders.setdefault(key, []).append(runs / record.result["encoder"])
    records = parallel(
        delayed(run_cell)(dataset, training, by_key[key], encoders.get(key, ()), runs)
        for dataset, training, key in cells()
    )
    parameters = {
        "screen": SCREEN,
        "seeds": SEEDS,
        "trainings": {name: asdict(training) for name, training in TRAININGS.items()},
        "prism": {name: list(variant) for name, variant in PRISM_VARIANTS.items()},
        "grids": {name: asdict(Training(grid=name).tuning("BBBP")) for name in ("board", "wide", "paper")},
    }
    made = [record.provenance for record in (*pretraining, *records)]
    results = [record.result for record in records]
    return save_results("property_protocols", parameters, results, output_dir=output, runs=made)
