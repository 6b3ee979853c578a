"""Figures of the simulation chapter. All of them show simulated data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from infocore_mini.evaluate.seeds import half_width
from infocore_mini.experiments.names import METHOD_NAMES
from infocore_mini.experiments.simulation.report import ARM_NAMES, LONG_CCL, ONE_BATCH_CCL, VIEWS
from infocore_mini.experiments.style import CATEGORIES, METHOD_COLOURS, NEUTRAL, figure, finish
from infocore_mini.experiments.touch import Touchable, touchable

RING = 160  # points of a panel of `embedding_rings`

_TARGETS = {"effect": "effect accuracy (%)", "batch": "batch accuracy (%)"}
_CHANCE = {"effect": 20.0, "batch": 4.0}
_COLOURS = METHOD_COLOURS | {ONE_BATCH_CCL: CATEGORIES[4], LONG_CCL: CATEGORIES[3]}


def embedding_rings(by_stage: Mapping[str, Mapping[str, np.ndarray]], effect, batch_id, *, first: str) -> Touchable:
    """Where methods put held-out samples on the unit circle, coloured by effect and by batch; a frame a stage.

    Args:
        by_stage: stage -> method -> (n, 2) unit-norm embeddings. `RING` of them are drawn, spread outwards at random so
            that they do not hide one another: only the angle carries information.
        effect, batch_id: (n,) codes.
        first: the stage to begin with.
    """
    code = {"effect": np.asarray(effect), "batch": np.asarray(batch_id)}
    figures = {stage: _rings(embeddings, code) for stage, embeddings in by_stage.items()}
    words = {stage: f"{stage}. {_rings_in_words(embeddings, code)}" for stage, embeddings in by_stage.items()}
    return touchable("rings", "held-out", figures, words, first=first)


def _rings_in_words(embeddings: Mapping[str, np.ndarray], code: Mapping[str, np.ndarray]) -> str:
    """How often the nearest neighbour on the circle shares the effect, and the batch."""
    parts = []
    for method, z in embeddings.items():
        cosine = np.asarray(z) @ np.asarray(z).T
        np.fill_diagonal(cosine, -2)
        nearest = cosine.argmax(1)
        shares = (f"the {name} in {np.mean(labels == labels[nearest]):.0%}" for name, labels in code.items())
        parts.append(f"{METHOD_NAMES[method]}: the nearest neighbour shares {' and '.join(shares)}")
    return "; ".join(parts) + "."


def _rings(embeddings: Mapping[str, np.ndarray], code: Mapping[str, np.ndarray]) -> Figure:
    fig, axes = figure(2, len(embeddings), squeeze=False, panel=(2.2, 2.2))
    rng, n = np.random.default_rng(0), len(code["effect"])
    shown, spread = rng.permutation(n)[:RING], rng.uniform(0.75, 1.25, (n, 1))
    palettes = {"effect": CATEGORIES[: int(max(code["effect"])) + 1], "batch": "husl"}
    for row, (target, palette) in zip(axes, palettes.items()):
        for ax, (method, z) in zip(row, embeddings.items()):
            x, y = (spread * np.asarray(z))[shown].T
            look = dict(s=9, linewidth=0, antialiased=False)  # plain dots: half of the bytes
            sns.scatterplot(x=x, y=y, hue=code[target][shown], palette=palette, legend=False, ax=ax, **look)
            ax.set(xticks=[], yticks=[], xlabel="", ylabel="", aspect="equal", xlim=(-1.35, 1.35), ylim=(-1.35, 1.35))
            ax.set_title(METHOD_NAMES[method] if target == "effect" else "")
            sns.despine(ax=ax, left=True, bottom=True)
        row[0].set_ylabel(f"coloured by {target}")
    return finish(fig)


def accuracies(frame: pd.DataFrame, paper: Mapping[str, Mapping] | None = None) -> Figure:
    """Linear-probe accuracy of every draw, by method: effect (more is better) and batch (less is better).

    Args:
        frame: rows of ``run``, or of ``report.arms``.
        paper: method -> {"screen" | "drug": {"effect", "batch"}} in percent; dashed lines.
    """
    methods = list(frame.method.unique())
    fig, axes = figure(2, 2, sharey="row", panel=(3.5, 2.4))
    for row, target in zip(axes, _TARGETS):
        for ax, view in zip(row, VIEWS):
            rows = frame[frame.view == view]
            rows = rows.assign(percent=100 * rows[target])
            style = dict(
                data=rows,
                x="method",
                y="percent",
                hue="method",
                order=methods,
                palette=_COLOURS,
                legend=False,
                ax=ax,
            )
            sns.stripplot(**style, size=3, alpha=0.45, jitter=0.25, antialiased=False)  # half of the bytes
            sns.pointplot(**style, errorbar=("ci", 95), seed=0, markers="_", markersize=22, linestyle="none")
            ax.axhline(_CHANCE[target], color=NEUTRAL, linewidth=0.8, linestyle=":")
            for position, method in enumerate(methods if paper else ()):
                if method not in paper:
                    continue
                ax.hlines(
                    paper[method][view][target],
                    position - 0.4,
                    position + 0.4,
                    colors=NEUTRAL,
                    linestyles="--",
                    linewidth=1.2,
                )
            ax.set(xlabel="", ylabel=_TARGETS[target], title=VIEWS[view] if target == "effect" else "")
            labels = [ARM_NAMES[m].replace(", ", ",\n").replace("one-batch ", "one-batch\n") for m in methods]
            ax.set_xticks(range(len(methods)), labels, fontsize=8)
    return finish(fig)


def neighbourhoods(frame: pd.DataFrame, chance: pd.DataFrame, readable: Sequence[int]) -> Figure:
    """KNN purity and entropy of batch mixing over k, mean and 95 % interval over draws (Figures 3 and 4, right).

    Args:
        frame: rows of ``run``.
        chance: index k; columns purity and entropy (nats), dotted.
        readable: k at which purity can be read; the others are shaded.
    """
    fig, axes = figure(2, 2, panel=(3.6, 2.5))
    panels = [(view, metric) for view in VIEWS for metric in ("purity", "entropy")]
    names = {"purity": "KNN purity", "entropy": "batch entropy (nats)"}
    for ax, (view, metric) in zip(axes.flat, panels):
        columns = [c for c in frame.columns if c.startswith(metric)]
        rows = frame[frame.view == view].melt(["method", "draw"], columns, var_name="k")
        rows["k"] = rows.k.str.removeprefix(f"{metric}_").astype(int)
        sns.lineplot(rows, x="k", y="value", hue="method", palette=_COLOURS, marker="o", markersize=4,
                     errorbar=("ci", 95), seed=0, ax=ax, legend=ax is axes[0, 0])  # fmt: skip
        ax.plot(chance.index, chance[metric], color=NEUTRAL, linestyle=":", linewidth=1.2)
        if metric == "purity":
            ax.axvspan(
                (max(readable) + min(k for k in chance.index if k not in readable)) / 2, 21, color="0.92", zorder=0
            )
        ax.set(xlabel="neighbours k", ylabel=names[metric], title=VIEWS[view])
    _name_methods(axes[0, 0])
    return finish(fig)


def negatives(frame: pd.DataFrame, references: Mapping[float, Mapping[str, float]], *, view: str = "screen") -> Figure:
    """CCL's effect accuracy against own-batch negatives, a panel a temperature, by how minibatches are sampled.

    Args:
        frame: rows of ``report.compositions``; means with 95 % t-intervals over draws; open symbols: 2.8 times the steps.
        references: temperature -> method -> percent, dashed lines.
        view: "screen" or "drug".
    """
    temperatures = sorted(frame.temperature.unique())
    fig, axes = figure(1, len(temperatures), squeeze=False, sharey=True, panel=(2.9, 2.8))
    for ax, temperature in zip(axes[0], temperatures):
        rows = frame[(frame.view == view) & (frame.temperature == temperature)]
        for (sampling, longer), of in rows.groupby(["sampling", "longer"]):
            points = of.groupby("negatives").effect
            colour, marker = (CATEGORIES[2], "o") if sampling == "random" else (_COLOURS[ONE_BATCH_CCL], "s")
            label = sampling + (", 2.8 times the steps" if longer else "")
            ax.errorbar(points.mean().index, 100 * points.mean(), 100 * points.agg(half_width), color=colour, marker=marker,
                        markersize=5, markerfacecolor="white" if longer else None, label=label, capsize=2, linewidth=1)  # fmt: skip
        for method, percent in references.get(temperature, {}).items():
            ax.axhline(percent, color=METHOD_COLOURS[method], linestyle="--", linewidth=1, label=METHOD_NAMES[method])
        ax.set(xscale="log", xlabel="own-batch negatives", title=f"temperature {temperature:g}")
        ax.set_xticks([2.5, 5, 10, 25], ["2.5", "5", "10", "25"])
        ax.minorticks_off()
    axes[0, 0].set_ylabel("effect accuracy (%)")
    handles, labels = axes[0, 0].get_legend_handles_labels()  # the lowest temperature has every kind
    axes[0, -1].legend(handles, labels, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    return finish(fig)


def convergence(losses: pd.DataFrame) -> Figure:
    """Contrastive loss over epochs, a panel an arm: mean and one standard deviation over draws.

    Args:
        losses: ``report.arms`` of ``report.stored_losses``.
    """
    arms = list(losses.method.unique())
    fig, axes = figure(1, len(arms), squeeze=False, panel=(1.9, 2.0))
    for ax, arm in zip(axes[0], arms):
        curve = losses[losses.method == arm]
        low, high = curve.contrastive - curve.contrastive_sd, curve.contrastive + curve.contrastive_sd
        ax.fill_between(curve.epoch, low, high, color=_COLOURS[arm], alpha=0.2, linewidth=0)
        ax.plot(curve.epoch, curve.contrastive, color=_COLOURS[arm], marker="o", markersize=3)
        ax.set_title(ARM_NAMES[arm].replace(", ", ",\n"), fontsize=9)
        ax.set(xlabel="epoch")
    axes[0, 0].set_ylabel("contrastive loss (nats)")
    return finish(fig)


def sweeps(frames: Mapping[str, pd.DataFrame], *, view: str = "screen") -> Figure:
    """How the accuracies change with one choice at a time: mean and 95 % interval over draws.

    Args:
        frames: choice -> rows of ``run`` with a column of that name.
        view: "screen" or "drug".
    """
    fig, axes = figure(2, len(frames), squeeze=False, sharey="row", panel=(2.0, 1.8))
    for column, (name, frame) in zip(axes.T, frames.items()):
        rows = frame[frame.view == view]
        values = sorted(rows[name].unique())
        for ax, target in zip(column, _TARGETS):
            rows_percent = rows.assign(percent=100 * rows[target], position=rows[name].map(values.index))
            sns.lineplot(rows_percent, x="position", y="percent", hue="method", palette=METHOD_COLOURS, marker="o", markersize=4,
                         errorbar=("ci", 95), seed=0, ax=ax, legend=ax is axes[0, 0])  # fmt: skip
            ax.axhline(_CHANCE[target], color=NEUTRAL, linewidth=0.8, linestyle=":")
            ax.set(xlabel=name.replace("_", " ") if target == "batch" else "", ylabel=_TARGETS[target])
            ax.set_xticks(range(len(values)), values)
    _name_methods(axes[0, 0])
    return finish(fig)


def ceilings(frame: pd.DataFrame, *, low: float, high: float) -> Figure:
    """Supervised effect accuracy in two dimensions against the generator's noise.

    Args:
        frame: rows with noise, view and ceiling (a fraction).
        low, high: the band that the criterion accepts, in percent.
    """
    fig, ax = figure(panel=(4.2, 2.8))
    ax.axhspan(low, high, color="0.92", zorder=0)
    rows = frame.assign(percent=100 * frame.ceiling)
    sns.pointplot(rows, x="noise", y="percent", hue="view", palette=[CATEGORIES[4], CATEGORIES[7]], dodge=0.2, errorbar=("ci", 95),
                  seed=0, linestyle="none", markers="o", ax=ax)  # fmt: skip
    ax.set(xlabel="noise (standard deviation)", ylabel="supervised effect\naccuracy (%)", ylim=(50, 100))
    ax.legend(title=None)
    return finish(fig)


def _name_methods(ax) -> None:
    handles, labels = ax.get_legend_handles_labels()
    ax.legend(handles, [ARM_NAMES[label] for label in labels], title=None, fontsize=8)
