"""Sphering by control wells, the linear part of typical variation normalisation (TVN; Ando et al. 2017)."""

from __future__ import annotations

import numpy as np

from infocore_mini.correct.base import Correction, Wells, controls, fitted_on, measured, treated, with_profiles
from infocore_mini.screens import PairedScreen


class Sphering(Correction):
    """A linear map after which the control wells of training have mean 0 and, without a ridge, the identity as covariance.

    Directions in which controls vary are nuisance and shrink; ZCA-whitening keeps the features' places. To be done
    after a correction by plate. Inductive: mean and map are those of the training's control wells, on batches
    in which it has profiles.

    Args:
        ridge: added to every eigenvalue of the covariance, as a share of their mean; 0 needs more control wells than
            features.
    """

    def __init__(self, ridge: float = 0.1) -> None:
        if not ridge >= 0:
            raise ValueError(f"ridge: got {ridge}, expected a share >= 0")
        self.ridge = ridge

    def _fit(self, screen: PairedScreen) -> None:
        x = measured(fitted_on(screen, "controls", "Sphering"), "Sphering")
        if len(x) < 2:
            raise ValueError(f"screen: got {len(x)} control well, expected at least 2 for Sphering")
        self.mean = x.mean(0)
        eigenvalue, direction = np.linalg.eigh(np.cov(x, rowvar=False).reshape(x.shape[1], x.shape[1]))
        regular = eigenvalue.clip(0) + self.ridge * eigenvalue.mean()
        if regular.min() <= 1e-10 * regular.max():
            raise ValueError(
                f"ridge: got {self.ridge}, expected more: the {len(x)} control wells do not vary in every direction "
                f"of {x.shape[1]} features"
            )
        self.map = (direction / np.sqrt(regular)) @ direction.T

    def _transform(self, screen: PairedScreen) -> PairedScreen:
        found = controls(screen)
        return with_profiles(screen, self._sphered(treated(screen)), None if found is None else self._sphered(found))

    def _sphered(self, wells: Wells) -> np.ndarray:
        return (measured(wells, "Sphering") - self.mean) @ self.map
