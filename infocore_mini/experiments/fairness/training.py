"""One run of the fairness experiment: pretrain, freeze the encoder, fit the head, score per group (Section 3.3)."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from infocore_mini.config import Config
from infocore_mini.encoders import MLP
from infocore_mini.evaluate.fairness import all_aggregates
from infocore_mini.readers.fairness import GROUPS, FairnessData
from infocore_mini.train import pretrain


@dataclass(frozen=True)
class Setting:
    """What is chosen on validation rows, shared by the three tables.  `noise` in standard deviations of an input."""

    temperature: float = 0.5
    noise: float = 0.5
    embedding_dim: int = 8
    alpha: float = 0.5
    gradient_scale: float = 1.0


@dataclass(frozen=True)
class Budget:
    """Length of training: optimiser steps (the same for every table), and rows per minibatch."""

    steps: int = 500
    minibatch_size: int = 64


def config_for(method: str, setting: Setting, budget: Budget, *, n_rows: int, seed: int) -> Config:
    """The training configuration of one run on `n_rows` training rows.

    All methods compare an anchor with as many queued candidates: one queue of 4 minibatches, or for CCL one minibatch
    per group.
    """
    size = min(budget.minibatch_size, n_rows)
    return Config(
        method=method,
        framework="moco",
        alpha=setting.alpha,
        gradient_scale=setting.gradient_scale,
        temperature=setting.temperature,
        embedding_dim=setting.embedding_dim,
        hidden_drug=(64, 64),
        hidden_classifier=(64,),
        noise_drug=setting.noise,
        epochs=max(1, round(budget.steps / (n_rows // size))),
        minibatch_size=size,
        learning_rate=3e-3,
        classifier_learning_rate=3e-3,
        classifier_steps=5,
        queue_size=size if method == "ccl" else len(GROUPS) * size,
        momentum=0.99,
        classifier_momentum=0.99,
        seed=seed,
    )


def run_method(data: FairnessData, method: str, setting: Setting, budget: Budget, seed: int) -> dict:
    """Pretrain, freeze, fit the head, score.  `method` also takes "supervised": the head on the raw inputs.

    Returns {"validation": scores, "test": scores}; scores maps each of AGGREGATES to `fairness_gaps`.
    """
    parts = {"train": data.train, "validation": data.validation, "test": data.test}
    inputs = {name: torch.from_numpy(rows.x) for name, rows in parts.items()}
    if method != "supervised":
        config = config_for(method, setting, budget, n_rows=len(data.train), seed=seed)
        encoder = pretrain(data.train.x, None, data.train.group, config)
        inputs = {name: encoder.embed_drug(x) for name, x in inputs.items()}
    labels = {name: torch.from_numpy(rows.label) for name, rows in parts.items()}
    head = fit_head(inputs["train"], labels["train"], inputs["validation"], labels["validation"], seed=seed)
    scored = {name: parts[name] for name in ("validation", "test")}
    return {name: all_aggregates(rows.label, head(inputs[name]), rows.group) for name, rows in scored.items()}


def fit_head(x, label, x_validation, label_validation, *, seed: int, steps: int = 300) -> Callable:
    """A 2-layer MLP (64 hidden units) trained on (x, label), kept at its lowest validation cross-entropy.

    x: (n, p) float; label: (n,) 0/1.  Returns a function (m, p) -> (m,) numpy predictions.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = MLP(x.shape[1], (64,), 2)
        minibatches = torch.randint(len(x), (steps, 512))
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
    best, best_loss = deepcopy(model.state_dict()), float("inf")
    for step, rows in enumerate(minibatches):
        optimiser.zero_grad()
        cross_entropy(model(x[rows]), label[rows]).backward()
        optimiser.step()
        if step % 20 == 19:
            with torch.no_grad():
                loss = cross_entropy(model(x_validation), label_validation).item()
            if loss < best_loss:
                best, best_loss = deepcopy(model.state_dict()), loss
    model.load_state_dict(best)

    @torch.no_grad()
    def predict(rows) -> np.ndarray:
        return model(rows).argmax(dim=1).numpy()

    return predict
