"""Benchmarks run, count what they claim to count, and compare two forms of the same loss. No speed is tested."""

import json

import numpy as np
import pytest
import torch

from benchmarks import evaluate, formulations, loss, step, timing
from benchmarks.gpu import __main__ as gpu
from infocore_mini.experiments.performance import gpu as gpu_report
from infocore_mini.experiments.performance import report as performance
from infocore_mini.experiments.results import stored
from infocore_mini.featurize import mol2vec


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


def test_the_program_for_a_gpu_runs_on_a_cpu(tmp_path):
    """Every stage, at sizes that say nothing of speed; where no GPU is, a GPU's part of the work is left out."""
    gpu.main(["--device", "cpu", "--tiny", "--output", str(tmp_path)])
    found = json.loads((tmp_path / "results" / "benchmark_gpu.json").read_text())["results"]
    assert {stage: found[stage]["error"] for stage in gpu.STAGES if "error" in found[stage]} == {}
    assert all(row["bitwise"] for name, row in found["repeats"].items() if name != "read_on_a_cpu")
    assert max(part for row in found["losses"].values() for part in row.values()) == 0


def test_a_stage_that_fails_leaves_the_others(tmp_path, monkeypatch):
    def fail(card):
        raise RuntimeError("no such kernel")

    monkeypatch.setattr(gpu, "STAGES", {"losses": fail, "ceilings": gpu.STAGES["ceilings"]})
    gpu.main(["--device", "cpu", "--tiny", "--output", str(tmp_path), "--stages", "losses", "ceilings"])
    found = json.loads((tmp_path / "results" / "benchmark_gpu.json").read_text())["results"]
    assert found["losses"] == {"error": "RuntimeError: no such kernel"} and found["ceilings"]["tflops_fp32"] > 0


@pytest.mark.parametrize("name", evaluate.CALLS)
def test_every_function_of_the_evaluation_takes_the_benchmarks_input(name):
    evaluate.CALLS[name](evaluate.Inputs(400))


def test_the_evaluation_takes_little_above_its_input(tmp_path, monkeypatch):
    """Small tables of every block of 8,000 conditions kept 1.1 GB of the heap from being used again."""
    monkeypatch.setattr("sys.argv", ["benchmark", "--rows", "8000", "--output", str(tmp_path)])
    monkeypatch.setattr(evaluate, "CALLS", {"same_batch_share": ...})  # the process that measures has them all
    monkeypatch.chdir(loss.Path(__file__).parents[1])
    evaluate.main()
    found = json.loads((tmp_path / "results" / "benchmark_evaluate.json").read_text())["results"]
    assert 0 < found["same_batch_share"] < 4e8


def results(name: str) -> dict:
    return stored(f"benchmark_{name}").results


def test_the_stored_loss_is_fast_small_and_flat():
    """At gene-expression size, as far as the dense formulation fits; a stored figure, not a timing of this machine."""
    dense = [row for row in results("loss")["against_dense"] if row["dense_fits"] and row["candidates"] == 4097]
    largest = max(dense, key=lambda row: row["n_batches"])
    assert largest["dense_over_scalable_time"]["median"] >= 50 and largest["dense_over_scalable_bytes"] >= 20
    flat = {row["n_batches"]: row["growth"]["median"] for row in results("loss")["growth_in_n_B"]}
    assert flat[97] == 1 and flat[1019] < 1.3


def test_the_stored_step_is_near_its_limit():
    """0.7 on the processor of the first measurement, whose products were slower; a stored figure of another machine now."""
    for name, row in results("step")["step"].items():
        assert row["fraction_of_limit"]["median"] >= 0.55, name


def test_what_the_page_says_of_a_gpu_is_what_was_measured(root):
    page, found = (root / "notebooks" / "10_performance.py").read_text(encoding="utf-8"), results("gpu")
    assert not [name for name, row in found.items() if isinstance(row, dict) and "error" in row]
    assert found["card"]["name"] != "cpu" and not stored("benchmark_gpu").parameters["tiny"]
    losses = {name: max(row.values()) for name, row in found["losses"].items()}
    assert max(value for name, value in losses.items() if "float64" in name) < 1e-13
    assert max(value for name, value in losses.items() if "float32" in name) < 1e-5
    assert max(value for row in found["training"].values() for value in row.values()) < 1e-5
    assert all(row["bitwise"] for name, row in found["repeats"].items() if name != "read_on_a_cpu")
    assert found["repeats"]["read_on_a_cpu"]["difference"] < 1e-5
    small, large = found["kernels"]["GE 256"], found["kernels"]["GE 4096"]
    assert "more than a thousand kernels" in page and min(small["kernels"], large["kernels"]) > 1000
    assert "ten times as long as their work" in page and small["seconds"] > 10 * small["busy"]
    assert "added up the gradient of the heads' biases" in page and "indexing_backward" in large["longest"][0][0]
    assert "half the speed of the card's own products" in page
    share = found["compiled"][gpu_report.LARGEST]["fraction_of_limit"]["median"]
    assert gpu_report.SHARE_OF_PRODUCTS <= share < 0.55
    assert "it reaches the half" in gpu_report.steps_in_words() and "not within the 1.3" in gpu_report.steps_in_words()
    for row in found["study"].values():
        assert row["accuracy"] == pytest.approx(row["cpu"]["accuracy"], abs=0.03)


def test_the_stored_memory_is_small():
    """At gene-expression shape, all queues filled, imports of Python and torch included."""
    assert results("step")["memory"]["GE"]["above_data_bytes"] < 1e9


def test_molecules_that_repeat_are_counted():
    config = step.config_of("CP", **step.QUICK | {"minibatch_size": 60})
    assert step.repeated_molecules("CP", config, share=0.002) == 0
    # 180 conditions of 2 molecules on nine lines: at most 2 of the rows of a minibatch are needed
    few = dict(n_drugs=2, n_conditions=180, n_batches=9)
    config = step.config_of("GE", **step.QUICK | {"minibatch_size": 10})
    assert 0.7 < step.repeated_molecules("GE", config, **few) <= 0.8


def test_the_stored_features_are_equal_and_faster():
    found = results("featurise")
    assert found["times_faster"]["package"]["median"] >= 3 and found["largest_difference_relative"] < 1e-5
    assert found["molecules"] > 41_000


@pytest.mark.parametrize("program", performance.NAMES)
def test_stored_benchmarks_say_where_they_come_from(program):
    made = stored(program).provenance
    assert made["commit"] and made["hardware"]["cores"]


@pytest.mark.parametrize(
    "table",
    ["loss_against_dense", "growth", "step_shares", "step_memory", "scaling"]
    + ["retrieval_shares", "retrieval_rivals", "retrieval_memory", "mol2vec_speed"],
)
def test_tables_of_the_chapter_are_filled(table):
    rows = getattr(performance, table)()
    assert len(rows) >= 2 and rows.select_dtypes("number").notna().any().all()


def test_featurise_compares_equal_numbers():
    from benchmarks.featurise import _OldModel, packages_own

    smiles = ["CCO", "c1ccccc1C(=O)O", "[2H]OC", "C[N+](C)(C)C.[Cl-]"]
    np.testing.assert_allclose(
        mol2vec(smiles), packages_own(smiles, _OldModel.ours(), rewritten=True), rtol=1e-4, atol=1e-5
    )


def test_what_the_page_says_by_itself_is_what_is_stored(root):
    page = (root / "notebooks" / "10_performance.py").read_text(encoding="utf-8")
    growth = performance.growth().set_index("n_B")["time"]
    assert "the same time for a hundred experimental batches as for a thousand" in page and abs(growth[1019] - 1) < 0.05
    shares = performance.step_shares()
    assert "about three fifths of the speed of its own matrix products on the processor that was measured" in page
    times = performance.over_clip()
    assert "by two fifths at the paper's gene-expression size and a fifth at its cell-painting size" in page
    assert 1.35 < times["GE"] < 1.45 and 1.15 < times["CP"] < 1.25
    faq = (root / "book" / "faq.md").read_text(encoding="utf-8")
    assert "a step takes two fifths longer than CLIP's" in faq
    assert 55 < shares["of the limit (%)"].min() < shares["of the limit (%)"].max() < 70
    assert "take less than two hundredths" in page and shares["loading and augmentation (%)"].max() < 2
    soft = performance.soft_labels()
    assert "cost little more than hard ones" in page and (soft["time"] <= 1.15).all() and (soft["memory"] <= 1.15).all()
    assert "would not come near to all of it" in page and (performance.bfloat16_shares()["reachable (%)"] < 75).all()
    rivals = performance.retrieval_rivals()
    faiss = rivals[rivals["against"] == "faiss, exact"].set_index("queries")["times faster"]
    assert "ours is slower for one query and for a thousand, and faster in between" in page
    assert faiss[1] < 1 and faiss[1000] < 1 < faiss[32]
    assert (
        "the process stays at a few hundred megabytes" in page
        and performance.retrieval_memory().loc["blocks"].max() < 0.5
    )
    assert "Compiling gains nothing on a processor" in page
    assert performance.step_options().xs("compiled", level="networks")["high"].max() < 1


def test_words_are_those_of_the_tables():
    table = performance.loss_against_dense().dropna()["times faster"]
    assert f"{table.min():.0f} to {table.max():.0f} times faster" in performance.against_dense_in_words()
    assert performance.bfloat16_in_words().startswith("No mean change is larger than 1 %")
