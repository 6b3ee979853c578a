"""Propositions 1 and 2 away from their optimum: the gradient of a weaker critic, and critics trained from scratch.

One critic T(z_d; z_g, x_b) serves both: h = 1 + T in proposition 1, and e^T in the place of e^f p_g in proposition 2,
with the screen as anchor. Both are bounds on I(Z_d; (Z_g, X_b)), in nats; see ``plan.md``.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd
import torch
from joblib import delayed
from torch import Tensor
from torch.nn.functional import normalize, one_hot, silu

from infocore_mini.bounds.distributions import GaussianScreen
from infocore_mini.experiments.records import Made, Record, in_parallel, kept
from infocore_mini.experiments.results import save_results

_OF = ("truth", "bound", "learning rate")  # of a run
Draws = tuple[Tensor, Tensor, Tensor]  # z_drug, z_screen, batch_id


def single_sample(T: Tensor) -> Tensor:
    """(...,) proposition 1 with h = 1 + T, before I(Z_d; X_b) is taken off; T (..., n, n), the positives on the diagonal."""
    n = T.shape[-1]
    own = T.diagonal(dim1=-2, dim2=-1)
    return 1 + own.mean(-1) - (T.exp().sum((-2, -1)) - own.exp().sum(-1)) / (n * (n - 1))


def multi_sample(T: Tensor) -> Tensor:
    """(...,) proposition 2 of one direction, likewise: a row of T is an anchor (z_g, x_b), a column a candidate z_d."""
    return (T.diagonal(dim1=-2, dim2=-1) - T.logsumexp(-1)).mean(-1) + math.log(T.shape[-1])


def normalised(T: Tensor) -> Tensor:
    """(...,) the step before proposition 1 in the paper's proof, log Z in the place of Z / e; from a minibatch, no bound."""
    n = T.shape[-1]
    crossed = T.masked_fill(torch.eye(n, dtype=torch.bool), -torch.inf)
    return T.diagonal(dim1=-2, dim2=-1).mean(-1) - crossed.flatten(-2).logsumexp(-1) + math.log(n * (n - 1))


BOUNDS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "Proposition 1": single_sample,
    "Proposition 1, log Z": normalised,
    "Proposition 2": multi_sample,
}


def optimal_critic(source: GaussianScreen, draws: Draws) -> Tensor:
    """(n, n) T* = log p(z_d | z_g, x_b) / p(z_d) of every anchor and candidate."""
    z_drug, z_screen, batch_id = draws
    pair = source.log_posterior_pair(z_screen, z_drug)[torch.arange(len(batch_id)), :, batch_id]
    return source.critic(z_screen, z_drug) + pair - source.log_posterior_screen(z_screen).gather(1, batch_id[:, None])


# ------------------------------------------------------------------ a critic at a fraction of the best


def gradient_signal(
    source: GaussianScreen, fractions: Sequence[float], *, n: int, repeats: int, seed: int
) -> pd.DataFrame:
    """The gradient in c of both bounds at T = c T*, over minibatches of n.

    Returns:
        A row for each bound and fraction c: "signal to noise", mean over standard deviation of the gradient between
        minibatches; "heaviest 1 %", the mean share of the crossed pairs' weight that the heaviest 1 % of them have.
    """
    generator, rows = torch.Generator().manual_seed(seed), []
    best = torch.stack([optimal_critic(source, source.sample(n, generator)) for _ in range(repeats)])
    for name, bound in BOUNDS.items():
        for c in fractions:
            T = (c * best).requires_grad_()
            (slope,) = torch.autograd.grad(bound(T).sum(), T)  # of each pair
            gradient = (slope * best).sum((1, 2))
            rows.append(
                {
                    "bound": name,
                    "c": c,
                    "signal to noise": float(gradient.mean() / gradient.std()),
                    "heaviest 1 %": float(share_of_heaviest(slope).mean()),
                }
            )
    return pd.DataFrame(rows)


def share_of_heaviest(slope: Tensor, share: float = 0.01) -> Tensor:
    """(k,) of (k, n, n) slopes off the diagonal, part of their sum that the largest ``share`` of them make."""
    n = slope.shape[-1]
    crossed = slope.abs()[:, ~torch.eye(n, dtype=torch.bool)]
    return crossed.topk(math.ceil(share * n * (n - 1)), dim=1).values.sum(1) / crossed.sum(1)


# ------------------------------------------------------------------ critics trained from scratch


@dataclass(frozen=True)
class Training:
    """What the critics share (``plan.md``).

    Attributes:
        dimensions: coordinates of the screens.
        learning_rates: of Adam, of which each bound takes its best.
        tuning_seeds, seeds: to choose the learning rate on, and to report.
        steps: minibatches, each new.
        scored_at: steps after which the critic is scored; 0 = before training.
        minibatch_size: n, and so K.
        candidates: K of the score.
        probes: minibatches that the gradient is looked at on, at every scored step.
        hidden, dim: units of the encoders' hidden layer; of an embedding.
        temperature: T = cos / temperature + offset.
    """

    dimensions: tuple[int, ...] = (1, 4, 8, 12)
    learning_rates: tuple[float, ...] = (3e-4, 1e-3, 3e-3)
    tuning_seeds: tuple[int, ...] = (100, 101, 102, 103, 104)
    seeds: tuple[int, ...] = tuple(range(10))
    steps: int = 600
    scored_at: tuple[int, ...] = (0, 20, 50, 100, 200, 400, 600)
    minibatch_size: int = 64
    candidates: int = 1024
    probes: int = 30
    hidden: int = 64
    dim: int = 16
    temperature: float = 0.1


class Critics:
    """One critic for each seed, trained side by side: every parameter has the seeds as its first axis."""

    def __init__(self, seeds: Sequence[int], source: GaussianScreen, settings: Training) -> None:
        self.temperature, self.n_batches = settings.temperature, len(source.log_prior)
        inputs = source.dimension, source.dimension + self.n_batches
        shapes = [shape for width in inputs for shape in ((width, settings.hidden), (settings.hidden, settings.dim))]
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self.weights = [
            torch.stack([torch.randn(shape, generator=g) / math.sqrt(shape[0]) for g in generators]).requires_grad_()
            for shape in shapes
        ]
        self.biases = [torch.zeros(len(seeds), 1, shape[1]).requires_grad_() for shape in shapes]
        self.offset = torch.zeros(len(seeds), 1, 1).requires_grad_()

    @property
    def parameters(self) -> list[Tensor]:
        """Everything that is learnt."""
        return [*self.weights, *self.biases, self.offset]

    def __call__(self, draws: Draws) -> Tensor:
        """(seeds, n, n) T, of draws with the seeds as their first axis."""
        z_drug, z_screen, batch_id = draws
        label = one_hot(batch_id, self.n_batches).to(z_screen)
        drug, anchor = self._embed(z_drug, 0), self._embed(torch.cat([z_screen, label], -1), 2)
        return anchor @ drug.mT / self.temperature + self.offset

    def _embed(self, x: Tensor, first: int) -> Tensor:
        hidden = silu(x @ self.weights[first] + self.biases[first])
        return normalize(hidden @ self.weights[first + 1] + self.biases[first + 1], dim=-1)


def _draw(source: GaussianScreen, n: int, generators: Sequence[torch.Generator]) -> Draws:
    """n draws for each generator, stacked."""
    z_drug, z_screen, batch_id = zip(*(source.sample(n, generator) for generator in generators), strict=True)
    return torch.stack(z_drug), torch.stack(z_screen), torch.stack(batch_id)


def train(source: GaussianScreen, bound: str, learning_rate: float, settings: Training) -> pd.DataFrame:
    """Critics of all seeds trained on one bound.

    Returns:
        A row for each seed and step of ``scored_at``: "score", nats of I(Z_d; Z_g | X_b), the lemma's bound with
        ``candidates`` fresh draws less I(Z_d; X_b); "lowest", the lowest estimate so far that the bound itself gave in
        training, likewise; "signal to noise" and "heaviest 1 %" of ``gradient_on_the_way``.
    """
    seeds = (*settings.tuning_seeds, *settings.seeds)
    critics, known = Critics(seeds, source, settings), source.batch_information[0]
    fresh, batches, probes = ([torch.Generator().manual_seed(10_000 * k + seed) for seed in seeds] for k in (1, 2, 3))
    held_out = _draw(source, settings.candidates, fresh)
    optimiser, rows = torch.optim.Adam(critics.parameters, learning_rate), []
    lowest = torch.full((len(seeds),), torch.inf)
    for step in range(settings.steps + 1):
        if step in settings.scored_at:
            with torch.no_grad():
                score = multi_sample(critics(held_out)) - known
            minibatches = [_draw(source, settings.minibatch_size, probes) for _ in range(settings.probes)]
            columns = {"score": score, "lowest": lowest} | gradient_on_the_way(critics, bound, minibatches)
            rows.append(
                pd.DataFrame({name: value.tolist() for name, value in columns.items()}, seeds).assign(step=step)
            )
        value = BOUNDS[bound](critics(_draw(source, settings.minibatch_size, batches)))
        lowest = torch.minimum(lowest, value.detach() - known)
        optimiser.zero_grad()
        (-value.sum()).backward()
        optimiser.step()
    return pd.concat(rows).rename_axis("seed").reset_index()


def gradient_on_the_way(critics: Critics, bound: str, minibatches: Sequence[Draws]) -> dict[str, Tensor]:
    """The gradient of a bound in all parameters, over some minibatches, and the weight of its crossed pairs.

    Returns:
        (seeds,) each: "signal to noise", the norm of the mean gradient over the root of its total variance; "heaviest 1 %".
    """
    gradients, shares = [], []
    for draws in minibatches:
        T = critics(draws)
        slope, *found = torch.autograd.grad(BOUNDS[bound](T).sum(), [T, *critics.parameters])
        gradients.append(torch.cat([gradient.flatten(1) for gradient in found], 1))
        shares.append(share_of_heaviest(slope))
    stacked = torch.stack(gradients)
    noise = stacked.var(0).sum(1).sqrt()
    return {"signal to noise": stacked.mean(0).norm(dim=1) / noise, "heaviest 1 %": torch.stack(shares).mean(0)}


# ------------------------------------------------------------------ the stored study


def gaussian_screen(dimension: int) -> GaussianScreen:
    """The chapter's Gaussian screen: three batches that shift the first coordinate, correlation 0.8 in every one."""
    shift = torch.tensor([-2.0, 0.0, 2.0], dtype=torch.float64)
    return GaussianScreen(shift, shift.roll(1), torch.full((3,), -math.log(3), dtype=torch.float64), 0.8, dimension)


def run(dimension: int, bound: str, learning_rate: float, settings: Training, folder: Path | None = None) -> Record:
    """``train`` on one screen; kept in ``folder``, None = nowhere. The result is its rows, and what they are of."""

    def make() -> Made:
        source = gaussian_screen(dimension)
        with one_thread_in_float64():
            rows = train(source, bound, learning_rate, settings)
        of = {"truth": source.conditional_information, "bound": bound, "learning rate": learning_rate}
        return rows.assign(**of).to_dict("records"), {}

    of = {"dimension": dimension, "bound": bound, "learning_rate": learning_rate}
    return kept(folder, "critics", of | asdict(settings), make)


def store(output: Path, runs: Path, n_jobs: int = 2, settings: Training = Training()) -> Path:
    """Run what is missing in the folder ``runs`` and write ``results/critics.json``: what each run is of, and its columns."""
    tasks = list(itertools.product(settings.dimensions, BOUNDS, settings.learning_rates))
    records = in_parallel(n_jobs, verbose=10)(delayed(run)(*task, settings, runs) for task in tasks)
    made = [record.provenance for record in records]
    results = [_columns(pd.DataFrame(record.result)) for record in records]
    return save_results("critics", asdict(settings), results, output_dir=output, runs=made)


def _columns(rows: pd.DataFrame) -> dict:
    """The rows of a run by columns, four digits behind the point; once what is the same in all of them."""
    of = {name: rows[name].iloc[0] for name in _OF}
    return of | rows.drop(columns=list(_OF)).round(4).to_dict("list")


def rows_of(results: Sequence[Mapping]) -> pd.DataFrame:
    """The results of the stored study as one table: the rows of every run, as ``run`` made them."""
    return pd.concat([pd.DataFrame(run) for run in results], ignore_index=True)


@contextmanager
def one_thread_in_float64() -> Iterator[None]:
    """Tensors of float64 by default, and one thread: these are too small to share."""
    before = torch.get_default_dtype(), torch.get_num_threads()
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_default_dtype(before[0])
        torch.set_num_threads(before[1])
