"""Corrections of the readout: ``fit`` on a training screen, ``transform`` any screen of the same features.

No correction reads molecules or conditions, so that none can learn from the labels of a test. What they do read is what
tells them apart: the control wells or all wells of each plate (`ControlMean`, `RobustZ`, `BatchCentring`: a new plate
is corrected by its own wells), the control wells of training (`Sphering`), cell counts (`CellCountRegression`), or
the experimental batches themselves (`ComBat` knows those of training alone, `Harmony` those it is given at once).
"""

from infocore_mini.correct.base import Correction
from infocore_mini.correct.cell_count import CellCountRegression
from infocore_mini.correct.combat import ComBat
from infocore_mini.correct.harmony import Harmony
from infocore_mini.correct.plates import BatchCentring, ControlMean, RobustZ
from infocore_mini.correct.sphering import Sphering

__all__ = [
    "BatchCentring",
    "CellCountRegression",
    "ComBat",
    "ControlMean",
    "Correction",
    "Harmony",
    "RobustZ",
    "Sphering",
]
