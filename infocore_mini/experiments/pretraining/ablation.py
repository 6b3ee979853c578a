"""What chapter 9 says in words: every sentence is written by the stored numbers.

"Higher" and "lower" mean a 95 % interval of the difference, paired by seed, that leaves zero out; "within m of it" means
an interval inside the margin m; all else is "not told apart", with the smallest change that would have been.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy import stats

from infocore_mini.evaluate.seeds import Interval, detectable, t_interval
from infocore_mini.experiments.names import listed
from infocore_mini.experiments.pretraining.report import Tables, accuracy_by_seed

LIBRARIES = ("whole", "batch")
MARGIN = 10.0  # percent of CLIP's accuracy: within it two arms are called level


def changes(by_arm: Tables, library: str, pairs: Sequence[tuple[str, str]], top: int = 1) -> pd.DataFrame:
    """Change of top-k accuracy in percent of the reference's, paired by seed: rows (arm, reference).

    Columns: mean, low, high (95 % t-interval), "could be seen" (``evaluate.seeds.detectable``).
    """
    accuracy, overlap = accuracy_by_seed(by_arm, library, top), by_arm.overlap
    rows = {}
    for arm, reference in pairs:
        relative = 100 * (accuracy[arm] / accuracy[reference] - 1)
        rows[arm, reference] = t_interval(relative, overlap=overlap)._asdict()
        rows[arm, reference]["could be seen"] = detectable(relative, overlap=overlap)
    return pd.DataFrame(rows).T.astype(float)


def said(row: pd.Series, margin: float = MARGIN) -> str:
    """A row of ``changes`` in words: "+16 % [4, 27], higher"."""
    numbers = f"{row['mean']:+.0f} % [{row['low']:.0f}, {row['high']:.0f}]"
    outcomes = ["higher"] if row["low"] > 0 else ["lower"] if row["high"] < 0 else []
    if -margin < row["low"] and row["high"] < margin:
        outcomes.append(f"within {margin:.0f} % of it")
    if outcomes:
        return f"{numbers}, {listed(outcomes)}"
    return f"{numbers}, not told apart ({row['could be seen']:.0f} % would have been)"


def lines(by_arm: Tables, pairs: Sequence[tuple[str, str]]) -> str:
    """Markdown: for each (arm, reference) the change of top-1 accuracy in both libraries, and what it says."""
    tables = {library: changes(by_arm, library, pairs) for library in LIBRARIES}
    return "\n".join(
        f"- {arm} against {reference}: "
        + "; ".join(f"{library} library {said(tables[library].loc[(arm, reference)])}" for library in LIBRARIES)
        + "."
        for arm, reference in pairs
    )


def further_down(by_arm: Tables, reference: str, tops: Sequence[int] = (5, 10)) -> str:
    """Markdown: for each arm its changes against the reference, beyond top 1, whose interval leaves zero out."""
    said_of = []
    for arm in (arm for arm in by_arm if arm != reference):
        rows = {
            f"{library} library, top {top}": changes(by_arm, library, [(arm, reference)], top).iloc[0]
            for library in LIBRARIES
            for top in tops
        }
        told = [
            f"{where} {row['mean']:+.1f} % [{row['low']:.1f}, {row['high']:.1f}]"
            for where, row in rows.items()
            if row["low"] > 0 or row["high"] < 0
        ]
        said_of.append(f"- {arm} against {reference}: {'; '.join(told) or 'nothing is told'}.")
    return "\n".join(said_of)


def beside_paper(by_arm: Tables, pairs: Sequence[tuple[str, str]], paper: pd.DataFrame) -> pd.DataFrame:
    """Change of top-1 accuracy in percent, ours as text "+17 [12, 22]", and the change that the paper's numbers make.

    Args:
        paper: percent, with rows of the same names, columns (library, top).
    """
    columns = {}
    for library in LIBRARIES:
        ours, printed = changes(by_arm, library, pairs), paper[library, 1]
        cells = ours[["mean", "low", "high"]].itertuples(index=False)
        columns[library, "ours"] = [f"{mean:+.0f} [{low:.0f}, {high:.0f}]" for mean, low, high in cells]
        columns[library, "paper"] = [f"{100 * (printed[arm] / printed[other] - 1):+.0f}" for arm, other in pairs]
    return pd.DataFrame(columns, index=[f"{arm} over {reference}" for arm, reference in pairs])


# ------------------------------------------------------------------ Table 5


def inside(by_arm: Tables, paper: pd.DataFrame, reference: str = "CLIP") -> pd.DataFrame:
    """Which of the paper's top-1 changes, in percent of its reference's, lie in our intervals: rows (library, arm)."""
    pairs = [(arm, reference) for arm in by_arm if arm != reference]
    rows = {}
    for library in LIBRARIES:
        for (arm, _), ours in changes(by_arm, library, pairs).iterrows():
            printed = 100 * (paper.loc[arm, (library, 1)] / paper.loc[reference, (library, 1)] - 1)
            rows[library, arm] = dict(ours) | {"paper": printed, "inside": bool(ours["low"] <= printed <= ours["high"])}
    return pd.DataFrame(rows).T


def order(by_arm: Tables, paper: pd.DataFrame, draws: int = 4000) -> pd.DataFrame:
    """Spearman's rank correlation of our arms with the paper's, top 1, beside what it would be, were the paper's changes true.

    The error of an arm's mean is pooled over arms: what arm and seed leave of the accuracies, (arms - 1) (seeds - 1)
    degrees of freedom, normal and the same for every arm.

    Returns:
        A row a library: "found"; "low", "high": 95 % of the draws around our means; "paper low", "paper high": around the
        paper's accuracies, scaled to our CLIP's; "random": 95 % of random orders lie within +- it.
    """
    generator, rows = np.random.default_rng(0), {}
    for library in LIBRARIES:
        accuracy, printed = accuracy_by_seed(by_arm, library)[list(paper.index)], paper[library, 1]
        ours, n = accuracy.mean(), len(accuracy)
        rest = accuracy.sub(ours).sub(accuracy.mean(axis=1) - ours.mean(), axis=0)
        freedom = (n - 1) * (len(ours) - 1)
        scale = np.sqrt((rest**2).to_numpy().sum() / n / generator.chisquare(freedom, (draws, 1)))
        noise = scale * generator.standard_normal((draws, len(ours)))
        row = {"found": float(_rank_correlation(ours.to_numpy()[None], printed)[0])}
        for name, true in (("", ours), ("paper ", printed / printed["CLIP"] * ours["CLIP"])):
            values = _rank_correlation(true.to_numpy() + noise, printed)
            row[f"{name}low"], row[f"{name}high"] = np.quantile(values, [0.025, 0.975])
        shuffled = _rank_correlation(generator.standard_normal((draws, len(ours))), printed)
        rows[library] = row | {"random": np.quantile(np.abs(shuffled), 0.95)}
    return pd.DataFrame(rows).T


def _rank_correlation(drawn: np.ndarray, printed: pd.Series) -> np.ndarray:
    """(draws,) Spearman's rank correlation of each row of (draws, arms) with the paper's accuracies."""
    ranks, others = stats.rankdata(drawn, axis=1), stats.rankdata(printed)
    ranks, others = ranks - ranks.mean(1, keepdims=True), others - others.mean()
    return ranks @ others / np.sqrt((ranks**2).sum(1) * (others**2).sum())


def against_table_5(by_arm: Tables, paper: pd.DataFrame) -> str:
    """Markdown: how many of the paper's changes our intervals hold, and whether our order speaks against the paper's."""
    found = inside(by_arm, paper)
    outside = [f"{arm} ({library})" for (library, arm), row in found.iterrows() if not row["inside"]]
    text = [
        f"- One by one: of the paper's {len(found)} changes of top-1 accuracy against CLIP, in percent, "
        f"{int(found['inside'].sum())} lie inside our 95 % intervals"
        + (f"; not {listed(outside)}." if outside else ".")
    ]
    for library, row in order(by_arm, paper).iterrows():
        differs = row["found"] < row["paper low"]
        verdict = "below that: the order is another" if differs else "within that: another order is *not shown*"
        text.append(
            f"- Together, {library} library: rank correlation {row['found']:+.2f} [{row['low']:+.2f}, {row['high']:+.2f}]. "
            f"Were the paper's changes true on our screen, errors like ours would leave {row['paper low']:+.2f} to "
            f"{row['paper high']:+.2f}; ours is {verdict}. "
            f"(Random orders: up to ±{row['random']:.2f}.)"
        )
    return "\n".join(text)


# ------------------------------------------------------------------ alpha and lambda


def probes(records: Sequence[Mapping], side: str) -> pd.DataFrame:
    """Percent of batches that a linear probe names from the embeddings of one side: rows seeds, columns arms."""
    rows = pd.DataFrame({"arm": r["arm"], "seed": r["seed"], "probe": 100 * r["probe"][side]} for r in records)
    return rows.pivot(index="seed", columns="arm", values="probe")[list(dict.fromkeys(rows["arm"]))]


def what_each_side_keeps(records: Sequence[Mapping], reference: str = "clip") -> pd.DataFrame:
    """The batch probe on both embeddings as text, in points against the reference, paired by seed: a row an arm.

    Columns (side, what): "percent", "change" with its 95 % interval, "could be seen".
    """
    table = {}
    for side in ("screen", "drug"):
        values = probes(records, side)
        for arm in values:
            table.setdefault(arm, {})[side, "percent"] = f"{values[arm].mean():.1f}"
            if arm != reference:
                change = values[arm] - values[reference]
                found = t_interval(change)
                table[arm][side, "change"] = f"{found.mean:+.1f} [{found.low:.1f}, {found.high:.1f}]"
                table[arm][side, "could be seen"] = f"{detectable(change):.1f}"
    wide = pd.DataFrame.from_dict(table, orient="index").fillna("")
    columns = [(side, what) for side in ("screen", "drug") for what in ("percent", "change", "could be seen")]
    return wide.reindex(columns=pd.MultiIndex.from_tuples(columns), fill_value="")


def drug_side(records: Sequence[Mapping], reference: str = "clip", setting: str = "alpha = 0.33") -> str:
    """Markdown: what alpha and lambda change on the drug side, where InfoCORE at the paper's setting changes little.

    Args:
        records: of the sweep.
        setting: the arm with the paper's alpha and lambda.
    """
    values = probes(records, "drug")
    base = values[reference]
    moved = {arm: t_interval(values[arm] - base) for arm in values if arm != reference}
    lower = [f"{arm} ({_points(found)})" for arm, found in moved.items() if found.high < 0]
    rest = [
        f"{arm} ({_points(found)}; {detectable(values[arm] - base):.1f} would have been seen)"
        for arm, found in moved.items()
        if found.high >= 0
    ]
    text = [
        f"- The probe names the batch from CLIP's drug embedding in {base.mean():.1f} % of the cases, from InfoCORE's at the "
        f"paper's setting in {values[setting].mean():.1f} %. Told apart from CLIP: {listed(lower)}."
    ]
    if rest:
        text.append(f"- Not told apart: {listed(rest)}.")
    further = {arm: t_interval(values[arm] - values[setting]) for arm in values if arm not in (reference, setting)}
    below = [f"{arm} ({_points(found)})" for arm, found in further.items() if found.high < 0]
    text.append(
        f"- Below InfoCORE at the paper's setting: {listed(below)}."
        if below
        else "- None is below InfoCORE at the paper's setting."
    )
    return "\n".join(text)


def _points(found: Interval) -> str:
    return f"{found.mean:+.1f} points [{found.low:.1f}, {found.high:.1f}]"


def drug_side_in_short(records: Sequence[Mapping], reference: str = "clip", setting: str = "alpha = 0.33") -> str:
    """Markdown, two sentences: what InfoCORE leaves of the batch on the drug side, and which setting leaves least."""
    values = probes(records, "drug")
    least = values.mean().idxmin()
    ours, strongest = (t_interval(values[arm] - values[reference]) for arm in (setting, least))
    return (
        f"From the drug embedding alone a linear probe names the batch in {values[setting].mean():.1f} % of the cases after "
        f"InfoCORE at the paper's setting and in {values[reference].mean():.1f} % after CLIP ({_points(ours)}): there is little "
        f"for the two to differ in. The setting that leaves least is {least} ({_points(strongest)})."
    )
