"""Training at the paper's full GE shape on one small machine: how much memory it takes, and that it resumes.

``python -m infocore_mini.experiments.performance.full_shape --output data`` builds the simulated screen of 82,914 pairs, trains
InfoCORE at the paper's widths for a few steps, starts again from the checkpoint in a second process, and writes
``results/full_shape.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from types import MappingProxyType

import torch

from infocore_mini.config import Config
from infocore_mini.experiments.pretraining.run import SETTINGS
from infocore_mini.experiments.results import save_results
from infocore_mini.screens import PairedScreen
from infocore_mini.simulate.screen import simulate_screen
from infocore_mini.train import pretrain_screen

CELL_LINES = ("A375", "A549", "HA1E", "HCC515", "HT29", "MCF7", "PC3", "VCAP", "HEPG2")
SHAPE = MappingProxyType(
    dict(n_drugs=17_753, cell_lines=CELL_LINES, n_conditions=82_914, n_batches=1019, n_replicates=2)
)
# Widths, queue and minibatch of the paper's configuration.
FULL = MappingProxyType(
    dict(SETTINGS)
    | dict(hidden_drug=(2560, 2560, 2560), hidden_screen=(768, 768), hidden_classifier=(2048,), queue_size=4096)
    | dict(minibatch_size=256, head_warmup_epochs=1, warmup_epochs=0, halve_at=())
)


def train(epochs: int, steps: int, checkpoint: Path) -> dict:
    """Train up to ``epochs`` of ``steps`` minibatches, from the checkpoint if there is one, and measure.

    Returns:
        {"epochs", "epochs_of_this_process", "loss" by epoch in nats, "pairs", "profiles", "batches", "peak_bytes" of this process: data, networks,
        optimisers, queues and checkpoint writing included; "checkpoint_bytes"}.
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


def main() -> None:
    """Measure in two processes, the second resuming the first."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("data"), help="folder that gets results/full_shape.json")
    parser.add_argument("--steps", type=int, default=20, help="minibatches an epoch")
    parser.add_argument("--one", type=Path, help="checkpoint: train from it up to --epochs and print the measurement")
    parser.add_argument("--epochs", type=int, default=2)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(train(options.epochs, options.steps, options.one)))
        return
    with tempfile.TemporaryDirectory() as folder:
        runs = []
        for epochs in (options.epochs, 2 * options.epochs):
            command = [sys.executable, "-m", __spec__.name, "--steps", str(options.steps), "--epochs", str(epochs)]
            command += ["--one", os.path.join(folder, "run.pt")]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            runs.append(json.loads(done.stdout.splitlines()[-1]))
    settings = {"shape": dict(SHAPE), "config": dict(FULL), "steps": options.steps}
    print(save_results("full_shape", settings, runs, output_dir=options.output))


if __name__ == "__main__":
    main()
