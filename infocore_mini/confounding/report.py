"""The report of an audit: one HTML page that opens anywhere, offline."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np
from jinja2 import Environment

from infocore_mini.confounding import verdict
from infocore_mini.confounding.advice import next_steps
from infocore_mini.confounding.pictures import heat_map, intervals, scatter

if TYPE_CHECKING:
    from infocore_mini.confounding.auditing import Audit

SHOWN = 1_500  # rows that are drawn, at most
PLATES = 3  # values of the first nuisance whose wells are drawn
MEANING = {
    "confounded": "The embedding holds more of a nuisance than chance allows.",
    "over-corrected": "Values of a nuisance are more alike than chance allows, as a correction makes the rows that it was fitted on, or replicates were lost.",
    "cannot tell": "Nothing was found, but the design or the number of rows would not have shown it.",
    "clean": "Nothing was found, and a shift of half a standard deviation would have been.",
}


def page(audit: Audit) -> str:
    """The audit as HTML."""
    findings = sorted(audit.table.to_dict("records"), key=lambda row: verdict.ORDER.index(row["verdict"]))
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["number"] = _number
    template = environment.from_string(files(__package__).joinpath("page.html").read_text(encoding="utf-8"))
    given = audit.given
    return template.render(
        audit=audit,
        meaning=MEANING,
        findings=findings,
        steps=next_steps(findings),
        n=len(given.treated.points),
        n_controls=0 if given.controls is None else len(given.controls.points),
        n_features=given.treated.points.shape[1],
        rules=verdict,
        n_permutations=max((len(null) - 1 for null in audit.nulls.values()), default=0),
        maps=_maps(audit),
        nulls=_nulls(findings),
        plates=_plates(audit),
    )


def _maps(audit: Audit) -> list[tuple[str, str]]:
    """The first two principal components, a title and a picture for each nuisance."""
    plane, rows = audit.plane, np.random.default_rng(audit.seed).permutation(len(audit.plane))[:SHOWN]
    pictures = []
    for name, code in audit.given.treated.nuisances.items():
        title = f"Map by {name}, n = {len(rows):,} of {len(plane):,} treated rows"
        pictures.append(
            (title, scatter(plane[rows], code[rows], list(map(str, audit.given.treated.names[name])), title))
        )
    return pictures


def _nulls(findings: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """What permuted labels give, a title and a picture for each nuisance and kind of rows."""
    together: dict[tuple[str, str, int], list[tuple[str, float, float, float, float]]] = {}
    for row in findings:
        if np.isfinite(row["low"]):
            numbers = (row["check"], row["observed"], row["expected"], row["low"], row["high"])
            together.setdefault((row["nuisance"], row["rows"], row["n"]), []).append(numbers)
    titles = {key: "{}, {}, n = {:,}".format(*key) for key in together}
    return [(titles[key], intervals(rows, titles[key])) for key, rows in together.items()]


def _plates(audit: Audit) -> list[tuple[str, str]]:
    """The first principal component by well, over all treated rows and in each of a few values of the first nuisance."""
    if audit.given.plate_map is None:
        return []
    position, first = audit.given.plate_map[~audit.given.is_control], audit.plane[:, 0]
    name = audit.given.designed[0]
    code, names = audit.given.treated.nuisances[name], audit.given.treated.names[name]
    parts = {"all values": np.ones(len(code), dtype=bool)} | {str(names[v]): code == v for v in range(len(names))}
    pictures = []
    for value, here in list(parts.items())[: 1 + PLATES]:
        title = f"First principal component by well, {name}: {value}, n = {int(here.sum()):,}"
        pictures.append((title, heat_map(position[here], first[here], title)))
    return pictures


def _number(value: float) -> str:
    """Three digits, or nothing where it does not apply."""
    return "" if value is None or not np.isfinite(value) else f"{value:.3g}"
