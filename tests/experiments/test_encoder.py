"""The encoder that the project ships: made as its study chose, described by its card as it is stored."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from infocore_mini import Pretrained, sources
from infocore_mini.experiments.pretraining import encoder, report
from infocore_mini.experiments.pretraining.studies import STUDIES, simulated_stand_in
from infocore_mini.experiments.results import stored

CARD = (Path(__file__).parents[2] / "book" / "model_cards.md").read_text(encoding="utf-8")
CARD = CARD[CARD.index("## An encoder of molecules") :]


def test_it_is_trained_on_all_molecules_but_those_that_choose_the_epoch():
    short = dict(epochs=2, halve_at=(), embedding_dim=8, hidden_drug=(16,), hidden_screen=(16,), hidden_classifier=(8,))
    study = replace(STUDIES["comas"], make_screen=simulated_stand_in, settings=STUDIES["comas"].settings | short)
    model, about = encoder.train(study, {"temperature": 0.3, "alpha": 0.83})
    split = study.screen(0).split(0)
    assert set(model.trained_on.molecules) == {*split.train.smiles, *split.test.smiles}
    assert about["molecules"] == len(split.train.drug) + len(split.test.drug) and about["held_out"] == 128
    assert about["validation"] == max(row["validation"] for row in model.history if "validation" in row)
    assert model.config.alpha == 0.83 and model.trained_on.featuriser == "mol2vec"


def test_the_file_is_the_one_that_is_stored_and_registered():
    about, row = stored("encoder").results, sources.registry()["comas.safetensors"]
    path = sources.data_file("models/comas.safetensors")
    assert row.sha256 == about["sha256"] == sources.sha256_of(path)
    assert row.bytes == about["bytes"] == path.stat().st_size < 5e6
    assert row.licence == "MIT" and row.url.endswith("/data/models/comas.safetensors")
    model, parameters = Pretrained.load("comas"), stored("encoder").parameters
    assert len(model.trained_on.molecules) == about["molecules"]
    assert parameters["candidate"] == encoder.chosen()
    assert (model.config.temperature, model.config.alpha) == tuple(parameters["candidate"].values())


@pytest.mark.parametrize("arm", ["infocore", "clip"])
def test_the_scores_on_the_card_are_those_of_the_stored_study(arm):
    rows = report.side_by_side(report.stored_tables("comas"))
    [line] = re.findall(rf"^\| {'InfoCORE' if arm == 'infocore' else 'CLIP'} \|(.*)\|$", CARD, re.M)
    assert [cell.strip() for cell in line.split("|")] == rows.loc[arm].tolist()


def test_what_the_card_says_of_the_batch_is_what_is_stored():
    inputs = [row for row in stored("probed_inputs").results if row["study"] == "comas"]
    left = report.what_the_batch_leaves(stored("comas").results, STUDIES["comas"].overlap, inputs)
    for row in (left.loc["infocore"], left.loc["clip"], left.loc[report.INPUTS]):
        assert row["probe drug"] in CARD and row["probe screen"] in CARD
    assert f"chance is {left.loc['chance', 'probe drug']} %" in CARD
    about = stored("encoder").results
    for number in (about["molecules"], about["profiles"], about["held_out"], about["batches"], about["epoch"]):
        assert re.search(rf"\b{number:,}\b", CARD), number
    assert encoder.chosen() == {"temperature": 0.1, "alpha": 0.83} and "temperature 0.1, alpha 0.83" in CARD


def test_embeddings_of_molecules_that_were_not_seen_are_finite_and_differ():
    model, split = Pretrained.load("comas"), simulated_stand_in(0)
    z = model.embed_drug(split.drug[:50]).numpy()
    assert np.isfinite(z).all() and np.median(z @ z.T) < 0.95
