"""Networks: a plain MLP, an encoder onto the unit sphere, a classifier of experimental batches."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn.functional import log_softmax, normalize


class MLP(nn.Sequential):
    """Linear layers with LayerNorm (optional), SiLU and dropout between them.

    Args:
        n_in: input features.
        hidden: width of each hidden layer; a "3-layer MLP" has two of them.
        n_out: output features.
        layer_norm: normalise before each activation.
        dropout: probability of dropping a hidden unit.
    """

    def __init__(
        self, n_in: int, hidden: Sequence[int], n_out: int, *, layer_norm: bool = False, dropout: float = 0.0
    ) -> None:
        layers: list[nn.Module] = []
        for width in hidden:
            layers.append(nn.Linear(n_in, width))
            if layer_norm:
                layers.append(nn.LayerNorm(width))
            layers.append(nn.SiLU())
            if dropout > 0:
                layers.append(nn.Dropout(dropout))
            n_in = width
        super().__init__(*layers, nn.Linear(n_in, n_out))


class Encoder(MLP):
    """MLP whose output is scaled to unit norm: (n, n_in) -> (n, d), so that f = cos / temperature."""

    def forward(self, x: Tensor) -> Tensor:
        return normalize(super().forward(x), dim=1)


class BatchClassifier(MLP):
    """log p_hat(x_b | z): (n, d) embeddings -> (n, n_B) log-probabilities of the experimental batches."""

    def forward(self, z: Tensor) -> Tensor:
        return log_softmax(super().forward(z), dim=1)
