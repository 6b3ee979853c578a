"""Everything that decides a training run besides the data."""

from __future__ import annotations

import re
from dataclasses import asdict, field
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass

from infocore_mini.losses import Mixture
from infocore_mini.parameters import Count, Epochs, Fraction, NonNegative, Positive, Seed

Objective = Literal["clip", "ccl", "ccl_k", "infocore"]  # the book's three methods, and a rival
Framework = Literal["simclr", "moco"]
Precision = Literal["32-true", "bf16-mixed"]
Sampling = Literal["random", "one_batch", "alternate"]
Penalty = Literal["reversal", "hsic"]


def _device(value: Any) -> Any:
    if not isinstance(value, str) or not re.fullmatch(r"cpu|cuda(:\d+)?", value):
        raise ValueError("expected 'cpu', 'cuda' or 'cuda:N' (the N-th GPU)")
    return value


Device = Annotated[str, BeforeValidator(_device)]


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class EpochChoice:
    """How an estimator chooses among the epochs of its run. A bad value raises, naming the field.

    Attributes:
        validation_fraction: of the molecules, which ``fit`` holds out to score each epoch; 0 = none, the last epoch is kept.
        patience: epochs without a better score after which training stops; None = after all epochs.
    """

    validation_fraction: Annotated[Fraction, Field(lt=1)] = 0.0
    patience: Count | None = None

    @model_validator(mode="after")
    def _has_what_it_waits_for(self) -> EpochChoice:
        if self.patience is not None and self.validation_fraction == 0:
            raise ValueError(
                f"patience: got {self.patience}, expected None without validation, or validation_fraction above 0"
            )
        return self


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Config:
    """Everything that decides a run besides the data. A bad value raises, naming the field.

    With one encoder for both views (``pretrain(x, None, ...)``) the fields of the drug are read for both.

    Attributes:
        method: "clip", "ccl" or "infocore"; or "ccl_k", CCL with a kernel on the condition (Tsai et al. 2022): a negative
            counts by the kernel between its experimental batch and the anchor's (`training.kernel.kernel_weighted`).
        framework: where candidates come from: "simclr", the minibatch, or "moco", a queue behind it.
        alpha: weight of the anchor's own posterior in a pair's weight (proposition 3); 1 = CLIP.
        gradient_scale: lambda of appendix D, of the gradient through the batch posteriors; 0 = none.
        mixture: of the two posteriors, "arithmetic" or "geometric".
        temperature: tau; similarity = cosine / tau.
        kernel_width: of "ccl_k", in median distances between the mean profiles of two training batches; 0 is approached
            by CCL, infinity by CLIP.
        penalty: what the encoders pay for beside the loss of the method: "reversal", being told apart by the batch
            classifiers (gradient reversal, Ganin et al. 2016, in alternating steps); "hsic", dependence of embedding and
            experimental batch (`penalties.normalised_hsic`, after Gretton et al. 2005); None = nothing.
        penalty_scale: factor of the penalty, in nats for "reversal".
        embedding_dim: d.
        hidden_drug, hidden_screen: widths of the hidden layers of the two encoders.
        hidden_classifier: of the batch classifiers.
        layer_norm: normalise before each activation of the encoders.
        dropout: of the encoders' hidden units, below 1.
        cell_line_heads: a linear head on the drug encoder for each cell line (appendix F); of a PairedScreen.
        head_warmup_epochs: epochs with one head for all, of which the others start as copies.
        clip_drug: bound of drug features in standard deviations; None = none. Of a PairedScreen (appendix H).
        clip_screen: bound of readouts in their own units, before they are standardised; None = none. Likewise.
        noise_drug, noise_screen: standard deviation of Gaussian noise, in units of the input.
        mixup_concentration: of the Dirichlet mixture over replicates; 0 = no mixup. Of a PairedScreen.
        feature_dropout_screen: probability of dropping a feature of the readout.
        epochs: passes over the conditions.
        steps_per_epoch: at most so many minibatches an epoch, so that long epochs are saved more often; None = all.
        warmup_epochs: epochs that only fill the queues and train the classifiers; fewer than ``epochs``.
        minibatch_size: conditions in a step, at least 2.
        sampling: minibatches at "random", of "one_batch" each (CCL over many experimental batches), or "alternate",
            at random and of one cell line in turn.
        smallest_minibatch: conditions that a minibatch of one batch or cell line has at least, from 2 to
            ``minibatch_size``; shorter ones are left out.
        learning_rate: of the encoders.
        classifier_learning_rate: of the batch classifiers.
        classifier_steps: updates of the classifiers for each update of the encoders.
        halve_at: epochs at whose start both learning rates are halved.
        adam_betas, adam_eps: of Adam.
        queue_size: candidates in MoCo's queue; for CCL, in that of each experimental batch.
        momentum, classifier_momentum: of MoCo's slow copies.
        seed: of weights, order, augmentation and dropout.
        device: "cpu", "cuda" or "cuda:N". A GPU replays its steps (`training.graphs`).
        precision: "bf16-mixed" runs the networks in bfloat16; losses stay in float32.
        compile: compile networks and loss with ``torch.compile``.

    Examples:
        Two arms that differ in the method alone:

        >>> from dataclasses import replace
        >>> from infocore_mini import Config
        >>> infocore = Config(alpha=0.5, epochs=20)
        >>> clip = replace(infocore, method="clip")
        >>> clip.method, clip.epochs
        ('clip', 20)
    """

    method: Objective = "infocore"
    framework: Framework = "simclr"
    alpha: Fraction = 0.33
    gradient_scale: NonNegative = 0.0
    mixture: Mixture = "arithmetic"
    temperature: Positive = 0.1
    kernel_width: Positive = 1.0
    penalty: Penalty | None = None
    penalty_scale: Positive = 1.0
    embedding_dim: Count = 256
    hidden_drug: tuple[Count, ...] = (128, 128)
    hidden_screen: tuple[Count, ...] = (128, 128)
    hidden_classifier: tuple[Count, ...] = (128,)
    layer_norm: bool = False
    dropout: Annotated[Fraction, Field(lt=1)] = 0.0
    cell_line_heads: bool = False
    head_warmup_epochs: Epochs = 5
    clip_drug: Positive | None = None
    clip_screen: Positive | None = None
    noise_drug: NonNegative = 0.0
    noise_screen: NonNegative = 0.0
    mixup_concentration: NonNegative = 0.0
    feature_dropout_screen: Annotated[Fraction, Field(lt=1)] = 0.0
    epochs: Count = 60
    steps_per_epoch: Count | None = None
    warmup_epochs: Epochs = 0
    minibatch_size: Annotated[Count, Field(ge=2)] = 64
    sampling: Sampling = "random"
    smallest_minibatch: Annotated[Count, Field(ge=2)] = 2
    learning_rate: Positive = 1e-3
    classifier_learning_rate: Positive = 1e-2
    classifier_steps: Count = 2
    halve_at: tuple[Count, ...] = ()
    adam_betas: tuple[Fraction, Fraction] = (0.9, 0.999)
    adam_eps: Positive = 1e-8
    queue_size: Count = 4096
    momentum: Fraction = 0.999
    classifier_momentum: Fraction = 0.999
    seed: Seed = 0
    device: Device = "cpu"
    precision: Precision = "32-true"
    compile: bool = field(default=False, repr=False)  # changes no result, so it is no part of a kept run's name

    @model_validator(mode="after")
    def _trains(self) -> Config:
        if self.warmup_epochs >= self.epochs:
            raise ValueError(
                f"warmup_epochs: got {self.warmup_epochs}, expected fewer than epochs = {self.epochs}: "
                "during warm-up no encoder learns"
            )
        if self.smallest_minibatch > self.minibatch_size:
            raise ValueError(
                f"smallest_minibatch: got {self.smallest_minibatch}, expected at most minibatch_size = "
                f"{self.minibatch_size}: no minibatch would be left"
            )
        if self.penalty is not None and self.sampling == "one_batch":
            raise ValueError(
                f"penalty: got {self.penalty!r}, expected None with sampling='one_batch': a minibatch of one experimental "
                "batch holds nothing to tell apart"
            )
        return self


def settings_of(config: Config) -> dict[str, Any]:
    """The settings that a run is named by: all but those of a kernel or penalty that it has not.

    Runs that were kept before these settings existed go on under their names.
    """
    off: tuple[str, ...] = () if config.method == "ccl_k" else ("kernel_width",)
    off += () if config.penalty else ("penalty", "penalty_scale")
    return {name: value for name, value in asdict(config).items() if name not in off}
