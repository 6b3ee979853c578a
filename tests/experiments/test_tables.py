"""How a table is shown: plain words, sensible decimals, headers that a screen reader can use; the same on every run."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup, Tag
from conftest import NOTEBOOKS, ROOT
from IPython.core.interactiveshell import InteractiveShell

from infocore_mini.experiments import notebook, tables
from infocore_mini.experiments.tables import BEST, NOT_TOLD_APART, captioned, html, words


def parsed(table: pd.DataFrame | pd.Series) -> BeautifulSoup:
    return BeautifulSoup(html(table), "html.parser")


def body(table: pd.DataFrame | pd.Series) -> list[list[str]]:
    """What the rows say, their headers included."""
    rows = parsed(table).tbody.find_all("tr")
    return [[cell.get_text().replace("\xa0", " ") for cell in row.find_all(["th", "td"])] for row in rows]


def heads(table: pd.DataFrame | pd.Series) -> list[list[str]]:
    return [[cell.get_text() for cell in row.find_all(["th", "td"])] for row in parsed(table).thead.find_all("tr")]


def column(*values) -> list[str]:
    return [row[-1] for row in body(pd.DataFrame({"x": list(values)}))]


WIDE = pd.DataFrame(
    np.arange(16.0).reshape(4, 4),
    index=pd.MultiIndex.from_product([["raw", "centred"], ["clip", "infocore"]], names=["input", "arm"]),
    columns=pd.MultiIndex.from_product([["whole", "batch"], [1, 5]], names=["library", "top"]),
)


@pytest.mark.parametrize(
    ("label", "said"),
    [
        ("infocore", "InfoCORE"),
        ("clip", "CLIP"),
        ("ccl_k", "CCL-K"),
        ("infocore, alpha = 0", "InfoCORE, alpha = 0"),
        ("alpha = 0.6 over clip", "alpha = 0.6 over CLIP"),
        ("peak_bytes", "peak bytes"),
        ("clipped_share", "clipped share"),
        ("n_B", "n<sub>B</sub>"),
        ("auc", "AUC"),
        ("$Z_g$ (screen)", "Z<sub>g</sub> (screen)"),
        ("I(Zd; Zg | Xb)", "I(Zd; Zg | Xb)"),
        ("a < b & c", "a &lt; b &amp; c"),
        (1019, "1,019"),
        (0.5, "0.5"),
        (None, ""),
        (True, "True"),
    ],
)
def test_labels_are_plain_words(label, said: str):
    assert words(label) == said


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([1.0, 0.5, 0.67], ["1.00", "0.50", "0.67"]),
        ([82.0, 100.0], ["82", "100"]),
        ([82914, 7], ["82,914", "7"]),
        ([4275.0, 4.2], ["4,275.0", "4.2"]),
        ([2.043302, 0.1], ["2.04", "0.10"]),
        ([0.00123456, 0.0002], ["0.00123", "0.00020"]),
        ([4.2e-13, 1e-14], ["4.20 × 10−13", "1.00 × 10−14"]),
        ([-0.0, -0.25, -1e-12], ["0.00", "−0.25", "0.00"]),
        ([np.nan, 3.0, None], ["", "3", ""]),
        ([float("inf"), -float("inf"), 1.5], ["∞", "−∞", "1.5"]),
        ([True, False, True], ["yes", "no", "yes"]),
        ([np.bool_(False), None, 2.5], ["no", "", "2.5"]),
        ([pd.NA, pd.NaT, "text"], ["", "", "text"]),
        (["6.5 [5.9, 7.1]", "+17 [12, 22]"], ["6.5 [5.9, 7.1]", "+17 [12, 22]"]),
        (["-8 [-18, 2]", "7.1 ± 0.8"], ["−8 [−18, 2]", "7.1 ± 0.8"]),
        (["clip", "infocore, alpha = 0", "no clip here"], ["CLIP", "InfoCORE, alpha = 0", "no clip here"]),
        (["Cells_Area", "date-5"], ["Cells_Area", "date-5"]),
    ],
)
def test_cells(values: list, said: list[str]):
    assert column(*values) == said


@pytest.mark.parametrize(
    ("text", "breaks"), [("CCOC(=O)c1c(CN2CCOCC2)n", True), ("a molecule of many short words", False)]
)
def test_a_long_word_may_break(text: str, breaks: bool):
    assert ('<td class="long">' in html(pd.DataFrame({"x": [text]}))) == breaks


def test_an_interval_breaks_before_its_bracket_alone():
    assert ">−6.5 [−7.9,\xa07.1]<" in html(pd.DataFrame({"x": ["-6.5 [-7.9, 7.1]"]}))
    assert ">7.1\xa0±\xa00.8<" in html(pd.DataFrame({"x": ["7.1 ± 0.8"]}))


@pytest.mark.parametrize(
    ("values", "right"),
    [
        ([1.5, None], True),
        (["6.5 [5.9, 7.1]", "", None], True),
        (["12.2 (8 to 16)", "-3e-05"], True),
        (["512, 512", "2,560"], True),
        (["9 of 10", "higher"], False),
        (["+1 [0, 2], level"], False),
        (["c1ccccc1", "(256, 4)"], False),
        ([True, False], False),
        ([9420, 23.7, False], True),
        ([None, ""], False),
    ],
)
def test_numbers_stand_on_the_right_with_what_heads_them(values: list, right: bool):
    page = parsed(pd.DataFrame({"x": values}))
    for cell in [*page.tbody.find_all("td"), page.thead.th]:
        assert ("number" in cell.get("class", [])) == right


def test_markup_in_the_data_is_text():
    table = captioned(pd.DataFrame({"<b>": ["<script>x</script>", "a & b"]}, index=['"<i>"', "y"]), '<u> & "')
    page = parsed(table)
    assert not page.find_all(["b", "script", "i", "u"])
    assert body(table) == [['"<i>"', "<script>x</script>"], ["y", "a & b"]]
    assert page.caption.get_text() == '<u> & "' == page.div["aria-label"]


def test_levels_of_columns_and_rows_are_said_once():
    assert heads(WIDE) == [["", "", "whole", "batch"], ["input", "arm", "top 1", "top 5", "top 1", "top 5"]]
    assert [row[:2] for row in body(WIDE)] == [
        ["raw", "CLIP"],
        ["InfoCORE", "4"],
        ["centred", "CLIP"],
        ["InfoCORE", "12"],
    ]
    page = parsed(WIDE)
    assert [cell["colspan"] for cell in page.find_all("th", scope="colgroup")] == ["2", "2"]
    assert [cell["rowspan"] for cell in page.find_all("th", scope="rowgroup")] == ["2", "2"]


def test_a_label_that_returns_in_another_group_is_said_again():
    index = pd.MultiIndex.from_tuples([("a", "x", 1), ("b", "x", 1), ("b", "x", 2)])
    assert [row[:-1] for row in body(pd.DataFrame({"n": [1, 2, 3]}, index=index))] == [
        ["a", "x", "1"],
        ["b", "x", "1"],
        ["2"],
    ]


def width(row: Tag) -> int:
    return sum(int(cell.get("colspan", 1)) for cell in row.find_all(["th", "td"]))


@pytest.mark.parametrize("table", [WIDE, WIDE.T, WIDE.reset_index(), WIDE["whole"], WIDE.iloc[:0], WIDE.iloc[:, :0]])
def test_every_row_has_every_column(table: pd.DataFrame):
    page, room = parsed(table), {}
    rows = page.find_all("tr")
    for at, row in enumerate(rows):
        for cell in row.find_all(True, rowspan=True):
            for below in range(at + 1, at + int(cell["rowspan"])):
                room[below] = room.get(below, 0) + 1
    assert len({width(row) + room.get(at, 0) for at, row in enumerate(rows)}) == 1


def test_an_index_of_bare_numbers_is_left_out_and_one_with_a_name_is_not():
    table = pd.DataFrame({"x": [1, 2]}, index=[7, 9])
    assert body(table) == [["1"], ["2"]]
    assert body(table.rename_axis("K")) == [["7", "1"], ["9", "2"]]
    assert heads(table.rename_axis("K")) == [["K", "x"]]


def test_a_series_is_a_table_of_one_column():
    assert heads(pd.Series({"a": 1}, name="n_tasks")) == [["", "n tasks"]]
    assert body(pd.Series({"a": 1.5, "b": np.nan})) == [["a", "1.5"], ["b", ""]]


def test_every_header_says_what_it_heads_and_the_region_can_be_reached():
    page = parsed(captioned(WIDE, "Accuracy (simulated, %)."))
    assert {head["scope"] for head in page.thead.find_all("th")} == {"col", "colgroup"}
    assert {head["scope"] for head in page.tbody.find_all("th")} == {"row", "rowgroup"}
    assert all(head.get_text() for head in page.find_all("th")), "a header without words heads nothing"
    region = page.div
    assert (region["role"], region["tabindex"], region["aria-label"]) == ("region", "0", "Accuracy (simulated, %).")
    assert page.table.find(True).name == "caption"


def test_no_style_and_no_id_is_written_and_every_run_writes_the_same():
    text = html(captioned(WIDE, "Accuracy."))
    assert not re.search(r"\b(style|id|border|align)=", text)
    assert text == html(captioned(WIDE.copy(), "Accuracy."))


def test_bounds_join_their_column_and_are_left_out():
    table = pd.DataFrame(
        {"a": ["x", "y"], "mean": [1.25, -2.0], "low": [1.0, np.nan], "high": [1.5, np.nan], "n": [3, 4]}
    )
    shown = tables.with_intervals(table, {"mean": ("low", "high")}, places=1)
    assert list(shown) == ["a", "mean", "n"]
    assert list(shown["mean"]) == ["1.2 [1.0, 1.5]", "-2.0"]


def test_a_caption_is_of_the_copy_alone():
    assert parsed(captioned(WIDE, "Here.")).caption.get_text() == "Here."
    assert parsed(WIDE).caption is None


def test_every_caption_is_numbered_by_the_style_sheet():
    style = (ROOT / "book" / "assets" / "book.css").read_text(encoding="utf-8")
    assert "table.shown caption > span::before" in style and "counter(shown-table)" in style


def test_ipython_shows_frames_and_series_by_it_and_text_as_pandas_does():
    shell = InteractiveShell.instance()
    try:
        tables.register()
        for table in (WIDE, WIDE.iloc[:, 0]):
            data, _ = shell.display_formatter.format(table)
            assert data["text/html"] == html(table)
            assert data["text/plain"] == repr(table)
    finally:
        InteractiveShell.clear_instance()


def test_outside_of_a_notebook_nothing_is_registered():
    tables.register()
    assert notebook.captioned is captioned


def stored(path) -> list[Tag]:
    """The tables in the outputs of a stored notebook."""
    import nbformat

    outputs = [output for cell in nbformat.read(path, as_version=4).cells for output in cell.get("outputs", [])]
    shown = (output["data"]["text/html"] for output in outputs if "text/html" in output.get("data", {}))
    return [table for text in shown for table in BeautifulSoup(text, "html.parser").find_all("table")]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_stored_table_is_in_plain_words(path):
    """After a change of the look of tables, `make sync` writes them anew."""
    for table in stored(path):
        assert "shown" in table.get("class", []), f"not shown by experiments/tables.py: {table.get_text(' ')[:200]}"
        assert table.caption is not None, f"without a caption: {table.get_text(' ')[:200]}"
        said = [head.get_text() for head in table.find_all("th")]
        assert not [text for text in said if re.search(r"_|\$|\b(ccl|infocore)\b|\bclip(,|$)", text)]
        cells = [cell.get_text() for cell in table.find_all("td")]
        assert not [
            text for text in cells if text in {"NaN", "nan", "None", "True", "False", "clip", "ccl", "infocore"}
        ]


MARKED = pd.DataFrame({"accuracy": [0.5, 0.61, 0.6], "note": ["a", "b", "c"]}, index=["clip", "ccl", "infocore"])
MARKS = pd.DataFrame({"accuracy": ["", BEST, NOT_TOLD_APART]}, index=MARKED.index)


def test_marks_stand_before_the_figures_and_are_said_aloud():
    shown = parsed(captioned(MARKED, "What.", marks=MARKS))
    cells = [row.find_all("td") for row in shown.tbody.find_all("tr")]
    assert [cell[0].get_text() for cell in cells] == ["0.50", "★\xa00.61", "☆\xa00.60"]
    assert [cell[0].span["aria-label"] for cell in cells[1:]] == [BEST, NOT_TOLD_APART]
    assert [cell[0].strong is not None for cell in cells] == [False, True, False], "not by a sign alone"
    assert all(cell[0]["class"] == ["number"] and not cell[1].span for cell in cells)


def test_the_caption_explains_the_marks_that_are_there():
    assert captioned(MARKED, "What.").attrs["caption"] == "What."
    both = captioned(MARKED, "What.", marks=MARKS).attrs["caption"]
    assert both.startswith("What. ★ best, ☆ not told apart from the best (by the 95 % interval")
    alone = captioned(MARKED, "What.", marks=MARKS.replace(NOT_TOLD_APART, "")).attrs["caption"]
    assert alone == "What. ★ best."
    assert captioned(MARKED, "What.", marks=MARKS.replace([BEST, NOT_TOLD_APART], "")).attrs["caption"] == "What."


@pytest.mark.parametrize(
    ("marks", "said"),
    [
        (MARKS.rename(index={"ccl": "CCL"}), "marks: got 'CCL'"),
        (MARKS.rename(columns={"accuracy": "lift"}), "marks: got 'lift'"),
        (MARKS.replace(BEST, "good"), "marks: got 'good'"),
    ],
)
def test_marks_that_fit_no_cell_are_refused(marks: pd.DataFrame, said: str):
    with pytest.raises(ValueError, match=said):
        captioned(MARKED, "What.", marks=marks)
