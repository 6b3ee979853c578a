"""The loss, forward and backward, against the dense formulation: time and memory over n_B and candidates.

``python -m benchmarks.loss --output data`` writes ``results/benchmark_loss.json``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from benchmarks.formulations import FORMULATIONS, work
from benchmarks.memory import in_child
from benchmarks.timing import available_bytes, interleaved, ratio
from infocore_mini.experiments.results import save_results

ANCHORS = 256
DENSE_TENSORS = 4  # of (n, m, n_B) floats that the dense form holds at its peak


def compare(candidates: int, n_batches: int, repeats: int, limit: int, *, anchors: int = ANCHORS) -> dict:
    """One size: growth of memory for each form that fits, and how much slower and larger the dense one is.

    Args:
        limit: bytes that the dense form may take.
    """
    size = dict(n=anchors, candidates=candidates, n_batches=n_batches)
    fits = DENSE_TENSORS * 4 * anchors * candidates * n_batches <= limit
    forms = [name for name in FORMULATIONS if fits or name != "dense"]
    bytes_of = {name: in_child("loss", formulation=name, **size)["bytes"] for name in forms}
    found = {**size, "bytes": bytes_of, "dense_fits": fits}
    if fits:
        seconds = interleaved({name: work(name, **size) for name in forms}, repeats)
        found["dense_over_scalable_time"] = ratio(seconds["dense"], seconds["scalable"])
        found["dense_over_scalable_bytes"] = bytes_of["dense"] / bytes_of["scalable"]
    return found


def growth(axis: str, values: tuple[int, ...], repeats: int, **fixed: int) -> list[dict]:
    """Time of the library's form as one size grows, over the time at the first value; all sizes in turn."""
    seconds = interleaved({value: work("scalable", **fixed | {axis: value}) for value in values}, repeats)
    return [{axis: value, "growth": ratio(seconds[value], seconds[values[0]])} for value in values]


def measure(repeats: int, limit: int, *, quick: bool = False) -> dict:
    """All figures of this benchmark."""
    ge, anchors = (64, 8) if quick else (4097, ANCHORS)
    batches = (5, 7) if quick else (25, 97, 256, 1019, 10_000)
    sets = (32, 64) if quick else (1024, 4097, 16_384, 65_536)
    sizes = [(ge, n_batches) for n_batches in batches] + [(m, batches[1]) for m in sets if m != ge]
    few = min(repeats, 3)  # the dense form takes seconds
    return {
        "against_dense": [compare(m, n_batches, few, limit, anchors=anchors) for m, n_batches in sizes],
        "growth_in_n_B": growth("n_batches", batches[1:], 5 * repeats, n=anchors, candidates=ge),
        "growth_in_candidates": growth("candidates", sets, repeats, n=anchors, n_batches=batches[-2]),
    }


def main() -> None:
    """Measure and store."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--output", type=Path, default=Path("data"), help="folder that gets results/benchmark_loss.json"
    )
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--gigabytes", type=float, default=6, help="that the dense form may take, if they are free")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: shows that the program runs, nothing else")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    limit = int(min(options.gigabytes * 1e9, available_bytes() / 2))
    settings = {"repeats": options.repeats, "threads": options.threads, "quick": options.quick, "dense_limit": limit}
    results = measure(options.repeats, limit, quick=options.quick)
    print(save_results("benchmark_loss", settings, results, output_dir=options.output))


if __name__ == "__main__":
    main()
