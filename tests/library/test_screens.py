"""PairedScreen: grouping of replicates, labels, subsets, splits, errors."""

import pickle
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch

from infocore_mini.featurize import mol2vec, morgan
from infocore_mini.platemap import Columns, standard_name
from infocore_mini.screens import PairedScreen


def count_atoms(smiles: list[str]) -> np.ndarray:
    return np.array([[len(s), s.count("O")] for s in smiles], dtype=np.float32)


def table(n=400, seed=0, batches_per_condition=1) -> pd.DataFrame:
    """Random replicate rows: alkanes in two cell lines; the experimental batch follows both, or varies."""
    rng = np.random.default_rng(seed)
    rows = pd.DataFrame({"smiles": ["C" * k for k in rng.integers(1, 60, n)], "cell_line": rng.choice(["A", "B"], n)})
    plate = rows["smiles"].str.len() % 3 + rng.integers(batches_per_condition, size=n)
    return rows.assign(batch=rows["cell_line"] + plate.astype(str))


def screen(rows: pd.DataFrame, n_features=5, **options) -> PairedScreen:
    profile = np.random.default_rng(1).normal(size=(len(rows), n_features)).astype(np.float32)
    columns = {name: rows[name].tolist() for name in ("smiles", "cell_line", "batch")}
    return PairedScreen.from_profiles(**({"drug": count_atoms, "profile": profile} | columns | options))


def test_replicates_are_grouped_as_pandas_groups_them():
    rows = table()
    made = screen(rows)
    profile = np.random.default_rng(1).normal(size=(len(rows), 5)).astype(np.float32)
    expected = pd.DataFrame(profile).groupby([rows["smiles"], rows["cell_line"]])
    names = [(made.smiles[d], made.cell_line_names[c]) for d, c in zip(made.drug_id, made.cell_line)]
    assert len(set(names)) == len(names) == len(made) == expected.ngroups
    np.testing.assert_allclose(made.mean_profile(), expected.mean().loc[names].to_numpy(), atol=1e-5)
    assert made.n_replicates.tolist() == expected.size().loc[names].tolist()
    assert np.array_equal(made.drug.numpy(), count_atoms(made.smiles.tolist()))
    batch = rows.groupby(["smiles", "cell_line"])["batch"].first().loc[names]
    assert [made.batch_names[b] for b in made.batch_id] == batch.tolist()


def test_replicates_over_several_batches_make_soft_labels():
    rows = table(batches_per_condition=2)
    made = screen(rows)
    shares = rows.groupby(["smiles", "cell_line"])["batch"].value_counts(normalize=True).unstack(fill_value=0.0)
    names = [(made.smiles[d], made.cell_line_names[c]) for d, c in zip(made.drug_id, made.cell_line)]
    expected = shares.loc[names, list(made.batch_names)].to_numpy()
    np.testing.assert_allclose(made.batch_id.numpy(), expected, atol=1e-6)
    assert torch.equal(made.membership(), torch.from_numpy(expected > 0))


def test_missing_readouts_are_left_out_of_the_mean():
    profile = np.array([[1.0, np.nan, np.nan], [3.0, 4.0, np.nan]])
    made = PairedScreen.from_profiles(
        smiles=["C", "C"], batch=[0, 0], drug=count_atoms, profile=profile, allow_missing=True
    )
    torch.testing.assert_close(made.mean_profile(), torch.tensor([[2.0, 4.0, torch.nan]]), equal_nan=True)


def test_a_split_shares_no_molecule_and_loses_nothing():
    made = screen(table())
    parts = made.split(3)
    names = [set(part.smiles) for part in parts]
    assert set.union(*names) == set(made.smiles) and sum(map(len, names)) == len(made.smiles)
    assert sum(len(part.profile) for part in parts) == len(made.profile)
    assert [len(n) / len(made.smiles) for n in names] == pytest.approx([0.64, 0.16, 0.20], abs=0.02)
    assert all(np.array_equal(a.smiles, b.smiles) for a, b in zip(parts, made.split(3)))
    assert not np.array_equal(parts.test.smiles, made.split(4).test.smiles)


def test_a_subset_keeps_rows_together():
    made = screen(table())
    part = made.subset(torch.tensor([5, 2, 9]))
    assert part.smiles.tolist() == made.smiles[[5, 2, 9]].tolist() and part.n_batches == made.n_batches
    means = {(made.smiles[d], int(c)): m for d, c, m in zip(made.drug_id, made.cell_line, made.mean_profile())}
    for d, c, mean in zip(part.drug_id, part.cell_line, part.mean_profile()):
        torch.testing.assert_close(mean, means[part.smiles[d], int(c)])
    mask = torch.zeros(len(made.drug), dtype=torch.bool)
    mask[[2, 5, 9]] = True
    assert set(made.subset(mask).smiles) == set(part.smiles)


def test_conditions_can_be_cut_by_experimental_batch():
    rows = table(batches_per_condition=2)
    made = screen(rows)
    cut = made.per_batch()
    assert cut.batch_id.ndim == 1 and len(cut) == rows.groupby(["smiles", "cell_line", "batch"]).ngroups > len(made)
    assert torch.equal(cut.profile_batch, cut.batch_id[cut.condition])
    expected = (
        pd.DataFrame(made.profile.numpy())
        .groupby(
            [
                [names[i] for i in code]
                for names, code in (
                    (made.smiles, made.drug_id[made.condition]),
                    (made.cell_line_names, made.cell_line[made.condition]),
                    (made.batch_names, made.profile_batch),
                )
            ]
        )
        .mean()
    )
    keys = zip(cut.smiles[cut.drug_id], cut.cell_line, cut.batch_id)
    keys = [(s, made.cell_line_names[c], made.batch_names[b]) for s, c, b in keys]
    np.testing.assert_allclose(cut.mean_profile(), expected.loc[keys].to_numpy(), atol=1e-5)


def test_other_drug_features_for_the_same_screen():
    made = screen(table()).with_drug(lambda smiles: np.ones((len(smiles), 7)))
    assert made.drug.shape == (len(made.smiles), 7)


def test_a_screen_knows_what_featurised_its_molecules_and_so_does_every_screen_made_of_it():
    made = PairedScreen.from_profiles(
        smiles=["C" * (1 + i // 2) for i in range(40)], drug=morgan, profile=np.ones((40, 2)), batch=[0, 1] * 20
    )
    parts = [made, *made.split(0), made.subset([3]), made.where(made.profile_batch == 1), made.per_batch()]
    assert [part.featuriser for part in parts] == ["morgan"] * 7
    assert made.with_drug(mol2vec).featuriser == "mol2vec"
    unknown = (lambda smiles: np.ones((len(smiles), 7)), partial(morgan, n_bits=64))
    assert [made.with_drug(one).featuriser for one in unknown] == [None, None]


@pytest.mark.parametrize(
    "change, message",
    [
        ({"batch": ["x"]}, r"batch: got 1 rows, expected 400"),
        ({"cell_line": [None] + ["A"] * 399}, r"cell_line: got a missing label in row 0"),
        ({"profile": np.full((400, 5), np.nan)}, r"profile: got NaN"),
        ({"profile": np.full((400, 5), np.nan), "allow_missing": True}, r"profile: got a row without any measurement"),
        ({"profile": np.full((400, 5), np.inf), "allow_missing": True}, r"profile: got infinite"),
        ({"profile": np.ones((399, 5))}, r"profile: got 399 rows, expected 400"),
        ({"feature_names": ["g1"]}, r"feature_names: got 1 names, expected 5"),
        ({"drug": lambda smiles: np.ones((2, 2))}, r"smiles: got \d+, expected 2 like the rows of drug"),
    ],
)
def test_bad_columns_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        screen(table(), **change)


@pytest.mark.parametrize("drugs", [[], [0, 0], [-1], [10_000]])
def test_bad_subsets_are_named(drugs):
    with pytest.raises(ValueError, match="drugs: got"):
        screen(table()).subset(torch.tensor(drugs, dtype=torch.int64))


def test_too_few_molecules_to_split():
    with pytest.raises(ValueError, match="screen: got 1 molecules"):
        screen(table()).subset([0]).split(0)


# ---- plate map and control wells ---------------------------------------------------------------------------------


def with_plate_map(rows: pd.DataFrame, **options) -> PairedScreen:
    """Row number, plate and dose of each profile, and two control wells."""
    k = np.arange(len(rows))
    info = {"plate": (k % 7).tolist(), "dose": k / 10, "row given": k, "note": [None if i % 3 else "µ" for i in k]}
    batch = rows["batch"].unique()
    controls = {
        "profile": np.ones((2, 5)),
        "batch": batch[:2],
        "cell_line": ["A", "B"],
        "info": {"well": ["A01", None]},
    }
    return screen(rows, **({"info": info, "controls": controls} | options))


def assert_info_fits(made: PairedScreen, rows: pd.DataFrame) -> None:
    """Each profile still has the columns of the row that it came from."""
    k = made.info["row given"]
    profile = np.random.default_rng(1).normal(size=(len(rows), 5)).astype(np.float32)
    assert np.array_equal(made.profile.numpy(), profile[k])
    assert [made.batch_names[code] for code in made.profile_batch] == rows["batch"].iloc[k].tolist()
    assert made.info["plate"].tolist() == (k % 7).astype(str).tolist() and np.array_equal(made.info["dose"], k / 10)
    assert made.info["note"].tolist() == [None if i % 3 else "µ" for i in k]


def test_the_plate_map_follows_the_profiles_into_every_other_screen():
    rows = table(batches_per_condition=2)
    made = with_plate_map(rows)
    kept = made.info["dose"] < 20
    others = {
        "subset": made.subset([7, 3, 20]),
        "where": made.where(kept),
        "per_batch": made.per_batch(),
        "with_drug": made.with_drug(lambda smiles: np.ones((len(smiles), 7))),
        **made.split(0)._asdict(),
    }
    for name, other in {"whole": made, **others}.items():
        assert_info_fits(other, rows)
        assert list(other.info) == ["plate", "dose", "row given", "note"], name
        assert other.controls is made.controls, name
    assert sorted(made.info["row given"]) == list(range(400))
    assert others["where"].info == made.info.take(kept) and len(others["where"].profile) == 200


def test_some_profiles_make_a_screen_without_empty_conditions_and_molecules():
    rows = table()
    made = with_plate_map(rows)
    kept = (made.cell_line == 1)[made.condition] & (torch.arange(400) % 2 == 0)
    part = made.where(kept)
    expected = screen(rows.iloc[made.info["row given"][kept]].reset_index(drop=True))
    assert part.smiles.tolist() == expected.smiles.tolist()
    assert torch.equal(part.condition, expected.condition) and torch.equal(part.drug_id, expected.drug_id)
    assert part.cell_line.unique().tolist() == [1]
    for wrong in (kept[:-1], kept.long(), torch.zeros(400, dtype=torch.bool)):
        with pytest.raises(ValueError, match=r"profiles: got .*expected \(400,\) booleans, some true"):
            made.where(wrong)


def test_control_wells_are_known_by_the_labels_of_the_screen():
    rows = table()
    controls = with_plate_map(rows).controls
    made = screen(rows)
    assert [made.batch_names[code] for code in controls.batch_id] == rows["batch"].unique()[:2].tolist()
    assert controls.cell_line.tolist() == [0, 1] and len(controls) == 2
    assert controls.info["well"].tolist() == ["A01", None]
    one_line = screen(rows, cell_line=None, controls={"profile": np.ones((1, 5)), "batch": [rows["batch"][0]]})
    assert one_line.controls.cell_line.tolist() == [0] and len(one_line.controls.info) == 0


def test_a_screen_without_plate_map_has_no_columns_and_no_control_wells():
    made = screen(table())
    assert len(made.info) == 0 and made.controls is None and made.subset([0]).controls is None


def test_columns_have_one_of_four_types_and_cannot_be_changed():
    given = pd.DataFrame(
        {
            "plate": [1.0, np.nan, 3.0],
            "well": ["A01", "A02", "A03"],
            "dose": pd.array([1, None, 3], dtype="Int64"),
            "replicate": np.array([1, 2, 3], dtype=np.uint8),
            "kind": pd.Categorical(["x", None, "y"]),
            "seen": pd.array([True, None, False], dtype="boolean"),
            "good": [True, False, True],
        }
    )
    columns = Columns(given)
    types = ["object", "object", "float64", "int64", "object", "float64", "bool"]
    assert [values.dtype.name for values in columns.values()] == types and list(columns) == list(given)
    assert columns["plate"].tolist() == ["1", None, "3"] and columns["kind"].tolist() == ["x", None, "y"]
    assert np.isnan(columns["dose"][1]) and np.isnan(columns["seen"][1])
    assert columns == Columns(dict(given)) == pickle.loads(pickle.dumps(columns)) == columns.take([0, 1, 2])
    assert columns != columns.take([0, 2, 1]) and columns != Columns(given.drop(columns="good"))
    for values in (columns["replicate"], columns.take([0])["replicate"]):
        with pytest.raises(ValueError, match="read-only"):
            values[0] = 7
    assert given["replicate"].tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"batch": [1]}, r"info: got a column 'batch', expected names other than smiles, cell_line, batch"),
        ({3: [1]}, r"info: got a column 3"),
        ({"dose": ["10 uM"]}, r"info\['dose'\]: got text, expected numbers"),
        ({"plate": [1.5]}, r"info\['plate'\]: got values of type float64, expected text or whole numbers"),
        ({"x": [b"raw"]}, r"info\['x'\]: got values of type \|S3, expected numbers, booleans or text"),
        ({"x": [["list"], 1.0]}, r"info\['x'\]: got rows of several shapes, expected one value a row"),
        ({"x": np.array(["2020-01-01"], dtype="datetime64[D]")}, r"info\['x'\]: got values of type datetime64"),
        ({"x": np.array(["a", 1], dtype=object)}, r"info\['x'\]: got values of type str in some rows"),
        ({"x": [[1, 2]]}, r"info\['x'\]: got shape \(1, 2\), expected one value a row"),
        ({"x": [1], "y": [1, 2]}, r"info: got columns of other lengths \{'x': 1, 'y': 2\}"),
    ],
)
def test_columns_that_do_not_fit_are_named(columns, message):
    with pytest.raises(ValueError, match=message):
        Columns(columns)


@pytest.mark.parametrize(
    ("controls", "message"),
    [
        ({"profil": [[1]]}, r"controls: got profil, expected profile and batch"),
        ({"profile": np.ones((1, 5)), "batch": ["Z9"], "cell_line": ["A"]}, r"controls.batch: got Z9, expected labels"),
        ({"profile": np.ones((1, 5)), "batch": ["A0"], "cell_line": ["C"]}, r"controls.cell_line: got C"),
        ({"profile": np.ones((1, 5)), "batch": ["A0"]}, r"controls.cell_line: got 0 rows, expected 1"),
        ({"profile": np.ones((2, 5)), "batch": ["A0"], "cell_line": ["A"] * 2}, r"controls.batch: got 1 rows"),
        ({"profile": np.ones((1, 4)), "batch": ["A0"], "cell_line": ["A"]}, r"controls.profile: got 4 features"),
        ({"profile": [[np.inf] * 5], "batch": ["A0"], "cell_line": ["A"]}, r"controls.profile: got infinite values"),
        (
            {"profile": np.ones((1, 5)), "batch": ["A0"], "cell_line": ["A"], "info": {"note": [7]}},
            r"controls.info\['note'\]: got another type than info, expected text or numbers in both",
        ),
        (
            {"profile": np.ones((1, 5)), "batch": ["A0"], "cell_line": ["A"], "info": {"well": [7, 8]}},
            r"controls.info: got 2 rows, expected 1",
        ),
    ],
)
def test_control_wells_that_do_not_fit_are_named(controls, message):
    with pytest.raises(ValueError, match=message):
        with_plate_map(table(), controls=controls)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_id": torch.tensor([9, 0])}, r"controls.batch_id: got 0..9, expected codes in 0..\d"),
        ({"cell_line": torch.tensor([-1, 0])}, r"controls.cell_line: got -1..0"),
        (
            {"batch_id": torch.zeros(2)},
            r"controls.batch_id: got \(2,\) of torch.float32, expected \(2,\) of torch.int64",
        ),
        ({"profile": torch.ones(0, 5)}, r"controls.profile: got \(0, 5\) of torch.float32"),
    ],
)
def test_codes_of_control_wells_that_do_not_fit_are_named(change, message):
    made = with_plate_map(table())
    with pytest.raises(ValueError, match=message):
        replace(made, controls=replace(made.controls, **change))


def test_columns_of_another_length_than_the_profiles_are_named():
    with pytest.raises(ValueError, match="info: got 3 rows, expected 400 like profile"):
        screen(table(), info={"dose": [1, 2, 3]})
    made = screen(table())
    with pytest.raises(ValueError, match="info: got 3 rows, expected 400 like profile"):
        replace(made, info={"dose": [1, 2, 3]})


@pytest.mark.parametrize(
    ("column", "name"),
    [
        *(("Metadata_Plate", "plate"), ("Image_Metadata_Well", "well"), ("Site", "site"), ("meta_row", "row")),
        *(("Metadata_Concentration", "dose"), ("metadata_time_point", "time"), ("Metadata_Object_Count", "cell_count")),
        *(("Metadata_Count_Cells", "cell_count"), ("Metadata_moa", "moa"), ("MoA", "MoA"), ("Metadata_", "Metadata_")),
    ],
)
def test_columns_of_files_are_known_by_their_usual_names(column, name):
    assert standard_name(column) == name


def test_profiles_are_read_from_whatever_gives_rows_when_it_is_sliced():
    class Dataset:
        """Counts what is read at once."""

        def __init__(self, values):
            self.values, self.shape, self.largest = values, values.shape, 0

        def __getitem__(self, rows):
            self.largest = max(self.largest, rows.stop - rows.start)
            return self.values[rows]

    rows = pd.concat([table()] * 10, ignore_index=True)
    values = np.random.default_rng(1).normal(size=(len(rows), 5)).astype(np.float32)
    dataset = Dataset(values)
    made = screen(rows, profile=dataset)
    assert torch.equal(made.profile, screen(rows, profile=values).profile) and 0 < dataset.largest < len(rows)
    for same in (pd.DataFrame(values), values.tolist(), torch.from_numpy(values)):
        assert torch.equal(made.profile, screen(rows, profile=same).profile)
    values[3000, 2] = np.nan
    with pytest.raises(ValueError, match=r"profile: got NaN or infinite values \(first in row 3000\)"):
        screen(rows, profile=dataset)
