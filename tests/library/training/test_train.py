"""Training: alternation, candidates, reproducibility, resume after a kill, errors."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from infocore_mini import CCL, CLIP, InfoCORE
from infocore_mini.config import Config
from infocore_mini.encoders import BatchClassifier, Encoder
from infocore_mini.losses import info_nce, same_batch_only
from infocore_mini.pretrained import Pretrained
from infocore_mini.train import _Trainer, pretrain
from infocore_mini.training.contrast import Candidates, MoCo, Queue, TwoTower
from infocore_mini.training.pairs import Minibatch, Pairs, sample

SMALL = dict(
    embedding_dim=4,
    hidden_drug=(16,),
    hidden_screen=(16,),
    hidden_classifier=(16,),
    epochs=2,
    minibatch_size=16,
    queue_size=32,
)
CASES = [(method, framework) for method in ("clip", "ccl", "infocore") for framework in ("simclr", "moco")]


def data(n=64, n_batches=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, 5, generator=generator), torch.randn(n, 6, generator=generator), torch.arange(n) % n_batches


def weights(model: Pretrained) -> torch.Tensor:
    return torch.cat([p.flatten() for p in model.model.parameters()])


@pytest.mark.parametrize("method, framework", CASES)
def test_every_method_learns(method, framework):
    """The shared signal of two noisy copies is found: the loss falls below that of the first epoch."""
    a, _, batch_id = data(256)
    config = Config(
        **SMALL | {"method": method, "framework": framework, "epochs": 15, "temperature": 0.5, "momentum": 0.9}
    )
    losses = [epoch["contrastive"] for epoch in pretrain(a, a + 0.1, batch_id, config).history]
    assert np.mean(losses[-3:]) < np.mean(losses[1:4])  # MoCo's first epoch has a short queue


@pytest.mark.parametrize("method, framework", CASES)
def test_one_seed_sets_everything(method, framework):
    config = Config(**SMALL | {"method": method, "framework": framework, "noise_drug": 0.1, "dropout": 0.1})
    before = torch.get_rng_state()
    first = pretrain(*data(), config)
    assert torch.equal(torch.get_rng_state(), before)  # the caller's random state is left alone
    torch.randn(3)
    assert torch.equal(weights(first), weights(pretrain(*data(), config)))
    other = pretrain(*data(), Config(**SMALL | {"method": method, "framework": framework, "seed": 1}))
    assert not torch.equal(weights(first), weights(other))


def test_encoders_and_classifiers_alternate():
    """The encoder step leaves the classifiers alone and the classifier step leaves the encoders alone."""
    a, b, batch_id = data()
    for warmup_epochs, encoders_move in ((1, False), (0, True)):
        trainer = _Trainer(
            Pairs(a, b, batch_id, 4), Config(**SMALL | {"gradient_scale": 1.0, "warmup_epochs": warmup_epochs})
        )
        before = [p.clone() for p in trainer.model.encoders.parameters()]
        trainer.run_epoch()
        after = list(trainer.model.encoders.parameters())
        assert all(torch.equal(x, y) for x, y in zip(before, after)) != encoders_move

    trainer = _Trainer(Pairs(a, b, batch_id, 4), Config(**SMALL | {"gradient_scale": 1.0}))
    minibatch = Minibatch(a, b, batch_id)
    z = trainer.model.embed(minibatch)
    loss = trainer._contrastive_loss(minibatch, z, trainer.model.log_posteriors(z))
    loss.backward(inputs=list(trainer.model.encoders.parameters()))
    assert all(p.grad is None for p in trainer.model.classifiers.parameters())


def test_infocore_at_alpha_one_trains_as_clip():
    """alpha = 1 with gradient_scale = 0 has CLIP's gradient, so CLIP's encoders (spec: section 2)."""
    a, b, batch_id = data()
    torch.manual_seed(0)
    encoders = (Encoder(5, (16,), 4), Encoder(6, (16,), 4))
    states = [{k: v.clone() for k, v in encoder.state_dict().items()} for encoder in encoders]
    gradients = []
    for method in ("clip", "infocore"):
        trainer = _Trainer(Pairs(a, b, batch_id, 4), Config(**SMALL | {"method": method, "alpha": 1.0}))
        for encoder, state in zip(trainer.model.encoders, states):
            encoder.load_state_dict(state)
        minibatch = Minibatch(a, b, batch_id)
        z = trainer.model.embed(minibatch)
        trainer._contrastive_loss(minibatch, z, trainer.model.log_posteriors(z)).backward()
        gradients.append(torch.cat([p.grad.flatten() for p in trainer.model.encoders.parameters()]))
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-7)


# ------------------------------------------------------------------ queues


def new(codes: torch.Tensor) -> Candidates:
    return Candidates(codes[:, None].float(), None, codes, codes, torch.ones(len(codes), dtype=torch.bool))


def test_queue_keeps_the_newest_rows():
    queue = Queue(size=4, n_lanes=1, dim=1, n_batches=0)
    for start in (0, 3):
        queue.push(new(torch.arange(start, start + 3)), torch.zeros(3, dtype=torch.int64))
    assert sorted(queue.z.flatten().tolist()) == [2, 3, 4, 5] and queue.filled.all()
    assert torch.equal(queue.z.flatten().long(), queue.batch_id)


def test_lanes_keep_each_experimental_batch_apart():
    queue = Queue(size=3, n_lanes=2, dim=1, n_batches=0)
    pushed = {0: [], 1: []}
    generator = torch.Generator().manual_seed(0)
    for step in range(6):
        lane = torch.randint(2, (3,), generator=generator)
        value = torch.arange(3.0) + 10 * step
        queue.push(Candidates(value[:, None], None, lane, None, torch.ones(3, dtype=torch.bool)), lane)
        for code, x in zip(lane.tolist(), value.tolist()):
            pushed[code].append(x)
    for code, values in pushed.items():
        rows = slice(3 * code, 3 * code + 3)
        assert sorted(queue.z[rows].flatten().tolist()) == sorted(values[-3:])
        assert (queue.batch_id[rows][queue.filled[rows]] == code).all()


def test_only_the_asked_columns_are_copied():
    """A queue that keeps a lane's own batches gives the columns asked for as one that keeps all gives them."""
    generator = torch.Generator().manual_seed(0)
    lane_batches = torch.tensor([[0, 2, 3], [1, 4, 4]])
    whole, part = (Queue(size=5, n_lanes=2, dim=1, n_batches=5, lane_batches=kept) for kept in (None, lane_batches))
    for lane in (0, 1, 1, 0, 1):
        batch_id = lane_batches[lane][torch.randint(3, (4,), generator=generator)]
        posterior = torch.rand(4, 5, generator=generator).log()
        some = Candidates(torch.zeros(4, 1), posterior, batch_id, None, torch.ones(4, dtype=torch.bool))
        asked = part.extend(some, lane, batch_id)
        every = whole.extend(some, lane)
        assert asked.log_posterior.shape == (9, 4) and torch.equal(asked.asked, batch_id) and every.asked is None
        filled = asked.filled
        torch.testing.assert_close(asked.log_posterior[filled], every.log_posterior[:, batch_id][filled])
        for queue in (whole, part):
            queue.push(some, torch.full((4,), lane))
    assert filled.all()


def test_own_columns_give_the_loss_of_all_columns():
    """What training reads of the posteriors is enough: the loss over steps is that with every column copied."""
    a, b, batch_id = data(40)
    losses = []
    for own_batch_only in (True, False):
        torch.manual_seed(0)
        config = Config(**SMALL | {"framework": "moco", "minibatch_size": 8, "queue_size": 16, "epochs": 1})
        trainer = _Trainer(Pairs(a, b, batch_id, 4), config)
        assert trainer.framework.own_batch_only
        trainer.framework.own_batch_only = own_batch_only
        losses.append([trainer._step(chosen) for chosen in sample(trainer.pairs, config)])
    assert len(losses[0]) == 5
    torch.testing.assert_close(*losses)


def test_moco_candidates_are_partners_then_queue_without_gradient():
    torch.manual_seed(0)
    a, b, batch_id = data(8)
    model = TwoTower(
        (Encoder(5, (8,), 3), Encoder(6, (8,), 3)), (BatchClassifier(3, (8,), 4), BatchClassifier(3, (8,), 4))
    )
    config = Config(queue_size=8, embedding_dim=3, momentum=0.5, classifier_momentum=0.5)
    moco = MoCo(model, config, n_batches=4)
    minibatch = Minibatch(a, b, batch_id)
    z = model.embed(minibatch)
    for filled in (8, 16):
        for_a, for_b = moco.candidates(minibatch, z, model.log_posteriors(z))
        torch.testing.assert_close(for_a.z[:8], z[1].detach())  # the slow copy has not moved yet
        torch.testing.assert_close(for_b.z[:8], z[0].detach())
        assert int(for_a.filled.sum()) == filled and not for_a.z.requires_grad and not for_a.log_posterior.requires_grad
    torch.testing.assert_close(for_a.z[8:], z[1].detach())
    slow = [p.clone() for p in moco.slow.parameters()]
    with torch.no_grad():
        for p in model.parameters():
            p.add_(1.0)
    moco.update(model)
    for old, new, online in zip(slow, moco.slow.parameters(), model.parameters()):
        torch.testing.assert_close(new, (old + online) / 2)


def test_ccl_candidates_come_from_the_anchors_batch():
    similarity, batch_id = torch.randn(4, 6), torch.tensor([0, 0, 1, 1, -1, 0])
    masked = same_batch_only(similarity, batch_id[:4], batch_id)
    assert masked.isfinite().int().tolist() == [[1, 1, 0, 0, 0, 1]] * 2 + [[0, 0, 1, 1, 0, 0]] * 2
    assert info_nce(masked, torch.arange(4)).isfinite().all()


def test_one_batch_minibatches_hold_one_experimental_batch():
    a, b, batch_id = data(60, n_batches=7)
    config = Config(**SMALL | {"method": "ccl", "sampling": "one_batch", "minibatch_size": 5})
    chunks = [chosen.rows for chosen in sample(Pairs(a, b, batch_id, 7), config)]
    assert all(len(batch_id[rows].unique()) == 1 and 2 <= len(rows) <= 5 for rows in chunks)
    drawn = torch.cat(chunks)
    assert len(drawn.unique()) == len(drawn)


# ------------------------------------------------------------------ views, labels, files


def test_two_views_share_one_encoder_when_b_is_none():
    a, _, batch_id = data()
    model = pretrain(a, None, batch_id, Config(**SMALL | {"noise_drug": 0.3}))
    assert model.model.encoders[0] is model.model.encoders[1]
    assert torch.equal(model.embed_drug(a), model.embed_screen(a))
    torch.testing.assert_close(model.embed_drug(a).norm(dim=1), torch.ones(len(a)))


@pytest.mark.parametrize("framework", ["simclr", "moco"])
def test_one_hot_soft_labels_train_as_codes(framework):
    a, b, batch_id = data()
    config = Config(**SMALL | {"framework": framework})
    soft = torch.nn.functional.one_hot(batch_id, 4).float()
    torch.testing.assert_close(
        weights(pretrain(a, b, soft, config)), weights(pretrain(a, b, batch_id, config)), rtol=1e-3, atol=1e-4
    )


@pytest.mark.parametrize("shared", [False, True])
def test_saved_models_come_back(tmp_path, shared):
    a, b, batch_id = data()
    model = pretrain(a, None if shared else b, batch_id, Config(**SMALL))
    model.save(tmp_path / "model.safetensors")
    loaded = Pretrained.load(tmp_path / "model.safetensors")
    assert torch.equal(loaded.embed_drug(a), model.embed_drug(a))
    assert loaded.config == model.config and loaded.history == model.history


@pytest.mark.parametrize("method, framework", CASES)
def test_resume_is_exact(tmp_path, method, framework):
    settings = SMALL | {"method": method, "framework": framework, "noise_drug": 0.1}
    whole = pretrain(*data(), Config(**settings | {"epochs": 4}))
    pretrain(*data(), Config(**settings | {"epochs": 2}), checkpoint=tmp_path / "run.pt")
    resumed = pretrain(*data(), Config(**settings | {"epochs": 4}), checkpoint=tmp_path / "run.pt")
    assert torch.equal(weights(whole), weights(resumed)) and whole.history == resumed.history


def test_a_kill_in_mid_training_loses_nothing(tmp_path):
    script = textwrap.dedent(
        """
        import os, signal, sys
        sys.path.insert(0, sys.argv[2])
        import infocore_mini.train as train
        from test_train import SMALL, data
        real = train._Trainer.run_epoch
        def run_epoch(self):
            if self.epoch == 3:
                os.kill(os.getpid(), signal.SIGKILL)
            real(self)
        train._Trainer.run_epoch = run_epoch
        train.pretrain(*data(), train.Config(**SMALL | {"epochs": 5}), checkpoint=sys.argv[1])
        """
    )
    from pathlib import Path

    path = tmp_path / "run.pt"
    killed = subprocess.run([sys.executable, "-c", script, str(path), str(Path(__file__).parent)], capture_output=True)
    assert killed.returncode == -9 and path.exists(), killed.stderr.decode()
    config = Config(**SMALL | {"epochs": 5})
    assert torch.equal(weights(pretrain(*data(), config, checkpoint=path)), weights(pretrain(*data(), config)))


def test_checkpoints_that_do_not_fit_are_refused(tmp_path):
    path = tmp_path / "run.pt"
    pretrain(*data(), Config(**SMALL), checkpoint=path)
    with pytest.raises(ValueError, match="another configuration"):
        pretrain(*data(), Config(**SMALL | {"alpha": 0.9}), checkpoint=path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match="cannot be read"):
        pretrain(*data(), Config(**SMALL), checkpoint=path)


# ------------------------------------------------------------------ errors that say what is wrong


@pytest.mark.parametrize(
    "change, options, message",
    [
        (lambda a, b, c: (a.index_fill(0, torch.tensor([7]), torch.nan), b, c), {}, r"a: got NaN .*first in row 7"),
        (lambda a, b, c: (a, b[:-1], c), {}, r"b: got 63 rows, expected 64"),
        (lambda a, b, c: (a[:0], b[:0], c[:0]), {}, r"a: got shape \(0, 5\)"),
        (lambda a, b, c: (a[:1], b[:1], c[:1]), {}, r"a: got 1 row"),
        (lambda a, b, c: (a, b, c[:-1]), {}, r"batch_id: got shape \(63,\)"),
        (lambda a, b, c: (a, b, c.double()), {}, r"batch_id: got shape .*float64"),
        (lambda a, b, c: (a, b, c - 1), {}, r"batch_id: got -1, expected codes >= 0"),
        (lambda a, b, c: (a, b, c * 0), {}, r"batch_id: got one experimental batch"),
        (lambda a, b, c: (a, b, c * 0), {"method": "ccl"}, r"batch_id: got one experimental batch"),
        (lambda a, b, c: (a, b, torch.full((64, 3), 0.5)), {}, r"batch_id: .*sum to 1"),
        (
            lambda a, b, c: (a, b, torch.arange(64)),
            {"method": "ccl"},
            r"batch_id: every experimental batch has one row",
        ),
        (lambda a, b, c: (a, b, torch.full((64, 2), 0.5)), {"method": "ccl"}, r"soft labels"),
        (lambda a, b, c: (a, b, c), {"framework": "moco", "queue_size": 8}, r"queue_size: got 8"),
    ],
)
def test_bad_data_is_named(change, options, message):
    with pytest.raises(ValueError, match=message):
        pretrain(*change(*data()), Config(**SMALL | options))


def test_a_single_member_batch_is_fine():
    a, b, batch_id = data()
    batch_id[0] = 4
    for method in ("clip", "ccl", "infocore"):
        assert weights(pretrain(a, b, batch_id, Config(**SMALL | {"method": method}))).isfinite().all()


@pytest.mark.parametrize(
    "field, value",
    [("alpha", 1.5), ("method", "clipp"), ("temperature", 0), ("epochs", 0), ("device_name", "cpu"), ("seed", -1)],
)
def test_bad_settings_are_named(field, value):
    with pytest.raises(ValidationError, match=field):
        Config(**{field: value})


def test_divergence_is_reported():
    with pytest.raises(FloatingPointError, match="learning_rate"):
        pretrain(*data(), Config(**SMALL | {"learning_rate": 1e30, "epochs": 5}))


# ------------------------------------------------------------------ estimators


def test_estimators_follow_scikit_learn():
    from sklearn.base import clone
    from sklearn.exceptions import NotFittedError

    for estimator in (CLIP, CCL, InfoCORE):
        model = estimator(epochs=2, embedding_dim=4, minibatch_size=16)
        assert clone(model).get_params() == model.get_params()
        with pytest.raises(NotFittedError):
            model.embed_drug(np.ones((2, 5)))
        a, b, batch_id = data()
        labels = np.array(["w", "x", "y", "z"])[batch_id]
        z = model.fit(100 * a.numpy() + 7, b.numpy(), batch_id=labels).embed_drug(100 * a.numpy() + 7)
        assert z.shape == (64, 4) and model.embed_screen(b.numpy()).shape == (64, 4)
        np.testing.assert_allclose(np.linalg.norm(z, axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize(
    "settings, message", [({"alpha": 1.5}, "alpha = 1.5"), ({"temperature": -1}, "temperature = -1")]
)
def test_estimators_name_bad_settings(settings, message):
    a, b, batch_id = data()
    with pytest.raises(ValueError, match=message):
        InfoCORE(**settings).fit(a, b, batch_id=batch_id)


def test_estimators_name_unknown_settings_and_bad_rows():
    with pytest.raises(TypeError, match="alpha"):
        CLIP(alpha=0.3)
    a, b, batch_id = data()
    with pytest.raises(ValueError, match="batch_id"):
        InfoCORE().fit(a, b, batch_id=batch_id[:3])
    with pytest.raises(ValueError, match="X_drug: got NaN"):
        InfoCORE().fit(np.full((4, 2), np.nan), np.ones((4, 2)), batch_id=[0, 1, 0, 1])


def test_values_that_are_no_numbers_are_named():
    with pytest.raises(ValueError, match="X_drug: got values that are no numbers"):
        InfoCORE().fit([["a", "b"]] * 4, np.ones((4, 2)), batch_id=[0, 1, 0, 1])
