"""Chapter 5 in words: what it says of COMAS with equal chances, and of Dahlin's plates, is what is stored or found."""

from __future__ import annotations

from pathlib import Path

from infocore_mini.experiments.cell_painting import report as chapter
from infocore_mini.experiments.neighbours import OWN_BATCH
from infocore_mini.experiments.pretraining import report
from infocore_mini.experiments.pretraining.deviations import deviations
from infocore_mini.experiments.pretraining.studies import SPREAD
from infocore_mini.experiments.results import stored

TEXT = (Path(__file__).parents[2] / "notebooks" / "05_cell_painting.py").read_text(encoding="utf-8")


def said(arm: str, reference: str, study: str = "comas") -> dict[tuple[str, int], str]:
    return report.told(report.stored_tables(study), arm, reference).set_index(["library", "top"])["said"].to_dict()


def test_within_a_batch_the_methods_do_equally_well_and_ccl_loses_the_whole_library():
    assert "CCL loses the whole library and is not told apart within a batch" in TEXT
    to_clip, of_ccl = said("infocore", "clip"), said("ccl", "clip")
    assert "InfoCORE and CLIP are not told apart among all molecules and level within a batch beyond top 1" in TEXT
    assert {to_clip["whole", top] for top in (1, 5, 10)} == {"not told apart"}
    assert [to_clip["batch", top] for top in (1, 5, 10)] == ["not told apart", "level", "level"]
    assert {of_ccl["whole", top] for top in (1, 5, 10)} == {"below"}
    assert not {of_ccl["batch", top] for top in (1, 5, 10)} & {"below", "above"}
    assert not {said("infocore", "ccl")["batch", top] for top in (1, 5, 10)} & {"below", "above"}


def test_ccl_leaves_the_batch_nearly_at_random_and_infocore_what_clip_leaves():
    results = stored("comas").results
    share = {
        arm: [
            100 * (row["same_batch"]["share"] - row["same_batch"]["expected"]) for row in results if row["arm"] == arm
        ]
        for arm in ("clip", "ccl", "infocore")
    }
    mean = {arm: sum(values) / len(values) for arm, values in share.items()}
    assert "it leaves the share of same-batch molecules nearly at random" in TEXT
    assert abs(mean["ccl"]) < 5 < 15 < min(mean["clip"], mean["infocore"])
    assert "leaves of the batch what CLIP leaves" in TEXT and abs(mean["clip"] - mean["infocore"]) < 3


def test_soft_labels_are_level_with_hard_ones_and_spread_replicates_leave_less_to_correct():
    every = {(library, top) for library in ("whole", "batch") for top in (1, 5, 10)}
    assert "Soft labels are level with one hard label for all replicates, at every top and in either library" in TEXT
    assert (
        "this study is **simulated**: 2,000 molecules in two cell lines" in TEXT
        and "each of three batches, six seeds" in TEXT
    )
    assert (SPREAD["n_drugs"], len(SPREAD["cell_lines"]), SPREAD["replicate_batches"]) == (2000, 2, 3)
    assert len(stored("soft_labels").parameters["seeds"]) == 6
    one = said("infocore", "infocore, one batch", "soft_labels")
    assert {one[key] for key in every} == {"level"}
    why = deviations("gene_expression").loc["labels of replicates in several batches", "why"]
    assert "soft labels and one hard one are level" in why
    assert "never told from a condition for each batch" in TEXT
    assert set(said("infocore", "infocore, a condition per batch", "soft_labels").values()) == {
        "level",
        "not told apart",
    }
    assert (
        "more often than CLIP at top 1 and 5; with the three replicates averaged" in TEXT and "only at top 10" in TEXT
    )
    apart = said("infocore, a condition per batch", "clip, a condition per batch", "soft_labels")
    assert {apart["batch", top] for top in (1, 5)} == {"above"}
    assert [said("infocore", "clip", "soft_labels")["batch", top] for top in (1, 5, 10)] == [
        "not told apart",
        "level",
        "above",
    ]


def test_on_the_simulated_screen_infocore_is_where_clip_is_and_ccl_trades_the_libraries():
    held = stored("cell_painting")
    chosen = {row["arm"]: row["candidate"] for row in held.results}
    assert "Given the choice, InfoCORE takes the larger $\\alpha$, the paper's for cell painting" in TEXT
    assert chosen["infocore"] == {"temperature": 0.1, "alpha": 0.83}
    to_clip = said("infocore", "clip", "cell_painting")
    assert "level at top 5 and 10 in either library, a little below at top 1 within a batch" in TEXT
    assert {to_clip[library, top] for library in ("whole", "batch") for top in (5, 10)} == {"level"}
    assert to_clip["batch", 1] == "below"
    assert "finds more within it than either at top 5 and 10" in TEXT
    for other in ("clip", "infocore"):
        of_ccl = said("ccl", other, "cell_painting")
        assert of_ccl["batch", 5] == of_ccl["batch", 10] == "above"
    lost = report.against(report.stored_tables("cell_painting"), "ccl", "clip").set_index(["library", "top"])
    assert "loses more than half of CLIP's top-1 accuracy among all molecules" in TEXT
    assert lost.loc[("whole", 1), "relative"] < -0.5
    table = report.what_the_batch_leaves(held.results)
    clip, ccl, infocore = (float(table.loc[arm, "same batch"].split(" ")[0]) for arm in ("clip", "ccl", "infocore"))
    assert ccl < 0.3 * infocore and clip - infocore < 0.1 * clip


def test_wells_lie_nearest_to_their_own_plate_more_than_twice_as_often_as_they_should():
    assert "more than twice as often as it should, and so does a treated well" in TEXT
    plates, _ = chapter.injury_plates()
    published = plates.loc[("Dahlin 2023", "as published")]
    for wells in ("control wells", "treated wells"):
        assert 2 < published[wells, OWN_BATCH] / published[wells, "permuted"] < 4, wells
    assert "all of them make treated wells of a plate more alike" in TEXT
    assert (plates["treated wells", OWN_BATCH].iloc[1:] > published["treated wells", OWN_BATCH]).all()
    assert "none of four usual corrections brings the plate down to chance" in TEXT
    assert (plates["control wells", OWN_BATCH] > 1.5 * plates["control wells", "permuted"]).all()
