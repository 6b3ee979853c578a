"""Arms: a key for stored rows and a label for the pages, both from fields."""

from __future__ import annotations

import pytest

from infocore_mini.config import Config
from infocore_mini.experiments.fairness import run as fairness
from infocore_mini.experiments.fairness.training import Setting
from infocore_mini.experiments.names import METHOD_ARMS, Arm
from infocore_mini.experiments.pretraining.studies import STUDIES
from infocore_mini.experiments.property.run import ARMS
from infocore_mini.experiments.results import stored


@pytest.mark.parametrize(
    ("arm", "key", "label"),
    [
        (Arm("infocore"), "infocore", "InfoCORE"),
        (Arm("infocore", "alpha = 0", change={"alpha": 0.0}), "infocore, alpha = 0", "InfoCORE, alpha = 0"),
        (Arm("clip", study="comas"), "clip, comas", "CLIP, COMAS cell painting"),
        (Arm("supervised", "no race or sex"), "supervised, no race or sex", "supervised, no race or sex"),
        (Arm("descriptors, boosting"), "descriptors, boosting", "descriptors, boosting"),
    ],
)
def test_keys_and_labels_come_from_fields(arm, key, label):
    assert (arm.key, arm.label) == (key, label)


def test_settings_are_those_of_a_configuration():
    arm = Arm("infocore", change={"alpha": 0.2})
    assert arm.settings == {"method": "infocore", "alpha": 0.2}
    assert Config(**arm.settings).alpha == 0.2


def test_arms_can_be_keys_of_tables_and_differ_by_what_they_change():
    low, high = (Arm("infocore", change={"alpha": alpha}) for alpha in (0.1, 0.9))
    assert len({low, high, Arm("infocore", change={"alpha": 0.1})}) == 2


@pytest.mark.parametrize("name", STUDIES)
def test_every_arm_of_a_stored_pretraining_study_has_its_fields(name):
    for row in stored(name).results:
        arm = STUDIES[name].arms[row["arm"]]
        assert arm.method in METHOD_ARMS


def test_every_arm_of_the_stored_property_and_fairness_studies_has_its_fields():
    for name in ("property", "property_simclr"):
        assert all(ARMS[cell["arm"]].key == cell["arm"] for cell in stored(name).results["cells"])
    chosen = {name: Setting(**setting) for name, setting in stored("fairness").results["chosen"].items()}
    arms = fairness.arms(chosen)
    assert {row["arm"] for row in stored("fairness").results["test"]} == set(arms)
    assert arms["clip, own best"].change["setting"] == chosen["clip"]
