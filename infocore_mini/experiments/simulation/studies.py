"""The stored studies behind the chapter: which runs, and how their scores and loss curves are kept.

``simulation`` is the study of the plan beside this file; ``simulation_sweeps`` changes one choice at a time. With a
folder every run is kept there, so that a study that is stopped goes on where it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd

from infocore_mini.experiments.records import Record
from infocore_mini.experiments.results import save_results
from infocore_mini.experiments.simulation.run import GENERATOR, METHODS, SETTINGS, Task, run_all

REPORTED_DRAWS = range(40)
NEGATIVES_DRAWS = range(20)
SWEEP_DRAWS = range(8)

TEMPERATURES = (0.1, 0.3, 1.0)
# How CCL's minibatches are composed: from 2.5 to 24 negatives of the anchor's own batch, all at 1,080 steps.
RANDOM, ONE_BATCH = "random, 64", "one batch, 64"
COMPOSITIONS: Mapping[str, Mapping] = MappingProxyType(
    {
        RANDOM: {},
        "random, 128": {"minibatch_size": 128, "epochs": 270},  # 4 minibatches an epoch
        "one batch, 6": {"sampling": "one_batch", "minibatch_size": 6, "steps_per_epoch": 9},
        ONE_BATCH: {"sampling": "one_batch", "steps_per_epoch": 9},
    }
)
# At 2.8 times the steps: all 25 one-batch minibatches in each of 120 epochs, or 9 random ones in each of 333.
LONGER: Mapping[str, Mapping] = MappingProxyType({RANDOM: {"epochs": 333}, ONE_BATCH: {"sampling": "one_batch"}})
SMALL_MINIBATCH = "minibatches of 25"  # the rows and steps of one-batch CCL, for InfoCORE

SWEEPS: Mapping[str, tuple] = MappingProxyType(
    dict(
        temperature=(0.05, 0.1, 0.3, 1.0, 3.0),
        noise=(0.25, 0.5, 1.0),
        learning_rate=(1e-3, 3e-3, 1e-2),
        minibatch_size=(64, 128),
        epochs=(60, 120),
        activation=("relu", "tanh"),
        generator_width=(30, 128),
        alpha=(0.0, 0.09, 0.33, 1.0),
        gradient_scale=(0.0, 0.1, 1.0),
        classifier_steps=(1, 2, 5),
    )
)
_INFOCORE_ONLY = ("classifier_steps", "alpha", "gradient_scale")


def variant(composition: str, temperature: float, *, longer: bool = False) -> str:
    """What the stored study calls a composition of minibatches at a temperature: "default", "one batch, 64, tau 0.1"."""
    if (composition, temperature, longer) == (RANDOM, SETTINGS["temperature"], False):
        return "default"
    return f"{composition}, tau {temperature}" + (", 2.8 times the steps" if longer else "")


def variants() -> dict[str, list[Task]]:
    """Name -> tasks of the study ``simulation``, see the plan."""
    found: dict[str, list[Task]] = {}

    def add(name: str, draws: Iterable[int], methods: Sequence[str], settings: Mapping) -> None:
        found[name] = [(draw, method, {}, settings) for draw in draws for method in methods]

    for composition in (RANDOM, ONE_BATCH):  # question 1, at the temperatures of the comparison
        methods = METHODS if composition == RANDOM else ("ccl",)
        for temperature in (1.0, 0.1):
            settings = {**COMPOSITIONS[composition], "temperature": temperature}
            add(variant(composition, temperature), REPORTED_DRAWS, methods, settings)
    add(variant(ONE_BATCH, 1.0, longer=True), REPORTED_DRAWS, ("ccl",), LONGER[ONE_BATCH])
    for temperature in TEMPERATURES:  # question 2
        for composition, settings in COMPOSITIONS.items():
            if variant(composition, temperature) not in found:
                settings = {**settings, "temperature": temperature}
                add(variant(composition, temperature), NEGATIVES_DRAWS, ("ccl",), settings)
    for composition, settings in LONGER.items():
        settings = {**settings, "temperature": 0.1}
        add(variant(composition, 0.1, longer=True), NEGATIVES_DRAWS, ("ccl",), settings)
    small = {"minibatch_size": 25, "steps_per_epoch": 9}
    add(SMALL_MINIBATCH, NEGATIVES_DRAWS, ("infocore",), small)  # question 3
    return found


def swept_methods(name: str) -> tuple[str, ...]:
    """The methods on which a choice of ``SWEEPS`` has an effect."""
    return ("infocore",) if name in _INFOCORE_ONLY else METHODS


def sweep_variants() -> dict[str, list[Task]]:
    """Name -> tasks of the study ``simulation_sweeps``: the default, then one choice changed at a time."""
    found: dict[str, list[Task]] = {
        "default": [(draw, method, {}, {}) for draw in SWEEP_DRAWS for method in METHODS],
    }
    for name, values in SWEEPS.items():
        for value in values:
            if value != {**GENERATOR, **SETTINGS}[name]:
                changes = ({name: value}, {}) if name in GENERATOR else ({}, {name: value})
                methods = swept_methods(name)
                found[f"{name}={value}"] = [(draw, method, *changes) for draw in SWEEP_DRAWS for method in methods]
    return found


def store(output: Path, runs: Path, n_jobs: int = 2) -> Path:
    """Run what is missing in the folder ``runs`` and write ``results/simulation.json``, see ``kept_results``."""
    return _store("simulation", variants(), output, runs, n_jobs)


def store_sweeps(output: Path, runs: Path, n_jobs: int = 2) -> Path:
    """The same for ``results/simulation_sweeps.json``."""
    return _store("simulation_sweeps", sweep_variants(), output, runs, n_jobs)


def _store(name: str, tasks: Mapping[str, list[Task]], output: Path, runs: Path, n_jobs: int) -> Path:
    records = run_all([task for of_variant in tasks.values() for task in of_variant], runs, n_jobs=n_jobs)
    made, results = [record.provenance for record in records], {"scores": {}, "losses": {}}
    for of, of_variant in tasks.items():
        of_variant, records = records[: len(of_variant)], records[len(of_variant) :]
        rows = [row for record in of_variant for row in record.result["scores"]]
        results["scores"][of] = pd.DataFrame(rows).round(4).to_dict("list")
        results["losses"][of] = loss_curves(of_variant).round(4).to_dict("list")
    return save_results(name, {**GENERATOR, **SETTINGS}, results, output_dir=output, runs=made)


def loss_curves(records: Sequence[Record], *, points: int = 12) -> pd.DataFrame:
    """Mean and standard deviation over draws of the loss, at ``points`` epochs evenly spread, the last among them.

    Returns:
        Rows of method and epoch (from 1) with contrastive, contrastive_sd; classifier, classifier_sd (nats).
    """
    rows = []
    for record in records:
        losses = pd.DataFrame(record.result["losses"])
        epochs = np.unique(np.linspace(0, len(losses), points + 1).round().astype(int).clip(1))
        method = record.settings["config"]["method"]
        rows.append(losses.iloc[epochs - 1].assign(method=method, epoch=epochs))
    grouped = pd.concat(rows).groupby(["method", "epoch"], sort=False)[["contrastive", "classifier"]]
    return grouped.mean().join(grouped.std().add_suffix("_sd")).reset_index()
