"""The command line: what it writes is what the library gives, and what does not fit ends with a status and a sentence."""

import json
import subprocess
import sys
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from toy_screen import toy_screen

from infocore_mini import CLIP, Config, InfoCORE, Pretrained, __version__, audit, pretrain_screen
from infocore_mini.__main__ import COMMANDS, main
from infocore_mini.correct import PlateCentring
from infocore_mini.evaluate.retrieval import screen_retrieval
from infocore_mini.featurize import mol2vec, morgan
from infocore_mini.readers import read_h5ad, read_profiles, to_anndata

SMALL = dict(epochs=2, embedding_dim=4, hidden_drug=(8,), hidden_screen=(8,), hidden_classifier=(8,), minibatch_size=16)
FLAGS = [
    f"--{name}={value}" if name == "epochs" else f"--set={name}={str(value).strip('()')}"
    for name, value in SMALL.items()
]


def run(*arguments) -> int:
    return main([str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def h5ad(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("screen") / "screen.h5ad"
    to_anndata(toy_screen(cell_lines=("A549",))).write_h5ad(path)
    return path


@pytest.fixture(scope="module")
def model(h5ad) -> Path:
    path = h5ad.with_name("model.safetensors")
    assert run("train", h5ad, "-o", path, "--quiet", *FLAGS) == 0
    return path


def table(path: Path, n=80) -> Path:
    """Profiles of 40 molecules in two wells each, on four plates, ten control wells among them."""
    rng = np.random.default_rng(0)
    wells = pd.DataFrame(rng.normal(size=(n + 10, 5)), columns=["a", "b", "c", "d", "e"])
    wells["smiles"] = ["C" * (1 + i % 40) for i in range(n)] + ["CS(C)=O"] * 10
    wells["plate"] = [f"plate {i % 4}" for i in range(n + 10)]
    wells["role"] = ["sample"] * n + ["dmso"] * 10
    wells["dose"] = 1.0 + np.arange(n + 10) % 7
    wells.to_csv(path, index=False)
    return path


# ------------------------------------------------------------------ audit

TOLD = ["--smiles", "smiles", "--batch", "plate", "--controls", "role=dmso", "--exclude", "dose"]


def test_audit_reports_what_the_library_finds(tmp_path, capsys):
    path, page = table(tmp_path / "wells.csv"), tmp_path / "audit.html"
    assert run("audit", path, "-o", page, *TOLD, "--seed", 3) == 0
    wells = pd.read_csv(path)
    known = {"molecule": wells["smiles"], "controls": wells["role"] == "dmso"}
    expected = audit(wells[list("abcde")], {"plate": wells["plate"]}, **known, seed=3)
    expected.report(tmp_path / "expected.html")
    assert page.read_text() == (tmp_path / "expected.html").read_text()
    said = capsys.readouterr().out
    assert "readouts: a, b, c, d, e (5)" in said and f"\n{expected.verdict}\n" in said
    assert run("audit", path, *TOLD, "--seed", 3, "--json") == 0
    assert json.loads(capsys.readouterr().out) == json.loads(expected.to_json())


def test_audit_is_told_of_wells_counts_labels_and_libraries(tmp_path, capsys):
    path, rng = table(tmp_path / "wells.csv"), np.random.default_rng(1)
    wells = pd.read_csv(path)
    wells["place"] = [f"{'ABCD'[i % 4]}{i // 4 + 1:02d}" for i in range(90)]
    wells["cells"], wells["class"] = rng.integers(50, 900, 90), [f"class {i // 4 % 3}" for i in range(90)]
    wells["library"], wells["line"] = np.arange(90) // 30, "A549"
    wells.loc[wells["plate"] == "plate 1", list("abcde")] += 4
    wells.to_parquet(tmp_path / "wells.parquet")
    more = {"well": "place", "cell-count": "cells", "label": "class", "library": "library", "cell-line": "line"}
    further = [part for name, column in more.items() for part in (f"--{name}", column)]
    assert run("audit", tmp_path / "wells.parquet", *TOLD, *further, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["verdict"] == "confounded"
    asked = {row["nuisance"] for row in found["findings"] if row["rows"] == "treated"}
    assert asked == {"plate", "row", "column", "cell count"} and "label" in {row["rows"] for row in found["findings"]}
    assert run("audit", tmp_path / "wells.parquet", *TOLD, *further) == 0
    said = capsys.readouterr().out
    assert "\nconfounded (treated: plate" in said and "Compare within one value only" in said


def test_an_embedding_is_audited_as_a_table_and_as_an_entry_of_obsm(h5ad, model, tmp_path, capsys):
    z = tmp_path / "z.csv"
    assert run("embed", h5ad, "-m", model, "-o", z) == 0
    capsys.readouterr()
    told = ["--smiles", "SMILES", "--batch", "batch", "--json"]
    written = pd.read_csv(z)
    written.assign(dose_of=np.arange(len(written))).to_csv(z, index=False)
    assert run("audit", z, *told, "--features", "z*") == 0
    of_table = json.loads(capsys.readouterr().out)
    data = anndata.read_h5ad(h5ad)
    data.obsm["X_z"] = written.filter(regex=r"^z\d").to_numpy(np.float32)
    data.write_h5ad(tmp_path / "z.h5ad")
    assert run("audit", tmp_path / "z.h5ad", "--obsm", "X_z", "--json") == 0
    of_obsm = json.loads(capsys.readouterr().out)
    assert of_obsm["verdict"] == of_table["verdict"] and len(of_obsm["findings"]) == len(of_table["findings"])
    observed = [[row["observed"] for row in found["findings"]] for found in (of_table, of_obsm)]
    np.testing.assert_allclose(*observed, atol=1e-3)


def test_an_audit_says_what_it_left_out_and_needs_no_column_of_its_own_name(tmp_path, capsys):
    path = table(tmp_path / "wells.csv")
    wells = pd.read_csv(path)
    wells["batch"], wells["name"], wells["flat"] = wells["plate"].str[-1].isin(["0", "1"]), "x", 1.0
    wells.loc[3, "a"] = np.nan
    wells["plate"] = wells["plate"].where(wells.index != 7)
    wells.to_csv(path, index=False)
    told = [*TOLD, "--nuisance", "batch", "--exclude", "name"]
    assert run("audit", path, *told) == 0
    said = capsys.readouterr().out
    assert "left out for feature that never varies: 1" in said and "left out for well with missing values: 1" in said
    assert "left out for well without an entry under plate: 1" in said
    assert run("audit", path, *told, "--json") == 0
    rows = [row for row in json.loads(capsys.readouterr().out)["findings"] if row["rows"] == "treated"]
    assert {row["nuisance"] for row in rows} == {"plate", "batch"} and {row["n"] for row in rows} == {78}


# ------------------------------------------------------------------ train


def test_train_saves_what_the_library_trains_and_prints_its_accuracy(h5ad, tmp_path, capsys):
    path = tmp_path / "model.safetensors"
    assert run("train", h5ad, "-o", path, "--seed", 3, "--alpha", 0.5, "--quiet", *FLAGS) == 0
    split = read_h5ad(h5ad).split(3)
    config = Config(alpha=0.5, seed=3, **SMALL)
    expected = pretrain_screen(split.train, config, validation=split.validation, validate_every=1)
    found = Pretrained.load(path)
    assert found.config == config and found.trained_on.featuriser == "mol2vec"
    np.testing.assert_array_equal(found.embed(split.test)[0], expected.embed(split.test)[0])
    scores = screen_retrieval(*expected.embed(split.test), split.test, minimum_library=2, n_bootstrap=0)
    rows = [line.split() for line in capsys.readouterr().out.splitlines() if line.split()[:1] in (["whole"], ["batch"])]
    mean = scores[scores["cell_line"] == "mean"]
    assert [row[0] for row in rows] == mean["library"].tolist()
    np.testing.assert_allclose([float(row[2]) for row in rows], mean["accuracy"], atol=6e-4)


def test_train_reads_a_plain_table_as_it_is_told(tmp_path, capsys):
    path, saved = table(tmp_path / "wells.csv"), tmp_path / "model.safetensors"
    told = ["--smiles", "smiles", "--batch", "plate", "--controls", "role=dmso", "--exclude", "dose"]
    assert run("train", path, "-o", saved, "--method", "clip", "--quiet", *told, *FLAGS) == 0
    trained_on = Pretrained.load(saved).trained_on
    columns = dict(smiles="smiles", name="smiles", batch="plate", plate="plate", controls=("role", "dmso"))
    screen = read_profiles(path, exclude=["dose"], **columns)
    assert trained_on.screen_features == screen.feature_names == ("a", "b", "c", "d", "e")
    assert trained_on.corrections == screen.corrections != ()
    assert "readouts: a, b, c, d, e (5)" in capsys.readouterr().out


def test_train_leaves_out_further_nuisances_labels_and_numbers(tmp_path, capsys):
    path, saved = table(tmp_path / "wells.csv"), tmp_path / "model.safetensors"
    wells = pd.read_csv(path).assign(day=lambda wells: np.arange(len(wells)) // 30, Count_Cells=np.arange(90) * 7 % 50)
    wells.to_csv(path, index=False)
    told = ["--smiles", "smiles", "--batch", "day", "--nuisance", "plate", "--nuisance", "Count_Cells"]
    assert run("train", path, "-o", saved, "--quiet", "--exclude", "dose", *told, *FLAGS) == 0
    model = Pretrained.load(saved)
    assert model.trained_on.nuisances == ("plate", "cell_count") and model.shapes.levels == (3, 4, 10)
    assert model.trained_on.screen_features == ("a", "b", "c", "d", "e")
    assert run("train", path, "-o", saved, "--force", "--quiet", *told[:4], "--nuisance", "week", *FLAGS) == 1
    assert "week" in capsys.readouterr().err


def test_audit_and_train_take_the_same_readouts_and_say_which_they_set_aside(tmp_path, capsys):
    path, saved = table(tmp_path / "wells.csv"), tmp_path / "model.safetensors"
    rng, wells = np.random.default_rng(3), pd.read_csv(path)
    wells["p_no"], wells["entry"], wells["flat"] = wells["plate"].str[-1].astype(int), np.arange(90) + 1000, 7
    wells["cell_count"], wells["counts"] = rng.integers(50, 900, 90), rng.integers(50, 900, 90)
    wells.to_csv(path, index=False)
    told = ["--smiles", "smiles", "--batch", "plate", "--controls", "role=dmso"]
    said = []
    for command in (["audit", path], ["train", path, "-o", saved, "--quiet", *FLAGS]):
        assert run(*command, *told) == 0
        lines = capsys.readouterr().out.splitlines()
        said.append([line for line in lines if line.startswith(("readouts: ", "left out for "))])
    assert set(said[0]) == set(said[1]) and said[0][0] == "readouts: a, b, c, d, e, counts (6)"
    assert set(said[0][1:]) == {
        "left out for name of a well: 1 (dose)",
        "left out for number of cells: 1 (cell_count)",
        "left out for feature that never varies: 1 (flat)",
        "left out for one value for each experimental batch: 1 (p_no)",
        "left out for whole numbers that count the rows: 1 (entry)",
    }
    assert Pretrained.load(saved).trained_on.screen_features == (*"abcde", "counts")
    forced = ["--features", "[ab]", "--features", "p_no", "--features", "cell_count"]
    assert run("audit", path, *told, *forced) == 0 and "readouts: a, b, p_no, cell_count" in capsys.readouterr().out
    assert run("train", path, "-o", saved, "--force", "--quiet", *told, *forced, *FLAGS) == 0
    assert Pretrained.load(saved).trained_on.screen_features == ("a", "b", "p_no", "cell_count")
    assert run("audit", path, *told, "--features", "q*") == 1
    assert "features: got no column q*" in capsys.readouterr().err


def test_a_bar_shows_progress_unless_it_is_quiet(h5ad, tmp_path, capsys):
    assert run("train", h5ad, "-o", tmp_path / "1.safetensors", "--method", "clip", *FLAGS) == 0
    assert "clip: 100%" in capsys.readouterr().err
    assert run("train", h5ad, "-o", tmp_path / "2.safetensors", "--method", "clip", "--quiet", *FLAGS) == 0
    assert capsys.readouterr().err == ""


# ------------------------------------------------------------------ embed, retrieve


def test_embed_needs_no_labels(h5ad, model, tmp_path):
    screen = read_h5ad(h5ad)
    readouts = pd.DataFrame(screen.profile.numpy(), columns=screen.feature_names)
    readouts.iloc[:, ::-1].assign(well=[f"W{i}" for i in range(len(readouts))]).to_csv(
        tmp_path / "new.csv", index=False
    )
    assert run("embed", tmp_path / "new.csv", "-m", model, "-o", tmp_path / "z.parquet") == 0
    found = pd.read_parquet(tmp_path / "z.parquet")
    assert found.columns.tolist() == ["well", "z0", "z1", "z2", "z3"] and found["well"][5] == "W5"
    z = Pretrained.load(model).embed_screen(screen.profile)
    np.testing.assert_allclose(found.filter(regex="^z"), z, atol=1e-6)
    assert run("embed", h5ad, "-m", model, "-o", tmp_path / "z.csv") == 0
    again = pd.read_csv(tmp_path / "z.csv")
    assert {"SMILES", "batch", "z0"} <= set(again) and len(again) == len(readouts)
    np.testing.assert_allclose(again.filter(regex="^z"), z, atol=1e-5)


def test_embed_of_molecules(model, tmp_path):
    (tmp_path / "list.smi").write_text("CCO ethanol\n\nCCN\n")
    pd.DataFrame({"structure": ["CCO", None, "CCN"]}).to_csv(tmp_path / "list.csv", index=False)
    z = Pretrained.load(model).embed_drug(mol2vec(["CCO", "CCN"]))
    for name, told in (("list.smi", []), ("list.csv", ["--smiles", "structure"])):
        path = tmp_path / f"{name}.out.csv"
        assert run("embed", tmp_path / name, "-m", model, "-o", path, "--molecules", *told) == 0
        found = pd.read_csv(path)
        assert found["smiles"].tolist() == ["CCO", "CCN"]
        np.testing.assert_allclose(found.filter(regex="^z"), z, atol=1e-6)


def test_retrieve_lists_the_nearest_molecules_of_a_library(h5ad, model, tmp_path, capsys):
    (tmp_path / "library.smi").write_text("CCO\nCCN\nCCCCCC\nc1ccccc1\n")
    library = ["CCO", "CCN", "CCCCCC", "c1ccccc1"]
    assert run("retrieve", h5ad, "-m", model, "--library", tmp_path / "library.smi", "--top", 2) == 0
    (tmp_path / "printed.csv").write_text(capsys.readouterr().out)
    found = pd.read_csv(tmp_path / "printed.csv")
    loaded, screen = Pretrained.load(model), read_h5ad(h5ad)
    cosine = (loaded.embed_screen(screen.profile) @ loaded.embed_drug(mol2vec(library)).T).numpy()
    order = np.argsort(-cosine, axis=1)[:, :2]
    assert found["molecule"].tolist() == [library[j] for j in order.ravel()]
    assert found["rank"].tolist() == [1, 2] * len(cosine) and found["query"].tolist()[:4] == [0, 0, 1, 1]
    np.testing.assert_allclose(found["cosine"], np.take_along_axis(cosine, order, 1).ravel(), atol=1e-4)


def test_a_reader_that_has_seen_enough_is_no_error(h5ad, model):
    command = [sys.executable, "-m", "infocore_mini", "retrieve", h5ad, "-m", model, "--top", "30"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as started:
        started.stdout.close()  # before anything is written
        assert started.stderr.read() == b"" and started.wait() == 0


def test_positive_controls_are_not_subtracted_after_training_either(tmp_path):
    path, saved, z = table(tmp_path / "wells.csv"), tmp_path / "model.safetensors", tmp_path / "z.csv"
    told = ["--smiles", "smiles", "--batch", "plate", "--controls", "role=dmso"]
    assert run("train", path, "-o", saved, "--quiet", *told, *FLAGS) == 0
    assert run("embed", path, "-m", saved, "-o", z, *told) == 0
    wells = pd.read_csv(path)
    positive = wells.iloc[[80, 81]].assign(smiles="CCCCO", a=100.0)
    pd.concat([wells, positive]).to_csv(path, index=False)
    assert run("embed", path, "-m", saved, "-o", tmp_path / "again.csv", *told) == 0
    first, again = (pd.read_csv(name).filter(regex="^z") for name in (z, tmp_path / "again.csv"))
    np.testing.assert_allclose(again[:90], first, atol=1e-6)


def test_without_a_library_the_molecules_of_training_are_it(h5ad, model, tmp_path):
    assert run("retrieve", h5ad, "-m", model, "--top", 1, "-o", tmp_path / "found.csv") == 0
    known = set(read_h5ad(h5ad).split(0).train.smiles)
    assert set(pd.read_csv(tmp_path / "found.csv")["molecule"]) <= known


def test_readouts_that_training_corrected_are_corrected_the_same_way(tmp_path):
    path, saved = table(tmp_path / "wells.csv"), tmp_path / "model.safetensors"
    told = ["--smiles", "smiles", "--batch", "plate", "--controls", "role=dmso"]
    assert run("train", path, "-o", saved, "--quiet", *told, *FLAGS) == 0
    assert run("embed", path, "-m", saved, "-o", tmp_path / "z.csv", *told) == 0
    columns = dict(smiles="smiles", name="smiles", batch="plate", plate="plate", controls=("role", "dmso"))
    screen = read_profiles(path, exclude=["dose"], **columns)
    found, given = pd.read_csv(tmp_path / "z.csv"), pd.read_csv(path)
    assert found.columns.tolist() == ["smiles", "plate", "role", "dose", "z0", "z1", "z2", "z3"]
    pd.testing.assert_frame_equal(
        found[["smiles", "plate", "role", "dose"]], given[["smiles", "plate", "role", "dose"]]
    )
    treated = found[found["role"] == "sample"].sort_values("smiles", key=lambda smiles: smiles.str.len(), kind="stable")
    conditions = [screen.smiles[screen.drug_id[screen.condition]] == text for text in treated["smiles"].unique()]
    z = Pretrained.load(saved).embed_screen(np.concatenate([screen.profile[rows] for rows in conditions]))
    np.testing.assert_allclose(treated.filter(regex="^z"), z, atol=1e-5)
    assert run("audit", tmp_path / "z.csv", *told, "--features", "z*") == 0


PLATED = dict(smiles="smiles", name="smiles", batch="day", plate="plate", controls=("role", "dmso"))


def days(path: Path) -> Path:
    """The same wells, two of the four plates on each of two days; a well that has no entry in another column."""
    wells = pd.read_csv(table(path))
    wells.assign(day=(wells["plate"] > "plate 1").map({True: "Tue", False: "Mon"})).to_csv(path, index=False)
    return path


def subtracted(path: Path) -> pd.DataFrame:
    """The readouts of all wells, minus the mean of the control wells of their plate."""
    wells = pd.read_csv(path)
    mean = wells[wells["role"] == "dmso"].groupby("plate")[list("abcde")].mean()
    return wells[list("abcde")] - mean.loc[wells["plate"]].to_numpy()


def test_a_model_knows_by_what_control_wells_were_subtracted(tmp_path, capsys):
    path, saved, z = days(tmp_path / "wells.csv"), tmp_path / "model.safetensors", tmp_path / "z.csv"
    told = ["--smiles", "smiles", "--batch", "day", "--controls", "role=dmso"]
    assert run("train", path, "-o", saved, "--quiet", "--nuisance", "plate", *told, *FLAGS) == 0
    assert "corrected by: ControlMean(by='plate')" in capsys.readouterr().out
    model = Pretrained.load(saved)
    assert model.trained_on.corrections == ("ControlMean(by='plate')",) and model.trained_on.nuisances == ("plate",)
    for command in (["embed", path, "-m", saved, "-o", z], ["retrieve", path, "-m", saved]):
        assert run(*command, *told) == 1
        said = capsys.readouterr().err
        assert "FILE: got readouts corrected by ControlMean(by='batch'), expected ControlMean(by='plate')" in said
        assert "--plate (else --batch) by what" in said
        assert run(*command) == 1 and "corrected by nothing, expected" in capsys.readouterr().err
        assert run(*command, *told, "--plate", "plate") == 0
    np.testing.assert_allclose(pd.read_csv(z).filter(regex="^z"), model.embed_screen(subtracted(path)), atol=1e-5)
    one = tmp_path / "one plate.csv"  # whose day is not known
    wells = (
        pd.read_csv(path).query("plate == 'plate 1'").drop(columns=["day", "smiles"])
    )  # whose molecules are not, too
    wells.to_csv(one, index=False)
    assert run("embed", one, "-m", saved, "-o", z, "--force", *told[4:], "--batch", "plate") == 0
    assert pd.read_csv(z)["role"].tolist() == wells["role"].tolist()
    assert run("train", path, "-o", saved, "--force", "--quiet", *told, *FLAGS) == 0
    assert Pretrained.load(saved).trained_on.corrections == ("ControlMean(by='batch')",)
    assert run("embed", path, "-m", saved, "-o", z, "--force", *told, "--plate", "plate") == 1
    assert run("embed", path, "-m", saved, "-o", z, "--force", *told) == 0


def test_what_was_not_subtracted_in_training_is_not_later(tmp_path, capsys):
    path, saved = days(tmp_path / "wells.csv"), tmp_path / "model.safetensors"
    assert run("train", path, "-o", saved, "--quiet", "--smiles", "smiles", "--batch", "day", *FLAGS) == 0
    assert run("embed", path, "-m", saved, "-o", tmp_path / "z.csv", "--batch", "day", "--controls", "role=dmso") == 1
    assert "corrected by ControlMean(by='batch'), expected nothing, as in training" in capsys.readouterr().err


def test_a_new_plate_is_corrected_on_the_readouts_of_training_whether_or_not_they_vary(tmp_path):
    path, saved = table(tmp_path / "wells.csv"), tmp_path / "model.safetensors"
    told = ["--smiles", "smiles", "--batch", "plate", "--controls", "role=dmso"]
    assert run("train", path, "-o", saved, "--quiet", *told, *FLAGS) == 0
    new = pd.read_csv(path).query("plate == 'plate 1'").assign(b=0.0, f=1.0)
    new.to_csv(tmp_path / "new.csv", index=False)
    assert run("embed", tmp_path / "new.csv", "-m", saved, "-o", tmp_path / "z.csv", *told) == 0
    assert len(pd.read_csv(tmp_path / "z.csv")) == len(new)


# ------------------------------------------------------------------ models of Python


@pytest.mark.parametrize("featuriser, corrected", [(mol2vec, False), (mol2vec, True), (morgan, True)])
def test_a_model_that_python_trained_on_a_read_screen_embeds_and_retrieves(tmp_path, featuriser, corrected):
    path, saved = days(tmp_path / "wells.csv"), tmp_path / "model.safetensors"
    screen = read_profiles(path, drug=featuriser, **PLATED | ({} if corrected else {"controls": None}))
    model = pretrain_screen(screen.split(0).train, Config(**SMALL))
    model.save(saved)
    molecules, found = tmp_path / "list.smi", tmp_path / "found.csv"
    molecules.write_text("CCO\nCCN\nc1ccccc1\n")
    assert run("embed", molecules, "-m", saved, "-o", tmp_path / "m.csv", "--molecules") == 0
    z_drug = model.embed_drug(featuriser(["CCO", "CCN", "c1ccccc1"]))
    np.testing.assert_allclose(pd.read_csv(tmp_path / "m.csv").filter(regex="^z"), z_drug, atol=1e-5)
    told = ["--plate", "plate", "--controls", "role=dmso"] if corrected else []
    assert run("retrieve", path, "-m", saved, "--library", molecules, "--top", 1, "-o", found, *told) == 0
    z = model.embed_screen(subtracted(path) if corrected else pd.read_csv(path)[list("abcde")])
    nearest = (z @ z_drug.T).argmax(1)
    assert pd.read_csv(found)["molecule"].tolist() == [["CCO", "CCN", "c1ccccc1"][row] for row in nearest]
    assert InfoCORE.load(saved).embed_drug(["CCO"]) == pytest.approx(np.asarray(z_drug[:1]), abs=1e-5)


def test_a_screen_that_python_corrected_is_read_from_its_anndata_file(tmp_path, capsys):
    path, saved = days(tmp_path / "wells.csv"), tmp_path / "model.safetensors"
    screen = PlateCentring(by="plate").fit_transform(read_profiles(path, **PLATED | {"controls": None}))
    model = pretrain_screen(screen.split(0).train, Config(**SMALL))
    model.save(saved)
    to_anndata(screen).write_h5ad(tmp_path / "corrected.h5ad")
    assert run("retrieve", path, "-m", saved) == 1
    said = capsys.readouterr().err
    assert "expected PlateCentring(by='plate')" in said and "an .h5ad file of `readers.to_anndata`" in said
    assert run("embed", tmp_path / "corrected.h5ad", "-m", saved, "-o", tmp_path / "z.csv") == 0
    found = pd.read_csv(tmp_path / "z.csv").filter(regex="^z")
    np.testing.assert_allclose(found, model.embed_screen(screen.profile), atol=1e-5)


def test_a_model_of_other_drug_features_says_what_to_do(tmp_path, capsys):
    path, saved = days(tmp_path / "wells.csv"), tmp_path / "model.safetensors"
    rng = np.random.default_rng(0)
    screen = read_profiles(path, drug=lambda smiles: rng.normal(size=(len(smiles), 3)), **PLATED)
    pretrain_screen(screen, Config(**SMALL)).save(saved)
    told = ["--batch", "plate", "--controls", "role=dmso"]
    for command in (["retrieve", path, "-m", saved], ["embed", path, "-m", saved, "-o", tmp_path / "z", "--molecules"]):
        assert run(*command, *told) == 1
        said = capsys.readouterr().err
        assert "MODEL: got drug features that it cannot make of SMILES, expected those of featurize.mol2vec" in said
        assert "PairedScreen.from_profiles" in said and "model.embed_drug" in said
    assert run("embed", path, "-m", saved, "-o", tmp_path / "z.csv", *told) == 0  # readouts need no molecules


def test_the_file_of_an_estimator_is_a_model_too(tmp_path):
    smiles, rng = ["C" * (1 + i % 12) for i in range(24)], np.random.default_rng(0)
    readout = pd.DataFrame(rng.normal(size=(24, 3)), columns=list("abc"))
    settings = {name: value for name, value in SMALL.items() if name != "hidden_classifier"}
    model = CLIP(**settings).fit(smiles, readout)
    model.save(tmp_path / "clip.safetensors")
    readout.to_csv(tmp_path / "new.csv", index=False)
    done = run(
        "retrieve", tmp_path / "new.csv", "-m", tmp_path / "clip.safetensors", "--top", 3, "-o", tmp_path / "f.csv"
    )
    assert done == 0
    expected = model.retrieve(readout, sorted(set(smiles)), top=3)
    assert pd.read_csv(tmp_path / "f.csv")["molecule"].tolist() == expected["molecule"].tolist()


# ------------------------------------------------------------------ what does not fit


def test_a_file_is_replaced_only_by_force_and_before_anything_is_read(h5ad, model, tmp_path, capsys):
    taken = tmp_path / "taken.csv"
    taken.write_text("mine")
    for command in (
        ["audit", tmp_path / "nothing.h5ad", "-o", taken],
        ["train", tmp_path / "nothing.h5ad", "-o", taken],
        ["embed", tmp_path / "nothing.h5ad", "-m", model, "-o", taken],
        ["retrieve", tmp_path / "nothing.h5ad", "-m", model, "-o", taken],
    ):
        assert run(*command) == 1
        assert "taken.csv, which exists, expected a new file, or --force" in capsys.readouterr().err
    assert taken.read_text() == "mine"
    assert run("embed", h5ad, "-m", model, "-o", taken, "--force") == 0
    assert taken.read_text().startswith("obs,")


@pytest.mark.parametrize(
    "command, message",
    [
        (["train", "{screen}", "-o", "{folder}/no/model"], "--output: got .* existing folder"),
        (["train", "{folder}/nothing.csv", "-o", "{folder}/model"], "no file .*nothing.csv"),
        (["train", "{screen}", "-o", "{folder}/model", "--alpha", "2"], "alpha = 2"),
        (["train", "{screen}", "-o", "{folder}/model", "--set", "width=3"], "width"),
        (["train", "{screen}", "-o", "{folder}/model", "--batch", "plaque"], "no column plaque"),
        (
            ["train", "{screen}", "-o", "{folder}/model", "--controls", "a=b"],
            "controls, plate, features, exclude: got some, expected none for a .h5ad file",
        ),
        (["train", "{screen}", "{folder}/a.csv", "-o", "{folder}/model"], "FILE: got formats h5ad, table"),
        (["train", "{screen}", "{screen}", "-o", "{folder}/model"], "FILE: got 2 AnnData files"),
        (["audit", "{screen}", "--exclude", "z*"], "exclude, features: got some, expected none"),
        (["audit", "{screen}", "--obsm", "X_pca"], "obsm: got 'X_pca', expected one of"),
        (["audit", "{screen}", "--nuisance", "day"], "no column day"),
        (["audit", "{screen}", "--controls", "batch=none"], "controls: got no row with batch=none"),
        (["audit", "{folder}/a.gct", "--batch", "plate"], "columns: got plate, expected none for a .gct"),
        (["audit", "{folder}/a.csv", "--obsm", "X_pca"], "obsm: got 'X_pca', expected none but for"),
        (["embed", "{screen}", "-m", "{screen}", "-o", "{folder}/z.csv"], "is damaged or no safetensors file"),
        (["retrieve", "{screen}", "-m", "{model}", "--top", "0"], "--top: got 0, expected 1 to"),
    ],
)
def test_what_does_not_fit_is_said_in_a_line(h5ad, model, tmp_path, capsys, command, message):
    import re

    places = dict(screen=h5ad, model=model, folder=tmp_path)
    assert main([part.format(**places) for part in command]) == 1
    said = capsys.readouterr().err
    assert said.startswith("infocore-mini: ") and said.count("\n") == 1
    assert re.search(message, said)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "command", [[], ["trane", "x"], ["train", "x"], ["train", "x", "-o", "y", "--set", "width"], ["embed", "x"]]
)
def test_a_command_that_is_not_understood_ends_with_2(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main(command)
    assert ended.value.code == 2 and "usage: infocore-mini" in capsys.readouterr().err


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)])
def test_help_shows_a_command_to_copy(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main([*command, "--help"])
    said = capsys.readouterr().out
    assert ended.value.code == 0 and f"infocore-mini {' '.join(command)}".strip() in said and "exit status" in said
    assert all(name in said for name in COMMANDS) or command


def test_the_package_is_run_by_its_name_and_help_loads_nothing_heavy():
    script = (
        "import sys; from infocore_mini.__main__ import main\n"
        "try: main(['--help'])\nexcept SystemExit: print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert {"sklearn", "pandas", "rdkit", "anndata"} & set(done.stdout.split()) == set()
    shown = subprocess.run([sys.executable, "-m", "infocore_mini", "--version"], capture_output=True, text=True)
    assert shown.returncode == 0 and shown.stdout == f"{__version__}\n"
