"""The simulation study: comparisons against scipy, resuming, the stored study, the reproduction board."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from infocore_mini.config import Config
from infocore_mini.evaluate.mixing import linear_probe
from infocore_mini.experiments import board
from infocore_mini.experiments.results import StoredResult, paper_table, stored
from infocore_mini.experiments.simulation import report
from infocore_mini.experiments.simulation import run as simulation
from infocore_mini.simulate.study import simulation_study


def frame(draws=6, seed=0):
    rng = np.random.default_rng(seed)
    rows = [
        {"draw": draw, "method": method, "view": view, "effect": rng.uniform(), "batch": rng.uniform()}
        for draw in range(draws)
        for method in simulation.METHODS
        for view in ("screen", "drug")
    ]
    return pd.DataFrame(rows).sample(frac=1, random_state=seed)


def test_paired_difference_is_the_paired_t_interval():
    rows = frame()
    found = report.paired_difference(rows, "infocore", "clip", view="drug")
    wide = rows[rows.view == "drug"].pivot(index="draw", columns="method", values="effect")
    test = stats.ttest_rel(100 * wide["infocore"], 100 * wide["clip"])
    low, high = test.confidence_interval(0.95)
    assert found["effect"] == pytest.approx((100 * (wide["infocore"] - wide["clip"])).mean())
    assert (found["effect_low"], found["effect_high"]) == pytest.approx((low, high))
    assert found["draws"] == 6


def test_share_of_draws_with_less_batch():
    rows = frame().sort_values(["draw", "method", "view"])
    rows["batch"] = np.where(rows.method == "infocore", 0.1, 0.2)
    rows.loc[(rows.draw == 0) & (rows.method == "infocore"), "batch"] = 0.3
    assert report.paired_difference(rows, "infocore", "clip")["batch_lower"] == pytest.approx(5 / 6)


def test_summary_is_in_percent_with_a_t_interval():
    rows = frame()
    found = report.summary(rows).loc["screen", "ccl"]
    values = 100 * rows[(rows.view == "screen") & (rows.method == "ccl")].effect
    low, high = stats.t.interval(0.95, len(values) - 1, values.mean(), stats.sem(values))
    assert found["effect"] == pytest.approx(values.mean())
    assert found["effect_ci95"] == pytest.approx((high - low) / 2)


def test_claims_can_fail():
    rows = frame(draws=20)
    rows["effect"] = rows.method.map({"clip": 0.5, "ccl": 0.6, "infocore": 0.8}) + 0.01 * rows.draw
    rows["batch"] = rows.method.map({"clip": 0.1, "ccl": 0.05, "infocore": 0.05})
    assert all(report.claims(rows).values())
    swapped = rows.assign(method=rows.method.map({"clip": "infocore", "infocore": "clip", "ccl": "ccl"}))
    assert not any(report.claims(swapped).values())


def test_run_gives_a_row_for_each_draw_method_and_view():
    rows = simulation.run(range(3, 5), ("clip", "infocore"), settings={"epochs": 1}, n_jobs=1)
    assert len(rows) == 2 * 2 * 2 and not rows.isna().any().any()
    assert rows[["effect", "batch"]].to_numpy().min() >= 0 and rows.draw.unique().tolist() == [3, 4]


def test_the_supervised_ceiling_falls_with_noise():
    ceilings = simulation.ceilings(range(1000, 1002), (0.25, 1.0), n_jobs=1)
    mean = ceilings.groupby("noise").ceiling.mean()
    assert mean[0.25] > mean[1.0] + 0.1


def test_a_changed_setting_is_run_again_and_an_unchanged_one_is_not(tmp_path, monkeypatch):
    """Rows of earlier settings must never stand under new parameters."""
    monkeypatch.setattr(simulation, "variants", lambda: {"default": [(0, "clip", {}, {})]})
    computed = []

    def train_on(study, config):
        computed.append(config.epochs)
        return config

    def score(study, config):
        return [{"view": view, "effect": config.epochs / 100, "batch": 0.0} for view in ("screen", "drug")]

    monkeypatch.setattr(simulation, "train_on", train_on)
    monkeypatch.setattr(simulation, "score", score)
    found = {}
    for epochs in (1, 2, 2):
        monkeypatch.setattr(simulation, "SETTINGS", {**simulation.SETTINGS, "epochs": epochs})
        record = StoredResult.read(simulation.store(tmp_path, tmp_path / "runs", n_jobs=1))
        assert record.parameters["epochs"] == epochs
        found[epochs] = record.results["default"]["effect"]
    assert found == {1: [0.01, 0.01], 2: [0.02, 0.02]} and computed == [1, 2]


def test_the_stored_study_is_complete_and_meets_its_own_claims():
    """The stored results carry their provenance; draws that chose the settings are not among them."""
    record = stored("simulation")
    assert {"commit", "packages", "hardware", "note"} <= set(record.provenance)
    assert record.parameters == json.loads(json.dumps({**simulation.GENERATOR, **simulation.SETTINGS}))
    rows = report.stored_rows()
    assert set(rows.variant) == set(simulation.variants())
    for name, tasks in simulation.variants().items():
        of_variant = rows[rows.variant == name]
        assert {(draw, method) for draw, method, *_ in tasks} == set(zip(of_variant.draw, of_variant.method))
    assert not set(rows.draw) & set(simulation.TUNING_DRAWS)
    default = rows[rows.variant == "default"]
    assert default.groupby(["method", "view"]).draw.nunique().min() >= 20
    for name, values in simulation.SWEEPS.items():
        assert sorted(report.sweep(rows, name)[name].unique()) == sorted(values)


def test_the_board_holds_every_printed_number_of_its_tables():
    found = board.board()
    methods = ["CLIP", "CCL", "InfoCORE"]
    assert not found.isna().any().any()
    printed = {row["method"]: row for row in paper_table("table6_simulation_linear_probe_accuracy")}
    for method in methods:
        for symbol, side in (("$Z_g$", "drug_screens"), ("$Z_d$", "drug_structure")):
            for target, name in (("effect", "effect"), ("batch", "batch")):
                cell = found.loc[found.what == f"{symbol}, {name} accuracy", method].item()
                assert cell.endswith(f"({printed[method][side][target][0]})")
    assert len(found[found.table == "6"]) == 4 and len(found[found.table.isin(["4", "9"])]) == 12


def test_infocore_beats_clip_on_a_simulated_draw():
    """The claim of the book in one short run: more effect, less batch. (Many draws: notebook 02.)"""
    study = simulation_study(7)
    rows = study.held_out
    scores = {}
    for method in ("clip", "infocore"):
        config = Config(**{**simulation.SETTINGS, "method": method, "epochs": 30})
        z = simulation.train_on(study, config).embed_screen(study.screen[rows])
        scores[method] = linear_probe(z, study.effect[rows])[0], linear_probe(z, study.batch_id[rows])[0]
    assert scores["infocore"][0] > scores["clip"][0] and scores["infocore"][1] < scores["clip"][1], scores
