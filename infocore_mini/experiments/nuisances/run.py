"""Simulated drugs and readouts with two nuisances, of which training is told none, one or both: see ``plan.md``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from joblib import delayed
from numpy.typing import NDArray

from infocore_mini import CLIP, InfoCORE
from infocore_mini.evaluate.mixing import linear_probe
from infocore_mini.experiments.records import Made, Record, in_parallel, kept
from infocore_mini.experiments.results import save_results
from infocore_mini.nuisance import binned

N, EFFECTS, PLATES, DAYS, DIM = 1250, 5, 10, 6, 10
DRAWS = range(8)
PERMUTATIONS = 20  # of a nuisance's labels, for the null of its probe
PROBED_BINS = 5  # of the cell count: what the probe has to tell
SECOND = ("day", "cell count")  # the designs, by their second nuisance; the first is the plate
SHARED = MappingProxyType(dict(embedding_dim=2, temperature=1.0, learning_rate=3e-3, epochs=80))
STRONGEST = MappingProxyType(dict(alpha=0.0, gradient_scale=1.0))
ARMS = MappingProxyType(  # of InfoCORE the nuisances that it is told
    {"CLIP": (), "InfoCORE, plate": ("plate",), "InfoCORE, both": ("plate", "second"), "InfoCORE, joint": ("joint",)}
)


class Drawn(NamedTuple):
    """Simulated rows: drugs and readouts (n, DIM), and (n,) what made them; the second is a code or a number."""

    drug: NDArray[np.float64]
    screen: NDArray[np.float64]
    effect: NDArray[np.int64]
    plate: NDArray[np.int64]
    second: NDArray[Any]


def draw(second: str, seed: int) -> Drawn:
    """Drug and readout, each a random network of an effect, a plate, a second nuisance and noise, all independent."""
    rng = np.random.default_rng(seed)
    codes = [rng.integers(k, size=N) for k in (EFFECTS, PLATES)]
    if second == "day":
        of_second = rng.integers(DAYS, size=N)
        source = rng.normal(size=(DAYS, DIM))[of_second]
    else:
        deviation = rng.normal(size=N)  # of the logarithm, from its mean
        of_second = np.round(300 * np.exp(0.5 * deviation))
        source = np.column_stack([deviation, (deviation**2 - 1) / np.sqrt(2)]) @ rng.normal(size=(2, DIM))
    sources = [rng.normal(size=(code.max() + 1, DIM))[code] for code in codes]
    inputs = np.hstack([*sources, source, 0.5 * rng.normal(size=(N, DIM))])

    def network() -> NDArray[np.float64]:
        first, last = rng.normal(size=(4 * DIM, 30)) / 6, rng.normal(size=(30, DIM))
        return np.maximum(inputs @ first, 0) @ last

    return Drawn(network(), network(), codes[0], codes[1], of_second)


def scores(second: str, seed: int, arm: str, settings: Mapping[str, Any] = MappingProxyType({})) -> dict[str, float]:
    """Train on half of the rows; linear probes of the readouts' embeddings on the other half.

    Args:
        second: the design, by its second nuisance.
        seed: of the draw and of the training.
        arm: of ``ARMS``.
        settings: that differ from those of the plan.

    Returns:
        Accuracy of "effect", "plate" and "second", and of the nuisances "..., null", its mean over permuted labels.
    """
    drawn = draw(second, seed)
    seen, new = np.arange(N // 2), np.arange(N // 2, N)
    plate, level = drawn.plate[seen], drawn.second[seen] if second == "day" else binned(drawn.second[seen])
    labels = {"plate": plate, "second": level, "joint": plate * (level.max() + 1) + level}
    told = [labels[name] for name in ARMS[arm]]
    model = InfoCORE(**SHARED | STRONGEST | settings, seed=seed) if told else CLIP(**SHARED | settings, seed=seed)
    batch_id, nuisance = (told[0], {"second": told[1]} if told[1:] else None) if told else (None, None)
    z = model.fit(drawn.drug[seen], drawn.screen[seen], batch_id=batch_id, nuisance=nuisance).embed_screen(
        drawn.screen[new]
    )
    asked = drawn.second if second == "day" else binned(drawn.second, n_bins=PROBED_BINS)
    found = {"effect": linear_probe(z, drawn.effect[new])[0]}
    rng = np.random.default_rng(seed)
    for name, label in (("plate", drawn.plate[new]), ("second", asked[new])):
        found[name] = linear_probe(z, label)[0]
        found[f"{name}, null"] = np.mean([linear_probe(z, rng.permutation(label))[0] for _ in range(PERMUTATIONS)])
    return found


def run(second: str, seed: int, arm: str, folder: Path | None = None) -> Record:
    """The `scores` of one run, kept in ``folder``."""

    def make() -> Made:
        torch.set_num_threads(1)
        return scores(second, seed, arm), {}

    settings = {"design": second, "draw": seed, "arm": arm, "told": ARMS[arm], **SHARED, **STRONGEST}
    return kept(folder, "nuisances", settings, make)


def store(output: Path, runs: Path, n_jobs: int = 2) -> Path:
    """Run what is missing in the folder ``runs`` and write ``results/nuisances.json``; everything is simulated."""
    tasks = [(second, seed, arm) for second in SECOND for seed in DRAWS for arm in ARMS]
    records = in_parallel(n_jobs)(delayed(run)(*task, runs) for task in tasks)
    rows = [
        dict(zip(("design", "draw", "arm"), task, strict=True)) | record.result
        for task, record in zip(tasks, records, strict=True)
    ]
    parameters = dict(SHARED) | dict(STRONGEST) | {"arms": dict(ARMS), "permutations": PERMUTATIONS, "rows": N}
    table = pd.DataFrame(rows).round(4).to_dict("list")
    return save_results(
        "nuisances", parameters, table, output_dir=output, runs=[record.provenance for record in records]
    )
