"""What a finished training run gives out."""

import numpy as np
import pytest
import torch
from torch import nn

from infocore_mini.config import Config
from infocore_mini.encoders import CellLineEncoder
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
