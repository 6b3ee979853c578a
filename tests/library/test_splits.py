"""Nothing that a screen is split by lies in two parts; what lies in none is counted; training takes every split."""

from __future__ import annotations

import numpy as np
import pytest

from infocore_mini import Config, PairedScreen, pretrain_screen
from infocore_mini.featurize import murcko_scaffold
from infocore_mini.identity import molecule_groups
from infocore_mini.smiles import InvalidSmiles
from infocore_mini.splits import replicate_batches, split

PAIRS = [
    ("molecule",),
    ("batch",),
    ("plate",),
    ("dose",),
    ("molecule", "batch"),
    ("batch", "molecule"),
    ("molecule", "dose", "plate"),
]


def made(molecule, batch, *, info=(), smiles=None) -> PairedScreen:
    """A screen whose profile says which row it was."""
    names = [f"molecule {code:03}" for code in molecule] if smiles is None else [smiles[code] for code in molecule]
    rows = np.arange(len(names), dtype=np.float32)
    return PairedScreen.from_profiles(
        smiles=names,
        drug=lambda unique: np.eye(len(unique)),
        profile=np.stack([rows, rows % 7], 1),
        batch=batch,
        info=info,
    )


@pytest.fixture(scope="module")
def crossed() -> PairedScreen:
    """60 molecules, each on 10 batches; a plate is half a batch, a dose is the row's own."""
    molecule, batch = np.divmod(np.arange(600), 10)
    rng = np.random.default_rng(0)
    return made(molecule, batch, info={"plate": 2 * batch + molecule % 2, "dose": rng.integers(1, 9, 600)})


@pytest.fixture(scope="module")
def nested() -> PairedScreen:
    """100 molecules, each twice in its own one of 20 batches."""
    molecule = np.repeat(np.arange(100), 2)
    return made(molecule, molecule // 5)


def labels(screen: PairedScreen, axis: str) -> set:
    if axis == "molecule":
        return set(screen.smiles)
    return set(screen.profile_batch.tolist() if axis == "batch" else screen.info[axis].tolist())


def rows(screen: PairedScreen) -> set[float]:
    return set(screen.profile[:, 0].tolist())


@pytest.mark.parametrize("by", PAIRS)
@pytest.mark.parametrize("seed", [0, 1])
def test_parts_share_nothing_of_what_they_are_split_by(crossed, by, seed):
    groups = np.arange(len(crossed.drug))
    found = split(crossed, by, seed=seed, held_out=0.25, validation=0.25, groups=groups)
    for axis in by:
        train, validation, test = (labels(part, axis) for part in found)
        assert not (train & test or train & validation or validation & test)
    used = [rows(part) for part in found]
    assert sum(map(len, used)) == len(set.union(*used)) == 600 - found.dropped["profiles"].sum()
    assert (found.dropped.empty) == (len(by) == 1)
    assert found.report["profiles"].tolist() == [*map(len, used), found.dropped["profiles"].sum()]


def test_shares_are_of_molecules_or_of_profiles(crossed):
    groups = np.arange(len(crossed.drug))
    found = split(crossed, seed=0, groups=groups)
    assert [len(part.drug) for part in found] == [38, 10, 12]
    found = split(crossed, "batch", seed=0)
    assert [len(part.profile) for part in found] == [60 * 6, 60 * 2, 60 * 2]


def test_the_double_hold_out_of_a_crossed_screen_is_a_product(crossed):
    found = split(crossed, ("molecule", "batch"), seed=3, held_out=0.2, validation=0.2, groups=np.arange(60))
    assert [len(part.profile) for part in found] == [36 * 6, 12 * 2, 12 * 2]
    reasons = found.dropped.set_index("reason")["profiles"]
    assert (
        reasons["molecule in test, batch in train"] == 12 * 6 and reasons["molecule in train, batch in test"] == 36 * 2
    )
    assert len(reasons) == 6 and reasons.sum() == 600 - 216 - 24 - 24
    assert found.report.loc["test", ["molecules", "molecules of train", "batches", "batches of train"]].tolist() == [
        12,
        0,
        2,
        0,
    ]


def test_the_double_hold_out_of_a_nested_screen_drops_nothing(nested):
    for seed in range(3):
        found = split(nested, ("molecule", "batch"), seed=seed, held_out=0.2, validation=0.15, groups=np.arange(100))
        assert found.dropped.empty and [len(part.profile) for part in found] == [130, 30, 40]


def test_validation_may_come_from_the_batches_of_training(crossed):
    found = split(crossed, ("molecule", "batch"), seed=0, validation_by="molecule", groups=np.arange(60))
    train, validation, test = found
    assert labels(validation, "batch") == labels(train, "batch") and not labels(validation, "molecule") & labels(
        train, "molecule"
    )
    assert not labels(test, "batch") & labels(train, "batch")
    assert found.report.loc["validation", ["molecules of train", "batches of train"]].tolist() == [0, 8]
    known = split(crossed, ("molecule", "batch"), seed=0, validation_by="batch", groups=np.arange(60))
    assert labels(known.validation, "molecule") == labels(known.train, "molecule")


def test_a_split_is_its_seeds(crossed):
    first, again, other = (split(crossed, "batch", seed=seed) for seed in (0, 0, 1))
    assert rows(first.test) == rows(again.test) != rows(other.test)


def test_salts_tautomers_and_stereoisomers_never_straddle():
    rings = ["c1ccccc1", "c1ccncc1", "C1CCCCC1", "c1ccoc1", "c1ccsc1", "C1CCNCC1"]
    acids = [f"C[C@H](N){'C' * n}{ring}" for ring in rings for n in range(5)]
    smiles = [
        text for acid in acids for text in (acid, f"{acid}.Cl", acid.replace("@", "@@"), f"{acid}.O.OC(=O)C(=O)O")
    ]
    keto, enol = ["O=c1cccc[nH]1"], ["Oc1ccccn1"]  # of two scaffolds as drawn
    smiles += keto + enol
    molecule = np.arange(len(smiles))
    screen = made(molecule, molecule % 3, smiles=smiles)
    group_of = dict(zip(smiles, molecule_groups(smiles)))
    assert len(set(group_of.values())) == 31
    for by in ("molecule", "scaffold"):
        for seed in range(3):
            texts = [set(part.smiles) for part in split(screen, by, seed=seed)]
            assert sum(map(len, texts)) == len(smiles)
            groups = [{group_of[text] for text in part} for part in texts]
            assert sum(map(len, groups)) == 31 and min(map(len, groups)) > 0
    found = split(screen, "scaffold", seed=0)
    scaffolds = [set(murcko_scaffold([text.split(".")[0] for text in set(part.smiles) - set(enol)])) for part in found]
    assert sum(map(len, scaffolds)) == len(set.union(*scaffolds)) == 7


def test_batches_that_repeat_molecules_can_be_kept_together():
    molecule = np.concatenate([np.tile(np.arange(20), 3), np.arange(20, 40), np.arange(38, 58), np.arange(60, 80)])
    batch = np.repeat(np.arange(6), 20)
    screen = made(molecule, batch)
    together = replicate_batches(screen)
    assert together.tolist() == [0, 0, 0, 1, 2, 3]
    assert replicate_batches(screen, overlap=2 / 38).tolist() == [0, 0, 0, 1, 1, 2]
    for seed in range(5):
        found = split(screen, "batch", seed=seed, held_out=0.25, validation=0.2, together=together)
        assert sorted(len({0, 1, 2} & labels(part, "batch")) for part in found) == [0, 0, 3]
        assert found.report["molecules of train"].tolist()[2] <= 2


def test_a_small_batch_of_molecules_that_others_have_links_none():
    screen = made(np.concatenate([np.arange(20), np.arange(20, 40), [3, 30]]), np.repeat([0, 1, 2], [20, 20, 2]))
    assert replicate_batches(screen).tolist() == [0, 1, 2]


def test_a_batch_without_profiles_is_no_replicate(nested):
    part = nested.subset(np.arange(5))
    assert len(set(replicate_batches(part))) == nested.n_batches


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (dict(by="lane"), "by: got 'lane', expected some of molecule, scaffold, batch, plate, cell_line, dose"),
        (dict(by=()), "by: got"),
        (dict(by=("batch", "batch")), "each once"),
        (dict(by="batch", validation_by="molecule"), "validation_by: got 'molecule', expected some of batch"),
        (dict(by="batch", held_out=0.5, validation=0.5), "held_out, validation: got 0.5, 0.5"),
        (dict(by="batch", validation=0), "held_out, validation"),
        (dict(groups=np.arange(3)), r"groups: got shape \(3,\), expected \(n_drugs,\) = \(60,\)"),
        (dict(by="batch", together=[0]), r"together: got shape \(1,\), expected \(n_B,\) = \(10,\)"),
        (dict(by="batch", together=[0] * 10), "1 by batch, which leaves no profile for validation|for train|for test"),
        (dict(by="cell_line"), "1 by cell_line, which leaves no profile"),
    ],
)
def test_what_cannot_be_split_is_told(crossed, wrong, message):
    with pytest.raises(ValueError, match=message):
        split(crossed, **{"seed": 0, **wrong})


def test_a_column_with_a_gap_is_refused():
    screen = made(np.arange(10), np.zeros(10, int), info={"plate": ["a", None] * 5})
    with pytest.raises(ValueError, match="by='plate': got a missing label in row 1"):
        split(screen, "plate", seed=0)


def test_names_that_are_no_smiles_need_groups(nested):
    with pytest.raises(InvalidSmiles):
        split(nested, seed=0)
    found = split(nested, seed=0, groups=molecule_groups(nested, names=True))
    assert [len(part.drug) for part in found] == [64, 16, 20]


@pytest.mark.parametrize("by", ["batch", ("molecule", "batch")])
def test_training_is_validated_on_other_batches(crossed, by):
    found = split(crossed, by, seed=0, groups=np.arange(60))
    config = Config(epochs=2, minibatch_size=32, method="infocore")
    model = pretrain_screen(found.train, config, validation=found.validation)
    assert 0 <= model.history[-1]["validation"] <= 1
    assert model.embed_screen(found.test.mean_profile()).shape[0] == len(found.test)
