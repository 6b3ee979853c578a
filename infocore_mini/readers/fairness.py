"""The three tables of the fairness experiment (Section 3.3): UCI Adult, Law School, COMPAS.

Each table becomes features, a label (1 = the favourable outcome) and one of four groups, White/Black x male/female;
people of other groups are left out and counted.
Law School has no header.  Its columns were identified from Lahoti et al. (2020), whose processing it holds, and
confirmed on the values (tests/library/readers/test_fairness.py): column 10 equals 600 (lsat - 10) / 38 + 100 ugpa
exactly, which fixes lsat, ugpa and the admission index; race 2 (1,790 people) has by far the lowest LSAT and more women
than men, as Black students in the LSAC study have; sex 2 is the minority with the higher undergraduate grades, as women
were in 1991; part_time 1 is the older 9 %.  Missing grades and birth years are 0 there, and dropping out counts as not
passing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.compose import make_column_transformer
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from infocore_mini.sources import DataUnavailable, fetch, sha256_of

GROUPS = ("white male", "white female", "black male", "black female")
PROPORTIONS = (10, 2, 2, 1)  # of GROUPS in the training set (Appendix H)
SENSITIVE = ["race", "sex"]
TEST_SPLIT = 42  # one test set for every seed, so that nothing chosen on validation rows has seen a test row
ADULT_COLUMNS = (
    "age workclass fnlwgt education education_num marital_status occupation relationship "
    "race sex capital_gain capital_loss hours_per_week native_country income"
).split()
LAW_COLUMNS = (
    "first_year_grades law_grades birth_year part_time sex race tier family_income "
    "lsat undergraduate_grades admission_index bar_passed"
).split()
COMPAS_COLUMNS = (
    "age age_cat race sex juv_fel_count juv_misd_count juv_other_count priors_count c_charge_degree"
).split()
SIMULATED_NOTICE = (
    "SIMULATED DATA: the real Law School table could not be fetched on this machine.  What follows for it comes from a "
    "random stand-in with similar margins, and says nothing about law students."
)


@dataclass(frozen=True)
class FairnessTable:
    """A table as read, n people.

    Attributes:
        name: "adult", "law_school" or "compas".
        features: n rows, race and sex among the columns.
        label: (n,) int64 of 0 and 1; 1 = the favourable outcome.
        group: (n,) int64 index into `GROUPS`.
        left_out: number of people of other groups.
        is_test: (n,) booleans, whom the publisher set aside for testing; None = nobody.
        simulated: whether no real person is in it.
        sha256: checksum of each file read; empty if simulated.
    """

    name: str
    features: pd.DataFrame
    label: NDArray[np.int64]
    group: NDArray[np.int64]
    left_out: int
    is_test: NDArray[np.bool_] | None = None
    simulated: bool = False
    sha256: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Rows:
    """What a model sees of n people, and what its predictions are scored by.

    Attributes:
        x: (n, p) float32 inputs.
        label: (n,) int64 of 0 and 1.
        group: (n,) int64 index into `GROUPS`.
    """

    x: NDArray[np.float32]
    label: NDArray[np.int64]
    group: NDArray[np.int64]

    def __len__(self) -> int:
        """Number of people."""
        return len(self.label)


@dataclass(frozen=True)
class FairnessData:
    """One table, split and encoded.

    Attributes:
        name, left_out, simulated, sha256: of the table, see `FairnessTable`.
        train: subsampled so that `GROUPS` stand 10:2:2:1.
        validation, test: groups as they come.
        feature_names: (p,) names of the columns of `x`.
    """

    name: str
    train: Rows
    validation: Rows
    test: Rows
    feature_names: tuple[str, ...]
    left_out: int
    simulated: bool
    sha256: dict[str, str]


def read_fairness_table(name: str) -> FairnessTable:
    """One of the three tables, whole.

    Args:
        name: "adult", "law_school" or "compas".

    Raises:
        ValueError: for another name.
        sources.DataUnavailable: if the table cannot be had.
    """
    if name not in READERS:
        raise ValueError(f"name: expected one of {sorted(READERS)}, got {name!r}")
    return READERS[name]()


def load_fairness(name: str, *, seed: int = 0, sensitive_inputs: bool = True, simulate: bool = False) -> FairnessData:
    """One table, split and encoded (Appendix H).

    Adult keeps its publisher's test file; of the others 30 % are the test set, the same people for every seed.
    20 % of the rest are validation, what remains is subsampled to 10:2:2:1: both drawn by `seed`.
    Splits are stratified by group and label.
    Categories are one-hot and numbers standardised, both fitted on the training part alone.

    Args:
        name: "adult", "law_school" or "compas".
        seed: of the validation part and the subsample.
        sensitive_inputs: False leaves race and sex out of the inputs; groups and scores keep them.
        simulate: whether `simulated_law_school` stands in if, and only if, Law School cannot be had; the result says
            so in `.simulated`.

    Raises:
        ValueError: for an unknown name.
        sources.DataUnavailable: if the table cannot be had.
    """
    try:
        table = read_fairness_table(name)
    except DataUnavailable:
        if not (simulate and name == "law_school"):
            raise
        table = simulated_law_school(seed)
    return split_and_encode(table, seed=seed, sensitive_inputs=sensitive_inputs)


def split_and_encode(table: FairnessTable, *, seed: int, sensitive_inputs: bool = True) -> FairnessData:
    """`load_fairness` for a table in hand; arguments as there."""
    stratum = table.group * 2 + table.label
    rows = np.arange(len(stratum))
    if table.is_test is None:
        rest, test = train_test_split(rows, test_size=0.3, random_state=TEST_SPLIT, stratify=stratum)
    else:
        rest, test = rows[~table.is_test], rows[table.is_test]
    rest, validation = train_test_split(rest, test_size=0.2, random_state=seed, stratify=stratum[rest])
    train = subsample(rest, table.group, np.random.default_rng(seed))

    features = table.features if sensitive_inputs else table.features.drop(columns=SENSITIVE)
    text = [column for column in features if not pd.api.types.is_numeric_dtype(features[column])]
    encoder = make_column_transformer(
        (StandardScaler(), [column for column in features if column not in text]),
        (OneHotEncoder(sparse_output=False, handle_unknown="ignore"), text),
        verbose_feature_names_out=False,
    ).fit(features.iloc[train])

    def encoded(chosen: NDArray[np.intp]) -> Rows:
        x = encoder.transform(features.iloc[chosen]).astype(np.float32)
        return Rows(x, table.label[chosen], table.group[chosen])

    names = tuple(encoder.get_feature_names_out())
    parts = encoded(train), encoded(validation), encoded(test)
    return FairnessData(table.name, *parts, names, table.left_out, table.simulated, table.sha256)


def subsample(rows: NDArray[np.intp], group: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.intp]:
    """The largest random subset of some rows whose groups stand 10:2:2:1 (Appendix H).

    Args:
        rows: (n,) row numbers of a table.
        group: index into `GROUPS` of every row of the table.
        rng: decides which, and in what order.

    Returns:
        Row numbers, in random order.
    """
    members = [rows[group[rows] == g] for g in range(len(GROUPS))]
    unit = min(len(m) // share for m, share in zip(members, PROPORTIONS, strict=True))
    chosen = [rng.choice(m, unit * share, replace=False) for m, share in zip(members, PROPORTIONS, strict=True)]
    return rng.permutation(np.concatenate(chosen))


@cache
def _adult() -> FairnessTable:
    paths = fetch("adult.data"), fetch("adult.test")
    read: dict[str, Any] = {"header": None, "names": ADULT_COLUMNS, "skipinitialspace": True}
    parts = [pd.read_csv(paths[0], **read), pd.read_csv(paths[1], skiprows=1, **read)]
    frame = pd.concat(parts, ignore_index=True)
    label = frame["income"].str.startswith(">50K")
    is_test = np.arange(len(frame)) >= len(parts[0])
    return _table("adult", frame.drop(columns="income"), label, paths, is_test=is_test)


@cache
def _law_school() -> FairnessTable:
    path = fetch("law_school.csv")
    frame = pd.read_csv(path, header=None, names=LAW_COLUMNS)
    frame["race"] = frame["race"].map({1: "White", 2: "Black", 3: "Other"})
    frame["sex"] = frame["sex"].map({1: "Male", 2: "Female"})
    return _table("law_school", frame.drop(columns="bar_passed"), frame["bar_passed"] == 1, (path,))


@cache
def _compas() -> FairnessTable:
    path = fetch("compas.csv")
    frame = pd.read_csv(path)
    usual = frame["days_b_screening_arrest"].between(-30, 30) & (frame["is_recid"] != -1)  # ProPublica's filter
    frame = frame[usual & (frame["c_charge_degree"] != "O") & frame["score_text"].notna()]
    features = frame[COMPAS_COLUMNS].replace({"race": {"Caucasian": "White", "African-American": "Black"}})
    return _table("compas", features, frame["two_year_recid"] == 0, (path,))


READERS = {"adult": _adult, "law_school": _law_school, "compas": _compas}


def _table(
    name: str,
    features: pd.DataFrame,
    label: ArrayLike,
    paths: Sequence[Path],
    *,
    is_test: NDArray[np.bool_] | None = None,
    simulated: bool = False,
) -> FairnessTable:
    described = features["race"].str.lower() + " " + features["sex"].str.lower()
    kept = described.isin(GROUPS).to_numpy()
    group = described[kept].map(GROUPS.index).to_numpy(dtype=np.int64)
    return FairnessTable(
        name=name,
        features=features[kept].reset_index(drop=True),
        label=np.asarray(label, dtype=np.int64)[kept],
        group=group,
        left_out=int((~kept).sum()),
        is_test=None if is_test is None else is_test[kept],
        simulated=simulated,
        sha256={path.name: sha256_of(path) for path in paths},
    )


def simulated_law_school(seed: int) -> FairnessTable:
    """A random stand-in for Law School (26,551 rows): similar margins and group gaps, no real person.

    One latent ability per student, lower on average in the Black group as in the LSAC scores, drives LSAT, grades and
    the bar; used only where the real table cannot be had, and marked ``simulated=True``.

    Args:
        seed: decides everything drawn.
    """
    rng = np.random.default_rng(seed)
    n = 26_551
    race = rng.choice(["White", "Black", "Other"], n, p=[0.83, 0.07, 0.10])
    sex = rng.choice(["Male", "Female"], n, p=[0.56, 0.44])
    ability = rng.normal(size=n) - 1.2 * (race == "Black") - 0.4 * (race == "Other")
    first_year = 0.6 * ability + 0.8 * rng.normal(size=n)
    lsat = np.clip(np.round(37 + 4 * ability + 3.5 * rng.normal(size=n)), 11, 48)
    grades = np.clip(np.round(3.2 + 0.15 * ability + 0.1 * (sex == "Female") + 0.35 * rng.normal(size=n), 1), 1.5, 4)
    columns = {
        "first_year_grades": first_year,
        "law_grades": 0.8 * first_year + 0.5 * rng.normal(size=n),
        "birth_year": np.clip(np.round(67 - rng.exponential(3, n)), 30, 72),
        "part_time": rng.choice([1, 2], n, p=[0.09, 0.91]),
        "sex": sex,
        "race": race,
        "tier": rng.choice(np.arange(1, 7), n, p=[0.03, 0.08, 0.35, 0.28, 0.17, 0.09]),
        "family_income": rng.choice(np.arange(1, 6), n, p=[0.02, 0.11, 0.36, 0.43, 0.08]),
        "lsat": lsat,
        "undergraduate_grades": grades,
        "admission_index": 600 * (lsat - 10) / 38 + 100 * grades,
    }
    label = rng.random(n) < 1 / (1 + np.exp(-(1.7 + 0.7 * ability + 0.5 * first_year)))
    return _table("law_school", pd.DataFrame(columns), label, (), simulated=True)
