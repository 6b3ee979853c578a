"""Methods that are compared have equal chances, or a stated reason why not."""

from dataclasses import replace

import pytest

from infocore_mini.config import Config
from infocore_mini.experiments import chances
from infocore_mini.experiments.fairness import run as fairness
from infocore_mini.experiments.fairness.training import Setting, config_for
from infocore_mini.experiments.gene_expression import run as connectivity_map
from infocore_mini.experiments.names import METHOD_NAMES
from infocore_mini.experiments.pretraining.studies import STUDIES
from infocore_mini.experiments.simulation import run as simulation

SEARCHED = {name: study for name, study in STUDIES.items() if study.candidates}


def configs(study) -> dict[str, list[Config]]:
    return {arm: [study.config(arm, 0, candidate) for candidate in study.candidates_of(arm)] for arm in study.arms}


COMPARISONS = {
    **{name: configs(study) for name, study in SEARCHED.items()},
    "connectivity_map": {
        method: [Config(**{**connectivity_map.SETTINGS, **candidate, "method": method}) for candidate in candidates]
        for method, candidates in connectivity_map.CANDIDATES.items()
    },
    "simulation": {method: [simulation.config_of(method, 0)] for method in METHOD_NAMES},
    "fairness": {
        method: [config_for(method, Setting(), fairness.STEPS, fairness.BUDGET.minibatch_size, n_rows=5000, seed=0)]
        for method in METHOD_NAMES
    },
}
OF_ITS_OWN = {  # study -> method -> what it has of its own -> why
    "fairness": {
        "ccl": {
            "queue_size": "a queue for each group: as many rows in all, a quarter of them for an anchor, stated on the page"
        }
    },
}


@pytest.mark.parametrize("name", COMPARISONS)
def test_compared_methods_have_equal_chances_or_a_reason(name):
    own = {
        method: {**chances.REASONS.get(method, {}), **OF_ITS_OWN.get(name, {}).get(method, {})}
        for method in METHOD_NAMES
    }
    assert chances.unequal(COMPARISONS[name], reasons=own) == []


def test_studies_that_compare_methods_are_all_searched():
    compare = {
        name for name, study in STUDIES.items() if {arm.method for arm in study.arms.values()} == set(METHOD_NAMES)
    }
    assert compare and compare <= set(SEARCHED)


@pytest.mark.parametrize("name", ["comas", "l1000_plates"])
def test_methods_take_equally_many_steps_or_ccl_more_and_shorter_ones(name):
    study = STUDIES[name]
    train = study.screen(0).split(0).train
    steps = {arm: chances.steps_of(train, study.config(arm, 0, study.candidates_of(arm)[0])) for arm in study.arms}
    assert chances.unequal(configs(study), steps) == []
    assert steps["clip"] == steps["infocore"] <= 1.1 * steps["ccl"]  # with fewer, its reason would be none


@pytest.mark.parametrize(
    "change, said",
    [
        ({"minibatch_size": 512}, "minibatch_size: ccl has ['512'], clip ['64']"),
        ({"epochs": 61}, "epochs: ccl has ['61'], clip ['60']"),
        ({"learning_rate": 1e-3}, "learning_rate: ccl has"),
        ({"hidden_screen": (512,)}, "hidden_screen: ccl has"),
    ],
)
def test_other_chances_without_a_reason_are_found(change, said):
    given = COMPARISONS["comas"]
    changed = given | {"ccl": [replace(config, **change) for config in given["ccl"]]}
    (found,) = chances.unequal(changed)
    assert found.startswith(said)


def test_another_search_and_another_number_of_steps_are_found():
    given = COMPARISONS["comas"]
    fewer = given | {"infocore": given["infocore"][:3]}
    assert chances.unequal(fewer) == ["candidates: infocore has 3, clip 4"]
    steps = {"clip": 100, "ccl": 150, "infocore": 112}
    assert chances.unequal(given, steps) == ["optimiser steps: infocore has 112, clip 100"]  # CCL's has a reason
    assert len(chances.unequal(given, steps, reasons={})) == 5


def test_the_best_on_validation_is_taken_and_the_search_kept():
    rows = [
        {"arm": arm, "candidate": i, "validation": value}
        for arm, values in {"a": (0.1, 0.3, 0.3), "b": (0.2,)}.items()
        for i, value in enumerate(values)
    ]
    assert chances.best_on_validation(rows, ["arm"]) == [
        {"arm": "a", "candidate": 1, "validation": 0.3, "search": [0.1, 0.3, 0.3]},
        {"arm": "b", "candidate": 0, "validation": 0.2, "search": [0.2]},
    ]
