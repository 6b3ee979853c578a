"""Accessibility of an open page by axe-core: what it calls serious or critical, at a desk in light and in dark and on a telephone."""

from __future__ import annotations

from axe_playwright_python.base import AXE_FILE_PATH
from playwright.sync_api import Page

GRAVE = {"serious", "critical"}
COLOUR = ["color-contrast", "link-in-text-block"]
SCROLLING = ["scrollable-region-focusable"]

# All that a reader can unfold, unfolded; no colour on its way to another one.  What MathJax drew goes: style sheets draw
# its letters, which axe takes for no text, and what a screen reader gets is the MathML beside them.
PREPARE = """() => {
    for (const formula of document.querySelectorAll("mjx-container")) formula.remove();
    for (const folded of document.querySelectorAll("details")) folded.open = true;
    for (const button of document.querySelectorAll(".toggle-hidden .toggle-button")) button.click();
    for (const folded of document.querySelectorAll(".toggle-hidden")) folded.classList.remove("toggle-hidden");
    const still = document.createElement("style");
    still.textContent = "*, ::before, ::after { transition: none !important; animation: none !important; }";
    document.head.append(still);
}"""
STRUCTURE = """colour => axe.run(document, {
    resultTypes: ["violations"], preload: false, rules: Object.fromEntries(colour.map(rule => [rule, {enabled: false}]))})"""
# A page has thousands of words and few ways to print one; axe takes 10 ms a word, so it judges one of each way.
COLOURS = """([theme, colour]) => {
    document.documentElement.dataset.theme = document.documentElement.dataset.mode = theme;
    const ways = new Map(), backgrounds = new Map();
    const background = element => {
        if (!element) return "";
        if (!backgrounds.has(element)) {
            const {backgroundColor, backgroundImage, opacity} = getComputedStyle(element);
            const own = [backgroundColor, backgroundImage, opacity].join();
            backgrounds.set(element, own === "rgba(0, 0, 0, 0),none,1" ? background(element.parentElement)
                : own + background(element.parentElement));
        }
        return backgrounds.get(element);
    };
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
        const element = texts.currentNode.parentElement;
        if (!texts.currentNode.data.trim() || !element.checkVisibility()) continue;
        const {color, fontSize, fontWeight} = getComputedStyle(element);
        const link = element.closest("a"), around = link ? getComputedStyle(link.parentElement).color : "";
        const way = [element.localName, color, fontSize, fontWeight, around, background(element)].join();
        if (!ways.has(way)) ways.set(way, element);
    }
    return axe.run({include: [...ways.values()]}, {resultTypes: ["violations"], preload: false, runOnly: colour});
}"""
ONLY = "rules => axe.run(document, {resultTypes: ['violations'], preload: false, runOnly: rules})"


def _grave(result: dict, where: str) -> list[str]:
    return [
        f"axe, {where}: {rule['id']} at {node['target']}: {node['failureSummary'].splitlines()[-1].strip()}"
        for rule in result["violations"]
        if rule["impact"] in GRAVE
        for node in rule["nodes"]
    ]


def grave_violations(page: Page) -> list[str]:
    """What keeps a reader with a screen reader, a keyboard or weak eyes from the page; it is left on a telephone's screen."""
    if page.locator("article .math").count():
        page.wait_for_function("() => window.MathJax?.startup?.promise", timeout=60_000)
        page.evaluate("() => MathJax.startup.promise")
    page.evaluate(AXE_FILE_PATH.read_text(encoding="utf-8"))
    page.evaluate(PREPARE)
    page.wait_for_timeout(500)  # a third of a second after a change the theme makes what scrolls reachable by keyboard
    faults = _grave(page.evaluate(STRUCTURE, COLOUR), "at a desk")
    for theme in ("light", "dark"):
        faults += _grave(page.evaluate(COLOURS, [theme, COLOUR]), theme)
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_timeout(500)  # as above
    return faults + _grave(page.evaluate(ONLY, SCROLLING), "on a telephone")
