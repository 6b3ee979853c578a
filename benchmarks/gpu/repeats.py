"""Does a GPU give the same twice: repeated, replayed, interrupted and resumed, and read where there is no GPU."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.gpu.card import Card, launched
from benchmarks.gpu.equality import relative, small_config, small_screen
from infocore_mini.config import Config
from infocore_mini.train import pretrain_screen
from infocore_mini.training.graphs import Replayed
from infocore_mini.training.pairs import ScreenPairs
from infocore_mini.training.trainer import Trainer


def measure(card: Card) -> dict[str, object]:
    """Whether weights are equal bit for bit, and how far they are from each other."""
    config = small_config(card)
    first = _weights(card, config)
    one_by_one = _weights(card, config, replayed=False)
    torch.use_deterministic_algorithms(True)
    try:
        strict = [_weights(card, config) for _ in range(2)]
    finally:
        torch.use_deterministic_algorithms(False)
    pairs = {
        "one_seed_twice": (first, _weights(card, config)),
        "one_seed_twice_deterministic_algorithms": (strict[0], strict[1]),
        "replayed_and_launched": (first, one_by_one),
        "interrupted_and_resumed": (first, _resumed(card, config)),
    }
    found: dict[str, object] = {
        name: {"bitwise": bool(torch.equal(one, other)), "difference": relative(one, other)}
        for name, (one, other) in pairs.items()
    }
    return found | {"read_on_a_cpu": _read_on_a_cpu(card, config)}


def _trainer(card: Card, config: Config) -> Trainer:
    torch.manual_seed(config.seed)
    return Trainer(ScreenPairs(small_screen(card), config.device), config)


def _vector(trainer: Trainer) -> Tensor:
    return torch.cat([value.detach().flatten().cpu() for value in trainer.model.parameters()])


def _weights(card: Card, config: Config, *, replayed: bool = True) -> Tensor:
    trainer = _trainer(card, config)
    if not replayed:
        launched(trainer)
    trainer.run()
    if isinstance(trainer.train_on, Replayed):
        assert trainer.train_on.graphs, "no step was recorded"
    return _vector(trainer)


def _resumed(card: Card, config: Config) -> Tensor:
    """Trained halfway, thrown away, and gone on with from the file."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "run.pt"
        _trainer(card, replace(config, epochs=config.epochs // 2)).run(file)
        trainer = _trainer(card, config)
        trainer.run(file)
    return _vector(trainer)


_READER = """
import sys, torch
from infocore_mini.pretrained import Pretrained
from safetensors.torch import load_file, save_file
assert not torch.cuda.is_available()
given = load_file(sys.argv[2])
z = Pretrained.load(sys.argv[1]).embed_screen(given["screen"])
save_file({"z": torch.as_tensor(z).contiguous()}, sys.argv[3])
"""


def _read_on_a_cpu(card: Card, config: Config) -> dict[str, float]:
    """A model trained and saved on the device, loaded by a process that sees no GPU: difference of embeddings."""
    from safetensors.torch import load_file, save_file

    screen = small_screen(card)
    model = pretrain_screen(screen, config)
    card.output.mkdir(parents=True, exist_ok=True)
    model.save(card.output / "model.safetensors")
    here = torch.as_tensor(model.embed_screen(screen.profile[:100])).cpu()
    with tempfile.TemporaryDirectory() as folder:
        given, found = Path(folder) / "given.safetensors", Path(folder) / "found.safetensors"
        save_file({"screen": screen.profile[:100].contiguous()}, given)
        command = [sys.executable, "-c", _READER, str(card.output / "model.safetensors"), str(given), str(found)]
        subprocess.run(command, check=True, env=os.environ | {"CUDA_VISIBLE_DEVICES": ""})
        there = load_file(found)["z"]
    return {"difference": relative(there.double(), here.double())}
