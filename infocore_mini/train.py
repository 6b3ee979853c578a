"""Pretraining: on plain arrays, or on a PairedScreen."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from infocore_mini.config import Config
from infocore_mini.encoders import Scaler
from infocore_mini.networks import TwoTower
from infocore_mini.pretrained import Pretrained, TrainedOn
from infocore_mini.screens import PairedScreen
from infocore_mini.training.checkpoint import checksum
from infocore_mini.training.checks import check_pairs, check_patience, check_screen, screen_pairs
from infocore_mini.training.pairs import ScreenPairs
from infocore_mini.training.processes import Processes
from infocore_mini.training.trainer import Trainer
from infocore_mini.validation import as_matrix, require


def pretrain(
    drug: Any,
    screen: Any,
    batch_id: Any,
    config: Config,
    *,
    molecule: Any = None,
    nuisance: Mapping[str, Any] | None = None,
    standardise: bool = False,
    score: Callable[[Pretrained], float] | None = None,
    patience: int | None = None,
    checkpoint: str | Path | None = None,
    progress: bool = False,
) -> Pretrained:
    """Train two encoders (or, with screen = None, one shared by two noisy views of the drug) by contrast.

    Args:
        drug: (n, n_d) features of the drugs. Array, tensor or table, finite.
        screen: (n, n_g) readouts, row i belongs to drug row i; None = a second noisy view of ``drug``.
        batch_id: (n,) integer codes of the experimental batches, 0 .. n_B - 1, or (n, n_B) soft labels.
        config: method and all settings.
        molecule: (n,) label of each row's molecule; rows of one molecule are never each other's negatives.
            None = every row is a molecule of its own.
        nuisance: name -> labels of what must not be learnt either, of the kinds that ``batch_id`` may be, such as the
            levels that ``nuisance.binned`` makes of a number. InfoCORE multiplies the posteriors of all of them; CCL's
            negatives share every label; CLIP reads none.
        standardise: bring every column to mean 0 and standard deviation 1 by scalers that travel with the model.
            False: the columns come so already, as they must.
        score: of the model after each epoch, the larger the better; the weights of the best epoch are returned. None =
            those of the last epoch. Not with a checkpoint, which could not tell one score from another.
        patience: with a score, stop when so many epochs have passed since the best one; None = after all epochs.
        checkpoint: file that is written after every epoch and resumed from if it exists; a resumed run
            ends with the same weights as an uninterrupted one.
        progress: show a bar over epochs.

    Returns:
        The trained model; it embeds what came in the units in which it came.

    Raises:
        ValueError: on NaN, wrong shapes, batch ids that are no codes, fewer than 2 experimental batches
            where the method needs them, a setting that only a PairedScreen can serve, a device that is not
            there, or a checkpoint of another run.
        OSError: if there is no room for the checkpoint.
        FloatingPointError: if the loss stops being finite.

    Examples:
        On the paper's simulation, whose columns are standardised already:

        >>> from infocore_mini import Config, pretrain
        >>> from infocore_mini.simulate import simulation_study
        >>> study = simulation_study(seed=0)
        >>> model = pretrain(study.drug, study.screen, study.batch_id, Config(epochs=2, embedding_dim=16))
        >>> tuple(model.embed_screen(study.screen).shape), len(model.history)
        ((1250, 16), 2)
    """
    config = _placed(config)
    require(score is None or checkpoint is None, "checkpoint", "one beside score", "only one of both")
    check_patience(patience, score is not None)
    scalers: tuple[Scaler, Scaler] | None = None
    if standardise:
        drug, of_drug = _standardised("drug", drug)
        screen, of_screen = (None, of_drug) if screen is None else _standardised("screen", screen)
        scalers = (of_drug, of_screen)
    pairs = check_pairs(drug, screen, batch_id, molecule, config, nuisance)

    def pretrained(model: TwoTower) -> Pretrained:
        """Of the networks, which see standardised columns, the model that standardises them itself."""
        if scalers is None:
            return Pretrained(model, config, trainer.shapes, trainer.history)
        of_drug, of_screen = (scaler.to(config.device) for scaler in scalers)
        shapes = replace(trainer.shapes, scaled=True)
        return Pretrained(model.behind((of_drug, of_screen)), config, shapes, trainer.history)

    with _seeded(config):
        of_networks = None if score is None else lambda model: score(pretrained(model))
        trainer = Trainer(pairs, config, score=of_networks, patience=patience)
        return pretrained(trainer.run(checkpoint, progress))


def pretrain_screen(
    screen: PairedScreen,
    config: Config,
    *,
    nuisance: Sequence[str] = (),
    validation: PairedScreen | None = None,
    validate_every: int = 5,
    patience: int | None = None,
    checkpoint: str | Path | None = None,
    progress: bool = False,
) -> Pretrained:
    """Train on the conditions of a PairedScreen: molecules against readouts (appendix F).

    Drug features and readouts are standardised and clipped by scalers that are fitted on ``screen`` and
    travel with the model. Conditions of one molecule are never each other's negatives.

    Args:
        screen: the training molecules.
        config: method and all settings.
        nuisance: columns of ``screen.info`` that must not be learnt either, such as ("plate", "cell_count"): text and
            whole numbers are labels, other numbers are binned (``nuisance.binned``). As in ``pretrain``; the replicates
            of a condition may have several values.
        validation: other molecules of the same screen, or other experimental batches, under the same corrections. The
            weights of the epoch with the best retrieval on them are returned (``retrieval_score``); None = those of the
            last epoch.
        validate_every: epochs between two scores; the last epoch is always scored.
        patience: with validation, stop when so many epochs have passed since the best one; None = after all epochs.
        checkpoint, progress: see ``pretrain``.

    Returns:
        The trained model.

    Raises:
        ValueError: as ``pretrain``; and if a column of ``nuisance`` is not there or has gaps, or if screen and
            validation differ in features or names of batches, share molecules and experimental batches, or validation
            has too few molecules to rank.
        OSError: if there is no room for the checkpoint.
        FloatingPointError: if the loss stops being finite.

    Examples:
        On a made-up screen of 50 molecules, two wells of each; the epoch is chosen by molecules that were held out:

        >>> import numpy as np
        >>> from infocore_mini import Config, PairedScreen, pretrain_screen
        >>> rng = np.random.default_rng(0)
        >>> screen = PairedScreen.from_profiles(
        ...     smiles=["C" * length for length in range(1, 51)] * 2,
        ...     drug=lambda smiles: rng.normal(size=(len(smiles), 4)),
        ...     profile=rng.normal(size=(100, 6)),
        ...     batch=rng.integers(2, size=100),
        ... )
        >>> split = screen.split(seed=0)
        >>> config = Config(epochs=2, minibatch_size=16, embedding_dim=8)
        >>> model = pretrain_screen(split.train, config, validation=split.validation)
        >>> z_screen, z_drug = model.embed(split.test)
        >>> tuple(z_screen.shape), tuple(z_drug.shape)
        ((10, 8), (10, 8))
    """
    config = _placed(config)
    check_screen(screen, config, validation, validate_every)
    check_patience(patience, validation is not None)
    trained_on = TrainedOn(
        batch_names=screen.batch_names,
        cell_line_names=screen.cell_line_names,
        screen_features=screen.feature_names,
        featuriser=screen.featuriser,
        molecules=tuple(map(str, screen.smiles)),
        corrections=screen.corrections,
        nuisances=tuple(nuisance),
    )
    with _seeded(config):
        pairs = screen_pairs(screen, config, nuisance)
        if validation is None:
            trainer = Trainer(pairs, config, scaled=True)
        else:
            held_out = validation

            def score(model: TwoTower) -> float:
                return retrieval_score(Pretrained(model, config, trainer.shapes, trained_on=trained_on), held_out)

            name = checksum(ScreenPairs(held_out, "cpu").tensors()) if checkpoint is not None else ""
            trainer = Trainer(
                pairs,
                config,
                scaled=True,
                score=score,
                patience=patience,
                validate_every=validate_every,
                validation=name,
            )
        for scaler, values in zip(trainer.model.scalers, (screen.drug, screen.profile)):
            assert isinstance(scaler, Scaler)
            scaler.fit(values)
        model = trainer.run(checkpoint, progress)
    return Pretrained(model, config, trainer.shapes, trainer.history, trained_on)


def retrieval_score(model: Pretrained, screen: PairedScreen) -> float:
    """Mean over libraries (whole, batch), cell lines and top 1, 5, 10 of retrieval accuracy: what selects a model."""
    from infocore_mini.evaluate.retrieval import screen_retrieval  # here, since it loads pandas

    table = screen_retrieval(*model.embed(screen), screen, minimum_library=2, n_bootstrap=0)
    return float(table.loc[table["cell_line"] == "mean", "accuracy"].mean())


def _standardised(name: str, value: Any) -> tuple[Tensor, Scaler]:
    """The columns at mean 0 and standard deviation 1, float32, and the scaler that does it; worked out in float64."""
    x = as_matrix(name, value, dtype=torch.float64)
    scaler = Scaler(x.shape[1]).fit(x)
    return scaler(x), scaler


def _placed(config: Config) -> Config:
    """The same on the device of this process, where torchrun started several."""
    return replace(config, device=Processes(config.device).device)


@contextmanager
def _seeded(config: Config) -> Iterator[None]:
    """One seed for weights, shuffling, noise and dropout; the caller's random state comes back afterwards."""
    devices = [config.device] if config.device.startswith("cuda") else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(config.seed)
        yield
