"""From wells to a screen: plate map and control wells go along."""

from __future__ import annotations

import datetime

import numpy as np
import pandas as pd
import pytest
import torch
from rdkit import Chem

from infocore_mini.readers import ReadError, Wells
from infocore_mini.splits import split
from infocore_mini.training.pairs import ScreenPairs
from infocore_mini.validation import Spare, rows_in_order


def length_and_carbons(smiles):
    """A featuriser that needs no chemistry."""
    return np.array([[len(text), text.upper().count("C")] for text in smiles], dtype=np.float32)


def wells(**columns) -> Wells:
    """Three plates in two batches; the third plate, batch "c", holds control wells and one molecule that is none."""
    info = pd.DataFrame(
        {
            "name": ["DMSO", "ethanol", "acid", "DMSO", "ethanol", "DMSO", "broken"],
            "smiles": [None, "OCC", "CC(=O)O", None, "CCO", None, "C1CC"],
            "batch": ["a", "a", "a", "b", "b", "c", "c"],
            "plate": [1, 1, 2, 3, 3, 4, 4],
            "well": ["A01", "A02", "A03", "A01", "A02", "A01", "A02"],
            "dose": [np.nan, 1.0, 10.0, np.nan, 3.0, np.nan, 1.0],
            "cell_count": [100, 90, 80, 110, 70, 120, 60],
            "is_control": [True, False, False, True, False, True, False],
            **columns,
        }
    )
    profile = np.random.default_rng(0).normal(size=(7, 4)).astype(np.float32)
    return Wells(profile, info, ("w", "x", "y", "z"))


def test_plate_map_and_control_wells_go_into_the_screen():
    made = wells(kind=["control", "x", "y", "control", "x", "control", "z"])
    screen = made.screen(length_and_carbons, "file")
    rows = [2, 1, 4]  # acid, then ethanol twice
    assert screen.smiles.tolist() == ["CC(=O)O", "CCO"]
    assert np.array_equal(screen.profile, made.profile[rows])
    assert list(screen.info) == ["name", "plate", "well", "dose", "cell_count", "kind"]
    assert screen.info["plate"].tolist() == ["2", "1", "3"] and screen.info["dose"].tolist() == [10.0, 1.0, 3.0]
    assert screen.info["name"].tolist() == ["acid", "ethanol", "ethanol"]
    assert np.array_equal(screen.controls.profile, made.profile[[0, 3]])
    assert [screen.batch_names[code] for code in screen.controls.batch_id] == ["a", "b"]
    assert screen.controls.info["cell_count"].tolist() == [100.0, 110.0]


def test_control_wells_that_belong_to_no_molecule_are_listed():
    screen = wells().screen(length_and_carbons, "file")
    left_out = screen.left_out.set_index("name")
    assert left_out.loc["DMSO", "reason"] == "control well without a molecule in its batch and cell line"
    assert left_out.loc["DMSO", "profiles"] == 1 and "invalid SMILES" in left_out.loc["broken", "reason"]
    lines = wells(cell_line=["A", "A", "A", "B", "A", "A", "A"]).screen(length_and_carbons, "file")
    assert lines.cell_line_names == ("A",) and len(lines.controls) == 1
    assert lines.left_out.set_index("name").loc["DMSO", "profiles"] == 2


def test_control_wells_are_corrected_as_the_others_are():
    made = wells(plate=["P", "P", "P", "Q", "Q", "R", "R"])
    screen = made.minus_controls("file", plate="plate").screen(length_and_carbons, "file")
    np.testing.assert_allclose(screen.controls.profile, 0, atol=1e-6)
    np.testing.assert_allclose(screen.profile[0], made.profile[2] - made.profile[0], atol=1e-6)


def test_dates_and_columns_of_several_types_become_text():
    day = datetime.date(2020, 1, 31)
    made = wells(day=[day] * 7, stamp=pd.Timestamp("2020-01-31"), mixed=["a", 1, None, 2, "b", "c", 3])
    screen = made.screen(length_and_carbons, "file")
    assert set(screen.info["day"]) == {"2020-01-31"} and screen.info["stamp"][0].startswith("2020-01-31")
    assert screen.info["mixed"].tolist() == [None, "1", "b"] and screen.controls.info["mixed"].tolist() == ["a", "2"]


def test_without_control_wells_there_are_none():
    assert wells(is_control=False).screen(length_and_carbons, "file").controls is None
    with pytest.raises(ReadError, match="no well with a usable SMILES"):
        wells(smiles=None).screen(length_and_carbons, "file")


def test_rows_put_in_order_where_they_lie_are_those_of_a_copy():
    made = wells(smiles=[None, "OCC", "CC(=O)O", None, "CCO", None, "CCO"])
    copied = made.screen(length_and_carbons, "file")
    moved = wells(smiles=made.info["smiles"].tolist()).screen(length_and_carbons, "file", copy=False)
    for name in ("profile", "condition", "profile_batch", "drug_id"):
        assert torch.equal(getattr(moved, name), getattr(copied, name)), name
    assert torch.equal(moved.controls.profile, copied.controls.profile)
    assert np.array_equal(made.profile, wells().profile)  # what is copied is left alone


@pytest.mark.parametrize("seed", range(5))
def test_spare_rows_come_apart_and_in_any_order_where_they_lie(seed):
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(50, 3)).astype(np.float32)
    before, chosen = matrix.copy(), rng.permutation(50)
    rows, others = chosen[:30], chosen[30:42]
    first, second = Spare(matrix).apart(rows, others)
    assert np.array_equal(first.rows, before[rows])
    assert np.array_equal(second.rows, before[others])
    place = rng.permutation(30)
    expected = np.empty((30, 3), dtype=np.float32)
    expected[place] = before[rows]
    moved = rows_in_order("x", first, place)
    assert torch.equal(moved, torch.from_numpy(expected))
    assert moved.data_ptr() == matrix.ctypes.data  # no copy
    assert np.array_equal(np.sort(matrix, axis=0), np.sort(before, axis=0))  # nothing is lost


# ------------------------------------------------------------------ one molecule under several SMILES


def test_salts_tautomers_and_stereoisomers_are_one_molecule_and_listed():
    spelt = ["CC(N)C(=O)O", "CC(N)C(=O)O", "CC(N)C(=O)O.Cl", "C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O", "CCO"]
    info = pd.DataFrame({"name": list("aabcde"), "smiles": spelt, "batch": "p", "is_control": False})
    profile = np.arange(12, dtype=np.float32).reshape(6, 2)
    screen = Wells(profile, info, ("x", "y")).screen(length_and_carbons, "file")
    assert screen.smiles.tolist() == ["CC(N)C(=O)O", "CCO"]
    conditions = [set(screen.profile[screen.condition == code, 0].tolist()) for code in range(len(screen))]
    assert sorted(map(sorted, conditions)) == [[0, 2, 4], [6], [8], [10]]  # the two hands may act in two ways
    assert screen.smiles[screen.drug_id].tolist() == ["CC(N)C(=O)O"] * 3 + ["CCO"]
    assert screen.merged.columns.tolist() == ["smiles", "spelling", "profiles"]
    assert dict(zip(screen.merged["spelling"], screen.merged["profiles"])) == {
        "CC(N)C(=O)O": 2,
        "CC(N)C(=O)O.Cl": 1,
        "C[C@H](N)C(=O)O": 1,
        "C[C@@H](N)C(=O)O": 1,
    }
    assert set(screen.merged["smiles"]) == {"CC(N)C(=O)O"}


def test_of_a_thousand_ways_to_write_molecules_no_parent_is_in_two_parts_and_none_is_its_own_negative():
    rings = ["c1ccccc1", "c1ccncc1", "C1CCCCC1", "c1ccoc1", "c1ccsc1"]
    acids = [f"C[C@H](N){'C' * n}{ring}" for ring in rings for n in range(8)] + ["O=c1cccc[nH]1"]
    salts = ["", ".Cl", ".OC(=O)C(=O)O", ".O", ".CS(=O)(=O)O"]
    spelt = [
        (parent, Chem.MolToSmiles(Chem.MolFromSmiles(text + salt), doRandom=True))
        for parent in acids
        for text in (parent, parent.replace("@", "@@") if "@" in parent else "Oc1ccccn1")
        for salt in salts
        for _ in range(3)
    ]
    assert len(spelt) > 1000
    truth = [parent for parent, _ in spelt]
    info = pd.DataFrame(
        {"name": truth, "smiles": [text for _, text in spelt], "batch": np.arange(len(spelt)) % 4, "is_control": False}
    )
    screen = Wells(np.ones((len(spelt), 2), dtype=np.float32), info, ("x", "y")).screen(length_and_carbons, "file")
    assert len(screen.drug) == len(acids)
    for parts in (screen.split(0), split(screen, "molecule", seed=0), split(screen, "scaffold", seed=0)):
        names = [set(part.info["name"]) for part in parts]
        assert sum(map(len, names)) == len(acids) == len(set.union(*names))
    pairs = ScreenPairs(screen, "cpu")
    name = screen.info["name"][screen.first_profile]
    assert pairs.drug_id is not None  # whose equal rows the losses leave out of the negatives
    assert len(set(zip(pairs.drug_id.tolist(), name))) == len(acids)
