"""The week classifier of the cell-painting chapter."""

import numpy as np
import pandas as pd

from infocore_mini.experiments.cell_painting import bbbc021_weeks
from infocore_mini.readers import Wells


def wells(shift: float) -> Wells:
    """Sixty plates of ten wells, ten weeks; every week moves all its wells by ``shift`` in a direction of its own."""
    rng = np.random.default_rng(0)
    plate = np.repeat(np.arange(60), 10)
    week = plate % 10
    profile = rng.normal(size=(600, 60)) + shift * rng.normal(size=(10, 60))[week]
    info = pd.DataFrame({"plate": plate.astype(str), "batch": [f"Week{w}" for w in week], "is_control": False})
    return Wells(profile.astype(np.float32), info.assign(name="", smiles=None), tuple(map(str, range(60))))


def test_a_week_that_moves_its_wells_is_recognised_on_new_plates_until_plates_are_centred():
    found = bbbc021_weeks(wells(shift=1.0))
    assert found["as measured"] > 95 and found["plate mean subtracted"] < 25
    assert found["always the largest week"] == 10


def test_a_week_that_moves_nothing_is_not_recognised():
    assert bbbc021_weeks(wells(shift=0.0))["as measured"] < 20
