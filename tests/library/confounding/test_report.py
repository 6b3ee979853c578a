"""The report: one page that needs nothing else, with every finding, readable by machine and by ear."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from infocore_mini import audit
from infocore_mini.confounding import Audit
from infocore_mini.confounding.advice import next_step
from infocore_mini.confounding.pictures import PALETTE, heat_map, intervals, scatter
from infocore_mini.confounding.verdict import ORDER


@pytest.fixture(scope="module")
def found() -> Audit:
    rng, n = np.random.default_rng(0), 240
    plate = np.array([f"plate <{i}>" for i in range(10)])[np.arange(n) % 10]
    points = rng.normal(size=(n, 6)) + (np.arange(n) % 10 == 0)[:, None]
    control = np.arange(n) % 5 == 1
    wells = [f"{'ABCD'[i % 4]}{i // 4 % 6 + 1:02d}" for i in range(n)]
    return audit(points, {"plate": plate}, controls=control, position=wells)


class Outline(HTMLParser):
    """Tags with their attributes, and whether each is closed in its turn."""

    VOID = {"meta", "link", "rect", "circle", "polygon", "line"}

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def test_the_page_is_well_formed_and_asks_for_nothing(found, tmp_path: Path):
    text = found.report(tmp_path / "audit.html").read_text(encoding="utf-8")
    outline = Outline(text)
    assert outline.open == [] and outline.of("html") == [{"lang": "en"}]
    for _, attributes in outline.tags:
        assert not {"src", "srcset", "action"} & set(attributes)
        assert attributes.get("href", "#")[0] == "#" or attributes["href"] == "data:,"
    assert not re.search(r"https?://|@import|url\(|<script", text)
    assert len(text) < 600_000
    identifiers = [attributes["id"] for _, attributes in outline.tags if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))
    assert {attributes["href"][1:] for attributes in outline.of("a")} <= set(identifiers)


def test_the_page_can_be_read_by_ear_and_by_keyboard(found, tmp_path: Path):
    outline = Outline(found.report(tmp_path / "audit.html").read_text(encoding="utf-8"))
    headings = [tag for tag, _ in outline.tags if tag in ("h1", "h2", "h3")]
    assert headings[0] == "h1" and headings.count("h1") == 1 and "h3" not in headings
    assert {attributes["scope"] for attributes in outline.of("th")} == {"col", "row"} and len(
        outline.of("caption")
    ) == 1
    for picture in outline.of("svg"):
        assert picture["role"] == "img" and all("id" in one for one in outline.of("title")[1:])
    assert len(outline.of("desc")) == len(outline.of("svg")) >= 5
    [wide] = [attributes for attributes in outline.of("div") if attributes.get("class") == "wide"]
    assert wide["tabindex"] == "0" and wide["role"] == "region" and wide["aria-label"]


def test_the_page_says_the_verdict_first_and_every_finding_with_its_n(found, tmp_path: Path):
    text = found.report(tmp_path / "audit.html").read_text(encoding="utf-8")
    assert found.verdict == "confounded"
    assert text.index("<strong>Confounded.</strong>") < text.index("What to do next") < text.index("<table>")
    rows = re.findall(r"<tr><th scope=\"row\">(.*?)</tr>", text)
    assert len(rows) == len(found.table)
    for row in found.table.to_dict("records"):
        cells = [row["nuisance"], row["rows"], row["verdict"]]
        expected = f"{row['check']}</th>" + "".join(f"<td>{cell}</td>" for cell in cells)
        [line] = [line for line in rows if line.startswith(expected)]
        assert f'<td class="number">{row["n"]:,}</td>' in line
    called = [re.findall(r"<td>(.*?)</td>", line)[2] for line in rows]
    assert [ORDER.index(one) for one in called] == sorted(ORDER.index(one) for one in called)
    assert "plate &lt;0&gt;" in text and "plate <0>" not in text


def test_every_finding_that_is_not_clean_has_a_next_step():
    named = {"confounded": ("treated", "controls", "label"), "over-corrected": ("treated", "controls", "replicates")}
    named |= {"cannot tell": ("treated", "controls", "design", "label", "replicates"), "clean": ()}
    for verdict in ORDER:
        for rows in ("treated", "controls", "design", "label", "replicates"):
            step = next_step(verdict, rows)
            assert bool(step) == (rows in named[verdict])


def luminance(colour: str) -> float:
    channels = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def test_marks_that_share_a_shape_or_lie_side_by_side_can_be_told_from_white():
    """Contrast with the white page of at least 2, and eight pairs of colour and shape, each once."""
    assert all(1.05 / (luminance(colour) + 0.05) > 2 for colour in PALETTE)
    picture = scatter(np.random.default_rng(0).normal(size=(90, 2)), np.arange(90) % 9, list("abcdefghi"), "map")
    assert len(set(re.findall(r'fill="(#\w+)"', picture))) == 9 and "1 more values" in picture


def test_pictures_hold_what_they_say():
    text = intervals([("probe", 0.5, 0.2, 0.1, 0.3), ("drift", 1.0, 1.0, 0.5, 1.5)], "observed")
    assert "probe: observed 0.5, expected 0.2, 95 % of permutations 0.1 to 0.3" in text
    outside, inside = re.findall(r'<rect x="(\d+\.\d)" y="\d+\.\d"|<circle cx="(\d+\.\d)"', text)
    assert float(outside[0]) == pytest.approx(200 + 34 * 3 - 6) and float(inside[1]) == 200
    wells = np.array([[row, column] for row in range(2) for column in range(3)])
    text = heat_map(wells, np.array([0, 0, 0, 0, 0, 6.0]), "plate")
    assert "6 rows in 6 wells of 2 rows and 3 columns; furthest from the mean: row 2, column 3." in text
    cells = re.findall(r'fill="(#\w+)"', text)
    assert len(cells) == 6 and cells[-1] == "#d55e00" and len(set(cells[:5])) == 1
