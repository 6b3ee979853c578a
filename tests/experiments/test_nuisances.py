"""The study of two nuisances at a trial size: its draws, its arms, and what its table says."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from infocore_mini.evaluate.mixing import linear_probe
from infocore_mini.experiments.nuisances import report, run
from infocore_mini.experiments.results import StoredResult
from infocore_mini.experiments.results import stored as stored_result
from infocore_mini.nuisance import binned


@pytest.mark.parametrize("second", run.SECOND)
def test_a_draw_holds_three_things_that_are_independent_and_that_the_readout_tells(second):
    drawn = run.draw(second, 5)
    assert drawn.drug.shape == drawn.screen.shape == (1250, 10)
    level = drawn.second if second == "day" else binned(drawn.second, n_bins=5)
    for label in (drawn.effect, drawn.plate, level):
        assert linear_probe(drawn.screen, label)[0] > 1.5 * np.bincount(label).max() / 1250
    table = np.histogram2d(drawn.plate, level, bins=(10, len(np.unique(level))))[0]
    expected = table.sum(1)[:, None] * table.sum(0) / 1250
    assert ((table - expected) ** 2 / expected).sum() < 2 * table.size  # chi-square, near its degrees of freedom
    assert not np.array_equal(drawn.screen, run.draw(second, 6).screen)


def test_every_arm_runs_and_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "SHARED", dict(run.SHARED) | {"epochs": 1})
    monkeypatch.setattr(run, "DRAWS", range(2))
    monkeypatch.setattr(run, "PERMUTATIONS", 2)
    written = run.store(tmp_path, tmp_path / "runs", n_jobs=1)
    assert json.loads(written.read_text())["provenance"]["runs"] == 16
    stored = StoredResult.read(written)
    table = report.table(stored)
    assert table.index.tolist() == [(second, arm) for second in run.SECOND for arm in run.ARMS]
    assert set(report.said(stored, "cell count").values()) <= {"above", "below", "level", "not told apart"}


@pytest.mark.parametrize(
    "at, second, effect",
    [(0.1785, "level", "above"), (0.25, "above", "above"), (0.1785, "level", "below")],
)
def test_the_table_and_the_answers_are_those_of_the_numbers(at, second, effect):
    """Made-up scores: what being told both nuisances does to the second one, and to the effect."""
    scores = {  # effect, second nuisance
        "CLIP": (0.40, 0.40),
        "InfoCORE, plate": (0.50, 0.3505),
        "InfoCORE, both": (0.70 if effect == "above" else 0.45, at),
        "InfoCORE, joint": (0.60, 0.25),
    }
    rows = [
        {"design": "day", "draw": draw, "arm": arm, "plate": 0.15, "plate, null": 0.1, "second, null": 0.18}
        | {"effect": of_effect + 0.001 * draw, "second": of_second + 0.001 * draw}
        for draw in range(4)
        for arm, (of_effect, of_second) in scores.items()
    ]
    stored = StoredResult("nuisances", {}, pd.DataFrame(rows).to_dict("list"), {})
    table, said = report.table(stored), report.said(stored, "day")
    assert table.loc[("day", "InfoCORE, plate"), "second, above null"] == "17.2 (17.0 to 17.4)"
    assert said["second nuisance, both against the plate alone"] == "below"
    assert said["second nuisance, both against its null"] == second
    assert said["effect, both against the plate alone"] == effect
    assert said["plate, both against its null"] == "above"


def test_what_the_chapter_says_of_the_stored_study(root):
    page = (root / "notebooks" / "11_your_own_screen.py").read_text(encoding="utf-8")
    study = stored_result("nuisances")
    assert "**simulated**, eight draws, planned (`data/results/nuisances.json`)" in page
    assert {len(part) for part in report.by_arm(study).values()} == {8}
    day, count = report.sentences(study).splitlines()
    assert "stays above it" in day and "stays above it" not in count
