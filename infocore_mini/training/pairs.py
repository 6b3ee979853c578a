"""What a training run reads: pairs on the training device, how they are sampled and how they are augmented."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from infocore_mini.config import Config
from infocore_mini.screens import PairedScreen
from infocore_mini.training.augment import dirichlet_weights, gaussian_noise, mix_replicates


class Minibatch(NamedTuple):
    """Some pairs, augmented. Rows of every field belong together.

    a: (n, n_a). b: (n, n_b). batch_id: (n,) codes or (n, n_B) shares. cell_line: (n,) codes or None.
    drug_id: (n,) codes of the molecule, None if every pair is an item of its own.
    lane: the one cell line of all rows, or None if they were drawn at random.
    """

    a: Tensor
    b: Tensor
    batch_id: Tensor
    cell_line: Tensor | None = None
    drug_id: Tensor | None = None
    lane: int | None = None


class Rows(NamedTuple):
    """Pairs chosen for a minibatch: their numbers, on the CPU, and their cell line if they share one by design."""

    rows: Tensor
    lane: int | None = None


class Pairs:
    """Plain paired rows: view a, view b (None = a second view of a), experimental batch of each row."""

    def __init__(self, a: Tensor, b: Tensor | None, batch_id: Tensor, n_batches: int) -> None:
        self.a, self.b, self.batch_id, self.n_batches = a, b, batch_id, n_batches
        self.shared = b is None
        self.cell_line, self.n_cell_lines, self.line_batches = None, 1, None

    def __len__(self) -> int:
        return len(self.batch_id)

    @property
    def widths(self) -> tuple[int, int]:
        """(n_a, n_b)."""
        return self.a.shape[1], (self.a if self.shared else self.b).shape[1]

    def draw(self, chosen: Rows, config: Config) -> Minibatch:
        """The augmented minibatch of some rows."""
        rows = chosen.rows.to(self.a.device)
        a = self.a[rows]
        b = a if self.shared else self.b[rows]
        noise_screen = config.noise_drug if self.shared else config.noise_screen
        return Minibatch(gaussian_noise(a, config.noise_drug), gaussian_noise(b, noise_screen), self.batch_id[rows])


class ScreenPairs(Pairs):
    """The conditions of a PairedScreen: replicates are chosen or mixed anew each time a condition is drawn."""

    def __init__(self, screen: PairedScreen, device: str) -> None:
        super().__init__(
            screen.drug.to(device), screen.profile.to(device), screen.batch_id.to(device), screen.n_batches
        )
        self.drug_id, self.cell_line = screen.drug_id.to(device), screen.cell_line.to(device)
        self.n_cell_lines = len(screen.cell_line_names)
        self.profile_batch = screen.profile_batch.to(device)
        self.line_batches = _line_batches(screen).to(device)
        self.first, self.count = screen.first_profile.to(device), screen.n_replicates.to(device)
        # Known on the CPU once, so that no step has to ask the training device.
        self.n_replicates, self.missing = screen.n_replicates.cpu(), bool(screen.profile.isnan().any())

    def draw(self, chosen: Rows, config: Config) -> Minibatch:
        """View b is one of three at random (appendix F): a raw replicate, a noisy one, a Dirichlet mixture.

        With ``mixup_concentration`` 0 it is always a replicate under noise. The label is the experimental batch
        of the replicates that went in, weighted as they were.
        """
        rows = chosen.rows.to(self.b.device)
        count = self.count[rows]
        offset = torch.arange(int(self.n_replicates[chosen.rows].max()), device=rows.device)
        present = offset < count[:, None]  # (n, R)
        replicate = self.first[rows, None] + offset.where(present, 0)
        weight = (offset == (torch.rand(len(rows), device=rows.device) * count).long()[:, None]).float()
        noise = torch.full((len(rows), 1), config.noise_screen, device=rows.device)
        if config.mixup_concentration > 0:
            kind = torch.randint(3, (len(rows), 1), device=rows.device)  # raw, noisy, mixed
            weight = torch.where(kind == 2, dirichlet_weights(present, config.mixup_concentration), weight)
            noise = noise * (kind == 1)
        b = mix_replicates(self.b[replicate], weight, missing=self.missing)
        b = b + noise * torch.randn_like(b) if config.noise_screen > 0 else b
        batch_id = self.batch_id[rows]
        if batch_id.ndim == 2:
            batch_id = torch.zeros_like(batch_id).scatter_add_(1, self.profile_batch[replicate], weight)
        drug_id = self.drug_id[rows]
        a = gaussian_noise(self.a[drug_id], config.noise_drug)
        return Minibatch(a, b, batch_id, self.cell_line[rows], drug_id, chosen.lane)


def _line_batches(screen: PairedScreen) -> Tensor:
    """(n_cell_lines, width) codes of each cell line's experimental batches; the last fills up the shorter rows."""
    n_batches = screen.n_batches
    found = (screen.cell_line[screen.condition] * n_batches + screen.profile_batch).unique()
    count = (found // n_batches).bincount(minlength=len(screen.cell_line_names))
    position = (count.cumsum(0) - count)[:, None] + torch.arange(int(count.max())).minimum((count - 1)[:, None])
    return (found % n_batches)[position.clamp(0, len(found) - 1)]


def sample(pairs: Pairs, config: Config) -> list[Rows]:
    """The minibatches of one epoch, in random order of the pairs.

    "random": every minibatch full, a short rest is left to the next epoch's shuffle.
    "one_batch": each from one experimental batch, at least 2 rows (CCL over many batches, appendix F).
    "alternate": random minibatches and minibatches of one cell line take turns, half of the pairs each.
    ``steps_per_epoch`` cuts the list short.
    """
    return _sampled(pairs, config)[: config.steps_per_epoch]


def _sampled(pairs: Pairs, config: Config) -> list[Rows]:
    size, order = config.minibatch_size, torch.randperm(len(pairs))
    if config.sampling == "one_batch":
        chunks = [Rows(rows) for _, rows in _grouped(order, pairs.batch_id.cpu(), size)]
        return _shuffled(chunks)
    if config.sampling == "alternate":
        at_random, by_line = order.tensor_split(2)
        of_lines = _shuffled([Rows(rows, line) for line, rows in _grouped(by_line, pairs.cell_line.cpu(), size)])
        return _interleaved(_full(at_random, size), of_lines)
    return _full(order, size)


def _full(order: Tensor, size: int) -> list[Rows]:
    size = min(size, len(order))
    return [Rows(rows) for rows in order[: len(order) - len(order) % size].split(size)]


def _grouped(order: Tensor, code: Tensor, size: int) -> list[tuple[int, Tensor]]:
    """Rows in chunks of up to ``size``, at least 2, that share their code."""
    by_code = order[code[order].argsort(stable=True)]
    groups = by_code.split(code[order].bincount().tolist())
    return [(value, chunk) for value, rows in enumerate(groups) for chunk in rows.split(size) if len(chunk) > 1]


def _shuffled(chunks: list[Rows]) -> list[Rows]:
    return [chunks[i] for i in torch.randperm(len(chunks)).tolist()]


def _interleaved(first: list[Rows], second: list[Rows]) -> list[Rows]:
    """Both lists, each in its order, spread evenly over one."""
    position = [(i + 0.25) / len(first) for i in range(len(first))] + [
        (i + 0.75) / len(second) for i in range(len(second))
    ]
    both = first + second
    return [both[i] for i in sorted(range(len(both)), key=position.__getitem__)]
