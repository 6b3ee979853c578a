"""Tables of the audit's stored studies."""

from __future__ import annotations

import pandas as pd

from infocore_mini.confounding.rows import BATCH
from infocore_mini.experiments.audit.calibration import RIGHT
from infocore_mini.experiments.results import StoredResult

ROWS = ("treated", "controls", "replicates", "design")


def calibration_table(stored: StoredResult) -> pd.DataFrame:
    """Percent of audits, with the exact 99 % interval: false alarms where nothing is, right answers elsewhere.

    Args:
        stored: ``results.stored("audit_calibration")``.

    Returns:
        Rows (case, design); "wanted", "draws", "percent", "99 % interval", percent "called clean", and whether it "holds"
        what the plan asks, of a shift that fewer than 20 % are called clean.
    """
    table = pd.DataFrame(stored.results["table"])
    wanted = {case: f'"{verdict}"' for case, verdict in RIGHT.items()} | {"nothing": "no alarm, but in 5 %"}
    shown = pd.DataFrame(
        {
            "wanted": table["case"].map(wanted),
            "draws": table["draws"],
            "percent": (100 * table["share"]).round(1),
            "99 % interval": [
                f"{100 * low:.1f} to {100 * high:.1f}" for low, high in zip(table["low"], table["high"], strict=True)
            ],
            "called clean": (100 * table["clean"]).round(1),
            "holds": table["holds"].map({True: "yes", False: "no"}),
        }
    )
    return shown.set_index(pd.MultiIndex.from_frame(table[["case", "design"]]))


def screens_table(stored: StoredResult) -> pd.DataFrame:
    """What the audit says of real screens, a row a screen and correction.

    Args:
        stored: ``results.stored("audit_screens")``.

    Returns:
        Rows (screen, correction); the verdict of the audit; for the experimental batch the verdicts among treated wells,
        controls, replicates and of the design, "" where there are none, the accuracy of the linear probe and the
        replicates that are found across batches, in percent, each with what permuted labels give.
    """
    return _shown(pd.DataFrame(stored.results["table"]), ["screen", "correction"])


def trained_table(stored: StoredResult) -> pd.DataFrame:
    """What the audit says of embeddings of held-out molecules and of the same wells' readouts ("none"): real screens.

    Args:
        stored: ``results.stored("audit_trained")``.

    Returns:
        Rows (screen, training); columns as in `screens_table`.
    """
    return _shown(pd.DataFrame(stored.results["table"]), ["screen", "training"])


def _shown(table: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    shown = pd.DataFrame({"verdict": table["verdict"]})
    for rows in ROWS:
        shown[f"{BATCH}, {rows}"] = table.get(f"{rows}: verdict", pd.Series(index=table.index, dtype=object))
    numbers = {
        "linear probe, treated": "treated: linear probe",
        "linear probe, controls": "controls: linear probe",
        "replicates found": "replicates: nearest of another value is a replicate",
    }
    for name, column in numbers.items():
        observed = table.get(column, pd.Series(index=table.index, dtype=float))
        expected = table.get(f"{column}, expected", pd.Series(index=table.index, dtype=float))
        shown[name] = [
            "" if pd.isna(one) else f"{100 * one:.1f} ({100 * by_chance:.1f})"
            for one, by_chance in zip(observed.astype(float), expected.astype(float), strict=True)
        ]
    return shown.fillna("").set_index(pd.MultiIndex.from_frame(table[keys]))
