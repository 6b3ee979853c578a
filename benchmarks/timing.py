"""How things are measured: in turn, so that a busy machine slows all alike."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch


def interleaved(work: Mapping[Hashable, Callable[[], object]], repeats: int) -> dict[Hashable, np.ndarray]:
    """CPU seconds of each piece of work, name -> (repeats,), all taken in turn after one round that does not count.

    CPU time of this process, so that other programs on the same machine count as little as possible.
    """
    seconds = np.empty((repeats + 1, len(work)))
    for row in seconds:
        for column, run in enumerate(work.values()):
            start = time.process_time()
            run()
            row[column] = time.process_time() - start
    return dict(zip(work, seconds[1:].T))


def ratio(numerator: np.ndarray, denominator: np.ndarray) -> dict[str, float]:
    """Median and quartiles of the ratios of two measurements that were taken in turn, and the ratio of the best two."""
    low, median, high = np.quantile(numerator / denominator, (0.25, 0.5, 0.75))
    return {"median": median, "low": low, "high": high, "best": numerator.min() / denominator.min()}


def available_bytes() -> int:
    """Memory that is free now (where the system says so; else a third of what it has)."""
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except OSError:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 3


def bfloat16_instructions() -> list[str]:
    """What this processor offers for bfloat16, by its own account; empty where the system does not say."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return []
    return sorted({flag for flag in flags.split() if "bf16" in flag})


def products(shapes: Sequence[tuple[int, int, int]], dtype: torch.dtype = torch.float32) -> Callable[[], None]:
    """Work that is nothing but matrix products (n, k) @ (k, m), one for each (n, k, m), into memory at hand."""
    operands = [
        (torch.randn(n, k).to(dtype), torch.randn(m, k).to(dtype).T, torch.empty(n, m, dtype=dtype))
        for n, k, m in shapes
    ]

    def run() -> None:
        for left, right, out in operands:
            torch.mm(left, right, out=out)

    return run


def linear_products(n: int, layers: Sequence[tuple[int, int]], *, backward: bool) -> list[tuple[int, int, int]]:
    """Products of a chain of linear layers (inputs, outputs) on n rows; ``backward``: of its gradients instead.

    The gradient of every weight, and of every layer's input but the first's.
    """
    if not backward:
        return [(n, n_in, n_out) for n_in, n_out in layers]
    weights = [(n_out, n, n_in) for n_in, n_out in layers]
    return weights + [(n, n_out, n_in) for n_in, n_out in layers[1:]]


def flops(shapes: Sequence[tuple[int, int, int]]) -> int:
    """Multiplications and additions of the products."""
    return sum(2 * n * k * m for n, k, m in shapes)
