"""Regression of the readout on the number of cells."""

from __future__ import annotations

import numpy as np

from infocore_mini.correct.base import (
    Correction,
    Wells,
    WhichWells,
    controls,
    fitted_on,
    measured,
    treated,
    with_profiles,
)
from infocore_mini.screens import PairedScreen


class CellCountRegression(Correction):
    """Minus the part of each feature that a line in ``log(1 + cell_count)`` explains; the mean stays.

    Inductive: the line is that of training, a new well needs its cell count only.

    Args:
        wells: the line is fitted on: "controls", so that what a toxic molecule does beside killing stays, or "all".
    """

    def __init__(self, wells: WhichWells = "controls") -> None:
        if wells not in ("controls", "all"):
            raise ValueError(f"wells: got {wells!r}, expected 'controls' or 'all'")
        self.wells = wells

    def _fit(self, screen: PairedScreen) -> None:
        wells = fitted_on(screen, self.wells, "CellCountRegression")
        x, count = measured(wells, "CellCountRegression"), _log_count(wells)
        self.mean_count = count.mean()
        spread = count - self.mean_count
        if not spread @ spread > 0:
            raise ValueError("screen: got wells of equal cell_count, expected some that differ for CellCountRegression")
        self.slope = spread @ (x - x.mean(0)) / (spread @ spread)

    def _transform(self, screen: PairedScreen) -> PairedScreen:
        found = controls(screen)
        return with_profiles(screen, self._rest(treated(screen)), None if found is None else self._rest(found))

    def _rest(self, wells: Wells) -> np.ndarray:
        return wells.profile - np.outer(_log_count(wells) - self.mean_count, self.slope)


def _log_count(wells: Wells) -> np.ndarray:
    if "cell_count" not in wells.info:
        raise ValueError("screen: got no column cell_count in info or controls.info, which CellCountRegression needs")
    count = wells.info["cell_count"]
    if not (count >= 0).all():
        raise ValueError("cell_count: got a missing or negative count, expected one >= 0 for each well")
    return np.log1p(count)
