"""Training at the paper's full GE shape on one small machine: how much memory it takes, and that it resumes.

The simulated screen of 82,914 conditions is trained on by InfoCORE at the paper's widths for a few steps, and again from
the checkpoint in a second process.
"""

from __future__ import annotations

import multiprocessing
import resource
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from types import MappingProxyType

import torch

from infocore_mini.config import Config
from infocore_mini.experiments.pretraining.run import SETTINGS
from infocore_mini.experiments.records import kept
from infocore_mini.experiments.results import save_results
from infocore_mini.screens import PairedScreen
from infocore_mini.simulate.screen import simulate_screen
from infocore_mini.train import pretrain_screen

CELL_LINES = ("A375", "A549", "HA1E", "HCC515", "HT29", "MCF7", "PC3", "VCAP", "HEPG2")
SHAPE = MappingProxyType(
    dict(n_drugs=17_753, cell_lines=CELL_LINES, n_conditions=82_914, n_batches=1019, n_replicates=2)
)
EPOCHS, STEPS = 2, 20  # of each of the two processes; minibatches an epoch
# Widths, queue and minibatch of the paper's configuration.
FULL = MappingProxyType(
    dict(SETTINGS)
    | dict(hidden_drug=(2560, 2560, 2560), hidden_screen=(768, 768), hidden_classifier=(2048,), queue_size=4096)
    | dict(minibatch_size=256, head_warmup_epochs=1, warmup_epochs=0, halve_at=())
)


def train(epochs: int, steps: int, checkpoint: Path) -> dict:
    """Train up to ``epochs`` of ``steps`` minibatches, from the checkpoint if there is one, and measure.

    Returns:
        {"epochs", "epochs_of_this_process", "loss" by epoch in nats, "pairs" (conditions), "profiles", "batches",
        "peak_bytes" of this process: data, networks, optimisers, queues and checkpoint writing included;
        "checkpoint_bytes"}.
    """
    screen = _screen()
    config = Config(**dict(FULL) | {"epochs": epochs, "steps_per_epoch": steps})
    before = torch.load(checkpoint, weights_only=True)["epoch"] if checkpoint.exists() else 0
    model = pretrain_screen(screen, config, checkpoint=checkpoint)
    return {
        "epochs": len(model.history),
        "epochs_of_this_process": len(model.history) - before,
        "loss": [epoch["contrastive"] for epoch in model.history],
        "pairs": len(screen),
        "profiles": len(screen.profile),
        "batches": screen.n_batches,
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "checkpoint_bytes": checkpoint.stat().st_size,
    }


def _screen() -> PairedScreen:
    """The simulated screen alone, so that the truth behind it does not stay in memory."""
    return simulate_screen(0, **SHAPE).screen


def measure() -> list[dict]:
    """``train`` in two fresh processes, the second resuming the first."""
    measured = []
    with tempfile.TemporaryDirectory() as folder:
        for epochs in (EPOCHS, 2 * EPOCHS):
            with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
                measured.append(process.submit(train, epochs, STEPS, Path(folder) / "run.pt").result())
    return measured


def store(output: Path, runs: Path, n_jobs: int = 1) -> Path:
    """Measure, unless the folder ``runs`` holds it, and write ``results/full_shape.json``; one process at a time."""
    settings = {"shape": dict(SHAPE), "config": dict(FULL), "steps": STEPS, "epochs": EPOCHS}
    record = kept(runs, "full_shape", settings, lambda: (measure(), {}))
    return save_results("full_shape", settings, record.result, output_dir=output, runs=[record.provenance])
