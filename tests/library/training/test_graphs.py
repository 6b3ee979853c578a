"""Recording and replaying a step, with a stand-in for CUDA: which calls launch, which replay, and on what memory."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch

from infocore_mini.training import graphs
from infocore_mini.training.pairs import Minibatch


class Tape:
    """Stands in for ``torch.cuda``: a recording is a call, done again by every replay."""

    def __init__(self) -> None:
        self.recorded = self.replays = 0

    def new_graph(self):
        self.recorded += 1

        def replay() -> None:
            self.replays += 1
            self.again()

        return SimpleNamespace(replay=replay, pool=lambda: "pool")

    def new_stream(self):
        return SimpleNamespace(wait_stream=lambda other: None)

    def stream(self, _):
        return nullcontext()

    def graph(self, graph, pool, stream):
        return nullcontext()


@pytest.fixture
def tape(monkeypatch) -> Tape:
    found = Tape()
    names = {"CUDAGraph": found.new_graph, "Stream": found.new_stream, "current_stream": found.new_stream}
    for name, value in (names | {"stream": found.stream, "graph": found.graph}).items():
        monkeypatch.setattr(torch.cuda, name, value)
    return found


def minibatch(n: int, value: float, line: int | None = None) -> Minibatch:
    return Minibatch(torch.full((n, 2), value), torch.zeros(n, 3), torch.arange(n), only_line=line)


def summed(tape: Tape) -> graphs.Replayed:
    """A step that returns the sum of the drugs; what was recorded works on the memory it was recorded with."""

    def step(of: Minibatch, learns: bool) -> torch.Tensor:
        output = of.drug.sum()[None] * (1 if learns else -1)

        def again() -> None:
            output.copy_(of.drug.sum()[None] * (1 if learns else -1))

        tape.again = again
        return output

    return graphs.Replayed(step)


def test_a_kind_is_launched_at_first_and_replayed_from_then_on(tape):
    step = summed(tape)
    values = [float(step(minibatch(4, value), True)) for value in range(graphs._WORTH + 3)]
    assert values == [8.0 * value for value in range(graphs._WORTH + 3)]
    assert (tape.recorded, tape.replays) == (1, 3) and step.pool == "pool"


def test_every_kind_is_recorded_by_itself(tape):
    step = summed(tape)
    kinds = [(4, None, True), (4, None, False), (4, 0, True), (5, None, True)]
    for n, line, learns in kinds:
        for value in range(graphs._WORTH + 1):
            assert float(step(minibatch(n, value, line), learns)) == (1 if learns else -1) * 2 * n * value
    assert tape.recorded == len(kinds) and len(step.graphs) == len(kinds)


def test_a_result_outlives_the_next_replay(tape):
    step = summed(tape)
    kept = [step(minibatch(3, value), True) for value in range(graphs._WORTH + 4)]
    assert [float(value) for value in kept] == [6.0 * value for value in range(graphs._WORTH + 4)]


def test_nested_labels_are_copied_too(tape):
    first, second = minibatch(2, 1.0), minibatch(2, 2.0)
    nested = [of._replace(batch_id=(of.batch_id + k, of.drug)) for k, of in enumerate((first, second))]
    inputs = graphs._cloned(nested[0])
    graphs._copy(nested[1], inputs)
    assert torch.equal(inputs.batch_id[0], nested[1].batch_id[0]) and torch.equal(inputs.drug, second.drug)
    assert graphs._kind(nested[0]) == graphs._kind(nested[1]) != graphs._kind(first)
