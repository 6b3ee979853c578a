"""The front page's five lines: what they say of a gain follows its interval, and the gains are the stored ones."""

from __future__ import annotations

import pytest

from infocore_mini.experiments import front
from infocore_mini.experiments.fairness.intervals import drawn, paired
from infocore_mini.experiments.names import METHOD_NAMES


@pytest.mark.parametrize(
    ("low", "high", "paper", "status"),
    [
        (1.0, 3.0, 5.0, front.BACK),
        (-3.0, -1.0, 5.0, front.TURNED),
        (-1.0, 3.0, 5.0, front.APART),
        (-1.0, 3.0, 0.4, front.NONE),
        (1.0, 3.0, -4.0, front.GAINED),
        (-3.0, -1.0, 0.4, front.LOST),
    ],
)
def test_the_status_of_a_gain_follows_its_interval(low, high, paper, status):
    assert front.gain("here", 1.0, low, high, paper).status == status


def test_another_interval_may_decide():
    assert front.gain("here", 1.0, -0.1, 3.0, 5.0, (0.1, 2.0)).status == front.BACK


def test_a_verdict_names_the_places_where_they_differ():
    back, apart = (front.gain(where, 1.0, low, 3.0, 5.0) for where, low in (("real", 0.5), ("simulated", -2.0)))
    assert front.verdict([back, back]) == "came back"
    assert front.verdict([apart, back]) == "came back (real), not told apart (simulated)"


def test_there_are_five_lines_and_every_screen_says_what_it_is():
    lines = front.in_five_lines().splitlines()
    assert len(lines) == 5 and all(line.startswith("- **") and "paper" in line for line in lines)
    for line in lines[1:3]:
        assert line.count("real") == line.count("simulated") or ("real" in line and "simulated" in line)


def test_the_cut_of_the_gap_is_the_stored_one():
    rows = paired(drawn(arms=tuple(METHOD_NAMES)))
    for gain, (_, row) in zip(front.fairness(), rows.iterrows(), strict=True):
        assert (gain.mean, gain.low, gain.high) == tuple(row[["cut", "cut_low", "cut_high"]])
