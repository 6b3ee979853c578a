"""The board of new plates: folds, baselines, cells at trial size, and what the report says of made-up results."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from infocore_mini import PairedScreen
from infocore_mini.config import Config
from infocore_mini.correct import Correction
from infocore_mini.experiments.chances import candidates, unequal
from infocore_mini.experiments.new_plates import (
    across,
    arms,
    figures,
    folds,
    live,
    phases,
    placement,
    report,
    run,
    scores,
    search,
    untrained,
)
from infocore_mini.experiments.new_plates.folds import BOTH, NEW, NEW_BATCHES, NEW_MOLECULES, TESTS, TRAIN
from infocore_mini.experiments.results import StoredResult, stored
from infocore_mini.sources import DataUnavailable, fetch

LINKS = ("N", "O", "S", "C(F)", "C(Cl)", "C(Br)", "P", "[Se]")
SMILES = ["C" * (1 + i % 12) + LINKS[i // 12] + "C" * 14 for i in range(96)]
TINY = dict(epochs=4, embedding_dim=8, hidden_drug=(16,), hidden_screen=(16,), hidden_classifier=(16,), halve_at=())


@pytest.fixture(scope="module")
def found() -> folds.Folded:
    """Simulated: 96 molecules, ten plates of 48, every molecule on five of them; two plates hold the same molecules."""
    rng = np.random.default_rng(0)
    molecule = np.concatenate([rng.permutation(96)[:48] for _ in range(9)])
    molecule = np.concatenate([molecule, molecule[:48]])
    plate = np.repeat(np.arange(10), 48)
    signal, shift = rng.normal(size=(96, 6)), rng.normal(size=(10, 6))
    screen = PairedScreen.from_profiles(
        smiles=[SMILES[i] for i in molecule],
        drug=lambda smiles: signal[[SMILES.index(text) for text in smiles]],
        profile=signal[molecule] + shift[plate] + 0.3 * rng.normal(size=(480, 6)),
        batch=plate,
    )
    return folds.folded(screen)


@pytest.fixture
def board(found, monkeypatch) -> folds.Folded:
    monkeypatch.setattr(search, "checked", lambda name: found)
    monkeypatch.setattr(run, "checked", lambda name: found)
    monkeypatch.setattr(arms, "SETTINGS", {**arms.SETTINGS, **TINY})
    monkeypatch.setattr(folds, "SCREENS", {"toy": (None, ())})
    monkeypatch.setattr(search, "SCREENS", {"toy": (None, ())})
    monkeypatch.setattr(run, "SCREENS", {"toy": (None, ())})
    return found


# ------------------------------------------------------------------ folds


def test_one_training_has_three_tests_that_share_nothing_they_must_not(found):
    batch = found.screen.batch_id.numpy()
    for fold in range(folds.N_FOLDS):
        part = found.parts(fold)
        of = {code: (set(found.molecule[part == code]), set(batch[part == code])) for code in range(4)}
        assert all(molecules for molecules, _ in of.values()) and (part >= 0).all()
        assert not of[TRAIN][0] & (of[NEW_MOLECULES][0] | of[BOTH][0]) and of[NEW_BATCHES][0] <= of[TRAIN][0]
        assert not of[TRAIN][1] & (of[NEW_BATCHES][1] | of[BOTH][1]) and of[NEW_MOLECULES][1] <= of[TRAIN][1]
        inner = found.chosen_on(fold)
        assert (part[inner >= 0] == TRAIN).all() and (inner == BOTH).any()


def test_every_batch_and_molecule_is_held_out_once_and_replicate_batches_together(found):
    batch = found.screen.batch_id.numpy()
    by_batch = pd.Series(found.batch_fold).groupby(batch)
    assert (by_batch.nunique() == 1).all() and set(found.batch_fold) == set(range(folds.N_FOLDS))
    assert by_batch.first()[0] == by_batch.first()[9]
    held = pd.Series(found.molecule_fold).groupby(found.molecule)
    assert (held.nunique() == 1).all() and held.first().value_counts().max() - held.first().value_counts().min() <= 1


def test_folds_are_deterministic_and_their_checksum_notices_a_change(found):
    same = folds.folded(found.screen)
    assert folds.account(same) == folds.account(found)
    moved = replace(found, molecule_fold=(found.molecule_fold + 1) % folds.N_FOLDS)
    assert folds.account(moved)["sha256"] != folds.account(found)["sha256"]


def test_too_few_batches_cannot_be_cut(found):
    few = found.screen.where(found.screen.profile_batch < 4)
    with pytest.raises(ValueError, match="got 4 groups of experimental batches, expected at least 5"):
        folds.folded(few)


@pytest.mark.parametrize("name", ["dahlin"])  # the quickest to read; every run compares its own screen
def test_stored_folds_are_those_of_the_data(name):
    try:
        [fetch(file) for file in folds.SCREENS[name][1]]
    except DataUnavailable as reason:
        pytest.skip(str(reason))
    assert folds.account(folds.screen_of(name)) == stored(folds.STUDY).results[name]


def test_folds_of_all_screens_were_stored_with_most_molecules_left_to_train_on():
    results = stored(folds.STUDY).results
    assert set(results) == set(folds.SCREENS) == set(report.SCREEN_NAMES)
    assert all(len(found["folds"]) == folds.N_FOLDS for found in results.values())
    kept_molecules = [fold["training"]["molecules"] for fold in results["connectivity_map"]["folds"]]
    assert min(kept_molecules) >= 800  # of 1,044; a split by both at once had left 280


# ------------------------------------------------------------------ scores and baselines


def test_retrieval_is_that_of_a_loop():
    rng = np.random.default_rng(0)
    molecule, batch = np.repeat(np.arange(12), 2), np.tile([0, 1], 12)
    z_drug = rng.normal(size=(12, 3))[molecule]
    z_screen = z_drug + rng.normal(size=(24, 3))
    found = scores.retrieval(z_screen, z_drug, molecule, batch)
    unit = [z / np.linalg.norm(z) for z in z_drug[::2]]
    ranks = [1 + sum(z @ other > z @ unit[m] for other in unit) for z, m in zip(z_screen, molecule)]
    assert found["whole"]["beaten"] == pytest.approx(np.mean([(12 - rank) / 11 for rank in ranks]))
    assert found["whole"]["top 5"] == pytest.approx(np.mean([rank <= 5 for rank in ranks]))
    assert found["whole"]["chance 5"] == pytest.approx(5 / 12) and found["whole"]["queries"] == 24
    worst = min(np.mean([(12 - r) / 11 for r, b in zip(ranks, batch) if b == code]) for code in (0, 1))
    assert found["whole"]["worst batch"] == pytest.approx(worst)
    alone = scores.retrieval(np.ones((24, 3)), np.ones((24, 3)), molecule, batch)
    assert alone["whole"]["beaten"] == 0.5 and alone["batch"]["top 1"] == pytest.approx(1 / 12)


def test_a_batch_library_holds_the_molecules_of_the_batch():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(20, 4))
    found = scores.retrieval(z, z, np.arange(20), np.arange(20) % 2)
    assert found["batch"]["chance 1"] == pytest.approx(0.1) and found["batch"]["top 1"] == 1
    assert scores.retrieval(z[:8], z[:8], np.arange(8), np.arange(8) % 2)["batch"] is None


def test_replicates_and_mixing_say_where_there_is_nothing_to_say():
    z = np.random.default_rng(0).normal(size=(12, 3))
    assert scores.replicates(z, np.arange(12), np.arange(12) % 3) is None
    assert scores.mixing(z, np.arange(12), np.zeros(12, int), np.zeros(12, int)) is None
    same = np.concatenate([z[:6], z[:6]])
    assert scores.replicates(same, np.tile(np.arange(6), 2), np.repeat([0, 1], 6)) == 1


def test_tanimoto_is_both_over_one():
    a, b = np.array([[1, 1, 0, 1]]), np.array([[1, 0, 1, 1], [0, 0, 0, 0]])
    np.testing.assert_allclose(untrained.tanimoto(a, b), [[2 / 4, 0]])


def test_baselines_know_what_they_are_given(found):
    part = found.parts(0)
    train, test = found.where(part == TRAIN), found.where(part == NEW_BATCHES)
    z_screen, z_drug = untrained.readout(train, test)
    seen = scores.retrieval(z_screen, z_drug, test.drug_id.numpy(), test.batch_id.numpy())["whole"]
    assert seen["beaten"] > 0.6  # a seen molecule is its own nearest structure
    of_batch, _ = untrained.batch_mean(train, test)
    assert len(np.unique(of_batch.round(9), axis=0)) == len(test.batch_id.unique())
    assert untrained.components(train, test)[0].shape == (len(test), 6)
    with pytest.raises(ValueError, match="got no column cell_count"):
        untrained.cell_count(train, test)


# ------------------------------------------------------------------ the cells


def test_methods_have_equal_chances():
    by_method = {
        method: [arms.config(method, candidate, 0) for candidate in candidates(method)] for method in arms.METHODS
    }
    assert {len(configs) for configs in by_method.values()} == {search.TRIALS} and unequal(by_method) == []
    assert all(len(set(map(repr, configs))) == search.TRIALS for configs in by_method.values())


def test_the_board_is_a_cross_with_the_dumb_baselines_first():
    listed = list(arms.cells())
    assert len(listed) == len(set(listed)) and listed[:2] == [("raw", "batch_mean"), ("raw", "cell_count")]
    assert {c for c, m in listed if m == "infocore"} == set(arms.CORRECTIONS)
    assert {m for c, m in listed if c == "batch centring"} >= set(arms.METHODS) | {"none", "pca"}
    assert all(pair in listed for both in report.COMPARISONS for pair in both)


def test_corrections_say_whether_they_are_inductive():
    assert [name for name in arms.CORRECTIONS if arms.transductive(name)] == ["ComBat", "Harmony"]


def test_what_a_correction_learns_comes_from_training(found, monkeypatch):
    seen: list[PairedScreen] = []

    class Spy(Correction):
        def _fit(self, screen):
            seen.append(screen)

        def _transform(self, screen):
            return screen

    monkeypatch.setattr(arms, "CORRECTIONS", {"spy": (Spy(),)})
    arms.corrected(found, 0, "spy")
    assert len(seen[0]) == (found.parts(0) == TRAIN).sum()
    monkeypatch.setattr(Spy, "inductive", False)
    arms.corrected(found, 0, "spy")
    assert len(seen[1]) == len(found.screen)


def test_a_trial_and_a_cell_of_every_kind(board, tmp_path):
    trials = {
        candidate: [search.trial("toy", "infocore", candidate, fold, tmp_path).result["validation"] for fold in (1, 2)]
        for candidate in (0, 1)
    }
    chosen = search.choice(trials, "infocore")
    assert chosen["epochs"] in (2, 4) and chosen["validation"] == max(max(v) for v in chosen["search"].values())
    for correction, method in (("raw", "none"), ("batch centring", "infocore"), ("raw", "hsic")):
        given = chosen if method in arms.METHODS else None
        result = run.cell("toy", correction, method, run.AUDIT_FOLD, given, tmp_path).result
        assert set(result["tests"]) == set(TESTS) and 0 <= result["tests"][NEW]["whole"]["beaten"] <= 1
        assert result["new batches"]["replicates"] is not None and "verdict" in result["audit"]
    impossible = run.cell("toy", "control mean", "clip", 0, chosen, tmp_path).result
    assert "no control wells" in impossible["not possible"]
    of_alpha = search.alpha_run("toy", 0.6, 0, chosen, tmp_path).result
    assert set(of_alpha) == {"validation", "mixing", "beaten"}
    assert len(list(tmp_path.glob("new_plates*.json"))) == 4 + 4 + 1


def test_a_training_that_fails_is_a_fault_and_not_a_cell_that_is_not_possible(board, monkeypatch):
    def fails(*_):
        raise ValueError("planted")

    monkeypatch.setattr(run, "trained", fails)
    chosen = {"candidate": {}, "epochs": 2}
    with pytest.raises(ValueError, match="planted"):
        run.cell("toy", "raw", "clip", 0, chosen)


def test_runs_refuse_other_folds_than_those_stored(found, monkeypatch):
    monkeypatch.setattr(arms, "screen_of", lambda name: found)
    arms.checked.cache_clear()
    with pytest.raises(ValueError, match="yeast: got folds of checksum"):
        arms.checked("yeast")


# ------------------------------------------------------------------ the report


def made_up(effect: float, *, simulated: bool = False, screen: str = "yeast", spread: float = 0.001) -> StoredResult:
    """Results of the whole cross in which InfoCORE on centred batches has ``effect`` more than CLIP there."""
    rng = np.random.default_rng(0)
    cells = []
    for correction, method in arms.cells():
        for fold in range(folds.N_FOLDS):
            value = 0.6 + spread * rng.normal() + (effect if (correction, method) == report.CLAIM[0] else 0)
            ranked = {"beaten": value, "worst batch": value - 0.1, "by batch": {}, "queries": 50, "molecules": 40}
            ranked |= {f"top {k}": k / 40 for k in (1, 5, 10)} | {f"chance {k}": k / 40 for k in (1, 5, 10)}
            new = {"replicates": 0.2, "mixing": {"own batch": 0.3, "permuted": 0.1}}
            cells.append(
                {
                    "correction": correction,
                    "method": method,
                    "fold": fold,
                    "audit": {"verdict": "clean"} if fold == 3 else None,
                }
                | {"tests": {test: {"whole": ranked, "batch": None} for test in TESTS}, "new batches": new}
            )
    counts = {"conditions": 20, "molecules": 40, "batches": 2}
    fold_counts = {"training": {"conditions": 100, "molecules": 80, "batches": 8}, **dict.fromkeys(TESTS, counts)}
    alpha = [
        {"alpha": alpha, "fold": fold, "validation": 0.5 - abs(alpha - 0.6), "beaten": 0.6 + 0.01 * (alpha == 0.6)}
        | {"mixing": {"own batch": 0.3 - 0.1 * alpha, "permuted": 0.1}}
        for alpha in search.ALPHAS
        for fold in range(folds.N_FOLDS)
    ]
    parameters = {"screen": screen, "simulated": simulated, "transductive": ["ComBat", "Harmony"]}
    parameters |= {"folds": {"folds": [fold_counts] * folds.N_FOLDS}}
    chosen = {"clip": {"candidate": {"temperature": 0.1}}}
    return StoredResult("made up", parameters, {"cells": cells, "alpha": alpha, "chosen": chosen}, {})


def test_the_board_shows_every_arm_and_marks_what_saw_the_test():
    table = report.board(made_up(0.0))
    assert len(table) == len(list(arms.cells())) and table.index[0] == "mean of the batch, raw"
    assert {name for name in table.index if "†" in name} == {
        f"{report.NAMES[m]}, {c} †" for c in ("ComBat", "Harmony") for m in ("none", "clip", "infocore")
    }
    assert "±" in table.loc["CLIP, raw", "beaten"] and table.loc["CLIP, raw", "audit"] == "clean"


@pytest.mark.parametrize(("effect", "said"), [(0.05, "above"), (-0.05, "below"), (0.0, "level")])
def test_a_difference_is_told_where_there_is_one(effect, said):
    of = made_up(effect)
    found = report.comparisons(of)
    assert found.iloc[0].said == said and len(found) == len(report.COMPARISONS)
    assert found.iloc[0].difference == pytest.approx(100 * effect, abs=0.3)
    assert set(found.iloc[1:]["said"]) <= {"level", "not told apart"}
    assert said in report.verdict("yeast", of)
    words = {"above": "is above on 1", "below": "below on 1", "level": "adds nothing that matters"}
    assert words[said] in across.claim({"yeast": of, "simulated": made_up(0.2, simulated=True, screen="simulated")})


def test_noise_is_not_told_apart_and_the_claim_says_what_could_have_been_seen():
    assert "points would have been" in across.claim({"yeast": made_up(0.0, spread=0.05)})


def test_a_screen_of_few_molecules_is_read_by_its_replicates():
    of = made_up(0.0, screen="dahlin")
    for cell in of.results["cells"]:
        found = {("raw", "clip"): 0.9, ("raw", "none"): 0.5}.get((cell["correction"], cell["method"]), 0.7)
        cell["new batches"] = cell["new batches"] | {"replicates": found}
        if cell["correction"] == "Harmony":  # has seen the test, and cannot be named
            cell["new batches"]["replicates"] = 0.99
    said = report.verdict("dahlin", of)
    assert "with CLIP, raw, 90.0 percent" in said and "50.0 without training" in said


def test_holm_is_the_textbooks():
    assert report.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])


def test_alpha_is_chosen_by_either_rule():
    table = report.alphas(made_up(0.0))
    assert table.loc["retrieval", "chosen"] == [0.6] * 5 and table.loc["retrieval", "difference"] == pytest.approx(1)
    assert table.loc["mixing", "chosen"] == [0.83] * 5
    side_by_side = across.alphas({"yeast": made_up(0.0), "comas": made_up(0.0, screen="comas")})
    assert side_by_side.loc[("COMAS cell painting", "retrieval"), "chosen"] == "0.6, 0.6, 0.6, 0.6, 0.6"


def test_three_tests_stand_side_by_side():
    of = made_up(0.0)
    assert list(report.tests_of(of, ("raw", "clip")).index) == list(TESTS)
    for cell in of.results["cells"]:
        cell["tests"] = {name: found for name, found in cell["tests"].items() if name == NEW}
    assert list(report.tests_of(of, ("raw", "clip")).index) == [NEW], "a screen without the other tests"


def test_a_test_of_few_molecules_is_not_shown():
    of = made_up(0.0)
    for fold in of.parameters["folds"]["folds"]:
        fold[NEW] = fold[NEW] | {"molecules": across.LEAST_SHOWN - 1}
    row = across.seen_and_new({"yeast": of}, [("raw", "clip")]).iloc[0]
    assert row[[name for name in TESTS if name != NEW]].notna().all() and pd.isna(row[NEW])


def test_each_score_stands_for_the_screens_that_it_can_be_read_on():
    plain, twice = made_up(0.0), made_up(0.0, screen="dahlin")
    for fold in twice.parameters["folds"]["folds"]:
        for test in TESTS:
            fold[test] = fold[test] | {"conditions": 2 * fold[test]["molecules"]}
    boards = {"yeast": plain, "dahlin": twice}
    assert list(across.board(boards)) == ["yeast growth"]
    assert list(across.board(boards, "replicates")) == ["Dahlin 2023"]
    left = across.board(boards, "excess", [("raw", "none"), ("raw", "clip")])
    assert left.shape == (2, 2) and left.iloc[0, 0].startswith("20.0")


def test_screens_together_are_real_and_weigh_by_their_errors():
    quiet, loud = made_up(0.03), made_up(0.2, screen="comas", spread=0.05)
    boards = {"yeast": quiet, "comas": loud, "simulated": made_up(-0.9, simulated=True, screen="simulated")}
    row = across.together(boards).iloc[0]
    found = [report.comparisons(of).iloc[0] for of in (quiet, loud)]
    error = [(one.high - one.low) / 2 / stats.t.ppf(0.975, folds.N_FOLDS - 1) for one in found]
    low, high = sorted(one.difference for one in found)
    assert row.screens == 2 and low < row.difference < high
    assert row.high - row.low >= 2 * stats.t.ppf(0.975, 1) / np.sqrt(sum(one**-2 for one in error)) - 1e-9
    with np.errstate(divide="ignore"):  # of I2, which no one reads
        alike = across.together({"yeast": quiet, "comas": quiet}).iloc[0]
    assert alike.difference == pytest.approx(found[0].difference), "no spread between screens, and yet an interval"
    assert alike.high - alike.difference == pytest.approx(stats.t.ppf(0.975, 1) * error[0] / np.sqrt(2))
    assert f"{row.difference:+.1f}" in across.claim_together(boards) and "not planned" in across.claim_together(boards)


def test_screens_stand_side_by_side():
    real, simulated = made_up(0.05), made_up(-0.05, simulated=True, screen="simulated")
    lacking = made_up(0.0, screen="dahlin")
    for cell in real.results["cells"]:
        if cell["correction"] == "sphering":
            cell |= {"tests": {}, "not possible": "screen: got no control wells"}
    boards = {"yeast": real, "simulated": simulated, "dahlin": lacking}
    table = across.board(boards)
    assert list(table) == ["yeast growth", "simulated gene expression"] and len(table) == len(list(arms.cells()))
    assert table.loc["CLIP, sphering", "yeast growth"] == "" != table.loc["CLIP, sphering", "simulated gene expression"]
    marks = across.best_arms(boards)
    assert marks.loc["InfoCORE, batch centring", "yeast growth"] == "best" and list(marks) == list(table)
    assert (marks == "best").sum().tolist() == [1, 1] and set(marks.index) <= set(table.index)
    said = across.compared(boards).iloc[0]
    assert said["yeast growth"].endswith("above") and said["simulated gene expression"].endswith("below")
    tests = across.seen_and_new(boards, [("raw", "clip")])
    assert tests.shape == (2, 3) and tests.loc[("yeast growth", "CLIP, raw")].between(50, 70).all()
    gaps = across.missing(boards)
    assert gaps.loc[0, "lacks"] == "control wells" and "CLIP, sphering" in gaps.loc[0, "arms"]
    assert list(across.sizes(stored(folds.STUDY)).index) == list(report.SCREEN_NAMES.values())


def test_the_board_is_drawn_with_a_dot_a_fold():
    axis = figures.board_figure(made_up(0.0)).axes[0]
    assert len(axis.get_yticks()) == len(list(arms.cells()))
    assert sum(len(line.get_xdata()) == folds.N_FOLDS for line in axis.lines) == len(list(arms.cells()))


# ------------------------------------------------------------------ the phase diagram


def test_draws_hold_what_the_dials_say():
    dials = replace(phases.CENTRE, per_batch=10, n_batches=8)
    parts = phases.draw(dials, 0)
    assert [len(parts[name].batch_id) for name in phases.PARTS] == [80, phases.N_TESTED, phases.N_TESTED]
    assert set(parts["seen"].batch_id) == set(parts["train"].batch_id) == set(range(8))
    assert not set(parts["new"].batch_id) & set(range(8)) and np.bincount(parts["new"].batch_id)[8:].max() == 10
    quiet, loud = (phases.measured(replace(phases.CENTRE, strength=s), 0).result for s in (0.0, 2.0))
    assert loud["own batch"] > 0.8 > quiet["own batch"]
    free, tied = (phases.measured(replace(phases.CENTRE, confounding=c), 0).result["auc"] for c in (0.0, 0.5))
    assert tied > 0.8 and abs(free - 0.5) < 0.1


def test_centring_leaves_no_mean_in_any_batch():
    parts = phases.centred(phases.draw(phases.CENTRE, 0))
    batch = np.concatenate([part.batch_id for part in parts.values()])
    screen = np.concatenate([part.screen for part in parts.values()])
    for code in np.unique(batch):
        np.testing.assert_allclose(screen[batch == code].mean(0), 0, atol=1e-4)


def test_axes_are_wide_enough_and_share_their_centre():
    assert len(phases.AXES) >= 4 and len(phases.DRAWS) >= 8
    for axis, values in phases.AXES.items():
        assert len({getattr(dials, axis) for dials in values}) >= 5 and phases.CENTRE in values, axis


@pytest.fixture(scope="module")
def axes(tmp_path_factory):
    """All axes at trial size: two values, two draws, two epochs."""
    runs, patch = tmp_path_factory.mktemp("runs"), pytest.MonkeyPatch()
    patch.setattr(phases, "SETTINGS", {**phases.SETTINGS, "epochs": 1, "steps_per_epoch": 4})
    patch.setattr(phases, "DRAWS", (0, 1))
    few = {axis: tuple(dict.fromkeys([phases.CENTRE, values[1]])) for axis, values in phases.AXES.items()}
    patch.setattr(phases, "AXES", few)
    patch.setattr(placement, "AXES", few)
    found = {axis: StoredResult.read(phases.store(axis, runs, runs, 1)) for axis in few}
    yield found
    patch.undo()


def test_real_screens_are_placed_and_predicted(axes):
    table = placement.curves(axes)
    assert set(table.index.unique("method")) == set(phases.METHODS) and bool(table["mean"].between(20, 100).all())
    screens = {name: made_up(0.0, screen=name) for name in placement.STRUCTURE}
    where = placement.positions(axes, stored("structure_arrow"), stored("audit_screens"), screens)
    assert set(where.columns) == set(phases.AXES) and set(where.index) == set(placement.STRUCTURE)
    at_centre = placement.predicted(table, {axis: getattr(phases.CENTRE, axis) for axis in phases.AXES})
    pd.testing.assert_series_equal(
        at_centre, table["mean"].unstack("method").loc["strength", phases.CENTRE.strength], check_names=False
    )
    found = placement.placed(table, where, screens)
    assert f"places {found['right'].sum()} of 4 real screens rightly" in placement.sentence(found)
    touched = figures.phase_diagram(placement.curves(axes, "seen"), table)
    assert [frame.label for frame in touched.frames] == [figures.AXIS_NAMES[axis] for axis in phases.AXES]
    assert all("new batches" in frame.alt and "is highest" in frame.alt for frame in touched.frames)


def test_settings_of_every_method_are_valid():
    for method in phases.METHODS:
        assert isinstance(phases.config(phases.CENTRE, method, 0), Config)


# ------------------------------------------------------------------ live


def test_a_screen_that_is_not_at_hand_is_replaced_by_a_simulated_one_and_that_is_said(monkeypatch):
    def nowhere(name: str):
        raise DataUnavailable(name)

    monkeypatch.setattr(live, "checked", nowhere)
    name, notice = live.at_hand("yeast")
    assert name == "simulated" and "**Simulated data** in place of yeast growth" in notice


def test_what_is_trained_live_stands_beside_what_is_stored(monkeypatch):
    of, asked = made_up(0.0), []

    def cell(name, correction, method, fold, chosen):
        asked.append((name, correction, method, fold, chosen))
        return SimpleNamespace(result={"tests": {NEW: {"whole": {"beaten": 0.7, "top 10": 0.2}}}})

    monkeypatch.setattr(live, "cell", cell)
    table = live.beside_stored("yeast", 2, of)
    assert list(table.index) == [report.label(arm, of) for arm in live.ARMS]
    assert set(table["beaten"]) == {70.0} and set(table["top 10"]) == {20.0}
    assert asked[1] == ("yeast", "raw", "clip", 2, of.results["chosen"]["clip"])
    by_fold = report.by_fold(of)["beaten"]
    assert table["stored"].tolist() == pytest.approx([by_fold[(*arm, 2)] for arm in live.ARMS])
