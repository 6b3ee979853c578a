"""The audit: one call, one object, one table."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from infocore_mini.confounding import verdict
from infocore_mini.confounding.claims import baselines, replicates
from infocore_mini.confounding.design import estimability
from infocore_mini.confounding.finding import Finding
from infocore_mini.confounding.given import Given, read
from infocore_mini.confounding.part import DRIFT, Part
from infocore_mini.confounding.verdict import Family, Verdict
from infocore_mini.validation import positive_integers


@dataclass(frozen=True, eq=False)
class Audit:
    """What an audit found.

    Attributes:
        table: a row a check, with the attributes of `Finding` as columns.
        verdict: the verdict of all: the first of confounded, over-corrected, cannot tell, clean that a row has.
        given: what was looked at.
        plane: (n_treated, 2) principal components of the standardised features.
        nulls: (rows, nuisance, check) -> (1 + n_permutations,) the statistic, the observed value first.
        seed: of permutations, folds and draws.
    """

    table: pd.DataFrame
    verdict: Verdict
    given: Given
    plane: NDArray[np.float32]
    nulls: dict[tuple[str, str, str], NDArray[np.float64]]
    seed: int

    def to_json(self) -> str:
        """Verdict, table and settings as JSON; what does not apply is null."""
        rows = json.loads(self.table.to_json(orient="records", double_precision=15))
        settings = {"level": verdict.LEVEL, "shift": verdict.SHIFT, "power": verdict.POWER, "seed": self.seed}
        return json.dumps({"verdict": self.verdict, "settings": settings, "findings": rows}, indent=1)

    def report(self, path: str | Path) -> Path:
        """Write the audit as one HTML page that needs nothing else, and return where."""
        from infocore_mini.confounding.report import page

        path = Path(path)
        path.write_text(page(self), encoding="utf-8")
        return path

    def __repr__(self) -> str:
        counts = self.table["verdict"].value_counts().to_dict()
        return f"Audit({self.verdict}: {', '.join(f'{n} {name}' for name, n in counts.items())})"


def audit(
    embedding: Any,
    nuisance: Mapping[str, Any] | Sequence[str],
    *,
    label: Any = None,
    controls: Any = None,
    molecule: Any = None,
    library: Any = None,
    position: Any = None,
    cell_count: Any = None,
    before: Any = None,
    obsm: str | None = None,
    n_permutations: int = 199,
    seed: int = 0,
) -> Audit:
    """Whether an embedding, or a readout, holds experimental batches, plates, positions or cell counts.

    Each nuisance is looked for by its neighbours, by a ladder of probes (linear, nearest neighbours, boosted trees) and
    by the drift of its values, among treated rows and among controls alone, and compared with labels permuted within
    the strata that ``label`` and ``library`` make; which rows may exchange labels is argued in
    `infocore_mini.confounding.exchange`, and the rules of the verdicts are those of `infocore_mini.confounding.verdict`.
    Under no effect at all, a false "confounded" or "over-corrected" comes up in at most 5 % of audits.

    Args:
        embedding: (n, d) array or table, or an AnnData. At most 10,000 rows are asked for their neighbours.
        nuisance: name -> (n,) labels such as batch, plate, row, column, site. With an AnnData labels, here and below,
            may be names of columns of its ``obs``, and here a list of such names.
        label: (n,) biology that the nuisances must not be mistaken for, such as the mechanism; not read for controls.
            Without it, an embedding is also called confounded where batches hold other biology.
        controls: (n,) booleans, control wells.
        molecule: (n,) what was put on, so that replicates are not mistaken for a batch; not read for controls.
        library: (n,) the library or plate map of a well, where plates are comparable within one only.
        position: (n,) wells such as "B07", or (n, 2) row and column.
        cell_count: (n,) cells.
        before: (n, d') the same rows before a correction, by which it can be told whether replicates were lost; with an
            AnnData perhaps a key of its ``obsm``.
        obsm: with an AnnData, which entry is the embedding; None = ``X``.
        n_permutations: behind each p-value.
        seed: of permutations, folds and draws.

    Returns:
        The findings; ``.table``, ``.verdict``, ``.report(path)``, ``.to_json()``.

    Raises:
        ValueError: on NaN, a missing label, lengths that differ, fewer than 20 treated rows or 8 controls, or a nuisance
            of one value.

    Examples:
        >>> import numpy as np
        >>> from infocore_mini import audit
        >>> rng = np.random.default_rng(0)
        >>> plate = np.repeat([f"plate {i}" for i in range(4)], 50)
        >>> shift = rng.normal(size=(4, 8))[np.repeat(np.arange(4), 50)]
        >>> audit(rng.normal(size=(200, 8)) + shift, nuisance={"plate": plate}).verdict
        'confounded'
        >>> audit(rng.normal(size=(200, 8)), nuisance={"plate": plate}).verdict
        'clean'
    """
    positive_integers("n_permutations", [n_permutations], "199")
    columns = dict(label=label, molecule=molecule, library=library, position=position, cell_count=cell_count)
    given = read(embedding, nuisance, obsm=obsm, before=before, controls=controls, **columns)
    parts = [Part(rows, n_permutations, seed) for rows in (given.treated, given.controls) if rows is not None]
    found = {key: value for part in parts for key, value in part.permuted().items()}
    permuted = Family(found, log=[key for key in found if key[2] == DRIFT])
    trees = Family(parts[0].trees())
    compared = given.label is not None and len(given.baselines) > 0, given.before is not None and molecule is not None
    n_families = 1 + (len(trees.found) > 0) + sum(compared)
    findings = [
        *_of_design(given),
        *(finding for part in parts for finding in part.findings([permuted, trees], n_families)),
        *baselines(given, parts[0].geometry, n_families),
        *replicates(given, n_families, n_permutations, seed),
    ]
    table = pd.DataFrame([asdict(finding) for finding in findings])
    plane = parts[0].geometry.plane
    return Audit(table, verdict.of_all(table["verdict"]), given, plane, permuted.found | trees.found, seed)


def _of_design(given: Given) -> Iterator[Finding]:
    """A row a nuisance where there is biology to tell it from."""
    biology = given.treated.molecule if given.label is None else given.label
    if biology is None:
        return
    for name in given.designed:
        found = estimability(given.treated.nuisances[name], given.treated.names[name], biology, given.library)
        pairs = "; ".join(f"{one} and {other}" for one, other in found.pairs)
        yield Finding(
            rows="design",
            nuisance=name,
            check="estimability",
            observed=found.estimable,
            expected=found.contrasts,
            verdict="clean" if found.estimable == found.contrasts else "cannot tell",
            n=len(given.treated.points),
            detail=f"not to be told apart: {pairs}" if pairs else "every two values can be compared",
        )
