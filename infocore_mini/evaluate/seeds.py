"""Means over seeds with the one interval of this project, two methods paired by seed, and tables of retrieval so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

_KEYS = ["cell_line", "library", "top"]


class Interval(NamedTuple):
    """A mean over seeds and its 95 % t-interval; numbers, or arrays of them."""

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


def half_width(values: ArrayLike, *, overlap: float = 0.0) -> np.ndarray:
    """Half of the 95 % t-interval of the mean over the last axis, (..., n) -> (...); NaN for n < 2, or with a NaN.

    Args:
        values: scores of n seeds.
        overlap: test rows over the other rows, where every seed splits the same data: such scores hang together, and
            the variance of their mean is s^2 (1/n + overlap) (Nadeau and Bengio 2003). 0: every seed draws its own.
    """
    values = np.asarray(values, dtype=float)
    n = values.shape[-1]
    if n < 2:
        return np.full(values.shape[:-1], np.nan)[()]
    return stats.t.ppf(0.975, n - 1) * values.std(axis=-1, ddof=1) * np.sqrt(1 / n + overlap)


def t_interval(values: ArrayLike, *, overlap: float = 0.0) -> Interval:
    """Mean and 95 % t-interval over the last axis, (..., n) -> (...); ``overlap`` as in `half_width`."""
    mean, half = np.asarray(values, dtype=float).mean(axis=-1), half_width(values, overlap=overlap)
    return Interval(mean, mean - half, mean + half)


def paired(ours: pd.Series | float, theirs: pd.Series | float, *, overlap: float = 0.0) -> Interval:
    """One method minus another, paired by seed: the mean difference over the seeds that both have, with its t-interval.

    Args:
        ours, theirs: scores by seed, or a single number, the score of a method that draws nothing at random.
        overlap: as in `half_width`.
    """
    return t_interval(pd.Series(ours - theirs).dropna(), overlap=overlap)


def detectable(values: ArrayLike, *, overlap: float = 0.0, power: float = 0.8) -> np.ndarray:
    """The smallest true mean that the interval of `t_interval` would tell from zero with this power, (..., n) -> (...).

    It is worked out from the scatter seen, so it says what a null result could have found; ``overlap`` as in `half_width`.
    """
    n = np.asarray(values).shape[-1]
    return half_width(values, overlap=overlap) * (1 + stats.t.ppf(power, n - 1) / stats.t.ppf(0.975, n - 1))


def outcome(low: float, high: float, *, margin: float = 0.0, more: str = "higher", less: str = "lower") -> str:
    """What the 95 % interval of a difference says.

    Args:
        low, high: its ends.
        margin: within which a difference from zero does not matter.
        more, less: what to call an interval above and below zero.

    Returns:
        ``more`` or ``less`` where it leaves zero out, else "level" where it lies within the margin, else "not told apart".
    """
    if low > 0:
        return more
    if high < 0:
        return less
    return "level" if max(-low, high) < margin else "not told apart"


def resampled_means(values: ArrayLike, *, seed: int = 0) -> np.ndarray:
    """Means over seeds that are drawn with replacement, (draws, ..., n) -> (draws, ...): the second way of a bootstrap.

    Where the draws are scores on resampled test rows, rows and seeds are both resampled, as befits two things that
    are crossed: every seed is scored on the same rows (Owen 2007).  What lies on the axes between shares the draws of
    seeds, so methods stay paired.

    Args:
        values: scores by draw (of the test rows) and, on the last axis, by seed.
        seed: decides which seeds are drawn.
    """
    values = np.asarray(values, dtype=float)
    draws, n = len(values), values.shape[-1]
    chosen = np.random.default_rng(seed).integers(0, n, (draws, n))
    weights = np.stack([np.bincount(row, minlength=n) for row in chosen]) / n
    return np.einsum("d...s,ds->d...", values, weights)


def basic_interval(estimate: ArrayLike, draws: ArrayLike) -> Interval:
    """95 % basic bootstrap interval, 2 x estimate - quantiles; (...) and (draws, ...) -> three of (...).

    It turns the draws round the estimate, so a bias that the draws repeat, such as that of a mean of absolute
    differences, moves the interval the right way; percentiles would move it the wrong way.
    """
    estimate = np.asarray(estimate, dtype=float)
    low, high = np.quantile(np.asarray(draws, dtype=float), [0.025, 0.975], axis=0)
    return Interval(estimate, 2 * estimate - high, 2 * estimate - low)


def resampled_detectable(draws: ArrayLike, *, power: float = 0.8) -> np.ndarray:
    """As `detectable`, from draws of a difference: the sum of two normal quantiles times their standard deviation."""
    return (stats.norm.ppf(0.975) + stats.norm.ppf(power)) * np.asarray(draws, dtype=float).std(axis=0, ddof=1)


def over_seeds(tables: Mapping[int, pd.DataFrame], *, overlap: float = 0.0) -> pd.DataFrame:
    """Mean accuracy over seeds with its 95 % t-interval, from `screen_retrieval` tables by seed; ``overlap`` as above.

    Returns the rows of one table with accuracy, low, high, chance, lift, n_seeds; the interval of one seed is NaN.
    Raises ValueError if the tables do not hold the same rows.
    """
    accuracy, chance = _by_seed("tables", tables, "accuracy"), _by_seed("tables", tables, "chance").mean(axis=1)
    frame = _interval_columns(accuracy, overlap).rename(columns={"mean": "accuracy"})
    return frame.assign(chance=chance, lift=frame["accuracy"] / chance, n_seeds=len(tables)).reset_index()


def compare(
    tables_a: Mapping[int, pd.DataFrame], tables_b: Mapping[int, pd.DataFrame], *, overlap: float = 0.0
) -> pd.DataFrame:
    """Method a against method b, paired by seed, from `screen_retrieval` tables by seed; ``overlap`` as above.

    Returns the rows of one table with: accuracy_a, accuracy_b, means over seeds; difference = a - b and
    relative = a / b - 1 of each seed, averaged, with 95 % t-intervals (..._low, ..._high; NaN for one seed);
    detectable, the true difference that such seeds would tell from zero four times in five; a_higher, the share of
    seeds in which a is above b; n_seeds. relative is NaN where b is 0 in some seed.
    Raises ValueError if the seeds, or the rows of the tables, differ.
    """
    if set(tables_a) != set(tables_b):
        raise ValueError(f"tables_b: got seeds {sorted(tables_b)}, expected {sorted(tables_a)} like tables_a")
    a, b = _by_seed("tables_a", tables_a, "accuracy"), _by_seed("tables_b", tables_b, "accuracy")[list(tables_a)]
    if not a.index.equals(b.index):
        raise ValueError("tables_b: got other cell lines, libraries or top than tables_a, expected the same rows")
    parts = [pd.DataFrame({"accuracy_a": a.mean(axis=1), "accuracy_b": b.mean(axis=1)})]
    for name, values in {"difference": a - b, "relative": a / b.where(b > 0) - 1}.items():
        interval = _interval_columns(values, overlap)
        parts.append(interval.rename(columns={"mean": name, "low": f"{name}_low", "high": f"{name}_high"}))
    seen = {"detectable": detectable(a - b, overlap=overlap), "a_higher": (a > b).mean(axis=1)}
    return pd.concat(parts, axis=1).assign(**seen, n_seeds=len(tables_a)).reset_index()


def _by_seed(name: str, tables: Mapping[int, pd.DataFrame], column: str) -> pd.DataFrame:
    """(rows of a table, seeds) of one column."""
    columns = {seed: table.set_index(_KEYS)[column] for seed, table in tables.items()}
    if not columns:
        raise ValueError(f"{name}: got no tables, expected one for each seed")
    first = next(iter(columns.values()))
    for seed, values in columns.items():
        if not values.index.equals(first.index):
            raise ValueError(f"{name}: the rows of seed {seed} differ from the first seed's, expected the same")
    return pd.DataFrame(columns)


def _interval_columns(values: pd.DataFrame, overlap: float) -> pd.DataFrame:
    """Mean, low and high over the columns, a row for each row."""
    return pd.DataFrame(t_interval(values, overlap=overlap)._asdict(), index=values.index)
