"""The networks of a run: two encoders, and for InfoCORE and gradient reversal two batch classifiers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from infocore_mini.config import Config
from infocore_mini.encoders import BatchClassifier, CellLineEncoder, Encoder, Scaler


@dataclass(frozen=True)
class Shapes:
    """What the data decide about the networks.

    Attributes:
        n_drug: drug features, n_d.
        n_screen: readout features, n_g.
        n_batches: experimental batches, n_B; of several nuisances the sum of their levels.
        n_cell_lines: cell lines; 1 where there are none.
        shared: one encoder serves both views.
        scaled: the model standardises its inputs itself, and takes NaN in the readout as "not measured".
        levels: of each nuisance, where there are several; () = experimental batches alone.
    """

    n_drug: int
    n_screen: int
    n_batches: int
    n_cell_lines: int = 1
    shared: bool = False
    scaled: bool = False
    levels: tuple[int, ...] = ()


class TwoTower(nn.Module):
    """Two encoders and, for InfoCORE, a batch classifier on each embedding. The views may share both.

    Args:
        encoders: (of the drug, of the screen); the same module twice = shared.
        classifiers: (of z_drug, of z_screen), or None for methods without one.
        scalers: what standardises each view, after noise and before the encoders; None = nothing to do.
        bf16: run the networks in bfloat16 (autocast); weights, embeddings and posteriors stay float32.
    """

    def __init__(
        self,
        encoders: tuple[nn.Module, nn.Module],
        classifiers: tuple[nn.Module, nn.Module] | None,
        scalers: tuple[nn.Module, nn.Module] | None = None,
        *,
        bf16: bool = False,
    ) -> None:
        super().__init__()
        self.bf16 = bf16
        self.encoders = nn.ModuleList(encoders)
        self.classifiers = nn.ModuleList(classifiers or ())
        self.scalers = nn.ModuleList(scalers or (nn.Identity(), nn.Identity()))

    def embed(self, drug: Tensor, screen: Tensor, cell_line: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Unit-norm z_drug and z_screen, each (n, d), of scaled views; only the drug's depends on the cell line."""
        of_drug, of_screen = self.encoders
        with self._precision(drug):
            return of_drug(drug, cell_line), of_screen(screen)

    def log_posteriors(self, z: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor] | None:
        """log p_hat(x_b | z) of z_drug and z_screen, each (n, n_B); None without classifiers."""
        if not self.classifiers:
            return None
        of_drug, of_screen = self.classifiers
        with self._precision(z[0]):
            return of_drug(z[0]), of_screen(z[1])

    def behind(self, scalers: tuple[nn.Module, nn.Module]) -> TwoTower:
        """The same networks, not copies, behind other scalers."""
        classifiers = (self.classifiers[0], self.classifiers[1]) if self.classifiers else None
        return TwoTower((self.encoders[0], self.encoders[1]), classifiers, scalers, bf16=self.bf16)

    def _precision(self, x: Tensor) -> torch.autocast:
        return torch.autocast(x.device.type, torch.bfloat16, enabled=self.bf16)


def build(config: Config, shapes: Shapes) -> TwoTower:
    """The untrained networks of a run, from torch's random state."""

    def encoder(n_in: int, hidden: tuple[int, ...]) -> nn.Module:
        return Encoder(n_in, hidden, config.embedding_dim, layer_norm=config.layer_norm, dropout=config.dropout)

    def classifier() -> nn.Module:
        return BatchClassifier(config.embedding_dim, config.hidden_classifier, *(shapes.levels or (shapes.n_batches,)))

    of_drug: nn.Module
    if config.cell_line_heads:
        of_drug = CellLineEncoder(
            shapes.n_drug,
            config.hidden_drug,
            config.embedding_dim,
            shapes.n_cell_lines,
            layer_norm=config.layer_norm,
            dropout=config.dropout,
        )
    else:
        of_drug = encoder(shapes.n_drug, config.hidden_drug)
    of_screen = of_drug if shapes.shared else encoder(shapes.n_screen, config.hidden_screen)
    classifiers = None
    if config.method == "infocore" or config.penalty == "reversal":
        of_z_drug = classifier()
        classifiers = (of_z_drug, of_z_drug if shapes.shared else classifier())
    scalers = None
    if shapes.scaled:
        scalers = (
            Scaler(shapes.n_drug, clip_after=config.clip_drug),
            Scaler(shapes.n_screen, clip_before=config.clip_screen),
        )
    return TwoTower((of_drug, of_screen), classifiers, scalers, bf16=config.precision == "bf16-mixed")
