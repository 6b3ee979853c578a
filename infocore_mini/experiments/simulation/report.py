"""Tables of the simulation study: means over draws, methods paired by draw, the paper's conclusion and its Table 6."""

from __future__ import annotations

import pandas as pd

from infocore_mini.evaluate.seeds import half_width, paired
from infocore_mini.experiments.results import paper_table, stored
from infocore_mini.experiments.simulation.run import GENERATOR, SETTINGS, SWEEP_DRAWS, SWEEPS, swept_methods


def summary(frame: pd.DataFrame) -> pd.DataFrame:
    """Mean accuracies in percent with the half-width of the 95 % t-interval over draws, by view and method."""
    grouped = frame.groupby(["view", "method"])[["effect", "batch"]]
    mean, half = 100 * grouped.mean(), 100 * grouped.agg(half_width)
    return mean.join(half.add_suffix("_ci95")).assign(draws=grouped.size())


def paired_difference(frame: pd.DataFrame, method: str, baseline: str, *, view: str = "screen") -> pd.Series:
    """``method`` minus ``baseline`` on the same draws, in percentage points.

    Returns:
        effect, effect_low, effect_high: mean and 95 % t-interval of the difference in effect accuracy;
        batch, batch_low, batch_high: the same for batch accuracy;
        batch_lower: share of draws in which ``method`` has the lower batch accuracy; draws: their number.
    """
    wide = frame[frame.view == view].pivot(index="draw", columns="method", values=["effect", "batch"])
    result = {}
    for target in ("effect", "batch"):
        difference = paired(100 * wide[target][method], 100 * wide[target][baseline])
        result |= {target: difference.mean, f"{target}_low": difference.low, f"{target}_high": difference.high}
    result["batch_lower"] = float((wide["batch"][method] < wide["batch"][baseline]).mean())
    return pd.Series(result | {"draws": len(wide)}, name=f"{method} - {baseline}")


def claims(frame: pd.DataFrame) -> dict[str, bool]:
    """The paper's conclusion about the screen embedding, as statements that a rerun can contradict."""
    screen = summary(frame).loc["screen"].loc["infocore"]
    difference = paired_difference(frame, "infocore", "clip")
    return {
        "InfoCORE reads the effect in at least 70 %": bool(screen["effect"] >= 70),
        "InfoCORE reads the batch in at most 7 %": bool(screen["batch"] <= 7),
        "InfoCORE leads CLIP by at least 15 points of effect accuracy": bool(difference["effect"] >= 15),
        "the 95 % interval of that lead excludes 0": bool(difference["effect_low"] > 0),
        "InfoCORE holds less batch than CLIP in at least 95 % of the draws": bool(difference["batch_lower"] >= 0.95),
    }


def paper_accuracies() -> dict[str, dict[str, dict[str, float]]]:
    """Table 6 as printed: method -> "screen" | "drug" -> "effect" | "batch" accuracy in percent, one draw."""
    views = {"screen": "drug_screens", "drug": "drug_structure"}
    return {
        row["method"].lower(): {
            view: {target: row[key][target][0] for target in ("effect", "batch")} for view, key in views.items()
        }
        for row in paper_table("table6_simulation_linear_probe_accuracy")
    }


def stored_rows() -> pd.DataFrame:
    """The stored study: columns of ``run`` and variant, "default" or "name=value"."""
    variants = stored("simulation").results
    return pd.concat([pd.DataFrame(rows).assign(variant=name) for name, rows in variants.items()], ignore_index=True)


def sweep(rows: pd.DataFrame, name: str) -> pd.DataFrame:
    """Rows of one choice over its values, in column ``name``; the default's rows on the same draws included."""
    default = {**GENERATOR, **SETTINGS}[name]
    of_variant = {f"{name}={value}": value for value in SWEEPS[name]} | {"default": default}
    chosen = rows.variant.isin(of_variant) & rows.draw.isin(SWEEP_DRAWS) & rows.method.isin(swept_methods(name))
    return rows[chosen].assign(**{name: rows.variant.map(of_variant)})
