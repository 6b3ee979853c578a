"""Figures that a reader steps through: what they are made of, and what is refused."""

from __future__ import annotations

import io

import pytest
from bs4 import BeautifulSoup
from PIL import Image

from infocore_mini.experiments.style import figure, finish
from infocore_mini.experiments.touch import COLOURS, touchable

ALT = {"0": "nothing at zero", "0.5": "a half", "1": "all of it"}


def figures(**sizes):
    drawn = {}
    for label in ALT:
        fig, ax = figure(panel=sizes.get(f"at_{label}", (2, 1)))
        ax.plot([0, float(label)])
        drawn[label] = finish(fig)
    return drawn


def test_each_frame_has_a_button_with_its_label_and_a_picture_with_words():
    page = BeautifulSoup(touchable("dial", "alpha =", figures(), ALT, first="0.5")._repr_html_(), "html.parser")
    inputs, pictures = page.find_all("input"), page.find_all("img")
    assert page.fieldset.legend.get_text() == "alpha ="
    assert {button["type"] for button in inputs} == {"radio"} and {button["name"] for button in inputs} == {"dial"}
    assert [page.find("label", attrs={"for": button["id"]}).get_text() for button in inputs] == list(ALT)
    assert [picture["alt"] for picture in pictures] == list(ALT.values())
    assert [button.has_attr("checked") for button in inputs] == [False, True, False]
    assert len({picture["src"] for picture in pictures}) == 3 and not page.find("script")


def test_what_a_page_without_html_shows_is_the_first_frame():
    shown = touchable("dial", "alpha =", figures(), ALT, first="1")
    assert shown._repr_png_() == shown.frames[2].picture
    picture = Image.open(io.BytesIO(shown._repr_png_()))
    assert picture.size == (shown.frames[2].width, 100) and len(picture.getcolors()) <= COLOURS
    assert repr(shown) == "alpha =: 0, 0.5, 1"


def test_words_are_escaped():
    html = touchable("dial", "a < b", figures(), ALT | {"0": 'a "quoted" <word>'})._repr_html_()
    assert "a &lt; b" in html and "a &quot;quoted&quot; &lt;word&gt;" in html


@pytest.mark.parametrize(
    ("drawn", "alt", "first", "said"),
    [
        ({}, {}, None, "figures: got 0"),
        ({"0": figures()["0"]}, {"0": "alone"}, None, "figures: got 1"),
        (figures(at_1=(3, 1)), ALT, None, "expected two or more of one size"),
        (figures(), {"0": "nothing", "1": "all"}, None, "alt: got words for"),
        (figures(), ALT | {"1": "a half"}, None, "some of its own for each"),
        (figures(), ALT | {"1": " "}, None, "some of its own for each"),
        (figures(), ALT, "2", "first: got '2'"),
    ],
)
def test_what_is_refused(drawn, alt, first, said):
    with pytest.raises(ValueError, match=said):
        touchable("dial", "alpha =", drawn, alt, first=first)
