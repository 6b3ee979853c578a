"""Chapter 9 in words: the sentences follow the numbers, and what the page says by itself is what is stored."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from infocore_mini.experiments.pretraining import ablation, report
from infocore_mini.experiments.pretraining.run import SETTINGS
from infocore_mini.experiments.pretraining.studies import REDUCED, STUDIES, quick
from infocore_mini.experiments.results import stored

PAPER = pd.DataFrame(
    {(library, 1): {"CLIP": 10.0, "a": 12.0, "b": 8.0, "c": 6.0, "d": 4.0} for library in ("whole", "batch")}
)


def tables(values: dict[str, list[float]]) -> report.Tables:
    """arm -> accuracies (percent) by seed, the same in both libraries."""
    keys = [{"cell_line": "mean", "library": library, "top": 1} for library in ("whole", "batch")]
    return report.tables(
        [
            {"arm": arm, "seed": seed, "retrieval": [key | {"accuracy": value / 100} for key in keys]}
            for arm, by_seed in values.items()
            for seed, value in enumerate(by_seed)
        ]
    )


def around(means: dict[str, float], noise: float, n: int = 4) -> report.Tables:
    rng = np.random.default_rng(0)
    return tables({arm: list(mean + noise * rng.standard_normal(n)) for arm, mean in means.items()})


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ((16.0, 4.0, 27.0, 12.0), "+16 % [4, 27], higher"),
        ((-16.0, -27.0, -4.0, 12.0), "-16 % [-27, -4], lower"),
        ((2.0, -6.0, 9.0, 8.0), "+2 % [-6, 9], within 10 % of it"),
        ((-5.0, -7.0, -4.0, 2.0), "-5 % [-7, -4], lower and within 10 % of it"),
        ((2.0, -12.0, 17.0, 18.0), "+2 % [-12, 17], not told apart (18 % would have been)"),
    ],
)
def test_words_of_a_change(row, words):
    assert ablation.said(pd.Series(row, ["mean", "low", "high", "could be seen"])) == words


def test_intervals_are_wider_where_splits_share_molecules():
    by_arm = around({"CLIP": 10, "a": 11}, 0.5)
    alone = ablation.changes(by_arm, "whole", [("a", "CLIP")]).iloc[0]
    by_arm.overlap = 0.25
    shared = ablation.changes(by_arm, "whole", [("a", "CLIP")]).iloc[0]
    assert (shared["high"] - shared["low"]) / (alone["high"] - alone["low"]) == pytest.approx(np.sqrt(2))
    assert shared["could be seen"] == pytest.approx(np.sqrt(2) * alone["could be seen"])


def test_changes_inside_our_intervals_are_counted():
    found = ablation.inside(around(dict(PAPER["whole", 1]), 0.01), PAPER)
    assert found["inside"].all() and found["paper"].loc["whole", "a"] == pytest.approx(20)
    flipped = around({"CLIP": 10.0, "a": 4.0, "b": 12.0, "c": 15.0, "d": 20.0}, 0.01)
    assert not ablation.inside(flipped, PAPER)["inside"].any()


def test_an_order_is_called_another_only_where_the_papers_would_have_shown():
    same = around(dict(PAPER["whole", 1]), 0.01)
    assert ablation.order(same, PAPER)[["found", "low", "paper low"]].to_numpy() == pytest.approx(1)
    flipped = {"CLIP": 10.0, "a": 4.0, "b": 12.0, "c": 15.0, "d": 20.0}
    assert ablation.against_table_5(around(flipped, 0.01), PAPER).count("the order is another") == 2
    noisy = ablation.order(around(flipped, 60.0), PAPER)
    assert (noisy["paper low"] < noisy["paper high"] - 0.5).all()
    assert "*not shown*" in ablation.against_table_5(around(dict(PAPER["whole", 1]), 60.0), PAPER)


def records(drug: dict[str, list[float]]) -> list[dict]:
    return [
        {"arm": arm, "seed": seed, "probe": {"drug": value / 100, "screen": 0.5}}
        for arm, values in drug.items()
        for seed, value in enumerate(values)
    ]


def test_the_drug_side_is_told_apart_or_says_what_could_have_been_seen():
    probed = records({"clip": [26, 27, 28], "alpha = 0.33": [25.5, 27.2, 28.6], "alpha = 0.0": [19, 20.1, 21]})
    said = ablation.drug_side(probed)
    assert "Told apart from CLIP: alpha = 0.0 (-7.0 points" in said
    assert "Not told apart: alpha = 0.33 (+0.1 points" in said and "would have been seen" in said
    assert "Below InfoCORE at the paper's setting: alpha = 0.0" in said
    table = ablation.what_each_side_keeps(probed)
    assert table.loc["alpha = 0.0", ("drug", "percent")] == "20.0" and table.loc["clip", ("drug", "change")] == ""
    assert "leaves least is alpha = 0.0 (-7.0 points" in ablation.drug_side_in_short(probed)


# ------------------------------------------------------------------ what the page says by itself


@pytest.fixture(scope="module")
def page(request) -> str:
    text = (request.getfixturevalue("root") / "notebooks" / "09_ablations.py").read_text(encoding="utf-8")
    return text.replace("\n# ", "\n")


def test_the_headline_of_the_ablation_is_what_is_stored(page):
    by_arm, paper = report.tables(stored("ablation").results), report.paper_ablation()
    assert (
        "at top 1 six seeds tell a single device from nothing, and it does harm: without minibatches from one cell line the"
        in page
    )
    assert "At top 5 and 10 of the batch library three more are told, by two or three percent" in page
    assert "the queue helps, augmentation and heads do not" in page
    for top in (5, 10):
        for device, sign in {"MoCo": -1, "augmentation": 1, "cell-line heads": 1}.items():
            row = ablation.changes(by_arm, "batch", [(f"CLIP without {device}", "CLIP")], top).iloc[0]
            assert sign * row["low"] > 0 and sign * row["high"] > 0 and 1.5 < sign * row["mean"] < 3.5
        lines = ablation.changes(by_arm, "batch", [("CLIP without one-line minibatches", "CLIP")], top).iloc[0]
        assert lines["low"] < 0 < lines["high"]
        queue = ablation.changes(by_arm, "whole", [("CLIP without MoCo", "CLIP")], top).iloc[0]
        assert (
            "without a queue CLIP is told to be worse in the batch library, at top 5 and 10, and not among all" in page
        )
        assert queue["low"] < 0 < queue["high"]
    assert (
        "Without all four the batch library gains, so that the arms stand in another order than in the paper's Table 5."
        in page
    )
    assert "Of all changes, the batch weights change accuracy in the batch library most." in page
    changes = {library: ablation.changes(by_arm, library, [(a, "CLIP") for a in by_arm if a != "CLIP"]) for library in ablation.LIBRARIES}  # fmt: skip
    told = {
        (lib, arm) for lib, t in changes.items() for (arm, _), row in t.iterrows() if row["low"] > 0 or row["high"] < 0
    }
    more = {("whole", "CLIP without one-line minibatches"), ("batch", "vanilla CLIP"), ("batch", "InfoCORE")}
    assert told == more and all(changes[library].loc[(arm, "CLIP"), "low"] > 0 for library, arm in more)
    assert changes["batch"]["mean"].abs().idxmax() == ("InfoCORE", "CLIP")
    found = ablation.inside(by_arm, paper)
    assert "leave most of the paper's changes out" in page and 0 < found["inside"].sum() < len(found) / 2
    order = ablation.order(by_arm, paper)
    assert (order["found"] < order["paper low"]).all()


def test_the_frameworks_are_as_the_page_says(page):
    assert (
        "within an experimental batch InfoCORE leads CLIP by either framework, CCL loses in the whole library" in page
    )
    by_arm = report.by_framework("gene_expression", "simclr")
    pairs = [("InfoCORE (MoCo)", "CLIP (MoCo)"), ("InfoCORE (SimCLR)", "CLIP (SimCLR)")]
    frameworks = [("CLIP (SimCLR)", "CLIP (MoCo)"), ("InfoCORE (SimCLR)", "InfoCORE (MoCo)")]
    methods = ablation.changes(by_arm, "batch", pairs)
    assert (methods["low"] > 0).all()
    assert ablation.changes(by_arm, "whole", [("CCL (SimCLR)", "CLIP (SimCLR)")])["high"].iloc[0] < 0
    assert ablation.changes(by_arm, "batch", frameworks)["mean"].abs().max() < methods["mean"].min()
    assert "Two things do not: the paper's gain of InfoCORE among all molecules, and its CCL behind InfoCORE" in page
    assert ablation.changes(by_arm, "batch", [("CCL (SimCLR)", "InfoCORE (MoCo)")])["low"].iloc[0] > 0
    assert (ablation.changes(by_arm, "whole", pairs)["low"] < 0).all()


def test_the_sweep_is_as_the_page_says(page):
    sweep_records = stored("alpha_sweep").results
    drug, screen = (ablation.probes(sweep_records, side) for side in ("drug", "screen"))
    kept = {
        side: values["alpha = 0.33"].mean() / values["clip"].mean() for side, values in (("d", drug), ("s", screen))
    }
    assert "leaves in the *drug's* nearly what CLIP leaves there" in page and kept["d"] > 0.9 > 0.8 > kept["s"]
    assert "most by the two settings that also cost the most in the whole library, less by a small $\\lambda$" in page
    lowest = drug.mean().nsmallest(3).index.tolist()
    assert set(lowest[:2]) == {"alpha = 0.0", "lambda = 1.0"} and lowest[2] == "lambda = 0.1"
    by_arm = report.tables(sweep_records)
    whole = ablation.changes(by_arm, "whole", [(arm, "clip") for arm in by_arm if arm != "clip"])["mean"]
    assert set(whole.nsmallest(2).index) == {("alpha = 0.0", "clip"), ("lambda = 1.0", "clip")}
    alphas = [f"alpha = {a}" for a in (0.0, 0.33, 0.45, 0.6, 0.8)]
    batch = ablation.changes(by_arm, "batch", [(arm, "clip") for arm in alphas])["mean"]
    assert batch.is_monotonic_decreasing  # "A smaller alpha trades the whole library for the batch library"
    assert drug.mean()[["lambda = 0.1", "alpha = 0.0"]].max() < drug.mean()["alpha = 0.33"]


def test_settings_in_the_prose_are_those_of_the_studies(page):
    pairs = int(0.64 * REDUCED["n_drugs"] * len(REDUCED["cell_lines"]))
    paper_pairs = 0.64 * 82_914
    assert f"Ours holds {SETTINGS['queue_size']:,} of {pairs:,} training pairs" in page
    assert f"{round(paper_pairs, -3):,.0f}" == "53,000" and "the paper's 4,096 of about 53,000" in page
    assert f"see their training pairs {SETTINGS['epochs']} times" in page and round(paper_pairs / pairs) == 7
    assert stored("ablation").parameters["seeds"] == list(STUDIES["ablation"].seeds) == list(range(6))
    assert stored("ablation").parameters["settings"]["device"] == "cuda" and "six seeds, trained on a GPU" in page
    assert REDUCED["n_batches"] / len(REDUCED["cell_lines"]) == 20 and "twenty batches in each cell line" in page
    small = quick("gene_expression", 0).shape
    assert f"{small['n_drugs']} simulated molecules, {small['n_batches']} experimental batches" in page
