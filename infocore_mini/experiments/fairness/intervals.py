"""From the stored predictions to intervals that resample both the test rows and the seeds of training.

Every arm is scored on the same resampled rows, so that a comparison is paired; `plan.md` says why the intervals are
basic bootstrap intervals.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import pandas as pd

from infocore_mini.evaluate.fairness import GAPS, resampled_gaps, weighted_gaps
from infocore_mini.evaluate.seeds import basic_interval, resampled_detectable, resampled_means
from infocore_mini.experiments.fairness.training import unpacked
from infocore_mini.experiments.results import stored
from infocore_mini.experiments.tables import with_intervals

MEASURES = ("accuracy", *GAPS)
SHOWN = ("difference", "seen", "cut", "accuracy_change")  # of `paired`, in the tables of the chapter
INTERVALS = ("difference", "cut", "accuracy_change")
DRAWS = 2000


class Drawn(NamedTuple):
    """Scores of arms on the test rows, in percent.

    Attributes:
        by_seed: rows (dataset, arm, seed), columns `MEASURES`, on the rows as they are.
        draws: a row per resample of rows and seeds, columns (dataset, arm, measure), means over seeds.
        alone: likewise, where seeds alone are resampled.
    """

    by_seed: pd.DataFrame
    draws: pd.DataFrame
    alone: pd.DataFrame

    @property
    def means(self) -> pd.DataFrame:
        """Means over the seeds: rows (dataset, arm), columns `MEASURES`."""
        return self.by_seed.groupby(level=["dataset", "arm"], sort=False).mean()


@cache
def drawn(
    steps: int | None = None, *, arms: tuple[str, ...] = (), seeds: tuple[int, ...] = (), aggregate: str = "mean"
) -> Drawn:
    """The stored predictions after `steps` (None: the length that every arm is reported at), scored and resampled.

    Args:
        arms, seeds: which, by key and number; () = all.
        aggregate: over the six pairs of groups, as in `fairness_gaps`.
    """
    found = stored("fairness")
    table = pd.DataFrame(found.results["predictions"])
    kept = table["steps"] == (steps or found.parameters["budget"]["steps"][-1])
    for name, chosen in (("arm", arms), ("seed", seeds)):
        kept &= table[name].isin(chosen or table[name].unique())
    by_seed, draws, alone = [], {}, {}
    for dataset, part in table[kept].groupby("dataset", sort=False):
        wide = part.pivot(index="arm", columns="seed", values="predicted").loc[part["arm"].unique()]
        label, group, predicted = _rows(found.results["rows"][dataset], wide)
        once = weighted_gaps(label, predicted, group, np.ones((1, len(label))), aggregate=aggregate)
        many = resampled_gaps(label, predicted, group, draws=DRAWS, aggregate=aggregate)
        index = pd.MultiIndex.from_product([[dataset], wide.index, wide.columns], names=["dataset", "arm", "seed"])
        by_seed.append(pd.DataFrame({measure: 100 * once[measure].ravel() for measure in MEASURES}, index=index))
        for measure in MEASURES:
            both, seeds_alone = resampled_means(many[measure]), resampled_means(once[measure].repeat(DRAWS, axis=0))
            for place, arm in enumerate(wide.index):
                draws[dataset, arm, measure] = 100 * both[:, place]
                alone[dataset, arm, measure] = 100 * seeds_alone[:, place]
    return Drawn(pd.concat(by_seed), pd.DataFrame(draws), pd.DataFrame(alone))


def means(of: Drawn, measure: str = "equalized_odds") -> pd.DataFrame:
    """Mean over seeds with its 95 % interval over rows and seeds: rows (dataset, arm), columns mean, low, high."""
    estimate = of.means[measure]
    columns = [(*name, measure) for name in estimate.index]
    interval = basic_interval(estimate, of.draws[columns].to_numpy())
    return pd.DataFrame(interval._asdict(), index=estimate.index).clip(0, 100)


def paired(
    of: Drawn, arm: str = "infocore", baseline: str = "clip", *, measure: str = "equalized_odds"
) -> pd.DataFrame:
    """`arm` against `baseline`, on the same resampled rows and seeds: a row per dataset.

    Columns, all but `seeds` and `lower_in` in percent or points, each with 95 % interval `..._low`, `..._high`:
    baseline and arm means; `difference` (arm - baseline), and `seen`, the true difference that would have been told
    from zero with a probability of 80 %; `cut`, by how much the arm's mean lies below the baseline's, relative, at most 100;
    `accuracy_change`; `lower_in`, the number of seeds in which the arm is lower.  For comparison, other intervals of the
    same: `difference_percentile`, `cut_percentile` (percentiles), `cut_alone` (percentiles, seeds alone resampled).
    """
    rows = {}
    for dataset in of.by_seed.index.unique("dataset"):
        scores = of.by_seed.xs(dataset)
        ours, theirs = (scores.xs(name) for name in (arm, baseline))
        a, b, change = ours[measure].mean(), theirs[measure].mean(), (ours - theirs)["accuracy"].mean()
        by_draw = {name: (of.draws[dataset, arm, name], of.draws[dataset, baseline, name]) for name in MEASURES}
        difference, cut = np.subtract(*by_draw[measure]), _cut(a, b)
        cuts, cuts_alone = (
            _cut(*by_draw[measure]),
            _cut(*(of.alone[dataset, name, measure] for name in (arm, baseline))),
        )
        row = {"seeds": len(ours), "baseline": b, "arm": a, "seen": resampled_detectable(difference)}
        row |= _named("difference", *basic_interval(a - b, difference))
        row |= _named("difference_percentile", a - b, *np.quantile(difference, [0.025, 0.975]))
        row |= _named("cut", *np.minimum(basic_interval(cut, cuts), 100))
        row |= _named("cut_percentile", cut, *np.quantile(cuts, [0.025, 0.975]))
        row |= _named("cut_alone", cut, *np.quantile(cuts_alone, [0.025, 0.975]))
        row |= _named("accuracy_change", *basic_interval(change, np.subtract(*by_draw["accuracy"])))
        rows[dataset] = row | {"lower_in": int((ours[measure] < theirs[measure]).sum())}
    return pd.DataFrame(rows).T.astype(float)


def _cut(ours, theirs):
    return 100 * (1 - ours / theirs)


def _named(name: str, value: float, low: float, high: float) -> dict[str, float]:
    return {name: value, f"{name}_low": low, f"{name}_high": high}


def _rows(rows: dict, wide: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels (n,), groups (n,) and predictions (arms, seeds, n) of a stored table."""
    n: int = rows["n"]
    group = np.frombuffer(rows["group"].encode(), dtype=np.uint8) - ord("0")
    predicted = [[unpacked(text, n) for text in texts] for texts in wide.to_numpy()]
    return unpacked(rows["label"], n), group, np.array(predicted)


def differences(tables: Mapping[str, pd.DataFrame], columns: Sequence[str] = SHOWN) -> pd.DataFrame:
    """Several `paired` tables under their names for readers: one decimal, intervals as text "-19.5 [-28.1, -12.4]".

    Args:
        columns: of `paired`, without the ends of intervals; "seen" is shown as "could be seen".
    """
    ends = {name: (f"{name}_low", f"{name}_high") for name in columns if name in INTERVALS}
    rest = [end for both in ends.values() for end in both]
    found = {
        name: with_intervals(table[[*columns, *rest]].astype(float), ends, places=1) for name, table in tables.items()
    }
    return pd.concat(found).round(1).rename(columns={"seen": "could be seen", "cut": "cut (%)"})
