"""Propositions 1 to 3 on distributions whose conditional mutual information is known.

Two families of p(z_d, z_g, x_b): `DiscreteScreen`, where every expectation is a finite sum, and
`GaussianScreen`, where I(Z_d; Z_g | X_b) is a formula. Both give the optimum of every bound in closed form.
The terms of proposition 2 come exact (`clip_term` and its neighbours, for any number of candidates K) and
as minibatch estimates that call the training loss itself (`multi_sample_estimates`).

Tables are indexed [drug state, screen state, experimental batch]; all values are in nats, in float64.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from infocore_mini.losses import Mixture, info_nce, reweighted_info_nce

# ------------------------------------------------------------------ distributions with a known truth


@dataclass(frozen=True)
class DiscreteScreen:
    """p(z_d, z_g, x_b) on finite sets; an embedding is the integer code of a state.

    Args:
        joint: (n_d, n_g, n_B) positive probabilities that sum to 1.

    Raises:
        ValueError: if `joint` is not such a table.
    """

    joint: Tensor

    def __post_init__(self):
        joint = self.joint
        if joint.ndim != 3 or not bool((joint > 0).all()) or abs(float(joint.sum()) - 1) > 1e-9:
            raise ValueError(
                f"joint: got shape {tuple(joint.shape)}, sum {float(joint.sum()):.6g}, "
                f"minimum {float(joint.min()):.3g}; expected (n_d, n_g, n_B) positive probabilities that sum to 1"
            )

    @cached_property
    def conditional_information(self) -> float:
        """I(Z_d; Z_g | X_b)."""
        return _information(self.joint.permute(2, 0, 1)).item()

    @cached_property
    def information(self) -> float:
        """I(Z_d; Z_g), what CLIP's InfoNCE bounds."""
        return _information(self.joint.sum(2)).item()

    @cached_property
    def batch_information(self) -> tuple[float, float]:
        """I(Z_d; X_b) and I(Z_g; X_b): what each embedding tells of the experimental batch."""
        return _information(self.joint.sum(1)).item(), _information(self.joint.sum(0)).item()

    @cached_property
    def log_prior(self) -> Tensor:
        """(n_B,) log p(x_b)."""
        return self.joint.sum((0, 1)).log()

    def critic(self, z_screen: Tensor, z_drug: Tensor) -> Tensor:
        """(n, m) f*(z_g, z_d) = log p(z_g, z_d) / p(z_g) p(z_d), the optimum of proposition 2."""
        pair = self.joint.sum(2)
        ratio = (pair / pair.sum(1, keepdim=True) / pair.sum(0)).log()
        return ratio[z_drug][:, z_screen].T

    def log_posterior_drug(self, z_drug: Tensor) -> Tensor:
        """(n, n_B) log p(x_b | z_d)."""
        return _log_normalise(self.joint.sum(1))[z_drug]

    def log_posterior_screen(self, z_screen: Tensor) -> Tensor:
        """(n, n_B) log p(x_b | z_g)."""
        return _log_normalise(self.joint.sum(0))[z_screen]

    def log_posterior_pair(self, z_screen: Tensor, z_drug: Tensor) -> Tensor:
        """(n, m, n_B) log p(x_b | z_g, z_d)."""
        return _log_normalise(self.joint)[z_drug][:, z_screen].transpose(0, 1)

    def sample(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """n draws of (z_drug, z_screen, batch_id), three (n,) int64 tensors."""
        flat = torch.multinomial(self.joint.flatten(), n, replacement=True, generator=generator)
        return torch.unravel_index(flat, self.joint.shape)

    def encode(self, *, drug: Tensor | None = None, screen: Tensor | None = None) -> DiscreteScreen:
        """The distribution after encoders that map states to codes; `drug` (n_d,) and `screen` (n_g,) int64."""
        joint = self.joint
        if drug is not None:
            joint = torch.einsum("dgb,de->egb", joint, _one_hot(drug))
        if screen is not None:
            joint = torch.einsum("dgb,ge->deb", joint, _one_hot(screen))
        return DiscreteScreen(joint)


@dataclass(frozen=True)
class GaussianScreen:
    """Embeddings that are jointly Gaussian within an experimental batch; the batch shifts their first coordinate.

    z_d = shift_drug[b] e_1 + u, z_g = shift_screen[b] e_1 + v; u, v standard normal, Corr(u_k, v_k) = correlation.

    Args:
        shift_drug, shift_screen: (n_B,) shifts, in units of the within-batch standard deviation.
        log_prior: (n_B,) log p(x_b).
        correlation: in (-1, 1), the same for every coordinate.
        dimension: number of coordinates of an embedding, >= 1.

    Raises:
        ValueError: if `correlation` or `dimension` is out of range.
    """

    shift_drug: Tensor
    shift_screen: Tensor
    log_prior: Tensor
    correlation: float
    dimension: int = 1

    def __post_init__(self):
        if not (-1 < self.correlation < 1 and self.dimension >= 1):
            raise ValueError(
                f"correlation, dimension: got {self.correlation}, {self.dimension}; "
                "expected -1 < correlation < 1, dimension >= 1"
            )

    @property
    def conditional_information(self) -> float:
        """I(Z_d; Z_g | X_b) = -dimension / 2 log(1 - correlation^2)."""
        return -0.5 * self.dimension * math.log1p(-(self.correlation**2))

    @cached_property
    def batch_information(self) -> tuple[float, float]:
        """I(Z_d; X_b) and I(Z_g; X_b), by Gauss-Hermite quadrature over the first coordinate."""
        return self._shift_information(self.shift_drug), self._shift_information(self.shift_screen)

    def critic(self, z_screen: Tensor, z_drug: Tensor) -> Tensor:
        """(n, m) f*(z_g, z_d) = log p(z_g, z_d) / p(z_g) p(z_d)."""
        first = self._log_joint(z_screen, z_drug).logsumexp(2)
        first = first - self._log_marginal(z_screen, self.shift_screen).logsumexp(1)[:, None]
        first = first - self._log_marginal(z_drug, self.shift_drug).logsumexp(1)
        return first + self._log_copula(z_screen[:, None, 1:], z_drug[None, :, 1:]).sum(2)

    def log_posterior_drug(self, z_drug: Tensor) -> Tensor:
        """(n, n_B) log p(x_b | z_d)."""
        return self._log_marginal(z_drug, self.shift_drug).log_softmax(1)

    def log_posterior_screen(self, z_screen: Tensor) -> Tensor:
        """(n, n_B) log p(x_b | z_g)."""
        return self._log_marginal(z_screen, self.shift_screen).log_softmax(1)

    def log_posterior_pair(self, z_screen: Tensor, z_drug: Tensor) -> Tensor:
        """(n, m, n_B) log p(x_b | z_g, z_d)."""
        return self._log_joint(z_screen, z_drug).log_softmax(2)

    def sample(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """n draws: z_drug and z_screen (n, dimension) float64, batch_id (n,) int64."""
        batch_id = torch.multinomial(self.log_prior.exp(), n, replacement=True, generator=generator)
        noise = torch.randn(2, n, self.dimension, generator=generator, dtype=torch.float64)
        z_drug = noise[0].clone()
        z_screen = self.correlation * noise[0] + math.sqrt(1 - self.correlation**2) * noise[1]
        z_drug[:, 0] += self.shift_drug[batch_id]
        z_screen[:, 0] += self.shift_screen[batch_id]
        return z_drug, z_screen, batch_id

    def _log_marginal(self, z: Tensor, shift: Tensor) -> Tensor:
        """(n, n_B) log p(x_b) N(z_1 - shift_b), without the normal's constant."""
        return self.log_prior - (z[:, :1] - shift) ** 2 / 2

    def _log_joint(self, z_screen: Tensor, z_drug: Tensor) -> Tensor:
        """(n, m, n_B) log p(x_b) N_2(first coordinates - shifts), without the normals' constants."""
        x = (z_screen[:, :1] - self.shift_screen)[:, None]
        y = (z_drug[:, :1] - self.shift_drug)[None]
        return self.log_prior - (x**2 + y**2) / 2 + self._log_copula(x, y)

    def _log_copula(self, x: Tensor, y: Tensor) -> Tensor:
        """log N_2(x, y; correlation) / N(x) N(y)."""
        rho = self.correlation
        return -0.5 * math.log1p(-(rho**2)) - (rho**2 * (x**2 + y**2) - 2 * rho * x * y) / (2 * (1 - rho**2))

    def _shift_information(self, shift: Tensor) -> float:
        nodes, weights = (torch.from_numpy(v) for v in np.polynomial.hermite_e.hermegauss(100))
        z = (shift[:, None] + nodes).reshape(-1, 1)
        log_posterior = self._log_marginal(z, shift).log_softmax(1).reshape(len(shift), len(nodes), len(shift))
        own = log_posterior.diagonal(dim1=0, dim2=2).T  # (n_B, nodes) log p(b | z drawn in b)
        inner = (own - self.log_prior[:, None]) @ weights / math.sqrt(2 * math.pi)
        return float(self.log_prior.exp() @ inner)


def random_discrete(
    n_drug: int,
    n_screen: int,
    n_batches: int,
    *,
    effect: float,
    confounding: float,
    interaction: float = 0.0,
    generator: torch.Generator,
) -> DiscreteScreen:
    """A random log-linear table: log p = effect A_dg + confounding (B_db + C_gb) + interaction D_dgb + constant.

    A to D are standard normal; `effect` ties drug to screen, `confounding` ties both to the experimental batch,
    `interaction` makes the tie itself differ between batches.
    """

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    logits = effect * normal(n_drug, n_screen, 1) + interaction * normal(n_drug, n_screen, n_batches)
    logits = logits + confounding * (normal(n_drug, 1, n_batches) + normal(1, n_screen, n_batches))
    return DiscreteScreen(logits.flatten().softmax(0).reshape(logits.shape))


def separable_discrete(
    effect_joint: Tensor, nuisance_drug: Tensor, nuisance_screen: Tensor, prior: Tensor
) -> DiscreteScreen:
    """States (effect, nuisance): the effect pair knows nothing of the batch, the nuisances know nothing else.

    Here p(z_d, z_g | b) = p(z_d | b) p(z_g | b) r(z_d, z_g), so the prior-corrected product of experts is exact.

    Args:
        effect_joint: (e_d, e_g) joint probabilities of the two effects.
        nuisance_drug, nuisance_screen: (n_B, u_d), (n_B, u_g) rows p(u | b).
        prior: (n_B,) p(x_b).
    """
    joint = torch.einsum("ij,bu,bv,b->iujvb", effect_joint, nuisance_drug, nuisance_screen, prior)
    return DiscreteScreen(joint.reshape(joint.shape[0] * joint.shape[1], -1, len(prior)))


# ------------------------------------------------------------------ proposition 1, exact


def single_sample_optimum(screen: DiscreteScreen) -> Tensor:
    """(n_d, n_g, n_B) h* = 1 + log p(z_g, x_b | z_d) / p(z_g, x_b)."""
    joint = screen.joint
    return 1 + (joint / joint.sum((1, 2), keepdim=True) / joint.sum(0)).log()


def single_sample_bound(screen: DiscreteScreen, critic: Tensor) -> float:
    """E[h] - e^-1 E_p(z_d) E_p(z_g, x_b)[e^h] - I(Z_d; X_b) of proposition 1; critic h (n_d, n_g, n_B)."""
    joint = screen.joint
    product = joint.sum((1, 2))[:, None, None] * joint.sum(0)
    partition = (product * (critic - 1).exp()).sum()
    return float((joint * critic).sum() - partition) - screen.batch_information[0]


# ------------------------------------------------------------------ propositions 2 and 3, exact


@dataclass(frozen=True)
class Posteriors:
    """The variational posteriors of proposition 2, as log-probabilities; any of them may be wrong.

    anchor_screen: (n_d, n_g, n_B) log p_g(x_b | z_g, z_d), used where the screen is the anchor.
    anchor_drug: (n_d, n_g, n_B) log p_d(x_b | z_g, z_d), used where the drug is the anchor.
    drug, screen: (n_d, n_B), (n_g, n_B) log p_hat(x_b | z_d), log p_hat(x_b | z_g).
    """

    anchor_screen: Tensor
    anchor_drug: Tensor
    drug: Tensor
    screen: Tensor

    @classmethod
    def optimum(cls, screen: DiscreteScreen) -> Posteriors:
        """Every posterior exact: p_g* = p_d* = p(x_b | z_g, z_d)."""
        pair = _log_normalise(screen.joint)
        return cls(pair, pair, _log_normalise(screen.joint.sum(1)), _log_normalise(screen.joint.sum(0)))

    @classmethod
    def mixed(
        cls,
        drug: Tensor,
        screen: Tensor,
        alpha: float,
        mixture: Mixture = "arithmetic",
        log_prior: Tensor | None = None,
    ) -> Posteriors:
        """Both pair posteriors mixed from the two classifiers, as in proposition 3."""
        d, g = drug[:, None], screen[None]
        return cls(mix(g, d, alpha, mixture, log_prior), mix(d, g, alpha, mixture, log_prior), drug, screen)

    @classmethod
    def lagging(cls, drug: Tensor, screen: Tensor, old_drug: Tensor, old_screen: Tensor, alpha: float) -> Posteriors:
        """Arithmetic mixtures whose candidates are judged by other (momentum) classifiers: proposition 3 fails."""
        anchor_screen = mix(screen[None], old_drug[:, None], alpha)
        return cls(anchor_screen, mix(drug[:, None], old_screen[None], alpha), drug, screen)


def mix(
    log_anchor: Tensor,
    log_candidate: Tensor,
    alpha: float,
    mixture: Mixture = "arithmetic",
    log_prior: Tensor | None = None,
) -> Tensor:
    """Log pair posterior from two classifiers, over the last axis; the same formulas as `reweighted_info_nce`.

    Dense and plain on purpose: for tables of a few states, and as an oracle for the loss.
    """
    if mixture == "arithmetic":
        return (alpha * log_anchor.exp() + (1 - alpha) * log_candidate.exp()).log()
    if log_prior is None:
        return (alpha * log_anchor + (1 - alpha) * log_candidate).log_softmax(-1)
    s, t = min(1.0, 2 * alpha), min(1.0, 2 * (1 - alpha))
    return (log_prior + s * (log_anchor - log_prior) + t * (log_candidate - log_prior)).log_softmax(-1)


def clip_term(joint: Tensor, critic: Tensor, posteriors: Posteriors, candidates: int) -> float:
    """L_CLIP of proposition 2, constant 1/K kept: a finite sum, no sampling.

    Args:
        joint: (n_d, n_g, n_B) probabilities.
        critic: (n_d, n_g) f.
        posteriors: only the two pair posteriors are read.
        candidates: K, the positive and K - 1 draws from the marginal.
    """
    screen_anchor = _directional_term(joint, critic, posteriors.anchor_screen, candidates)
    flipped = posteriors.anchor_drug.transpose(0, 1)
    return (screen_anchor + _directional_term(joint.transpose(0, 1), critic.T, flipped, candidates)) / 2


def classifier_term(joint: Tensor, posteriors: Posteriors) -> float:
    """L_CLF of proposition 2: mean over the two sides of E KL(p(x_b | z) || p_hat(x_b | z))."""
    sides = ((joint.sum(1), posteriors.drug), (joint.sum(0), posteriors.screen))
    return sum(float((table * (_log_normalise(table) - estimate)).sum()) for table, estimate in sides) / 2


def correction_term(joint: Tensor, posteriors: Posteriors) -> float:
    """C of proposition 2: 1/2 E log p_g p_d / (p_hat(x_b | z_g) p_hat(x_b | z_d)) on anchor-positive pairs."""
    pair = posteriors.anchor_screen + posteriors.anchor_drug
    return float((joint * (pair - posteriors.drug[:, None] - posteriors.screen[None])).sum() / 2)


def batch_entropy(joint: Tensor) -> float:
    """H(X_b)."""
    return float(torch.special.entr(joint.sum((0, 1))).sum())


@dataclass(frozen=True)
class MultiSampleBound:
    """The terms of proposition 2. `full` is its right side; `reduced` leaves out C, as the training loss does."""

    clip: float
    classifier: float
    correction: float
    entropy: float

    @property
    def full(self) -> float:
        return self.reduced + self.correction

    @property
    def reduced(self) -> float:
        return -self.clip - self.classifier - self.entropy


def multi_sample_bound(joint: Tensor, critic: Tensor, posteriors: Posteriors, candidates: int) -> MultiSampleBound:
    """All terms of proposition 2; arguments as in `clip_term`."""
    clip = clip_term(joint, critic, posteriors, candidates)
    return MultiSampleBound(
        clip, classifier_term(joint, posteriors), correction_term(joint, posteriors), batch_entropy(joint)
    )


# ------------------------------------------------------------------ estimates from minibatches


def single_sample_estimates(source, n: int, repeats: int, generator: torch.Generator) -> Tensor:
    """(repeats,) estimates of proposition 1 at h*, each from n draws: n joint pairs, n (n - 1) crossed pairs.

    I(Z_d; X_b) is taken as known. `source` is a `GaussianScreen` or a `DiscreteScreen`.
    """
    values = []
    for _ in range(repeats):
        z_drug, z_screen, batch_id = source.sample(n, generator)
        log_pair = _own_batch(source.log_posterior_pair(z_screen, z_drug), batch_id)
        log_own = source.log_posterior_screen(z_screen).gather(1, batch_id[:, None])
        log_ratio = source.critic(z_screen, z_drug) + log_pair - log_own  # (n, n) h* - 1
        crossed = log_ratio.exp().sum() - log_ratio.diagonal().exp().sum()
        values.append(1 + log_ratio.diagonal().mean() - crossed / (n * (n - 1)))
    return torch.stack(values) - source.batch_information[0]


def multi_sample_estimates(
    source, n: int, repeats: int, generator: torch.Generator, *, alpha: float | None = None, **mixture
) -> Tensor:
    """(repeats,) estimates of proposition 2 at f*, each from a minibatch of n draws (so K = n).

    The classifiers are exact, so L_CLF = 0. With `alpha`, L_CLIP is the training loss, `reweighted_info_nce`,
    minus log K, with the mixture named by ``mixture`` and ``log_prior``; with None, p_g* = p_d* = p(x_b | z_g, z_d).
    """
    entropy = -float(source.log_prior.exp() @ source.log_prior)
    values = []
    for _ in range(repeats):
        z_drug, z_screen, batch_id = source.sample(n, generator)
        f = source.critic(z_screen, z_drug)  # (n, n) rows: screens
        log_drug, log_screen = source.log_posterior_drug(z_drug), source.log_posterior_screen(z_screen)
        if alpha is None:
            pair = source.log_posterior_pair(z_screen, z_drug)
            sides = ((f, pair), (f.T, pair.transpose(0, 1)))
            losses, weights = zip(*(_weighted(s, _own_batch(p, batch_id)) for s, p in sides), strict=True)
        else:
            sides = ((f, log_screen, log_drug), (f.T, log_drug, log_screen))
            losses = [
                reweighted_info_nce(s, torch.arange(n), batch_id, a, c, alpha=alpha, **mixture) for s, a, c in sides
            ]
            weights = [mix(a, c, alpha, **mixture).gather(1, batch_id[:, None]) for _, a, c in sides]
        clip = torch.stack(list(losses)).mean() - math.log(n)
        own = (log_drug + log_screen).gather(1, batch_id[:, None])
        correction = torch.stack(list(weights)).mean() - own.mean() / 2
        values.append(correction - clip - entropy)
    return torch.stack(values)


# ------------------------------------------------------------------ small pieces


def _directional_term(joint: Tensor, critic: Tensor, log_posterior: Tensor, candidates: int) -> float:
    """-E log e^f1 / (1/K sum_i e^fi p_i), the candidate on axis 0, by enumeration of how often each state is drawn."""
    if candidates < 1:
        raise ValueError(f"candidates: got {candidates}, expected K >= 1 (the positive counts)")
    weight = (critic[..., None] + log_posterior).exp()  # (candidate, anchor, n_B)
    counts, probability = _multinomial(joint.sum((1, 2)), candidates - 1)
    total = torch.einsum("kc,cab->kab", counts, weight)  # the negatives' part of the sum
    value = joint.new_zeros(())
    for positive in range(len(joint)):
        log_mean = ((total + weight[positive]) / candidates).log()
        value = value + torch.einsum("k,ab,kab->", probability, joint[positive], log_mean - critic[positive, :, None])
    return value.item()


def _multinomial(p: Tensor, draws: int) -> tuple[Tensor, Tensor]:
    """Every vector of counts that `draws` draws from p (k,) can give, (n_vectors, k), and its probability."""
    counts = torch.zeros(1, 0, dtype=torch.float64)
    for _ in range(len(p) - 1):
        left = draws - counts.sum(1)
        rows = torch.repeat_interleave(torch.arange(len(counts)), left.long() + 1)
        first = torch.cat([torch.zeros(1), (left + 1).cumsum(0)])[:-1].repeat_interleave(left.long() + 1)
        counts = torch.cat([counts[rows], (torch.arange(len(rows)) - first)[:, None]], dim=1)
    counts = torch.cat([counts, draws - counts.sum(1, keepdim=True)], dim=1)
    log_probability = math.lgamma(draws + 1) - torch.lgamma(counts + 1).sum(1) + counts @ p.log()
    return counts, log_probability.exp()


def _information(joint: Tensor) -> Tensor:
    """Mutual information of the last two axes of a probability table, given the axes before them."""
    given = joint.sum((-1, -2), keepdim=True)
    return (joint * (joint * given / joint.sum(-1, keepdim=True) / joint.sum(-2, keepdim=True)).log()).sum()


def _weighted(similarity: Tensor, log_weight: Tensor) -> tuple[Tensor, Tensor]:
    """(n,) log sum_j w_ij e^f_ij - f_ii for given weights, and (n,) log w_ii."""
    own = log_weight.diagonal()
    return info_nce(similarity + log_weight, torch.arange(len(similarity))) + own, own


def _own_batch(log_posterior: Tensor, batch_id: Tensor) -> Tensor:
    """(n, m) column b_i of row i of an (n, m, n_B) table."""
    return log_posterior[torch.arange(len(batch_id)), :, batch_id]


def _log_normalise(table: Tensor) -> Tensor:
    return table.log().log_softmax(-1)


def _one_hot(code: Tensor) -> Tensor:
    return torch.nn.functional.one_hot(code).double()
