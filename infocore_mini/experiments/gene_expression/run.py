"""Connectivity Map, the real gene-expression screen of chapter 04: the plan, written down before any run, and the runs.

Data: Connectivity Map build 02 (Lamb et al. 2006); the 1,500 most frequent genes, experimental batches of at least 8
molecules; a condition is a molecule in a cell line and an experimental batch. Real, nothing simulated.

Questions, of two kinds of input, raw and with each experimental batch centred on the mean of its training conditions:

1. Does InfoCORE retrieve better than CLIP, and than CCL, in the batch library (top 1)? In the whole library?
2. Does InfoCORE put fewer of the nearest neighbours of a readout's embedding into its own experimental batch?
3. Does it find the same drug in another experimental batch more often, a truth that needs no model?

Splits: five, by molecule, 64 / 16 / 20 %. Every method has the same networks, minibatch size, epochs and four candidates
of its settings; of each split and input the candidate with the best retrieval on validation molecules is reported, on
test molecules that nothing was chosen on. "Told apart" means a 95 % interval of the paired difference without zero;
since the splits share their molecules, the interval is the one corrected for that (Nadeau and Bengio 2003), and its
half-width says what could have been seen. No run is left out, none is added after the results are known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from itertools import product
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from joblib import delayed

from infocore_mini.config import Config, settings_of
from infocore_mini.correct import BatchCentring
from infocore_mini.experiments.chances import best_on_validation, candidates
from infocore_mini.experiments.neighbours import neighbours
from infocore_mini.experiments.pretraining.run import score
from infocore_mini.experiments.records import Made, Record, in_parallel, kept
from infocore_mini.experiments.results import checksums, save_results
from infocore_mini.pretrained import Pretrained
from infocore_mini.readers import read_connectivity_map
from infocore_mini.readers.connectivity_map import DOWN, INSTANCES, UP
from infocore_mini.screens import PairedScreen, Split
from infocore_mini.simulate.screen import simulate_screen
from infocore_mini.train import pretrain_screen

FILES = (UP, DOWN, INSTANCES)
INPUTS = ("raw", "centred")
SEEDS = (0, 1, 2, 3, 4)
MINIMUM_LIBRARY = 5  # molecules: with a fifth of the molecules held out, most batches keep fewer than 20
OVERLAP = 0.2 / 0.8  # test molecules over the others, of Nadeau and Bengio's correction

SETTINGS = MappingProxyType(
    dict(
        framework="simclr",
        embedding_dim=128,
        hidden_drug=(256, 256),
        hidden_screen=(256, 256),
        hidden_classifier=(256,),
        layer_norm=True,
        dropout=0.1,
        clip_drug=2.5,
        feature_dropout_screen=0.1,
        epochs=25,
        minibatch_size=64,
        learning_rate=1e-3,
        classifier_learning_rate=1e-3,
        halve_at=(12, 18),
        adam_betas=(0.5, 0.999),
    )
)
CANDIDATES: Mapping[str, tuple[dict[str, Any], ...]] = MappingProxyType(
    {
        "clip": candidates("clip"),
        "ccl": tuple(dict(candidate, sampling="one_batch") for candidate in candidates("ccl")),
        "infocore": candidates("infocore", alphas=(0.33, 0.66)),
    }
)


@cache
def screen(*, simulated: bool = False) -> PairedScreen:
    """The conditions of the Connectivity Map, one experimental batch each. Raises `sources.DataUnavailable`.

    ``simulated``: a small simulated screen, for a page whose files cannot be had; it must say so.
    """
    if simulated:
        return simulate_screen(0, n_drugs=600, cell_lines=("MCF7", "PC3"), n_batches=24, n_features=300).screen
    return read_connectivity_map(min_molecules=8).per_batch()


def split_of(seed: int, kind: str, *, simulated: bool = False) -> Split:
    """Training, validation and test molecules; ``kind`` "raw" or "centred", on the training conditions' batch means."""
    split = screen(simulated=simulated).split(seed)
    if kind == "raw":
        return split
    correction = BatchCentring().fit(split.train)
    return Split(*(correction.transform(part) for part in split))


def run(
    method: str, candidate: int, kind: str, seed: int, folder: Path | None = None, *, simulated: bool = False
) -> Record:
    """Train one candidate of a method on one split and one kind of input, and score it; arguments as in `screen`.

    Returns:
        A record whose result is {"validation": the score that chooses, "test": as `scores`}.
    """
    settings = {**SETTINGS, **CANDIDATES[method][candidate], "method": method, "seed": seed}
    described = {"input": kind, "config": settings_of(Config(**settings)), "minimum_library": MINIMUM_LIBRARY}
    if simulated:
        described["screen"] = "simulated"

    def make() -> Made:
        torch.set_num_threads(1)
        split = split_of(seed, kind, simulated=simulated)
        model = pretrain_screen(split.train, Config(**settings), validation=split.validation)
        best = max(epoch["validation"] for epoch in model.history if "validation" in epoch)
        return {"validation": best, "test": scores(model, split)}, {} if simulated else checksums(FILES)

    return kept(folder, "connectivity-map", described, make)


def scores(model: Pretrained, split: Split) -> dict[str, Any]:
    """Scores on the test molecules: those of every pretraining study, and of the neighbours of the readouts."""
    z_screen, _ = model.embed(split.test)
    return score(model, split, MINIMUM_LIBRARY) | {"neighbours": neighbours(z_screen.numpy(), split.test)}


def run_all(
    folder: Path | None = None,
    *,
    seeds: Sequence[int] = SEEDS,
    n_candidates: int = 4,
    simulated: bool = False,
    n_jobs: int = 2,
    verbose: int = 0,
) -> tuple[list[dict[str, Any]], list[Record]]:
    """The first candidates of every method on every kind of input, ``n_jobs`` runs at a time.

    Returns:
        A row for each run, {"method", "candidate", "input", "seed", "validation"} and what `scores` returns, and its
        record.
    """
    keys = ("seed", "input", "method", "candidate")
    tasks = [dict(zip(keys, values)) for values in product(seeds, INPUTS, CANDIDATES, range(n_candidates))]
    records = in_parallel(n_jobs, verbose=verbose)(
        delayed(run)(task["method"], task["candidate"], task["input"], task["seed"], folder, simulated=simulated)
        for task in tasks
    )
    rows = [
        task | {"validation": made.result["validation"]} | made.result["test"]
        for task, made in zip(tasks, records, strict=True)
    ]
    return rows, records


def chosen(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Of every method, input and split the row of the candidate that is best on validation; of equals the first."""
    return best_on_validation(rows, keys=("method", "input", "seed"))


def store(output: Path, runs: Path, n_jobs: int = 2) -> Path:
    """Run what is missing in the folder ``runs`` and write ``results/connectivity_map.json``.

    Results: "chosen", a row for each method, input and split: its candidate and scores; "search", the validation score
    of every candidate; "before", the neighbours of the profiles themselves, without any training.
    """
    rows, records = run_all(runs, n_jobs=n_jobs, verbose=10)
    search = [{name: row[name] for name in ("method", "candidate", "input", "seed", "validation")} for row in rows]
    results = {"chosen": chosen(rows), "search": search, "before": before()}
    parameters = {
        "settings": dict(SETTINGS),
        "candidates": dict(CANDIDATES),
        "seeds": SEEDS,
        "minimum_library": MINIMUM_LIBRARY,
        "overlap": OVERLAP,
        "screen": repr(screen()),
    }
    made = [record.provenance for record in records]
    return save_results("connectivity_map", parameters, results, output_dir=output, runs=made)


def before(*, simulated: bool = False) -> dict[str, dict[str, float]]:
    """`neighbours` of all mean profiles, raw and with every experimental batch centred; nothing is trained."""
    whole = screen(simulated=simulated)
    centred = BatchCentring().fit(whole).transform(whole)
    return {kind: neighbours(part.mean_profile().numpy(), part) for kind, part in zip(INPUTS, (whole, centred))}
