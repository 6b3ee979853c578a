"""Property sets and screens as property prediction uses them, and what stands in where they are missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from infocore_mini.experiments.pretraining.run import Study
from infocore_mini.experiments.pretraining.studies import (
    STUDIES,
    available,
    simulated_gene_expression,
    simulated_stand_in,
)
from infocore_mini.experiments.results import checksums
from infocore_mini.featurize import Parts, mol2vec, scaffold_split
from infocore_mini.parameters import TargetKind
from infocore_mini.readers.property import PROPERTY_SETS, PropertySet, property_files, read_property
from infocore_mini.simulate.molecules import sample_molecules, substructure_counts
from infocore_mini.sources import DataUnavailable, fetch

SIMULATED = ("simulated A", "simulated B", "simulated C")
STAND_IN = "simulated"  # the study in place of those whose screens are missing
SIMULATED_SCREENS = (simulated_gene_expression, simulated_stand_in)


@dataclass(frozen=True, eq=False)
class Prepared:
    """A property set with its features and its scaffold split; see `PropertySet` and `Parts`.

    Attributes:
        mol2vec: (n, 300) float32, unscaled.
    """

    smiles: np.ndarray
    target: np.ndarray
    kind: TargetKind
    mol2vec: Tensor
    parts: Parts

    @property
    def test_smiles(self) -> np.ndarray:
        """SMILES of the test part."""
        return self.smiles[self.parts.test]


@cache
def prepared(dataset: str) -> Prepared:
    """A property set by name, or a simulated one by a name of ``SIMULATED``; kept in memory. Errors as the reader's."""
    data = simulated_property(SIMULATED.index(dataset)) if dataset in SIMULATED else read_property(dataset)
    features = torch.from_numpy(mol2vec(data.smiles))
    return Prepared(data.smiles, data.target, data.kind, features, scaffold_split(data.smiles))


def at_hand(datasets: tuple[str, ...]) -> tuple[tuple[str, ...], str | None]:
    """The data sets if all their files can be had, else as many simulated ones; and the banner that says so."""
    try:
        for name in datasets:
            for file in property_files(name):
                fetch(file)
    except DataUnavailable:
        stand_ins = SIMULATED[: len(datasets)]
        return stand_ins, (
            "SIMULATED PROPERTIES. The real benchmarks are not at hand; set INFOCORE_DATA to the folder that holds them. "
            f"{', '.join(stand_ins)} stand in: their labels follow from random substructures."
        )
    return datasets, None


def simulated_property(seed: int, n: int = 800, n_tasks: int = 2) -> PropertySet:
    """A stand-in benchmark: drug-like molecules, labels that follow in part from eight random substructures each."""
    molecules = sample_molecules(n, seed)
    counts = np.log1p(substructure_counts(molecules.smiles))
    rng = np.random.default_rng(seed)
    common = np.flatnonzero((counts > 0).mean(0) > 0.05)
    weight = np.zeros((counts.shape[1], n_tasks))
    for task in range(n_tasks):
        weight[rng.choice(common, 8, replace=False), task] = rng.standard_normal(8)
    drive = counts @ weight
    drive = drive / drive.std(0) + rng.standard_normal(drive.shape)
    target = (drive > np.median(drive, axis=0)).astype(np.float32)
    tasks = tuple(f"task {i}" for i in range(n_tasks))
    return PropertySet(
        SIMULATED[seed], "classification", np.array(molecules.smiles, dtype=object), target, tasks, pd.DataFrame()
    )


def studies_at_hand(studies: tuple[str, ...]) -> tuple[tuple[str, ...], str]:
    """The studies whose files can be had, a simulated one in place of the others; and what a page must say of them."""
    simulated = [name for name in studies if STUDIES[name].make_screen in SIMULATED_SCREENS]
    missing = [name for name in studies if name not in simulated and not available(STUDIES[name])]
    there = tuple(dict.fromkeys(STAND_IN if name in missing else name for name in studies))
    if missing:
        return (
            there,
            f"SIMULATED SCREEN in place of {', '.join(missing)}, whose files are not at hand; set INFOCORE_DATA.",
        )
    kinds = ("**simulated**" if name in simulated else "**real**" for name in studies)
    return there, "Pretraining on " + ", ".join(f"{name} ({kind})" for name, kind in zip(studies, kinds)) + "."


def pretraining_study(name: str) -> Study:
    """A pretraining study, or the simulated one that stands in for those whose screens are missing."""
    if name != STAND_IN:
        return STUDIES[name]
    return replace(STUDIES["comas"], name=STAND_IN, make_screen=simulated_stand_in, files=())


def checksums_behind(datasets: Sequence[str], studies: Sequence[str]) -> dict[str, str]:
    """File name -> sha256 of the files behind property sets and studies, as far as they can be had."""
    found = {name: digest for study in studies for name, digest in pretraining_study(study).checksums().items()}
    return found | checksums(
        sorted({file for name in datasets if name in PROPERTY_SETS for file in property_files(name)})
    )
