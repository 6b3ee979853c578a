"""The study on the Connectivity Map: equal budgets, a truth without a model, one record a run."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch

from infocore_mini.correct import BatchCentring
from infocore_mini.experiments.gene_expression import connectivity_map as report
from infocore_mini.experiments.gene_expression import run as study
from infocore_mini.experiments.neighbours import (
    OWN_BATCH,
    SAME_DRUG,
    by_correction,
    of_real_screens,
    same_drug_elsewhere,
)
from infocore_mini.screens import PairedScreen
from infocore_mini.sources import DataUnavailable


def toy() -> PairedScreen:
    """Forty molecules that their readouts repeat, each in two of four experimental batches, batches shifted."""
    rng = np.random.default_rng(0)
    features, shift = rng.normal(size=(40, 6)), 3 * rng.normal(size=(4, 8))
    mix = rng.normal(size=(6, 8))
    molecule, batch = np.repeat(np.arange(40), 2), np.tile([0, 1, 2, 3], 20)
    return PairedScreen.from_profiles(
        smiles=[f"{i:02d}" for i in molecule],
        drug=lambda names: features[np.array(names, dtype=int)],
        profile=features[molecule] @ mix + shift[batch] + 0.1 * rng.normal(size=(80, 8)),
        batch=[f"b{code}" for code in batch],
    ).per_batch()


def test_every_method_has_as_many_candidates_and_the_same_rest():
    assert {len(candidates) for candidates in study.CANDIDATES.values()} == {4}
    fixed = {"epochs", "minibatch_size", "hidden_drug", "hidden_screen", "embedding_dim", "framework", "learning_rate"}
    assert all(not fixed & set(change) for candidates in study.CANDIDATES.values() for change in candidates)


def test_the_same_drug_elsewhere_by_hand():
    z = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 0.9]])
    hit, chance = same_drug_elsewhere(z, np.array([7, 7, 8, 9]), np.array([0, 1, 1, 0]))
    assert hit == 1.0 and chance == pytest.approx(0.5)  # molecule 7 alone is in two batches, of two rows elsewhere each
    hit, _ = same_drug_elsewhere(z[[0, 2, 1, 3]], np.array([7, 7, 8, 9]), np.array([0, 1, 1, 0]))
    assert hit == 0.0
    with pytest.raises(ValueError, match="none is in two batches"):
        same_drug_elsewhere(z, np.arange(4), np.array([0, 1, 1, 0]))


def test_centring_takes_the_batch_out_of_the_neighbours_and_leaves_the_drug(monkeypatch):
    monkeypatch.setattr(study, "screen", lambda *, simulated=False: toy())
    found = study.before()
    assert found["raw"]["same_batch"] > 0.9 > 0.6 > found["centred"]["same_batch"]
    assert found["centred"]["same_drug"] > 0.9 > found["raw"]["same_drug_chance"]


def test_a_run_is_kept_with_its_validation_and_test_scores(monkeypatch, tmp_path):
    monkeypatch.setattr(study, "screen", lambda *, simulated=False: toy())
    monkeypatch.setattr(study, "SETTINGS", dict(study.SETTINGS) | dict(epochs=2, minibatch_size=8, halve_at=()))
    monkeypatch.setattr(study, "MINIMUM_LIBRARY", 2)
    record = study.run("infocore", 0, "centred", 0, tmp_path)
    assert 0 <= record.result["validation"] <= 1
    assert set(record.result["test"]) == {"retrieval", "same_batch", "probe", "neighbours"}
    assert record.settings["input"] == "centred" and len(list(tmp_path.glob("*.json"))) == 1
    assert study.run("infocore", 0, "centred", 0, tmp_path).provenance == record.provenance


# ------------------------------------------------------------------ what the chapter says of it


def made_rows(gain: float) -> list[dict]:
    """Five splits; InfoCORE's batch library is better than the others' by ``gain``, all else differs by noise alone."""
    rng, rows = np.random.default_rng(0), []
    for seed, kind, method in product(range(5), study.INPUTS, study.CANDIDATES):
        level = {"whole": 0.02, "batch": 0.19 + gain * (method == "infocore")}
        retrieval = [
            {"cell_line": "mean", "library": library, "top": 1, "accuracy": level[library] + 0.005 * rng.normal()}
            | {"chance": 0.005 if library == "whole" else 0.13}
            for library in ("whole", "batch")
        ]
        near = {"same_batch": 0.02, "same_batch_permuted": 0.01, "same_drug": 0.04, "same_drug_chance": 0.005}
        near = {name: value + 0.001 * rng.normal() for name, value in near.items()}
        rows.append({"method": method, "candidate": 0, "input": kind, "seed": seed, "validation": 0.5})
        rows[-1] |= {"retrieval": retrieval, "neighbours": near, "same_batch": {"share": 0.036, "expected": 0.034}}
    return rows


def test_the_verdict_says_what_is_told_apart_and_what_could_have_been_seen():
    scored = report.scores(made_rows(0.05))
    assert scored.shape == (30, 4) and scored.index.names == ["input", "method", "seed"]
    found = report.contrasts(scored, study.OVERLAP)
    assert found.loc[report.BATCH, "told_apart"].all() and not found.loc[report.WHOLE, "told_apart"].any()
    assert found.loc[report.BATCH, "difference"].to_numpy() == pytest.approx([5.0] * 4, abs=1.0)
    assert (found["detectable"] > (found["high"] - found["low"]) / 2).all()
    said = report.verdict(scored, study.OVERLAP).splitlines()
    assert len(said) == 4 and said[1].count("InfoCORE is **above") == 4 and "0 of 4 comparisons" in said[1]
    assert "4 of 4 comparisons are **not told apart** by 5 splits" in said[0] and "a true difference of" in said[0]
    assert "**below CCL** on raw input" in report.verdict(report.scores(made_rows(-0.05)), study.OVERLAP)


def test_the_tables_of_the_chapter_hold_what_the_rows_hold():
    rows = made_rows(0.0)
    scored = report.scores(rows)
    assert list(report.chances(rows)) == list(report.SCORES) and report.chances(rows)[report.BATCH] == pytest.approx(13)
    side = report.side_by_side(scored, study.OVERLAP)
    assert side.index.tolist()[:3] == [("raw", "CLIP"), ("raw", "CCL"), ("raw", "InfoCORE")]
    mean = scored.loc["raw"].loc["CLIP", report.BATCH].mean()
    assert side.loc[("raw", "CLIP"), report.BATCH].startswith(f"{mean:.1f} ± ")
    one = report.side_by_side(report.scores([row for row in rows if row["seed"] == 0]), study.OVERLAP)
    assert not one.apply(lambda column: column.str.contains("±")).any(axis=None)
    followed = report.batch_followed(rows, study.OVERLAP)
    assert followed.loc[("raw", "CCL")].tolist() == ["3.60 ± 0.00", "3.40"]
    gain = report.paper_gain(scored, report.chances(rows))
    assert gain.loc[report.BATCH, "points here, raw"] == pytest.approx(
        gain.loc[report.BATCH, "paper (%)"] * (mean - 13) / 100
    )


def test_of_the_candidates_the_best_on_validation_is_chosen():
    rows = [
        {"method": "clip", "input": "raw", "seed": seed, "candidate": k, "validation": value}
        for seed, values in enumerate([(0.1, 0.3, 0.3), (0.5, 0.2, 0.1)])
        for k, value in enumerate(values)
    ]
    assert [(row["seed"], row["candidate"]) for row in study.chosen(rows)] == [(0, 1), (1, 0)]


def test_structure_that_tells_the_readout_is_seen_and_structure_that_does_not_is_not():
    told = report.structure_signal(toy().split(0))
    assert set(told) == {"all", "mean"} and told["mean"] > 80
    screen = toy()
    order = torch.as_tensor(np.random.default_rng(1).permutation(len(screen.drug)))
    assert 25 < report.structure_signal(replace(screen, drug=screen.drug[order]).split(0))["mean"] < 75


def test_neighbours_before_and_after_corrections_with_a_price():
    found = by_correction(toy(), {"as it comes": (), "centred": (BatchCentring(),)})["treated wells"]
    assert found.loc["as it comes", OWN_BATCH] > 90 > 60 > found.loc["centred", OWN_BATCH]
    assert found.loc["centred", SAME_DRUG] > 90 and found["permuted"].between(15, 35).all()


def test_a_screen_that_is_not_at_hand_is_said_and_nothing_takes_its_place():
    def reader(**_):
        raise DataUnavailable("none")

    table, notice = of_real_screens({"mice": reader}, {"as published": ()})
    assert len(table) == 0 and notice.startswith("NOT AT HAND: mice")
    table, notice = of_real_screens({"toy": lambda drug: toy()}, {"as published": ()})
    assert table.index.tolist() == [("toy", "as published")] and "Real data" in notice
