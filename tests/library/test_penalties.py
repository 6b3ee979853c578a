"""The rivals that share the core: a kernel on the condition, gradient reversal, an HSIC penalty."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from dense_oracle import loop_clip, loop_hsic, loop_kernel_clip
from pydantic import ValidationError
from torch.nn.functional import normalize, one_hot

from infocore_mini import Config, PairedScreen, pretrain, pretrain_screen
from infocore_mini.config import settings_of
from infocore_mini.losses import info_nce
from infocore_mini.penalties import normalised_hsic
from infocore_mini.training.kernel import kernel_weighted, log_batch_kernel
from infocore_mini.training.pairs import Chosen, Pairs, ScreenPairs
from infocore_mini.training.trainer import Trainer

SMALL = dict(embedding_dim=4, hidden_drug=(16,), hidden_screen=(16,), hidden_classifier=(16,), epochs=2)
SMALL |= dict(minibatch_size=16, queue_size=32)
RIVALS = [dict(method="ccl_k"), dict(method="clip", penalty="reversal"), dict(method="clip", penalty="hsic")]


def embedded(n=12, d=4, n_batches=3, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    z_a, z_b = (normalize(torch.randn(n, d, generator=generator, dtype=dtype), dim=1) for _ in range(2))
    return z_a, z_b, torch.arange(n) % n_batches


def kernel(n_batches=3, dtype=torch.float64):
    x = torch.randn(n_batches, 2, generator=torch.Generator().manual_seed(1), dtype=dtype)
    return -torch.cdist(x, x).square()


def symmetric(z_a, z_b, weighted):
    similarity, positive = z_a @ z_b.T / 0.5, torch.arange(len(z_a))
    return sum(info_nce(weighted(f), positive).mean() for f in (similarity, similarity.T)) / 2


def test_the_kernel_weighs_negatives_as_a_loop_does_it():
    z_a, z_b, batch_id = embedded()
    log_kernel = kernel()
    found = symmetric(z_a, z_b, lambda f: kernel_weighted(f, batch_id, batch_id, log_kernel))
    torch.testing.assert_close(found, loop_kernel_clip(z_a, z_b, 0.5, batch_id, log_kernel.exp()))
    soft = one_hot(batch_id, 3).double()
    torch.testing.assert_close(symmetric(z_a, z_b, lambda f: kernel_weighted(f, soft, soft, log_kernel)), found)


def test_the_kernel_lies_between_ccl_and_clip():
    z_a, z_b, batch_id = embedded()
    none, all_of_it = torch.full((3, 3), -1e4, dtype=z_a.dtype).fill_diagonal_(0), torch.zeros(3, 3, dtype=z_a.dtype)
    for log_kernel, labels in ((none, batch_id), (all_of_it, None)):
        found = symmetric(z_a, z_b, lambda f, k=log_kernel: kernel_weighted(f, batch_id, batch_id, k))
        torch.testing.assert_close(found, loop_clip(z_a, z_b, 0.5, labels))


def test_the_kernel_of_batches_is_that_of_their_mean_profiles():
    rng = np.random.default_rng(0)
    profile, batch_id = rng.normal(size=(30, 5)) * [1, 2, 3, 4, 5], np.arange(30) % 3
    found = log_batch_kernel(torch.from_numpy(profile), torch.from_numpy(batch_id), 4, width=2.0)
    scaled = (profile - profile.mean(0)) / profile.std(0)
    mean = [scaled[batch_id == b].mean(0) for b in range(3)]
    distance = np.array([[np.linalg.norm(a - b) for a in mean] for b in mean])
    typical = np.sort(distance[np.triu_indices(3, 1)])[1]
    np.testing.assert_allclose(found[:3, :3], -((distance / (2 * typical)) ** 2) / 2, rtol=1e-4, atol=1e-6)
    assert torch.equal(found.diagonal(), torch.zeros(4, dtype=found.dtype)) and bool(found.isfinite().all())
    soft = one_hot(torch.from_numpy(batch_id), 4).double()
    torch.testing.assert_close(log_batch_kernel(torch.from_numpy(profile), soft, 4, width=2.0), found)


def test_hsic_is_that_of_a_loop_and_its_gradient_that_of_differences():
    z, _, batch_id = embedded()
    torch.testing.assert_close(normalised_hsic(z, batch_id), loop_hsic(z, batch_id))
    torch.testing.assert_close(normalised_hsic(z, one_hot(batch_id, 3).double()), loop_hsic(z, batch_id))
    two = torch.stack([batch_id, 3 + torch.arange(len(z)) // 6], 1)
    torch.testing.assert_close(normalised_hsic(z, two), loop_hsic(z, *two.T))
    assert torch.autograd.gradcheck(lambda x: normalised_hsic(x, batch_id), z.clone().requires_grad_())
    log_kernel = kernel()
    assert torch.autograd.gradcheck(
        lambda x: info_nce(kernel_weighted(x @ x.T, batch_id, batch_id, log_kernel), torch.arange(len(x))),
        z.clone().requires_grad_(),
    )


def test_hsic_knows_its_ends():
    batch_id = torch.arange(60) % 3
    apart = torch.eye(3, dtype=torch.float64)[batch_id]
    assert float(normalised_hsic(apart, batch_id)) == pytest.approx(1)
    assert float(normalised_hsic(apart, torch.zeros(60, dtype=torch.int64))) == 0
    z = embedded(n=600)[0]
    assert float(normalised_hsic(z, torch.arange(600) % 3)) < 0.1
    with pytest.raises(ValueError, match="batch_id: got 59 rows, expected 60 like z"):
        normalised_hsic(apart, batch_id[:-1])


def paired(n=64, n_batches=4):
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(n, 5, generator=generator) for _ in range(2))
    return a, b, torch.arange(n) % n_batches


@pytest.mark.parametrize("framework", ["simclr", "moco"])
@pytest.mark.parametrize("rival", RIVALS, ids=str)
def test_rivals_train_in_both_frameworks_and_one_seed_sets_them(rival, framework):
    config = Config(**SMALL | rival | {"framework": framework})
    first, second = (pretrain(*paired(), config) for _ in range(2))
    plain = pretrain(*paired(), Config(**SMALL | {"method": "clip", "framework": framework}))
    z = [model.embed_screen(paired()[1]) for model in (first, second, plain)]
    assert torch.equal(z[0], z[1]) and not torch.equal(z[0], z[2])


@pytest.mark.parametrize("penalty", ["reversal", "hsic"])
def test_a_penalty_takes_the_batch_out_of_the_embedding(penalty):
    """Simulated: half of the columns are the batch; what tells it after training is less than without the penalty."""
    generator = torch.Generator().manual_seed(0)
    batch_id = torch.arange(512) % 4
    signal = torch.randn(512, 4, generator=generator)
    x = torch.cat([signal, torch.eye(4)[batch_id] + 0.1 * torch.randn(512, 4, generator=generator)], 1)
    plain = Config(**SMALL | {"epochs": 20, "minibatch_size": 64, "embedding_dim": 8, "method": "clip"})
    told = []
    for config in (plain, replace(plain, penalty=penalty, penalty_scale=3.0)):
        z = pretrain(x, x, batch_id, config).embed_screen(x)
        told.append(float(normalised_hsic(z, batch_id)))
    assert told[1] < 0.5 * told[0]


def test_reversal_pushes_the_encoders_against_the_classifiers_and_leaves_the_loss_to_clip():
    torch.manual_seed(0)
    drug, screen, batch_id = paired()
    trainer = Trainer(Pairs(drug, screen, batch_id, 4), Config(**SMALL, method="clip", penalty="reversal"))
    minibatch = trainer.augmented(Chosen(torch.arange(64)))
    z = trainer.model.embed(minibatch.drug, minibatch.screen)
    log_posteriors = trainer.model.log_posteriors(z)
    loss = trainer.contrastive_loss(minibatch, z, log_posteriors)
    torch.testing.assert_close(loss, loop_clip(*z, trainer.config.temperature))
    paid = trainer.penalty(z, log_posteriors, batch_id)
    entropy = [-log_posterior[range(64), batch_id].mean() for log_posterior in log_posteriors]
    torch.testing.assert_close(paid, -(entropy[0] + entropy[1]) / 2)


def test_rivals_train_on_screens_with_soft_labels():
    rng = np.random.default_rng(0)
    screen = PairedScreen.from_profiles(
        smiles=["C" * (1 + i % 40) for i in range(160)],
        drug=lambda smiles: rng.normal(size=(len(smiles), 4)),
        profile=rng.normal(size=(160, 6)),
        batch=np.arange(160) // 40,  # every molecule has a replicate in each batch
    )
    assert screen.batch_id.ndim == 2 and ScreenPairs(screen, "cpu").batch_of_rows.ndim == 1
    for rival in RIVALS:
        for framework in ("simclr", "moco"):
            model = pretrain_screen(screen, Config(**SMALL | rival | {"framework": framework}))
            assert bool(torch.isfinite(model.embed(screen)[0]).all())


def test_an_unseen_batch_is_no_problem_when_embedding():
    a, b, batch_id = paired()
    model = pretrain(a, b, batch_id, Config(**SMALL, method="ccl_k"))
    assert model.embed_screen(torch.randn(3, 5)).shape == (3, 4)


def test_settings_that_are_off_are_no_part_of_a_run():
    found = settings_of(Config())
    assert not {"kernel_width", "penalty", "penalty_scale"} & set(found) and found["method"] == "infocore"
    assert settings_of(Config(method="ccl_k", kernel_width=2.0))["kernel_width"] == 2.0
    assert settings_of(Config(penalty="hsic", penalty_scale=2.0))["penalty_scale"] == 2.0


def test_what_does_not_fit_is_an_error():
    with pytest.raises(ValidationError, match="penalty: got 'hsic', expected None with sampling='one_batch'"):
        Config(method="clip", penalty="hsic", sampling="one_batch")
    a, b, batch_id = paired()
    with pytest.raises(ValueError, match="at least 2 for penalty='reversal'"):
        pretrain(a, b, 0 * batch_id, Config(**SMALL, method="clip", penalty="reversal"))
    with pytest.raises(ValueError, match="method: got 'ccl_k', expected a method without a kernel"):
        pretrain(a, b, batch_id, Config(**SMALL, method="ccl_k"), nuisance={"day": batch_id // 2})


def test_reversal_takes_several_nuisances():
    a, b, batch_id = paired()
    config = Config(**SMALL, method="clip", penalty="reversal")
    model = pretrain(a, b, batch_id, config, nuisance={"day": torch.arange(64) % 3})
    assert model.shapes.levels == (4, 3)
