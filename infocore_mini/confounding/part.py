"""The checks of one kind of rows: treated rows, or controls alone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from infocore_mini.confounding import verdict
from infocore_mini.confounding.checks import CHECKS, OF_CONTROLS, Geometry, drift, drifts, nearest_mean, values
from infocore_mini.confounding.exchange import Exchange
from infocore_mini.confounding.finding import Finding
from infocore_mini.confounding.given import Rows
from infocore_mini.confounding.trees import boosted_trees
from infocore_mini.confounding.verdict import Family

LINEAR, DRIFT, TREES, SHIFTED = "linear probe", "drift of a held-out value", "boosted trees", "injected shift"
BELOW = "below chance: its values were made alike with these very rows"
DRAWS = 30  # of an injected shift
Key = tuple[str, str, str]  # rows, nuisance, check


class Part:
    """Rows, their geometry, and which of them may exchange labels.

    Args:
        rows: treated rows or controls.
        n_permutations, seed: as for `audit`.
    """

    def __init__(self, rows: Rows, n_permutations: int, seed: int) -> None:
        self.rows, self.seed, self.n_permutations = rows, seed, n_permutations
        self.geometry = Geometry.of(rows.points, rows.molecule, seed)
        exchanges = {name: Exchange(code, rows.stratum, rows.molecule) for name, code in rows.nuisances.items()}
        self.movable = {name: exchange for name, exchange in exchanges.items() if exchange.n_movable > 1}

    def permuted(self) -> dict[Key, NDArray[np.float64]]:
        """(rows, nuisance, check) -> (1 + n_permutations,), the observed value first, of what can be permuted."""
        checks = CHECKS if self.rows.kind == "treated" else {name: CHECKS[name] for name in OF_CONTROLS}
        found = values(self.geometry, self.movable, checks, self.n_permutations, self.seed)
        return {(self.rows.kind, *key): value for key, value in found.items()}

    def trees(self) -> dict[Key, NDArray[np.float64]]:
        """The same of boosted trees."""
        found = boosted_trees(self.geometry, self.movable, self.rows.molecule, self.n_permutations, self.seed)
        return {(self.rows.kind, name, TREES): value for name, value in found.items()}

    def findings(self, families: list[Family], n_families: int) -> Iterator[Finding]:
        """A row a check and nuisance, and one for the shift that was injected.

        Args:
            families: the first with the checks of `permuted`, the others with what else was permuted of these rows.
            n_families: by which p-values are multiplied.
        """
        kind, n = self.rows.kind, len(self.rows.points)
        for name in self.rows.nuisances:
            if name not in self.movable:
                detail = "no two exchangeable rows differ in it"
                yield Finding(rows=kind, nuisance=name, check=LINEAR, verdict="cannot tell", n=n, detail=detail)
                continue
            exchange = self.movable[name]
            power = self._power(name, families[0], n_families)
            keys = [(family, key) for family in families for key in family.found if key[:2] == (kind, name)]
            for family, key in keys:
                found = family.found[key]
                alone, adjusted = family.p_values(key)
                adjusted = min(1.0, adjusted * n_families)
                low, high = np.quantile(found[1:], [0.025, 0.975])
                called = verdict.of_labels(adjusted, family.distance[key][0] > 0, power)
                yield Finding(
                    rows=kind,
                    nuisance=name,
                    check=key[2],
                    observed=found[0],
                    expected=found[1:].mean(),
                    low=low,
                    high=high,
                    p_value=alone,
                    p_adjusted=adjusted,
                    verdict=called,
                    n=n,
                    detail=BELOW if called == "over-corrected" else self._detail(name, key[2]),
                )
            yield Finding(
                rows=kind,
                nuisance=name,
                check=SHIFTED,
                observed=power,
                expected=verdict.LEVEL,
                verdict="clean" if power >= verdict.POWER else "cannot tell",
                n=n,
                detail=f"found in {power:.0%} of {DRAWS} draws; {exchange.n_movable:,} of {exchange.n_units:,} units can move",
            )

    def _power(self, name: str, family: Family, n_families: int) -> float:
        """Share of draws in which a shift of one value, in labels that were permuted before, is found."""
        rng, exchange = np.random.default_rng(self.seed), self.movable[name]
        n_values = int(exchange.code.max()) + 1
        spread = torch.from_numpy(exchange.spread(self.rows.points)).float()
        shift = verdict.SHIFT * spread @ self.geometry.axes
        found = 0
        for _ in range(DRAWS):
            labels = torch.from_numpy(exchange.permuted(1, rng))
            here = labels[0] == int(rng.integers(n_values))
            shifted = self.geometry.white + here[:, None] * shift
            p_values = [
                family.adjusted_of(key, statistic(self.geometry, labels, n_values, shifted).item())
                for check, statistic in ((LINEAR, nearest_mean), (DRIFT, drift))
                if (key := (self.rows.kind, name, check)) in family.found
            ]
            found += min(p_values, default=1.0) * n_families <= verdict.LEVEL
        return found / DRAWS

    def _detail(self, name: str, check: str) -> str:
        if check == TREES:
            return "trained on one half, scored on the other"
        if check != DRIFT:
            return ""
        code, names = self.rows.nuisances[name], self.rows.names[name]
        distances = drifts(self.geometry, torch.from_numpy(code)[None], int(code.max()) + 1)[0]
        return f"furthest: {names[int(distances.argmax())]}"
