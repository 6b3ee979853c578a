"""Tables and sentences of the board, from ``results/new_plates_<screen>.json``; everything that is said is computed."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from infocore_mini.evaluate.seeds import detectable, half_width, outcome, t_interval
from infocore_mini.experiments.names import METHOD_NAMES, RIVAL_NAMES
from infocore_mini.experiments.new_plates.folds import NEW, TESTS
from infocore_mini.experiments.results import StoredResult

MARGIN = 2.0  # percentage points of "beaten", within which a difference does not matter
SCREEN_NAMES = MappingProxyType(
    {
        "connectivity_map": "Connectivity Map",
        "zebrafish": "zebrafish behaviour",
        "yeast": "yeast growth",
        "comas": "COMAS cell painting",
        "dahlin": "Dahlin 2023",
        "simulated": "simulated gene expression",
    }
)
NAMES = MappingProxyType(
    {
        **METHOD_NAMES,
        **RIVAL_NAMES,
        "none": "no training",
        "pca": "PCA",
        "batch_mean": "mean of the batch",
        "cell_count": "cell count",
    }
)
RETRIEVED = frozenset(SCREEN_NAMES) - {"dahlin"}  # screens with enough molecules to retrieve from
Arm = tuple[str, str]  # correction, method
_NO_FOLD = pd.MultiIndex.from_arrays([[], [], []], names=["correction", "method", "fold"])
CLAIM: tuple[Arm, Arm] = (("batch centring", "infocore"), ("batch centring", "clip"))
COMPARISONS: tuple[tuple[Arm, Arm], ...] = (
    CLAIM,
    (("raw", "infocore"), ("batch centring", "clip")),
    (("raw", "infocore"), ("raw", "clip")),
    (("batch centring", "clip"), ("raw", "clip")),
    (("raw", "clip"), ("raw", "none")),
    (("raw", "ccl"), ("raw", "clip")),
    (("raw", "ccl_k"), ("raw", "clip")),
    (("raw", "reversal"), ("raw", "clip")),
    (("raw", "hsic"), ("raw", "clip")),
    (("stabilised", "infocore"), ("raw", "infocore")),
)
SHOWN = ("beaten", "top 1", "top 5", "top 10")


def label(arm: Arm, of: StoredResult) -> str:
    """What the pages call an arm: "InfoCORE, ComBat †" where the correction saw the wells of the test."""
    correction, method = arm
    return f"{NAMES[method]}, {correction}" + (" †" if correction in of.parameters["transductive"] else "")


def overlap(of: StoredResult, test: str = NEW) -> float:
    """Test conditions over training conditions, mean over the folds: of Nadeau and Bengio's correction."""
    return float(
        np.mean([f[test]["conditions"] / f["training"]["conditions"] for f in of.parameters["folds"]["folds"]])
    )


def by_fold(of: StoredResult, test: str = NEW, library: str = "whole") -> pd.DataFrame:
    """Percent, by (correction, method, fold): `SHOWN`, their chance levels, "worst batch"; "replicates"; "own batch".

    Of neighbours in the own batch also "permuted", by chance, and the "excess" over it.

    Folds without such a test, or cells that are not possible, have no row.
    """
    rows = {}
    for cell in of.results["cells"]:
        tested = cell.get("tests", {}).get(test)
        found = tested and tested[library]
        if not found:
            continue
        new = cell["new batches"]
        values = {name: found[name] for name in SHOWN} | {f"chance {k}": found[f"chance {k}"] for k in (1, 5, 10)}
        values |= {"worst batch": found["worst batch"], "replicates": new["replicates"]}
        mixing = new["mixing"] or {"own batch": np.nan, "permuted": np.nan}
        values |= {**mixing, "excess": mixing["own batch"] - mixing["permuted"]}
        rows[cell["correction"], cell["method"], cell["fold"]] = values
    index = pd.MultiIndex.from_tuples(rows, names=["correction", "method", "fold"]) if rows else _NO_FOLD
    return 100 * pd.DataFrame(list(rows.values()), index=index, dtype=float).sort_index()


def not_possible(of: StoredResult) -> dict[Arm, str]:
    """Cells that a screen has not the wells for, and why."""
    return {
        (cell["correction"], cell["method"]): cell["not possible"]
        for cell in of.results["cells"]
        if "not possible" in cell
    }


def board(of: StoredResult, test: str = NEW, library: str = "whole") -> pd.DataFrame:
    """The board of a screen: a row an arm, dumb baselines first; mean over folds ± half of the 95 % interval, as text.

    Columns: `SHOWN` and "worst batch", percent; "chance 1"; "replicates", normalised mean average precision across
    new batches; "own batch" and "permuted"; "audit" of one fold.
    """
    table, share = by_fold(of, test, library), overlap(of, test)
    audits = {
        (cell["correction"], cell["method"]): cell["audit"]["verdict"]
        for cell in of.results["cells"]
        if cell.get("audit")
    }
    rows = {}
    for arm in dict.fromkeys((cell["correction"], cell["method"]) for cell in of.results["cells"]):
        if arm not in table.index.droplevel("fold"):
            continue
        found = table.loc[arm]
        values = {name: text(found[name], share) for name in (*SHOWN, "worst batch", "replicates", "own batch")}
        means = {name: f"{found[name].mean():.1f}" for name in ("chance 1", "permuted")}
        rows[label(arm, of)] = values | means | {"audit": audits.get(arm, "")}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("arm")


def text(values: pd.Series, share: float) -> str:
    """Mean ± half of the interval; the mean alone of three folds or fewer, whose interval says next to nothing."""
    values = values.dropna()
    if not len(values):
        return ""
    half = half_width(values, overlap=share) if len(values) > 3 else np.nan
    return f"{values.mean():.1f}" + (f" ± {half:.1f}" if np.isfinite(half) else "")


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values: the i-th smallest of m times m - i + 1, made monotone (Holm 1979)."""
    order = np.argsort(p_values)
    steps = np.array(p_values, dtype=float)[order] * np.arange(len(p_values), 0, -1)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.maximum.accumulate(steps).clip(max=1)
    return adjusted.tolist()


def comparisons(of: StoredResult, score: str = "beaten", test: str = NEW) -> pd.DataFrame:
    """The planned comparisons of a screen, paired by fold, in percentage points.

    Returns:
        A row each: "difference", "low", "high" (95 %, for folds that share training), "error", "p", "p_adjusted" (Holm over the
        rows), "detectable" (seen four times in five), "said": above, below, level or not told apart. A comparison
        is above or below where its adjusted p-value is below 0.05.
    """
    table, share = by_fold(of, test)[score], overlap(of, test)
    rows = {}
    for ours, theirs in COMPARISONS:
        if any(arm not in table.index.droplevel("fold") for arm in (ours, theirs)):
            continue
        values = (table[ours] - table[theirs]).dropna()
        if len(values) < 2:
            continue
        found, n = t_interval(values, overlap=share), len(values)
        error = (found.high - found.mean) / stats.t.ppf(0.975, n - 1)
        p = 2 * stats.t.sf(abs(found.mean) / error, n - 1) if error > 0 else float(found.mean == 0)
        rows[f"{label(ours, of)} minus {label(theirs, of)}"] = {
            **found._asdict(),
            "error": error,
            "p": p,
            "detectable": detectable(values, overlap=share),
            "folds": n,
        }
    frame = (
        pd.DataFrame.from_dict(rows, orient="index").rename(columns={"mean": "difference"}).rename_axis("comparison")
    )
    if len(frame):
        frame["p_adjusted"] = holm(frame["p"].tolist())
        frame["said"] = [_said(row.low, row.high, row.p_adjusted) for row in frame.itertuples()]
    return frame


def _said(low: float, high: float, p_adjusted: float) -> str:
    """Above or below where the adjusted p-value says so; else level within the margin, or not told apart."""
    if p_adjusted < 0.05:
        return outcome(low, high, more="above", less="below")
    return "level" if max(-low, high) < MARGIN else "not told apart"


def verdict(name: str, of: StoredResult) -> str:
    """A line on a screen, in plain language: Markdown."""
    title = f"**{title_of(name, of)}**"
    if name not in RETRIEVED:
        return f"{title}: too few molecules to retrieve from; {_best_replicates(of)}."
    found, inductive = comparisons(of), inductive_means(of)
    best, claim = inductive.idxmax(), found.iloc[0]
    apart = [f"{row.Index} {row.difference:+.1f}" for row in found.itertuples() if row.said in ("above", "below")]
    told = "; ".join(apart) if apart else "none of the planned comparisons is told apart"
    return (
        f"{title}: on new plates the right molecule beats {inductive.max():.1f} % of the others with "
        f"{label(best, of)}, {inductive['raw', 'none']:.1f} % without training (50 by chance). {told[0].upper()}{told[1:]}. InfoCORE on "
        f"centred batches, against CLIP on them: {claim.said}, {claim.difference:+.1f} [{claim.low:+.1f}, {claim.high:+.1f}] points."
    )


def _best_replicates(of: StoredResult) -> str:
    mean = inductive_means(of, "replicates").dropna()
    best = mean.idxmax()
    return (
        f"replicates on new plates find each other best with {label(best, of)}, {mean.max():.1f} percent of a perfect "
        f"order, and {mean['raw', 'none']:.1f} without training (0 by chance)"
    )


def inductive_means(of: StoredResult, score: str = "beaten") -> pd.Series:
    """Mean score of each arm whose correction has not seen the test, on new molecules and new batches."""
    means = by_fold(of)[score].groupby(level=["correction", "method"]).mean()
    return means[[correction not in of.parameters["transductive"] for correction, _ in means.index]]


def title_of(name: str, of: StoredResult) -> str:
    """The screen's name, and that it is simulated if it is."""
    title = SCREEN_NAMES[name]
    return title if not of.parameters["simulated"] or "simulated" in title else f"{title} (simulated)"


def alphas(of: StoredResult) -> pd.DataFrame:
    """Alpha chosen without labels on held-out plates of training, against 0.33: a row a rule, in points of "beaten".

    "retrieval": the highest validation score; "mixing": the least excess of neighbours in the own batch; of equals the
    smallest alpha. Columns: "chosen", the alphas of the folds; "difference" to 0.33 on the test, "low", "high".
    """
    rows = pd.DataFrame(of.results["alpha"])
    rows["mixing"] = [None if found is None else found["permuted"] - found["own batch"] for found in rows["mixing"]]
    fixed = rows[rows["alpha"] == 0.33].set_index("fold")["beaten"].astype(float)
    table = {}
    for rule in ("validation", "mixing"):
        known = rows.dropna(subset=[rule, "beaten"]).sort_values("alpha", kind="stable")
        best = (
            known.loc[known.groupby("fold")[rule].idxmax()].set_index("fold") if len(known) else known.set_index("fold")
        )
        difference = 100 * (best["beaten"].astype(float) - fixed).dropna()
        if not len(difference):
            continue
        found = t_interval(difference, overlap=overlap(of))
        name = "retrieval" if rule == "validation" else rule
        table[name] = {"chosen": best["alpha"].tolist(), "difference": found.mean, "low": found.low, "high": found.high}
    return pd.DataFrame.from_dict(table, orient="index").rename_axis("rule")


def tests_of(of: StoredResult, arm: Arm) -> pd.DataFrame:
    """One arm on all three tests, one training: mean "beaten", its worst batch, molecules in the library of a fold."""
    rows: dict[str, dict[str, Any]] = {}
    for test in TESTS:
        table = by_fold(of, test)
        if arm in table.index.droplevel("fold"):
            molecules = [f[test]["molecules"] for f in of.parameters["folds"]["folds"]]
            found = table.loc[arm]
            rows[test] = {"beaten": found["beaten"].mean(), "worst batch": found["worst batch"].mean()}
            rows[test] |= {"molecules": float(np.mean(molecules))}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("test")
