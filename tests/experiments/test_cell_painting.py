"""What the cell-painting chapter measures: weeks from wells, batches from structure."""

import numpy as np
import pandas as pd
import pytest

from infocore_mini.experiments.cell_painting.report import batch_from_structure, bbbc021_weeks, lift_beside_paper
from infocore_mini.experiments.pretraining.report import Tables, paper_accuracies, paper_chance
from infocore_mini.readers import Wells
from infocore_mini.screens import PairedScreen

RAW, CENTRED, LARGEST = "as measured", "mean of the shared wells subtracted", "always the largest week"


def wells(shift: float, effect: float = 0.0) -> Wells:
    """Sixty plates, ten weeks, six shared wells and six of the week's own a plate.

    Every week moves all its wells by ``shift`` in a direction of its own, and its own wells by ``effect`` in another.
    """
    rng = np.random.default_rng(0)
    plate, place = np.divmod(np.arange(60 * 12), 12)
    week, own = plate % 10, place >= 6
    direction = rng.normal(size=(2, 10, 60))
    profile = rng.normal(size=(720, 60)) + shift * direction[0, week] + effect * own[:, None] * direction[1, week]
    position = np.where(own, week * 100 + place, place).astype(str)
    info = pd.DataFrame({"plate": plate.astype(str), "batch": week.astype(str), "well": position, "is_control": False})
    return Wells(profile.astype(np.float32), info.assign(name="", smiles=None), tuple(map(str, range(60))))


def test_a_week_that_moves_all_its_wells_is_recognised_on_new_plates_until_the_shared_wells_are_subtracted():
    found = bbbc021_weeks(wells(shift=1.0))
    assert (found.loc[RAW] > 95).all() and (found.loc[CENTRED] < 25).all() and (found.loc[LARGEST] == 10).all()


def test_compounds_of_one_week_alone_keep_the_week_recognisable_after_subtraction_but_not_from_shared_wells():
    found = bbbc021_weeks(wells(shift=0.0, effect=1.0))
    assert (found.loc[[RAW, CENTRED], "other wells"] > 95).all() and (
        found.loc[[RAW, CENTRED], "shared wells"] < 25
    ).all()


def test_plates_without_a_common_position_are_refused():
    apart = wells(shift=0.0)
    apart.info["well"] = apart.info["plate"] + " " + apart.info["well"]
    with pytest.raises(ValueError, match="no position is filled on every plate"):
        bbbc021_weeks(apart)


def test_structure_tells_two_series_apart_and_says_nothing_of_the_run_where_both_runs_hold_the_same_molecules():
    rng = np.random.default_rng(0)
    names = [f"{'C' * (i + 1)}" for i in range(80)]
    features = rng.normal(size=(80, 60)) + 2 * np.repeat([[1.0], [-1.0]], 40, axis=0)
    smiles = [*names[:40], *names[:40], *names[40:]]
    batch = ["run 1"] * 40 + ["run 2"] * 40 + ["date 1"] * 20 + ["date 2"] * 20
    table = dict(zip(names, features, strict=True))
    screen = PairedScreen.from_profiles(
        smiles=smiles,
        drug=lambda wanted: np.stack([table[s] for s in wanted]),
        profile=rng.normal(size=(120, 3)),
        batch=batch,
    ).per_batch()
    found = batch_from_structure(screen)["from structure"]
    assert found["run or date"] > 95 and found["run 1 or run 2"] == 50


def test_the_papers_lift_is_its_accuracy_over_its_chance():
    rows = pd.DataFrame({"cell_line": "mean", "library": ["whole", "batch"], "top": 5, "accuracy": 0.3, "chance": 0.1})
    found = lift_beside_paper(Tables({"ccl": {0: rows}}))
    paper, chance = paper_accuracies("cell_painting"), paper_chance("cell_painting")
    assert found["ours, simulated: lift"].tolist() == pytest.approx([3.0, 3.0])
    for library in ("whole", "batch"):
        printed = paper["ccl", library, 5] / chance[library, 5]
        assert found.loc[(library, 5, "ccl"), "paper: lift"] == pytest.approx(printed)
