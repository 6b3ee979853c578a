"""What is left of two nuisances, and kept of the effect: the table of the stored study, and what it says."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from infocore_mini.evaluate.seeds import Interval, outcome, paired, t_interval
from infocore_mini.experiments.results import StoredResult

SHOWN = ("effect", "plate, above null", "second, above null")
ASKED = (  # the three conditions of the plan
    "second nuisance, both against the plate alone",
    "second nuisance, both against its null",
    "effect, both against the plate alone",
)
MARGIN = 0.02  # of accuracy, within which a difference does not matter


def by_arm(stored: StoredResult) -> dict[tuple[str, str], pd.DataFrame]:
    """(second nuisance, arm) -> scores by draw; of the nuisances "..., above null" too, fractions.

    Args:
        stored: ``results.stored("nuisances")``.
    """
    rows = pd.DataFrame(stored.results)
    for name in ("plate", "second"):
        rows[f"{name}, above null"] = rows[name] - rows[f"{name}, null"]
    return {key: part.set_index("draw") for key, part in rows.groupby(["design", "arm"], sort=False)}


def table(stored: StoredResult) -> pd.DataFrame:
    """Percent, mean over simulated draws with the 95 % t-interval.

    Returns:
        Rows (second nuisance, arm); the probe of the effect, and of each nuisance less the mean of its permuted labels.
    """
    shown = {key: {name: _percent(t_interval(part[name])) for name in SHOWN} for key, part in by_arm(stored).items()}
    return pd.DataFrame.from_dict(shown, orient="index").rename_axis(["second nuisance", "arm"])


def said(stored: StoredResult, second: str) -> Mapping[str, str]:
    """The plan's questions of a design, each answered "below", "above", "level" or "not told apart"."""
    of = {arm: part for (design, arm), part in by_arm(stored).items() if design == second}
    both, one, joint, clip = (of[arm] for arm in ("InfoCORE, both", "InfoCORE, plate", "InfoCORE, joint", "CLIP"))
    asked = {
        "second nuisance, both against the plate alone": paired(both["second"], one["second"]),
        "second nuisance, both against its null": t_interval(both["second, above null"]),
        "plate, both against its null": t_interval(both["plate, above null"]),
        "effect, both against the plate alone": paired(both["effect"], one["effect"]),
        "effect, both against CLIP": paired(both["effect"], clip["effect"]),
        "second nuisance, joint label against both": paired(joint["second"], both["second"]),
        "effect, joint label against both": paired(joint["effect"], both["effect"]),
    }
    words = dict(margin=MARGIN, more="above", less="below")
    return {name: outcome(float(found.low), float(found.high), **words) for name, found in asked.items()}


def sentences(stored: StoredResult) -> str:
    """Markdown: for each second nuisance what being told both does to it and to the effect, as the plan asks."""
    lines = []
    for second in dict.fromkeys(design for design, _ in by_arm(stored)):
        answer = said(stored, second)
        below, null, effect = (answer[name] for name in ASKED)
        stays = " It falls towards its null and stays above it." if (below, null) == ("below", "above") else ""
        lines.append(
            f"- *{second}*, both told. Its probe against that with the plate alone: **{below}**; against permuted labels: "
            f"**{null}**.{stays} The effect's against that with the plate alone: **{effect}**."
        )
    return "\n".join(lines)


def _percent(interval: Interval) -> str:
    mean, low, high = (100 * float(value) for value in interval)
    return f"{mean:.1f} ({low:.1f} to {high:.1f})"
