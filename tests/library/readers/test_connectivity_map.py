"""The reader of the Connectivity Map: on made-up signatures of its layout everywhere, on the real ones where they are."""

from __future__ import annotations

import lzma

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem, rdBase

from infocore_mini.evaluate.mixing import same_label_neighbours
from infocore_mini.readers import ReadError, read_connectivity_map, read_connectivity_map_wells
from infocore_mini.readers.connectivity_map import DOWN, INSTANCES, SMILES_TABLE, UP
from infocore_mini.readers.wells import canonical_smiles
from infocore_mini.sources import DataUnavailable, data_file, fetch

HEADER = (
    "instance_id\tbatch_id\tcmap_name\tINN1\tconcentration (M)\tduration (h)\tcell2\tarray3\tperturbation_scan_id\t"
    "vehicle_scan_id4\tscanner\tvehicle\tvendor\tcatalog_number\tcatalog_name"
)
INSTANCE = "{}\t{}\t{}\tINN\t{}\t6\t{}\tHT_HG-U133A\t{}\t.A01\tScanner\tDMSO\tVendor\tX1\tµ-{}"


def lengths(smiles):
    return np.array([[len(text)] for text in smiles], dtype=np.float32)


@pytest.fixture
def small(tmp_path):
    """Four signatures of three drugs in two batches; one drug has no known structure."""
    drugs = ["aspirin", "ethanol", "aspirin", "BCB1"]
    up = [["A", "B"], ["A", "C"], ["A", "D"], ["C", "D"]]
    down = [["C", "D"], ["E", "D"], ["B", "E"], ["A", "B"]]
    names = [f"{drug}@MCF7#1e-05M_{k}" for k, drug in enumerate(drugs, 1)]
    for path, sets in (("up.gmt.xz", up), ("down.gmt.xz", down)):
        lines = ["\t".join([name, str(len(genes)), *genes]) for name, genes in zip(names, sets, strict=True)]
        (tmp_path / path).write_bytes(lzma.compress(("\n".join(lines) + "\n").encode()))
    rows = [
        (1, "1", "aspirin", "0.00001", "MCF7", "EC2003090503AA", "a"),
        (2, "1", "ethanol", "0.001", "MCF7", "EC2003090504AA", "b"),
        (3, "2a", "aspirin", "0.0000015", "PC3", "'550002.E08", "a"),
        (4, "2a", "BCB1", "0.00001", "PC3", "'550002.H09", "c"),
    ]
    text = "\n".join([HEADER, *(INSTANCE.format(*row) for row in rows)])
    (tmp_path / "instances.txt").write_bytes(text.encode("latin-1"))
    (tmp_path / "smiles.tsv").write_text("name\tsmiles\naspirin\tOC(=O)c1ccccc1OC(C)=O\nethanol\tOCC\n")
    return {
        "up": tmp_path / "up.gmt.xz",
        "down": tmp_path / "down.gmt.xz",
        "instances": tmp_path / "instances.txt",
        "smiles": tmp_path / "smiles.tsv",
    }


def test_a_signature_is_one_for_raised_and_minus_one_for_lowered_genes(small):
    wells = read_connectivity_map_wells(**small, n_genes=None)
    assert wells.feature_names == ("A", "D", "B", "C", "E")  # in 4, 4, 3, 3 and 2 signatures, ties by name
    np.testing.assert_array_equal(wells.profile[0], [1, -1, 1, -1, 0])
    np.testing.assert_array_equal(wells.profile[3], [-1, 1, -1, 1, 0])
    np.testing.assert_array_equal(read_connectivity_map_wells(**small, n_genes=2).profile[1], [1, -1])


def test_dose_time_plate_and_well_stand_beside_each_signature(small):
    info = read_connectivity_map_wells(**small, n_genes=3).info
    assert info["dose"].tolist() == [10, 1000, 1.5, 10] and info["time"].tolist() == [6] * 4
    assert info["plate"].isna().tolist() == [True, True, False, False] and set(info["plate"][2:]) == {"550002"}
    assert info.loc[2, ["well", "row", "column"]].tolist() == ["E08", "E", 8]
    assert info["batch"].tolist() == ["1", "1", "2a", "2a"] and not info["is_control"].any()


def test_the_screen_lists_drugs_without_structure_and_small_batches(small):
    screen = read_connectivity_map(**small, n_genes=None, drug=lengths)
    assert screen.smiles.tolist() == ["CC(=O)Oc1ccccc1C(=O)O", "CCO"] and len(screen) == len(screen.profile) == 3
    assert screen.batch_names == ("1", "2a") and screen.cell_line_names == ("MCF7", "PC3")
    assert screen.left_out.values.tolist() == [["BCB1", "no SMILES", 1]]
    large = read_connectivity_map(**small, n_genes=None, drug=lengths, min_molecules=2)
    assert large.batch_names == ("1",)
    assert ["batch 2a", "fewer than 2 molecules", 1] in large.left_out.values.tolist()
    assert read_connectivity_map(**small, n_genes=None, drug=lengths, cell_lines=["PC3"]).cell_line_names == ("PC3",)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_genes": 6}, "n_genes: got 6, expected 1 to 5"),
        ({"n_genes": None, "cell_lines": ["A549"]}, r"cell_lines: got \['A549'\], expected some of MCF7, PC3"),
        ({"n_genes": None, "min_molecules": 3}, "min_molecules: got 3"),
    ],
)
def test_arguments_out_of_range_are_named(small, options, message):
    with pytest.raises(ReadError, match=message):
        read_connectivity_map(**small, drug=lengths, **options)


def test_damaged_files_are_named(small):
    small["up"].write_bytes(small["up"].read_bytes()[:40])
    with pytest.raises(ReadError, match=r"up\.gmt\.xz: got .*, expected gene sets in GMT"):
        read_connectivity_map_wells(**small)
    small["up"] = small["up"].with_name("up.gmt")
    small["up"].write_text("aspirin@MCF7#1e-05M_1\t1\tA\n")
    with pytest.raises(ReadError, match="instances 2, 3, 4 in one file alone"):
        read_connectivity_map_wells(**small)
    small["up"].write_text("aspirin\t1\tA\n")
    with pytest.raises(ReadError, match="lines aspirin of 1"):
        read_connectivity_map_wells(**small)


# ---- the real files ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real():
    try:
        [fetch(name) for name in (UP, DOWN, INSTANCES)]
    except DataUnavailable as reason:
        pytest.skip(f"data: {reason}")
    return read_connectivity_map_wells()


def test_the_connectivity_map_has_the_size_its_card_says(real):
    info = real.info
    assert real.profile.shape == (6100, 1500) and set(np.unique(real.profile)) == {-1, 0, 1}
    assert info["name"].nunique() == 1309 and info["name"][info["smiles"].notna()].nunique() == 1122
    assert info["batch"].nunique() == 302 and info["plate"].nunique() == 79  # row E in quotes
    assert info.groupby("batch")[["cell_line", "array", "vehicle"]].nunique().to_numpy().max() == 1
    assert info["cell_line"].value_counts().to_dict() == {
        "MCF7": 3095,
        "PC3": 1741,
        "HL60": 1229,
        "ssMCF7": 18,
        "SKMEL5": 17,
    }


def test_its_experimental_batches_rule_the_nearest_neighbours_until_they_are_centred(real):
    profile, batch, name = real.profile, np.unique(real.info["batch"], return_inverse=True)[1], real.info["name"]
    mean = np.stack([profile[batch == code].mean(0) for code in range(302)])
    raw = same_label_neighbours(profile, batch, other_than=name, n_permutations=9)
    centred = same_label_neighbours(profile - mean[batch], batch, other_than=name, n_permutations=9)
    assert raw.rate == pytest.approx(0.794, abs=0.005) and raw.chance == pytest.approx(0.006, abs=0.002)
    assert centred.rate == pytest.approx(0.077, abs=0.005) and centred.chance == pytest.approx(0.006, abs=0.002)


def test_all_genes_show_the_experimental_batch_within_one_cell_line_too(real):
    wells = read_connectivity_map_wells(n_genes=None)
    assert len(wells.feature_names) == 12317 and (np.abs(wells.profile).sum(1) == 200).all()
    of_line = wells.where((wells.info["cell_line"] == "MCF7").to_numpy())
    found = same_label_neighbours(
        of_line.profile, of_line.info["batch"], other_than=of_line.info["name"], n_permutations=9
    )
    assert found.rate == pytest.approx(0.833, abs=0.005) and found.chance == pytest.approx(0.011, abs=0.003)


def test_the_screen_of_larger_batches_has_the_size_its_card_says(real):
    screen = read_connectivity_map(drug=lengths, min_molecules=8)
    assert (len(screen.smiles), len(screen.profile), screen.n_batches) == (1044, 5007, 138)
    assert screen.cell_line_names == ("HL60", "MCF7", "PC3")
    reasons = screen.left_out.groupby("reason")["profiles"].sum().to_dict()
    assert reasons == {"no SMILES": 679, "fewer than 8 molecules": 414}


def test_the_tables_of_smiles_name_each_molecule_once_under_canonical_smiles():
    for file, key in ((SMILES_TABLE, "name"), ("zebrafish_smiles.tsv", "cid")):
        table = pd.read_csv(data_file(file), sep="\t")
        assert table.columns.tolist() == [key, "smiles", "source", "matched_by"]
        assert table[key].is_unique and table.notna().all(axis=None)
        canonical, reason = canonical_smiles(table["smiles"])
        assert (reason == "").all() and canonical.tolist() == table["smiles"].tolist()


def test_structures_of_drugs_that_came_from_lopac_are_those_of_its_file():
    try:
        records = fetch("yeast_lopac_racks.sdf").read_text(encoding="latin-1").split("$$$$\n")
    except DataUnavailable as reason:
        pytest.skip(f"data: {reason}")
    with rdBase.BlockLogs():
        molecules = [Chem.MolFromMolBlock(record) for record in records[:-1]]
    structures = {Chem.MolToSmiles(molecule) for molecule in molecules if molecule is not None}
    table = pd.read_csv(data_file(SMILES_TABLE), sep="\t")
    from_lopac = table["smiles"][table["source"] == "lopac_sdf"]
    assert len(from_lopac) == 11 and set(from_lopac) <= structures
