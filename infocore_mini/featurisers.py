"""What turns SMILES into drug features, and the names by which a screen and a model remember it; needs no chemistry."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

Featuriser = Callable[[Sequence[str]], np.ndarray]  # list of unique SMILES -> (n, n_d)

NAMES = ("mol2vec", "morgan", "descriptors")  # functions of `featurize`, with their default settings


def name_of(featuriser: object) -> str | None:
    """The name, such as "mol2vec" for ``featurize.mol2vec``, of one of `NAMES`; None for any other function."""
    name = getattr(featuriser, "__name__", "")
    ours = getattr(featuriser, "__module__", "") == "infocore_mini.featurize" and name in NAMES
    return name if ours else None


def by_name(name: str) -> Featuriser:
    """The featuriser that `name_of` gave this name.

    Raises:
        ValueError: for a name that is none of `NAMES`.
        ModuleNotFoundError: without the extra ``chem``.
    """
    if name not in NAMES:
        raise ValueError(f"name: got {name!r}, expected one of {', '.join(NAMES)}")
    from infocore_mini import featurize  # here, since screens and models do without chemistry

    return getattr(featurize, name)
