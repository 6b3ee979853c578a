"""Memory of the evaluation: what each function of ``infocore_mini.evaluate`` takes above its input, at 100,000 rows.

``python -m benchmarks.evaluate --output data`` writes ``results/benchmark_evaluate.json``: for each function the peak of a
process that makes its input and calls it, less the peak of one that makes the input only.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from benchmarks.peak import peak_bytes
from infocore_mini.evaluate import fairness, mixing, ranking, replicates, retrieval
from infocore_mini.evaluate.property import property_score
from infocore_mini.experiments.results import save_results
from infocore_mini.screens import PairedScreen

ROWS, WIDTH, N_BATCHES, N_CLASSES, PLATES = 100_000, 256, 1019, 10, 200
SMALL = 2000  # rows of a first call, which loads what a function needs


class Inputs:
    """Random embeddings, labels and a screen of n conditions in one cell line, each of a molecule of its own."""

    def __init__(self, n: int) -> None:
        rng = np.random.default_rng(0)
        self.z = rng.normal(size=(n, WIDTH)).astype(np.float32)
        self.batch_id = rng.permutation(n) % N_BATCHES
        self.molecule = rng.permutation(n) // 5  # five rows each
        self.plate = rng.permutation(n) % PLATES
        self.is_control = rng.permutation(n) < n // 5
        self.meta = pd.DataFrame({"molecule": self.molecule, "batch": self.batch_id})
        self.answer = rng.integers(2, size=(10, n))
        code = torch.arange(n)
        self.screen = PairedScreen(
            drug=torch.zeros(n, 1),
            smiles=np.arange(n).astype(str),
            profile=torch.zeros(n, 1),
            condition=code,
            profile_batch=torch.from_numpy(self.batch_id),
            drug_id=code,
            cell_line=torch.zeros(n, dtype=torch.int64),
            batch_names=tuple(map(str, range(N_BATCHES))),
            cell_line_names=("all",),
        )


def _replicates(x: Inputs) -> object:
    return replicates.replicate_map(x.z, x.meta, pos_sameby=["molecule"], neg_diffby=["molecule"])


CALLS: dict[str, Callable[[Inputs], object]] = {
    "batch_mixing_entropy": lambda x: mixing.batch_mixing_entropy(x.z, x.batch_id, k=(10, 50)),
    "knn_purity": lambda x: mixing.knn_purity(x.z, x.z[:, ::-1], np.zeros(len(x.z)), k=(10, 50)),
    "linear_probe": lambda x: mixing.linear_probe(x.z, x.batch_id % N_CLASSES),
    "same_label_neighbours": lambda x: mixing.same_label_neighbours(x.z, x.batch_id, other_than=x.molecule),
    "retrieval_hits": lambda x: ranking.retrieval_hits(x.z, x.z, np.arange(len(x.z))),
    "nearest": lambda x: ranking.nearest(x.z, x.z),
    "paired_retrieval": lambda x: retrieval.paired_retrieval(x.z, x.z, x.molecule, batch_id=x.batch_id),
    "screen_retrieval": lambda x: retrieval.screen_retrieval(x.z, x.z, x.screen),
    "same_batch_share": lambda x: retrieval.same_batch_share(x.z, x.z, x.screen),
    "replicate_map": _replicates,  # calls average_precision
    "activity": lambda x: replicates.activity(x.z, x.molecule, x.is_control, within=x.plate),
    "fairness_gaps": lambda x: fairness.fairness_gaps(x.answer[0], x.answer[1], x.plate % 4),
    "resampled_gaps": lambda x: fairness.resampled_gaps(x.answer[0], x.answer[1:], x.plate % 4),
    "property_score": lambda x: property_score(x.answer.T.astype(float), x.answer.T, "classification"),
}


def call(name: str, n: int, *, nothing: bool) -> None:
    """A small call of the function, then its input at n rows and, unless ``nothing``, the call; in a process of its own."""
    torch.set_num_threads(1)
    CALLS[name](Inputs(min(n, SMALL)))
    inputs = Inputs(n)
    if not nothing:
        CALLS[name](inputs)


def above_input(name: str, n: int) -> int:
    """Bytes of the peak that come with the call; a page, where it was too little to see."""
    whole, inputs = (peak_bytes(__spec__.name, "call", name=name, n=n, nothing=nothing) for nothing in (False, True))
    return max(whole - inputs, 4096)


def main() -> None:
    """Measure and store."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--output", type=Path, default=Path("data"), help="folder that gets results/benchmark_evaluate.json"
    )
    parser.add_argument("--rows", type=int, default=ROWS, help="of the input (default: %(default)s)")
    options = parser.parse_args()
    settings = {"rows": options.rows, "width": WIDTH, "n_batches": N_BATCHES, "n_classes": N_CLASSES, "plates": PLATES}
    results = {}
    for name in CALLS:
        results[name] = above_input(name, options.rows)
        print(f"{name}: {results[name] / 1e6:,.0f} MB above its input", flush=True)
    print(save_results("benchmark_evaluate", settings, results, output_dir=options.output))


if __name__ == "__main__":
    main()
