"""The estimators among scikit-learn's tools: its own checks, pipelines, searches, metadata routing, tables as output."""

from unittest import SkipTest

import numpy as np
import pandas as pd
import pytest
import sklearn
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import estimator_checks_generator

from infocore_mini import CCL, CLIP, InfoCORE

SMALL = dict(epochs=2, embedding_dim=4, hidden_drug=(8,), hidden_screen=(8,), minibatch_size=16)


def rows(n=48, seed=0):
    """Drug features, readouts that follow them, labels of four experimental batches; 12 molecules, one a row."""
    rng = np.random.default_rng(seed)
    molecule = np.arange(n) % 12
    x = rng.normal(size=(12, 5))[molecule]
    y = x @ rng.normal(size=(5, 6)) + 0.1 * rng.normal(size=(n, 6))
    return x, y, np.array(["p", "q", "r", "s"])[rng.integers(4, size=n)], molecule


@pytest.fixture
def routed():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


# ------------------------------------------------------------------ scikit-learn's own checks


class Labelled:
    """Gives the rows of a check, which come without experimental batches, two of them in turn."""

    def fit(self, X_drug, y_screen, *, batch_id=None, molecule=None):
        n = X_drug.shape[0] if hasattr(X_drug, "shape") else len(np.asarray(X_drug))
        return super().fit(X_drug, y_screen, batch_id=np.arange(n) % 2, molecule=molecule)


class LabelledCCL(Labelled, CCL):
    pass


class LabelledInfoCORE(Labelled, InfoCORE):
    pass


NOT_AS_CHECKED = {  # check -> what it raises, and why
    "check_fit_score_takes_y": (AssertionError, "the second argument is called y_screen"),
    "check_n_features_in_after_fitting": (
        AssertionError,
        "it calls score(X, y=...); what it looks for is tested below",
    ),
    "check_dtype_object": (
        ValueError,
        "it wants a TypeError for what is no number; here a bad value is a ValueError",
    ),
    "check_array_api_input": (SkipTest, "scikit-learn runs it where SCIPY_ARRAY_API is set"),
}
CHECKS = [
    (estimator, check)
    for one in (CLIP, LabelledCCL, LabelledInfoCORE)
    for estimator, check in estimator_checks_generator(one(**SMALL))
]


@pytest.mark.parametrize(
    ("estimator", "check"), CHECKS, ids=[f"{type(one).__name__}-{check.func.__name__}" for one, check in CHECKS]
)
def test_scikit_learns_checks_pass_but_those_listed(estimator, check):
    name = check.func.__name__
    if name in NOT_AS_CHECKED:
        with pytest.raises(NOT_AS_CHECKED[name][0]):
            check(estimator)
    else:
        check(estimator)


def test_every_check_that_is_listed_is_made():
    assert set(NOT_AS_CHECKED) <= {check.func.__name__ for _, check in CHECKS}


def test_another_number_of_features_is_told_in_scikit_learns_words():
    x, y, _, _ = rows()
    model = CLIP(**SMALL).fit(x, y)
    for call in (model.embed_drug, model.transform, lambda short: model.score(short, y)):
        with pytest.raises(ValueError, match="X has 4 features, but CLIP is expecting 5 features as input"):
            call(x[:, 1:])


# ------------------------------------------------------------------ a transformer of drugs


def test_transform_is_embed_drug_and_names_its_columns():
    x, y, batch, _ = rows()
    model = InfoCORE(**SMALL).fit(x, y, batch_id=batch)
    z = model.embed_drug(x)
    np.testing.assert_array_equal(model.transform(x), z)
    np.testing.assert_array_equal(InfoCORE(**SMALL).fit_transform(x, y, batch_id=batch), z)
    assert model.get_feature_names_out().tolist() == ["infocore0", "infocore1", "infocore2", "infocore3"]
    table = model.set_output(transform="pandas").transform(pd.DataFrame(x, index=[f"drug {i}" for i in range(48)]))
    assert table.columns.tolist() == ["infocore0", "infocore1", "infocore2", "infocore3"]
    np.testing.assert_array_equal(table.loc["drug 3"], z[3])


def test_smiles_are_transformed_too():
    smiles = ["CCO", "CCN", "CCC", "CCCl", "c1ccccc1", "CC(=O)O"]
    model = CLIP(**SMALL).set_output(transform="pandas").fit(smiles, np.random.default_rng(0).normal(size=(6, 3)))
    table = model.transform(pd.Series(smiles, index=list("abcdef")))
    assert table.index.tolist() == list("abcdef") and table.shape == (6, 4)


# ------------------------------------------------------------------ pipelines, searches, cross-validation


def test_a_pipeline_ends_in_an_estimator_or_goes_through_it():
    x, y, batch, _ = rows()
    last = make_pipeline(StandardScaler(), InfoCORE(**SMALL)).fit(x, y, infocore__batch_id=batch)
    scaled = StandardScaler().fit_transform(x)
    alone = InfoCORE(**SMALL).fit(scaled, y, batch_id=batch)
    np.testing.assert_array_equal(last.transform(x), alone.embed_drug(scaled))
    assert last.score(x, y) == alone.score(scaled, y)
    through = make_pipeline(InfoCORE(**SMALL), Ridge()).fit(x, y, infocore__batch_id=batch)
    z = InfoCORE(**SMALL).fit(x, y, batch_id=batch).embed_drug(x)
    assert through.score(x, y) == pytest.approx(r2_score(y, Ridge().fit(z, y).predict(z)))


def test_cross_validation_hands_on_the_labels_of_each_fold(routed):
    """Fit and score get the rows' own labels without any request being set: as in a loop by hand."""
    x, y, batch, molecule = rows()
    model = InfoCORE(**SMALL)
    folds = KFold(3)
    found = cross_validate(model, x, y, cv=folds, params={"batch_id": batch}, error_score="raise")["test_score"]
    expected = [
        clone(model).fit(x[fit], y[fit], batch_id=batch[fit]).score(x[new], y[new], batch[new])
        for fit, new in folds.split(x)
    ]
    assert found.tolist() == expected


def test_whole_library_scores_are_a_request_away(routed):
    x, y, batch, _ = rows()
    model = InfoCORE(**SMALL).set_score_request(batch_id=False)
    folds = KFold(3)
    found = cross_validate(model, x, y, cv=folds, params={"batch_id": batch}, error_score="raise")["test_score"]
    expected = [
        clone(model).fit(x[fit], y[fit], batch_id=batch[fit]).score(x[new], y[new]) for fit, new in folds.split(x)
    ]
    assert found.tolist() == expected


@pytest.mark.parametrize("kind", ["array", "table", "sparse", "smiles", "anndata"])
def test_every_kind_of_input_can_be_cross_validated(routed, kind):
    x, y, batch, molecule = rows()
    if kind == "table":
        x, y = pd.DataFrame(x).add_prefix("x"), pd.DataFrame(y).add_prefix("y")
    elif kind == "sparse":
        x = csr_array(x)  # as y it is refused by cross_validate itself
    elif kind == "smiles":
        x = ["C" * (1 + i) for i in molecule]
    elif kind == "anndata":
        y = pytest.importorskip("anndata").AnnData(y)
    params = {"batch_id": batch, "groups": molecule}
    found = cross_validate(InfoCORE(**SMALL), x, y, cv=GroupKFold(2), params=params, error_score="raise")
    assert ((0 <= found["test_score"]) & (found["test_score"] <= 1)).all()


def test_a_grid_search_through_a_pipeline_by_molecule(routed):
    x, y, batch, molecule = rows()
    pipeline = make_pipeline(StandardScaler(), InfoCORE(**SMALL | dict(epochs=20, learning_rate=0.01)))
    grid = {"infocore__alpha": [0.2, 1.0], "infocore__embedding_dim": np.array([2, 8])}
    search = GridSearchCV(pipeline, grid, cv=GroupKFold(3), error_score="raise")
    search.fit(x, y, batch_id=batch, molecule=molecule, groups=molecule)
    assert len(search.cv_results_["mean_test_score"]) == 4
    best = search.best_estimator_
    assert best.score(x, y, batch_id=batch) == best[-1].score(best[0].transform(x), y, batch)


def test_without_routing_labels_go_to_fit_alone():
    x, y, batch, _ = rows()
    found = cross_validate(InfoCORE(**SMALL), x, y, cv=KFold(3), params={"batch_id": batch}, error_score="raise")
    [first, *_] = KFold(3).split(x)
    model = InfoCORE(**SMALL).fit(x[first[0]], y[first[0]], batch_id=batch[first[0]])
    assert found["test_score"][0] == model.score(x[first[1]], y[first[1]])
