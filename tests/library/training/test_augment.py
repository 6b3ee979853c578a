"""Augmentations: moments, rates, and mixtures that stay inside what was measured."""

from __future__ import annotations

import pytest
import torch

from infocore_mini.training.augment import dirichlet_weights, feature_dropout, gaussian_noise, mix_replicates


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def test_noise_has_the_moments_asked_for():
    x = torch.full((500, 400), 3.0)
    noisy = gaussian_noise(x, 0.5)
    assert noisy.mean().item() == pytest.approx(3.0, abs=0.005)
    assert noisy.std().item() == pytest.approx(0.5, rel=0.01)
    assert ((noisy - x) / 0.5).pow(4).mean().item() == pytest.approx(3.0, rel=0.03)  # normal, not uniform (1.8)
    assert not torch.equal(noisy, gaussian_noise(x, 0.5))


def test_no_noise_and_no_dropout_change_nothing():
    x = torch.randn(4, 3)
    assert torch.equal(gaussian_noise(x, 0.0), x)
    assert torch.equal(feature_dropout(x, 0.0), x)


@pytest.mark.parametrize("rate", [0.1, 0.75])
def test_dropout_zeroes_at_the_rate_and_rescales_nothing(rate):
    x = torch.rand(500, 400) + 1
    dropped = feature_dropout(x, rate)
    assert (dropped == 0).float().mean().item() == pytest.approx(rate, abs=0.005)
    assert torch.equal(dropped[dropped != 0], x[dropped != 0])
    assert torch.equal(feature_dropout(x, 1.0), torch.zeros_like(x))


# ------------------------------------------------------------------ Dirichlet mixup


@pytest.mark.parametrize("concentration", [0.01, 0.6, 50.0])
def test_mixup_is_convex(concentration):
    weight = dirichlet_weights(torch.rand(2000, 5) < 0.5 + torch.eye(5)[torch.arange(2000) % 5], concentration)
    assert bool((weight >= 0).all())
    torch.testing.assert_close(weight.sum(1), torch.ones(2000))


@pytest.mark.parametrize("concentration", [0.6, 5.0])
def test_mixup_weights_have_the_moments_of_a_dirichlet(concentration):
    """Mean 1/R and variance (1/R)(1 - 1/R) / (R c + 1) for R replicates."""
    weight = dirichlet_weights(torch.ones(100_000, 4, dtype=torch.bool), concentration)
    torch.testing.assert_close(weight.mean(0), torch.full((4,), 0.25), atol=0.005, rtol=0)
    torch.testing.assert_close(weight.var(0), torch.full((4,), 0.1875 / (4 * concentration + 1)), atol=0, rtol=0.03)


def test_mixup_ignores_absent_replicates():
    present = torch.tensor([[True, False, True], [False, True, False]]).repeat(20_000, 1)
    weight = dirichlet_weights(present, 0.6)
    assert bool((weight[~present] == 0).all())
    torch.testing.assert_close(weight[::2].mean(0), torch.tensor([0.5, 0.0, 0.5]), atol=0.01, rtol=0)
    assert torch.equal(weight[1::2], torch.tensor([0.0, 1.0, 0.0]).expand(20_000, -1))

    replicates = torch.randn(2, 3, 7)
    replicates[1, [0, 2]] = 1e6  # padding must not leak
    torch.testing.assert_close(mix_replicates(replicates, weight[:2])[1], replicates[1, 1])


def test_mixup_mixes_each_condition_with_its_own_weights():
    replicates = torch.randn(50, 3, 7)
    mixed = mix_replicates(replicates, dirichlet_weights(torch.ones(50, 3, dtype=torch.bool), 0.6))
    assert mixed.shape == (50, 7)
    solved = torch.linalg.lstsq(replicates.mT, mixed[:, :, None]).solution.squeeze(2)
    torch.testing.assert_close((solved[:, :, None] * replicates).sum(1), mixed, atol=1e-4, rtol=0)
    torch.testing.assert_close(solved.sum(1), torch.ones(50), atol=1e-3, rtol=0)
    assert solved.std(0).min() > 0.1


def test_a_feature_that_some_replicates_miss_is_averaged_over_the_others():
    replicates = torch.tensor([[[1.0, torch.nan, torch.nan], [3.0, 5.0, torch.nan]]])
    mixed = mix_replicates(replicates, torch.tensor([[0.25, 0.75]]))
    torch.testing.assert_close(mixed, torch.tensor([[2.5, 5.0, torch.nan]]), equal_nan=True)
    torch.testing.assert_close(mix_replicates(replicates[:, :1], torch.ones(1, 1)), replicates[:, 0], equal_nan=True)


def test_mixup_names_an_empty_condition_and_a_wrong_shape():
    present = torch.tensor([[True, False], [False, False], [True, True]])
    with pytest.raises(ValueError, match="present: condition 1 has no replicate"):
        dirichlet_weights(present, 0.6)
    with pytest.raises(ValueError, match=r"weight: got shape \(3, 2\), expected \(3, 5\)"):
        mix_replicates(torch.zeros(3, 5, 4), present.float())


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda x: gaussian_noise(x, -0.1), "scale: got -0.1"),
        (lambda x: feature_dropout(x, 1.5), "rate: got 1.5"),
        (lambda x: dirichlet_weights(torch.ones(1, len(x), dtype=torch.bool), 0.0), "concentration: got 0.0"),
    ],
)
def test_settings_out_of_range_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(torch.ones(3, 2))
