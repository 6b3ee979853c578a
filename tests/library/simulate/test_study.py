"""The simulated screen: shapes, balance, what decides it, and what makes two samples equal."""

from __future__ import annotations

from dataclasses import fields

import pytest
import torch

from infocore_mini import simulate
from infocore_mini.simulate.study import simulation_study


@pytest.fixture(scope="module")
def study():
    return simulation_study(5)


def test_every_simulator_is_listed_and_there():
    assert dir(simulate) == sorted(simulate.__all__)
    assert all(getattr(simulate, name) is not None for name in simulate.__all__)
    with pytest.raises(AttributeError, match="no attribute 'simulate_well'"):
        _ = simulate.simulate_well


def test_shapes_and_types(study):
    assert study.drug.shape == study.screen.shape == (1250, 10)
    assert study.drug.dtype == study.screen.dtype == torch.float32
    assert study.batch_id.shape == study.effect.shape == (1250,)
    assert study.batch_id.dtype == study.effect.dtype == torch.int64


def test_batches_are_balanced_and_effects_are_near(study):
    assert study.batch_id.bincount().tolist() == [50] * 25
    counts = study.effect.bincount()
    assert len(counts) == 5
    assert (counts - 250).abs().max() < 5 * (1250 * 0.2 * 0.8) ** 0.5


def test_the_order_of_rows_says_nothing(study):
    position = torch.arange(1250.0)
    for code in (study.batch_id, study.effect):
        assert abs(torch.corrcoef(torch.stack([position, code.float()]))[0, 1]) < 5 / 1250**0.5


def test_halves_are_disjoint_and_complete(study):
    assert len(study.train) == len(study.held_out) == 625
    assert torch.equal(torch.cat([study.train, study.held_out]).sort().values, torch.arange(1250))


@pytest.mark.parametrize("view", ["drug", "screen"])
def test_columns_are_standardised(study, view):
    x = getattr(study, view)
    torch.testing.assert_close(x.mean(0), torch.zeros(10), atol=1e-5, rtol=0)
    torch.testing.assert_close(x.std(0), torch.ones(10), atol=1e-5, rtol=0)


def test_views_come_from_different_networks(study):
    assert not torch.allclose(study.drug, study.screen, atol=0.1)


def test_the_seed_decides_everything_and_leaves_the_global_state_alone():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    one, again, other = simulation_study(1), simulation_study(1), simulation_study(2)
    assert torch.equal(torch.rand(3), expected)
    for field in fields(one):
        assert torch.equal(getattr(one, field.name), getattr(again, field.name)), field.name
        assert not torch.equal(getattr(one, field.name), getattr(other, field.name)), field.name


@pytest.mark.parametrize("activation", ["relu", "tanh", "silu", "leaky_relu"])
def test_without_noise_effect_and_batch_decide_the_sample(activation):
    study = simulation_study(3, noise=0.0, activation=activation, generator_width=7)
    cell = study.effect * 25 + study.batch_id
    for x in (study.drug, study.screen):
        first = torch.stack([x[cell == code][0] for code in cell.unique()])
        torch.testing.assert_close(x, first[cell.unique(return_inverse=True)[1]], atol=1e-5, rtol=1e-5)
        assert torch.nn.functional.pdist(first).min() > 1e-3, "two combinations look the same"


def test_noise_separates_samples_and_grows():
    spread = []
    for noise in (0.1, 0.5, 2.0):
        study = simulation_study(3, noise=noise)
        cell = study.effect * 25 + study.batch_id
        spread.append(
            torch.stack([study.screen[cell == c].var(0).mean() for c in cell.unique() if (cell == c).sum() > 4]).mean()
        )
    assert 0 < spread[0] < spread[1] < spread[2]


def test_other_sizes():
    study = simulation_study(0, n_samples=60, n_effects=3, n_batches=6, dim=4, generator_width=8)
    assert study.drug.shape == (60, 4)
    assert study.batch_id.bincount().tolist() == [10] * 6
    assert int(study.effect.max()) <= 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_samples": 1251}, r"n_samples: got 1251, expected a multiple of n_batches = 25"),
        ({"activation": "gelu"}, r"activation: got 'gelu', expected one of relu"),
        ({"noise": -0.1}, r"noise: got -0.1, expected a number >= 0"),
        ({"noise": float("nan")}, r"noise: got nan"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        simulation_study(0, **settings)
