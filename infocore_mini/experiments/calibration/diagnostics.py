"""Diagnostics of screens, the same functions for real plates and simulated ones: what the doses are calibrated on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import roc_auc_score

from infocore_mini.evaluate.mixing import same_label_neighbours
from infocore_mini.featurize import tanimoto
from infocore_mini.simulate.molecules import substructure_counts

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
    rows = [within_plate(plate) for plate in plates]
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
    plate = np.repeat(np.arange(len(profiles)), [len(p) for p in profiles])
    names = np.concatenate(molecule)
    return same_label_neighbours(np.concatenate(profiles), plate, other_than=names, n_permutations=1).rate


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
    similarity = tanimoto(bits, bits)
    text = np.concatenate(smiles)
    different = text[:, None] != text  # a molecule on two plates says nothing
    similarity[~different] = -1
    nearest = plate_of[similarity.argmax(1)]
    aucs, lifts = [], []
    for code in range(len(plates)):
        here = plate_of == code
        inside = similarity[np.ix_(here, here)][np.triu_indices(here.sum(), 1)]
        across = similarity[np.ix_(here, ~here)][different[np.ix_(here, ~here)]]
        aucs.append(roc_auc_score(np.repeat([1, 0], [len(inside), len(across)]), np.concatenate([inside, across])))
        chance = (here.sum() - 1) / (len(here) - 1)
        lifts.append(((nearest[here] == code).mean() - chance) / (1 - chance))
    return {"structure_auc": float(np.mean(aucs)), "structure_neighbour": float(np.mean(lifts))}


def well_rms(plate: Plate) -> tuple[np.ndarray, np.ndarray]:
    """rms over features of control wells and of treated wells at an active dose, control-subtracted and clipped."""
    treated = plate.treated[plate.dose >= ACTIVE_DOSE]
    return tuple(np.sqrt(np.square(_clipped(plate, x)).mean(1)) for x in (plate.control, treated))


def _clipped(plate: Plate, profile: np.ndarray) -> np.ndarray:
    return np.clip(profile - plate.control.mean(0), -CLIP, CLIP)


def within_plate(plate: Plate) -> dict[str, float]:
    """The diagnostics of `diagnose` that one plate has."""
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
