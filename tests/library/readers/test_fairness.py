"""The three fairness tables against what is known of them; splits and encoding."""

from __future__ import annotations

import numpy as np
import pytest

from infocore_mini.readers import fairness as fairness_data
from infocore_mini.readers.fairness import (
    GROUPS,
    load_fairness,
    read_fairness_table,
    simulated_law_school,
    split_and_encode,
)
from infocore_mini.sources import DataUnavailable


def table_or_skip(name):
    try:
        return read_fairness_table(name)
    except DataUnavailable as reason:
        pytest.skip(f"data: {reason}")


@pytest.mark.parametrize(
    "name, kept, left_out, favourable",
    [("adult", 46_447, 2_395, 0.2406), ("law_school", 23_726, 2_825, 0.8087), ("compas", 5_278, 894, 0.5296)],
)
def test_rows_groups_and_labels(name, kept, left_out, favourable):
    table = table_or_skip(name)
    assert (len(table.label), table.left_out, table.simulated) == (kept, left_out, False)
    assert table.label.mean() == pytest.approx(favourable, abs=5e-4)
    assert set(np.unique(table.group)) == set(range(4))
    for code, name_of_group in enumerate(GROUPS):
        rows_of_group = table.features[table.group == code]
        race, sex = name_of_group.split()
        assert (rows_of_group["race"].str.lower() == race).all() and (rows_of_group["sex"].str.lower() == sex).all()


def test_adult_keeps_its_own_test_file():
    table = table_or_skip("adult")
    data = split_and_encode(table, seed=0)
    assert len(data.test) == table.is_test.sum() == 15_507
    assert table.label[table.is_test].mean() == pytest.approx(0.2366, abs=1e-4)


def test_compas_is_the_usual_6172_rows_and_favours_no_recidivism():
    table = table_or_skip("compas")
    assert len(table.label) + table.left_out == 6_172
    assert (
        table.label[table.features["priors_count"] == 0].mean() > table.label[table.features["priors_count"] > 5].mean()
    )


def test_law_school_columns_mean_what_the_docstring_says():
    features, label = table_or_skip("law_school").features, table_or_skip("law_school").label
    index = 600 * (features["lsat"] - 10) / 38 + 100 * features["undergraduate_grades"]
    np.testing.assert_allclose(features["admission_index"], index, atol=1e-6)
    by_race, by_sex = features.groupby("race"), features.groupby("sex")
    assert by_race["lsat"].mean()["Black"] < by_race["lsat"].mean()["White"] - 8
    assert (features["race"] == "Black").sum() == 1_790
    female = features["sex"] == "Female"
    assert female[features["race"] == "Black"].mean() > 0.5 > female.mean()
    assert by_sex["undergraduate_grades"].mean()["Female"] > by_sex["undergraduate_grades"].mean()["Male"] + 0.1
    born = features["birth_year"].where(features["birth_year"] > 0)
    assert (features["part_time"] == 1).mean() < 0.1
    assert born[features["part_time"] == 1].mean() < born[features["part_time"] == 2].mean() - 4
    assert np.corrcoef(features["first_year_grades"], label)[0, 1] > 0.2
    assert abs(features["first_year_grades"].mean()) < 0.1  # z-scores within school


@pytest.mark.parametrize("name", ["adult", "law_school", "compas", "simulated"])
def test_split_subsample_and_encoding(name):
    table = simulated_law_school(3) if name == "simulated" else table_or_skip(name)
    data = split_and_encode(table, seed=1)
    unit = np.bincount(data.train.group)[3]
    assert np.bincount(data.train.group).tolist() == [10 * unit, 2 * unit, 2 * unit, unit]
    if table.is_test is None:
        assert len(data.test) == pytest.approx(0.3 * len(table.label), abs=1)
        assert len(data.validation) == pytest.approx(0.2 * 0.7 * len(table.label), abs=1)
    for part in (data.train, data.validation, data.test):
        assert part.x.shape == (len(part), len(data.feature_names)) and np.isfinite(part.x).all()
    numeric = [i for i, feature in enumerate(data.feature_names) if not set(np.unique(data.train.x[:, i])) <= {0, 1}]
    assert data.train.x[:, numeric].mean(axis=0) == pytest.approx(0, abs=1e-4)  # scaled on the training rows...
    assert data.train.x[:, numeric].std(axis=0) == pytest.approx(1, abs=1e-3)
    assert abs(data.test.x[:, numeric].mean(axis=0)).max() > 1e-3  # ...and on them alone

    again, other = split_and_encode(table, seed=1), split_and_encode(table, seed=2)
    np.testing.assert_array_equal(data.train.x, again.train.x)
    assert not np.array_equal(data.train.label, other.train.label)
    np.testing.assert_array_equal(data.test.label, other.test.label)  # the test rows never change


def test_no_row_is_in_two_parts():
    table = simulated_law_school(0)
    table.features["lsat"] = np.arange(len(table.features))  # a serial number: distinct after encoding
    data = split_and_encode(table, seed=0)
    column = data.feature_names.index("lsat")
    serial = np.concatenate([part.x[:, column] for part in (data.train, data.validation, data.test)])
    assert len(np.unique(serial)) == len(serial)


def test_race_and_sex_can_be_kept_from_the_inputs():
    table = simulated_law_school(0)
    full, blind = (split_and_encode(table, seed=0, sensitive_inputs=flag) for flag in (True, False))
    assert set(full.feature_names) - set(blind.feature_names) == {"race_Black", "race_White", "sex_Female", "sex_Male"}
    np.testing.assert_array_equal(full.train.group, blind.train.group)


def test_simulation_stands_in_only_when_asked_and_only_for_law_school(monkeypatch):
    def nowhere():
        raise DataUnavailable("no source")

    monkeypatch.setattr(fairness_data, "READERS", dict.fromkeys(("adult", "law_school", "compas"), nowhere))
    with pytest.raises(DataUnavailable):
        load_fairness("law_school")
    with pytest.raises(DataUnavailable):
        load_fairness("adult", simulate=True)
    data = load_fairness("law_school", simulate=True)
    assert data.simulated and data.sha256 == {}
    assert "SIMULATED" in fairness_data.SIMULATED_NOTICE


def test_unknown_table_is_named():
    with pytest.raises(ValueError, match="'adults'"):
        read_fairness_table("adults")
