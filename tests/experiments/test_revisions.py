"""The page on what a referee changed: complete, and computed from what is stored."""

from __future__ import annotations

import re
from typing import get_args

import pytest

from infocore_mini.experiments import revisions
from infocore_mini.experiments.__main__ import STUDIES
from infocore_mini.experiments.pretraining import report as pretraining
from infocore_mini.experiments.results import StoredResult, costs, stored


@pytest.fixture(scope="module")
def page() -> str:
    return revisions.page()


def test_each_item_says_what_was_found_done_said_and_is_said(page, root):
    assert page.count("### ") == len(revisions.REVISIONS)
    for part in ("Found", "Done", "In 0.1.0", "Now", "Conclusion"):
        assert page.count(f"**{part}") == len(revisions.REVISIONS)
    for revision in revisions.REVISIONS:
        assert (root / f"{revision.page}.py").exists()
        assert revision.conclusion in get_args(revisions.Conclusion) and revision.now()


def test_each_claim_about_data_says_whether_they_are_real_or_simulated():
    settings = "In what our settings differ from the paper's"  # has no data
    unsaid = [r.claim for r in revisions.REVISIONS if not re.search("real|simulat", r.claim)]
    assert unsaid == [settings]


def test_what_is_said_now_is_what_is_stored(page):
    table = pretraining.told(pretraining.stored_tables("comas"), "infocore", "ccl").set_index(["library", "top"])
    row = table.loc[("whole", 1)]
    numbers = (round(100 * row[name]) for name in ("relative", "relative_low", "relative_high"))
    assert "top 1 {:+d} [{:d}, {:d}] ({})".format(*numbers, row["said"]) in page


def test_another_stored_number_changes_the_page(monkeypatch):
    def halved(name: str) -> StoredResult:
        found = stored(name)
        for row in found.results:
            for score in row["retrieval"]:
                score["accuracy"] *= 0.5 if row["arm"] == "infocore" else 1
        return found

    before = revisions.REVISIONS[1].now()
    monkeypatch.setattr(pretraining, "stored", halved)
    assert revisions.REVISIONS[1].now() != before


def test_conclusions_of_turned_claims_are_not_those_of_before():
    """What the page calls turned, stored numbers turn: CCL is no longer behind InfoCORE within a batch."""
    for study in ("gene_expression", "comas"):
        rows = pretraining.told(pretraining.stored_tables(study), "infocore", "ccl").set_index("library")
        assert "above" not in set(rows.loc["batch", "said"])


def test_costs_are_those_of_the_stored_files():
    table = costs(STUDIES).set_index("study")
    assert table.loc["comas", "hours"] == round(stored("comas").provenance["seconds"] / 3600, 2)
    assert table.loc["comas", "runs"] == stored("comas").provenance["runs"]
    assert "nothing_of_this_name" not in costs(["comas", "nothing_of_this_name"])["study"].tolist()
