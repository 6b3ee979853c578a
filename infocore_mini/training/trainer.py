"""The loop of a run, the same for every method, framework and kind of data.

Each step alternates (section 2.2.3): first the encoders on the contrastive loss, classifiers frozen;
then, for InfoCORE and gradient reversal, the batch classifiers on the cross-entropy of the detached embeddings.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from infocore_mini.config import Config, settings_of
from infocore_mini.encoders import CellLineEncoder
from infocore_mini.labels import Labels, SoftLabels, cross_entropy, rows_of
from infocore_mini.losses import info_nce, same_batch_only
from infocore_mini.networks import Shapes, TwoTower, build
from infocore_mini.penalties import normalised_hsic
from infocore_mini.training.adam import Adam
from infocore_mini.training.augment import feature_dropout
from infocore_mini.training.checkpoint import Checkpoint, checksum
from infocore_mini.training.contrast import MoCo, SimCLR, Views, reweighted
from infocore_mini.training.graphs import Replayed
from infocore_mini.training.kernel import kernel_weighted, log_batch_kernel
from infocore_mini.training.pairs import Chosen, Minibatch, Pairs, sample
from infocore_mini.training.processes import Processes
from infocore_mini.training.queue import Candidates

NO_MATTER = ("epochs", "device", "precision", "compile")  # what may differ when a run is resumed


class Trainer:
    """State of a run: networks, optimisers, queues, epoch, history and the best weights so far.

    Args:
        pairs: what is trained on.
        config: all settings.
        scaled: the networks standardise their inputs.
        score: of a model, the larger the better; called every ``validate_every`` epochs and after the last one. The
            weights of the best epoch are kept. None: those of the last epoch.
        validate_every: epochs between two scores.
        patience: the run ends when so many epochs have passed since the best one; None = after all epochs.
        validation: names the validation data in a checkpoint.

    Attributes:
        model: the networks.
        history: per epoch, mean "contrastive" and "classifier" loss in nats; "validation" where it was scored.
    """

    def __init__(
        self,
        pairs: Pairs,
        config: Config,
        *,
        scaled: bool = False,
        score: Callable[[TwoTower], float] | None = None,
        validate_every: int = 1,
        patience: int | None = None,
        validation: str | None = None,
    ) -> None:
        self.processes = Processes(config.device)
        self.pairs, self.config, self.epoch = pairs, config, 0
        self.history: list[dict[str, float]] = []
        self.best: dict[str, Any] = {}
        self.score, self.validate_every, self.validation = score, validate_every, validation
        self.patience = patience
        self.shapes = Shapes(
            n_drug=pairs.drug.shape[1],
            n_screen=pairs.screen.shape[1],
            n_batches=pairs.n_batches,
            n_cell_lines=pairs.n_cell_lines,
            shared=pairs.shared,
            scaled=scaled,
            levels=pairs.levels,
        )
        self.model = build(config, self.shapes).to(config.device).train()
        self.framework: SimCLR | MoCo = self._framework().to(config.device)
        self.log_kernel: Tensor | None = None
        if config.method == "ccl_k":
            self.log_kernel = log_batch_kernel(
                pairs.screen, pairs.batch_of_rows, pairs.n_batches, width=config.kernel_width
            )
        self.directional = self._directional
        if config.compile:
            for model in (self.model, *self.framework.models()):
                for network in (*model.encoders, *model.classifiers):
                    network.compile()
            self.directional = torch.compile(self._directional)
        self.train_on = self._train_on
        if self._on_cuda() and self.processes.count == 1:
            self.train_on = Replayed(self._train_on)
        self.encoder_optimiser = self._adam(self.model.encoders, config.learning_rate)
        self.classifier_optimiser = self._adam(self.model.classifiers, config.classifier_learning_rate)

    def _framework(self) -> SimCLR | MoCo:
        if self.config.framework == "simclr":
            return SimCLR()
        return MoCo(
            self.model,
            self.config,
            n_batches=self.pairs.n_batches,
            n_cell_lines=self.pairs.n_cell_lines,
            line_batches=self.pairs.line_batches,
            label=self.pairs.label,
            embed=self.processes.embed,
        )

    def _adam(self, part: torch.nn.Module, learning_rate: float) -> Adam:
        betas, eps = self.config.adam_betas, self.config.adam_eps
        return Adam(part.parameters(), learning_rate=learning_rate, betas=betas, eps=eps)

    def run(self, checkpoint: str | Path | None = None, progress: bool = False) -> TwoTower:
        """The remaining epochs, then the model of the best epoch, or of the last without a score.

        Args:
            checkpoint: file that is written after every epoch, and gone on from if it exists.
            progress: show a bar over epochs.

        Raises:
            ValueError: if the checkpoint is of another run, damaged, in use, or cannot be written.
            OSError: if there is no room for it.
            FloatingPointError: if the loss stops being finite.
        """
        if checkpoint is None:
            self._run(None, progress)
            return self.model.eval()
        file = Checkpoint(Path(checkpoint), self._identity())
        if self.processes.rank > 0:  # the first process writes, all of them read
            self._run(file, progress)
            return self.model.eval()
        with file.locked():
            self._run(file, progress)
        return self.model.eval()

    def _run(self, file: Checkpoint | None, progress: bool) -> None:
        if file is not None:
            self._resume(file)
        epochs = tqdm(range(self.epoch, self.config.epochs), desc=self.config.method, disable=not progress)
        for _ in epochs:
            if self._stalled():
                break
            self.run_epoch()
            epochs.set_postfix({name: f"{value:.3g}" for name, value in self.history[-1].items()}, refresh=False)
            if file is not None and self.processes.rank == 0:
                file.save(self._state())
            self.processes.wait()
        if self.best:
            self.model.load_state_dict(self.best["model"])

    def run_epoch(self) -> None:
        """One pass over the data; appends the mean losses to the history."""
        self.start_epoch()
        advice = "lower learning_rate or classifier_learning_rate, or raise temperature"
        try:
            losses = [self.step(chosen) for chosen in sample(self.pairs, self.config)]
        except ValueError as error:  # the loss was given NaN
            raise FloatingPointError(f"training diverged in epoch {self.epoch} ({error}): {advice}") from error
        contrastive, classifier = torch.stack(losses).mean(0).tolist()
        if not math.isfinite(contrastive + classifier):
            found = f"loss is {contrastive} (encoders) and {classifier} (classifiers)"
            raise FloatingPointError(f"{found} after epoch {self.epoch}: {advice}")
        self.history.append({"contrastive": contrastive, "classifier": classifier})
        self.epoch += 1
        if self.score is not None and (self.epoch % self.validate_every == 0 or self.epoch == self.config.epochs):
            self._validate(self.score)

    def _stalled(self) -> bool:
        """Whether ``patience`` epochs have passed since the best one."""
        return self.patience is not None and bool(self.best) and self.epoch - self.best["epoch"] >= self.patience

    def start_epoch(self) -> None:
        """Learning rates and, when their time has come, separate heads for the cell lines."""
        config = self.config
        factor = 0.5 ** sum(self.epoch >= epoch for epoch in config.halve_at)
        self.encoder_optimiser.learning_rate = factor * config.learning_rate
        self.classifier_optimiser.learning_rate = factor * config.classifier_learning_rate
        if config.cell_line_heads and self.epoch == config.head_warmup_epochs:
            for model in (self.model, *self.framework.models()):
                of_drug = model.encoders[0]
                assert isinstance(of_drug, CellLineEncoder)
                of_drug.part_heads()

    def _validate(self, score: Callable[[TwoTower], float]) -> None:
        """Score the model; keep its weights if none were better."""
        value = score(self.model.eval())
        self.model.train()
        self.history[-1]["validation"] = value
        if not self.best or value > self.best["score"]:
            weights = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}
            self.best = {"score": value, "epoch": self.epoch, "model": weights}

    def step(self, chosen: Chosen) -> Tensor:
        """Encoders, then classifiers. Returns the two losses, (2,), detached."""
        return self.train_on(self.augmented(chosen), self.epoch >= self.config.warmup_epochs)

    def _train_on(self, minibatch: Minibatch, learns: bool) -> Tensor:
        """A step on an augmented minibatch; the encoders stay as they are unless it ``learns``."""
        z = self.processes.embed(self.model, minibatch)
        fixed_z = (z[0].detach(), z[1].detach())
        attached = self.config.gradient_scale > 0 or self.config.penalty == "reversal"
        log_posteriors = self.model.log_posteriors(z if attached else fixed_z)
        contrastive = loss = self.contrastive_loss(minibatch, z, log_posteriors)
        if self.config.penalty is not None:
            loss = contrastive + self.config.penalty_scale * self.penalty(z, log_posteriors, minibatch.batch_id)
        if learns:
            loss.backward(inputs=self.encoder_optimiser.parameters)
            self.processes.sum_gradients(self.encoder_optimiser.parameters)
            self.encoder_optimiser.step()
        if attached:  # their graph went with the encoders' gradient
            log_posteriors = self.model.log_posteriors(fixed_z)
        classifier = self._train_classifiers(fixed_z, log_posteriors, minibatch.batch_id)
        self.framework.update(self.model)
        return torch.stack([contrastive.detach(), classifier])

    def augmented(self, chosen: Chosen) -> Minibatch:
        """Augmented in units of the input, then scaled, then with features dropped (appendix F)."""
        minibatch = self.pairs.draw(chosen, self.config)
        scale_drug, scale_screen = self.model.scalers
        screen = feature_dropout(scale_screen(minibatch.screen), self.config.feature_dropout_screen)
        return minibatch._replace(drug=scale_drug(minibatch.drug), screen=screen)

    def contrastive_loss(self, minibatch: Minibatch, z: Views, log_posteriors: Views | None) -> Tensor:
        """L_CLIP of the method, mean over both anchor directions."""
        if self.config.method != "infocore":  # classifiers serve gradient reversal alone
            log_posteriors = None
        candidates = self.framework.candidates(minibatch, z, log_posteriors)
        posteriors = (None, None) if log_posteriors is None else log_posteriors
        of_any_line = minibatch._replace(only_line=None)  # or each line would be compiled by itself
        directions = zip(z, posteriors, candidates)
        return torch.stack([self.directional(of_any_line, *direction) for direction in directions]).mean()

    def penalty(self, z: Views, log_posteriors: Views | None, batch_id: Labels) -> Tensor:
        """What ``config.penalty`` asks the encoders to pay, mean over the two embeddings.

        "reversal": minus the cross-entropy of the classifiers, whose own step lowers it (a gradient reversal layer does
        both at once); "hsic": the dependence of embedding and experimental batch.
        """
        if self.config.penalty == "hsic":
            label = batch_id.dense(self.pairs.n_batches) if isinstance(batch_id, SoftLabels) else batch_id
            return torch.stack([normalised_hsic(z_v, label) for z_v in z]).mean()
        assert log_posteriors is not None
        return -torch.stack([cross_entropy(log_posterior, batch_id) for log_posterior in log_posteriors]).mean()

    def _directional(
        self, minibatch: Minibatch, z: Tensor, log_posterior: Tensor | None, candidates: Candidates
    ) -> Tensor:
        config, batch_id = self.config, minibatch.batch_id
        similarity = (z @ candidates.z.T).div_(config.temperature)
        similarity.masked_fill_(candidates.excluded(minibatch.drug_id), -torch.inf)
        positive = torch.arange(len(z), device=z.device)
        if log_posterior is not None:
            return reweighted(similarity, positive, batch_id, log_posterior, candidates, config).mean()
        if config.method == "ccl":
            assert isinstance(batch_id, Tensor) and isinstance(candidates.batch_id, Tensor)  # CCL has no soft labels
            similarity = same_batch_only(similarity, batch_id, candidates.batch_id)
        if self.log_kernel is not None:
            assert candidates.batch_id is not None
            similarity = kernel_weighted(similarity, batch_id, candidates.batch_id, self.log_kernel)
        return info_nce(similarity, positive).mean()

    def _train_classifiers(self, z: Views, log_posteriors: Views | None, batch_id: Labels) -> Tensor:
        """L_CLF up to the entropy of the labels: mean cross-entropy of the classifiers, ``classifier_steps`` updates.

        ``log_posteriors`` are theirs on the fixed embeddings ``z`` before the first update.
        """
        loss = z[0].new_zeros(())
        if log_posteriors is None:
            return loss
        rows = self.processes.share(len(z[0]))
        share = (rows.stop - rows.start) / len(z[0])
        mine, label = (z[0][rows], z[1][rows]), rows_of(batch_id, rows)
        found: Views | None = (log_posteriors[0][rows], log_posteriors[1][rows])
        for update in range(self.config.classifier_steps):
            if update > 0:
                found = self.model.log_posteriors(mine)
            assert found is not None
            loss = share * sum(cross_entropy(log_posterior, label) for log_posterior in found) / 2
            loss.backward()
            self.processes.sum_gradients(self.classifier_optimiser.parameters)
            self.classifier_optimiser.step()
        return self.processes.total(loss.detach())

    # -------------------------------------------------------------- checkpoint and exact resume

    def _parts(self) -> dict[str, Any]:
        optimisers = {"encoder_optimiser": self.encoder_optimiser, "classifier_optimiser": self.classifier_optimiser}
        return {"model": self.model, "framework": self.framework, **optimisers}

    def _identity(self) -> dict[str, Any]:
        settings = {name: value for name, value in settings_of(self.config).items() if name not in NO_MATTER}
        chosen_by = None if self.validation is None else {"validation": self.validation, "every": self.validate_every}
        shapes = {name: value for name, value in asdict(self.shapes).items() if name != "levels" or value}
        data = checksum(self.pairs.tensors())
        return {"settings": settings, "shapes": shapes, "data": data, "chosen_by": chosen_by}

    def _state(self) -> dict[str, Any]:
        rng = {"cpu": torch.get_rng_state()} | ({"cuda": torch.cuda.get_rng_state()} if self._on_cuda() else {})
        state = {name: part.state_dict() for name, part in self._parts().items()}
        return state | {"epoch": self.epoch, "history": self.history, "best": self.best, "rng": rng}

    def _resume(self, file: Checkpoint) -> None:
        state = file.load(self.config.device)
        if state is None:
            return
        if state["epoch"] > self.config.epochs:
            raise ValueError(
                f"checkpoint: {file.path} holds {state['epoch']} epochs, expected at most epochs = {self.config.epochs}"
            )
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        self.epoch, self.history, self.best = state["epoch"], state["history"], state["best"]
        torch.set_rng_state(state["rng"]["cpu"].cpu())
        if self._on_cuda():
            torch.cuda.set_rng_state(state["rng"]["cuda"].cpu())

    def _on_cuda(self) -> bool:
        return self.config.device.startswith("cuda")
