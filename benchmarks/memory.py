"""Peak memory of one piece of work, in a process that does nothing else: called by the other benchmarks.

``python -m benchmarks.memory training '{...}'`` prints what the function of that name returns, as JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import torch

from benchmarks.formulations import work
from benchmarks.peak import own_peak_bytes
from infocore_mini.config import Config
from infocore_mini.screens import PairedScreen
from infocore_mini.train import pretrain_screen


def random_screen(
    *,
    n_drugs: int,
    n_conditions: int,
    n_replicates: int,
    n_batches: int,
    n_features: int,
    cell_lines: tuple[str, ...],
    replicate_batches: int = 1,
) -> PairedScreen:
    """Random numbers in the shape of a screen; every experimental batch lies in one cell line.

    The replicates of a condition take turns among ``replicate_batches`` neighbouring batches: more than one is soft labels.
    """
    generator = torch.Generator().manual_seed(0)
    n_lines, condition = len(cell_lines), torch.arange(n_conditions)
    cell_line = condition // n_drugs % n_lines
    n_plates = n_batches // n_lines
    plate = torch.randint(n_plates, (n_conditions,), generator=generator)[:, None]
    plate = (plate + torch.arange(n_replicates) % replicate_batches) % n_plates
    return PairedScreen(
        drug=torch.randn(n_drugs, 300, generator=generator),
        smiles=condition[:n_drugs].numpy().astype(str),
        profile=torch.randn(n_conditions * n_replicates, n_features, generator=generator),
        condition=condition.repeat_interleave(n_replicates),
        profile_batch=(plate * n_lines + cell_line[:, None]).flatten(),
        drug_id=condition % n_drugs,
        cell_line=cell_line,
        batch_names=tuple(map(str, range(n_batches))),
        cell_line_names=tuple(cell_lines),
    )


def training(screen: dict, settings: dict) -> dict[str, int]:
    """Bytes of a data set of that shape, and the peak of the process that builds it and trains on it."""
    data = random_screen(**screen)
    pretrain_screen(data, Config(**settings))
    tensors = [value for value in vars(data).values() if isinstance(value, torch.Tensor)]
    data_bytes = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    return {"data_bytes": data_bytes, "peak_bytes": own_peak_bytes(), "above_data_bytes": own_peak_bytes() - data_bytes}


def loss(formulation: str, n: int, candidates: int, n_batches: int) -> dict[str, int]:
    """Bytes by which the process grows above the inputs, in forward and backward of one loss."""
    work(formulation, 2, 3, 2)()  # what a first call loads is no part of it
    run = work(formulation, n, candidates, n_batches)
    before = own_peak_bytes()
    run()
    return {"bytes": max(own_peak_bytes() - before, 4096)}  # a page, where it was too little to see


def in_child(function: str, **arguments: Any) -> dict[str, int]:
    """What a function of this module returns in a fresh process, whose memory nothing else has touched."""
    command = [sys.executable, "-m", __name__, function, json.dumps(arguments)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(json.dumps({"training": training, "loss": loss}[sys.argv[1]](**json.loads(sys.argv[2]))))
