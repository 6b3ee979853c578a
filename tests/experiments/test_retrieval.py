"""The retrieval chapter: what the batch alone is worth in closed form, mistakes against a loop, answers that can turn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib import colors
from rdkit import Chem
from rdkit.Chem.rdFingerprintGenerator import GetMorganGenerator
from rdkit.DataStructs import TanimotoSimilarity
from toy_screen import toy_embeddings, toy_screen

from infocore_mini.evaluate.retrieval import same_batch_share, screen_retrieval
from infocore_mini.experiments.names import Arm
from infocore_mini.experiments.pretraining import report as pretraining
from infocore_mini.experiments.pretraining.report import (
    accuracy_by_seed,
    library_size,
    paper_accuracies,
    paper_chance,
    tables,
)
from infocore_mini.experiments.pretraining.studies import STUDIES, quick, simulated_stand_in
from infocore_mini.experiments.results import stored
from infocore_mini.experiments.retrieval import figures, molecules, sentences
from infocore_mini.experiments.retrieval import report as chapter
from infocore_mini.experiments.retrieval import run as experiment
from infocore_mini.experiments.style import METHOD_COLOURS, finish
from infocore_mini.featurize import murcko_scaffold
from infocore_mini.screens import PairedScreen

SMILES = [
    "CCO",
    "CCCO",
    "c1ccccc1O",
    "c1ccccc1N",
    "c1ccccc1CC",
    "C1CCCCC1O",
    "CCN",
    "CC(=O)O",
    "Cc1ccncc1",
    "OCc1ccncc1",
]


def toy(n_batches: int = 3, missing: bool = False) -> PairedScreen:
    """Ten molecules, one profile each, batches 0, 1, 2, 0, 1, ..."""
    rng = np.random.default_rng(0)
    profile = rng.normal(size=(len(SMILES), 6))
    batch_id = np.arange(len(SMILES)) % n_batches
    if missing:
        profile[batch_id == 0, :2] = np.nan
    return PairedScreen.from_profiles(
        smiles=SMILES,
        drug=lambda smiles: np.random.default_rng(1).normal(size=(len(smiles), 4)),
        profile=profile,
        batch=batch_id,
        allow_missing=missing,
    )


@pytest.fixture(scope="module")
def stand_in():
    return simulated_stand_in(0).split(0)


# ------------------------------------------------------------------ before training


@pytest.mark.parametrize("n_batches", [1, 3, 5])
def test_the_batch_alone_scores_its_closed_form(n_batches: int):
    screen = toy(n_batches)
    scored = chapter.score_extremes(experiment.extremes(screen, 0), screen, minimum_library=1)
    assert scored.loc["batch alone", "whole, x chance"] == pytest.approx(n_batches)
    assert scored.loc["batch alone", "batch, x chance"] == pytest.approx(1)
    assert scored.loc["constant", ["whole, x chance", "batch, x chance"]].tolist() == pytest.approx([1, 1])
    assert scored.loc["perfect", ["whole, %", "batch, %"]].tolist() == pytest.approx([100, 100])


def test_batch_from_structure_learns_from_training_molecules_only(stand_in):
    z_screen, z_drug = experiment.campaign_from_structure(stand_in)
    assert z_screen.argmax(1).equal(stand_in.test.batch_id)
    assert z_drug.sum(1).numpy() == pytest.approx(1, abs=1e-4)
    other = stand_in._replace(validation=stand_in.test)
    assert experiment.campaign_from_structure(other)[1].equal(z_drug)
    order = torch.randperm(len(stand_in.train.profile_batch), generator=torch.Generator().manual_seed(0))
    shuffled = stand_in.train.profile_batch.reshape(-1, 2)[order[order < len(order) // 2]].reshape(-1)
    relabelled = replace(stand_in.train, profile_batch=shuffled)
    assert not experiment.campaign_from_structure(stand_in._replace(train=relabelled))[1].allclose(z_drug, atol=0.05)


def test_lift_from_the_batch_is_all_of_the_lift_where_nothing_else_is_known(stand_in):
    test = stand_in.test
    table = chapter.lift_from_batch(experiment.extremes(test, 0), test, top=3)
    following = table.loc["batch alone"]
    assert following["from the batch"] == pytest.approx(following["lift, whole top 3"], rel=0.1)
    assert table.loc["constant"].tolist() == pytest.approx([1, 1])
    perfect = table.loc["perfect"]
    assert perfect["lift, whole top 3"] > 20 * perfect["from the batch"]


def test_readability_reads_what_is_missing():
    rng = np.random.default_rng(0)
    profile, batch_id = rng.normal(size=(60, 5)), np.arange(60) % 2
    profile[batch_id == 0, 0] = np.nan
    smiles = ["C" * (i + 1) for i in range(60)]
    screen = PairedScreen.from_profiles(
        smiles=smiles,
        drug=lambda names: rng.normal(size=(len(names), 3)),
        profile=profile,
        batch=batch_id,
        allow_missing=True,
    )
    found = chapter.readability(screen)
    assert found["which readouts are missing"] == pytest.approx(100)
    assert found["largest batch"] == pytest.approx(50)
    assert found["Mol2vec"] < 75


# ------------------------------------------------------------------ molecules


def test_similarity_is_rdkits_tanimoto():
    prints = [GetMorganGenerator(radius=2, fpSize=2048).GetFingerprint(Chem.MolFromSmiles(text)) for text in SMILES]
    expected = [[TanimotoSimilarity(a, b) for a in prints] for b in prints]
    assert molecules.similarity(SMILES) == pytest.approx(np.array(expected), abs=1e-6)


def test_first_mistakes_equal_a_loop():
    screen = toy()
    z_screen, z_drug = torch.randn(2, 10, 5, generator=torch.Generator().manual_seed(0))
    found = molecules.first_mistakes({"some": (z_screen, z_drug)}, screen)
    cosine = torch.cosine_similarity(z_screen[:, None], z_drug[None], dim=2)
    smiles, tanimoto = screen.smiles[screen.drug_id], []
    same_scaffold, same_batch = [], []
    for i in range(10):
        wrong = next(j for j in cosine[i].argsort(descending=True).tolist() if j != i)
        a, b = murcko_scaffold([smiles[i], smiles[wrong]])
        same_scaffold.append(100 * (a == b != ""))
        same_batch.append(100 * bool(screen.batch_id[i] == screen.batch_id[wrong]))
        tanimoto.append(molecules.similarity([smiles[i], smiles[wrong]])[0, 1])
    expected = [np.mean(tanimoto), np.mean(same_scaffold), np.mean(same_batch)]
    assert found.loc["some"].tolist() == pytest.approx(expected, abs=1e-5)
    assert found.loc["random, same batch", "same batch, %"] == 100
    pairs = [(i, j) for i in range(10) for j in range(10) if i != j]
    random_share = np.mean([100 * bool(screen.batch_id[i] == screen.batch_id[j]) for i, j in pairs])
    assert found.loc["random", "same batch, %"] == pytest.approx(random_share)


ARMS = {"clip": Arm("clip"), "other": Arm("infocore", "other")}


def noisy(n: int, seed: int, noise: float) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    z_drug = torch.randn(n, 16, generator=generator)
    return z_drug + noise * torch.randn(n, 16, generator=generator), z_drug


def test_browsed_queries_go_from_the_best_found_to_the_worst(stand_in):
    test = stand_in.test
    z = {"clip": noisy(len(test), 0, 1.5), "other": noisy(len(test), 1, 3)}
    queries = molecules.browse(z, test, n=4, shown=3)
    smiles, order = test.smiles[test.drug_id].tolist(), []
    for query in queries:
        row = smiles.index(query.true)
        assert query.batch == test.batch_names[test.batch_id[row]] and query.n_library == len(test)
        for arm, (z_screen, z_drug) in z.items():
            cosine = torch.cosine_similarity(z_screen[row : row + 1], z_drug)
            answer, first = query.answers[arm], cosine.argsort(descending=True)
            assert answer.place == first.tolist().index(row) + 1
            assert [smiles.index(text) for text in answer.smiles] == first[:3].tolist()
            assert list(answer.batch) == [test.batch_names[test.batch_id[at]] for at in first[:3]]
            assert answer.cosine == pytest.approx(cosine[first[:3]].numpy(), abs=1e-5)
        order.append(sum(answer.place for answer in query.answers.values()))
    assert order == sorted(order) and order[0] < order[-1]
    table = molecules.places(queries, ARMS)
    assert table["place of the true molecule", "CLIP"].tolist() == [query.answers["clip"].place for query in queries]
    with pytest.raises(ValueError, match="n: got 100000"):
        molecules.browse(z, test, n=100_000)


# ------------------------------------------------------------------ answers


def record(arm: str, seed: int, share: float, accuracy: float) -> dict:
    half_widths = {"whole": 0.01, "batch": 0.02}
    rows = [
        {"cell_line": "mean", "library": library, "top": 1, "accuracy": accuracy, "chance": 0.01}
        | {"low": accuracy - half, "high": accuracy + half}
        for library, half in half_widths.items()
    ]
    return {"arm": arm, "seed": seed, "same_batch": {"share": share, "expected": 0.1}, "retrieval": rows}


def study(shift: float, gain: float) -> list[dict]:
    noise = [0.0, 0.01, -0.01]
    clip = [record("clip", seed, 0.4 + noise[seed], 0.2) for seed in range(3)]
    ours = [
        record("infocore", seed, 0.4 + shift + 0.5 * noise[seed], 0.2 + gain + 0.1 * noise[seed]) for seed in range(3)
    ]
    return clip + ours


@pytest.mark.parametrize(
    ("shift", "gain", "said"),
    [
        (-0.2, 0.05, ["**lower** (-20.0", "**higher** (+5.0"]),
        (0.2, -0.05, ["**higher** (+20.0", "**lower** (-5.0"]),
        (0.0, 0.0, ["not told apart by 3 seeds (+0.0", "not told apart by 3 seeds (+0.0"]),
    ],
)
def test_answers_turn_with_the_numbers(shift: float, gain: float, said: list[str]):
    reference, ours = chapter.answers(study(shift, gain)).splitlines()
    assert reference.startswith("- CLIP: 40 % of the first ten")
    assert ours.startswith("- InfoCORE: ")
    for part, sentence in zip(ours.split("; "), said, strict=True):
        assert sentence in part


def test_answers_pair_by_seed_whatever_the_order():
    records = study(-0.2, 0.05)
    assert chapter.answers(records[:3] + records[:2:-1]) == chapter.answers(records)


def test_intervals_and_changes_against_clip():
    by_arm = tables(study(-0.2, 0.05))
    widths = chapter.intervals(by_arm)
    assert widths.loc["clip", "molecules, seed 1"] == pytest.approx(2)
    assert widths.loc["clip", "seeds"] == pytest.approx(0)
    assert chapter.intervals(by_arm, library="whole").loc["clip", "molecules, seed 1"] == pytest.approx(1)
    changes = chapter.beside_paper(by_arm, "toy")
    assert changes.loc[("ours, toy", "InfoCORE"), "batch"].startswith("+25 (")
    assert changes.loc[("paper, gene expression", "InfoCORE"), "batch"] == "+15"  # 14.03 / 12.23
    assert changes.loc[("paper, cell painting", "CCL"), "whole"].startswith("-")


@pytest.mark.parametrize("size", [37, 1685, 6041])
def test_library_size_holds_the_true_size(size: int):
    low, high = library_size({k: round(100 * k / size, 2) for k in (1, 5, 10)})
    assert low <= size <= high


def test_the_papers_libraries_hold_a_fifth_of_all_its_molecules():
    sizes = chapter.paper_library_sizes()
    assert (sizes["library, from"] <= sizes["to"]).all() and (sizes["to"] / sizes["fifth of all"]).between(1, 1.2).all()
    assert sizes.loc["gene_expression", "library, from"] > 1.8 * sizes.loc["gene_expression", "fifth of a cell line"]


def test_the_batch_alone_scores_on_whole_what_chance_scores_within_the_batch():
    found, paper = chapter.batch_alone_in_paper(), paper_accuracies("cell_painting")
    row = found.loc["paper, cell_painting"]
    assert row["batch alone, %"] == pytest.approx(100 * paper["random", "batch", 1])
    assert row["batch alone, %"] == pytest.approx(row["x chance"] * 100 * paper_chance("cell_painting")["whole", 1])
    assert row["CLIP, %"] == pytest.approx(100 * paper["clip", "whole", 1])


def test_differences_stand_side_by_side_in_points():
    keys = {"library": ["whole", "batch"], "top": 1}
    of = {
        arm: pd.DataFrame(keys | {"difference": d, "difference_low": -0.2, "difference_high": 0.3})
        for arm, d in {"ccl": [-0.1, 0.0], "infocore": [0.02, 0.05]}.items()
    }
    found = chapter.differences(of)
    assert found["infocore", "difference"].to_dict() == pytest.approx({("batch", 1): 5.0, ("whole", 1): 2.0})
    assert list(found.columns.unique("arm")) == ["ccl", "infocore"] and (found["ccl", "difference_low"] == -20).all()


def test_library_size_refuses_what_no_size_gives():
    with pytest.raises(ValueError, match="chance: got"):
        chapter.library_size({1: 1.0, 10: 5.0})


# ------------------------------------------------------------------ live runs and figures


def test_a_live_run_is_scored_on_test_molecules(stand_in):
    small = {
        "epochs": 1,
        "warmup_epochs": 0,
        "halve_at": (),
        "hidden_drug": (8,),
        "hidden_screen": (8,),
        "embedding_dim": 4,
    }
    live = replace(quick("comas", 0), arms={"clip": Arm("clip")})
    live = replace(live, settings=dict(live.settings) | small)
    runs = experiment.train(live, stand_in, 0, n_jobs=1)
    table = chapter.live_table(runs)
    assert table.columns.tolist()[:2] == ["whole, top 1", "whole, top 10"]
    assert runs["clip"].record["retrieval"][0]["n_molecules"] == len(stand_in.test.drug)
    z_screen, z_drug = runs["clip"].model.embed(stand_in.test)
    assert z_screen.shape == z_drug.shape == (len(stand_in.test), 4)


def test_the_banner_names_real_data_and_warns_of_simulated():
    real = STUDIES["toxcast"]
    assert "real data, ToxCast" in chapter.banner(real)
    warning = chapter.banner(replace(real, name="simulated", make_screen=simulated_stand_in))
    assert "SIMULATED" in warning
    assert "ToxCast" not in warning


def test_campaign_picture_is_dark_where_measured():
    screen = toy(missing=True)
    fig = figures.measured_by_campaign(screen, "toy")
    [ax] = fig.axes
    image = np.asarray(ax.images[0].get_array())
    assert image.shape == tuple(screen.profile.shape)
    assert image.sum() == (~screen.profile.isnan()).sum()
    assert image[:4].sum() == 4 * 4  # the largest batch first: four molecules, two of six readouts missing
    assert ax.get_title() == "toy"
    assert [label.get_text() for label in ax.get_yticklabels()] == ["0 (4)", "1 (3)", "2 (3)"]


def test_a_variant_keeps_its_methods_colour_and_is_hollow():
    rows = pd.DataFrame(
        [
            {"library": name, "top": 1, "accuracy": 0.2, "low": 0.1, "high": 0.3, "chance": 0.1}
            for name in ("whole", "batch")
        ]
    )
    fig = figures.accuracies({"infocore": rows, "infocore, alpha = 0": rows}, arms=STUDIES["toxcast"].arms)
    full, hollow = (container.lines[0] for container in fig.axes[0].containers)
    assert full.get_color() == hollow.get_color() == METHOD_COLOURS["infocore"]
    assert hollow.get_markerfacecolor() == "white" != full.get_markerfacecolor()
    assert "InfoCORE, alpha = 0" in [text.get_text() for text in fig.legends[0].get_texts()]


def test_paper_numbers_are_fractions_of_the_printed_table():
    paper = paper_accuracies("gene_expression")
    assert paper["infocore", "batch", 1] == pytest.approx(0.1403) and paper["random", "whole", 10] < 0.003
    assert len(paper) == 4 * 2 * 3


def test_accuracy_figure_shows_methods_chance_and_paper():
    screen = toy_screen()
    table = screen_retrieval(*toy_embeddings(screen), screen, minimum_library=5, n_bootstrap=20)
    mean = table[table["cell_line"] == "mean"]
    fig = figures.accuracies({"clip": mean, "infocore": mean}, paper_accuracies("gene_expression"))
    for ax, library in zip(fig.axes, ("whole", "batch"), strict=True):
        drawn = {line.get_label(): line for line in ax.containers}
        assert set(drawn) == {"CLIP", "InfoCORE"}
        expected = 100 * mean.loc[mean["library"] == library, "accuracy"]
        np.testing.assert_allclose(drawn["CLIP"][0].get_ydata(), expected)
        assert colors.same_color(drawn["CLIP"][0].get_color(), METHOD_COLOURS["clip"])
    labels = [text.get_text() for text in fig.legends[0].get_texts()]
    assert {"chance", "paper"} < set(labels)


def test_the_true_molecule_is_framed_and_the_batch_of_the_query_is_named(monkeypatch):
    drawn = []
    monkeypatch.setattr(figures, "finish", lambda fig: drawn.append(fig) or finish(fig))
    answers = {
        "clip": molecules.Answer(2, ["CCN", "CCO"], [0.9, 0.8], ["A", "B"]),
        "other": molecules.Answer(3, ["CC", "CCC"], [0.7, 0.6], ["B", "B"]),
    }
    query = molecules.Query("CCO", "A", 1200, answers)
    shown = figures.browser([query, query._replace(true="CCN")], ARMS)
    axes = np.array(drawn[0].axes).reshape(3, 2)
    framed = [[all(spine.get_visible() for spine in ax.spines.values()) for ax in row] for row in axes[1:]]
    assert framed == [[False, False], [True, False]]
    assert [ax.get_xlabel() for ax in axes[1:, 0]] == ["cosine 0.90, same batch", "cosine 0.80, B"]
    assert "CLIP: 2" in axes[0, 1].texts[0].get_text()
    ink = [1 - np.asarray(ax.images[0].get_array())[..., :3].mean() for ax in [axes[0, 0], *axes[1:].flat]]
    assert min(ink) > 0.001  # something is drawn
    assert "CLIP has the true molecule at place 2 of 1,200" in shown.frames[0].alt
    assert "from 0.90 to 0.80, 1 are of the query's batch" in shown.frames[0].alt
    with pytest.raises(ValueError, match="'not smiles'"):
        figures.browser([query._replace(true="not smiles"), query], ARMS)


def test_share_histogram_counts_every_query():
    screen = toy_screen()
    shares = same_batch_share(*toy_embeddings(screen), screen)
    fig = figures.same_batch_histogram({"clip": shares, "infocore": shares}, top=5)
    for ax in fig.axes:
        assert sum(patch.get_height() for patch in ax.patches) == pytest.approx(100)
        mean, expected = (line.get_xdata()[0] for line in ax.lines)
        rows = shares[shares["top"] == 5]
        assert (mean, expected) == pytest.approx((100 * rows["share"].mean(), 100 * rows["expected"].mean()))
    with pytest.raises(ValueError, match="top: got 7"):
        figures.same_batch_histogram({"clip": shares}, top=7)


# ---- what the page says in words


def test_the_way_to_a_random_order_is_the_share_of_the_excess():
    arms = {name: Arm(name) for name in ("clip", "ccl")}
    rows = [record("clip", s, 0.35, 0.1) for s in range(3)] + [record("ccl", s, 0.25, 0.1) for s in range(3)]
    expected = rows[0]["same_batch"]["expected"]
    said = sentences.towards_random(rows, arms)
    assert f"CCL goes {0.10 / (0.35 - expected):.0%}".replace("%", " %") in said
    mixed = [record("clip", s, 0.35, 0.1) for s in range(3)] + [record("ccl", s, 0.3 + 0.05 * s, 0.1) for s in range(3)]
    assert "CCL is not told from CLIP" in sentences.towards_random(mixed, arms)


def test_corrections_are_said_as_they_are_measured():
    columns = pd.MultiIndex.from_tuples([("treated wells", name) for name in ("own batch", "permuted")])
    index = pd.MultiIndex.from_product(
        [["fish"], [sentences.AS_PUBLISHED, sentences.CENTRED, sentences.ROBUST]], names=["screen", "correction"]
    )
    said = sentences.corrections(pd.DataFrame([[40.0, 10.0], [60.0, 11.0], [39.0, 9.0]], index, columns))
    assert "in 40 % (10 % under permuted labels)" in said and "in 60 %, 1.5 times as often" in said and "39 %" in said


def test_sources_are_compared_with_the_largest_batch():
    said = sentences.readability(pd.Series({"largest batch": 30.0, "Mol2vec": 32.0, "readout": 90.0}))
    assert said == "In points above always naming the largest batch (30 %): Mol2vec +2 and readout +60."


def test_what_the_page_says_by_itself_is_what_is_stored(root):
    page = (root / "notebooks" / "06_retrieval.py").read_text(encoding="utf-8")
    arms, records = STUDIES["toxcast"].arms, stored("toxcast").results
    overlap = STUDIES["toxcast"].overlap
    by_arm = tables(records, overlap)
    said = {
        pair: pretraining.told(by_arm, *pair).set_index(["library", "top"])["said"]
        for pair in [("infocore", "clip"), ("infocore, alpha = 0", "clip"), ("ccl", "clip")]
    }
    assert "## Six splits, stored" in page and {len(by_seed) for by_seed in by_arm.values()} == {6}
    assert "finds molecules within one as often as CLIP, not more often" in page
    assert "Within a campaign it is level with CLIP" in page and "Level with CLIP where it chose its $\\alpha$" in page
    assert set(said["infocore", "clip"]["batch"]) == {"level"}
    assert (
        "at its strongest setting it gives up a little of the whole library for a little of the batch library" in page
    )
    assert "at $\\alpha = 0$ a little better at top 5" in page
    strongest = "infocore, alpha = 0"
    assert said[strongest, "clip"]["batch"].tolist() == ["not told apart", "above", "level"]
    assert said[strongest, "clip"]["whole"].tolist() == ["not told apart", "below", "not told apart"]
    assert "CCL loses on *whole*, told from CLIP at top 5 and 10" in page
    assert said["ccl", "clip"]["whole"].tolist() == ["not told apart", "below", "below"]
    way = sentences.towards_random(records, arms, overlap=overlap)
    assert "not told" not in way and "at $\\alpha = 0$ more so than with the $\\alpha$ of its choice" in page
    goes = {
        name: float(part.split(" goes ")[1].split(" %")[0])
        for name, part in zip(list(by_arm)[1:], way.split(": ")[1].split("; "))
    }
    assert goes["infocore"] < goes[strongest] < goes["ccl"]
    assert accuracy_by_seed(by_arm, "whole").mean().idxmin() == "ccl"
    assert "as large as the paper's on gene expression is ruled out on this screen" in page
    outside = sentences.beside_the_paper(by_arm).partition("outside for ")[2]
    assert "gene expression, whole" in outside and "gene expression, batch" in outside
    sizes = chapter.paper_library_sizes()
    assert (
        "about twice as many molecules as were measured in a cell line, and slightly more than a fifth of all" in page
    )
    ge, cp = sizes.loc["gene_expression"], sizes.loc["cell_painting"]
    assert (
        1.9 < ge["library, from"] / ge["fifth of a cell line"] < 2.1
        and 1.0 < ge["library, from"] / ge["fifth of all"] < 1.1
    )
    assert cp["library, from"] <= cp["fifth of all"] <= cp["to"]
    for part in sentences.batch_in_the_paper().split(" %")[:2]:
        assert 15 < float(part.rsplit(" ", 1)[1]) < 35
