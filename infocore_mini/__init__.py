"""InfoCORE-mini: molecule and screen embeddings that do not learn the experimental batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infocore_mini.lazy import attach

if TYPE_CHECKING:
    from infocore_mini.config import Config
    from infocore_mini.confounding import audit
    from infocore_mini.estimator import CCL, CLIP, InfoCORE
    from infocore_mini.pretrained import Pretrained
    from infocore_mini.screens import PairedScreen
    from infocore_mini.train import pretrain, pretrain_screen

__version__ = "0.1.0"

__all__ = ["CCL", "CLIP", "Config", "InfoCORE", "PairedScreen", "Pretrained", "audit", "pretrain", "pretrain_screen"]

_HOME = {
    "CCL": "estimator",
    "CLIP": "estimator",
    "Config": "config",
    "InfoCORE": "estimator",
    "PairedScreen": "screens",
    "Pretrained": "pretrained",
    "audit": "confounding",
    "pretrain": "train",
    "pretrain_screen": "train",
}

__getattr__, __dir__ = attach(__name__, _HOME)
