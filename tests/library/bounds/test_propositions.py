"""Propositions 1 to 3 against exact sums, quadrature, brute force and autograd."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from infocore_mini import losses
from infocore_mini.bounds import distributions
from infocore_mini.bounds import propositions as bounds

SEEDS = range(20)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """The tables are tiny: threads would only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def generator(seed):
    return torch.Generator().manual_seed(seed)


def normal(g, *shape):
    return torch.randn(*shape, generator=g, dtype=torch.float64)


def random_table(g, shape=(3, 3, 3)):
    return distributions.random_discrete(*shape, effect=1.5, confounding=1.5, interaction=0.7, generator=g)


def random_posteriors(g, shape=(3, 3, 3)):
    n_d, n_g, n_batches = shape
    shapes = (shape, shape, (n_d, n_batches), (n_g, n_batches))
    return bounds.Posteriors(*((2 * normal(g, *s)).log_softmax(-1) for s in shapes))


def critic_table(screen):
    n_d, n_g, _ = screen.joint.shape
    return screen.critic(torch.arange(n_g), torch.arange(n_d)).T


def chi_squared(joint):
    """E_p[p / (p_1 p_2)] - 1 of a two-way table."""
    return float((joint**2 / joint.sum(1, keepdim=True) / joint.sum(0)).sum()) - 1


def gaussian(correlation=0.7, dimension=1):
    shift = torch.tensor([-1.5, 0.0, 2.0], dtype=torch.float64)
    prior = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    return distributions.GaussianScreen(shift, shift.roll(1), prior.log(), correlation, dimension)


# ------------------------------------------------------------------ the distributions


def test_informations_match_entropies():
    joint = random_table(generator(0), (4, 3, 5)).joint

    def entropy(*axes):
        return float(
            torch.special.entr(joint.sum([a for a in range(3) if a not in axes]) if len(axes) < 3 else joint).sum()
        )

    screen = distributions.DiscreteScreen(joint)
    assert screen.conditional_information == pytest.approx(
        entropy(0, 2) + entropy(1, 2) - entropy(2) - entropy(0, 1, 2)
    )
    assert screen.information == pytest.approx(entropy(0) + entropy(1) - entropy(0, 1))
    assert screen.batch_information[0] == pytest.approx(entropy(0) + entropy(2) - entropy(0, 2))
    assert screen.batch_information[1] == pytest.approx(entropy(1) + entropy(2) - entropy(1, 2))
    assert bounds.batch_entropy(joint) == pytest.approx(entropy(2))


def test_no_confounding_makes_conditional_and_plain_information_equal():
    screen = distributions.random_discrete(3, 4, 3, effect=1.0, confounding=0.0, generator=generator(1))
    assert screen.conditional_information == pytest.approx(screen.information)
    assert screen.batch_information == pytest.approx((0, 0), abs=1e-12)


def test_discrete_samples_follow_the_table():
    screen = random_table(generator(2))
    z_drug, z_screen, batch_id = screen.sample(200_000, generator(3))
    counts = torch.zeros_like(screen.joint).index_put_(
        (z_drug, z_screen, batch_id), torch.tensor(1.0).double(), accumulate=True
    )
    assert (counts / 200_000 - screen.joint).abs().max() < 0.006  # over 5 standard errors


def test_gaussian_information_by_quadrature_of_its_own_critic_and_posteriors():
    """I(Z_d; Z_g | X_b) = E[f* + log p(b | pair) + log p(b) - log p(b | z_g) - log p(b | z_d)], on a grid."""
    source = gaussian()
    axis = torch.linspace(-9, 9, 401, dtype=torch.float64)
    cell = float(axis[1] - axis[0]) ** 2
    z = axis[:, None]
    log_joint = source._log_joint(z, z) - math.log(2 * math.pi)
    integrand = source.critic(z, z)[..., None] + source.log_posterior_pair(z, z) + source.log_prior
    integrand = integrand - source.log_posterior_screen(z)[:, None] - source.log_posterior_drug(z)[None]
    assert float(log_joint.exp().sum() * cell) == pytest.approx(1, abs=1e-6)
    assert float((log_joint.exp() * integrand).sum() * cell) == pytest.approx(source.conditional_information, abs=1e-6)


def test_gaussian_samples_agree_with_closed_forms():
    source = gaussian(dimension=3)
    z_drug, z_screen, batch_id = source.sample(200_000, generator(0))
    inside = z_drug[batch_id == 2], z_screen[batch_id == 2]
    for k in range(3):
        assert np.corrcoef(inside[0][:, k], inside[1][:, k])[0, 1] == pytest.approx(0.7, abs=0.015)
    for z, posterior, truth in zip(
        (z_drug, z_screen),
        (source.log_posterior_drug, source.log_posterior_screen),
        source.batch_information,
        strict=True,
    ):
        own = posterior(z).gather(1, batch_id[:, None]).squeeze(1) - source.log_prior[batch_id]
        assert abs(float(own.mean()) - truth) < 5 * float(own.std()) / math.sqrt(len(own))


@pytest.mark.parametrize("seed", SEEDS)
def test_encoding_never_adds_information(seed):
    x, code = random_table(generator(seed), (4, 4, 3)), torch.tensor([0, 0, 1, 1])
    both = x.encode(drug=code, screen=code).conditional_information
    for one in (x.encode(drug=code), x.encode(screen=code)):
        assert both <= one.conditional_information <= x.conditional_information


@pytest.mark.parametrize("bad", [torch.ones(2, 2) / 4, torch.ones(2, 2, 2), torch.tensor([[[1.5, -0.5]]])])
def test_bad_tables_are_named(bad):
    with pytest.raises(ValueError, match="joint: got shape"):
        distributions.DiscreteScreen(bad)


def test_bad_settings_are_named():
    with pytest.raises(ValueError, match="correlation, dimension: got 1.0"):
        gaussian(correlation=1.0)
    screen = random_table(generator(0))
    with pytest.raises(ValueError, match="candidates: got 0"):
        bounds.clip_term(screen.joint, critic_table(screen), bounds.Posteriors.optimum(screen), 0)


# ------------------------------------------------------------------ proposition 1


@pytest.mark.parametrize("seed", SEEDS)
def test_single_sample_bound(seed):
    g = generator(seed)
    screen = random_table(g)
    optimum = bounds.single_sample_optimum(screen)
    truth = screen.conditional_information
    assert bounds.single_sample_bound(screen, optimum) == pytest.approx(truth, abs=1e-12)
    assert bounds.single_sample_bound(screen, optimum + 0.3 * normal(g, 3, 3, 3)) < truth
    assert bounds.single_sample_bound(screen, 2 * normal(g, 3, 3, 3)) < truth
    shifted = bounds.single_sample_bound(screen, optimum + 0.5)
    assert shifted == pytest.approx(truth - (math.exp(0.5) - 1.5), abs=1e-12)


# ------------------------------------------------------------------ proposition 2


def brute_force_clip(joint, critic, posteriors, candidates):
    """L_CLIP by looping over every triple and every sequence of negatives."""
    n_d, n_g, n_batches = joint.shape
    p_d, p_g = joint.sum((1, 2)), joint.sum((0, 2))
    total = 0.0
    for d, s, b in itertools.product(range(n_d), range(n_g), range(n_batches)):
        for states, marginal, weight in (
            (n_d, p_d, (critic[:, s] + posteriors.anchor_screen[:, s, b]).exp()),
            (n_g, p_g, (critic[d] + posteriors.anchor_drug[d, :, b]).exp()),
        ):
            own = d if marginal is p_d else s
            for negatives in itertools.product(range(states), repeat=candidates - 1):
                chance = math.prod(float(marginal[i]) for i in negatives)
                mean = (weight[own] + sum(weight[i] for i in negatives)) / candidates
                total -= float(joint[d, s, b]) * chance * (float(critic[d, s]) - math.log(float(mean))) / 2
    return total


def test_clip_term_equals_brute_force():
    g = generator(4)
    screen, critic, posteriors = random_table(g, (3, 2, 2)), normal(g, 3, 2), random_posteriors(g, (3, 2, 2))
    for k in (1, 2, 4):
        expected = brute_force_clip(screen.joint, critic, posteriors, k)
        assert bounds.clip_term(screen.joint, critic, posteriors, k) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("seed", SEEDS)
def test_multi_sample_bound_holds_at_every_k_for_anything(seed):
    g = generator(seed)
    screen, critic, posteriors = random_table(g), 2 * normal(g, 3, 3), random_posteriors(g)
    unnormalised = bounds.Posteriors(
        posteriors.anchor_screen + normal(g, 3, 3, 3), posteriors.anchor_drug - 3, posteriors.drug, posteriors.screen
    )
    for family, k in itertools.product((posteriors, unnormalised), (2, 3, 8, 32)):
        assert bounds.multi_sample_bound(screen.joint, critic, family, k).full < screen.conditional_information


@pytest.mark.parametrize("seed", SEEDS)
def test_multi_sample_bound_at_the_stated_optimum(seed):
    screen = random_table(generator(seed))
    optimum, critic, truth = bounds.Posteriors.optimum(screen), critic_table(screen), screen.conditional_information
    ks = (2, 8, 64, 256)
    found = [bounds.multi_sample_bound(screen.joint, critic, optimum, k).full for k in ks]
    assert found == sorted(found)
    batch_information = sum(screen.batch_information) / 2
    sides = screen.joint.flatten(1), screen.joint.transpose(0, 1).flatten(1)  # anchor (z_g, x_b); anchor (z_d, x_b)
    for k, value in zip(ks, found, strict=True):
        shortfall = sum(math.log1p(chi_squared(side) / k) for side in sides) / 2
        assert truth - shortfall - 1e-12 <= value <= min(truth, math.log(k) - batch_information) + 1e-12


def test_correction_at_the_optimum_is_what_one_embedding_adds_about_the_batch():
    screen = random_table(generator(5))
    joint = screen.joint
    drug_given_screen = distributions.DiscreteScreen(
        joint.permute(0, 2, 1)
    ).conditional_information  # I(Z_d; X_b | Z_g)
    screen_given_drug = distributions.DiscreteScreen(
        joint.permute(1, 2, 0)
    ).conditional_information  # I(Z_g; X_b | Z_d)
    found = bounds.correction_term(joint, bounds.Posteriors.optimum(screen))
    assert found == pytest.approx((drug_given_screen + screen_given_drug) / 2)


def test_classifier_term_is_zero_only_for_the_right_classifiers():
    g = generator(6)
    screen = random_table(g)
    assert bounds.classifier_term(screen.joint, bounds.Posteriors.optimum(screen)) == pytest.approx(0, abs=1e-12)
    assert bounds.classifier_term(screen.joint, random_posteriors(g)) > 0.01


def test_classifiers_cancel_from_the_full_bound():
    g = generator(7)
    screen, critic, posteriors = random_table(g), normal(g, 3, 3), random_posteriors(g)
    exact = bounds.Posteriors.optimum(screen)
    swapped = bounds.Posteriors(posteriors.anchor_screen, posteriors.anchor_drug, exact.drug, exact.screen)
    first, second = (bounds.multi_sample_bound(screen.joint, critic, p, 8) for p in (posteriors, swapped))
    assert first.full == pytest.approx(second.full)
    assert first.reduced != pytest.approx(second.reduced, abs=1e-3)


@pytest.mark.parametrize(
    "settings_",
    [None, dict(alpha=0.33), dict(alpha=0.7, mixture="geometric"), dict(alpha=0.5, mixture="geometric", prior=True)],
)
def test_minibatch_estimates_with_the_training_loss_agree_with_exact_sums(settings_):
    screen = random_table(generator(8), (3, 4, 3))
    options = dict(settings_ or {})
    if options.pop("prior", False):
        options["log_prior"] = screen.log_prior
    exact = bounds.Posteriors.optimum(screen)
    family = bounds.Posteriors.mixed(exact.drug, exact.screen, **options) if settings_ else exact
    truth = bounds.multi_sample_bound(screen.joint, critic_table(screen), family, 8).full
    found = bounds.multi_sample_estimates(screen, 8, 800, generator(9), **options)
    assert abs(float(found.mean()) - truth) < 4.5 * float(found.std()) / math.sqrt(len(found))


@pytest.mark.parametrize("dimension", [1, 4, 10])
def test_gaussian_estimates(dimension):
    source = gaussian(correlation=0.8, dimension=dimension)
    single = bounds.single_sample_estimates(source, 32, 200, generator(10))
    multi = bounds.multi_sample_estimates(source, 32, 200, generator(10))
    error = float(multi.std()) / math.sqrt(len(multi))
    ceiling = math.log(32) - sum(source.batch_information) / 2
    assert float(multi.mean()) < min(source.conditional_information, ceiling) + 4 * error
    if dimension <= 4:  # beyond, the mean of 200 heavy-tailed draws proves nothing
        assert abs(float(single.mean()) - source.conditional_information) < 4.5 * float(single.std()) / math.sqrt(
            len(single)
        )
    if dimension > 1:
        assert single.std() > 1.1 * multi.std()


# ------------------------------------------------------------------ proposition 3


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    alpha=st.floats(0, 1),
    sharpness=st.floats(0.1, 30),
    n_batches=st.integers(2, 6),
    mixture=st.sampled_from(["arithmetic", "geometric"]),
)
def test_correction_is_not_negative(seed, alpha, sharpness, n_batches, mixture):
    g = generator(seed)
    joint = random_table(g, (3, 3, n_batches)).joint
    drug, screen = ((sharpness * normal(g, 3, n_batches)).log_softmax(-1) for _ in range(2))
    posteriors = bounds.Posteriors.mixed(drug, screen, alpha, mixture)
    assert bounds.correction_term(joint, posteriors) >= -1e-10
    if mixture == "arithmetic":
        u, v = screen[None].exp(), drug[:, None].exp()
        identity = (joint * torch.log1p(alpha * (1 - alpha) * (u - v) ** 2 / (u * v))).sum() / 2
        assert bounds.correction_term(joint, posteriors) == pytest.approx(float(identity), rel=1e-6, abs=1e-10)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_product_of_two_nuisances_posteriors_bounds_the_information_given_both(seed):
    """Nuisances of 2 and 3 levels; the product of exact posteriors costs what they tell of each other, given z."""
    screen = random_table(generator(seed), (3, 3, 6))
    tables = [screen.joint.sum(1).reshape(3, 2, 3), screen.joint.sum(0).reshape(3, 2, 3)]  # of z_d, of z_g
    posterior = [table / table.sum((1, 2), keepdim=True) for table in tables]
    first, second = ([part.sum(axis, keepdim=True) for part in posterior] for axis in (2, 1))
    drug, of_screen = ((one * other).log().reshape(3, 6) for one, other in zip(first, second))
    dependence = sum(
        float((table * (part / (one * other)).log()).sum())
        for table, part, one, other in zip(tables, posterior, first, second)
    )
    for alpha, k in itertools.product((0.0, 0.33, 1.0), (2, 8)):
        product = bounds.Posteriors.mixed(drug, of_screen, alpha)
        found = bounds.multi_sample_bound(screen.joint, critic_table(screen), product, k)
        assert found.full < screen.conditional_information
        assert bounds.classifier_term(screen.joint, product) == pytest.approx(dependence / 2)
        assert bounds.correction_term(screen.joint, product) >= -1e-10


def two_by_two(match):
    return torch.tensor([[match, 1 - match], [1 - match, match]], dtype=torch.float64)


def toy_screen(effect=0.95, nuisance=0.9):
    return distributions.separable_discrete(
        two_by_two(effect) / 2, two_by_two(nuisance), two_by_two(nuisance), torch.tensor([0.5, 0.5]).double()
    )


def test_counter_example_when_classifiers_differ():
    """A momentum classifier that lags: C < 0, the bound without C exceeds the truth, the bound with C does not."""
    screen = toy_screen()
    exact = bounds.Posteriors.optimum(screen)
    undecided = torch.full_like(exact.drug, -math.log(2))
    lagging = bounds.Posteriors.lagging(exact.drug, exact.screen, undecided, undecided, 0.33)
    found = bounds.multi_sample_bound(screen.joint, critic_table(screen), lagging, 64)
    assert found.correction < -0.1
    assert found.reduced > screen.conditional_information + 0.02
    assert found.full < screen.conditional_information


def test_prior_corrected_product_of_experts_is_exact_where_the_tie_is_the_same_in_every_batch():
    exact = bounds.Posteriors.optimum(toy_screen())
    product = bounds.Posteriors.mixed(exact.drug, exact.screen, 0.5, "geometric", toy_screen().log_prior)
    torch.testing.assert_close(product.anchor_screen, exact.anchor_screen)
    screen = random_table(generator(11))
    exact = bounds.Posteriors.optimum(screen)
    product = bounds.Posteriors.mixed(exact.drug, exact.screen, 0.5, "geometric", screen.log_prior)
    assert (product.anchor_screen - exact.anchor_screen).abs().max() > 0.01


@pytest.mark.parametrize("options", [dict(), dict(mixture="geometric"), dict(mixture="geometric", prior=True)])
def test_mix_is_the_weight_inside_the_loss(options):
    g, options = generator(12), dict(options)
    anchor, candidate = ((2 * normal(g, n, 4)).log_softmax(-1) for n in (5, 1))
    if options.pop("prior", False):
        options["log_prior"] = normal(g, 4).log_softmax(0)
    batch_id, zeros = torch.tensor([0, 1, 2, 3, 0]), torch.zeros(5, 1, dtype=torch.float64)
    found = losses.reweighted_info_nce(
        zeros, torch.zeros(5, dtype=torch.int64), batch_id, anchor, candidate, alpha=0.3, **options
    )
    expected = bounds.mix(anchor, candidate, 0.3, **options).gather(1, batch_id[:, None]).squeeze(1)
    torch.testing.assert_close(found, expected)


# ------------------------------------------------------------------ appendix D


@pytest.mark.parametrize("scale", [0.0, 0.1, 1.0])
def test_gradient_is_the_reweighted_part_plus_scale_times_the_competing_part(scale):
    """Each derivative by central differences of its own half: weights frozen, or similarities frozen."""
    g = generator(13)
    W, alpha, tau, b, step = normal(g, 4, 3), 0.4, 0.5, 1, 1e-5
    point = torch.nn.functional.normalize(normal(g, 7, 3), dim=1)  # row 0 the anchor, row 1 the positive

    def loss(for_similarity, for_weight):
        p = (for_weight @ W.T).softmax(1)[:, b]
        f = for_similarity[1:] @ for_similarity[0] / tau
        return ((alpha * p[0] + (1 - alpha) * p[1:]) * f.exp()).sum().log() - f[0]

    expected = torch.zeros_like(point)
    for i, j in itertools.product(*map(range, point.shape)):
        moved = step * torch.zeros_like(point).index_put((torch.tensor(i), torch.tensor(j)), torch.tensor(1.0).double())
        reweighted = loss(point + moved, point) - loss(point - moved, point)
        competing = loss(point, point + moved) - loss(point, point - moved)
        expected[i, j] = (reweighted + scale * competing) / (2 * step)
    z = point.clone().requires_grad_()
    log_posterior = (z @ W.T).log_softmax(1)
    value = losses.reweighted_info_nce(
        z[:1] @ z[1:].T / tau,
        torch.tensor([0]),
        torch.tensor([b]),
        log_posterior[:1],
        log_posterior[1:],
        alpha=alpha,
        gradient_scale=scale,
    )
    (found,) = torch.autograd.grad(value.sum(), z)
    torch.testing.assert_close(found, expected, atol=1e-8, rtol=1e-6)


def test_competing_part_lowers_the_own_batch_through_the_anchor_only():
    """Share of embeddings whose own batch gets less likely: all at alpha = 1, fewer at smaller alpha."""
    g = generator(14)

    def unit(*shape):
        return torch.nn.functional.normalize(normal(g, *shape), dim=1)

    centres, batch_id = unit(5, 2), torch.randint(0, 5, (256,), generator=g)
    sides = [torch.nn.functional.normalize(centres[batch_id] + unit(256, 2), dim=1).requires_grad_() for _ in range(2)]
    log_p = [(z @ (3 * centres).T).log_softmax(1) for z in sides]
    own = sum(p.gather(1, batch_id[:, None]).sum() for p in log_p)
    uphill = torch.autograd.grad(own, sides, retain_graph=True)
    share = []
    for alpha in (0.0, 0.33, 1.0):
        one, zero = (
            torch.autograd.grad(
                losses.infocore_loss(*sides, batch_id, *log_p, alpha=alpha, gradient_scale=scale),
                sides,
                retain_graph=True,
            )
            for scale in (1.0, 0.0)
        )
        falls = [((x - y) * u).sum(1) > 0 for x, y, u in zip(one, zero, uphill, strict=True)]
        share.append(float(torch.cat(falls).double().mean()))
    assert share[0] < share[1] < share[2] == 1
    assert share[0] < 0.9
