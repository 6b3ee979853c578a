"""The networks of a run, and the trained model that a run returns."""

from __future__ import annotations

import copy
import json
from dataclasses import asdict
from pathlib import Path

import torch
from pydantic import TypeAdapter
from safetensors import safe_open
from safetensors.torch import load_model, save_model
from torch import Tensor, nn

from infocore_mini.config import Config
from infocore_mini.encoders import BatchClassifier, CellLineEncoder, Encoder, Scaler
from infocore_mini.screens import PairedScreen
from infocore_mini.training.contrast import TwoTower
from infocore_mini.validation import as_matrix


class Pretrained:
    """Trained encoders and classifiers: what ``pretrain`` returns and ``load`` reads back.

    Attributes:
        config: the ``Config`` of the run.
        history: per epoch, mean "contrastive" and "classifier" loss in nats; "validation" where it was scored.
        shapes: {"n_a", "n_b", "n_batches", "n_cell_lines", "shared", "scaled"}.
    """

    def __init__(self, model: TwoTower, config: Config, shapes: dict, history: list[dict[str, float]]) -> None:
        self.model, self.config, self.shapes, self.history = model.eval(), config, shapes, history

    def embed_drug(self, a, cell_line=None) -> Tensor:
        """(n, n_a) -> (n, d) unit-norm embeddings of view a, on the CPU.

        ``cell_line``: (n,) codes, needed by a model with cell-line heads and by no other.
        """
        heads = self.config.cell_line_heads
        if heads != (cell_line is not None):
            expected = "codes of the cell lines" if heads else "None, the model has no cell-line heads"
            raise ValueError(f"cell_line: got {type(cell_line).__name__}, expected {expected}")
        if heads:
            cell_line = torch.as_tensor(cell_line, dtype=torch.int64)
            n_lines = self.shapes["n_cell_lines"]
            if cell_line.shape != (len(a),) or not bool(((cell_line >= 0) & (cell_line < n_lines)).all()):
                raise ValueError(f"cell_line: got {tuple(cell_line.shape)}, expected ({len(a)},) codes below {n_lines}")
        return self._embed(0, as_matrix("a", a, self.shapes["n_a"]), cell_line)

    def embed_screen(self, b) -> Tensor:
        """(n, n_b) -> (n, d) unit-norm embeddings of view b, on the CPU."""
        return self._embed(1, as_matrix("b", b, self.shapes["n_b"], missing=self.shapes["scaled"]))

    def drug_body(self) -> tuple[nn.Module, nn.Module]:
        """(scaler, body) of view a, copies: features -> scaled features -> (n, d) universal drug encoding.

        The body ends before the cell-line heads and before the unit norm: what is fine-tuned on other tasks.
        """
        encoder = copy.deepcopy(self.model.encoders[0])
        body = encoder.universal if isinstance(encoder, CellLineEncoder) else nn.Sequential(*encoder)
        return copy.deepcopy(self.model.scalers[0]), body

    def embed(self, screen: PairedScreen) -> tuple[Tensor, Tensor]:
        """(z_screen, z_drug) of each condition, both (n_conditions, d): mean profile, and drug under its cell line."""
        cell_line = screen.cell_line if self.config.cell_line_heads else None
        z_drug = self.embed_drug(screen.drug[screen.drug_id], cell_line)
        return self.embed_screen(screen.mean_profile()), z_drug

    @torch.no_grad()
    def _embed(self, view: int, x: Tensor, *context: Tensor | None) -> Tensor:
        encoder, device, size = self.model.encoders[view], self.config.device, 16_384
        context = [None if c is None else c.split(size) for c in context]
        parts = []
        for i, part in enumerate(x.split(size)):
            here = (None if c is None else c[i].to(device) for c in context)
            parts.append(encoder(self.model.scalers[view](part.to(device)), *here).cpu())
        return torch.cat(parts)

    def save(self, path: str | Path) -> None:
        """Write weights and configuration as one safetensors file (no pickle)."""
        run = {"config": asdict(self.config), "shapes": self.shapes, "history": self.history}
        save_model(self.model, str(path), metadata={"run": json.dumps(run)})

    @classmethod
    def load(cls, path: str | Path) -> Pretrained:
        """Read what ``save`` wrote."""
        with safe_open(str(path), framework="pt") as file:
            run = json.loads(file.metadata()["run"])
        config = TypeAdapter(Config).validate_python(run["config"])
        model = build(config, run["shapes"])
        load_model(model, str(path))
        return cls(model.to(config.device), config, run["shapes"], run["history"])


def build(config: Config, shapes: dict) -> TwoTower:
    """The untrained networks of a run, from torch's random state."""
    options = dict(layer_norm=config.layer_norm, dropout=config.dropout)
    body_a = (shapes["n_a"], config.hidden_drug, config.embedding_dim)
    if config.cell_line_heads:
        encoder_a = CellLineEncoder(*body_a, shapes["n_cell_lines"], **options)
    else:
        encoder_a = Encoder(*body_a, **options)
    encoder_b = encoder_a
    if not shapes["shared"]:
        encoder_b = Encoder(shapes["n_b"], config.hidden_screen, config.embedding_dim, **options)
    scalers = (nn.Identity(), nn.Identity())
    if shapes["scaled"]:
        scalers = (
            Scaler(shapes["n_a"], clip_after=config.clip_drug),
            Scaler(shapes["n_b"], clip_before=config.clip_screen),
        )
    bf16 = config.precision == "bf16-mixed"
    if config.method != "infocore":
        return TwoTower((encoder_a, encoder_b), None, scalers, bf16=bf16)
    n_classifiers = 1 if shapes["shared"] else 2
    classifiers = [
        BatchClassifier(config.embedding_dim, config.hidden_classifier, shapes["n_batches"])
        for _ in range(n_classifiers)
    ]
    return TwoTower((encoder_a, encoder_b), (classifiers[0], classifiers[-1]), scalers, bf16=bf16)
