"""Training on a PairedScreen: replicates, cell lines, queues, masks, scalers, selection, resume."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from infocore_mini.config import Config
from infocore_mini.correct import BatchCentring
from infocore_mini.encoders import CellLineEncoder, Scaler, _every_head, _grouped_by_head
from infocore_mini.pretrained import Pretrained
from infocore_mini.screens import PairedScreen
from infocore_mini.train import pretrain, pretrain_screen, retrieval_score
from infocore_mini.training.pairs import Chosen, ScreenPairs, line_batches, sample
from infocore_mini.training.queue import Candidates
from infocore_mini.training.trainer import Trainer

SMALL = dict(
    embedding_dim=8,
    hidden_drug=(32,),
    hidden_screen=(32,),
    hidden_classifier=(16,),
    epochs=3,
    minibatch_size=16,
    queue_size=64,
)
FULL = SMALL | dict(
    framework="moco",
    sampling="alternate",
    cell_line_heads=True,
    head_warmup_epochs=1,
    warmup_epochs=1,
    noise_screen=0.3,
    mixup_concentration=0.6,
    feature_dropout_screen=0.1,
    clip_drug=2.5,
    clip_screen=1.5,
    halve_at=(2,),
)
CASES = {
    "infocore": FULL,
    "clip": FULL | {"method": "clip"},
    "ccl": FULL | {"method": "ccl", "framework": "simclr", "sampling": "one_batch"},
    "plain": SMALL,
}


def toy(n_drugs=60, n_replicates=3, seed=0, soft=False) -> PairedScreen:
    """Each molecule is a random vector that its readout repeats, in two cell lines of three batches each."""
    rng = np.random.default_rng(seed)
    drug, replicate, line = (
        x.ravel() for x in np.meshgrid(np.arange(n_drugs), np.arange(n_replicates), [0, 1], indexing="ij")
    )
    features = rng.normal(size=(n_drugs, 6)).astype(np.float32)
    mix = rng.normal(size=(2, 6, 9)).astype(np.float32)
    profile = np.einsum("nd,ndg->ng", features[drug], mix[line]) + 0.1 * rng.normal(size=(len(drug), 9))
    smiles = np.array([f"{d:03d}" for d in drug])
    batch_id = 3 * line + (replicate if soft else drug) % 3
    return PairedScreen.from_profiles(
        smiles=smiles, drug=lambda names: features[np.array(names, dtype=int)], profile=profile, batch=batch_id, cell_line=line
    )  # fmt: skip


def weights(model: Pretrained) -> torch.Tensor:
    return torch.cat([p.flatten() for p in model.model.parameters()])


# ------------------------------------------------------------------ drawing


@pytest.mark.parametrize("soft", [False, True])
def test_a_draw_mixes_the_conditions_own_replicates(soft):
    screen = toy(soft=soft)
    pairs, rows = ScreenPairs(screen, "cpu"), torch.arange(len(screen)).repeat(20)
    drawn = pairs.draw(Chosen(rows), Config(mixup_concentration=0.6))
    shares = drawn.batch_id.dense(screen.n_batches) if soft else None
    mixtures = 0
    for i in range(0, len(rows), 7):
        own = screen.profile[screen.condition == rows[i]].double()
        weight = torch.linalg.lstsq(own.T, drawn.screen[i].double()[:, None]).solution.squeeze(1)
        torch.testing.assert_close(own.T @ weight, drawn.screen[i].double(), atol=1e-4, rtol=0)
        assert (weight > -1e-4).all() and abs(weight.sum() - 1) < 1e-3
        mixtures += bool(weight.max() < 0.99)
        if soft:  # the label is the mixture of the replicates' batches
            batches = screen.profile_batch[screen.condition == rows[i]]
            torch.testing.assert_close(shares[i, batches], weight.float(), atol=1e-3, rtol=0)
        else:
            assert drawn.batch_id[i] == screen.batch_id[rows[i]]
        assert torch.equal(drawn.drug[i], screen.drug[screen.drug_id[rows[i]]])
    assert 0.2 < mixtures / len(range(0, len(rows), 7)) < 0.45  # a third


def test_one_third_of_the_draws_is_noisy():
    screen = toy(n_replicates=1)
    pairs, rows = ScreenPairs(screen, "cpu"), torch.arange(len(screen)).repeat(30)
    for concentration, share in ((0.6, 1 / 3), (0.0, 1.0)):
        b = pairs.draw(Chosen(rows), Config(noise_screen=0.5, mixup_concentration=concentration)).screen
        noise = b - screen.profile[rows]
        noisy = noise.abs().sum(1) > 1e-4
        assert abs(noisy.float().mean() - share) < 0.03
        assert noise[noisy].std() == pytest.approx(0.5, rel=0.05)


def test_minibatches_alternate_between_random_and_one_cell_line():
    torch.manual_seed(0)
    screen = toy()
    chosen = sample(ScreenPairs(screen, "cpu"), Config(**FULL))
    kinds = [c.only_line is None for c in chosen]
    assert abs(sum(kinds) - len(kinds) / 2) <= 1.5 and kinds[:4] == [True, False, True, False]
    assert all((screen.cell_line[c.conditions] == c.only_line).all() for c in chosen if c.only_line is not None)
    assert {c.only_line for c in chosen} == {None, 0, 1}
    drawn = torch.cat([c.conditions for c in chosen])
    assert len(drawn.unique()) == len(drawn) > 0.8 * len(screen)


def test_an_epoch_can_be_cut_short():
    pairs = ScreenPairs(toy(), "cpu")
    whole = len(sample(pairs, Config(**FULL)))
    assert whole > 2 == len(sample(pairs, Config(**FULL | {"steps_per_epoch": 2})))
    assert len(pretrain_screen(toy(), Config(**FULL | {"steps_per_epoch": 2})).history) == FULL["epochs"]


def test_soft_labels_are_those_of_the_screen_in_the_mean():
    """Codes and shares of a draw name the condition's own batches; every replicate by its weight gives the screen's labels."""
    screen = toy(soft=True)
    screen = screen.where(torch.arange(len(screen.profile)) % 7 > 0)  # two or three batches a condition
    pairs = ScreenPairs(screen, "cpu")
    assert 1 < len(pairs.count.unique()) and pairs.most_batches == 3
    rows, offset = torch.arange(len(screen)), torch.arange(3)
    present = offset < pairs.count[:, None]
    labels = pairs.labels(rows, pairs.first[:, None] + offset.where(present, 0), present / pairs.count[:, None])
    torch.testing.assert_close(labels.dense(screen.n_batches), screen.batch_id)
    assert screen.membership().gather(1, labels.code).all()


@pytest.mark.parametrize("settings", [FULL, FULL | {"method": "ccl_k"}, SMALL | {"mixup_concentration": 0.6}])
def test_a_screens_soft_labels_train_as_dense_ones(settings):
    """What a GPU does where conditions lie in many batches: the losses are the same."""
    losses = []
    for few in (True, False):
        torch.manual_seed(0)
        pairs = ScreenPairs(toy(soft=True), "cpu")
        assert pairs.few  # a CPU reads what was drawn
        pairs.few = few
        trainer = Trainer(pairs, Config(**settings | {"warmup_epochs": 0}))
        losses.append(torch.stack([trainer.step(chosen) for chosen in sample(pairs, trainer.config)]))
    torch.testing.assert_close(*losses, rtol=1e-5, atol=1e-6)


def test_training_never_asks_a_screen_for_dense_labels(monkeypatch):
    monkeypatch.setattr(PairedScreen, "batch_id", property(lambda screen: pytest.fail("dense labels were asked for")))
    split = toy(soft=True).split(0)
    model = pretrain_screen(split.train, Config(**FULL), validation=split.validation)
    assert len(model.history) == FULL["epochs"]


# ------------------------------------------------------------------ networks


def test_heads_start_as_copies_and_then_part():
    torch.manual_seed(0)
    encoder = CellLineEncoder(6, (16,), 4, 3)
    x, line = torch.randn(30, 6), torch.arange(30) % 3
    with torch.no_grad():
        encoder.weight[1:].normal_()  # what a head holds before it is parted does not matter
    before = encoder(x, line)
    encoder.part_heads()
    torch.testing.assert_close(encoder(x, line), before)
    encoder(x, line).square().mul(torch.randn(4)).sum().backward()
    assert not torch.equal(encoder.weight.grad[0], encoder.weight.grad[1])
    with torch.no_grad():
        encoder.weight[2].normal_()
    changed = (encoder(x, line) - before).abs().sum(1) > 1e-3
    assert torch.equal(changed, line == 2)


def test_heads_equal_a_loop_over_rows():
    torch.manual_seed(0)
    encoder = CellLineEncoder(6, (16,), 4, 3)
    encoder.part_heads()
    with torch.no_grad():
        encoder.weight.normal_()
        encoder.bias.normal_()
    x, line = torch.randn(10, 6), torch.randint(3, (10,))
    rows = [encoder.universal(x[i : i + 1])[0] @ encoder.weight[c] + encoder.bias[c] for i, c in enumerate(line)]
    torch.testing.assert_close(encoder(x, line), torch.nn.functional.normalize(torch.stack(rows), dim=1))


def test_scaler_equals_clip_and_standard_scaler():
    from sklearn.preprocessing import StandardScaler

    x = torch.randn(20_000, 4) * torch.tensor([1.0, 3.0, 0.1, 0.0]) + 0.5
    x[::3, 1] = torch.nan
    scaler = Scaler(4, clip_before=1.5, clip_after=2.0).fit(x)
    clipped = x.clamp(-1.5, 1.5).numpy()
    expected = np.nan_to_num(StandardScaler().fit(clipped).transform(clipped).clip(-2, 2))
    np.testing.assert_allclose(scaler(x), expected, atol=1e-4)


# ------------------------------------------------------------------ candidates


def test_the_same_molecule_is_never_a_negative():
    candidates = Candidates(
        torch.zeros(6, 1), torch.zeros(6), torch.tensor([4, 7, 4, 7, -1, 9]), torch.tensor([1, 1, 1, 1, 0, 1]).bool()
    )
    assert candidates.excluded(torch.tensor([4, 7, 4])).int().tolist() == [
        [0, 0, 1, 0, 1, 0],
        [0, 0, 0, 1, 1, 0],
        [1, 0, 0, 0, 1, 0],
    ]


def test_a_minibatch_of_one_cell_line_meets_that_lines_queue_only():
    screen = toy()
    trainer = Trainer(ScreenPairs(screen, "cpu"), Config(**FULL))
    for _ in range(3):
        trainer.run_epoch()
    queues = trainer.framework.line_queues
    assert [q.size for q in queues] == [32, 32] and [q.size for q in trainer.framework.queues] == [64, 64]
    for queue in queues:
        for line in (0, 1):
            ring = slice(32 * line, 32 * line + 32)
            batches = queue.batch_id[ring][queue.filled[ring]]
            assert len(batches) and (batches // 3 == line).all()  # batches 0 to 2 are line 0, 3 to 5 line 1
    rows = (screen.cell_line == 1).nonzero().squeeze(1)[:16]
    minibatch = trainer.augmented(Chosen(rows, only_line=1))
    z = trainer.model.embed(minibatch.drug, minibatch.screen, minibatch.cell_line)
    for candidates in trainer.framework.candidates(minibatch, z, trainer.model.log_posteriors(z)):
        assert len(candidates.z) == 16 + 32
        assert (candidates.batch_id[candidates.filled] >= 3).all()


# ------------------------------------------------------------------ runs


@pytest.mark.parametrize("case", CASES)
def test_every_method_learns_to_retrieve(case):
    split = toy(n_drugs=300).split(0)
    model = pretrain_screen(split.train, Config(**CASES[case] | {"epochs": 25, "halve_at": (), "learning_rate": 3e-3}))
    untrained = pretrain_screen(
        split.train, Config(**CASES[case] | {"epochs": 1, "warmup_epochs": 0, "learning_rate": 1e-9})
    )
    assert retrieval_score(model, split.test) > 2 * retrieval_score(untrained, split.test)


@pytest.mark.parametrize(
    "case, soft", [(case, soft) for case in CASES for soft in (False, True) if (case, soft) != ("ccl", True)]
)
def test_resume_is_exact(tmp_path, case, soft):
    split = toy(soft=soft).split(0)
    run = dict(validation=split.validation, validate_every=1)
    whole = pretrain_screen(split.train, Config(**CASES[case] | {"epochs": 4}), **run)
    path = tmp_path / "run.pt"
    pretrain_screen(split.train, Config(**CASES[case] | {"epochs": 2}), checkpoint=path, **run)
    resumed = pretrain_screen(split.train, Config(**CASES[case] | {"epochs": 4}), checkpoint=path, **run)
    assert torch.equal(weights(whole), weights(resumed)) and whole.history == resumed.history


def test_the_best_epoch_is_returned():
    split = toy().split(0)
    config = Config(**FULL | {"epochs": 6})
    model = pretrain_screen(split.train, config, validation=split.validation, validate_every=1)
    scores = [epoch["validation"] for epoch in model.history]
    assert retrieval_score(model, split.validation) == pytest.approx(max(scores))


def test_a_run_out_of_patience_stops_and_stays_stopped(tmp_path):
    split = toy().split(0)
    config, run = Config(**SMALL | {"epochs": 60}), dict(validation=split.validation, validate_every=1)
    path = tmp_path / "run.pt"
    stopped = pretrain_screen(split.train, config, patience=2, checkpoint=path, **run)
    scores = [epoch["validation"] for epoch in stopped.history]
    assert len(scores) < 60 and int(np.argmax(scores)) == len(scores) - 3
    resumed = pretrain_screen(split.train, config, patience=2, checkpoint=path, **run)
    assert torch.equal(weights(stopped), weights(resumed)) and stopped.history == resumed.history


def test_a_saved_model_embeds_raw_readouts_as_before(tmp_path):
    split = toy().split(0)
    model = pretrain_screen(split.train, Config(**FULL))
    model.save(tmp_path / "model.safetensors")
    loaded = Pretrained.load(tmp_path / "model.safetensors")
    for z, again in zip(model.embed(split.test), loaded.embed(split.test)):
        assert torch.equal(z, again)
        torch.testing.assert_close(z.norm(dim=1), torch.ones(len(z)))
    assert loaded.model.scalers[1].clip_before == 1.5 and bool(loaded.model.encoders[0].parted)


def test_learning_rates_are_halved_on_time():
    trainer = Trainer(ScreenPairs(toy(), "cpu"), Config(**FULL | {"halve_at": (1, 2), "learning_rate": 1e-3}))
    rates = []
    for _ in range(3):
        trainer.run_epoch()
        rates.append(trainer.encoder_optimiser.learning_rate)
    assert rates == [1e-3, 5e-4, 2.5e-4]


# ------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    "options, soft, message",
    [
        ({"method": "ccl", "sampling": "random"}, True, r"batch_id: got soft labels"),
        ({"queue_size": 24}, False, r"queue_size: got 24, expected at least 2 minibatch_size = 32"),
        ({"queue_size": 8, "sampling": "random"}, False, r"queue_size: got 8, expected at least minibatch_size"),
    ],
)
def test_settings_that_do_not_fit_the_screen_are_named(options, soft, message):
    with pytest.raises(ValueError, match=message):
        pretrain_screen(toy(soft=soft), Config(**FULL | options))


def test_one_experimental_batch_is_too_few():
    screen = toy()
    rows = screen.drug_id[(screen.batch_id % 3 == 0) & (screen.cell_line == 0)]
    one_line = screen.subset(rows)
    kept = one_line.batch_id == one_line.batch_id[0]
    assert not kept.all()  # two cell lines, two batches: fine
    pretrain_screen(one_line, Config(**SMALL | {"epochs": 1}))
    single = PairedScreen.from_profiles(
        smiles=["a", "b"], drug=lambda names: np.eye(2), profile=np.eye(2), batch=["x", "x"]
    )
    with pytest.raises(ValueError, match="batch_id: got one experimental batch"):
        pretrain_screen(single, Config(**SMALL))


def test_validation_molecules_must_be_others():
    screen = toy()
    with pytest.raises(ValueError, match="validation: got 60 molecules of screen"):
        pretrain_screen(screen, Config(**SMALL), validation=screen)


@pytest.mark.parametrize("setting", [{"cell_line_heads": True}, {"clip_screen": 1.0}, {"mixup_concentration": 0.6}])
def test_plain_arrays_name_the_setting_they_cannot_serve(setting):
    with pytest.raises(ValueError, match=f"{next(iter(setting))}: got .*pretrain_screen"):
        pretrain(torch.randn(8, 2), torch.randn(8, 2), torch.arange(8) % 2, Config(**SMALL | setting))


def test_a_model_with_heads_asks_for_the_cell_line():
    split = toy().split(0)
    model = pretrain_screen(split.train, Config(**FULL))
    with pytest.raises(ValueError, match="cell_line: got NoneType"):
        model.embed_drug(split.test.drug)
    with pytest.raises(ValueError, match=r"cell_line: got \(2,\), expected"):
        model.embed_drug(split.test.drug, [0, 1])


# ------------------------------------------------------------------ speed and memory change no value


def test_a_cell_lines_queue_keeps_what_its_anchors_ask_for(monkeypatch):
    """The losses equal those of queues that keep every posterior."""
    narrow = pretrain_screen(toy(), Config(**FULL)).history
    trainer = Trainer(ScreenPairs(toy(), "cpu"), Config(**FULL))
    assert trainer.framework.line_queues[0].log_posterior.shape == (3, 64)  # three batches in each of two lines
    monkeypatch.setattr("infocore_mini.training.pairs.line_batches", lambda screen: torch.arange(6).expand(2, 6))
    assert pretrain_screen(toy(), Config(**FULL)).history == narrow


def test_line_batches_are_those_of_each_line():
    screen = toy(n_replicates=1)
    screen = screen.subset(screen.drug_id[(screen.cell_line == 0) | (screen.batch_id != 5)].unique())
    for line, batches in enumerate(line_batches(screen)):
        own = screen.profile_batch[screen.cell_line[screen.condition] == line]
        assert set(batches.tolist()) == set(own.tolist())


@pytest.mark.parametrize("grouped", [0, 1])
def test_both_ways_through_the_heads_are_one(grouped):
    torch.manual_seed(0)
    x, head, weight, bias = (
        torch.randn(7, 4),
        torch.tensor([2, 0, 2, 2, 0, 3, 3]),
        torch.randn(5, 4, 4),
        torch.randn(5, 4),
    )
    expected = torch.stack([row @ weight[c] + bias[c] for row, c in zip(x, head)])
    torch.testing.assert_close((_every_head, _grouped_by_head)[grouped](x, head, weight, bias), expected)


def test_bf16_keeps_losses_in_float32_and_near():
    """Networks in bfloat16 have 3 digits; embeddings, posteriors, queues and losses stay float32."""
    exact, coarse = (pretrain_screen(toy(), Config(**FULL | {"precision": p})) for p in ("32-true", "bf16-mixed"))
    assert exact.history != coarse.history
    for a, b in zip(exact.history, coarse.history):
        assert b["contrastive"] == pytest.approx(a["contrastive"], rel=0.05, abs=0.05)
    assert all(z.dtype == torch.float32 for z in coarse.embed(toy()))


def test_compiled_networks_give_the_same_losses():
    exact, compiled = (pretrain_screen(toy(), Config(**SMALL | {"compile": c, "epochs": 2})) for c in (False, True))
    for a, b in zip(exact.history, compiled.history):
        assert list(b.values()) == pytest.approx(list(a.values()), rel=1e-4)


def test_a_checkpoint_of_another_split_or_purpose_is_refused(tmp_path):
    one, two = toy().split(0), toy().split(1)
    path, config = tmp_path / "run.pt", Config(**SMALL)
    pretrain_screen(one.train, config, validation=one.validation, checkpoint=path)
    with pytest.raises(ValueError, match="belongs to another run .*data:"):
        pretrain_screen(two.train, config, validation=two.validation, checkpoint=path)
    with pytest.raises(ValueError, match="belongs to another run .*chosen_by:"):
        pretrain_screen(one.train, config, checkpoint=path)


def test_a_validation_that_cannot_choose_is_refused():
    split = toy().split(0)
    with pytest.raises(ValueError, match="validation: got one molecule a cell line"):
        pretrain_screen(split.train, Config(**SMALL), validation=split.validation.subset([0]))
    with pytest.raises(ValueError, match="validate_every: got 0"):
        pretrain_screen(split.train, Config(**SMALL), validation=split.validation, validate_every=0)
    with pytest.raises(ValueError, match="patience: got 0, expected at least 1 epoch"):
        pretrain_screen(split.train, Config(**SMALL), validation=split.validation, patience=0)
    with pytest.raises(ValueError, match="patience: got 3, expected .* where epochs are scored"):
        pretrain_screen(split.train, Config(**SMALL), patience=3)
    with pytest.raises(ValueError, match="checkpoint: got one beside score"):
        pretrain(*np.ones((2, 4, 3)), [0, 1, 0, 1], Config(**SMALL), score=lambda model: 0.0, checkpoint="run.pt")


def test_a_model_finds_its_features_by_name():
    split = toy().split(0)
    named = [replace(part, feature_names=tuple("abcdefghi")) for part in split]
    model = pretrain_screen(named[0], Config(**SMALL))
    assert model.trained_on.screen_features == tuple("abcdefghi")
    z = model.embed(named[2])[0]
    order = [8, 3, 0, 1, 2, 4, 5, 6, 7]
    shuffled = replace(named[2], profile=named[2].profile[:, order], feature_names=tuple("abcdefghi"[k] for k in order))
    assert torch.equal(model.embed(shuffled)[0], z)
    more = torch.cat([torch.ones(len(named[2].profile), 1), named[2].profile], dim=1)
    assert torch.equal(model.embed(replace(named[2], profile=more, feature_names=("z", *"abcdefghi")))[0], z)
    with pytest.raises(ValueError, match="without 1 of those that the model was trained on, such as 'a'"):
        model.embed(replace(named[2], feature_names=tuple("Abcdefghi")))


def test_a_model_knows_how_its_readouts_were_corrected():
    split = toy().split(0)
    correction = BatchCentring().fit(split.train)
    centred = [correction.transform(part) for part in split]
    model = pretrain_screen(centred[0], Config(**SMALL), validation=centred[1])
    assert model.trained_on.corrections == ("BatchCentring()",)
    assert model.trained_on.molecules == tuple(split.train.smiles)
    model.embed(centred[2])
    with pytest.raises(ValueError, match=r"corrected by nothing, expected BatchCentring\(\), as in training"):
        model.embed(split.test)
    with pytest.raises(ValueError, match="other corrections than screen"):
        pretrain_screen(centred[0], Config(**SMALL), validation=split.validation)


def test_a_model_says_which_molecules_it_has_seen(tmp_path):
    screen = PairedScreen.from_profiles(
        smiles=["CCN.Cl", "CCO", "Oc1ccccn1", "CCC"] * 3,
        drug=lambda texts: np.arange(2.0 * len(texts)).reshape(-1, 2),
        profile=np.random.default_rng(0).normal(size=(12, 3)),
        batch=[0, 1] * 6,
    )
    pretrain_screen(screen, Config(**SMALL | dict(method="clip"))).save(tmp_path / "model.safetensors")
    model = Pretrained.load(tmp_path / "model.safetensors")
    assert model.has_seen(["CCN", "O=c1cccc[nH]1", "CCCC"]).tolist() == [True, True, False]
    nameless = pretrain(np.eye(8), np.eye(8), np.arange(8) % 2, Config(method="clip", epochs=1, minibatch_size=4))
    with pytest.raises(ValueError, match="trained without|trained on SMILES"):
        nameless.has_seen(["CCN"])


def test_heads_are_found_by_the_names_of_the_cell_lines():
    split = toy().split(0)
    lines = replace(split.train, cell_line_names=("A375", "MCF7"))
    test = replace(split.test, cell_line_names=("A375", "MCF7"))
    model = pretrain_screen(lines, Config(**FULL))
    swapped = replace(test, cell_line=1 - test.cell_line, cell_line_names=("MCF7", "A375"))
    for z, again in zip(model.embed(test), model.embed(swapped)):
        assert torch.equal(z, again)
    with pytest.raises(ValueError, match="got cell line 'PC3', expected those of training: A375, MCF7"):
        model.embed(replace(test, cell_line_names=("A375", "PC3")))
