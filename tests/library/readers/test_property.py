"""The MoleculeNet and PRISM tables: sizes as published, rows left out by name, damaged files refused."""

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import at_hand
from rdkit import Chem

from infocore_mini.readers import ReadError
from infocore_mini.readers.property import PROPERTY_SETS, property_files, read_property
from infocore_mini.sources import data_file

ROWS = {"BBBP": 2039, "BACE": 1513, "ClinTox": 1478, "SIDER": 1427, "HIV": 41127, "Tox21": 7831, "ToxCast": 8597}


@pytest.mark.parametrize("name", PROPERTY_SETS)
def test_real_sets_have_the_papers_sizes(name):
    at_hand(*property_files(name))
    data = read_property(name)
    paper = json.loads(data_file("paper_tables.json").read_text())["table3_and_8_property_prediction"]
    assert len(data.tasks) == paper["tasks"][name] == data.target.shape[1]
    assert len(data) == len(data.target) and not np.isnan(data.target).all(1).any()
    if name == "PRISM":
        assert len(data) == 1307 and data.kind == "regression"
    else:
        assert len(data) + 10 >= ROWS[name] >= len(data)  # RDKit refuses a few more than it did
        assert data.kind == "classification" and set(np.unique(data.target[~np.isnan(data.target)])) == {0, 1}
    assert all(Chem.MolFromSmiles(smiles) for smiles in data.smiles[:50])


def write(folder, text: str, name="bbbp.csv"):
    (folder / name).write_text(text)
    return folder / name


def test_rows_that_are_no_molecules_are_listed(tmp_path):
    data = read_property("BBBP", write(tmp_path, "smiles,p_np\nCCO,1\nnonsense,0\nc1ccccc1,0\nCCN,\n,1\n"))
    assert list(data.smiles) == ["CCO", "c1ccccc1"] and data.target.tolist() == [[1], [0]]
    assert set(data.left_out["reason"]) == {"invalid SMILES 'nonsense'", "no measurement", "no SMILES"}


def test_a_users_own_file_is_never_taken_for_a_registered_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = write(tmp_path, "smiles,p_np\nCCO,1\nCCN,0\nCCC,1\n")
    assert len(read_property("BBBP", Path("bbbp.csv"))) == len(read_property("BBBP", own)) == 3
    with pytest.raises(ReadError, match=r"'bbbp.csv', a name in data/sources.csv and another file here"):
        read_property("BBBP", "bbbp.csv")
    at_hand(*property_files("BBBP"))
    assert len(read_property("BBBP")) > 2000


@pytest.mark.parametrize(
    "text, message",
    [
        ("smiles,other\nCCO,1\n", "no column p_np"),
        ("smiles,p_np\nCCO,2\n", "other targets, expected 0, 1 or missing"),
        ("smiles,p_np\nCCO,yes\n", "expected numbers in the tasks"),
        ("smiles,p_np\nnonsense,1\n", "no valid molecule"),
        ("smiles,p_np\n", "without rows"),
    ],
)
def test_damaged_sets_are_refused_by_name(tmp_path, text, message):
    with pytest.raises(ReadError, match=message):
        read_property("BBBP", write(tmp_path, text))


def test_an_unknown_set_is_refused():
    with pytest.raises(ValueError, match="name: got 'MUV', expected one of BBBP"):
        read_property("MUV")
