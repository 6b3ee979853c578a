"""The paper's simulation study (section 3.1, appendix H)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

_ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "silu": nn.SiLU, "leaky_relu": nn.LeakyReLU}


@dataclass(frozen=True)
class SimulationStudy:
    """One simulated draw of n samples, in random order.

    Attributes:
        drug, screen: (n, dim) float32 X_d and X_g, without unit, standardised by column.
        batch_id: (n,) int64, equal numbers of each.
        effect: (n,) int64, drawn at random.
        train, held_out: (n / 2,) int64 numbers of samples.
    """

    drug: Tensor
    screen: Tensor
    batch_id: Tensor
    effect: Tensor
    train: Tensor
    held_out: Tensor


def simulation_study(
    seed: int,
    *,
    n_samples: int = 1250,
    n_effects: int = 5,
    n_batches: int = 25,
    dim: int = 10,
    noise: float = 0.5,
    generator_width: int = 30,
    activation: Literal["relu", "tanh", "silu", "leaky_relu"] = "relu",
) -> SimulationStudy:
    """Draw the paper's simulation: effect, batch and noise vectors, mixed by two random 2-layer MLPs.

    Each effect and each experimental batch is a ``dim``-vector from N(0, 1); a sample concatenates its
    effect's vector, its batch's vector and ``dim`` values from N(0, noise^2). Two MLPs with random
    weights turn the 3 dim values into X_d and X_g. Samples fall into batches evenly, into effects at
    random, and half of them are held out.

    The paper does not say ``noise``, ``generator_width`` or ``activation``; ours are chosen in the
    simulation chapter by how well a supervised 2-d encoder can tell the effects apart.

    Args:
        seed: decides everything drawn.
        n_samples: n, a multiple of n_batches.
        n_effects, n_batches: numbers of effects and of experimental batches.
        dim: length of each vector, and number of columns of X_d and X_g.
        noise: standard deviation of the per-sample noise vector; 1 is the literal reading of the paper.
        generator_width: hidden units of the two random MLPs.
        activation: of the two random MLPs, between the layers.

    Returns:
        The samples, half of them held out.

    Raises:
        ValueError: if n_samples is no multiple of n_batches, or a setting is out of range.
    """
    counts = dict(
        n_samples=n_samples, n_effects=n_effects, n_batches=n_batches, dim=dim, generator_width=generator_width
    )
    for name, count in counts.items():
        if count < 1:
            raise ValueError(f"{name}: got {count}, expected at least 1")
    if n_samples % n_batches:
        raise ValueError(f"n_samples: got {n_samples}, expected a multiple of n_batches = {n_batches}")
    if activation not in _ACTIVATIONS:
        raise ValueError(f"activation: got {activation!r}, expected one of {', '.join(_ACTIVATIONS)}")
    if not noise >= 0:
        raise ValueError(f"noise: got {noise}, expected a number >= 0")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        effect_vectors, batch_vectors = torch.randn(n_effects, dim), torch.randn(n_batches, dim)
        batch_id = torch.arange(n_samples).remainder(n_batches)[torch.randperm(n_samples)]
        effect = torch.randint(n_effects, (n_samples,))
        source = torch.cat(
            [effect_vectors[effect], batch_vectors[batch_id], noise * torch.randn(n_samples, dim)], dim=1
        )
        drug, screen = (_random_mlp(source, generator_width, dim, activation) for _ in range(2))
        train, held_out = torch.randperm(n_samples).tensor_split(2)
    return SimulationStudy(drug, screen, batch_id, effect, train, held_out)


@torch.no_grad()
def _random_mlp(source: Tensor, width: int, n_out: int, activation: str) -> Tensor:
    """A random 2-layer MLP with unit-variance weights over fan-in, output standardised by column."""
    first = torch.randn(source.shape[1], width) / source.shape[1] ** 0.5
    second = torch.randn(width, n_out) / width**0.5
    x = _ACTIVATIONS[activation]()(source @ first) @ second
    return (x - x.mean(0)) / x.std(0)
