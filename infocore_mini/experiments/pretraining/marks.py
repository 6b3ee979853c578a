"""Which arms of a pretraining study are the best, as marks of its table."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from infocore_mini.experiments import best
from infocore_mini.experiments.pretraining.report import Tables, accuracy_by_seed


def best_arms(by_arm: Tables, top: Sequence[int] = (1, 5, 10)) -> pd.DataFrame:
    """The marks of `report.side_by_side`, from differences paired by seed."""
    columns = [(library, k) for library in ("whole", "batch") for k in top]
    return best.of_seeds({key: accuracy_by_seed(by_arm, *key) for key in columns}, overlap=by_arm.overlap)
