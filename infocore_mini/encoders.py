"""Networks: a plain MLP, encoders onto the unit sphere, a classifier of experimental batches, a scaler."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, log_softmax, normalize, pad


class AlignedLinear(nn.Linear):
    """A linear layer that a GPU works out at a multiple of 8 outputs, for which its products are several times faster."""

    def forward(self, x: Tensor) -> Tensor:
        """(n, n_in) -> (n, n_out)."""
        extra = -self.out_features % 8
        if extra == 0 or not x.is_cuda:
            return super().forward(x)
        return linear(x, pad(self.weight, (0, 0, 0, extra)), pad(self.bias, (0, extra)))[:, : self.out_features]


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
        super().__init__(*layers, AlignedLinear(n_in, n_out))


class Encoder(MLP):
    """MLP whose output is scaled to unit norm: (n, n_in) -> (n, d), so that f = cos / temperature."""

    def forward(self, x: Tensor, cell_line: Tensor | None = None) -> Tensor:
        """(n, n_in) -> (n, d); an encoder without heads does not read ``cell_line``."""
        return normalize(super().forward(x).to(x.dtype), dim=1)


class CellLineEncoder(nn.Module):
    """Universal MLP, then a linear head of each cell line: Z_d^c = proj_c(Enc_d(X_d)) (appendix F), unit norm.

    Until ``part_heads`` is called every cell line uses the first head; then each starts as a copy of it.

    Args:
        n_in, hidden, dim, layer_norm, dropout: of the ``MLP``, whose output has the embedding's width ``dim`` as well.
        n_cell_lines: number of heads.
    """

    def __init__(
        self,
        n_in: int,
        hidden: Sequence[int],
        dim: int,
        n_cell_lines: int,
        *,
        layer_norm: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.universal = MLP(n_in, hidden, dim, layer_norm=layer_norm, dropout=dropout)
        first = nn.Linear(dim, dim)
        self.weight = nn.Parameter(first.weight.detach().T.repeat(n_cell_lines, 1, 1))  # (cell lines, d in, d out)
        self.bias = nn.Parameter(first.bias.detach().repeat(n_cell_lines, 1))
        self.parted: Tensor
        self.register_buffer("parted", torch.tensor(False))

    @torch.no_grad()
    def part_heads(self) -> None:
        """From now on each cell line has its own head; all start where the shared one stands."""
        self.weight.copy_(self.weight[:1].expand_as(self.weight))
        self.bias.copy_(self.bias[:1].expand_as(self.bias))
        self.parted.fill_(True)

    def forward(self, x: Tensor, cell_line: Tensor) -> Tensor:
        """(n, n_in) features and (n,) codes of the cell lines -> (n, d)."""
        universal, head = self.universal(x), cell_line * self.parted
        apply = _every_head if x.is_cuda else _grouped_by_head
        return normalize(apply(universal, head, self.weight, self.bias).to(x.dtype), dim=1)


def _grouped_by_head(x: Tensor, head: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """x_i @ weight[head_i] + bias[head_i], (n, d): the rows of each head together, one matrix product a head."""
    order = head.argsort(stable=True)
    groups = x[order].split(head.bincount(minlength=len(weight)).tolist())
    return torch.cat([group @ matrix for group, matrix in zip(groups, weight)])[order.argsort()] + bias[head]


def _every_head(x: Tensor, head: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The same in one matrix product, all heads on all rows: more work, but a GPU need not tell the sizes of groups.

    Nor does the gradient of a bias add up rows by their head, one after the other.
    """
    of_every_head = torch.einsum("nd,cde->nce", x, weight) + bias
    return of_every_head.gather(1, head[:, None, None].expand(-1, 1, weight.shape[2])).squeeze(1)


class BatchClassifier(MLP):
    """log p_hat(x_b | z): (n, d) embeddings -> (n, n_B) log-probabilities of the experimental batches.

    Args:
        n_in, hidden: of the ``MLP``.
        *levels: n_B; of several nuisances the levels of each, whose log-probabilities then stand side by side.
    """

    def __init__(self, n_in: int, hidden: Sequence[int], *levels: int) -> None:
        super().__init__(n_in, hidden, sum(levels))
        self.levels = levels

    def forward(self, z: Tensor) -> Tensor:
        """(n, d) -> (n, n_B), or (n, sum of the levels)."""
        logits = super().forward(z).to(z.dtype)
        return torch.cat([log_softmax(part, dim=1) for part in logits.split(self.levels, dim=1)], dim=1)


class Scaler(nn.Module):
    """Standardises each feature and clips, as fitted on training rows; NaN (not measured) becomes the mean, 0.

    Args:
        n_features: columns.
        clip_before: bound of the raw values, in their units; None = none (GE: 1.5 after control subtraction).
        clip_after: bound in standard deviations; None = none (Mol2vec: 2.5).
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, n_features: int, clip_before: float | None = None, clip_after: float | None = None) -> None:
        super().__init__()
        self.clip_before, self.clip_after = (torch.inf if clip is None else clip for clip in (clip_before, clip_after))
        self.register_buffer("mean", torch.zeros(n_features, dtype=torch.float64))
        self.register_buffer("scale", torch.ones(n_features, dtype=torch.float64))

    def fit(self, x: Tensor) -> Scaler:
        """Mean and standard deviation of the columns of (n, n_features), over finite values, in one pass by chunks.

        Chunks are merged as by Chan, Golub and LeVeque (1983), which no large mean can spoil.
        """
        count, mean, spread = (torch.zeros(x.shape[1], dtype=torch.float64, device=x.device) for _ in range(3))
        for part in x.split(1024):
            measured = ~part.isnan()
            part = part.nan_to_num(0.0).clamp(-self.clip_before, self.clip_before).double() * measured
            n = measured.sum(0)
            centre = part.sum(0) / n.clamp_min(1)
            share, shift = n / (count + n).clamp_min(1), centre - mean
            spread = spread + ((part - centre) * measured).square().sum(0) + shift.square() * count * share
            count, mean = count + n, mean + shift * share
        variance = spread / count.clamp_min(1)
        self.mean.copy_(mean)
        self.scale.copy_(torch.where(variance > 1e-20 * mean.square(), variance.sqrt(), 1.0))  # constant: 0
        return self

    def forward(self, x: Tensor) -> Tensor:
        """(n, n_features) float32 or float64, worked out as it comes -> the same shape, float32, without unit."""
        mean, scale = self.mean.to(x.dtype), self.scale.to(x.dtype)
        z = (x.clamp(-self.clip_before, self.clip_before) - mean) / scale
        return z.clamp(-self.clip_after, self.clip_after).nan_to_num(0.0).float()
