"""Does a GPU compute what a CPU computes: losses and gradients, and the course of a training."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import normalize

from benchmarks.gpu.card import Card
from benchmarks.memory import random_screen
from infocore_mini.config import Config
from infocore_mini.losses import ccl_loss, clip_loss, infocore_loss
from infocore_mini.training.pairs import ScreenPairs, sample
from infocore_mini.training.trainer import Trainer

STEPS = 50

Loss = Callable[..., Tensor]


def losses(card: Card) -> dict[str, dict[str, float]]:
    """For each loss and type: largest relative difference of value and of gradient between the device and a CPU."""
    n, d, n_batches = (16, 8, 4) if card.tiny else (512, 256, 97)
    z = normalize(torch.randn(2, n, d, dtype=torch.float64), dim=2)
    logits = torch.randn(2, n, n_batches, dtype=torch.float64)
    hard, soft = torch.randint(n_batches, (n,)), torch.randn(n, n_batches, dtype=torch.float64).mul(3).softmax(1)
    cases: dict[str, tuple[Loss, Tensor | None, dict]] = {
        "clip": (clip_loss, None, {}),
        "ccl": (ccl_loss, hard, {}),
        **{
            f"infocore, {mixture}, {name} labels": (infocore_loss, label, {"mixture": mixture, "gradient_scale": 0.5})
            for mixture in ("arithmetic", "geometric")
            for name, label in (("hard", hard), ("soft", soft))
        },
    }
    found = {}
    for name, (loss, label, options) in cases.items():
        for dtype in (torch.float32, torch.float64):
            here, there = (_with_gradient(loss, z, logits, label, options, at, dtype) for at in ("cpu", card.device))
            found[f"{name}, {str(dtype).removeprefix('torch.')}"] = {
                part: relative(there[part], here[part]) for part in ("value", "gradient")
            }
    return found


def relative(found: Tensor, expected: Tensor) -> float:
    """Largest difference over the largest expected value."""
    return float((found - expected).abs().max() / expected.abs().max())


def _with_gradient(
    loss: Loss, z: Tensor, logits: Tensor, label: Tensor | None, options: dict, device: str, dtype: torch.dtype
) -> dict[str, Tensor]:
    leaf = z.to(device, dtype, copy=True).requires_grad_()
    arguments = list(leaf)
    if label is not None:
        arguments.append(label.to(device, dtype if label.is_floating_point() else label.dtype))
    if options:
        arguments += logits.to(device, dtype).log_softmax(2)
    value = loss(*arguments, **options)
    value.backward()
    assert leaf.grad is not None
    return {"value": value.detach().cpu().double(), "gradient": leaf.grad.cpu().double()}


def small_screen(card: Card, **changes):
    """Random numbers in the shape of a small gene-expression screen: two replicates, three cell lines."""
    shape = dict(n_drugs=40, n_conditions=100) if card.tiny else dict(n_drugs=700, n_conditions=2000)
    common = dict(n_replicates=2, n_batches=12, n_features=50, cell_lines=("A", "B", "C"))
    return random_screen(**shape | common | changes)


def small_config(card: Card, **changes) -> Config:
    """A configuration with everything that the paper's has, at widths that train in seconds."""
    settings = dict(
        framework="moco",
        embedding_dim=32,
        hidden_drug=(128, 128),
        hidden_screen=(128,),
        hidden_classifier=(64,),
        layer_norm=True,
        dropout=0.1,
        cell_line_heads=True,
        head_warmup_epochs=1,
        noise_screen=0.5,
        mixup_concentration=0.6,
        feature_dropout_screen=0.1,
        sampling="alternate",
        epochs=4,
        minibatch_size=16 if card.tiny else 64,
        queue_size=64 if card.tiny else 512,
        device=card.device,
    )
    return Config(**settings | changes)


NO_CHANCE = dict(dropout=0.0, noise_screen=0.0, mixup_concentration=0.0, feature_dropout_screen=0.0)


def training(card: Card) -> dict[str, dict[str, float]]:
    """Trainings without noise: relative difference of the losses to a CPU's, over the first 10 steps and over all."""
    found = {}
    for framework in ("simclr", "moco"):
        changes = dict(NO_CHANCE, framework=framework)
        here, there = (
            _losses_of_steps(card, small_config(card, **changes | {"device": device}))
            for device in ("cpu", card.device)
        )
        difference = ((there - here).abs() / here.abs()).amax(1)
        found[framework] = {"first_10": float(difference[:10].max()), f"all_{STEPS}": float(difference.max())}
    return found


def _losses_of_steps(card: Card, config: Config) -> Tensor:
    """(50, 2) losses of the encoders and of the classifiers, on a screen without replicates to choose from."""
    torch.manual_seed(config.seed)
    trainer = Trainer(ScreenPairs(small_screen(card, n_replicates=1), config.device), config)
    found = []
    while len(found) < STEPS:
        torch.manual_seed(trainer.epoch)  # of the order: on a GPU drawing rows takes other random numbers
        trainer.start_epoch()
        found += [trainer.step(chosen) for chosen in sample(trainer.pairs, config)]
        trainer.epoch += 1
    return torch.stack(found[:STEPS]).cpu().double()
