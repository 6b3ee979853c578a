"""The fairness experiment (Section 3.3; Tables 4 and 9): ``python -m infocore_mini.experiments.fairness.run``.

Each run: contrastive pretraining (MoCo) on two noisy views of the same rows through one shared encoder, X_b = group;
the encoder is frozen, a 2-layer MLP predicts the label from it, and predictions are scored per group.
The command first chooses one setting for all three tables on validation rows (`choose`), then reports ten other seeds
on the test rows.  Every finished run is one line of a JSON-lines file, so that a run that was cut off goes on.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tqdm.auto import tqdm

from infocore_mini.evaluate.fairness import AGGREGATES
from infocore_mini.experiments.fairness.training import Budget, Setting, run_method
from infocore_mini.experiments.results import save_results
from infocore_mini.readers.fairness import SIMULATED_NOTICE, FairnessData, load_fairness
from infocore_mini.sources import DataUnavailable

DATASETS = ("adult", "law_school", "compas")
METHODS = ("clip", "ccl", "infocore")
SELECTION_SEEDS = (1000, 1001)
REPORTED_SEEDS = tuple(range(10))
BUDGET = Budget()
MARGIN = 0.005  # accuracy that a choice may give up, as a fraction


ENCODER_GRID = tuple(
    Setting(temperature=tau, noise=noise, embedding_dim=dim)
    for tau, noise, dim in product((0.2, 0.5), (0.3, 0.5), (8, 16))
)
WEIGHT_GRID = ((0.2, 1.0), (0.8, 1.0), (0.2, 3.0), (0.5, 3.0))  # alpha, gradient_scale; (0.5, 1) is in ENCODER_GRID


class Runs:
    """Finished runs, one JSON line each in `path` (None: kept in memory), so that nothing is ever run twice."""

    def __init__(self, path: Path | None = None, budget: Budget = BUDGET):
        self.path, self.budget = path, budget
        lines = path.read_text().splitlines() if path and path.exists() else []
        self.scores, self.seconds = {}, 0.0
        for line in map(json.loads, lines):
            self.scores[line["key"]] = line["scores"]
            self.seconds += line["seconds"]

    def get(self, dataset: str, method: str, setting: Setting, seed: int, *, sensitive_inputs=True, simulate=False):
        """Scores of one run (as `run_method`), from the file if it is there."""
        used = relevant(setting, method)
        key = json.dumps([dataset, method, used, seed, sensitive_inputs, asdict(self.budget)])
        if key not in self.scores:
            data = load_fairness(dataset, seed=seed, sensitive_inputs=sensitive_inputs, simulate=simulate)
            started = time.perf_counter()
            self.scores[key] = run_method(data, method, setting, self.budget, seed)
            seconds = round(time.perf_counter() - started, 2)
            self.seconds += seconds
            if self.path:
                with self.path.open("a") as file:
                    file.write(json.dumps({"key": key, "seconds": seconds, "scores": self.scores[key]}) + "\n")
        return self.scores[key]


def relevant(setting: Setting, method: str) -> dict:
    """The fields of `setting` that `method` reads: alpha and gradient_scale are InfoCORE's alone."""
    if method == "supervised":
        return {}
    fields = asdict(setting)
    return fields if method == "infocore" else {k: fields[k] for k in ("temperature", "noise", "embedding_dim")}


def validation_table(runs: Runs, grid: Iterable[tuple[str, Setting]], *, progress: bool = False) -> pd.DataFrame:
    """Validation accuracy and equalized odds of (method, setting) pairs, mean over SELECTION_SEEDS: a row per table."""
    rows = []
    for method, setting in tqdm(list(grid), desc="choosing on validation rows", disable=not progress):
        for dataset in DATASETS:
            scores = [runs.get(dataset, method, setting, s)["validation"]["mean"] for s in SELECTION_SEEDS]
            means = {name: float(np.mean([score[name] for score in scores])) for name in ("accuracy", "equalized_odds")}
            rows.append({"method": method, "setting": setting, "dataset": dataset} | means)
    return pd.DataFrame(rows)


def choose(runs: Runs, *, progress: bool = False) -> tuple[dict[str, Setting], pd.DataFrame]:
    """Settings chosen on validation rows of SELECTION_SEEDS, and the table that decided.  Rules, fixed in advance:

    * "shared", used for all three methods: among InfoCORE settings whose accuracy, averaged over the tables, is within
      MARGIN of CLIP's at the same encoder setting, the lowest equalized odds relative to that CLIP's, averaged likewise.
      First over ENCODER_GRID, then over WEIGHT_GRID at the encoder setting found.
    * "clip", "ccl", "infocore", each method's own best: among its settings within MARGIN of its highest accuracy, the
      lowest equalized odds, both averaged over the tables.
    """
    table = validation_table(runs, product(METHODS, ENCODER_GRID), progress=progress)
    first = best_against_clip(table)
    weights = [replace(first, alpha=alpha, gradient_scale=scale) for alpha, scale in WEIGHT_GRID]
    table = pd.concat(
        [table, validation_table(runs, product(("infocore",), weights), progress=progress)], ignore_index=True
    )
    return {"shared": best_against_clip(table)} | {method: best_alone(table, method) for method in METHODS}, table


def best_against_clip(table: pd.DataFrame) -> Setting:
    """The rule for "shared" in `choose`; if no setting keeps CLIP's accuracy, the one that loses least."""
    clip = {(tuple(relevant(row.setting, "clip").items()), row.dataset): row for row in _rows(table, "clip")}
    found = {}
    for row in _rows(table, "infocore"):
        base = clip[tuple(relevant(row.setting, "clip").items()), row.dataset]
        kept, relative = found.setdefault(row.setting, ([], []))
        kept.append(row.accuracy - base.accuracy)
        relative.append(row.equalized_odds / base.equalized_odds)
    kept = {setting: np.mean(difference) for setting, (difference, _) in found.items()}
    within = [setting for setting in found if kept[setting] >= -MARGIN] or [max(kept, key=kept.get)]
    return min(within, key=lambda setting: np.mean(found[setting][1]))


def best_alone(table: pd.DataFrame, method: str) -> Setting:
    """The rule for a method's own best in `choose`."""
    means = table[table["method"] == method].groupby("setting", sort=False)[["accuracy", "equalized_odds"]].mean()
    return means.loc[means["accuracy"] >= means["accuracy"].max() - MARGIN, "equalized_odds"].idxmin()


def _rows(table: pd.DataFrame, method: str):
    return table[table["method"] == method].itertuples()


# ---- the reported runs -------------------------------------------------------------------------------------------


def arms(chosen: dict[str, Setting]) -> dict[str, tuple[str, Setting, bool]]:
    """What is reported: name -> (method, setting, race and sex among the inputs)."""
    shared = chosen["shared"]
    named = {method: (method, shared, True) for method in METHODS} | {"supervised": ("supervised", shared, True)}
    named |= {f"{arm}, no race or sex": (method, shared, False) for arm, (method, _, _) in named.items()}
    return named | {f"{method}, own best": (method, chosen[method], True) for method in METHODS}


def report(
    runs: Runs,
    reported: dict[str, tuple[str, Setting, bool]],
    *,
    seeds: Sequence[int] = REPORTED_SEEDS,
    datasets: Sequence[str] = DATASETS,
    simulate: bool = False,
    progress: bool = False,
) -> pd.DataFrame:
    """Test scores of every arm, table and seed: a row per (dataset, arm, seed, aggregate), scores as fractions."""
    rows = []
    grid = list(product(reported.items(), seeds, datasets))
    for (arm, (method, setting, sensitive)), seed, dataset in tqdm(grid, desc="reported runs", disable=not progress):
        scores = runs.get(dataset, method, setting, seed, sensitive_inputs=sensitive, simulate=simulate)["test"]
        for how in AGGREGATES:
            rows.append({"dataset": dataset, "arm": arm, "seed": seed, "aggregate": how} | scores[how])
    return pd.DataFrame(rows)


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


def main() -> None:
    """Choose, run the reported seeds, save ``<output>/results/fairness.json``."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--output", default="output", help="folder for results/fairness.json")
    parser.add_argument("--resume", type=Path, default=Path("output/fairness_runs.jsonl"), help="finished runs")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.resume.parent.mkdir(parents=True, exist_ok=True)
    runs = Runs(arguments.resume)
    chosen, table = choose(runs, progress=True)
    scores = report(runs, arms(chosen), progress=True)
    checksums = {}
    for dataset in DATASETS:
        checksums |= load_fairness(dataset).sha256
    results = {
        "criterion": choose.__doc__,
        "runs": {"number": len(runs.scores), "seconds": round(runs.seconds), "threads": 1},
        "chosen": {name: asdict(setting) for name, setting in chosen.items()},
        "validation": table.assign(setting=table["setting"].map(asdict)).round(5).to_dict("records"),
        "test": scores.round(5).to_dict("records"),
    }
    parameters = {"budget": asdict(BUDGET), "selection_seeds": SELECTION_SEEDS, "reported_seeds": REPORTED_SEEDS}
    print(save_results("fairness", parameters, results, output_dir=arguments.output, data=checksums))


if __name__ == "__main__":
    main()
