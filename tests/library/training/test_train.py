"""Training: alternation, candidates, reproducibility, resume after a kill, errors."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from infocore_mini.config import Config
from infocore_mini.encoders import BatchClassifier, Encoder
from infocore_mini.labels import SoftLabels
from infocore_mini.losses import info_nce, same_batch_only
from infocore_mini.networks import TwoTower
from infocore_mini.pretrained import Pretrained
from infocore_mini.train import pretrain
from infocore_mini.training.contrast import MoCo
from infocore_mini.training.pairs import Minibatch, Pairs, sample
from infocore_mini.training.queue import Candidates, Queue
from infocore_mini.training.trainer import Trainer

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
        trainer = Trainer(
            Pairs(a, b, batch_id, 4), Config(**SMALL | {"gradient_scale": 1.0, "warmup_epochs": warmup_epochs})
        )
        before = [p.clone() for p in trainer.model.encoders.parameters()]
        trainer.run_epoch()
        after = list(trainer.model.encoders.parameters())
        assert all(torch.equal(x, y) for x, y in zip(before, after)) != encoders_move

    trainer = Trainer(Pairs(a, b, batch_id, 4), Config(**SMALL | {"gradient_scale": 1.0}))
    minibatch = Minibatch(a, b, batch_id)
    z = trainer.model.embed(minibatch.drug, minibatch.screen)
    loss = trainer.contrastive_loss(minibatch, z, trainer.model.log_posteriors(z))
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
        trainer = Trainer(Pairs(a, b, batch_id, 4), Config(**SMALL | {"method": method, "alpha": 1.0}))
        for encoder, state in zip(trainer.model.encoders, states):
            encoder.load_state_dict(state)
        minibatch = Minibatch(a, b, batch_id)
        z = trainer.model.embed(minibatch.drug, minibatch.screen)
        trainer.contrastive_loss(minibatch, z, trainer.model.log_posteriors(z)).backward()
        gradients.append(torch.cat([p.grad.flatten() for p in trainer.model.encoders.parameters()]))
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-7)


# ------------------------------------------------------------------ queues


def new(codes: torch.Tensor) -> Candidates:
    return Candidates(codes[:, None].float(), codes, codes, torch.ones(len(codes), dtype=torch.bool))


def test_queue_keeps_the_newest_rows():
    queue = Queue(size=4, n_rings=1, dim=1, n_batches=0)
    for start in (0, 3):
        queue.push(new(torch.arange(start, start + 3)), torch.zeros(3, dtype=torch.int64))
    assert sorted(queue.z.flatten().tolist()) == [2, 3, 4, 5] and queue.filled.all()
    assert torch.equal(queue.z.flatten().long(), queue.batch_id)


def test_rings_keep_each_experimental_batch_apart():
    queue = Queue(size=3, n_rings=2, dim=1, n_batches=0)
    pushed = {0: [], 1: []}
    generator = torch.Generator().manual_seed(0)
    for step in range(6):
        ring = torch.randint(2, (3,), generator=generator)
        value = torch.arange(3.0) + 10 * step
        queue.push(Candidates(value[:, None], ring, None, torch.ones(3, dtype=torch.bool)), ring)
        for code, x in zip(ring.tolist(), value.tolist()):
            pushed[code].append(x)
    for code, values in pushed.items():
        rows = slice(3 * code, 3 * code + 3)
        assert sorted(queue.z[rows].flatten().tolist()) == sorted(values[-3:])
        assert (queue.batch_id[rows][queue.filled[rows]] == code).all()


def test_only_the_columns_of_the_anchors_batches_are_copied():
    """A queue whose rings keep their own batches gives the same columns as one that keeps all."""
    generator = torch.Generator().manual_seed(0)
    ring_batches = torch.tensor([[0, 2, 3], [1, 4, 4]])
    whole, part = (Queue(size=5, n_rings=2, dim=1, n_batches=5, ring_batches=kept) for kept in (None, ring_batches))
    for ring in (0, 1, 1, 0, 1):
        batch_id = ring_batches[ring][torch.randint(3, (4,), generator=generator)]
        posterior = torch.rand(4, 5, generator=generator).log()
        some = Candidates(torch.zeros(4, 1), batch_id, None, torch.ones(4, dtype=torch.bool), posterior)
        few = part.extend(some, ring, batch_id)
        every = whole.extend(some, ring)
        assert few.log_column.shape == (4, 9) and few.log_posterior is None and every.log_column is None
        filled = few.filled
        torch.testing.assert_close(few.log_column.T[filled], every.log_posterior[:, batch_id][filled])
        for queue in (whole, part):
            queue.push(some, torch.full((4,), ring))
    assert filled.all()


def test_the_columns_that_are_read_give_the_loss_of_all_columns():
    """What training reads of the posteriors is enough: the loss over steps is that with every column copied."""
    a, b, batch_id = data(40)
    losses = []
    for reads_columns in (True, False):
        torch.manual_seed(0)
        config = Config(**SMALL | {"framework": "moco", "minibatch_size": 8, "queue_size": 16, "epochs": 1})
        trainer = Trainer(Pairs(a, b, batch_id, 4), config)
        assert trainer.framework.reads_columns
        trainer.framework.reads_columns = reads_columns
        losses.append([trainer.step(chosen) for chosen in sample(trainer.pairs, config)])
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
    z = model.embed(a, b)
    for filled in (8, 16):
        for_a, for_b = moco.candidates(minibatch, z, model.log_posteriors(z))
        torch.testing.assert_close(for_a.z[:8], z[1].detach())  # the slow copy has not moved yet
        torch.testing.assert_close(for_b.z[:8], z[0].detach())
        assert int(for_a.filled.sum()) == filled and not for_a.z.requires_grad and not for_a.log_column.requires_grad
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
    chunks = [chosen.conditions for chosen in sample(Pairs(a, b, batch_id, 7), config)]
    assert all(len(batch_id[rows].unique()) == 1 and 2 <= len(rows) <= 5 for rows in chunks)
    drawn = torch.cat(chunks)
    assert len(drawn.unique()) == len(drawn)


def test_one_batch_minibatches_have_a_smallest_size():
    batch_id = torch.tensor([0] * 5 + [1] * 3 + [2] * 2)
    pairs = Pairs(torch.randn(10, 2), torch.randn(10, 2), batch_id, 3)
    settings = SMALL | {"method": "ccl", "sampling": "one_batch", "minibatch_size": 4}
    sizes = {
        least: sorted(len(chosen.conditions) for chosen in sample(pairs, Config(**settings, smallest_minibatch=least)))
        for least in (2, 3, 4)
    }
    assert sizes == {2: [2, 3, 4], 3: [3, 4], 4: [4]}
    with pytest.raises(ValueError, match="smallest_minibatch: got 5, expected at most minibatch_size = 4"):
        Config(**settings, smallest_minibatch=5)
    few = Config(**settings | {"minibatch_size": 64}, smallest_minibatch=6)
    with pytest.raises(ValueError, match="every experimental batch has at most 5 rows, expected 6 to contrast"):
        pretrain(pairs.drug, pairs.screen, batch_id, few)


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


RIVALS = {
    "infocore": {},
    "lambda": {"gradient_scale": 0.5},
    "geometric": {"mixture": "geometric"},
    "kernel": {"method": "ccl_k"},
    "reversal": {"method": "clip", "penalty": "reversal"},
    "hsic": {"method": "clip", "penalty": "hsic"},
}


@pytest.mark.parametrize("framework", ["simclr", "moco"])
@pytest.mark.parametrize("rival", RIVALS)
def test_labels_of_few_batches_train_as_dense_ones(rival, framework, monkeypatch):
    """Codes and shares of the named batches give the losses of rows over all of them, with every method that reads them."""
    a, b, batch_id = data()
    dense = torch.zeros(64, 6).scatter_(
        1, batch_id[:, None] + torch.tensor([0, 2]), torch.tensor([[0.7, 0.3]]).repeat(64, 1)
    )
    dense[::3] = torch.nn.functional.one_hot(batch_id[::3], 6)
    config, histories = Config(**SMALL | {"framework": framework, "epochs": 3} | RIVALS[rival]), []
    for few in (0, 10**6):
        monkeypatch.setattr("infocore_mini.labels.FEW", few)
        assert isinstance(Pairs(a, b, dense, 6).batch_id, SoftLabels) == (few == 0)
        histories.append([list(epoch.values()) for epoch in pretrain(a, b, dense, config).history])
    torch.testing.assert_close(*map(torch.tensor, histories), rtol=1e-5, atol=1e-6)


def test_a_queue_keeps_no_soft_labels_that_nothing_reads():
    """Of InfoCORE's queue codes alone; CCL-K's kernel asks for those of candidates."""
    a, b, batch_id = data()
    soft = torch.nn.functional.one_hot(batch_id, 64).float()
    kept = {}
    for name, label, method in (("hard", batch_id, "infocore"), ("soft", soft, "infocore"), ("kernel", soft, "ccl_k")):
        trainer = Trainer(Pairs(a, b, label, 64), Config(**SMALL | {"framework": "moco", "method": method}))
        trainer.run_epoch()
        kept[name] = {field: value.shape for field, value in trainer.framework.queues[0].named_buffers()}
    assert kept["hard"]["batch_id"] == (32,) and "share" not in kept["hard"]
    assert not {"batch_id", "share"} & set(kept["soft"]) and kept["soft"]["log_posterior"] == (64, 32)
    assert kept["kernel"]["batch_id"] == kept["kernel"]["share"] == (32, 1)


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
        from infocore_mini.training import trainer
        from test_train import SMALL, data
        real = trainer.Trainer.run_epoch
        def run_epoch(self):
            if self.epoch == 3:
                os.kill(os.getpid(), signal.SIGKILL)
            real(self)
        trainer.Trainer.run_epoch = run_epoch
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
    with pytest.raises(ValueError, match="belongs to another run .alpha: 0.33 there, 0.9 here"):
        pretrain(*data(), Config(**SMALL | {"alpha": 0.9}), checkpoint=path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match="cannot be read"):
        pretrain(*data(), Config(**SMALL), checkpoint=path)


# ------------------------------------------------------------------ errors that say what is wrong


@pytest.mark.parametrize(
    "change, options, message",
    [
        (lambda a, b, c: (a.index_fill(0, torch.tensor([7]), torch.nan), b, c), {}, r"drug: got NaN .*first in row 7"),
        (lambda a, b, c: (a, b[:-1], c), {}, r"screen: got 63 rows, expected 64 like drug"),
        (lambda a, b, c: (a[:0], b[:0], c[:0]), {}, r"drug: got shape \(0, 5\)"),
        (lambda a, b, c: (a[:1], b[:1], c[:1]), {}, r"drug: got 1 row"),
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


# ------------------------------------------------------------------ checkpoints


def test_a_checkpoint_of_other_data_is_refused(tmp_path):
    path = tmp_path / "run.pt"
    a, b, batch_id = data()
    pretrain(a, b, batch_id, Config(**SMALL), checkpoint=path)
    for changed in ((a + 1e-3, b, batch_id), (a, b.flip(0), batch_id), (a, b, batch_id.flip(0))):
        with pytest.raises(ValueError, match="checkpoint: .*run.pt belongs to another run .data:"):
            pretrain(*changed, Config(**SMALL), checkpoint=path)
    with pytest.raises(ValueError, match="another run .data:"):
        pretrain(a, b, batch_id, Config(**SMALL), molecule=torch.arange(64) // 2, checkpoint=path)


def test_a_checkpoint_with_more_epochs_than_wanted_is_refused(tmp_path):
    pretrain(*data(), Config(**SMALL | {"epochs": 3}), checkpoint=tmp_path / "run.pt")
    with pytest.raises(ValueError, match="run.pt holds 3 epochs, expected at most epochs = 2"):
        pretrain(*data(), Config(**SMALL), checkpoint=tmp_path / "run.pt")


def test_a_foreign_file_in_the_checkpoints_place_is_refused(tmp_path):
    torch.save({"state_dict": {}}, tmp_path / "run.pt")
    with pytest.raises(ValueError, match="run.pt is no checkpoint of this version"):
        pretrain(*data(), Config(**SMALL), checkpoint=tmp_path / "run.pt")


def test_a_checkpoint_without_a_folder_is_refused_before_training(tmp_path, monkeypatch):
    monkeypatch.setattr(Trainer, "run_epoch", lambda self: pytest.fail("trained"))
    for path in (tmp_path / "no" / "folder" / "run.pt", tmp_path):
        with pytest.raises(ValueError, match="checkpoint: got .*expected a file in an existing folder"):
            pretrain(*data(), Config(**SMALL), checkpoint=path)


def test_a_full_disk_is_told_by_the_files_name_and_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "run.pt"
    pretrain(*data(), Config(**SMALL | {"epochs": 1}), checkpoint=path)
    before = path.read_bytes()

    def full(state, target):
        target.write_bytes(b"half")
        raise RuntimeError("PytorchStreamWriter failed writing file")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="checkpoint: .*run.pt could not be written"):
        pretrain(*data(), Config(**SMALL), checkpoint=path)
    assert path.read_bytes() == before and [file.name for file in tmp_path.iterdir()] == ["run.pt"]


def test_two_processes_never_share_a_checkpoint(tmp_path):
    from filelock import FileLock

    with FileLock(tmp_path / "run.pt.lock"), pytest.raises(ValueError, match="another process is at work on .*run.pt"):
        pretrain(*data(), Config(**SMALL), checkpoint=tmp_path / "run.pt")


# ------------------------------------------------------------------ more that is refused by name


@pytest.mark.parametrize(
    "batch_id, options, message",
    [
        (np.array(["p", "q"] * 32), {}, "batch_id: got values of type <U1, expected integer codes"),
        (3, {}, r"batch_id: got shape \(\)"),
        (torch.arange(64), {"sampling": "one_batch"}, "one row, expected 2 to contrast for sampling='one_batch'"),
    ],
)
def test_batch_ids_that_are_no_codes_are_named(batch_id, options, message):
    a, b, _ = data()
    with pytest.raises(ValueError, match=message):
        pretrain(a, b, batch_id, Config(**SMALL | options))


def test_molecules_are_one_label_a_row():
    a, b, batch_id = data()
    with pytest.raises(ValueError, match=r"molecule: got shape \(3,\), expected \(64,\)"):
        pretrain(a, b, batch_id, Config(**SMALL), molecule=["a", "b", "c"])
