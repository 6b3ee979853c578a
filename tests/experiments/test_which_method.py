"""The page that recommends a method: every recommendation held against the stored results that it rests on."""

from __future__ import annotations

import re

import pytest

from infocore_mini.experiments import which_method
from infocore_mini.experiments.gene_expression import doses
from infocore_mini.experiments.new_plates import across
from infocore_mini.experiments.new_plates.arms import METHODS
from infocore_mini.experiments.new_plates.report import comparisons
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


def test_no_loss_made_clean_what_was_not(page):
    assert "no loss here made clean what was not" in page
    for of in which_method.boards().values():
        cells = [cell for cell in of.results["cells"] if cell.get("audit") and cell["correction"] == "raw"]
        verdict = {cell["method"]: cell["audit"]["verdict"] for cell in cells}
        if verdict["none"] == "confounded":
            assert "clean" not in {verdict[method] for method in METHODS}


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


def test_no_method_beats_clip_on_new_plates_and_shrunken_statistics_help_replicates():
    boards = which_method.boards()
    for of in boards.values():
        rows = comparisons(of)
        assert "above" not in set(rows.loc[[name for name in rows.index if name.endswith("minus CLIP, raw")], "said"])
    repeated = across.read_on(boards, "replicates").values()
    gains = [comparisons(of, "replicates").loc[which_method.STABILISED] for of in repeated]
    assert all(row.difference > 0 for row in gains) and sum(row.said == "above" for row in gains) >= 2


def test_centring_and_ccl_lose_in_small_batches_and_not_in_large_ones():
    lines = [line.split("|")[1:-1] for line in which_method.sizes().splitlines() if re.match(r"\| \d", line)]
    head = next(line.split("|")[1:-1] for line in which_method.sizes().splitlines() if "molecules a batch" in line)
    column = {name.strip(): at for at, name in enumerate(head)}
    for name in ("CCL", "centring + CLIP"):
        by_size = {
            int(line[0]): [float(part) for part in re.findall(r"[-+]\d+\.\d", line[column[name]])] for line in lines
        }
        assert by_size[4][2] < 0 and by_size[10][2] < 0, "the whole interval below zero"
        assert abs(by_size[100][0]) < 1 and abs(by_size[200][0]) < 1


def test_another_stored_number_changes_the_page(monkeypatch):
    def halved(name: str) -> StoredResult:
        found = stored(name)
        for row in found.results["rows"]:
            row["new"]["whole"]["beaten"] *= 0.5 if row["method"] == "ccl" else 1
        return found

    before = which_method.sizes()
    monkeypatch.setattr(which_method, "stored", halved)
    assert which_method.sizes() != before
