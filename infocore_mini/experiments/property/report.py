"""Property prediction as tables: Tables 3 and 8, paired differences, a verdict for each set."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import pandas as pd

from infocore_mini.evaluate import seeds
from infocore_mini.experiments import best
from infocore_mini.experiments.names import METHOD_NAMES, STUDY_NAMES, Arm
from infocore_mini.experiments.property.controls import CONTROLS
from infocore_mini.experiments.property.run import ARMS, BASELINE, FULL
from infocore_mini.experiments.results import paper_table

CLASSIFICATION = ("BBBP", "BACE", "ClinTox", "Tox21", "ToxCast", "SIDER", "HIV")
AVERAGE = "average"


def scores(cells: Sequence[dict]) -> pd.DataFrame:
    """Test scores in percent, long: dataset, arm, seed, score; with the average over the seven sets per seed.

    An arm has an average for a seed in which it has all seven sets.
    """
    table = pd.DataFrame(cells)[["dataset", "arm", "seed", "test"]]
    table["score"] = 100 * table.pop("test")
    seven = table[table["dataset"].isin(CLASSIFICATION)].groupby(["arm", "seed"])["score"]
    complete = seven.mean()[seven.size() == len(CLASSIFICATION)].reset_index().assign(dataset=AVERAGE)
    return pd.concat([table, complete], ignore_index=True)


def board(table: pd.DataFrame) -> pd.DataFrame:
    """Mean (s.d. over seeds) as text, a row an arm, a column a data set; "" where nothing was scored."""
    cells = table.groupby(["arm", "dataset"], sort=False)["score"].agg(["mean", "std", "size"])
    cells["text"] = [
        f"{mean:.1f}" + (f" ({std:.1f})" if n > 1 else "") for mean, std, n in cells.itertuples(index=False)
    ]
    wide = cells["text"].unstack("dataset")
    return _in_order(wide.loc[table["arm"].unique()]).rename(index=lambda key: ARMS[key].label)


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
    ours = table[table["arm"] == BASELINE].groupby("dataset")["score"].agg(["mean", "std"])
    paper = pd.Series(paper_means()["mol2vec", None])
    ours = ours.loc[[name for name in paper.index if name in ours.index]]
    ours.columns = ["ours", "s.d."]
    return ours.assign(paper=paper, difference=ours["ours"] - paper)


def paired(table: pd.DataFrame, arm: str, reference: str) -> pd.DataFrame:
    """One arm minus another in points, paired by seed: rows data sets; difference, low, high (95 % t-interval).

    An arm of one run, such as boosting, is compared with every seed of the other. Data sets that either arm lacks are
    left out.

    Args:
        arm, reference: keys of arms.
    """
    rows = {}
    for dataset, part in table.groupby("dataset", sort=False):
        wide = part.pivot(index="seed", columns="arm", values="score")
        if not {arm, reference} <= set(wide):
            continue
        ours, other = (wide[name].dropna() for name in (arm, reference))
        ours, other = (runs.iloc[0] if len(runs) == 1 < len(wide) else runs for runs in (ours, other))
        rows[dataset] = seeds.paired(ours, other)
    return pd.DataFrame.from_dict(rows, orient="index", columns=["difference", "low", "high"])


def best_arms(table: pd.DataFrame) -> pd.DataFrame:
    """The marks of `board`, by the intervals of `paired`."""
    marks = {}
    for dataset, part in table.groupby("dataset"):

        def difference(arm: Hashable, rival: Hashable, part: pd.DataFrame = part) -> seeds.Interval:
            [found] = paired(part, str(arm), str(rival)).itertuples(index=False)
            return seeds.Interval(*found)

        marks[dataset] = best.of_column(part.groupby("arm")["score"].mean(), difference)
    return pd.DataFrame(marks, dtype=object).fillna("").rename(index=lambda key: ARMS[key].label)


def all_paired(table: pd.DataFrame, pairs: Sequence[tuple[str, str]]) -> pd.DataFrame:
    """``paired`` of several (arm, reference), as text "+1.2 [0.3, 2.1]": rows pairs, columns data sets.

    An arm is an encoder pretrained in a study, its reference another encoder, or the baseline.
    """
    rows = {}
    for arm, reference in pairs:
        ours, other = ARMS[arm], ARMS[reference]
        against = METHOD_NAMES[other.method] if other.study == ours.study else other.label
        rows[f"{STUDY_NAMES[ours.study]}: {METHOD_NAMES[ours.method]} - {against}"] = {
            dataset: f"{row.difference:+.1f} [{row.low:.1f}, {row.high:.1f}]"
            for dataset, row in paired(table, arm, reference).iterrows()
        }
    return _in_order(pd.DataFrame.from_dict(rows, orient="index"))


def by_study(pairs: pd.DataFrame) -> pd.DataFrame:
    """``all_paired`` in a narrow form: rows (study, data set), a column a comparison."""
    long = pairs.set_axis(pairs.index.str.split(": ", n=1, expand=True)).rename_axis(["study", "against"])
    order = long.index.unique("against")
    wide = long.rename_axis(columns="data set").stack().unstack("against")[order].rename_axis(columns=None)
    studies, sets = long.index.unique("study"), list(long.columns)
    return wide.reindex(pd.MultiIndex.from_product([studies, sets], names=wide.index.names)).fillna("")


def _in_order(wide: pd.DataFrame) -> pd.DataFrame:
    """Data sets as in the paper's table, others behind them; "" where nothing was scored."""
    order = [name for name in (*CLASSIFICATION, AVERAGE, "PRISM") if name in wide]
    return wide[order + [name for name in wide if name not in order]].fillna("")


def verdicts(table: pd.DataFrame) -> pd.Series:
    """A line for each data set: who is best, whether pretraining helped, whether InfoCORE beat CLIP, whether a control won.

    "Better" and "worse" mean a 95 % interval of the paired difference without zero; otherwise "not told apart".
    Pretraining is judged by every method and study, InfoCORE against CLIP in each study.
    """
    lines = {}
    for dataset, part in table.groupby("dataset", sort=False):
        mean = part.groupby("arm", sort=False)["score"].mean()
        pretrained = [ARMS[key] for key in mean.index if ARMS[key].study]
        ours = [arm for arm in pretrained if arm.method == "infocore"]
        said = [f"best: {ARMS[mean.idxmax()].label} ({mean.max():.1f})"]
        if pretrained:
            pairs = {arm.label: (arm.key, BASELINE) for arm in pretrained}
            said.append(f"pretraining against none: {_outcomes(table, pairs, dataset)}")
        if ours:
            pairs = {STUDY_NAMES[arm.study]: (arm.key, Arm("clip", study=arm.study).key) for arm in ours}
            said.append(f"InfoCORE against CLIP: {_outcomes(table, pairs, dataset)}")
        control = mean[[c for c in CONTROLS if c in mean]]
        if len(control):
            above = "above" if control.max() > mean.drop(control.index).max() else "below"
            said.append(f"best control ({control.idxmax()}, {control.max():.1f}) {above} the best encoder")
        lines[dataset] = "; ".join(said)
    return pd.Series(lines, name="verdict")


def _outcomes(table: pd.DataFrame, pairs: Mapping[str, tuple[str, str]], dataset: str) -> str:
    """The labels of the pairs that are told apart, and the number of the others."""
    outcomes: dict[str, list[str]] = {"better": [], "worse": [], "not told apart": []}
    for label, pair in pairs.items():
        outcomes[_compared(table, *pair, dataset)].append(label)
    n = len(outcomes.pop("not told apart"))
    told = [f"{outcome} for {', '.join(labels)}" for outcome, labels in outcomes.items() if labels]
    return ", ".join([*told, f"not told apart {n} of {len(pairs)}"])


def _compared(table: pd.DataFrame, arm: str, reference: str, dataset: str) -> str:
    row = paired(table, arm, reference).loc[dataset]
    return seeds.outcome(row["low"], row["high"], more="better", less="worse")


def leakage(pretraining: Sequence[dict]) -> pd.DataFrame:
    """Test molecules that a screen holds, per study and data set, mean over runs.

    Their number, percent found in the screen (and removed from it), percent with a scaffold that is left in it.
    """
    rows = [
        {"study": STUDY_NAMES[record["study"]], "dataset": dataset, **counts}
        for record in pretraining
        for dataset, counts in record["leakage"].items()
    ]
    table = pd.DataFrame(rows).groupby(["study", "dataset"], sort=False).mean()
    percent = table[["in_screen", "same_scaffold"]].div(table["test"], axis=0).mul(100)
    percent.columns = ["molecule in screen, removed (%)", "scaffold left in screen (%)"]
    return pd.concat([table["test"].astype(int).rename("test molecules"), percent], axis=1)


def gains(table: pd.DataFrame) -> tuple[dict[str, dict[str, pd.DataFrame]], dict[str, pd.Series]]:
    """What each pretrained encoder, and each control, adds to the one with random weights; PRISM left out.

    Returns:
        panels: study -> method -> rows of ``paired``; controls: name -> difference by data set. See ``figures.gains``.
    """
    panels: dict[str, dict[str, pd.DataFrame]] = {}
    for arm in FULL.arms.values():
        if arm.study:
            rows = paired(table, arm.key, BASELINE).drop("PRISM")
            panels.setdefault(STUDY_NAMES[arm.study], {})[arm.method] = rows
    return panels, {name: paired(table, name, BASELINE)["difference"] for name in CONTROLS}


def average_with(table: pd.DataFrame, toxcast: float) -> float:
    """Percent: the baseline's average over the seven sets, were its score on ToxCast another one, in percent."""
    ours = baseline_beside_paper(table)["ours"]
    return float(pd.concat([ours.drop("ToxCast"), pd.Series({"ToxCast": toxcast})])[list(CLASSIFICATION)].mean())
