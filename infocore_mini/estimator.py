"""The estimators, as scikit-learn has them: CLIP, CCL and InfoCORE, one base (``paired``) and three names.

Each writes its parameters out, since scikit-learn, type checkers and ``help`` read them off the constructor; a test holds
them against ``Config``.
"""

from __future__ import annotations

from typing import TypeVar

from infocore_mini.config import Framework, Precision, Sampling
from infocore_mini.losses import Mixture
from infocore_mini.paired import PairedEstimator

Estimator = TypeVar("Estimator", bound=PairedEstimator)

_SHARED = """embedding_dim: d, length of an embedding.
        temperature: tau > 0; similarity = cosine / tau. Smaller: only the nearest candidates count.
        framework: where candidates come from: "simclr", the minibatch, or "moco", a queue behind it.
        hidden_drug, hidden_screen: widths of the hidden layers of the two encoders.
        layer_norm: normalise before each activation of the encoders.
        dropout: of the encoders' hidden units, 0 to 1 (excluded).
        noise_drug, noise_screen: Gaussian noise on the standardised inputs, in standard deviations.
        feature_dropout_screen: probability of dropping a feature of the readout, 0 to 1 (excluded).
        epochs: passes over the rows.
        steps_per_epoch: at most so many minibatches an epoch; None = all.
        warmup_epochs: epochs that only fill the queue (and train the classifiers); fewer than ``epochs``.
        minibatch_size: rows in a step, at least 2.
        learning_rate: of Adam on the encoders.
        halve_at: epochs at whose start the learning rates are halved.
        adam_betas, adam_eps: of Adam.
        queue_size: candidates in MoCo's queue (CCL: in that of each experimental batch).
        momentum: of MoCo's slow encoders, 0 to 1.
        seed: of weights, order, noise and dropout; equal seeds give equal models.
        device: "cpu", "cuda" or "cuda:N".
        precision: "32-true", or "bf16-mixed": networks in bfloat16, losses in float32.
        compile: compile the networks with ``torch.compile``.
        validation_fraction: share of the molecules that ``fit`` holds out, 0 to 1 (excluded); the weights of the epoch with
            the best retrieval among them are kept. 0 = none, those of the last epoch.
        patience: with validation, training stops when so many epochs have passed since the best one; None = never.
        verbose: show a bar over epochs.

    Attributes:
        pretrained_: after ``fit``, the trained ``Pretrained`` model, scalers included, with its loss ``history``.
        batches_: sorted labels of the experimental batches.
        n_features_in_, feature_names_in_: of the drugs; names where a table was given."""


def _documented(cls: type[Estimator]) -> type[Estimator]:
    """Put what all three share into the place that the docstring leaves for it."""
    cls.__doc__ = (cls.__doc__ or "").replace("{shared}", _SHARED)
    return cls


@_documented
class CLIP(PairedEstimator):
    """Multimodal contrast that ignores the experimental batch (Radford et al. 2021).

    Args:
        {shared}

    Examples:
        Every setting of ``Config`` that plain rows can serve is a parameter; without batches:

        >>> from infocore_mini import CLIP
        >>> from infocore_mini.simulate import simulation_study
        >>> study = simulation_study(seed=0)
        >>> model = CLIP(epochs=2, embedding_dim=16).fit(study.drug[study.train], study.screen[study.train])
        >>> model.embed_drug(study.drug).shape
        (1250, 16)
    """

    method = "clip"

    def __init__(
        self,
        *,
        embedding_dim: int = 256,
        temperature: float = 0.1,
        framework: Framework = "simclr",
        hidden_drug: tuple[int, ...] = (128, 128),
        hidden_screen: tuple[int, ...] = (128, 128),
        layer_norm: bool = False,
        dropout: float = 0.0,
        noise_drug: float = 0.0,
        noise_screen: float = 0.0,
        feature_dropout_screen: float = 0.0,
        epochs: int = 60,
        steps_per_epoch: int | None = None,
        warmup_epochs: int = 0,
        minibatch_size: int = 64,
        learning_rate: float = 1e-3,
        halve_at: tuple[int, ...] = (),
        adam_betas: tuple[float, float] = (0.9, 0.999),
        adam_eps: float = 1e-8,
        queue_size: int = 4096,
        momentum: float = 0.999,
        seed: int = 0,
        device: str = "cpu",
        precision: Precision = "32-true",
        compile: bool = False,
        validation_fraction: float = 0.0,
        patience: int | None = None,
        verbose: bool = False,
    ) -> None:
        self._keep(locals())


@_documented
class CCL(PairedEstimator):
    """Contrast within the anchor's experimental batch only (Ma et al. 2021).

    Args:
        sampling: minibatches at "random", or of "one_batch" each: with many experimental batches a random minibatch
            would hold too few rows of the anchor's batch.
        smallest_minibatch: rows that a minibatch of "one_batch" has at least; shorter ones are left out.
        {shared}

    Examples:
        >>> from infocore_mini import CCL
        >>> from infocore_mini.simulate import simulation_study
        >>> study = simulation_study(seed=0)
        >>> model = CCL(epochs=2, sampling="one_batch").fit(study.drug, study.screen, batch_id=study.batch_id)
        >>> model.batches_.size, model.n_features_in_
        (25, 10)
    """

    method = "ccl"

    def __init__(
        self,
        *,
        sampling: Sampling = "random",
        smallest_minibatch: int = 2,
        embedding_dim: int = 256,
        temperature: float = 0.1,
        framework: Framework = "simclr",
        hidden_drug: tuple[int, ...] = (128, 128),
        hidden_screen: tuple[int, ...] = (128, 128),
        layer_norm: bool = False,
        dropout: float = 0.0,
        noise_drug: float = 0.0,
        noise_screen: float = 0.0,
        feature_dropout_screen: float = 0.0,
        epochs: int = 60,
        steps_per_epoch: int | None = None,
        warmup_epochs: int = 0,
        minibatch_size: int = 64,
        learning_rate: float = 1e-3,
        halve_at: tuple[int, ...] = (),
        adam_betas: tuple[float, float] = (0.9, 0.999),
        adam_eps: float = 1e-8,
        queue_size: int = 4096,
        momentum: float = 0.999,
        seed: int = 0,
        device: str = "cpu",
        precision: Precision = "32-true",
        compile: bool = False,
        validation_fraction: float = 0.0,
        patience: int | None = None,
        verbose: bool = False,
    ) -> None:
        self._keep(locals())


@_documented
class InfoCORE(PairedEstimator):
    """Contrast reweighted by batch posteriors (proposition 2): the experimental batch pays off less.

    Args:
        alpha: weight of the anchor's own posterior in a pair's weight, 0 to 1; 1 = CLIP, smaller = stronger correction.
        gradient_scale: lambda >= 0 of appendix D, of the gradient through the batch posteriors; 0 = none.
        mixture: of the two posteriors, "arithmetic" or "geometric" (proposition 3).
        hidden_classifier: widths of the hidden layers of the two batch classifiers.
        classifier_learning_rate: of Adam on the classifiers.
        classifier_steps: updates of the classifiers for each update of the encoders.
        classifier_momentum: of MoCo's slow classifiers, 0 to 1.
        {shared}

    Examples:
        On the paper's simulation: trained on half of the rows, asked which of the other drugs caused a readout.

        >>> from infocore_mini import InfoCORE
        >>> from infocore_mini.simulate import simulation_study
        >>> study = simulation_study(seed=0)
        >>> seen, new = study.train, study.held_out
        >>> model = InfoCORE(alpha=0.33, epochs=5)
        >>> model = model.fit(study.drug[seen], study.screen[seen], batch_id=study.batch_id[seen])
        >>> model.retrieve(study.screen[new][:2], study.drug[new], top=3).columns.tolist()
        ['query', 'rank', 'molecule', 'cosine']
        >>> accuracy = model.score(study.drug[new], study.screen[new], batch_id=study.batch_id[new])
        >>> accuracy > 0.1  # a guess among the drugs of a batch: 0.04
        True
    """

    method = "infocore"

    def __init__(
        self,
        *,
        alpha: float = 0.33,
        gradient_scale: float = 0.0,
        mixture: Mixture = "arithmetic",
        hidden_classifier: tuple[int, ...] = (128,),
        classifier_learning_rate: float = 1e-2,
        classifier_steps: int = 2,
        classifier_momentum: float = 0.999,
        embedding_dim: int = 256,
        temperature: float = 0.1,
        framework: Framework = "simclr",
        hidden_drug: tuple[int, ...] = (128, 128),
        hidden_screen: tuple[int, ...] = (128, 128),
        layer_norm: bool = False,
        dropout: float = 0.0,
        noise_drug: float = 0.0,
        noise_screen: float = 0.0,
        feature_dropout_screen: float = 0.0,
        epochs: int = 60,
        steps_per_epoch: int | None = None,
        warmup_epochs: int = 0,
        minibatch_size: int = 64,
        learning_rate: float = 1e-3,
        halve_at: tuple[int, ...] = (),
        adam_betas: tuple[float, float] = (0.9, 0.999),
        adam_eps: float = 1e-8,
        queue_size: int = 4096,
        momentum: float = 0.999,
        seed: int = 0,
        device: str = "cpu",
        precision: Precision = "32-true",
        compile: bool = False,
        validation_fraction: float = 0.0,
        patience: int | None = None,
        verbose: bool = False,
    ) -> None:
        self._keep(locals())
