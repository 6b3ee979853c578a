"""The trained model that a run returns, and the one file that holds it."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_model, save_model
from torch import Tensor, nn

from infocore_mini.config import Config, EpochChoice
from infocore_mini.encoders import CellLineEncoder
from infocore_mini.networks import Shapes, TwoTower, build
from infocore_mini.screens import PairedScreen
from infocore_mini.validation import as_matrix

KEY = "infocore_mini"  # of the model's description in the metadata of its file
BLOCK = 16_384  # rows embedded at a time


@dataclass(frozen=True)
class TrainedOn:
    """What a model saw, as far as it has a name.

    Attributes:
        batch_names: labels of the experimental batches; a code is a position in it.
        cell_line_names: of the cell lines, likewise.
        drug_features, screen_features: names of the columns, or ().
        featuriser: what turned SMILES into drug features, one of `featurisers.NAMES`; None = features came as such, or
            of another function.
        molecules: SMILES, one for each molecule; () where they had none.
        corrections: what had been done to the readouts, as `PairedScreen.corrections`; None = not known.
        epoch_choice: what an estimator held out to choose the epoch.
        nuisances: names of what was not to be learnt beside the experimental batch.
    """

    batch_names: tuple[str | int | float, ...] = ()
    cell_line_names: tuple[str, ...] = ()
    drug_features: tuple[str, ...] = ()
    screen_features: tuple[str, ...] = ()
    featuriser: str | None = None
    molecules: tuple[str, ...] = ()
    corrections: tuple[str, ...] | None = None
    epoch_choice: EpochChoice = EpochChoice()
    nuisances: tuple[str, ...] = ()

    def check_corrections(self, done: tuple[str, ...], name: str = "screen", how: str = "") -> None:
        """ValueError, which says ``how``, unless what was ``done`` to the readouts of ``name`` was done to those of training."""
        if self.corrections is not None and done != self.corrections:
            given, expected = (", then ".join(steps) or "nothing" for steps in (done, self.corrections))
            message = f"{name}: got readouts corrected by {given}, expected {expected}, as in training"
            raise ValueError(message + (f"; {how}" if how else ""))


class Pretrained:
    """Trained encoders and classifiers: what ``pretrain`` returns and ``load`` reads back.

    Args:
        model: the networks, scalers included.
        config: of the run.
        shapes: what the data decided about the networks.
        history: per epoch, mean "contrastive" and "classifier" loss in nats; "validation" where it was scored.
        trained_on: names of what the model saw.

    Examples:
        One file holds all of it, and what is loaded embeds the same:

        >>> import tempfile
        >>> from infocore_mini import Config, Pretrained, pretrain
        >>> from infocore_mini.simulate import simulation_study
        >>> study = simulation_study(seed=0)
        >>> model = pretrain(study.drug, study.screen, study.batch_id, Config(epochs=1, embedding_dim=8))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     model.save(f"{folder}/model.safetensors")
        ...     loaded = Pretrained.load(f"{folder}/model.safetensors")
        >>> bool((loaded.embed_drug(study.drug) == model.embed_drug(study.drug)).all())
        True
    """

    def __init__(
        self,
        model: TwoTower,
        config: Config,
        shapes: Shapes,
        history: list[dict[str, float]] | None = None,
        trained_on: TrainedOn | None = None,
    ) -> None:
        self.model, self.config, self.shapes = model.eval(), config, shapes
        self.history = [] if history is None else history
        self.trained_on = TrainedOn() if trained_on is None else trained_on

    def embed_drug(self, drug: Any, cell_line: Any = None) -> Tensor:
        """Embeddings of drugs.

        Args:
            drug: (n, n_d) features, in the units of the training data.
            cell_line: (n,) codes, needed by a model with cell-line heads and taken by no other.

        Returns:
            (n, d) unit-norm, float32, on the CPU.

        Raises:
            ValueError: on another number of features, NaN, or codes that do not fit.
        """
        heads = self.config.cell_line_heads
        if heads != (cell_line is not None):
            expected = "codes of the cell lines" if heads else "None, the model has no cell-line heads"
            raise ValueError(f"cell_line: got {type(cell_line).__name__}, expected {expected}")
        x = as_matrix("drug", drug, self.shapes.n_drug, self._precision(drug))
        if not heads:
            return self._embed(0, x)
        code, n_lines = torch.as_tensor(cell_line, dtype=torch.int64), self.shapes.n_cell_lines
        if code.shape != (len(x),) or not bool(((code >= 0) & (code < n_lines)).all()):
            raise ValueError(f"cell_line: got {tuple(code.shape)}, expected ({len(x)},) codes below {n_lines}")
        return self._embed(0, x, code)

    def embed_screen(self, screen: Any) -> Tensor:
        """Embeddings of readouts.

        Args:
            screen: (n, n_g) in the units of the training data; NaN = not measured, if the model standardises.

        Returns:
            (n, d) unit-norm, float32, on the CPU.

        Raises:
            ValueError: on another number of features, or values that are not finite.
        """
        dtype, missing = self._precision(screen), self.shapes.scaled
        return self._embed(1, as_matrix("screen", screen, self.shapes.n_screen, dtype, missing=missing))

    def embed(self, screen: PairedScreen) -> tuple[Tensor, Tensor]:
        """(z_screen, z_drug) of each condition, both (n_conditions, d): mean profile, and drug under its cell line.

        Features with names are taken in the order of training, and further ones are left out.

        Raises:
            ValueError: if a feature that the model was trained on is missing, the readouts were corrected in another
                way than those of training, or, for a model with cell-line heads, a cell line is new.
        """
        self.trained_on.check_corrections(screen.corrections)
        cell_line = self._heads(screen) if self.config.cell_line_heads else None
        z_drug = self.embed_drug(screen.drug[screen.drug_id], cell_line)
        return self.embed_screen(screen.mean_profile()[:, self._columns(screen)]), z_drug

    def has_seen(self, smiles: Sequence[str]) -> NDArray[np.bool_]:
        """Whether the model was trained on each molecule, under whatever salt, charge, tautomer or stereoisomer.

        Args:
            smiles: n SMILES.

        Returns:
            (n,) booleans.

        Raises:
            ValueError: if the model was trained without SMILES.
            InvalidSmiles: if a row is no molecule.
        """
        from infocore_mini.identity import molecule_groups  # here, since embedding needs no chemistry

        known = self.trained_on.molecules
        if not known:
            raise ValueError("trained_on.molecules: got none, expected a model that was trained on SMILES")
        group = molecule_groups([*smiles, *known])
        return np.isin(group[: len(smiles)], group[len(smiles) :])

    def _columns(self, screen: PairedScreen) -> list[int] | slice:
        """Where the features of training are among the screen's; all, in order, where one of both has no names."""
        names, known = screen.feature_names, self.trained_on.screen_features
        if not names or not known or names == known:
            return slice(None)
        place = {name: at for at, name in enumerate(names)}
        missing = [name for name in known if name not in place]
        if missing:
            raise ValueError(
                f"screen: got {len(names)} features without {len(missing)} of those that the model was trained on, such as "
                f"{missing[0]!r}; expected its {len(known)} (readers take them as features=model.trained_on.screen_features)"
            )
        return [place[name] for name in known]

    def _heads(self, screen: PairedScreen) -> Tensor:
        """(n_conditions,) codes of the cell lines as the model has them, by name."""
        head = {name: code for code, name in enumerate(self.trained_on.cell_line_names)}
        names = [screen.cell_line_names[code] for code in screen.cell_line.unique().tolist()]
        unknown = [name for name in names if name not in head]
        if unknown:
            raise ValueError(f"screen: got cell line {unknown[0]!r}, expected those of training: {', '.join(head)}")
        return torch.tensor([head.get(name, -1) for name in screen.cell_line_names])[screen.cell_line]

    def drug_body(self) -> tuple[nn.Module, nn.Module]:
        """(scaler, body) of the drug encoder, copies: features -> scaled features -> (n, d) universal drug encoding.

        The body ends before the cell-line heads and before the unit norm: what is fine-tuned on other tasks.
        """
        encoder = copy.deepcopy(self.model.encoders[0])
        body = encoder.universal if isinstance(encoder, CellLineEncoder) else nn.Sequential(*encoder.children())
        return copy.deepcopy(self.model.scalers[0]), body

    def _precision(self, value: Any) -> torch.dtype:
        """float64 until it is standardised, except for what is float32 already."""
        single = getattr(value, "dtype", None) in (torch.float32, np.float32)
        return torch.float64 if self.shapes.scaled and not single else torch.float32

    @torch.no_grad()
    def _embed(self, view: int, x: Tensor, cell_line: Tensor | None = None) -> Tensor:
        encoder, scaler = self.model.encoders[view], self.model.scalers[view]
        device = next(encoder.parameters()).device
        parts = []
        for start in range(0, len(x), BLOCK):
            rows = slice(start, start + BLOCK)
            line = () if cell_line is None else (cell_line[rows].to(device),)
            parts.append(encoder(scaler(x[rows].to(device)), *line).cpu())
        return torch.cat(parts)

    # -------------------------------------------------------------- the file

    def save(self, path: str | Path) -> None:
        """Write everything as one safetensors file (no pickle): networks, scalers, names, settings, version.

        Raises:
            FileNotFoundError: if the folder does not exist.
        """
        from infocore_mini import __version__

        path = Path(path)
        if not path.parent.is_dir():
            raise FileNotFoundError(f"path: got {path}, expected a file in an existing folder")
        about = {
            "version": __version__,
            "config": asdict(self.config),
            "shapes": asdict(self.shapes),
            "trained_on": asdict(self.trained_on),
            "history": self.history,
        }
        partial = path.with_name(path.name + ".partial")
        save_model(self.model, str(partial), metadata={KEY: json.dumps(about)})
        os.replace(partial, path)

    @classmethod
    def load(cls, path: str | Path, device: str | None = None) -> Pretrained:
        """Read what ``save`` wrote; it embeds bit for bit as the saved model did on the same kind of device.

        Args:
            path: of the file; or, where there is no such file, the name of a model of the book's model cards, "comas".
            device: "cpu", "cuda" or "cuda:N"; None = where it was trained if that is here, else the CPU.

        Raises:
            FileNotFoundError: if there is no such file or model; it lists the names.
            DataUnavailable: if a named model cannot be had.
            ValueError: if the file is damaged, no model of ours, or of another version; it names the file.
        """
        path = _located(Path(path))
        try:
            with safe_open(str(path), framework="pt") as file:
                about = json.loads((file.metadata() or {})[KEY])
            config = TypeAdapter(Config).validate_python(about["config"])
            shapes = TypeAdapter(Shapes).validate_python(about["shapes"])
            trained_on = TypeAdapter(TrainedOn).validate_python(about["trained_on"])
            model = build(config, shapes)
            load_model(model, str(path))
        except SafetensorError as error:
            raise ValueError(f"path: {path} is damaged or no safetensors file ({error})") from error
        except (KeyError, ValidationError, RuntimeError) as error:
            raise ValueError(
                f"path: {path} holds no model of this version ({error!r}); it was not saved by save"
            ) from None
        return cls(model.to(device or _available(config.device)), config, shapes, about["history"], trained_on)


def _located(path: Path) -> Path:
    """The file itself, or that of the model with this name."""
    if path.is_file():
        return path
    if path.suffix:
        raise FileNotFoundError(f"path: no file {path}")
    from infocore_mini.sources import fetch, models  # here, since a model in a file needs no downloads

    if str(path) not in models():
        raise FileNotFoundError(f"path: no file {path}, expected a file or a model's name: {', '.join(models())}")
    return fetch(f"{path}.safetensors")


def _available(device: str) -> str:
    """The device, or "cpu" where it is not there."""
    index = int(device.partition(":")[2] or 0)
    return device if device == "cpu" or index < torch.cuda.device_count() else "cpu"
