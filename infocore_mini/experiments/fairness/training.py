"""One run of the fairness experiment: pretrain, freeze the encoder, fit the head, score per group (Section 3.3)."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch.nn.functional import cross_entropy

from infocore_mini.config import Config
from infocore_mini.encoders import MLP
from infocore_mini.evaluate.fairness import all_aggregates
from infocore_mini.readers.fairness import GROUPS, FairnessData, Rows
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
    """Optimiser steps after which a run is scored, ascending (the same for every table), and rows per minibatch."""

    steps: tuple[int, ...] = (500,)
    minibatch_size: int = 64


class Head(NamedTuple):
    """A trained head: (m, p) float -> (m,) predictions 0/1, and its validation cross-entropy (nats) every 20 steps."""

    predict: Callable[[torch.Tensor], np.ndarray]
    validation: list[float]


def config_for(method: str, setting: Setting, steps: int, minibatch_size: int, *, n_rows: int, seed: int) -> Config:
    """The training configuration of `steps` optimiser steps, in whole epochs, on `n_rows` training rows.

    CLIP and InfoCORE compare an anchor with one queue of 4 minibatches, CCL with its own group's queue of 1 minibatch:
    the queues hold as many rows in all, but an anchor of CCL meets a quarter of them.
    """
    size = min(minibatch_size, n_rows)
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
        epochs=max(1, round(steps / (n_rows // size))),
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

    A run that is scored at several lengths is trained once: each goes on where the one before stopped, and has the
    weights of a run of that length alone.

    Returns {"curve": see `curve`, {} for "supervised"; "after": steps -> {"validation": scores, "test": scores,
    "predicted": `packed` predictions on the test rows, "head": as in `Head`}}; scores maps each of AGGREGATES to
    `fairness_gaps`.
    """
    parts = {"train": data.train, "validation": data.validation, "test": data.test}
    inputs = {name: torch.from_numpy(rows.x) for name, rows in parts.items()}
    if method == "supervised":
        return {"curve": {}, "after": {steps: _scored(parts, inputs, seed) for steps in budget.steps}}
    after = {}
    with TemporaryDirectory() as folder:
        for steps in budget.steps:
            config = config_for(method, setting, steps, budget.minibatch_size, n_rows=len(data.train), seed=seed)
            encoder = pretrain(data.train.x, None, data.train.group, config, checkpoint=Path(folder) / "run.pt")
            after[steps] = _scored(parts, {name: encoder.embed_drug(x) for name, x in inputs.items()}, seed)
    return {"curve": curve(encoder.history, len(data.train) // config.minibatch_size), "after": after}


def _scored(parts: dict[str, Rows], inputs: dict[str, torch.Tensor], seed: int) -> dict:
    """What `run_method` keeps of one length, from the head's inputs for each part."""
    labels = {name: torch.from_numpy(rows.label) for name, rows in parts.items()}
    head = fit_head(inputs["train"], labels["train"], inputs["validation"], labels["validation"], seed=seed)
    predicted = {name: head.predict(inputs[name]) for name in ("validation", "test")}
    scores = {name: all_aggregates(parts[name].label, found, parts[name].group) for name, found in predicted.items()}
    return scores | {"predicted": packed(predicted["test"]), "head": [round(loss, 4) for loss in head.validation]}


def curve(history: Sequence[Mapping[str, float]], epoch_steps: int, *, points: int = 40) -> dict[str, list[float]]:
    """The losses of a run (nats) as columns "step", "contrastive", "classifier", thinned to at most `points` rows.

    A row is the mean over neighbouring epochs; "step" is the last of their optimiser steps.
    """
    parts = np.array_split(np.arange(len(history)), min(points, len(history)))
    rows = {"step": [int(epochs[-1] + 1) * epoch_steps for epochs in parts]}
    for name in ("contrastive", "classifier"):
        rows[name] = [round(float(np.mean([history[epoch][name] for epoch in epochs])), 4) for epochs in parts]
    return rows


def packed(values: ArrayLike) -> str:
    """(n,) of 0 and 1 as text: eight to a byte (`numpy.packbits`), in base64."""
    return base64.b64encode(np.packbits(np.asarray(values, dtype=np.uint8)).tobytes()).decode()


def unpacked(text: str, n: int) -> NDArray[np.uint8]:
    """The (n,) values of 0 and 1 that `packed` wrote."""
    return np.unpackbits(np.frombuffer(base64.b64decode(text), dtype=np.uint8), count=n)


def fit_head(x, label, x_validation, label_validation, *, seed: int, steps: int = 300) -> Head:
    """A 2-layer MLP (64 hidden units) trained on (x, label), kept at its lowest validation cross-entropy.

    x: (n, p) float; label: (n,) 0/1.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = MLP(x.shape[1], (64,), 2)
        minibatches = torch.randint(len(x), (steps, 512))
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
    best, losses = deepcopy(model.state_dict()), []
    for step, rows in enumerate(minibatches):
        optimiser.zero_grad()
        cross_entropy(model(x[rows]), label[rows]).backward()
        optimiser.step()
        if step % 20 == 19:
            with torch.no_grad():
                losses.append(cross_entropy(model(x_validation), label_validation).item())
            if losses[-1] == min(losses):
                best = deepcopy(model.state_dict())
    model.load_state_dict(best)

    @torch.no_grad()
    def predict(rows) -> np.ndarray:
        return model(rows).argmax(dim=1).numpy()

    return Head(predict, losses)
