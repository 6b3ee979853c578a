"""What chapter 6 says in words: every sentence is written by the numbers.

"Lower" and "higher" mean a 95 % interval of the difference, paired by seed, that leaves zero out; otherwise the sentence
names the smallest difference that would have been told from zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from infocore_mini.evaluate.seeds import detectable, outcome, paired, t_interval
from infocore_mini.experiments.names import Arm, listed
from infocore_mini.experiments.neighbours import OWN_BATCH, SAME_DRUG
from infocore_mini.experiments.pretraining.report import Tables, accuracy_by_seed, paper_accuracies
from infocore_mini.experiments.retrieval.report import batch_alone_in_paper

AS_PUBLISHED, CENTRED, ROBUST = "as published", "mean of the batch", "robust z of the batch"


def batch_in_the_paper() -> str:
    """Markdown: what part of CLIP's accuracy the batch alone could give in the paper's whole libraries."""
    rows = batch_alone_in_paper()
    share = {name: 100 * row["batch alone, %"] / row["CLIP, %"] for name, row in rows.iterrows()}
    parts = [f"{part:.0f} % ({name.removeprefix('paper, ').replace('_', ' ')})" for name, part in share.items()]
    return (
        f"So {listed(parts)} of CLIP's accuracy in the paper could in principle come from the batch, "
        "*if the structure of a molecule gave its batch away*."
    )


def corrections(near: pd.DataFrame) -> str:
    """Markdown: what the corrections do to the nearest neighbours of real screens; "" where no file is at hand.

    Args:
        near: percent, as ``report.real_batches``.
    """
    text = []
    for name, part in near.groupby(level="screen", sort=False):
        wells = part.droplevel("screen")["treated wells"]
        own, expected = wells[OWN_BATCH], wells.loc[AS_PUBLISHED, "permuted"]
        change = own[CENTRED] / own[AS_PUBLISHED]
        line = (
            f"- *{name.capitalize()}*: the nearest neighbour shares the batch in {own[AS_PUBLISHED]:.0f} % "
            f"({expected:.0f} % under permuted labels); with the mean of the batch subtracted in {own[CENTRED]:.0f} %, "
            f"{change:.1f} times as often; by its median and spread {own[ROBUST]:.0f} %."
        )
        if SAME_DRUG in wells and wells[SAME_DRUG].notna().all():
            low, high = wells[SAME_DRUG].min(), wells[SAME_DRUG].max()
            line += f" The same drug in another batch is found first in {low:.1f} to {high:.1f} %, whatever is done."
        text.append(line)
    return "\n".join(text)


def towards_random(
    records: Sequence[Mapping], arms: Mapping[str, Arm], *, reference: str = "clip", overlap: float = 0.0
) -> str:
    """Markdown: how far each arm goes from the reference's pairing by campaign to that of a random order.

    Args:
        records: results of a study's runs.
        arms: the study's, by the names that the records have.
        reference: the arm that the others are held against.
        overlap: of the seeds' test molecules, as in `evaluate.seeds.half_width`.
    """
    rows = pd.DataFrame({"arm": r["arm"], "seed": r["seed"], **r["same_batch"]} for r in records)
    share = 100 * rows.pivot(index="seed", columns="arm", values="share")
    excess = share[reference].mean() - 100 * rows["expected"].mean()
    text = []
    for arm in share.drop(columns=reference):
        found = paired(share[reference], share[arm], overlap=overlap)
        if found.low > 0:
            text.append(f"{arms[arm].label} goes {found.mean / excess:.0%} of the way")
        else:
            seen = detectable(share[reference] - share[arm], overlap=overlap)
            text.append(f"{arms[arm].label} is not told from CLIP ({seen:.1f} points would have been)")
    return "From CLIP's pairing to a random order: " + "; ".join(text).replace("%", " %") + "."


def accuracies(by_arm: Tables, arms: Mapping[str, Arm], library: str, reference: str = "clip") -> str:
    """Markdown: the arms whose top-1, 5 or 10 accuracy in a library is told from the reference's, and what else could be seen."""
    told, seen = [], []
    for arm in by_arm:
        if arm == reference:
            continue
        for top in (1, 5, 10):
            accuracy = accuracy_by_seed(by_arm, library, top)
            found = paired(accuracy[arm], accuracy[reference], overlap=by_arm.overlap)
            direction = outcome(found.low, found.high)
            if direction != "not told apart":
                numbers = f"{found.mean:+.1f} points [{found.low:.1f}, {found.high:.1f}]"
                told.append(f"{arms[arm].label} is {direction} at top {top} ({numbers})")
            else:
                seen.append(float(detectable(accuracy[arm] - accuracy[reference], overlap=by_arm.overlap)))
    rest = f"The other {len(seen)} comparisons are not told apart; {min(seen):.1f} to {max(seen):.1f} points would have been."
    return f"{library.capitalize()} library: {listed(told, 'no arm is told from CLIP')}. {rest if seen else ''}".strip()


def beside_the_paper(by_arm: Tables, arm: str = "infocore", reference: str = "clip") -> str:
    """Markdown: which of the paper's changes of InfoCORE's top-1 accuracy against CLIP, in percent, lie in our intervals."""
    inside: dict[bool, list[str]] = {True: [], False: []}
    for dataset in ("gene_expression", "cell_painting"):
        printed = paper_accuracies(dataset)
        for library in ("whole", "batch"):
            paper = 100 * (printed["infocore", library, 1] / printed["clip", library, 1] - 1)
            accuracy = accuracy_by_seed(by_arm, library)
            found = t_interval(100 * (accuracy[arm] / accuracy[reference] - 1), overlap=by_arm.overlap)
            ours_said = f"ours {found.mean:+.0f} [{found.low:.0f}, {found.high:.0f}]"
            name = f"{dataset.replace('_', ' ')}, {library} ({paper:+.0f} %, {ours_said})"
            inside[bool(found.low <= paper <= found.high)].append(name)
    return (
        f"InfoCORE's change against CLIP at top 1, as the paper prints it, lies inside our interval for "
        f"{listed(inside[True])}; outside for {listed(inside[False])}."
    )


def readability(readable: pd.Series) -> str:
    """Markdown: how much more often than the largest batch each source names the batch, in points.

    Args:
        readable: percent, as ``report.readability``.
    """
    base = readable["largest batch"]
    gains = [f"{name} {value - base:+.0f}" for name, value in readable.drop("largest batch").items()]
    return f"In points above always naming the largest batch ({base:.0f} %): {listed(gains)}."
