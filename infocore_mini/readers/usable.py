"""What of the wells of a file can be used: no missing or absurd values, no feature that measures nothing, no well twice."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import gammaln

from .tables import LEFT_OUT_COLUMNS, listed, report, require
from .wells import Wells

ABSURD = 1e12  # a readout divided by a spread of 0 upstream; float32 overflows at 3.4e38
ACCIDENT = np.log(1e-9)  # log-probability at which a measured feature may look like a label
SELDOM = 0.05  # probability that two rows agree, below which replicates that agree were not measured
LABELS = {"batch": "experimental batch", "plate": "plate", "well": "well", "cell_line": "cell line", "name": "molecule"}


def without_missing(
    wells: Wells,
    source: str,
    *,
    tolerance: float = 0.0,
    elsewhere: NDArray[np.bool_] | None = None,
    all_features: bool = False,
) -> tuple[Wells, pd.DataFrame]:
    """The wells and features without missing values; a value of 1e12 or more, or infinity, counts as missing.

    As long as a value is missing, the well or feature with the largest share of missing values goes (on a tie the
    feature): each step loses the fewest values for each gap that it closes.  So one bad well costs no feature, and one
    bad feature no well.

    Args:
        wells: all wells of the files.
        source: what to name in an error.
        tolerance: wells and features with at most this share of missing values stay, their gaps as NaN.
        elsewhere: (n_wells, n_g) booleans: NaN that is meant, since the well's file has no such feature; not counted.
        all_features: every feature stays, and each well with more than the tolerance goes.

    Returns:
        The wells, and a table like `ReadScreen.left_out`.

    Raises:
        ReadError: for a tolerance outside [0, 1), or if nothing is left.
    """
    require(0 <= tolerance < 1, "tolerance", tolerance, "a share from 0 to below 1")
    if all((np.abs(column) < ABSURD).all() for column in wells.profile.T):  # without the memory of what follows
        return wells, pd.DataFrame(columns=LEFT_OUT_COLUMNS)
    absurd = (wells.profile >= ABSURD) | (wells.profile <= -ABSURD)
    bad = absurd | np.isnan(wells.profile)
    if elsewhere is not None:
        bad &= ~elsewhere
    if not bad.any():
        return wells, pd.DataFrame(columns=LEFT_OUT_COLUMNS)
    if all_features:
        kept, features = bad.mean(axis=1) <= tolerance, np.ones(bad.shape[1], dtype=bool)
    else:
        kept, features = largest_complete(bad, tolerance)
    n_bad, n_all = int(bad.sum()), bad.size
    expected = f"fewer, or a tolerance above {tolerance:g}"
    require(
        kept.any() and features.any(), source, f"{n_bad} missing among {n_all} values, which leaves nothing", expected
    )
    names = np.asarray(wells.feature_names, dtype=object)
    of_feature = _reasons("feature", np.any(absurd[:, ~features], axis=0).tolist())
    of_well = _reasons("well", np.any(absurd[~kept], axis=1).tolist())
    left_out = [
        report(names[~features], of_feature).assign(profiles=len(wells)),
        report(well_names(wells.info)[~kept], of_well),
    ]
    profile = np.where(bad, np.float32(np.nan), wells.profile) if tolerance else wells.profile
    info = wells.info[kept].reset_index(drop=True)
    found = replace(wells, profile=profile[np.ix_(kept, features)], info=info, feature_names=tuple(names[features]))
    return found, pd.concat(left_out, ignore_index=True)


def largest_complete(bad: NDArray[np.bool_], tolerance: float) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Rows and columns, as booleans, that stay when the line with the largest share of `bad` goes as long as one has."""
    rows, columns = (np.ones(n, dtype=bool) for n in bad.shape)
    of_row, of_column = bad.sum(1), bad.sum(0)
    while rows.any() and columns.any():
        row, column = int(of_row.argmax()), int(of_column.argmax())
        of_this_row, of_this_column = of_row[row] / columns.sum(), of_column[column] / rows.sum()
        if max(of_this_row, of_this_column) <= tolerance:
            break
        if of_this_column >= of_this_row:
            columns[column], of_column[column] = False, -len(bad)
            of_row -= bad[:, column]
        else:
            rows[row], of_row[row] = False, -bad.shape[1]
            of_column -= bad[row]
    return rows, columns


def without_idle_features(wells: Wells, source: str) -> tuple[Wells, pd.DataFrame]:
    """The features that vary and repeat no earlier one, missing and absurd values aside; and a table of the others.

    Raises:
        ReadError: if no feature is left.
    """
    idle: list[str] = []
    missing: list[str] = []
    again: list[tuple[str, str]] = []
    seen: dict[bytes, str] = {}
    for k, name in enumerate(wells.feature_names):
        values = wells.profile[:, k]
        there = values[np.abs(values) < ABSURD]
        if len(there) == 0 or there.min() == there.max():
            (idle if len(there) == len(values) else missing).append(name)
        elif (first := seen.setdefault(hashlib.sha256(values.tobytes()).digest(), name)) != name:
            again.append((name, f"feature equal to {first}"))
    left_out = pd.concat(
        [
            report(missing, "feature with missing values"),
            report(idle, "feature that never varies"),
            report([name for name, _ in again], [reason for _, reason in again]),
        ],
        ignore_index=True,
    ).assign(profiles=len(wells))
    kept = ~np.isin(np.asarray(wells.feature_names, dtype=object), left_out["name"].to_numpy())
    require(kept.any(), source, f"no numeric feature that varies among {len(kept)}", "at least one")
    if kept.all():
        return wells, left_out
    names = tuple(name for name, stays in zip(wells.feature_names, kept, strict=True) if stays)
    return replace(wells, profile=wells.profile[:, kept], feature_names=names), left_out


def without_labels(wells: Wells, source: str) -> tuple[Wells, pd.DataFrame]:
    """The features that measure something; and a table of the others, which are labels in numbers.

    A label numbers the rows: whole numbers that run in one direction through the rows of each batch, or that count all
    rows without a gap. Or it has one value for each batch, plate, well or cell line. Or, like a weight, it has many
    values and mostly one for each molecule (its salts may differ); this counts where some feature has several, as none
    has in a table of molecules' means. Each must be too much for an accident: for values in random order, or for further
    rows of a plate (of a molecule ...) with the value of any row.

    Raises:
        ReadError: if no feature is left.
    """
    info, values = wells.info, wells.profile
    place = [key for key in ("batch", "plate", "well") if key in info]
    once = ~info.duplicated(place).to_numpy() if "well" in info else np.ones(len(wells), dtype=bool)
    reasons = dict.fromkeys(_counting(values, pd.factorize(info["batch"])[0]), "whole numbers that count the rows")
    for key, what in LABELS.items():
        if key not in info:
            continue
        code = np.where(once, pd.factorize(info[key])[0], -1)
        same = _repeating(values, code, most=key == "name")
        found = {k: f"one value for each {what}" for k in same if k not in reasons}
        if key != "name" or len(found) + len(reasons) < values.shape[1]:
            reasons |= found
    left_out = report([wells.feature_names[k] for k in reasons], list(reasons.values())).assign(profiles=len(wells))
    kept = np.setdiff1d(np.arange(values.shape[1]), list(reasons))
    labels = listed(wells.feature_names[k] for k in reasons)
    require(len(kept) > 0, source, f"no numeric feature but labels ({labels})", "at least one, or names in `features`")
    if not reasons:
        return wells, left_out
    names = tuple(wells.feature_names[k] for k in kept)
    return replace(wells, profile=values[:, kept], feature_names=names), left_out


def _counting(values: NDArray[np.float32], batch: NDArray[np.intp]) -> list[int]:
    """The columns that number the rows."""
    found = []
    order = np.argsort(batch, kind="stable")
    inner = np.diff(batch[order]) == 0  # steps within a batch
    for k in np.flatnonzero((values[:100] == np.round(values[:100])).all(axis=0)):
        column = values[order, k]
        if not (column == np.round(column)).all():
            continue
        by_accident = 0.0
        before, after = column[:-1][inner], column[1:][inner]
        if (after >= before).all() or (after <= before).all():
            each = pd.DataFrame({"batch": batch[order], "value": column})
            by_accident = gammaln(1 + each.value_counts()).sum() - gammaln(1 + each["batch"].value_counts()).sum()
        if len(np.unique(column)) == len(column) == np.ptp(column) + 1:
            by_accident = min(by_accident, -gammaln(1 + len(column)))
        found += [int(k)] if by_accident < ACCIDENT else []
    return found


def _repeating(values: NDArray[np.float32], code: NDArray[np.intp], *, most: bool) -> list[int]:
    """The columns in which the rows of a code, (n,) with -1 for rows that do not count, repeat one value; gaps aside.

    Args:
        most: half of the further rows are enough, of a column of which two rows at random seldom agree.
    """
    order = np.argsort(code, kind="stable")
    order = order[code[order] >= 0]
    pairs = np.flatnonzero(np.diff(code[order]) == 0)[:100]
    first, second = values[order[pairs]], values[order[pairs + 1]]
    agree = ((first == second) | np.isnan(first) | np.isnan(second)).sum(axis=0)
    found = []
    for k in np.flatnonzero(2 * agree >= len(pairs)) if len(pairs) else []:  # few, as features go
        column = values[order, k]
        there = ~np.isnan(column)
        if not there.any():
            continue
        column, again = column[there], np.diff(code[order][there]) == 0
        share = np.unique(column, return_counts=True)[1] / len(column)
        by_chance, n, n_equal = (share**2).sum(), again.sum(), (column[1:] == column[:-1])[again].sum()
        ways = gammaln(1 + n) - gammaln(1 + n_equal) - gammaln(1 + n - n_equal)
        repeats = 2 * n_equal >= n and by_chance < SELDOM if most else n_equal == n
        found += [int(k)] if repeats and ways + n_equal * np.log(by_chance) < ACCIDENT else []
    return found


def without_repeats(wells: Wells, source: str, by: Sequence[str]) -> tuple[Wells, pd.DataFrame]:
    """Each well once: one that repeats an earlier one in the columns `by` and in its readouts is left out.

    Raises:
        ReadError: if two rows name one well and differ in their readouts.
    """
    named = wells.info["well"].notna().to_numpy()
    again = wells.info.duplicated(list(by)).to_numpy() & named
    if not again.any():
        return wells, pd.DataFrame(columns=LEFT_OUT_COLUMNS)
    key = wells.info.groupby(list(by), dropna=False, sort=False).ngroup().to_numpy()
    _, first = np.unique(key, return_index=True)
    same = np.array(
        [
            np.array_equal(wells.profile[row], wells.profile[first[key[row]]], equal_nan=True)
            for row in np.flatnonzero(again)
        ]
    )
    others = well_names(wells.info)[np.flatnonzero(again)[~same]].unique()
    advice = f"each well once; a further column in `separate` can tell rows apart beside {', '.join(by)}"
    require(len(others) == 0, source, f"wells twice with other values: {listed(others)}", advice)
    return wells.where(~again), report(well_names(wells.info)[again], "a well that an earlier row holds")


def with_labels(wells: Wells, source: str, columns: dict[str, str]) -> tuple[Wells, pd.DataFrame]:
    """The wells with an entry in each column of `info` that is a key of `columns`, whose values are its names in the file.

    Raises:
        ReadError: for a control well without one, since every other well of its plate would be read otherwise.
    """
    kept, left_out = np.ones(len(wells), dtype=bool), []
    for key, name in columns.items():
        empty = wells.info[key].isna().to_numpy() & kept
        control = empty & wells.info["is_control"].to_numpy(dtype=bool)
        require(not control.any(), source, f"no {name} for the control wells {listed(well_names(wells.info)[control])}",
                f"an entry under {name} for each of them")  # fmt: skip
        left_out.append(report(well_names(wells.info)[empty], f"well without an entry under {name}"))
        kept &= ~empty
    require(kept.any(), source, f"no well with {listed(columns.values())}", "at least one")
    return (wells if kept.all() else wells.where(kept)), pd.concat(left_out, ignore_index=True)


def well_names(info: pd.DataFrame) -> pd.Series:
    """What to call wells in a report: plate and well where they are known, the molecule's name where they are not."""
    place = pd.Series("", index=info.index, dtype=object)
    for key in ("plate" if "plate" in info else "batch", "well"):
        if key in info:
            place = place + " " + info[key].astype(object).where(info[key].notna(), "").astype(str)
    name = info["name"].astype(object).where(info["name"].notna(), "no name")
    return (place.str.strip() + " (" + name.astype(str) + ")").str.strip()


def _reasons(kind: str, absurd: Iterable[bool]) -> list[str]:
    return [
        f"{kind} with values of {ABSURD:.0e} or more" if found else f"{kind} with missing values" for found in absurd
    ]
