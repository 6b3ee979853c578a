"""The ranges that settings and notebooks share: what each takes and what it refuses."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from infocore_mini.parameters import Count, Fraction, Method, NonNegative, OutputDir, Positive, Profile, Seed


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (Seed, [0, 7], [-1, 1.5, "3", True, None]),
        (Count, [1, 20], [0, -3, 2.0, "2"]),
        (Fraction, [0, 0.09, 1], [-0.01, 1.01, float("nan"), "half", None]),
        (Positive, [1e-9, 3], [0, -1.0, float("inf"), float("nan")]),
        (NonNegative, [0, 0.5], [-1e-9, float("inf"), float("nan")]),
        (Profile, ["quick", "paper"], ["", "Quick", 1]),
        (Method, ["clip", "ccl", "infocore"], ["clipp", "CLIP", None]),
        (OutputDir, ["output", "folder"], ["", 3]),
    ],
)
def test_each_type_takes_what_it_should_and_no_more(kind, good, bad):
    for value in good:
        assert TypeAdapter(kind).validate_python(value) == value
    for value in bad:
        with pytest.raises(ValidationError):
            TypeAdapter(kind).validate_python(value)
