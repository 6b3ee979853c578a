"""A training of the book on the card, beside the same on a CPU, and retrieval in a million molecules."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import cache

import torch
from torch import Tensor

from benchmarks.gpu.card import Card
from benchmarks.retrieval import NEIGHBOURS, WIDTH, queries
from benchmarks.timing import ratio
from infocore_mini.evaluate.ranking import nearest, retrieval_hits


def one_seed(card: Card) -> dict[str, dict]:
    """The reduced gene-expression study, simulated, seed 0, each method by the candidate that a CPU's validation chose.

    Returns:
        Method -> {"seconds" of the run, simulation (once for all three) and scores included; "accuracy" in the whole
        library and within batches, mean over cell lines, top 1, 5, 10; the same of the stored run on a CPU}.
    """
    from infocore_mini.experiments.pretraining.run import run
    from infocore_mini.experiments.pretraining.studies import STUDIES, quick
    from infocore_mini.experiments.results import stored

    name, seed = "gene_expression", 0
    study = quick(name, seed) if card.tiny else STUDIES[name]
    if card.tiny:
        study = replace(study, settings=dict(study.settings) | {"epochs": 2, "head_warmup_epochs": 1, "halve_at": ()})
    study = replace(
        study, settings=dict(study.settings) | {"device": card.device}, make_screen=cache(study.make_screen)
    )
    start = time.perf_counter()
    study.screen(seed)
    simulation = time.perf_counter() - start
    found = {}
    for before in (row for row in stored(name).results if row["seed"] == seed):
        arm = before["arm"]
        candidate = {} if card.tiny else before["candidate"]
        start = time.perf_counter()
        result = run(study, arm, seed, candidate=candidate).result
        found[arm] = {
            "seconds": simulation + time.perf_counter() - start,
            "accuracy": _accuracy(result),
            "cpu": {"seconds": before["training"]["seconds"], "accuracy": _accuracy(before)},
        }
        print(arm, found[arm], flush=True)
    return found


def _accuracy(result: dict) -> dict[str, float]:
    mean = [row for row in result["retrieval"] if row["cell_line"] == "mean"]
    return {f"{row['library']} {row['top']}": row["accuracy"] for row in mean}


def retrieval(card: Card) -> dict[str, dict]:
    """Ranks and neighbours of queries in a library on the device, over the time of the float32 matrix product there."""
    m, n = (2000, 20) if card.tiny else (1_000_000, 1000)
    library = torch.randn(m, WIDTH)
    noises = {"trained": 2.0, "untrained": None}
    return {name: _beside_product(card, library, *queries(library, n, noise)) for name, noise in noises.items()}


def _beside_product(card: Card, library: Tensor, z_query: Tensor, target: Tensor) -> dict:
    z_library, z = library.to(card.device), z_query.to(card.device)
    out = torch.empty(len(z), len(library), device=card.device)
    seconds = card.interleaved(
        {
            "product": lambda: torch.mm(z, z_library.T, out=out),
            "ranks": lambda: retrieval_hits(z, z_library, target),
            "neighbours": lambda: nearest(z, z_library, n=NEIGHBOURS),
        },
        calls=3,
    )
    few = slice(50)
    hits = [retrieval_hits(z_query[few], there, target[few])[0] for there in (library, z_library)]
    rows = [nearest(z_query[few], there, n=NEIGHBOURS)[0] for there in (library, z_library)]
    return {
        "ranks": ratio(seconds["ranks"], seconds["product"]),
        "neighbours": ratio(seconds["neighbours"], seconds["product"]),
        "seconds": {str(part): float(value.min()) for part, value in seconds.items()},
        "equal_to_cpu": bool((hits[0] == hits[1]).all() and (rows[0] == rows[1]).all()),
    }
