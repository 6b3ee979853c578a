"""Propositions 1 to 3 on distributions whose conditional mutual information is known.

The distributions are those of `infocore_mini.bounds.distributions`. The terms of proposition 2 come exact
(`clip_term` and its neighbours, for any number of candidates K) and as minibatch estimates that call the
training loss itself (`multi_sample_estimates`).

Tables are indexed [drug state, screen state, experimental batch]; all values are in nats, in float64.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from infocore_mini.bounds.distributions import DiscreteScreen, GaussianScreen, log_normalise
from infocore_mini.losses import Mixture, info_nce, reweighted_info_nce

# ------------------------------------------------------------------ proposition 1, exact


def single_sample_optimum(screen: DiscreteScreen) -> Tensor:
    """(n_d, n_g, n_B) h* = 1 + log p(z_g, x_b | z_d) / p(z_g, x_b)."""
    joint = screen.joint
    return 1 + (joint / joint.sum((1, 2), keepdim=True) / joint.sum(0)).log()


def single_sample_bound(screen: DiscreteScreen, critic: Tensor) -> float:
    """E[h] - e^-1 E_p(z_d) E_p(z_g, x_b)[e^h] - I(Z_d; X_b): the right side of proposition 1.

    Args:
        screen: the distribution.
        critic: (n_d, n_g, n_B) h; `single_sample_optimum` makes the bound tight.
    """
    joint = screen.joint
    product = joint.sum((1, 2))[:, None, None] * joint.sum(0)
    partition = (product * (critic - 1).exp()).sum()
    return float((joint * critic).sum() - partition) - screen.batch_information[0]


# ------------------------------------------------------------------ propositions 2 and 3, exact


@dataclass(frozen=True)
class Posteriors:
    """The variational posteriors of proposition 2, as log-probabilities; any of them may be wrong.

    Attributes:
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
        pair = log_normalise(screen.joint)
        return cls(pair, pair, log_normalise(screen.joint.sum(1)), log_normalise(screen.joint.sum(0)))

    @classmethod
    def mixed(
        cls,
        drug: Tensor,
        screen: Tensor,
        alpha: float,
        mixture: Mixture = "arithmetic",
        log_prior: Tensor | None = None,
    ) -> Posteriors:
        """Both pair posteriors mixed from the two classifiers, as in proposition 3; arguments as for `mix`."""
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

    Args:
        log_anchor, log_candidate: (..., n_B) log-probabilities that broadcast against each other.
        alpha: weight of the anchor's classifier, 0 to 1.
        mixture: "arithmetic" mean of probabilities, or "geometric".
        log_prior: (n_B,) log p(x_b), for the geometric mixture corrected by it; None = uncorrected.

    Returns:
        (..., n_B) log-probabilities.
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

    Raises:
        ValueError: if K < 1.
    """
    screen_anchor = _directional_term(joint, critic, posteriors.anchor_screen, candidates)
    flipped = posteriors.anchor_drug.transpose(0, 1)
    return (screen_anchor + _directional_term(joint.transpose(0, 1), critic.T, flipped, candidates)) / 2


def temperature_ceiling(pairs: int, temperature: float) -> float:
    """The most that InfoNCE, mean over a minibatch and both directions, can report of unit vectors, f = cos / temperature.

    log n - log(1 + (n - 1) e^-g) with g = n / ((n - 1) temperature), n pairs; reached by the corners of a simplex.
    It is below log n and below g, which tends to 1 / temperature.

    Raises:
        ValueError: if there are fewer than two pairs.
    """
    if pairs < 2:
        raise ValueError(f"pairs: got {pairs}, expected at least 2")
    gap = pairs / ((pairs - 1) * temperature)
    return math.log(pairs) - math.log1p((pairs - 1) * math.exp(-gap))


def classifier_term(joint: Tensor, posteriors: Posteriors) -> float:
    """L_CLF of proposition 2: mean over the two sides of E KL(p(x_b | z) || p_hat(x_b | z))."""
    sides = ((joint.sum(1), posteriors.drug), (joint.sum(0), posteriors.screen))
    return sum(float((table * (log_normalise(table) - estimate)).sum()) for table, estimate in sides) / 2


def correction_term(joint: Tensor, posteriors: Posteriors) -> float:
    """C of proposition 2: 1/2 E log p_g p_d / (p_hat(x_b | z_g) p_hat(x_b | z_d)) on anchor-positive pairs."""
    pair = posteriors.anchor_screen + posteriors.anchor_drug
    return float((joint * (pair - posteriors.drug[:, None] - posteriors.screen[None])).sum() / 2)


def batch_entropy(joint: Tensor) -> float:
    """H(X_b)."""
    return float(torch.special.entr(joint.sum((0, 1))).sum())


@dataclass(frozen=True)
class MultiSampleBound:
    """The terms of proposition 2, in nats.

    Attributes:
        clip: L_CLIP.
        classifier: L_CLF.
        correction: C.
        entropy: H(X_b).
    """

    clip: float
    classifier: float
    correction: float
    entropy: float

    @property
    def full(self) -> float:
        """The right side of proposition 2."""
        return self.reduced + self.correction

    @property
    def reduced(self) -> float:
        """The right side without C, as the training loss has it."""
        return -self.clip - self.classifier - self.entropy


def multi_sample_bound(joint: Tensor, critic: Tensor, posteriors: Posteriors, candidates: int) -> MultiSampleBound:
    """All terms of proposition 2; arguments as in `clip_term`."""
    clip = clip_term(joint, critic, posteriors, candidates)
    return MultiSampleBound(
        clip, classifier_term(joint, posteriors), correction_term(joint, posteriors), batch_entropy(joint)
    )


# ------------------------------------------------------------------ estimates from minibatches


def single_sample_estimates(
    source: DiscreteScreen | GaussianScreen, n: int, repeats: int, generator: torch.Generator
) -> Tensor:
    """Estimates of proposition 1 at h*, each from n draws: n joint pairs, n (n - 1) crossed pairs.

    I(Z_d; X_b) is taken as known.

    Args:
        source: the distribution to draw from.
        n: draws in each estimate, at least 2.
        repeats: number of estimates.
        generator: decides the draws.

    Returns:
        (repeats,) estimates.
    """
    values = []
    for _ in range(repeats):
        z_drug, z_screen, batch_id = source.sample(n, generator)
        log_pair = _anchors_batch(source.log_posterior_pair(z_screen, z_drug), batch_id)
        log_screen = source.log_posterior_screen(z_screen).gather(1, batch_id[:, None])
        log_ratio = source.critic(z_screen, z_drug) + log_pair - log_screen  # (n, n) h* - 1
        crossed = log_ratio.exp().sum() - log_ratio.diagonal().exp().sum()
        values.append(1 + log_ratio.diagonal().mean() - crossed / (n * (n - 1)))
    return torch.stack(values) - source.batch_information[0]


def multi_sample_estimates(
    source: DiscreteScreen | GaussianScreen,
    n: int,
    repeats: int,
    generator: torch.Generator,
    *,
    alpha: float | None = None,
    mixture: Mixture = "arithmetic",
    log_prior: Tensor | None = None,
) -> Tensor:
    """Estimates of proposition 2 at f*, each from a minibatch of n draws (so K = n).

    The classifiers are exact, so L_CLF = 0.

    Args:
        source, n, repeats, generator: as for `single_sample_estimates`.
        alpha: with it L_CLIP is the training loss, `reweighted_info_nce`, minus log K; None takes the optimum
            p_g* = p_d* = p(x_b | z_g, z_d).
        mixture, log_prior: of the training loss.

    Returns:
        (repeats,) estimates.
    """
    entropy = -float(source.log_prior.exp() @ source.log_prior)
    values = []
    for _ in range(repeats):
        z_drug, z_screen, batch_id = source.sample(n, generator)
        f = source.critic(z_screen, z_drug)  # (n, n) rows: screens
        log_drug, log_screen = source.log_posterior_drug(z_drug), source.log_posterior_screen(z_screen)
        losses, weights = [], []
        if alpha is None:
            pair = source.log_posterior_pair(z_screen, z_drug)
            for similarity, posterior in ((f, pair), (f.T, pair.transpose(0, 1))):
                loss, weight = _weighted(similarity, _anchors_batch(posterior, batch_id))
                losses.append(loss)
                weights.append(weight)
        else:
            positive = torch.arange(n)
            for similarity, anchor, candidate in ((f, log_screen, log_drug), (f.T, log_drug, log_screen)):
                loss = reweighted_info_nce(
                    similarity, positive, batch_id, anchor, candidate, alpha=alpha, mixture=mixture, log_prior=log_prior
                )
                losses.append(loss)
                weights.append(mix(anchor, candidate, alpha, mixture, log_prior).gather(1, batch_id[:, None]))
        clip = torch.stack(losses).mean() - math.log(n)
        single = (log_drug + log_screen).gather(1, batch_id[:, None])
        correction = torch.stack(weights).mean() - single.mean() / 2
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


def _weighted(similarity: Tensor, log_weight: Tensor) -> tuple[Tensor, Tensor]:
    """(n,) log sum_j w_ij e^f_ij - f_ii for given weights, and (n,) log w_ii."""
    positive = log_weight.diagonal()
    return info_nce(similarity + log_weight, torch.arange(len(similarity))) + positive, positive


def _anchors_batch(log_posterior: Tensor, batch_id: Tensor) -> Tensor:
    """(n, m) log-probability of the experimental batch of each anchor, of an (n, m, n_B) table."""
    return log_posterior[torch.arange(len(batch_id)), :, batch_id]
