"""How often the audit is wrong, and how often it finds what is there: simulated designs, as planned in ``plan.md``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from joblib import delayed
from numpy.typing import NDArray
from scipy.stats import binomtest

from infocore_mini import PairedScreen, audit
from infocore_mini.confounding.verdict import ALARMS, LEVEL, POWER
from infocore_mini.correct import ComBat
from infocore_mini.experiments.records import Record, in_parallel, kept
from infocore_mini.experiments.results import save_results

N, FEATURES, BATCHES = 500, 16, 8
FIRST_SEED = 1000
SHIFT = 0.5
DESIGNS = ("balanced", "unbalanced", "nested")
DRAWS = {"nothing": 1000, "shift": 200, "ComBat": 200, "coincides": 200}
AT_A_TIME = 50  # draws that are kept together
GOALS = [("balanced", "shift"), ("balanced", "ComBat"), ("balanced", "coincides")]  # right in nine of ten
RIGHT = {"nothing": "clean", "shift": "confounded", "ComBat": "over-corrected", "coincides": "cannot tell"}


class Draw(NamedTuple):
    """A simulated embedding, (n, d), its nuisance, (n,), and what the audit is told of it besides."""

    embedding: NDArray[np.float64]
    nuisance: NDArray[np.int64]
    told: dict[str, NDArray[np.int64]]


def cases() -> list[tuple[str, str]]:
    """(design, case) of all that the plan names."""
    everywhere = [(design, case) for case in ("nothing", "shift") for design in DESIGNS]
    return [*everywhere, ("balanced", "ComBat"), ("balanced", "coincides")]


def draw(design: str, case: str, seed: int) -> Draw:
    """One draw of a case."""
    rng = np.random.default_rng(seed)
    if case in ("ComBat", "coincides"):
        return _of_batches(case, rng)
    embedding, nuisance, told = {"balanced": _balanced, "unbalanced": _unbalanced, "nested": _nested}[design](rng)
    if case == "shift":
        embedding[nuisance == rng.choice(np.unique(nuisance))] += SHIFT
    return Draw(embedding, nuisance, told)


def _balanced(rng: np.random.Generator) -> Draw:
    batch, label = np.arange(N) % BATCHES, np.arange(N) // BATCHES % 5
    return Draw(_noise(rng) + _effects(rng, 5)[label], batch, {"label": label})


def _unbalanced(rng: np.random.Generator) -> Draw:
    size = rng.integers(1, 5, N)
    molecule = np.repeat(np.arange(N), size)[:N]
    share = 1.5 ** -np.arange(BATCHES)
    batch = rng.choice(BATCHES, N, p=share / share.sum())
    proportions = rng.dirichlet(np.ones(5), BATCHES).cumsum(1)
    label = (rng.random(N)[:, None] > proportions[batch]).sum(1)
    effect = _effects(rng, 5)[label] + 0.5 * rng.normal(size=(N, FEATURES))
    return Draw(_noise(rng) + effect[molecule], batch[molecule], {"label": label[molecule], "molecule": molecule})


def _nested(rng: np.random.Generator) -> Draw:
    molecule, plate = np.arange(N) // 4, np.arange(N) % 4
    library = molecule // 25
    label = 2 * library + molecule % 2
    effect = _effects(rng, 10)[label] + _effects(rng, 5)[library] + 0.5 * rng.normal(size=(N, FEATURES))[molecule]
    told = {"label": label, "library": library, "molecule": molecule}
    return Draw(_noise(rng) + effect, 4 * library + plate, told)


def _of_batches(case: str, rng: np.random.Generator) -> Draw:
    batch = np.arange(N) % BATCHES
    readout = _noise(rng) + _effects(rng, BATCHES)[batch]
    if case == "coincides":
        return Draw(readout, batch, {"label": batch})
    wells = [f"well {i:03d}" for i in range(N)]
    screen = PairedScreen.from_profiles(smiles=wells, drug=_no_features, profile=readout, batch=batch)
    corrected = ComBat().fit_transform(screen)
    return Draw(corrected.profile.numpy(), corrected.profile_batch.numpy(), {})


def _no_features(smiles: Sequence[str]) -> NDArray[np.float32]:
    return np.zeros((len(smiles), 1), dtype=np.float32)


def _noise(rng: np.random.Generator) -> NDArray[np.float64]:
    return rng.normal(size=(N, FEATURES))


def _effects(rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    return rng.normal(size=(n, FEATURES))


def run(design: str, case: str, first: int, n: int, folder: Path | None = None) -> Record:
    """The verdicts of n draws, and which checks raised an alarm; kept in ``folder``."""

    def make() -> tuple[dict[str, Any], dict[str, str]]:
        torch.set_num_threads(1)
        verdicts, alarms, probes = [], [], []
        for seed in range(first, first + n):
            one = draw(design, case, seed)
            found = audit(one.embedding, {"nuisance": one.nuisance}, **one.told, seed=seed)
            verdicts.append(found.verdict)
            alarms.append(found.table.loc[found.table["verdict"].isin(ALARMS), "check"].tolist())
            linear = found.table[found.table["check"] == "linear probe"].iloc[0]
            probes.append((linear["observed"], linear["expected"]))
        return {"verdict": verdicts, "alarms": alarms, "linear probe": probes}, {}

    return kept(folder, "audit_calibration", {"design": design, "case": case, "first": first, "n": n}, make)


def summary(results: dict[str, Any]) -> pd.DataFrame:
    """A row a case: shares with their exact 99 % intervals.

    Args:
        results: (design, case), joined by " / ", -> what `run` keeps, of all draws.
    """
    rows = []
    for name, found in results.items():
        design, case = name.split(" / ")
        verdicts = pd.Series(found["verdict"])
        counted = verdicts.isin(ALARMS) if case == "nothing" else verdicts == RIGHT[case]
        low, high = binomtest(int(counted.sum()), len(verdicts)).proportion_ci(0.99)
        shares = {verdict: float((verdicts == verdict).mean()) for verdict in RIGHT.values()}
        if case == "nothing":
            holds = low <= LEVEL <= high
        elif (design, case) in GOALS:
            holds = counted.mean() >= 0.9
        else:
            holds = shares["clean"] <= 1 - POWER  # what "clean" claims
        rows.append(
            {"design": design, "case": case, "draws": len(verdicts), "share": counted.mean(), "low": low, "high": high}
            | {"holds": bool(holds)}
            | shares
        )
    return pd.DataFrame(rows)


def store(output: Path, runs: Path, n_jobs: int = 1) -> Path:
    """Run what is missing in the folder ``runs`` and write ``results/audit_calibration.json``."""
    tasks = [
        (design, case, first, AT_A_TIME)
        for design, case in cases()
        for first in range(FIRST_SEED, FIRST_SEED + DRAWS[case], AT_A_TIME)
    ]
    records = in_parallel(n_jobs, verbose=10)(delayed(run)(*task, runs) for task in tasks)
    results: dict[str, dict[str, list]] = {}
    for (design, case, *_), record in zip(tasks, records, strict=True):
        found = results.setdefault(f"{design} / {case}", {name: [] for name in record.result})
        for name, values in record.result.items():
            found[name] += values
    parameters = {"n": N, "features": FEATURES, "batches": BATCHES, "shift": SHIFT, "draws": DRAWS, "level": LEVEL}
    table = summary(results).to_dict("records")
    provenances = [record.provenance for record in records]
    compact = {name: _counts(found) for name, found in results.items()}
    return save_results(
        "audit_calibration", parameters, {"table": table, "counts": compact}, output_dir=output, runs=provenances
    )


def _counts(found: dict[str, list]) -> dict[str, Any]:
    """Alarms by check, and the linear probe beside its permutation mean."""
    alarms = pd.Series([check for checks in found["alarms"] for check in checks], dtype=object).value_counts().to_dict()
    probe = pd.DataFrame(found["linear probe"], columns=["observed", "expected"], dtype=float).mean()
    return {"alarms": alarms, "linear probe": probe.to_dict()}
