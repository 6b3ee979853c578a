"""What the page of questions and answers says of results, held against what is stored."""

from __future__ import annotations

from infocore_mini.experiments.pretraining import report

REAL = ("comas", "l1000_plates", "toxcast")


def test_which_method_is_answered_as_the_real_screens_say(root):
    page = (root / "book" / "faq.md").read_text(encoding="utf-8")
    assert "three real screens" in page and "CLIP and InfoCORE are level or not told apart" in page
    assert "only among the molecules of all batches, and there it is below both" in page
    said = {"within": set(), "whole": set(), "infocore": set()}
    for study in REAL:
        tables = report.stored_tables(study)
        said["infocore"] |= set(report.told(tables, "infocore", "clip")["said"])
        for reference in ("clip", "infocore"):
            table = report.told(tables, "ccl", reference).set_index("library")["said"]
            said["within"] |= set(table["batch"])
            said["whole"] |= set(table["whole"])
    assert said["infocore"] <= {"not told apart", "level"} and said["within"] <= {"not told apart", "level"}
    assert said["whole"] == {"not told apart", "below"}
