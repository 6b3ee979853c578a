"""Readers of screens: on the real files where they can be had, on small files of the same layouts everywhere."""

from __future__ import annotations

import csv
import gzip
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import torch

from infocore_mini import readers
from infocore_mini.readers import ReadError, gct
from infocore_mini.readers.cell_painting import BBBC021, COMAS, IMAGE_COLUMNS
from infocore_mini.readers.l1000 import PLATES
from infocore_mini.readers.toxcast import TOXCAST
from infocore_mini.screens import PairedScreen
from infocore_mini.sources import BROAD_SMILES, DataUnavailable, data_file, fetch, registry

MOLECULES = {"BRD-K00000001": "CCO", "BRD-K00000002": "OC(C)=O", "BRD-K00000003": "c1ccccc1", "BRD-K00000004": "C1CC"}


def length_and_carbons(smiles):
    """A featuriser that needs no chemistry."""
    return np.array([[len(text), text.upper().count("C")] for text in smiles], dtype=np.float32)


def real(*names) -> list[Path]:
    try:
        return [fetch(name) for name in names]
    except DataUnavailable as reason:
        pytest.skip(f"data: {reason}")


def assert_same_screen(a: PairedScreen, b: PairedScreen) -> None:
    for name in ("drug", "condition", "drug_id", "cell_line"):
        assert torch.equal(getattr(a, name), getattr(b, name)), name
    rows = [np.lexsort((x.profile.nansum(1), x.condition)) for x in (a, b)]  # replicates may come in any order
    np.testing.assert_allclose(a.profile[rows[0]], b.profile[rows[1]], rtol=0, atol=1e-5)
    assert torch.equal(a.profile_batch[rows[0]], b.profile_batch[rows[1]])
    assert a.smiles.tolist() == b.smiles.tolist()
    assert (a.batch_names, a.cell_line_names, a.feature_names) == (b.batch_names, b.cell_line_names, b.feature_names)


# ---- the package -------------------------------------------------------------------------------------------------


def test_every_reader_is_listed_and_there():
    assert dir(readers) == sorted(readers.__all__)
    assert all(getattr(readers, name) is not None for name in readers.__all__)
    with pytest.raises(AttributeError, match="no attribute 'read_xml'"):
        _ = readers.read_xml


def test_a_table_of_people_is_read_without_the_libraries_of_screens():
    code = "import sys; from infocore_mini.readers import read_fairness_table; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "sklearn" in loaded
    assert not {"anndata", "h5py", "rdkit", "torch"} & set(loaded)


# ---- small L1000 files -------------------------------------------------------------------------------------------


def small_wells(plate: str, cell_line: str, seed: int, n_genes: int = 5) -> tuple[pd.DataFrame, np.ndarray]:
    """Metadata and values of two DMSO wells, a water well and six treated wells; the last id names a lot."""
    treated = ["BRD-K00000001", "BRD-K00000002", "BRD-K00000003", "BRD-K00000004", "BRD-K09999999"]
    names = ["DMSO", "DMSO", "H2O", *treated, "BRD-K00000001-001-02-3"]
    wells = pd.DataFrame({"inst_id": [f"{plate}:{k:02d}" for k in range(len(names))], "pert_id": names})
    wells["pert_type"] = ["ctl_vehicle"] * 3 + ["trt_cp"] * 5 + ["trt_poscon"]
    wells = wells.assign(rna_plate=plate, det_plate=plate, cell_id=cell_line, pert_time="24")
    wells["pert_dose"] = ["-666"] * 3 + ["10"] * 5 + ["1.11"]
    values = np.random.default_rng(seed).normal(8, 2, (len(wells), n_genes)).round(4).astype(np.float32)
    return wells, values


def write_gct(path: Path, wells: pd.DataFrame, values: np.ndarray, probes: list[str]) -> Path:
    fields = [name for name in wells if name != "inst_id"]
    lines = [["#1.3"], [len(probes), len(wells), 1, len(fields)], ["id", "pr_gene_symbol", *wells["inst_id"]]]
    lines += [[name, "na", *wells[name]] for name in fields]
    lines += [[probe, probe.replace("_at", ""), *values[:, k]] for k, probe in enumerate(probes)]
    with path.open("w", newline="") as file:
        csv.writer(file, delimiter="\t", lineterminator="\n").writerows(lines)
    return path


def write_gctx(path: Path, column_ids, row_ids, values: np.ndarray, fields=(), symbols=None) -> Path:
    with h5py.File(path, "w") as file:
        file["0/DATA/0/matrix"] = values
        file["0/META/COL/id"] = np.array(column_ids, dtype="S")
        file["0/META/ROW/id"] = np.array(row_ids, dtype="S")
        if symbols is not None:
            file["0/META/ROW/pr_gene_symbol"] = np.array(symbols, dtype="S")
        for name, column in dict(fields).items():
            file[f"0/META/COL/{name}"] = np.array(column, dtype="S")
    return path


@pytest.fixture
def small(tmp_path):
    """Two small plates, the genes of the second in reverse order, and the table of SMILES."""
    probes = [f"g{k}_at" for k in range(5)]
    first, second = small_wells("P1", "A375", 0), small_wells("P2", "MCF7", 1)
    paths = [write_gct(tmp_path / "p1.gct", *first, probes)]
    wells, values = second
    columns = {name: wells[name] for name in wells if name != "inst_id"}
    symbols = [probe.replace("_at", "") for probe in probes[::-1]]
    path = tmp_path / "p2.gctx"
    paths.append(write_gctx(path, wells["inst_id"], probes[::-1], values[:, ::-1], columns, symbols))
    smiles = tmp_path / "smiles.tsv.gz"
    table = pd.DataFrame({"broad_id": list(MOLECULES), "smiles": list(MOLECULES.values())})
    table.to_csv(smiles, sep="\t", index=False)
    return {"paths": paths, "smiles": smiles, "first": first, "second": second, "folder": tmp_path, "probes": probes}


def read_small(small, **options):
    return readers.read_l1000(small["paths"], smiles=small["smiles"], drug=length_and_carbons, **options)


def test_small_plates_become_a_screen(small):
    screen = read_small(small)
    assert screen.smiles.tolist() == ["CC(=O)O", "CCO", "c1ccccc1"]  # canonical: OC(C)=O in the table
    assert screen.batch_names == ("P1", "P2") and screen.cell_line_names == ("A375", "MCF7")
    assert screen.feature_names == ("g0", "g1", "g2", "g3", "g4")
    assert len(screen) == 6 and screen.n_replicates.tolist() == [1, 1, 2, 2, 1, 1]
    values = small["second"][1]
    acid = torch.from_numpy(values[4] - values[:2].mean(0))  # its DMSO mean, not the water well's
    assert torch.allclose(screen.profile[1], acid, atol=1e-5)
    left_out = {(row.name, row.reason.split()[0]): row.profiles for row in screen.left_out.itertuples(index=False)}
    assert left_out == {
        ("H2O", "no"): 2,
        ("BRD-K09999999", "no"): 2,
        ("BRD-K00000004", "invalid"): 2,
    }


def test_conditions_can_keep_doses_apart_and_cell_lines_can_be_chosen(small):
    assert len(read_small(small, separate=("dose",))) == 8
    chosen = read_small(small, cell_lines=["MCF7"])
    assert chosen.cell_line_names == ("MCF7",) and chosen.batch_names == ("P2",)
    with pytest.raises(ReadError, match="cell_lines: got .*PC3.*, expected some of A375, MCF7"):
        read_small(small, cell_lines=["PC3"])
    with pytest.raises(ReadError, match="separate: got colour"):
        read_small(small, separate=("colour",))


def broken(change):
    """A reader's damage to the first plate's text."""

    def damage(small):
        path = small["paths"][0]
        path.write_text(change(path.read_text()))

    return damage


def without_controls(small):
    wells, values = small["first"]
    write_gct(small["paths"][0], wells[2:], values[2:], small["probes"])


DAMAGE = {
    "first line": broken(lambda text: text.replace("#1.3", "#1.1")),
    "expected two counts": broken(lambda text: text.replace("#1.3", "#1.2")),
    "expected four counts": broken(lambda text: text.replace("\t9\t1\t", "\t9\t")),
    "as its second line says": broken(lambda text: text[: len(text) // 2].rsplit("\n", 1)[0] + "\n"),
    "'much' in row g4_at, column P1:08": broken(lambda text: text[: text.rstrip().rfind("\t")] + "\tmuch\n"),
    "no column det_plate": broken(lambda text: text.replace("det_plate", "plate")),
    "no column pr_gene_symbol": broken(lambda text: text.replace("pr_gene_symbol", "symbol")),
    "repeated ids P1:00": broken(lambda text: text.replace("P1:01", "P1:00")),
    "no control well on P1": without_controls,
}


@pytest.mark.parametrize("message", DAMAGE)
def test_a_damaged_plate_is_named_with_what_is_wrong(small, message):
    DAMAGE[message](small)
    with pytest.raises(ReadError, match=f"p1.gct.*{message}"):
        read_small(small)


def test_other_faults_of_l1000_files_are_named(small):
    with pytest.raises(ReadError, match="wells twice on P1"):
        read_small(small | {"paths": small["paths"][:1] * 2})
    with pytest.raises(ReadError, match="paths: got .*expected a list of files"):
        read_small(small | {"paths": small["paths"][0]})
    with pytest.raises(FileNotFoundError, match="no file .*nowhere.gct"):
        read_small(small | {"paths": [small["folder"] / "nowhere.gct"]})
    small["paths"][1].write_bytes(b"no HDF5")
    with pytest.raises(ReadError, match="p2.gctx.*expected a GCTX file"):
        read_small(small)
    with pytest.raises(ReadError, match="suffix '.csv'"):
        gct.read_gct(small["folder"] / "table.csv")
    small["smiles"].write_bytes(gzip.compress(b"broad_id\tname\nBRD-K00000001\tethanol\n"))
    with pytest.raises(ReadError, match="smiles.tsv.gz: got no column smiles"):
        read_small(small | {"paths": small["paths"][:1]})
    pd.DataFrame({"broad_id": ["BRD-K00000001"], "smiles": ["C1CC"]}).to_csv(small["smiles"], sep="\t", index=False)
    with pytest.raises(ReadError, match="no well with a usable SMILES"):
        read_small(small | {"paths": small["paths"][:1]})


def test_plates_of_other_genes_do_not_mix(small):
    write_gct(small["paths"][0], *small["first"], ["h_at", *small["probes"][1:]])
    with pytest.raises(ReadError, match="p2.gctx: got other probes than p1.gct"):
        read_small(small)


# ---- L1000 releases ----------------------------------------------------------------------------------------------


def write_release(folder: Path, instances: pd.DataFrame, row_ids, values, compounds: pd.DataFrame) -> dict[str, Path]:
    columns = "inst_id rna_plate pert_id pert_type cell_id pert_dose pert_time".split()
    instances[columns].to_csv(folder / "inst_info.txt.gz", sep="\t", index=False)
    compounds.to_csv(folder / "pert_info.tsv", sep="\t", index=False)
    shuffled = np.random.default_rng(0).permutation(len(instances))  # a release orders its wells as it likes
    path = folder / "level3.gctx"
    write_gctx(path, instances["inst_id"].to_numpy()[shuffled], row_ids, np.asarray(values)[shuffled])
    return {"gctx": path, "inst_info": folder / "inst_info.txt.gz", "pert_info": folder / "pert_info.tsv"}


@pytest.fixture
def release(small):
    instances = pd.concat([small["first"][0], small["second"][0]], ignore_index=True)
    compounds = pd.DataFrame({"pert_id": list(MOLECULES), "canonical_smiles": list(MOLECULES.values())})
    compounds.loc[len(compounds)] = ["BRD-K09999999", "restricted"]
    genes = [1001, 1002, 1003, 1004, 1005]
    values = np.concatenate([small["first"][1], small["second"][1]])
    files = write_release(small["folder"], instances, genes, values, compounds)
    landmarks = pd.DataFrame({"pr_gene_id": genes, "pr_gene_symbol": ["g0", "g1", "g2", "g3", "g4"], "pr_is_lm": 1})
    landmarks.to_csv(small["folder"] / "gene_info.txt", sep="\t", index=False)
    return files | {"gene_info": small["folder"] / "gene_info.txt"}


def test_a_release_gives_the_screen_of_its_plates(small, release, monkeypatch):
    monkeypatch.setattr(gct, "BLOCK", 4)  # several blocks, some of them without a wanted well
    assert_same_screen(readers.read_l1000_release(**release, drug=length_and_carbons), read_small(small))
    chosen = readers.read_l1000_release(**release, drug=length_and_carbons, cell_lines=["MCF7"])
    assert_same_screen(chosen, read_small(small, cell_lines=["MCF7"]))


def test_a_release_reads_landmark_genes_and_only_the_blocks_it_needs(small, release, monkeypatch):
    table = pd.read_csv(release["gene_info"], sep="\t").assign(pr_is_lm=[0, 1, 0, 0, 1])
    table.to_csv(release["gene_info"], sep="\t", index=False)
    screen = readers.read_l1000_release(**release, drug=length_and_carbons)
    assert screen.feature_names == ("g1", "g4")
    assert torch.allclose(screen.profile, read_small(small).profile[:, [1, 4]], atol=1e-5)

    read = []

    class Recorded:
        def __getitem__(self, rows):
            read.append(rows.start)
            return np.zeros((rows.stop - rows.start, 3))

    monkeypatch.setattr(gct, "BLOCK", 10)
    assert gct._read_blocks(Recorded(), np.array([3, 5, 41]), np.array([0, 2])).shape == (3, 2)
    assert read == [0, 40]


def test_faults_of_a_release_are_named(release):
    with pytest.raises(ReadError, match="cell_lines: got .*PC3"):
        readers.read_l1000_release(**release, drug=length_and_carbons, cell_lines=["PC3"])
    table = pd.read_csv(release["inst_info"], sep="\t")
    table.assign(inst_id="X" + table["inst_id"]).to_csv(release["inst_info"], sep="\t", index=False)
    with pytest.raises(ReadError, match="level3.gctx: got no id XP1:00"):
        readers.read_l1000_release(**release, drug=length_and_carbons)
    table.drop(columns="pert_type").to_csv(release["inst_info"], sep="\t", index=False)
    with pytest.raises(ReadError, match="inst_info.txt.gz: got no column pert_type"):
        readers.read_l1000_release(**release, drug=length_and_carbons)
    release["inst_info"].write_bytes(b"\x1f\x8bnot gzip")
    with pytest.raises(ReadError, match="inst_info.txt.gz.*expected a readable table"):
        readers.read_l1000_release(**release, drug=length_and_carbons)


# ---- the real L1000 plates ---------------------------------------------------------------------------------------


def test_the_three_real_plates():
    paths = real(*PLATES)
    wells = readers.read_l1000_wells()
    assert wells.profile.shape == (1119, 978) and wells.info["is_control"].sum() == 16 + 26 + 22
    assert wells.info.groupby("batch").size().tolist() == [371, 377, 371]
    with paths[1].open() as lines:  # one line of the text file, read by hand: genes are aligned, wells in order
        rows = {line.split("\t", 1)[0]: line.rstrip("\n").split("\t") for line in lines if "_at\t" in line[:20]}
    second = wells.info["batch"].str.startswith("LJP005").to_numpy()
    by_hand = np.array(rows["200814_at"][12:], dtype=np.float32)
    np.testing.assert_array_equal(wells.profile[second, wells.feature_names.index("PSME1")], by_hand)

    screen = readers.read_l1000(drug=length_and_carbons)
    names = screen.left_out.set_index("name")["profiles"].to_dict()
    assert names == {"BRD-K49213416": 1, "BRD-U60236422": 6}  # no SMILES at the Broad's lists
    assert len(screen.profile) == 1119 - 64 - sum(names.values())
    assert (
        (len(screen.drug), len(screen)) == (447, 455) and screen.cell_line_names == ("A375",) and screen.n_batches == 3
    )
    assert (screen.membership().sum(1) == 2).sum() == 19
    control = wells.profile[second & wells.info["is_control"]].mean(0)
    treated = wells.profile[second & wells.info["name"].eq("BRD-K59369769")] - control
    there = screen.profile[screen.profile_batch == 1].numpy()
    assert all((np.abs(there - row).max(1) < 1e-4).any() for row in treated)


def test_a_release_written_from_a_real_plate(tmp_path):
    paths = real(*PLATES)
    plate = gct.read_gct(paths[1])
    instances = plate.columns.reset_index(names="inst_id").assign(rna_plate=plate.columns["det_plate"].to_numpy())
    compounds = pd.read_csv(data_file(BROAD_SMILES), sep="\t").set_axis(["pert_id", "canonical_smiles"], axis=1)
    files = write_release(tmp_path, instances, plate.rows["pr_gene_symbol"], plate.matrix, compounds)
    from_release = readers.read_l1000_release(**files, drug=length_and_carbons, cell_lines=["A375"])
    from_plate = readers.read_l1000([PLATES[1]], drug=length_and_carbons)
    assert_same_screen(from_release, from_plate)
    assert from_release.left_out.equals(from_plate.left_out)


# ---- cell painting -----------------------------------------------------------------------------------------------


def test_the_real_comas_screens():
    real(*COMAS)
    matter = readers.read_comas(COMAS[:1], drug=length_and_carbons)
    assert (len(matter.drug), len(matter.profile), matter.profile.shape[1]) == (549, 1098, 579) and len(matter) == 549
    assert matter.batch_names == ("run 1", "run 2") and bool(matter.membership().all())
    whole = readers.read_comas(drug=length_and_carbons)
    assert (len(whole.drug), len(whole)) == (733, 811)  # of natural products many stereoisomers
    assert whole.n_batches == 2 + 18 and len(whole.profile) == 1988
    assert (whole.profile_batch.bincount() < 10).sum() == 5
    table = pd.concat([pd.read_csv(fetch(name), sep="\t") for name in COMAS[1:]])
    assert table["Plate"].nunique() == 35
    distinct = table.drop_duplicates(["Well_Id", "Plate"])
    assert len(whole.profile) == 1098 + len(distinct)
    assert whole.left_out["profiles"].sum() == len(table) - len(distinct) > 0
    products = readers.read_comas(COMAS[1:], drug=length_and_carbons)
    assert (len(products.drug), len(products)) == (184, 262) and (products.membership().sum(1) == 1).sum() == 99
    by_dose = readers.read_comas(drug=length_and_carbons, separate=("dose",))
    assert len(by_dose) > len(whole) and len(by_dose.profile) == len(whole.profile)


@pytest.fixture
def comas(tmp_path):
    table = pd.DataFrame({"Compound_Id": [1, 2], "Well_Id": ["1:01_10.00", "2:01_30.00"], "Smiles": ["CCO", "CC"]})
    table = table.assign(Plate="P-10.00-181116", Median_a=[1.0, 2.0], Median_b=[0.5, 0.25])
    return tmp_path / "comas.tsv", table


def test_comas_takes_date_dose_and_repeated_wells_from_the_table(comas):
    path, table = comas
    table.to_csv(path, sep="\t", index=False)
    screen = readers.read_comas([path, path], drug=length_and_carbons, separate=("dose",))
    assert screen.batch_names == ("date 181116",) and len(screen.profile) == 2
    assert screen.left_out[["name", "profiles"]].to_numpy().tolist() == [["comas.tsv", 2]]
    assert screen.profile.tolist() == [[2.0, 0.25], [1.0, 0.5]]  # CC, CCO


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.drop(columns="Smiles"), "no column Smiles"),
        (lambda table: table.drop(columns="Plate"), "no column Plate"),
        (lambda table: table.drop(columns=["Median_a", "Median_b"]), "no feature named Median_"),
        (lambda table: table.assign(Plate="P-10.00"), "names that end in -YYMMDD"),
        (lambda table: table.assign(Median_a=[1.0, np.nan]), "missing values in Median_a"),
        (lambda table: table.assign(Median_a=["1", "much"]), "expected numbers in the features"),
        (lambda table: table.assign(Well_Id="1:01_10.00"), "wells twice with other values: 1:01_10.00"),
        (lambda table: table.assign(Smiles=None), "no well with a usable SMILES"),
        (lambda table: table[:0], "a table without rows"),
    ],
)
def test_faults_of_a_comas_table_are_named(comas, change, message):
    path, table = comas
    change(table).to_csv(path, sep="\t", index=False)
    with pytest.raises(ReadError, match=f"comas.tsv.*{message}"):
        readers.read_comas([path], drug=length_and_carbons)


def test_bbbc021_becomes_a_screen_with_the_publishers_tables(tmp_path):
    real(BBBC021)
    wells = readers.read_bbbc021_wells()
    assert wells.profile.shape == (632, 516) and wells.info["plate"].nunique() == 55
    assert wells.info["batch"].nunique() == 10 and not wells.info["is_control"].any()
    # The publisher's tables in their layout; which compound was where is made up here.
    control = wells.info["well"].isin(["B02", "C02", "D02", "E11", "F11", "G11"]).to_numpy()
    names = np.where(control, "DMSO", np.where(wells.info["well"] < "D", "ethanol", "mystery"))
    images = wells.info.assign(compound=names, concentration=1.0)
    images = images[["plate", "well", "compound", "concentration"]].set_axis(list(IMAGE_COLUMNS), axis=1)
    pd.concat([images, images]).to_csv(tmp_path / "image.csv", index=False)  # several images of each well
    pd.DataFrame({"compound": ["ethanol"], "smiles": ["OCC"]}).to_csv(tmp_path / "compound.csv", index=False)
    screen = readers.read_bbbc021(tmp_path / "image.csv", tmp_path / "compound.csv", drug=length_and_carbons)
    assert screen.smiles.tolist() == ["CCO"] and len(screen.profile) == (names == "ethanol").sum()
    assert screen.left_out["name"].tolist() == ["mystery"]
    row = np.flatnonzero(names == "ethanol")[0]
    same_plate = (wells.info["plate"] == wells.info["plate"][row]).to_numpy()
    expected = wells.profile[row] - wells.profile[same_plate & control].mean(0)
    assert np.isclose(screen.profile.numpy(), expected, rtol=1e-4, atol=1e-4).all(1).any()

    images[5:].to_csv(tmp_path / "image.csv", index=False)
    with pytest.raises(ReadError, match="image.csv: got nothing on the wells Week10_40111 B02"):
        readers.read_bbbc021_wells(images=tmp_path / "image.csv")


@pytest.fixture
def profiles():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"Metadata_Plate": np.repeat(["p1", "p2"], 4), "Metadata_Well": list("abcd") * 2})
    table["Metadata_pert_type"] = ["control", "control", "trt", "trt"] * 2
    table["Metadata_smiles"] = [None, None, "OCC", "CC"] * 2
    table["Metadata_broad_sample"] = ["DMSO", "DMSO", "x1", "x2"] * 2
    table["Metadata_mmoles_per_liter"] = [0, 0, 1, 1, 0, 0, 2, 1]
    for name in ("Cells_a", "Nuclei_b"):
        table[name] = rng.normal(3, 1, 8)
    return table.assign(Cells_constant=1.0, Cells_gap=[np.nan] + [0.0] * 7)


@pytest.mark.parametrize("suffix", ["csv", "tsv.gz", "parquet"])
def test_profiles_in_pycytominers_manner(tmp_path, profiles, suffix):
    path = tmp_path / f"profiles.{suffix}"
    if suffix == "parquet":
        profiles.to_parquet(path)
    else:
        profiles.to_csv(path, sep="," if suffix == "csv" else "\t", index=False)
    screen = readers.read_profiles(path, drug=length_and_carbons)
    assert screen.feature_names == ("Cells_a", "Nuclei_b") and screen.batch_names == ("p1", "p2")
    assert screen.left_out[["name", "reason"]].to_numpy().tolist() == [
        ["Cells_gap", "feature with missing values"],
        ["Cells_constant", "feature that never varies"],
    ]
    values = profiles[["Cells_a", "Nuclei_b"]].to_numpy()
    expected = np.array([values[k] - values[k // 4 * 4 : k // 4 * 4 + 2].mean(0) for k in (3, 7, 2, 6)])
    np.testing.assert_allclose(screen.profile.numpy(), expected, atol=1e-5)
    assert len(readers.read_profiles(path, drug=length_and_carbons, separate=["Metadata_mmoles_per_liter"])) == 3


def test_faults_of_a_table_of_profiles_are_named(tmp_path, profiles):
    path = tmp_path / "profiles.csv"
    profiles.to_csv(path, index=False)
    with pytest.raises(ReadError, match="profiles.csv: got no column SMILES"):
        readers.read_profiles(path, drug=length_and_carbons, smiles="SMILES")
    with pytest.raises(ReadError, match="profiles.csv: got no control well on p1, p2"):
        readers.read_profiles(path, drug=length_and_carbons, controls=("Metadata_pert_type", "mock"))
    profiles.drop(columns=["Cells_a", "Nuclei_b"]).to_csv(path, index=False)
    with pytest.raises(ReadError, match="profiles.csv: got no numeric feature"):
        readers.read_profiles(path, drug=length_and_carbons)
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 and nothing else")
    with pytest.raises(ReadError, match="broken.parquet.*expected a readable table"):
        readers.read_profiles(tmp_path / "broken.parquet", drug=length_and_carbons)


# ---- ToxCast -----------------------------------------------------------------------------------------------------


def test_a_campaign_is_the_set_of_panels_that_a_molecule_went_through():
    first, second = [1, 1, 0, 0], [0, 0, 1, 1]  # two panels of two assays each, and an assay that varies by itself
    measured = np.array(
        [[*first, 1], [*first, 0], [*first, 1], [*second, 0], [*second, 1], [1, 1, 1, 1, 0]], dtype=bool
    )
    campaign, panel = readers.campaigns(measured)
    assert campaign.tolist()[:5] == ["campaign 1"] * 3 + ["campaign 2"] * 2 and campaign[5] == "campaign 3"
    assert panel[0] == panel[1] != panel[2] == panel[3] and panel[4] == -1


def test_the_real_toxcast():
    (path,) = real(TOXCAST)
    screen = readers.read_toxcast(drug=length_and_carbons)
    assert (len(screen.drug), len(screen), screen.profile.shape[1]) == (7811, 7962, 617)
    assert len(screen.merged) - screen.merged["smiles"].nunique() == 8425 - 7811
    assert set(screen.profile[~screen.profile.isnan()].unique().tolist()) == {0.0, 1.0}
    assert int(screen.profile_batch.bincount().min()) >= 20 - 3  # three molecules do not parse
    assert len(screen.profile) + screen.left_out["profiles"].sum() == len(pd.read_csv(path))
    # An independent look: molecules of one campaign agree on every assay of every panel, those of others do not.
    table = pd.read_csv(path)
    measured = table.drop(columns="smiles").notna().to_numpy()
    campaign, panel = readers.campaigns(measured)
    for rows in campaign.groupby(campaign).groups.values():
        assert (measured[rows][:, panel >= 0] == measured[rows[0], panel >= 0]).all()
    assert campaign.nunique() == len(np.unique(measured[:, panel >= 0], axis=0)) == 76
    active = table.drop(columns="smiles").mean().to_numpy()
    assert (active[panel < 0].mean().round(2), active[panel >= 0].mean().round(2)) == (0.43, 0.11)
    assert (screen.n_batches, panel.max() + 1, (panel >= 0).sum()) == (23, 18, 449)


def test_toxcast_merges_spellings_and_lists_rare_campaigns(tmp_path):
    path = tmp_path / "toxcast.csv"
    table = pd.DataFrame(
        {"smiles": ["OCC", "CCO", "CC", "C", "FAIL"], "a": [0, 1, 1, None, 0], "b": [1, 0, 0, None, 0]}
    )
    table["c"] = [None, None, None, 1, None]
    table.to_csv(path, index=False)
    screen = readers.read_toxcast(path, drug=length_and_carbons, smallest_campaign=2)
    assert screen.smiles.tolist() == ["CC", "CCO"] and screen.n_replicates.tolist() == [1, 2]
    assert screen.left_out["name"].tolist() == ["C", "FAIL"]
    with pytest.raises(ReadError, match="smallest_campaign: got 9, expected at most 4"):
        readers.read_toxcast(path, drug=length_and_carbons, smallest_campaign=9)
    table.assign(a=0.5).to_csv(path, index=False)
    with pytest.raises(ReadError, match="toxcast.csv: got other values"):
        readers.read_toxcast(path, drug=length_and_carbons)
    table.assign(a="active").to_csv(path, index=False)
    with pytest.raises(ReadError, match="expected numbers in the assays"):
        readers.read_toxcast(path, drug=length_and_carbons)


def test_the_default_files_are_in_the_registry():
    assert {*PLATES, *COMAS, BBBC021, TOXCAST} <= set(registry())
