"""InfoCORE-mini: molecule and screen embeddings that do not learn the experimental batch."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from infocore_mini.config import Config
    from infocore_mini.estimator import CCL, CLIP, InfoCORE
    from infocore_mini.pretrained import Pretrained
    from infocore_mini.screens import PairedScreen
    from infocore_mini.train import pretrain, pretrain_screen

__version__ = "0.1.0"

__all__ = ["CCL", "CLIP", "Config", "InfoCORE", "PairedScreen", "Pretrained", "pretrain", "pretrain_screen"]

_HOME = {
    "CCL": "estimator",
    "CLIP": "estimator",
    "Config": "config",
    "InfoCORE": "estimator",
    "PairedScreen": "screens",
    "Pretrained": "pretrained",
    "pretrain": "train",
    "pretrain_screen": "train",
}


def __getattr__(name: str) -> Any:
    """A name of the face when it is first asked for, so that nothing loads what it does not need."""
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """The face."""
    return sorted([*__all__, "__version__"])
