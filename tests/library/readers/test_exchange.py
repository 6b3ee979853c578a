"""Screens to AnnData and Parquet and back, and AnnData files of others."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields, replace

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from scipy.sparse import csc_matrix, csr_matrix

from infocore_mini import readers
from infocore_mini.readers import ReadError
from infocore_mini.screens import PairedScreen


def length_and_carbons(smiles):
    """A featuriser that needs no chemistry."""
    return np.array([[len(text), text.upper().count("C")] for text in smiles], dtype=np.float32)


def assert_equal(a: PairedScreen, b: PairedScreen) -> None:
    """In every field; NaN equals NaN."""
    for name in (field.name for field in fields(PairedScreen)):
        x, y = getattr(a, name), getattr(b, name)
        if isinstance(x, torch.Tensor):
            torch.testing.assert_close(x, y, rtol=0, atol=0, equal_nan=True)
        elif isinstance(x, np.ndarray):
            assert x.tolist() == y.tolist(), name
        elif name == "controls" and x is not None:
            assert x.info == y.info
            for part in ("profile", "batch_id", "cell_line"):
                torch.testing.assert_close(getattr(x, part), getattr(y, part), rtol=0, atol=0, equal_nan=True)
        else:
            assert x == y, name


N = 12
EVERY_COLUMN = {
    "plate": [7.0, np.nan] * 6,
    "well": ["A01", None, "B02"] * 4,
    "row": list("ABCDEF") * 2,
    "column": np.arange(N),
    "site": np.arange(N) % 4,
    "dose": np.linspace(0, 10, N),
    "time": [24.0, np.nan, 48.0] * 4,
    "cell_count": np.arange(N) * 100,
    "Größe": ["µ", "β", ""] * 4,
    "large number": np.full(N, 2**60 + 1),
    "flag": [True, False] * 6,
    "known here": np.arange(N),
    "never known": [None] * N,
}
CONTROLS = {
    "profile": [[0, np.nan, 1], [1, 2, 3]],
    "batch": ["a", "d"],
    "cell_line": ["β", "MCF7"],
    "info": {"plate": [3, 4], "site": [np.nan, 2], "large number": [2**60 + 3, 1], "flag": [True, True], "own": [1, 2]}
    | {"known here": [None, None], "never known": [0.5, 1.5]},
}


def made(**options) -> PairedScreen:
    """Soft batches and a missing value."""
    profile = np.random.default_rng(0).normal(size=(N, 3))
    profile[0, 0] = np.nan
    given = {
        "smiles": ["CC", "CCO", "c1ccccc1", "C"] * 3,
        "drug": length_and_carbons,
        "profile": profile,
        "batch": list("abbaabbcdddd"),
        "cell_line": ["MCF7", "β"] * 6,
        "feature_names": ("x.y", "µ", "z z"),
        "allow_missing": True,
    }
    return PairedScreen.from_profiles(**(given | options))


@pytest.fixture
def screen():
    """With codes that it no longer uses."""
    return made().subset([1, 2, 3])


SCREENS = {
    "bare": lambda: made(feature_names=()).subset([1, 2, 3]),
    "named": lambda: made().subset([1, 2, 3]),
    "every field filled": lambda: replace(
        made(info=EVERY_COLUMN, controls=CONTROLS),
        corrections=("ControlMean(by='plate')", "Sphering(ridge=0.1)"),
        featuriser="morgan",
    ),
    "info alone": lambda: made(info=EVERY_COLUMN),
    "controls alone": lambda: made(controls=CONTROLS),
    "a part": lambda: made(info=EVERY_COLUMN, controls=CONTROLS).per_batch().subset([3, 1]),
}


@pytest.mark.parametrize("name", SCREENS)
def test_a_screen_comes_back_from_anndata_and_parquet_equal_in_every_field(name, tmp_path):
    screen = SCREENS[name]()
    assert_equal(readers.from_anndata(readers.to_anndata(screen)), screen)
    readers.to_anndata(screen).write_h5ad(tmp_path / "screen.h5ad")
    assert_equal(readers.from_anndata(anndata.read_h5ad(tmp_path / "screen.h5ad")), screen)
    readers.write_parquet(screen, tmp_path / "screen")
    assert_equal(readers.read_parquet(tmp_path / "screen"), screen)


def test_files_have_the_column_names_of_the_field(tmp_path):
    screen = made(info=EVERY_COLUMN, controls=CONTROLS)
    readers.write_parquet(screen, tmp_path)
    table = pd.read_parquet(tmp_path / "profiles.parquet")
    theirs = ["Plate", "Well", "Row", "Column", "Site", "Concentration", "Timepoint", "Object_Count"]
    assert {f"Metadata_{name}" for name in theirs} < set(table)
    control = table["Metadata_control_type"] == "negcon"
    assert control.sum() == 2 and table["Metadata_smiles"].isna().equals(control)
    assert set(table["Metadata_control_type"]) == {"trt", "negcon"}
    obs = readers.to_anndata(screen).obs
    assert set(theirs) < set(obs) and obs["SMILES"].isna().tolist() == obs["is_control"].tolist() == control.tolist()


def test_columns_that_a_file_would_call_the_same_are_named(tmp_path):
    screen = made(info={"plate": ["P"] * N, "Plate": ["Q"] * N})
    with pytest.raises(ValueError, match="columns that a file would call Plate"):
        readers.to_anndata(screen)
    with pytest.raises(ValueError, match="columns that a file would call Metadata_Plate"):
        readers.write_parquet(screen, tmp_path)
    with pytest.raises(ValueError, match="columns that a file would call x"):
        readers.write_parquet(made(feature_names=("x", "x", "y")), tmp_path)


def test_a_part_of_the_observations_in_any_order_is_the_screen_of_what_is_left():
    screen = made(info=EVERY_COLUMN, controls=CONTROLS)
    data = readers.to_anndata(screen)
    shuffled = np.random.default_rng(0).permutation(len(data))
    back = readers.from_anndata(data[shuffled].copy())
    rows = [np.lexsort((x.info["column"], x.condition)) for x in (back, screen)]
    assert torch.equal(back.condition, screen.condition) and back.smiles.tolist() == screen.smiles.tolist()
    torch.testing.assert_close(back.profile[rows[0]], screen.profile[rows[1]], equal_nan=True, rtol=0, atol=0)
    assert back.info.take(rows[0]) == screen.info.take(rows[1])

    kept = (data.obs["SMILES"] != "CCO").to_numpy()
    part = screen.where(kept[:N].tolist())
    assert_equal(readers.from_anndata(data[kept].copy()), part)
    treated = data[~data.obs["is_control"].to_numpy()].copy()
    assert_equal(readers.from_anndata(treated), replace(screen, controls=None))
    with pytest.raises(ReadError, match="no profile of a molecule"):
        readers.from_anndata(data[data.obs["is_control"].to_numpy()].copy())


@pytest.mark.parametrize("kind", [csr_matrix, csc_matrix])
def test_a_matrix_that_has_become_sparse_is_read(kind):
    screen = made(profile=np.eye(N, 3) + 1, controls={**CONTROLS, "profile": [[0, 0, 1], [0, 2, 0]]})
    data = readers.to_anndata(screen)
    data.X = kind(data.X)
    assert_equal(readers.from_anndata(data), screen)


def test_text_added_to_the_observations_can_be_saved(screen, tmp_path):
    data = readers.to_anndata(screen)
    data.obs["note"] = ["first plate"] * (len(data) - 1) + ["second plate"]
    data.write_h5ad(tmp_path / "noted.h5ad")
    assert anndata.read_h5ad(tmp_path / "noted.h5ad").obs["note"].tolist()[-2:] == ["first plate", "second plate"]


def test_faults_of_exchanged_screens_are_named(screen, tmp_path):
    data = readers.to_anndata(screen)
    other = data.copy()
    other.obs["batch"] = ["a"] * (len(other) - 1) + ["of another screen"]
    with pytest.raises(ReadError, match="batch: got of another screen"):
        readers.from_anndata(other)
    del data.uns["batch_names"]
    with pytest.raises(ReadError, match="no batch_names"):
        readers.from_anndata(data)
    with pytest.raises(ReadError, match="no column cell_type"):
        readers.from_anndata(anndata.AnnData(np.zeros((1, 1)), obs=pd.DataFrame({"SMILES": ["C"]}, index=["0"])))
    readers.write_parquet(screen, tmp_path)
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "profiles.parquet")
    with pytest.raises(ReadError, match="profiles.parquet: got no screen's names"):
        readers.read_parquet(tmp_path)
    (tmp_path / "profiles.parquet").write_bytes(b"no Parquet")
    with pytest.raises(ReadError, match="profiles.parquet.*expected a Parquet file"):
        readers.read_parquet(tmp_path)
    with pytest.raises(FileNotFoundError):
        readers.read_parquet(tmp_path / "nowhere")


# ---- AnnData files of others -------------------------------------------------------------------------------------


def published(path, kind=np.asarray, **columns):
    """A file in the layout of the published L1000 set, and its matrix."""

    def text(values):
        return pd.Categorical(values, categories=pd.Index(sorted(set(values)), dtype=object))

    smiles, cells = ["OCC", "CCO", "CC", "C1CC"], ["A375", "A375", "MCF7", "A375"]
    obs = pd.DataFrame({"SMILES": text(smiles), "cell_type": text(cells), "batch": [7, 8, 8, 7], **columns})
    values = np.arange(8, dtype=np.float32).reshape(4, 2)
    obs.index, genes = pd.Index(list("wxyz"), dtype=object), pd.DataFrame(index=pd.Index(["g0", "g1"], dtype=object))
    anndata.AnnData(kind(values), obs=obs, var=genes, layers={"twice": 2 * values}).write_h5ad(path)
    return path


@pytest.mark.parametrize("kind", [np.asarray, csr_matrix, csc_matrix])
def test_the_published_layout_is_read_from_a_dense_or_sparse_matrix_or_a_layer(tmp_path, kind):
    path = published(tmp_path / "lincs.h5ad", kind)
    screen = readers.read_h5ad(path, drug=length_and_carbons)
    assert screen.smiles.tolist() == ["CC", "CCO"] and screen.batch_names == ("7", "8")
    assert screen.profile.tolist() == [[4.0, 5.0], [0.0, 1.0], [2.0, 3.0]] and screen.feature_names == ("g0", "g1")
    assert screen.left_out["name"].tolist() == ["C1CC"] and screen.controls is None
    twice = readers.read_h5ad(path, drug=length_and_carbons, layer="twice")
    assert torch.equal(twice.profile, 2 * screen.profile)
    with pytest.raises(ReadError, match=r"lincs.h5ad: got no layers/thrice \(layers: twice\)"):
        readers.read_h5ad(path, drug=length_and_carbons, layer="thrice")


def test_a_file_may_be_read_as_of_one_cell_line(tmp_path):
    path = published(tmp_path / "lincs.h5ad")
    screen = readers.read_h5ad(path, drug=length_and_carbons, cell_line=None)
    assert screen.cell_line_names == ("all",) and len(screen) == 2
    with h5py.File(path, "a") as file:
        del file["obs/cell_type"]
        file["obs"].attrs["column-order"] = ["SMILES", "batch"]
    assert torch.equal(readers.read_h5ad(path, drug=length_and_carbons, cell_line=None).profile, screen.profile)
    with pytest.raises(ReadError, match="no column cell_type"):
        readers.read_h5ad(path, drug=length_and_carbons)


def test_the_plate_map_of_a_published_file_is_known_by_either_name(tmp_path):
    doses, counts = [1.0, 2.0, 3.0, 4.0], [10, 20, 30, 40]
    for plate, dose, count in (("Plate", "Concentration", "Object_Count"), ("Metadata_Plate", "dose", "Count_Cells")):
        columns = {plate: [1, 2, 3, 4], dose: doses, count: counts, "MoA": [0, 1, 0, 1]}
        screen = readers.read_h5ad(published(tmp_path / "a.h5ad", **columns), drug=length_and_carbons)
        assert screen.info["plate"].tolist() == ["3", "1", "2"] and screen.info["dose"].tolist() == [3.0, 1.0, 2.0]
        assert screen.info["cell_count"].tolist() == [30.0, 10.0, 20.0] and screen.info["MoA"].tolist() == [0, 0, 1]


def test_a_stored_screen_is_also_read_as_a_published_one(tmp_path):
    names = [name for name in EVERY_COLUMN if name not in ("well", "never known")]
    info = {name: EVERY_COLUMN[name] for name in names}
    screen = made(profile=np.random.default_rng(0).normal(size=(N, 3)), info=info, controls=CONTROLS)
    screen = replace(screen, corrections=("ControlMean(by='plate')",))
    readers.to_anndata(screen).write_h5ad(tmp_path / "screen.h5ad")
    read = readers.read_h5ad(tmp_path / "screen.h5ad", drug=length_and_carbons)
    assert_equal(replace(read, info=(), controls=None), replace(screen, info=(), controls=None))
    for name in names:
        np.testing.assert_array_equal(read.info[name], screen.info[name], err_msg=name)
    torch.testing.assert_close(read.controls.profile, screen.controls.profile, equal_nan=True)
    assert read.controls.info["plate"].tolist() == ["3", "4"]


def test_files_of_earlier_versions_and_of_other_programs_say_less(screen, tmp_path):
    data = readers.to_anndata(replace(screen, featuriser="morgan", corrections=("ControlMean(by='plate')",)))
    del data.uns["featuriser"]
    assert readers.from_anndata(data).featuriser is None
    data.uns["corrections"] = "none that we know of"
    data.write_h5ad(tmp_path / "screen.h5ad")
    assert readers.read_h5ad(tmp_path / "screen.h5ad", allow_missing=True).corrections == ()


def test_what_anndata_cannot_decode_is_left_out_or_named(tmp_path):
    path = published(tmp_path / "newer.h5ad", note=[1, 2, 3, 4])
    with h5py.File(path, "a") as file:
        for group in (file["uns"].create_group("of the future"), file["obs/note"]):
            group.attrs["encoding-type"], group.attrs["encoding-version"] = "nullable-thing", "9.0"
    screen = readers.read_h5ad(path, drug=length_and_carbons)
    assert len(screen) == 2 and "note" not in screen.info
    with h5py.File(path, "a") as file:
        file["obs/batch"].attrs["encoding-type"] = "nullable-thing"
    with pytest.raises(ReadError, match=r"newer.h5ad: got obs/batch, which anndata cannot read"):
        readers.read_h5ad(path, drug=length_and_carbons)


def test_faults_of_a_published_file_are_named(tmp_path):
    path = published(tmp_path / "lincs.h5ad", lambda values: np.where(values == 3, np.nan, values))
    with pytest.raises(ReadError, match="lincs.h5ad: got no column plate"):
        readers.read_h5ad(path, drug=length_and_carbons, batch="plate")
    with pytest.raises(ReadError, match="lincs.h5ad: profile: got NaN"):
        readers.read_h5ad(path, drug=length_and_carbons)
    screen = readers.read_h5ad(path, drug=length_and_carbons, allow_missing=True)
    assert screen.profile.isnan().sum() == 1
    with h5py.File(path, "w") as file:
        file["0/DATA/0/matrix"] = np.zeros((1, 1))
    with pytest.raises(ReadError, match="lincs.h5ad: got no obs, expected an AnnData file"):
        readers.read_h5ad(path, drug=length_and_carbons)
    path.write_bytes(b"no HDF5")
    with pytest.raises(ReadError, match="lincs.h5ad.*expected an AnnData file"):
        readers.read_h5ad(path, drug=length_and_carbons)


# ---- memory ------------------------------------------------------------------------------------------------------

PEAK = """
import sys
import numpy as np
import pandas as pd
from infocore_mini import readers
from infocore_mini.readers import Wells
from infocore_mini.screens import PairedScreen

folder = sys.argv[1]

def drug(smiles):
    return np.ones((len(smiles), 2))

def from_profiles(profile):
    n = len(profile)
    smiles, batch = ["C" * (1 + k % 50) for k in range(n)], np.arange(n) % 97
    return PairedScreen.from_profiles(smiles=smiles, batch=batch, profile=profile, drug=drug)

def from_wells(profile):
    k = np.arange(len(profile))
    info = pd.DataFrame({"name": "x", "smiles": ["C" * (1 + i % 50) for i in k], "batch": k % 97})
    return Wells(profile, info.assign(is_control=k % 20 == 0), tuple(map(str, range(profile.shape[1])))).screen(drug, "")

def kept(key):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(key)) * 1024

def growth(make, *args):
    open("/proc/self/clear_refs", "w").write("5")  # the peak so far is forgotten
    before = kept("VmRSS")
    screen = make(*args)
    return (kept("VmHWM") - before) / size

profile = np.random.default_rng(0).random((40_000, 700), dtype=np.float32)
size = profile.nbytes
for make in (from_profiles, from_wells):
    make(profile[:100])
    print(make.__name__, growth(make, profile))
for rows, name in ((100, "small"), (40_000, "large")):
    screen = from_profiles(profile[:rows])
    readers.write_parquet(screen, f"{folder}/{name}")
    readers.to_anndata(screen).write_h5ad(f"{folder}/{name}.h5ad")
    del screen
for make, ending in ((readers.read_parquet, ""), (lambda path: readers.read_h5ad(path, drug=drug), ".h5ad")):
    make(f"{folder}/small{ending}")
    print("read" + ending, growth(make, f"{folder}/large{ending}"))
for kind in ("float32", "float64"):
    for rows, name in ((100, "small"), (40_000, "large")):
        k = np.arange(rows)
        wells = {"smiles": [("C" * (1 + i % 50)) for i in k], "broad_sample": "DMSO", "Plate": (k % 7).astype(str)}
        wells |= {"pert_type": np.where(k % 20 < 7, "control", "trt")}
        table = pd.DataFrame(profile[:rows].astype(kind)).rename(columns=str)
        table = pd.concat([pd.DataFrame(wells).add_prefix("Metadata_"), table], axis=1)
        table.to_parquet(f"{folder}/{name}_{kind}.parquet")
        del table
del profile
read = lambda path: readers.read_profiles(path, drug=drug)
for kind, its_size in (("float32", 1), ("float64", 2)):  # float64, as pandas writes it, has twice the size
    read(f"{folder}/small_{kind}.parquet")
    print("read_profiles," + kind, growth(read, f"{folder}/large_{kind}.parquet") / its_size)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of memory from /proc")
def test_a_table_of_profiles_is_read_in_little_more_memory_than_its_own(tmp_path):
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", PEAK, tmp_path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = dict(line.split() for line in done.stdout.splitlines())
    read = {"read", "read.h5ad", "read_profiles,float32", "read_profiles,float64"}
    assert set(found) == {"from_profiles", "from_wells"} | read
    assert max(map(float, found.values())) < 1.7, found  # a copy more makes it 2 or more
