"""Which cell of a column is the best, and which are not told apart from it: the marks of `tables.captioned`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping

import numpy as np
import pandas as pd

from infocore_mini.evaluate.seeds import Interval, paired
from infocore_mini.experiments.tables import BEST, NOT_TOLD_APART


def of_column(
    means: pd.Series, difference: Callable[[Hashable, Hashable], Interval], *, lower: bool = False
) -> pd.Series:
    """The marks of one column: `BEST`, `NOT_TOLD_APART`, or "" where the 95 % interval leaves out zero.

    Args:
        means: of each row; a row without one gets no mark.
        difference: of a row and the best one, with its 95 % interval. One pair at a time: nothing is corrected for how
            many rows there are.
        lower: whether less is better.

    Returns:
        By the index of ``means``; no marks at all where not every other row has an interval.
    """
    marks, known = pd.Series("", index=means.index, dtype=object), means.dropna()
    if known.empty:
        return marks
    best = known.idxmin() if lower else known.idxmax()
    ends = {row: difference(row, best) for row in known.index if row != best}
    if not np.isfinite([(found.low, found.high) for found in ends.values()]).all():
        return marks
    for row, found in ends.items():
        marks[row] = NOT_TOLD_APART if found.low <= 0 <= found.high else ""
    marks[best] = BEST
    return marks


def of_seeds(
    by_column: Mapping[Hashable, pd.DataFrame], *, lower: Collection[Hashable] = (), overlap: float = 0.0
) -> pd.DataFrame:
    """The marks of a table whose rows were run on the same seeds, from differences paired by seed.

    Args:
        by_column: of each column its scores, rows seeds, columns the rows of the table.
        lower: the columns in which less is better.
        overlap: as in `evaluate.seeds.half_width`.

    Returns:
        Rows and columns as the table has them.
    """
    marks = {}
    for column, scores in by_column.items():

        def difference(row: Hashable, best: Hashable, scores: pd.DataFrame = scores) -> Interval:
            return paired(scores[row], scores[best], overlap=overlap)

        marks[column] = of_column(scores.mean(), difference, lower=column in lower)
    return pd.DataFrame(marks, dtype=object).fillna("")
