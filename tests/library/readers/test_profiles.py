"""Profiles as they are found: gaps, absurd values, columns that are no features, controls, several files, structures."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from infocore_mini import readers
from infocore_mini.readers import ReadError, Wells
from infocore_mini.readers.usable import largest_complete, without_missing

N_FEATURES = 20


def length_and_carbons(smiles):
    """A featuriser that needs no chemistry."""
    return np.array([[len(text), text.upper().count("C")] for text in smiles], dtype=np.float32)


@pytest.fixture
def table():
    """Simulated: two plates of two DMSO wells and six treated wells, 20 features."""
    rng, rows = np.random.default_rng(0), []
    for plate in ("p1", "p2"):
        for k, smiles in enumerate(["CS(C)=O", "CS(C)=O", "CCO", "CC(=O)O", "CCN", "CCC", "CCCl", "C"]):
            rows.append((plate, f"A{k + 1:02d}", "DMSO" if k < 2 else f"x{k}", smiles, "control" if k < 2 else "trt"))
    names = ["Metadata_" + name for name in ("Plate", "Well", "broad_sample", "smiles", "pert_type")]
    values = pd.DataFrame(rng.normal(3, 1, (16, N_FEATURES)), columns=[f"Cells_F{j}" for j in range(N_FEATURES)])
    return pd.concat([pd.DataFrame(rows, columns=names), values], axis=1)


@pytest.fixture
def read(tmp_path):
    """Write tables as files and read them."""

    def run(*tables, **options):
        paths = [tmp_path / f"plate{k}.csv" for k in range(len(tables))]
        for path, table in zip(paths, tables, strict=True):
            table.to_csv(path, index=False)
        return readers.read_profiles(paths if len(paths) > 1 else paths[0], drug=length_and_carbons, **options)

    return run


def left_out(screen) -> dict[str, tuple[str, int]]:
    return {row.name: (row.reason, row.profiles) for row in screen.left_out.itertuples(index=False)}


# ---- gaps --------------------------------------------------------------------------------------------------------


def test_one_bad_well_costs_no_feature(table, read):
    table.loc[5, [f"Cells_F{j}" for j in range(15)]] = np.nan
    screen = read(table)
    assert len(screen.feature_names) == N_FEATURES and len(screen.profile) == 11
    assert left_out(screen) == {"p1 A06 (x5)": ("well with missing values", 1)}


def test_one_bad_feature_costs_no_well(table, read):
    table.loc[:6, "Cells_F3"] = np.nan
    screen = read(table)
    assert len(screen.profile) == 12 and left_out(screen) == {"Cells_F3": ("feature with missing values", 16)}


def test_an_empty_well_and_a_gap_elsewhere_are_both_named(table, read):
    table.loc[5, table.filter(like="Cells").columns] = np.nan
    table.loc[8:13, "Cells_F3"] = np.nan
    screen = read(table)
    assert len(screen.feature_names) == N_FEATURES - 1 and len(screen.profile) == 11
    assert set(left_out(screen)) == {"p1 A06 (x5)", "Cells_F3"}


def test_a_tolerance_keeps_gaps_as_missing_values(table, read):
    table.loc[5, "Cells_F3"] = np.nan
    screen = read(table, tolerance=0.1)
    assert len(screen.profile) == 12 and int(screen.profile.isnan().sum()) == 1 and not len(screen.left_out)
    table.loc[5, "Cells_F3"] = 1e18
    assert int(read(table, tolerance=0.1).profile.isnan().sum()) == 1
    with pytest.raises(ReadError, match=r"tolerance: got 1, expected a share from 0 to below 1"):
        read(table, tolerance=1)


@pytest.mark.parametrize("value", [1e13, -1e25, 3e38, 1e60, np.inf])
def test_values_that_a_spread_of_zero_makes_are_left_out_by_reason(table, read, value):
    table.loc[8:, "Cells_F2"] = value
    screen = read(table)
    assert left_out(screen) == {"Cells_F2": ("feature with values of 1e+12 or more", 16)}


def test_what_goes_has_the_largest_share_of_gaps():
    bad = np.zeros((4, 6), dtype=bool)
    bad[0, :3] = bad[1:, 5] = True
    rows, columns = largest_complete(bad, 0.0)
    assert rows.tolist() == [False, True, True, True] and columns.tolist() == [True] * 5 + [False]
    rows, columns = largest_complete(bad, 0.8)
    assert rows.all() and columns.all()


def test_a_table_of_nothing_but_gaps_says_how_many():
    wells = Wells(np.full((2, 2), np.nan, np.float32), pd.DataFrame({"name": ["a", "b"], "batch": "p"}), ("x", "y"))
    with pytest.raises(ReadError, match="here: got 4 missing among 4 values, which leaves nothing"):
        without_missing(wells, "here")


# ---- columns -----------------------------------------------------------------------------------------------------


def test_what_is_no_feature_is_left_out_by_name_and_reason(table, read):
    rows = np.arange(16.0)
    extra = {
        "Cells_Location_Center_X": rows + 0.5,
        "Nuclei_AreaShape_Center_Y": rows * 2,
        "Cells_AreaShape_BoundingBoxMaximum_X": rows * 3,
        "Cells_Number_Object_Number": rows * 4,
        "Cells_Neighbors_FirstClosestObjectNumber_5": rows * 5,
        "Cells_Parent_Nuclei": rows * 6,
        "ImageNumber": rows * 7,
        "Replicate": rows * 8,
        "Remark": "good",
        "Cells_QC": True,
        "Cells_same": table["Cells_F1"],
        "Cells_flat": 1.0,
        "Cells_Texture_a": rows * 9,
    }
    screen = read(table.assign(**extra).reset_index(names=""), exclude=["*_Texture_*"])
    assert screen.feature_names == tuple(f"Cells_F{j}" for j in range(N_FEATURES))
    found = left_out(screen)
    assert set(found) == {*extra, "Unnamed: 0"} and all(count == 16 for _, count in found.values())
    assert (
        found["Cells_same"][0] == "feature equal to Cells_F1" and found["Cells_flat"][0] == "feature that never varies"
    )
    assert found["Unnamed: 0"][0] == "column without a name" and found["Remark"][0] == "column of text"
    assert found["Cells_Location_Center_X"][0] == "place in the image"
    with pytest.raises(ReadError, match="exclude: got Nuclei_"):
        read(table, exclude=["Nuclei_*"])


NAMES_OF_WELLS = [
    "plate_no",
    "WellID",
    "Dose (µM)",
    "concentration_nM",
    "day",
    "Plate Well Index",
    "time_h",
    "row number",
]
IDENTIFIERS = ["compound_id", "ID", "PUBCHEM_CID", "plate barcode"]
CELL_COUNTS = ["cell_count", "Count_Cells", "n_cells", "Number of nuclei", "Cells_Counts"]
MEASURED = ["lipid", "Row_mean", "Texture_Index", "Cells_Area", "dead_cell_share", "n", "day_sleep", "time_to_peak"]


def test_columns_that_describe_a_well_by_their_names_are_no_features(table, read):
    rng = np.random.default_rng(1)
    kinds = {"name of a well": NAMES_OF_WELLS, "identifier": IDENTIFIERS, "number of cells": CELL_COUNTS}
    extra = {name: rng.normal(size=16) for name in [*sum(kinds.values(), []), *MEASURED]}
    screen = read(table.assign(**extra))
    assert {name for name in MEASURED if name not in screen.feature_names} == set()
    found = {name: reason for name, (reason, _) in left_out(screen).items()}
    assert found == {name: reason for reason, names in kinds.items() for name in names}


def labelled(n_plates=6):
    """Simulated: wells of 20 molecules on each plate, none twice in its well, and numbers that are labels or measured."""
    rng, rows = np.random.default_rng(0), np.arange(20 * n_plates)
    plate, well = rows // 20, rows % 20
    molecule = (well + 7 * plate) % 20
    table = pd.DataFrame(rng.normal(size=(len(rows), 4)), columns=["a", "b", "c", "d"])
    names = [f"x{k}" for k in molecule]
    about = dict(Metadata_Plate=[f"p{k}" for k in plate], Metadata_Well=[f"A{k:02d}" for k in well])
    table = table.assign(**about, Metadata_broad_sample=names, Metadata_smiles=["C" * (1 + k) for k in molecule])
    labels = {
        "p_no": (plate, "one value for each experimental batch"),  # also for each plate, which is the batch here
        "Z'": (rng.normal(size=n_plates)[plate], "one value for each experimental batch"),
        "place": (rng.permutation(20)[well], "one value for each well"),
        "weight": (rng.normal(size=40)[molecule + 20 * (rng.random(len(rows)) < 0.2)], "one value for each molecule"),
        "entry": (rows + 100_000, "whole numbers that count the rows"),
        "of_plate": (3 * well, "whole numbers that count the rows"),
        "shuffled": (rng.permutation(len(rows)), "whole numbers that count the rows"),
    }
    measured = {
        "hit": (molecule == 3).astype(int),  # so seldom that its wells may agree by accident
        "active": molecule % 2,  # as replicates of a call should
        "flag": rng.integers(2, size=len(rows)),
        "counts": rng.integers(10_000, 60_000, size=len(rows)),
        "sorted": np.sort(rng.normal(size=len(rows))),
        "gaps": np.where(rows % 3, rng.normal(size=len(rows)), np.nan),
    }
    return table.assign(**{name: values for name, (values, _) in labels.items()}, **measured), labels, measured


def test_columns_that_number_rows_or_name_plates_wells_and_molecules_in_numbers_are_no_features(read):
    table, labels, measured = labelled()
    told = dict(controls=None, tolerance=0.5)
    screen = read(table, **told)
    assert {name: reason for name, (reason, _) in left_out(screen).items()} == {
        name: reason for name, (_, reason) in labels.items()
    }
    assert screen.feature_names == ("a", "b", "c", "d", *measured)
    parts = [table[:60], table[60:]]  # one value of p_no for each file would be a feature that never varies
    assert set(left_out(read(*parts, **told))) == set(labels)
    assert "weight" in read(table[:20], **told).feature_names  # a plate, no molecule twice: nothing tells it
    assert {"p_no", "entry"} <= set(read(table[15:25], **told).feature_names)  # few wells: an accident is likely


def test_columns_are_features_if_they_are_asked_for_by_name_or_pattern(read):
    table, _, _ = labelled()
    table["cell_count"] = np.arange(len(table)) % 7
    screen = read(table, controls=None, features=["cell_count", "p_*", "[ab]"])
    assert screen.feature_names == ("cell_count", "p_no", "a", "b")
    assert left_out(screen)["weight"] == ("feature that was not asked for", len(table))
    with pytest.raises(ReadError, match="no numeric feature, expected at least one, if need be by its name"):
        read(table.filter(regex="Metadata|cell"), controls=None)
    with pytest.raises(
        ReadError, match=r"got no numeric feature but labels \(p_no, place\), expected .* names in `features`"
    ):
        read(table.filter(regex="Metadata|p_no|place"), controls=None)


def test_a_table_of_molecules_has_one_value_for_each(read):
    """Means over replicates, repeated for each replicate: all features are of the molecule, so none is a label."""
    table, _, _ = labelled()
    means = table.groupby("Metadata_smiles")[["a", "b"]].transform("mean")
    screen = read(table.filter(like="Metadata").assign(a=means["a"], b=means["b"]), controls=None)
    assert screen.feature_names == ("a", "b")


def test_a_spreadsheets_error_in_a_feature_is_a_gap(table, read):
    table["Cells_F0"] = table["Cells_F0"].astype(object)
    table.loc[3, "Cells_F0"] = "#DIV/0!"
    screen = read(table)
    assert len(screen.profile) == 12 and left_out(screen) == {"Cells_F0": ("feature with missing values", 16)}
    kept = read(table, tolerance=0.1)
    assert "Cells_F0" in kept.feature_names and int(kept.profile.isnan().sum()) == 1


def test_names_of_plates_keep_their_zeros(table, read, tmp_path):
    table["Metadata_Plate"] = table["Metadata_Plate"].map({"p1": "0123", "p2": "00123"})
    assert read(table).batch_names == ("00123", "0123")
    numbered = table.assign(Metadata_Plate=np.repeat([7.0, 8.0], 8))
    numbered.to_parquet(tmp_path / "n.parquet")
    assert readers.read_profiles(tmp_path / "n.parquet", drug=length_and_carbons).batch_names == ("7", "8")


# ---- wells -------------------------------------------------------------------------------------------------------


def test_a_well_without_a_plate_is_listed_and_a_control_well_refused(table, read):
    table.loc[5, "Metadata_Plate"] = None
    assert left_out(read(table)) == {"A06 (x5)": ("well without an entry under Metadata_Plate", 1)}
    table.loc[0, "Metadata_Plate"] = "-666"
    with pytest.raises(ReadError, match=r"plate0.csv: got no Metadata_Plate for the control wells A01 \(DMSO\)"):
        read(table)


def test_a_well_that_comes_twice_counts_once(table, read):
    screen = read(pd.concat([table, table[4:6]]))
    assert len(screen.profile) == 12
    assert left_out(screen) == {f"p1 A0{k} (x{k - 1})": ("a well that an earlier row holds", 1) for k in (5, 6)}
    again = table[4:5].assign(Cells_F0=9.0)
    with pytest.raises(ReadError, match=r"wells twice with other values: p1 A05 \(x4\), expected each well once"):
        read(pd.concat([table, again]))
    sites = pd.concat([table.assign(Metadata_Site=1), again.assign(Metadata_Site=2)])
    assert len(read(sites).profile) == 13


def test_positive_controls_are_molecules_and_not_subtracted(table, read):
    expected = read(table[(table.index % 8 != 1)])
    poscon = table.copy()
    poscon.loc[[1, 9], ["Metadata_broad_sample", "Metadata_smiles"]] = ["drug", "CCCCC"]
    kinds = np.where(poscon["Metadata_pert_type"] == "control", "negcon", None)
    kinds[[1, 9]] = "poscon_cp"
    for given in (poscon, poscon.assign(Metadata_control_type=kinds)):
        screen = read(given)
        assert "CCCCC" in screen.smiles and len(screen.profile) == 14
        rows = np.isin(screen.smiles[screen.drug_id[screen.condition]], expected.smiles)
        np.testing.assert_allclose(screen.profile[rows], expected.profile, atol=1e-5)
    poscon.loc[[0, 8], ["Metadata_broad_sample", "Metadata_smiles"]] = ["other", "CCCCCC"]
    with pytest.raises(ReadError, match="got control wells of other, drug, none of them the vehicle"):
        read(poscon)


def test_the_plate_map_comes_along(table, read):
    table["Metadata_dose"] = ["0", "0", *["1 uM", "500 nM", "-666", "2", "3 µM", "4"]] * 2
    screen = read(table, dose="Metadata_dose", separate=["dose"])
    assert sorted(set(screen.info["well"])) == [f"A0{k}" for k in range(3, 9)]
    assert np.sort(screen.info["dose"]).tolist()[:10] == [0.5, 0.5, 1, 1, 2, 2, 3, 3, 4, 4]
    assert len(screen.controls) == 4 and abs(float(screen.controls.profile.mean(0).max())) < 1e-5
    with pytest.raises(ReadError, match="plate0.csv: got 'high' under Metadata_dose"):
        read(table.assign(Metadata_dose="high"), dose="Metadata_dose")


# ---- several files, structures kept elsewhere --------------------------------------------------------------------


def test_a_new_plate_is_read_with_the_features_of_training(table, read):
    new = table.rename(columns={"Cells_F3": "Cells_new"}).assign(Cells_F5=1.0)  # one that never varies here
    assert "Cells_F5" not in read(new).feature_names
    known = ["Cells_F7", "Cells_F5", "Cells_F0"]
    screen = read(new, features=known, controls=None)
    assert screen.feature_names == tuple(known)
    treated = screen.info["name"] == "x4"
    of_table = new[new["Metadata_broad_sample"] == "x4"][known].to_numpy(dtype=np.float32)
    assert np.allclose(np.sort(screen.profile[treated], axis=0), np.sort(of_table, axis=0))
    assert left_out(screen)["Cells_new"] == ("feature that was not asked for", 16)
    with pytest.raises(ReadError, match="features: got no column Cells_F3, expected names or patterns, some of"):
        read(new, features=["Cells_F0", "Cells_F3"])
    with pytest.raises(ReadError, match="no feature Remark, expected the 2 in `features`"):
        read(new.assign(Remark="good"), features=["Cells_F0", "Remark"])
    with pytest.raises(ReadError, match='features: got .*expected "intersection", "union", or names, each once'):
        read(new, features=["Cells_F0", "Cells_F0"])
    new.loc[4, "Cells_F7"] = np.nan
    screen = read(new, features=known)
    assert screen.feature_names == tuple(known) and len(screen.profile) == 11  # the well goes, no feature does


def test_a_screen_says_that_its_controls_were_subtracted(table, read):
    assert read(table).corrections == ("ControlMean(by='plate')",) and read(table, controls=None).corrections == ()
    days = table.rename(columns={"Metadata_Plate": "day"})
    assert read(days, batch="day", plate=None).corrections == ("ControlMean(by='batch')",)


def test_plates_with_other_features_share_some_or_have_all(table, read):
    first, second = table[:8].drop(columns="Cells_F0"), table[8:].drop(columns="Cells_F1")
    shared = read(first, second)
    assert shared.feature_names == tuple(f"Cells_F{j}" for j in range(2, N_FEATURES))
    reason = "feature that not every file has"
    assert left_out(shared) == {"Cells_F0": (reason, 8), "Cells_F1": (reason, 8)}
    whole = read(first, second, features="union")
    assert set(whole.feature_names) == {f"Cells_F{j}" for j in range(N_FEATURES)} and len(whole.left_out) == 0
    gap = whole.profile.isnan()
    assert int(gap.sum()) == 12 and gap[whole.profile_batch == 0][:, whole.feature_names.index("Cells_F0")].all()
    with pytest.raises(ReadError, match="features: got 'all'"):
        read(table, features="all")


def test_two_plates_in_two_files_are_those_in_one(table, read):
    one, two = read(table), read(table[:8], table[8:])
    np.testing.assert_array_equal(one.profile, two.profile)
    assert one.feature_names == two.feature_names and one.batch_names == two.batch_names


def test_structures_can_stand_in_a_table_of_their_own(table, read, tmp_path):
    known = table.rename(columns={"Metadata_broad_sample": "id"})[["id", "Metadata_smiles"]].drop_duplicates("id")
    extra = pd.DataFrame({"id": ["x5", "x4"], "Metadata_smiles": ["CCCCCCC", "NCC"]})  # x4 the same, written otherwise
    pd.concat([known[known["id"] != "x7"], extra]).to_csv(tmp_path / "structures.csv", index=False)
    bare = table.drop(columns="Metadata_smiles")
    screen = read(bare, smiles_table=tmp_path / "structures.csv", smiles_key="id")
    assert screen.smiles.tolist() == ["CC(=O)O", "CCCl", "CCN", "CCO"]
    assert left_out(screen) == {"x5": ("several structures in structures.csv", 2), "x7": ("no SMILES", 2)}
    with pytest.raises(ReadError, match="structures.csv: got no column Metadata_broad_sample"):
        read(bare, smiles_table=tmp_path / "structures.csv")


def test_a_missing_structure_is_no_molecule(table, read):
    table.loc[[2, 3, 4, 5], "Metadata_smiles"] = [None, "nan", "-666", "no molecule"]
    reasons = [reason for reason, _ in left_out(read(table)).values()]
    assert reasons == ["no SMILES"] * 3 + ["invalid SMILES 'no molecule'"]
