"""Figures of the derivation: bounds against the truth they must not exceed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from infocore_mini.evaluate.seeds import t_interval
from infocore_mini.experiments.style import CATEGORIES, METHOD_COLOURS, NEUTRAL, figure, finish

_MARKERS = "osD^v"


def bound_gaps(gaps: Mapping[str, Sequence[float]]) -> Figure:
    """Histograms of bound minus truth (nats), one panel for each named bound; the forbidden side is shaded."""
    fig, axes = figure(1, len(gaps), squeeze=False)
    for ax, (name, values), colour in zip(axes[0], gaps.items(), CATEGORIES, strict=False):
        values = np.asarray(values)
        low = float(np.quantile(values, 0.05))
        ax.hist(values.clip(low), bins=30, color=colour, alpha=0.85)
        ax.axvspan(0, 0.1 * abs(low), color=NEUTRAL, alpha=0.18, lw=0)
        ax.axvline(0, color=NEUTRAL, lw=1.2)
        ax.set(title=name, xlabel="bound − truth (nats)", ylabel="random cases")
    return finish(fig)


def estimator_spread(truth: Sequence[float], estimates: Mapping[str, np.ndarray], ceiling: float) -> Figure:
    """Against the truth: estimates, their standard deviation, their root mean squared error.

    Args:
        truth: (t,) nats.
        estimates: name -> (t, repeats) estimates.
        ceiling: the value that the multi-sample estimate cannot pass, nats.
    """
    fig, (left, middle, right) = figure(1, 3, panel=(3.2, 3.0))
    truth = np.asarray(truth)
    left.plot(truth, truth, color=NEUTRAL, ls="--", lw=1.2, label="truth")
    left.axhline(ceiling, color=NEUTRAL, ls=":", lw=1.2)
    left.annotate("ceiling of proposition 2", (truth[0], ceiling), (0, 3), textcoords="offset points", fontsize=8)
    for (name, values), colour, marker, shift in zip(
        estimates.items(), CATEGORIES, _MARKERS, (-0.05, 0.05), strict=False
    ):
        spread = values.std(axis=1, ddof=1)
        left.errorbar(
            truth + shift, values.mean(axis=1), spread, color=colour, marker=marker, ms=4, lw=1.2, capsize=2, label=name
        )
        middle.plot(truth, spread, color=colour, marker=marker, ms=4, lw=1.2, label=name)
        error = np.sqrt(((values - truth[:, None]) ** 2).mean(axis=1))
        right.plot(truth, error, color=colour, marker=marker, ms=4, lw=1.2, label=name)
    left.set(xlabel=r"true $I(Z_d; Z_g \mid X_b)$ (nats)", ylabel="estimate ± 1 s.d. (nats)")
    left.legend(loc="lower right", fontsize=8, frameon=False)
    for ax, label in ((middle, "s.d. between minibatches (nats)"), (right, "root mean squared error (nats)")):
        ax.set(xlabel=r"true $I(Z_d; Z_g \mid X_b)$ (nats)", ylabel=label, yscale="log")
    low, high = zip(middle.get_ylim(), right.get_ylim(), strict=True)
    for ax in (middle, right):
        ax.set_ylim(min(low), max(high))
    return finish(fig)


def critics_in_training(scores: pd.DataFrame) -> Figure:
    """Score of the critics that each bound trains, and the signal to noise of its gradient, against the step.

    Args:
        scores: rows truth, bound, seed, step, "score" (nats), "signal to noise", as ``report.final_scores``.
    """
    truths = scores["truth"].unique()
    fig, axes = figure(2, len(truths), panel=(2.7, 2.4), squeeze=False, sharex=True)
    for column, truth in zip(axes.T, truths, strict=True):
        part = scores[scores["truth"] == truth]
        column[0].axhline(truth, color=NEUTRAL, ls="--", lw=1.2)
        for (bound, rows), colour, marker in zip(part.groupby("bound"), CATEGORIES, _MARKERS, strict=False):
            for ax, name in zip(column, ("score", "signal to noise"), strict=True):
                mean, low, high = t_interval(rows.pivot(index="step", columns="seed", values=name))
                look = dict(color=colour, marker=marker, ms=4, lw=1.2, capsize=2, label=bound)
                ax.errorbar(rows["step"].unique() + 5, mean, [mean - low, high - mean], **look)
        column[0].set(title=f"truth {truth:.1f} nats", ylim=(-1, max(truths) + 0.3), xscale="log")
        column[1].set(xlabel="minibatches + 5", yscale="log")
    axes[0, 0].set_ylabel("score (nats)")
    axes[1, 0].set_ylabel("signal to noise of the gradient")
    axes[0, 0].legend(fontsize=7, loc="upper left")
    return finish(fig)


def saturation(
    candidates: Sequence[int],
    stated: Mapping[str, Sequence[float]],
    practical: Mapping[str, Sequence[float]],
    *,
    truth: float,
    unconditional: float,
    ceiling: Sequence[float],
) -> Figure:
    """Bound against the number of candidates K: left at the stated optimum, right with the posteriors one can train.

    Args:
        candidates: (k,) values of K.
        stated, practical: curve name -> (k,) nats.
        truth, unconditional: I(Z_d; Z_g | X_b) and I(Z_d; Z_g), nats.
        ceiling: (k,) log K minus the batch information.
    """
    fig, axes = figure(1, 2, panel=(3.7, 3.2), sharey=True)
    for ax, curves, title in zip(
        axes, (stated, practical), ("stated optimum", "mixed posteriors, without C"), strict=True
    ):
        ax.axhline(truth, color=NEUTRAL, ls="--", lw=1.2, label=r"truth $I(Z_d; Z_g \mid X_b)$")
        ax.axhline(unconditional, color=METHOD_COLOURS["clip"], ls="--", lw=1.2, label=r"$I(Z_d; Z_g)$, CLIP's target")
        for (name, values), colour, marker in zip(
            curves.items(), (METHOD_COLOURS["infocore"], *CATEGORIES[3:]), _MARKERS, strict=False
        ):
            ax.plot(candidates, values, color=colour, marker=marker, ms=4, lw=1.2, label=name)
        ax.set(xscale="log", xlabel="candidates K", title=title)
        ax.set_xticks(candidates, [str(k) for k in candidates])
        ax.minorticks_off()
    axes[0].plot(candidates, ceiling, color=NEUTRAL, ls=":", lw=1.2, label="ceiling")
    values = [*np.concatenate(list(stated.values())), *np.concatenate(list(practical.values()))]
    axes[0].set(ylabel="nats", ylim=(min(values) - 0.05, max(truth, unconditional) + 0.08))
    for ax in axes:
        ax.legend(fontsize=7, loc="lower right", frameon=False)
    return finish(fig)


def correction_terms(values: Mapping[str, Sequence[float]]) -> Figure:
    """C (nats) of every random case, one row for each named family of posteriors; C < 0 is shaded."""
    fig, ax = figure(panel=(6.0, 0.7 + 0.5 * len(values)))
    jitter = np.random.default_rng(0)  # moves points up and down only
    for row, ((name, series), colour) in enumerate(zip(values.items(), CATEGORIES, strict=False)):
        height = row + jitter.uniform(-0.3, 0.3, len(series))
        ax.plot(series, height, ".", ms=3, alpha=0.5, color=colour, label=name)
    ax.axvline(0, color=NEUTRAL, lw=1.2)
    left = ax.get_xlim()[0]
    ax.axvspan(left, 0, color=NEUTRAL, alpha=0.15, lw=0)
    ax.set(xlabel="C (nats)", xlim=(left, None))
    ax.set_yticks(range(len(values)), list(values))
    ax.invert_yaxis()
    return finish(fig)
