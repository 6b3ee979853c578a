"""Ranks and neighbours in a library of a million molecules: against the matrix product, double argsort and faiss; memory.

``python -m benchmarks.retrieval --output data`` writes ``results/benchmark_retrieval.json``. Every figure is a ratio of
times measured in turn in one run, or the peak memory of a process of its own. Without faiss (extra ``scale``) its part
is left out, and the record says so.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from benchmarks.peak import peak_bytes
from benchmarks.timing import interleaved, ratio
from infocore_mini.evaluate.library import TILE_ENTRIES, TILE_QUERIES
from infocore_mini.evaluate.ranking import nearest, retrieval_hits
from infocore_mini.experiments.results import save_results

WIDTH, NEIGHBOURS = 256, 10
BLOCK = 10_000  # molecules generated at a time


class Generated:
    """A library of random embeddings that exists one block at a time, the same on every reading."""

    def __init__(self, m: int):
        self.m = m

    def __iter__(self) -> Iterator[Tensor]:
        for start in range(0, self.m, BLOCK):
            yield torch.randn(min(BLOCK, self.m - start), WIDTH, generator=torch.Generator().manual_seed(start))


def queries(library: Tensor, n: int, noise: float | None) -> tuple[Tensor, Tensor]:
    """n queries and their true rows: the true embeddings with noise of that many standard deviations, or only noise."""
    generator = torch.Generator().manual_seed(n)
    target = torch.randint(len(library), (n,), generator=generator)
    z = torch.randn(n, WIDTH, generator=generator)
    return (z if noise is None else library[target] + noise * z), target


def product(z_query: Tensor, z_library: Tensor, n_rows: int, n_queries: int) -> None:
    """All inner products, tile by tile in one place, and nothing done with them."""
    out = torch.empty(min(n_queries, len(z_query)), min(n_rows, len(z_library)))
    for rows in z_library.split(n_rows):
        for some in z_query.split(n_queries):
            torch.mm(some, rows.T, out=out.view(-1)[: len(some) * len(rows)].view(len(some), len(rows)))


def double_argsort(z_query: Tensor, z_library: Tensor, target: Tensor) -> Tensor:
    """Rank of the true row by sorting whole rows of the whole matrix, twice."""
    cosine = normalize(z_query, dim=1) @ normalize(z_library, dim=1).T
    return cosine.argsort(dim=1, descending=True).argsort(dim=1).gather(1, target[:, None])


def against_the_product(n: int, library: Tensor, repeats: int) -> dict:
    """Share of the speed of the matrix product alone: the same tiles, and tiles eight times as large."""
    (good, target), (random, _) = queries(library, n, 1.5), queries(library, n, None)
    n_queries = min(n, TILE_QUERIES)
    n_rows = min(TILE_ENTRIES // n_queries, 4096)
    work = {
        "product": lambda: product(random, library, n_rows, n_queries),
        "product, large tiles": lambda: product(random, library, 8 * n_rows, n_queries),
        "ranks": lambda: retrieval_hits(good, library, target),
        "ranks, true rows anywhere": lambda: retrieval_hits(random, library, target),
        f"{NEIGHBOURS} neighbours": lambda: nearest(good, library, n=NEIGHBOURS),
    }
    seconds = interleaved(work, repeats)
    flops = 2 * n * len(library) * WIDTH
    return {
        "n_queries": n,
        "n_library": len(library),
        "product_gflops": flops / np.median(seconds["product"]) / 1e9,
        "share_of_limit": {name: ratio(seconds["product"], seconds[name]) for name in list(work)[2:]},
        "share_of_limit_large_tiles": {
            name: ratio(seconds["product, large tiles"], seconds[name]) for name in list(work)[2:]
        },
    }


def against_double_argsort(n: int, library: Tensor, repeats: int) -> dict:
    """How many times faster the ranks are counted than found by sorting float32 cosines twice."""
    z_query, target = queries(library, n, 1.5)
    work = {
        "argsort": lambda: double_argsort(z_query, library, target),
        "ranks": lambda: retrieval_hits(z_query, library, target),
    }
    seconds = interleaved(work, repeats)
    return {"n_queries": n, "n_library": len(library), "times_faster": ratio(seconds["argsort"], seconds["ranks"])}


def against_faiss(n: int, library: Tensor, repeats: int) -> dict:
    """How many times faster than an exact faiss index of unit vectors, which is built beforehand and not timed."""
    import faiss

    z_query, _ = queries(library, n, 1.5)
    faiss.omp_set_num_threads(torch.get_num_threads())
    index = faiss.IndexFlatIP(WIDTH)
    for rows in library.split(BLOCK):
        index.add(normalize(rows, dim=1).numpy())
    unit = normalize(z_query, dim=1).numpy()
    work = {
        "faiss": lambda: index.search(unit, NEIGHBOURS),
        "neighbours": lambda: nearest(z_query, library, n=NEIGHBOURS),
    }
    seconds = interleaved(work, repeats)
    same = index.search(unit, NEIGHBOURS)[1] == nearest(z_query, library, n=NEIGHBOURS)[0]
    return {
        "n_queries": n,
        "n_library": len(library),
        "times_faster": ratio(seconds["faiss"], seconds["neighbours"]),
        "same_rows": float(same.mean()),
    }


def rank_generated(n: int, m: int) -> None:
    """Ranks and neighbours in generated blocks; to be measured in a process of its own."""
    z_query, target = queries(torch.randn(n, WIDTH), n, 1.5)
    retrieval_hits(z_query, Generated(m), target)
    nearest(z_query, Generated(m), n=NEIGHBOURS)


def rank_memmap(n: int, m: int, path: str) -> None:
    """The same in a file mapped into memory, whose pages count as far as the system keeps them."""
    z_query, target = queries(torch.randn(n, WIDTH), n, 1.5)
    library = np.memmap(path, np.float32, "r", shape=(m, WIDTH))
    retrieval_hits(z_query, library, target)
    nearest(z_query, library, n=NEIGHBOURS)


def memory(n: int, m: int) -> dict:
    """Peak bytes of a process that ranks n queries among m molecules and finds their neighbours."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "library.float32"
        with path.open("wb") as file:
            for block in Generated(m):
                file.write(block.numpy().tobytes())
        mapped = peak_bytes(__spec__.name, "rank_memmap", n=n, m=m, path=str(path))
    return {
        "n_queries": n,
        "n_library": m,
        "library_bytes": m * WIDTH * 4,
        "cosines_bytes": n * m * 4,
        "peak_bytes": {
            "imports and one block": peak_bytes(__spec__.name, "rank_generated", n=n, m=BLOCK),
            "blocks": peak_bytes(__spec__.name, "rank_generated", n=n, m=m),
            "memmap, file pages included": mapped,
        },
    }


def main() -> None:
    """Measure and store, as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", default="data", help="folder that holds results/")
    parser.add_argument("--molecules", type=int, default=1_000_000, help="in the library (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=5, help="of each measurement (default: %(default)s)")
    settings = parser.parse_args()
    m, repeats = settings.molecules, settings.repeats
    results = {"memory": memory(1000, m)}
    library = torch.cat(list(Generated(m)))
    tenth = library[: m // 10]  # ten thousand queries there are as many products as a thousand in the whole
    results["matrix_product"] = [against_the_product(n, library, repeats) for n in (1, 32, 1000)]
    results["matrix_product"] += [against_the_product(10_000, tenth, repeats)]
    results["double_argsort"] = [against_double_argsort(n, library[: m // 50], repeats) for n in (32, 1000)]
    version = None
    if find_spec("faiss"):
        version = importlib.metadata.version("faiss-cpu")
        results["faiss"] = [against_faiss(n, library, repeats) for n in (1, 32, 1000)]
    else:
        results["faiss"] = "not measured: faiss is not installed (pip install 'infocore-mini[scale]')"
        print(results["faiss"])
    parameters = vars(settings) | {"width": WIDTH, "neighbours": NEIGHBOURS, "threads": torch.get_num_threads()}
    parameters["faiss"] = version
    del parameters["output"]
    print(save_results("benchmark_retrieval", parameters, results, output_dir=settings.output))


if __name__ == "__main__":
    main()
