"""The property protocols: cells that differ in one thing, folds that leave no molecule out, averages of models."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest
from conftest import at_hand

from infocore_mini.evaluate.property import FineTuning, property_score
from infocore_mini.experiments.property import protocol_report as report
from infocore_mini.experiments.property import protocols
from infocore_mini.experiments.property.protocols import PAPER, TRAININGS, WIDE, Training
from infocore_mini.experiments.property.sets import prepared, pretraining_study
from infocore_mini.featurize import Parts, murcko_scaffold, scaffold_split, skeletons
from infocore_mini.readers.property import property_files

TUNING = FineTuning(learning_rates=(1e-3, 3e-3), epochs=(1, 3))


def test_what_is_changed_alone_differs_from_the_sound_protocol_in_one_thing():
    sound = asdict(TRAININGS["sound"])
    for name in ("wider grid", "the paper's grid", "chiral scaffolds", "missing read as inactive"):
        assert sum(sound[key] != value for key, value in asdict(TRAININGS[name]).items()) == 1, name
    assert all(sound[key] != value for key, value in asdict(TRAININGS["the paper's"]).items())
    assert PAPER.minibatch_size == 50 and max(PAPER.epochs) == 80 and max(PAPER.learning_rates) == 2e-4


@pytest.mark.parametrize("dataset", ["BBBP", "Tox21", "HIV"])
def test_the_wide_grid_reaches_further_in_both_directions(dataset):
    board, wide = Training().tuning(dataset), Training(grid="wide").tuning(dataset)
    for name in ("learning_rates", "epochs"):
        inner, outer = getattr(board, name), getattr(wide, name)
        assert min(outer) <= min(inner) and max(outer) > max(inner)
        assert set(inner) <= set(outer) | {min(inner)}
    assert wide.minibatch_size == board.minibatch_size and min(WIDE.learning_rates) < 1e-4


def test_five_models_are_scored_alone_and_averaged_and_the_test_part_decides_nothing(monkeypatch):
    monkeypatch.setattr(protocols, "SEEDS", (0, 1))
    data = prepared("simulated A")
    found = protocols.scored(data, [data.parts], data.target, TUNING)
    assert len(found["single"]) == len(found["epochs"]) == 2 and 0.4 < min(found["single"]) < found["averaged"] + 0.1
    flipped = data.target.copy()
    flipped[data.parts.test] = 1 - flipped[data.parts.test]
    other = protocols.scored(data, [data.parts], flipped, TUNING)
    assert other["validation"] == found["validation"] and other["epochs"] == found["epochs"]
    assert other["averaged"] == pytest.approx(1 - found["averaged"])


def test_the_average_is_that_of_probabilities(monkeypatch):
    data = prepared("simulated A")
    one = Parts(*data.parts)
    monkeypatch.setattr(protocols, "SEEDS", (0, 1))
    outputs = {
        seed: protocols._best(*protocols._start(data, one, seed, ()), data, one, data.target, TUNING, seed)["output"]
        for seed in (0, 1)
    }
    assert all(0 <= output.min() <= output.max() <= 1 for output in outputs.values())
    y = data.target[one.test]
    expected = property_score(y, (outputs[0] + outputs[1]) / 2, data.kind)
    assert protocols.scored(data, [one], data.target, TUNING)["averaged"] == pytest.approx(expected)


def test_only_the_extremes_are_left_and_missing_values_stay_missing():
    target = np.column_stack([np.arange(100.0), np.arange(100.0)]).astype(np.float32)
    target[:10, 1] = np.nan
    left = protocols.without_middle(target)
    assert np.isnan(left).sum(0).tolist() == [70, 72]
    assert np.nanmin(left[:, 0]) == 0 and np.nanmax(left[:, 0]) == 99 and np.isnan(left[:10, 1]).all()


def test_ten_folds_test_every_molecule_once_but_those_of_the_screen():
    at_hand(*property_files("PRISM"), *pretraining_study(protocols.SCREEN).files)
    smiles = prepared("PRISM").smiles
    folds = protocols.scaffold_folds(smiles)
    tested = np.concatenate([parts.test for parts in folds])
    screen = set(skeletons(pretraining_study(protocols.SCREEN).screen(0).smiles))
    forced = np.isin(skeletons(smiles), list(screen))
    assert sorted(tested) == np.flatnonzero(~forced).tolist() and 0 < forced.sum() < len(smiles)
    scaffold = np.array(murcko_scaffold(smiles))
    for parts in folds:
        assert len(parts.train) + len(parts.validation) + len(parts.test) == len(smiles)
        held = [set(scaffold[part][~forced[part]]) for part in parts]
        assert not (held[0] & held[2]) and not (held[0] & held[1]) and not (held[1] & held[2])


def test_chiral_scaffolds_part_stereoisomers():
    pair = ["C[C@H]1CCCN(c2ccccc2)C1", "C[C@@H]1CCCN(c2ccccc2)C1"]
    steroid = ["O=C1CC[C@@H]2CCCC[C@H]2C1", "O=C1CC[C@H]2CCCC[C@H]2C1"]
    assert len(set(murcko_scaffold(pair))) == 1 and len(set(murcko_scaffold(steroid))) == 1
    assert len(set(murcko_scaffold(steroid, chirality=True))) == 2
    at_hand(*property_files("BBBP"))
    data = prepared("BBBP")
    plain, chiral = scaffold_split(data.smiles), scaffold_split(data.smiles, chirality=True)
    scaffold = np.array(murcko_scaffold(data.smiles))
    assert not set(scaffold[plain.train]) & set(scaffold[plain.test])
    assert set(scaffold[chiral.train]) & set(scaffold[chiral.test])


def test_the_baseline_has_every_data_set_and_pretrained_encoders_the_short_ones():
    cells = protocols.cells()
    assert len(cells) == len(set(cells))
    by_arm = {arm: {dataset for dataset, _, key in cells if key == arm} for arm in protocols.arms()}
    assert len(by_arm["Mol2vec"]) == 8 and all(set(protocols.DATASETS) == by_arm[key] for key in by_arm if "," in key)
    inactive = {dataset for dataset, training, _ in cells if training == "missing read as inactive"}
    assert inactive == set(protocols.WITH_MISSING)
    at_hand(*(file for name in ("BBBP", "BACE", "Tox21") for file in property_files(name)))
    missing = {name: bool(np.isnan(prepared(name).target).any()) for name in ("BBBP", "BACE", "Tox21")}
    assert missing == {"BBBP": False, "BACE": False, "Tox21": True}
    assert replace(TRAININGS["sound"], missing="inactive") == TRAININGS["missing read as inactive"]


# ------------------------------------------------------------------ tables and sentences


def cell(dataset, training, arm, single, averaged=0.0, **chosen):
    return {"dataset": dataset, "training": training, "arm": arm, "single": single, "averaged": averaged, **chosen}


def test_a_change_is_paired_by_seed_and_stands_beside_that_of_the_averaged_models():
    results = [
        cell("BBBP", "sound", "Mol2vec", [0.70, 0.71, 0.72], 0.73),
        cell("BBBP", "wider grid", "Mol2vec", [0.71, 0.72, 0.73], 0.76),
        cell("PRISM", "sound", "Mol2vec", [0.1, 0.1, 0.1], 0.1),
        cell("PRISM", "extremes alone", "Mol2vec", [0.3, 0.3, 0.3], 0.4),
    ]
    prism = report.changes_of_prism(report.scores(results))
    assert prism.loc["extremes alone"].tolist() == ["+20.0 [20.0, 20.0]", "+30.0"]
    table = report.changes(report.scores(results))
    assert table.loc["BBBP", "wider grid"] == "+1.0 [1.0, 1.0]" and "PRISM" not in table.index


def test_outcomes_that_turn_with_the_protocol_are_counted_and_named():
    sound = [
        cell("BBBP", "sound", "Mol2vec", [0.70, 0.71, 0.72]),
        cell("BBBP", "sound", "clip, comas", [0.75, 0.76, 0.77]),
        cell("BBBP", "sound", "ccl, comas", [0.70, 0.71, 0.72]),
    ]
    wide = [
        cell("BBBP", "wider grid", "Mol2vec", [0.80, 0.81, 0.82]),
        cell("BBBP", "wider grid", "clip, comas", [0.75, 0.76, 0.77]),
        cell("BBBP", "wider grid", "ccl, comas", [0.80, 0.81, 0.82]),
    ]
    table = report.scores(sound + wide)
    assert report.judged(table)["outcome"].tolist() == ["higher", "level", "lower", "level"]
    said = report.what_the_protocol_decides(table)
    assert "*wider grid*: 1 of 2 outcomes are those of the sound protocol; 1 turn round" in said
    assert "CLIP on BBBP (higher, then lower)" in said


def test_candidates_on_the_edge_of_their_grid_are_counted():
    low, *_, high = protocols.TRAININGS["sound"].tuning("BBBP").learning_rates
    results = [cell("BBBP", "sound", "Mol2vec", [], learning_rate=[low, high, 0.5], epochs=[10, 10, 10])]
    assert report.on_the_edge(results).loc["BBBP"].tolist() == ["2 of 3", "0 of 3"]


def test_the_papers_protocol_stands_beside_its_printed_score():
    results = [
        cell("BBBP", "sound", "Mol2vec", [0.70], 0.71),
        cell("BBBP", "the paper's grid", "Mol2vec", [0.70], 0.20),
        cell("BBBP", "the paper's", "Mol2vec", [0.70], 0.74),
        cell("PRISM", "sound", "Mol2vec", [0.1], 0.2),
        cell("PRISM", "the paper's", "Mol2vec", [0.1], 0.3),
        cell("PRISM", "the paper's, PRISM", "Mol2vec", [0.1], 0.4),
    ]
    table = report.beside_paper(report.scores(results), {"BBBP": 70.7})
    assert table.round(6).loc["BBBP"].tolist() == [70, 71, 74, 70.7]
    assert table.loc["PRISM", ("the paper's", "five averaged")] == 40
