"""Which cells are marked as the best: by differences paired by seed, and only where there is an interval."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from infocore_mini.evaluate.seeds import outcome
from infocore_mini.experiments import best
from infocore_mini.experiments.fairness import report as fairness
from infocore_mini.experiments.fairness.intervals import drawn
from infocore_mini.experiments.fairness.intervals import paired as resampled
from infocore_mini.experiments.gene_expression import connectivity_map
from infocore_mini.experiments.pretraining import marks, report
from infocore_mini.experiments.property import report as property_report
from infocore_mini.experiments.results import stored
from infocore_mini.experiments.simulation import report as simulation
from infocore_mini.experiments.tables import BEST, NOT_TOLD_APART, captioned


def scores(**columns: list[float]) -> pd.DataFrame:
    return pd.DataFrame(columns)


def test_pairing_decides_and_not_the_scatter_of_each():
    level = np.array([10.0, 30, 50, 70])
    found = best.of_seeds(
        {
            "accuracy": scores(a=level, b=level + [1.0, 1.1, 0.9, 1], c=level + [2, -1, 3, -0.2]),
            "gap": scores(a=level, b=level + [1.0, 1.1, 0.9, 1], c=level + 9),
        },
        lower=("gap",),
    )
    assert found["accuracy"].tolist() == ["", BEST, NOT_TOLD_APART]
    assert found["gap"].tolist() == [BEST, "", ""]


def test_splits_that_share_molecules_widen_the_interval():
    level = scores(a=[1.0, 2, 3, 4], b=[1.5, 2.3, 3.6, 4.4])
    assert best.of_seeds({"x": level})["x"].tolist() == ["", BEST]
    assert best.of_seeds({"x": level}, overlap=2.0)["x"].tolist() == [NOT_TOLD_APART, BEST]


def test_without_an_interval_nothing_is_marked():
    assert best.of_seeds({"x": scores(a=[1.0], b=[2.0])})["x"].tolist() == ["", ""]
    known = scores(a=[1.0, 1.1, 1.2], b=[2.0, 2.2, 2.1], c=[np.nan] * 3)
    assert best.of_seeds({"x": known})["x"].tolist() == ["", BEST, ""]
    assert best.of_seeds({"x": known * np.nan})["x"].tolist() == ["", "", ""]


@pytest.mark.parametrize("study", ["gene_expression", "comas", "toxcast"])
def test_of_a_stored_study_they_say_what_its_verdicts_say(study: str):
    by_arm = report.stored_tables(study)
    found = marks.best_arms(by_arm)
    captioned(report.side_by_side(by_arm), "", marks=found)
    for (library, top), column in found.items():
        [first] = column.index[column == BEST]
        for arm in column.index.drop(first):
            rows = report.told(by_arm, arm, first, margin=0).set_index(["library", "top"])
            expected = NOT_TOLD_APART if rows.loc[(library, top), "said"] == "not told apart" else ""
            assert column[arm] == expected, (library, top, arm)


def test_of_the_simulation_each_view_has_its_own_best():
    rows = simulation.arms(simulation.stored_rows())
    found = simulation.best_arms(rows)
    captioned(simulation.shown(simulation.summary(rows)), "", marks=found)
    assert ((found == BEST).groupby(level=0).sum() == 1).all(axis=None)
    lowest = rows[rows.view == "screen"].groupby("method")["batch"].mean().idxmin()
    assert found.loc[("screen", simulation.ARM_NAMES[lowest]), "batch"] == BEST


def test_of_the_connectivity_map_fewer_neighbours_of_the_own_batch_are_better():
    held = stored("connectivity_map")
    table, overlap = connectivity_map.scores(held.results["chosen"]), held.parameters["overlap"]
    found = connectivity_map.best_arms(table, overlap)
    captioned(connectivity_map.side_by_side(table, overlap), "", marks=found)
    means = table.groupby(["input", "method"]).mean()
    assert found.index[found[connectivity_map.SAME_BATCH] == BEST] == [means[connectivity_map.SAME_BATCH].idxmin()]
    assert found.index[found[connectivity_map.WHOLE] == BEST] == [means[connectivity_map.WHOLE].idxmax()]


def test_of_the_board_of_properties_they_say_what_its_differences_say():
    """Boosting, run once, is compared with every seed of the others."""
    table = property_report.scores(stored("property").results["cells"])
    found = property_report.best_arms(table)
    captioned(property_report.board(table), "", marks=found)
    for dataset, part in table.groupby("dataset"):
        mean = part.groupby("arm")["score"].mean()
        for arm in mean.index.drop(mean.idxmax()):
            row = property_report.paired(table, arm, mean.idxmax()).loc[dataset]
            expected = NOT_TOLD_APART if outcome(row["low"], row["high"]) == NOT_TOLD_APART else ""
            assert found.loc[property_report.ARMS[arm].label, dataset] == expected


def test_of_fairness_they_resample_rows_and_seeds():
    table = fairness.beside_paper(fairness.stored_scores())
    found = fairness.best_arms(table)
    captioned(table, "", marks=found)
    assert set(found.columns.get_level_values(1)) == {"here"}, "the paper prints no interval"
    for dataset, part in found["equalized_odds", "here"].groupby(level="dataset"):
        marked = part.droplevel("dataset")
        [first] = marked.index[marked == BEST]
        for arm in marked.index.drop(first):
            row = resampled(drawn(), arm, first).loc[dataset]
            expected = (
                NOT_TOLD_APART
                if fairness.outcome(row["difference_low"], row["difference_high"]) == NOT_TOLD_APART
                else ""
            )
            assert marked[arm] == expected
