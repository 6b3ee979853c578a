"""What a chemist would try first: descriptors or fingerprints with a model of scikit-learn at its default settings."""

from __future__ import annotations

from functools import cache

import numpy as np
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)

from infocore_mini.evaluate.property import property_score
from infocore_mini.experiments.property.sets import prepared
from infocore_mini.featurize import descriptors, morgan
from infocore_mini.parameters import TargetKind

BOOSTING, FOREST = "descriptors, boosting", "fingerprints, forest"
CONTROLS = (BOOSTING, FOREST)

_CONTROL_MODELS = {
    (BOOSTING, "classification"): HistGradientBoostingClassifier,
    (BOOSTING, "regression"): HistGradientBoostingRegressor,
    (FOREST, "classification"): RandomForestClassifier,
    (FOREST, "regression"): RandomForestRegressor,
}


def run_control(dataset: str, control: str, seed: int) -> dict:
    """scikit-learn's model with its default settings for each task, on the molecules measured in it."""
    data = prepared(dataset)
    x = control_features(dataset, control)
    outputs = np.full(data.target.shape, np.nan)
    for task, y in enumerate(data.target.T):
        train = data.parts.train[~np.isnan(y[data.parts.train])]
        if len(np.unique(y[train])) < 2:
            outputs[:, task] = 0.0  # nothing to learn from: every molecule scores the same
            continue
        model = _CONTROL_MODELS[control, data.kind](random_state=seed).fit(x[train], y[train])
        held_out = np.concatenate(data.parts[1:])
        outputs[held_out, task] = _output(model, x[held_out], data.kind)
    validation, test = (property_score(data.target[rows], outputs[rows], data.kind) for rows in data.parts[1:])
    return {"learning_rate": None, "epochs": None, "validation": validation, "test": test}


def _output(model, x: np.ndarray, kind: TargetKind) -> np.ndarray:
    return model.predict_proba(x)[:, 1] if kind == "classification" else model.predict(x)


@cache
def control_features(dataset: str, control: str) -> np.ndarray:
    """(n, n_features) of a control."""
    smiles = prepared(dataset).smiles
    return descriptors(smiles) if control == BOOSTING else morgan(smiles)
