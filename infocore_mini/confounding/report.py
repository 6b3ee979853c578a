"""The report of an audit: one HTML page that opens anywhere, offline."""

from __future__ import annotations

from importlib.resources import files
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
from jinja2 import Environment

from infocore_mini.confounding import verdict
from infocore_mini.confounding.advice import next_step
from infocore_mini.confounding.pictures import heat_map, intervals, scatter

if TYPE_CHECKING:
    from infocore_mini.confounding.auditing import Audit

SHOWN = 1_500  # rows that are drawn, at most
MEANING = {
    "confounded": "The embedding holds more of a nuisance than chance allows.",
    "over-corrected": "Values of a nuisance are more alike than chance allows, or replicates were lost.",
    "cannot tell": "Nothing was found, but the design or the number of rows would not have shown it.",
    "clean": "Nothing was found, and a shift of half a standard deviation would have been.",
}


def page(audit: Audit) -> str:
    """The audit as HTML."""
    findings = [row | {"next": next_step(row)} for row in audit.table.to_dict("records")]
    findings.sort(key=lambda row: verdict.ORDER.index(row["verdict"]))
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["number"] = _number
    template = environment.from_string(files(__package__).joinpath("page.html").read_text(encoding="utf-8"))
    given = audit.given
    steps = {(row["next"], row["verdict"]): None for row in findings if row["next"]}  # each once, worst first
    return template.render(
        audit=audit,
        meaning=MEANING,
        findings=findings,
        steps=[
            (
                called,
                text,
                [f"{row['nuisance']}, {row['check']} ({row['rows']})" for row in findings if row["next"] == text],
            )
            for text, called in steps
        ],
        n=len(given.treated.points),
        n_controls=0 if given.controls is None else len(given.controls.points),
        n_features=given.treated.points.shape[1],
        rules=verdict,
        n_permutations=max((len(null) - 1 for null in audit.nulls.values()), default=0),
        maps=_maps(audit),
        nulls=_nulls(findings),
        plates=_plates(audit),
    )


def _maps(audit: Audit) -> list[str]:
    """The first two principal components, a picture a nuisance."""
    plane, rows = audit.plane, np.random.default_rng(audit.seed).permutation(len(audit.plane))[:SHOWN]
    return [
        scatter(plane[rows], code[rows], [str(value) for value in audit.given.names[name]], f"Map by {name}")
        for name, code in audit.given.treated.nuisances.items()
    ]


def _nulls(findings: list[dict[str, Any]]) -> list[str]:
    """What permuted labels give, a picture a nuisance and kind of rows."""
    permuted = [row for row in findings if np.isfinite(row["low"])]
    name = lambda row: (row["nuisance"], row["rows"])  # noqa: E731
    return [
        intervals(
            [tuple(row[key] for key in ("check", "observed", "expected", "low", "high")) for row in rows],
            f"{nuisance}, {kind}: observed and permuted",
        )
        for (nuisance, kind), rows in groupby(sorted(permuted, key=name), key=name)
    ]


def _plates(audit: Audit) -> list[str]:
    """The first principal component by well, over all treated rows."""
    if audit.given.plate_map is None:
        return []
    position = audit.given.plate_map[~audit.given.is_control]
    return [heat_map(position, audit.plane[:, 0], "First principal component by well, mean of all treated rows")]


def _number(value: float) -> str:
    """Three digits, or nothing where it does not apply."""
    return "" if value is None or not np.isfinite(value) else f"{value:.3g}"
