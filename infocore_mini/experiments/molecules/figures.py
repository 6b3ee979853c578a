"""Figures of molecules: their substructures, their neighbours, and a map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rdkit import Chem
from rdkit.Chem import Mol
from rdkit.Chem.Draw import rdMolDraw2D
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from infocore_mini.experiments.style import CATEGORIES, figure, finish
from infocore_mini.featurize import substructures

_PIXELS = (260, 180)
_UNITS = {"Mol2vec": "cosine", "Morgan": "Tanimoto"}


def draw_molecule(ax: Axes, mol: Mol, atoms: Sequence[int] = (), bonds: Sequence[int] = ()) -> None:
    """Draw a molecule into an axes without ticks or frame, some of its atoms and bonds shaded."""
    drawing = rdMolDraw2D.MolDraw2DCairo(*_PIXELS)
    shade = (0.65, 0.8, 0.95)
    colours = {"highlightAtomColors": dict.fromkeys(atoms, shade), "highlightBondColors": dict.fromkeys(bonds, shade)}
    rdMolDraw2D.PrepareAndDrawMolecule(drawing, mol, highlightAtoms=list(atoms), highlightBonds=list(bonds), **colours)
    drawing.FinishDrawing()
    ax.imshow(plt.imread(BytesIO(drawing.GetDrawingText()), format="png"))
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)


def substructure_panels(smiles: str, *, n_columns: int = 5) -> Figure:
    """Every different substructure of a molecule, shaded where it first occurs, with its radius and number of times."""
    mol = Chem.MolFromSmiles(smiles)
    words = pd.DataFrame(substructures(mol), columns=["atom", "radius", "word"])
    kinds = words.groupby("word").agg(atom=("atom", "first"), radius=("radius", "first"), times=("atom", "size"))
    kinds = kinds.sort_values(["radius", "times", "atom"], ascending=[True, False, True])
    n_rows = -(-len(kinds) // n_columns)
    fig, axes = figure(n_rows, n_columns, panel=(1.7, 1.35), squeeze=False, dpi=80)
    for ax in axes.flat[len(kinds) :]:
        ax.set_axis_off()
    for ax, (word, kind) in zip(axes.flat, kinds.iterrows()):
        bonds = [bond.GetIdx() for bond in mol.GetAtomWithIdx(int(kind.atom)).GetBonds()] if kind.radius else []
        ends = {end for i in bonds for end in _ends(mol.GetBondWithIdx(i))} | {int(kind.atom)}
        draw_molecule(ax, mol, sorted(ends), bonds)
        ax.set_title(f"radius {kind.radius}, {kind.times} times", fontsize=8)
        ax.set_xlabel(str(word), fontsize=8)
    return finish(fig)


def _ends(bond) -> tuple[int, int]:
    return bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()


def neighbour_panels(found: pd.DataFrame, drugs: Mapping[str, str]) -> Figure:
    """Two rows for each drug: the drug, then its nearest molecules by Mol2vec (first row) and by Morgan (second).

    Args:
        found: rows as ``experiments.molecules.neighbours`` returns.
        drugs: name -> SMILES of each drug of `found`.
    """
    rows = list(found.groupby(["drug", "kind"], sort=False))
    rows.sort(key=lambda row: list(drugs).index(row[0][0]))  # stable: Mol2vec stays first
    fig, axes = figure(len(rows), 1 + found["rank"].max(), panel=(1.7, 1.42), squeeze=False, dpi=80)
    for ax in axes.flat:
        ax.set_axis_off()
    for line, ((drug, kind), nearest) in zip(axes, rows):
        _labelled(line[0], drugs[drug], f"{drug}, {kind}", bold=True)
        for ax, one in zip(line[1:], nearest.itertuples()):
            _labelled(ax, one.smiles, " ".join(filter(None, [one.name, f"{_UNITS[kind]} {one.similarity:.3f}"])))
    return finish(fig)


def _labelled(ax: Axes, smiles: str, label: str, *, bold: bool = False) -> None:
    ax.set_axis_on()
    draw_molecule(ax, Chem.MolFromSmiles(smiles))
    ax.set_xlabel(label, fontsize=8, labelpad=1, fontweight="bold" if bold else "normal")


def size_and_map(features: np.ndarray, heavy_atoms: np.ndarray, groups: Sequence[str], *, seed: int) -> Figure:
    """Left: the first two principal components, by size.  Right: a t-SNE of cosine distances, drug classes coloured.

    Args:
        features: (n, d) Mol2vec.
        heavy_atoms: (n,) number of atoms other than hydrogen.
        groups: (n,) class of each molecule, "" for one of the crowd.
    """
    fig, (left, right) = figure(1, 2, panel=(4.3, 3.6), dpi=80)
    components = PCA(2, random_state=seed).fit_transform(features)
    drawn = left.scatter(*components.T, c=heavy_atoms, s=5, cmap="viridis", linewidths=0)
    fig.colorbar(drawn, ax=left, label="heavy atoms")
    left.set(xlabel="first principal component", ylabel="second", xticks=[], yticks=[], title="size comes first")

    settings = dict(metric="cosine", init="random", perplexity=min(30, len(features) // 4), random_state=seed)
    places, groups = TSNE(2, **settings).fit_transform(features), np.asarray(groups)
    crowd = groups == ""
    right.scatter(*places[crowd].T, s=3, color="0.85", linewidths=0)
    for name, colour, marker in zip(dict.fromkeys(groups[~crowd]), CATEGORIES, "osD^vP"):
        chosen = places[groups == name]
        right.scatter(*chosen.T, s=26, color=colour, marker=marker, edgecolor="white", linewidths=0.5, label=name)
    right.set(xlabel="t-SNE 1", ylabel="t-SNE 2", xticks=[], yticks=[], title="direction tells the class")
    fig.legend(fontsize=8, loc="outside lower right", ncols=6, frameon=False, handletextpad=0.1, columnspacing=1)
    return finish(fig)
