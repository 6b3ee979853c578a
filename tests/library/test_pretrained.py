"""What a finished training run gives out."""

import numpy as np
import pytest
import torch
from torch import nn

from infocore_mini import InfoCORE, Pretrained, sources
from infocore_mini.config import Config
from infocore_mini.encoders import CellLineEncoder
from infocore_mini.featurize import mol2vec
from infocore_mini.train import pretrain


@pytest.mark.parametrize("heads", [False, True])
def test_the_drug_body_is_the_encoder_before_heads_and_norm(heads):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(40, 6)), rng.normal(size=(40, 5))
    config = Config(method="clip", hidden_drug=(7,), hidden_screen=(7,), embedding_dim=4, epochs=1, minibatch_size=20)
    model = pretrain(a, b, np.arange(40) % 2, config)
    if heads:
        model.model.encoders[0] = CellLineEncoder(6, (7,), 4, 2)
    scaler, drug_body = model.drug_body()
    x = torch.from_numpy(a).float()
    if heads:
        assert torch.equal(drug_body(x), model.model.encoders[0].universal(x))
    else:
        assert torch.allclose(nn.functional.normalize(drug_body(scaler(x)), dim=1), model.embed_drug(a), atol=1e-6)
    next(drug_body.parameters()).data.zero_()
    assert all(bool(p.any()) for p in list(model.model.encoders[0].parameters())[:1])  # a copy


# ------------------------------------------------------------------ models by name


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """No data folder, an empty cache and no network."""
    monkeypatch.delenv("INFOCORE_DATA", raising=False)
    monkeypatch.setattr(sources, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr(sources, "_from_url", lambda source: pytest.fail("the network was asked"))
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("load", [Pretrained.load, InfoCORE.load])
def test_a_model_of_the_project_is_loaded_by_its_name_without_a_network(load, offline):
    named, by_path = load("comas"), load(sources.data_file("models/comas.safetensors"))
    smiles = ["CC(=O)Oc1ccccc1C(=O)O", "CN1C=NC2=C1C(=O)N(C(=O)N2C)C"]
    molecules = smiles if load == InfoCORE.load else mol2vec(smiles)
    z = np.asarray(named.embed_drug(molecules))
    assert z.shape == (2, 256) and np.allclose(np.linalg.norm(z, axis=1), 1, atol=1e-5) and abs(z[0] @ z[1]) < 0.99
    np.testing.assert_array_equal(z, np.asarray(by_path.embed_drug(molecules)))


def test_a_path_wins_over_a_name_and_an_unknown_name_lists_the_known(offline, tmp_path):
    (tmp_path / "comas").write_bytes(b"a file of another kind")
    with pytest.raises(ValueError, match="path: comas is damaged or no safetensors file"):
        Pretrained.load("comas")
    with pytest.raises(FileNotFoundError, match="path: no file camos, expected a file or a model's name: comas"):
        Pretrained.load("camos")
    with pytest.raises(FileNotFoundError, match="path: no file comas.safetensors$"):
        Pretrained.load("comas.safetensors")


def test_a_corrupt_model_is_refused(offline, monkeypatch, tmp_path):
    content = bytearray(sources.data_file("models/comas.safetensors").read_bytes())
    content[-1] ^= 1
    (tmp_path / "comas.safetensors").write_bytes(content)
    monkeypatch.setattr(sources, "data_file", lambda name: tmp_path / "comas.safetensors")
    with pytest.raises(sources.ChecksumError, match="comas.safetensors: expected SHA-256"):
        Pretrained.load("comas")
