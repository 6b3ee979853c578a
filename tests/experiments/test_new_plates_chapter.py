"""What the chapter on new plates says by itself, held against the stored boards and phase diagram."""

from __future__ import annotations

import re

import pytest

from infocore_mini.experiments.new_plates import across, arms, folds, phases, placement, report
from infocore_mini.experiments.results import StoredResult, stored


@pytest.fixture(scope="module")
def page(root) -> str:
    return (root / "notebooks" / "12_new_plates.py").read_text(encoding="utf-8").replace("\n# ", "\n")


@pytest.fixture(scope="module")
def kept() -> dict[str, StoredResult]:
    return {name: stored(f"new_plates_{name}") for name in report.SCREEN_NAMES}


def real(kept) -> dict[str, StoredResult]:
    return {name: of for name, of in kept.items() if not of.parameters["simulated"]}


def test_every_screen_has_all_folds_and_arms(kept):
    for of in kept.values():
        cells = {(cell["correction"], cell["method"], cell["fold"]) for cell in of.results["cells"]}
        assert cells == {(*arm, fold) for arm in arms.cells() for fold in range(folds.N_FOLDS)}


def test_the_headline_is_what_is_stored(page, kept):
    assert "no method is told to be above CLIP on any real screen" in page and "adds nothing that matters" in page
    for of in real(kept).values():
        rows = report.comparisons(of)
        assert "above" not in set(rows.loc[rows.index.str.endswith("minus CLIP, raw"), "said"])
    assert across.together(kept).iloc[0].said == "level" and across.together(kept).iloc[0].screens == 4
    assert "No loss made the encoder blind to a new plate" in page
    for name, of in real(kept).items():
        excess = report.by_fold(of)["excess"].groupby(level=["correction", "method"]).mean()
        assert excess["raw"][list(arms.METHODS)].min() > 3, f"{name}: points beyond chance"
    assert "Correcting the plates did not help to find molecules either" in page
    for row in ("CLIP, batch centring minus CLIP, raw", "InfoCORE, stabilised minus InfoCORE, raw"):
        assert across.together(kept).loc[row, "difference"] < 0
        assert "above" not in {report.comparisons(of).loc[row, "said"] for of in real(kept).values()}


def test_what_is_left_of_the_batch_is_what_is_stored(page, kept):
    assert "On each real screen all trained methods leave about the same" in page
    raised = []
    for of in kept.values():
        excess = report.by_fold(of)["excess"].groupby(level=["correction", "method"]).mean()
        if excess["batch centring", "none"] > excess["raw", "none"]:
            raised.append(of.parameters["simulated"])
        trained = excess["raw"][list(arms.METHODS)]
        assert of.parameters["simulated"] or trained.max() - trained.min() < 5
        assert (
            excess.xs("clip", level="method")[["raw", "batch centring", "stabilised", "Harmony"]].idxmin() == "Harmony"
        )
    assert (
        f"it raises the share on {'zero one two three four five six'.split()[len(raised)]} of the six screens, all four real"
        in page
    )
    assert len(raised) == 4 and not any(raised)
    assert "Of these Harmony leaves least on every screen, on three of them nothing that can be told" in page
    [left] = across.board(kept, "excess", [("Harmony", "clip")]).to_numpy()
    ranges = [re.findall(r"[\u2212-]?[\d.]+", cell.replace("\u2212", "-")) for cell in left]
    assert sum(len(both) == 2 and abs(float(both[0])) < float(both[1]) for both in ranges) == 3


def test_what_is_said_of_replicates_is_what_is_stored(page, kept):
    assert "those of the Connectivity Map find their replicates best without any" in page
    assert "on one real screen of three it helped readouts to find their replicates" in page
    said = across.outcomes(kept, "InfoCORE, stabilised minus InfoCORE, raw", "replicates")
    assert said.startswith("**above** on Connectivity Map and simulated gene expression; not told apart on")
    assert report.inductive_means(kept["connectivity_map"], "replicates").idxmax() == ("stabilised", "none")
    for of in across.read_on(kept, "replicates").values():
        rows = report.comparisons(of, "replicates")
        assert rows.loc["InfoCORE, stabilised minus InfoCORE, raw", "difference"] > 0
        assert abs(rows.loc["InfoCORE, raw minus CLIP, raw", "difference"]) < 2


def test_no_rule_for_alpha_is_told_from_its_fixed_value(page, kept):
    assert "Neither rule is told from 0.33 on any screen" in page
    for of in kept.values():
        table = report.alphas(of)
        assert (table["low"] < 0).all() and (table["high"] > 0).all()


def test_what_is_said_of_the_phase_diagram_is_what_is_stored(page, kept):
    stores = {axis: stored(f"new_plates_phases_{axis}") for axis in phases.AXES}
    assert "InfoCORE and CLIP lie on each other at every value of every dial" in page
    for part in ("seen", "new"):
        mean = placement.curves(stores, part)["mean"].unstack("method")
        assert (mean["infocore"] - mean["clip"]).abs().max() < 0.3
    lead = mean[phases.CENTRED] - mean["clip"]
    assert lead["strength"].iloc[-1] > 5 and lead["per_batch"].iloc[0] < -3 and lead["confounding"].iloc[-1] < -5
    where = placement.positions(stores, stored("structure_arrow"), stored("audit_screens"), kept)
    found = placement.placed(placement.curves(stores), where, kept)
    assert "On three of the four the diagram expects centring to do best of the five" in page
    assert (found["best predicted"] == phases.CENTRED).sum() == 3 and phases.CENTRED not in set(found["best found"])


def test_what_the_page_counts_is_what_there_is(page):
    others = {method for _, method in arms.cells()} - {"batch_mean", "cell_count", "none", "clip", "infocore"}
    assert "Nine corrections of the readout" in page and len(arms.CORRECTIONS) == 9
    assert "five other methods, on raw and on centred batches" in page and len(others) == 5
    assert "with five dials" in page and len(phases.AXES) == 5
    assert f"eight draws, {phases.N_TESTED} new molecules on new batches" in page and len(phases.DRAWS) == 8
