"""The reader of yeast growth: on made-up files of its layout, and on the real ones where they are."""

from __future__ import annotations

import numpy as np
import pytest
from rdkit import Chem

from infocore_mini.evaluate.mixing import same_label_neighbours
from infocore_mini.readers import ReadError, read_yeast_growth
from infocore_mini.readers.growth import GROWTH, RACKS, SMILES_TABLE
from infocore_mini.sources import DataUnavailable, fetch


def lengths(smiles):
    return np.array([[len(text)] for text in smiles], dtype=np.float32)


def record(number: int, smiles: str, rack: str, position: str) -> str:
    fields = {"ID": number, "RackNo": rack, "RackPos": position}
    lines = "".join(f">  <{name}> ({number})\n{value}\n\n" for name, value in fields.items())
    return Chem.MolToMolBlock(Chem.MolFromSmiles(smiles)) + lines + "$$$$\n"


@pytest.fixture
def small(tmp_path):
    """Three compounds: one with a structure, one whose structure is broken, one without a rack; and a stray record."""
    broken = record(12, "CCO", "02", "H11").replace("V2000", "V9999")
    text = record(3, "Oc1ccccc1", "01", "A02") + broken + "\n\n\n  0  0  0  0  0  0999 V2000\nM  END\n$$$$\n"
    (tmp_path / "racks.sdf").write_text(text)
    (tmp_path / "growth.csv").write_text(
        "supplier_obj_id,BY4741,CIN2\nLOPAC 00003,-3,1\nLOPAC 00012,0.5,2\nLOPAC 00020,0,1\n"
    )
    (tmp_path / "smiles.csv").write_text(
        "Supplier ID,Name,Canonical SMILES\nLOPAC 00003,Phenol,OC1CCCCC1\nLOPAC 00012,Ethanol,OCC\nLOPAC 00020,Methane,C\n"
    )
    return {"path": tmp_path / "growth.csv", "racks": tmp_path / "racks.sdf", "smiles": tmp_path / "smiles.csv"}


def test_racks_are_experimental_batches_and_structures_come_from_their_file_first(small):
    screen = read_yeast_growth(**small, drug=lengths)
    assert screen.smiles.tolist() == ["CCO", "Oc1ccccc1"] and screen.batch_names == ("01", "02")
    assert screen.feature_names == ("BY4741", "CIN2") and screen.profile.tolist() == [[0.5, 2], [-3, 1]]
    assert [screen.info[name].tolist() for name in ("plate", "well", "row")] == [
        ["02", "01"],
        ["H11", "A02"],
        ["H", "A"],
    ]
    assert screen.info["column"].tolist() == [11, 2]
    assert screen.left_out.values.tolist() == [["Methane", "of no known rack", 1]]


def test_a_library_of_other_compounds_is_named(small):
    small["racks"].write_text(record(77, "CCO", "01", "A02"))
    with pytest.raises(ReadError, match="no compound of the growth table, expected their racks"):
        read_yeast_growth(**small, drug=lengths)
    small["racks"].write_text("no structures")
    with pytest.raises(ReadError, match="0 records without ID"):
        read_yeast_growth(**small, drug=lengths)


@pytest.fixture(scope="module")
def real():
    try:
        [fetch(name) for name in (GROWTH, RACKS, SMILES_TABLE)]
    except DataUnavailable as reason:
        pytest.skip(f"data: {reason}")
    return read_yeast_growth(drug=lengths)


def test_the_real_screen_has_the_size_its_card_says(real):
    assert (len(real.smiles), len(real.profile), real.n_batches, len(real.feature_names)) == (1219, 1265, 16, 24)
    assert real.left_out["profiles"].sum() == 2
    assert set(real.info["row"]) <= set("ABCDEFGH")


def test_the_rack_is_seen_in_the_nearest_neighbours_before_and_after_rack_centring(real):
    batch, molecule = real.profile_batch.numpy(), real.drug_id[real.condition].numpy()

    def rate(profile, middle=None):
        shift = 0 if middle is None else np.stack([middle(profile[batch == code], axis=0) for code in range(16)])[batch]
        return same_label_neighbours(profile - shift, batch, other_than=molecule, n_permutations=19)

    profile = real.profile.numpy()
    raw, centred, clipped = rate(profile), rate(profile, np.mean), rate(profile.clip(-5, 5), np.mean)
    assert raw.rate == pytest.approx(0.311, abs=0.005) and raw.chance == pytest.approx(0.062, abs=0.01)
    assert centred.rate == pytest.approx(0.590, abs=0.005)
    assert clipped.rate == pytest.approx(0.357, abs=0.005)
    assert rate(profile, np.median).rate == pytest.approx(0.315, abs=0.005)
