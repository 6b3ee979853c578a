"""Touchable figures in a browser without script: keyboard and finger reach every frame, and one is seen at a time."""

from __future__ import annotations

from collections.abc import Iterator

import matplotlib
import pytest
from playwright.sync_api import Page, sync_playwright
from test_browser import FLAGS, find_chromium

from infocore_mini.experiments.style import figure, finish
from infocore_mini.experiments.touch import touchable

LABELS = ("0", "0.5", "1")


@pytest.fixture
def page() -> Iterator[Page]:
    chromium = find_chromium()
    if not chromium:
        pytest.skip("no Chromium: install the system's package (Debian: apt-get install chromium)")
    with matplotlib.rc_context({"figure.dpi": 100}):
        drawn = {label: finish(figure(panel=(6, 2))[0]) for label in LABELS}
        html = touchable("dial", "alpha =", drawn, {label: f"the frame of {label}" for label in LABELS})._repr_html_()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, java_script_enabled=False)
        page = context.new_page()
        page.set_content(f'<meta name="viewport" content="width=device-width"><body>{html}</body>')
        yield page
        browser.close()


def seen(page: Page) -> list[str | None]:
    return [picture.get_attribute("alt") for picture in page.locator("img").all() if picture.is_visible()]


def test_keys_and_taps_step_through_the_frames(page: Page):
    assert seen(page) == ["the frame of 0"]
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    assert seen(page) == ["the frame of 0.5"]
    page.get_by_text("1", exact=True).tap()
    assert seen(page) == ["the frame of 1"]
    page.keyboard.press("ArrowRight")
    assert seen(page) == ["the frame of 0"], "from the last to the first"


def test_it_fits_a_telephone_and_fingers(page: Page):
    for element in page.locator("img:visible, label").all():
        box = element.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= 390
        assert min(box["width"], box["height"]) >= 24, "WCAG 2.2, 2.5.8"


def test_paper_gets_the_frame_that_was_chosen_with_its_label(page: Page):
    page.get_by_text("0.5").tap()
    page.emulate_media(media="print")
    assert seen(page) == ["the frame of 0.5"]
    assert [label.text_content() for label in page.locator("label").all() if label.is_visible()] == ["0.5"]


def test_without_its_style_all_frames_are_seen(page: Page):
    page.set_content(page.content().replace("<style>", "<style media='none'>"))
    assert len(seen(page)) == len(LABELS)
