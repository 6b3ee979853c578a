"""The audit's studies at a trial size: designs as planned, what is kept, and what the tables say of it."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from infocore_mini import PairedScreen
from infocore_mini.confounding.verdict import ORDER
from infocore_mini.correct import ControlMean, PlateCentring
from infocore_mini.experiments.audit import calibration, report, screens, trained
from infocore_mini.experiments.results import StoredResult, stored


@pytest.mark.parametrize("design", calibration.DESIGNS)
def test_designs_are_those_of_the_plan(design):
    one = calibration.draw(design, "nothing", seed=1)
    told = one.told
    assert one.embedding.shape == (500, 16)
    batches = pd.Series(one.nuisance)
    if design == "balanced":
        assert set(batches.value_counts()) == {62, 63} and set(told) == {"label"}
        assert pd.crosstab(batches, told["label"]).to_numpy().min() >= 12
    if design == "unbalanced":
        assert batches.value_counts().iloc[0] > 100 and batches.nunique() == 8
        of_molecule = batches.groupby(told["molecule"])
        assert (of_molecule.nunique() == 1).all() and set(of_molecule.size()) <= {1, 2, 3, 4}
        assert (pd.Series(told["label"]).groupby(told["molecule"]).nunique() == 1).all()
    if design == "nested":
        assert (batches.groupby(told["molecule"]).nunique() == 4).all() and batches.nunique() == 20
        assert (pd.Series(told["library"]).groupby(told["label"]).nunique() == 1).all()
        assert (pd.Series(told["library"]).groupby(one.nuisance).nunique() == 1).all()


def test_a_shift_is_half_a_standard_deviation_of_the_noise_in_one_value():
    nothing, shifted = (calibration.draw("balanced", case, seed=3) for case in ("nothing", "shift"))
    difference = shifted.embedding - nothing.embedding
    moved = np.unique(shifted.nuisance[(difference != 0).any(1)])
    assert len(moved) == 1 and np.allclose(difference[shifted.nuisance == moved[0]], 0.5)


def test_every_case_is_answered_as_the_plan_wants_it_on_a_few_draws(tmp_path):
    kept = {}
    for design, case in calibration.cases():
        record = calibration.run(design, case, first=1, n=2, folder=tmp_path)
        assert len(record.result["verdict"]) == 2
        kept[f"{design} / {case}"] = record.result
    table = calibration.summary(kept).set_index(["design", "case"])
    assert table.loc[("balanced", "shift"), "share"] == 1 == table.loc[("balanced", "ComBat"), "share"]
    assert table.loc[("balanced", "coincides"), "share"] == 1
    assert calibration.run("balanced", "shift", 1, 2, tmp_path).provenance["seconds"] > 0  # found, not made again


def test_the_summary_counts_alarms_where_nothing_is_and_right_answers_elsewhere():
    verdicts = ["clean"] * 90 + ["cannot tell"] * 5 + ["confounded"] * 3 + ["over-corrected"] * 2
    found = {"verdict": verdicts, "alarms": [[]] * 100, "linear probe": [(0.1, 0.1)] * 100}
    table = calibration.summary({"balanced / nothing": found, "nested / shift": found})
    assert table["share"].tolist() == [0.05, 0.03] and table["holds"].tolist() == [True, False]
    alike = {"verdict": ["clean"] * 19 + ["confounded"] * 81, "alarms": [[]] * 100, "linear probe": [(0.1, 0.1)] * 100}
    assert calibration.summary({"nested / shift": alike, "balanced / shift": alike})["holds"].tolist() == [True, False]
    assert table["low"][0] < 0.05 < table["high"][0] and table["clean"].tolist() == [0.9, 0.9]


def toy(n: int = 40) -> PairedScreen:
    """Two replicates of n molecules on four plates with an effect of their own, and eight control wells on each."""
    rng = np.random.default_rng(0)
    molecule, plate = np.repeat(np.arange(n), 2), np.arange(2 * n) % 4
    effect, of_plate = rng.normal(size=(n, 5)), 3 * rng.normal(size=(4, 5))
    control = np.repeat(np.arange(4), 8)
    return PairedScreen.from_profiles(
        smiles=[f"molecule {i:03d}" for i in molecule],
        drug=lambda smiles: np.zeros((len(smiles), 1)),
        profile=effect[molecule] + of_plate[plate] + 0.3 * rng.normal(size=(2 * n, 5)),
        batch=[f"plate {i}" for i in plate],
        info={"well": [f"map:{'ABCD'[i % 4]}{i // 4 + 1:02d}" for i in range(2 * n)]},
        controls={
            "profile": of_plate[control] + 0.3 * rng.normal(size=(32, 5)),
            "batch": [f"plate {i}" for i in control],
            "info": {"well": [f"map:{'EFGH'[i % 4]}{i // 4 + 1:02d}" for i in range(32)]},
        },
    )


def test_a_screen_is_audited_with_its_controls_before_and_after(tmp_path, monkeypatch):
    wanted = {"none": (), "mean of the batch": (PlateCentring(),), "mean of the controls": (ControlMean(),)}
    monkeypatch.setattr(screens, "SCREENS", {"toy": (lambda drug: toy(), {"position": "well"}, [])})
    monkeypatch.setattr(screens, "CORRECTIONS", wanted)
    written = json.loads(screens.store(tmp_path, tmp_path / "runs").read_text())
    table = pd.DataFrame(written["results"]["table"]).set_index("correction")
    assert table.loc["none", ["treated: verdict", "controls: verdict"]].tolist() == ["confounded", "confounded"]
    assert table.loc["none", "treated: linear probe"] > 0.9
    assert table.loc["mean of the controls", "controls: verdict"] == "over-corrected"  # they were used up
    checks = [row["check"] for row in written["results"]["audits"]["toy / mean of the batch"]["findings"]]
    assert "replicates kept by the correction" in checks and (table["n"] == 80).all()


def test_trained_embeddings_of_the_test_wells_are_audited_beside_their_readouts(tmp_path, monkeypatch):
    def read() -> PairedScreen:
        features = np.random.default_rng(0).normal(size=(200, 4))
        return toy(n=200).with_drug(lambda smiles: features)

    short = dict(epochs=1, warmup_epochs=0, halve_at=(), embedding_dim=4, hidden_drug=(8,), hidden_screen=(8,))
    monkeypatch.setattr(screens, "SCREENS", {"toy": (read, {}, [])})
    monkeypatch.setattr(trained, "SETTINGS", dict(trained.SETTINGS) | short | {"hidden_classifier": (8,)})
    written = trained.store(tmp_path, tmp_path / "runs", n_jobs=1)
    results = json.loads(written.read_text())["results"]
    table = pd.DataFrame(results["table"]).set_index("training")
    assert table.index.tolist() == ["none", "CLIP", "CCL", "InfoCORE"] and set(table["n"]) == {80}
    assert table.loc["none", "verdict"] == "confounded" and table.loc["none", "treated: linear probe"] > 0.9
    assert table.loc["none", "controls: verdict"] == "confounded"  # no training saw a control well
    of_clip = results["audits"]["toy / CLIP"]
    assert of_clip["molecules"] == 40 and of_clip["trained on"] == 128
    assert "replicates kept by the correction" in [row["check"] for row in of_clip["findings"]]
    shown = report.trained_table(StoredResult.read(written))
    assert shown.index.names == ["screen", "training"] and shown.loc[("toy", "none"), "verdict"] == "confounded"


def test_a_training_that_is_not_possible_is_listed_with_its_reason(monkeypatch):
    monkeypatch.setattr(screens, "SCREENS", {"small toy": (lambda: toy(20), {}, [])})
    found = trained.run("small toy", "CCL").result
    assert found["verdict"] == "not possible" and "every experimental batch has" in found["reason"]


def test_a_correction_without_its_wells_is_listed_as_not_possible():
    bare = PairedScreen.from_profiles(
        smiles=[f"{i}" for i in range(30)],
        drug=lambda smiles: np.zeros((len(smiles), 1)),
        profile=np.random.default_rng(0).normal(size=(30, 3)),
        batch=["a", "b"] * 15,
    )
    with pytest.raises(ValueError, match="control wells"):
        screens.audited(bare, {}, (ControlMean(),))
    assert screens.row({"verdict": "not possible", "reason": "no control wells", "findings": []}) == {
        "verdict": "not possible",
        "n": None,
        "not possible": "no control wells",
    }


def test_tables_show_what_is_stored():
    calibrated = [
        {
            "design": "balanced",
            "case": "nothing",
            "draws": 1000,
            "share": 0.047,
            "low": 0.03,
            "high": 0.07,
            "holds": True,
            "clean": 0.953,
        },
        {"design": "balanced", "case": "shift", "draws": 200, "share": 0.995, "low": 0.96, "high": 1.0, "holds": True}
        | {"clean": 0.005},
    ]
    table = report.calibration_table(StoredResult("audit_calibration", {}, {"table": calibrated}, {}))
    assert table.loc[("nothing", "balanced"), "percent"] == 4.7
    assert table["called clean"].tolist() == [95.3, 0.5]
    assert table.loc[("shift", "balanced"), ["wanted", "99 % interval"]].tolist() == ['"confounded"', "96.0 to 100.0"]
    audited = [
        {"screen": "a", "correction": "none", "verdict": "confounded", "treated: verdict": "confounded"}
        | {"treated: linear probe": 0.9, "treated: linear probe, expected": 0.05},
        {"screen": "a", "correction": "ComBat", "verdict": "not possible"},
    ]
    table = report.screens_table(StoredResult("audit_screens", {}, {"table": audited}, {}))
    assert table.loc[("a", "none"), "linear probe, treated"] == "90.0 (5.0)"
    assert table.loc[("a", "none"), "experimental batch, controls"] == ""
    assert table.loc[("a", "ComBat"), "verdict"] == "not possible"


def test_the_stored_calibration_holds_what_the_audit_promises():
    table = pd.DataFrame(stored("audit_calibration").results["table"]).set_index(["case", "design"])
    assert table["draws"]["nothing"].tolist() == [1000, 1000, 1000]
    assert (table["low"]["nothing"] <= 0.05).all() and (table["high"]["nothing"] >= 0.05).all()
    assert table.loc[("shift", "balanced"), "share"] >= 0.9
    assert table["holds"]["shift"].to_dict() == {
        "balanced": True,
        "unbalanced": True,
        "nested": False,
    }  # 20.5 % "clean"
    assert (table.loc["ComBat"]["share"] >= 0.9).all() and (table.loc["coincides"]["share"] >= 0.9).all()


def test_the_stored_audits_are_of_every_screen_and_correction():
    results = stored("audit_screens").results
    assert {tuple(name.split(" / ")) for name in results["audits"]} == {
        (name, correction) for name in screens.SCREENS for correction in screens.CORRECTIONS
    }
    shown = report.screens_table(stored("audit_screens"))
    assert set(shown["verdict"]) <= {*ORDER, "not possible"} and len(shown) == len(results["audits"])
