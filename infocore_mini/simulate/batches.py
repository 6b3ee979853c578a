"""What an experimental batch does to its wells, in a simulated screen."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from infocore_mini.simulate.doses import Doses


@dataclass(frozen=True, eq=False)
class SimulatedBatches:
    """What each batch does to its wells; see `Doses` and `SimulatedScreen` for the fields."""

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
        """The shift is half low-rank, half feature by feature; a quarter of it the same in all plates of a cell line."""

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=stream)

        line = torch.arange(n_batches) % runs // copies
        n_lines = runs // copies
        basis = normal(8, n_features)
        own = unit_rms(normal(n_batches, 8) @ basis) + unit_rms(normal(n_batches, n_features))
        shared = unit_rms(normal(n_lines, n_features))[line]
        shift = doses.batch_effect * (0.75**0.5 * unit_rms(own) + 0.5 * shared)
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
        """(n, n_g) noise of wells in these batches: independent, gradients over the plate, flips."""
        n, n_features = len(batch_id), self.scale.shape[1]
        share = self.common_share[batch_id, None]
        noise = torch.randn(n, n_features, generator=stream).mul_((1 - share).sqrt())
        place = torch.randn(n, 1, 3, generator=stream) * share[:, None].sqrt()
        noise.add_((place @ self.gradient[batch_id]).squeeze(1)).mul_(self.scale[batch_id])
        flipped = torch.rand(n, n_features, generator=stream) < self.flip_rate[batch_id]
        return noise.addcmul_(flipped.float(), self.flip_size[batch_id])

    def wells(self, batch_id: Tensor, stream: torch.Generator) -> Tensor:
        """(n, n_g) raw control wells."""
        return self.noise(batch_id, stream).add_(self.level[batch_id])


def unit_rms(x: Tensor) -> Tensor:
    """Scaled so that the mean square over the last dimension is 1."""
    return x / x.square().mean(-1, keepdim=True).sqrt()
