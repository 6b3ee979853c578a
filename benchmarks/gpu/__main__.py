"""``python -m benchmarks.gpu --output data`` writes ``results/benchmark_gpu.json``; at most eight minutes on a card.

Every stage is on its own: what fails is stored as its error, and the file is written after each of them. Needs what the
library's core needs; the stages "study" and "retrieval" rdkit and scikit-learn besides. ``--device cpu --tiny`` shows that
the program runs, nothing else.
"""

from __future__ import annotations

import argparse
import os
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when CUDA starts; deterministic products need it

import torch

from benchmarks.gpu import equality, repeats, speed, study
from benchmarks.gpu.card import Card
from infocore_mini.experiments.results import save_results

STAGES: Mapping[str, Callable[[Card], Any]] = {
    "ceilings": speed.ceilings,
    "losses": equality.losses,
    "training": equality.training,
    "repeats": repeats.measure,
    "step": speed.steps,
    "compiled": speed.compiled,
    "kernels": speed.kernels,
    "dense": speed.against_dense,
    "retrieval": study.retrieval,
    "study": study.one_seed,
    "growth": speed.growth,
}


def main(arguments: list[str] | None = None) -> None:
    """Measure stage by stage and store after each."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("data"), help="folder that gets results/benchmark_gpu.json")
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--tiny", action="store_true", help="tiny sizes: shows that the program runs, nothing else")
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES), metavar="STAGE")
    parser.add_argument("--minutes", type=float, default=8.0, help="after which no further stage is begun")
    options = parser.parse_args(arguments)
    card, started = Card(options.device, options.tiny, options.output), time.monotonic()
    torch.manual_seed(0)
    results: dict[str, Any] = {"card": card.about(), "seconds": {}}
    parameters = {"device": options.device, "tiny": options.tiny, "stages": options.stages}
    for name in options.stages:
        begun = time.monotonic()
        if begun - started > 60 * options.minutes:
            results[name] = {"error": "not begun: no time was left"}
            continue
        try:
            results[name] = STAGES[name](card)
        except Exception as error:  # whatever it is, the other stages are worth having
            traceback.print_exc()
            results[name] = {"error": f"{type(error).__name__}: {error}"[:500]}
        results["seconds"][name] = time.monotonic() - begun
        print(f"--- {name} ({results['seconds'][name]:.0f} s): {results[name]}", flush=True)
        save_results("benchmark_gpu", parameters, results, output_dir=options.output)


if __name__ == "__main__":
    main()
