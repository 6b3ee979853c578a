"""Corrections of each plate or experimental batch by its own wells: inductive, without labels of any kind."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from infocore_mini.correct.base import Correction, WhichWells, controls, fitted_on, labels, treated, with_profiles
from infocore_mini.screens import PairedScreen

MAD_TO_SD = 1.4826  # of a normal distribution


class _OfEachPlate(Correction):
    """``(x - centre) / scale`` with a centre and scale of each plate.

    Args:
        by: what is corrected together: "batch", "plate" or a column of ``screen.info``.
        wells: that centre and scale are taken from: "controls", or "all".
    """

    def __init__(self, by: str, wells: WhichWells) -> None:
        if wells not in ("controls", "all"):
            raise ValueError(f"wells: got {wells!r}, expected 'controls' or 'all'")
        self.by, self.wells = by, wells

    def _fit(self, screen: PairedScreen) -> None:
        labels(screen, self.by)
        fitted_on(screen, self.wells, type(self).__name__)

    def _transform(self, screen: PairedScreen) -> PairedScreen:
        code, control_code, names = labels(screen, self.by)
        profile, of_controls = treated(screen).profile.copy(), controls(screen)
        control = np.zeros((0, profile.shape[1]), np.float32) if of_controls is None else of_controls.profile.copy()
        bare = np.setdiff1d(code, control_code)
        if self.wells == "controls" and len(bare):
            raise ValueError(
                f"screen: got {len(bare)} of {len(names)} values of {self.by!r} without a control well (first "
                f"{names[bare[0]]!r}), expected some in each, since {type(self).__name__} corrects by its own"
            )
        for plate in np.union1d(code, control_code):
            here, controls_here = code == plate, control_code == plate
            known = [control[controls_here]] if self.wells == "controls" else [profile[here], control[controls_here]]
            centre, scale = self._centre_and_scale(np.concatenate(known))
            profile[here] = (profile[here] - centre) / scale
            control[controls_here] = (control[controls_here] - centre) / scale
        return with_profiles(screen, profile, control)

    def _centre_and_scale(self, wells: NDArray) -> tuple[NDArray, NDArray | float]:
        return _mean(wells), 1.0


class ControlMean(_OfEachPlate):
    """Minus the mean of the plate's control wells, which are at 0 thereafter.

    Inductive: a new plate is corrected by its own control wells, a plate without any is an error.

    Args:
        by: what is corrected together: "batch", "plate" or a column of ``screen.info``.

    Examples:
        >>> from infocore_mini import PairedScreen
        >>> from infocore_mini.correct import ControlMean
        >>> screen = PairedScreen.from_profiles(
        ...     smiles=["CCO", "CN"],
        ...     drug=lambda smiles: [[len(text)] for text in smiles],
        ...     profile=[[3.0], [7.0]],
        ...     batch=["plate 1", "plate 2"],
        ...     controls={"profile": [[1.0], [2.0], [6.0]], "batch": ["plate 1", "plate 1", "plate 2"]},
        ... )
        >>> corrected = ControlMean().fit_transform(screen)
        >>> corrected.profile.flatten().tolist(), corrected.controls.profile.flatten().tolist()
        ([1.5, 1.0], [-0.5, 0.5, 0.0])
    """

    def __init__(self, by: str = "batch") -> None:
        super().__init__(by, "controls")


class PlateCentring(_OfEachPlate):
    """Minus the mean of all wells of the plate or experimental batch, molecules and controls alike.

    Inductive: a new plate is corrected by its own wells, so give it whole plates, before molecules are split;
    `BatchCentring` corrects held-out molecules by the means of training instead. Where plates hold other molecules,
    what these do on average goes too.

    Args:
        by: what is corrected together: "batch", "plate" or a column of ``screen.info``.
    """

    def __init__(self, by: str = "batch") -> None:
        super().__init__(by, "all")


class RobustZ(_OfEachPlate):
    """Minus the plate's median, over its median absolute deviation (scaled to a standard deviation).

    A spread is never taken for smaller than ``floor`` times that of the feature in ``fit``, within plates: a feature
    that hardly varies among a plate's few control wells would else reach 1e13. A feature that varies on no plate of
    ``fit`` is centred only. Inductive: a new plate is corrected by its own wells.

    Args:
        by: what is corrected together: "batch", "plate" or a column of ``screen.info``.
        wells: that median and deviation are taken from: "controls", or "all" of the plate.
        floor: share in (0, 1].
    """

    def __init__(self, by: str = "batch", *, wells: WhichWells = "controls", floor: float = 0.1) -> None:
        super().__init__(by, wells)
        if not 0 < floor <= 1:
            raise ValueError(f"floor: got {floor}, expected a share in (0, 1]")
        self.floor = floor

    def _fit(self, screen: PairedScreen) -> None:
        super()._fit(screen)
        code, control_code, _ = labels(screen, self.by)
        found, profile = controls(screen), treated(screen).profile
        deviations = []
        for plate in np.unique(code):
            known = [] if found is None else [found.profile[control_code == plate]]
            known += [profile[code == plate]] if self.wells == "all" else []
            wells = np.concatenate(known)
            if len(wells):
                deviations.append(np.abs(wells - _median(wells)))
        usual = MAD_TO_SD * _median(np.concatenate(deviations))
        mean = np.nanmean(np.concatenate(deviations), axis=0, dtype=np.float64)
        usual = np.where(usual > 0, usual, mean)  # more than half of the values equal, and not all
        self.least = np.where(usual > 0, self.floor * usual, 1.0)

    def _centre_and_scale(self, wells: NDArray) -> tuple[NDArray, NDArray | float]:
        centre = _median(wells)
        return centre, np.fmax(MAD_TO_SD * _median(np.abs(wells - centre)), self.least)


def _median(values: NDArray) -> NDArray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a feature without a value on the plate: NaN
        return np.nanmedian(values.astype(np.float64), axis=0)


class Stabilised(_OfEachPlate):
    """Minus the plate's mean, over its standard deviation, both shrunk towards those of the plates of training.

    Mean and variance are those of all wells of the plate, control wells included, and count as ``prior_wells`` further
    wells like the average plate of ``fit``: a plate with few wells is corrected little, one with many as by its own. The
    statistics of a normalisation are so adapted to a plate that training has not seen, with its control wells to steady
    them. Inductive: a new plate is corrected by its own wells, so give it whole plates, as `PlateCentring`.

    Args:
        by: what is corrected together: "batch", "plate" or a column of ``screen.info``.
        prior_wells: weight of the average plate of training, in wells.
    """

    def __init__(self, by: str = "batch", *, prior_wells: float = 10.0) -> None:
        super().__init__(by, "all")
        if not prior_wells > 0:
            raise ValueError(f"prior_wells: got {prior_wells}, expected a number > 0")
        self.prior_wells = prior_wells

    def _fit(self, screen: PairedScreen) -> None:
        super()._fit(screen)
        code, control_code, _ = labels(screen, self.by)
        found, profile = controls(screen), treated(screen).profile
        means, deviations = [], []
        for plate in np.unique(code):
            of_controls = [] if found is None else [found.profile[control_code == plate]]
            wells = np.concatenate([profile[code == plate], *of_controls])
            means.append(_mean(wells))
            deviations.append(wells - means[-1])
        self.mean = _mean(np.stack(means))
        self.variance = np.nan_to_num(_mean(np.concatenate(deviations) ** 2))

    def _centre_and_scale(self, wells: NDArray) -> tuple[NDArray, NDArray | float]:
        n, centre = (~np.isnan(wells)).sum(0), _mean(wells)
        spread = _mean((wells - centre) ** 2)
        centre, spread = np.where(n > 0, centre, self.mean), np.where(n > 0, spread, self.variance)
        total = n + self.prior_wells
        variance = (n * spread + self.prior_wells * self.variance) / total
        return (n * centre + self.prior_wells * self.mean) / total, np.where(variance > 0, np.sqrt(variance), 1.0)


def _mean(values: NDArray) -> NDArray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a feature without a value on the plate: NaN
        return np.asarray(np.nanmean(values, axis=0, dtype=np.float64))
