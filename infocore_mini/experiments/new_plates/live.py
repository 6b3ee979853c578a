"""A few cells of the board run on the spot, beside what is stored of them."""

from __future__ import annotations

import pandas as pd

from infocore_mini.experiments.new_plates.arms import checked
from infocore_mini.experiments.new_plates.folds import NEW
from infocore_mini.experiments.new_plates.report import SCREEN_NAMES, Arm, by_fold, label
from infocore_mini.experiments.new_plates.run import cell
from infocore_mini.experiments.results import StoredResult
from infocore_mini.sources import DataUnavailable

ARMS: tuple[Arm, ...] = (
    ("raw", "none"),
    ("raw", "clip"),
    ("batch centring", "clip"),
    ("raw", "infocore"),
    ("batch centring", "infocore"),
)


def at_hand(name: str) -> tuple[str, str]:
    """The screen, or the simulated one where its data are not at hand; and what to say of it, Markdown."""
    try:
        checked(name)
    except DataUnavailable:
        asked = SCREEN_NAMES[name]
        return "simulated", (
            f"**Simulated data** in place of {asked}, whose files are not at hand; set INFOCORE_DATA to their folder."
        )
    kind = "**simulated** data" if name == "simulated" else "**real** data"
    return name, f"{SCREEN_NAMES[name]}: {kind}."


def beside_stored(name: str, fold: int, of: StoredResult) -> pd.DataFrame:
    """`ARMS` trained now on one fold, with the settings that the stored search chose: a row an arm.

    Returns:
        "beaten" and "top 10", percent, on new molecules and new batches in the whole library; "stored", what the board
        has for "beaten".
    """
    known, rows = by_fold(of)["beaten"], {}
    for correction, method in ARMS:
        record = cell(name, correction, method, fold, of.results["chosen"].get(method))
        found = record.result["tests"][NEW]["whole"]
        values = {score: 100 * found[score] for score in ("beaten", "top 10")}
        rows[label((correction, method), of)] = values | {"stored": known[correction, method, fold]}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("arm")
