"""What every correction of the readout is: ``fit``, ``transform``, and the wells that both look at."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from inspect import signature
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from infocore_mini.platemap import Columns, Controls
from infocore_mini.screens import PairedScreen

WhichWells = Literal["controls", "all"]


@dataclass(frozen=True)
class Wells:
    """Profiles or control wells of a screen.

    Attributes:
        profile: (n, n_g) float32; NaN = not measured.
        batch_id: (n,) int64 code of the experimental batch.
        info: columns of n rows.
    """

    profile: NDArray[np.float32]
    batch_id: NDArray[np.int64]
    info: Columns

    def __len__(self) -> int:
        return len(self.profile)


class Correction(ABC):
    """A correction of the readout.

    Attributes:
        inductive: a screen that ``fit`` has not seen can be transformed, of other experimental batches too.
    """

    inductive: bool = True
    _features: tuple[int, tuple[str, ...]] | None = None

    def fit(self, screen: PairedScreen) -> Self:
        """Learn what there is to learn from the wells of a screen.

        Raises:
            ValueError: if the screen has not what the correction needs.
        """
        self._fit(screen)
        self._features = (screen.profile.shape[1], screen.feature_names)
        return self

    def transform(self, screen: PairedScreen) -> PairedScreen:
        """The same screen, control wells included, under the corrected readout.

        Raises:
            ValueError: before ``fit``, for other features than there, or if the screen has not what is needed.
        """
        if self._features is None:
            raise ValueError(f"{type(self).__name__}: got a screen before fit, expected fit(screen) first")
        n, names = self._features
        if (screen.profile.shape[1], screen.feature_names) != (n, names):
            raise ValueError(f"screen: got {screen.profile.shape[1]} features or other names, expected the {n} of fit")
        corrected = self._transform(screen)
        return replace(corrected, corrections=(*screen.corrections, repr(self)))

    def fit_transform(self, screen: PairedScreen) -> PairedScreen:
        """``fit(screen).transform(screen)``."""
        return self.fit(screen).transform(screen)

    def __repr__(self) -> str:
        """As it was called, such as ``RobustZ(by='batch', wells='controls', floor=0.1)``."""
        names = signature(type(self)).parameters
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in names)})"

    @abstractmethod
    def _fit(self, screen: PairedScreen) -> None: ...

    @abstractmethod
    def _transform(self, screen: PairedScreen) -> PairedScreen: ...


def treated(screen: PairedScreen) -> Wells:
    """The wells with a molecule."""
    return Wells(screen.profile.numpy(), screen.profile_batch.numpy(), screen.info)


def controls(screen: PairedScreen) -> Wells | None:
    """All control wells that the screen carries."""
    if screen.controls is None:
        return None
    return Wells(screen.controls.profile.numpy(), screen.controls.batch_id.numpy(), screen.controls.info)


def fitted_on(screen: PairedScreen, which: WhichWells, what: str) -> Wells:
    """Wells of the experimental batches in which the screen has profiles: a part of a screen carries all controls.

    Args:
        screen: what is fitted on.
        which: "controls", or "all": profiles and controls.
        what: names the correction in the error.

    Raises:
        ValueError: if "controls" are asked for and there are none.
    """
    found = controls(screen)
    if found is not None:
        here = np.isin(found.batch_id, screen.profile_batch.numpy())
        found = Wells(found.profile[here], found.batch_id[here], found.info.take(here)) if here.any() else None
    if which == "controls":
        if found is None:
            raise ValueError(
                f"screen: got no control wells, which {what} needs; expected some in PairedScreen.controls"
            )
        return found
    return treated(screen) if found is None else joined(treated(screen), found)


def joined(a: Wells, b: Wells) -> Wells:
    """Both, with the columns that both have."""
    shared = {name: np.concatenate([a.info[name], b.info[name]]) for name in a.info if name in b.info}
    return Wells(np.concatenate([a.profile, b.profile]), np.concatenate([a.batch_id, b.batch_id]), Columns(shared))


def labels(screen: PairedScreen, by: str) -> tuple[NDArray[np.int64], NDArray[np.int64], list[str]]:
    """What profiles and control wells are corrected together.

    Args:
        screen: its wells.
        by: "batch", "plate" (the experimental batch where the screen has no such column), or a column of ``info``.

    Returns:
        (n_profiles,) and (n_controls,) codes, and what they stand for.

    Raises:
        ValueError: for an unknown column or a missing label.
    """
    parts = [treated(screen), controls(screen)]
    if by not in screen.info and by not in ("batch", "plate"):
        raise ValueError(f"by: got {by!r}, expected batch, plate or a column of info ({', '.join(screen.info)})")
    values: list[NDArray[Any]] = []
    for name, wells in zip(("info", "controls.info"), parts):
        if wells is None:
            values.append(np.zeros(0, dtype=object))
        elif by not in screen.info:
            values.append(np.array(screen.batch_names, dtype=object)[wells.batch_id])
        elif by in wells.info and not pd.isna(wells.info[by]).any():
            values.append(wells.info[by].astype(object))
        else:
            raise ValueError(f"{name}: got wells without {by!r}, expected one for each, since they are corrected by it")
    codes, names = pd.factorize(np.concatenate(values), sort=True)
    n = len(screen.profile)
    return codes[:n].astype(np.int64), codes[n:].astype(np.int64), list(map(str, names))


def with_profiles(screen: PairedScreen, profile: NDArray, of_controls: NDArray | None) -> PairedScreen:
    """The screen under other readouts, (n_profiles, n_g) and (n_controls, n_g)."""
    found: Controls | None = screen.controls
    if found is not None and of_controls is not None:
        found = replace(found, profile=torch.from_numpy(np.ascontiguousarray(of_controls, dtype=np.float32)))
    new = torch.from_numpy(np.ascontiguousarray(profile, dtype=np.float32))
    return replace(screen, profile=new, controls=found)


def measured(wells: Wells, what: str) -> NDArray[np.float64]:
    """(n, n_g) profiles as float64.

    Raises:
        ValueError: if one is missing.
    """
    if np.isnan(wells.profile).any():
        raise ValueError(f"screen: got readouts that are NaN, which {what} cannot take; expected numbers")
    return wells.profile.astype(np.float64)
