"""Group fairness of binary predictions (Appendix G): equalized odds, equality of opportunity, demographic parity."""

from __future__ import annotations

from itertools import combinations
from typing import Literal

import numpy as np
import pandas as pd
from fairlearn.metrics import MetricFrame, false_positive_rate, selection_rate, true_positive_rate

GAPS = ("equalized_odds", "equal_opportunity", "demographic_parity")
AGGREGATES = ("mean", "max", "median")


def group_rates(y_true, y_pred, group) -> pd.DataFrame:
    """True-positive, false-positive and selection rate of each group: one row per group, columns tpr, fpr, selection.

    y_true, y_pred: (n,) of 0 and 1; group: (n,) labels of at least two groups.
    Raises ValueError for other values, unequal lengths, or a group without positives or without negatives.
    """
    y_true, y_pred, group = _checked(y_true, y_pred, group)
    rates = {"tpr": true_positive_rate, "fpr": false_positive_rate, "selection": selection_rate}
    frame = MetricFrame(metrics=rates, y_true=y_true, y_pred=y_pred, sensitive_features=pd.Series(group, name="group"))
    return frame.by_group


def pairwise_gaps(y_true, y_pred, group) -> pd.DataFrame:
    """The three criteria for every pair of groups: one row per pair, columns as in `GAPS`, fractions.

    Equalized odds is the sum |dTPR| + |dFPR| (so at most 2), equality of opportunity |dTPR| and demographic parity
    the difference of selection rates (Appendix G).  Arguments and errors as in `group_rates`.
    """
    rates = group_rates(y_true, y_pred, group)
    pairs = list(combinations(rates.index, 2))
    gaps = pd.DataFrame(
        [(rates.loc[a] - rates.loc[b]).abs() for a, b in pairs], index=pd.Index(pairs, tupleize_cols=False)
    )
    columns = (gaps["tpr"] + gaps["fpr"], gaps["tpr"], gaps["selection"])
    return pd.DataFrame(dict(zip(GAPS, columns, strict=True)))


def fairness_gaps(y_true, y_pred, group, *, aggregate: Literal["mean", "max", "median"] = "mean") -> dict[str, float]:
    """Accuracy and the three criteria over all pairs of groups, as fractions.

    y_true, y_pred: (n,) of 0 and 1; group: (n,) labels.  `aggregate` says how the pairs are combined: the paper
    averages and reports that maximum and median behave alike (Appendix G).
    Raises ValueError for an unknown `aggregate` and as in `group_rates`.
    """
    if aggregate not in AGGREGATES:
        raise ValueError(f"aggregate: expected one of {AGGREGATES}, got {aggregate!r}")
    return all_aggregates(y_true, y_pred, group)[aggregate]


def all_aggregates(y_true, y_pred, group) -> dict[str, dict[str, float]]:
    """`fairness_gaps` for each of `AGGREGATES`, from one pass over the rows."""
    gaps = pairwise_gaps(y_true, y_pred, group).agg(list(AGGREGATES))
    accuracy = {"accuracy": float(np.mean(np.asarray(y_true) == np.asarray(y_pred)))}
    return {how: accuracy | {name: float(gaps.loc[how, name]) for name in GAPS} for how in AGGREGATES}


def _checked(y_true, y_pred, group):
    y_true, y_pred, group = np.asarray(y_true), np.asarray(y_pred), np.asarray(group)
    for name, values in (("y_true", y_true), ("y_pred", y_pred), ("group", group)):
        if values.ndim != 1 or len(values) != len(y_true):
            raise ValueError(f"{name}: expected shape ({len(y_true)},), got {values.shape}")
        if name != "group" and not np.isin(values, (0, 1)).all():
            raise ValueError(f"{name}: expected only 0 and 1, got {np.unique(values)[:5].tolist()}")
    names = np.unique(group)
    if len(names) < 2:
        raise ValueError(f"group: expected at least two groups, got {names.tolist()}")
    for name in names:
        labels = y_true[group == name]
        if labels.all() or not labels.any():
            missing = "negatives" if labels.all() else "positives"
            raise ValueError(f"group {name.item()!r} has no {missing} in y_true: its rates are undefined")
    return y_true, y_pred, group
