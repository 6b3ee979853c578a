"""The simulation experiment: comparisons against scipy, the stored grid, the reproduction board."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from infocore_mini.config import Config
from infocore_mini.evaluate.mixing import linear_probe
from infocore_mini.experiments import board
from infocore_mini.experiments.results import paper_table
from infocore_mini.experiments.simulation import run as simulation
from infocore_mini.simulate.study import simulation_study
from infocore_mini.sources import data_file


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
    found = simulation.paired_difference(rows, "infocore", "clip", view="drug")
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
    assert simulation.paired_difference(rows, "infocore", "clip")["batch_lower"] == pytest.approx(5 / 6)


def test_summary_is_in_percent_with_a_t_interval():
    rows = frame()
    found = simulation.summary(rows).loc["screen", "ccl"]
    values = 100 * rows[(rows.view == "screen") & (rows.method == "ccl")].effect
    low, high = stats.t.interval(0.95, len(values) - 1, values.mean(), stats.sem(values))
    assert found["effect"] == pytest.approx(values.mean())
    assert found["effect_ci95"] == pytest.approx((high - low) / 2)


def test_claims_can_fail():
    rows = frame(draws=20)
    rows["effect"] = rows.method.map({"clip": 0.5, "ccl": 0.6, "infocore": 0.8}) + 0.01 * rows.draw
    rows["batch"] = rows.method.map({"clip": 0.1, "ccl": 0.05, "infocore": 0.05})
    assert all(simulation.claims(rows).values())
    swapped = rows.assign(method=rows.method.map({"clip": "infocore", "infocore": "clip", "ccl": "ccl"}))
    assert not any(simulation.claims(swapped).values())


def test_run_gives_a_row_for_each_draw_method_and_view():
    rows = simulation.run(range(3, 5), ("clip", "infocore"), settings={"epochs": 1}, n_jobs=1)
    assert len(rows) == 2 * 2 * 2 and not rows.isna().any().any()
    assert rows[["effect", "batch"]].to_numpy().min() >= 0 and rows.draw.unique().tolist() == [3, 4]


def test_the_supervised_ceiling_falls_with_noise():
    ceilings = simulation.ceilings(range(1000, 1002), (0.25, 1.0), n_jobs=1)
    mean = ceilings.groupby("noise").ceiling.mean()
    assert mean[0.25] > mean[1.0] + 0.1


def test_the_stored_grid_is_complete_and_meets_its_own_claims():
    """The stored results carry their provenance; draws that chose the settings are not among them."""
    path = data_file("results/simulation.json")
    record = json.loads(path.read_text())
    assert {"commit", "packages", "hardware", "wall_time_seconds"} <= set(record["provenance"])
    assert record["parameters"] == json.loads(json.dumps({**simulation.GENERATOR, **simulation.SETTINGS}))
    grid = simulation.load_grid(path)
    assert set(grid.variant) == {name for name, _ in simulation._grid()}
    assert not set(grid.draw) & set(simulation.TUNING_DRAWS)
    default = grid[grid.variant == "default"]
    assert default.groupby(["method", "view"]).draw.nunique().min() >= 20
    for name, values in simulation.SWEEPS.items():
        rows = simulation.sweep(grid, name)
        assert sorted(rows[name].unique()) == sorted(values)


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
