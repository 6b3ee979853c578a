"""The fairness experiment (Section 3.3; Tables 4 and 9): ``python -m infocore_mini.experiments.fairness``.

Each run: contrastive pretraining (MoCo) on two noisy views of the same rows through one shared encoder, X_b = group;
the encoder is frozen, a 2-layer MLP predicts the label from it, and predictions are scored per group.
The command first chooses one setting for all three tables on validation rows (`choose`), then reports ten other seeds
on the test rows.  Every finished run is one line of a JSON-lines file, so that a run that was cut off goes on.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.nn.functional import cross_entropy
from tqdm.auto import tqdm

from infocore_mini.encoders import MLP
from infocore_mini.evaluate.fairness import GAPS, fairness_gaps
from infocore_mini.fairness_data import FairnessData, load_fairness
from infocore_mini.provenance import save_results
from infocore_mini.train import Config, pretrain

DATASETS = ("adult", "law_school", "compas")
METHODS = ("clip", "ccl", "infocore")
AGGREGATES = ("mean", "max", "median")
SELECTION_SEEDS = (1000, 1001)
REPORTED_SEEDS = tuple(range(10))
MARGIN = 0.005  # accuracy that a setting may give up, as a fraction
N_GROUPS = 4


@dataclass(frozen=True)
class Setting:
    """What is chosen on validation rows, shared by the three tables.  `noise` in standard deviations of an input."""

    temperature: float = 0.2
    noise: float = 0.3
    embedding_dim: int = 16
    alpha: float = 0.5
    gradient_scale: float = 1.0


@dataclass(frozen=True)
class Budget:
    """Length of training: optimiser steps (the same for every table), and rows per minibatch."""

    steps: int = 500
    minibatch_size: int = 128


ENCODER_GRID = tuple(
    Setting(temperature=tau, noise=noise, embedding_dim=dim)
    for tau, noise, dim in product((0.1, 0.3, 1.0), (0.1, 0.3), (16, 64))
)
WEIGHT_GRID = tuple(product((0.2, 0.5, 0.8), (0.0, 1.0, 3.0)))  # alpha, gradient_scale


# ---- one run -----------------------------------------------------------------------------------------------------


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
        hidden_a=(64, 64),
        hidden_classifier=(64,),
        noise_a=setting.noise,
        epochs=max(1, round(budget.steps / (n_rows // size))),
        minibatch_size=size,
        classifier_learning_rate=3e-3,
        queue_size=size if method == "ccl" else N_GROUPS * size,
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
        inputs = {name: encoder.embed_a(x) for name, x in inputs.items()}
    labels = {name: torch.from_numpy(rows.label) for name, rows in parts.items()}
    head = fit_head(inputs["train"], labels["train"], inputs["validation"], labels["validation"], seed=seed)
    return {name: _scores(head(inputs[name]), parts[name]) for name in ("validation", "test")}


def fit_head(x, label, x_validation, label_validation, *, seed: int, steps: int = 400) -> Callable:
    """A 2-layer MLP (64 hidden units) trained on (x, label), kept at its lowest validation cross-entropy.

    x: (n, p) float; label: (n,) 0/1.  Returns a function (m, p) -> (m,) numpy predictions.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = MLP(x.shape[1], (64,), 2)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
    best, best_loss = model.state_dict(), float("inf")
    for step in range(steps):
        optimiser.zero_grad()
        cross_entropy(model(x), label).backward()
        optimiser.step()
        if step % 10 == 9:
            with torch.no_grad():
                loss = cross_entropy(model(x_validation), label_validation).item()
            if loss < best_loss:
                best, best_loss = deepcopy(model.state_dict()), loss
    model.load_state_dict(best)

    @torch.no_grad()
    def predict(rows) -> np.ndarray:
        return model(rows).argmax(dim=1).numpy()

    return predict


def _scores(predicted, rows) -> dict:
    return {how: fairness_gaps(rows.label, predicted, rows.group, aggregate=how) for how in AGGREGATES}
