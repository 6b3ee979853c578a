"""Calibration of the simulated screens: the same diagnostics on real plates and on simulated ones of the same sizes.

``python -m infocore_mini.experiments.calibration --output data`` measures both and writes ``results/calibration.json``.
Nothing here trains or compares a contrastive method: the doses were fixed before any method was compared on them.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import roc_auc_score

from infocore_mini.evaluate.retrieval import screen_retrieval
from infocore_mini.molecules import substructure_counts
from infocore_mini.provenance import save_results
from infocore_mini.readers import read_l1000_wells
from infocore_mini.readers.cell_painting import COMAS, read_comas
from infocore_mini.readers.l1000 import COMPOUND_KINDS, PLATES
from infocore_mini.screens import PairedScreen
from infocore_mini.simulate_screen import CP_DOSES, GE_DOSES, Doses, SimulatedScreen, simulate_screen
from infocore_mini.sources import registry

CP_CLIP = 10.0  # z-scores, so that single broken wells do not rule the diagnostics
CLIP = 1.5  # log2 units, as training clips them
ACTIVE_DOSE = 1.0  # micromolar; effect sizes are read off the wells at this dose or above


@dataclass(frozen=True, eq=False)
class Plate:
    """Wells of one experimental batch, real or simulated, without controls subtracted.

    Attributes:
        control: (n_controls, n_g) vehicle wells.
        treated: (n, n_g) wells with a molecule.
        molecule: (n,) label of the molecule.
        smiles: (n,) its SMILES, None where unknown.
        dose: (n,) micromolar.
    """

    control: np.ndarray
    treated: np.ndarray
    molecule: np.ndarray
    smiles: np.ndarray
    dose: np.ndarray


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


# ------------------------------------------------------------------ diagnostics


def diagnose(plates: Sequence[Plate]) -> dict[str, float]:
    """Everything that the doses are calibrated on, in log2 units where it has a unit.

    Returns:
        same_plate_raw, same_plate_subtracted: share of treated wells whose nearest neighbour by cosine, among wells with
        other molecules, is on their plate, before and after subtracting each plate's control mean.
        control_sd, treated_sd: median over features of the robust standard deviation, mean over plates.
        control_off, treated_off: share of values further than 1.5 from the control median.
        control_rms, treated_rms_05, _50, _95: rms of wells after subtraction and clipping; quantiles over wells.
        plate_mean_rms: rms of a plate's mean treated profile after subtraction and clipping.
        replicate_same, replicate_other: mean correlation of wells with the same and with different molecules on a plate.
        control_pc1, treated_pc1, treated_rank: variance share of the first principal component, and participation ratio.
        structure_auc, structure_neighbour: see `structure_dependence`.
    """
    rows = [_within(plate) for plate in plates]
    within = {name: float(np.nanmean([row[name] for row in rows])) for name in rows[0]}
    subtracted = [plate.treated - plate.control.mean(0) for plate in plates]
    molecule = [plate.molecule.astype(str) for plate in plates]
    return {
        "same_plate_raw": same_plate_rate([plate.treated for plate in plates], molecule),
        "same_plate_subtracted": same_plate_rate(subtracted, molecule),
        **within,
        **structure_dependence(plates),
    }


def diagnose_runs(runs: Sequence[Plate], dates: Sequence[Plate]) -> dict[str, float]:
    """What the doses of cell painting are calibrated on, in z-scores where it has a unit; values clipped to +-10.

    Args:
        runs: the same molecules in two experimental batches.
        dates: batches with other molecules, of which only the structures are used.

    Returns:
        same_run: share of wells whose nearest neighbour by cosine, among other molecules, is in their run; 0.5 = chance.
        rms_05, _25, _50, _75, _95: quantiles over wells of the rms over features.
        replicate_same_10, _50, _90, replicate_other_10, _50, _90: quantiles of the correlation between the runs, of the same
        and of different molecules; within_other_50: of different molecules in one run.
        run_difference: rms over features of the difference between the mean profiles of the runs.
        rank: participation ratio of the principal components, mean over runs.
        structure_auc, structure_neighbour: of the dates, see `structure_dependence`.
    """
    first, second = (np.clip(run.treated[np.argsort(run.molecule)], -CP_CLIP, CP_CLIP) for run in runs)
    n = len(first)
    rms = np.sqrt(np.square(np.concatenate([first, second])).mean(1))
    inside = np.corrcoef(first)
    same, other = run_correlations(runs)
    return {
        "same_run": same_plate_rate([first, second], [np.arange(n), np.arange(n)]),
        **{f"rms_{q:02d}": float(np.quantile(rms, q / 100)) for q in (5, 25, 50, 75, 95)},
        **{f"replicate_same_{q}": float(np.quantile(same, q / 100)) for q in (10, 50, 90)},
        **{f"replicate_other_{q}": float(np.quantile(other, q / 100)) for q in (10, 50, 90)},
        "within_other_50": float(np.median(inside[~np.eye(n, dtype=bool)])),
        "run_difference": float(np.sqrt(np.square(first.mean(0) - second.mean(0)).mean())),
        "rank": float(np.mean([1 / np.square(_spectrum(x)).sum() for x in (first, second)])),
        **structure_dependence(dates),
    }


def run_correlations(runs: Sequence[Plate]) -> tuple[np.ndarray, np.ndarray]:
    """Correlations between two runs of the same molecules, clipped: the same molecule (n,), different ones."""
    first, second = (np.clip(run.treated[np.argsort(run.molecule)], -CP_CLIP, CP_CLIP) for run in runs)
    n = len(first)
    between = np.corrcoef(first, second)[:n, n:]
    return between.diagonal(), between[~np.eye(n, dtype=bool)]


def same_plate_rate(profiles: Sequence[np.ndarray], molecule: Sequence[np.ndarray]) -> float:
    """Share of wells whose nearest neighbour by cosine, among wells with another molecule, lies on their own plate."""
    x = np.concatenate(profiles)
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    name = np.concatenate(molecule)
    plate = np.repeat(np.arange(len(profiles)), [len(p) for p in profiles])
    similarity = np.where(name[:, None] == name, -np.inf, x @ x.T)
    return float((plate[similarity.argmax(1)] == plate).mean())


def replicate_correlations(plate: Plate) -> tuple[np.ndarray, np.ndarray]:
    """Correlations of clipped, control-subtracted profiles: wells with the same molecule, wells with different ones.

    Real plates hold no exact replicates, so that neighbouring doses of 1 micromolar or more stand in for them.
    """
    dose = np.unique(plate.dose[plate.dose >= ACTIVE_DOSE])
    step = np.searchsorted(dose, plate.dose)
    chosen = plate.dose >= ACTIVE_DOSE
    correlation = np.corrcoef(_clipped(plate, plate.treated[chosen]))
    step, name = step[chosen], plate.molecule[chosen]
    gap = np.abs(step[:, None] - step) <= 1
    upper = np.triu(gap, k=1)
    same = name[:, None] == name
    return correlation[upper & same], correlation[upper & ~same]


def structure_dependence(plates: Sequence[Plate]) -> dict[str, float]:
    """How much the molecules of a plate resemble one another, by Tanimoto similarity of Morgan fingerprints.

    Returns:
        structure_auc: probability that a pair on one plate is more similar than a pair of which one molecule is on
            another, mean over plates; 0.5 = plates drawn at random.
        structure_neighbour: (rate - chance) / (1 - chance) of the nearest neighbour being on the same plate, mean over
            plates; 0 = plates drawn at random.
    """
    smiles = [np.unique(plate.smiles[[isinstance(text, str) for text in plate.smiles]]) for plate in plates]
    bits = (substructure_counts(np.concatenate(smiles).tolist(), 2048) > 0).astype(np.float32)
    plate_of = np.repeat(np.arange(len(plates)), [len(s) for s in smiles])
    common, size = bits @ bits.T, bits.sum(1)
    similarity = common / (size[:, None] + size - common)
    text = np.concatenate(smiles)
    different = text[:, None] != text  # a molecule on two plates says nothing
    similarity[~different] = -1
    nearest = plate_of[similarity.argmax(1)]
    aucs, lifts = [], []
    for code in range(len(plates)):
        own = plate_of == code
        inside = similarity[np.ix_(own, own)][np.triu_indices(own.sum(), 1)]
        across = similarity[np.ix_(own, ~own)][different[np.ix_(own, ~own)]]
        aucs.append(roc_auc_score(np.repeat([1, 0], [len(inside), len(across)]), np.concatenate([inside, across])))
        chance = (own.sum() - 1) / (len(own) - 1)
        lifts.append(((nearest[own] == code).mean() - chance) / (1 - chance))
    return {"structure_auc": float(np.mean(aucs)), "structure_neighbour": float(np.mean(lifts))}


def well_rms(plate: Plate) -> tuple[np.ndarray, np.ndarray]:
    """rms over features of control wells and of treated wells at an active dose, control-subtracted and clipped."""
    treated = plate.treated[plate.dose >= ACTIVE_DOSE]
    return tuple(np.sqrt(np.square(_clipped(plate, x)).mean(1)) for x in (plate.control, treated))


def _clipped(plate: Plate, profile: np.ndarray) -> np.ndarray:
    return np.clip(profile - plate.control.mean(0), -CLIP, CLIP)


def _within(plate: Plate) -> dict[str, float]:
    control_rms, treated_rms = well_rms(plate)
    same, other = replicate_correlations(plate)
    control, treated = (x - np.median(plate.control, 0) for x in (plate.control, plate.treated))
    clipped = _clipped(plate, plate.treated)
    return {
        "control_sd": float(np.median(_robust_sd(control))),
        "treated_sd": float(np.median(_robust_sd(treated))),
        "control_off": float((np.abs(control) > CLIP).mean()),
        "treated_off": float((np.abs(treated) > CLIP).mean()),
        "control_rms": float(np.median(control_rms)),
        **{f"treated_rms_{q:02d}": float(np.quantile(treated_rms, q / 100)) for q in (5, 50, 95)},
        "plate_mean_rms": float(np.sqrt(np.square(clipped.mean(0)).mean())),
        "replicate_same": float(same.mean()) if len(same) > 20 else np.nan,
        "replicate_other": float(other.mean()),
        "control_pc1": float(_spectrum(_clipped(plate, plate.control))[0]),
        "treated_pc1": float(_spectrum(clipped)[0]),
        "treated_rank": float(1 / np.square(_spectrum(clipped)).sum()),
    }


def _robust_sd(x: np.ndarray) -> np.ndarray:
    return 1.4826 * np.median(np.abs(x - np.median(x, 0)), 0)


def _spectrum(x: np.ndarray) -> np.ndarray:
    """Variance share of each principal component."""
    power = np.linalg.svd(x - x.mean(0), compute_uv=False) ** 2
    return power / power.sum()


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
        "real_plates": [_within(plate) for plate in real],
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
