"""The built pages in headless Chromium, with every address outside this machine cut off."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from accessible import grave_violations
from address import published_at
from axe_playwright_python.sync_playwright import Axe
from conftest import ROOT, toc_pages
from playwright.sync_api import Browser, Page, sync_playwright

pytestmark = pytest.mark.xdist_group("book")

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PAGES = [f"{page}.html" for page in toc_pages(ROOT)]
BASE = urlsplit(published_at(yaml.safe_load((ROOT / "_config.yml").read_text())["repository"]["url"])).path
# What a reader at a desk cannot see without scrolling: displayed formulas wider than the column that they stand in.
CUT = """() => [...document.querySelectorAll('article div.math, article mjx-container[display="true"]')]
    .filter(formula => formula.scrollWidth > formula.clientWidth + 1)
    .map(formula => formula.textContent.slice(0, 60))"""

# Bytes of all that a first visit loads, not compressed.
WEIGHT = """() => ["navigation", "resource"].flatMap(kind => performance.getEntriesByType(kind))
    .reduce((sum, loaded) => sum + loaded.decodedBodySize, 0)"""
HEAVIEST = 1_500_000


def find_chromium() -> str | None:
    return next((path for path in map(shutil.which, NAMES) if path), None)


def install_chromium() -> None:
    """From the system's packages, where we may; a failure shows itself in `find_chromium`."""
    if os.geteuid() == 0 and shutil.which("apt-get"):
        quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        for command in (["update", "-qq"], ["install", "-y", "-qq", "chromium"]):
            subprocess.run(["apt-get", *command], env=quiet, capture_output=True, stdin=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not find_chromium():
        install_chromium()
    chromium = find_chromium()
    if not chromium:
        reason = "no Chromium: install the system's package (Debian: apt-get install chromium)"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser
        browser.close()


class _LikeGitHub(SimpleHTTPRequestHandler):
    """Serves the book below the repository's name, and its page 404 at every address that leads nowhere."""

    def translate_path(self, path: str) -> str:
        return super().translate_path(path.removeprefix(BASE) if path.startswith(BASE) else "/outside")

    def send_error(self, code: int, *_args) -> None:
        page = (Path(self.directory) / "404.html").read_bytes()
        self.send_response(code)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, *_args) -> None:
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_LikeGitHub, directory=folder))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}{BASE.rstrip('/')}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def site(book_html: Path) -> Iterator[str]:
    with served(book_html) as address:
        yield address


@pytest.fixture(scope="module")
def executed_site(executed_html: Path) -> Iterator[str]:
    with served(executed_html) as address:
        yield address


@pytest.fixture(scope="module")
def broken_site(broken_book) -> Iterator[str]:
    with served(broken_book.html) as address:
        yield address


@dataclass
class Visit:
    page: Page
    site: str
    faults: list[str] = field(default_factory=list)

    def open(self, path: str) -> Page:
        self.page.goto(f"{self.site}/{path}", wait_until="networkidle")
        return self.page

    def look(self, path: str) -> list[str]:
        """What is wrong with a page, at a desk and on a telephone."""
        page, faults = self.page, self.faults
        page.set_viewport_size({"width": 1300, "height": 900})
        self.open(path)
        written = page.locator("article .math").count()
        if written:
            page.wait_for_function("() => window.MathJax?.startup?.promise", timeout=60_000)
            page.evaluate("() => MathJax.startup.promise")
        if (set_ := page.locator("article mjx-container").count()) < written:
            faults.append(f"{written - set_} formulas are not set")
        faults += [f"MathJax: {text}" for text in page.locator("article mjx-merror").all_text_contents()]
        faults += [f"cut at 1,300 pixels: {text}" for text in page.evaluate(CUT)]
        page.evaluate("() => document.fonts.ready.then(() => null)")  # those of formulas come last
        if (weight := page.evaluate(WEIGHT)) > HEAVIEST:
            faults.append(f"weighs {weight:,} bytes")
        page.set_viewport_size({"width": 390, "height": 844})
        page.wait_for_timeout(200)  # the page is laid out again
        width = page.evaluate("Math.max(document.documentElement.scrollWidth, document.body.scrollWidth)")
        return faults + [f"{width} pixels wide on a telephone"] * (width > 390)


@pytest.fixture
def visit(browser: Browser, site: str) -> Iterator[Visit]:
    """A fresh page that notes console errors, failed local requests and attempts to leave this machine."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    visit = Visit(context.new_page(), site)

    def local(url: str) -> bool:
        return urlsplit(url).hostname == "127.0.0.1" or url.startswith(("data:", "blob:"))

    def gate(route):
        if local(route.request.url):
            route.continue_()
        else:
            visit.faults.append(f"asked the network for {route.request.url}")
            route.abort()

    context.route("**/*", gate)
    page = visit.page
    page.on("console", lambda said: visit.faults.append(f"console: {said.text}") if said.type == "error" else None)
    page.on("pageerror", lambda error: visit.faults.append(f"page error: {error}"))
    page.on("response", lambda got: visit.faults.append(f"{got.status} {got.url}") if got.status >= 400 else None)
    page.on(
        "requestfailed",
        lambda asked: visit.faults.append(f"failed: {asked.url}") if local(asked.url) else None,
    )
    yield visit
    context.close()


@pytest.mark.parametrize("path", PAGES)
def test_page_is_in_order(visit: Visit, path: str):
    assert visit.look(path) == []


@pytest.mark.parametrize("path", PAGES)
def test_executed_page_is_in_order(visit: Visit, executed_site: str, path: str):
    """A live widget, for one, is in no stored page."""
    visit.site = executed_site
    assert visit.look(path) == []


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("04_gene_expression", "asked the network for https://cdn.example/planted.js"),
        ("04_gene_expression", "404"),
        ("05_cell_painting", "console: planted"),
        ("05_cell_painting", "asked the network for https://api.example/planted"),
        ("06_retrieval", "1 formulas are not set"),
        ("07_property_prediction", "pixels wide on a telephone"),
        ("08_fairness", "cut at 1,300 pixels"),
    ],
)
def test_a_planted_fault_is_seen(visit: Visit, broken_site: str, name: str, said: str):
    visit.site = broken_site
    faults = visit.look(f"notebooks/{name}.html")
    assert [fault for fault in faults if fault.startswith(said) or said in fault], faults


@pytest.mark.parametrize("path", [*PAGES, "search.html"])
def test_axe_finds_nothing_grave_on_a_page(visit: Visit, path: str):
    """In light, in dark, and on a telephone; all that can be unfolded is."""
    assert grave_violations(visit.open(path)) == []


@pytest.mark.parametrize("path", [path for path in PAGES if path.startswith("notebooks/")])
def test_axe_finds_nothing_grave_on_an_executed_chapter(visit: Visit, executed_site: str, path: str):
    """The other pages of the two builds are the same."""
    visit.site = executed_site
    assert grave_violations(visit.open(path)) == []


def test_axe_finds_what_was_planted(visit: Visit, broken_site: str):
    visit.site = broken_site
    faults = grave_violations(visit.open("notebooks/10_performance.html"))
    planted = [
        ("at a desk: button-name", "planted-button"),
        ("light: color-contrast", "planted-pale"),
        ("dark: color-contrast", "planted-deep"),
        ("on a telephone: scrollable-region-focusable", "planted-scroller"),
    ]
    for rule, element in planted:
        assert [fault for fault in faults if rule in fault and element in fault], faults
    assert not [fault for fault in faults if "light: color-contrast" in fault and "planted-deep" in fault]


@pytest.mark.parametrize("missing", ["no_such_page.html", "notebooks/deep/er/no_such_page"])
def test_an_address_that_leads_nowhere_shows_the_page_404(visit: Visit, missing: str):
    """Its styles, icons and links start from the book's root, wherever it is shown."""
    page = visit.open(missing)
    assert [fault for fault in visit.faults if missing not in fault and "404 (" not in fault] == []
    assert len(visit.faults) == 2  # the address itself, in the network and on the console
    assert page.locator("article h1").inner_text() == "There is no page here"
    assert page.evaluate("getComputedStyle(document.querySelector('#pst-primary-sidebar')).display") == "flex"
    assert grave_violations(page) == []
    visit.faults.clear()
    page.set_viewport_size({"width": 1300, "height": 900})
    page.locator("article a", has_text="front page").click()
    page.wait_for_url("**/book/intro.html", wait_until="networkidle")  # where index.html leads
    assert page.locator("article h1").inner_text().startswith("InfoCORE-mini")
    assert visit.faults == []


def test_an_abbreviation_explains_itself(visit: Visit):
    """By mouse and by keyboard at once; on a touch screen its link leads to the glossary."""
    page = visit.open("notebooks/04_gene_expression.html")
    term = page.locator("article a.explained", has_text="CLIP").first
    term.focus()
    page.wait_for_selector(".tooltip.show", timeout=10_000)
    shown = page.locator(".tooltip").inner_text()
    assert shown.startswith("Contrastive language-image pretraining")
    page.keyboard.press("Enter")
    page.wait_for_url("**/book/glossary.html#term-CLIP")
    assert shown in " ".join(page.locator("dt#term-CLIP + dd").inner_text().split())
    assert visit.faults == []


def test_icons_are_drawn_without_their_script(visit: Visit):
    """From the font: see lighten.py."""
    page = visit.open("book/intro.html")
    assert page.locator("i[class*=fa-]").count() >= 5
    drawn = page.evaluate("""() => [...document.querySelectorAll('i[class*=fa-]')]
        .map(icon => getComputedStyle(icon, "::before")).map(style => [style.content, style.fontFamily])""")
    assert all(content not in ("none", "normal") and "Font Awesome" in font for content, font in drawn), drawn
    assert page.evaluate("document.fonts.check('900 16px \"Font Awesome 6 Free\"')")


def test_search_finds_the_method(visit: Visit):
    page = visit.open("search.html?q=InfoCORE")
    page.wait_for_selector("ul.search li a", timeout=60_000)
    assert page.locator("ul.search li a").count() >= 3
    assert visit.faults == []


def test_there_is_one_search_box(visit: Visit):
    """The theme can show two (one in the side bar, one above the article)."""
    page = visit.open("book/intro.html")
    assert page.locator("button.search-button:visible, button.search-button-field:visible").count() == 1


def test_dark_mode_toggles(visit: Visit):
    page = visit.open("book/intro.html")
    colours = {}
    for _ in range(3):  # the button walks through light, dark and automatic
        theme = page.evaluate("document.documentElement.dataset.theme")
        colours[theme] = page.evaluate("getComputedStyle(document.body).backgroundColor")
        page.locator("button.theme-switch-button:visible").first.click()
    assert set(colours) == {"light", "dark"}
    assert colours["light"] != colours["dark"]


@pytest.fixture
def report(tmp_path: Path) -> str:
    """The page of an audit with controls, positions, a label and what was before: all kinds of pictures and rows."""
    import numpy as np

    from infocore_mini import audit

    rng, n = np.random.default_rng(0), 240
    plate, well = np.arange(n) % 4, [f"{'ABCD'[i % 4]}{i // 4 % 6 + 1:02d}" for i in range(n)]
    points = rng.normal(size=(n, 5)) + plate[:, None]
    told = {"controls": np.arange(n) % 5 == 1, "position": well, "cell_count": rng.integers(50, 900, n)}
    told |= {"label": np.arange(n) // 8 % 3, "molecule": np.arange(n) // 8, "before": points + rng.normal(size=(n, 5))}
    return audit(points, {"plate": plate}, **told).report(tmp_path / "audit.html").read_text(encoding="utf-8")


def test_the_report_of_an_audit_fits_a_narrow_screen_and_asks_for_nothing(visit: Visit, report: str):
    page = visit.page
    page.set_content(report, wait_until="networkidle")
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert visit.faults == []
    table, picture = page.locator(".wide"), page.locator("figure svg").first
    table.focus()
    assert table.evaluate("element => element === document.activeElement && element.scrollWidth > element.clientWidth")
    assert 200 < picture.bounding_box()["width"] <= 390
    assert len(page.screenshot(full_page=True)) > 20_000  # something was drawn


def violations(page: Page) -> list[str]:
    """Rules of accessibility that axe finds broken on a page."""
    return [rule["id"] for rule in Axe().run(page).response["violations"]]


@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_nothing_in_the_report_of_an_audit(visit: Visit, report: str, width: int):
    page = visit.page
    page.context.set_offline(True)
    page.set_viewport_size({"width": width, "height": 844})
    page.set_content(report)
    assert violations(page) == [] and visit.faults == []
    page.set_content(report.replace('<html lang="en">', "<html>").replace('role="img"', 'role="picture"'))
    assert {"html-has-lang", "aria-roles"} <= set(violations(page))
