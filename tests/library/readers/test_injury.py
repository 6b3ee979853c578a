"""The reader of cell painting under cytotoxic compounds: on made-up tables of its layout, on the real ones where they are."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from infocore_mini.evaluate.mixing import same_label_neighbours
from infocore_mini.readers import ReadError, read_injury, read_injury_wells
from infocore_mini.readers.injury import COLUMNS, INJURY
from infocore_mini.sources import DataUnavailable, fetch


def lengths(smiles):
    return np.array([[len(text)] for text in smiles], dtype=np.float32)


@pytest.fixture
def small(tmp_path):
    """Two plates of a solvent well and two compounds; one well stands in both files under two classes."""
    table = pd.DataFrame(columns=list(COLUMNS), index=range(6))
    table["Compound Name"] = ["DMSO", "A", "B"] * 2
    table["Compound SMILES"] = ["CS(=O)C", "CCO", "CCN"] * 2
    table["Plate"], table["Well"] = ["P1"] * 3 + ["P2"] * 3, ["B2", "C10", "C11"] * 2
    table["Compound Concentration (microMolar)"] = [np.nan, 20, 2.5] * 2
    table["Experimental Condition [Treatment time (h)]"] = 24
    table["Experimental Condition [Experimental Batch]"] = [1] * 3 + [2] * 3
    table["Characteristics [Cell Line]"], table["Relative well cellcount"] = "U2OS", 0.9
    table["Control Type"] = ["Negative", np.nan, "Positive"] * 2
    table["Compound Class"] = "Kinase"
    for k, name in enumerate(["Cells_AreaShape_Area", "Nuclei_AreaShape_Center_X", "Nuclei_Texture_DNA"]):
        table[name] = np.arange(6.0) + 10 * k
    paths = [tmp_path / "one.csv.gz", tmp_path / "two.csv.gz"]
    table[:4].to_csv(paths[0], index=False)
    table[3:].assign(**{"Compound Class": "Redox"}).to_csv(paths[1], index=False)
    return paths


def test_plates_are_experimental_batches_and_solvent_wells_their_controls(small):
    wells = read_injury_wells(small)
    assert wells.feature_names == ("Cells_AreaShape_Area", "Nuclei_Texture_DNA") and len(wells) == 6
    assert wells.info["is_control"].tolist() == [True, False, False] * 2
    assert wells.info.loc[1, ["well", "row", "column", "dose", "time", "experiment"]].tolist() == [
        "C10",
        "C",
        10,
        20,
        24,
        1,
    ]
    screen = read_injury(small, drug=lengths, separate=["dose"])
    assert screen.batch_names == ("P1", "P2") and screen.cell_line_names == ("U2OS",) and len(screen) == 2
    assert len(screen.controls) == 2 and screen.info["relative_cell_count"].tolist() == [0.9] * 4
    assert sorted(screen.left_out.values.tolist()) == [
        ["DMSO", "a well that an earlier row holds", 1],
        ["Nuclei_AreaShape_Center_X", "coordinate, no feature", 6],
    ]


def test_a_well_with_two_profiles_is_named(small):
    table = pd.read_csv(small[1])
    table.loc[0, "Nuclei_Texture_DNA"] = 99
    table.to_csv(small[1], index=False)
    with pytest.raises(ReadError, match="1 wells with two profiles"):
        read_injury_wells(small)
    table.drop(columns="Nuclei_Texture_DNA").to_csv(small[1], index=False)
    with pytest.raises(ReadError, match="no column Nuclei_Texture_DNA"):
        read_injury_wells(small)


@pytest.fixture(scope="module")
def real():
    try:
        [fetch(name) for name in INJURY]
    except DataUnavailable as reason:
        pytest.skip(f"data: {reason}")
    return read_injury_wells()


def test_the_real_plates_have_the_size_their_card_says(real):
    info = real.info
    assert real.profile.shape == (4254, 344) and info["plate"].nunique() == 84 and info["is_control"].sum() == 1457
    assert info.groupby("plate")["experiment"].nunique().max() == 1 and set(info["experiment"]) == {1, 2}
    of_plate = info.groupby("plate")["is_control"].sum().sort_values()
    assert of_plate.min() == of_plate.median() == 5  # chapter 5: most have five, a few plates hold most of them
    assert of_plate.iloc[-9:].sum() > 0.7 * of_plate.sum()
    assert info["name"][~info["is_control"]].nunique() == 144 and set(info["time"]) == {24, 48}


def test_the_plate_is_seen_in_solvent_wells_which_differ_in_nothing_else(real):
    control = real.where(real.info["is_control"].to_numpy())
    treated = real.where(~real.info["is_control"].to_numpy())
    of_solvent = same_label_neighbours(control.profile, control.info["plate"], n_permutations=19)
    of_treated = same_label_neighbours(
        treated.profile, treated.info["plate"], other_than=treated.info["name"], n_permutations=19
    )
    scaled = (control.profile - control.profile.mean(0)) / control.profile.std(0)
    of_scaled = same_label_neighbours(scaled, control.info["plate"], n_permutations=19)
    assert of_solvent.rate == pytest.approx(0.242, abs=0.005) and of_solvent.chance == pytest.approx(0.060, abs=0.01)
    assert of_scaled.rate == pytest.approx(0.211, abs=0.005)
    assert of_treated.rate == pytest.approx(0.091, abs=0.005) and of_treated.chance == pytest.approx(0.026, abs=0.005)
