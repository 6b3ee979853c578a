"""Property prediction: masked losses and scores against scikit-learn and loops, fine-tuning."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.metrics import r2_score, roc_auc_score
from torch import nn

from infocore_mini.evaluate.property import (
    CandidateScore,
    FineTuning,
    chosen,
    fine_tune,
    masked_loss,
    property_score,
)
from infocore_mini.featurize import Parts

QUICK = FineTuning(learning_rates=(1e-2,), epochs=(3, 12), minibatch_size=32)


def test_masked_loss_is_the_mean_over_measured_entries():
    torch.manual_seed(0)
    output, target = torch.randn(7, 4, dtype=torch.float64), torch.randint(2, (7, 4)).double()
    target[torch.rand(7, 4) < 0.4] = torch.nan
    p, terms, squares = output.sigmoid(), [], []
    for i in range(7):
        for j in range(4):
            if not np.isnan(float(target[i, j])):
                y = float(target[i, j])
                terms.append(-(y * np.log(float(p[i, j])) + (1 - y) * np.log(1 - float(p[i, j]))))
                squares.append((float(output[i, j]) - y) ** 2)
    assert float(masked_loss(output, target, "classification")) == pytest.approx(np.mean(terms), rel=1e-12)
    assert float(masked_loss(output, target, "regression")) == pytest.approx(np.mean(squares), rel=1e-12)


def test_unmeasured_entries_have_no_gradient():
    output = torch.zeros(2, 2, requires_grad=True)
    masked_loss(output, torch.tensor([[1.0, torch.nan], [torch.nan, 0.0]]), "classification").backward()
    assert (output.grad != 0).tolist() == [[True, False], [False, True]]
    empty = torch.zeros(1, 1, requires_grad=True)
    masked_loss(empty, torch.tensor([[torch.nan]]), "regression").backward()
    assert float(empty.grad) == 0


def test_scores_are_scikit_learns_task_by_task():
    rng = np.random.default_rng(0)
    y, p = rng.integers(2, size=(40, 3)).astype(float), rng.normal(size=(40, 3))
    y[:5, 0], y[:, 2] = np.nan, 1.0  # the last task has one class only and is left out
    p = np.round(p, 1)  # some are equal
    expected = np.mean([roc_auc_score(y[5:, 0], p[5:, 0]), roc_auc_score(y[:, 1], p[:, 1])])
    assert property_score(y, p, "classification") == pytest.approx(expected)
    y = rng.normal(size=(40, 2))
    y[3:9, 1] = np.nan
    kept_rows = ~np.isnan(y[:, 1])
    expected = np.mean([r2_score(y[:, 0], p[:, 0]), r2_score(y[kept_rows, 1], p[kept_rows, 1])])
    assert property_score(y, p[:, :2], "regression") == pytest.approx(expected)
    with pytest.raises(ValueError, match="no task with two different values"):
        property_score(np.ones((4, 1)), np.ones((4, 1)), "classification")
    for kind in ("classification", "regression"):
        with pytest.raises(ValueError, match=r"^prediction: got NaN or infinite values"):
            property_score(np.eye(2), np.array([[0.0, np.nan], [1.0, 2.0]]), kind)


def toy(kind="classification", n=300):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 8)).astype(np.float32)
    y = (x @ rng.normal(size=(8, 2)) + 0.1 * rng.normal(size=(n, 2))).astype(np.float32)
    y = (y > 0).astype(np.float32) if kind == "classification" else 100 + 7 * y
    y[rng.random(y.shape) < 0.2] = np.nan
    rows = ~np.isnan(y).all(1)
    x, y = x[rows], y[rows]
    return torch.from_numpy(x), y, Parts(*np.split(np.arange(len(y)), [200, 240]))


def body() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(8, 16), nn.SiLU())


@pytest.mark.parametrize("kind", ["classification", "regression"])
def test_fine_tuning_learns_what_is_there(kind):
    scores = fine_tune(body(), *toy(kind), kind, config=QUICK, seed=0)
    assert [(s.learning_rate, s.epochs) for s in scores] == [(0.01, 3), (0.01, 12)]
    assert chosen(scores).test > 0.9


def test_fine_tuning_depends_on_the_seed_alone_and_leaves_the_body_as_it_was():
    net = body()
    before = [p.clone() for p in net.parameters()]
    first, again, other = (fine_tune(net, *toy(), "classification", config=QUICK, seed=s) for s in (0, 0, 1))
    assert first == again != other
    assert all(torch.equal(p, b) and p.requires_grad for p, b in zip(net.parameters(), before))


def test_the_test_part_decides_nothing():
    x, y, parts = toy()
    scores = fine_tune(body(), x, y, parts, "classification", config=QUICK, seed=0)
    changed = y.copy()
    changed[parts.test] = 1 - changed[parts.test]
    flipped = fine_tune(body(), x, changed, parts, "classification", config=QUICK, seed=0)
    assert [s.validation for s in flipped] == [s.validation for s in scores]
    assert [s.test for s in flipped] == pytest.approx([1 - s.test for s in scores])


def test_in_the_first_epoch_only_the_linear_layer_learns():
    class Spy(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.seen = nn.Linear(8, 4), []

        def forward(self, x):
            if self.training:
                self.seen.append(self.inner.weight.detach().clone())
            return self.inner(x)

        def __deepcopy__(self, memo):
            return self

    spy, (x, y, parts) = Spy(), toy()
    config = replace(QUICK, epochs=(2,), minibatch_size=100)  # two steps an epoch
    fine_tune(spy, x, y, parts, "classification", config=config, seed=0)
    weights = spy.seen[-4:]
    assert torch.equal(weights[0], weights[2]) and not torch.equal(weights[2], weights[3])


def test_regression_does_not_depend_on_the_unit():
    x, y, parts = toy("regression")
    score = fine_tune(body(), x, y, parts, "regression", config=QUICK, seed=0)
    scaled = fine_tune(body(), x, 1000 * y - 5, parts, "regression", config=QUICK, seed=0)
    assert [s.test for s in scaled] == pytest.approx([s.test for s in score], abs=1e-3)


def test_bad_arguments_are_named():
    x, y, parts = toy()
    with pytest.raises(ValueError, match="target: got shape"):
        fine_tune(body(), x, y[:-1], parts, "classification", config=QUICK, seed=0)
    with pytest.raises(ValueError, match="target: got values other than 0, 1"):
        fine_tune(body(), x, 3 * y, parts, "classification", config=QUICK, seed=0)
    with pytest.raises(ValueError, match="learning_rates"):
        FineTuning(learning_rates=())
    broken = nn.Sequential(nn.Linear(8, 4), nn.Threshold(1e9, float("nan")))
    with pytest.raises(FloatingPointError, match="prediction"):
        fine_tune(broken, x, y, parts, "classification", config=QUICK, seed=0)


def test_a_kind_that_is_none_is_named():
    x, y, parts = toy()
    for call in (
        lambda: fine_tune(body(), x, y, parts, "ranking", config=QUICK, seed=0),
        lambda: masked_loss(torch.zeros(2, 1), torch.zeros(2, 1), "ranking"),
        lambda: property_score(np.eye(2), np.eye(2), "ranking"),
    ):
        with pytest.raises(ValueError, match=r"^kind: got 'ranking', expected 'classification' or 'regression'"):
            call()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train": np.arange(230)}, r"^parts: got row 200 more than once"),
        ({"test": np.array([250, 251, 250])}, r"^parts: got row 250 more than once"),
        ({"test": np.arange(250, 400)}, r"^parts\.test: got rows 250 to 399"),
        ({"train": np.arange(-1, 200)}, r"^parts\.train: got rows -1 to 199"),
        ({"validation": np.array([], dtype=int)}, r"^parts\.validation: got array"),
        ({"validation": np.arange(240) < 40}, r"^parts\.validation: got array"),
        ({"validation": [200, 201]}, r"^parts\.validation: got \[200, 201\]"),
    ],
)
def test_parts_that_are_no_split_are_named(change, message):
    x, y, parts = toy()
    with pytest.raises(ValueError, match=message):
        fine_tune(body(), x, y, parts._replace(**change), "classification", config=QUICK, seed=0)


@pytest.mark.parametrize("name", Parts._fields)
@pytest.mark.parametrize("kind", ["classification", "regression"])
def test_a_part_in_which_nothing_differs_is_named_before_any_training(name, kind):
    x, y, parts = toy(kind)
    rows = getattr(parts, name)
    y[rows] = np.where(np.isnan(y[rows]), np.nan, 1)

    def forward(_):
        pytest.fail("the body was run")

    net = body()
    net.forward = forward
    with pytest.raises(ValueError, match=rf"^parts\.{name}: got no task with two different values"):
        fine_tune(net, x, y, parts, kind, config=QUICK, seed=0)


def test_chosen_reads_the_validation_score_only():
    scores = [CandidateScore(1e-3, 5, 0.7, 0.9), CandidateScore(1e-3, 10, 0.8, 0.1), CandidateScore(1e-4, 5, 0.8, 0.5)]
    assert chosen(scores) == scores[1]
