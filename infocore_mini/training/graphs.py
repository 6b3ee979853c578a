"""A training step on a GPU as CUDA graphs: recorded once for each kind of minibatch, then replayed.

A step is some hundred kernels of a few microseconds each. Launched one by one from Python they keep the GPU waiting; a
graph launches all of them at once. The arithmetic, the memory it works on and the random numbers are the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable
from typing import Any

import torch
from torch import Tensor

from infocore_mini.training.pairs import Minibatch

_WORTH = 10  # steps of a kind before it is recorded: recording takes as long as some tens of launched steps


class Replayed:
    """A step that is launched kernel by kernel at first, and replayed as a graph once its kind has come often enough.

    What is recorded may not wait for the GPU, and works in place on whatever outlives it: weights, moments, queues.

    Args:
        step: of a minibatch and a flag; returns one tensor.
    """

    def __init__(self, step: Callable[[Minibatch, bool], Tensor]) -> None:
        self.step = step
        self.stream = torch.cuda.Stream()  # of everything before and during a recording, as PyTorch asks for
        self.pool: Any = None  # memory that all graphs work in, one after the other
        self.seen: Counter[Hashable] = Counter()
        self.graphs: dict[Hashable, tuple[torch.cuda.CUDAGraph, Minibatch, Tensor]] = {}

    def __call__(self, minibatch: Minibatch, learns: bool) -> Tensor:
        """The step of this minibatch; ``learns`` is handed on."""
        kind = (learns, _kind(minibatch))
        self.seen[kind] += 1
        if kind in self.graphs:
            graph, inputs, output = self.graphs[kind]
            _copy(minibatch, inputs)
        elif self.seen[kind] <= _WORTH:
            self.stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self.stream):
                output = self.step(minibatch, learns)
            torch.cuda.current_stream().wait_stream(self.stream)
            return output
        else:
            inputs, graph = _cloned(minibatch), torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=self.pool, stream=self.stream):
                output = self.step(inputs, learns)
            self.pool = graph.pool()
            self.graphs[kind] = graph, inputs, output
        graph.replay()
        return output.clone()  # the next replay writes over it


def _kind(value: Any) -> Hashable:
    """Shapes and types of the tensors in nested tuples, and the values of all else: what a recording is made for."""
    if isinstance(value, Tensor):
        return value.shape, value.dtype
    return tuple(map(_kind, value)) if isinstance(value, tuple) else value


def _cloned(value: Any) -> Any:
    """The same nested tuples with copies of the tensors."""
    if isinstance(value, Tensor):
        return value.clone()
    if not isinstance(value, tuple):
        return value
    copies = map(_cloned, value)
    return type(value)(*copies) if hasattr(value, "_fields") else tuple(copies)


def _copy(source: Any, target: Any) -> None:
    """Copy the tensors of nested tuples into those of ``target``."""
    if isinstance(source, Tensor):
        target.copy_(source)
    elif isinstance(source, tuple):
        for one, other in zip(source, target, strict=True):
            _copy(one, other)
