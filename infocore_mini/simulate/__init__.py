"""Simulated data whose truth is known: the paper's simulation study, and whole drug screens over real molecules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infocore_mini.lazy import attach

if TYPE_CHECKING:
    from .screen import SimulatedScreen, simulate_screen
    from .study import SimulationStudy, simulation_study

_HOME = {
    "SimulatedScreen": "screen",
    "SimulationStudy": "study",
    "simulate_screen": "screen",
    "simulation_study": "study",
}
__all__ = ["SimulatedScreen", "SimulationStudy", "simulate_screen", "simulation_study"]

__getattr__, __dir__ = attach(__name__, _HOME)
