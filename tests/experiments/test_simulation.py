"""The simulation study: comparisons against scipy, sentences that can flip, resuming, the stored studies, the board."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from infocore_mini.config import Config
from infocore_mini.evaluate.mixing import batch_mixing_entropy, knn_purity, linear_probe
from infocore_mini.experiments.records import Record
from infocore_mini.experiments.results import StoredResult, stored
from infocore_mini.experiments.simulation import chance, figures, negatives, readings, report, studies
from infocore_mini.experiments.simulation import run as simulation
from infocore_mini.simulate.study import simulation_study
from infocore_mini.training.pairs import Pairs, sample

ROOT = Path(__file__).parents[2]


def frame(draws=6, seed=0):
    rng = np.random.default_rng(seed)
    rows = [
        {"draw": draw, "method": method, "view": view, "effect": rng.uniform(), "batch": rng.uniform()}
        for draw in range(draws)
        for method in simulation.METHODS
        for view in ("screen", "drug")
    ]
    return pd.DataFrame(rows).sample(frac=1, random_state=seed)


def test_a_difference_is_the_paired_t_interval():
    rows = frame()
    found = report.difference(rows, "infocore", "clip", view="drug")
    wide = rows[rows.view == "drug"].pivot(index="draw", columns="method", values="effect")
    test = stats.ttest_rel(100 * wide["infocore"], 100 * wide["clip"])
    low, high = test.confidence_interval(0.95)
    assert found.mean == pytest.approx((100 * (wide["infocore"] - wide["clip"])).mean())
    assert (found.low, found.high) == pytest.approx((low, high))


def test_a_difference_takes_the_draws_that_both_have():
    rows = frame()
    fewer = rows[(rows.method != "infocore") | (rows.draw < 4)]
    both = report.difference(rows[rows.draw < 4], "infocore", "clip")
    assert report.difference(fewer, "infocore", "clip") == both


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (1, 9, "higher"),
        (-9, -1, "lower"),
        (1, 2, "higher, but within the margin"),
        (-2, 2, "level"),
        (-9, 9, "not told apart (would see 7.0)"),
        (-1, 4, "not told apart (would see 7.0)"),
        (np.nan, np.nan, "without an interval"),
    ],
)
def test_a_verdict_follows_the_interval_and_the_margin(low, high, verdict):
    assert report.Difference((low + high) / 2, low, high, detectable=7.0, margin=3.0).verdict == verdict


def test_less_batch_counts_draws():
    rows = frame().sort_values(["draw", "method", "view"])
    rows["batch"] = np.where(rows.method == "infocore", 0.1, 0.2)
    rows.loc[(rows.draw == 0) & (rows.method == "infocore"), "batch"] = 0.3
    assert readings.less_batch(rows) == "5 of 6 draws on $Z_g$ and 5 of 6 draws on $Z_d$"


def test_summary_is_in_percent_with_a_t_interval():
    rows = frame()
    found = report.summary(rows).loc["screen", "ccl"]
    values = 100 * rows[(rows.view == "screen") & (rows.method == "ccl")].effect
    low, high = stats.t.interval(0.95, len(values) - 1, values.mean(), stats.sem(values))
    assert found["effect"] == pytest.approx(values.mean())
    assert found["effect_ci95"] == pytest.approx((high - low) / 2)


def graded(draws=20):
    """More effect and less batch from CLIP to CCL to InfoCORE, with scatter between draws that pairing removes."""
    rows = frame(draws=draws)
    rows["effect"] = rows.method.map({"clip": 0.5, "ccl": 0.6, "infocore": 0.8}) + 0.01 * rows.draw % 0.07
    rows["batch"] = rows.method.map({"clip": 0.1, "ccl": 0.07, "infocore": 0.05}) + 0.001 * rows.draw % 0.003
    return rows


def test_the_claim_against_clip_can_fail():
    rows = graded()
    assert readings.stands(rows)
    assert not readings.stands(
        rows.assign(method=rows.method.map({"clip": "infocore", "infocore": "clip", "ccl": "ccl"}))
    )
    one_view = rows.assign(effect=rows.effect.where((rows.view == "screen") | (rows.method != "infocore"), 0.3))
    assert not readings.stands(one_view)


def test_the_sentence_on_a_comparison_names_both_views():
    rows = graded()
    assert "**higher** on both views ($Z_g$ +30.0" in readings.on_both_views(rows, "infocore", "clip", "effect")
    rows["effect"] = rows.effect.where((rows.view == "screen") | (rows.method != "infocore"), 0.3)
    found = readings.on_both_views(rows, "infocore", "clip", "effect")
    assert found.startswith("**higher** on $Z_g$ (") and " and **lower** on $Z_d$ (" in found


def test_only_the_methods_at_hand_are_compared():
    rows = graded()
    assert len(report.comparisons(rows)) == 6
    assert len(report.comparisons(rows[rows.method != "ccl"])) == 2
    assert len(report.comparisons(rows[rows.method == "clip"])) == 0
    one_draw = report.comparisons(rows[rows.draw == 0])
    assert set(one_draw["effect verdict"]) == {"without an interval"}


def test_purity_and_entropy_by_chance_are_what_random_neighbours_give():
    rng = np.random.default_rng(0)
    batch_id = np.repeat(np.arange(6), [9, 10, 12, 14, 15, 8])
    x, sizes = rng.normal(size=(len(batch_id), 5)), (1, 3, 8)
    drawn = [rng.normal(size=(len(batch_id), 9)) for _ in range(100)]
    purity = np.mean([knn_purity(x, z, batch_id, k=sizes) for z in drawn], axis=0)
    entropy = np.mean([batch_mixing_entropy(z, batch_id, k=sizes) for z in drawn], axis=0)
    assert chance.purity_by_chance(batch_id, k=sizes) == pytest.approx(purity, abs=0.01)
    assert chance.entropy_by_chance(batch_id, k=sizes) == pytest.approx(entropy, abs=0.01)


def test_own_batch_negatives_are_counted_as_minibatches_are_drawn():
    """At random every other sample is of the anchor's batch with probability 49/1249; from one batch all of them are."""
    count = {
        name: np.mean(
            [
                chance.own_batch_negatives(simulation_study(s), simulation.config_of("ccl", s, settings))
                for s in range(8)
            ]
        )
        for name, settings in studies.COMPOSITIONS.items()
    }
    assert count[studies.RANDOM] == pytest.approx(63 * 49 / 1249, abs=0.15)
    assert count["random, 128"] == pytest.approx(127 * 49 / 1249, abs=0.25)
    assert count["one batch, 6"] == pytest.approx(count["random, 128"], abs=0.5)
    assert count[studies.ONE_BATCH] == pytest.approx(624 * 49 / 1249, abs=0.8)


def test_the_compositions_have_equal_steps():
    study = simulation_study(0)
    rows = study.train
    batch_id = study.batch_id[rows]
    pairs = Pairs(study.drug[rows], study.screen[rows], batch_id, 25)

    def steps(settings):
        config = simulation.config_of("ccl", 0, settings)
        return config.epochs * len(sample(pairs, config))

    assert {steps(settings) for settings in studies.COMPOSITIONS.values()} == {1080}
    assert [steps(settings) / 1080 for settings in studies.LONGER.values()] == pytest.approx([2.8, 2.8], abs=0.05)


def test_loss_curves_keep_the_first_and_the_last_epoch():
    def record(draw, method, epochs):
        losses = [{"contrastive": 10.0 * draw + epoch, "classifier": 1.0} for epoch in range(1, epochs + 1)]
        return Record("simulation", {"config": {"method": method}}, {"scores": [], "losses": losses}, {})

    curves = studies.loss_curves([record(0, "clip", 120), record(1, "clip", 120), record(0, "ccl", 7)])
    clip = curves[curves.method == "clip"]
    assert clip.epoch.tolist() == [1, *range(10, 121, 10)]
    assert clip.contrastive.tolist() == [epoch + 5.0 for epoch in clip.epoch]
    assert clip.contrastive_sd.to_numpy() == pytest.approx(10 / 2**0.5)
    assert curves[curves.method == "ccl"].epoch.tolist() == list(range(1, 8))


def test_a_curve_that_still_falls_is_not_called_flat():
    def curve(values, name):
        return pd.DataFrame({"variant": name, "method": "clip", "epoch": range(len(values)), "contrastive": values})

    losses = pd.concat([curve([2.0, 1.0, 0.999], "default"), curve([2.0, 1.5, 1.0], "longer")])
    assert readings.convergence(losses)["flat"].tolist() == [True, False]
    assert "1 of 2 curves are flat" in readings.flat(losses) and "CLIP at longer (50.0 %)" in readings.flat(losses)


def test_the_noise_is_picked_by_the_rule_or_not_at_all():
    found = pd.DataFrame({"noise": [0.25, 0.5, 1.0], "ceiling": [0.97, 0.9, 0.7]})
    assert "The rule takes $\\sigma = 0.5$; this page runs at $\\sigma = 1$" in readings.noise_rule(found, 1.0)
    assert "takes none of them" in readings.noise_rule(found.assign(ceiling=0.5), 0.5)


def test_a_live_run_says_what_it_changes_and_when_it_proves_nothing():
    default = {name.upper(): value for name, value in {**simulation.GENERATOR, **simulation.SETTINGS}.items()}
    assert readings.live(range(3), default) == "> Live: 3 draws from 0 on, at the settings of the stored study."
    changed = readings.live(range(999, 1003), default | {"ALPHA": 0.5})
    assert "at changed settings: `ALPHA = 0.5`" in changed and "prove nothing" in changed


def test_neighbours_are_read_where_chance_leaves_room():
    levels = readings.neighbour_chance(range(2))
    assert readings.readable(levels) == [2, 5, 10]
    rows = graded()
    for k in simulation.NEIGHBOURS:
        rows[f"purity_{k}"] = 0.9 if k < 20 else rows.method.map({"clip": 0.9, "ccl": 0.9, "infocore": 0.8})
        rows[f"entropy_{k}"] = rows.effect * levels.entropy[k]
    rows["purity_2"] = rows.effect
    found = readings.neighbourhoods(rows, levels)
    assert "purity, in points, is **higher** (at 2: +30.0" in found
    assert "**not told apart** (at 5: +0.0" in found
    assert "At 20 neighbours it is lower (\u221210.0" in found


def test_run_gives_a_row_for_each_draw_method_and_view():
    rows = simulation.run(range(3, 5), ("clip", "infocore"), settings={"epochs": 1}, n_jobs=1)
    assert len(rows) == 2 * 2 * 2 and not rows.isna().any().any()
    assert rows[["effect", "batch"]].to_numpy().min() >= 0 and rows.draw.unique().tolist() == [3, 4]


def test_stages_are_the_same_training_stopped_early_and_are_drawn_with_words():
    study, few = simulation_study(0), {"epochs": 4, "gradient_scale": 0.0}
    models = {
        method: simulation.train_on(study, simulation.config_of(method, 0, few)) for method in ("clip", "infocore")
    }
    found = simulation.stages(study, models)
    assert list(found) == ["screens, epoch 1", "screens, trained", "drugs, trained"]
    first = simulation.train_on(study, simulation.config_of("clip", 0, {**few, "epochs": 1}))
    screen = study.screen[study.held_out]
    np.testing.assert_array_equal(found["screens, epoch 1"]["clip"], first.embed_screen(screen))
    assert first.history[0]["contrastive"] == models["clip"].history[0]["contrastive"], (
        "the beginning of the longer one"
    )
    effect, batch_id = study.effect[study.held_out], study.batch_id[study.held_out]
    page = (ROOT / "notebooks" / "02_simulation.py").read_text(encoding="utf-8")
    assert f"{figures.RING} of the {len(screen)}." in page
    drawn = figures.embedding_rings(found, effect, batch_id, first="screens, trained")
    assert drawn.first == 1 and [frame.label for frame in drawn.frames] == list(found)
    z = np.asarray(found["drugs, trained"]["clip"])
    cosine = z @ z.T - 3 * np.eye(len(z))
    shared = np.mean(np.asarray(batch_id) == np.asarray(batch_id)[cosine.argmax(1)])
    assert "CLIP: the nearest neighbour shares the effect in" in drawn.frames[2].alt
    assert f"and the batch in {shared:.0%}" in drawn.frames[2].alt.split(";")[0]


def test_the_supervised_ceiling_falls_with_noise():
    ceilings = simulation.ceilings(range(1000, 1002), (0.25, 1.0), n_jobs=1)
    mean = ceilings.groupby("noise").ceiling.mean()
    assert mean[0.25] > mean[1.0] + 0.1


def test_a_changed_setting_is_run_again_and_an_unchanged_one_is_not(tmp_path, monkeypatch):
    """Rows of earlier settings must never stand under new parameters."""
    monkeypatch.setattr(studies, "variants", lambda: {"default": [(0, "clip", {}, {})]})
    computed = []

    class Model:
        def __init__(self, study, config):
            computed.append(config.epochs)
            self.epochs, self.history = config.epochs, [{"contrastive": 1.0, "classifier": 0.0}]

    def score(study, model):
        return [{"view": view, "effect": model.epochs / 100, "batch": 0.0} for view in ("screen", "drug")]

    monkeypatch.setattr(simulation, "train_on", Model)
    monkeypatch.setattr(simulation, "score", score)
    found = {}
    for epochs in (1, 2, 2):
        monkeypatch.setattr(simulation, "SETTINGS", {**simulation.SETTINGS, "epochs": epochs})
        record = StoredResult.read(studies.store(tmp_path, tmp_path / "runs", n_jobs=1))
        found[epochs] = record.results["scores"]["default"]["effect"]
    assert found == {1: [0.01, 0.01], 2: [0.02, 0.02]} and computed == [1, 2]


@pytest.mark.parametrize(
    ("name", "variants"), [("simulation", studies.variants), ("simulation_sweeps", studies.sweep_variants)]
)
def test_a_stored_study_is_complete(name, variants):
    """Every run of the list and no other; draws that chose the settings are not among them."""
    record = stored(name)
    assert {"packages", "hardware"} <= set(record.provenance)
    assert not any(commit.endswith("-dirty") for commit in record.commits)
    assert record.parameters == json.loads(json.dumps({**simulation.GENERATOR, **simulation.SETTINGS}))
    rows = report.stored_rows(name)
    assert set(rows.variant) == set(variants())
    for variant, tasks in variants().items():
        of_variant = rows[rows.variant == variant]
        assert {(draw, method) for draw, method, *_ in tasks} == set(zip(of_variant.draw, of_variant.method))
        assert len(of_variant) == 2 * len(tasks)
    assert not set(rows.draw) & set(simulation.TUNING_DRAWS)


def test_the_stored_study_keeps_a_loss_curve_of_every_arm():
    losses = report.stored_losses()
    tasks = {(name, method) for name, of in studies.variants().items() for _, method, *_ in of}
    assert set(zip(losses.variant, losses.method)) == tasks
    assert losses.contrastive_sd.notna().all() and losses.groupby(["variant", "method"]).epoch.size().min() >= 12


def test_the_sweeps_hold_every_value():
    rows = report.stored_rows("simulation_sweeps")
    for name, values in studies.SWEEPS.items():
        assert sorted(report.sweep(rows, name)[name].unique()) == sorted(values)


def test_the_two_stored_studies_agree_where_they_share_runs():
    """Made on two machines: single draws of InfoCORE move, since its two networks pull at each other; means do not."""
    new, old = (report.stored_rows(name).query("variant == 'default'") for name in ("simulation", "simulation_sweeps"))
    new = new[new.draw.isin(old.draw)]
    means = [100 * rows.groupby(["view", "method"])[["effect", "batch"]].mean() for rows in (new, old)]
    assert (means[0] - means[1]).abs().effect.max() < report.MARGIN["effect"]
    assert (means[0] - means[1]).abs().batch.max() < report.MARGIN["batch"]


def test_what_moved_between_two_machines_is_said():
    rows = graded(4).assign(variant="default")
    moved = rows.assign(effect=rows.effect + 0.05 * ((rows.method == "infocore") & (rows.draw == 0)))
    found = readings.reproduced(moved, rows)
    assert "CCL and CLIP come out equal" in found and "InfoCORE's single draws move by up to 5.0 points" in found
    assert "its mean by +1.3" in found and "equal" in readings.reproduced(rows, rows)


def test_the_claims_of_the_front_pages_hold():
    """The bold sentence of the chapter, and what the first chapter says of it."""
    warm, cold = (report.arms(report.stored_rows(), temperature) for temperature in (1.0, 0.1))
    assert readings.stands(warm)
    for view in report.VIEWS:
        assert report.difference(warm, "infocore", "clip", view=view).low > 10  # "far better"
        assert report.difference(warm, "infocore", "ccl", view=view).word == "not told apart"
        assert report.difference(warm, "infocore", report.LONG_CCL, view=view).high < 0
        assert report.difference(warm, "infocore", report.ONE_BATCH_CCL, view=view).high >= 0
        assert report.difference(cold, "infocore", "ccl", view=view).low > 0
        of_arms = warm[warm.view == view].groupby("method").effect
        assert 100 * (of_arms.max() - of_arms.min()).min() > 20  # between draws
    for name, sentence in {
        "02_simulation": "with random minibatches the two are not told apart, and CCL with minibatches from one batch, trained for as many epochs, is ahead",
        "00_start_here": "the two are not told apart at this temperature, and CCL with minibatches from one batch is ahead only where it makes 2.8 times the steps",
    }.items():
        assert sentence in (ROOT / "notebooks" / f"{name}.py").read_text(encoding="utf-8")


def test_what_the_exercise_on_noise_says_of_the_stored_sweep_holds():
    rows = report.stored_rows("simulation_sweeps").query("variant == 'noise=1.0'")
    effect, batch = (report.difference(rows, "infocore", "clip", score=score) for score in report.TARGETS)
    assert effect.low > 0 and batch.high < 0
    levels = {
        value: 100 * of.effect
        for value, of in report.sweep(report.stored_rows("simulation_sweeps"), "noise").groupby(["method", "noise"])
    }
    assert all(levels[method, 1.0].mean() < levels[method, 0.5].mean() for method in simulation.METHODS)


def composed(accuracy):
    """Rows as of ``report.compositions`` whose effect is ``accuracy(composition, temperature, longer)`` and a draw's own part."""
    rng = np.random.default_rng(1)
    count = {"random, 64": 2.5, "random, 128": 5.0, "one batch, 6": 5.0, "one batch, 64": 24.0}
    keys = [(c, t, longer) for c in count for t in (0.1, 1.0) for longer in (False, True)]
    rows = [
        dict(composition=c, temperature=t, longer=longer, sampling=c.split(",")[0], negatives=count[c], view="screen",
             draw=draw, effect=accuracy(c, t, longer) + 0.01 * draw + rng.normal(scale=0.002))
        for c, t, longer in keys for draw in range(10)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_the_number_of_negatives_explains_only_what_follows_it():
    number = {"random, 64": 0.5, "random, 128": 0.6, "one batch, 6": 0.6, "one batch, 64": 0.8}
    by_number = composed(lambda composition, temperature, longer: number[composition])
    assert "negatives explains" in negatives.what_decides(by_number)
    by_way = composed(lambda composition, temperature, longer: 0.5 + 0.2 * composition.startswith("one"))
    found = negatives.what_decides(by_way)
    assert "alone does not explain" in found and "not seen to help" in found and "different accuracies" in found
    table = negatives.contrasts(by_way)
    assert list(table.columns) == ["temperature 0.1", "temperature 1.0"] and "higher" in table.iloc[1, 0]


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


def test_a_summary_is_shown_by_names_and_with_half_of_its_interval():
    summed = report.summary(report.arms(report.stored_rows()))
    row, shown = summed.loc[("screen", "infocore")], report.shown(summed)
    assert list(shown) == [*report.TARGETS, "draws"]
    assert shown.loc[("screen", "InfoCORE"), "effect"] == f"{row['effect']:.1f} ± {row['effect_ci95']:.1f}"
