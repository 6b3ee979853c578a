"""Chapter 1: its figures, its sentences at every alpha, its critics, and what training does beside what the bound assumes."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from infocore_mini import losses
from infocore_mini.bounds import distributions
from infocore_mini.bounds import propositions as bounds
from infocore_mini.config import Config
from infocore_mini.experiments.derivation import figures, report, training
from infocore_mini.experiments.results import stored
from infocore_mini.training.pairs import sample
from infocore_mini.training.queue import Candidates
from infocore_mini.training.trainer import Trainer

TINY = training.Training(
    dimensions=(2,), learning_rates=(1e-3, 1e-2), tuning_seeds=(100,), seeds=(0, 1), steps=12, scored_at=(0, 12),
    minibatch_size=16, candidates=32, probes=3, hidden=8, dim=4,
)  # fmt: skip


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def unit(*shape, seed=0):
    return torch.nn.functional.normalize(normal(*shape, seed=seed), dim=-1)


def test_figures_show_what_they_are_given():
    fig = figures.bound_gaps({"one": [-1.0, -0.5], "two": [-2.0, -0.1]})
    assert [ax.get_title() for ax in fig.axes] == ["one", "two"]
    values = np.random.default_rng(0).normal(size=(2, 9))
    fig = figures.estimator_spread([0.5, 1.0], {"a": values}, 2.0)
    error = np.sqrt(((values - [[0.5], [1.0]]) ** 2).mean(1))
    np.testing.assert_allclose(fig.axes[2].lines[0].get_ydata(), error)
    assert fig.axes[1].get_ylim() == fig.axes[2].get_ylim()
    fig = figures.saturation(
        [2, 4], {"full": [0.1, 0.2]}, {"mixed": [0.0, 0.1]}, truth=0.3, unconditional=0.5, ceiling=[0.4, 1.0]
    )
    assert list(fig.axes[0].lines[2].get_ydata()) == [0.1, 0.2]
    fig = figures.correction_terms({"c": [0.1, 0.2, -0.1]})
    assert list(fig.axes[0].lines[0].get_xdata()) == [0.1, 0.2, -0.1]


def test_the_figure_of_the_critics_has_a_column_a_truth_and_a_line_a_bound(scores):
    fig = figures.critics_in_training(scores)
    assert [ax.get_title() for ax in fig.axes[:4]] == [f"truth {truth:.1f} nats" for truth in scores["truth"].unique()]
    assert {text.get_text() for text in fig.axes[0].get_legend().get_texts()} == set(training.BOUNDS)


# ------------------------------------------------------------------ at the optimum


def test_errors_are_bias_spread_and_their_sum_of_squares():
    values = np.array([[1.0, 3.0], [5.0, 9.0]])
    table = report.errors_at_the_optimum([2.0, 6.0], {"one": values, "two": values + 1})
    assert table["one", "bias"].tolist() == [0.0, 1.0] and table["two", "bias"].tolist() == [1.0, 2.0]
    assert table["one", "RMSE"].tolist() == pytest.approx([1.0, math.sqrt(5)])
    assert table["one", "s.d."].tolist() == pytest.approx([math.sqrt(2), math.sqrt(8)])


def test_the_sentence_at_the_optimum_names_the_nearer_one():
    calm, wild = np.array([[1.0, 1.0], [2.0, 2.0]]), np.array([[0.9, 1.1], [5.0, 7.0]])
    said = report.at_the_optimum(report.errors_at_the_optimum([1.0, 6.0], {"P1": wild, "P2": calm}))
    assert "P1 at 6.0 nats; P2 at 1.0 nats" in said and "*no* reason" in said
    said = report.at_the_optimum(report.errors_at_the_optimum([1.0, 2.0], {"P1": wild, "P2": calm}))
    assert "P2 at 1.0 and 2.0 nats" in said and "*no* reason" not in said


def test_proposition_1_is_the_nearer_one_at_its_optimum_where_information_is_large():
    """The takeaway of the page, at six nats and minibatches of 64."""
    source = training.gaussian_screen(12)
    both = {
        name: estimator(source, 64, 60, torch.Generator().manual_seed(11)).numpy()[None]
        for name, estimator in (("P1", bounds.single_sample_estimates), ("P2", bounds.multi_sample_estimates))
    }
    errors = report.errors_at_the_optimum([source.conditional_information], both).iloc[0]
    assert errors["P1", "RMSE"] < errors["P2", "RMSE"] and errors["P1", "s.d."] > 2 * errors["P2", "s.d."]


# ------------------------------------------------------------------ in training


def test_both_minibatch_objectives_are_the_propositions_of_one_critic():
    """At T*, h = 1 + T and F = e^T: the estimates of `bounds`, the second in one direction."""
    source, g = training.gaussian_screen(2), torch.Generator().manual_seed(3)
    draws = source.sample(32, g)
    T = training.optimal_critic(source, draws)
    first = bounds.single_sample_estimates(source, 32, 1, torch.Generator().manual_seed(3))
    assert float(training.single_sample(T)) - source.batch_information[0] == pytest.approx(float(first[0]))
    loss = losses.info_nce(T, torch.arange(32)).mean()
    assert float(training.multi_sample(T)) == pytest.approx(math.log(32) - float(loss))
    crossed = T[~torch.eye(32, dtype=torch.bool)].exp().mean()
    assert float(training.normalised(T)) == pytest.approx(float(T.diagonal().mean() - crossed.log()))


def test_the_gradient_of_a_weaker_critic_agrees_with_differences():
    source = training.gaussian_screen(2)
    table = training.gradient_signal(source, (0.5,), n=16, repeats=20, seed=1).set_index("bound")
    g = torch.Generator().manual_seed(1)
    best = torch.stack([training.optimal_critic(source, source.sample(16, g)) for _ in range(20)])
    for name, bound in training.BOUNDS.items():
        slope = (bound(0.50001 * best) - bound(0.49999 * best)) / 2e-5
        assert table.loc[name, "signal to noise"] == pytest.approx(float(slope.mean() / slope.std()), rel=1e-4)
    even = training.share_of_heaviest(torch.ones(1, 16, 16))
    assert float(even[0]) == pytest.approx(math.ceil(0.01 * 240) / 240)


def test_the_study_is_kept_and_stored_by_columns(tmp_path, monkeypatch):
    path = training.store(tmp_path, tmp_path / "runs", 1, TINY)
    monkeypatch.setattr(training, "train", None)
    assert training.store(tmp_path, tmp_path / "runs", 1, TINY) == path  # found, nothing computed again
    from infocore_mini.experiments.results import StoredResult

    held = StoredResult.read(path)
    rows = training.rows_of(held.results)
    assert len(rows) == 3 * 2 * 3 * 2  # bounds, rates, seeds, scored steps
    best = report.final_scores(rows, held.parameters)
    assert set(best["seed"]) == {0, 1} and len(best) == 3 * 2 * 2
    tuned = rows[(rows["seed"] == 100) & (rows["step"] == 12)].set_index(["bound", "learning rate"])["score"]
    for bound, part in best.groupby("bound"):
        assert set(part["learning rate"]) == {tuned[bound].idxmax()}


def test_a_seed_has_the_same_start_and_score_draws_in_every_arm():
    source = training.gaussian_screen(2)
    with training.one_thread_in_float64():
        starts = [
            training.train(source, name, 1e-3, replace(TINY, steps=0, scored_at=(0,))) for name in training.BOUNDS
        ]
    for other in starts[1:]:
        pd.testing.assert_series_equal(other["score"], starts[0]["score"])


@pytest.fixture(scope="module")
def scores() -> pd.DataFrame:
    study = stored("critics")
    return report.final_scores(training.rows_of(study.results), study.parameters)


def test_the_stored_study_is_that_of_the_plan():
    from infocore_mini.experiments.results import as_json

    study, planned = stored("critics"), training.Training()
    assert study.parameters == as_json(vars(planned))
    assert not any(commit.endswith("-dirty") for commit in study.commits)
    assert len(study.results) == len(planned.dimensions) * len(training.BOUNDS) * len(planned.learning_rates)


def test_what_the_chapter_says_of_the_critics_is_what_is_stored(scores):
    """The page: Proposition 2 better than 1 on all four screens, level with log Z; no lower signal to noise; largest rate."""
    last = scores[scores["step"] == scores["step"].max()].pivot(
        index=["truth", "seed"], columns="bound", values="score"
    )
    for _, part in last.groupby("truth"):
        first, log_z = (
            report.paired(part["Proposition 2"], part[name]) for name in ("Proposition 1", "Proposition 1, log Z")
        )
        assert first.low > 0 and -report.LEVEL < log_z.low < log_z.high < report.LEVEL
    assert set(scores["learning rate"]) == {max(training.Training().learning_rates)}
    under_way = scores[scores["step"] >= 20].groupby(["truth", "bound"])["signal to noise"].mean().unstack()
    assert (under_way["Proposition 1"] > 0.95 * under_way["Proposition 2"]).all()
    start = scores[scores["step"] == 0].groupby(["truth", "bound"])["heaviest 1 %"].mean().unstack()
    assert (start["Proposition 1"] > 1.5 * start["Proposition 2"]).all()  # a few pairs rule the step
    lowest = scores.groupby(["truth", "bound"])["lowest"].min().unstack()
    assert (lowest["Proposition 1"] < lowest["Proposition 2"] - 5).all()
    said = report.in_training(scores)
    assert said.count("level within 0.1 nats at") == 1 and "worse" not in said and "not told apart" not in said


def test_sentences_of_training_follow_the_numbers():
    rows = [
        {"truth": 2.0, "bound": bound, "seed": seed, "step": 5, "score": score + 0.01 * seed, "lowest": -3.0}
        for bound, score in (("Proposition 1", 1.5), ("Proposition 1, log Z", 1.0), ("Proposition 2", 1.2))
        for seed in range(4)
    ]
    said = report.in_training(pd.DataFrame(rows))
    assert "against Proposition 1: worse at 2.0 nats (-0.30" in said
    assert "against Proposition 1, log Z: better at 2.0 nats (+0.20" in said


# ------------------------------------------------------------------ alpha


def toy_screen():
    two = torch.tensor([[0.95, 0.05], [0.05, 0.95]], dtype=torch.float64)
    nuisance = torch.tensor([[0.9, 0.1], [0.1, 0.9]], dtype=torch.float64)
    return distributions.separable_discrete(two / 2, nuisance, nuisance, torch.tensor([0.5, 0.5]).double())


@pytest.mark.parametrize("alpha", [0.0, 0.33, 0.9, 1.0])
def test_the_sentence_on_undecided_classifiers_says_what_happens_at_this_alpha(alpha):
    screen = toy_screen()
    exact = bounds.Posteriors.optimum(screen)
    undecided = torch.full_like(exact.drug, -math.log(2))
    lagging = bounds.Posteriors.lagging(exact.drug, exact.screen, undecided, undecided, alpha)
    states = torch.arange(4)
    found = bounds.multi_sample_bound(screen.joint, screen.critic(states, states).T, lagging, 64)
    said = report.overshoot(found, screen.conditional_information, alpha)
    assert ("overshoots" in said) == (found.reduced > screen.conditional_information) == (alpha in (0.0, 0.33))
    assert ("is negative" in said) == (alpha < 1)


def test_the_sentence_on_signs_counts_the_cases():
    C = pd.DataFrame({"arithmetic": [0.0, 0.1], "stale": [-0.2, 0.1]})
    assert report.signs(C, 0.9).endswith("below zero for arithmetic; it did for stale (1 cases).")
    assert report.signs(C[["arithmetic"]], 0.9).endswith("below zero for arithmetic.")


def test_the_sentence_without_c_says_which_posteriors_give_the_better_bound():
    full = pd.DataFrame({"optimum": [0.48]}, index=[64])
    for experts, word in ((0.33, "*worse*"), (0.40, "also make the better"), (0.37, "need not make")):
        reduced = pd.DataFrame(
            {"optimum": 0.33, "arithmetic": 0.368, "geometric": 0.373, "experts": experts}, index=[64]
        )
        assert word in report.without_correction(full, reduced, 0.495, 0.33)


# ------------------------------------------------------------------ the two limits of the loss


def test_ccl_is_the_limit_at_alpha_zero_with_perfect_classifiers():
    batch_id = torch.randint(5, (32,), generator=torch.Generator().manual_seed(1))
    for temperature in (0.1, 1.0):
        data = unit(32, 8, seed=1), unit(32, 8, seed=2), batch_id
        table = report.towards_ccl(data, 5, (0, 2, 5, 10, 20, 30), temperature=temperature)
        assert (table["at least"] - 1e-12 <= table["difference"]).all()
        assert (table["difference"] <= table["at most"] + 1e-12).all()
        assert abs(table["difference"].iloc[-1]) < 1e-9 and table["gradient"].iloc[-1] < 1e-9
        assert abs(table["difference"].iloc[0]) > 0.01


@pytest.mark.parametrize("temperature", [0.05, 0.1, 0.5, 1.0])
def test_no_unit_vectors_pass_the_temperatures_ceiling_and_a_simplex_reaches_it(temperature):
    n = 6
    ceiling = bounds.temperature_ceiling(n, temperature)
    assert ceiling < min(math.log(n), n / ((n - 1) * temperature))
    simplex = torch.nn.functional.normalize(torch.eye(n, dtype=torch.float64) - 1 / n, dim=1)
    assert math.log(n) - float(losses.clip_loss(simplex, simplex, temperature=temperature)) == pytest.approx(ceiling)
    free = normal(2, n, 8, seed=4).requires_grad_()
    optimiser = torch.optim.Adam([free], 0.05)
    for _ in range(300):  # the highest that a search finds
        loss = losses.clip_loss(*torch.nn.functional.normalize(free, dim=2), temperature=temperature)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        assert math.log(n) - float(loss.detach()) <= ceiling + 1e-9
    if temperature >= 0.5:
        assert math.log(n) - float(loss.detach()) > 0.99 * ceiling
    with pytest.raises(ValueError, match="pairs: got 1"):
        bounds.temperature_ceiling(1, 0.1)


@pytest.mark.parametrize("temperature", [0.3, 1.0])
def test_a_critic_of_a_cosine_adds_at_most_two_over_tau(temperature):
    g = torch.Generator().manual_seed(5)
    added = []
    for _ in range(40):
        screen = distributions.random_discrete(3, 3, 2, effect=2, confounding=1, generator=g)
        posteriors = bounds.Posteriors.mixed(*((2 * normal(3, 2, seed=k)).log_softmax(-1) for k in (1, 2)), 0.3)
        f = screen.critic(torch.arange(3), torch.arange(3)).T.sign() / temperature
        with_f, without = (bounds.multi_sample_bound(screen.joint, x, posteriors, 8).full for x in (f, 0 * f))
        added.append(with_f - without)
    assert max(added) <= 2 / temperature and max(added) > 0


# ------------------------------------------------------------------ what training does beside what the bound assumes


class Rows:
    """Conditions of 12 molecules in 2 cell lines, as `training.pairs.sample` reads them."""

    def __len__(self):
        return 24

    cell_line = torch.arange(24) % 2
    batch_id = torch.arange(24) % 3


def test_negatives_are_other_rows_drawn_without_replacement_and_may_be_of_one_cell_line():
    torch.manual_seed(0)
    chosen = torch.cat([c.conditions for c in sample(Rows(), Config(minibatch_size=8))])
    assert len(chosen.unique()) == len(chosen)
    lines = [c.only_line for c in sample(Rows(), Config(minibatch_size=4, sampling="alternate"))]
    assert None in lines and {0, 1} <= set(lines)


def test_rows_of_the_anchors_molecule_are_left_out():
    drug_id = torch.tensor([0, 0, 1])
    candidates = Candidates(
        torch.zeros(3, 2), torch.zeros(3, dtype=torch.int64), drug_id, torch.ones(3, dtype=torch.bool)
    )
    assert candidates.excluded(drug_id).tolist() == [[False, True, False], [True, False, False], [False, False, False]]


def test_moco_takes_positives_and_posteriors_from_a_copy_that_lags_behind():
    from infocore_mini.training.pairs import Pairs

    torch.manual_seed(0)
    pairs = Pairs(torch.randn(40, 5), torch.randn(40, 6), torch.arange(40) % 3, 3)
    settings = dict(framework="moco", minibatch_size=8, queue_size=16, hidden_drug=(8,), hidden_screen=(8,), epochs=2)
    trainer = Trainer(pairs, Config(embedding_dim=4, hidden_classifier=(8,), gradient_scale=0.0, **settings))
    trainer.run_epoch()
    online, slow = (m.encoders.parameters() for m in (trainer.model, trainer.framework.slow))
    assert any(not torch.equal(a, b) for a, b in zip(online, slow, strict=True))
    minibatch = trainer.augmented(sample(pairs, trainer.config)[0])
    z = trainer.processes.embed(trainer.model, minibatch)
    log_posteriors = trainer.model.log_posteriors(z)
    candidates, _ = trainer.framework.candidates(minibatch, z, log_posteriors)
    assert not candidates.z.requires_grad and not torch.allclose(candidates.z[:8], z[1])
    own = candidates.log_column[:, :8].diagonal()
    online_column = log_posteriors[1].gather(1, minibatch.batch_id[:, None]).squeeze(1)
    assert not torch.allclose(own, online_column)  # the candidates' classifiers are not the anchors'


@pytest.mark.parametrize("scale", [0.0, 1.0])
def test_encoders_see_the_classifiers_gradient_only_through_lambda(scale):
    z, c = unit(4, 3, seed=6).requires_grad_(), unit(4, 3, seed=7)
    W = normal(2, 3, seed=8)
    log_a, log_c = (z @ W.T).log_softmax(1), (c @ W.T).log_softmax(1)
    batch_id = torch.tensor([0, 1, 0, 1])
    similarity = c @ c.T + 0 * z.sum()  # z has a part in the graph, and none in the similarities
    loss = losses.reweighted_info_nce(
        similarity, torch.arange(4), batch_id, log_a, log_c, alpha=0.5, gradient_scale=scale
    )
    (slope,) = torch.autograd.grad(loss.sum(), z)
    assert bool(slope.abs().sum() > 0) == (scale > 0)
