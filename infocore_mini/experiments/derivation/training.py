"""Propositions 1 and 2 away from their optimum: the gradient of a weaker critic, and critics trained from scratch.

One critic T(z_d; z_g, x_b) serves both: h = 1 + T in proposition 1, and e^T in the place of e^f p_g in proposition 2,
with the screen as anchor. Both are bounds on I(Z_d; (Z_g, X_b)), in nats; see ``plan.md``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor
from torch.nn.functional import normalize, one_hot, silu

from infocore_mini.bounds.distributions import GaussianScreen

Draws = tuple[Tensor, Tensor, Tensor]  # z_drug, z_screen, batch_id


def single_sample(T: Tensor) -> Tensor:
    """(...,) proposition 1 with h = 1 + T, before I(Z_d; X_b) is taken off; T (..., n, n), the positives on the diagonal."""
    n = T.shape[-1]
    own = T.diagonal(dim1=-2, dim2=-1)
    return 1 + own.mean(-1) - (T.exp().sum((-2, -1)) - own.exp().sum(-1)) / (n * (n - 1))


def multi_sample(T: Tensor) -> Tensor:
    """(...,) proposition 2 of one direction, likewise: a row of T is an anchor (z_g, x_b), a column a candidate z_d."""
    return (T.diagonal(dim1=-2, dim2=-1) - T.logsumexp(-1)).mean(-1) + math.log(T.shape[-1])


BOUNDS: Mapping[str, Callable[[Tensor], Tensor]] = {"Proposition 1": single_sample, "Proposition 2": multi_sample}


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
                    "heaviest 1 %": float(_share_of_heaviest(slope).mean()),
                }
            )
    return pd.DataFrame(rows)


def _share_of_heaviest(slope: Tensor, share: float = 0.01) -> Tensor:
    """(repeats,) of (repeats, n, n) slopes off the diagonal, part of their sum that the largest ``share`` of them make."""
    n = slope.shape[-1]
    crossed = slope.abs()[:, ~torch.eye(n, dtype=torch.bool)]
    return crossed.topk(math.ceil(share * n * (n - 1)), dim=1).values.sum(1) / crossed.sum(1)


# ------------------------------------------------------------------ critics trained from scratch


@dataclass(frozen=True)
class Training:
    """What the critics share (``plan.md``).

    Attributes:
        learning_rates: of Adam, of which each bound takes its best.
        tuning_seeds, seeds: to choose the learning rate on, and to report.
        steps: minibatches, each new.
        scored_at: steps after which the critic is scored; 0 = before training.
        minibatch_size: n, and so K.
        candidates: K of the score.
        hidden, dim: units of the encoders' hidden layer; of an embedding.
        temperature: T = cos / temperature + offset.
    """

    learning_rates: tuple[float, ...] = (3e-4, 1e-3, 3e-3)
    tuning_seeds: tuple[int, ...] = (100, 101, 102, 103, 104)
    seeds: tuple[int, ...] = tuple(range(10))
    steps: int = 600
    scored_at: tuple[int, ...] = (0, 20, 50, 100, 200, 400, 600)
    minibatch_size: int = 64
    candidates: int = 1024
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
        training, likewise.
    """
    seeds = (*settings.tuning_seeds, *settings.seeds)
    critics, known = Critics(seeds, source, settings), source.batch_information[0]
    fresh = _draw(source, settings.candidates, [torch.Generator().manual_seed(10_000 + seed) for seed in seeds])
    generators = [torch.Generator().manual_seed(20_000 + seed) for seed in seeds]
    optimiser, rows = torch.optim.Adam(critics.parameters, learning_rate), []
    lowest = torch.full((len(seeds),), torch.inf)
    for step in range(settings.steps + 1):
        if step in settings.scored_at:
            with torch.no_grad():
                score = multi_sample(critics(fresh)) - known
            columns = zip(seeds, score.tolist(), lowest.tolist(), strict=True)
            rows += [{"seed": seed, "step": step, "score": s, "lowest": low} for seed, s, low in columns]
        value = BOUNDS[bound](critics(_draw(source, settings.minibatch_size, generators)))
        lowest = torch.minimum(lowest, value.detach() - known)
        optimiser.zero_grad()
        (-value.sum()).backward()
        optimiser.step()
    return pd.DataFrame(rows)


def compare(sources: Sequence[GaussianScreen], settings: Training) -> pd.DataFrame:
    """Both bounds on every source, each at its best learning rate, on the seeds to report.

    Returns:
        Rows of ``train`` with "truth" (nats), "bound" and "learning rate".
    """
    found = []
    for source in sources:
        for bound in BOUNDS:
            runs = {rate: train(source, bound, rate, settings) for rate in settings.learning_rates}
            rate = max(runs, key=lambda rate: _tuning_score(runs[rate], settings))
            rows = runs[rate][runs[rate]["seed"].isin(settings.seeds)]
            found.append(rows.assign(truth=source.conditional_information, bound=bound, learning_rate=rate))
    return pd.concat(found, ignore_index=True).rename(columns={"learning_rate": "learning rate"})


def _tuning_score(rows: pd.DataFrame, settings: Training) -> float:
    """Mean score of the tuning seeds after the last step; a critic that diverged counts as the worst."""
    chosen = rows["seed"].isin(settings.tuning_seeds) & (rows["step"] == settings.steps)
    return float(rows.loc[chosen, "score"].fillna(-math.inf).mean())
