"""Benchmarks run, count what they claim to count, and compare two forms of the same loss. No speed is tested."""

import json

import numpy as np
import pytest
import torch

from benchmarks import formulations, loss, step, timing


def test_both_formulations_have_the_same_gradient():
    forms = [formulations.work(name, 8, 20, 5)() for name in formulations.FORMULATIONS]
    torch.testing.assert_close(*forms)


def test_products_are_those_of_the_layers():
    """The count equals what torch itself counts in a step."""
    from torch.utils.flop_counter import FlopCounterMode

    for method in ("infocore", "clip"):
        config = step.config_of("CP", method=method, **step.QUICK)
        measured = step.Step(step.random_screen(**step.shape_of("CP", share=0.01)), config)
        measured.run()
        with FlopCounterMode(display=False) as counter:
            measured.run()
        counted = timing.flops(step.step_products(config, measured.trainer.shapes))
        # mixing replicates is a product too, of the data and not of the networks
        mixing = 2 * config.minibatch_size * 4 * 701
        assert counter.get_total_flops() == pytest.approx(counted + mixing, rel=1e-6)


def test_ratios_are_of_pairs_measured_in_turn():
    found = timing.ratio(np.array([2.0, 6.0, 4.0]), np.array([1.0, 2.0, 4.0]))
    assert (found["median"], found["best"]) == (2.0, 2.0)
    seconds = timing.interleaved({"none": lambda: None, "some": lambda: sum(range(100_000))}, 3)
    assert len(seconds["none"]) == 3 and (seconds["some"] > seconds["none"]).all()


@pytest.mark.parametrize("program", [loss, step])
def test_a_quick_run_stores_its_results(program, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["benchmark", "--quick", "--repeats", "2", "--output", str(tmp_path)])
    monkeypatch.chdir(loss.Path(__file__).parents[1])
    threads = torch.get_num_threads()
    program.main()
    torch.set_num_threads(threads)
    (stored,) = (tmp_path / "results").glob("benchmark_*.json")
    assert json.loads(stored.read_text())["results"]
