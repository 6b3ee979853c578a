"""The study on the Connectivity Map: equal budgets, a truth without a model, one record a run."""

import numpy as np
import pytest

from infocore_mini.experiments.gene_expression import run as study
from infocore_mini.experiments.neighbours import same_drug_elsewhere
from infocore_mini.screens import PairedScreen


def toy() -> PairedScreen:
    """Forty molecules that their readouts repeat, each in two of four experimental batches, batches shifted."""
    rng = np.random.default_rng(0)
    features, shift = rng.normal(size=(40, 6)), 3 * rng.normal(size=(4, 8))
    mix = rng.normal(size=(6, 8))
    molecule, batch = np.repeat(np.arange(40), 2), np.tile([0, 1, 2, 3], 20)
    return PairedScreen.from_profiles(
        smiles=[f"{i:02d}" for i in molecule],
        drug=lambda names: features[np.array(names, dtype=int)],
        profile=features[molecule] @ mix + shift[batch] + 0.1 * rng.normal(size=(80, 8)),
        batch=[f"b{code}" for code in batch],
    ).per_batch()


def test_every_method_has_as_many_candidates_and_the_same_rest():
    assert {len(candidates) for candidates in study.CANDIDATES.values()} == {4}
    fixed = {"epochs", "minibatch_size", "hidden_drug", "hidden_screen", "embedding_dim", "framework", "learning_rate"}
    assert all(not fixed & set(change) for candidates in study.CANDIDATES.values() for change in candidates)


def test_the_same_drug_elsewhere_by_hand():
    z = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 0.9]])
    hit, chance = same_drug_elsewhere(z, np.array([7, 7, 8, 9]), np.array([0, 1, 1, 0]))
    assert hit == 1.0 and chance == pytest.approx(0.5)  # molecule 7 alone is in two batches, of two rows elsewhere each
    hit, _ = same_drug_elsewhere(z[[0, 2, 1, 3]], np.array([7, 7, 8, 9]), np.array([0, 1, 1, 0]))
    assert hit == 0.0
    with pytest.raises(ValueError, match="none is in two batches"):
        same_drug_elsewhere(z, np.arange(4), np.array([0, 1, 1, 0]))


def test_centring_takes_the_batch_out_of_the_neighbours_and_leaves_the_drug(monkeypatch):
    monkeypatch.setattr(study, "screen", lambda *, simulated=False: toy())
    found = study.before()
    assert found["raw"]["same_batch"] > 0.9 > 0.6 > found["centred"]["same_batch"]
    assert found["centred"]["same_drug"] > 0.9 > found["raw"]["same_drug_chance"]


def test_a_run_is_kept_with_its_validation_and_test_scores(monkeypatch, tmp_path):
    monkeypatch.setattr(study, "screen", lambda *, simulated=False: toy())
    monkeypatch.setattr(study, "SETTINGS", dict(study.SETTINGS) | dict(epochs=2, minibatch_size=8, halve_at=()))
    monkeypatch.setattr(study, "MINIMUM_LIBRARY", 2)
    record = study.run("infocore", 0, "centred", 0, tmp_path)
    assert 0 <= record.result["validation"] <= 1
    assert set(record.result["test"]) == {"retrieval", "same_batch", "probe", "neighbours"}
    assert record.settings["input"] == "centred" and len(list(tmp_path.glob("*.json"))) == 1
    assert study.run("infocore", 0, "centred", 0, tmp_path).provenance == record.provenance
