"""A notebook's parameters: what passes, what stops the run, and what the message says."""

from __future__ import annotations

import json
from typing import Literal

import pytest

from infocore_mini.experiments.notebook import check_parameters
from infocore_mini.parameters import Fraction, ParameterError

ALLOWED = {"ALPHA": Fraction}
GIVEN = {"SEED": 3, "PROFILE": "quick", "OUTPUT_DIR": "output", "ALPHA": 0.5}


def test_good_values_come_back():
    assert check_parameters(GIVEN, **ALLOWED) == GIVEN


def test_whole_numbers_pass_where_a_fraction_is_expected():
    """papermill hands over ``-p ALPHA 1`` as an integer."""
    assert check_parameters(GIVEN | {"ALPHA": 1}, **ALLOWED)["ALPHA"] == 1.0


def test_what_a_notebook_holds_besides_its_parameters_is_ignored():
    def function():
        pass

    shell = {"In": [""], "Out": {}, "_": 1, "_i1": "SEED = 0", "__name__": "__main__", "exit": object()}
    rest = {"json": json, "function": function, "Literal": Literal, "Fraction": Fraction}
    assert check_parameters(GIVEN | shell | rest, **ALLOWED) == GIVEN


@pytest.mark.parametrize(("alpha", "outcome"), [(0.5, "passes"), (2, "ALPHA = 2")])
def test_it_works_on_globals_as_a_notebook_calls_it(alpha, outcome):
    cells = f"""
SEED, PROFILE, OUTPUT_DIR, ALPHA = 0, "quick", "output", {alpha}

import json
from infocore_mini.experiments.notebook import check_parameters
from infocore_mini.parameters import Fraction

check_parameters(globals(), ALPHA=Fraction)
raise RuntimeError("passes")
"""
    with pytest.raises((ParameterError, RuntimeError), match=outcome):
        exec(cells, {})


def test_an_unknown_name_stops_and_lists_the_known_ones():
    with pytest.raises(ParameterError) as error:
        check_parameters(GIVEN | {"ALHPA": 0.2}, **ALLOWED)
    assert str(error.value) == "unknown parameter ALHPA = 0.2; known: ALPHA, OUTPUT_DIR, PROFILE, SEED"


@pytest.mark.parametrize("value", [True, 1, 0.5, "text", [1], {"a": 1}, (1,), None])
def test_every_plain_value_counts_as_a_parameter(value):
    with pytest.raises(ParameterError, match="unknown parameter EXTRA"):
        check_parameters(GIVEN | {"EXTRA": value}, **ALLOWED)


@pytest.mark.parametrize("name", GIVEN)
def test_a_missing_parameter_is_named(name):
    """Whether the notebook declares it or, like SEED, every notebook has it."""
    with pytest.raises(ParameterError, match=f"{name}.*required"):
        check_parameters({other: value for other, value in GIVEN.items() if other != name}, **ALLOWED)


def test_the_error_is_a_value_error_and_names_every_fault():
    with pytest.raises(ValueError, match="SEED") as error:
        check_parameters({"SEED": -1, "PROFILE": "fast", "OUTPUT_DIR": "", "ALPHA": 1.5}, **ALLOWED)
    message = str(error.value)
    assert "SEED = -1" in message and "greater than or equal to 0" in message
    assert "PROFILE = 'fast'" in message and "'quick' or 'paper'" in message
    assert "OUTPUT_DIR = ''" in message
    assert "ALPHA = 1.5" in message and "less than or equal to 1" in message
    assert "\n" not in message
