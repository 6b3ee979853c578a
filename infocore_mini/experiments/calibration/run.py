"""Calibration of the simulated screens: the same diagnostics on real plates and on simulated ones of the same sizes.

Nothing here trains or compares a contrastive method: the doses were fixed before any method was compared on them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import LogisticRegression, Ridge

from infocore_mini.evaluate.retrieval import screen_retrieval
from infocore_mini.experiments.calibration.diagnostics import (
    CLIP,
    CP_CLIP,
    Plate,
    diagnose,
    diagnose_runs,
    replicate_correlations,
    run_correlations,
    well_rms,
    within_plate,
)
from infocore_mini.experiments.calibration.plates import real_plates, real_runs, simulated_plates, simulated_runs
from infocore_mini.experiments.records import kept
from infocore_mini.experiments.results import checksums, save_results
from infocore_mini.readers.cell_painting import COMAS
from infocore_mini.readers.l1000 import PLATES
from infocore_mini.simulate.screen import CP_DOSES, GE_DOSES, SimulatedScreen, simulate_screen

SEEDS = (9001, 9002)  # of the simulations compared with the real plates
DRAWS = 6  # of each
PERCENTILES = np.arange(0, 101, 2)
CHOSEN = {
    "n_mechanisms": "not visible on real plates: chosen so that learnability lies where the paper's retrieval does",
    "structure": "not visible on real plates: chosen so that learnability lies where the paper's retrieval does",
    "context": "one cell line on the real plates: a guess, 0 for the one cell line of cell painting",
}


def gene_expression() -> dict:
    """The record of gene expression: doses, diagnostics and distributions, real and simulated, and learnability."""
    real = real_plates()
    draws = [draw for seed in SEEDS for draw in simulated_plates(seed, DRAWS, real)]
    return {
        "doses": asdict(GE_DOSES),
        "real": diagnose(real),
        "real_plates": [within_plate(plate) for plate in real],
        "simulated": [diagnose(draw) for draw in draws],
        "distributions": {"real": distributions(real), "simulated": distributions(sum(draws, []))},
        "learnability": [learnability(simulate_screen(seed)) for seed in SEEDS],
    }


def cell_painting() -> dict:
    """The record of cell painting; learnability at 6,000 molecules and 20 batches, so that batches are as full as there."""
    real = real_runs()
    draws = simulated_runs(SEEDS[0], 3, real)
    small = dict(n_drugs=6000, cell_lines=("U2OS",), n_batches=20, n_features=701, n_replicates=2, doses=CP_DOSES)
    return {
        "doses": asdict(CP_DOSES),
        "real": diagnose_runs(*real),
        "simulated": [diagnose_runs(*draw) for draw in draws],
        "distributions": {"real": run_distributions([real]), "simulated": run_distributions(draws)},
        "learnability": [learnability(simulate_screen(seed, **small), clip=CP_CLIP) for seed in SEEDS],
    }


def distributions(plates: Sequence[Plate]) -> dict[str, np.ndarray]:
    """Percentiles (at `PERCENTILES`) over the wells, or pairs of wells, of all plates."""
    control, treated = zip(*map(well_rms, plates))
    same, other = zip(*map(replicate_correlations, plates))
    parts = {"control_rms": control, "treated_rms": treated, "replicate_same": same, "replicate_other": other}
    return {name: np.percentile(np.concatenate(part), PERCENTILES).round(4) for name, part in parts.items()}


def run_distributions(draws: Sequence[tuple]) -> dict[str, np.ndarray]:
    """Percentiles (at `PERCENTILES`) of well rms and of correlations between two runs."""
    same, other = zip(*(run_correlations(runs) for runs, _ in draws))
    rms = [np.sqrt(np.square(np.clip(run.treated, -CP_CLIP, CP_CLIP)).mean(1)) for runs, _ in draws for run in runs]
    parts = {"treated_rms": rms, "replicate_same": same, "replicate_other": other}
    return {name: np.percentile(np.concatenate(part), PERCENTILES).round(4) for name, part in parts.items()}


# ------------------------------------------------------------------ can it be learnt at all?


def learnability(
    simulated: SimulatedScreen, *, seed: int = 0, penalty: float = 300.0, clip: float = CLIP
) -> dict[str, float]:
    """What a model that is *told* the truth can reach: no comparison of methods, but a check that the task is sensible.

    A ridge regression from drug features to the direction of the molecule's noise-free effect, mean over cell lines, is
    fitted on the molecules outside the test split; held-out profiles then retrieve its predictions.

    Returns:
        r2: of the direction of the effect, on held-out molecules. whole_1, whole_5, batch_1, batch_5: retrieval of
        predicted effects by held-out mean profiles, in percent; chance_whole, chance_batch: of a random order, top 1.
        oracle_whole_1, oracle_batch_1: the same with the noise-free effects as library.
        plate_from_drug: accuracy of a linear classifier of the drug plate from drug features, held out; chance_plate.
    """
    screen, plate = simulated.screen, simulated.plate
    split = screen.split(seed)
    test = np.isin(screen.smiles, split.test.smiles)
    x = screen.drug.numpy()
    x = np.clip((x - x[~test].mean(0)) / (x[~test].std(0) + 1e-6), -2.5, 2.5)
    line_effect = torch.stack([simulated.loading[test] @ signature for signature in simulated.signature])
    target = torch.nn.functional.normalize(simulated.loading @ simulated.signature.mean(0)).numpy()
    predicted = Ridge(alpha=penalty).fit(x[~test], target[~test]).predict(x[test])
    error = np.square(target[test] - predicted).sum() / np.square(target[test] - target[~test].mean(0)).sum()
    profile = split.test.mean_profile().clamp(-clip, clip)
    library = torch.from_numpy(predicted).expand_as(line_effect)
    found, best = (_top(screen_retrieval(profile, z, split.test, n_bootstrap=0)) for z in (library, line_effect))
    classifier = LogisticRegression(C=0.01, max_iter=200).fit(x[~test], plate[~test])
    return {
        "r2": float(1 - error),
        **found,
        **{f"oracle_{name}": best[name] for name in ("whole_1", "batch_1")},
        "plate_from_drug": 100 * float(classifier.score(x[test], plate[test])),
        "chance_plate": 100 / len(plate.unique()),
    }


def _top(table: pd.DataFrame) -> dict[str, float]:
    rows = table[(table.cell_line == "mean") & table.top.isin((1, 5))]
    first = rows[rows.top == 1].set_index("library").chance
    accuracy = {f"{row.library}_{row.top}": 100 * row.accuracy for row in rows.itertuples()}
    return accuracy | {f"chance_{library}": 100 * first[library] for library in ("whole", "batch")}


def store(output: Path, runs: Path, n_jobs: int = 1) -> Path:
    """Measure what is missing in the folder ``runs`` and write ``results/calibration.json``; one process, no matter what."""
    measured = {
        "gene_expression": (gene_expression, GE_DOSES, PLATES),
        "cell_painting": (cell_painting, CP_DOSES, COMAS),
    }
    parameters = {"seeds": SEEDS, "draws": DRAWS, "percentiles": PERCENTILES, "chosen_not_calibrated": CHOSEN}
    records = {}
    for name, (measure, doses, files) in measured.items():
        settings = {"screen": name, "doses": asdict(doses), **parameters}
        records[name] = kept(runs, "calibration", settings, lambda m=measure, f=files: (m(), checksums(f)))
    results = {name: record.result for name, record in records.items()}
    made = [record.provenance for record in records.values()]
    return save_results("calibration", parameters, results, output_dir=output, runs=made)
