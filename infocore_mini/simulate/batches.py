"""What an experimental batch does to its wells, in a simulated screen."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from infocore_mini.simulate.doses import Doses


@dataclass(frozen=True, eq=False)
class SimulatedBatches:
    """What each of n_B experimental batches does to its wells, n_g features.

    Attributes:
        level: (n_B, n_g) mean of the raw control wells.
        shift: (n_B, n_g) what is added to treated wells and not to control wells.
        response: (n_B, n_g) factor on every drug effect.
        scale: (n_B, n_g) standard deviation of the well noise.
        common_share: (n_B,) share of the noise variance that lies along the gradients.
        gradient: (n_B, 3, n_g) gradients over the plate, together of unit variance.
        flip_rate, flip_size: (n_B, n_g) share of values that jump, and by how much.
    """

    level: Tensor
    shift: Tensor
    response: Tensor
    scale: Tensor
    common_share: Tensor
    gradient: Tensor
    flip_rate: Tensor
    flip_size: Tensor

    @classmethod
    def draw(
        cls, n_batches: int, n_features: int, runs: int, copies: int, doses: Doses, stream: torch.Generator
    ) -> SimulatedBatches:
        """Draw the batches of a screen.

        The shift is half low-rank, half feature by feature, and a quarter of its variance is the same in all plates of
        a cell line.

        Args:
            n_batches, n_features: n_B, n_g.
            runs: experimental batches of a drug plate.
            copies: of these, those in each cell line.
            doses: how much of everything.
            stream: decides the draw.
        """

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=stream)

        line = torch.arange(n_batches) % runs // copies
        n_lines = runs // copies
        basis = normal(8, n_features)
        particular = unit_rms(normal(n_batches, 8) @ basis) + unit_rms(normal(n_batches, n_features))
        shared = unit_rms(normal(n_lines, n_features))[line]
        shift = doses.batch_effect * (0.75**0.5 * unit_rms(particular) + 0.5 * shared)
        level = 8 + 2 * normal(1, n_features) + normal(n_lines, n_features)[line]
        level = level + doses.plate_level * normal(n_batches, n_features)
        response = (doses.interaction * normal(n_batches, n_features)).exp()
        spread = doses.noise_spread / 2**0.5
        scale = doses.noise * (spread * normal(1, n_features) + spread * normal(n_batches, n_features)).exp()
        mean_share = max(doses.common_noise, 1e-6)
        share = torch.rand(n_batches, generator=stream) ** ((1 - mean_share) / mean_share)
        gradient = unit_rms(normal(n_batches, 3, n_features)) * torch.tensor([0.7, 0.25, 0.05]).sqrt()[:, None]
        flip_rate = (doses.flip_rate * normal(n_batches, n_features).square()).clamp(max=0.5)
        flip_size = doses.flip_size * normal(n_batches, n_features)
        return cls(level, shift, response, scale, share, gradient, flip_rate, flip_size)

    def noise(self, batch_id: Tensor, stream: torch.Generator) -> Tensor:
        """(n, n_g) noise of wells in these batches, batch_id (n,): independent, gradients over the plate, flips."""
        n, n_features = len(batch_id), self.scale.shape[1]
        share = self.common_share[batch_id, None]
        noise = torch.randn(n, n_features, generator=stream).mul_((1 - share).sqrt())
        place = torch.randn(n, 1, 3, generator=stream) * share[:, None].sqrt()
        noise.add_((place @ self.gradient[batch_id]).squeeze(1)).mul_(self.scale[batch_id])
        flipped = torch.rand(n, n_features, generator=stream) < self.flip_rate[batch_id]
        return noise.addcmul_(flipped.float(), self.flip_size[batch_id])

    def wells(self, batch_id: Tensor, stream: torch.Generator) -> Tensor:
        """(n, n_g) raw control wells in these batches, batch_id (n,)."""
        return self.noise(batch_id, stream).add_(self.level[batch_id])


def unit_rms(x: Tensor) -> Tensor:
    """Scaled so that the mean square over the last dimension is 1."""
    return x / x.square().mean(-1, keepdim=True).sqrt()
