"""The reproduction board: every mean that the paper's Tables 2 to 9 print, beside ours, from stored results.

Nothing is typed: the paper's numbers come from ``data/paper_tables.json``, ours from ``data/results/``. A cell that we
have no number for is blank, and its section says why.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from textwrap import fill
from typing import NamedTuple

import pandas as pd

from infocore_mini.evaluate.seeds import half_width
from infocore_mini.experiments.fairness import report as fairness_report
from infocore_mini.experiments.fairness.intervals import MEASURES, drawn, means
from infocore_mini.experiments.names import DATASET_NAMES, METHOD_NAMES, STUDY_NAMES, Arm
from infocore_mini.experiments.pretraining import report as pretraining_report
from infocore_mini.experiments.pretraining.report import FRAMEWORKS, Tables
from infocore_mini.experiments.property import report as property_report
from infocore_mini.experiments.property.run import BASELINE, BY_SIMCLR
from infocore_mini.experiments.results import paper_table, stored
from infocore_mini.experiments.simulation import report as simulation_report

PAPER = "paper"
RANDOM = "random order"
_KNOWN = 0.5  # chance above which an accuracy says nothing: such cells are blank


class Line(NamedTuple):
    """A row: what the paper calls it, whose numbers they are, and the text of each column that has one."""

    row: str
    source: str
    cells: Mapping[str, str]


class Section(NamedTuple):
    """A table of the paper, or the part of it that is about one screen.

    Attributes:
        title: such as "Table 2, gene expression".
        chapter: file of the chapter, such as "04_gene_expression".
        columns: of the paper's table, in its order.
        lines: the paper's rows in its order, each followed by ours.
        runs: stored files of ours.
        note: what is blank and why, and what does not compare.
    """

    title: str
    chapter: str
    columns: Sequence[str]
    lines: Sequence[Line]
    runs: Sequence[str]
    note: str = ""


def sections() -> list[Section]:
    """The board, in the paper's order. Raises FileNotFoundError if a stored result is missing."""
    return [
        _table_2("gene_expression", "04_gene_expression"),
        _table_2("cell_painting", "05_cell_painting"),
        _properties("3", "MoCo"),
        _fairness("4", ("accuracy", "equalized_odds", "equal_opportunity")),
        _table_5(),
        _table_6(),
        _table_7("gene_expression", "gene_expression", "simclr"),
        _table_7("cell_painting", "comas", "comas_simclr"),
        _properties("8", "SimCLR"),
        _fairness("9", ("demographic_parity",)),
    ]


def page() -> str:
    """The board as Markdown: a heading, a sentence and a table for each section."""
    return "\n".join(_markdown(section) for section in sections())


def hardware() -> str:
    """Where and when the stored results were made, a paragraph of plain text a study."""
    names = dict.fromkeys(name for section in sections() for name in section.runs)
    return "\n".join(fill(f"{name}: {stored(name).made}", width=100, subsequent_indent="  ") for name in names)


def _markdown(section: Section) -> str:
    chapter = f"{{doc}}`chapter {int(section.chapter[:2])} </notebooks/{section.chapter}>`"
    runs = ", ".join(f"`{name}`" for name in section.runs)
    rows, before = [], ""
    for line in section.lines:
        cells = (line.cells.get(column, "") for column in section.columns)
        rows.append(" | ".join(["" if line.row == before else line.row, line.source, *cells]))
        before = line.row
    header = [
        " | ".join(["row of the paper", "numbers", *section.columns]),
        " | ".join(["---", "---", *["---:"] * len(section.columns)]),
    ]
    note = f" {section.note}" if section.note else ""
    lines = "\n".join(f"| {row} |" for row in [*header, *rows])
    table = f":::{{container}} board\n{lines}\n:::"
    anchor = section.title.lower().replace(", ", "-").replace(" ", "-")
    return f"(board-{anchor})=\n### {section.title}\n\nIn {chapter}; runs: {runs}.{note}\n\n{table}\n"


# ------------------------------------------------------------------ retrieval: Tables 2, 5 and 7

_LIBRARIES = [(library, top) for library in ("whole", "batch") for top in (1, 5, 10)]
_COLUMNS = {key: f"{key[0]} {key[1]}" for key in _LIBRARIES}
_RATIO = "Columns are libraries and tops. Levels do not compare, ratios do: besides its means (with s.d. where it prints one) the paper's accuracies are given with {}'s as 100, and so are ours."


class _Screen(NamedTuple):
    """What ours were computed on, and the arms; a simulated screen shows ratios alone, since its level was chosen."""

    data: str
    arms: Tables
    simulated: bool

    @property
    def label(self) -> str:
        n = len(next(iter(self.arms.values())))
        return (
            f"{self.data} ({'simulated' if self.simulated else 'real'}, {n} {'seeds' if self.simulated else 'splits'})"
        )


def connectivity_map() -> _Screen:
    """Readouts as published, vehicles subtracted as in the paper."""
    study = stored("connectivity_map")
    rows = [row | {"arm": row["method"]} for row in study.results["chosen"] if row["input"] == "raw"]
    return _Screen("Connectivity Map", pretraining_report.tables(rows, study.parameters["overlap"]), False)


def _pretrained(data: str, name: str, *, simulated: bool) -> _Screen:
    return _Screen(data, pretraining_report.stored_tables(name), simulated)


def _table_2(paper: str, chapter: str) -> Section:
    printed = pd.DataFrame(
        {
            row["method"].lower(): {key: row[key[0]][str(key[1])] for key in _LIBRARIES}
            for row in paper_table("table2_retrieval")[paper]
        }
    ).T
    if paper == "gene_expression":
        simulated = _pretrained("L1000", "gene_expression", simulated=True)
        screens, runs = [connectivity_map(), simulated], ("connectivity_map", "gene_expression")
    else:
        simulated = _pretrained("cell painting", "cell_painting", simulated=True)
        screens, runs = [_pretrained("COMAS", "comas", simulated=False), simulated], ("comas", "cell_painting")
    names = {"random": RANDOM} | METHOD_NAMES
    lines = list(_retrieval(printed, None, names, screens, "clip"))
    title = f"Table 2, {paper.replace('_', ' ')}"
    return Section(title, chapter, list(_COLUMNS.values()), lines, runs, _RATIO.format("CLIP") + _blank(screens))


def _blank(screens: Sequence[_Screen]) -> str:
    """Which of our cells are blank, because nearly every molecule of the library is among the first ones."""
    for screen in screens:
        rows = pretraining_report.accuracies(screen.arms)
        known = rows[rows["chance"] > _KNOWN]
        if len(known):
            tops = " and ".join(str(top) for top in sorted(known["top"].unique()))
            return (
                f" Blank at top {tops} in batches of {screen.data}: its libraries there are so small that a random order "
                f"finds the molecule in {100 * known['chance'].min():.0f} % of the cases and more."
            )
    return ""


def _table_5() -> Section:
    printed = pretraining_report.paper_ablation()
    screen = _pretrained("L1000", "ablation", simulated=True)
    lines = list(_retrieval(printed, None, {name: name for name in printed.index}, [screen], "CLIP"))
    columns = list(_COLUMNS.values())
    return Section("Table 5, ablation", "09_ablations", columns, lines, ("ablation",), _RATIO.format("CLIP"))


def _table_7(paper: str, moco: str, simclr: str) -> Section:
    rows = paper_table("table7_retrieval_by_framework")[paper]
    spread = pd.DataFrame(
        {
            f"{row['method']} ({row['framework']})": {key: row[f"{key[0]}_sd"][str(key[1])] for key in _LIBRARIES}
            for row in rows
        }
    ).T
    simulated, data = (True, "L1000") if moco == "gene_expression" else (False, "COMAS")
    screen = _Screen(data, pretraining_report.by_framework(moco, simclr), simulated)
    printed, names = pretraining_report.paper_frameworks(paper), {name: name for name in FRAMEWORKS}
    lines = list(_retrieval(printed, spread, names, [screen], "CLIP (MoCo)"))
    title, columns = f"Table 7, {paper.replace('_', ' ')}", list(_COLUMNS.values())
    return Section(title, "09_ablations", columns, lines, (moco, simclr), _RATIO.format("CLIP (MoCo)"))


def _retrieval(
    printed: pd.DataFrame,
    spread: pd.DataFrame | None,
    names: Mapping[str, str],
    screens: Sequence[_Screen],
    reference: str,
) -> Iterator[Line]:
    """The lines of each arm: as printed, relative to the reference, and ours on each screen.

    Args:
        printed, spread: percent and s.d., index of arms, columns (library, top).
        names: arm -> what the page calls it, in the paper's order.
    """
    for arm, name in ((arm, names[arm]) for arm in printed.index):
        row = printed.loc[arm]
        sd = {key: "" if spread is None else f" ({spread.loc[arm, key]:.2f})" for key in _LIBRARIES}
        yield Line(name, PAPER, {_COLUMNS[key]: f"{row[key]:.2f}{sd[key]}" for key in _LIBRARIES})
        ratio = 100 * row / printed.loc[reference]
        yield Line(
            name, f"{PAPER}, {names[reference]} = 100", {_COLUMNS[key]: f"{ratio[key]:.0f}" for key in _LIBRARIES}
        )
        for screen in screens:
            yield Line(name, screen.label, dict(_ours(screen, arm, reference)))


def _ours(screen: _Screen, arm: str, reference: str) -> Iterator[tuple[str, str]]:
    """Column -> our accuracy with the reference's as 100, half of the 95 % interval, and of a real screen the percent."""
    rows = pretraining_report.accuracies(screen.arms).set_index(["arm", "library", "top"])
    over = None
    if arm not in (reference, "random"):
        over = pretraining_report.against(screen.arms, arm, reference).set_index(["library", "top"])
    for key, column in _COLUMNS.items():
        base = rows.loc[(reference, *key)]
        if base["chance"] > _KNOWN:
            continue
        percent = base["chance"] if arm == "random" else rows.loc[(arm, *key), "accuracy"]
        text = f"{100 * percent / base['accuracy']:.0f}"
        if over is not None:
            change = over.loc[key]
            half = 50 * (change["relative_high"] - change["relative_low"])
            text = f"{100 + 100 * change['relative']:.0f}\u00a0±\u00a0{half:.0f}"
        yield column, text if screen.simulated else f"{text} [{100 * percent:.1f}]"


# ------------------------------------------------------------------ molecular properties: Tables 3 and 8

_PRETRAINED_ON = {"gene_expression": "gene_expression", "comas": "cell_painting"}  # study of ours -> the paper's screen


def _properties(number: str, framework: str) -> Section:
    """Encoders pretrained on the simulated L1000 screen beside the paper's gene expression, on COMAS beside its cell painting."""
    of_paper = {study: screen for screen, study in _PRETRAINED_ON.items()}
    runs = ("property",) if framework == "MoCo" else ("property", "property_simclr")
    table = property_report.scores([cell for name in runs for cell in stored(name).results["cells"]])
    lines: list[Line] = []
    arms: list[str] = []
    for row in paper_table("table3_and_8_property_prediction")["rows"]:
        method, screen = row["method"].lower(), row["pretraining"]
        here = (None, "SimCLR") if number == "3" and method in ("mol2vec", "ccl") else (framework,)
        if row["framework"] not in here or (number == "8" and method == "ccl"):
            continue
        name = row["method"] + (f", {screen.replace('_', ' ')}" if screen else "")
        names = {key: property_report.AVERAGE if key == "Avg" else key for key in row["mean"]}
        spread = {key: f" ({row['sd'][key]:.1f})" if key in row["sd"] else "" for key in names}
        lines.append(Line(name, PAPER, {names[key]: f"{row['mean'][key]:.1f}{spread[key]}" for key in names}))
        arm, data = BASELINE, "not pretrained"
        if screen:
            study = of_paper[screen]
            by_simclr = framework == "SimCLR"
            arm = Arm(method, study=BY_SIMCLR[study] if by_simclr else study).key
            data = STUDY_NAMES[study] + ("" if study == "gene_expression" else " (real)")
        arms.append(arm)
        lines.append(Line(name, data, dict(_scores(table[table["arm"] == arm]))))
    columns = [property_report.AVERAGE if key == "Avg" else key for key in row["mean"]]
    seeds = table[table["arm"].isin(arms)].groupby(["arm", "dataset"])["seed"].nunique()
    note = (
        f"ROC-AUC in percent, of PRISM R2; the data sets are real. Ours are means of {_span(seeds)} seeds with half of the "
        "95 % interval. The screens that encoders are pretrained on differ as well, so that levels compare only roughly."
    )
    note += (
        " CCL and the encoder without pretraining stand in the paper's Table 3."
        if number == "8"
        else " CCL is pretrained by SimCLR in both."
    )
    return Section(f"Table {number}, {framework}", "07_property_prediction", columns, lines, runs, note)


def _span(counts: pd.Series) -> str:
    low, high = int(counts.min()), int(counts.max())
    return f"{low}" if low == high else f"{low} to {high}"


def _scores(rows: pd.DataFrame) -> Iterator[tuple[str, str]]:
    for dataset, part in rows.groupby("dataset"):
        half = half_width(part["score"]) if len(part) > 1 else float("nan")
        yield str(dataset), f"{part['score'].mean():.1f}" + ("" if pd.isna(half) else f" ±\u00a0{half:.1f}")


# ------------------------------------------------------------------ simulation and fairness: Tables 6, 4 and 9


def _table_6() -> Section:
    rows = simulation_report.stored_rows()
    ours = simulation_report.summary(rows[rows.variant == "default"])
    views = {"screen": ("drug_screens", "Z_g"), "drug": ("drug_structure", "Z_d")}
    columns = {
        (view, target): f"${symbol}$, {target}" for view, (_, symbol) in views.items() for target in ("effect", "batch")
    }
    lines = []
    for row in paper_table("table6_simulation_linear_probe_accuracy"):
        method, printed, found = row["method"].lower(), {}, {}
        for (view, target), column in columns.items():
            mean, sd = row[views[view][0]][target]
            printed[column] = f"{mean:.1f} ({sd:.1f})"
            of_ours = ours.loc[view, method]
            found[column] = f"{of_ours[target]:.1f}\u00a0±\u00a0{of_ours[f'{target}_ci95']:.1f}"
            draws = f"{of_ours['draws']:.0f} draws (simulated)"
        lines += [Line(row["method"], f"{PAPER}, 1 draw", printed), Line(row["method"], draws, found)]
    note = "Accuracy of linear probes in percent; the paper's s.d. is over five folds of its one draw."
    return Section("Table 6, simulation", "02_simulation", list(columns.values()), lines, ("simulation",), note)


def _fairness(number: str, measures: Sequence[str]) -> Section:
    """The interval is over test rows and seeds."""
    scores = drawn(arms=tuple(METHOD_NAMES))
    ours, seeds = {measure: means(scores, measure) for measure in MEASURES}, scores.by_seed.index.unique("seed").size
    names = {measure: measure.replace("_", " ") for measure in measures}
    lines = []
    for row in paper_table("table4_and_9_fairness"):
        dataset, arm = fairness_report.PAPER_NAMES.get(row["dataset"], row["dataset"]), row["method"].lower()
        name = f"{row['method']}, {DATASET_NAMES[dataset]}"
        printed = {names[m]: f"{row[m]:.1f} ({row[f'{m}_sd']:.1f})" for m in measures}
        found = {}
        for measure in measures:
            mean, low, high = ours[measure].loc[(dataset, arm)]
            found[names[measure]] = f"{mean:.1f}\u00a0±\u00a0{(high - low) / 2:.1f}"
        lines += [Line(name, PAPER, printed), Line(name, f"real, {seeds} seeds", found)]
    note = "Percent; gaps are the better the smaller. Our intervals resample the test rows as well as the seeds."
    return Section(f"Table {number}, fairness", "08_fairness", list(names.values()), lines, ("fairness",), note)
