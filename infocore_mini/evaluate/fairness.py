"""Group fairness of binary predictions (Appendix G): equalized odds, equality of opportunity, demographic parity."""

from __future__ import annotations

from itertools import combinations
from typing import Literal

import numpy as np
import pandas as pd
from fairlearn.metrics import MetricFrame, false_positive_rate, selection_rate, true_positive_rate
from numpy.typing import ArrayLike, NDArray

from infocore_mini.inputs import label_codes

GAPS = ("equalized_odds", "equal_opportunity", "demographic_parity")
AGGREGATES = ("mean", "max", "median")


def group_rates(y_true: ArrayLike, y_pred: ArrayLike, group: ArrayLike) -> pd.DataFrame:
    """True-positive, false-positive and selection rate of each group.

    Args:
        y_true, y_pred: (n,) of 0 and 1.
        group: (n,) labels of at least two groups.

    Returns:
        A row for each group; columns tpr, fpr, selection, fractions.

    Raises:
        ValueError: for other values, unequal lengths, a missing group, or a group without positives or negatives.
    """
    true, predicted, groups = _checked(y_true, y_pred, group)
    rates = {"tpr": true_positive_rate, "fpr": false_positive_rate, "selection": selection_rate}
    of_group = pd.Series(groups, name="group")
    frame = MetricFrame(metrics=rates, y_true=true, y_pred=predicted, sensitive_features=of_group)
    return frame.by_group


def pairwise_gaps(y_true: ArrayLike, y_pred: ArrayLike, group: ArrayLike) -> pd.DataFrame:
    """The three criteria for every pair of groups (Appendix G).

    Equalized odds is the sum |dTPR| + |dFPR| (so at most 2), equality of opportunity |dTPR| and demographic parity
    the difference of selection rates.  Arguments and errors as in `group_rates`.

    Returns:
        A row for each pair of groups; columns as in `GAPS`, fractions.
    """
    rates = group_rates(y_true, y_pred, group)
    pairs = list(combinations(rates.index, 2))
    gaps = pd.DataFrame(
        [(rates.loc[first] - rates.loc[second]).abs() for first, second in pairs],
        index=pd.Index(pairs, tupleize_cols=False),
    )
    columns = (gaps["tpr"] + gaps["fpr"], gaps["tpr"], gaps["selection"])
    return pd.DataFrame(dict(zip(GAPS, columns, strict=True)))


def fairness_gaps(
    y_true: ArrayLike, y_pred: ArrayLike, group: ArrayLike, *, aggregate: Literal["mean", "max", "median"] = "mean"
) -> dict[str, float]:
    """Accuracy and the three criteria over all pairs of groups (Appendix G).

    Args:
        y_true, y_pred: (n,) of 0 and 1.
        group: (n,) labels of at least two groups.
        aggregate: how the pairs of groups are combined; the paper averages, and reports that maximum and median behave
            alike.

    Returns:
        Fractions under "accuracy" and the names in `GAPS`.

    Raises:
        ValueError: for an unknown `aggregate`, and as `group_rates`.
    """
    if aggregate not in AGGREGATES:
        raise ValueError(f"aggregate: got {aggregate!r}, expected one of {AGGREGATES}")
    return all_aggregates(y_true, y_pred, group)[aggregate]


def all_aggregates(y_true: ArrayLike, y_pred: ArrayLike, group: ArrayLike) -> dict[str, dict[str, float]]:
    """`fairness_gaps` for each of `AGGREGATES`, from one pass over the predictions; arguments and errors as there."""
    gaps = pairwise_gaps(y_true, y_pred, group).agg(list(AGGREGATES))
    accuracy = {"accuracy": float(np.mean(np.asarray(y_true) == np.asarray(y_pred)))}
    return {how: accuracy | {name: float(gaps.loc[how, name]) for name in GAPS} for how in AGGREGATES}


def _checked(y_true: ArrayLike, y_pred: ArrayLike, group: ArrayLike) -> tuple[NDArray, NDArray, NDArray]:
    true, predicted = np.asarray(y_true), np.asarray(y_pred)
    for name, values in (("y_true", true), ("y_pred", predicted)):
        if values.ndim != 1 or len(values) != len(true):
            raise ValueError(f"{name}: got shape {values.shape}, expected ({true.size},) like y_true")
        strange = values[~np.isin(values, (0, 1))]
        if len(strange):
            raise ValueError(f"{name}: got {strange[0]!r}, expected only 0 and 1")
    true, predicted = true.astype(np.int64), predicted.astype(np.int64)
    names, codes = label_codes("group", group, len(true), "y_true")
    if len(names) < 2:
        raise ValueError(f"group: got {names.tolist()}, expected at least two groups")
    for code, name in enumerate(names.tolist()):
        labels = true[codes == code]
        if labels.all() or not labels.any():
            missing = "negatives" if labels.all() else "positives"
            raise ValueError(f"group {name!r} has no {missing} in y_true: its rates are undefined")
    return true, predicted, names[codes]
