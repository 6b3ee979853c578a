"""Transfer to molecular properties: a drug encoder and a linear layer, fine-tuned (section 3.2, appendix H).

Scaffold split, a first epoch with the encoder frozen, and a search: every learning rate and number of epochs is a
candidate, chosen between on the validation part.  All tasks of a set are trained at once; targets that were not measured
are masked.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Annotated, NamedTuple, TypeVar, get_args

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from scipy.stats import rankdata
from sklearn.metrics import r2_score
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, mse_loss

from infocore_mini.featurize import Parts
from infocore_mini.parameters import Count, Fraction, Positive, TargetKind
from infocore_mini.validation import require

T = TypeVar("T")
Predicted = Callable[[NDArray[np.int64]], NDArray[np.float32]]  # row numbers -> predictions


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class FineTuning:
    """How an encoder is fine-tuned. A bad value raises, naming the field.

    Attributes:
        learning_rates: candidates, of Adam.
        epochs: candidates, ascending; one training of the longest length is scored at each of them.
        frozen_epochs: at the start, in which only the linear layer learns; they count as epochs.
        minibatch_size: molecules in a step.
        adam_betas: of Adam.
    """

    learning_rates: Annotated[tuple[Positive, ...], Field(min_length=1)] = (1e-4, 3e-4, 1e-3)
    epochs: Annotated[tuple[Count, ...], Field(min_length=1)] = (5, 10, 20)
    frozen_epochs: Annotated[int, Field(ge=0)] = 1
    minibatch_size: Count = 128
    adam_betas: tuple[Fraction, Fraction] = (0.9, 0.999)


class CandidateScore(NamedTuple):
    """One candidate of the search and its scores, fractions (ROC-AUC or R2, mean over tasks)."""

    learning_rate: float
    epochs: int
    validation: float
    test: float


def fine_tune(
    body: nn.Module, x: Tensor, target: ArrayLike, parts: Parts, kind: TargetKind, *, config: FineTuning, seed: int
) -> list[CandidateScore]:
    """Fine-tune a copy of ``body`` and a new linear layer, scored at every candidate of the search.

    Args:
        body: (n, n_d) -> (n, d), pretrained or not; stays as it is.
        x: (n, n_d) float32 features, as the body takes them.
        target: (n, n_tasks) float32; NaN = not measured. 0 or 1, or real numbers.
        parts: molecules to train on, to choose on, to report.
        kind: of the targets; regression targets are standardised on the training part.
        config: candidates and optimiser.
        seed: of the linear layer, the order of the molecules and dropout.

    Returns:
        A score for each candidate; ``chosen`` picks the reported one.

    Raises:
        ValueError: if shapes do not fit, targets other than 0, 1, NaN come with "classification", parts share a row, or
            one of them holds no task with two different values.
        FloatingPointError: if a prediction stops being finite.
    """
    y = np.asarray(target, dtype=np.float32)

    def score(predicted: Predicted) -> list[float]:
        return [property_score(y[rows], predicted(rows), kind) for rows in parts[1:]]

    tried = fine_tune_each(body, x, y, parts, kind, score, config=config, seed=seed)
    return [CandidateScore(learning_rate, epochs, *scores) for learning_rate, epochs, scores in tried]


def fine_tune_each(
    body: nn.Module,
    x: Tensor,
    target: ArrayLike,
    parts: Parts,
    kind: TargetKind,
    visit: Callable[[Predicted], T],
    *,
    config: FineTuning,
    seed: int,
) -> list[tuple[float, int, T]]:
    """`fine_tune` for those who want something else of each candidate than its scores; arguments and errors as there.

    Args:
        visit: takes a function from row numbers to predictions, (n, n_tasks), logits or in units of the targets.

    Returns:
        (learning rate, epochs, what ``visit`` returned) of each candidate.
    """
    y = torch.from_numpy(np.asarray(target, dtype=np.float32))
    if x.ndim != 2 or y.ndim != 2 or len(x) != len(y):
        raise ValueError(f"target: got shape {tuple(y.shape)}, expected ({len(x)}, n_tasks) like the rows of x")
    _check_kind(kind)
    if kind == "classification" and not bool((y.isnan() | (y == 0) | (y == 1)).all()):
        raise ValueError("target: got values other than 0, 1 and NaN, expected these for kind='classification'")
    require(not bool(y.isinf().any()), "target", "infinite values", "finite numbers, or NaN where not measured")
    _check_parts(parts, y)
    centre, scale = torch.zeros(y.shape[1]), torch.ones(y.shape[1])
    if kind == "regression":
        train = y[parts.train]
        centre, scale = train.nanmean(0), _nanstd(train).clamp_min(1e-6)
        y = (y - centre) / scale

    def at(net: nn.Module) -> T:
        return visit(lambda rows: predict(net, x[rows]) * scale.numpy() + centre.numpy())

    found = []
    for learning_rate in config.learning_rates:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            visits = _train(copy.deepcopy(body), x, y, parts.train, kind, config, learning_rate, at)
            found += [(learning_rate, epochs, visited) for epochs, visited in visits]
    return found


def _check_kind(kind: str) -> None:
    require(kind in get_args(TargetKind), "kind", repr(kind), " or ".join(map(repr, get_args(TargetKind))))


def _check_parts(parts: Parts, y: Tensor) -> None:
    """Row numbers, none twice, and in every part something to learn or to score: said before any training."""
    for name, rows in parts._asdict().items():
        fits = isinstance(rows, np.ndarray) and rows.ndim == 1 and rows.dtype.kind in "iu" and len(rows) > 0
        require(fits, f"parts.{name}", repr(rows)[:80], "an array of row numbers")
        low, high = int(rows.min()), int(rows.max())
        require(0 <= low and high < len(y), f"parts.{name}", f"rows {low} to {high}", f"rows in 0..{len(y) - 1}")
    row, count = np.unique(np.concatenate(parts), return_counts=True)
    require(
        bool((count == 1).all()), "parts", f"row {row[count.argmax()]} more than once", "every row in one part, once"
    )
    for name, rows in parts._asdict().items():
        varies = any(len(task[~task.isnan()].unique()) > 1 for task in y[torch.from_numpy(rows)].T)
        require(varies, f"parts.{name}", "no task with two different values in the target", "at least one")


def chosen(scores: list[CandidateScore]) -> CandidateScore:
    """The candidate with the best validation score; of equal ones the first."""
    return max(scores, key=lambda score: score.validation)


def _train(
    body: nn.Module,
    x: Tensor,
    y: Tensor,
    rows: NDArray[np.int64],
    kind: TargetKind,
    config: FineTuning,
    learning_rate: float,
    at: Callable[[nn.Module], T],
) -> list[tuple[int, T]]:
    width = body(x[:1]).shape[1]
    net = nn.Sequential(body, nn.Linear(width, y.shape[1]))
    optimiser = torch.optim.Adam(net.parameters(), lr=learning_rate, betas=config.adam_betas, fused=True)
    train, visited = torch.from_numpy(rows), []
    for epoch in range(1, max(config.epochs) + 1):
        net.train()
        body.requires_grad_(epoch > config.frozen_epochs)
        for some in train[torch.randperm(len(train))].split(config.minibatch_size):
            loss = masked_loss(net(x[some]), y[some], kind)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        if epoch in config.epochs:
            visited.append((epoch, at(net)))
    return visited


def masked_loss(prediction: Tensor, target: Tensor, kind: TargetKind) -> Tensor:
    """Mean over the measured entries of binary cross-entropy (logits) or squared error; (n, n_tasks) both, NaN masked."""
    _check_kind(kind)
    measured = ~target.isnan()
    loss = binary_cross_entropy_with_logits if kind == "classification" else mse_loss
    entries = loss(prediction, target.nan_to_num(0.0), reduction="none") * measured
    return entries.sum() / measured.sum().clamp_min(1)


@torch.no_grad()
def predict(net: nn.Module, x: Tensor) -> NDArray[np.float32]:
    """(n, n_tasks) outputs of the network in evaluation mode, logits for classification.

    Raises:
        FloatingPointError: if one is not finite.
    """
    net.eval()
    output = torch.cat([net(part) for part in x.split(8192)])
    if not bool(output.isfinite().all()):
        raise FloatingPointError("prediction: got NaN or infinite values, expected finite ones; lower learning_rates")
    return output.numpy()


def property_score(target: NDArray, prediction: NDArray, kind: TargetKind) -> float:
    """Mean over tasks of ROC-AUC, or of R2, over the measured entries; a fraction.

    As in the benchmark's usual evaluation (Hu et al. 2020), tasks in which the part holds one class only, or for R2
    fewer than two measurements, are left out.

    Args:
        target: (n, n_tasks), NaN = not measured.
        prediction: (n, n_tasks), any monotone score for ROC-AUC.
        kind: "classification" for ROC-AUC, "regression" for R2.

    Raises:
        ValueError: for another kind, shapes that differ, predictions that are not finite, or if no task is left.
    """
    _check_kind(kind)
    require(prediction.shape == target.shape, "prediction", f"shape {prediction.shape}", f"{target.shape} like target")
    require(bool(np.isfinite(prediction).all()), "prediction", "NaN or infinite values", "finite numbers")
    scores = _roc_auc(target, prediction) if kind == "classification" else _r2(target, prediction)
    if not len(scores):
        raise ValueError("target: got no task with two different values, expected at least one")
    return float(np.mean(scores))


def _roc_auc(target: NDArray, prediction: NDArray) -> NDArray[np.float64]:
    """ROC-AUC of every task with both classes, from the ranks of its actives (Mann and Whitney), equal ones halved.

    All tasks at once: 617 of them one by one would take scikit-learn as long as training.
    """
    ranks = rankdata(np.where(np.isnan(target), np.inf, prediction), axis=0)  # what was not measured comes last
    n_active, n_inactive = (target == 1).sum(0), (target == 0).sum(0)
    above = np.where(target == 1, ranks, 0.0).sum(0) - n_active * (n_active + 1) / 2
    both = (n_active > 0) & (n_inactive > 0)
    return above[both] / (n_active[both] * n_inactive[both])


def _r2(target: NDArray, prediction: NDArray) -> list[float]:
    scores = []
    for y, p in zip(target.T, prediction.T, strict=True):
        measured = ~np.isnan(y)
        if len(np.unique(y[measured])) > 1:
            scores.append(r2_score(y[measured], p[measured]))
    return scores


def _nanstd(x: Tensor) -> Tensor:
    return (x - x.nanmean(0)).square().nanmean(0).sqrt()
