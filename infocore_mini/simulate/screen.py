"""Simulated drug screens over real molecules, with doses calibrated on real plates (``data/results/calibration.json``).

How a profile comes about, for a molecule d in a cell line c on an experimental batch b::

    profile = response_b * potency_d * loading_d @ signature_c  +  shift_b  +  well noise  -  control error_b

Loadings on shared mechanisms depend on substructures; which drug plate a molecule is on depends on its structure too,
so that structure and batch shift are associated: the confounding of the paper's figure 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from infocore_mini.featurisers import Featuriser, name_of
from infocore_mini.featurize import mol2vec
from infocore_mini.screens import PairedScreen
from infocore_mini.simulate.batches import SimulatedBatches, unit_rms
from infocore_mini.simulate.doses import CP_DOSES, GE_DOSES, Doses
from infocore_mini.simulate.molecules import Molecules, sample_molecules, substructure_counts
from infocore_mini.validation import as_matrix, require

__all__ = ["CP_DOSES", "GE_DOSES", "Doses", "SimulatedScreen", "simulate_screen"]

_CHUNK = 4096  # profiles made at a time, so that memory stays near that of the result


@dataclass(frozen=True, eq=False)
class SimulatedScreen:
    """A screen and the truth behind it. M mechanisms, n_B batches, n_g features, L cell lines.

    Attributes:
        screen: what an experimenter has: profiles minus the mean of their batch's control wells.
        molecules: what the drugs are, real or enumerated.
        doses: what it was drawn with.
        loading: (n_drugs, M) how strongly each molecule drives each mechanism, potency included.
        signature: (L, M, n_g) what each mechanism does in each cell line.
        response: (n_B, n_g) factor on every drug effect in a batch.
        shift: (n_B, n_g) batch effect on treated wells that control wells do not show.
        control: (n_B, n_controls, n_g) raw control wells; their mean was subtracted from every profile of the batch.
        plate: (n_drugs,) int64 drug plate of each molecule.
        scaffold_group: (n_drugs,) int64 drug plate whose series the molecule resembles most.
    """

    screen: PairedScreen
    molecules: Molecules
    doses: Doses
    loading: Tensor
    signature: Tensor
    response: Tensor
    shift: Tensor
    control: Tensor
    plate: Tensor
    scaffold_group: Tensor

    def effect(self, conditions: Tensor) -> Tensor:
        """(n, n_g) noise-free effect of some conditions' molecules in their cell lines, batch effects left out.

        Args:
            conditions: (n,) int64 numbers of conditions of ``screen``.
        """
        drug, line = self.screen.drug_id[conditions], self.screen.cell_line[conditions]
        effect = torch.empty(len(conditions), self.signature.shape[2])
        for code, signature in enumerate(self.signature):
            effect[line == code] = self.loading[drug[line == code]] @ signature
        return effect


def simulate_screen(
    seed: int,
    *,
    n_drugs: int = 4000,
    cell_lines: Sequence[str] = ("A375", "MCF7", "PC3"),
    n_batches: int = 60,
    n_features: int = 978,
    n_replicates: int = 3,
    replicate_batches: int = 1,
    n_conditions: int | None = None,
    drug: Featuriser = mol2vec,
    doses: Doses = GE_DOSES,
) -> SimulatedScreen:
    """Draw a screen: every drug plate is run in every cell line, each such run one experimental batch.

    Args:
        seed: decides everything drawn; each part has a random stream to itself, so changing one dose leaves the others as drawn.
        n_drugs: molecules.
        cell_lines: names.
        n_batches: n_B; drug plates x cell lines x replicate_batches, the last plate in fewer batches if that is uneven.
        n_features: n_g.
        n_replicates: profiles of each condition.
        replicate_batches: batches that the profiles of a condition are spread over (soft batch labels if above 1).
        n_conditions: molecules in cell lines, drawn at random with each molecule at least once; None = all.
        drug: featuriser, SMILES -> (n, n_d).
        doses: how much of everything; see `Doses`. ``dataclasses.replace(GE_DOSES, scaffold=0)`` turns one off.

    Returns:
        The screen as an experimenter has it, and the truth behind it.

    Raises:
        ValueError: naming the argument that is out of range.
    """
    cell_lines = tuple(cell_lines)
    counts = dict(
        n_drugs=n_drugs, n_features=n_features, n_replicates=n_replicates, replicate_batches=replicate_batches
    )
    for name, count in counts.items():
        require(count >= 1, name, count, "at least 1")
    require(len(cell_lines) > 0, "cell_lines", "none", "at least one name")
    runs = len(cell_lines) * replicate_batches
    require(n_batches >= runs, "n_batches", n_batches, f"at least {runs}, one drug plate in each cell line")
    n_plates = -(-n_batches // runs)
    require(n_drugs >= n_plates, "n_drugs", n_drugs, f"at least {n_plates}, one on each drug plate")
    most = n_drugs * len(cell_lines)
    fits = n_conditions is None or n_drugs <= n_conditions <= most
    require(fits, "n_conditions", n_conditions, f"{n_drugs} to {most}")
    require(replicate_batches <= n_replicates, "replicate_batches", replicate_batches, f"at most {n_replicates}")

    streams = (
        torch.Generator().manual_seed(int(s)) for s in np.random.SeedSequence(seed).generate_state(7, np.uint64) >> 1
    )
    by_mechanism, by_signature, by_plate, by_condition, by_batch, by_control, by_well = streams
    molecules = sample_molecules(n_drugs, seed)
    substructures = _standardised_substructures(molecules.smiles)
    loading = _loadings(substructures, doses, by_mechanism)
    signature = _signatures(len(cell_lines), n_features, doses, by_signature)
    loading *= doses.effect / _rms_effect(loading, signature).median()
    plate, group = _drug_plates(substructures, n_plates, doses.scaffold, by_plate)
    del substructures
    drug_id, line = _conditions(n_drugs, len(cell_lines), n_conditions, by_condition)
    batches = SimulatedBatches.draw(n_batches, n_features, runs, replicate_batches, doses, by_batch)
    control = batches.wells(torch.arange(n_batches).repeat_interleave(doses.n_controls), by_control)
    control = control.view(n_batches, doses.n_controls, n_features)
    profile_batch = _replicate_batches(
        plate[drug_id], line, n_batches, len(cell_lines), n_replicates, replicate_batches
    )

    condition = torch.arange(len(drug_id)).repeat_interleave(n_replicates)
    profile = torch.empty(len(condition), n_features)
    left_over = batches.shift - control.mean(1) + batches.level
    for rows in torch.arange(len(condition)).split(_CHUNK):
        batch_id, some = profile_batch[rows], condition[rows]
        profile[rows] = batches.noise(batch_id, by_well).add_(left_over[batch_id])
        for code in line[some].unique():
            chosen = line[some] == code
            effect = loading[drug_id[some[chosen]]] @ signature[code]
            profile[rows[chosen]] += effect.mul_(batches.response[batch_id[chosen]])
    screen = PairedScreen(
        drug=as_matrix("drug", drug(list(molecules.smiles))),
        smiles=np.array(molecules.smiles),
        profile=profile,
        condition=condition,
        profile_batch=profile_batch,
        drug_id=drug_id,
        cell_line=line,
        batch_names=_batch_names(cell_lines, n_batches, replicate_batches),
        cell_line_names=cell_lines,
        feature_names=tuple(f"feature {i}" for i in range(n_features)),
        featuriser=name_of(drug),
    )
    truth = dict(loading=loading, signature=signature, response=batches.response, shift=batches.shift, control=control)
    return SimulatedScreen(screen, molecules, doses, **truth, plate=plate, scaffold_group=group)


# ------------------------------------------------------------------ molecules and what they do


def _standardised_substructures(smiles: Sequence[str]) -> Tensor:
    """(n, n_bits) log counts of the substructures that at least 1 % and at most 90 % hold, each standardised."""
    counts = torch.from_numpy(substructure_counts(smiles)).log1p_()
    share = (counts > 0).float().mean(0)
    counts = counts[:, (share >= 0.01) & (share <= 0.9)]
    return counts.sub_(counts.mean(0)).div_(counts.std(0) + 1e-6)


def _loadings(substructures: Tensor, doses: Doses, stream: torch.Generator) -> Tensor:
    """(n_drugs, M): sparse, saturating responses to random pharmacophores, times a log-normal potency.

    A pharmacophore weighs 12 substructures at random. Drive above 1.5 standard deviations turns the mechanism on.
    """
    n, n_bits = substructures.shape
    weight = torch.zeros(n_bits, doses.n_mechanisms)
    chosen = torch.rand(n_bits, doses.n_mechanisms, generator=stream).topk(min(12, n_bits), dim=0).indices
    weight.scatter_(0, chosen, torch.randn(chosen.shape, generator=stream))
    drive = substructures @ weight
    drive = (drive - drive.mean(0)) / drive.std(0)
    unexplained = torch.randn(n, doses.n_mechanisms, generator=stream)
    drive = doses.structure**0.5 * drive + (1 - doses.structure) ** 0.5 * unexplained
    on = torch.tanh(torch.nn.functional.softplus(3 * (drive - 1.5)) / 3)
    potency = (doses.potency_spread * torch.randn(n, 1, generator=stream)).exp()
    return on * potency


def _signatures(n_lines: int, n_features: int, doses: Doses, stream: torch.Generator) -> Tensor:
    """(L, M, n_g) signatures of unit rms: a common stress part, then a part of the mechanism, then of the cell line.

    Each part mixes a few gene modules, so that features are correlated, and features differ in how far they move.
    """
    n_modules = 2 * doses.n_mechanisms
    module = torch.randn(n_modules, n_features, generator=stream)
    module *= torch.rand(n_modules, n_features, generator=stream) < 0.1
    module += 0.1 * torch.randn(n_modules, n_features, generator=stream)
    reach = (0.4 * torch.randn(n_features, generator=stream)).exp()

    def part(*shape: int) -> Tensor:
        mix = torch.randn(*shape, n_modules, generator=stream) * (
            torch.rand(*shape, n_modules, generator=stream) < 0.06
        )
        return unit_rms((mix @ module + 1e-3 * torch.randn(*shape, n_features, generator=stream)) * reach)

    common, particular, local = part(1), part(doses.n_mechanisms), part(n_lines, doses.n_mechanisms)
    sign = torch.randn(doses.n_mechanisms, 1, generator=stream)
    sign = doses.one_sided**0.5 + (1 - doses.one_sided) ** 0.5 * sign
    shared = doses.stress**0.5 * sign * common + (1 - doses.stress) ** 0.5 * particular
    return unit_rms((1 - doses.context) ** 0.5 * shared + doses.context**0.5 * local)


def _rms_effect(loading: Tensor, signature: Tensor) -> Tensor:
    """(n_drugs,) rms over features of the effect in the first cell line, through the (M, M) Gram matrix."""
    gram = signature[0] @ signature[0].T / signature.shape[2]
    return ((loading @ gram) * loading).sum(1).clamp_min(0).sqrt()


# ------------------------------------------------------------------ which molecule is measured where


def _drug_plates(
    substructures: Tensor, n_plates: int, scaffold: float, stream: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Plate of each molecule, all plates equally full, and the plate whose series it resembles most.

    Each plate has a series: a random molecule as its centre. Molecules choose in random order among the plates that
    have room, with log-odds ``scaffold`` x standardised cosine similarity to the centre.
    """
    n = len(substructures)
    unit = torch.nn.functional.normalize(substructures)
    centre = torch.randperm(n, generator=stream)[:n_plates]
    similarity = unit @ unit[centre].T
    similarity = (similarity - similarity.mean(0)) / similarity.std(0)
    gumbel = -torch.empty(n, n_plates).exponential_(generator=stream).log_()
    preference = (scaffold * similarity + gumbel).numpy()
    room = np.full(n_plates, n // n_plates)
    room[: n % n_plates] += 1
    plate = np.empty(n, dtype=np.int64)
    for molecule in torch.randperm(n, generator=stream).tolist():
        plate[molecule] = np.where(room > 0, preference[molecule], -np.inf).argmax()
        room[plate[molecule]] -= 1
    return torch.from_numpy(plate), similarity.argmax(1)


def _conditions(n_drugs: int, n_lines: int, n_conditions: int | None, stream: torch.Generator) -> tuple[Tensor, Tensor]:
    """Drug and cell line of each condition, ordered; a random choice that leaves out no molecule."""
    key = torch.rand(n_drugs, n_lines, generator=stream)
    key += torch.nn.functional.one_hot(key.argmax(1), n_lines)
    chosen = key.flatten().topk(n_conditions or key.numel()).indices.sort().values
    return chosen // n_lines, chosen % n_lines


def _replicate_batches(
    plate: Tensor, line: Tensor, n_batches: int, n_lines: int, n_replicates: int, copies: int
) -> Tensor:
    """(n_conditions * n_replicates,) batch of each profile: batch = (plate * L + line) * copies + copy."""
    first = (plate * n_lines + line) * copies
    made = (n_batches - first).clamp(max=copies)
    stranded = made < 1  # an uneven last plate that this cell line never ran: share the previous plate's batch
    first, made = torch.where(stranded, first - n_lines * copies, first), made.masked_fill(stranded, copies)
    copy = torch.arange(n_replicates)[None, :] % made[:, None]
    return (first[:, None] + copy).flatten()


def _batch_names(cell_lines: tuple[str, ...], n_batches: int, copies: int) -> tuple[str, ...]:
    names = []
    for code in range(n_batches):
        plate, line, copy = code // (copies * len(cell_lines)), code // copies % len(cell_lines), code % copies
        names.append(f"P{plate:03d}_{cell_lines[line]}" + (f"_X{copy + 1}" if copies > 1 else ""))
    return tuple(names)
