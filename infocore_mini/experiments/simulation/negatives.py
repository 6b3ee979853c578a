"""Question 2 of the plan: what moves CCL's effect accuracy, by the composition of its minibatches."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from infocore_mini.evaluate.seeds import detectable, paired
from infocore_mini.experiments.simulation import report
from infocore_mini.experiments.simulation.report import Difference
from infocore_mini.experiments.simulation.studies import ONE_BATCH, RANDOM


def difference(frame: pd.DataFrame, ours: Mapping, theirs: Mapping, *, view: str = "screen") -> Difference:
    """CCL composed one way minus another way in effect accuracy; ``frame`` of ``report.compositions``, keys of its rows."""
    values = []
    for keys in (ours, theirs):
        rows = frame[(frame.view == view) & (frame[list(keys)] == pd.Series(keys)).all(axis=1)]
        values.append(100 * rows.set_index("draw").effect)
    return Difference(*paired(*values), detectable(values[0] - values[1]), report.MARGIN["effect"])


def contrasts(frame: pd.DataFrame) -> pd.DataFrame:
    """The contrasts of question 2, effect accuracy on Z_g: rows contrast, a column for each temperature, as text."""
    kinds = {name: rows.negatives.iloc[0] for name, rows in frame.groupby("composition")}
    short = {name: f"{name} ({count:.1f})" for name, count in kinds.items()}
    contrasts = {
        "more, at random": ("random, 128", RANDOM),
        "as many, from one batch": ("one batch, 6", "random, 128"),
        "more, from one batch": (ONE_BATCH, "one batch, 6"),
        "one batch for random": (ONE_BATCH, RANDOM),
    }
    table = {}
    for what, (ours, theirs) in contrasts.items():
        for tau in sorted(frame.temperature.unique()):
            keys = dict(temperature=tau, longer=False)
            found = difference(frame, keys | {"composition": ours}, keys | {"composition": theirs})
            table.setdefault(f"{what}: {short[ours]} \u2212 {short[theirs]}", {})[f"temperature {tau}"] = (
                f"{found}, {found.verdict}"
            )
    return pd.DataFrame.from_dict(table, orient="index").rename_axis("minibatches (own-batch negatives)")


def levels(frame: pd.DataFrame, temperature: float, *, view: str = "screen") -> dict[tuple[str, bool], float]:
    """Mean effect accuracy in percent by (composition, longer) at a temperature."""
    rows = frame[(frame.temperature == temperature) & (frame.view == view)]
    return (100 * rows.groupby(["composition", "longer"]).effect.mean()).to_dict()


def cause(frame: pd.DataFrame) -> str:
    """What moves CCL's effect accuracy on Z_g: a line each for temperature, negatives, the same number, and steps."""
    low, high = frame.temperature.min(), frame.temperature.max()

    def change(ours: Mapping, theirs: Mapping) -> str:
        found = difference(frame, {"longer": False} | ours, {"longer": False} | theirs)
        return f"{found.numbers} (**{found.word}**)"

    def at(composition: str, temperature: float, longer: bool = False) -> dict:
        return {"composition": composition, "temperature": temperature, "longer": longer}

    level = levels(frame, low)
    return "\n".join(
        [
            f"- *At temperature {low:g}*: random minibatches of 64 give {level[RANDOM, False]:.0f} %, and "
            f"{level[RANDOM, True]:.0f} % at 2.8 times the steps; one-batch minibatches give {level[ONE_BATCH, False]:.0f} %, "
            f"and {level[ONE_BATCH, True]:.0f} % at 2.8 times the steps.",
            f"- *Temperature*, {high:g} against {low:g}: {change(at(RANDOM, high), at(RANDOM, low))} with random minibatches, "
            f"{change(at(ONE_BATCH, high), at(ONE_BATCH, low))} with one-batch minibatches.",
            f"- *Twice the own-batch negatives*, random minibatches of 128 against 64: "
            f"{change(at('random, 128', low), at(RANDOM, low))} at {low:g}, "
            f"{change(at('random, 128', high), at(RANDOM, high))} at {high:g}.",
            f"- *Five times the own-batch negatives*, one-batch minibatches of all against 6 rows: "
            f"{change(at(ONE_BATCH, low), at('one batch, 6', low))} at {low:g}, "
            f"{change(at(ONE_BATCH, high), at('one batch, 6', high))} at {high:g}.",
            f"- *The same number in two ways*, one-batch minibatches of 6 against random ones of 128: "
            f"{change(at('one batch, 6', low), at('random, 128', low))} at {low:g}, "
            f"{change(at('one batch, 6', high), at('random, 128', high))} at {high:g}.",
            f"- *2.8 times the steps*, at {low:g}: {change(at(RANDOM, low, True), at(RANDOM, low))} with random "
            f"minibatches, {change(at(ONE_BATCH, low, True), at(ONE_BATCH, low))} with one-batch minibatches.",
        ]
    )


def what_decides(frame: pd.DataFrame) -> str:
    """Whether the number of own-batch negatives explains CCL's accuracy at the lowest temperature, by the plan's test."""
    low = frame.temperature.min()

    def change(ours: str, theirs: str, longer: bool = False) -> Difference:
        keys = {"temperature": low, "longer": longer}
        return difference(frame, keys | {"composition": ours}, keys | {"composition": theirs})

    same = change("one batch, 6", "random, 128")
    verdict = {
        "level": "The same number of own-batch negatives gives the same accuracy by either way of drawing minibatches, "
        "within the margin",
        "not told apart": "The same number of own-batch negatives by two ways of drawing minibatches is not told apart",
    }.get(
        same.word,
        "The same number of own-batch negatives gives different accuracies by two ways of drawing minibatches",
    )
    more = {"random": change("random, 128", RANDOM), "one-batch": change(ONE_BATCH, "one batch, 6")}
    helps = [name for name, each in more.items() if each.told_apart and each.mean > 0]
    numbers = "; ".join(f"{name} minibatches {each.numbers}" for name, each in more.items())
    number = f"more of them help with {' and '.join(helps)} minibatches" if helps else "more are not seen to help"
    temperature = difference(
        frame,
        {"composition": RANDOM, "longer": False, "temperature": frame.temperature.max()},
        {"composition": RANDOM, "longer": False, "temperature": low},
    )
    if same.level and len(helps) == len(more):
        explains = "explains"
    else:
        explains = "alone does not explain" if same.told_apart else "is neither shown nor excluded to be"
    return (
        f"{verdict} ({same.numbers} points at temperature {low:g}), and {number} ({numbers}). If the number were the cause, "
        f"more should help and the way should not matter: by this test of the plan the number of own-batch negatives "
        f"{explains} why CCL falls behind at a low temperature. A higher temperature, with the minibatches as they were, changes its effect accuracy by "
        f"{temperature.numbers} points."
    )
