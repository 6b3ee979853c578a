"""What the gene-expression chapter shows of the plates, and its accuracies beside the paper's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from infocore_mini.experiments.calibration.diagnostics import Plate, same_plate_rate
from infocore_mini.experiments.calibration.plates import real_plates, simulated_plates
from infocore_mini.experiments.pretraining.report import accuracies, paper_accuracies, paper_chance
from infocore_mini.sources import DataUnavailable


@dataclass(frozen=True, eq=False)
class Plates:
    """Wells of three plates. ``notice``: None if they are real, else the banner that says what they are."""

    plates: list[Plate]
    notice: str | None


def plates(seed: int) -> Plates:
    """The three real L1000 plates, or simulated ones of like sizes where the files cannot be had."""
    try:
        return Plates(real_plates(), None)
    except DataUnavailable:
        sizes = [
            Plate(np.zeros((20, 1)), np.zeros((n, 1)), np.arange(n), np.full(n, ""), np.ones(n)) for n in (350, 60, 60)
        ]
        notice = (
            "SIMULATED PLATES. The real L1000 plates are not at hand; set INFOCORE_DATA to the folder that holds them."
        )
        return Plates(simulated_plates(seed, 1, sizes)[0], notice)


def same_plate_table(plates: list[Plate]) -> pd.Series:
    """Percent of treated wells whose nearest other molecule is on their own plate, raw and after subtraction; chance."""
    molecule = [plate.molecule.astype(str) for plate in plates]
    sizes = np.array([len(plate.treated) for plate in plates])
    return 100 * pd.Series(
        {
            "raw": same_plate_rate([plate.treated for plate in plates], molecule),
            "controls subtracted": same_plate_rate([p.treated - p.control.mean(0) for p in plates], molecule),
            "if plates did not matter": float((sizes / sizes.sum()) @ ((sizes - 1) / (sizes.sum() - 1))),
        }
    )


def beside_paper(by_arm: Mapping, dataset: str) -> pd.DataFrame:
    """Ours and the paper's accuracies in percent, and each as a multiple of its own chance: rows (library, top, arm).

    dataset: as ``paper_accuracies``; the paper's chance is that of ``paper_chance``.
    """
    ours = accuracies(by_arm).set_index(["library", "top", "arm"])
    printed = (100 * paper_accuracies(dataset)).rename("paper").rename_axis(["arm", "library", "top"])
    chance = (100 * paper_chance(dataset)).rename("paper's chance")
    table = pd.DataFrame({"ours": 100 * ours["accuracy"], "our chance": 100 * ours["chance"]})
    table = table.join(printed, on=["arm", "library", "top"]).join(chance, on=["library", "top"])
    return table.assign(
        **{"our lift": table["ours"] / table["our chance"], "paper's lift": table["paper"] / table["paper's chance"]}
    )
