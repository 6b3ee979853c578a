"""When does which method win? Simulated screens with five dials, one turned at a time, on seen and on new batches.

All data here are simulated: the paper's simulation with molecules of their own, batches that lean to a series of
molecules, and batches that training has not. One stored study an axis; the plan stands in ``plan.md``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import torch
from joblib import delayed
from numpy.typing import NDArray
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import roc_auc_score

from infocore_mini.config import Config, settings_of
from infocore_mini.evaluate.mixing import same_label_neighbours
from infocore_mini.experiments.new_plates.scores import retrieval, without_batches
from infocore_mini.experiments.records import Made, Record, in_parallel, kept
from infocore_mini.experiments.results import save_results
from infocore_mini.train import pretrain

DIM, N_COLUMNS, WIDTH, NOISE = 10, 20, 60, 0.5
N_TESTED = 400  # molecules of each test
N_TRAINED = 1000  # molecules of training, where their number in a batch is turned
DRAWS = tuple(range(8))
PARTS = ("train", "seen", "new")


@dataclass(frozen=True)
class Dials:
    """What a simulated screen is like, and the temperature of training.

    Attributes:
        per_batch: molecules of training in an experimental batch, and of a new batch.
        n_batches: experimental batches of training.
        strength: standard deviation of the batch vector that the readout mixes in; the molecule's is 1.
        confounding: share of the variance of a molecule's vector that the series of its batch explains.
        temperature: tau.
    """

    per_batch: int = 40
    n_batches: int = 25
    strength: float = 0.5
    confounding: float = 0.1
    temperature: float = 0.1


CENTRE = Dials()
AXES: Mapping[str, tuple[Dials, ...]] = MappingProxyType(
    {
        "per_batch": tuple(replace(CENTRE, per_batch=n, n_batches=N_TRAINED // n) for n in (4, 10, 40, 100, 200)),
        "n_batches": tuple(replace(CENTRE, n_batches=n) for n in (5, 10, 25, 50, 100)),
        "strength": tuple(replace(CENTRE, strength=value) for value in (0.0, 0.25, 0.5, 1.0, 2.0)),
        "confounding": tuple(replace(CENTRE, confounding=value) for value in (0.0, 0.02, 0.1, 0.2, 0.5)),
        "temperature": tuple(replace(CENTRE, temperature=value) for value in (0.05, 0.1, 0.2, 0.5, 1.0)),
    }
)
CENTRED = "centring + CLIP"
METHODS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "clip": {"method": "clip"},
        "ccl": {"method": "ccl", "sampling": "one_batch"},
        "ccl_k": {"method": "ccl_k", "kernel_width": 0.5},
        "infocore": {"method": "infocore", "alpha": 0.33},
        CENTRED: {"method": "clip"},
    }
)
SETTINGS = MappingProxyType(
    dict(
        embedding_dim=16,
        hidden_drug=(64,),
        hidden_screen=(64,),
        hidden_classifier=(64,),
        epochs=20,
        steps_per_epoch=16,
        minibatch_size=64,
        learning_rate=2e-3,
        classifier_learning_rate=2e-3,
    )
)


class Rows(NamedTuple):
    """Molecules, a row each: views (n, 20) and experimental batch (n,); batches of "new" have codes of their own."""

    drug: NDArray[np.float32]
    screen: NDArray[np.float32]
    batch_id: NDArray[np.int64]


def draw(dials: Dials, seed: int) -> dict[str, Rows]:
    """Simulated rows of `PARTS`: training, new molecules of its batches, new molecules of new batches.

    A molecule has a vector, partly that of its batch's series; a readout mixes it with the vector of its batch and
    noise by a random two-layer network, a structure mixes it with noise by another one.
    """
    rng = np.random.default_rng(seed)
    new = np.repeat(np.arange(-(-N_TESTED // dials.per_batch)), dials.per_batch)[:N_TESTED] + dials.n_batches
    trained = np.repeat(np.arange(dials.n_batches), dials.per_batch)
    batch_id = np.concatenate([trained, np.arange(N_TESTED) % dials.n_batches, new])
    n_all = int(batch_id.max()) + 1
    of_batch, series = rng.normal(size=(2, n_all, DIM))
    share = dials.confounding
    molecule = np.sqrt(1 - share) * rng.normal(size=(len(batch_id), DIM)) + np.sqrt(share) * series[batch_id]
    noise = NOISE * rng.normal(size=(2, len(batch_id), DIM))
    drug = _mixed(np.concatenate([molecule, noise[0]], 1), rng)
    screen = _mixed(np.concatenate([molecule, dials.strength * of_batch[batch_id], noise[1]], 1), rng)
    ends = np.cumsum([0, len(trained), N_TESTED, N_TESTED])
    return {name: Rows(*(x[a:b] for x in (drug, screen, batch_id))) for name, a, b in zip(PARTS, ends, ends[1:])}


def _mixed(source: NDArray, rng: np.random.Generator) -> NDArray[np.float32]:
    first = rng.normal(size=(source.shape[1], WIDTH)) / np.sqrt(source.shape[1])
    second = rng.normal(size=(WIDTH, N_COLUMNS)) / np.sqrt(WIDTH)
    return (np.maximum(source @ first, 0) @ second).astype(np.float32)


def centred(parts: Mapping[str, Rows]) -> dict[str, Rows]:
    """Every batch minus the mean readout of all its rows, tested ones included, as `correct.PlateCentring` does it."""
    batch_id = np.concatenate([part.batch_id for part in parts.values()])
    screen = np.concatenate([part.screen for part in parts.values()])
    total = np.zeros((batch_id.max() + 1, screen.shape[1]), dtype=np.float32)
    np.add.at(total, batch_id, screen)
    mean = total / np.bincount(batch_id)[:, None].clip(1)
    return {name: part._replace(screen=part.screen - mean[part.batch_id]) for name, part in parts.items()}


def config(dials: Dials, method: str, seed: int) -> Config:
    """What a method trains with."""
    return Config(**SETTINGS, **METHODS[method], temperature=dials.temperature, seed=seed)


def run(dials: Dials, method: str, seed: int, folder: Path | None = None) -> Record:
    """Train a method on one draw and score it on both tests.

    Returns:
        A record whose result is {"seen", "new": `scores.retrieval` without the scores of single batches}.
    """
    of_run = config(dials, method, seed)

    def make() -> Made:
        torch.set_num_threads(1)
        parts = draw(dials, seed)
        parts = centred(parts) if method == CENTRED else parts
        model = pretrain(*parts["train"], of_run, standardise=True)
        return {name: _score(model, parts[name]) for name in ("seen", "new")}, {}

    settings = {"dials": asdict(dials), "arm": method, "config": settings_of(of_run)}
    return kept(folder, "new_plates_phases", settings, make)


def _score(model, rows: Rows) -> dict[str, Any]:
    z_screen, z_drug = model.embed_screen(rows.screen).numpy(), model.embed_drug(rows.drug).numpy()
    return without_batches(retrieval(z_screen, z_drug, np.arange(len(z_drug)), rows.batch_id))


def measured(dials: Dials, seed: int, folder: Path | None = None) -> Record:
    """What an experimenter would see of a draw without training: where it lies beside real screens.

    Returns:
        A record whose result is {"own batch", "permuted": nearest neighbours of the readouts in the own batch, as in
        `audit`; "auc": how well structure tells the batch of new molecules, as in ``structure_arrow``}.
    """

    def make() -> Made:
        parts = draw(dials, seed)
        train, seen = parts["train"], parts["seen"]
        found = same_label_neighbours(train.screen, train.batch_id, n_permutations=19)
        posterior = LinearDiscriminantAnalysis().fit(train.drug, train.batch_id).predict_proba(seen.drug)
        auc = [roc_auc_score(seen.batch_id == code, posterior[:, code]) for code in range(dials.n_batches)]
        return {"own batch": found.rate, "permuted": found.chance, "auc": float(np.mean(auc))}, {}

    return kept(folder, "new_plates_phases", {"dials": asdict(dials), "measured": seed}, make)


def tasks(axis: str) -> Iterator[tuple[Dials, int]]:
    """(dials, draw) of an axis."""
    yield from ((dials, seed) for dials in AXES[axis] for seed in DRAWS)


def store(axis: str, output: Path, runs: Path, n_jobs: int = 2) -> Path:
    """Run what is missing in the folder ``runs`` and write ``results/new_plates_phases_<axis>.json``."""
    parallel = in_parallel(n_jobs, verbose=5)
    todo = [(dials, method, seed) for dials, seed in tasks(axis) for method in METHODS]
    records = parallel(delayed(run)(*task, runs) for task in todo)
    looked_at = parallel(delayed(measured)(dials, seed, runs) for dials, seed in tasks(axis))
    rows = [
        {**asdict(dials), "method": method, "draw": seed, **record.result}
        for (dials, method, seed), record in zip(todo, records, strict=True)
    ]
    seen = [
        {**asdict(dials), "draw": seed, **record.result}
        for (dials, seed), record in zip(tasks(axis), looked_at, strict=True)
    ]
    parameters = {"axis": axis, "simulated": True, "draws": DRAWS, "settings": dict(SETTINGS), "centre": asdict(CENTRE)}
    parameters |= {"methods": {name: dict(own) for name, own in METHODS.items()}}
    made = [record.provenance for record in [*records, *looked_at]]
    results = {"rows": rows, "measured": seen}
    return save_results(f"new_plates_phases_{axis}", parameters, results, output_dir=output, runs=made)


STORES = MappingProxyType({f"new_plates_phases_{axis}": partial(store, axis) for axis in AXES})
