"""Property prediction: benchmarks read, scaffolds kept together, masked losses and scores, fine-tuning, the grid."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from rdkit import Chem
from rdkit.Chem.Scaffolds import MurckoScaffold
from scipy import stats
from sklearn.metrics import r2_score, roc_auc_score
from torch import nn

from infocore_mini.config import Config
from infocore_mini.evaluate.property import (
    FineTuning,
    GridScore,
    chosen,
    fine_tune,
    masked_loss,
    property_score,
)
from infocore_mini.experiments.property import figures as property_figures
from infocore_mini.experiments.property import report
from infocore_mini.experiments.property import run as experiment
from infocore_mini.experiments.property import sets as property_sets
from infocore_mini.experiments.property.baseline import random_molecules, random_scaffolds, toxcast_variants
from infocore_mini.experiments.property.sets import SIMULATED, prepared, simulated_property
from infocore_mini.experiments.records import kept
from infocore_mini.featurize import InvalidSmiles, Parts, descriptors, murcko_scaffold, scaffold_split, skeletons
from infocore_mini.readers import ReadError
from infocore_mini.readers.property import MOLECULENET, PROPERTY_SETS, property_files, read_property
from infocore_mini.simulate.molecules import sample_molecules
from infocore_mini.sources import DataUnavailable, data_file, fetch
from infocore_mini.train import pretrain

ROWS = {"BBBP": 2039, "BACE": 1513, "ClinTox": 1478, "SIDER": 1427, "HIV": 41127, "Tox21": 7831, "ToxCast": 8597}
QUICK = FineTuning(learning_rates=(1e-2,), epochs=(3, 12), minibatch_size=32)


def at_hand(name: str) -> None:
    try:
        for file in property_files(name):
            fetch(file)
    except DataUnavailable as error:
        pytest.skip(f"needs the real file: {error}")


# ---- reading


@pytest.mark.parametrize("name", PROPERTY_SETS)
def test_real_sets_have_the_papers_sizes(name):
    at_hand(name)
    data = read_property(name)
    paper = json.loads(data_file("paper_tables.json").read_text())["table3_and_8_property_prediction"]
    assert len(data.tasks) == paper["tasks"][name] == data.target.shape[1]
    assert len(data) == len(data.target) and not np.isnan(data.target).all(1).any()
    if name == "PRISM":
        assert len(data) == 1307 and data.kind == "regression"
    else:
        assert len(data) + 10 >= ROWS[name] >= len(data)  # RDKit refuses a few more than it did
        assert data.kind == "classification" and set(np.unique(data.target[~np.isnan(data.target)])) == {0, 1}
    assert all(Chem.MolFromSmiles(smiles) for smiles in data.smiles[:50])


def write(folder, text: str, name="bbbp.csv"):
    (folder / name).write_text(text)
    return folder / name


def test_rows_that_are_no_molecules_are_listed(tmp_path):
    data = read_property("BBBP", write(tmp_path, "smiles,p_np\nCCO,1\nnonsense,0\nc1ccccc1,0\nCCN,\n,1\n"))
    assert list(data.smiles) == ["CCO", "c1ccccc1"] and data.target.tolist() == [[1], [0]]
    assert set(data.left_out["reason"]) == {"invalid SMILES 'nonsense'", "no measurement", "no SMILES"}


@pytest.mark.parametrize(
    "text, message",
    [
        ("smiles,other\nCCO,1\n", "no column p_np"),
        ("smiles,p_np\nCCO,2\n", "other targets, expected 0, 1 or missing"),
        ("smiles,p_np\nCCO,yes\n", "expected numbers in the tasks"),
        ("smiles,p_np\nnonsense,1\n", "no valid molecule"),
        ("smiles,p_np\n", "without rows"),
    ],
)
def test_damaged_sets_are_refused_by_name(tmp_path, text, message):
    with pytest.raises(ReadError, match=message):
        read_property("BBBP", write(tmp_path, text))


def test_an_unknown_set_is_refused():
    with pytest.raises(ValueError, match="name: got 'MUV', expected one of BBBP"):
        read_property("MUV")


# ---- splits, identity, descriptors


@pytest.mark.parametrize("name", [*MOLECULENET, "PRISM", None])
def test_no_molecule_or_scaffold_in_two_parts(name):
    if name is None:
        smiles = np.array(sample_molecules(600, 0).smiles, dtype=object)
    else:
        at_hand(name)
        smiles = read_property(name).smiles
    parts = scaffold_split(smiles)
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(smiles)))
    assert [len(part) / len(smiles) for part in parts] == pytest.approx([0.8, 0.1, 0.1], abs=0.01)
    scaffold, molecule = np.array(murcko_scaffold(smiles), dtype=object), np.array(smiles, dtype=object)
    for what in (scaffold, molecule):
        sets = [set(what[part]) for part in parts]
        assert not (sets[0] & sets[1] or sets[0] & sets[2] or sets[1] & sets[2])


def test_scaffold_split_is_that_of_the_usual_recipe():
    """Hu et al.'s loop written out again with RDKit's own scaffolds, chirality left out."""
    smiles = list(sample_molecules(300, 1).smiles)
    groups = {}
    for row, text in enumerate(smiles):
        groups.setdefault(MurckoScaffold.MurckoScaffoldSmiles(smiles=text, includeChirality=False), []).append(row)
    train, validation, test = [], [], []
    for size, _first, group in sorted(((len(g), g[0], g) for g in groups.values()), reverse=True):
        if len(train) + size > 240:
            (test if len(train) + len(validation) + size > 270 else validation).extend(group)
        else:
            train.extend(group)
    assert [part.tolist() for part in scaffold_split(smiles)] == [sorted(train), sorted(validation), sorted(test)]
    assert [p.tolist() for p in scaffold_split(smiles)] == [p.tolist() for p in scaffold_split(smiles)]


def test_a_split_needs_enough_scaffolds():
    with pytest.raises(ValueError, match="2 molecules of 1 scaffolds"):
        scaffold_split(["c1ccccc1C", "c1ccccc1CC"])
    with pytest.raises(InvalidSmiles, match="row 1"):
        scaffold_split(["CCO", "nonsense"])


def test_other_splits_part_the_rows():
    smiles = np.array(sample_molecules(300, 2).smiles, dtype=object)
    for split in (random_molecules, random_scaffolds):
        parts = split(smiles, 0)
        assert sorted(np.concatenate(parts).tolist()) == list(range(300)) and len(parts.test) >= 25
        assert not np.array_equal(parts.test, split(smiles, 1).test)
    scaffold = np.array(murcko_scaffold(smiles), dtype=object)
    assert not set(scaffold[random_scaffolds(smiles, 0).test]) & set(scaffold[random_scaffolds(smiles, 0).train])


def test_a_skeleton_knows_a_molecule_through_salt_charge_chirality_and_tautomer():
    acid, salt, left, right, keto, enol = skeletons(
        ["CC(=O)O", "CC(=O)[O-].[Na+]", "C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O", "O=c1cccc[nH]1", "Oc1ccccn1"]
    )
    assert acid == salt and left == right and keto == enol and len({acid, left, keto}) == 3


def test_descriptors_are_rdkits():
    table = descriptors(["CCO", "c1ccccc1C(=O)O"])
    from rdkit.Chem.Crippen import MolLogP
    from rdkit.Chem.rdMolDescriptors import Properties

    names = list(Properties.GetAvailableProperties())
    molecules = [Chem.MolFromSmiles("CCO"), Chem.MolFromSmiles("c1ccccc1C(=O)O")]
    assert table[:, names.index("CrippenClogP")] == pytest.approx([MolLogP(m) for m in molecules], rel=1e-6)
    assert np.isfinite(table).all() and table.shape == (2, len(names))


# ---- loss and score


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
    expected = np.mean([roc_auc_score(y[5:, 0], p[5:, 0]), roc_auc_score(y[:, 1], p[:, 1])])
    assert property_score(y, p, "classification") == pytest.approx(expected)
    y = rng.normal(size=(40, 2))
    y[3:9, 1] = np.nan
    kept_rows = ~np.isnan(y[:, 1])
    expected = np.mean([r2_score(y[:, 0], p[:, 0]), r2_score(y[kept_rows, 1], p[kept_rows, 1])])
    assert property_score(y, p[:, :2], "regression") == pytest.approx(expected)
    with pytest.raises(ValueError, match="no task with two different values"):
        property_score(np.ones((4, 1)), np.ones((4, 1)), "classification")


# ---- fine-tuning


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


def test_chosen_reads_the_validation_score_only():
    scores = [GridScore(1e-3, 5, 0.7, 0.9), GridScore(1e-3, 10, 0.8, 0.1), GridScore(1e-4, 5, 0.8, 0.5)]
    assert chosen(scores) == scores[1]


@pytest.mark.parametrize("heads", [False, True])
def test_the_drug_body_is_the_encoder_before_heads_and_norm(heads):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(40, 6)), rng.normal(size=(40, 5))
    config = Config(method="clip", hidden_drug=(7,), hidden_screen=(7,), embedding_dim=4, epochs=1, minibatch_size=20)
    model = pretrain(a, b, np.arange(40) % 2, config)
    if heads:
        from infocore_mini.encoders import CellLineEncoder

        model.model.encoders[0] = CellLineEncoder(6, (7,), 4, 2)
    scaler, drug_body = model.drug_body()
    x = torch.from_numpy(a).float()
    if heads:
        assert torch.equal(drug_body(x), model.model.encoders[0].universal(x))
    else:
        assert torch.allclose(nn.functional.normalize(drug_body(scaler(x)), dim=1), model.embed_drug(a), atol=1e-6)
    next(drug_body.parameters()).data.zero_()
    assert all(bool(p.any()) for p in list(model.model.encoders[0].parameters())[:1])  # a copy


# ---- the grid, on stand-ins


@pytest.fixture
def small_grid(monkeypatch):
    """Two simulated property sets of 150 molecules, one simulated screen that holds some of their test molecules."""
    sets = {name: simulated_property(seed, n=150) for seed, name in enumerate(SIMULATED[:2])}
    monkeypatch.setattr(property_sets, "simulated_property", lambda seed: sets[SIMULATED[seed]])
    prepared.cache_clear()
    experiment.control_features.cache_clear()
    test = prepared(SIMULATED[0]).test_smiles

    def screen(seed):
        from infocore_mini.featurize import mol2vec
        from infocore_mini.screens import PairedScreen

        smiles = np.concatenate([test[:6], np.array(sample_molecules(60, 9).smiles, dtype=object)])
        smiles = np.unique(smiles.astype(str))
        rng = np.random.default_rng(seed)
        batch = rng.integers(3, size=len(smiles))
        return PairedScreen.from_profiles(
            smiles=smiles, drug=mol2vec, profile=rng.normal(size=(len(smiles), 5)), batch=batch
        )

    from infocore_mini.experiments.pretraining.run import Study

    settings = dict(hidden_screen=(8,), hidden_classifier=(8,), epochs=2, minibatch_size=16, clip_drug=2.5)
    study = Study("comas", screen, settings, arms={m: {"method": m} for m in experiment.METHODS})
    monkeypatch.setattr(experiment, "screen_study", lambda name: study)
    monkeypatch.setattr(experiment, "FINE_TUNING", QUICK)
    yield experiment.Grid(SIMULATED[:2], ("comas",), (0,))
    prepared.cache_clear()
    experiment.control_features.cache_clear()


def test_the_grid_fills_every_cell_once_and_leaves_out_the_test_molecules(small_grid, tmp_path, monkeypatch):
    results = experiment.run_grid(small_grid, tmp_path, n_jobs=1)
    columns = {
        "Mol2vec",
        "descriptors, boosting",
        "fingerprints, forest",
        "clip, comas",
        "ccl, comas",
        "infocore, comas",
    }
    assert {(c["dataset"], c["column"]) for c in results["cells"]} == {(d, c) for d in SIMULATED[:2] for c in columns}
    assert all(0 <= c["test"] <= 1 for c in results["cells"])
    [counts] = {json.dumps(r["leakage"][SIMULATED[0]]) for r in results["pretraining"]}
    assert json.loads(counts)["test"] == 15 and json.loads(counts)["in_screen"] >= 6
    whole = experiment.screen_study("comas").screen(0)
    removed = set(skeletons(np.concatenate([prepared(name).test_smiles for name in SIMULATED[:2]])))
    left = [s for s in skeletons(whole.smiles) if s not in removed]
    assert {r["molecules"] for r in results["pretraining"]} == {len(left)} and len(left) <= len(whole.smiles) - 6
    monkeypatch.setattr(experiment, "pretrain_screen", None)
    monkeypatch.setattr(experiment, "fine_tune", None)
    assert experiment.run_grid(small_grid, tmp_path, n_jobs=1) == results  # all found, nothing computed again


def test_what_a_killed_write_leaves_is_not_read(tmp_path):
    path = tmp_path / "a.json"

    def killed():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        kept(path, killed)
    assert not path.exists()
    assert kept(path, lambda: {"x": 1}) == {"x": 1} == kept(path, killed)


def test_tox21_and_toxcast_are_never_scored_after_toxcast():
    grid = experiment.FULL
    assert set(grid.datasets) - set(grid.scored("toxcast")) == {"Tox21", "ToxCast"}
    assert grid.scored("comas") == grid.datasets == PROPERTY_SETS


# ---- the stored grid and its tables


def cells(values: dict) -> list[dict]:
    return [
        {"dataset": d, "column": c, "seed": s, "test": v}
        for (d, c), scores in values.items()
        for s, v in enumerate(scores)
    ]


def test_paired_differences_are_scipys_t_interval():
    table = report.scores(
        cells({("BBBP", "infocore, comas"): [0.7, 0.8, 0.75], ("BBBP", "clip, comas"): [0.6, 0.75, 0.7]})
    )
    row = report.paired(table, "infocore, comas", "clip, comas").loc["BBBP"]
    expected = stats.ttest_rel([70, 80, 75], [60, 75, 70]).confidence_interval(0.95)
    assert (row["low"], row["high"]) == pytest.approx((expected.low, expected.high))


def test_a_single_run_is_compared_with_every_seed():
    table = report.scores(cells({("BBBP", "Mol2vec"): [0.7, 0.8, 0.75], ("BBBP", "descriptors, boosting"): [0.6]}))
    forward = report.paired(table, "descriptors, boosting", "Mol2vec").loc["BBBP"]
    backward = report.paired(table, "Mol2vec", "descriptors, boosting").loc["BBBP"]
    assert forward["difference"] == pytest.approx(-15) and backward["difference"] == pytest.approx(15)
    assert forward["low"] == pytest.approx(-backward["high"])


def test_verdicts_say_better_worse_and_not_told_apart():
    seeds = np.array([0.0, 0.001, 0.002])
    values = {
        ("BBBP", "Mol2vec"): 0.70 + seeds,
        ("BBBP", "clip, comas"): 0.80 + seeds,
        ("BBBP", "infocore, comas"): 0.75 + seeds[::-1],
    }
    values[("BBBP", "fingerprints, forest")] = 0.9 + seeds
    line = report.verdicts(report.scores(cells(values)))["BBBP"]
    assert "best: fingerprints, forest (90.1)" in line and "above the best encoder" in line
    assert "against no pretraining: better on COMAS" in line and "against CLIP: worse on COMAS" in line
    values[("BBBP", "infocore, comas")] = np.array([0.6, 0.75, 0.9])
    assert "no pretraining: not told apart on COMAS" in report.verdicts(report.scores(cells(values)))["BBBP"]


def test_the_average_is_over_seven_complete_sets():
    values = {(name, "Mol2vec"): [0.1 * i] for i, name in enumerate(report.CLASSIFICATION)} | {
        ("PRISM", "Mol2vec"): [0.9]
    }
    table = report.scores(cells(values))
    assert float(table[table["dataset"] == report.AVERAGE]["score"].iloc[0]) == pytest.approx(30)
    del values["HIV", "Mol2vec"]
    assert report.AVERAGE not in set(report.scores(cells(values))["dataset"])


def test_the_papers_table_is_as_printed():
    board = report.paper_board()
    assert list(board.index) == [
        "Mol2vec",
        "CLIP, GE",
        "CCL, GE",
        "InfoCORE, GE",
        "CLIP, CP",
        "CCL, CP",
        "InfoCORE, CP",
    ]
    assert board.loc["InfoCORE, GE", "ClinTox"] == "91.9 (1.9)" and board.loc["CCL, GE", "PRISM"] == "16.0 (0.5)"
    by_simclr = report.paper_board("SimCLR")
    assert list(by_simclr.index) == list(board.index) and by_simclr.loc["CCL, GE"].equals(board.loc["CCL, GE"])
    assert by_simclr.loc["InfoCORE, CP", "HIV"] == "80.0 (0.8)"


@pytest.fixture(scope="module")
def stored() -> dict:
    return json.loads(data_file("results/property.json").read_text())


def test_the_stored_grid_is_that_of_the_code_and_complete(stored):
    parameters, results = stored["parameters"], stored["results"]
    assert parameters["datasets"] == list(PROPERTY_SETS) and parameters["seeds"] == [0, 1, 2]
    assert parameters["body"] == json.loads(json.dumps(dict(experiment.BODY)))
    assert len(stored["provenance"]["data_sha256"]) >= 10
    found = {(c["dataset"], c["column"], c["seed"]) for c in results["cells"]}
    expected = set()
    for dataset in PROPERTY_SETS:
        expected |= {(dataset, "descriptors, boosting", 0)}
        expected |= {(dataset, "fingerprints, forest", seed) for seed in ((0,) if dataset == "ToxCast" else (0, 1, 2))}
        columns = ["Mol2vec"]
        for screen in experiment.SCREENS:
            if dataset in experiment.FULL.scored(screen):
                columns += [f"{method}, {screen}" for method in experiment.METHODS]
        expected |= {(dataset, column, seed) for column in columns for seed in (0, 1, 2)}
    assert found == expected


def test_the_grid_by_simclr_is_complete_and_left_out_the_same_molecules(stored):
    """Table 8 beside Table 3: on one screen and seed, the test molecules that were removed are the same."""
    by_simclr = report.stored("property_simclr")
    grid = experiment.SIMCLR
    columns = [f"{method}, {screen}" for screen in grid.screens for method in ("clip", "infocore")]
    expected = {(name, column, seed) for name in PROPERTY_SETS for column in columns for seed in grid.seeds}
    assert {(c["dataset"], c["column"], c["seed"]) for c in by_simclr["cells"]} == expected
    left = {(r["screen"], r["seed"]): r["leakage"] for r in stored["results"]["pretraining"]}
    for record in by_simclr["pretraining"]:
        [moco] = [queued for queued, alone in experiment.BY_SIMCLR.items() if alone == record["screen"]]
        assert record["leakage"] == left[moco, record["seed"]] and record["simulated"] == (moco == "gene_expression")


def test_the_baseline_is_the_papers_or_the_reason_is_shown(stored):
    table = report.scores(stored["results"]["cells"])
    difference = report.baseline_beside_paper(table)["difference"]
    others = difference[[name for name in report.CLASSIFICATION if name != "ToxCast"]]
    assert (others.abs() <= 4).all() and abs(others.mean()) <= 1.5
    variants = pd.DataFrame(stored["results"]["toxcast_variants"]).groupby("variant")["test"].mean()
    toxcast = 100 * variants["missing read as inactive"] - report.paper_means()["mol2vec", None]["ToxCast"]
    assert abs(toxcast) <= 4 and abs(pd.Series([*others, toxcast]).mean()) <= 1.5


def test_toxcast_variants_are_kept(tmp_path, monkeypatch):
    from infocore_mini.experiments.property import baseline as property_baseline

    monkeypatch.setattr(property_baseline, "prepared", lambda name: prepared(SIMULATED[0]))
    first = toxcast_variants((0,), tmp_path)
    monkeypatch.setattr(property_baseline, "fine_tune", None)
    assert toxcast_variants((0,), tmp_path) == first and len(first) == 4


def test_a_column_on_its_own_is_the_same_column(small_grid, tmp_path):
    whole = experiment.run_grid(small_grid, tmp_path, n_jobs=1)["cells"]
    for column in ("Mol2vec", "infocore, comas"):
        assert experiment.run_column(small_grid, column, 0, tmp_path) == [c for c in whole if c["column"] == column]
    with pytest.raises(ValueError, match="column: got 'clip, nowhere', expected one of Mol2vec"):
        experiment.run_column(small_grid, "clip, nowhere", 0, tmp_path)


def test_a_missing_screen_is_replaced_by_a_simulated_one_and_named_so(monkeypatch):
    monkeypatch.setattr(property_sets, "available", lambda study: study.name == "toxcast")
    screens, notice = property_sets.screens_at_hand(("comas", "toxcast", "l1000_plates"))
    assert screens == ("simulated", "toxcast") and "SIMULATED SCREEN in place of comas, l1000_plates" in notice
    assert (
        "simulated" in report.label("clip, simulated") and property_sets.screen_study("simulated").name == "simulated"
    )
    monkeypatch.setattr(property_sets, "available", lambda study: True)
    screens, notice = property_sets.screens_at_hand(("comas", "gene_expression"))
    assert (
        screens == ("comas", "gene_expression")
        and notice == "Pretraining on comas (**real**), gene_expression (**simulated**)."
    )


def test_the_figure_has_a_panel_a_screen_and_every_method(stored):
    table = report.scores(stored["results"]["cells"])
    panels = {
        screen: {m: report.paired(table, f"{m}, {screen}", report.BASELINE).drop("PRISM") for m in experiment.METHODS}
        for screen in ("comas", "toxcast")
    }
    control = {name: report.paired(table, name, report.BASELINE)["difference"] for name in experiment.CONTROLS}
    fig = property_figures.gains(panels, control)
    assert [ax.get_title() for ax in fig.axes] == ["comas", "toxcast"]
    labels = [text.get_text() for text in fig.axes[0].get_legend().get_texts()]
    assert {"CLIP", "CCL", "InfoCORE", *experiment.CONTROLS} == set(labels)
    shown = [label.get_text() for label in fig.axes[1].get_xticklabels()]
    assert "Tox21" not in shown and "BBBP" in shown
