"""Pretraining studies: arms, resumable runs, scores, stored results and their tables."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from infocore_mini.experiments import results
from infocore_mini.experiments.names import Arm
from infocore_mini.experiments.pretraining import ablation, inputs, studies
from infocore_mini.experiments.pretraining import report as pretraining_report
from infocore_mini.experiments.pretraining import run as pretraining
from infocore_mini.experiments.pretraining.run import Study, ablation_arms, batch_probe, run, run_study
from infocore_mini.experiments.results import StoredResult, stored
from infocore_mini.screens import PairedScreen
from infocore_mini.sources import DataUnavailable
from infocore_mini.training import trainer

TINY = dict(
    embedding_dim=8, hidden_drug=(16,), hidden_screen=(16,), hidden_classifier=(8,), epochs=2, minibatch_size=16
)


def toy_screen(seed: int) -> PairedScreen:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(80, 6)).astype(np.float32)
    drug = np.repeat(np.arange(80), 2)
    profile = features[drug] @ rng.normal(size=(6, 9)) + 0.1 * rng.normal(size=(160, 9))
    names = np.array([f"{d:03d}" for d in drug])
    return PairedScreen.from_profiles(
        smiles=names, drug=lambda given: features[np.array(given, int)], profile=profile, batch=drug % 4
    )


TOY = Study("toy", toy_screen, TINY, seeds=(0, 1), minimum_library=2, arms={m: Arm(m) for m in ("clip", "ccl")})


def test_a_run_is_kept_and_found_again(tmp_path, monkeypatch):
    first = run(TOY, "clip", 0, tmp_path)
    assert not list(tmp_path.glob("*.pt"))  # the checkpoint is gone once the run is done
    monkeypatch.setattr(pretraining, "pretrain_screen", None)
    assert run(TOY, "clip", 0, tmp_path) == first
    with pytest.raises(TypeError):  # other settings are another run
        run(replace(TOY, settings=TINY | {"temperature": 0.2}), "clip", 0, tmp_path)


def test_a_run_that_was_cut_off_goes_on(tmp_path):
    whole = run(TOY, "clip", 0)
    real = pretraining.score
    pretraining.score = None
    try:
        with pytest.raises(TypeError):
            run(TOY, "clip", 0, tmp_path)
    finally:
        pretraining.score = real
    assert len(list(tmp_path.glob("*.pt"))) == 1
    again = run(TOY, "clip", 0, tmp_path)
    assert json.dumps(again.result["retrieval"]) == json.dumps(whole.result["retrieval"])


def test_a_kill_while_a_record_is_written_leaves_none_and_nothing_to_repeat(tmp_path, monkeypatch):
    with monkeypatch.context() as killed:
        killed.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            run(TOY, "clip", 0, tmp_path)
    assert not list(tmp_path.glob("*.json"))
    monkeypatch.setattr(trainer.Trainer, "run_epoch", None)  # all epochs are in the checkpoint
    assert run(TOY, "clip", 0, tmp_path).result["arm"] == "clip"


def test_two_that_want_one_run_at_a_time_compute_it_once(tmp_path, monkeypatch):
    computed = []

    def slow(study, config, *_):
        computed.append(config.method)
        time.sleep(0.3)
        return {"training": {"history": []}}, {}

    monkeypatch.setattr(pretraining, "train_and_score", slow)
    with ThreadPoolExecutor(2) as pool:
        records = list(pool.map(lambda _: run(TOY, "clip", 0, tmp_path), range(2)))
    assert records[0] == records[1] and computed == ["clip"]


def test_candidates_are_chosen_on_draws_of_their_own(tmp_path, monkeypatch):
    """The validation score of a run is its temperature on the first tuning seed, the opposite on the others' runs."""
    seen = []

    def scored(study, config, *_):
        seen.append((config.method, config.seed, config.temperature))
        value = config.temperature if config.seed in (100, 101) else 1 - config.temperature
        return {"training": {"history": [{"validation": value}]}, "retrieval": []}, {}

    monkeypatch.setattr(pretraining, "train_and_score", scored)
    candidates = ({"temperature": 0.1}, {"temperature": 0.4}, {"temperature": 0.3})
    study = replace(TOY, candidates={"clip": candidates}, tuning_seeds=(100, 101), seeds=(0, 1))
    study = replace(study, arms={"clip": study.arms["clip"]})
    found = run_study(study, folder=tmp_path, n_jobs=1)
    assert [(row["seed"], row["candidate"]) for row in found] == [(0, {"temperature": 0.4}), (1, {"temperature": 0.4})]
    assert all(row["search"] == pytest.approx([0.1, 0.4, 0.3]) for row in found)
    assert len(seen) == 3 * 2 + 2 and ("clip", 0, 0.1) not in seen


def test_what_an_arm_trains_on_is_part_of_its_run(tmp_path, monkeypatch):
    seen = []

    def scored(study, config, checkpoint, view):
        seen.append(view)
        return {"training": {"history": []}}, {}

    monkeypatch.setattr(pretraining, "train_and_score", scored)
    for view in ({}, {"clip": studies.one_of_its_batches}, {"clip": studies.one_of_its_batches}):
        run(replace(TOY, trains_on=view), "clip", 0, tmp_path)
    assert seen == [None, studies.one_of_its_batches]


def test_inputs_are_probed_like_embeddings():
    study = replace(studies.STUDIES["cell_painting"], shape=dict(n_drugs=400, cell_lines=("U2OS",), n_batches=4,
        n_features=20, n_replicates=2))  # fmt: skip
    found = inputs.probe_inputs(study, 0)
    assert found["chance"] == pytest.approx(0.25, abs=0.1)
    assert found["chance"] < found["drug"] < 1 and found["chance"] < found["screen"] <= 1
    records = [{"arm": "clip", "same_batch": {"share": 0.5, "expected": 0.25}, "probe": {"screen": 0.5, "drug": 0.4}}]
    table = pretraining_report.what_the_batch_leaves(2 * records, before=[found, found])
    assert list(table.index) == ["clip", pretraining_report.INPUTS, "chance"]
    assert table.loc["chance", "probe drug"] == f"{100 * found['chance']:.1f}"
    assert table.loc[pretraining_report.INPUTS, "probe screen"].startswith(f"{100 * found['screen']:.1f}")


def test_one_of_its_batches_gives_every_condition_a_batch_that_it_was_run_in():
    shape = dict(n_drugs=60, cell_lines=("A",), n_batches=6, n_features=5, n_replicates=3, replicate_batches=3)
    screen = studies.simulated_gene_expression(0, **shape)
    hard = studies.one_of_its_batches(screen)
    assert screen.batch_id.ndim == 2 and hard.batch_id.ndim == 1
    assert bool((screen.batch_id.gather(1, hard.batch_id[:, None]) > 0).all())
    assert len(hard.batch_id.unique()) > 3 and torch.equal(hard.profile, screen.profile)


def test_another_shape_of_the_simulated_screen_is_another_run(tmp_path, monkeypatch):
    monkeypatch.setattr(pretraining, "train_and_score", lambda *_: ({"training": {"history": []}}, {}))
    for n_drugs in (10, 20, 10):
        run(replace(TOY, shape={"n_drugs": n_drugs}), "clip", 0, tmp_path)
    assert len(list(tmp_path.glob("*.json"))) == 2


def test_studies_that_share_a_screen_share_its_runs_under_their_own_names_of_arms(tmp_path, monkeypatch):
    first = run(TOY, "clip", 0, tmp_path)
    monkeypatch.setattr(pretraining, "pretrain_screen", None)
    other = run(replace(TOY, name="other", arms={"CLIP": Arm("clip")}), "CLIP", 0, tmp_path)
    assert other.result == first.result | {"arm": "CLIP"} and other.provenance == first.provenance


def test_studies_report_every_arm_and_seed(tmp_path):
    records = run_study(TOY, n_jobs=1)
    assert [(r["arm"], r["seed"]) for r in records] == [("clip", 0), ("ccl", 0), ("clip", 1), ("ccl", 1)]
    held = StoredResult.read(pretraining.store(TOY, tmp_path, tmp_path / "runs", n_jobs=1))
    assert held.parameters["arms"] == {"clip": {"method": "clip"}, "ccl": {"method": "ccl"}}
    assert all(0 < record["training"]["best_epoch"] <= record["training"]["epochs"] == 2 for record in held.results)
    seconds = sum(record["training"]["seconds"] for record in held.results)
    assert held.provenance["runs"] == 4 and held.provenance["seconds"] == pytest.approx(seconds, abs=0.05)
    by_arm = pretraining_report.tables(held.results)
    table = pretraining_report.accuracies(by_arm)
    row = table[(table.arm == "ccl") & (table.library == "whole") & (table.top == 1)].iloc[0]
    one = [r["retrieval"] for r in records if r["arm"] == "ccl"]
    expected = [
        x["accuracy"]
        for rows in one
        for x in rows
        if x["cell_line"] == "mean" and x["library"] == "whole" and x["top"] == 1
    ]
    assert row.accuracy == pytest.approx(np.mean(expected)) and row.n_seeds == 2
    assert list(pretraining_report.side_by_side(by_arm).index) == ["clip", "ccl"]
    assert list(pretraining_report.what_the_batch_leaves(records).index) == ["clip", "ccl"]


def test_the_ablation_takes_away_one_thing_at_a_time():
    arms = ablation_arms()
    assert set(arms) == set(pretraining_report.paper_ablation().index)
    study = replace(TOY, settings=dict(pretraining.SETTINGS), arms=arms)
    configs = {arm: study.config(arm, 0).__dict__ for arm in arms}
    changed = {
        arm: {name for name, value in config.items() if value != configs["CLIP"][name]}
        for arm, config in configs.items()
    }
    assert changed["InfoCORE"] == {"method"}
    assert changed["CLIP without MoCo"] == {"framework"}
    assert changed["CLIP without cell-line heads"] == {"cell_line_heads"}
    assert changed["CLIP without one-line minibatches"] == {"sampling"}
    assert changed["CLIP without augmentation"] == {"noise_screen", "mixup_concentration", "feature_dropout_screen"}
    assert changed["vanilla CLIP"] == set.union(*(changed[arm] for arm in arms if arm.startswith("CLIP without")))


def test_table_7_has_our_names_and_only_the_framework_changes():
    by_arm = pretraining_report.by_framework("gene_expression", "simclr")
    printed = pretraining_report.paper_frameworks("gene_expression")
    assert list(by_arm) == list(printed.index) and printed.loc["CLIP (SimCLR)", ("whole", 1)] == 5.81
    queued, alone = studies.STUDIES["gene_expression"], studies.STUDIES["simclr"]
    assert queued.seeds == alone.seeds and queued.make_screen is alone.make_screen and queued.shape == alone.shape
    assert queued.tuning_seeds == alone.tuning_seeds and dict(queued.settings) == dict(alone.settings)
    chosen = {row["arm"]: row["candidate"] for row in stored("simclr").results}
    for arm in ("clip", "infocore"):
        a, b = queued.config(arm, 0).__dict__, alone.config(arm, 0, chosen[arm]).__dict__
        assert {name for name in a if a[name] != b[name]} == {"framework"} | ({"alpha"} & set(chosen[arm]))
    assert chosen["infocore"]["alpha"] == 0.2  # as the page says


def test_changes_are_those_of_paired_seeds(tmp_path):
    records = run_study(TOY, n_jobs=1)
    by_arm = pretraining_report.tables(records)
    paper = pd.DataFrame({("whole", 1): {"clip": 4.0, "ccl": 5.0}, ("batch", 1): {"clip": 8.0, "ccl": 6.0}})
    table = ablation.beside_paper(by_arm, [("ccl", "clip")], paper)
    whole = pretraining_report.against(by_arm, "ccl", "clip").query("library == 'whole' and top == 1").iloc[0]
    expected = f"{100 * whole.relative:+.0f} [{100 * whole.relative_low:.0f}, {100 * whole.relative_high:.0f}]"
    assert table.loc["ccl over clip", ("whole", "ours")] == expected
    assert list(table.loc["ccl over clip", [("whole", "paper"), ("batch", "paper")]]) == ["+25", "-25"]


def test_a_lead_is_that_of_paired_seeds_in_points_and_in_percent():
    keys = {"cell_line": "mean", "library": "whole", "top": 1}
    runs = {"clip": {0: 0.2, 1: 0.4}, "infocore": {0: 0.3, 1: 0.4}}
    records = [
        {"arm": arm, "seed": seed, "retrieval": [keys | {"accuracy": accuracy}]}
        for arm, by_seed in runs.items()
        for seed, accuracy in by_seed.items()
    ]
    by_arm = pretraining_report.tables(records)
    points = pretraining_report.lead_in_points(by_arm, "infocore", "clip", "InfoCORE minus CLIP")
    half = 12.706 * 5  # t quantile of two seeds, times the standard error of differences of 10 and 0 points
    expected = {"InfoCORE minus CLIP": 5.0, "low": 5 - half, "high": 5 + half}
    assert points.loc[("whole", 1)].to_dict() == pytest.approx(expected, abs=0.06)
    percent = pretraining_report.lead_in_percent(by_arm, "infocore", "clip", "InfoCORE over CLIP")
    assert percent.loc[("whole", 1), ["InfoCORE over CLIP", "seeds in which higher (%)"]].tolist() == [25, 50]


def made_up(**accuracy: list[float]) -> pretraining_report.Tables:
    keys = {"cell_line": "mean", "library": "whole", "top": 1, "chance": 0.0}
    return pretraining_report.tables(
        [
            {"arm": arm, "seed": seed, "retrieval": [keys | {"accuracy": value}]}
            for arm, values in accuracy.items()
            for seed, value in enumerate(values)
        ]
    )


@pytest.mark.parametrize(
    "infocore, said, sentence",
    [
        (
            [0.50, 0.52, 0.51],
            "above",
            "- InfoCORE against CLIP, whole library: **above** CLIP at top 1 (+11.0 points, ",
        ),
        ([0.30, 0.32, 0.31], "below", "**below** CLIP at top 1 (-9.0 points, "),
        ([0.401, 0.399, 0.402], "level", "**level** with CLIP at top 1 (within 10 % of it)."),
        ([0.30, 0.55, 0.42], "not told apart", "**not told apart** from CLIP at top 1, where a true difference of "),
    ],
)
def test_a_verdict_follows_from_the_interval(infocore, said, sentence):
    by_arm = made_up(clip=[0.4, 0.4, 0.4], infocore=infocore)
    assert pretraining_report.told(by_arm, "infocore", "clip")["said"].tolist() == [said]
    assert sentence in pretraining_report.verdict(by_arm, [("infocore", "clip")])


def test_the_overlap_of_splits_can_turn_a_verdict():
    by_arm = made_up(clip=[0.4] * 6, infocore=[0.42, 0.46, 0.43, 0.40, 0.44, 0.42])
    assert pretraining_report.told(by_arm, "infocore", "clip")["said"].tolist() == ["above"]
    by_arm.overlap = 0.25
    assert pretraining_report.told(by_arm, "infocore", "clip")["said"].tolist() == ["not told apart"]


def test_the_probe_reads_a_batch_that_is_there_and_none_that_is_not():
    screen = toy_screen(0)
    one_hot = torch.nn.functional.one_hot(screen.batch_id).float()
    assert batch_probe(one_hot, screen) == 1.0
    assert batch_probe(torch.randn(len(screen), 4), screen) < 0.5
    assert batch_probe(one_hot, screen.subset([0, 1, 2])) is None  # no two batches with rows for every fold


@pytest.mark.parametrize("name", studies.STUDIES)
def test_stored_studies_are_those_of_the_code(name):
    held = stored(name)
    study = studies.STUDIES[name].on(held.parameters["settings"].get("device", "cpu"))
    plain = json.loads(
        json.dumps([dict(study.settings), {k: arm.settings for k, arm in study.arms.items()}, list(study.seeds)])
    )
    assert [held.parameters[key] for key in ("settings", "arms", "seeds")] == plain
    assert held.parameters.get("tuning_seeds", []) == list(study.tuning_seeds)
    if study.candidates:
        assert held.parameters["candidates"] == {arm: study.candidates_of(arm) for arm in study.arms}
        assert all(len(record["search"]) == len(study.candidates_of(record["arm"])) for record in held.results)
    assert {(r["arm"], r["seed"]) for r in held.results} == {(a, s) for a in study.arms for s in study.seeds}
    assert held.commits and len(study.seeds) >= 3
    accuracy = pd.DataFrame([row for record in held.results for row in record["retrieval"]])["accuracy"].dropna()
    assert accuracy.between(0, 1).all()


def test_the_reduced_gene_expression_study_is_no_smaller_than_promised():
    shape = studies.REDUCED
    assert shape["n_drugs"] >= 4000 and len(shape["cell_lines"]) >= 3 and shape["n_batches"] >= 60
    rows = pd.DataFrame(stored("gene_expression").results[0]["retrieval"])
    assert rows[rows.library == "batch"]["library_size"].mean() == pytest.approx(40, abs=3)


def test_quick_studies_keep_the_arms_and_say_when_they_are_simulated(monkeypatch):
    quick = studies.quick("toxcast", 3)
    assert set(quick.arms) == set(studies.STUDIES["toxcast"].arms) and quick.seeds == (3,)
    monkeypatch.setattr(results, "fetch", _nothing)
    assert studies.quick("toxcast", 3).name == "simulated" and quick.checksums() == {}


def _nothing(name: str):
    raise DataUnavailable(name)


def test_full_shape_training_was_measured_within_four_gigabytes():
    first, resumed = stored("full_shape").results
    for measured in (first, resumed):
        assert measured["pairs"] == 82_914 and measured["batches"] == 1019 and measured["peak_bytes"] < 4e9
    assert resumed["epochs"] > resumed["epochs_of_this_process"] > 0
    assert resumed["loss"][: first["epochs"]] == first["loss"]
