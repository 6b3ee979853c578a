"""Whether the simulated plates agree with the real ones."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

_POOLED = {"same_plate_raw": 0.05, "same_plate_subtracted": 0.05, "structure_auc": 0.1, "structure_neighbour": 0.1}


def agreement(record: Mapping) -> pd.DataFrame:
    """Gene expression, real beside simulated: a row for each diagnostic.

    Columns: real (mean of three plates), real_low, real_high (their range), simulated, simulated_low, simulated_high (over
    draws), low, high: what counts as agreement, agrees. Agreement: the simulated mean within 25 % of the range of the
    real plates; for the diagnostics that pool the plates within 0.05 (same-plate rates) or 0.1 (structure).
    """
    plates, draws = pd.DataFrame(record["real_plates"]), pd.DataFrame(record["simulated"])
    table = pd.DataFrame({"real": record["real"]}).assign(real_low=plates.min(), real_high=plates.max())
    table = table.assign(simulated=draws.mean(), simulated_low=draws.min(), simulated_high=draws.max())
    margin = table.index.map(_POOLED)
    table["low"] = (0.75 * table.real_low).fillna(table.real - margin.to_series(index=table.index))
    table["high"] = (1.25 * table.real_high).fillna(table.real + margin.to_series(index=table.index))
    return table.assign(agrees=table.simulated.between(table.low, table.high))
