"""No result is typed: a comparison with a number in a chapter's prose is computed, or stands in `numbers.toml` with the reason.

`numbers.toml` names, for each notebook, every such sentence and why it may be typed.
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from pathlib import Path

import jupytext
import pytest
from conftest import NOTEBOOKS, ROOT

REASONS = {
    "paper": "a number that the paper, or another source, prints",
    "setting": "how something is set up, or the size of what is used",
    "mathematics": "follows from a definition, or is proved beside it",
    "tested": "a result that a test reads off the stored study, or off a run",
}
_NUMBERS = "one two three four five six seven eight nine ten eleven twelve".split()
QUANTITY = re.compile(
    r"\d|\b(half|halves|thirds?|quarters?|fifths?|tenths?|hundredths?|hundreds|thousands|twice|doubles?d?|double)\b"
    rf"|\b({'|'.join(_NUMBERS)}) (of|to|out of) (the )?({'|'.join(_NUMBERS)}|\d+)\b|\b({'|'.join(_NUMBERS)}) points\b",
    re.IGNORECASE,
)
COMPARISON = re.compile(
    r"\b(above|below|higher|lower|more|less|fewer|gains?|gained|percent|points?|better|worse|times|beats?|leads?|ahead"
    r"|behind|level|than|largest|smallest|highest|lowest|faster|slower|improves?|falls?|rises?|doubles?|loses?|reach(es)?"
    r"|costs?|keeps?|outside|inside|within|beyond|nearly|about)\b|%",
    re.IGNORECASE,
)
GENERATED = re.compile(
    r"Markdown\(\s*.*\b(report|sentences|ablation|chapter|benchmarks|connectivity_map|readings|negatives|tables|protocol_report|across|placement)\.\w+\(|in verdicts"
)


def sentences(path: Path) -> list[str]:
    """The lines of prose of a notebook's Markdown cells: no code, no formulas, no headings of figures, no links' targets."""
    found = []
    for cell in jupytext.read(path.with_suffix(".py")).cells:
        if cell.cell_type == "markdown":
            text = re.sub(r"```.*?```|\$\$.*?\$\$", "", cell.source, flags=re.DOTALL)
            found += [line.strip() for line in text.splitlines() if line.strip()]
    return found


def bare(sentence: str) -> str:
    """Without inline code, formulas, roles, targets of links, numbered names and "95 %", whose digits are no statements."""
    text = re.sub(r"\{[^}]*\}`[^`]*`|`[^`]*`|\$[^$]*\$|\]\([^)]*\)|\b95 %|[A-Za-z]\w*\d\w*", " ", sentence)
    return re.sub(
        r"(?i)\b(propositions?|equations?|chapters?|tables?|figures?|top)[ -]\d+((,| and| or) \d+)*|^\d+\. ", " ", text
    )


def typed_comparisons(path: Path) -> list[str]:
    return [s for s in sentences(path) if QUANTITY.search(bare(s)) and COMPARISON.search(bare(s))]


def allowed() -> dict[str, dict[str, list[str]]]:
    """Notebook -> reason -> sentences."""
    return tomllib.loads((ROOT / "tests" / "book" / "numbers.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_typed_comparison_is_allowed_for_a_reason(path: Path):
    listed = Counter(s for group in allowed().get(path.stem, {}).values() for s in group)
    found = Counter(typed_comparisons(path))
    new = list((found - listed).elements())
    gone = list((listed - found).elements())
    assert not new, f"typed comparisons: compute them, or give the reason in numbers.toml: {new}"
    assert not gone, f"no longer in the notebook: take them out of numbers.toml: {gone}"


def test_every_reason_is_one_of_ours():
    for notebook, groups in allowed().items():
        assert set(groups) <= set(REASONS), notebook


@pytest.mark.parametrize(
    "line",
    [
        "InfoCORE finds 12 % more than CLIP.",
        "CCL loses half of the whole library.",
        "It is better on four of six sets.",
        "Subtracting the mean *doubles* the trouble.",
    ],
)
def test_a_typed_result_is_seen(line: str, tmp_path: Path):
    path = tmp_path / "11_new.py"
    path.write_text(f"# %% [markdown]\n# A heading.\n# {line}\n# With `alpha=0.9` and $x > 2$ all is well.\n")
    assert typed_comparisons(path) == [line]


def generated(path: Path) -> int:
    """How many cells write sentences from numbers, notices and provenance apart."""
    cells = jupytext.read(path.with_suffix(".py")).cells
    return sum(bool(GENERATED.search(cell.source)) for cell in cells if cell.cell_type == "code")


@pytest.mark.parametrize(
    ("notebook", "least"),
    [
        ("00_start_here", 1),
        ("01_derivation", 5),
        ("02_simulation", 12),
        ("04_gene_expression", 3),
        ("05_cell_painting", 1),
        ("06_retrieval", 7),
        ("07_property_prediction", 14),
        ("08_fairness", 6),
        ("09_ablations", 6),
        ("11_your_own_screen", 5),
        ("12_new_plates", 6),
    ],
)
def test_results_are_written_by_the_numbers(notebook: str, least: int):
    [path] = [path for path in NOTEBOOKS if path.stem == notebook]
    assert generated(path) >= least
