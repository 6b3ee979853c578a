"""Losses against a naive dense oracle, their limits and their error messages."""

import math

import pytest
import torch
from dense_oracle import dense_info_nce, dense_infocore, loop_clip
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import log_softmax, normalize

from infocore_mini import log_totals
from infocore_mini.losses import (
    ccl_loss,
    clip_loss,
    infocore_loss,
    reweighted_info_nce,
    reweighted_info_nce_from_columns,
    reweighted_info_nce_from_labels,
)

TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}
MIXTURES = [("arithmetic", False), ("geometric", False), ("geometric", True)]


def example(n=24, d=8, n_batches=6, *, seed=0, dtype=torch.float64, soft=False, sharpness=1.0):
    """Unit embeddings, batch labels and posteriors. ``sharpness`` 1 is ordinary, 30 reaches e^-100."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    z_a, z_b = normalize(normal(n, d)), normalize(normal(n, d))
    log_a, log_b = (log_softmax(sharpness * normal(n, n_batches), 1) for _ in range(2))
    batch_id = torch.randint(n_batches, (n,), generator=generator)
    if soft:
        batch_id = torch.softmax(2 * normal(n, n_batches), 1)
        batch_id[: n // 2, 0] = 0  # labels with exact zeros, as averaged replicates have
        batch_id /= batch_id.sum(1, keepdim=True)
    cast = [t.to(dtype) for t in (z_a, z_b, log_a, log_b)]
    log_prior = log_softmax(normal(n_batches), 0).to(dtype)
    return (*cast, batch_id.to(dtype) if soft else batch_id, log_prior)


def value_and_gradients(loss, *inputs):
    leaves = [x.clone().requires_grad_() for x in inputs]
    value = loss(*leaves)
    gradients = torch.autograd.grad(value, leaves, allow_unused=True)
    return value.detach(), [torch.zeros_like(x) if g is None else g for x, g in zip(leaves, gradients)]


def relative_error(found, truth):
    return float((found.double() - truth.double()).norm() / truth.double().norm().clamp_min(1e-12))


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("soft", [False, True], ids=["hard", "soft"])
@pytest.mark.parametrize("mixture, with_prior", MIXTURES)
@pytest.mark.parametrize("gradient_scale", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("alpha", [0.0, 0.33, 0.5, 1.0])
@pytest.mark.parametrize("temperature", [0.01, 0.1, 1.0])
def test_infocore_equals_the_dense_oracle(dtype, soft, mixture, with_prior, gradient_scale, alpha, temperature):
    *tensors, batch_id, log_prior = example(dtype=dtype, soft=soft)
    options = dict(
        alpha=alpha,
        gradient_scale=gradient_scale,
        mixture=mixture,
        temperature=temperature,
        log_prior=log_prior if with_prior else None,
    )

    def with_loss(loss, label, options):
        return lambda z_a, z_b, log_a, log_b: loss(z_a, z_b, label, log_a, log_b, **options)

    found, gradients = value_and_gradients(with_loss(infocore_loss, batch_id, options), *tensors)
    # the oracle runs in float64 on the same (rounded) inputs, so float32 is held against the true value
    wide = [t.double() for t in tensors]
    wide_label = batch_id.double() if soft else batch_id
    wide_options = options | {"log_prior": log_prior.double() if with_prior else None}
    truth, true_gradients = value_and_gradients(with_loss(dense_infocore, wide_label, wide_options), *wide)
    assert relative_error(found, truth) <= TOLERANCE[dtype]
    for gradient, true_gradient in zip(gradients, true_gradients):
        assert relative_error(gradient, true_gradient) <= TOLERANCE[dtype]
    if gradient_scale == 0:
        assert not gradients[2].any() and not gradients[3].any()


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("soft", [False, True], ids=["hard", "soft"])
@pytest.mark.parametrize("mixture, with_prior", MIXTURES)
def test_stable_at_low_temperature_and_tiny_posteriors(dtype, soft, mixture, with_prior):
    *tensors, batch_id, log_prior = example(dtype=dtype, soft=soft, sharpness=15.0, seed=3)
    assert tensors[2].min() < math.log(1e-20)
    tensors[2] = torch.maximum(tensors[2], torch.tensor(math.log(1e-30), dtype=dtype))
    options = dict(alpha=0.33, mixture=mixture, temperature=0.01, gradient_scale=1.0)

    def with_loss(loss, label, prior):
        return lambda z_a, z_b, log_a, log_b: loss(z_a, z_b, label, log_a, log_b, log_prior=prior, **options)

    found, gradients = value_and_gradients(
        with_loss(infocore_loss, batch_id, log_prior if with_prior else None), *tensors
    )
    wide_label = batch_id.double() if soft else batch_id
    truth, true_gradients = value_and_gradients(
        with_loss(dense_infocore, wide_label, log_prior.double() if with_prior else None),
        *[t.double() for t in tensors],
    )
    assert relative_error(found, truth) <= TOLERANCE[dtype]
    for gradient, true_gradient in zip(gradients, true_gradients):
        assert gradient.isfinite().all()
        assert relative_error(gradient, true_gradient) <= TOLERANCE[dtype]


@pytest.mark.parametrize("soft", [False, True], ids=["hard", "soft"])
@pytest.mark.parametrize("mixture, with_prior", MIXTURES)
def test_directional_core_with_a_queue(soft, mixture, with_prior):
    """MoCo's case: more candidates than anchors, positives anywhere among them."""
    z, candidates, log_anchor, _, _, log_prior = example(n=10)
    z_more, _, log_more, _, _, _ = example(n=37, seed=1)
    batch_id = example(n=10, soft=soft)[4]
    similarity, positive = z @ z_more.T / 0.1, torch.arange(10) * 3 + 2
    options = dict(alpha=0.2, gradient_scale=0.5, mixture=mixture, log_prior=log_prior if with_prior else None)
    found = reweighted_info_nce(similarity, positive, batch_id, log_anchor, log_more, **options)
    truth = dense_info_nce(similarity, positive, batch_id, log_anchor, log_more, **options)
    assert found.shape == (10,)
    torch.testing.assert_close(found, truth, rtol=1e-10, atol=1e-10)


# ------------------------------------------------------------------ soft labels that name few batches, one by one


def few_labels(n=10, m=37, n_batches=50, *, seed=0, dtype=torch.float64, sharpness=1.0):
    """Anchors of one to three batches and candidates elsewhere: similarity, log-posteriors of both, dense labels."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    similarity = normalize(normal(n, 8)) @ normalize(normal(m, 8)).T
    log_anchor, log_candidate = (log_softmax(sharpness * normal(rows, n_batches), 1) for rows in (n, m))
    code = normal(n, n_batches).argsort(1)[:, :3]
    share = normal(n, 3).softmax(1) * (torch.arange(3) <= torch.arange(n)[:, None] % 3)
    label = torch.zeros(n, n_batches, dtype=torch.float64).scatter_(1, code, share / share.sum(1, keepdim=True))
    return [t.to(dtype) for t in (similarity, log_anchor, log_candidate, label)]


def from_labels(similarity, positive, label, log_anchor, log_candidate, *, padded=False, **settings):
    """``reweighted_info_nce_from_labels`` of dense labels; ``padded``: every anchor has three, some of share 0."""
    if padded:
        share, code = label.topk(3, dim=1)
        row, code, share = torch.arange(len(label)).repeat_interleave(3), code.flatten(), share.flatten()
    else:
        row, code = label.nonzero(as_tuple=True)
        share = label[row, code]
    columns = log_anchor[row, code], log_candidate.T[code]
    return reweighted_info_nce_from_labels(similarity, positive, row, share, *columns, **settings)


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("gradient_scale", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("alpha", [0.0, 0.33, 1.0])
@pytest.mark.parametrize("temperature", [0.01, 0.1, 1.0])
def test_few_labels_equal_the_dense_oracle(padded, dtype, gradient_scale, alpha, temperature, monkeypatch):
    """Value and gradients, in blocks of two anchors and a last one of one."""
    monkeypatch.setitem(log_totals.BLOCK, True, 2 * 37)
    *tensors, label = few_labels(n=9, dtype=dtype)
    positive = torch.arange(9) * 3 + 2
    settings = dict(alpha=alpha, gradient_scale=gradient_scale)

    def found(similarity, log_anchor, log_candidate):
        f = similarity / temperature
        return from_labels(f, positive, label, log_anchor, log_candidate, padded=padded, **settings)

    def oracle(similarity, log_anchor, log_candidate):
        f, settings_ = similarity / temperature, settings | {"mixture": "arithmetic"}
        return dense_info_nce(f, positive, label.double(), log_anchor, log_candidate, **settings_)

    weight = torch.arange(1.0, 10.0)  # of the anchors, so that their gradients differ
    value, gradients = value_and_gradients(lambda *leaves: found(*leaves) @ weight.to(dtype), *tensors)
    truth, true_gradients = value_and_gradients(
        lambda *leaves: oracle(*leaves) @ weight.double(), *[t.double() for t in tensors]
    )
    assert relative_error(value, truth) <= TOLERANCE[dtype]
    for gradient, true_gradient in zip(gradients, true_gradients):
        assert relative_error(gradient, true_gradient) <= TOLERANCE[dtype]
    torch.testing.assert_close(found(*tensors).double(), oracle(*[t.double() for t in tensors]), rtol=1e-4, atol=1e-4)


def test_few_labels_are_stable_at_low_temperature_and_tiny_posteriors():
    *tensors, label = few_labels(dtype=torch.float32, sharpness=15.0)
    assert tensors[1].min() < math.log(1e-30) and tensors[2].min() < math.log(1e-30)
    positive = torch.arange(10)

    def total(loss, of_label, **settings):
        return lambda f, *posteriors: loss(f / 0.01, positive, of_label, *posteriors, alpha=0.33, **settings).sum()

    value, gradients = value_and_gradients(total(from_labels, label, gradient_scale=1.0), *tensors)
    oracle = total(dense_info_nce, label.double(), gradient_scale=1.0, mixture="arithmetic")
    truth, true_gradients = value_and_gradients(oracle, *[t.double() for t in tensors])
    assert relative_error(value, truth) <= 1e-5
    for gradient, true_gradient in zip(gradients, true_gradients):
        assert relative_error(gradient, true_gradient) <= 1e-5


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_few_labels_leave_out_what_is_excluded_and_survive_log_zero(alpha):
    similarity, log_anchor, log_candidate, label = few_labels()
    keep = torch.arange(37) < 30
    loss = [
        from_labels(f, torch.arange(10), label, log_anchor, candidates, alpha=alpha)
        for f, candidates in (
            (similarity.masked_fill(~keep, -torch.inf), log_candidate),
            (similarity[:, keep], log_candidate[keep]),
        )
    ]
    torch.testing.assert_close(*loss)
    nowhere = torch.full_like(log_candidate, -torch.inf)  # no candidate can be of a batch that is asked for
    value, gradients = value_and_gradients(
        lambda f, p, q: from_labels(f, torch.arange(10), label, p, q, alpha=alpha, gradient_scale=1.0).sum(),
        *(similarity, log_anchor, nowhere),
    )
    assert value.isfinite() and all(gradient.isfinite().all() for gradient in gradients)
    if alpha > 0:  # what is left is the anchor's own share
        of_anchor = (label * (math.log(alpha) + log_anchor)).sum(1)
        expected = of_anchor + similarity.logsumexp(1) - similarity.diagonal()
        torch.testing.assert_close(value, expected.sum())


def test_one_label_each_equals_the_columns_of_codes(monkeypatch):
    """Codes and shares of 1 give one loss and one gradient, whichever way; and blocks change neither."""
    similarity, log_anchor, log_candidate, _ = few_labels()
    code, positive, whole = torch.arange(10) * 4, torch.arange(10), torch.ones(10, dtype=torch.float64)
    columns = log_anchor.gather(1, code[:, None]).squeeze(1), log_candidate.T[code]

    def of_codes(f):
        return reweighted_info_nce_from_columns(f, positive, *columns, alpha=0.4).sum()

    def of_labels(f):
        return reweighted_info_nce_from_labels(f, positive, positive, whole, *columns, alpha=0.4).sum()

    expected = value_and_gradients(of_codes, similarity)
    monkeypatch.setitem(log_totals.BLOCK, True, 3 * 37)
    for found in (value_and_gradients(loss, similarity) for loss in (of_codes, of_labels)):
        torch.testing.assert_close(found, expected)


def test_labels_that_do_not_fit_are_named():
    similarity, positive, p = torch.zeros(4, 6), torch.arange(4), 5
    fits = dict(
        anchor=torch.zeros(p).long(),
        share=torch.ones(p),
        log_column_anchor=torch.zeros(p),
        log_column_candidate=torch.zeros(p, 6),
    )
    for name in ("share", "log_column_anchor", "log_column_candidate"):
        with pytest.raises(ValueError, match=rf"{name}: got shape .*, expected \(5, ?6?\) for 5 labels"):
            reweighted_info_nce_from_labels(similarity, positive, **fits | {name: fits[name][:-1]})
    with pytest.raises(ValueError, match="alpha: got 2"):
        reweighted_info_nce_from_labels(similarity, positive, **fits, alpha=2)


@pytest.mark.parametrize("mixture", ["arithmetic", "geometric"])
@pytest.mark.parametrize("soft", [False, True], ids=["hard", "soft"])
def test_a_candidate_of_minus_infinity_is_left_out(mixture, soft):
    z_a, z_b, log_a, log_b, batch_id, _ = example(n=12, soft=soft)
    similarity, keep = z_a @ z_b.T / 0.1, torch.arange(12) < 9
    rows = slice(0, 9)
    masked = similarity.masked_fill(~keep, -torch.inf)[rows]
    options = dict(alpha=0.4, mixture=mixture)
    found = reweighted_info_nce(masked, torch.arange(9), batch_id[rows], log_a[rows], log_b, **options)
    truth = reweighted_info_nce(
        similarity[rows, rows], torch.arange(9), batch_id[rows], log_a[rows], log_b[rows], **options
    )
    torch.testing.assert_close(found, truth, rtol=1e-10, atol=1e-10)


def test_clip_and_ccl_equal_the_naive_loop():
    z_a, z_b, _, _, batch_id, _ = example()
    torch.testing.assert_close(clip_loss(z_a, z_b, temperature=0.2), loop_clip(z_a, z_b, 0.2), rtol=1e-10, atol=0)
    found = ccl_loss(z_a, z_b, batch_id, temperature=0.2)
    torch.testing.assert_close(found, loop_clip(z_a, z_b, 0.2, batch_id), rtol=1e-10, atol=0)


def test_ccl_of_single_member_batches_is_zero():
    z_a, z_b, *_ = example(n=5)
    assert float(ccl_loss(z_a, z_b, torch.arange(5))) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("mixture", ["arithmetic", "geometric"])
def test_exact_zero_probabilities_stay_finite(mixture):
    z_a, z_b, *_ = example(n=6)
    batch_id = torch.arange(6) % 3
    one_hot = torch.eye(3, dtype=torch.float64)[batch_id].log()  # log 0 = -inf off the diagonal
    value, gradients = value_and_gradients(
        lambda a, b, p, q: infocore_loss(a, b, batch_id, p, q, gradient_scale=1.0, mixture=mixture),
        *(z_a, z_b, one_hot, one_hot),
    )
    assert value.isfinite() and all(g.isfinite().all() for g in gradients)


# ------------------------------------------------------------------ properties

ANY_CASE = dict(seed=st.integers(0, 10**6), mixture=st.sampled_from(["arithmetic", "geometric"]), alpha=st.floats(0, 1))


@given(**ANY_CASE, soft=st.booleans())
@settings(max_examples=40, deadline=None)
def test_order_of_rows_does_not_matter(seed, mixture, alpha, soft):
    z_a, z_b, log_a, log_b, batch_id, _ = example(n=10, seed=seed, soft=soft)
    p = torch.randperm(10, generator=torch.Generator().manual_seed(seed))
    options = dict(alpha=alpha, mixture=mixture)
    value = infocore_loss(z_a, z_b, batch_id, log_a, log_b, **options)
    torch.testing.assert_close(infocore_loss(z_a[p], z_b[p], batch_id[p], log_a[p], log_b[p], **options), value)


@given(seed=st.integers(0, 10**6), mixture=st.sampled_from(["arithmetic", "geometric"]), temperature=st.floats(0.05, 2))
@settings(max_examples=40, deadline=None)
def test_alpha_one_is_clip_plus_the_mean_log_posterior(seed, mixture, temperature):
    z_a, z_b, log_a, log_b, batch_id, _ = example(seed=seed)
    own = torch.stack([log.gather(1, batch_id[:, None]).mean() for log in (log_a, log_b)]).mean()
    found = infocore_loss(z_a, z_b, batch_id, log_a, log_b, alpha=1.0, mixture=mixture, temperature=temperature)
    torch.testing.assert_close(found, clip_loss(z_a, z_b, temperature=temperature) + own)


@given(**ANY_CASE, soft=st.booleans())
@settings(max_examples=40, deadline=None)
def test_uniform_posteriors_give_clip_up_to_a_constant(seed, mixture, alpha, soft):
    z_a, z_b, log_a, log_b, batch_id, _ = example(seed=seed, soft=soft)
    uniform = torch.full_like(log_a, -math.log(log_a.shape[1]))
    found = infocore_loss(z_a, z_b, batch_id, uniform, uniform, alpha=alpha, mixture=mixture)
    torch.testing.assert_close(found, clip_loss(z_a, z_b) - math.log(log_a.shape[1]))


@given(**ANY_CASE)
@settings(max_examples=40, deadline=None)
def test_one_hot_soft_labels_equal_codes(seed, mixture, alpha):
    z_a, z_b, log_a, log_b, batch_id, _ = example(seed=seed)
    soft = torch.nn.functional.one_hot(batch_id, log_a.shape[1]).double()
    options = dict(alpha=alpha, mixture=mixture)
    torch.testing.assert_close(
        infocore_loss(z_a, z_b, soft, log_a, log_b, **options),
        infocore_loss(z_a, z_b, batch_id, log_a, log_b, **options),
    )


# ------------------------------------------------------------------ errors that say what is wrong


def _set(index, change):
    def apply(inputs):
        inputs[index] = change(inputs[index])

    return apply


def _nan(x):
    x = x.clone()
    x[0, 0] = torch.nan
    return x


@pytest.mark.parametrize(
    "change, options, message",
    [
        (_set(0, lambda z: z[:-1]), {}, r"z_a, z_b: got shapes"),
        (_set(0, _nan), {}, r"z_a: got NaN"),
        (_set(1, _nan), {}, r"z_b: got NaN"),
        (_set(3, _nan), {}, r"log_posterior_a: got NaN"),
        (_set(4, lambda p: p[:, :-1]), {}, r"log_posterior_b: got shape \(24, 5\), expected \(24, 6\)"),
        (_set(2, lambda b: b + 1), {}, r"batch_id: got codes from 1 to 6, expected 0 to 5"),
        (_set(2, lambda b: b[:-1]), {}, r"batch_id: got shape \(23,\)"),
        (_set(2, lambda b: torch.full((24, 6), 0.5)), {}, r"batch_id: got soft labels"),
        (_set(2, lambda b: b.double()), {}, r"batch_id: got shape \(24,\) of torch.float64"),
        (None, {"alpha": 1.5}, r"alpha: got 1.5, expected a number from 0 to 1"),
        (None, {"temperature": 0.0}, r"temperature: got 0.0"),
        (None, {"mixture": "harmonic"}, r"mixture: got 'harmonic'"),
        (None, {"log_prior": torch.zeros(6)}, r"log_prior: .*geometric"),
    ],
)
def test_bad_input_is_named(change, options, message):
    z_a, z_b, log_a, log_b, batch_id, _ = example()
    inputs = [z_a, z_b, batch_id, log_a, log_b]
    if change is not None:
        change(inputs)
    with pytest.raises(ValueError, match=message):
        infocore_loss(*inputs, **options)


def test_ccl_rejects_soft_labels():
    z_a, z_b, _, _, soft, _ = example(soft=True)
    with pytest.raises(ValueError, match="no soft labels"):
        ccl_loss(z_a, z_b, soft)
