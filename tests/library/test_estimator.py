"""The estimators as someone with a table meets them: parameters, inputs, retrieval, files, errors."""

import inspect
import json
import subprocess
import sys
import textwrap
from dataclasses import fields, replace

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, GroupShuffleSplit

import infocore_mini
from infocore_mini import CCL, CLIP, Config, InfoCORE, Pretrained
from infocore_mini.config import EpochChoice

ESTIMATORS = (CLIP, CCL, InfoCORE)
SMALL = dict(epochs=2, embedding_dim=4, hidden_drug=(8,), hidden_screen=(8,), minibatch_size=16)


def rows(n=48, seed=0):
    """Drug features, readouts and labels of four experimental batches."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 5)), rng.normal(size=(n, 6)), np.array(["w", "x", "y", "z"])[np.arange(n) % 4]


def fitted(estimator=InfoCORE, **settings):
    x, y, batch = rows()
    return estimator(**SMALL | settings).fit(x, y, batch_id=batch)


# ------------------------------------------------------------------ parameters


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_defaults_are_those_of_config(estimator):
    defaults = {field.name: field.default for field in (*fields(Config), *fields(EpochChoice))} | {"verbose": False}
    for name, parameter in inspect.signature(estimator).parameters.items():
        assert parameter.kind is parameter.KEYWORD_ONLY
        assert parameter.default == defaults[name], name


def test_every_setting_of_config_is_a_parameter_or_left_out_for_a_reason():
    of_screens = {"cell_line_heads", "head_warmup_epochs", "mixup_concentration", "clip_drug", "clip_screen"}
    of_rivals = {"kernel_width", "penalty", "penalty_scale"}  # `pretrain` trains them; the estimators are three methods
    offered = set().union(*(inspect.signature(estimator).parameters for estimator in ESTIMATORS))
    assert {field.name for field in (*fields(Config), *fields(EpochChoice))} - offered == of_screens | of_rivals | {
        "method"
    }
    infocore_only = set(inspect.signature(InfoCORE).parameters) - set(inspect.signature(CLIP).parameters)
    assert infocore_only == {
        "alpha",
        "gradient_scale",
        "mixture",
        "hidden_classifier",
        "classifier_learning_rate",
        "classifier_steps",
        "classifier_momentum",
    }


@pytest.mark.parametrize("estimator", [*ESTIMATORS, Config])
def test_every_parameter_is_explained(estimator):
    documented = " ".join(line.partition(":")[0] for line in inspect.getdoc(estimator).splitlines())
    for name in inspect.signature(estimator).parameters:
        assert name in documented.replace(",", " ").split(), name


def test_unknown_parameters_are_refused():
    with pytest.raises(TypeError, match="alpha"):
        CLIP(alpha=0.3)
    with pytest.raises(TypeError, match="alfa"):
        InfoCORE(alfa=0.3)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"alpha": 1.5}, "alpha = 1.5"),
        ({"temperature": -1}, "temperature = -1"),
        ({"seed": 2**70}, "seed"),
        ({"dropout": 1.0}, "dropout"),
        ({"warmup_epochs": 2}, "warmup_epochs: got 2, expected fewer than epochs = 2"),
        ({"minibatch_size": 1}, "minibatch_size"),
        ({"device": "gpu"}, "device = 'gpu': .*'cpu', 'cuda' or 'cuda:N'"),
        ({"device": "cuda:99"}, "device: got 'cuda:99', expected 'cpu'"),
        ({"epochs": True}, "epochs"),
        ({"alpha": True}, "alpha"),
        ({"verbose": 2}, "verbose: got 2, expected True or False"),
        ({"validation_fraction": 1.0}, "validation_fraction = 1.0"),
        ({"validation_fraction": 0.02}, "validation_fraction: got 0.02 of 48 molecules, 1, expected at least 2"),
        ({"validation_fraction": 0.99}, "validation_fraction: got 0.99 of 48 molecules, 48, expected at least 2"),
        ({"patience": 3}, "patience: got 3, expected None without validation"),
        ({"patience": 0, "validation_fraction": 0.2}, "patience = 0"),
    ],
)
def test_bad_settings_are_named(settings, message):
    x, y, batch = rows()
    with pytest.raises(ValueError, match=message):
        InfoCORE(**SMALL | settings).fit(x, y, batch_id=batch)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_estimators_follow_scikit_learn(estimator):
    model = estimator(**SMALL)
    assert clone(model).get_params() == model.get_params()
    with pytest.raises(NotFittedError):
        model.embed_drug(np.ones((2, 5)))
    x, y, batch = rows()
    z = model.fit(100 * x + 7, y, batch_id=batch).embed_drug(100 * x + 7)
    assert z.shape == (48, 4) and model.embed_screen(y).shape == (48, 4) and model.n_features_in_ == 5
    np.testing.assert_allclose(np.linalg.norm(z, axis=1), 1, rtol=1e-5)
    assert model.batches_.tolist() == ["w", "x", "y", "z"]


def test_a_grid_search_hands_over_numpys_numbers():
    x, y, batch = rows()
    grid = {"epochs": np.arange(1, 3), "temperature": np.float32([0.1, 0.5])}
    found = GridSearchCV(InfoCORE(**SMALL), grid, cv=2, error_score="raise").fit(x, y, batch_id=batch)
    assert 0 <= found.best_score_ <= 1


# ------------------------------------------------------------------ inputs


def test_the_columns_of_a_table_are_put_in_the_order_of_fit():
    x, y, batch = rows()
    drug, screen = pd.DataFrame(x, columns=list("abcde")), pd.DataFrame(y, columns=list("uvwxyz"))
    model = InfoCORE(**SMALL).fit(drug, screen, batch_id=batch)
    assert model.feature_names_in_.tolist() == list("abcde")
    np.testing.assert_array_equal(model.embed_drug(drug[list("edcba")]), model.embed_drug(drug))
    np.testing.assert_array_equal(model.embed_screen(screen[list("zyxwvu")]), model.embed_screen(screen))
    np.testing.assert_array_equal(model.embed_drug(x), model.embed_drug(drug))
    for table, what in ((drug.rename(columns={"a": "A"}), "no column 'a'"), (drug.assign(f=1.0), "a column 'f'")):
        with pytest.raises(ValueError, match=f"X_drug: got {what}"):
            model.embed_drug(table)


def test_smiles_become_mol2vec_features():
    smiles = ["CCO", "CCN", "CCC", "CCCl", "c1ccccc1", "CC(=O)O"] * 4
    y = np.random.default_rng(0).normal(size=(24, 6))
    batch = np.arange(24) % 3
    model = InfoCORE(**SMALL).fit(pd.Series(smiles), y, batch_id=batch)
    assert model.n_features_in_ == 300 and model.pretrained_.trained_on.featuriser == "mol2vec"
    np.testing.assert_array_equal(model.embed_drug(["OCC"]), model.embed_drug(["CCO"]))
    found = model.retrieve(y[:2], smiles[:6], top=3)
    assert set(found["molecule"]) <= set(smiles) and found["query"].tolist() == [0, 0, 0, 1, 1, 1]
    with pytest.raises(ValueError, match="library: got text, expected the 5 features"):
        fitted().retrieve(rows()[1], smiles)


def test_anndata_is_taken_sparse_or_dense():
    anndata = pytest.importorskip("anndata")
    from scipy.sparse import csr_matrix

    x, y, batch = rows()
    dense = anndata.AnnData(
        y, var=pd.DataFrame(index=list("uvwxyz")), obs=pd.DataFrame(index=[f"s{i}" for i in range(48)])
    )
    sparse = dense.copy()
    sparse.X = csr_matrix(y)
    model = CLIP(**SMALL).fit(x, dense)
    np.testing.assert_array_equal(model.embed_screen(dense[:, ::-1]), model.embed_screen(y))
    np.testing.assert_array_equal(model.embed_screen(sparse), model.embed_screen(y))
    assert model.retrieve(dense, x, top=1)["query"].tolist() == dense.obs_names.tolist()


def test_clip_needs_no_batches_and_the_others_say_that_they_do():
    x, y, _ = rows()
    CLIP(**SMALL).fit(x, y)
    for estimator in (CCL, InfoCORE):
        with pytest.raises(ValueError, match=r"batch_id: got None, expected \(48,\) labels"):
            estimator(**SMALL).fit(x, y)


@pytest.mark.parametrize("labels", [[1, 2, 3], ["a", "b", "c"], [0.5, 1.5, 2.5], [True, False, True]])
def test_batch_labels_may_be_of_any_kind(labels):
    x, y, _ = rows()
    batch = [labels[i % 3] for i in range(48)]
    assert InfoCORE(**SMALL).fit(x, y, batch_id=batch).batches_.tolist() == sorted(set(labels))


@pytest.mark.parametrize("missing", [None, float("nan"), pd.NA, pd.NaT])
@pytest.mark.parametrize("argument", ["batch_id", "molecule"])
def test_a_missing_label_is_refused_by_name_and_row(missing, argument):
    x, y, batch = rows()
    labels = batch.astype(object)
    labels[3] = missing
    with pytest.raises(ValueError, match=f"{argument}: got a missing label in row 3"):
        InfoCORE(**SMALL).fit(x, y, **{"batch_id": batch, argument: labels})


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda x, y, b: (np.where(np.arange(5) == 2, np.nan, x), y, b), "X_drug: got NaN .*row 0"),
        (lambda x, y, b: (x, y[:-1], b), "y_screen: got 47 rows, expected 48 like X_drug"),
        (lambda x, y, b: (x[:1], y[:1], b[:1]), "X_drug: got 1 row"),
        (lambda x, y, b: (x, y, b[:3]), r"batch_id: got shape \(3,\)"),
        (lambda x, y, b: ([["a", "b"]] * 48, y, b), "X_drug: got values that are no numbers"),
        (lambda x, y, b: (pd.DataFrame(x).astype(object).assign(text="a"), y, b), "X_drug: got values that are no num"),
        (lambda x, y, b: (x, y, ["one"] * 48), "batch_id: got one experimental batch"),
        (lambda x, y, b: (x, None, b), "y_screen: got None, expected readouts"),
        (lambda x, y, b: (x, y[:, :0], b), r"y_screen: got 0 feature\(s\)"),
        (lambda x, y, b: (x + 0j, y, b), "X_drug: got complex numbers"),
    ],
)
def test_bad_input_is_named(change, message):
    x, y, batch = change(*rows())
    with pytest.raises(ValueError, match=message):
        InfoCORE(**SMALL).fit(x, y, batch_id=batch)


@pytest.mark.parametrize("sparse", ["csr_matrix", "csc_array"])
def test_sparse_matrices_give_what_dense_ones_do(sparse):
    import scipy.sparse

    x, y, batch = rows()
    x, y = np.where(x > 0, x, 0), np.where(y > 0, y, 0)
    made = getattr(scipy.sparse, sparse)
    dense, model = (InfoCORE(**SMALL).fit(*given, batch_id=batch) for given in ((x, y), (made(x), made(y))))
    np.testing.assert_array_equal(model.embed_drug(made(x)), dense.embed_drug(x))
    np.testing.assert_array_equal(model.embed_screen(made(y)), dense.embed_screen(y))
    assert model.score(made(x), made(y), batch) == dense.score(x, y, batch)


def test_after_a_failed_fit_it_counts_as_not_fitted():
    x, y, batch = rows()
    model = InfoCORE(**SMALL).fit(x, y, batch_id=batch)
    with pytest.raises(ValueError, match="one experimental batch"):
        model.fit(9 * x + 3, y, batch_id=["p"] * 48)
    with pytest.raises(NotFittedError):
        model.embed_drug(x)


def test_rows_of_one_molecule_are_never_each_others_negatives():
    """Six drugs told perfectly apart: the loss could not fall below log(64 / 6) = 2.4 nats if rows were contrasted."""
    rng = np.random.default_rng(0)
    drug = np.repeat(4 * np.eye(6), 40, axis=0)
    readout = drug + 0.05 * rng.normal(size=drug.shape)
    settings = dict(epochs=30, minibatch_size=64, embedding_dim=16)
    equal = CLIP(**settings).fit(drug, readout)
    assert equal.pretrained_.history[-1]["contrastive"] < 1.5
    jittered = drug + 1e-6 * rng.normal(size=drug.shape)
    named = CLIP(**settings).fit(jittered, readout, molecule=np.repeat(list("abcdef"), 40))
    apart = CLIP(**settings).fit(jittered, readout)
    assert named.pretrained_.history[-1]["contrastive"] < 1.5 < apart.pretrained_.history[-1]["contrastive"]


def test_of_smiles_salts_and_tautomers_are_one_molecule():
    rng = np.random.default_rng(0)
    spelt = [[text, f"{text}.Cl", f"{text}.O"] for text in ("CCN", "CCCCO", "c1ccccc1", "OC(=O)C1CC1", "CC#N", "CCSC")]
    smiles = [rng.choice(ways) for ways in spelt for _ in range(40)]
    readout = np.repeat(4 * np.eye(6), 40, axis=0) + 0.05 * rng.normal(size=(240, 6))
    settings = dict(epochs=30, minibatch_size=64, embedding_dim=16)
    merged = CLIP(**settings).fit(smiles, readout)
    apart = CLIP(**settings).fit(smiles, readout, molecule=smiles)
    assert merged.pretrained_.history[-1]["contrastive"] < 0.9 < apart.pretrained_.history[-1]["contrastive"]
    assert merged.score(smiles, readout) == 1.0  # one candidate for each molecule, whichever way it is written


def test_large_offsets_and_tiny_units_do_not_spoil_the_scaling():
    x, y, batch = rows()
    plain = InfoCORE(**SMALL).fit(x, y, batch_id=batch)
    shifted = InfoCORE(**SMALL).fit(1e-9 * x, y + 1e7, batch_id=batch)
    np.testing.assert_allclose(shifted.embed_drug(1e-9 * x), plain.embed_drug(x), atol=1e-4)
    np.testing.assert_allclose(shifted.embed_screen(y + 1e7), plain.embed_screen(y), atol=1e-4)


# ------------------------------------------------------------------ validation inside fit


def test_the_epoch_with_the_best_retrieval_of_held_out_molecules_is_kept():
    """The model of the best epoch, which an equal run without validation on the same rows reaches by itself."""
    x, y, batch = rows(96)
    molecule = np.arange(96) % 32
    settings = SMALL | dict(epochs=12, learning_rate=0.01)
    model = InfoCORE(validation_fraction=0.25, **settings).fit(x, y, batch_id=batch, molecule=molecule)
    scores = [epoch["validation"] for epoch in model.pretrained_.history]
    best = int(np.argmax(scores)) + 1
    assert len(scores) == 12 and best < 12

    held_out = next(GroupShuffleSplit(1, test_size=8, random_state=0).split(x, groups=molecule))[1]
    seen = np.setdiff1d(np.arange(96), held_out)
    again = InfoCORE(**settings | dict(epochs=best)).fit(
        x[seen], y[seen], batch_id=batch[seen], molecule=molecule[seen]
    )
    np.testing.assert_array_equal(model.embed_drug(x), again.embed_drug(x))

    z_screen, z_drug = again.embed_screen(y[held_out]), again.embed_drug(x[held_out])
    _, first, target = np.unique(molecule[held_out], return_index=True, return_inverse=True)
    cosine = z_screen @ z_drug[first].T
    same_batch = batch[held_out][:, None] == batch[held_out]
    member = np.stack([same_batch[:, target == i].any(1) for i in range(8)], axis=1)
    expected = []
    for library in (cosine, np.where(member, cosine, -2)):
        rank = 1 + (library > library[np.arange(len(target)), target][:, None]).sum(1)
        expected += [(rank <= k).mean() for k in (1, 5, 10)]
    assert scores[best - 1] == pytest.approx(np.mean(expected))


def test_training_stops_when_patience_is_at_an_end():
    x, y, batch = rows()
    settings = SMALL | dict(epochs=40, validation_fraction=0.25)
    whole = InfoCORE(**settings).fit(x, y, batch_id=batch)
    stopped = InfoCORE(patience=3, **settings).fit(x, y, batch_id=batch)
    scores = [epoch["validation"] for epoch in stopped.pretrained_.history]
    assert len(scores) < 40 and int(np.argmax(scores)) == len(scores) - 4
    assert scores == [epoch["validation"] for epoch in whole.pretrained_.history][: len(scores)]


def test_molecules_that_are_held_out_are_not_trained_on():
    smiles = ["C" * length for length in range(1, 25)] * 2
    y = np.random.default_rng(0).normal(size=(48, 6))
    model = CLIP(**SMALL, validation_fraction=0.25).fit(smiles, y)
    assert len(model.pretrained_.trained_on.molecules) == 18
    assert model.pretrained_.has_seen(smiles[:24]).sum() == 18


def test_a_bar_shows_the_epochs_if_it_is_asked_for(capsys):
    x, y, batch = rows()
    InfoCORE(**SMALL).fit(x, y, batch_id=batch)
    assert capsys.readouterr().err == ""
    InfoCORE(**SMALL, verbose=True).fit(x, y, batch_id=batch)
    assert "infocore: 100%" in capsys.readouterr().err


# ------------------------------------------------------------------ retrieval


def test_retrieve_lists_the_nearest_molecules_with_their_names():
    model, (x, y, _) = fitted(), rows()
    library = pd.DataFrame(x, index=[f"molecule {i}" for i in range(48)])
    found = model.retrieve(y[:3], library, top=5)
    cosine = model.embed_screen(y[:3]) @ model.embed_drug(x).T
    assert list(found.columns) == ["query", "rank", "molecule", "cosine"] and len(found) == 15
    for query, part in found.groupby("query"):
        best = np.argsort(-cosine[query])[:5]
        assert part["molecule"].tolist() == [f"molecule {i}" for i in best] and part["rank"].tolist() == [1, 2, 3, 4, 5]
        np.testing.assert_allclose(part["cosine"], cosine[query, best], atol=1e-6)


@pytest.mark.parametrize("top", [0, 49, True, 2.5])
def test_retrieve_names_a_top_that_does_not_fit(top):
    model, (x, y, _) = fitted(), rows()
    with pytest.raises(ValueError, match="top: got .*expected 1 to 48"):
        model.retrieve(y, x, top=top)
    with pytest.raises(ValueError, match="library: got shape"):
        model.retrieve(y, x[:0])


def test_score_is_top_1_accuracy_of_unique_molecules():
    model, (x, y, batch) = fitted(epochs=10), rows()
    x[24:] = x[:24]  # two rows a molecule
    z_drug, z_screen = model.embed_drug(x[:24]), model.embed_screen(y)
    cosine, target = z_screen @ z_drug.T, np.arange(48) % 24
    assert model.score(x, y) == pytest.approx((cosine.argmax(1) == target).mean())
    within = [np.where(batch[:24] == label, row, -2).argmax() for row, label in zip(cosine, batch)]
    assert model.score(x, y, batch) == pytest.approx((np.array(within) == target).mean())
    jittered = x + 1e-9 * np.arange(48)[:, None]  # no two rows alike, so only the labels say what is one molecule
    assert model.score(jittered, y, batch, molecule=target) == pytest.approx(model.score(x, y, batch))
    assert model.score(jittered, y, batch) < model.score(x, y, batch)


# ------------------------------------------------------------------ files


def test_a_saved_estimator_embeds_bit_for_bit_in_another_process(tmp_path):
    x, y, batch = rows()
    x, y, choice = 3 + 5 * x, 4 * y - 2, dict(validation_fraction=0.25, patience=2)
    model = InfoCORE(**SMALL | dict(epochs=3, hidden_drug=[8, 8], adam_betas=[0.5, 0.9], **choice)).fit(
        x, y, batch_id=batch
    )
    path = tmp_path / "model.safetensors"
    model.save(path)
    np.savez(tmp_path / "here.npz", x=x, y=y, drug=model.embed_drug(x), screen=model.embed_screen(y))
    script = textwrap.dedent(
        """
        import sys, numpy as np
        from infocore_mini import InfoCORE, Pretrained
        here = np.load(sys.argv[2])
        model = InfoCORE.load(sys.argv[1])
        assert np.array_equal(model.embed_drug(here["x"]), here["drug"])
        assert np.array_equal(model.embed_screen(here["y"]), here["screen"])
        inner = Pretrained.load(sys.argv[1])
        assert np.array_equal(inner.embed_screen(here["y"]).numpy(), here["screen"])
        assert model.batches_.tolist() == ["w", "x", "y", "z"] and model.epochs == 3
        assert model.validation_fraction == 0.25 and model.patience == 2
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(path), str(tmp_path / "here.npz")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_what_the_estimators_inner_model_saves_takes_raw_input(tmp_path):
    model, (_, y, _) = fitted(), rows()
    model.pretrained_.save(tmp_path / "inner.safetensors")
    inner = Pretrained.load(tmp_path / "inner.safetensors")
    np.testing.assert_array_equal(inner.embed_screen(y).numpy(), model.embed_screen(y))


def test_a_model_trained_on_a_gpu_loads_where_there_is_none(tmp_path):
    model, (x, _, _) = fitted(), rows()
    z = model.embed_drug(x)
    absent = f"cuda:{torch.cuda.device_count()}"
    model.pretrained_.config = replace(model.pretrained_.config, device=absent)
    model.save(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(InfoCORE.load(tmp_path / "model.safetensors").embed_drug(x), z)
    np.testing.assert_array_equal(InfoCORE.load(tmp_path / "model.safetensors", device="cpu").embed_drug(x), z)


def test_another_methods_file_is_refused(tmp_path):
    fitted(CCL).save(tmp_path / "ccl.safetensors")
    with pytest.raises(ValueError, match="ccl.safetensors holds a model of 'ccl', expected one that InfoCORE saved"):
        InfoCORE.load(tmp_path / "ccl.safetensors")


@pytest.mark.parametrize("how", ["cut", "foreign", "text", "missing"])
def test_a_file_that_is_no_model_is_refused_by_name(tmp_path, how):
    path = tmp_path / "some.safetensors"
    if how == "cut":
        fitted().save(path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif how == "foreign":
        from safetensors.torch import save_file

        save_file({"x": torch.zeros(3)}, path)
    elif how == "text":
        path.write_text(json.dumps({"model": 1}))
    kind = FileNotFoundError if how == "missing" else ValueError
    with pytest.raises(kind, match=r"path: .*some\.safetensors"):
        InfoCORE.load(path)


def test_saving_names_what_is_wrong(tmp_path):
    with pytest.raises(NotFittedError):
        InfoCORE().save(tmp_path / "model.safetensors")
    with pytest.raises(FileNotFoundError, match="existing folder"):
        fitted().save(tmp_path / "nowhere" / "model.safetensors")
    assert not list(tmp_path.iterdir())


# ------------------------------------------------------------------ the face


def test_the_face_is_what_dir_shows():
    assert dir(infocore_mini) == sorted(infocore_mini.__all__)
    for name in infocore_mini.__all__:
        assert getattr(infocore_mini, name).__module__.startswith("infocore_mini.")
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        infocore_mini.nothing  # noqa: B018
