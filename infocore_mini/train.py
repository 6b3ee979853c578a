"""One training loop for every method, framework and pair of views.

Each step alternates (section 2.2.3): first the encoders on the contrastive loss, classifiers frozen;
then, for InfoCORE, the batch classifiers on the cross-entropy of the detached embeddings.
"""

from __future__ import annotations

import json
import math
import os
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import nll_loss
from tqdm.auto import tqdm

from infocore_mini.config import Config
from infocore_mini.losses import info_nce, reweighted_info_nce, same_batch_only
from infocore_mini.pretrained import Pretrained, build
from infocore_mini.screens import PairedScreen
from infocore_mini.training.adam import Adam
from infocore_mini.training.augment import feature_dropout
from infocore_mini.training.contrast import Candidates, MoCo, SimCLR
from infocore_mini.training.pairs import Minibatch, Pairs, Rows, ScreenPairs, sample
from infocore_mini.training.processes import Processes
from infocore_mini.validation import check_pairs, check_screen


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
            where the method needs them, a setting that only a PairedScreen can serve, or a checkpoint of
            another configuration or data shape.
        FloatingPointError: if the loss stops being finite.
    """
    config = _placed(config)
    pairs = Pairs(*check_pairs(a, b, batch_id, config))
    with _seeded(config):
        trainer = _Trainer(pairs, config)
        return trainer.run(checkpoint, progress)


def pretrain_screen(
    screen: PairedScreen,
    config: Config,
    *,
    validation: PairedScreen | None = None,
    validate_every: int = 5,
    checkpoint: str | Path | None = None,
    progress: bool = False,
) -> Pretrained:
    """Train on a PairedScreen: view a is the drug, view b the readout of one condition (appendix F).

    Drug features and readouts are standardised and clipped by scalers that are fitted on ``screen`` and
    travel with the model. Conditions of one molecule are never each other's negatives.

    Args:
        screen: the training molecules.
        config: method and all settings.
        validation: other molecules of the same screen. The weights of the epoch with the best retrieval on
            them are returned (``retrieval_score``); None = those of the last epoch.
        validate_every: epochs between two scores; the last epoch is always scored.
        checkpoint, progress: see ``pretrain``.

    Raises:
        ValueError: as ``pretrain``; and if screen and validation differ in features or names of batches.
        FloatingPointError: if the loss stops being finite.
    """
    config = _placed(config)
    check_screen(screen, config, validation)
    with _seeded(config):
        trainer = _Trainer(ScreenPairs(screen, config.device), config, validation, validate_every)
        trainer.model.scalers[0].fit(screen.drug)
        trainer.model.scalers[1].fit(screen.profile)
        return trainer.run(checkpoint, progress)


def retrieval_score(model: Pretrained, screen: PairedScreen) -> float:
    """Mean over libraries (whole, batch), cell lines and top 1, 5, 10 of retrieval accuracy: what selects a model."""
    from infocore_mini.evaluate.retrieval import screen_retrieval  # here, since it loads pandas

    table = screen_retrieval(*model.embed(screen), screen, minimum_library=2, n_bootstrap=0)
    return float(table.loc[table["cell_line"] == "mean", "accuracy"].mean())


LAYOUT = 2  # of a checkpoint; one more whenever an older file could not be read
NOT_KEPT = ("epochs", "device", "precision", "compile")  # what may differ when a run is resumed


class _Trainer:
    """State of a run: networks, optimisers, queues, epoch, history and the best weights so far."""

    def __init__(
        self, pairs: Pairs, config: Config, validation: PairedScreen | None = None, validate_every: int = 1
    ) -> None:
        self.processes = Processes(config.device)
        self.pairs, self.config, self.epoch, self.history = pairs, config, 0, []
        self.validation, self.validate_every, self.best = validation, validate_every, {}
        self.shapes = {
            **dict(zip(("n_a", "n_b"), pairs.widths)),
            "n_batches": pairs.n_batches,
            "n_cell_lines": pairs.n_cell_lines,
            "shared": pairs.shared,
            "scaled": isinstance(pairs, ScreenPairs),
        }
        self.model = build(config, self.shapes).to(config.device).train()
        self.framework = self._build_framework().to(config.device)
        if config.compile:
            for model in (self.model, getattr(self.framework, "slow", self.model)):
                for network in (*model.encoders, *model.classifiers):
                    network.compile()
        settings = dict(betas=config.adam_betas, eps=config.adam_eps)
        self.encoder_optimiser = Adam(self.model.encoders.parameters(), learning_rate=config.learning_rate, **settings)
        self.classifier_optimiser = Adam(
            self.model.classifiers.parameters(), learning_rate=config.classifier_learning_rate, **settings
        )

    def _build_framework(self) -> SimCLR | MoCo:
        if self.config.framework == "simclr":
            return SimCLR()
        pairs = self.pairs
        label_shape = tuple(pairs.batch_id.shape[1:])
        return MoCo(
            self.model,
            self.config,
            n_batches=pairs.n_batches,
            n_cell_lines=pairs.n_cell_lines,
            line_batches=pairs.line_batches,
            label_shape=label_shape,
            embed=self.processes.embed,
        )

    def run(self, checkpoint: str | Path | None, progress: bool) -> Pretrained:
        """The remaining epochs, then the model of the best epoch, or of the last without validation."""
        checkpoint = None if checkpoint is None else Path(checkpoint)
        if checkpoint is not None and checkpoint.exists():
            self.load(checkpoint)
        for _ in tqdm(range(self.epoch, self.config.epochs), desc=self.config.method, disable=not progress):
            self.run_epoch()
            if checkpoint is not None and self.processes.rank == 0:
                self.save(checkpoint)
            self.processes.wait()
        if self.best:
            self.model.load_state_dict(self.best["model"])
        return Pretrained(self.model, self.config, self.shapes, self.history)

    def run_epoch(self) -> None:
        """One pass over the data; appends the mean losses to the history."""
        self._start_epoch()
        losses = [self._step(chosen) for chosen in sample(self.pairs, self.config)]
        contrastive, classifier = torch.stack(losses).mean(0).tolist()
        if not math.isfinite(contrastive + classifier):
            raise FloatingPointError(
                f"loss is {contrastive} after epoch {self.epoch}: lower learning_rate or raise temperature"
            )
        self.history.append({"contrastive": contrastive, "classifier": classifier})
        self.epoch += 1
        if self.validation is not None and (self.epoch % self.validate_every == 0 or self.epoch == self.config.epochs):
            self._validate()

    def _start_epoch(self) -> None:
        """Learning rates and, when their time has come, heads of their own for the cell lines."""
        config = self.config
        factor = 0.5 ** sum(self.epoch >= epoch for epoch in config.halve_at)
        self.encoder_optimiser.learning_rate = factor * config.learning_rate
        self.classifier_optimiser.learning_rate = factor * config.classifier_learning_rate
        if config.cell_line_heads and self.epoch == config.head_warmup_epochs:
            for model in (self.model, getattr(self.framework, "slow", self.model)):
                model.encoders[0].part_heads()

    def _validate(self) -> None:
        """Score the validation molecules; keep the weights if none were better."""
        score = retrieval_score(Pretrained(self.model, self.config, self.shapes, []), self.validation)
        self.model.train()
        self.history[-1]["validation"] = score
        if not self.best or score > self.best["score"]:
            weights = {name: value.clone() for name, value in self.model.state_dict().items()}
            self.best = {"score": score, "epoch": self.epoch, "model": weights}

    def _step(self, chosen: Rows) -> Tensor:
        """Encoders, then classifiers. Returns the two losses, (2,), detached."""
        minibatch = self._augmented(chosen)
        z = self.processes.embed(self.model, minibatch)
        fixed_z = tuple(embedding.detach() for embedding in z)
        log_posteriors = self.model.log_posteriors(z if self.config.gradient_scale else fixed_z)
        contrastive = self._contrastive_loss(minibatch, z, log_posteriors)
        if self.epoch >= self.config.warmup_epochs:
            contrastive.backward(inputs=self.encoder_optimiser.parameters)
            self.processes.sum_gradients(self.encoder_optimiser.parameters)
            self.encoder_optimiser.step()
        if self.config.gradient_scale:  # their graph went with the encoders' gradient
            log_posteriors = self.model.log_posteriors(fixed_z)
        classifier = self._train_classifiers(fixed_z, log_posteriors, minibatch.batch_id)
        self.framework.update(self.model)
        return torch.stack([contrastive.detach(), classifier])

    def _augmented(self, chosen: Rows) -> Minibatch:
        """Augmented in units of the input, then scaled, then with features dropped (appendix F)."""
        minibatch = self.pairs.draw(chosen, self.config)
        a, b = (scaler(view) for scaler, view in zip(self.model.scalers, (minibatch.a, minibatch.b)))
        return minibatch._replace(a=a, b=feature_dropout(b, self.config.feature_dropout_screen))

    def _contrastive_loss(self, minibatch: Minibatch, z: tuple[Tensor, Tensor], log_posteriors: tuple) -> Tensor:
        """L_CLIP of the method, mean over both anchor directions."""
        candidates = self.framework.candidates(minibatch, z, log_posteriors)
        directions = zip(z, log_posteriors, candidates)
        return torch.stack([self._directional(minibatch, *direction) for direction in directions]).mean()

    def _directional(
        self, minibatch: Minibatch, z: Tensor, log_posterior: Tensor | None, candidates: Candidates
    ) -> Tensor:
        config, batch_id = self.config, minibatch.batch_id
        similarity = (z @ candidates.z.T).div_(config.temperature)
        similarity.masked_fill_(candidates.excluded(minibatch), -torch.inf)
        positive = torch.arange(len(z), device=z.device)
        if config.method == "infocore":
            if candidates.asked is not None:  # one column an anchor, in their order
                batch_id, log_posterior = positive, log_posterior[:, candidates.asked]
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

    def _train_classifiers(self, z: tuple[Tensor, Tensor], log_posteriors: tuple, batch_id: Tensor) -> Tensor:
        """L_CLF up to the entropy of the labels: mean cross-entropy of the classifiers, ``classifier_steps`` updates.

        ``log_posteriors`` are theirs on the fixed embeddings ``z`` before the first update.
        """
        loss = z[0].new_zeros(())
        if not self.model.classifiers:
            return loss
        rows = self.processes.share(len(batch_id))
        share = (rows.stop - rows.start) / len(batch_id)
        log_posteriors = tuple(log_posterior[rows] for log_posterior in log_posteriors)
        for update in range(self.config.classifier_steps):
            if update > 0:
                log_posteriors = self.model.log_posteriors(tuple(embedding[rows] for embedding in z))
            loss = share * sum(_cross_entropy(log_posterior, batch_id[rows]) for log_posterior in log_posteriors) / 2
            loss.backward()
            self.processes.sum_gradients(self.classifier_optimiser.parameters)
            self.classifier_optimiser.step()
        return self.processes.total(loss.detach())

    # -------------------------------------------------------------- checkpoint and exact resume

    def _parts(self) -> dict:
        optimisers = {"encoder_optimiser": self.encoder_optimiser, "classifier_optimiser": self.classifier_optimiser}
        return {"model": self.model, "framework": self.framework, **optimisers}

    def _fingerprint(self) -> str:
        settings = {name: value for name, value in asdict(self.config).items() if name not in NOT_KEPT}
        return json.dumps([LAYOUT, settings, self.shapes, len(self.pairs)])

    def save(self, path: Path) -> None:
        state = {name: part.state_dict() for name, part in self._parts().items()}
        rng = {"cpu": torch.get_rng_state()} | ({"cuda": torch.cuda.get_rng_state()} if self._on_cuda() else {})
        state |= {"epoch": self.epoch, "history": self.history, "best": self.best}
        state |= {"fingerprint": self._fingerprint(), "rng": rng}
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
                f"checkpoint: {path} belongs to another configuration, data set or version; expected {self._fingerprint()}"
            )
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        self.epoch, self.history, self.best = state["epoch"], state["history"], state["best"]
        torch.set_rng_state(state["rng"]["cpu"].cpu())
        if self._on_cuda():
            torch.cuda.set_rng_state(state["rng"]["cuda"].cpu())

    def _on_cuda(self) -> bool:
        return self.config.device.startswith("cuda")


def _cross_entropy(log_posterior: Tensor, batch_id: Tensor) -> Tensor:
    return nll_loss(log_posterior, batch_id) if batch_id.ndim == 1 else -(batch_id * log_posterior).sum(1).mean()


def _placed(config: Config) -> Config:
    """The same on the device of this process, where torchrun started several."""
    return replace(config, device=Processes(config.device).device)


@contextmanager
def _seeded(config: Config):
    """One seed for weights, shuffling, noise and dropout; the caller's random state comes back afterwards."""
    devices = [config.device] if config.device.startswith("cuda") else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(config.seed)
        yield
