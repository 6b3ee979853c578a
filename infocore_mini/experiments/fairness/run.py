"""The fairness experiment (Section 3.3; Tables 4 and 9).

Each run: contrastive pretraining (MoCo) on two noisy views of the same rows through one shared encoder, X_b = group;
the encoder is frozen, a 2-layer MLP predicts the label from it, and predictions are scored per group.
The study first chooses one setting for all three tables on validation rows (`choose`), then reports ten other seeds
on the test rows, the first five of them at several lengths of training.  `plan.md`, beside this file, was written
before.  With a folder every run is kept there, so that a study that is stopped goes on where it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from joblib import delayed
from tqdm import tqdm

from infocore_mini.evaluate.fairness import AGGREGATES
from infocore_mini.experiments.fairness.training import Budget, Setting, packed, run_method
from infocore_mini.experiments.names import Arm
from infocore_mini.experiments.records import Record, in_parallel, kept
from infocore_mini.experiments.results import save_results
from infocore_mini.readers.fairness import SIMULATED_NOTICE, FairnessData, load_fairness
from infocore_mini.sources import DataUnavailable

DATASETS = ("adult", "law_school", "compas")
METHODS = ("clip", "ccl", "infocore")
SELECTION_SEEDS = (1000, 1001)
REPORTED_SEEDS = tuple(range(10))
BUDGET = Budget()
STEPS = BUDGET.steps[-1]  # the length at which settings are chosen and every arm is reported
LENGTHS = Budget(steps=(500, 1000, 2000))
LENGTH_SEEDS = REPORTED_SEEDS[:5]
MARGIN = 0.005  # accuracy that a choice may give up, as a fraction


ENCODER_CANDIDATES = tuple(
    Setting(temperature=tau, noise=noise, embedding_dim=dim)
    for tau, noise, dim in product((0.2, 0.5), (0.3, 0.5), (8, 16))
)
# alpha, gradient_scale; (0.5, 1) is in ENCODER_CANDIDATES
WEIGHT_CANDIDATES = ((0.2, 1.0), (0.8, 1.0), (0.2, 3.0), (0.5, 3.0))


class Task(NamedTuple):
    """What one run is about.  Changes of the arm: "setting", and "sensitive_inputs" (False: no race or sex)."""

    dataset: str
    arm: Arm
    seed: int
    budget: Budget = BUDGET


def run(task: Task, folder: Path | None = None, *, simulate: bool = False) -> Record:
    """One run: a record whose result is as `run_method` returns it.

    Args:
        folder: where the record is kept and found again; None = nowhere.
        simulate: as in `load_fairness`.
    """
    torch.set_num_threads(1)
    dataset, arm, seed, budget = task
    setting, sensitive = arm.change["setting"], arm.change.get("sensitive_inputs", True)
    settings = {
        "dataset": dataset,
        "method": arm.method,
        "setting": relevant(setting, arm.method),
        "seed": seed,
        "sensitive_inputs": sensitive,
        "simulate": simulate,
        "budget": asdict(budget),
    }

    def make() -> tuple[dict[str, Any], Mapping[str, str]]:
        data = load_fairness(dataset, seed=seed, sensitive_inputs=sensitive, simulate=simulate)
        return run_method(data, arm.method, setting, budget, seed), data.sha256

    return kept(folder, "fairness", settings, make)


def run_all(
    tasks: Sequence[Task], folder: Path | None = None, *, simulate: bool = False, n_jobs: int = 1, progress: str = ""
) -> list[Record]:
    """Records in the order of the tasks, ``n_jobs`` at a time with one thread each; `progress` names a bar, if any."""
    jobs = (delayed(run)(task, folder, simulate=simulate) for task in tasks)
    records = in_parallel(n_jobs, return_as="generator")(jobs)
    return list(tqdm(records, total=len(tasks), desc=progress, disable=not progress))


def after(record: Record, steps: int = STEPS) -> dict[str, Any]:
    """What `run_method` keeps of a run after `steps` optimiser steps."""
    return record.result["after"][str(steps)]


def relevant(setting: Setting, method: str) -> dict:
    """The fields of `setting` that `method` reads: alpha and gradient_scale are InfoCORE's alone."""
    if method == "supervised":
        return {}
    fields = asdict(setting)
    return fields if method == "infocore" else {k: fields[k] for k in ("temperature", "noise", "embedding_dim")}


# ---- the choice --------------------------------------------------------------------------------------------------


class Validation(NamedTuple):
    """Validation scores, a row per method, setting and table (mean over SELECTION_SEEDS), and the runs behind them."""

    table: pd.DataFrame
    runs: list[Record]


def validate(candidates: Iterable[tuple[str, Setting]], folder: Path | None = None, *, n_jobs: int = 1) -> Validation:
    """Validation accuracy and equalized odds of (method, setting) pairs."""
    cases = [(method, setting, dataset) for method, setting in candidates for dataset in DATASETS]
    tasks = [
        Task(dataset, Arm(method, change={"setting": setting}), seed)
        for method, setting, dataset in cases
        for seed in SELECTION_SEEDS
    ]
    records = run_all(tasks, folder, n_jobs=n_jobs, progress="choosing on validation rows")
    scores = [after(record)["validation"]["mean"] for record in records]
    n, rows = len(SELECTION_SEEDS), []
    for i, (method, setting, dataset) in enumerate(cases):
        of_case = scores[n * i : n * (i + 1)]
        means = {name: float(np.mean([score[name] for score in of_case])) for name in ("accuracy", "equalized_odds")}
        rows.append({"method": method, "setting": setting, "dataset": dataset} | means)
    return Validation(pd.DataFrame(rows), records)


def choose(folder: Path | None = None, *, n_jobs: int = 1) -> tuple[dict[str, Setting], Validation]:
    """Settings chosen on validation rows of SELECTION_SEEDS, and the scores that decided.  Rules, fixed in advance:

    * "shared", used for all three methods: among InfoCORE settings whose accuracy, averaged over the tables, is within
      MARGIN of CLIP's at the same encoder setting, the lowest equalized odds relative to that CLIP's, averaged likewise.
      First over ENCODER_CANDIDATES, then over WEIGHT_CANDIDATES at the encoder setting found.
    * "clip", "ccl", "infocore", each method's own best: among its settings within MARGIN of its highest accuracy, the
      lowest equalized odds, both averaged over the tables.
    """
    encoders = validate(product(METHODS, ENCODER_CANDIDATES), folder, n_jobs=n_jobs)
    first = best_against_clip(encoders.table)
    candidates = [replace(first, alpha=alpha, gradient_scale=scale) for alpha, scale in WEIGHT_CANDIDATES]
    weights = validate(product(("infocore",), candidates), folder, n_jobs=n_jobs)
    table = pd.concat([encoders.table, weights.table], ignore_index=True)
    chosen = {"shared": best_against_clip(table)} | {method: best_alone(table, method) for method in METHODS}
    return chosen, Validation(table, encoders.runs + weights.runs)


def best_against_clip(table: pd.DataFrame) -> Setting:
    """The rule for "shared" in `choose`; if no setting keeps CLIP's accuracy, the one that loses least."""
    clip = {(tuple(relevant(row.setting, "clip").items()), row.dataset): row for row in _rows(table, "clip")}
    found = {}
    for row in _rows(table, "infocore"):
        base = clip[tuple(relevant(row.setting, "clip").items()), row.dataset]
        accuracy, relative = found.setdefault(row.setting, ([], []))
        accuracy.append(row.accuracy - base.accuracy)
        relative.append(row.equalized_odds / base.equalized_odds)
    change = {setting: np.mean(accuracy) for setting, (accuracy, _) in found.items()}
    within = [setting for setting in found if change[setting] >= -MARGIN] or [max(change, key=change.get)]
    return min(within, key=lambda setting: np.mean(found[setting][1]))


def best_alone(table: pd.DataFrame, method: str) -> Setting:
    """The rule for a method's own best in `choose`."""
    means = table[table["method"] == method].groupby("setting", sort=False)[["accuracy", "equalized_odds"]].mean()
    return means.loc[means["accuracy"] >= means["accuracy"].max() - MARGIN, "equalized_odds"].idxmin()


def _rows(table: pd.DataFrame, method: str):
    return table[table["method"] == method].itertuples()


# ---- the reported runs -------------------------------------------------------------------------------------------


def arms(chosen: Mapping[str, Setting]) -> dict[str, Arm]:
    """What is reported, by key: every method at the shared setting, without race and sex among its inputs, at its best."""
    shared = {"setting": chosen["shared"]}
    blind = shared | {"sensitive_inputs": False}
    found = [Arm(method, change=shared) for method in (*METHODS, "supervised")]
    found += [Arm(method, "no race or sex", change=blind) for method in (*METHODS, "supervised")]
    found += [Arm(method, "own best", change={"setting": chosen[method]}) for method in METHODS]
    return {arm.key: arm for arm in found}


def reported(arms: Iterable[Arm], seeds: Sequence[int], datasets: Sequence[str]) -> list[Task]:
    """Every arm on every seed and table."""
    return [Task(dataset, arm, seed) for arm, seed, dataset in product(arms, seeds, datasets)]


def with_lengths(tasks: Iterable[Task]) -> list[Task]:
    """The same tasks, those of METHODS at the shared setting and of LENGTH_SEEDS at all LENGTHS."""
    return [
        task._replace(budget=LENGTHS) if task.arm.key in METHODS and task.seed in LENGTH_SEEDS else task
        for task in tasks
    ]


def scores_of(tasks: Sequence[Task], records: Sequence[Record]) -> pd.DataFrame:
    """Test scores of runs after STEPS: a row per (dataset, arm, seed, aggregate), scores as fractions."""
    return pd.DataFrame(
        [
            _name(task) | {"aggregate": how} | after(record)["test"][how]
            for task, record in zip(tasks, records, strict=True)
            for how in AGGREGATES
        ]
    )


def lengths_of(tasks: Sequence[Task], records: Sequence[Record]) -> pd.DataFrame:
    """Scores of the runs of LENGTHS: a row per (dataset, arm, seed, steps, part), mean over pairs, as fractions."""
    return pd.DataFrame(
        [
            _name(task) | {"steps": steps, "part": part} | after(record, steps)[part]["mean"]
            for task, record in zip(tasks, records, strict=True)
            for steps in task.budget.steps * (task.budget == LENGTHS)
            for part in ("validation", "test")
        ]
    )


def predictions_of(tasks: Sequence[Task], records: Sequence[Record]) -> list[dict[str, Any]]:
    """A row per (dataset, arm, seed, steps): "predicted", the `packed` predictions on the test rows."""
    return [
        _name(task) | {"steps": steps, "predicted": after(record, steps)["predicted"]}
        for task, record in zip(tasks, records, strict=True)
        for steps in task.budget.steps
    ]


def curves_of(tasks: Sequence[Task], records: Sequence[Record]) -> list[dict[str, Any]]:
    """A row per run: losses while pretraining as `training.curve`, "head" by steps as `training.Head.validation`."""
    return [
        _name(task)
        | record.result["curve"]
        | {"head": {str(steps): after(record, steps)["head"] for steps in task.budget.steps}}
        for task, record in zip(tasks, records, strict=True)
    ]


def scored_rows(dataset: str) -> dict[str, Any]:
    """Who is in the test set, the same for every seed: "n", the `packed` "label", and "group", a digit each."""
    rows = load_fairness(dataset).test
    return {"n": len(rows), "label": packed(rows.label), "group": "".join(map(str, rows.group))}


def _name(task: Task) -> dict[str, Any]:
    return {"dataset": task.dataset, "arm": task.arm.key, "seed": task.seed}


def available(*, seed: int) -> tuple[dict[str, FairnessData], list[str]]:
    """The tables that this machine can have, by name, and a notice for each that is simulated or left out."""
    tables, notices = {}, []
    for dataset in DATASETS:
        try:
            tables[dataset] = load_fairness(dataset, seed=seed, simulate=True)
        except DataUnavailable as reason:
            notices.append(f"LEFT OUT: {dataset}.  {reason}")
        else:
            notices += [SIMULATED_NOTICE] * tables[dataset].simulated
    return tables, notices


def store(output: Path, runs: Path, n_jobs: int = 2) -> Path:
    """Choose, run the reported seeds as far as they are missing in the folder ``runs``, write ``results/fairness.json``."""
    chosen, validation = choose(runs, n_jobs=n_jobs)
    tasks = with_lengths(reported(arms(chosen).values(), REPORTED_SEEDS, DATASETS))
    records = run_all(tasks, runs, n_jobs=n_jobs, progress="reported runs")
    table = validation.table.assign(setting=validation.table["setting"].map(asdict))
    results = {
        "criterion": choose.__doc__,
        "chosen": {name: asdict(setting) for name, setting in chosen.items()},
        "validation": table.round(5).to_dict("records"),
        "test": scores_of(tasks, records).round(5).to_dict("records"),
        "lengths": lengths_of(tasks, records).round(5).to_dict("records"),
        "rows": {dataset: scored_rows(dataset) for dataset in DATASETS},
        "predictions": predictions_of(tasks, records),
        "curves": curves_of(tasks, records),
    }
    seeds = {"selection_seeds": SELECTION_SEEDS, "reported_seeds": REPORTED_SEEDS, "length_seeds": LENGTH_SEEDS}
    parameters = {"budget": asdict(BUDGET), "lengths": LENGTHS.steps} | seeds
    made = [record.provenance for record in validation.runs + records]
    return save_results("fairness", parameters, results, output_dir=output, runs=made)
