"""What the stored benchmark of a GPU says, as tables and sentences (``python -m benchmarks.gpu``)."""

from __future__ import annotations

from typing import Any

import pandas as pd

from infocore_mini.experiments.names import METHOD_NAMES
from infocore_mini.experiments.results import StoredResult, stored

# What the page asks of a step in bfloat16 at the largest minibatch: share of the card's own products, and over CLIP's.
SHARE_OF_PRODUCTS, OVER_CLIP = 0.5, 1.3
LARGEST = "GE 4096"


def measured() -> StoredResult:
    """The stored file."""
    return stored("benchmark_gpu")


def _results() -> dict[str, Any]:
    return measured().results


def ceilings() -> str:
    """Markdown: what the card does at its best."""
    card, found = _results()["card"], _results()["ceilings"]
    rates = ", ".join(f"{found[f'tflops_{name}']:,.0f} in {name}" for name in ("fp32", "tf32", "bf16"))
    return (
        f"{card['name']}, {card['bytes'] / 2**30:.0f} GiB. Its largest products reach {rates} TFLOP/s, a copy "
        f"{found['copy_tb_per_second']:.1f} TB/s."
    )


def equality() -> pd.DataFrame:
    """Largest relative difference between GPU and CPU: losses and gradients by type, and losses in the course of a training."""
    results = _results()
    rows = {}
    for dtype in ("float64", "float32"):
        cases = [row for name, row in results["losses"].items() if name.endswith(dtype)]
        for part in ("value", "gradient"):
            rows[f"{part} of a loss, {dtype}, {len(cases)} losses"] = max(row[part] for row in cases)
    for framework, name in (("simclr", "SimCLR"), ("moco", "MoCo")):
        for part, value in results["training"][framework].items():
            steps = part.replace("first_10", "first 10").replace("all_50", "50")
            rows[f"losses of {steps} steps, {name}"] = value
    rows["embeddings of a model trained on it, read on a CPU"] = results["repeats"]["read_on_a_cpu"]["difference"]
    return pd.DataFrame({"difference": {name: f"{value:.0e}" for name, value in rows.items()}})


def repeats() -> str:
    """Markdown: which runs gave the same weights bit for bit."""
    words = {
        "one_seed_twice": "one seed twice",
        "one_seed_twice_deterministic_algorithms": "one seed twice under `torch.use_deterministic_algorithms`",
        "replayed_and_launched": "steps replayed and steps launched kernel by kernel",
        "interrupted_and_resumed": "a run interrupted and resumed from its checkpoint",
    }
    found = _results()["repeats"]
    same = [text for name, text in words.items() if found[name]["bitwise"]]
    apart = [
        f"{text} (by {found[name]['difference']:.0e})" for name, text in words.items() if not found[name]["bitwise"]
    ]
    text = f"The same weights bit for bit: {'; '.join(same) or 'none'}."
    return text + (f" Not the same: {'; '.join(apart)}." if apart else "")


def steps() -> pd.DataFrame:
    """Share of the card's own products in percent, launched, replayed and compiled; InfoCORE's step over CLIP's, products too.

    Minibatches of 256 and of 4,096; a cell is empty where nothing was measured.
    """
    results, rows = _results(), {}
    for name, row in results["step"].items():
        size, precision = name.split(", ")
        rows[_size(size), precision] = {
            "launched (%)": 100 * row["fraction_of_limit_launched"]["median"],
            "replayed (%)": 100 * row["fraction_of_limit"]["median"],
            "InfoCORE / CLIP": row["infocore_over_clip"]["median"],
            "of their products": row["infocore_over_clip_of_products"]["median"],
        }
    for size, row in results["compiled"].items():
        rows[_size(size), "bf16"] |= {
            "compiled (%)": 100 * row["fraction_of_limit"]["median"],
            "InfoCORE / CLIP, compiled": row["infocore_over_clip"]["median"],
        }
    table = pd.DataFrame(rows).T[
        [
            "launched (%)",
            "replayed (%)",
            "compiled (%)",
            "InfoCORE / CLIP",
            "InfoCORE / CLIP, compiled",
            "of their products",
        ]
    ]
    shares = table.columns[:3]
    text = table.map(lambda value: "" if pd.isna(value) else f"{value:.1f}")
    text[shares] = table[shares].map(lambda value: "" if pd.isna(value) else f"{value:.0f}")
    return text.rename_axis(["screen, minibatch", "precision"])


def _size(name: str) -> str:
    screen, minibatch = name.split(" ")
    return f"{screen}, {int(minibatch):,}"


def steps_in_words() -> str:
    """Markdown: what a step reaches, what compiling gives, and whether InfoCORE's step is as near to CLIP's as hoped."""
    row = _results()["compiled"][LARGEST]
    share, over, products = (
        row[name]["median"] for name in ("fraction_of_limit", "infocore_over_clip", "infocore_over_clip_of_products")
    )
    step = _results()["step"]["GE 256, bf16"]
    faster = step["fraction_of_limit"]["median"] / step["fraction_of_limit_launched"]["median"]
    reached = "reaches" if share >= SHARE_OF_PRODUCTS else "does not reach"
    within = "within" if over <= OVER_CLIP else "not within"
    return (
        f"- Replaying makes a step at gene-expression size, minibatches of 256, {faster:.0f} times faster than launching it.\n"
        f"- At a minibatch of 4,096 in bfloat16, compiled, InfoCORE's step runs at {100 * share:.0f} % of the speed of its own "
        f"products: it {reached} the half that was hoped for. Compiling makes it {row['faster']['median']:.1f} times faster, "
        f"after {row['seconds_to_compile']:.0f} s of compiling.\n"
        f"- It takes {over:.1f} times as long as CLIP's, {within} the {OVER_CLIP} hoped for; the products of its batch "
        f"classifiers alone make its products {products:.1f} times as long as CLIP's."
    )


def growth() -> str:
    """Markdown: how the step grows with n_B and with the queue, and the dense loss beside ours."""
    results = _results()
    lines = []
    for axis, name in (("n_batches", "experimental batches"), ("queue_size", "candidates in the queue")):
        first, *rest = results["growth"][axis]
        grown = ", ".join(f"{row['growth']['median']:.2f} times at {row[axis]:,}" for row in rest)
        lines.append(f"- From {first[axis]:,} {name} on, the time of a step becomes {grown}.")
    dense = results["dense"][-1]
    lines.append(
        f"- The dense loss at {dense['n_batches']:,} experimental batches: {dense['dense_over_scalable_time']['median']:.0f} "
        f"times as long, {dense['bytes']['dense'] / dense['bytes']['scalable']:,.0f} times the memory."
    )
    ranks = [row["ranks"]["median"] for row in results["retrieval"].values()]
    neighbours = [row["neighbours"]["median"] for row in results["retrieval"].values()]
    equal = all(row["equal_to_cpu"] for row in results["retrieval"].values())
    lines.append(
        f"- A thousand queries in a million molecules on the card: ranks take {min(ranks):.0f} to {max(ranks):.0f} times, "
        f"neighbours {min(neighbours):.0f} to {max(neighbours):.0f} times as long as the matrix product alone; "
        f"{'equal' if equal else 'not equal'} to the CPU's."
    )
    return "\n".join(lines)


def kernels() -> pd.DataFrame:
    """What a launched step in bfloat16 is made of: kernels, the GPU's share of the time, the longest kernel's share of it."""
    rows = {
        _size(size): {
            "kernels a step": f"{row['kernels']:,.0f}",
            "the GPU works (%)": f"{100 * row['busy'] / row['seconds']:.0f}",
            "longest kernel (% of that)": f"{100 * row['longest'][0][1]:.0f}",
        }
        for size, row in _results()["kernels"].items()
    }
    return pd.DataFrame.from_dict(rows, orient="index")


def study() -> pd.DataFrame:
    """Accuracy (%) of one seed of the simulated gene-expression study on the card and on a CPU, and how many times faster."""
    rows = {}
    for method, row in _results()["study"].items():
        here, there = row["accuracy"], row["cpu"]["accuracy"]
        cells = {
            name: f"{100 * here[name]:.1f} / {100 * there[name]:.1f}"
            for name in ("whole 1", "whole 10", "batch 1", "batch 10")
        }
        rows[METHOD_NAMES[method]] = cells | {"times faster": f"{row['cpu']['seconds'] / row['seconds']:.1f}"}
    return pd.DataFrame.from_dict(rows, orient="index")
