"""The boards of several screens side by side, from ``results/new_plates_<screen>.json``; everything that is said is computed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import product
from types import MappingProxyType

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.meta_analysis import combine_effects

from infocore_mini.evaluate.seeds import outcome
from infocore_mini.experiments.names import listed
from infocore_mini.experiments.new_plates.arms import METHODS as TRAINED
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
from infocore_mini.experiments.new_plates.report import alphas as of_screen
from infocore_mini.experiments.results import StoredResult
from infocore_mini.experiments.tables import BEST

LEAST_SHOWN = 20  # molecules of a fold's test, mean over folds, for its score to be shown
LEAST_REPEATED = 1.2  # conditions a molecule on new batches, mean over folds, for replicates to be read
_LACKS = MappingProxyType(  # what an error says -> in the words of the pages
    {
        "no control wells": "control wells",
        "without a control well": "control wells in every experimental batch",
        "no column cell_count": "cell counts",
        "ComBat expects": "two wells in every experimental batch",
    }
)


def board(boards: Mapping[str, StoredResult], score: str = "beaten", arms: Sequence[Arm] | None = None) -> pd.DataFrame:
    """A row an arm, a column a screen: mean over folds ± half of the 95 % interval.

    On new molecules and new batches, in the whole library; "" where the arm is not possible, without a row if it is
    nowhere. Screens that the score is read on alone: `read_on`.

    Args:
        score: a column of `report.by_fold`.
        arms: those that are shown; None = all.
    """
    columns = {}
    for name, of in read_on(boards, score).items():
        table, share = by_fold(of)[score], overlap(of)
        known = table.index.droplevel("fold")
        shown = arms or dict.fromkeys((cell["correction"], cell["method"]) for cell in of.results["cells"])
        columns[title_of(name, of)] = {
            label(arm, of): text(table.loc[arm], share) if arm in known else "" for arm in shown
        }
    table = pd.DataFrame(columns).rename_axis("arm")
    return table[(table != "").any(axis=1)]


def read_on(boards: Mapping[str, StoredResult], score: str) -> dict[str, StoredResult]:
    """Screens that a score is read on: neighbours on all, replicates where molecules repeat, retrieval on large ones."""
    if score in ("own batch", "permuted", "excess"):
        return dict(boards)
    if score == "replicates":
        return {name: of for name, of in boards.items() if _repeats(of) >= LEAST_REPEATED}
    return {name: of for name, of in boards.items() if name in RETRIEVED}


def _repeats(of: StoredResult) -> float:
    """Conditions a molecule on new batches, mean over folds."""
    on_new = [[fold[test] for test in TESTS if "new batches" in test] for fold in of.parameters["folds"]["folds"]]
    counts = [[sum(part[what] for part in parts) for what in ("conditions", "molecules")] for parts in on_new]
    return float(np.mean([conditions / molecules for conditions, molecules in counts]))


def best_arms(boards: Mapping[str, StoredResult], score: str = "beaten") -> pd.DataFrame:
    """The marks of `board`: the highest mean of each screen among inductive corrections, which is named, not tested."""
    found = read_on(boards, score).items()
    best = {title_of(name, of): label(inductive_means(of, score).idxmax(), of) for name, of in found}
    rows = dict.fromkeys(best.values())
    return pd.DataFrame({title: {row: BEST if row == arm else "" for row in rows} for title, arm in best.items()})


def compared(boards: Mapping[str, StoredResult], score: str = "beaten") -> pd.DataFrame:
    """The planned comparisons: a row each, a column a screen: "+1.2 [-0.3, 2.7] level", in points of the score."""
    columns = {
        title_of(name, of): {
            row.Index: f"{row.difference:+.1f} [{row.low:.1f},\u00a0{row.high:.1f}] {row.said}"
            for row in comparisons(of, score).itertuples()
        }
        for name, of in read_on(boards, score).items()
    }
    return pd.DataFrame(columns).fillna("").rename_axis("comparison")


def together(boards: Mapping[str, StoredResult]) -> pd.DataFrame:
    """The comparisons over all real screens at once; not in the plan.

    Random effects: a screen weighs by its own error and the spread between screens (Paule and Mandel 1982), and the
    interval is a t-interval over screens that is not narrower than the errors of the screens allow (Hartung and Knapp
    2001, as amended by Roever et al. 2015).

    Returns:
        A row each: "difference" of "beaten", "low", "high" (95 %), "screens", and "said": above, below, level or not told
        apart, not corrected for the number of rows.
    """
    tables = [comparisons(of) for of in _real(boards).values()]
    rows = {}
    for comparison in tables[0].index:
        rows_of = [table.loc[comparison, ["difference", "error"]] for table in tables if comparison in table.index]
        difference, error = np.array(rows_of, dtype=float).T
        one = combine_effects(difference, error**2, method_re="iterated")
        half = stats.t.ppf(0.975, len(rows_of) - 1) * max(one.sd_eff_w_re_hksj, one.sd_eff_w_re)
        low, high = one.mean_effect_re - half, one.mean_effect_re + half
        said = outcome(low, high, margin=MARGIN, more="above", less="below")
        rows[comparison] = {
            "difference": one.mean_effect_re,
            "low": low,
            "high": high,
            "screens": len(rows_of),
            "said": said,
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("comparison")


def _real(boards: Mapping[str, StoredResult]) -> dict[str, StoredResult]:
    return {name: of for name, of in boards.items() if name in RETRIEVED and not of.parameters["simulated"]}


def seen_and_new(boards: Mapping[str, StoredResult], arms: Sequence[Arm]) -> pd.DataFrame:
    """Mean "beaten" of the three tests: a row a screen and an arm, a column a test.

    NaN where a screen has no such test, or one of fewer than `LEAST_SHOWN` molecules a fold.
    """
    rows = {}
    for name, arm in product([name for name in boards if name in RETRIEVED], arms):
        found, title = tests_of(boards[name], arm), (title_of(name, boards[name]), label(arm, boards[name]))
        rows[title] = found["beaten"].where(found["molecules"] >= LEAST_SHOWN).reindex(list(TESTS))
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(["screen", "arm"])


def alphas(boards: Mapping[str, StoredResult]) -> pd.DataFrame:
    """`report.alphas` of all screens: a row a screen and a rule; "chosen" as text."""
    found = pd.concat({title_of(name, of): of_screen(of) for name, of in boards.items()}, names=["screen"])
    return found.assign(chosen=[", ".join(f"{alpha:g}" for alpha in row) for row in found["chosen"]])


def lost(boards: Mapping[str, StoredResult]) -> str:
    """How much CLIP, and no training, have less on new batches than on seen ones, new molecules both: a sentence."""
    seen, _, new = TESTS
    by_arm = (seen_and_new(boards, [arm]).droplevel("arm") for arm in (("raw", "clip"), ("raw", "none")))
    clip, none = ((table[seen] - table[new]).dropna() for table in by_arm)
    simulated = sum("simulated" in title for title in clip.index)
    return (
        f"From seen to new batches CLIP loses {clip.min():.1f} to {clip.max():.1f} points of others beaten, and no training "
        f"{none.min():.1f} to {none.max():.1f}: CLIP loses more on {(clip > none).sum()} of {len(clip)} screens, "
        f"{simulated} of them simulated."
    )


def audited(boards: Mapping[str, StoredResult]) -> str:
    """Markdown: what an audit of the embeddings of one fold's new batches says of the arms that are trained, by screen."""
    lines = []
    for name, of in boards.items():
        verdicts = Counter(
            cell["audit"]["verdict"]
            for cell in of.results["cells"]
            if cell.get("audit")
            and cell["method"] in TRAINED
            and cell["correction"] not in of.parameters["transductive"]
        )
        said = ", ".join(f"{verdict} {count}" for verdict, count in verdicts.most_common())
        lines.append(f"- {title_of(name, of)}: {said}.")
    head = "An audit of the embeddings of one fold's new batches, number of trained arms (corrections with † left out):"
    unclean, clean = cleared(boards)
    made = f"{len(clean)} of them clean: {listed(clean)}" if clean else "none of them clean"
    return "\n".join(
        [f"{head}\n", *lines, f"\nOf {unclean} arms whose untrained readout was not clean, training made {made}."]
    )


def cleared(boards: Mapping[str, StoredResult]) -> tuple[int, list[str]]:
    """Trained arms whose readout, corrected alike and not trained, is not clean: their number, and those that are clean."""
    unclean, clean = 0, []
    for name, of in boards.items():
        verdicts = {
            (cell["correction"], cell["method"]): cell["audit"]["verdict"]
            for cell in of.results["cells"]
            if cell.get("audit") and cell["correction"] not in of.parameters["transductive"]
        }
        trained = [arm for arm in verdicts if arm[1] in TRAINED and verdicts[arm[0], "none"] != "clean"]
        unclean += len(trained)
        clean += [f"{label(arm, of)} on {title_of(name, of)}" for arm in trained if verdicts[arm] == "clean"]
    return unclean, clean


def outcomes(boards: Mapping[str, StoredResult], comparison: str, score: str) -> str:
    """What a planned comparison says, by screen: "**above** on A; not told apart on B and C"."""
    told: dict[str, list[str]] = {}
    for name, of in read_on(boards, score).items():
        told.setdefault(comparisons(of, score).loc[comparison, "said"], []).append(title_of(name, of))
    words = {said: said if said == "not told apart" else f"**{said}**" for said in told}
    return "; ".join(f"{words[said]} on {listed(screens)}" for said, screens in sorted(told.items()))


def sizes(folds: StoredResult) -> pd.DataFrame:
    """Molecules and batches of each part of a fold, mean over the folds, as "808 in 110": a row a screen."""
    rows: dict[str, dict[str, str]] = {}
    for name, of in folds.results.items():
        for part in ("training", *TESTS):
            molecules, batches = (
                np.mean([fold[part][what] for fold in of["folds"]]) for what in ("molecules", "batches")
            )
            rows.setdefault(SCREEN_NAMES[name], {})[part] = f"{molecules:,.0f} in {batches:.0f}" if molecules else ""
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


def claim(boards: Mapping[str, StoredResult]) -> str:
    """What training on the information bound adds, over centring the batches, on new plates: a sentence a referee checks."""
    rows = pd.DataFrame({name: comparisons(of).iloc[0] for name, of in _real(boards).items()}).T
    said = [f"{SCREEN_NAMES[n]} {r.difference:+.1f} [{r.low:+.1f}, {r.high:+.1f}]" for n, r in rows.iterrows()]
    words = rows["said"].tolist()
    if all(word == "level" for word in words):
        what = f"adds nothing that matters: less than {MARGIN:g} points on every real screen"
    elif "above" in words or "below" in words:
        what = f"is above on {words.count('above')} and below on {words.count('below')} of {len(words)} real screens"
    else:
        seen = rows["detectable"].astype(float)
        what = f"is not told from centring alone; a difference of {seen.min():.1f} to {seen.max():.1f} points would have been"
    return f"On new molecules on new plates, InfoCORE on centred batches, against CLIP on them, {what} ({'; '.join(said)})."


def claim_together(boards: Mapping[str, StoredResult]) -> str:
    """`claim` over all real screens at once, which the plan did not have."""
    row = together(boards).iloc[0]
    return (
        f"Over the {row.screens} real screens together (random effects, not planned): {row.difference:+.1f} "
        f"[{row.low:+.1f}, {row.high:+.1f}] points, **{row.said}**."
    )
