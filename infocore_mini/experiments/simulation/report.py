"""Tables of the simulation study: means over draws, methods paired by draw, and the paper's Table 6."""

from __future__ import annotations

from math import isnan
from types import MappingProxyType
from typing import NamedTuple

import pandas as pd

from infocore_mini.evaluate.seeds import detectable, half_width, outcome, paired
from infocore_mini.experiments import best
from infocore_mini.experiments.names import METHOD_NAMES
from infocore_mini.experiments.results import paper_table, stored
from infocore_mini.experiments.simulation.chance import own_batch_negatives
from infocore_mini.experiments.simulation.run import GENERATOR, SETTINGS, config_of
from infocore_mini.experiments.simulation.studies import (
    COMPOSITIONS,
    NEGATIVES_DRAWS,
    ONE_BATCH,
    RANDOM,
    SMALL_MINIBATCH,
    SWEEP_DRAWS,
    SWEEPS,
    TEMPERATURES,
    swept_methods,
    variant,
)
from infocore_mini.simulate.study import simulation_study

VIEWS = MappingProxyType({"screen": "$Z_g$ (screen)", "drug": "$Z_d$ (drug)"})
TARGETS = ("effect", "batch")
MARGIN = MappingProxyType({"effect": 3.0, "batch": 1.0})  # percentage points, of the plan: level lies within
ONE_BATCH_CCL, LONG_CCL = "ccl_one_batch", "ccl_one_batch_long"
ARM_NAMES = MappingProxyType(
    METHOD_NAMES | {ONE_BATCH_CCL: "one-batch CCL", LONG_CCL: "one-batch CCL, 2.8 times the steps"}
)
COMPARISONS = (
    ("infocore", "clip"),
    ("ccl", "clip"),
    ("infocore", "ccl"),
    ("infocore", ONE_BATCH_CCL),
    ("infocore", LONG_CCL),
)


class Difference(NamedTuple):
    """One arm minus another, paired by draw, in percentage points.

    Attributes:
        mean, low, high: of the difference, with its 95 % t-interval over draws.
        detectable: the true difference that such draws would tell from zero four times in five.
        margin: within which two arms count as level.
    """

    mean: float
    low: float
    high: float
    detectable: float
    margin: float

    @property
    def told_apart(self) -> bool:
        """The interval leaves out zero."""
        return self.low > 0 or self.high < 0

    @property
    def level(self) -> bool:
        """The interval lies within the margin."""
        return max(abs(self.low), abs(self.high)) < self.margin

    @property
    def word(self) -> str:
        """Such as "higher", "level" or "not told apart"."""
        if isnan(self.low):
            return "without an interval"
        found = outcome(self.low, self.high, margin=self.margin)
        return found + (", but within the margin" if self.told_apart and self.level else "")

    @property
    def verdict(self) -> str:
        """The word, and what would have been seen where nothing was."""
        return f"{self.word} (would see {self.detectable:.1f})" if self._open else self.word

    @property
    def numbers(self) -> str:
        """The difference with its interval, and what would have been seen where nothing was."""
        return f"{self}, would see {self.detectable:.1f}" if self._open else str(self)

    @property
    def _open(self) -> bool:
        return self.word == "not told apart"

    def __str__(self) -> str:
        if isnan(self.low):
            return signed(self.mean)
        return f"{signed(self.mean)} [{signed(self.low)}, {signed(self.high)}]"


def signed(value: float) -> str:
    """Such as "+3.0", with a true minus."""
    return f"{round(value, 1) + 0.0:+.1f}".replace("-", "\u2212")  # + 0.0: no negative zero


def summary(frame: pd.DataFrame) -> pd.DataFrame:
    """Mean accuracies in percent with the half-width of the 95 % t-interval over draws, by view and method."""
    grouped = frame.groupby(["view", "method"])[[*TARGETS]]
    mean, half = 100 * grouped.mean(), 100 * grouped.agg(half_width)
    return mean.join(half.add_suffix("_ci95")).assign(draws=grouped.size())


def shown(summed: pd.DataFrame) -> pd.DataFrame:
    """`summary` for readers: "80.5 ± 2.4", views and arms by their names."""
    text = {
        score: [f"{mean:.1f} ± {half:.1f}" for mean, half in zip(summed[score], summed[f"{score}_ci95"], strict=True)]
        for score in TARGETS
    }
    return pd.DataFrame(text | {"draws": summed["draws"]}, index=summed.index).rename(ARM_NAMES)


def best_arms(frame: pd.DataFrame) -> pd.DataFrame:
    """The marks of `shown`, within each view, from differences paired by draw; of the batch, less is better."""
    marks = {
        view: best.of_seeds(
            {s: part.pivot(index="draw", columns="method", values=s) for s in TARGETS}, lower=("batch",)
        )
        for view, part in frame.groupby("view")
    }
    return pd.concat(marks).rename(ARM_NAMES)


def difference(
    frame: pd.DataFrame, method: str, baseline: str, *, view: str = "screen", score: str = "effect"
) -> Difference:
    """``method`` minus ``baseline`` on the draws that both have; ``score`` in fractions, such as "purity_5"."""
    wide = (
        100 * frame[frame.view == view].pivot(index="draw", columns="method", values=score)[[method, baseline]].dropna()
    )
    ours, theirs = wide[method], wide[baseline]
    return Difference(*paired(ours, theirs), detectable(ours - theirs), MARGIN.get(score, 0.0))


def comparisons(frame: pd.DataFrame) -> pd.DataFrame:
    """``COMPARISONS`` as far as the frame holds both arms: differences as text, and the verdict on each.

    Returns:
        Rows (view, comparison); columns effect, effect verdict, batch, batch verdict, draws.
    """
    rows = {}
    for view, title in VIEWS.items():
        for pair in COMPARISONS:
            if set(pair) <= set(frame.method):
                found = {score: difference(frame, *pair, view=view, score=score) for score in TARGETS}
                row = {name: text for score in TARGETS for name, text in _cells(score, found[score]).items()}
                row["draws"] = min(frame[frame.method == method].draw.nunique() for method in pair)
                rows[title, " \u2212 ".join(ARM_NAMES[method] for method in pair)] = row
    index = pd.MultiIndex.from_tuples(rows, names=["view", "comparison"])
    return pd.DataFrame(list(rows.values()), index=index)


def _cells(score: str, found: Difference) -> dict[str, str]:
    return {score: str(found), f"{score} verdict": found.verdict}


def paper_accuracies() -> dict[str, dict[str, dict[str, float]]]:
    """Table 6 as printed: method -> "screen" | "drug" -> "effect" | "batch" accuracy in percent, one draw."""
    views = {"screen": "drug_screens", "drug": "drug_structure"}
    return {
        row["method"].lower(): {
            view: {target: row[key][target][0] for target in TARGETS} for view, key in views.items()
        }
        for row in paper_table("table6_simulation_linear_probe_accuracy")
    }


# ------------------------------------------------------------------ the stored studies


def stored_rows(study: str = "simulation") -> pd.DataFrame:
    """The scores of a stored study, "simulation" or "simulation_sweeps": columns of ``run`` and variant."""
    variants = stored(study).results["scores"]
    return pd.concat([pd.DataFrame(rows).assign(variant=name) for name, rows in variants.items()], ignore_index=True)


def stored_losses() -> pd.DataFrame:
    """The loss curves of the study "simulation": columns of ``studies.loss_curves`` and variant."""
    variants = stored("simulation").results["losses"]
    return pd.concat([pd.DataFrame(rows).assign(variant=name) for name, rows in variants.items()], ignore_index=True)


def arms(rows: pd.DataFrame, temperature: float = 1.0) -> pd.DataFrame:
    """The rows of all arms at a temperature, one-batch CCL under names of its own in ``method``.

    Args:
        rows: of ``stored_rows`` or ``stored_losses``.
        temperature: 0.1 or 1.0.
    """
    named = {
        variant(RANDOM, temperature): {},
        variant(ONE_BATCH, temperature): {"ccl": ONE_BATCH_CCL},
        variant(ONE_BATCH, temperature, longer=True): {"ccl": LONG_CCL},
    }
    return pd.concat(
        [of.assign(method=of.method.replace(to)) for name, to in named.items() if len(of := _of(rows, name))]
    )


def _of(rows: pd.DataFrame, name: str) -> pd.DataFrame:
    return rows[rows.variant == name]


def references(rows: pd.DataFrame, temperature: float, *, view: str = "screen") -> dict[str, float]:
    """Effect accuracy of CLIP and InfoCORE in percent, with random minibatches of 64 on the draws of ``compositions``."""
    of = _of(rows, variant(RANDOM, temperature))
    mean = of[(of.view == view) & of.draw.isin(NEGATIVES_DRAWS)].groupby("method").effect.mean()
    return {method: 100 * mean[method] for method in ("clip", "infocore")}


def small_minibatches(rows: pd.DataFrame) -> pd.DataFrame:
    """One-batch CCL and InfoCORE at the same rows and steps, on the draws of both."""
    one_batch = _of(rows, variant(ONE_BATCH, 1.0)).assign(method=ONE_BATCH_CCL)
    return pd.concat([one_batch, _of(rows, SMALL_MINIBATCH)]).loc[lambda found: found.draw.isin(NEGATIVES_DRAWS)]


def compositions(rows: pd.DataFrame) -> pd.DataFrame:
    """CCL by composition of its minibatches, on the same 20 draws.

    Returns:
        Rows of draw, view, effect and batch with composition, temperature, longer (2.8 times the steps), sampling
        ("random" or "one batch") and negatives, the mean number of own-batch negatives of an anchor.
    """
    found, negatives = [], _negatives()
    for composition in COMPOSITIONS:
        for temperature in TEMPERATURES:
            for longer in (False, True):
                of = _of(rows, variant(composition, temperature, longer=longer))
                keys = dict(composition=composition, temperature=temperature, longer=longer)
                keys |= {"sampling": composition.split(",")[0], "negatives": negatives[composition]}
                found.append(of[(of.method == "ccl") & of.draw.isin(NEGATIVES_DRAWS)].assign(**keys))
    return pd.concat(found, ignore_index=True)


def _negatives() -> dict[str, float]:
    draws = {draw: simulation_study(draw) for draw in NEGATIVES_DRAWS}
    return {
        name: sum(own_batch_negatives(study, config_of("ccl", draw, settings)) for draw, study in draws.items())
        / len(draws)
        for name, settings in COMPOSITIONS.items()
    }


def sweep(rows: pd.DataFrame, name: str) -> pd.DataFrame:
    """Rows of one choice of the sweeps over its values, in column ``name``; the default's rows on the same draws included."""
    default = {**GENERATOR, **SETTINGS}[name]
    of_variant = {f"{name}={value}": value for value in SWEEPS[name]} | {"default": default}
    chosen = rows.variant.isin(of_variant) & rows.draw.isin(SWEEP_DRAWS) & rows.method.isin(swept_methods(name))
    return rows[chosen].assign(**{name: rows.variant.map(of_variant)})
