"""The rules by which an audit gives its verdicts, all of them.

Families and error. The checks of all nuisances among treated rows and controls form one family: its p-values compare
the standardised distance of a check from its permutation mean, in either direction, with the largest such distance of
each permutation (Westfall and Young 1993). Boosted trees, baselines and replicates before a correction are families of
their own, and a p-value of any family is multiplied by the number of families, so that under no effect at all the
chance of a single false "confounded" or "over-corrected" in the whole audit is at most `LEVEL`.

A row's verdict:

- "confounded": adjusted p-value at most `LEVEL`, and above what permuted labels give. For a baseline: it knows the label
  better than the embedding does.
- "over-corrected": adjusted p-value at most `LEVEL`, and below what permuted labels give. Values that are more alike
  than chance allows were made alike with these very rows, as those of control wells are once their mean is subtracted,
  and no check of these rows can tell how a new one would fare. Of replicates: fewer are found than before the correction.
- "clean": neither, and a shift of every coordinate in one value of the nuisance, by `SHIFT` standard deviations among
  the rows that may exchange values, would have been found in at least `POWER` of the cases. For a baseline: the embedding knows the label better.
  For replicates: found more often than chance, by a test of its own, as it raises no alarm. For the design: every two values of a library can be compared.
- "cannot tell": all else. So it is where the nuisance cannot be moved within the strata, as where it coincides with the
  label; and for a design in which some values share no biology, directly or by others.

The verdict of an audit is the first of confounded, over-corrected, cannot tell, clean that a row has.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Verdict = Literal["confounded", "over-corrected", "cannot tell", "clean"]
LEVEL = 0.05  # of the whole audit
SHIFT = 0.5  # standard deviations of every coordinate, among rows that may exchange values
POWER = 0.8  # to find it
ORDER: tuple[Verdict, ...] = ("confounded", "over-corrected", "cannot tell", "clean")
ALARMS = ORDER[:2]


class Family:
    """Checks under the observed labels and under the same permutations.

    Args:
        found: key -> (1 + n_permutations,), the observed value first; keys whose values never differ are left out.
        log: keys of positive values whose distance from their mean is taken on the log scale.
    """

    def __init__(self, found: Mapping[Any, NDArray[np.float64]], log: Iterable[Any] = ()) -> None:
        self._logged = set(log)
        self.found = {key: values for key, values in found.items() if np.ptp(values) > 1e-12}
        scaled = {key: self._scale(key, values) for key, values in self.found.items()}
        self._centre = {key: (values.mean(), values.std()) for key, values in scaled.items()}
        self.distance = {key: self._distance(key, values) for key, values in scaled.items()}
        self.largest = abs(np.stack(list(self.distance.values()))).max(0) if scaled else np.zeros(1)

    def p_values(self, key: Any) -> tuple[float, float]:
        """Of a check alone, and adjusted for all checks of the family; two-sided."""
        own = abs(self.distance[key])
        return _share(own, own[0]), _share(self.largest, own[0])

    def adjusted_of(self, key: Any, value: float) -> float:
        """The adjusted p-value that another value of a check would have had, one above the mean only."""
        distance = self._distance(key, self._scale(key, np.array([value])))[0]
        return (1 + int((self.largest >= distance - 1e-9).sum())) / (1 + len(self.largest)) if distance > 0 else 1.0

    def _scale(self, key: Any, values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.log(np.maximum(values, 1e-12)) if key in self._logged else values

    def _distance(self, key: Any, scaled: NDArray[np.float64]) -> NDArray[np.float64]:
        mean, deviation = self._centre[key]
        return (scaled - mean) / deviation


def of_labels(p_adjusted: float, above: bool, power: float) -> Verdict:
    """Of a check that compares labels with permuted ones."""
    if p_adjusted <= LEVEL:
        return "confounded" if above else "over-corrected"
    return "clean" if power >= POWER else "cannot tell"


def of_pairs(p_adjusted: float, difference: float, worse: Verdict) -> Verdict:
    """Of a paired comparison: "clean" where the difference is above zero, ``worse`` where it is below."""
    if p_adjusted > LEVEL:
        return "cannot tell"
    return "clean" if difference > 0 else worse


def of_all(verdicts: Iterable[Verdict]) -> Verdict:
    """Of the audit."""
    found = set(verdicts)
    return next(verdict for verdict in ORDER if verdict in found)


def _share(values: NDArray[np.float64], observed: float) -> float:
    """Of values, the observed one among them, that reach it."""
    return float((values >= observed - 1e-9).mean())
