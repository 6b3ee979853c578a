"""The reproduction board: every number of the paper that this version reproduces, beside ours, from stored results."""

from __future__ import annotations

from textwrap import fill
from typing import NamedTuple

import pandas as pd

from infocore_mini.evaluate.seeds import half_width, t_interval
from infocore_mini.experiments.fairness import report as fairness_report
from infocore_mini.experiments.fairness.intervals import MEASURES, drawn, means
from infocore_mini.experiments.gene_expression import connectivity_map
from infocore_mini.experiments.names import DATASET_NAMES, METHOD_NAMES, STUDY_NAMES, Arm
from infocore_mini.experiments.pretraining import report as pretraining_report
from infocore_mini.experiments.pretraining.report import FRAMEWORKS, paper_accuracies
from infocore_mini.experiments.property import report as property_report
from infocore_mini.experiments.property.run import BY_SIMCLR
from infocore_mini.experiments.results import stored
from infocore_mini.experiments.simulation import report as simulation_report


def board() -> pd.DataFrame:
    """A row for each number, a column for each method: ours +- half of the 95 % interval, and the paper's in brackets.

    All values are percentages; those of simulated screens are of CLIP's accuracy. Raises FileNotFoundError if a stored result is missing.
    """
    rows = pd.DataFrame([*_retrieval_rows(), *_property_rows(), *_simulation_rows(), *_fairness_rows()])
    keys = ["table", "data", "what", "repeats"]
    wide = rows.pivot(index=keys, columns="method", values="cell")[list(METHOD_NAMES.values())]
    return wide.loc[rows[keys].drop_duplicates().itertuples(index=False, name=None)].reset_index()


def hardware() -> str:
    """Where and when the stored results were made, a paragraph of plain text a study."""
    names = (
        "connectivity_map",
        "gene_expression",
        "simclr",
        "comas",
        "comas_simclr",
        "cell_painting",
        "property",
        "property_simclr",
        "simulation",
        "fairness",
    )
    return "\n".join(fill(f"{name}: {stored(name).made}", width=100, subsequent_indent="  ") for name in names)


def _connectivity_map_rows():
    """Table 2, gene expression, on the real screen: readouts as published, vehicles subtracted as in the paper."""
    study, paper = stored("connectivity_map"), paper_accuracies("gene_expression")
    scores = connectivity_map.scores(study.results["chosen"]).loc["raw"]
    n = len(scores.index.unique("seed"))
    for library, score in (("whole", connectivity_map.WHOLE), ("batch", connectivity_map.BATCH)):
        for method, name in METHOD_NAMES.items():
            found = t_interval(scores.loc[name, score], overlap=study.parameters["overlap"])
            half = found.mean - found.low
            printed = 100 * paper[method, library, 1]
            yield _row(
                "2", f"{library} library, top-1", method, printed, found.mean, half, f"{n} splits", "Connectivity Map"
            )


class _Screen(NamedTuple):
    """A screen of ours beside one of the paper's: studies by MoCo and by SimCLR ("" = none), what repeats, the data."""

    paper: str
    moco: str
    simclr: str
    repeats: str
    data: str
    simulated: bool


_SCREENS = (
    _Screen("gene_expression", "gene_expression", "simclr", "seeds", "simulated gene expression", True),
    _Screen("cell_painting", "comas", "comas_simclr", "splits", "COMAS", False),
    _Screen("cell_painting", "cell_painting", "", "seeds", "simulated cell painting", True),
)


def _retrieval_rows():
    """Tables 2 and 7. The levels of simulated screens were chosen, and are no reproduction: CLIP is 100 there."""
    yield from _connectivity_map_rows()
    for screen in _SCREENS:
        by_arm, paper = pretraining_report.stored_tables(screen.moco), paper_accuracies(screen.paper)
        names = {(method, library, top): method for method, library, top in paper.index if method != "random"}
        printed = {key: 100 * paper[key] for key in names}
        yield from _accuracy_rows("2", "", screen, by_arm, names, printed, reference="clip")
        if screen.simclr:
            table = pretraining_report.paper_frameworks(screen.paper)
            names = {
                (name, library, top): FRAMEWORKS[name].method
                for name in table.index
                for library, top in table.columns
                if FRAMEWORKS[name].note == "SimCLR" or name == _MOCO_CLIP  # by MoCo they are those of Table 2
            }
            printed = {(name, library, top): table.loc[name, (library, top)] for name, library, top in names}
            by_arm = pretraining_report.by_framework(screen.moco, screen.simclr)
            yield from _accuracy_rows("7", "SimCLR, ", screen, by_arm, names, printed, reference=_MOCO_CLIP)


_MOCO_CLIP = "CLIP (MoCo)"


def _accuracy_rows(table, prefix, screen: _Screen, by_arm, names, printed, *, reference: str):
    """A row for each key (arm, library, top) of ``names``; on simulated screens relative to the reference's accuracy."""
    ours = pretraining_report.accuracies(by_arm).set_index(["arm", "library", "top"])
    over = {
        arm: pretraining_report.against(by_arm, arm, reference).set_index(["library", "top"])
        for arm in {arm for arm, _, _ in names} - {reference}
    }
    for (arm, library, top), method in names.items():
        if arm == _MOCO_CLIP:
            continue
        row, paper, what = (
            ours.loc[arm, library, top],
            printed[arm, library, top],
            f"{prefix}{library} library, top-{top}",
        )
        mean, half = 100 * row["accuracy"], 50 * (row["high"] - row["low"])
        repeats = f"{row['n_seeds']:.0f} {screen.repeats}"
        if screen.simulated:
            what += f", {METHOD_NAMES.get(reference, reference)} = 100"
            paper = 100 * paper / printed[reference, library, top]
            if arm == reference:
                yield _row(table, what, method, 100, 100, 0, repeats, screen.data) | {"cell": "100 (100)"}
                continue
            change = over[arm].loc[library, top]
            mean, half = 100 + 100 * change["relative"], 50 * (change["relative_high"] - change["relative_low"])
        yield _row(table, what, method, paper, mean, half, repeats, screen.data)


def _property_rows():
    """Tables 3 and 8: encoders pretrained on the simulated L1000 screen beside the paper's GE, on COMAS beside its CP."""
    report = property_report
    table = report.scores(stored("property").results["cells"] + stored("property_simclr").results["cells"])
    kinds = {"gene_expression": "gene_expression", "comas": "cell_painting"}  # study -> the paper's screen
    for number, framework in (("3", "MoCo"), ("8", "SimCLR")):
        printed = report.paper_means(framework)
        for study, kind in kinds.items():
            for method in METHOD_NAMES:
                # CCL runs by SimCLR in both
                arm = Arm(method, study=BY_SIMCLR[study] if framework == "SimCLR" and method != "ccl" else study)
                for dataset, paper in printed[method, kind].items():
                    rows = table[(table["arm"] == arm.key) & (table["dataset"] == dataset)]["score"]
                    half, seeds = half_width(rows), f"{len(rows)} seeds"
                    what = dataset if number == "3" else f"SimCLR, {dataset}"
                    data = f"pretrained on {STUDY_NAMES[study]}"
                    yield _row(number, what, method, paper, rows.mean(), half, seeds, data)


def _simulation_rows():
    rows = simulation_report.stored_rows()
    ours = simulation_report.summary(rows[rows.variant == "default"])
    views = {"screen": "$Z_g$", "drug": "$Z_d$"}
    for method, printed in simulation_report.paper_accuracies().items():
        for view, values in printed.items():
            row = ours.loc[view, method]
            for target, value in values.items():
                yield _row(
                    "6",
                    f"{views[view]}, {target} accuracy",
                    method,
                    value,
                    row[target],
                    row[f"{target}_ci95"],
                    f"{row['draws']:.0f} draws",
                    "simulated",
                )


def _fairness_rows():
    """Tables 4 and 9; the interval is over test rows and seeds."""
    scores = drawn(arms=tuple(METHOD_NAMES))
    ours, seeds = {measure: means(scores, measure) for measure in MEASURES}, scores.by_seed.index.unique("seed").size
    for (dataset, method), printed in fairness_report.paper_means().iterrows():
        for measure, value in printed.items():
            table, what = "9" if measure == "demographic_parity" else "4", measure.replace("_", " ")
            mean, low, high = ours[measure].loc[(dataset, method)]
            yield _row(table, what, method, value, mean, (high - low) / 2, f"{seeds} seeds", DATASET_NAMES[dataset])


def _row(table, what, method, paper, mean, half, repeats, data) -> dict[str, str]:
    cell = f"{mean:.1f}\u00a0±\u00a0{half:.1f} ({paper:.1f})"
    return {
        "table": table,
        "data": data,
        "what": what,
        "repeats": repeats,
        "method": METHOD_NAMES[method],
        "cell": cell,
    }
