"""Corrections of the readout: ``fit`` on a training screen, ``transform`` any screen of the same features.

No correction reads molecules or conditions, so that none can learn from the labels of a test. What they do read is what
tells them apart: the control wells or all wells of each plate (`ControlMean`, `RobustZ`, `PlateCentring`,
`Stabilised`: a new plate is corrected by its own wells), the experimental batches of training (`BatchCentring`,
`ComBat`), the control wells of training (`Sphering`), cell counts (`CellCountRegression`), or all wells at once
(`Harmony`). ``Correction.inductive`` says which can transform a batch that ``fit`` has not seen.
"""

from infocore_mini.correct.base import Correction
from infocore_mini.correct.cell_count import CellCountRegression
from infocore_mini.correct.centring import BatchCentring
from infocore_mini.correct.combat import ComBat
from infocore_mini.correct.harmony import Harmony
from infocore_mini.correct.plates import ControlMean, PlateCentring, RobustZ, Stabilised
from infocore_mini.correct.sphering import Sphering

__all__ = [
    "BatchCentring",
    "CellCountRegression",
    "ComBat",
    "ControlMean",
    "Correction",
    "Harmony",
    "PlateCentring",
    "RobustZ",
    "Sphering",
    "Stabilised",
]
