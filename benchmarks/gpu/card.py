"""The device that is measured, and how time is taken on it."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.timing import products
from infocore_mini.training.graphs import Replayed
from infocore_mini.training.trainer import Trainer

# Name -> (precision of the configuration, precision of what stays in float32).
PRECISIONS = {"fp32": ("32-true", "highest"), "tf32": ("32-true", "high"), "bf16": ("bf16-mixed", "high")}


@dataclass(frozen=True)
class Card:
    """A device and the sizes of what runs on it.

    Attributes:
        device: "cuda", or "cpu" to try the program.
        tiny: sizes that say nothing of speed.
        output: folder for files.
    """

    device: str
    tiny: bool
    output: Path

    def about(self) -> dict[str, object]:
        """What the card says of itself."""
        if self.device == "cpu":
            return {"name": "cpu"}
        found = torch.cuda.get_device_properties(0)
        names = {"name": found.name, "bytes": found.total_memory, "multiprocessors": found.multi_processor_count}
        return names | {"capability": torch.cuda.get_device_capability(), "cuda": torch.version.cuda}

    def wait(self) -> None:
        """Until the device has done what it was told."""
        if self.device == "cuda":
            torch.cuda.synchronize()

    def interleaved(
        self, work: Mapping[Hashable, Callable[[], object]], *, calls: int = 10, rounds: int = 5
    ) -> dict[Hashable, np.ndarray]:
        """Seconds a call of each piece of work, name -> (rounds,), taken in turn; a first round does not count."""
        calls, rounds = (2, 1) if self.tiny else (calls, rounds)
        seconds = np.empty((rounds + 1, len(work)))
        for row in seconds:
            for column, run in enumerate(work.values()):
                self.wait()
                start = time.perf_counter()
                for _ in range(calls):
                    run()
                self.wait()
                row[column] = (time.perf_counter() - start) / calls
        return dict(zip(work, seconds[1:].T))

    def peak_bytes(self, run: Callable[[], object]) -> int:
        """Memory that the device's tensors take at most while it runs, above what they take before."""
        if self.device == "cpu":
            run()
            return 0
        self.wait()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        run()
        self.wait()
        return torch.cuda.max_memory_allocated() - before

    def recorded(self, run: Callable[[], object]) -> Callable[[], object]:
        """The same work as a CUDA graph, so that launching it takes no time; on a CPU as it is."""
        if self.device == "cpu":
            return run
        run()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            run()

        def replay(graph: torch.cuda.CUDAGraph = graph, keeps: Callable[[], object] = run) -> None:
            graph.replay()  # on the memory that ``keeps`` holds

        return replay

    def limit(self, shapes: Sequence[tuple[int, int, int]], precision: str) -> Callable[[], object]:
        """The matrix products of ``shapes`` alone, at a precision, launched at once."""
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        return self.recorded(products(shapes, device=self.device, dtype=dtype))


def launched(trainer: Trainer) -> Trainer:
    """The same trainer, whose steps are launched kernel by kernel and never replayed."""
    if isinstance(trainer.train_on, Replayed):
        trainer.train_on = trainer.train_on.step
    return trainer


@contextmanager
def float32_products(precision: str) -> Iterator[None]:
    """How products of float32 matrices are worked out, by a name of `PRECISIONS`."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(PRECISIONS[precision][1])
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
