"""The simulation study (section 3.1): draws, methods and scores."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import pandas as pd
import torch
from joblib import Parallel, delayed
from torch import Tensor
from torch.nn.functional import cross_entropy
from tqdm import tqdm

from infocore_mini.config import Config, settings_of
from infocore_mini.encoders import MLP
from infocore_mini.evaluate.mixing import batch_mixing_entropy, knn_purity, linear_probe
from infocore_mini.experiments.records import Record, in_parallel, kept
from infocore_mini.parameters import Count, Fraction, NonNegative, Positive
from infocore_mini.simulate.study import SimulationStudy, simulation_study
from infocore_mini.train import Pretrained, pretrain

Task = tuple[int, str, Mapping, Mapping]  # the first four arguments of run_one: draw, method, generator, settings

METHODS = ("clip", "ccl", "infocore")
NEIGHBOURS = (2, 5, 10, 15, 20)
TUNING_DRAWS = range(1000, 1008)  # settings were chosen on these draws; others are reported

# Given by the paper (appendix H): 2-d embeddings, hidden width 128, alpha, lambda. The rest is ours.
SETTINGS = MappingProxyType(
    dict(
        embedding_dim=2,
        hidden_drug=(128, 128),
        hidden_screen=(128, 128),
        alpha=0.09,
        gradient_scale=0.1,
        temperature=1.0,
        minibatch_size=64,
        epochs=120,
        learning_rate=3e-3,
        hidden_classifier=(128,),
        classifier_learning_rate=1e-2,
        classifier_steps=2,
    )
)
# The generator as the paper describes it; what it leaves open is ours.
GENERATOR = MappingProxyType(dict(noise=0.5, activation="relu", generator_width=30))


def supervised_ceiling(study: SimulationStudy, view: str, *, epochs: int = 100, seed: int = 0) -> float:
    """Effect accuracy of a 2-d encoder trained *with* the effect labels: what two dimensions can hold at best.

    The same 3-layer MLP as the contrastive encoders, with a linear layer on top, trained on the training
    half; a linear probe scores its 2-d output on the held-out half.

    Args:
        study: one draw.
        view: "drug" or "screen".

    Returns:
        Accuracy, a fraction.
    """
    x = getattr(study, view)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder, head = MLP(x.shape[1], (128, 128), 2), torch.nn.Linear(2, int(study.effect.max()) + 1)
        optimiser = torch.optim.Adam(
            [*encoder.parameters(), *head.parameters()], lr=3e-3, weight_decay=1e-4, fused=True
        )
        for _ in range(epochs):
            for rows in study.train[torch.randperm(len(study.train))].split(64):
                optimiser.zero_grad()
                cross_entropy(head(encoder(x[rows])), study.effect[rows]).backward()
                optimiser.step()
        with torch.no_grad():
            z = encoder(x[study.held_out])
    return linear_probe(z, study.effect[study.held_out])[0]


def ceilings(draws: Iterable[int], noises: Sequence[float], *, n_jobs: int = 2, **generator) -> pd.DataFrame:
    """``supervised_ceiling`` of both views over draws and noise levels: rows of noise, draw, view, ceiling."""

    def one(draw: int, noise: float, view: str) -> dict:
        torch.set_num_threads(1)
        study = simulation_study(draw, noise=noise, **generator)
        return {"noise": noise, "draw": draw, "view": view, "ceiling": supervised_ceiling(study, view)}

    tasks = [(draw, noise, view) for noise in noises for draw in draws for view in ("screen", "drug")]
    return pd.DataFrame(Parallel(n_jobs=n_jobs)(delayed(one)(*task) for task in tasks))


def config_of(method: str, draw: int, settings: Mapping = MappingProxyType({})) -> Config:
    """How a method is trained on a draw: ``SETTINGS``, as far as ``settings`` does not change them."""
    return Config(**{**SETTINGS, **settings, "method": method, "seed": draw})


def train_on(study: SimulationStudy, config: Config) -> Pretrained:
    """Pretrain on the training half of a draw."""
    rows = study.train
    return pretrain(study.drug[rows], study.screen[rows], study.batch_id[rows], config)


def stages(study: SimulationStudy, models: Mapping[str, Pretrained]) -> dict[str, dict[str, Tensor]]:
    """Embeddings of the held-out half as training goes on: stage -> method -> (n_held_out, d).

    The screens after one epoch and after a twelfth of all (the same trainings, stopped early), and as trained; then the
    drugs, as trained.

    Args:
        models: method -> what `train_on` made of it on this draw, all of so many epochs.
    """
    screen, drug = study.screen[study.held_out], study.drug[study.held_out]
    (length,) = {model.config.epochs for model in models.values()}
    found = {}
    for epochs in sorted({1, max(1, length // 12)} - {length}):
        early = {method: train_on(study, replace(model.config, epochs=epochs)) for method, model in models.items()}
        found[f"screens, epoch {epochs}"] = {method: model.embed_screen(screen) for method, model in early.items()}
    found["screens, trained"] = {method: model.embed_screen(screen) for method, model in models.items()}
    return found | {"drugs, trained": {method: model.embed_drug(drug) for method, model in models.items()}}


def score(study: SimulationStudy, model: Pretrained) -> list[dict]:
    """Scores on the held-out half, one row for "screen" (Z_g), one for "drug" (Z_d).

    Returns:
        Rows with view; effect and batch, accuracies of the linear probes; purity_k and entropy_k (nats)
        for each k of ``NEIGHBOURS``.
    """
    rows = study.held_out
    effect, batch_id = study.effect[rows], study.batch_id[rows]
    scores = []
    for view, embed in (("screen", model.embed_screen), ("drug", model.embed_drug)):
        x = getattr(study, view)[rows]
        z = embed(x)
        purity = knn_purity(x, z, batch_id, k=NEIGHBOURS)
        entropy = batch_mixing_entropy(z, batch_id, k=NEIGHBOURS)
        row = {"view": view, "effect": linear_probe(z, effect)[0], "batch": linear_probe(z, batch_id)[0]}
        row |= {f"purity_{k}": value for k, value in zip(NEIGHBOURS, purity)}
        scores.append(row | {f"entropy_{k}": value for k, value in zip(NEIGHBOURS, entropy)})
    return scores


def run(
    draws: Iterable[int],
    methods: Sequence[str] = METHODS,
    *,
    generator: Mapping = MappingProxyType({}),
    settings: Mapping = MappingProxyType({}),
    n_jobs: int = 2,
) -> pd.DataFrame:
    """Train every method on every draw of the data; draw s is generated and trained with seed s.

    Args:
        draws: seeds.
        methods: of "clip", "ccl", "infocore".
        generator: what to change in ``GENERATOR``.
        settings: what to change in ``SETTINGS``.
        n_jobs: processes, one thread each.

    Returns:
        A row for each draw, method and view, with the columns of ``score``.
    """
    tasks = [(draw, method, generator, settings) for draw in draws for method in methods]
    return pd.DataFrame([row for record in run_all(tasks, n_jobs=n_jobs) for row in record.result["scores"]])


def run_all(tasks: Sequence[Task], folder: Path | None = None, *, n_jobs: int = 2) -> list[Record]:
    """Records of ``run_one`` in the order of the tasks; ``n_jobs`` at a time."""
    jobs = (delayed(run_one)(*task, folder) for task in tasks)
    records = in_parallel(n_jobs, return_as="generator")(jobs)
    return list(tqdm(records, total=len(tasks), desc="simulation"))


def run_one(draw: int, method: str, generator: Mapping, settings: Mapping, folder: Path | None = None) -> Record:
    """One method on one draw.

    Args:
        folder: where the record is kept and found again; None = nowhere.

    Returns:
        A record whose result are "scores", two rows with draw, method and the columns of ``score``, and "losses", the
        mean losses of every epoch.
    """
    torch.set_num_threads(1)
    generator = {**GENERATOR, **generator}
    config = config_of(method, draw, settings)

    def make() -> tuple[dict[str, list[dict]], dict[str, str]]:
        study = simulation_study(draw, **generator)
        model = train_on(study, config)
        scores = [{"draw": draw, "method": method, **row} for row in score(study, model)]
        return {"scores": scores, "losses": model.history}, {}

    return kept(folder, "simulation", {"generator": generator, "config": settings_of(config)}, make)


# The notebook's parameters, and what each may be: of the generator, and of the training.
GENERATOR_PARAMETERS = MappingProxyType(
    dict(NOISE=NonNegative, ACTIVATION=Literal["relu", "tanh", "silu", "leaky_relu"], GENERATOR_WIDTH=Count)
)
TRAINING_PARAMETERS = MappingProxyType(
    dict(
        ALPHA=Fraction,
        GRADIENT_SCALE=NonNegative,
        TEMPERATURE=Positive,
        LEARNING_RATE=Positive,
        MINIBATCH_SIZE=Count,
        EPOCHS=Count,
        CLASSIFIER_STEPS=Count,
    )
)
