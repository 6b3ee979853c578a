"""In what the pretraining studies differ from the paper's: the paper's setting, ours as the code has it, and why."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from infocore_mini.experiments.pretraining.studies import STUDIES

_SHORT = "two cores: a run must end within minutes"
_FEW = "some hundred molecules to train on"
_FOLLOWS = "with so few steps a slower copy would hardly leave its first state"
# The paper's, from its text, its appendices F and H, and the configuration of its released code (Wang et al. 2024).
_GENE_EXPRESSION: Mapping[str, tuple[str, str]] = {
    "epochs": ("150", _SHORT),
    "hidden_screen": ("768, 768", _SHORT),
    "hidden_drug": ("2560, 2560, 2560", _SHORT),
    "hidden_classifier": ("2048", _SHORT),
    "queue_size": ("4096", "as many candidates a molecule of a smaller screen"),
    "learning_rate": ("0.0001", "fewer steps, larger ones"),
    "halve_at": ("30, 60, 90, 120, 150", "the same shape over fewer epochs"),
    "momentum": ("0.999", _FOLLOWS),
    "classifier_momentum": ("0.999; InfoCORE 0.99, raised after epoch 50", _FOLLOWS),
}
_CELL_PAINTING: Mapping[str, tuple[str, str]] = {
    "epochs": ("150", _SHORT),
    "learning_rate": ("0.0003", "fewer steps, larger ones"),
    "classifier_steps": ("5", _SHORT),
    "hidden_screen": ("768, 768", _FEW),
    "hidden_drug": ("2560, 2560, 2560", _FEW),
    "hidden_classifier": ("512", _FEW),
    "minibatch_size": ("256", _FEW),
    "queue_size": ("4096", _FEW),
    "momentum": ("0.999", _FOLLOWS),
    "clip_screen": ("1", "these profiles are z-scores with heavy tails"),
}
# What is no setting: what, the paper's, ours, why.
_BESIDES = (
    (
        "candidates of an anchor (MoCo)",
        "its partner and the queue",
        "the whole minibatch and the queue",
        "more candidates for the same work",
    ),
    (
        "conditions of the anchor's own molecule",
        "are negatives",
        "are left out",
        "replicates of a molecule are no negatives of it",
    ),
    ("loss of CCL", "times 0.3", "as it is", "Adam does not feel the scale of a loss"),
    ("scalers of the inputs", "fitted on all molecules", "on the training molecules", "test molecules are to be new"),
)
_LABELS = (
    "labels of replicates in several batches",
    "soft",
    "one batch a condition",
    "here the replicates of a condition share their batch; where they do not, soft labels and one hard one are level (chapter 5)",
)


PAPER_STEPS = 77_000  # of the encoders, gene expression


def deviations(study: str) -> pd.DataFrame:
    """What differs from the paper: rows by name; columns paper, here, why.

    Args:
        study: "gene_expression" or "comas"; what "here" says is read off its settings.
    """
    config = STUDIES[study].config("infocore", 0)
    printed, besides = _CELL_PAINTING, _BESIDES
    rows: dict[str, tuple[str, ...]] = {}
    if study == "gene_expression":
        printed, besides = _GENE_EXPRESSION, (_LABELS, *_BESIDES)
        times = f"{PAPER_STEPS / gene_expression_steps():.0f} times fewer"
        rows["encoder steps (CLIP, InfoCORE)"] = (
            f"{PAPER_STEPS:,}",
            f"{gene_expression_steps():,}",
            f"{_SHORT}; {times}",
        )
        rows["encoder steps (CCL)"] = (
            "not said",
            f"{one_batch_steps():,}",
            "a minibatch ends with its experimental batch: more steps of fewer anchors in as many epochs",
        )
    rows |= {name: (paper, _text(getattr(config, name)), why) for name, (paper, why) in printed.items()}
    rows |= {what: tuple(rest) for what, *rest in besides}
    return pd.DataFrame.from_dict(rows, orient="index", columns=["paper", "here", "why"])


def gene_expression_steps() -> int:
    """Encoder steps of CLIP and InfoCORE at reduced GE shape, whose split trains on 64 % of the molecules."""
    config = STUDIES["gene_expression"].config("infocore", 0)
    return config.epochs * (_conditions() // config.minibatch_size)


def one_batch_steps() -> int:
    """Encoder steps of CCL there, whose minibatches end with the experimental batch: about so many, by batches of equal size."""
    config, n_batches = STUDIES["gene_expression"].config("ccl", 0), STUDIES["gene_expression"].shape["n_batches"]
    return config.epochs * n_batches * math.ceil(_conditions() / n_batches / config.minibatch_size)


def _conditions() -> int:
    shape = STUDIES["gene_expression"].shape
    return round(0.64 * shape["n_drugs"]) * len(shape["cell_lines"])


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
