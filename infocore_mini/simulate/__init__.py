"""Simulated data whose truth is known: the paper's simulation study, and whole drug screens over real molecules."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

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


def __getattr__(name: str) -> Any:
    """A name when it is first used: the simulation study needs no chemistry, whole screens do."""
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
