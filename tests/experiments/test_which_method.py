"""The page that recommends a method: every recommendation held against the stored results that it rests on."""

from __future__ import annotations

import re

import pytest

from infocore_mini.experiments import which_method
from infocore_mini.experiments.gene_expression import doses
from infocore_mini.experiments.new_plates import across, phases, placement
from infocore_mini.experiments.new_plates.report import RETRIEVED, comparisons
from infocore_mini.experiments.pretraining import report as pretraining
from infocore_mini.experiments.results import StoredResult, stored


@pytest.fixture(scope="module")
def page() -> str:
    return which_method.page()


def test_five_questions_have_a_recommendation_and_evidence_each(page, root):
    assert len(which_method.QUESTIONS) == page.count("\n**Do this.**") == page.count("\n**Evidence.**") == 5
    for question in which_method.QUESTIONS:
        assert question.evidence() in page
        assert all((root / "notebooks" / f"{name}.py").exists() for name in question.pages)


def test_training_hardly_ever_made_clean_what_was_not(page):
    assert "training hardly ever made clean what was not" in page
    unclean, clean = across.cleared(which_method.boards())
    assert 0 < len(clean) < 0.05 * unclean
    assert f"Of {unclean} arms whose untrained readout was not clean" in page


def test_the_arms_that_training_cleared_are_counted_against_their_own_readout():
    def cell(correction: str, method: str, verdict: str) -> dict:
        return {"correction": correction, "method": method, "audit": {"verdict": verdict}}

    cells = [
        *(cell("raw", method, "clean") for method in ("none", "clip")),  # clean before
        *(cell("robust z", method, verdict) for method, verdict in [("none", "confounded"), ("clip", "clean")]),
        *(cell("robust z", method, "confounded") for method in ("infocore", "batch_mean")),
        *(cell("ComBat", method, verdict) for method, verdict in [("none", "confounded"), ("clip", "clean")]),
    ]
    of = StoredResult("x", {"transductive": ["ComBat"], "screen": "yeast", "simulated": False}, {"cells": cells}, {})
    unclean, clean = across.cleared({"yeast": of})
    assert unclean == 2 and clean == ["CLIP, robust z on yeast growth"]


def test_where_structure_tells_little_the_methods_differ_little_and_where_it_tells_more_the_library_decides():
    said = {
        dose: pretraining.told(tables, "infocore", "clip").set_index(["library", "top"])
        for dose, tables in doses.at_doses().items()
    }
    none, *some = (said[dose] for dose in sorted(said))
    assert none["relative"].abs().max() < 0.1 and set(none.loc["whole", "said"]) == {"not told apart"}
    assert all((rows.loc["batch", "said"] == "above").all() for rows in some)
    assert all("above" not in set(rows.loc["whole", "said"]) for rows in some)


def test_ccl_is_for_batches_alone_and_no_one_beats_clip_among_all_molecules():
    for name in which_method.REAL:
        tables = pretraining.stored_tables(name)
        assert set(pretraining.told(tables, "infocore", "clip")["said"]) <= {"level", "not told apart"}
        ccl = pretraining.told(tables, "ccl", "clip").set_index("library")["said"]
        assert "below" not in set(ccl["batch"]) and "below" in set(ccl["whole"])
    rows = pretraining.told(pretraining.stored_tables("toxcast"), which_method.NO_ALPHA, "clip").set_index("library")
    above = rows.loc["batch"][rows.loc["batch", "said"] == "above"]
    assert len(above) == 1 and 0.5 < 100 * above["difference"].iloc[0] < 1.5  # "by a point"


def test_no_method_beats_clip_on_new_plates_and_shrunken_statistics_help_replicates():
    boards = which_method.boards()
    for of in boards.values():
        rows = comparisons(of)
        assert "above" not in set(rows.loc[[name for name in rows.index if name.endswith("minus CLIP, raw")], "said"])
    repeated = across.read_on(boards, "replicates").values()
    gains = [comparisons(of, "replicates").loc[which_method.STABILISED] for of in repeated]
    assert all(row.difference > 0 for row in gains) and sum(row.said == "above" for row in gains) >= 2


def by_value(axis: str) -> dict[float, dict[str, list[float]]]:
    """Value of the dial -> method -> mean, low, high against CLIP, as the page has them."""
    head, _, *lines = (line.split("|")[1:-1] for line in which_method.dial(axis).splitlines())
    names = [name.strip() for name in head]
    numbers = [[[float(part) for part in re.findall(r"[-+]?\d+(?:\.\d+)?", cell)] for cell in line] for line in lines]
    return {line[0][0]: dict(zip(names[1:], line[1:], strict=True)) for line in numbers}


def test_centring_and_ccl_lose_in_small_batches_and_not_in_large_ones():
    found = by_value("per_batch")
    for name in ("CCL", "centring + CLIP"):
        assert found[4][name][2] < 0 and found[10][name][2] < 0, "the whole interval below zero"
        assert abs(found[100][name][0]) < 1 and abs(found[200][name][0]) < 1


def test_centring_pays_where_the_mark_is_strong_and_more_than_any_other_method():
    for strength, row in by_value("strength").items():
        best = max(row, key=lambda name: row[name][0])
        assert (row["centring + CLIP"][1] > 0) == (strength >= 1), "1: as strong as the molecules'"
        assert strength < 1 or best == "centring + CLIP"
        assert strength >= 1 or max(abs(one[0]) for one in row.values()) < 2


def test_centring_loses_the_more_the_more_structure_gives_the_batch_away():
    by_share = [row["centring + CLIP"] for _, row in sorted(by_value("confounding").items())]
    means = [mean for mean, _, _ in by_share]
    assert means == sorted(means, reverse=True) and by_share[0][1] > 0 > by_share[-1][2]


def test_centring_helped_no_real_screen_not_even_the_one_with_large_batches_and_a_strong_mark(page):
    for name, of in which_method.boards().items():
        if not of.parameters["simulated"] and name in RETRIEVED:
            assert comparisons(of).loc[which_method.CENTRED, "difference"] < 0
    boards = which_method.boards()
    axes = {axis: stored(f"new_plates_phases_{axis}") for axis in phases.AXES}
    where = placement.positions(axes, stored("structure_arrow"), stored("audit_screens"), boards)
    there = where[(where["per_batch"] >= 40) & (where["strength"] >= 1) & (where["confounding"] < 0.1)]
    assert list(there.index) == ["connectivity_map"] and "the one that lies there (Connectivity Map) included" in page


def test_the_strength_is_given_in_the_audits_terms():
    said = which_method.in_the_audits_terms()
    shares = re.findall(r"([\d.]+): (\d+)", said.split("Real screens")[0])
    assert [float(strength) for strength, _ in shares] == [dials.strength for dials in phases.AXES["strength"]]
    assert [int(share) for _, share in shares] == sorted(int(share) for _, share in shares)
    assert "Connectivity Map 56 (10)" in said


def test_another_stored_number_changes_the_page(monkeypatch):
    def halved(name: str) -> StoredResult:
        found = stored(name)
        for row in found.results["rows"]:
            row["new"]["whole"]["beaten"] *= 0.5 if row["method"] == "ccl" else 1
        return found

    before = which_method.dial("per_batch")
    monkeypatch.setattr(which_method, "stored", halved)
    assert which_method.dial("per_batch") != before
