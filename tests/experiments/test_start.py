"""The first chapter: what it says of its own draw, and of the toy with four pairs."""

from __future__ import annotations

import pandas as pd
import torch

from infocore_mini.experiments.start.report import what_this_draw_shows

COLUMNS = ["finds", "same batch", "effect read", "batch read"]


def scores(infocore: list[float]) -> pd.DataFrame:
    rows = {"CLIP": [0.6, 0.24, 0.9, 0.26], "CCL": [0.8, 0.12, 0.95, 0.08], "InfoCORE": infocore}
    return pd.DataFrame(rows | {"chance": [0.19, 0.04, 0.2, 0.04]}, COLUMNS).T


def test_the_sentence_turns_with_the_draw():
    good = what_this_draw_shows(scores([0.77, 0.14, 0.94, 0.10]), 0.09)
    assert "it does what it set out to do" in good and "CCL finds more still (80%)" in good
    bad = what_this_draw_shows(scores([0.85, 0.25, 0.94, 0.10]), 1.0)
    assert "does **not** do" in bad and "CCL finds no more (80%)" in bad


def test_the_toy_divides_the_pressure_as_the_solution_says():
    """Screen 1 against drugs 2, 3 and 4: drug 2 most, more with InfoCORE; drugs 3 and 4 alike with CLIP, 4 least with InfoCORE."""
    angle = torch.deg2rad(torch.tensor([75.0, 150.0, 270.0]) - 30)
    from_drug = torch.tensor([0.6, 0.3, 0.1])
    clip = angle.cos().exp() / angle.cos().exp().sum()
    assert clip.argmax() == 0 and torch.isclose(clip[1], clip[2])
    for alpha in (0.0, 0.09, 0.5):
        share = (alpha * 0.8 + (1 - alpha) * from_drug) * angle.cos().exp()
        share = share / share.sum()
        assert share[0] > clip[0] and share.argmin() == 2
