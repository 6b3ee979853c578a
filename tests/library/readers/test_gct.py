"""GCT and GCTX as they are found: both versions, gaps, ids and text of any type; and L1000 plates made of them."""

from __future__ import annotations

import gzip
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from infocore_mini import readers
from infocore_mini.readers import ReadError
from infocore_mini.readers.gct import read_gct

WELLS = [f"P1:{k:02d}" for k in range(5)]
MOLECULES = {"BRD-K00000001": "CCO", "BRD-K00000002": "CC(=O)O", "BRD-K00000003": "c1ccccc1"}
META = {
    "pert_id": ["DMSO", "DMSO", *MOLECULES],
    "pert_type": ["ctl_vehicle"] * 2 + ["trt_cp"] * 3,
    "det_plate": ["P1"] * 5,
    "cell_id": ["A375"] * 5,
    "pert_time": ["24"] * 5,
    "pert_dose": ["-666"] * 2 + ["10"] * 3,
}


def length_and_carbons(smiles):
    """A featuriser that needs no chemistry."""
    return np.array([[len(text), text.upper().count("C")] for text in smiles], dtype=np.float32)


def gct_text(meta=META) -> str:
    values = np.random.default_rng(0).normal(8, 2, (4, 5)).round(3)
    lines = [["#1.3"], [4, 5, 1, len(meta)], ["id", "pr_gene_symbol", *WELLS]]
    lines += [[name, "na", *column] for name, column in meta.items()]
    lines += [[f"g{k}_at", f"g{k}", *row] for k, row in enumerate(values)]
    return "\n".join("\t".join(map(str, line)) for line in lines) + "\n"


def as_screen(path: Path, **options):
    table = path.parent / "smiles.tsv"
    pd.DataFrame({"broad_id": list(MOLECULES), "smiles": list(MOLECULES.values())}).to_csv(table, sep="\t", index=False)
    return readers.read_l1000([path], smiles=table, drug=length_and_carbons, **options)


def written(path: Path, **meta) -> Path:
    path.write_text(gct_text(META | meta), encoding="utf-8")
    return path


def test_version_1_2_is_a_matrix_with_descriptions(tmp_path):
    (tmp_path / "m.gct").write_text("#1.2\n2\t3\nName\tDescription\ta\tb\tc\ng1\tfirst\t1\t2\t3\ng2\tna\t4\tNA\t\n")
    gct = read_gct(tmp_path / "m.gct", columns=["c", "a"])
    np.testing.assert_array_equal(gct.matrix, np.array([[1, 4], [3, np.nan]], dtype=np.float32))
    assert gct.columns.index.tolist() == ["a", "c"] and gct.rows["Description"].fillna("-").tolist() == ["first", "-"]


@pytest.mark.parametrize("name", ["M.GCT", "m.gct.gz"])
@pytest.mark.parametrize("change", [lambda text: text.replace("\n", "\r\n"), lambda text: "\ufeff" + text, str])
def test_text_of_any_form_gives_the_same_matrix(tmp_path, name, change):
    plain = read_gct(written(tmp_path / "plain.gct"))
    data = change(gct_text()).encode()
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    found = read_gct(tmp_path / name)
    np.testing.assert_array_equal(found.matrix, plain.matrix)
    assert found.columns.equals(plain.columns) and found.rows.equals(plain.rows)


@pytest.mark.parametrize("gap", ["NA", "", "nan", "NaN", "inf"])
def test_a_gap_in_the_matrix_costs_one_well(tmp_path, gap):
    path = written(tmp_path / "p.gct")
    lines = path.read_text().splitlines()
    cells = lines[-2].split("\t")
    lines[-2] = "\t".join([*cells[:4], gap, *cells[5:]])
    path.write_text("\n".join(lines) + "\n")
    screen = as_screen(path)
    assert len(screen.profile) == 3 - 1 and len(screen.feature_names) == 4
    assert screen.left_out["name"].tolist() == ["P1 P1:02 (BRD-K00000001)"]


def test_minus_666_is_missing_wherever_it_stands(tmp_path):
    path = written(tmp_path / "p.gct", cell_id=["A375", "A375", "-666", "A375", "A375"], pert_time=["-666"] * 5)
    screen = as_screen(path)
    assert screen.cell_line_names == ("A375",) and np.isnan(screen.info["time"]).all()
    assert screen.left_out["name"].tolist() == ["P1 P1:02 (BRD-K00000001)"]
    assert screen.left_out["reason"].tolist() == ["well without an entry under cell_id"]
    assert read_gct(path).columns["pert_dose"].fillna("-").tolist()[:3] == ["-", "-", "10"]


def test_doses_with_units_keep_conditions_apart(tmp_path):
    same = ["DMSO", "DMSO", "BRD-K00000001", "BRD-K00000001", "BRD-K00000003"]
    path = written(tmp_path / "p.gct", pert_id=same, pert_dose=["-666", "-666", "10.0 um", "500 nM", "10 µM"])
    screen = as_screen(path, separate=("dose",))
    assert screen.n_replicates.tolist() == [1, 1, 1] and sorted(screen.info["dose"]) == [0.5, 10, 10]
    with pytest.raises(ReadError, match="p.gct: got '10 ug/ml' under pert_dose"):
        as_screen(written(path, pert_dose=["-666", "-666", "10 ug/ml", "1", "1"]))
    units = ["-666", "-666", "nM", "um", "-666"]
    screen = as_screen(written(path, pert_dose=["-666", "-666", "100", "10", "10"], pert_dose_unit=units))
    assert sorted(screen.info["dose"]) == [0.1, 10, 10]


@pytest.mark.parametrize(
    ("row_ids", "wanted"),
    [
        (np.array([10, 20], dtype=np.int64), [20]),
        (np.array([10, 20], dtype=np.int32), ["20"]),
        (np.array([b"10", b"20"], dtype="S4"), ["20"]),
        (np.array(["10", "20"], dtype=h5py.string_dtype()), [20]),
    ],
)
def test_ids_of_a_gctx_are_numbers_bytes_or_text(tmp_path, row_ids, wanted):
    names = [text.encode() for text in ("10 µM", "é", "-666")]
    with h5py.File(tmp_path / "m.gctx", "w") as file:
        file["0/DATA/0/matrix"] = np.arange(6, dtype=np.float32).reshape(3, 2)
        file["0/META/ROW/id"], file["0/META/COL/id"] = row_ids, np.array([b"a", b"b", b"c"])
        file["0/META/COL/utf8"] = np.array(names, dtype="S8")
        file["0/META/COL/latin1"] = np.array([text.decode().encode("latin-1") for text in names], dtype="S8")
        file["0/META/COL/number"] = np.array([1.0, -666.0, 2.5])
    gct = read_gct(tmp_path / "m.gctx", rows=wanted)
    assert gct.rows.index.tolist() == ["20"] and gct.matrix[:, 0].tolist() == [1, 3, 5]
    found = {name: column.fillna("-").tolist() for name, column in gct.columns.items()}
    assert found["utf8"] == found["latin1"] == ["10 µM", "é", "-"] and found["number"] == ["1", "-", "2.5"]
