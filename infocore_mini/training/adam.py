"""Adam by torch's own fused kernel, through its functional form.

``torch.optim.Adam`` does the same arithmetic, but creating one imports ``torch._dynamo``: 70 MB and a second in every
process, for a compiler that most runs never call.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import torch
from torch import nn
from torch.optim.adam import adam


class Adam:
    """Adam (Kingma & Ba 2015) without weight decay, on parameters that all have a gradient at every step.

    Args:
        parameters: what is trained.
        learning_rate: of the next step; may be changed between steps.
        betas: decay of the first and of the second moment.
        eps: added to the root of the second moment.
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], *, learning_rate: float, betas: tuple[float, float], eps: float
    ) -> None:
        self.parameters = list(parameters)
        self.betas, self.eps = betas, eps
        # A number on a CPU; on a GPU a tensor, which a recorded step (`training.graphs`) reads anew at every replay.
        on_gpu = bool(self.parameters) and self.parameters[0].is_cuda
        self._rate = torch.zeros((), device=self.parameters[0].device) if on_gpu else None
        self.learning_rate = learning_rate
        self.moments = (self._zeros(), self._zeros())
        self.steps = [torch.zeros((), device=parameter.device) for parameter in self.parameters]

    @property
    def learning_rate(self) -> float:
        """Of the next step."""
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        self._learning_rate = value
        if self._rate is not None:
            self._rate.fill_(value)

    def _zeros(self) -> list[torch.Tensor]:
        return [torch.zeros_like(parameter) for parameter in self.parameters]

    @torch.no_grad()
    def step(self) -> None:
        """Move the parameters against their gradients, which are gone afterwards."""
        first, second = self.moments
        adam(
            list(self.parameters),
            cast("list[torch.Tensor]", [parameter.grad for parameter in self.parameters]),
            first,
            second,
            [],
            self.steps,
            fused=True,
            amsgrad=False,
            maximize=False,
            lr=self.learning_rate if self._rate is None else self._rate,
            beta1=self.betas[0],
            beta2=self.betas[1],
            eps=self.eps,
            weight_decay=0.0,
        )
        for parameter in self.parameters:
            parameter.grad = None

    def state_dict(self) -> dict[str, list[torch.Tensor]]:
        """Moments and counts of steps, in the order of the parameters."""
        return {"first": self.moments[0], "second": self.moments[1], "steps": self.steps}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, list[torch.Tensor]]) -> None:
        """Take them back."""
        for name, tensors in self.state_dict().items():
            for tensor, value in zip(tensors, state[name], strict=True):
                tensor.copy_(value)
