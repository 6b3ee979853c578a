"""Group fairness of binary predictions (Appendix G): equalized odds, equality of opportunity, demographic parity."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from fairlearn.metrics import MetricFrame, false_positive_rate, selection_rate, true_positive_rate
from numpy.typing import ArrayLike, NDArray

from infocore_mini.inputs import label_codes

GAPS = ("equalized_odds", "equal_opportunity", "demographic_parity")
AGGREGATES = ("mean", "max", "median")
_BLOCK = 100  # resamples at a time


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


def weighted_gaps(
    y_true: ArrayLike, y_pred: ArrayLike, group: ArrayLike, weights: ArrayLike, *, aggregate: str = "mean"
) -> dict[str, NDArray[np.float64]]:
    """`fairness_gaps` of many predictors on many samples of the same rows at once.

    Args:
        y_true, group: as in `fairness_gaps`.
        y_pred: (..., n) of 0 and 1, predictions of a predictor each.
        weights: (draws, n) how often each row is in each sample; ones: the rows as they are.
        aggregate: as in `fairness_gaps`.

    Returns:
        (draws, ...) fractions under "accuracy" and the names in `GAPS`; a gap is NaN where a sample leaves a group
        without rows of a label that it needs.

    Raises:
        ValueError: as `fairness_gaps`, and for weights of another length.
    """
    cells, counted = _cells(y_true, y_pred, group), np.asarray(weights)
    if counted.ndim != 2 or counted.shape[1] != len(np.asarray(y_true)):
        raise ValueError(f"weights: got shape {counted.shape}, expected (draws, {len(np.asarray(y_true))})")
    found = _gaps(cells, counted, aggregate)
    return {name: values.reshape(len(counted), *np.shape(y_pred)[:-1]) for name, values in found.items()}


def resampled_gaps(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    group: ArrayLike,
    *,
    draws: int = 2000,
    seed: int = 0,
    aggregate: str = "mean",
) -> dict[str, NDArray[np.float64]]:
    """`weighted_gaps` on rows drawn with replacement, every predictor on the same rows: a bootstrap of the test set.

    Args:
        y_true, y_pred, group, aggregate: as in `weighted_gaps`.
        draws: number of samples.
        seed: decides which rows are drawn.
    """
    rng, n, cells = np.random.default_rng(seed), len(np.asarray(y_true)), _cells(y_true, y_pred, group)
    blocks = []
    for start in range(0, draws, _BLOCK):
        chosen = rng.integers(0, n, (min(_BLOCK, draws - start), n))
        blocks.append(_gaps(cells, np.stack([np.bincount(rows, minlength=n) for rows in chosen]), aggregate))
    shape = (draws, *np.shape(y_pred)[:-1])
    return {name: np.concatenate([block[name] for block in blocks]).reshape(shape) for name in blocks[0]}


class _Cell(NamedTuple):
    """The rows of one group and label, and what each predictor says of them: (rows, predictors) of 0 and 1."""

    label: int
    group: int
    rows: NDArray[np.intp]
    predicted: NDArray[np.float32]  # counts below 2^24 are exact


def _cells(y_true: ArrayLike, y_pred: ArrayLike, group: ArrayLike) -> list[_Cell]:
    predicted = np.asarray(y_pred)
    true, flat, groups = _checked(y_true, predicted.reshape(-1, predicted.shape[-1]), group, many=True)
    cells = []
    for code, name in enumerate(np.unique(groups)):
        for label in (0, 1):
            rows = np.flatnonzero((groups == name) & (true == label))
            cells.append(_Cell(label, code, rows, flat[:, rows].T.astype(np.float32)))
    return cells


def _gaps(cells: list[_Cell], weights: NDArray, aggregate: str) -> dict[str, NDArray[np.float64]]:
    """(draws, predictors) of every measure."""
    if aggregate not in AGGREGATES:
        raise ValueError(f"aggregate: got {aggregate!r}, expected one of {AGGREGATES}")
    n_groups, n_predictors = len(cells) // 2, cells[0].predicted.shape[1]
    favoured, people = np.empty((2, 2, n_groups, len(weights), n_predictors))  # by label and group
    for cell in cells:
        counted = weights[:, cell.rows].astype(np.float32)
        favoured[cell.label, cell.group] = counted @ cell.predicted
        people[cell.label, cell.group] = counted.sum(axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):
        rates = {"fpr": favoured[0] / people[0], "tpr": favoured[1] / people[1]}
        rates["selection"] = favoured.sum(0) / people.sum(0)
    first, second = np.array(list(combinations(range(n_groups), 2))).T
    apart = {name: np.abs(rate[first] - rate[second]) for name, rate in rates.items()}
    pairs = (apart["tpr"] + apart["fpr"], apart["tpr"], apart["selection"])
    over_pairs: dict[str, Callable[..., NDArray]] = {"mean": np.mean, "max": np.max, "median": np.median}
    found = {name: over_pairs[aggregate](gaps, axis=0) for name, gaps in zip(GAPS, pairs, strict=True)}
    right = favoured[1].sum(0) + (people[0] - favoured[0]).sum(0)
    return found | {"accuracy": right / people.sum((0, 1))}


def _checked(
    y_true: ArrayLike, y_pred: ArrayLike, group: ArrayLike, *, many: bool = False
) -> tuple[NDArray, NDArray, NDArray]:
    """Arrays of the three; `many`: y_pred is (predictors, n)."""
    true, predicted = np.asarray(y_true), np.asarray(y_pred)
    for name, values, dimensions in (("y_true", true, 1), ("y_pred", predicted, 2 if many else 1)):
        if values.ndim != dimensions or values.shape[-1] != len(true):
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
