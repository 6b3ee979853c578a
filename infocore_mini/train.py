"""One training loop for every method, framework and pair of views.

Each step alternates (section 2.2.3): first the encoders on the contrastive loss, classifiers frozen;
then, for InfoCORE, the batch classifiers on the cross-entropy of the detached embeddings.
"""

from __future__ import annotations

import json
import math
import os
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import torch
from pydantic import TypeAdapter
from safetensors import safe_open
from safetensors.torch import load_model, save_model
from torch import Tensor
from torch.nn.functional import nll_loss
from tqdm.auto import tqdm

from infocore_mini.augment import feature_dropout, gaussian_noise
from infocore_mini.config import Config
from infocore_mini.contrast import Candidates, MoCo, SimCLR, TwoTower
from infocore_mini.encoders import BatchClassifier, Encoder
from infocore_mini.losses import info_nce, reweighted_info_nce, same_batch_only
from infocore_mini.validation import as_matrix, check_pairs


class Pretrained:
    """Trained encoders and classifiers: what ``pretrain`` returns and ``load`` reads back.

    Attributes:
        config: the ``Config`` of the run.
        history: per epoch, mean "contrastive" and "classifier" loss in nats.
        shapes: {"n_a", "n_b", "n_batches", "shared"}.
    """

    def __init__(self, model: TwoTower, config: Config, shapes: dict, history: list[dict[str, float]]) -> None:
        self.model, self.config, self.shapes, self.history = model.eval(), config, shapes, history

    def embed_a(self, a) -> Tensor:
        """(n, n_a) -> (n, d) unit-norm embeddings of view a, on the CPU."""
        return self._embed(0, as_matrix("a", a, self.shapes["n_a"]))

    def embed_b(self, b) -> Tensor:
        """(n, n_b) -> (n, d) unit-norm embeddings of view b, on the CPU."""
        return self._embed(1, as_matrix("b", b, self.shapes["n_b"]))

    @torch.no_grad()
    def _embed(self, view: int, x: Tensor) -> Tensor:
        parts = [self.model.encoders[view](part.to(self.config.device)).cpu() for part in x.split(65_536)]
        return torch.cat(parts)

    def save(self, path: str | Path) -> None:
        """Write weights and configuration as one safetensors file (no pickle)."""
        run = {"config": asdict(self.config), "shapes": self.shapes, "history": self.history}
        save_model(self.model, str(path), metadata={"run": json.dumps(run)})

    @classmethod
    def load(cls, path: str | Path) -> Pretrained:
        """Read what ``save`` wrote."""
        with safe_open(str(path), framework="pt") as file:
            run = json.loads(file.metadata()["run"])
        config = TypeAdapter(Config).validate_python(run["config"])
        model = _build(config, run["shapes"])
        load_model(model, str(path))
        return cls(model.to(config.device), config, run["shapes"], run["history"])


def pretrain(
    a, b, batch_id, config: Config, *, checkpoint: str | Path | None = None, progress: bool = False
) -> Pretrained:
    """Train two encoders (or, with b = None, one shared by two noisy views of a) by contrast.

    Args:
        a: (n, n_a) view a, such as drug features. Array or tensor, finite, already standardised.
        b: (n, n_b) view b, such as screen readouts; None = a second noisy view of a.
        batch_id: (n,) integer codes of the experimental batches, 0 .. n_B - 1, or (n, n_B) soft labels.
        config: method and all settings.
        checkpoint: file that is written after every epoch and resumed from if it exists; a resumed run
            ends with the same weights as an uninterrupted one.
        progress: show a bar over epochs.

    Raises:
        ValueError: on NaN, wrong shapes, batch ids that are no codes, fewer than 2 experimental batches
            where the method needs them, or a checkpoint of another configuration or data shape.
        FloatingPointError: if the loss stops being finite.
    """
    a, b, batch_id, n_batches = check_pairs(a, b, batch_id, config)
    with _seeded(config):
        trainer = _Trainer(a, b, batch_id, n_batches, config)
        if checkpoint is not None and Path(checkpoint).exists():
            trainer.load(Path(checkpoint))
        for _ in tqdm(range(trainer.epoch, config.epochs), desc=config.method, disable=not progress):
            trainer.run_epoch()
            if checkpoint is not None:
                trainer.save(Path(checkpoint))
    return Pretrained(trainer.model, config, trainer.shapes, trainer.history)


class _Trainer:
    """State of a run: networks, optimisers, queues, epoch and history."""

    def __init__(self, a: Tensor, b: Tensor | None, batch_id: Tensor, n_batches: int, config: Config) -> None:
        self.config, self.epoch, self.history = config, 0, []
        self.a, self.b, self.batch_id = a, b, batch_id
        self.shapes = {
            "n_a": a.shape[1],
            "n_b": (a if b is None else b).shape[1],
            "n_batches": n_batches,
            "shared": b is None,
        }
        self.model = _build(config, self.shapes).to(config.device).train()
        self.framework = self._build_framework(n_batches).to(config.device)
        self.encoder_optimiser = _adam(self.model.encoders, config.learning_rate)
        self.classifier_optimiser = _adam(self.model.classifiers, config.classifier_learning_rate)

    def _build_framework(self, n_batches: int) -> SimCLR | MoCo:
        config = self.config
        if config.framework == "simclr":
            return SimCLR()
        return MoCo(
            self.model,
            queue_size=config.queue_size,
            n_lanes=n_batches if config.method == "ccl" else 1,
            dim=config.embedding_dim,
            n_batches=n_batches if config.method == "infocore" else 0,
            momentum=config.momentum,
            classifier_momentum=config.classifier_momentum,
            label_shape=tuple(self.batch_id.shape[1:]),
        )

    def run_epoch(self) -> None:
        """One pass over the data; appends the mean losses to the history."""
        losses = [self._step(rows) for rows in self._minibatches()]
        contrastive, classifier = torch.stack(losses).mean(0).tolist()
        if not math.isfinite(contrastive + classifier):
            raise FloatingPointError(
                f"loss is {contrastive} after epoch {self.epoch}: lower learning_rate or raise temperature"
            )
        self.history.append({"contrastive": contrastive, "classifier": classifier})
        self.epoch += 1

    def _minibatches(self) -> list[Tensor]:
        """Row indices of each minibatch; a short rest is left to the next epoch's shuffle."""
        size, order = self.config.minibatch_size, torch.randperm(len(self.a), device=self.a.device)
        if self.config.sampling == "random":
            size = min(size, len(order))
            return list(order[: len(order) - len(order) % size].split(size))
        by_batch = order[self.batch_id[order].argsort(stable=True)]
        counts = self.batch_id.bincount().tolist()
        chunks = [chunk for rows in by_batch.split(counts) for chunk in rows.split(size) if len(chunk) > 1]
        return [chunks[i] for i in torch.randperm(len(chunks)).tolist()]

    def _step(self, rows: Tensor) -> Tensor:
        """Encoders, then classifiers. Returns the two losses, (2,), detached."""
        batch_id = self.batch_id[rows]
        views = self._augment(self.a[rows], (self.a if self.b is None else self.b)[rows])
        z = self.model.embed(views)
        contrastive = self._contrastive_loss(views, z, batch_id)
        if self.epoch >= self.config.warmup_epochs:
            self.encoder_optimiser.zero_grad()
            contrastive.backward(inputs=list(self.model.encoders.parameters()))
            self.encoder_optimiser.step()
        classifier = self._train_classifiers(tuple(embedding.detach() for embedding in z), batch_id)
        self.framework.update(self.model)
        return torch.stack([contrastive.detach(), classifier])

    def _augment(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        config = self.config
        noise_b = config.noise_a if self.b is None else config.noise_b
        return gaussian_noise(a, config.noise_a), feature_dropout(gaussian_noise(b, noise_b), config.feature_dropout_b)

    def _contrastive_loss(self, views: tuple[Tensor, Tensor], z: tuple[Tensor, Tensor], batch_id: Tensor) -> Tensor:
        """L_CLIP of the method, mean over both anchor directions."""
        log_posteriors = self.model.log_posteriors(z)
        candidates = self.framework.candidates(views, z, log_posteriors, batch_id)
        directions = zip(z, log_posteriors, candidates)
        return torch.stack([self._directional(*direction, batch_id) for direction in directions]).mean()

    def _directional(self, z: Tensor, log_posterior: Tensor | None, candidates: Candidates, batch_id: Tensor) -> Tensor:
        config = self.config
        similarity = (z @ candidates.z.T / config.temperature).masked_fill(~candidates.filled, -torch.inf)
        positive = torch.arange(len(z), device=z.device)
        if config.method == "infocore":
            return reweighted_info_nce(
                similarity,
                positive,
                batch_id,
                log_posterior,
                candidates.log_posterior,
                alpha=config.alpha,
                gradient_scale=config.gradient_scale,
                mixture=config.mixture,
            ).mean()
        if config.method == "ccl":
            similarity = same_batch_only(similarity, batch_id, candidates.batch_id)
        return info_nce(similarity, positive).mean()

    def _train_classifiers(self, z: tuple[Tensor, Tensor], batch_id: Tensor) -> Tensor:
        """L_CLF up to the entropy of the labels: mean cross-entropy of the classifiers, ``classifier_steps`` updates."""
        loss = z[0].new_zeros(())
        if not self.model.classifiers:
            return loss
        for _ in range(self.config.classifier_steps):
            loss = sum(_cross_entropy(log_posterior, batch_id) for log_posterior in self.model.log_posteriors(z)) / 2
            self.classifier_optimiser.zero_grad()
            loss.backward()
            self.classifier_optimiser.step()
        return loss.detach()

    # -------------------------------------------------------------- checkpoint and exact resume

    def _parts(self) -> dict:
        parts = {"model": self.model, "framework": self.framework, "encoder_optimiser": self.encoder_optimiser}
        return parts | ({"classifier_optimiser": self.classifier_optimiser} if self.classifier_optimiser else {})

    def _fingerprint(self) -> str:
        settings = {name: value for name, value in asdict(self.config).items() if name not in ("epochs", "device")}
        return json.dumps([settings, self.shapes, len(self.a)])

    def save(self, path: Path) -> None:
        state = {name: part.state_dict() for name, part in self._parts().items()}
        rng = {"cpu": torch.get_rng_state()} | ({"cuda": torch.cuda.get_rng_state()} if self.a.is_cuda else {})
        state |= {"epoch": self.epoch, "history": self.history, "fingerprint": self._fingerprint(), "rng": rng}
        partial = path.with_name(path.name + ".partial")
        torch.save(state, partial)
        os.replace(partial, path)  # a kill leaves the old file or the new one, never half of one

    def load(self, path: Path) -> None:
        try:
            state = torch.load(path, map_location=self.config.device, weights_only=True)
        except Exception as error:
            raise ValueError(f"checkpoint: {path} cannot be read ({error}); remove it to start again") from error
        if state["fingerprint"] != self._fingerprint():
            raise ValueError(
                f"checkpoint: {path} belongs to another configuration or data set; expected {self._fingerprint()}"
            )
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        self.epoch, self.history = state["epoch"], state["history"]
        torch.set_rng_state(state["rng"]["cpu"].cpu())
        if self.a.is_cuda:
            torch.cuda.set_rng_state(state["rng"]["cuda"].cpu())


# ------------------------------------------------------------------ building


def _build(config: Config, shapes: dict) -> TwoTower:
    options = dict(layer_norm=config.layer_norm, dropout=config.dropout)
    encoder_a = Encoder(shapes["n_a"], config.hidden_a, config.embedding_dim, **options)
    encoder_b = (
        encoder_a if shapes["shared"] else Encoder(shapes["n_b"], config.hidden_b, config.embedding_dim, **options)
    )
    if config.method != "infocore":
        return TwoTower((encoder_a, encoder_b), None)
    n_classifiers = 1 if shapes["shared"] else 2
    classifiers = [
        BatchClassifier(config.embedding_dim, config.hidden_classifier, shapes["n_batches"])
        for _ in range(n_classifiers)
    ]
    return TwoTower((encoder_a, encoder_b), (classifiers[0], classifiers[-1]))


def _adam(module: torch.nn.Module, learning_rate: float) -> torch.optim.Adam | None:
    parameters = list(module.parameters())
    return torch.optim.Adam(parameters, lr=learning_rate, fused=True) if parameters else None


def _cross_entropy(log_posterior: Tensor, batch_id: Tensor) -> Tensor:
    return nll_loss(log_posterior, batch_id) if batch_id.ndim == 1 else -(batch_id * log_posterior).sum(1).mean()


@contextmanager
def _seeded(config: Config):
    """One seed for weights, shuffling, noise and dropout; the caller's random state comes back afterwards."""
    devices = [config.device] if config.device.startswith("cuda") else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(config.seed)
        yield
