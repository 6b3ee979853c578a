"""Where real screens lie on the (simulated) phase diagram, what it predicts for them, and whether the board agrees."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from infocore_mini.evaluate.seeds import t_interval
from infocore_mini.experiments.new_plates.phases import AXES, CENTRE, CENTRED
from infocore_mini.experiments.new_plates.report import MARGIN, NAMES, SCREEN_NAMES, by_fold
from infocore_mini.experiments.results import StoredResult

# arm of the board -> method of the diagram
ARMS: Mapping[tuple[str, str], str] = MappingProxyType(
    {
        ("raw", "clip"): "clip",
        ("raw", "ccl"): "ccl",
        ("raw", "ccl_k"): "ccl_k",
        ("raw", "infocore"): "infocore",
        ("batch centring", "clip"): CENTRED,
    }
)
STRUCTURE = MappingProxyType(  # screens as ``structure_arrow`` calls them
    {
        "connectivity_map": "Connectivity Map",
        "zebrafish": "zebrafish behaviour",
        "yeast": "yeast growth",
        "comas": "COMAS cell painting",
    }
)
AUDITED = MappingProxyType(  # and as ``audit_screens`` does
    {
        "connectivity_map": "Connectivity Map",
        "zebrafish": "zebrafish behaviour",
        "yeast": "yeast growth",
        "comas": "COMAS",
    }
)


def curves(axes: Mapping[str, StoredResult], part: str = "new", library: str = "whole") -> pd.DataFrame:
    """Percent of the other molecules that the right one beats: rows (axis, value, method), columns mean, low, high.

    ``low`` and ``high`` are the 95 % interval over draws. All of it is simulated.
    """
    rows = {}
    for axis, of in axes.items():
        table = pd.DataFrame(of.results["rows"])
        table["beaten"] = [100 * found[library]["beaten"] if found[library] else np.nan for found in table[part]]
        for (value, method), found in table.groupby([axis, "method"], sort=False)["beaten"]:
            rows[axis, value, method] = t_interval(found)._asdict()
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(["axis", "value", "method"])


def excess(own: float, permuted: float) -> float:
    """Neighbours in the own batch beyond permuted labels: 0 = none, 1 = all."""
    return (own - permuted) / (1 - permuted)


def positions(
    axes: Mapping[str, StoredResult], arrow: StoredResult, audits: StoredResult, screens: Mapping[str, StoredResult]
) -> pd.DataFrame:
    """The value of each axis that is nearest to each real screen, by what an experimenter can measure.

    Strength by neighbours in the own batch (``audit_screens``), confounding by how well structure tells the batch
    (``structure_arrow``), both beside what the simulated draws show; molecules per batch and batches by the training
    parts of the folds, on a log scale; temperature as CLIP's search chose it.
    """
    rows = {}
    for name in STRUCTURE:
        training = [fold["training"] for fold in screens[name].parameters["folds"]["folds"]]
        batches = np.mean([part["batches"] for part in training])
        size = np.mean([part["conditions"] / part["batches"] for part in training])
        auc = np.mean([split["auc"] for split in arrow.results[STRUCTURE[name]]["splits"]])
        found = next(
            finding
            for finding in audits.results["audits"][f"{AUDITED[name]} / none"]["findings"]
            if (finding["rows"], finding["nuisance"], finding["check"])
            == ("treated", "experimental batch", "neighbours")
        )
        seen = _seen(axes["strength"], "strength", lambda row: excess(row["own batch"], row["permuted"]))
        tells = _seen(axes["confounding"], "confounding", lambda row: row["auc"])
        rows[name] = {
            "per_batch": _nearest({v: np.log(v) for v in _values("per_batch")}, np.log(size)),
            "n_batches": _nearest({v: np.log(v) for v in _values("n_batches")}, np.log(batches)),
            "strength": _nearest(seen, excess(found["observed"], found["expected"])),
            "confounding": _nearest(tells, auc),
            "temperature": _nearest(
                {v: np.log(v) for v in _values("temperature")},
                np.log(screens[name].results["chosen"]["clip"]["candidate"]["temperature"]),
            ),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("screen")


def _values(axis: str) -> list[float]:
    return [getattr(dials, axis) for dials in AXES[axis]]


def _seen(of: StoredResult, axis: str, measure) -> dict[float, float]:
    found: dict[float, list[float]] = {}
    for row in of.results["measured"]:
        found.setdefault(row[axis], []).append(measure(row))
    return {value: float(np.mean(seen)) for value, seen in found.items()}


def _nearest(measured: Mapping[float, float], value: float) -> float:
    return min(measured, key=lambda key: abs(measured[key] - value))


def predicted(table: pd.DataFrame, position: Mapping[str, float]) -> pd.Series:
    """Percent beaten that the diagram predicts at a position, by method: the centre's, plus what each axis adds."""
    means = table["mean"].unstack("method")
    total = means.loc["strength", CENTRE.strength]
    for axis, value in position.items():
        total = total + means.loc[axis, value] - means.loc[axis, getattr(CENTRE, axis)]
    return total


def placed(table: pd.DataFrame, where: pd.DataFrame, screens: Mapping[str, StoredResult]) -> pd.DataFrame:
    """Whether the diagram's prediction holds on the board, on new molecules and new batches.

    Returns:
        A row a screen: "predicted" and "found", InfoCORE minus centring + CLIP in points, and whether both are above,
        below or within the margin ("right"); the best of the five arms as predicted and as found; "rank", Spearman's
        correlation of the five.
    """
    rows = {}
    for name, position in where.iterrows():
        by_arm = by_fold(screens[name])["beaten"].groupby(level=["correction", "method"]).mean()
        found = pd.Series({method: by_arm[arm] for arm, method in ARMS.items() if arm in by_arm.index})
        told = predicted(table, position.to_dict())[found.index]
        difference = {
            key: values["infocore"] - values[CENTRED] for key, values in (("predicted", told), ("found", found))
        }
        rows[name] = {
            **difference,
            "right": _side(difference["predicted"]) == _side(difference["found"]),
            "best predicted": told.idxmax(),
            "best found": found.idxmax(),
            "rank": float(spearmanr(told, found).statistic),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("screen")


def _side(difference: float) -> int:
    return 0 if abs(difference) < MARGIN else int(np.sign(difference))


def sentence(found: pd.DataFrame) -> str:
    """How many of the real screens the diagram placed rightly: Markdown."""
    each = "; ".join(
        f"{SCREEN_NAMES[name]}: predicted {row.predicted:+.1f}, found {row.found:+.1f}"
        for name, row in zip(found.index, found.itertuples())
    )
    named = int((found["best predicted"] == found["best found"]).sum())
    signs = int((found["predicted"] * found["found"] > 0).sum())
    return (
        f"The diagram, which is simulated, places {int(found['right'].sum())} of {len(found)} real screens rightly by "
        f"{NAMES['infocore']} against {CENTRED} on new plates ({each} points; rightly: both beyond {MARGIN:g} "
        f"points on one side, or both within), has the sign right on {signs or 'none'}, and names the best of five arms on {named or 'none'}."
    )
