"""Tables and sentences of the fairness experiment, from stored scores, beside the paper's numbers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from infocore_mini.evaluate.fairness import AGGREGATES
from infocore_mini.evaluate.seeds import Interval, basic_interval, outcome
from infocore_mini.experiments import best
from infocore_mini.experiments.fairness.intervals import MEASURES, Drawn, drawn, paired
from infocore_mini.experiments.fairness.run import DATASETS, MARGIN, METHODS
from infocore_mini.experiments.fairness.training import Budget, Setting, config_for, unpacked
from infocore_mini.experiments.names import DATASET_NAMES, METHOD_NAMES, listed
from infocore_mini.experiments.results import paper_table, stored
from infocore_mini.readers.fairness import GROUPS, FairnessData

PAPER_NAMES = {"uci_adult": "adult", "law_school": "law_school", "compas": "compas"}
LEVEL = 2.0  # points of the equalized odds gap, either way, within which two methods are called level (`plan.md`)
PRICE = 100 * MARGIN  # points of accuracy


def stored_scores() -> pd.DataFrame:
    """Test scores of the full run: a row per (dataset, arm, seed, aggregate), scores as fractions."""
    return pd.DataFrame(stored("fairness").results["test"])


def sizes(tables: dict[str, FairnessData]) -> pd.DataFrame:
    """Rows of each part, training rows of each group, inputs, favourable labels (%) and rows left out, by dataset."""
    rows = {}
    for name, data in tables.items():
        counts = np.bincount(data.train.group, minlength=len(GROUPS))
        parts = {part: len(getattr(data, part)) for part in ("train", "validation", "test")}
        favourable = 100 * data.test.label.mean()
        rest = {"inputs": data.train.x.shape[1], "favourable in test (%)": favourable, "left out": data.left_out}
        rows[name] = parts | dict(zip(GROUPS, counts, strict=True)) | rest | {"simulated": data.simulated}
    return pd.DataFrame(rows).astype(object)


def cell_counts() -> pd.DataFrame:
    """Test rows of each group and label in the stored run: rows (dataset, label), columns `GROUPS`."""
    counts = {}
    for dataset, rows in stored("fairness").results["rows"].items():
        label, group = unpacked(rows["label"], rows["n"]), np.array(list(rows["group"]), dtype=int)
        for value, name in ((1, "favourable"), (0, "other")):
            counts[dataset, name] = np.bincount(group[label == value], minlength=len(GROUPS))
    return pd.DataFrame(counts, index=list(GROUPS)).T


def queues(chosen: Setting) -> pd.DataFrame:
    """Rows of the queues as the code sets them up: a row per method, at the budget of the stored run."""
    budget = Budget(**stored("fairness").parameters["budget"])
    rows = {}
    for method in METHODS:
        size = budget.minibatch_size
        config = config_for(method, chosen, budget.steps[-1], size, n_rows=10 * size, seed=0)
        number = len(GROUPS) if method == "ccl" else 1
        rows[METHOD_NAMES[method]] = {"queues": number, "rows in each": config.queue_size, "minibatch": size}
        rows[METHOD_NAMES[method]] |= {"queued rows that an anchor meets": config.queue_size}
    return pd.DataFrame(rows).T


def averaged(scores: pd.DataFrame, aggregate: str = "mean") -> pd.DataFrame:
    """Mean over seeds, in percent: rows (dataset, arm), a block per dataset, columns `MEASURES`."""
    chosen = scores[scores["aggregate"] == aggregate]
    means = 100 * chosen.groupby(["dataset", "arm"], sort=False)[list(MEASURES)].mean()
    return means.loc[list(chosen["dataset"].unique())]


def paper_means() -> pd.DataFrame:
    """Tables 4 and 9 as printed, in percent: rows (dataset, method), columns `MEASURES`."""
    rows = pd.DataFrame(paper_table("table4_and_9_fairness")).replace({"dataset": PAPER_NAMES})
    rows["arm"] = rows["method"].str.lower()
    return rows.set_index(["dataset", "arm"])[list(MEASURES)]


def beside_paper(scores: pd.DataFrame) -> pd.DataFrame:
    """Our means over seeds and the paper's over its 5 seeds, in percent, for the arms that the paper has."""
    both = {"here": averaged(scores), "paper": paper_means()}
    joined = pd.concat(both, axis=1, join="inner").swaplevel(axis=1)
    return joined[[(measure, source) for measure in MEASURES for source in both]].round(1)


def best_arms(table: pd.DataFrame) -> pd.DataFrame:
    """The marks of `beside_paper`: our arms within each dataset, by intervals over test rows and seeds."""
    of, marks = drawn(), {}
    for dataset, arms in table.groupby(level="dataset").groups.items():
        for measure in MEASURES:

            def difference(arm: tuple, rival: tuple, measure: str = measure) -> Interval:
                mean = of.means.loc[arm, measure] - of.means.loc[rival, measure]
                return basic_interval(mean, of.draws[*arm, measure] - of.draws[*rival, measure])

            means = of.means.loc[arms, measure]
            marks[dataset, measure] = best.of_column(means, difference, lower=measure != "accuracy")
    ours = {(name, "here"): pd.concat([marks[key] for key in marks if key[1] == name]) for name in MEASURES}
    return pd.DataFrame(ours).loc[table.index]


# ---- training length ---------------------------------------------------------------------------------------------


def by_length() -> dict[int, Drawn]:
    """The three methods at each length of training, on the seeds that have all: steps -> `drawn`."""
    found = stored("fairness").parameters
    return {steps: drawn(steps, arms=METHODS, seeds=tuple(found["length_seeds"])) for steps in found["lengths"]}


def curves() -> pd.DataFrame:
    """Contrastive loss (nats) along the runs of all lengths: rows (dataset, arm, step), a column per seed."""
    found = stored("fairness")
    rows = [
        {"dataset": run["dataset"], "arm": run["arm"], "seed": run["seed"], "step": step, "loss": loss}
        for run in found.results["curves"]
        if run["arm"] in METHODS and run["seed"] in found.parameters["length_seeds"]
        for step, loss in zip(run["step"], run["contrastive"], strict=True)
    ]
    return pd.DataFrame(rows).pivot(index=["dataset", "arm", "step"], columns="seed", values="loss")


def convergence() -> pd.DataFrame:
    """Contrastive loss (nats), mean over seeds, at three points nearest to a step: rows (dataset, arm).

    Columns: "start", "first", "last": where the curve begins, at the first length that is scored and at the last.
    """
    first, *_, last = stored("fairness").parameters["lengths"]
    rows = {}
    for name, losses in curves().mean(axis=1).groupby(level=["dataset", "arm"]):
        steps = losses.index.get_level_values("step").to_numpy()
        rows[name] = {"start": losses.iloc[0]} | {
            column: losses.iloc[np.abs(steps - wanted).argmin()]
            for column, wanted in (("first", first), ("last", last))
        }
    names = pd.MultiIndex.from_product([DATASETS, METHODS], names=["dataset", "arm"])
    return pd.DataFrame(rows).T.loc[names]


# ---- sentences ---------------------------------------------------------------------------------------------------


def verdict(row: pd.Series) -> str:
    """What `plan.md` lets one say of a difference of gaps: "lower", "higher", "level" or "not told apart"."""
    return outcome(row["difference_low"], row["difference_high"], margin=LEVEL)


def said_of(comparisons: Mapping[str, pd.DataFrame], ours: str = "InfoCORE's gap") -> str:
    """A Markdown bullet per comparison: the verdict on every table with its interval, or what it could have seen."""
    lines = []
    for name, table in comparisons.items():
        parts = [f"{_with_interval(row)} on {DATASET_NAMES[dataset]}" for dataset, row in table.iterrows()]
        lines.append(f"- Against {name}, {ours} is {'; '.join(parts)}.")
    return "\n".join(lines)


def said_of_price(table: pd.DataFrame) -> str:
    """On which tables the price in accuracy is shown to be within half a point (`plan.md`, 3)."""
    parts = {True: [], False: []}
    for dataset, row in table.iterrows():
        found = f"{DATASET_NAMES[dataset]} ({_interval(row, 'accuracy_change', digits=2)})"
        parts[bool(row["accuracy_change_low"] > -PRICE)].append(found)
    claims = {True: "is shown to be within", False: "is not shown to be within"}
    return " ".join(
        f"The price in accuracy {claim} {PRICE:g} points on {listed(parts[kept])}."
        for kept, claim in claims.items()
        if parts[kept]
    )


def said_of_halves(table: pd.DataFrame) -> str:
    """Where the gap falls by more than half: shown by the interval, and counted over the seeds."""
    shown = [DATASET_NAMES[dataset] for dataset, row in table.iterrows() if row["cut_low"] > 50]
    where = f"on {listed(shown)}" if shown else "on no table"
    cuts = [
        f"{row['cut']:.0f} % [{row['cut_low']:.0f}, {row['cut_high']:.0f}] on {DATASET_NAMES[dataset]}"
        for dataset, row in table.iterrows()
    ]
    return f"The relative cut is {listed(cuts)}; that it is more than half is shown {where}."


def said_of_seeds(table: pd.DataFrame) -> str:
    """In how many seeds the gap is lower, on every table."""
    counts = [f"{row['lower_in']:.0f} of {row['seeds']:.0f} on {DATASET_NAMES[name]}" for name, row in table.iterrows()]
    return f"It is the smaller gap in {listed(counts)} of the seeds."


def said_of_cells() -> str:
    """The smallest cell of every table, for which a rate is least sure."""
    parts = []
    for dataset, part in cell_counts().groupby(level=0, sort=False):
        _, label, group = part.stack().idxmin()
        parts.append(f"{part.min().min()} rows on {DATASET_NAMES[dataset]} ({group}, {label} label)")
    return f"The smallest cell holds {listed(parts)}."


def said_of_smallest(of: Drawn) -> str:
    """A Markdown bullet: the arm with the smallest mean gap on every table, and where its accuracy ranks."""
    parts = []
    for dataset, part in of.means.groupby(level="dataset", sort=False):
        arm, accuracy = part["equalized_odds"].idxmin()[1], part["accuracy"].rank(ascending=False)
        gap, rank = part["equalized_odds"].min(), accuracy[dataset, arm]
        parts.append(f"on {DATASET_NAMES[dataset]} {arm} ({gap:.1f} points; accuracy {rank:.0f} of {len(part)})")
    return f"- The smallest mean gap of all arms has {'; '.join(parts)}; arms by the names of the stored file."


def by_aggregate() -> dict[str, pd.DataFrame]:
    """InfoCORE against CLIP, where the pairs of groups are combined by mean, maximum or median: `paired` tables."""
    return {how: paired(drawn(arms=METHODS, aggregate=how)) for how in AGGREGATES}


def said_of_aggregates() -> str:
    """Whether level, order of the methods and relative cut hang on how the pairs are combined."""
    means = pd.DataFrame({how: drawn(arms=METHODS, aggregate=how).means["equalized_odds"] for how in AGGREGATES})
    spread = means.max(axis=1) / means.min(axis=1)
    same = [
        DATASET_NAMES[dataset]
        for dataset, part in means.groupby(level="dataset", sort=False)
        if part.rank().nunique(axis=1).max() == 1
    ]
    cuts = pd.DataFrame({how: table["cut"] for how, table in by_aggregate().items()})
    apart = (cuts.max(axis=1) - cuts.min(axis=1)).max()
    return (
        f"The size of the gap depends on the aggregation, up to {spread.max():.1f}-fold between two of the three.\n"
        f"The order of the three methods' means is the same under all three on {listed(same, 'no table')}, "
        f"and the relative cut against CLIP differs by at most {apart:.0f} points."
    )


def said_of_lengths(baseline: str) -> str:
    """A Markdown bullet per table: the difference to `baseline` at each length, and whether its sign changes."""
    tables = {steps: paired(of, baseline=baseline) for steps, of in by_length().items()}
    lines = []
    for dataset in DATASETS:
        rows = {steps: table.loc[dataset] for steps, table in tables.items()}
        found = [f"{_interval(row, 'difference')} at {steps:,}" for steps, row in rows.items()]
        told = [f"{steps:,}" for steps, row in rows.items() if verdict(row) in ("lower", "higher")]
        signs = {np.sign(row["difference"]) for row in rows.values()}
        change = "the sign changes with the length" if len(signs) > 1 else "the sign is the same at every length"
        from_zero = f"told from zero at {listed(told)}" if told else "told from zero at none"
        lines.append(f"- {DATASET_NAMES[dataset]}: {', '.join(found)} steps; {change}, {from_zero}.")
    return "\n".join(lines)


def said_of_convergence() -> str:
    """How far the losses were from settled at the first length."""
    first, *_, last = stored("fairness").parameters["lengths"]
    table = convergence()
    share = 100 * (table["first"] - table["last"]) / (table["start"] - table["last"])
    return (
        f"Of the fall of the contrastive loss from the start of the curve to step {last:,}, {share.min():.0f} to "
        f"{share.max():.0f} % comes after step {first:,}, depending on table and method."
    )


def _interval(row: pd.Series, name: str, digits: int = 1) -> str:
    value, low, high = (f"{row[name + end]:+.{digits}f}" for end in ("", "_low", "_high"))
    return f"{value} [{low}, {high}]"


def _with_interval(row: pd.Series) -> str:
    found, told = _interval(row, "difference"), verdict(row)
    seen = f", where one of {row['seen']:.1f} would have been seen" if told == "not told apart" else ""
    percentiles = np.array([row["difference_percentile_low"], row["difference_percentile_high"]])
    agrees = (told in ("lower", "higher")) == (percentiles.prod() > 0)
    other = "" if agrees else f"; the percentiles [{percentiles[0]:+.1f}, {percentiles[1]:+.1f}] say otherwise"
    return f"**{told}** ({found} points{seen}{other})"
