"""ComBat (Johnson, Li and Rabinovic 2007), as the package combatlearn has it (extra ``correct``)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from infocore_mini.correct.base import Correction, Wells, controls, fitted_on, measured, treated, with_profiles
from infocore_mini.platemap import Controls
from infocore_mini.screens import PairedScreen


class ComBat(Correction):
    """Location and scale of each feature in each experimental batch, shrunk by empirical Bayes, taken out.

    Fitted on all wells of training. Not inductive in batches: new profiles of a batch of training can be transformed,
    a batch that training has not is an error. Control wells of other batches are left out.

    Args:
        mean_only: leave the scale alone.
    """

    inductive = False

    def __init__(self, *, mean_only: bool = False) -> None:
        self.mean_only = mean_only

    def _fit(self, screen: PairedScreen) -> None:
        from combatlearn import ComBat as Model  # takes seconds, and few need it

        wells = fitted_on(screen, "all", "ComBat")
        self.batches = np.unique(wells.batch_id)
        if len(self.batches) < 2 or np.bincount(wells.batch_id)[self.batches].min() < 2:
            raise ValueError("screen: got one experimental batch, or one with a single well; ComBat expects two of two")
        frame = pd.DataFrame(measured(wells, "ComBat"))
        self.model = Model(batch=_labels(wells), mean_only=self.mean_only).fit(frame)
        self.batch_names = screen.batch_names

    def _transform(self, screen: PairedScreen) -> PairedScreen:
        wells, found = treated(screen), controls(screen)
        if screen.batch_names != self.batch_names:
            raise ValueError("screen: got other batch_names than in fit, expected a part of one screen for ComBat")
        new = np.setdiff1d(wells.batch_id, self.batches)
        if len(new):
            raise ValueError(
                f"screen: got {len(new)} experimental batches that fit has not seen (first "
                f"{screen.batch_names[new[0]]!r}), which ComBat cannot correct"
            )
        if found is not None:
            screen = replace(screen, controls=_in(screen.controls, self.batches))
            found = controls(screen)
        return with_profiles(screen, self._corrected(wells), None if found is None else self._corrected(found))

    def _corrected(self, wells: Wells) -> NDArray:
        self.model.set_params(batch=_labels(wells))
        return self.model.transform(pd.DataFrame(measured(wells, "ComBat"))).to_numpy()


def _labels(wells: Wells) -> pd.Series:
    return pd.Series(wells.batch_id.astype(str))


def _in(found: Controls | None, batches: NDArray) -> Controls | None:
    """The control wells of some experimental batches."""
    if found is None:
        return None
    here = torch.from_numpy(np.isin(found.batch_id.numpy(), batches))
    if not bool(here.any()):
        return None
    return Controls(found.profile[here], found.batch_id[here], found.cell_line[here], found.info.take(here))
