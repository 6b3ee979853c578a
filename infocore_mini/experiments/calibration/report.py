"""Whether the simulated plates agree with the real ones: how far apart, in units of what differs anyhow."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy import stats

from infocore_mini.experiments.names import listed


def agreement(record: Mapping) -> pd.DataFrame:
    """Gene expression, real beside simulated: a row for each diagnostic, nothing in it chosen by hand.

    A diagnostic that a plate has by itself: distance is that of the simulated mean from the mean of the real plates, in
    standard deviations between the real plates; limit is the largest distance, in the same unit, of one real plate from
    the mean of the others. Simulated plates agree if they are no more unlike the real ones than a real plate that is
    held out.

    A diagnostic that pools the plates (same-plate rates, structure) has one real value: distance and limit are in
    standard deviations between simulated draws, and the limit is that within which one more draw would lie with
    probability 95 % (t distribution).

    Returns:
        Columns real (mean of the plates), real_low, real_high (their range), simulated, simulated_low, simulated_high
        (over draws), distance, limit, agrees.
    """
    plates = pd.DataFrame(record["real_plates"], dtype=float)
    draws = pd.DataFrame(record["simulated"], dtype=float)
    table = pd.DataFrame({"real": record["real"]}).assign(real_low=plates.min(), real_high=plates.max())
    table = table.assign(simulated=draws.mean(), simulated_low=draws.min(), simulated_high=draws.max())
    between = plates.std().reindex(table.index)
    unit = between.fillna(draws.std())
    one_more = stats.t.ppf(0.975, len(draws) - 1) * np.sqrt(1 + 1 / len(draws))
    held_out = (plates.apply(_farthest) / plates.std()).reindex(table.index)
    table["distance"] = (table.simulated - table.real) / unit
    table["limit"] = held_out.fillna(one_more)
    return table.assign(agrees=table.distance.abs() <= table.limit)


def _farthest(values: pd.Series) -> float:
    """Largest distance of one value from the mean of the others; missing ones do not count."""
    values = values.dropna()
    others = (values.sum() - values) / (len(values) - 1)
    return float((values - others).abs().max())


def verdict(table: pd.DataFrame) -> str:
    """Markdown: how many diagnostics agree, and which do not, by how much; of `agreement`."""
    apart = table[~table["agrees"]]
    said = [
        f"*{name.replace('_', ' ')}* ({row.simulated:.2f} against {row.real:.2f}, {abs(row.distance):.1f} of that unit apart where "
        f"{row.limit:.1f} would be allowed)"
        for name, row in apart.iterrows()
    ]
    counted = f"**{len(table) - len(apart)} of {len(table)} diagnostics agree**"
    return f"{counted}; those that do not: {listed(said)}." if said else f"{counted}."
