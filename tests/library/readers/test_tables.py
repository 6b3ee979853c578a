"""Tables as programs and people save them, and entries as text, doses and hours."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from infocore_mini.readers import ReadError
from infocore_mini.readers.tables import as_text, hours, located, micromolar, read_table, table_blocks

LINES = "Plate,name,value\n007,α-lipoic acid,1.5\n008,β-carotene,2.5\n"
EXPECTED = [["007", "α-lipoic acid", 1.5], ["008", "β-carotene", 2.5]]


def zipped(path: Path, data: bytes) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("table.csv", data)


WAYS = {
    "plain": lambda path, data: path.write_bytes(data),
    "gzip": lambda path, data: path.write_bytes(gzip.compress(data)),
    "bzip2": lambda path, data: path.write_bytes(bz2.compress(data)),
    "xz": lambda path, data: path.write_bytes(lzma.compress(data)),
    "zip": zipped,
}


@pytest.mark.parametrize("name", ["t.csv", "T.CSV", "t.tsv", "t.txt", "t"])
@pytest.mark.parametrize("way", WAYS)
def test_the_name_of_a_file_does_not_matter(tmp_path, name, way):
    WAYS[way](tmp_path / name, LINES.encode())
    assert read_table(tmp_path / name, ["Plate"], text=["Plate"]).to_numpy().tolist() == EXPECTED


@pytest.mark.parametrize(
    "data",
    [
        LINES.encode("utf-8-sig"),
        LINES.encode("utf-16"),
        LINES.replace("\n", "\r\n").encode(),
        LINES.replace("\n", "\r").encode(),
        LINES.replace(",", "\t").encode(),
        LINES.replace(",", ";").encode(),
        LINES.replace(",", ";").replace(".", ",").encode(),
        ("sep=;\r\n" + LINES.replace(",", ";").replace("\n", "\r\n")).encode(),
        ("\n\n" + LINES).encode(),
        LINES.replace("5\n", "5,\n").encode(),
        '"Plate"\t"name"\t"value"\n"007"\t"α-lipoic acid"\t1.5\n"008"\t"β-carotene"\t2.5\n'.encode(),
    ],
    ids=["mark", "utf-16", "crlf", "cr", "tabs", "semicolons", "commas", "excel", "blank", "last separator", "quoted"],
)
def test_separators_marks_and_line_ends_are_found(tmp_path, data):
    (tmp_path / "t.csv").write_bytes(data)
    table = read_table(tmp_path / "t.csv", ["Plate"], text=["Plate"])
    assert table.to_numpy().tolist() == EXPECTED and list(table) == ["Plate", "name", "value"]


def test_latin_1_is_read_where_utf_8_cannot_be(tmp_path):
    (tmp_path / "t.csv").write_bytes("a,b\n10 µM,é\n".encode("latin-1"))
    assert read_table(tmp_path / "t.csv", ["a"]).to_numpy().tolist() == [["10 µM", "é"]]


def test_a_primed_name_in_a_table_with_tabs_swallows_no_line(tmp_path):
    (tmp_path / "t.tsv").write_text('id\tname\tx\n1\t"alpha\t2\n3\t5"-primer\t4\n5\t"plain"\t6\n7\tend"\t8\n')
    assert read_table(tmp_path / "t.tsv", ["id"])["name"].tolist() == ['"alpha', '5"-primer', "plain", 'end"']


def test_an_open_quote_in_a_table_with_commas_is_refused(tmp_path):
    (tmp_path / "t.csv").write_text('id,name,x\n1,"alpha,2\n3,beta,4\n5,gamma",6\n')
    with pytest.raises(ReadError, match="t.csv: got lines within a quote in name"):
        read_table(tmp_path / "t.csv", ["id"])
    (tmp_path / "t.csv").write_text('id,name,x\n1,"two\nlines",2\n')
    assert read_table(tmp_path / "t.csv", ["id"])["name"].tolist() == ["two\nlines"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "expected a readable table"),
        (b"a,b\n", "a table without rows"),
        (b"a,b\n1,2\n1,2,3,4\n", "expected a readable table, its columns separated by"),
        (b"\x1f\x8bno gzip", "expected a readable table"),
        (b"PK\x03\x04no zip", "expected a readable table"),
        (b"\xfd7zXZ\x00no xz", "expected a readable table"),
        (b"PAR1no Parquet", "expected a readable table"),
        (b"b,c\n1,2\n", "no column a among b, c"),
    ],
)
def test_a_damaged_table_is_named(tmp_path, data, message):
    (tmp_path / "t.csv").write_bytes(data)
    with pytest.raises(ReadError, match=f"t.csv: got .*{message}"):
        read_table(tmp_path / "t.csv", ["a"])


def test_an_archive_of_two_files_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "t.zip", "w") as archive:
        archive.writestr("a.csv", "a\n1\n")
        archive.writestr("b.csv", "a\n1\n")
    with pytest.raises(ReadError, match="an archive of a.csv, b.csv, expected one file"):
        read_table(tmp_path / "t.zip", ["a"])


def test_blocks_of_a_table_make_the_table(tmp_path):
    table = pd.DataFrame({"Plate": ["01", "02", "03"], "x": [1.0, 2.0, 3.0]})
    table.to_csv(tmp_path / "t.csv", index=False)
    blocks = list(table_blocks(tmp_path / "t.csv", ["x"], text=["Plate"], rows=2))
    assert [len(block) for block in blocks] == [2, 1]
    assert pd.concat(blocks, ignore_index=True).to_numpy().tolist() == table.to_numpy().tolist()


def test_parquet_of_many_columns_is_read_whole(tmp_path):
    table = pd.DataFrame(np.arange(300.0).reshape(2, 150), columns=[f"x{k}" for k in range(150)], index=[5, 3])
    table.to_parquet(tmp_path / "t.pq")
    found = read_table(tmp_path / "t.pq", ["x149"])
    assert list(found) == list(table) and found.to_numpy().tolist() == table.to_numpy().tolist()


def test_a_named_index_of_parquet_is_a_column(tmp_path):
    pd.DataFrame({"x": [1.0]}, index=pd.Index(["p1"], name="Plate")).to_parquet(tmp_path / "t.parquet")
    assert read_table(tmp_path / "t.parquet", ["Plate"])[["Plate", "x"]].to_numpy().tolist() == [["p1", 1.0]]


def test_text_is_one_for_whatever_type_an_entry_came_in():
    given = [7, 7.0, "007", b"10 \xc2\xb5M", b"10 \xb5M", np.int64(3), True, 1, " x ", 0.5]
    assert as_text(given).tolist() == ["7", "7", "007", "10 µM", "10 µM", "3", "True", "1", "x", "0.5"]
    missing = [None, np.nan, pd.NA, "", " ", "NA", "nan", "None", "null", "-666", -666, -666.0, "-666.0"]
    assert as_text(missing).isna().all()


def test_doses_are_micromolar_whatever_their_unit():
    given = [
        "10 uM",
        "0.5 µM",
        "0.5 μM",
        "100 nM",
        "10.0 um",
        "1mM",
        "2e-6 M",
        "500 pM",
        "0,5 uM",
        3,
        "-666",
        None,
        "30",
    ]
    expected = [10, 0.5, 0.5, 0.1, 10, 1000, 2, 5e-4, 0.5, 3, np.nan, np.nan, 30]
    np.testing.assert_allclose(micromolar(given, "f", "dose"), expected, rtol=1e-12)
    for odd in ("high", "10 ug/ml", "1,000 nM"):
        with pytest.raises(ReadError, match=f"f: got '{odd}' under dose, expected concentrations"):
            micromolar([odd, "1 uM"], "f", "dose")
    assert hours(["24 h", "6h", 48, None], "f", "time")[:3].tolist() == [24, 6, 48]
    with pytest.raises(ReadError, match="'3 d' under time, expected times in hours"):
        hours(["3 d"], "f", "time")


def test_a_file_of_ones_own_is_not_taken_for_a_registered_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("hiv.csv").write_text("smiles,HIV_active\nC,1\n")
    with pytest.raises(ReadError, match=r"'hiv.csv', a name in data/sources.csv and another file here"):
        located("hiv.csv")
    assert located(Path("hiv.csv")) == Path("hiv.csv")
