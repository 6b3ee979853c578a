"""Time of a step on a GPU against the card's own matrix products, where it goes, and how it grows."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping
from contextlib import ExitStack
from functools import cache, partial

import numpy as np
import torch

from benchmarks.formulations import FORMULATIONS, work
from benchmarks.gpu.card import PRECISIONS, Card, float32_products, launched
from benchmarks.memory import random_screen
from benchmarks.step import QUICK, Step, config_of, shape_of, step_products
from benchmarks.timing import flops, ratio
from infocore_mini.screens import PairedScreen

# Name -> screen, changes of the configuration. The rings of cell lines hold half a queue, so a minibatch as large as the
# queue is drawn at random.
SIZES = {
    "GE 256": ("GE", {}),
    "GE 4096": ("GE", {"minibatch_size": 4096, "sampling": "random"}),
    "CP 256": ("CP", {}),
}
MEASURED = (
    *(("GE 256", precision) for precision in PRECISIONS),
    *((size, precision) for size in ("GE 4096", "CP 256") for precision in ("fp32", "bf16")),
)


def ceilings(card: Card) -> dict[str, float]:
    """TFLOP/s of a large product at each precision, and TB/s of a copy, read and written."""
    n = 256 if card.tiny else 8192
    found = {}
    for precision in PRECISIONS:
        with float32_products(precision):
            seconds = card.interleaved({"product": card.limit([(n, n, n)], precision)})["product"]
        found[f"tflops_{precision}"] = 2 * n**3 / float(seconds.min()) / 1e12
    source = torch.randn(n * n * (1 if card.tiny else 16), device=card.device)
    target = torch.empty_like(source)
    seconds = card.interleaved({"copy": lambda: target.copy_(source)})["copy"]
    return found | {"copy_tb_per_second": 2 * 4 * source.numel() / float(seconds.min()) / 1e12}


@cache
def _screen(name: str, tiny: bool, **changes: int) -> PairedScreen:
    return random_screen(**shape_of(name, share=0.02 if tiny else 1.0, **changes))


def _step(card: Card, size: str, *, method: str = "infocore", precision: str = "fp32", **changes) -> Step:
    name, of_size = SIZES[size]
    settings = dict(of_size) | (dict(QUICK) if card.tiny else {}) | changes
    config = config_of(name, method=method, precision=PRECISIONS[precision][0], device=card.device, **settings)
    return Step(_screen(name, card.tiny), config)


def _warm(step: Step) -> None:
    """So many steps that every kind of minibatch has been recorded."""
    for _ in range(15):
        step.run()


def steps(card: Card) -> dict[str, dict]:
    """For each size and precision: launched and replayed over the card's own products of the same step."""
    found = {}
    for size, precision in MEASURED:
        with float32_products(precision):
            infocore, clip = (_step(card, size, method=method, precision=precision) for method in ("infocore", "clip"))
            one_by_one = _step(card, size, precision=precision)
            launched(one_by_one.trainer)
            work = {"infocore": infocore, "clip": clip, "launched": one_by_one}
            seconds = _beside_limits(card, work, precision) | card.interleaved({"load": infocore.load})
            peak = card.peak_bytes(one_by_one.run)
        kinds = len(infocore.kinds)
        found[f"{size}, {precision}"] = _ratios(seconds, kinds) | {
            "fraction_of_limit_launched": ratio(seconds["limit"], seconds["launched"]),
            "loading_share": ratio(seconds["load"], seconds["infocore"]),
            "gflop": flops(_products(infocore)) / 1e9,
            "peak_bytes": peak,
        }
        print(f"{size}, {precision}: {found[f'{size}, {precision}']}", flush=True)
    return found


def compiled(card: Card) -> dict[str, dict]:
    """The step in bfloat16 with networks and loss compiled, replayed: over its limit, and faster than not compiled."""
    found = {}
    for size in ("GE 4096", "GE 256"):
        with float32_products("bf16"):
            plain = _step(card, size, precision="bf16")
            start = time.perf_counter()
            fused = {m: _step(card, size, method=m, precision="bf16", compile=True) for m in ("infocore", "clip")}
            fused["infocore"].run()
            card.wait()
            first = time.perf_counter() - start
            seconds = _beside_limits(card, fused | {"plain": plain}, "bf16")
            launched(fused["infocore"].trainer)
            peak = card.peak_bytes(fused["infocore"].run)
        found[size] = _ratios(seconds, len(plain.kinds)) | {
            "faster": ratio(seconds["plain"], seconds["infocore"]),
            "seconds_to_compile": first,
            "peak_bytes": peak,
        }
        print(size, found[size], flush=True)
    return found


def _products(step: Step) -> list[tuple[int, int, int]]:
    return step_products(step.trainer.config, step.trainer.shapes)


def _beside_limits(card: Card, work: Mapping[str, Step], precision: str) -> dict[Hashable, np.ndarray]:
    """Seconds of a run of each step, and of the products alone of InfoCORE's and of CLIP's; in turn, all recorded before."""
    for step in work.values():
        _warm(step)
    kinds = len(work["infocore"].kinds)
    limits = {"limit": work["infocore"], "clip_limit": work["clip"]}
    products = {name: card.limit(_products(step), precision) for name, step in limits.items()}
    return card.interleaved(
        {name: step.run for name, step in work.items()}
        | {name: partial(_times, kinds, run) for name, run in products.items()}
    )


def _times(count: int, run: Callable[[], object]) -> None:
    for _ in range(count):
        run()


def _ratios(seconds: Mapping[Hashable, np.ndarray], kinds: int) -> dict:
    return {
        "fraction_of_limit": ratio(seconds["limit"], seconds["infocore"]),
        "infocore_over_clip": ratio(seconds["infocore"], seconds["clip"]),
        "infocore_over_clip_of_products": ratio(seconds["limit"], seconds["clip_limit"]),
        "seconds": {str(name): float(value.min()) / kinds for name, value in seconds.items()},
    }


def kernels(card: Card) -> dict[str, dict]:
    """What a step in bfloat16 launches: kernels, their time together, and those that take longest."""
    from torch.profiler import ProfilerActivity, profile

    activities = [ProfilerActivity.CUDA if card.device == "cuda" else ProfilerActivity.CPU]
    found = {}
    for size in ("GE 256", "GE 4096"):
        with ExitStack() as stack:
            stack.enter_context(float32_products("bf16"))
            step = _step(card, size, precision="bf16")
            launched(step.trainer)
            _warm(step)
            count = 2 if card.tiny else 10
            seconds = card.interleaved({"step": step.run}, calls=count, rounds=1)["step"]
            profiler = stack.enter_context(profile(activities=activities))
            for _ in range(count):
                step.run()
            card.wait()
        rows = [(row.key, row.self_device_time_total / 1e6, row.count) for row in profiler.key_averages()]
        rows.sort(key=lambda row: -row[1])
        steps, busy = count * len(step.kinds), sum(row[1] for row in rows)
        found[size] = {
            "kernels": sum(row[2] for row in rows) / steps,
            "busy": busy / steps,
            "seconds": float(seconds.min()) / len(step.kinds),
            "longest": [(key[:110], time / max(busy, 1e-12), n / steps) for key, time, n in rows[:25]],
        }
    return found


def against_dense(card: Card) -> list[dict]:
    """The loss, forward and backward, against the (n, m, n_B) formulation where that fits into the card."""
    anchors, candidates, batches = (8, 64, (5, 7)) if card.tiny else (256, 4352, (97, 256, 1019))
    found = []
    for n_batches in batches:
        forms = {name: work(name, anchors, candidates, n_batches, device=card.device) for name in FORMULATIONS}
        seconds = card.interleaved(dict(forms), calls=5)
        peak = {name: card.peak_bytes(run) for name, run in forms.items()}
        found.append(
            {
                "n_batches": n_batches,
                "dense_over_scalable_time": ratio(seconds["dense"], seconds["scalable"]),
                "bytes": peak,
            }
        )
    return found


def growth(card: Card) -> dict[str, list[dict]]:
    """Time of a step in bfloat16, replayed, as one size grows, over the time at the first value; and its peak memory."""
    axes = {"n_batches": (25, 1019, 10_000), "queue_size": (1024, 4096, 65_536)}
    if card.tiny:
        axes = {"n_batches": (25, 97), "queue_size": (64, 128)}
    found = {}
    for axis, values in axes.items():
        work, peak = {}, {}
        for value in values:
            with float32_products("bf16"):
                few = shape_of("GE", share=0.02 if card.tiny else 0.2)
                screen = random_screen(**few | ({axis: value} if axis == "n_batches" else {}))
                size = {axis: value} if axis == "queue_size" else {}
                quick = dict(QUICK) if card.tiny else {}
                config = config_of("GE", precision="bf16-mixed", device=card.device, **quick | size)
                step = Step(screen, config)
                peak[value] = card.peak_bytes(step.run)
                _warm(step)
                work[value] = step.run
        with float32_products("bf16"):
            seconds = card.interleaved(dict(work))
        found[axis] = [
            {axis: value, "growth": ratio(seconds[value], seconds[values[0]]), "peak_bytes": peak[value]}
            for value in values
        ]
    return found
