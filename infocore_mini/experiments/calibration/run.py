"""Calibration of the simulated screens: the same diagnostics on real plates and on simulated ones of the same sizes.

``python -m infocore_mini.experiments.calibration.run --output data`` measures both and writes ``results/calibration.json``.
Nothing here trains or compares a contrastive method: the doses were fixed before any method was compared on them.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace

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
from infocore_mini.experiments.results import save_results
from infocore_mini.readers import read_l1000_wells
from infocore_mini.readers.cell_painting import COMAS, read_comas
from infocore_mini.readers.l1000 import COMPOUND_KINDS, PLATES
from infocore_mini.screens import PairedScreen
from infocore_mini.simulate.screen import CP_DOSES, GE_DOSES, Doses, SimulatedScreen, simulate_screen
from infocore_mini.sources import registry


def real_plates() -> list[Plate]:
    """The three real L1000 level-3 plates. Raises `sources.DataUnavailable`."""
    wells = read_l1000_wells(PLATES)
    plates = []
    for _, rows in wells.info.groupby("batch", sort=True):
        control = rows[rows["is_control"]]
        treated = rows[rows["kind"].isin(COMPOUND_KINDS)]
        molecule, smiles, dose = (treated[name].to_numpy() for name in ("name", "smiles", "dose"))
        plates.append(Plate(wells.profile[control.index], wells.profile[treated.index], molecule, smiles, dose))
    return plates


def simulated_plates(seed: int, n_draws: int, like: Sequence[Plate], doses: Doses = GE_DOSES) -> list[list[Plate]]:
    """Simulated plates of one cell line, in draws of as many plates, molecules and wells as the real ones.

    One screen of 20 drug plates of 360 molecules with 6 replicates is simulated; each draw takes other plates of it.

    Args:
        like: real plates, of which only the sizes are used.
    """
    n_replicates = 6
    simulated = simulate_screen(
        seed,
        n_drugs=7200,
        cell_lines=("A375",),
        n_batches=20,
        n_replicates=n_replicates,
        drug=_no_features,
        doses=doses,
    )
    screen, control = simulated.screen, simulated.control.numpy()
    raw = screen.profile.numpy() + control.mean(1)[screen.profile_batch.numpy()]
    rng = np.random.default_rng(seed)
    draws = []
    for _ in range(n_draws):
        draw = []
        for batch_id, plate in zip(rng.permutation(screen.n_batches), like):
            molecules = np.unique(plate.molecule)
            drugs = rng.permutation(np.flatnonzero(simulated.plate.numpy() == batch_id))[: len(molecules)]
            wells = -(-len(plate.molecule) // len(molecules))
            rows = (drugs[:, None] * n_replicates + np.arange(wells)).flatten()
            drug = np.repeat(drugs, wells)
            draw.append(Plate(control[batch_id], raw[rows], drug, screen.smiles[drug], np.full(len(rows), 10.0)))
        draws.append(draw)
    return draws


def _no_features(smiles: Sequence[str]) -> np.ndarray:
    return np.zeros((len(smiles), 1), dtype=np.float32)


def real_runs() -> tuple[list[Plate], list[Plate]]:
    """Cell painting: the two runs of the dark chemical matter, and the dates of the natural products with >= 10 molecules.

    These profiles are z-scores against DMSO already; they come with no control wells. Raises `sources.DataUnavailable`.
    """
    runs = _by_batch(read_comas(COMAS[:1], drug=_no_features))
    dates = _by_batch(read_comas(COMAS[1:], drug=_no_features))
    return runs, [date for date in dates if len(np.unique(date.molecule)) >= 10]


def simulated_runs(
    seed: int, n_draws: int, like: tuple[Sequence[Plate], Sequence[Plate]], doses: Doses = CP_DOSES
) -> list[tuple[list[Plate], list[Plate]]]:
    """Simulated cell painting in draws like `real_runs`: one drug plate in two runs, and drug plates of other molecules.

    Each draw is a screen of its own: 16 drug plates of about 550 molecules, 579 features, every molecule once in two batches.
    """
    runs, dates = like
    draws = []
    for draw in range(n_draws):
        simulated = simulate_screen(
            seed + draw, n_drugs=16 * 549, cell_lines=("U2OS",), n_batches=32, n_features=runs[0].treated.shape[1],
            n_replicates=2, replicate_batches=2, drug=_no_features, doses=doses,
        )  # fmt: skip
        plates = _by_batch(simulated.screen)
        rng = np.random.default_rng(seed + draw)
        smaller = []
        for plate, date in zip(plates[2::2], dates):
            rows = rng.permutation(len(plate.molecule))[: len(np.unique(date.molecule))]
            smaller.append(replace(plate, **{name: getattr(plate, name)[rows] for name in _BY_WELL}))
        draws.append((plates[:2], smaller))
    return draws


_BY_WELL = ("treated", "molecule", "smiles", "dose")


def _by_batch(screen: PairedScreen) -> list[Plate]:
    """A plate without control wells for each experimental batch."""
    drug, profile = screen.drug_id[screen.condition].numpy(), screen.profile.numpy()
    plates = []
    for code in range(screen.n_batches):
        rows = np.flatnonzero(screen.profile_batch.numpy() == code)
        none = np.zeros((0, profile.shape[1]), dtype=np.float32)
        plates.append(Plate(none, profile[rows], drug[rows], screen.smiles[drug[rows]], np.full(len(rows), 10.0)))
    return plates


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


# ------------------------------------------------------------------ the record

SEEDS = (9001, 9002)  # of the simulations compared with the real plates
DRAWS = 6  # of each
PERCENTILES = np.arange(0, 101, 2)
CHOSEN = {
    "n_mechanisms": "not visible on real plates: chosen so that learnability lies where the paper's retrieval does",
    "structure": "not visible on real plates: chosen so that learnability lies where the paper's retrieval does",
    "context": "one cell line on the real plates: a guess, 0 for the one cell line of cell painting",
}
_POOLED = {"same_plate_raw": 0.05, "same_plate_subtracted": 0.05, "structure_auc": 0.1, "structure_neighbour": 0.1}


def agreement(record: Mapping) -> pd.DataFrame:
    """Gene expression, real beside simulated: a row for each diagnostic.

    Columns: real (mean of three plates), real_low, real_high (their range), simulated, simulated_low, simulated_high (over
    draws), low, high: what counts as agreement, agrees. Agreement: the simulated mean within 25 % of the range of the
    real plates; for the diagnostics that pool the plates within 0.05 (same-plate rates) or 0.1 (structure).
    """
    plates, draws = pd.DataFrame(record["real_plates"]), pd.DataFrame(record["simulated"])
    table = pd.DataFrame({"real": record["real"]}).assign(real_low=plates.min(), real_high=plates.max())
    table = table.assign(simulated=draws.mean(), simulated_low=draws.min(), simulated_high=draws.max())
    margin = table.index.map(_POOLED)
    table["low"] = (0.75 * table.real_low).fillna(table.real - margin.to_series(index=table.index))
    table["high"] = (1.25 * table.real_high).fillna(table.real + margin.to_series(index=table.index))
    return table.assign(agrees=table.simulated.between(table.low, table.high))


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", default="data", help="folder; results/calibration.json is written below it")
    options = parser.parse_args()
    results = {"gene_expression": gene_expression(), "cell_painting": cell_painting()}
    parameters = {"seeds": SEEDS, "draws": DRAWS, "percentiles": PERCENTILES, "chosen_not_calibrated": CHOSEN}
    data = {name: registry()[name].sha256 for name in (*PLATES, *COMAS, "broad_id_smiles.tsv.gz")}
    save_results("calibration", parameters, results, output_dir=options.output, data=data)


if __name__ == "__main__":
    main()
