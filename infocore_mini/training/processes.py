"""Several processes train one model: ``torchrun --nproc-per-node N script.py``, by Lightning Fabric.

Every process draws the same global minibatch from the same seed and encodes its share of the rows. The embeddings are
gathered with their gradients, so that every process sees the loss of the whole minibatch and keeps the same queues;
the gradients of the networks are summed. Without torchrun there is one process and none of this happens.

The losses are those of one process up to rounding, except that each process drops out units of its own.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from functools import cache
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from infocore_mini.networks import TwoTower
from infocore_mini.training.pairs import Minibatch


class Processes:
    """This process among those that torchrun started, or the only one.

    Args:
        device: "cpu", "cuda" or a device; with several processes each takes the one of its local rank.
    """

    def __init__(self, device: str) -> None:
        self.count = int(os.environ.get("WORLD_SIZE", 1))
        self.rank, self.device = 0, device
        if self.count > 1:
            self.fabric = _launched(torch.device(device).type)
            self.rank, self.device = self.fabric.global_rank, str(self.fabric.device)

    def share(self, n: int) -> slice:
        """The rows of a minibatch of n that this process works on; shares differ by one row at most."""
        return slice(n * self.rank // self.count, n * (self.rank + 1) // self.count)

    def embed(self, model: TwoTower, minibatch: Minibatch) -> tuple[Tensor, Tensor]:
        """``model.embed`` of the whole minibatch, each process encoding its share."""
        if self.count == 1:
            return model.embed(minibatch.drug, minibatch.screen, minibatch.cell_line)
        rows, n = self.share(len(minibatch.drug)), len(minibatch.drug)
        line = minibatch.cell_line
        dropout = any(isinstance(part, nn.Dropout) for part in model.modules())
        with self._separate_randomness() if dropout else nullcontext():
            z = model.embed(minibatch.drug[rows], minibatch.screen[rows], None if line is None else line[rows])
        of_drug, of_screen = (_Gathered.apply(z_v, rows, n, self.fabric) for z_v in z)
        return of_drug, of_screen

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Add up over the processes what each found on its share."""
        if self.count > 1:
            gradients = cast("list[Tensor]", [parameter.grad for parameter in parameters])
            vector_to_parameters(self.total(parameters_to_vector(gradients)), gradients)

    def total(self, value: Tensor) -> Tensor:
        """The sum over the processes, the same in all of them."""
        return value if self.count == 1 else self.fabric.all_reduce(value, reduce_op="sum")

    def wait(self) -> None:
        """Until every process is here."""
        if self.count > 1:
            self.fabric.barrier()

    @contextmanager
    def _separate_randomness(self) -> Iterator[None]:
        """Random numbers of its own in each process, seeded from the common ones, which stay common."""
        seed = int(torch.randint(2**62, ())) + self.rank
        with torch.random.fork_rng(devices=[self.device] if self.device.startswith("cuda") else []):
            torch.manual_seed(seed)
            yield


class _Gathered(torch.autograd.Function):
    """The rows of all processes. Each computes the loss of all of them, so its own rows' gradient is complete."""

    @staticmethod
    def forward(context: Any, share: Tensor, rows: slice, n: int, fabric: Any) -> Tensor:
        context.rows = rows
        whole = share.new_zeros(n, *share.shape[1:])
        whole[rows] = share
        return fabric.all_reduce(whole, reduce_op="sum")

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        return gradient[context.rows], None, None, None


@cache
def _launched(accelerator: str) -> Any:
    """The Fabric of this process, connected to the others; imported here, since one process needs none."""
    from lightning_fabric import Fabric

    local, count = int(os.environ["LOCAL_WORLD_SIZE"]), int(os.environ["WORLD_SIZE"])
    fabric = Fabric(accelerator=accelerator, devices=local, num_nodes=count // local, strategy="ddp")
    fabric.launch()
    return fabric
