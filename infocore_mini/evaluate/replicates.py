"""Whether replicates find each other: mean average precision, and which treatments are active.

The four lists of columns, the normalisation and the null distribution are those of copairs (Kalinin et al. 2025).
Other than there, ranks are counted in blocks and pairs are never listed, equal similarities are not counted in favour of
the positives, and p-values are exact where the arrangements of a ranking are few.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from itertools import combinations
from math import comb, prod
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.special import digamma
from scipy.stats import false_discovery_control
from sklearn.covariance import LedoitWolf
from torch import Tensor

from infocore_mini.evaluate.ranking import TIE, unit_rows
from infocore_mini.inputs import label_codes
from infocore_mini.validation import as_matrix, positive_integers, require

ENTRIES = 2**21  # similarities held at a time: 16 MiB, and a few copies
PLACES = 500_000  # of positives in all arrangements of a ranking: up to here all are looked at


def average_precision(
    z: ArrayLike,
    meta: pd.DataFrame,
    *,
    pos_sameby: Sequence[str],
    pos_diffby: Sequence[str] = (),
    neg_sameby: Sequence[str] = (),
    neg_diffby: Sequence[str],
) -> pd.DataFrame:
    """How early each row meets its positives when all its positives and negatives are ranked by cosine.

    Two rows are a positive pair if they agree in every column of ``pos_sameby`` and differ in every column of
    ``pos_diffby``; negative pairs alike. A pair that is both is ranked twice, as in copairs.

    Args:
        z: (n, d) readouts or embeddings; no row of zeros.
        meta: n rows; the columns that the lists name, without missing values.
        pos_sameby, pos_diffby, neg_sameby, neg_diffby: names of columns.

    Returns:
        The columns named, and for each row ``average_precision`` and ``normalized_average_precision`` (0 = expected
        in a random order, 1 = all positives first), NaN without a positive or a negative; ``n_pos_pairs`` and
        ``n_total_pairs``. Of equal similarities (to 1e-9) all count as ranked before any of them, as in
        scikit-learn's ``average_precision_score``; copairs ranks the positives first.

    Raises:
        ValueError: on NaN, a row of zeros, lengths that differ, an unknown column, a missing value, a column that is to
            be equal and to differ, or no pair of a kind.
    """
    points = unit_rows("z", z)
    empty = (points == 0).all(1)
    require(not bool(empty.any()), "z", f"zeros only in row {int(empty.int().argmax())}", "a direction in every row")
    lists = {"pos_sameby": pos_sameby, "pos_diffby": pos_diffby, "neg_sameby": neg_sameby, "neg_diffby": neg_diffby}
    named = _named_columns(meta, lists, len(points))
    positive = _Pairs(meta, pos_sameby, pos_diffby)
    negative = _Pairs(meta, neg_sameby, neg_diffby)
    scores, counts = np.full(len(points), np.nan), np.zeros((len(points), 2), dtype=np.int64)
    for rows in torch.arange(len(points)).split(max(1, ENTRIES // len(points))):
        here, found = rows.numpy(), (positive.of(rows), negative.of(rows))
        counts[here] = torch.stack([pairs.sum(1) for pairs in found], 1).numpy()
        if counts[here, 0].any():
            similarity = ((points[rows] @ points.T) / TIE).round_()
            scores[here] = _average_precision(similarity, *found).numpy()
    for kind, count in zip(("pos", "neg"), counts.T, strict=True):
        require(bool(count.any()), f"{kind}_sameby, {kind}_diffby", "no pair that fits", "at least one")
    scores[(counts == 0).any(1)] = np.nan
    expected = _expected(counts[:, 0], counts.sum(1))
    with np.errstate(invalid="ignore", divide="ignore"):
        normalized = np.clip((scores - expected) / (1 - expected), -1, 1)
    return meta[named].assign(
        average_precision=scores,
        normalized_average_precision=normalized,
        n_pos_pairs=counts[:, 0],
        n_total_pairs=counts.sum(1),
    )


def replicate_map(
    z: ArrayLike,
    meta: pd.DataFrame,
    *,
    pos_sameby: Sequence[str],
    pos_diffby: Sequence[str] = (),
    neg_sameby: Sequence[str] = (),
    neg_diffby: Sequence[str],
    n_permutations: int = 10_000,
    seed: int = 0,
) -> pd.DataFrame:
    """Mean average precision of each group of replicates, with p-values.

    The null of a row is its average precision under a random order of its pairs. Within a group the rows with the same
    numbers of pairs share one draw, as in copairs: replicates rank each other, so that their scores are anything but
    independent. Where all arrangements can be looked at, the p-value is exact, and otherwise from draws.

    Args:
        z, meta, pos_sameby, pos_diffby, neg_sameby, neg_diffby: as for `average_precision`; a group is what agrees in
            ``pos_sameby``.
        n_permutations: draws for groups without an exact p-value.
        seed: of the draws.

    Returns:
        A row a group: the columns of ``pos_sameby``; ``mean_average_precision``, ``mean_normalized_average_precision``;
        ``n``, rows that have a score; ``p_value`` of a mean at least as high; ``exact``, whether it is exact;
        ``corrected_p_value`` (Benjamini and Hochberg).

    Raises:
        ValueError: as `average_precision`.
    """
    (n_permutations,) = positive_integers("n_permutations", [n_permutations], "10000")
    scores = average_precision(
        z, meta, pos_sameby=pos_sameby, pos_diffby=pos_diffby, neg_sameby=neg_sameby, neg_diffby=neg_diffby
    )
    scores = scores[scores["average_precision"].notna()]
    require(len(scores) > 0, "meta", "no row with a positive and a negative", "at least one")
    configurations = scores.groupby(["n_pos_pairs", "n_total_pairs"])
    scores = scores.assign(configuration=configurations.ngroup())
    drawn: dict[int, tuple[NDArray[np.float64], bool]] = {}
    rng = np.random.default_rng(seed)
    for number, ((n_pos, n_total), _) in enumerate(configurations):
        few = comb(n_total, n_pos) * n_pos <= PLACES
        drawn[number] = _all_arrangements(n_pos, n_total) if few else _draws(n_pos, n_total, n_permutations, rng), few
    rows = []
    for group, found in scores.groupby(list(pos_sameby), sort=True, observed=True):
        observed = found["average_precision"].mean()
        p_value, exact = _p_value(observed, found["configuration"].to_numpy(), drawn, n_permutations, rng)
        normalized = found["normalized_average_precision"].mean()
        rows.append((*group, observed, normalized, len(found), p_value, exact))
    columns = ["mean_average_precision", "mean_normalized_average_precision", "n", "p_value", "exact"]
    table = pd.DataFrame(rows, columns=[*pos_sameby, *columns])
    return table.assign(corrected_p_value=false_discovery_control(table["p_value"]))


def activity(
    z: ArrayLike,
    treatment: ArrayLike,
    is_control: ArrayLike,
    *,
    within: ArrayLike | None = None,
    level: float = 0.05,
    n_permutations: int = 10_000,
    seed: int = 0,
) -> pd.DataFrame:
    """Which treatments are active: whether replicates are nearer to each other than to controls, and how far they are.

    Two calls of one question, side by side. By mean average precision, replicates are positives and controls the
    negatives; a treatment that does the same in each well is active however small its effect. By distance, the mean of
    its wells lies further from the controls than means of as many control wells do.

    Args:
        z: (n, d) readouts or embeddings, control wells among them.
        treatment: (n,) labels; those of controls are not read.
        is_control: (n,) booleans, at least 8 of them True.
        within: (n,) such as the plate: negatives are the controls of the same one. None = all controls.
        level: false discovery rate of the calls.
        n_permutations, seed: as for `replicate_map`; ``n_permutations`` means of control wells are drawn, too.

    Returns:
        A row a treatment with at least two wells: ``treatment``, the columns of `replicate_map`, ``active``;
        ``distance``, Mahalanobis, of its mean from the controls' (their covariance shrunk as by Ledoit and Wolf, half of
        the controls fitting, the other half giving the null, so that neither is the other's); ``distance_p_value``,
        ``distance_corrected_p_value``, ``distant``.

    Raises:
        ValueError: on NaN, a missing label, lengths that differ, fewer than 8 controls, or no treatment with two wells.
    """
    points = as_matrix("z", z, dtype=torch.float64).numpy()
    control = np.asarray(is_control)
    fits = control.shape == (len(points),) and control.dtype == bool
    require(fits, "is_control", f"shape {control.shape} of {control.dtype}", f"({len(points)},) booleans")
    require(control.sum() >= 8, "is_control", f"{control.sum()} control wells", "at least 8")
    require(0 < level < 1, "level", level, "a rate between 0 and 1")
    labels = np.asarray(treatment, dtype=object)
    require(labels.shape == control.shape, "treatment", f"shape {labels.shape}", f"({len(points)},) like the rows of z")
    names, code = label_codes("treatment", labels[~control], int((~control).sum()), "z outside the controls")
    treated = np.full(len(points), -1)
    treated[~control] = code
    plate = np.zeros(len(points), dtype=int) if within is None else label_codes("within", within, len(points), "z")[1]
    reference = np.where(control, np.arange(len(points)), -1)  # treatments are no negatives of treatments
    meta = pd.DataFrame({"treatment": treated, "within": plate, "reference": reference})
    table = replicate_map(
        points,
        meta,
        pos_sameby=["treatment", "reference"],
        neg_sameby=["within"],
        neg_diffby=["treatment", "reference"],
        n_permutations=n_permutations,
        seed=seed,
    ).drop(columns="reference")
    rng = np.random.default_rng(seed)
    order = rng.permutation(np.flatnonzero(control))
    fitted, held_out = order[::2], order[1::2]
    model = LedoitWolf().fit(points[fitted])
    wells = [np.flatnonzero(treated == code) for code in table["treatment"]]
    sizes = np.array([len(rows) for rows in wells])
    distance = np.sqrt(model.mahalanobis(np.stack([points[rows].mean(0) for rows in wells])))
    p_value = np.empty(len(table))
    for size in np.unique(sizes):
        null = np.sqrt(model.mahalanobis(_means_of_controls(points, held_out, int(size), n_permutations, rng)))
        reached = len(null) - np.searchsorted(np.sort(null), distance[sizes == size])
        p_value[sizes == size] = (1 + reached) / (1 + n_permutations)
    corrected = false_discovery_control(p_value)
    return table.assign(
        treatment=names[table["treatment"]],
        active=table["corrected_p_value"] < level,
        distance=distance,
        distance_p_value=p_value,
        distance_corrected_p_value=corrected,
        distant=corrected < level,
    )


def _means_of_controls(
    points: NDArray[np.float64], controls: NDArray[np.int64], size: int, n: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """(n, d) means of as many control wells, drawn without repetition; some draws at a time."""
    means = np.empty((n, points.shape[1]))
    for some in np.array_split(means, 1 + n * max(len(controls), size * points.shape[1]) // ENTRIES):
        chosen = rng.random((len(some), len(controls))).argsort(1)[:, :size]
        some[:] = points[controls[chosen]].mean(1)
    return means


class _Pairs:
    """Which rows form a pair.

    Args:
        meta: n rows.
        sameby, diffby: columns in all of which a pair agrees, and in all of which it differs.
    """

    def __init__(self, meta: pd.DataFrame, sameby: Sequence[str], diffby: Sequence[str]) -> None:
        group = meta.groupby(list(sameby), observed=True).ngroup() if sameby else pd.Series(0, range(len(meta)))
        self.group = torch.from_numpy(group.to_numpy(dtype=np.int64).copy())
        self.codes = [torch.from_numpy(pd.factorize(meta[name])[0].astype(np.int64)) for name in diffby]

    def of(self, rows: Tensor) -> Tensor:
        """(b, n) booleans: the rows that are paired with each of some rows, (b,)."""
        paired = self.group[rows, None] == self.group
        for code in self.codes:
            paired &= code[rows, None] != code
        paired[torch.arange(len(rows)), rows] = False
        return paired


def _named_columns(meta: Any, lists: dict[str, Sequence[str]], n: int) -> list[str]:
    """The columns that the lists name, each once; ValueError where they do not fit."""
    require(isinstance(meta, pd.DataFrame), "meta", type(meta).__name__, "a DataFrame")
    require(len(meta) == n, "meta", f"{len(meta)} rows", f"{n} like z")
    for name, columns in lists.items():
        require(not isinstance(columns, str), name, repr(columns), "a list of columns")
        unknown = [column for column in columns if column not in meta]
        require(not unknown, name, f"a column {unknown[:1]}", f"columns of meta: {', '.join(map(str, meta))}")
    for kind in ("pos", "neg"):
        same, differ = lists[f"{kind}_sameby"], lists[f"{kind}_diffby"]
        both = sorted(set(same) & set(differ))
        require(not both, f"{kind}_sameby", f"{both}, which {kind}_diffby has too", "other columns")
    require(len(lists["pos_sameby"]) > 0, "pos_sameby", "no column", "what replicates share")
    require(
        len(lists["neg_sameby"]) + len(lists["neg_diffby"]) > 0, "neg_diffby", "no column", "where negatives differ"
    )
    named = list(dict.fromkeys(column for columns in lists.values() for column in columns))
    missing = [column for column in named if meta[column].isna().any()]
    require(not missing, "meta", f"missing values in {missing[:1]}", "a value in every row")
    return named


def _average_precision(similarity: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
    """(b,) of similarities (b, n); NaN without positives. Counted: how many reach the similarity of each positive."""
    most = int(positive.sum(1).max())
    of_positives = similarity.masked_fill(~positive, -torch.inf).topk(most, dim=1).values
    of_negatives = similarity.masked_fill_(~negative, -torch.inf).sort(dim=1).values
    positives = most - torch.searchsorted(of_positives.flip(1).contiguous(), of_positives)
    negatives = similarity.shape[1] - torch.searchsorted(of_negatives, of_positives)
    return (positives.double() / (positives + negatives)).masked_fill(of_positives.isinf(), torch.nan).nanmean(1)


def _expected(n_pos: NDArray[np.int64], n_total: NDArray[np.int64]) -> NDArray[np.float64]:
    """(n,) expected average precision in a random order, in closed form."""
    harmonic = digamma(n_total + 1) + np.euler_gamma
    with np.errstate(invalid="ignore", divide="ignore"):
        return ((n_pos - 1) / (n_total - 1) * (n_total - harmonic) + harmonic) / n_total


def _of_ranks(rank: NDArray[np.int64]) -> NDArray[np.float64]:
    """(n,) average precision of positives at ascending ranks from 1, (n, n_pos)."""
    return (np.arange(1, rank.shape[1] + 1) / rank).mean(1)


def _all_arrangements(n_pos: int, n_total: int) -> NDArray[np.float64]:
    """The average precision of every arrangement, each as likely as any other."""
    return _of_ranks(np.array(list(combinations(range(1, n_total + 1), n_pos))))


def _draws(n_pos: int, n_total: int, n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """(n,) average precisions of random arrangements; places are drawn without repetition as by Floyd."""
    place = np.empty((n, n_pos), dtype=np.int64)
    for drawn, last in enumerate(range(n_total - n_pos, n_total)):
        wanted = rng.integers(last + 1, size=n)
        taken = (place[:, :drawn] == wanted[:, None]).any(1)
        place[:, drawn] = np.where(taken, last, wanted)
    return _of_ranks(np.sort(place, axis=1) + 1)


def _p_value(
    observed: float,
    configuration: NDArray[np.int64],
    drawn: dict[int, tuple[NDArray[np.float64], bool]],
    n_permutations: int,
    rng: np.random.Generator,
) -> tuple[float, bool]:
    """Of a mean at least as high as observed, and whether it is exact; rows of one configuration share a draw."""
    kinds, count = np.unique(configuration, return_counts=True)
    parts = [drawn[kind][0] for kind in kinds]
    share = count / count.sum()
    exact = all(drawn[kind][1] for kind in kinds) and prod(map(len, parts)) <= PLACES
    if exact:
        null = reduce(np.add.outer, [part * weight for part, weight in zip(parts, share, strict=True)]).ravel()
    else:
        parts = [
            rng.choice(part, n_permutations) if drawn[kind][1] else part
            for kind, part in zip(kinds, parts, strict=True)
        ]
        null = share @ np.stack(parts)
    reached = int((null >= observed - 1e-12).sum())
    return (reached / len(null) if exact else (1 + reached) / (1 + len(null))), exact
