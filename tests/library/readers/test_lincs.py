"""The reader of LINCS pilot 1's cell counts: on a made-up table of its layout, and on the real one where it is."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from infocore_mini.readers import ReadError, read_lincs_pilot_wells
from infocore_mini.readers.lincs import WELLS
from infocore_mini.sources import DataUnavailable, fetch

TEXT = """plate,well,plate_map,Batch_Number,Batch_Date,broad_sample,mmoles_per_liter,solvent,cell_count
SQ1,A01,M-1,4,2016-05-17,,,DMSO,2050
SQ1,B12,M-1,4,2016-05-17,BRD-K00000001-001-01-1,3.333,DMSO,12
SQ2,A01,M-1,4,2016-05-17,BRD-K00000002-001-01-1,10,DMSO,2634
"""


@pytest.fixture
def small(tmp_path):
    (tmp_path / "wells.csv").write_text(TEXT)
    (tmp_path / "smiles.tsv").write_text("broad_id\tsmiles\nBRD-K00000001\tCCO\n")
    return tmp_path / "wells.csv", tmp_path / "smiles.tsv"


def test_a_well_has_its_plate_map_dose_and_cell_count_and_dmso_alone_is_a_control(small):
    wells = read_lincs_pilot_wells(small[0], smiles=small[1])
    assert wells.profile.tolist() == [[2050], [12], [2634]] and wells.feature_names == ("cell_count",)
    assert wells.info["is_control"].tolist() == [True, False, False]
    assert wells.info["smiles"].isna().tolist() == [True, False, True] and wells.info["smiles"][1] == "CCO"
    found = wells.info.loc[1, ["batch", "well", "row", "column", "plate_map", "experiment", "dose", "cell_count"]]
    assert found.tolist() == ["SQ1", "B12", "B", 12, "M-1", 4, 3.333, 12]


def test_a_well_that_stands_twice_and_one_without_a_count_are_named(small):
    small[0].write_text(TEXT + TEXT.splitlines()[1] + "\n")
    with pytest.raises(ReadError, match="1 wells twice"):
        read_lincs_pilot_wells(small[0], smiles=small[1])
    small[0].write_text(TEXT.replace("2050", ""))
    with pytest.raises(ReadError, match="wells without a cell count"):
        read_lincs_pilot_wells(small[0], smiles=small[1])


def test_the_real_design_has_the_size_its_card_says_and_half_the_variance_of_its_controls_is_the_plates():
    try:
        fetch(WELLS)
    except DataUnavailable as reason:
        pytest.skip(f"data: {reason}")
    wells = read_lincs_pilot_wells()
    info, control = wells.info, wells.info["is_control"]
    assert len(wells) == 52223 and control.sum() == 3264 and info["smiles"].notna().sum() == (~control).sum()
    assert (info["plate"].nunique(), info["plate_map"].nunique(), info["name"][~control].nunique()) == (136, 28, 1570)
    count = pd.Series(np.log1p(wells.profile[control.to_numpy(), 0].astype(float)))
    within = count - count.groupby(info["plate"][control].to_numpy()).transform("mean")
    assert 1 - within.var() / count.var() == pytest.approx(0.50, abs=0.01)
