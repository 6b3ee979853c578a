"""Chapter 4 in words: what its sentences say of the Connectivity Map, the plates and the simulated screen is what is found."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from infocore_mini.experiments.gene_expression import connectivity_map, doses, run
from infocore_mini.experiments.gene_expression import report as chapter
from infocore_mini.experiments.neighbours import OWN_BATCH, SAME_DRUG
from infocore_mini.experiments.pretraining import report
from infocore_mini.experiments.pretraining.studies import STUDIES
from infocore_mini.experiments.results import paper_table, stored
from infocore_mini.simulate.screen import GE_DOSES, simulate_screen

LIBRARIES, METHODS = ("whole", "batch"), ("clip", "ccl", "infocore")
TEXT = (Path(__file__).parents[2] / "notebooks" / "04_gene_expression.py").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def found() -> dict[str, float]:
    """Percent, of the real screen, raw and centred, and of what the stored study says of its test molecules."""
    splits = {kind: [run.split_of(seed, kind) for seed in run.SEEDS] for kind in run.INPUTS}
    before = stored("connectivity_map").results["before"]
    near = connectivity_map.neighbours_of_profiles(splits, before)
    scores = connectivity_map.scores(stored("connectivity_map").results["chosen"]).groupby(["input", "method"]).mean()
    chance = connectivity_map.chances(stored("connectivity_map").results["chosen"])
    asked = connectivity_map.what_structure_tells({"raw": splits["raw"][0]})
    first = splits["raw"][0].train
    of_batch = first.batch_id.bincount()
    return {
        "batches": run.screen().n_batches,
        "all, raw": near.loc[("all", "raw"), OWN_BATCH],
        "all, permuted": near.loc[("all", "raw"), f"{OWN_BATCH}, permuted"],
        "all, centred": near.loc[("all", "centred"), OWN_BATCH],
        "test, raw": near.loc[("test", "raw"), OWN_BATCH],
        "test, permuted": near.loc[("test", "raw"), f"{OWN_BATCH}, permuted"],
        "test, centred": near.loc[("test", "centred"), OWN_BATCH],
        "same drug, raw": near.loc[("test", "raw"), SAME_DRUG],
        "structure over random": asked.iloc[0] / asked.iloc[1],
        "whole over chance": np.sort(scores[connectivity_map.WHOLE] / chance[connectivity_map.WHOLE]),
        "batch over chance": np.sort(scores[connectivity_map.BATCH] / chance[connectivity_map.BATCH]),
        "left by encoders": np.sort(scores[connectivity_map.SAME_BATCH]),
        "same drug by encoders": scores[SAME_DRUG].max(),
        "training molecules": len(first.drug),
        "others in a batch": float(of_batch[of_batch > 0].float().mean()),
    }


REAL = {
    "real and 138 experimental batches large": lambda f: f["batches"] == 138,
    "four readouts of five lie nearest to one of their own batch": lambda f: round(f["all, raw"] / 20) == 4,
    "where permuted labels give one in fifty": lambda f: 1.8 < f["all, permuted"] < 2.3,
    "Subtracting the mean of the batch seems to cure it: 8 % are left": lambda f: round(f["all, centred"]) == 8,
    "centred on a mean of some twenty-five others": lambda f: 20 < f["others in a batch"] < 30,
    "more than 40 % still have their neighbour in the batch": lambda f: 40 < f["test, centred"] < 50,
    "twice what a random order gives": lambda f: 1.75 < f["structure over random"] < 2.5,
    "thirty times as often as by chance": lambda f: 25 < f["test, raw"] / f["test, permuted"] < 80,
    "three to five times as often as chance among all": lambda f: (
        3 <= f["whole over chance"][0].round() and f["whole over chance"][-1].round() <= 5
    ),
    "half as often again as chance": lambda f: 1.3 < f["batch over chance"][0] and f["batch over chance"][-1] < 1.65,
    "went in with 65 % of their neighbours in the own batch": lambda f: round(f["test, raw"]) in (65, 66),
    "come out of *every* encoder with about 2 %": lambda f: (
        1 < f["left by encoders"][0] < f["left by encoders"][-1] < 3.5
    ),
    "find the same drug elsewhere *more* often than any embedding does": lambda f: (
        f["same drug, raw"] > f["same drug by encoders"]
    ),
    "some 670 training molecules": lambda f: 660 < f["training molecules"] < 680,
    "from 79 % to 8 % on the wells it saw, and from 66 % to 43 % on others": lambda f: (
        [round(f[key]) for key in ("all, raw", "all, centred", "test, raw", "test, centred")] == [79, 8, 66, 43]
    ),
}


@pytest.mark.parametrize("sentence", REAL)
def test_the_chapter_says_of_the_real_screen_what_is_found_there(sentence, found):
    assert sentence in TEXT
    assert REAL[sentence](found), found


def test_no_method_is_told_apart_on_the_real_screen():
    study = stored("connectivity_map")
    table = connectivity_map.contrasts(connectivity_map.scores(study.results["chosen"]), study.parameters["overlap"])
    assert (
        "InfoCORE cannot be told from CLIP or from CCL on new molecules, by any of four scores" in TEXT
        and "**No method wins.**" in TEXT
    )
    assert not table["told_apart"].any() and len(table.index.unique("score")) == 4
    chosen = study.results["chosen"]
    gain = connectivity_map.paper_gain(connectivity_map.scores(chosen), connectivity_map.chances(chosen))
    in_points = gain.loc[connectivity_map.BATCH, "points here, raw"]
    assert "five splits would have missed a gain like the paper's" in TEXT
    assert (in_points < table.loc[connectivity_map.BATCH]["detectable"]).all()
    level = connectivity_map.scores(chosen).xs("CLIP", level="method").groupby("input").mean()
    ends = {
        score: max(
            abs(row[end]) / level.loc[kind, score]
            for (kind, against), row in table.loc[score].iterrows()
            for end in ("low", "high")
            if against == "CLIP"
        )
        for score in (connectivity_map.WHOLE, connectivity_map.BATCH)
    }
    assert "excludes differences above a fourth or so of CLIP's accuracy within a batch" in TEXT
    assert ends[connectivity_map.BATCH] < 0.26
    assert "among all molecules, where few are found, not even a change by a third" in TEXT
    assert ends[connectivity_map.WHOLE] > 0.34


def test_plates_stay_plates_when_their_controls_are_subtracted():
    rates = chapter.same_plate_table(chapter.plates(0).plates)
    assert (
        "nearly every well still has its nearest neighbour, *among wells with other molecules*, on its own plate"
        in TEXT
    )
    assert rates["controls subtracted"] > 90 and "The picture improves, the number hardly moves." in TEXT
    assert rates["raw"] - rates["controls subtracted"] < 5


def change(study: str, library: str, top: int, arm: str = "infocore", reference: str = "clip"):
    rows = report.against(report.stored_tables(study), arm, reference).set_index(["library", "top"])
    return rows.loc[(library, top)]


def test_the_simulated_screen_gives_within_a_batch_and_takes_from_the_whole():
    printed = {row["method"]: row for row in paper_table("table2_retrieval")["gene_expression"]}
    paper = {k: printed["InfoCORE"][k]["1"] / printed["CLIP"][k]["1"] - 1 for k in ("batch", "whole")}
    batch = change("gene_expression", "batch", 1)
    assert (
        "Within an experimental batch InfoCORE is above CLIP in every seed, by about as much as the paper's 14.7 %."
        in TEXT
    )
    assert batch.a_higher == 1 and batch.relative_low < paper["batch"] < batch.relative_high
    assert round(100 * paper["batch"], 1) == 14.7 and round(100 * paper["whole"]) == 7
    whole = {top: change("gene_expression", "whole", top) for top in (1, 5, 10)}
    assert (
        "ours loses about as much at top-1, with an interval that includes zero, and significantly at top-5 and top-10"
        in TEXT
    )
    assert whole[1].relative_low < -paper["whole"] < whole[1].relative_high and whole[1].relative_high > 0
    assert whole[5].difference_high < 0 and whole[10].difference_high < 0


def test_ccl_with_equal_chances_is_the_best_within_a_batch_and_the_worst_among_all():
    accuracy = {
        library: report.accuracy_by_seed(report.stored_tables("gene_expression"), library) for library in LIBRARIES
    }
    assert "**Within a batch CCL is the best of the three here, among all molecules by far the worst.**" in TEXT
    assert accuracy["batch"].mean().idxmax() == "ccl" and accuracy["whole"].mean().idxmin() == "ccl"
    for other in ("clip", "infocore"):
        assert change("gene_expression", "batch", 1, "ccl", other).difference_low > 0
        assert change("gene_expression", "whole", 1, "ccl", other).difference_high < 0
    printed = {row["method"]: row for row in paper_table("table2_retrieval")["gene_expression"]}
    assert "The paper has it behind InfoCORE in both" in TEXT
    assert all(printed["CCL"][library]["1"] < printed["InfoCORE"][library]["1"] for library in LIBRARIES)
    assert "loses a third by CCL and a few percent by InfoCORE" in TEXT
    whole = {arm: [change("gene_expression", "whole", top, arm).relative for top in (1, 5, 10)] for arm in METHODS}
    assert all(-0.4 < lost < -0.25 for lost in whole["ccl"]) and all(-0.1 < lost < 0 for lost in whole["infocore"])


def test_the_search_chose_what_the_chapter_says():
    """The paper's setting for CLIP and InfoCORE, for CCL a lower temperature; the studies of other doses have the same."""
    chosen = {row["arm"]: row["candidate"] for row in stored("gene_expression").results}
    assert "For CLIP and InfoCORE that is the paper's setting, $\\alpha = 0.33$." in TEXT
    assert chosen == {
        "clip": {"temperature": 0.1, "feature_dropout_screen": 0.1},
        "ccl": {"temperature": 0.1, "feature_dropout_screen": 0.1},
        "infocore": {"temperature": 0.1, "alpha": 0.33},
    }
    for name in doses.STUDY_OF_DOSE.values():
        for arm in ("clip", "infocore"):
            config = STUDIES[name].config(arm, 0)
            assert {key: getattr(config, key) for key in chosen[arm]} == chosen[arm]


def test_an_alpha_for_this_screen_was_chosen_by_the_rule():
    """The smallest alpha of the sweep whose accuracy among all molecules, mean over seeds and tops, is not below CLIP's."""
    sweep = report.stored_tables("alpha_sweep")
    mean = {arm: report.against(sweep, arm, "clip").query("library == 'whole'")["relative"].mean() for arm in sweep}
    assert "On those three seeds alone that would again be 0.33; with the six seeds above it is not" in TEXT
    assert mean["alpha = 0.0"] < 0 <= mean["alpha = 0.33"]
    six = report.against(report.stored_tables("gene_expression"), "infocore", "clip").query("library == 'whole'")
    assert six["relative"].mean() < 0
    fresh = {key: change("chosen_alpha", *key) for key in (("batch", 1), ("whole", 1), ("whole", 5))}
    assert "With that $\\alpha$ the gain within an experimental batch is the paper's in size, and in every seed" in TEXT
    assert fresh["batch", 1].a_higher == 1 and fresh["batch", 1].relative_low < 0.147 < fresh["batch", 1].relative_high
    assert "among all molecules top-1 is where CLIP has it, and top-5 still a little below" in TEXT
    assert (
        fresh["whole", 1].relative_low < 0 < fresh["whole", 1].relative_high and fresh["whole", 5].difference_high < 0
    )


def test_what_is_left_of_the_batch_is_said_by_the_numbers():
    text = report.left_of_the_batch(stored("gene_expression").results)
    assert "**CCL leaves least.**" in text and text.count("points, ") == 2
    swapped = [
        dict(row, arm={"clip": "ccl", "ccl": "clip"}.get(row["arm"], row["arm"]))
        for row in stored("gene_expression").results
    ]
    assert "**CLIP leaves least.**" in report.left_of_the_batch(swapped)


def test_the_drug_side_keeps_what_mol2vec_has_and_ccl_takes_it_away():
    before = [row for row in stored("probed_inputs").results if row["study"] == "gene_expression"]
    raw = {side: float(np.mean([row[side] for row in before])) for side in ("screen", "drug", "chance")}
    left = {
        (arm, side): float(
            np.mean([row["probe"][side] for row in stored("gene_expression").results if row["arm"] == arm])
        )
        for arm in METHODS
        for side in ("screen", "drug")
    }
    assert "On the drug side CLIP and InfoCORE leave what Mol2vec has of the batch to begin with" in TEXT
    assert all(abs(left[arm, "drug"] - raw["drug"]) < 0.02 for arm in ("clip", "infocore"))
    assert "leaves far less than the others on either side" in TEXT
    assert left["ccl", "drug"] < 0.7 * raw["drug"] and left["ccl", "screen"] < 0.3 * left["infocore", "screen"]
    assert "The readout itself names nearly every batch" in TEXT and raw["screen"] > 0.98


def test_the_arrow_is_measured_on_molecules_that_it_was_not_fitted_on():
    def auc(scaffold: float) -> float:
        shape = dict(n_drugs=500, cell_lines=("A",), n_batches=5, n_features=2, n_replicates=1)
        simulated = simulate_screen(0, doses=replace(GE_DOSES, scaffold=scaffold), **shape)
        return float(np.mean([row["auc"] for row in doses.arrow(simulated.screen, (0, 1))]))

    assert auc(0.0) == pytest.approx(0.5, abs=0.06) and auc(8.0) > 0.75


def test_real_screens_stand_on_the_scale_of_doses_where_the_chapter_has_them():
    auc = doses.arrows(stored("structure_arrow").results)["auc"]
    simulated = {dose: auc[f"simulated, strength {dose:g}"] for dose in doses.STUDY_OF_DOSE}
    assert list(simulated.values()) == sorted(simulated.values())
    assert "In the Connectivity Map a structure says next to nothing of the batch" in TEXT
    assert abs(auc["Connectivity Map"] - simulated[0.0]) < 5
    assert "the calibrated strength, 1.5, is about that of COMAS; yeast, zebrafish and ToxCast lie between" in TEXT
    assert abs(auc["COMAS cell painting"] - simulated[1.5]) < 3
    between = auc[["yeast growth", "zebrafish behaviour", "ToxCast"]]
    assert between.is_monotonic_increasing and auc["Connectivity Map"] < between.min() < between.max() < simulated[1.5]


def test_what_hangs_on_the_dose_is_what_the_sweep_found():
    swept = doses.at_doses()
    said = {dose: report.told(found, "infocore", "clip").set_index(["library", "top"]) for dose, found in swept.items()}
    assert "nowhere is it told to be above" in TEXT and "top 5 and 10, and below it at the strongest" in TEXT
    assert not any(table.loc["whole", "said"].eq("above").any() for table in said.values())
    assert said[3.0].loc["whole", "said"].tolist() == ["not told apart", "below", "below"]
    assert "level with CLIP at the weak arrow, top 5 and 10" in TEXT
    assert said[0.75].loc["whole", "said"].tolist()[1:] == ["level", "level"]
    assert "From a weak arrow on it gains within a batch at every top" in TEXT
    assert all(said[dose].loc["batch", "said"].eq("above").all() for dose in (0.75, 1.5, 3.0))
    assert "Without an arrow InfoCORE changes little" in TEXT and said[0.0].loc["batch", "relative"].max() < 0.05
    gain = {dose: said[dose].loc[("batch", 1), "relative"] for dose in (0.75, 1.5, 3.0)}
    assert "there from a weak arrow on, and no larger at a strong one" in TEXT and max(gain.values()) < 0.2
    assert max(gain.values()) - min(gain.values()) < 0.03
    auc = doses.arrows(stored("structure_arrow").results)["auc"]
    weak, strongest = auc["simulated, strength 0.75"], auc["simulated, strength 3"]
    assert "Three other real screens do not. ToxCast, COMAS and the three plates lie between the weak arrow" in TEXT
    for name, study in {
        "ToxCast": "toxcast",
        "COMAS cell painting": "comas",
        "three L1000 plates": "l1000_plates",
    }.items():
        told = report.told(report.stored_tables(study), "infocore", "clip")
        assert weak < auc[name] < strongest and set(told["said"]) <= {"level", "not told apart"}
    printed = {row["method"]: row for row in paper_table("table2_retrieval")["gene_expression"]}
    gain = printed["InfoCORE"]["whole"]["1"] / printed["CLIP"]["whole"]["1"] - 1
    assert "at the two smaller ones the intervals would hold it, at top 1" in TEXT
    holds = [
        said[dose].loc[("whole", 1), "relative_low"] < gain < said[dose].loc[("whole", 1), "relative_high"]
        for dose in said
    ]
    assert holds[:2] == [True, True]


def test_a_turn_is_placed_where_intervals_lie_on_either_side():
    lead = {0.0: 0.05, 1.0: 0.0, 2.0: -0.05}
    by_dose = {
        dose: report.tables(
            [
                {
                    "arm": arm,
                    "seed": seed,
                    "retrieval": [
                        {"cell_line": "mean", "library": library, "top": top, "chance": 0.01}
                        | {"accuracy": 0.3 + 0.001 * seed * (arm == "clip") + more * (arm == "infocore")}
                        for library in LIBRARIES
                        for top in (1, 5, 10)
                    ],
                }
                for arm in ("clip", "infocore")
                for seed in range(4)
            ]
        )
        for dose, more in lead.items()
    }
    found = doses.turning(by_dose)
    assert found.count("The sign turns between 0 and 2") == 6
    assert "**above** at 0; **level** at 1; **below** at 2" in found
