"""What the simulation study says, in sentences written by its numbers (Markdown).

The words keep to the plan: higher or lower where the 95 % interval leaves out zero, level where it lies within the
margin, else not told apart, with the difference that would have been seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from infocore_mini.experiments.names import listed
from infocore_mini.experiments.simulation import report
from infocore_mini.experiments.simulation.chance import entropy_by_chance, purity_by_chance
from infocore_mini.experiments.simulation.report import ARM_NAMES, LONG_CCL, ONE_BATCH_CCL, Difference
from infocore_mini.experiments.simulation.run import GENERATOR, NEIGHBOURS, SETTINGS, TUNING_DRAWS
from infocore_mini.simulate.study import simulation_study

_SYMBOLS = {"screen": "$Z_g$", "drug": "$Z_d$"}
READABLE = 0.5  # of the plan: purity is read where chance gives less


def on_both_views(frame: pd.DataFrame, ours: str, theirs: str, score: str) -> str:
    """Such as "**higher** on $Z_g$ (+3.0 [+1.0, +5.0]) and **level** on $Z_d$ (...)"; the verdict once where both agree."""
    found = {
        symbol: report.difference(frame, ours, theirs, view=view, score=score) for view, symbol in _SYMBOLS.items()
    }
    if len({each.word for each in found.values()}) == 1:
        numbers = ", ".join(f"{symbol} {each.numbers}" for symbol, each in found.items())
        return f"**{next(iter(found.values())).word}** on both views ({numbers})"
    return " and ".join(f"**{each.word}** on {symbol} ({each.numbers})" for symbol, each in found.items())


def methods(frame: pd.DataFrame) -> str:
    """A line for each of ``report.COMPARISONS`` that the frame holds; points are percentage points."""
    lines = []
    for ours, theirs in report.COMPARISONS:
        if {ours, theirs} <= set(frame.method):
            effect, batch = (on_both_views(frame, ours, theirs, score) for score in report.TARGETS)
            head = f"{ARM_NAMES[ours]} against {ARM_NAMES[theirs]}"
            lines.append(f"- *{head}*: effect accuracy is {effect}; batch accuracy is {batch}.")
    return "\n".join(lines)


def noise_rule(ceilings: pd.DataFrame, noise: float, *, low: float = 85, high: float = 95) -> str:
    """Which spread of the noise the rule picks: the largest whose mean ceiling lies from ``low`` to ``high`` percent."""
    mean = 100 * ceilings.groupby("noise").ceiling.mean()
    inside = mean[(mean >= low) & (mean <= high)]
    levels = ", ".join(f"{value:.0f} % at {level:g}" for level, value in mean.items())
    picked = f"takes $\\sigma = {inside.index.max():g}$" if len(inside) else "takes none of them"
    return f"The supervised encoder reaches {levels}. The rule {picked}; this page runs at $\\sigma = {noise:g}$."


def live(draws: Sequence[int], chosen: Mapping[str, Any]) -> str:
    """What was run live, how it differs from the stored study, and a warning where it meets the draws of the tuning."""
    default = {**GENERATOR, **SETTINGS}
    changed = {
        name: value for name, value in chosen.items() if name.lower() in default and value != default[name.lower()]
    }
    at = "at the settings of the stored study"
    if changed:
        at = "at changed settings: " + ", ".join(f"`{name} = {value}`" for name, value in changed.items())
    text = f"> Live: {len(draws)} draws from {draws[0]} on, {at}."
    if set(draws) & set(TUNING_DRAWS):
        text += " **Some of them are among the draws on which the settings were chosen; they prove nothing.**"
    return text


def neighbour_chance(draws: Iterable[int]) -> pd.DataFrame:
    """Purity and entropy by chance on the held-out halves of the draws: rows k, columns purity and entropy (nats)."""
    studies = [simulation_study(draw) for draw in draws]
    batch_ids = [study.batch_id[study.held_out] for study in studies]
    found = {
        "purity": np.mean([purity_by_chance(codes, k=NEIGHBOURS) for codes in batch_ids], axis=0),
        "entropy": np.mean([entropy_by_chance(codes, k=NEIGHBOURS) for codes in batch_ids], axis=0),
    }
    return pd.DataFrame(found, index=pd.Index(NEIGHBOURS, name="k"))


def readable(chance: pd.DataFrame) -> list[int]:
    """The numbers of neighbours at which purity can be read: chance is below ``READABLE``."""
    return chance.index[chance["purity"] < READABLE].tolist()


def neighbourhoods(frame: pd.DataFrame, chance: pd.DataFrame) -> str:
    """Figures 3 and 4 in sentences: InfoCORE against CLIP in purity and in entropy, beside what chance gives."""
    sizes, last = readable(chance), max(NEIGHBOURS)
    share = frame.assign(**{f"entropy_{k}": frame[f"entropy_{k}"] / chance.entropy[k] for k in NEIGHBOURS})
    lines = [
        f"Purity can be read at {listed([str(k) for k in sizes])} neighbours, where a random order gives {chance.purity[sizes[0]]:.2f} to "
        f"{chance.purity[sizes[-1]]:.2f}. At {last} it gives {chance.purity[last]:.2f}, since a held-out batch has about "
        "25 samples: nearly all are neighbours, and nothing is left to tell.\n"
    ]
    for view, symbol in _SYMBOLS.items():
        purity = {k: report.difference(frame, "infocore", "clip", view=view, score=f"purity_{k}") for k in sizes}
        entropy = {k: report.difference(share, "infocore", "clip", view=view, score=f"entropy_{k}") for k in NEIGHBOURS}
        reached = {method: _mean(share, method, view, f"entropy_{last}") for method in ("clip", "infocore")}
        above = {k: _mean(frame, "infocore", view, f"purity_{k}") - 100 * chance.purity[k] for k in (sizes[-1], last)}
        end = report.difference(frame, "infocore", "clip", view=view, score=f"purity_{last}")
        lines.append(
            f"- *{symbol}*, InfoCORE against CLIP: purity, in points, is {_by_size(purity)}; at {sizes[-1]} neighbours "
            f"InfoCORE is {above[sizes[-1]]:.1f} points above chance. At {last} neighbours it is {end.word} ({end}), and "
            f"{above[last]:.1f} points above chance. Entropy, in percent of what random neighbours have, is {_by_size(entropy)}; "
            f"at {last} neighbours CLIP reaches {reached['clip']:.0f} % and InfoCORE {reached['infocore']:.0f} %."
        )
    return "\n".join(lines)


def _mean(frame: pd.DataFrame, method: str, view: str, score: str) -> float:
    return 100 * frame[(frame.method == method) & (frame.view == view)][score].mean()


def _by_size(found: Mapping[int, Difference]) -> str:
    """Such as "**higher** (at 2: +1.0 [...]; 5: ...), **not told apart** (at 10: ...)"."""
    words = dict.fromkeys(each.word for each in found.values())
    numbers = {word: [f"{k}: {each.numbers}" for k, each in found.items() if each.word == word] for word in words}
    return ", ".join(f"**{word}** (at {'; '.join(numbers[word])})" for word in words)


def takeaway(rows: pd.DataFrame) -> str:
    """The comparison in two bullets."""
    warm, cold = report.arms(rows, 1.0), report.arms(rows, 0.1)
    lead = on_both_views(warm, "infocore", "clip", "effect")
    ccl = {arm: on_both_views(warm, "infocore", arm, "effect") for arm in ("ccl", ONE_BATCH_CCL)}
    return (
        f"- Against CLIP the claim of the paper {'stands' if stands(warm) else 'does not stand'} at temperature 1.0: "
        f"effect accuracy is {lead}. At 0.1 it {'stands' if stands(cold) else 'does not stand'}.\n"
        f"- Against CCL, at temperature 1.0 and equal steps, InfoCORE's effect accuracy is {ccl['ccl']} with CCL's random "
        f"minibatches and {ccl[ONE_BATCH_CCL]} with its one-batch minibatches; at 0.1 it is "
        f"{on_both_views(cold, 'infocore', 'ccl', 'effect')} with random ones."
    )


def fairness_of_budget(rows: pd.DataFrame) -> str:
    """InfoCORE on random minibatches of 25 rows against one-batch CCL of the same rows and steps."""
    frame = report.small_minibatches(rows)
    effect, batch = (on_both_views(frame, "infocore", ONE_BATCH_CCL, score) for score in report.TARGETS)
    return (
        f"With minibatches of 25 rows and as many steps as one-batch CCL, on {frame.draw.nunique()} draws, InfoCORE's "
        f"effect accuracy is {effect}; its batch accuracy is {batch}."
    )


def less_batch(frame: pd.DataFrame) -> str:
    """In how many draws InfoCORE holds less of the batch than CLIP, by view."""
    counts = []
    for view, symbol in _SYMBOLS.items():
        wide = frame[frame.view == view].pivot(index="draw", columns="method", values="batch")
        less = (wide["infocore"] < wide["clip"]).sum()
        counts.append(f"{less} of {len(wide)} draws on {symbol}")
    return " and ".join(counts)


def stands(frame: pd.DataFrame) -> bool:
    """The paper's claim against CLIP: on both views InfoCORE reads more effect and less batch, intervals without zero."""
    found = {
        (v, s): report.difference(frame, "infocore", "clip", view=v, score=s) for v in _SYMBOLS for s in report.TARGETS
    }
    return all(each.told_apart and (each.mean > 0) == (score == "effect") for (_, score), each in found.items())


def discussion(rows: pd.DataFrame) -> str:
    """The answers to question 1, at both temperatures, as two paragraphs."""
    warm, cold = report.arms(rows, 1.0), report.arms(rows, 0.1)

    def against(frame: pd.DataFrame, *baselines: str) -> str:
        effects = [f"against {ARM_NAMES[arm]} {on_both_views(frame, 'infocore', arm, 'effect')}" for arm in baselines]
        return "; ".join(effects)

    verdicts = [
        f"**{'stands' if stands(frame) else 'does not stand'}** at {at}" for at, frame in ((1.0, warm), (0.1, cold))
    ]
    return (
        f"**Against CLIP** the paper's claim, more effect and less batch on both views, {' and '.join(verdicts)} as the "
        f"temperature. At 1.0 InfoCORE holds less of the batch than CLIP in {less_batch(warm)}.\n\n"
        f"**Against CCL** the paper's claim is a lead in effect accuracy. At temperature 1.0 InfoCORE's is, "
        f"{against(warm, 'ccl', ONE_BATCH_CCL, LONG_CCL)}. At 0.1 it is, {against(cold, 'ccl', ONE_BATCH_CCL)}."
    )


def convergence(losses: pd.DataFrame) -> pd.DataFrame:
    """By variant and method: the last loss and the change between the last two kept epochs, in percent of the range."""
    rows = {}
    for key, curve in losses.groupby(["variant", "method"], sort=False):
        values = curve.contrastive.to_numpy()
        change = 100 * (values[-1] - values[-2]) / np.ptp(values)
        rows[key] = {"last loss (nats)": values[-1], "last change (% of range)": change, "flat": abs(change) < 1}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(["variant", "method"])


def flat(losses: pd.DataFrame) -> str:
    """Which curves are flat by the rule of the plan, and how far the others still moved."""
    table = convergence(losses)
    rest = table[~table["flat"]]["last change (% of range)"]
    text = f"{table['flat'].sum()} of {len(table)} curves are flat: between the last two kept epochs the mean loss changes by less than 1 % of its range."
    if len(rest):
        name, most = rest.abs().idxmax(), rest.abs().max()
        text += f" The others still moved, most {ARM_NAMES[name[1]]} at {name[0]} ({most:.1f} %)."
    return text


def leads(swept: pd.DataFrame) -> pd.DataFrame:
    """InfoCORE minus CLIP at each setting of the sweeps that both have, smallest lead in effect accuracy first."""
    found = _leads(swept)
    rows = {name: {"effect": str(each), "verdict": each.verdict} for name, each in found.items()}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("setting")


def _leads(swept: pd.DataFrame) -> dict[str, Difference]:
    both = {name: rows for name, rows in swept.groupby("variant") if {"clip", "infocore"} <= set(rows.method)}
    found = {name: report.difference(rows, "infocore", "clip") for name, rows in both.items()}
    return dict(sorted(found.items(), key=lambda item: item[1].mean))


def sweeps(swept: pd.DataFrame) -> str:
    """How firmly InfoCORE leads CLIP over the sweeps, and how far single choices move InfoCORE."""
    found = _leads(swept)
    apart = [name for name, each in found.items() if each.told_apart and each.mean > 0]
    left = [f"`{name}`" for name in found if name not in apart]
    ahead = sum(each.mean > 0 for each in found.values())

    def span(name: str, values: Sequence | None = None) -> str:
        rows = report.sweep(swept, name)
        rows = rows[(rows.view == "screen") & (rows.method == "infocore")]
        mean = 100 * rows.groupby(name).effect.mean()
        mean = mean if values is None else mean[list(values)]
        return f"{mean.min():.0f} to {mean.max():.0f} %"

    rest = f"; not at {listed(left)}" if left else ""
    return (
        f"InfoCORE's mean effect accuracy is above CLIP's at {ahead} of {len(found)} settings, and told apart at "
        f"{len(apart)}{rest}. Over the values tried it ranges over {span('noise')} with the noise, "
        f"{span('activation')} with the generator's activation, {span('generator_width')} with its width, "
        f"{span('temperature')} with the temperature and {span('learning_rate')} with the learning rate; of its own dials, "
        f"{span('alpha', (0.0, 0.09, 0.33))} for $\\alpha$ from 0 to 0.33 ({span('alpha')} up to 1), "
        f"{span('classifier_steps')} with the classifier steps and {span('gradient_scale')} with $\\lambda$."
    )


def reproduced(rows: pd.DataFrame, swept: pd.DataFrame) -> str:
    """How far the default's runs in the two stored studies, made on two machines, differ from each other."""
    keys = ["method", "draw", "view"]
    new, old = (of[of.variant == "default"].set_index(keys).effect for of in (rows, swept))
    moved = 100 * (new - old).dropna()
    most = moved.abs().groupby("method").max()
    same = [ARM_NAMES[method] for method in most.index if most[method] < 0.01]
    rest = [
        f"{ARM_NAMES[method]}'s single draws move by up to {most[method]:.1f} points, its mean by {report.signed(moved[method].mean())}"
        for method in most.index
        if most[method] >= 0.01
    ]
    parts = ([f"{listed(same)} come out equal"] if same else []) + rest
    return f"The default was run in both studies, on two machines. On the draws of both, {'; '.join(parts)}."
