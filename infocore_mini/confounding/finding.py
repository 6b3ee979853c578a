"""One row of an audit's table."""

from __future__ import annotations

from dataclasses import dataclass
from math import nan

from infocore_mini.confounding.verdict import Verdict


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one check found; numbers that do not apply are NaN.

    Attributes:
        rows: what was looked at: "treated", "controls", "design", "label" or "replicates".
        nuisance, check: what was asked.
        observed: the statistic.
        expected: its mean under permuted labels; of a comparison, what the embedding is compared with.
        low, high: the middle 95 % of what permuted labels give.
        p_value: two-sided, of this check alone.
        p_adjusted: for all checks of the audit.
        verdict: by the rules of `infocore_mini.confounding.verdict`.
        n: rows that count.
        detail: which value, which pair, which chance of finding a shift.
    """

    rows: str
    nuisance: str
    check: str
    observed: float = nan
    expected: float = nan
    low: float = nan
    high: float = nan
    p_value: float = nan
    p_adjusted: float = nan
    verdict: Verdict
    n: int
    detail: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        """What tells it from the other rows."""
        return self.rows, self.nuisance, self.check
