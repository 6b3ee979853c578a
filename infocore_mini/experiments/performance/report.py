"""The stored benchmarks as tables; ``benchmarks/`` measures them (``make bench``)."""

from __future__ import annotations

import re

import pandas as pd

from infocore_mini.experiments.names import METHOD_NAMES
from infocore_mini.experiments.pretraining import report as pretraining_report
from infocore_mini.experiments.results import stored

NAMES = ("benchmark_loss", "benchmark_step", "benchmark_retrieval", "benchmark_featurise")


def loss_against_dense() -> pd.DataFrame:
    """Times faster (median, quartiles) and times less memory than the dense formulation, by size.

    NaN where the dense one does not fit.
    """
    rows = stored("benchmark_loss").results["against_dense"]
    return pd.DataFrame(
        [
            {
                "candidates": row["candidates"],
                "n_B": row["n_batches"],
                **_times(row.get("dense_over_scalable_time"), "times faster"),
                "times less memory": row.get("dense_over_scalable_bytes", float("nan")),
                "memory (MB)": row["bytes"]["scalable"] / 1e6,
            }
            for row in rows
        ]
    )


def against_dense_in_words() -> str:
    """Markdown: how many times faster and smaller than the dense formulation, at the sizes where that one fits."""
    rows = loss_against_dense().dropna()
    faster, less = rows["times faster"], rows["times less memory"]
    return (
        f"At the {len(rows)} sizes where the dense one fits: {faster.min():.0f} to {faster.max():.0f} times faster, "
        f"{less.min():.0f} to {less.max():.0f} times less memory."
    )


def growth() -> pd.DataFrame:
    """Time of the loss as n_B grows, over the time at the smallest: median and quartiles."""
    rows = stored("benchmark_loss").results["growth_in_n_B"]
    return pd.DataFrame([{"n_B": row["n_batches"], **_times(row["growth"], "time")} for row in rows])


def step_shares() -> pd.DataFrame:
    """A whole training step at the paper's sizes: percent of the speed of its own matrix products, share of loading."""
    rows = stored("benchmark_step").results["step"]
    table = {
        name: {
            **_times(row["fraction_of_limit"], "of the limit (%)", 100),
            "loading and augmentation (%)": 100 * row["loading_share"]["median"],
            "GFLOP a step": row["gflop"],
        }
        for name, row in rows.items()
    }
    return pd.DataFrame.from_dict(table, orient="index")


def over_clip() -> pd.Series:
    """A step of InfoCORE over one of CLIP, in time, by screen ("GE", "CP"): the best of each, measured in one run."""
    rows = stored("benchmark_step").results["step"]
    best = {name: row["seconds"]["step"] for name, row in rows.items()}
    return pd.Series({screen: best[f"{screen} infocore"] / best[f"{screen} clip"] for screen in ("GE", "CP")})


def over_clip_in_words() -> str:
    """Markdown: what InfoCORE's classifiers add to a step of CLIP."""
    times = over_clip()
    return (
        f"A step of InfoCORE takes {times['GE']:.2f} times one of CLIP at gene-expression size and {times['CP']:.2f} times at "
        "cell-painting size: the products of its batch classifiers, not the weights of its loss."
    )


def step_options() -> pd.DataFrame:
    """How many times faster a step is in bfloat16 and compiled than plain (below 1: slower): median and quartiles."""
    rows = stored("benchmark_step").results["options"]
    table = {
        (name, choice): _times(ratio, "times faster") for name, row in rows.items() for choice, ratio in row.items()
    }
    return pd.DataFrame.from_dict(table, orient="index").rename_axis(["screen", "networks"])


def bfloat16_shares() -> pd.DataFrame:
    """A step in bfloat16: percent of the speed of its own products in bfloat16, and what of it can be had."""
    rows = stored("benchmark_step").results["in_bfloat16"]
    table = {
        name: _times(row["fraction_of_limit"], "of the limit (%)", 100) | _times(row["reachable"], "reachable (%)", 100)
        for name, row in rows.items()
    }
    return pd.DataFrame.from_dict(table, orient="index")


def soft_labels() -> pd.DataFrame:
    """Training on soft labels over that on hard ones: time of a step, and peak memory above the data, by queue."""
    rows = stored("benchmark_step").results["soft_over_hard"]
    table = {
        (name, row["queue_size"]): {**_times(row["time"], "time"), "memory": row["memory"]}
        for name, found in rows.items()
        for row in found
    }
    return pd.DataFrame.from_dict(table, orient="index").rename_axis(["screen", "queue"])


def bfloat16_accuracy() -> pd.DataFrame:
    """Change of retrieval accuracy in percent by networks in bfloat16, paired by seed, as ``pretraining_report.versus``."""
    plain, coarse = map(pretraining_report.stored_tables, ("gene_expression", "bf16"))
    pairs = [(f"{METHOD_NAMES[method]} in bfloat16", METHOD_NAMES[method]) for method in coarse]
    by_arm = pretraining_report.Tables(
        {name: tables[method] for method, pair in zip(coarse, pairs) for name, tables in zip(pair, (coarse, plain))}
    )
    return pretraining_report.versus(by_arm, pairs)


def bfloat16_in_words() -> str:
    """Markdown: the largest mean change of accuracy by bfloat16, and the ends of all intervals, in percent."""
    cells = [re.findall(r"[-+]?\d+", text) for text in bfloat16_accuracy().to_numpy().ravel()]
    change, low, high = (list(map(int, column)) for column in zip(*cells, strict=True))
    return (
        f"No mean change is larger than {max(map(abs, change))} %, and the intervals reach from {min(low)} to {max(high)} %: "
        "where bfloat16 is faster, take it."
    )


def step_memory() -> pd.DataFrame:
    """Peak memory of a training process at the paper's shapes, in GB."""
    rows = stored("benchmark_step").results["memory"]
    table = pd.DataFrame(rows).T / 1e9
    return table.set_axis([name.replace("_bytes", "").replace("_", " ") + " (GB)" for name in table], axis=1)


def scaling() -> pd.DataFrame:
    """Time of a GE step as one size grows, over the time at the smallest: long, axis, size, time, of the limit (%)."""
    return pd.DataFrame(
        [
            {
                "axis": axis,
                "size": row[axis],
                "time": row["growth"]["median"],
                "of the limit (%)": 100 * row["fraction_of_limit"]["median"],
            }
            for axis, rows in stored("benchmark_step").results["scaling"].items()
            for row in rows
        ]
    )


def retrieval_shares() -> pd.DataFrame:
    """Ranks and neighbours in a large library: percent of the speed of the matrix product alone."""
    rows = stored("benchmark_retrieval").results["matrix_product"]
    return pd.DataFrame(
        [
            {"queries": row["n_queries"], "library": row["n_library"]}
            | {f"{name} (%)": 100 * share["median"] for name, share in row["share_of_limit"].items()}
            for row in rows
        ]
    )


def retrieval_rivals() -> pd.DataFrame:
    """Times faster (below 1: slower) than sorting twice, and than an exact faiss index."""
    results = stored("benchmark_retrieval").results
    rows = [("double argsort", row) for row in results["double_argsort"]]
    rows += [("faiss, exact", row) for row in results["faiss"] if isinstance(row, dict)]
    return pd.DataFrame(
        [
            {"against": name, "queries": row["n_queries"], "library": row["n_library"]}
            | _times(row["times_faster"], "times faster")
            for name, row in rows
        ]
    )


def retrieval_memory() -> pd.DataFrame:
    """Peak memory in GB of a process that ranks a large library, by where the library comes from."""
    memory = stored("benchmark_retrieval").results["memory"]
    name = f"peak (GB), {memory['n_queries']:,} queries, {memory['n_library']:,} molecules"
    return pd.DataFrame({name: pd.Series(memory["peak_bytes"]) / 1e9})


def mol2vec_speed() -> pd.DataFrame:
    """Times faster (median) than the ``mol2vec`` package on the molecules of the HIV benchmark."""
    results = stored("benchmark_featurise").results
    faster = {name: ratio["median"] for name, ratio in results["times_faster"].items()}
    return pd.DataFrame({f"times faster, {results['molecules']:,} molecules": faster})


def _times(ratio: dict | None, name: str, scale: float = 1.0) -> dict[str, float]:
    ratio = ratio or dict.fromkeys(("median", "low", "high"), float("nan"))
    return {name: scale * ratio["median"], "low": scale * ratio["low"], "high": scale * ratio["high"]}
