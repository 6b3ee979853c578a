"""What a training run reads: conditions on the training device, how they are sampled and how they are augmented."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from infocore_mini.config import Config
from infocore_mini.labels import FEW, Labels, SoftLabels, few_or_all, rows_of
from infocore_mini.screens import PairedScreen
from infocore_mini.training.augment import dirichlet_weights, gaussian_noise, mix_replicates


class Minibatch(NamedTuple):
    """Some conditions, augmented. Row i of every field belongs to the same one.

    Attributes:
        drug: (n, n_d). screen: (n, n_g).
        batch_id: (n,) codes, soft labels, or (n, k) columns of the posteriors, one a nuisance.
        cell_line: (n,) codes or None.
        drug_id: (n,) codes of the molecules, None if every row is a molecule of its own.
        only_line: the one cell line of all rows, or None if they were drawn at random.
    """

    drug: Tensor
    screen: Tensor
    batch_id: Labels
    cell_line: Tensor | None = None
    drug_id: Tensor | None = None
    only_line: int | None = None


class Chosen(NamedTuple):
    """Conditions chosen for a minibatch: their numbers, on the CPU, and their cell line if they share one by design."""

    conditions: Tensor
    only_line: int | None = None


class Pairs:
    """Plain paired rows, each a condition of its own with one profile.

    Args:
        drug: (n, n_d). screen: (n, n_g); None = a second view of the drug.
        batch_id: (n,) codes or (n, n_B) soft labels; n_batches: n_B.
        drug_id: (n,) codes of the molecules; None = every row is a molecule of its own.

    Attributes:
        batch_id: as given, or `SoftLabels` where the rows name few batches.
    """

    batch_id: Labels
    line_batches: Tensor | None = None
    cell_line: Tensor | None = None
    n_cell_lines = 1
    levels: tuple[int, ...] = ()

    def __init__(
        self, drug: Tensor, screen: Tensor | None, batch_id: Tensor, n_batches: int, drug_id: Tensor | None = None
    ) -> None:
        self.drug, self.screen = drug, drug if screen is None else screen
        self.n_batches, self.drug_id = n_batches, drug_id
        self.batch_id = few_or_all(batch_id) if batch_id.is_floating_point() else batch_id
        self.shared = screen is None

    def __len__(self) -> int:
        return len(self.drug)

    @property
    def label(self) -> Labels:
        """Of one row, as a minibatch has it."""
        return rows_of(self.batch_id, 0)

    @property
    def batch_of_rows(self) -> Labels:
        """Experimental batch of each row of ``screen``: (rows,) codes or soft labels."""
        return self.batch_id

    def tensors(self) -> dict[str, Tensor]:
        """Everything that decides what is trained on."""
        found = {name: getattr(self, name) for name in ("drug", "screen", "drug_id", "cell_line")}
        if isinstance(self.batch_id, SoftLabels):
            found |= self.batch_id._asdict()
        else:
            found["shares" if self.batch_id.is_floating_point() else "batch_id"] = self.batch_id
        return {name: value for name, value in found.items() if value is not None}

    def draw(self, chosen: Chosen, config: Config) -> Minibatch:
        """The augmented minibatch of some rows."""
        rows = chosen.conditions.to(self.drug.device, non_blocking=True)
        drug, screen = self.drug[rows], self.screen[rows]
        noise_screen = config.noise_drug if self.shared else config.noise_screen
        return Minibatch(
            gaussian_noise(drug, config.noise_drug),
            gaussian_noise(screen, noise_screen),
            rows_of(self.batch_id, rows),
            drug_id=None if self.drug_id is None else self.drug_id[rows],
        )


class NuisancePairs(Pairs):
    """Plain paired rows with a label of each of several nuisances, whose posteriors are multiplied.

    Soft labels are drawn anew each time a row is drawn: InfoCORE's loss and the cross-entropy are linear in the label, so
    both are met in the mean, and no sum over combinations of levels is needed.

    Args:
        drug, screen, drug_id: as ``Pairs``.
        labels: of each nuisance (n,) codes from 0, or (n, levels) shares.

    Attributes:
        levels: number of levels of each.
        batch_id: (n, k) column of each nuisance's (likeliest) level among the posteriors, which stand side by side.
    """

    batch_id: Tensor

    def __init__(self, drug: Tensor, screen: Tensor | None, labels: list[Tensor], drug_id: Tensor | None) -> None:
        levels = [label.shape[1] if label.ndim == 2 else int(label.max()) + 1 for label in labels]
        self.levels, self.shares = tuple(levels), {k: label for k, label in enumerate(labels) if label.ndim == 2}
        self.first = torch.tensor([0, *levels[:-1]], device=drug.device).cumsum(0)  # column of each nuisance
        codes = torch.stack([label.argmax(1) if label.ndim == 2 else label for label in labels], 1)
        super().__init__(drug, screen, codes + self.first, sum(levels), drug_id)

    def tensors(self) -> dict[str, Tensor]:
        """Everything that decides what is trained on."""
        return super().tensors() | {f"shares {k}": shares for k, shares in self.shares.items()}

    def draw(self, chosen: Chosen, config: Config) -> Minibatch:
        """The augmented minibatch of some rows; soft labels become one level, drawn by its share."""
        minibatch = super().draw(chosen, config)
        rows = chosen.conditions.to(self.drug.device, non_blocking=True)
        columns = self.batch_id[rows]
        for k, shares in self.shares.items():
            columns[:, k] = shares[rows].multinomial(1).squeeze(1) + self.first[k]
        return minibatch._replace(batch_id=columns)


class ScreenPairs(Pairs):
    """The conditions of a PairedScreen: replicates are chosen or mixed anew each time a condition is drawn.

    Attributes:
        batch_id: (n_conditions,) codes of the experimental batch of the first replicate.
        place: (n_profiles,) which of its condition's experimental batches that of a replicate is, from 0; None where
            every condition lies in one, its label.
    """

    batch_id: Tensor
    drug_id: Tensor
    cell_line: Tensor
    place: Tensor | None = None

    def __init__(self, screen: PairedScreen, device: str) -> None:
        super().__init__(
            screen.drug.to(device),
            screen.profile.to(device),
            screen.profile_batch[screen.first_profile].to(device),
            screen.n_batches,
            screen.drug_id.to(device),
        )
        self.cell_line = screen.cell_line.to(device)
        self.n_cell_lines = len(screen.cell_line_names)
        self.profile_batch = screen.profile_batch.to(device)
        self.line_batches = line_batches(screen).to(device)
        self.first, self.count = screen.first_profile.to(device), screen.n_replicates.to(device)
        # Known on the CPU once, so that no step has to ask the training device.
        self.n_replicates, self.missing = screen.n_replicates.cpu(), bool(screen.profile.isnan().any())
        if screen.has_soft_labels:
            place = batch_places(screen)
            self.place, self.most_batches = place.to(device), int(place.max()) + 1
            # A GPU reads as many labels of every condition; a CPU those that were drawn, which are few.
            self.few = self.screen.device.type == "cpu" or FEW * self.most_batches <= self.n_batches

    def __len__(self) -> int:
        return len(self.drug_id)

    @property
    def label(self) -> Labels:
        """Of one row, as a minibatch has it."""
        first = torch.zeros(1, dtype=torch.int64, device=self.first.device)
        return rows_of(self.labels(first, first[:, None], self.first.new_ones(1, 1, dtype=torch.float32)), 0)

    @property
    def batch_of_rows(self) -> Tensor:
        """(n_profiles,) codes."""
        return self.profile_batch

    def tensors(self) -> dict[str, Tensor]:
        """Everything that decides what is trained on."""
        return super().tensors() | {"profile_batch": self.profile_batch, "n_replicates": self.n_replicates}

    def draw(self, chosen: Chosen, config: Config) -> Minibatch:
        """The readout is one of three at random (appendix F): a raw replicate, a noisy one, a Dirichlet mixture.

        With ``mixup_concentration`` 0 it is always a replicate under noise. The label is the experimental batch
        of the replicates that went in, weighted as they were.
        """
        conditions = chosen.conditions.to(self.screen.device, non_blocking=True)
        count = self.count[conditions]
        offset = torch.arange(int(self.n_replicates[chosen.conditions].max()), device=conditions.device)
        present = offset < count[:, None]  # (n, R)
        replicate = self.first[conditions, None] + offset.where(present, 0)
        picked = (torch.rand(len(conditions), device=conditions.device) * count).long()
        weight = (offset == picked[:, None]).float()
        noise = torch.full((len(conditions), 1), config.noise_screen, device=conditions.device)
        if config.mixup_concentration > 0:
            kind = torch.randint(3, (len(conditions), 1), device=conditions.device)  # raw, noisy, mixed
            weight = torch.where(kind == 2, dirichlet_weights(present, config.mixup_concentration), weight)
            noise = noise * (kind == 1)
        screen = mix_replicates(self.screen[replicate], weight, missing=self.missing)
        screen = screen + noise * torch.randn_like(screen) if config.noise_screen > 0 else screen
        batch_id = self.labels(conditions, replicate, weight)
        drug_id = self.drug_id[conditions]
        drug = gaussian_noise(self.drug[drug_id], config.noise_drug)
        return Minibatch(drug, screen, batch_id, self.cell_line[conditions], drug_id, chosen.only_line)

    def labels(self, conditions: Tensor, replicate: Tensor, weight: Tensor) -> Labels:
        """(n,) codes or soft labels of the experimental batches that went into n conditions.

        Args:
            conditions: (n,). replicate: (n, R) rows of the profiles. weight: (n, R), rows that sum to 1.
        """
        batch_id = self.batch_id[conditions]
        if self.place is None:
            return batch_id
        place = self.place[replicate]
        code = batch_id[:, None].repeat(1, self.most_batches).scatter_(1, place, self.profile_batch[replicate])
        share = weight.new_zeros(code.shape).scatter_add_(1, place, weight)
        soft = SoftLabels(code, share)
        return soft if self.few else soft.dense(self.n_batches)


class NuisanceScreenPairs(ScreenPairs):
    """The conditions of a PairedScreen with several labels of each profile, whose posteriors are multiplied.

    The labels of a drawn condition are those of one of its replicates, drawn by its weight: all of one profile, so that
    nuisances that go together stay together, and in the mean the shares (see ``NuisancePairs``).

    Args:
        screen, device: as ``ScreenPairs``.
        codes: (n_profiles, k) of the experimental batch and the further nuisances, each from 0.
    """

    def __init__(self, screen: PairedScreen, device: str, codes: Tensor) -> None:
        super().__init__(screen, device)
        self.levels = tuple((codes.amax(0) + 1).tolist())
        self.n_batches, self.line_batches = sum(self.levels), None  # minibatches are drawn at random
        first = torch.tensor([0, *self.levels[:-1]]).cumsum(0)  # column of each nuisance
        self.profile_columns = (codes + first).to(device)
        self.batch_id = self.profile_columns[self.first]

    @property
    def label(self) -> Tensor:
        """Of one row, as a minibatch has it."""
        return self.batch_id[0]

    def tensors(self) -> dict[str, Tensor]:
        """Everything that decides what is trained on."""
        return super().tensors() | {"profile_columns": self.profile_columns}

    def labels(self, conditions: Tensor, replicate: Tensor, weight: Tensor) -> Tensor:
        """(n, k) columns of the posteriors, of one of the replicates that went into each of n conditions."""
        return self.profile_columns[replicate.gather(1, weight.multinomial(1)).squeeze(1)]


def batch_places(screen: PairedScreen) -> Tensor:
    """(n_profiles,) number of each replicate's experimental batch among those of its condition, from 0."""
    found, which = (screen.condition * screen.n_batches + screen.profile_batch).unique(return_inverse=True)
    count = (found // screen.n_batches).bincount(minlength=len(screen))
    return which - (count.cumsum(0) - count)[screen.condition]


def line_batches(screen: PairedScreen) -> Tensor:
    """(n_cell_lines, width) codes of each cell line's experimental batches; the last fills up the shorter rows."""
    n_batches = screen.n_batches
    found = (screen.cell_line[screen.condition] * n_batches + screen.profile_batch).unique()
    count = (found // n_batches).bincount(minlength=len(screen.cell_line_names))
    position = (count.cumsum(0) - count)[:, None] + torch.arange(int(count.max())).minimum((count - 1)[:, None])
    return (found % n_batches)[position.clamp(0, len(found) - 1)]


def sample(pairs: Pairs, config: Config) -> list[Chosen]:
    """The minibatches of one epoch, in random order of the conditions.

    "random": every minibatch full, a short rest is left to the next epoch's shuffle.
    "one_batch": each from one experimental batch (CCL over many experimental batches, appendix F).
    "alternate": random minibatches and minibatches of one cell line take turns, half of the conditions each.
    Minibatches of one batch or line have ``smallest_minibatch`` to ``minibatch_size`` conditions.
    ``steps_per_epoch`` cuts the list short.
    """
    return _sampled(pairs, config)[: config.steps_per_epoch]


def _sampled(pairs: Pairs, config: Config) -> list[Chosen]:
    size, order = config.minibatch_size, torch.randperm(len(pairs))
    sizes = range(config.smallest_minibatch, size + 1)
    if config.sampling == "one_batch":
        assert isinstance(pairs.batch_id, Tensor)  # soft labels were refused
        chunks = [Chosen(chunk) for _, chunk in _grouped(order, pairs.batch_id.cpu(), sizes)]
        return _shuffled(chunks)
    if config.sampling == "alternate" and pairs.cell_line is not None:
        at_random, by_line = order.tensor_split(2)
        of_lines = _shuffled([Chosen(chunk, line) for line, chunk in _grouped(by_line, pairs.cell_line.cpu(), sizes)])
        return _interleaved(_full(at_random, size), of_lines)
    return _full(order, size)


def _full(order: Tensor, size: int) -> list[Chosen]:
    size = min(size, len(order))
    return [Chosen(chunk) for chunk in order[: len(order) - len(order) % size].split(size)]


def _grouped(order: Tensor, code: Tensor, sizes: range) -> list[tuple[int, Tensor]]:
    """Conditions that share their code, in chunks as large as ``sizes`` has, the largest where there are enough."""
    by_code = order[code[order].argsort(stable=True)]
    groups = by_code.split(code[order].bincount().tolist())
    return [
        (value, chunk) for value, group in enumerate(groups) for chunk in group.split(sizes[-1]) if len(chunk) in sizes
    ]


def _shuffled(chunks: list[Chosen]) -> list[Chosen]:
    return [chunks[i] for i in torch.randperm(len(chunks)).tolist()]


def _interleaved(first: list[Chosen], second: list[Chosen]) -> list[Chosen]:
    """Both lists, each in its order, spread evenly over one."""
    position = [(i + 0.25) / len(first) for i in range(len(first))] + [
        (i + 0.75) / len(second) for i in range(len(second))
    ]
    both = first + second
    return [both[i] for i in sorted(range(len(both)), key=position.__getitem__)]
