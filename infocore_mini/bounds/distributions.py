"""Simulated screens whose conditional mutual information is known.

Two families of p(z_d, z_g, x_b): `DiscreteScreen`, where every expectation is a finite sum, and
`GaussianScreen`, where I(Z_d; Z_g | X_b) is a formula. Both give the optimum of every bound in closed form.
Tables are indexed [drug state, screen state, experimental batch]; all values are in nats, in float64.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class DiscreteScreen:
    """p(z_d, z_g, x_b) on finite sets; an embedding is the integer code of a state.

    Args:
        joint: (n_d, n_g, n_B) positive probabilities that sum to 1.

    Raises:
        ValueError: if `joint` is not such a table.
    """

    joint: Tensor

    def __post_init__(self) -> None:
        joint = self.joint
        if joint.ndim != 3 or not bool((joint > 0).all()) or abs(float(joint.sum()) - 1) > 1e-9:
            raise ValueError(
                f"joint: got shape {tuple(joint.shape)}, sum {float(joint.sum()):.6g}, "
                f"minimum {float(joint.min()):.3g}; expected (n_d, n_g, n_B) positive probabilities that sum to 1"
            )

    @cached_property
    def conditional_information(self) -> float:
        """I(Z_d; Z_g | X_b)."""
        return _information(self.joint.permute(2, 0, 1)).item()

    @cached_property
    def information(self) -> float:
        """I(Z_d; Z_g), what CLIP's InfoNCE bounds."""
        return _information(self.joint.sum(2)).item()

    @cached_property
    def batch_information(self) -> tuple[float, float]:
        """I(Z_d; X_b) and I(Z_g; X_b): what each embedding tells of the experimental batch."""
        return _information(self.joint.sum(1)).item(), _information(self.joint.sum(0)).item()

    @cached_property
    def log_prior(self) -> Tensor:
        """(n_B,) log p(x_b)."""
        return self.joint.sum((0, 1)).log()

    def critic(self, z_screen: Tensor, z_drug: Tensor) -> Tensor:
        """(n, m) f*(z_g, z_d) = log p(z_g, z_d) / p(z_g) p(z_d), the optimum of proposition 2."""
        joint = self.joint.sum(2)
        ratio = (joint / joint.sum(1, keepdim=True) / joint.sum(0)).log()
        return ratio[z_drug][:, z_screen].T

    def log_posterior_drug(self, z_drug: Tensor) -> Tensor:
        """(n, n_B) log p(x_b | z_d)."""
        return log_normalise(self.joint.sum(1))[z_drug]

    def log_posterior_screen(self, z_screen: Tensor) -> Tensor:
        """(n, n_B) log p(x_b | z_g)."""
        return log_normalise(self.joint.sum(0))[z_screen]

    def log_posterior_pair(self, z_screen: Tensor, z_drug: Tensor) -> Tensor:
        """(n, m, n_B) log p(x_b | z_g, z_d)."""
        return log_normalise(self.joint)[z_drug][:, z_screen].transpose(0, 1)

    def sample(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """n draws of (z_drug, z_screen, batch_id), three (n,) int64 tensors."""
        flat = torch.multinomial(self.joint.flatten(), n, replacement=True, generator=generator)
        z_drug, z_screen, batch_id = torch.unravel_index(flat, self.joint.shape)
        return z_drug, z_screen, batch_id

    def encode(self, *, drug: Tensor | None = None, screen: Tensor | None = None) -> DiscreteScreen:
        """The distribution after encoders that map states to codes; `drug` (n_d,) and `screen` (n_g,) int64."""
        joint = self.joint
        if drug is not None:
            joint = torch.einsum("dgb,de->egb", joint, _one_hot(drug))
        if screen is not None:
            joint = torch.einsum("dgb,ge->deb", joint, _one_hot(screen))
        return DiscreteScreen(joint)


@dataclass(frozen=True)
class GaussianScreen:
    """Embeddings that are jointly Gaussian within an experimental batch; the batch shifts their first coordinate.

    z_d = shift_drug[b] e_1 + u, z_g = shift_screen[b] e_1 + v; u, v standard normal, Corr(u_k, v_k) = correlation.

    Args:
        shift_drug, shift_screen: (n_B,) shifts, in units of the within-batch standard deviation.
        log_prior: (n_B,) log p(x_b).
        correlation: in (-1, 1), the same for every coordinate.
        dimension: number of coordinates of an embedding, >= 1.

    Raises:
        ValueError: if `correlation` or `dimension` is out of range.
    """

    shift_drug: Tensor
    shift_screen: Tensor
    log_prior: Tensor
    correlation: float
    dimension: int = 1

    def __post_init__(self) -> None:
        if not (-1 < self.correlation < 1 and self.dimension >= 1):
            raise ValueError(
                f"correlation, dimension: got {self.correlation}, {self.dimension}; "
                "expected -1 < correlation < 1, dimension >= 1"
            )

    @property
    def conditional_information(self) -> float:
        """I(Z_d; Z_g | X_b) = -dimension / 2 log(1 - correlation^2)."""
        return -0.5 * self.dimension * math.log1p(-(self.correlation**2))

    @cached_property
    def batch_information(self) -> tuple[float, float]:
        """I(Z_d; X_b) and I(Z_g; X_b), by Gauss-Hermite quadrature over the first coordinate."""
        return self._shift_information(self.shift_drug), self._shift_information(self.shift_screen)

    def critic(self, z_screen: Tensor, z_drug: Tensor) -> Tensor:
        """(n, m) f*(z_g, z_d) = log p(z_g, z_d) / p(z_g) p(z_d)."""
        first = self._log_joint(z_screen, z_drug).logsumexp(2)
        first = first - self._log_marginal(z_screen, self.shift_screen).logsumexp(1)[:, None]
        first = first - self._log_marginal(z_drug, self.shift_drug).logsumexp(1)
        return first + self._log_copula(z_screen[:, None, 1:], z_drug[None, :, 1:]).sum(2)

    def log_posterior_drug(self, z_drug: Tensor) -> Tensor:
        """(n, n_B) log p(x_b | z_d)."""
        return self._log_marginal(z_drug, self.shift_drug).log_softmax(1)

    def log_posterior_screen(self, z_screen: Tensor) -> Tensor:
        """(n, n_B) log p(x_b | z_g)."""
        return self._log_marginal(z_screen, self.shift_screen).log_softmax(1)

    def log_posterior_pair(self, z_screen: Tensor, z_drug: Tensor) -> Tensor:
        """(n, m, n_B) log p(x_b | z_g, z_d)."""
        return self._log_joint(z_screen, z_drug).log_softmax(2)

    def sample(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """n draws: z_drug and z_screen (n, dimension) float64, batch_id (n,) int64."""
        batch_id = torch.multinomial(self.log_prior.exp(), n, replacement=True, generator=generator)
        noise = torch.randn(2, n, self.dimension, generator=generator, dtype=torch.float64)
        z_drug = noise[0].clone()
        z_screen = self.correlation * noise[0] + math.sqrt(1 - self.correlation**2) * noise[1]
        z_drug[:, 0] += self.shift_drug[batch_id]
        z_screen[:, 0] += self.shift_screen[batch_id]
        return z_drug, z_screen, batch_id

    def _log_marginal(self, z: Tensor, shift: Tensor) -> Tensor:
        """(n, n_B) log p(x_b) N(z_1 - shift_b), without the normal's constant."""
        return self.log_prior - (z[:, :1] - shift) ** 2 / 2

    def _log_joint(self, z_screen: Tensor, z_drug: Tensor) -> Tensor:
        """(n, m, n_B) log p(x_b) N_2(first coordinates - shifts), without the normals' constants."""
        x = (z_screen[:, :1] - self.shift_screen)[:, None]
        y = (z_drug[:, :1] - self.shift_drug)[None]
        return self.log_prior - (x**2 + y**2) / 2 + self._log_copula(x, y)

    def _log_copula(self, x: Tensor, y: Tensor) -> Tensor:
        """log N_2(x, y; correlation) / N(x) N(y)."""
        rho = self.correlation
        return -0.5 * math.log1p(-(rho**2)) - (rho**2 * (x**2 + y**2) - 2 * rho * x * y) / (2 * (1 - rho**2))

    def _shift_information(self, shift: Tensor) -> float:
        nodes, weights = (torch.from_numpy(v) for v in np.polynomial.hermite_e.hermegauss(100))
        z = (shift[:, None] + nodes).reshape(-1, 1)
        log_posterior = self._log_marginal(z, shift).log_softmax(1).reshape(len(shift), len(nodes), len(shift))
        true = log_posterior.diagonal(dim1=0, dim2=2).T  # (n_B, nodes) log p(b | z drawn in b)
        inner = (true - self.log_prior[:, None]) @ weights / math.sqrt(2 * math.pi)
        return float(self.log_prior.exp() @ inner)


def random_discrete(
    n_drug: int,
    n_screen: int,
    n_batches: int,
    *,
    effect: float,
    confounding: float,
    interaction: float = 0.0,
    generator: torch.Generator,
) -> DiscreteScreen:
    """A random log-linear table: log p = effect A_dg + confounding (B_db + C_gb) + interaction D_dgb + constant.

    A to D are standard normal; `effect` ties drug to screen, `confounding` ties both to the experimental batch,
    `interaction` makes the tie itself differ between batches.

    Args:
        n_drug, n_screen, n_batches: numbers of states and of experimental batches.
        effect, confounding, interaction: standard deviations of the terms of log p.
        generator: decides the draw.

    Returns:
        A distribution on (n_drug, n_screen, n_batches).
    """

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    logits = effect * normal(n_drug, n_screen, 1) + interaction * normal(n_drug, n_screen, n_batches)
    logits = logits + confounding * (normal(n_drug, 1, n_batches) + normal(1, n_screen, n_batches))
    return DiscreteScreen(logits.flatten().softmax(0).reshape(logits.shape))


def separable_discrete(
    effect_joint: Tensor, nuisance_drug: Tensor, nuisance_screen: Tensor, prior: Tensor
) -> DiscreteScreen:
    """States (effect, nuisance): the effects know nothing of the experimental batch, the nuisances of nothing else.

    Here p(z_d, z_g | b) = p(z_d | b) p(z_g | b) r(z_d, z_g), so the prior-corrected product of experts is exact.

    Args:
        effect_joint: (e_d, e_g) joint probabilities of the two effects.
        nuisance_drug, nuisance_screen: (n_B, u_d), (n_B, u_g) rows p(u | b).
        prior: (n_B,) p(x_b).

    Returns:
        A distribution on (e_d u_d, e_g u_g, n_B); the nuisance runs faster than the effect.
    """
    joint = torch.einsum("ij,bu,bv,b->iujvb", effect_joint, nuisance_drug, nuisance_screen, prior)
    return DiscreteScreen(joint.reshape(joint.shape[0] * joint.shape[1], -1, len(prior)))


def _information(joint: Tensor) -> Tensor:
    """Mutual information of the last two axes of a probability table, given the axes before them."""
    given = joint.sum((-1, -2), keepdim=True)
    return (joint * (joint * given / joint.sum(-1, keepdim=True) / joint.sum(-2, keepdim=True)).log()).sum()


def log_normalise(table: Tensor) -> Tensor:
    """log p(x_b | the axes before it) of a joint table (..., n_B)."""
    return table.log().log_softmax(-1)


def _one_hot(code: Tensor) -> Tensor:
    return torch.nn.functional.one_hot(code).double()
