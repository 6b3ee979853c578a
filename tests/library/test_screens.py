"""PairedScreen: grouping of replicates, labels, subsets, splits, errors."""

import numpy as np
import pandas as pd
import pytest
import torch

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
