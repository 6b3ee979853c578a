"""The pictures of an audit's report, as SVG that needs no other file; each says in words what it shows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#a6761d", "#333333", "#e69f00")  # Okabe and Ito
OTHER = "#bbbbbb"
MARKS = ("circle", "square", "triangle", "diamond")  # so that colour does not stand alone


def scatter(points: NDArray[np.floating], code: NDArray[np.int64], names: Sequence[str], title: str) -> str:
    """Rows on a plane, (m, 2), coloured by value; beyond the eight most frequent values they are grey."""
    frequent = np.argsort(-np.bincount(code, minlength=len(names)), kind="stable")[: len(PALETTE)]
    place = {int(value): i for i, value in enumerate(frequent)}
    low, high = np.quantile(points, [0.005, 0.995], axis=0)
    shown = 20 + 360 * (np.clip(points, low, high) - low) / np.maximum(high - low, 1e-12)
    marks = [_mark(x, 400 - y, place.get(int(value))) for (x, y), value in zip(shown, code, strict=True)]
    legend = [
        _mark(14, 424 + 18 * i, i) + _text(26, 428 + 18 * i, f"{names[value]} ({int((code == value).sum())} shown)")
        for value, i in place.items()
    ]
    if len(names) > len(place):
        at = 424 + 18 * len(place)
        legend.append(_mark(14, at, None) + _text(26, at + 4, f"{len(names) - len(place)} more values"))
    frame = '<rect x="10" y="10" width="380" height="400" fill="none" stroke="#666"/>'
    description = f"{len(code)} rows on the first two principal components, coloured by {len(names)} values."
    return _svg(400, 440 + 18 * len(legend), title, description, frame + "".join(marks + legend))


def intervals(rows: Sequence[tuple[str, float, float, float, float]], title: str) -> str:
    """Observed statistics beside what permuted labels give.

    Args:
        rows: (name, observed, expected, low, high) each; drawn in half-widths of the interval, clipped at 5.
        title: of the picture.
    """
    parts, middle, unit = [], 200, 34
    for i, (name, observed, expected, low, high) in enumerate(rows):
        y = 30 + 44 * i
        half = max((high - low) / 2, 1e-12)
        x = middle + unit * float(np.clip((observed - expected) / half, -5, 5))
        left, right = (middle + unit * (edge - expected) / half for edge in (low, high))
        outside = not low <= observed <= high
        parts += [
            _text(10, y - 8, f"{name}: {observed:.3g}, permuted {low:.3g} to {high:.3g}"),
            f'<rect x="{left:.1f}" y="{y}" width="{right - left:.1f}" height="12" fill="#cfd8dc"/>',
            f'<line x1="{middle}" x2="{middle}" y1="{y}" y2="{y + 12}" stroke="#546e7a"/>',
            _mark(x, y + 6, 1 if outside else 0, size=6),
        ]
    description = "; ".join(
        f"{name}: observed {observed:.3g}, expected {expected:.3g}, 95 % of permutations {low:.3g} to {high:.3g}"
        for name, observed, expected, low, high in rows
    )
    return _svg(400, 40 + 44 * len(rows), title, description, "".join(parts))


def heat_map(position: NDArray[np.int64], value: NDArray[np.floating], title: str) -> str:
    """Means over the rows of each well, (m, 2) row and column from 0; blue below and orange above the mean of all."""
    n_rows, n_columns = position.max(0) + 1
    well = position[:, 0] * n_columns + position[:, 1]
    size = np.bincount(well, minlength=n_rows * n_columns)
    mean = np.bincount(well, value - value.mean(), n_rows * n_columns) / np.maximum(size, 1)
    scale = max(float(np.quantile(abs(mean[size > 0]), 0.98)), 1e-12)
    side = 380 / n_columns
    cells = [
        f'<rect x="{10 + side * (w % n_columns):.1f}" y="{10 + side * (w // n_columns):.1f}" width="{side:.1f}" '
        f'height="{side:.1f}" fill="{_diverging(mean[w] / scale) if size[w] else "none"}" stroke="#ddd"/>'
        for w in range(n_rows * n_columns)
    ]
    highest = int(np.argmax(np.where(size > 0, abs(mean), -1)))
    description = (
        f"{len(value)} rows in {int((size > 0).sum())} wells of {n_rows} rows and {n_columns} columns; furthest from the "
        f"mean: row {highest // n_columns + 1}, column {highest % n_columns + 1}."
    )
    return _svg(400, 20 + side * n_rows, title, description, "".join(cells))


def _svg(width: float, height: float, title: str, description: str, body: str) -> str:
    name = re.sub(r"\W+", "-", title)  # titles differ, so that a page has no id twice
    return (
        f'<svg viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-labelledby="title-{name} text-{name}">'
        f'<title id="title-{name}">{escape(title)}</title>'
        f'<desc id="text-{name}">{escape(description)}</desc>{body}</svg>'
    )


def _mark(x: float, y: float, number: int | None, size: float = 3.5) -> str:
    colour = OTHER if number is None else PALETTE[number]
    shape = MARKS[0] if number is None else MARKS[number % len(MARKS)]
    if shape == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{size}" fill="{colour}"/>'
    if shape == "square":
        return f'<rect x="{x - size:.1f}" y="{y - size:.1f}" width="{2 * size}" height="{2 * size}" fill="{colour}"/>'
    lower = (x + size, y + size, x - size, y + size) if shape == "triangle" else (x + size, y, x, y + size, x - size, y)
    corners = (x, y - size, *lower)
    return f'<polygon points="{" ".join(f"{corner:.1f}" for corner in corners)}" fill="{colour}"/>'


def _text(x: float, y: float, text: str) -> str:
    return f'<text x="{x}" y="{y}" font-size="13">{escape(text)}</text>'


def _diverging(value: float) -> str:
    """From blue over white to orange, -1 to 1."""
    end = np.array([213, 94, 0] if value > 0 else [0, 114, 178])
    mixed = 255 + min(abs(value), 1) * (end - 255)
    return "#" + "".join(f"{int(channel):02x}" for channel in mixed)
