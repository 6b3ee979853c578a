"""Everything that decides a training run besides the data."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from infocore_mini.losses import Mixture
from infocore_mini.parameters import Count, Fraction, Method, NonNegative, Positive, Seed

Framework = Literal["simclr", "moco"]
Sampling = Literal["random", "one_batch"]


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
    hidden_a: tuple[Count, ...] = (128, 128)
    hidden_b: tuple[Count, ...] = (128, 128)
    hidden_classifier: tuple[Count, ...] = (128,)
    layer_norm: bool = False
    dropout: Fraction = 0.0
    # augmentation, on standardised inputs
    noise_a: NonNegative = 0.0  # standard deviation
    noise_b: NonNegative = 0.0
    feature_dropout_b: Fraction = 0.0
    # optimisation
    epochs: Count = 60
    warmup_epochs: Annotated[int, Field(ge=0)] = 0  # epochs that only fill the queues and train the classifiers
    minibatch_size: Count = 64
    sampling: Sampling = "random"  # or minibatches from one experimental batch each
    learning_rate: Positive = 1e-3
    classifier_learning_rate: Positive = 1e-2
    classifier_steps: Count = 2
    # MoCo
    queue_size: Count = 4096  # rows; per experimental batch for CCL
    momentum: Fraction = 0.999
    classifier_momentum: Fraction = 0.999
    seed: Seed = 0
    device: str = "cpu"
