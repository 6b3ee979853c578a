"""The stored grids of property prediction as tables: Tables 3 and 8, paired differences, a verdict for each set."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

from infocore_mini.experiments.names import METHOD_NAMES
from infocore_mini.experiments.pretraining.run import METHODS
from infocore_mini.experiments.property.run import BASELINE, CONTROLS, SCREENS
from infocore_mini.experiments.results import paper_table
from infocore_mini.sources import data_file

CLASSIFICATION = ("BBBP", "BACE", "ClinTox", "Tox21", "ToxCast", "SIDER", "HIV")
AVERAGE = "average"
SCREEN_NAMES = {
    "gene_expression": "simulated L1000",
    "l1000_plates": "three L1000 plates",
    "comas": "COMAS cell painting",
    "toxcast": "ToxCast",
    "simulated": "simulated screen",
    "simclr": "simulated L1000, SimCLR",
    "comas_simclr": "COMAS cell painting, SimCLR",
}


def scores(cells: Sequence[dict]) -> pd.DataFrame:
    """Test scores in percent, long: dataset, column, seed, score; with the average over the seven sets per seed.

    A column has an average for a seed in which it has all seven sets.
    """
    table = pd.DataFrame(cells)[["dataset", "column", "seed", "test"]]
    table["score"] = 100 * table.pop("test")
    seven = table[table["dataset"].isin(CLASSIFICATION)].groupby(["column", "seed"])["score"]
    complete = seven.mean()[seven.size() == len(CLASSIFICATION)].reset_index().assign(dataset=AVERAGE)
    return pd.concat([table, complete], ignore_index=True)


def label(column: str) -> str:
    """A column's name for a reader: "clip, comas" -> "CLIP, COMAS cell painting"."""
    method, _, screen = column.partition(", ")
    return f"{METHOD_NAMES[method]}, {SCREEN_NAMES[screen]}" if method in METHOD_NAMES else column


def board(table: pd.DataFrame) -> pd.DataFrame:
    """Mean (s.d. over seeds) as text, a row a column of the grid, a column a data set; "" where nothing was scored."""
    cells = table.groupby(["column", "dataset"], sort=False)["score"].agg(["mean", "std", "size"])
    cells["text"] = [
        f"{mean:.1f}" + (f" ({std:.1f})" if n > 1 else "") for mean, std, n in cells.itertuples(index=False)
    ]
    wide = cells["text"].unstack("dataset")
    return _in_order(wide.loc[table["column"].unique()]).rename(index=label)


def stored(name: str = "property") -> dict:
    """Results of ``data/results/<name>.json``: "pretraining", "cells", and "toxcast_variants" of "property".

    Raises FileNotFoundError.
    """
    return json.loads(data_file(f"results/{name}.json").read_text(encoding="utf-8"))["results"]


def _printed(framework: str) -> list[dict]:
    """The paper's rows of CLIP and InfoCORE in one framework: "MoCo" (Table 3) or "SimCLR" (Table 8). CCL has SimCLR."""
    return [
        row
        for row in paper_table("table3_and_8_property_prediction")["rows"]
        if row["framework"] in (None, "SimCLR" if row["method"] == "CCL" else framework)
    ]


def paper_means(framework: str = "MoCo") -> dict[tuple[str, str | None], dict[str, float]]:
    """(method, screen) -> data set -> percent as printed; the baseline is ("mol2vec", None)."""
    return {
        (row["method"].lower(), row["pretraining"]): {
            AVERAGE if name == "Avg" else name: mean for name, mean in row["mean"].items()
        }
        for row in _printed(framework)
    }


def paper_board(framework: str = "MoCo") -> pd.DataFrame:
    """Table 3, or 8, as printed: mean (s.d.); rows as in ``board``, the paper's own screens named."""
    screens = {"gene_expression": ", GE", "cell_painting": ", CP", None: ""}
    rows = {}
    for row in _printed(framework):
        spread = {name: f" ({sd:.1f})" for name, sd in row["sd"].items()}
        rows[row["method"] + screens[row["pretraining"]]] = {
            AVERAGE if name == "Avg" else name: f"{mean:.1f}{spread.get(name, '')}"
            for name, mean in row["mean"].items()
        }
    return pd.DataFrame(rows).T


def baseline_beside_paper(table: pd.DataFrame) -> pd.DataFrame:
    """Our untrained encoder beside the paper's, percent: rows data sets; ours, sd, paper, difference."""
    ours = table[table["column"] == BASELINE].groupby("dataset")["score"].agg(["mean", "std"])
    paper = pd.Series(paper_means()["mol2vec", None])
    ours = ours.loc[[name for name in paper.index if name in ours.index]]
    ours.columns = ["ours", "s.d."]
    return ours.assign(paper=paper, difference=ours["ours"] - paper)


def paired(table: pd.DataFrame, column: str, reference: str) -> pd.DataFrame:
    """One column minus another in points, paired by seed: rows data sets; difference, low, high (95 % t-interval).

    A column of one run, such as boosting, is compared with every seed of the other. Data sets that either column lacks
    are left out.
    """
    rows = {}
    for dataset, part in table.groupby("dataset", sort=False):
        wide = part.pivot(index="seed", columns="column", values="score")
        if not {column, reference} <= set(wide):
            continue
        ours, other = (wide[name].dropna() for name in (column, reference))
        ours, other = (runs.iloc[0] if len(runs) == 1 else runs for runs in (ours, other))
        difference = pd.Series(ours - other).dropna()
        n, mean = len(difference), difference.mean()
        half = stats.t.ppf(0.975, n - 1) * difference.std(ddof=1) / np.sqrt(n) if n > 1 else np.nan
        rows[dataset] = {"difference": mean, "low": mean - half, "high": mean + half}
    return pd.DataFrame.from_dict(rows, orient="index", columns=["difference", "low", "high"])


def all_paired(table: pd.DataFrame, pairs: Sequence[tuple[str, str]]) -> pd.DataFrame:
    """``paired`` of several (column, reference), as text "+1.2 [0.3, 2.1]": rows pairs, columns data sets.

    A column is an encoder pretrained on a screen, its reference another encoder, or the baseline.
    """
    rows = {}
    for column, reference in pairs:
        method, _, screen = column.partition(", ")
        other, _, same_screen = reference.partition(", ")
        other = METHOD_NAMES[other] if same_screen == screen else label(reference)
        rows[f"{SCREEN_NAMES[screen]}: {METHOD_NAMES[method]} - {other}"] = {
            dataset: f"{row.difference:+.1f} [{row.low:.1f}, {row.high:.1f}]"
            for dataset, row in paired(table, column, reference).iterrows()
        }
    return _in_order(pd.DataFrame.from_dict(rows, orient="index"))


def _in_order(wide: pd.DataFrame) -> pd.DataFrame:
    """Data sets as in the paper's table, others behind them; "" where nothing was scored."""
    order = [name for name in (*CLASSIFICATION, AVERAGE, "PRISM") if name in wide]
    return wide[order + [name for name in wide if name not in order]].fillna("")


def verdicts(table: pd.DataFrame) -> pd.Series:
    """A line for each data set: who is best, whether pretraining helped, whether InfoCORE beat CLIP, whether a control won.

    "Better" and "worse" mean a 95 % interval of the paired difference without zero; otherwise "not told apart".
    Pretraining is judged by InfoCORE on each screen.
    """
    lines = {}
    for dataset, part in table.groupby("dataset", sort=False):
        mean = part.groupby("column", sort=False)["score"].mean()
        screens = [column.partition(", ")[2] for column in mean.index if column.startswith("infocore, ")]
        said = [f"best: {label(mean.idxmax())} ({mean.max():.1f})"]
        for told, reference in (("no pretraining", BASELINE), ("CLIP", "clip, {screen}")):
            outcomes: dict[str, list[str]] = {}
            for screen in screens:
                outcome = _compared(table, f"infocore, {screen}", reference.format(screen=screen), dataset)
                outcomes.setdefault(outcome, []).append(SCREEN_NAMES[screen])
            places = (f"{outcome} on {_listed(names, len(screens))}" for outcome, names in outcomes.items())
            said += [f"InfoCORE against {told}: {', '.join(places)}"] if screens else []
        control = mean[[c for c in CONTROLS if c in mean]]
        if len(control):
            above = "above" if control.max() > mean.drop(control.index).max() else "below"
            said.append(f"best control ({control.idxmax()}, {control.max():.1f}) {above} the best encoder")
        lines[dataset] = "; ".join(said)
    return pd.Series(lines, name="verdict")


def _compared(table: pd.DataFrame, column: str, reference: str, dataset: str) -> str:
    row = paired(table, column, reference).loc[dataset]
    if row["low"] > 0:
        return "better"
    return "worse" if row["high"] < 0 else "not told apart"


def _listed(names: list[str], n_all: int) -> str:
    return "every screen" if len(names) == n_all > 1 else " and ".join(names)


def leakage(pretraining: Sequence[dict]) -> pd.DataFrame:
    """Per screen and data set, mean over runs: test molecules, percent found in the screen (and removed from it), percent
    with a scaffold that is left in it."""
    rows = [
        {"screen": SCREEN_NAMES[record["screen"]], "dataset": dataset, **counts}
        for record in pretraining
        for dataset, counts in record["leakage"].items()
    ]
    table = pd.DataFrame(rows).groupby(["screen", "dataset"], sort=False).mean()
    percent = table[["in_screen", "same_scaffold"]].div(table["test"], axis=0).mul(100)
    percent.columns = ["molecule in screen, removed (%)", "scaffold left in screen (%)"]
    return pd.concat([table["test"].astype(int).rename("test molecules"), percent], axis=1)


def gains(table: pd.DataFrame) -> tuple[dict[str, dict[str, pd.DataFrame]], dict[str, pd.Series]]:
    """What each pretrained encoder, and each control, adds to the one with random weights; PRISM left out.

    Returns:
        panels: screen -> method -> rows of ``paired``; controls: name -> difference by data set. See ``figures.gains``.
    """
    panels = {
        SCREEN_NAMES[screen]: {
            method: paired(table, f"{method}, {screen}", BASELINE).drop("PRISM") for method in METHODS
        }
        for screen in SCREENS
    }
    return panels, {name: paired(table, name, BASELINE)["difference"] for name in CONTROLS}


def average_with(table: pd.DataFrame, toxcast: float) -> float:
    """Percent: the baseline's average over the seven sets, were its score on ToxCast another one, in percent."""
    ours = baseline_beside_paper(table)["ours"]
    return float(pd.concat([ours.drop("ToxCast"), pd.Series({"ToxCast": toxcast})])[list(CLASSIFICATION)].mean())
