"""Screens of the board and their folds, fixed before any method runs: three tests from one training.

A fold holds out experimental batches and molecules at once. Training has the other molecules on the other batches; all
that is left is tested, as new molecules on seen batches, seen molecules on new batches, or new molecules on new
batches. A molecule is seen if training has a profile of it, so one that lies on held-out batches alone is new there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infocore_mini.experiments.records import kept
from infocore_mini.experiments.results import checksums, save_results
from infocore_mini.identity import molecule_groups
from infocore_mini.platemap import Columns
from infocore_mini.readers import (
    behaviour,
    cell_painting,
    connectivity_map,
    growth,
    injury,
    read_comas,
    read_connectivity_map,
    read_injury,
    read_yeast_growth,
    read_zebrafish,
)
from infocore_mini.screens import PairedScreen
from infocore_mini.simulate.screen import simulate_screen
from infocore_mini.splits import replicate_batches

N_FOLDS = 5
SEED = 0
TRAIN, NEW_MOLECULES, NEW_BATCHES, BOTH = range(4)
TESTS: Mapping[str, int] = MappingProxyType(
    {
        "new molecules, seen batches": NEW_MOLECULES,
        "seen molecules, new batches": NEW_BATCHES,
        "new molecules, new batches": BOTH,
    }
)
NEW = "new molecules, new batches"  # what the board is read by
STUDY = "new_plates_folds"


def _with_cell_count(screen: PairedScreen) -> PairedScreen:
    """Dahlin's relative cell count under the name that corrections ask for."""
    assert screen.controls is not None
    found = [
        Columns({**info, "cell_count": info["relative_cell_count"]}) for info in (screen.info, screen.controls.info)
    ]
    return replace(screen, info=found[0], controls=replace(screen.controls, info=found[1]))


def simulated() -> PairedScreen:
    """Simulated gene expression: 1,500 molecules on 15 drug plates, each run in two cell lines."""
    return simulate_screen(
        0, n_drugs=1500, cell_lines=("A375", "MCF7"), n_batches=30, n_features=300, n_replicates=2
    ).screen


SCREENS: Mapping[str, tuple[Callable[[], PairedScreen], Sequence[str]]] = MappingProxyType(
    {
        "connectivity_map": (
            lambda: read_connectivity_map(min_molecules=8),
            (connectivity_map.UP, connectivity_map.DOWN, connectivity_map.INSTANCES),
        ),
        "zebrafish": (read_zebrafish, (behaviour.PROFILES,)),
        "yeast": (read_yeast_growth, (growth.GROWTH, growth.RACKS)),
        "comas": (read_comas, cell_painting.COMAS),
        "dahlin": (lambda: _with_cell_count(read_injury()), injury.INJURY),
        "simulated": (simulated, ()),
    }
)


@dataclass(frozen=True, eq=False)
class Folded:
    """A screen whose conditions lie in one experimental batch each, and where its five folds lie.

    Attributes:
        screen: all of it.
        molecule: (n_conditions,) code of the molecule; salts, tautomers and stereoisomers are one.
        molecule_fold, batch_fold: (n_conditions,) fold that holds the condition's molecule, and its batch, out.
    """

    screen: PairedScreen
    molecule: NDArray[np.int64]
    molecule_fold: NDArray[np.int64]
    batch_fold: NDArray[np.int64]

    def parts(self, fold: int, rows: NDArray[np.bool_] | None = None) -> NDArray[np.int64]:
        """(n_conditions,) part of each condition: `TRAIN`, or a value of `TESTS`; -1 outside ``rows``.

        Args:
            fold: number of the fold.
            rows: of the conditions, those that are cut; None = all.
        """
        rows = np.ones(len(self.molecule), dtype=bool) if rows is None else rows
        new_batch = self.batch_fold == fold
        train = rows & ~new_batch & (self.molecule_fold != fold)
        known = np.isin(self.molecule, self.molecule[train])
        part = np.where(new_batch, np.where(known, NEW_BATCHES, BOTH), NEW_MOLECULES)
        return np.where(rows, np.where(train, TRAIN, part), -1)

    def chosen_on(self, fold: int) -> NDArray[np.int64]:
        """`parts` of the training conditions of a fold, cut by the next fold: what settings are chosen on."""
        return self.parts((fold + 1) % N_FOLDS, self.parts(fold) == TRAIN)

    def where(self, conditions: NDArray[np.bool_], screen: PairedScreen | None = None) -> PairedScreen:
        """The screen of some conditions; of another screen of the same rows, such as a corrected one."""
        whole = self.screen if screen is None else screen
        return whole.where(conditions[whole.condition.numpy()])


def folded(screen: PairedScreen, seed: int = SEED) -> Folded:
    """Five folds in which every batch and every molecule is held out once.

    Batches that repeat each other's molecules (`splits.replicate_batches`) are held out together; the largest are dealt
    first, each to the fold with the fewest conditions. Molecules are dealt at random, in equal numbers.

    Raises:
        ValueError: if the screen has fewer than five such groups of batches.
    """
    screen = screen.per_batch()
    groups, batch_id = molecule_groups(screen), screen.batch_id.numpy()
    together = replicate_batches(screen, groups=groups)
    size, rng = np.bincount(together[batch_id]), np.random.default_rng(seed)
    if (size > 0).sum() < N_FOLDS:
        raise ValueError(f"screen: got {(size > 0).sum()} groups of experimental batches, expected at least {N_FOLDS}")
    fold_of_group, total = np.zeros(len(size), dtype=np.int64), np.zeros(N_FOLDS)
    for group in np.lexsort((rng.permutation(len(size)), -size)):
        fold_of_group[group] = total.argmin()
        total[fold_of_group[group]] += size[group]
    fold_of_molecule = rng.permutation(groups.max() + 1) % N_FOLDS
    molecule = groups[screen.drug_id.numpy()]
    return Folded(screen, molecule, fold_of_molecule[molecule], fold_of_group[together[batch_id]])


@cache
def screen_of(name: str) -> Folded:
    """A screen of the board with its folds. Raises `sources.DataUnavailable`."""
    return folded(SCREENS[name][0]())


def account(found: Folded) -> dict[str, Any]:
    """What lies where.

    Returns:
        "sha256" of the parts of all folds with molecule and batch of every condition; "folds": for each fold and part
        the conditions, molecules and batches in it.
    """
    screen, digest, folds = found.screen, hashlib.sha256(), []
    names = [
        f"{smiles} {batch_id}" for smiles, batch_id in zip(screen.smiles[screen.drug_id], screen.batch_id.tolist())
    ]
    digest.update("\n".join([*names, *screen.batch_names]).encode())
    for fold in range(N_FOLDS):
        part = found.parts(fold)
        digest.update(part.astype(np.int8).tobytes())
        folds.append({name: _counts(found, part == code) for name, code in {"training": TRAIN, **TESTS}.items()})
    return {"sha256": digest.hexdigest(), "screen": repr(screen), "folds": folds}


def _counts(found: Folded, rows: NDArray[np.bool_]) -> dict[str, int]:
    batch_id = found.screen.batch_id.numpy()
    return {
        "conditions": int(rows.sum()),
        "molecules": len(np.unique(found.molecule[rows])),
        "batches": len(np.unique(batch_id[rows])),
    }


def store(output: Path, runs: Path, n_jobs: int = 1) -> Path:
    """Write ``results/new_plates_folds.json``: `account` of every screen; one process."""
    records = {
        name: kept(
            runs,
            STUDY,
            {"screen": name, "seed": SEED},
            lambda name=name, files=files: (account(screen_of(name)), checksums(files)),
        )
        for name, (_, files) in SCREENS.items()
    }
    results = {name: record.result for name, record in records.items()}
    made = [record.provenance for record in records.values()]
    return save_results(STUDY, {"seed": SEED, "folds": N_FOLDS}, results, output_dir=output, runs=made)
