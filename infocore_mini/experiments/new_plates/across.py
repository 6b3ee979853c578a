"""The boards of several screens side by side, from ``results/new_plates_<screen>.json``; everything that is said is computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from types import MappingProxyType

import numpy as np
import pandas as pd

from infocore_mini.experiments.new_plates.folds import TESTS
from infocore_mini.experiments.new_plates.report import (
    MARGIN,
    RETRIEVED,
    SCREEN_NAMES,
    Arm,
    by_fold,
    comparisons,
    inductive_means,
    label,
    not_possible,
    overlap,
    tests_of,
    text,
    title_of,
)
from infocore_mini.experiments.results import StoredResult
from infocore_mini.experiments.tables import BEST

LEAST_SHOWN = 20  # molecules of a fold's test, mean over folds, for its score to be shown
_LACKS = MappingProxyType(  # what an error says -> in the words of the pages
    {
        "no control wells": "control wells",
        "no column cell_count": "cell counts",
        "ComBat expects": "two wells in every experimental batch",
    }
)


def board(boards: Mapping[str, StoredResult], score: str = "beaten") -> pd.DataFrame:
    """A row an arm, a column a screen that molecules are retrieved from: mean over folds ± half of the 95 % interval.

    On new molecules and new batches, in the whole library; "" where the arm is not possible.
    """
    columns = {}
    for name, of in boards.items():
        if name not in RETRIEVED:
            continue
        table, share = by_fold(of)[score], overlap(of)
        known = table.index.droplevel("fold")
        arms = dict.fromkeys((cell["correction"], cell["method"]) for cell in of.results["cells"])
        columns[title_of(name, of)] = {
            label(arm, of): text(table.loc[arm], share) if arm in known else "" for arm in arms
        }
    return pd.DataFrame(columns).rename_axis("arm")


def best_arms(boards: Mapping[str, StoredResult]) -> pd.DataFrame:
    """The marks of `board`: the highest mean of each screen among inductive corrections, which is named, not tested."""
    retrieved = {name: of for name, of in boards.items() if name in RETRIEVED}
    best = {title_of(name, of): label(inductive_means(of).idxmax(), of) for name, of in retrieved.items()}
    rows = dict.fromkeys(best.values())
    return pd.DataFrame({title: {row: BEST if row == arm else "" for row in rows} for title, arm in best.items()})


def compared(boards: Mapping[str, StoredResult]) -> pd.DataFrame:
    """The planned comparisons: a row each, a column a screen: "+1.2 [-0.3, 2.7], level", in points of "beaten"."""
    columns = {
        title_of(name, of): {
            row.Index: f"{row.difference:+.1f} [{row.low:.1f}, {row.high:.1f}], {row.said}"
            for row in comparisons(of).itertuples()
        }
        for name, of in boards.items()
        if name in RETRIEVED
    }
    return pd.DataFrame(columns).fillna("").rename_axis("comparison")


def seen_and_new(boards: Mapping[str, StoredResult], arms: Sequence[Arm]) -> pd.DataFrame:
    """Mean "beaten" of the three tests: a row a screen and an arm, a column a test.

    NaN where a screen has no such test, or one of fewer than `LEAST_SHOWN` molecules a fold.
    """
    rows = {}
    for name, arm in product([name for name in boards if name in RETRIEVED], arms):
        found, title = tests_of(boards[name], arm), (title_of(name, boards[name]), label(arm, boards[name]))
        rows[title] = found["beaten"].where(found["molecules"] >= LEAST_SHOWN).reindex(list(TESTS))
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(["screen", "arm"])


def sizes(folds: StoredResult) -> pd.DataFrame:
    """Molecules and batches of each part of a fold, mean over the folds: a row a screen."""
    rows: dict[str, dict[str, float]] = {}
    for name, of in folds.results.items():
        for part in ("training", *TESTS):
            for what in ("molecules", "batches"):
                rows.setdefault(SCREEN_NAMES[name], {})[f"{part}: {what}"] = float(
                    np.mean([fold[part][what] for fold in of["folds"]])
                )
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("screen")


def missing(boards: Mapping[str, StoredResult]) -> pd.DataFrame:
    """Arms that a screen has not the wells or columns for: a row a screen and what it lacks, with the arms."""
    rows = {}
    for name, of in boards.items():
        for arm, reason in not_possible(of).items():
            [lacks] = [words for sign, words in _LACKS.items() if sign in reason]
            rows.setdefault((title_of(name, of), lacks), []).append(label(arm, of))
    return pd.DataFrame(
        [{"screen": screen, "lacks": lacks, "arms": "; ".join(arms)} for (screen, lacks), arms in rows.items()]
    )


def claim(boards: Mapping[str, StoredResult], *, margin: float = MARGIN) -> str:
    """What training on the information bound adds, over centring the batches, on new plates: a sentence a referee checks."""
    real = {name: of for name, of in boards.items() if name in RETRIEVED and not of.parameters["simulated"]}
    rows = pd.DataFrame({name: comparisons(of).iloc[0] for name, of in real.items()}).T
    said = [f"{SCREEN_NAMES[n]} {r.difference:+.1f} [{r.low:+.1f}, {r.high:+.1f}]" for n, r in rows.iterrows()]
    words = rows["said"].tolist()
    if all(word == "level" for word in words):
        what = f"adds nothing that matters: less than {margin:g} points on every real screen"
    elif "above" in words or "below" in words:
        what = f"is above on {words.count('above')} and below on {words.count('below')} of {len(words)} real screens"
    else:
        seen = rows["detectable"].astype(float)
        what = f"is not told from centring alone; a difference of {seen.min():.1f} to {seen.max():.1f} points would have been"
    return f"On new molecules on new plates, InfoCORE on centred batches, against CLIP on them, {what} ({'; '.join(said)})."
