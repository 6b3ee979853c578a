"""Several nuisances at once, soft labels of them, and numbers as labels: against dense oracles and a simulated truth."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor
from torch.nn.functional import nll_loss

from infocore_mini import CCL, CLIP, Config, InfoCORE, PairedScreen, Pretrained, pretrain_screen
from infocore_mini.evaluate.mixing import linear_probe
from infocore_mini.losses import infocore_loss
from infocore_mini.nuisance import binned
from infocore_mini.training.checks import screen_pairs
from infocore_mini.training.pairs import Chosen, NuisancePairs
from infocore_mini.training.queue import Candidates, Queue, of_labels
from infocore_mini.training.trainer import Trainer

SMALL = dict(epochs=2, embedding_dim=4, hidden_drug=(8,), hidden_screen=(8,), minibatch_size=16)


def pairs(n=24, levels=(3, 4), seed=0) -> NuisancePairs:
    rng = torch.Generator().manual_seed(seed)
    labels = [torch.arange(n)[torch.randperm(n, generator=rng)] % k for k in levels]
    return NuisancePairs(torch.randn(n, 5, generator=rng), torch.randn(n, 6, generator=rng), labels, None)


def joint(parts: list[Tensor]) -> Tensor:
    """(n, product of the levels) of (n, levels) log-probabilities each, as if the nuisances were independent."""
    dense = parts[0]
    for part in parts[1:]:
        dense = (dense[:, :, None] + part[:, None, :]).flatten(1)
    return dense


# ------------------------------------------------------------------ the loss


@pytest.mark.parametrize("levels", [(3, 4), (2, 3, 2)])
@pytest.mark.parametrize("alpha", [0.0, 0.4, 1.0])
def test_the_loss_is_that_of_the_joint_label_under_the_product_of_posteriors(levels, alpha):
    data = pairs(levels=levels)
    config = Config(alpha=alpha, gradient_scale=0.3, **SMALL)
    torch.manual_seed(0)
    trainer = Trainer(data, config)
    minibatch = trainer.augmented(Chosen(torch.arange(24)))
    z = trainer.model.embed(minibatch.drug, minibatch.screen)
    found = trainer.model.log_posteriors(z)
    assert found is not None and trainer.shapes.levels == levels and found[0].shape == (24, sum(levels))
    dense = [joint(list(view.split(levels, dim=1))) for view in found]
    codes = minibatch.batch_id - data.first
    label = torch.zeros(24, dtype=torch.int64)
    for code, size in zip(codes.T, levels):
        label = label * size + code
    expected = infocore_loss(*z, label, *dense, alpha=alpha, gradient_scale=0.3, temperature=config.temperature)
    loss = trainer.contrastive_loss(minibatch, z, found)
    torch.testing.assert_close(loss, expected)
    weights = list(trainer.model.parameters())
    for one, other in zip(
        *(torch.autograd.grad(value, weights, retain_graph=True, allow_unused=True) for value in (loss, expected))
    ):
        torch.testing.assert_close(one, other)


def test_the_classifiers_learn_the_sum_of_the_cross_entropies():
    data = pairs()
    trainer = Trainer(data, Config(**SMALL))
    minibatch = trainer.augmented(Chosen(torch.arange(24)))
    z = trainer.model.embed(minibatch.drug, minibatch.screen)
    found = trainer.model.log_posteriors(z)
    codes = minibatch.batch_id - data.first
    expected = sum(
        nll_loss(part, code) for view in found for part, code in zip(view.split(data.levels, dim=1), codes.T)
    )
    trainer.config = Config(**SMALL, classifier_steps=1)
    loss = trainer._train_classifiers((z[0].detach(), z[1].detach()), found, minibatch.batch_id)
    torch.testing.assert_close(loss, expected.detach() / 2)


def test_one_column_each_is_read_of_a_queue():
    """What MoCo's queue hands over is the sum of the labels' columns, of the minibatch and of what is stored."""
    rng = torch.Generator().manual_seed(0)
    queue = Queue(5, 1, 2, 7, torch.zeros(2, dtype=torch.int64))
    stored, new = (torch.randn(n, 7, generator=rng) for n in (5, 3))

    def candidates(log_posterior: Tensor) -> Candidates:
        n = len(log_posterior)
        return Candidates(torch.zeros(n, 2), torch.zeros(n, 2).long(), None, torch.ones(n).bool(), log_posterior)

    queue.push(candidates(stored), torch.zeros(5, dtype=torch.int64))
    columns = torch.tensor([[0, 3], [2, 6], [1, 4]])
    found = queue.extend(candidates(new), None, columns).log_column
    both = torch.cat([new, stored])
    expected = torch.stack([both[:, a] + both[:, b] for a, b in columns.tolist()])
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(of_labels(both.T, columns), expected)


def test_soft_labels_are_drawn_by_their_shares():
    shares = torch.tensor([[0.2, 0.8, 0.0], [0.0, 0.5, 0.5]])
    data = NuisancePairs(torch.zeros(2, 1), torch.zeros(2, 1), [torch.tensor([1, 0]), shares], None)
    torch.manual_seed(0)
    rows = torch.tensor([0, 1]).repeat(2000)
    drawn = data.draw(Chosen(rows), Config(**SMALL)).batch_id
    assert drawn[:, 0].tolist() == [1, 0] * 2000  # the first nuisance has columns 0 and 1, the second 2 to 4
    for row in (0, 1):
        frequency = drawn[rows == row, 1].bincount(minlength=5)[2:] / 2000
        torch.testing.assert_close(frequency, shares[row], atol=0.04, rtol=0)
    assert data.batch_id.tolist() == [[1, 3], [0, 3]]


# ------------------------------------------------------------------ fit


def rows(n=48, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 5)), rng.normal(size=(n, 6)), np.arange(n) % 4, rng.permutation(n) % 3


@pytest.mark.parametrize("framework", ["simclr", "moco"])
def test_fit_takes_tables_mappings_and_shares(framework, tmp_path):
    x, y, batch, day = rows()
    settings = SMALL | dict(framework=framework, queue_size=32)
    model, same, soft = (
        InfoCORE(**settings).fit(x, y, batch_id=batch, nuisance=nuisance)
        for nuisance in (
            pd.DataFrame({"day": np.array(["mon", "tue", "wed"])[day]}),
            {"day": day},
            {"day": np.eye(3)[day]},
        )
    )
    np.testing.assert_array_equal(model.embed_drug(x), same.embed_drug(x))
    assert np.isfinite(soft.embed_drug(x)).all()
    assert model.pretrained_.shapes.levels == (4, 3) and model.pretrained_.trained_on.nuisances == ("day",)
    model.save(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(InfoCORE.load(tmp_path / "model.safetensors").embed_drug(x), model.embed_drug(x))


def test_ccl_shares_every_label_and_clip_reads_none():
    x, y, batch, day = rows()
    both = CCL(**SMALL).fit(x, y, batch_id=batch, nuisance={"day": day}).embed_drug(x)
    np.testing.assert_array_equal(both, CCL(**SMALL).fit(x, y, batch_id=3 * batch + day).embed_drug(x))
    clip = CLIP(**SMALL).fit(x, y, batch_id=batch, nuisance={"day": day}).embed_drug(x)
    np.testing.assert_array_equal(clip, CLIP(**SMALL).fit(x, y).embed_drug(x))


def test_a_table_of_nuisances_is_cut_with_the_rows():
    import sklearn
    from sklearn.model_selection import KFold, cross_validate

    x, y, batch, day = rows()
    with sklearn.config_context(enable_metadata_routing=True):
        params = {"batch_id": batch, "nuisance": pd.DataFrame({"day": day})}
        found = cross_validate(InfoCORE(**SMALL), x, y, cv=KFold(2), params=params, error_score="raise")
    fit, new = next(KFold(2).split(x))
    model = InfoCORE(**SMALL).fit(x[fit], y[fit], batch_id=batch[fit], nuisance={"day": day[fit]})
    assert found["test_score"][0] == model.score(x[new], y[new], batch[new])


@pytest.mark.parametrize(
    "nuisance, settings, message",
    [
        ({"day": [1, 2]}, {}, r"day: got shape \(2,\)"),
        ({"day": [None, *range(47)]}, {}, "day: got a missing label in row 0"),
        ({"day": np.zeros(48, dtype=int)}, {}, "day: got one level, expected at least 2"),
        ({"day": np.full((48, 3), 0.5)}, {}, "day: got soft labels whose rows are not distributions"),
        ({"day": np.arange(48) % 2}, {"mixture": "geometric"}, "mixture: got 'geometric', expected 'arithmetic'"),
    ],
)
def test_bad_nuisances_are_named(nuisance, settings, message):
    x, y, batch, _ = rows()
    with pytest.raises(ValueError, match=message):
        InfoCORE(**SMALL | settings).fit(x, y, batch_id=batch, nuisance=nuisance)
    with pytest.raises(ValueError, match="day: got soft labels, expected codes for method='ccl'"):
        CCL(**SMALL).fit(x, y, batch_id=batch, nuisance={"day": np.eye(3)[np.arange(48) % 3]})


# ------------------------------------------------------------------ pretrain_screen


def screen(n=30, replicates=3, **info) -> PairedScreen:
    """Replicates of every molecule on one day; by default each lies on a plate of its own, with a cell count of its own."""
    rng = np.random.default_rng(0)
    molecule, replicate = np.repeat(np.arange(n), replicates), np.tile(np.arange(replicates), n)
    columns = {"plate": [f"plate {i}" for i in replicate], "cell_count": rng.permutation(len(molecule)) + 0.5} | info
    return PairedScreen.from_profiles(
        smiles=[f"{i:02d}" for i in molecule],
        drug=lambda smiles: rng.normal(size=(len(smiles), 4)),
        profile=rng.normal(size=(len(molecule), 6)),
        batch=molecule % 2,
        info=columns,
    )


def test_a_drawn_condition_has_all_labels_of_one_of_its_replicates_by_weight():
    data = screen_pairs(screen(), Config(**SMALL), ("plate", "cell_count"))
    assert data.levels == (2, 3, 10) and data.batch_id.shape == (30, 3)
    torch.manual_seed(0)
    weight = torch.tensor([[0.7, 0.3, 0.0]]).expand(4000, 3)
    drawn = data.labels(torch.full((4000,), 5), torch.tensor([[15, 16, 17]]).expand(4000, 3), weight)
    rows, count = drawn.unique(dim=0, return_counts=True)
    expected = data.profile_columns[15:17]
    assert {tuple(row) for row in rows.tolist()} == {tuple(row) for row in expected.tolist()}
    share = {tuple(row): n / 4000 for row, n in zip(rows.tolist(), count.tolist())}
    assert share[tuple(expected[0].tolist())] == pytest.approx(0.7, abs=0.03)
    assert (expected[:, 0] == 15 // 3 % 2).all() and expected[:, 1].tolist() == [2, 3]  # day 0 or 1, then plates 2 to 4


@pytest.mark.parametrize("framework", ["simclr", "moco"])
def test_a_screen_trains_with_columns_of_its_plate_map_and_goes_on_where_it_was(framework, tmp_path):
    config = Config(**SMALL, framework=framework, queue_size=32, mixup_concentration=0.6)
    run = dict(nuisance=("plate", "cell_count"), checkpoint=tmp_path / "run.pt")
    pretrain_screen(screen(), replace(config, epochs=1), **run)
    model = pretrain_screen(screen(), config, **run)
    whole = pretrain_screen(screen(), config, nuisance=("plate", "cell_count"))
    np.testing.assert_array_equal(model.embed(screen())[0], whole.embed(screen())[0])
    assert model.trained_on.nuisances == ("plate", "cell_count") and model.shapes.levels == (2, 3, 10)
    model.save(tmp_path / "model.safetensors")
    loaded = Pretrained.load(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(loaded.embed(screen())[1], model.embed(screen())[1])
    alone = pretrain_screen(screen(), config)
    assert not np.array_equal(alone.embed(screen())[0], model.embed(screen())[0])


@pytest.mark.parametrize("penalty", ["reversal", "hsic"])
def test_in_a_screen_a_penalty_reads_every_label(penalty):
    config = Config(**SMALL | {"method": "clip", "penalty": penalty})
    assert screen_pairs(screen(), config, ("plate",)).levels == (2, 3)
    both, alone = (pretrain_screen(screen(), config, nuisance=names) for names in (("plate",), ()))
    assert not np.array_equal(both.embed(screen())[0], alone.embed(screen())[0])


def test_in_a_screen_a_kernel_knows_one_nuisance():
    with pytest.raises(ValueError, match="method: got 'ccl_k', expected a method without a kernel"):
        pretrain_screen(screen(), Config(**SMALL | {"method": "ccl_k"}), nuisance=("plate",))


def test_in_a_screen_ccl_shares_every_label_and_clip_reads_none():
    day = np.repeat(np.arange(30) % 3, 3)
    one = screen(day=day)
    ccl = pretrain_screen(one, Config(method="ccl", **SMALL), nuisance=("day",)).embed(one)[0]
    code = one.profile_batch * 3 + torch.from_numpy(day)
    joint = replace(one, profile_batch=code, batch_names=tuple("012345"))
    np.testing.assert_array_equal(ccl, pretrain_screen(joint, Config(method="ccl", **SMALL)).embed(joint)[0])
    with pytest.raises(ValueError, match="nuisance: got conditions of several values, expected one of each"):
        pretrain_screen(one, Config(method="ccl", **SMALL), nuisance=("plate",))
    clip = pretrain_screen(one, Config(method="clip", **SMALL), nuisance=("day",)).embed(one)[0]
    np.testing.assert_array_equal(clip, pretrain_screen(one, Config(method="clip", **SMALL)).embed(one)[0])


@pytest.mark.parametrize(
    "nuisance, info, message",
    [
        ("plate", {}, "nuisance: got 'plate', expected a sequence of names"),
        (("day",), {}, "nuisance: got 'day', expected columns of the screen's info: plate, cell_count"),
        (("plate",), {"plate": [None, *["p"] * 89]}, "nuisance 'plate': got a missing label in row 0"),
        (("cell_count",), {"cell_count": [np.nan, *range(89)]}, "nuisance 'cell_count': got a missing label in row 0"),
        (("plate",), {"plate": ["p"] * 90}, "plate: got one level, expected at least 2"),
    ],
)
def test_columns_that_do_not_fit_are_named(nuisance, info, message):
    with pytest.raises(ValueError, match=message):
        pretrain_screen(screen(**info), Config(**SMALL), nuisance=nuisance)


# ------------------------------------------------------------------ a simulated truth


def simulated(seed: int, n=1250, n_effects=5, n_plates=10, n_days=6, dim=10):
    """Simulated drugs and readouts, each a random network of an effect, a plate, a day and noise, drawn independently."""
    rng = np.random.default_rng(seed)
    labels = [rng.integers(k, size=n) for k in (n_effects, n_plates, n_days)]
    source = [rng.normal(size=(code.max() + 1, dim))[code] for code in labels] + [0.5 * rng.normal(size=(n, dim))]

    def network() -> np.ndarray:
        first, second = rng.normal(size=(4 * dim, 30)) / 6, rng.normal(size=(30, dim))
        return np.maximum(np.hstack(source) @ first, 0) @ second

    return network(), network(), *labels


def test_on_simulated_data_the_second_nuisance_falls_towards_its_null_and_the_effect_gains():
    drug, screen, effect, plate, day = simulated(0)
    seen, new = np.arange(625), np.arange(625, 1250)
    settings = dict(embedding_dim=2, temperature=1.0, alpha=0.0, gradient_scale=1.0, learning_rate=3e-3, epochs=80)

    def probes(nuisance):
        model = InfoCORE(**settings).fit(drug[seen], screen[seen], batch_id=plate[seen], nuisance=nuisance)
        z = model.embed_screen(screen[new])
        null = linear_probe(z, np.random.default_rng(0).permutation(day[new]))[0]
        return linear_probe(z, effect[new])[0], linear_probe(z, day[new])[0] - null

    effect_of_one, day_of_one = probes(None)
    effect_of_both, day_of_both = probes({"day": day[seen]})
    assert day_of_one > 0.2  # that the plate is left out leaves the day in
    assert day_of_both < day_of_one / 5
    assert effect_of_both > effect_of_one


# ------------------------------------------------------------------ numbers as labels


def test_bins_are_of_equal_size_and_in_order():
    value = np.random.default_rng(0).lognormal(size=1000)
    code = binned(value, n_bins=8)
    assert np.bincount(code).tolist() == [125] * 8
    np.testing.assert_array_equal(code[np.argsort(value)], np.sort(code))
    assert binned([1, 1, 1, 1, 5], n_bins=10).tolist() == [0, 0, 0, 0, 1]


def test_soft_bins_say_the_value_between_their_knots():
    value = np.random.default_rng(0).normal(size=500)
    shares = binned(value, n_bins=6, soft=True)
    knots = np.quantile(value, np.linspace(0, 1, 6))
    np.testing.assert_allclose(shares.sum(1), 1)
    np.testing.assert_allclose(shares @ knots, value, atol=1e-12)  # linear interpolation gives the value back
    assert ((shares > 0).sum(1) <= 2).all()


@pytest.mark.parametrize(
    "value, settings, message",
    [
        ([[1.0]], {}, "value: got shape"),
        ([1.0, np.nan], {}, "value: got NaN"),
        ([2, 2, 2], {}, "value: got one value throughout"),
        ([1, 2], {"n_bins": 1}, "n_bins: got 1"),
    ],
)
def test_values_that_cannot_be_binned_are_refused(value, settings, message):
    with pytest.raises(ValueError, match=message):
        binned(value, **settings)
