"""Plates and runs that the calibration compares: the real ones, and simulated ones of the same sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from infocore_mini.experiments.calibration.diagnostics import Plate
from infocore_mini.readers import read_l1000_wells
from infocore_mini.readers.cell_painting import COMAS, read_comas
from infocore_mini.readers.l1000 import COMPOUND_KINDS, PLATES
from infocore_mini.screens import PairedScreen
from infocore_mini.simulate.screen import CP_DOSES, GE_DOSES, Doses, simulate_screen


def real_plates() -> list[Plate]:
    """The three real L1000 level-3 plates. Raises `sources.DataUnavailable`."""
    wells = read_l1000_wells(PLATES)
    plates = []
    for _, rows in wells.info.groupby("batch", sort=True):
        control = rows[rows["is_control"]]
        treated = rows[rows["kind"].isin(COMPOUND_KINDS)]
        molecule, smiles, dose = (treated[name].to_numpy() for name in ("name", "smiles", "dose"))
        plates.append(Plate(wells.profile[control.index], wells.profile[treated.index], molecule, smiles, dose))
    return plates


def simulated_plates(seed: int, n_draws: int, like: Sequence[Plate], doses: Doses = GE_DOSES) -> list[list[Plate]]:
    """Simulated plates of one cell line, in draws of as many plates, molecules and wells as the real ones.

    One screen of 20 drug plates of 360 molecules with 6 replicates is simulated; each draw takes other plates of it.

    Args:
        like: real plates, of which only the sizes are used.
    """
    n_replicates = 6
    simulated = simulate_screen(
        seed,
        n_drugs=7200,
        cell_lines=("A375",),
        n_batches=20,
        n_replicates=n_replicates,
        drug=_no_features,
        doses=doses,
    )
    screen, control = simulated.screen, simulated.control.numpy()
    raw = screen.profile.numpy() + control.mean(1)[screen.profile_batch.numpy()]
    rng = np.random.default_rng(seed)
    draws = []
    for _ in range(n_draws):
        draw = []
        for batch_id, plate in zip(rng.permutation(screen.n_batches), like):
            molecules = np.unique(plate.molecule)
            drugs = rng.permutation(np.flatnonzero(simulated.plate.numpy() == batch_id))[: len(molecules)]
            wells = -(-len(plate.molecule) // len(molecules))
            rows = (drugs[:, None] * n_replicates + np.arange(wells)).flatten()
            drug = np.repeat(drugs, wells)
            draw.append(Plate(control[batch_id], raw[rows], drug, screen.smiles[drug], np.full(len(rows), 10.0)))
        draws.append(draw)
    return draws


def _no_features(smiles: Sequence[str]) -> np.ndarray:
    return np.zeros((len(smiles), 1), dtype=np.float32)


def real_runs() -> tuple[list[Plate], list[Plate]]:
    """Cell painting: the two runs of the dark chemical matter, and the dates of the natural products with >= 10 molecules.

    These profiles are z-scores against DMSO already; they come with no control wells. Raises `sources.DataUnavailable`.
    """
    runs = _by_batch(read_comas(COMAS[:1], drug=_no_features))
    dates = _by_batch(read_comas(COMAS[1:], drug=_no_features))
    return runs, [date for date in dates if len(np.unique(date.molecule)) >= 10]


def simulated_runs(
    seed: int, n_draws: int, like: tuple[Sequence[Plate], Sequence[Plate]], doses: Doses = CP_DOSES
) -> list[tuple[list[Plate], list[Plate]]]:
    """Simulated cell painting in draws like `real_runs`: one drug plate in two runs, and drug plates of other molecules.

    Each draw is a screen of its own: 16 drug plates of about 550 molecules, 579 features, every molecule once in two batches.
    """
    runs, dates = like
    draws = []
    for draw in range(n_draws):
        simulated = simulate_screen(
            seed + draw, n_drugs=16 * 549, cell_lines=("U2OS",), n_batches=32, n_features=runs[0].treated.shape[1],
            n_replicates=2, replicate_batches=2, drug=_no_features, doses=doses,
        )  # fmt: skip
        plates = _by_batch(simulated.screen)
        rng = np.random.default_rng(seed + draw)
        smaller = []
        for plate, date in zip(plates[2::2], dates):
            rows = rng.permutation(len(plate.molecule))[: len(np.unique(date.molecule))]
            smaller.append(replace(plate, **{name: getattr(plate, name)[rows] for name in _BY_WELL}))
        draws.append((plates[:2], smaller))
    return draws


_BY_WELL = ("treated", "molecule", "smiles", "dose")


def _by_batch(screen: PairedScreen) -> list[Plate]:
    """A plate without control wells for each experimental batch."""
    drug, profile = screen.drug_id[screen.condition].numpy(), screen.profile.numpy()
    plates = []
    for code in range(screen.n_batches):
        rows = np.flatnonzero(screen.profile_batch.numpy() == code)
        none = np.zeros((0, profile.shape[1]), dtype=np.float32)
        plates.append(Plate(none, profile[rows], drug[rows], screen.smiles[drug[rows]], np.full(len(rows), 10.0)))
    return plates
