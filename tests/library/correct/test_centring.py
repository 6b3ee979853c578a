"""Corrections of the readout: what is gone afterwards, and what is refused."""

import numpy as np
import pytest
import torch

from infocore_mini.correct import BatchCentring
from infocore_mini.screens import PairedScreen


def toy(n: int = 60, n_batches: int = 4, seed: int = 0) -> PairedScreen:
    """Random profiles, every experimental batch shifted by a vector of its own."""
    rng = np.random.default_rng(seed)
    batch = np.arange(n) % n_batches
    profile = rng.normal(size=(n, 5)) + 3 * rng.normal(size=(n_batches, 5))[batch]
    return PairedScreen.from_profiles(
        smiles=[f"C{i:03d}" for i in range(n)],
        drug=lambda names: np.ones((len(names), 2)),
        profile=profile,
        batch=[f"p{code}" for code in batch],
    )


def test_centred_batches_have_mean_zero_on_what_was_fitted():
    screen = toy()
    centred = BatchCentring().fit(screen).transform(screen)
    for code in range(screen.n_batches):
        mean = centred.profile[centred.profile_batch == code].mean(0)
        torch.testing.assert_close(mean, torch.zeros(5), atol=1e-5, rtol=0)
    assert (
        torch.equal(centred.profile_batch, screen.profile_batch) and centred.smiles.tolist() == screen.smiles.tolist()
    )


def test_held_out_molecules_are_centred_on_the_training_means_alone():
    split = toy().split(0)
    centred = BatchCentring().fit(split.train).transform(split.test)
    for row, (before, after) in enumerate(zip(split.test.profile, centred.profile, strict=True)):
        of_batch = split.train.profile_batch == split.test.profile_batch[row]
        torch.testing.assert_close(after, before - split.train.profile[of_batch].mean(0), atol=1e-5, rtol=1e-5)


def test_a_batch_that_was_not_fitted_is_refused_by_name():
    screen = toy()
    without = screen.subset(screen.drug_id[screen.batch_id != 2])
    with pytest.raises(ValueError, match="experimental batch 'p2', expected those that fit has seen"):
        BatchCentring().fit(without).transform(screen)
    with pytest.raises(ValueError, match="other batch_names"):
        BatchCentring().fit(screen).transform(toy(n_batches=3))
