"""What chapter 7 says in words: every sentence is written by the scores.

"Better" and "worse" mean a 95 % interval of the difference, paired by seed, that leaves zero out; "level" one inside a
margin that is stated; all else is "not told apart", with the smallest differences that would have been.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from infocore_mini.evaluate.seeds import detectable, outcome, paired
from infocore_mini.experiments.names import METHOD_NAMES, STUDY_NAMES, listed
from infocore_mini.experiments.property import report
from infocore_mini.experiments.property.controls import CONTROLS
from infocore_mini.experiments.property.run import ARMS, BASELINE, FULL

Pairs = Sequence[tuple[str, str]]
CLOSE = 4.0  # points within which the baseline counts as where the paper has it


def against_nothing(arms: Mapping = FULL.arms) -> list[tuple[str, str]]:
    """Every pretrained arm against the encoder of random weights."""
    return [(key, BASELINE) for key, arm in arms.items() if arm.study]


def smallest_lead_of_the_paper(over: str, framework: str = "MoCo") -> float:
    """Points on average, the smallest among its two screens: of InfoCORE over CLIP, or of any method over "mol2vec"."""
    means = report.paper_means(framework)
    average = {key: row[report.AVERAGE] for key, row in means.items()}
    pairs = [
        (key, ("mol2vec", None)) if over == "mol2vec" else (("infocore", key[1]), (over, key[1])) for key in average
    ]
    return round(min(average[ours] - average[theirs] for ours, theirs in pairs if ours[1]), 1)


def judged(table: pd.DataFrame, pairs: Pairs, margin: float) -> pd.DataFrame:
    """Every (arm, reference) on every classification set and the average: rows of both, in points.

    Columns: arm, study, dataset, mean, low, high, "could be seen", outcome ("better", "worse", "level", "not told apart").

    Args:
        table: of ``report.scores``.
        margin: points, of "level".
    """
    wide = table.pivot(index=["dataset", "seed"], columns="arm", values="score")
    rows = []
    for arm, reference in pairs:
        for dataset in (*report.CLASSIFICATION, report.AVERAGE):
            difference = (wide[arm] - wide[reference]).get(dataset, pd.Series(dtype=float)).dropna()
            if len(difference) > 1:
                found = paired(difference, 0.0)
                level = -margin < found.low and found.high < margin
                told = outcome(found.low, found.high, more="better", less="worse")
                rows.append(
                    {"arm": METHOD_NAMES[ARMS[arm].method], "study": STUDY_NAMES[ARMS[arm].study], "dataset": dataset}
                    | found._asdict()
                    | {"could be seen": float(detectable(difference)), "outcome": "level" if level else told}
                )
    return pd.DataFrame(rows)


def told(table: pd.DataFrame, pairs: Pairs, margin: float) -> str:
    """Markdown: a line for each study, then what chance alone would tell apart. PRISM is left out, its R² spreads too far."""
    rows = judged(table, pairs, margin)
    sets = rows[rows["dataset"] != report.AVERAGE]
    text = []
    for study, part in rows.groupby("study", sort=False):
        single, whole = part[part["dataset"] != report.AVERAGE], part[part["dataset"] == report.AVERAGE]
        outcomes = [
            f"{outcome} {_named(single[single['outcome'] == outcome])}"
            for outcome in ("better", "worse", "level")
            if (single["outcome"] == outcome).any()
        ]
        n = int((single["outcome"] == "not told apart").sum())
        seen = single.loc[single["outcome"] == "not told apart", "could be seen"]
        outcomes.append(
            f"not told apart {n} of {len(single)} ({seen.min():.1f} to {seen.max():.1f} points would have been)"
        )
        line = f"- *{study}*: {'; '.join(outcomes)}."
        if len(whole):
            averages = [f"{row.arm} {_interval(row)}, {row.outcome}" for row in whole.itertuples()]
            line += f" On average over the seven sets: {'; '.join(averages)}."
        text.append(line)
    apart = int(sets["outcome"].isin(["better", "worse"]).sum() + _apart_but_level(sets))
    text.append(
        f"\nIn all {apart} of {len(sets)} intervals leave zero out; were there no difference anywhere, about "
        f"{len(sets) / 20:.0f} would. *Level* is within {margin:.1f} points, the smallest average lead that the paper prints here."
    )
    return "\n".join(text)


def _apart_but_level(rows: pd.DataFrame) -> int:
    """Intervals that leave zero out inside the margin."""
    return int(((rows["outcome"] == "level") & ((rows["low"] > 0) | (rows["high"] < 0))).sum())


def _named(rows: pd.DataFrame) -> str:
    return "on " + listed([f"{row.dataset} ({row.arm}, {_interval(row)})" for row in rows.itertuples()])


def _interval(row) -> str:
    return f"{row.mean:+.1f} [{row.low:.1f}, {row.high:.1f}]"


# ------------------------------------------------------------------ the baseline, the means, the controls, the overlap


def baseline(table: pd.DataFrame) -> str:
    """Markdown: on which sets the encoder of random weights is where the paper has it."""
    difference = report.baseline_beside_paper(table)["difference"].reindex(report.CLASSIFICATION)
    far = difference[difference.abs() > CLOSE]
    said = f"{len(difference) - len(far)} of the {len(difference)} sets are within {CLOSE:.0f} points of the paper's"
    return (
        said
        + "".join(f"; {name} is {abs(d):.1f} points {'below' if d < 0 else 'above'}" for name, d in far.items())
        + "."
    )


def highest_means(table: pd.DataFrame, study: str, least: float = 2.0) -> str:
    """Markdown: the sets on which all three methods of a study are ``least`` points or more above none in mean, told apart or not."""
    rows = judged(table, [pair for pair in against_nothing() if ARMS[pair[0]].study == study], margin=0.0)
    sets = rows[rows["dataset"] != report.AVERAGE].groupby("dataset", sort=False)
    ahead = [name for name, part in sets if part["mean"].min() >= least]
    apart = [name for name in ahead if (sets.get_group(name)["low"] > 0).any()]
    return (
        f"With {STUDY_NAMES[study]} all three methods are {least:.0f} points or more above no pretraining in mean on "
        f"{listed(ahead, 'no set')}, {len(ahead)} of {len(sets)} sets; "
        f"an interval leaves zero out on {listed(apart)}."
    )


def controls(table: pd.DataFrame) -> str:
    """Markdown: where the best control's mean is above every encoder's, and by how much, paired by seed."""
    mean = table.groupby(["dataset", "arm"])["score"].mean().unstack()
    above, sure = [], []
    for dataset in (*report.CLASSIFICATION, "PRISM"):
        row = mean.loc[dataset].dropna()
        control, encoder = row[list(CONTROLS)].idxmax(), row.drop(list(CONTROLS)).idxmax()
        if row[control] > row[encoder]:
            found = report.paired(table, control, encoder).loc[dataset]
            above.append(f"{dataset} ({control}: {row[control]:.1f}, best encoder: {row[encoder]:.1f})")
            sure += [dataset] if found["low"] > 0 else []
    return (
        f"A control's mean is above every encoder's on {listed(above)}; "
        f"the interval of the difference from the best of them leaves zero out on {listed(sure)}."
    )


def most_seen(pretraining: Sequence[dict]) -> str:
    """Markdown: which test part a screen holds most of, before its molecules are removed."""
    share = report.leakage(pretraining)["molecule in screen, removed (%)"]
    study, dataset = share.idxmax()
    return f"{study} holds {share.max():.0f} % of {dataset}'s test molecules: without their removal that test would be no test."
