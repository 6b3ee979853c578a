"""The encoder that the project ships: InfoCORE on the real cell-painting screens of COMAS, by the study ``comas``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from infocore_mini.experiments.pretraining.run import Study
from infocore_mini.experiments.pretraining.studies import STUDIES
from infocore_mini.experiments.results import save_results, stored
from infocore_mini.pretrained import Pretrained
from infocore_mini.sources import sha256_of
from infocore_mini.train import pretrain_screen

NAME = "comas"  # of the model, and of the study whose settings it has
ARM = "infocore"
SEED = 0


def chosen() -> dict[str, Any]:
    """The candidate with the highest validation score, mean over the splits of the stored study."""
    study = stored(NAME)
    scores = np.mean([row["search"] for row in study.results if row["arm"] == ARM], axis=0)
    return study.parameters["candidates"][ARM][int(scores.argmax())]


def train(study: Study, candidate: Mapping[str, Any], seed: int = SEED) -> tuple[Pretrained, dict[str, Any]]:
    """Train on all molecules but the validation part of a split, which chooses the epoch.

    Returns:
        The model, which embeds SMILES, and the numbers of molecules, profiles, batches and epochs behind it.
    """
    screen = study.screen(seed)
    held_out = screen.split(seed).validation
    seen = screen.subset(~np.isin(screen.smiles, held_out.smiles))
    model = pretrain_screen(seen, study.config(ARM, seed, candidate), validation=held_out)
    scores = {epoch: row["validation"] for epoch, row in enumerate(model.history, 1) if "validation" in row}
    best = max(scores, key=scores.__getitem__)
    counts = {"molecules": len(seen.drug), "profiles": len(seen.profile), "batches": seen.n_batches}
    return model, counts | {"held_out": len(held_out.drug), "epoch": best, "validation": scores[best]}


def store(output: Path, runs: Path, n_jobs: int = 1) -> Path:
    """Train, and write ``models/comas.safetensors`` and ``results/encoder.json``, what it is, into ``output``.

    One run in one process: the model is the run, and nothing is kept in ``runs``.
    """
    study, candidate = STUDIES[NAME], chosen()
    model, about = train(study, candidate)
    path = output / "models" / f"{NAME}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    model.save(path)
    file = {"file": path.name, "sha256": sha256_of(path), "bytes": path.stat().st_size}
    parameters = {"study": NAME, "candidate": candidate, "seed": SEED, "config": asdict(model.config)}
    return save_results("encoder", parameters, file | about, output_dir=output, data=study.checksums())
