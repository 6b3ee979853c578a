"""Figures of retrieval: how often the true molecule is found, which molecules are found, and from which batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from rdkit import Chem
from rdkit.Chem.Draw import rdMolDraw2D

from infocore_mini.experiments.names import METHOD_ARMS, Arm
from infocore_mini.experiments.retrieval.molecules import Query
from infocore_mini.experiments.style import METHOD_COLOURS, NEUTRAL, figure, finish
from infocore_mini.experiments.touch import Touchable, touchable
from infocore_mini.screens import PairedScreen

LIBRARY_TITLES = {"whole": "library: all held-out molecules", "batch": "library: the query's batch"}
_MOLECULE_PIXELS = (230, 160)


def accuracies(
    tables: Mapping[str, pd.DataFrame], paper: pd.Series | None = None, *, arms: Mapping[str, Arm] = METHOD_ARMS
) -> Figure:
    """Top-k accuracy of each method with its 95 % interval, whole and batch library side by side.

    Args:
        tables: arm -> rows of one cell line (or of "mean") with library, top, accuracy, low, high, chance as fractions, from ``screen_retrieval`` (interval over molecules) or ``over_seeds`` (over seeds).
        paper: fractions by (method, library, top), as ``paper_accuracies`` returns; dashed. Chance is dotted.
        arms: the study's, by the names that ``tables`` has; one with a note is hollow.
    """
    fig, axes = figure(1, 2, panel=(3.8, 3.0))
    for ax, library in zip(axes, LIBRARY_TITLES):
        parts = {name: table[table["library"] == library] for name, table in tables.items()}
        top = next(iter(parts.values()))["top"].tolist()
        for place, (name, rows) in enumerate(parts.items()):
            arm = arms[name]
            x = np.arange(len(rows)) + 0.8 * ((place + 0.5) / len(parts) - 0.5)
            percent = 100 * rows[["accuracy", "low", "high", "chance"]].to_numpy()
            reach = np.abs(percent[:, 1:3] - percent[:, :1]).T
            face = {"mfc": "white"} if arm.note else {}
            look = {"fmt": "o", "ms": 5, "capsize": 3, "color": METHOD_COLOURS.get(arm.method, NEUTRAL)} | face
            ax.errorbar(x, percent[:, 0], reach, label=arm.label, **look)
            ax.hlines(percent[:, 3], x - 0.12, x + 0.12, colors=NEUTRAL, linestyles=":", lw=1.2)
            for at, k in zip(x, rows["top"], strict=True):
                if paper is not None and (name, library, k) in paper.index:
                    ax.hlines(100 * paper[name, library, k], at - 0.12, at + 0.12, colors=NEUTRAL, linestyles="--")
        ax.set_xticks(range(len(top)), [f"top {k}" for k in top])
        ax.set(title=LIBRARY_TITLES[library], ylim=(0, None))
    axes[0].set_ylabel("true molecule found (%)")
    axes[0].plot([], [], color=NEUTRAL, ls=":", label="chance")
    if paper is not None:
        axes[0].plot([], [], color=NEUTRAL, ls="--", label="paper")
    fig.legend(*axes[0].get_legend_handles_labels(), fontsize=8, loc="outside right upper", frameon=False)
    return finish(fig)


def browser(queries: Sequence[Query], arms: Mapping[str, Arm] = METHOD_ARMS) -> Touchable:
    """The queries as frames to step through: the true molecule, and below it what each arm puts first.

    The true molecule is framed wherever it stands; below each answer its cosine and its experimental batch, "same batch"
    where that is the query's.

    Raises:
        ValueError: on SMILES that RDKit cannot read.
    """
    labels = [str(number) for number in range(1, len(queries) + 1)]
    drawn = {label: _answers(query, arms) for label, query in zip(labels, queries)}
    words = {label: f"Query {label}. {_in_words(query, arms)}" for label, query in zip(labels, queries)}
    return touchable("retrieval-browser", "query", drawn, words)


def _answers(query: Query, arms: Mapping[str, Arm]) -> Figure:
    shown = len(next(iter(query.answers.values())).smiles)
    fig, axes = figure(1 + shown, len(query.answers), squeeze=False, panel=(1.8, 1.15))
    _molecule(axes[0, 0], query.true, framed=True)
    axes[0, 0].set_title("true molecule", fontsize=9)
    facts = [f"batch: {query.batch}", f"its place among {query.n_library:,}:"]
    facts += [f"{arms[arm].label}: {answer.place:,}" for arm, answer in query.answers.items()]
    axes[0, 1].text(0, 0.5, "\n".join(facts), va="center", fontsize=9, transform=axes[0, 1].transAxes)
    for ax in axes[0, 1:]:
        ax.set_axis_off()
    for column, (arm, answer) in zip(axes[1:].T, query.answers.items()):
        column[0].set_title(arms[arm].label, fontsize=10, fontweight="bold")
        for ax, smiles, cosine, batch in zip(column, answer.smiles, answer.cosine, answer.batch, strict=True):
            _molecule(ax, smiles, framed=smiles == query.true)
            place = "same batch" if batch == query.batch else batch
            ax.set_xlabel(f"cosine {cosine:.2f}, {place}", fontsize=8, labelpad=2)
            ax.xaxis.label.set_fontweight("bold" if batch == query.batch else "normal")
    return finish(fig)


def _in_words(query: Query, arms: Mapping[str, Arm]) -> str:
    said = [
        f"{arms[arm].label} has the true molecule at place {answer.place:,} of {query.n_library:,}; of the first "
        f"{len(answer.batch)}, with cosines from {max(answer.cosine):.2f} to {min(answer.cosine):.2f}, "
        f"{sum(batch == query.batch for batch in answer.batch)} are of the query's batch."
        for arm, answer in query.answers.items()
    ]
    return " ".join(said)


def same_batch_histogram(
    shares: Mapping[str, pd.DataFrame], *, top: int = 10, arms: Mapping[str, Arm] = METHOD_ARMS
) -> Figure:
    """Share of the first ``top`` retrieved molecules from the query's own batch: queries by share, each arm a panel.

    shares: arm -> table of ``same_batch_share``; arms: the study's. Solid: mean share; dotted: mean expected under a random order.
    Raises ValueError if a table has no rows of ``top``.
    """
    fig, axes = figure(1, len(shares), sharex=True, sharey=True, squeeze=False, panel=(2.6, 2.4))
    bins = (np.arange(top + 2) - 0.5) / top * 100
    for ax, (name, table) in zip(axes[0], shares.items(), strict=True):
        rows = table[table["top"] == top]
        if rows.empty:
            raise ValueError(f"top: got {top}, expected one of {sorted(table['top'].unique())} as in shares")
        percent, colour = 100 * rows["share"], METHOD_COLOURS.get(arms[name].method, NEUTRAL)
        ax.hist(percent, bins=bins, weights=np.full(len(rows), 100 / len(rows)), color=colour, alpha=0.6)
        ax.axvline(percent.mean(), color=colour, lw=1.6)
        ax.axvline(100 * rows["expected"].mean(), color=NEUTRAL, lw=1.4, ls=":")
        ax.set(title=arms[name].label, xlabel=f"from the query's batch\n(% of the first {top})")
    axes[0, 0].set_ylabel("queries (%)")
    names = {"mean": "-", "expected under a random order": ":"}
    handles = [Line2D([], [], color=NEUTRAL, ls=style) for style in names.values()]
    fig.legend(handles, list(names), fontsize=8, loc="outside upper center", ncols=2, frameon=False)
    return finish(fig)


def measured_by_campaign(screen: PairedScreen, title: str) -> Figure:
    """Which readouts were measured (dark) of which profiles, sorted by experimental batch, the largest first.

    Readouts that were measured on much the same batches stand side by side. Only the six largest batches are named.
    """
    order = screen.profile_batch.argsort(stable=True)
    measured, label = ~screen.profile[order].isnan().numpy(), screen.profile_batch[order].numpy()
    count = np.bincount(label, minlength=screen.n_batches)
    largest_first = np.argsort(np.argsort(-count, kind="stable"))[label].argsort(kind="stable")
    measured, label = measured[largest_first], label[largest_first]
    codes, start = np.unique(label, return_index=True)
    codes, start = codes[start.argsort()], np.sort(start)
    share = np.array([measured[label == code].mean(axis=0) for code in codes])
    columns = np.lexsort(share.round(1)[::-1])[::-1]
    fig, ax = figure(panel=(6.4, 4.2))
    ax.imshow(measured[:, columns], aspect="auto", cmap="Greys", vmin=0, vmax=1.4, interpolation="antialiased")
    for edge in start[1:]:
        ax.axhline(edge, color=METHOD_COLOURS["infocore"], lw=0.6)
    middle = (start + np.append(start[1:], len(label)))[:6] / 2
    ax.set_yticks(middle, [f"{screen.batch_names[code]} ({count[code]:,})" for code in codes[:6]], fontsize=8)
    ax.set(title=title, xlabel=f"{measured.shape[1]:,} readouts", xticks=[])
    return finish(fig)


def _molecule(ax: Axes, smiles: str, *, framed: bool) -> None:
    """Draw a molecule into an axes; a frame marks the true one."""
    molecule = Chem.MolFromSmiles(smiles)
    if molecule is None:
        raise ValueError(f"queries: got {smiles!r}, expected SMILES that RDKit can read")
    drawing = rdMolDraw2D.MolDraw2DCairo(*_MOLECULE_PIXELS)
    rdMolDraw2D.PrepareAndDrawMolecule(drawing, molecule)
    drawing.FinishDrawing()
    ax.imshow(plt.imread(BytesIO(drawing.GetDrawingText()), format="png"))
    ax.set(xticks=[], yticks=[])
    for spine in ax.spines.values():
        spine.set(visible=framed, color=NEUTRAL, linewidth=2)
