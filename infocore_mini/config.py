"""Everything that decides a training run besides the data."""

from __future__ import annotations

from dataclasses import field
from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from infocore_mini.losses import Mixture
from infocore_mini.parameters import Count, Fraction, Method, NonNegative, Positive, Seed

Epochs = Annotated[int, Field(ge=0)]
Framework = Literal["simclr", "moco"]
Precision = Literal["32-true", "bf16-mixed"]
Sampling = Literal["random", "one_batch", "alternate"]


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Config:
    """Everything that decides a run besides the data. A bad value raises, naming the field.

    Views are called a (drug) and b (screen); with one shared encoder only a's fields are read.
    """

    method: Method = "infocore"
    framework: Framework = "simclr"
    # objective (proposition 2 and 3)
    alpha: Fraction = 0.33  # weight of the anchor's own posterior
    gradient_scale: NonNegative = 0.0  # lambda of appendix D
    mixture: Mixture = "arithmetic"
    temperature: Positive = 0.1
    # networks
    embedding_dim: Count = 256
    hidden_drug: tuple[Count, ...] = (128, 128)
    hidden_screen: tuple[Count, ...] = (128, 128)
    hidden_classifier: tuple[Count, ...] = (128,)
    layer_norm: bool = False
    dropout: Fraction = 0.0
    cell_line_heads: bool = False  # a linear head on view a for each cell line
    head_warmup_epochs: Epochs = 5  # epochs with one head for all, of which the others start as copies
    # inputs of a PairedScreen: standardised and clipped (appendix H); plain arrays come as they should go in
    clip_drug: Positive | None = None  # in standard deviations
    clip_screen: Positive | None = None  # in units of the readout, before it is standardised
    # augmentation
    noise_drug: NonNegative = 0.0  # standard deviation, in units of the input
    noise_screen: NonNegative = 0.0
    mixup_concentration: NonNegative = 0.0  # of the Dirichlet over replicates; 0 = no mixup
    feature_dropout_screen: Fraction = 0.0
    # optimisation
    epochs: Count = 60
    steps_per_epoch: Count | None = None  # at most so many minibatches, so that long epochs are saved more often
    warmup_epochs: Epochs = 0  # epochs that only fill the queues and train the classifiers
    minibatch_size: Count = 64
    sampling: Sampling = "random"  # or minibatches of one experimental batch; or random and of one cell line in turn
    learning_rate: Positive = 1e-3
    classifier_learning_rate: Positive = 1e-2
    classifier_steps: Count = 2
    halve_at: tuple[Count, ...] = ()  # epochs at whose start both learning rates are halved
    adam_betas: tuple[Fraction, Fraction] = (0.9, 0.999)
    adam_eps: Positive = 1e-8
    # MoCo
    queue_size: Count = 4096  # rows; per experimental batch for CCL
    momentum: Fraction = 0.999
    classifier_momentum: Fraction = 0.999
    seed: Seed = 0
    # how it is computed
    device: str = "cpu"
    precision: Precision = "32-true"  # bf16: networks only, losses stay in float32
    compile: bool = field(default=False, repr=False)  # of the networks; no consequence, so not in a kept run's name
