"""A screen of random numbers and embeddings of it, small enough to score by a loop."""

from __future__ import annotations

import numpy as np

from infocore_mini.screens import PairedScreen


def toy_screen(seed=0, n_molecules=60, n_batches=3, cell_lines=("A549", "PC3"), replicates=2):
    """Each molecule in each cell line with a probability of 0.8, every replicate in a batch of its own draw."""
    rng = np.random.default_rng(seed)
    smiles = ["C" * (1 + i) for i in range(n_molecules)]
    rows = [
        (molecule, line, int(rng.integers(n_batches)))
        for molecule in smiles
        for line in cell_lines
        if rng.random() < 0.8 or line == cell_lines[0]
        for _ in range(replicates)
    ]
    columns = dict(zip(("smiles", "cell_line", "batch"), zip(*rows, strict=True), strict=True))
    return PairedScreen.from_profiles(
        **columns, drug=lambda unique: rng.normal(size=(len(unique), 4)), profile=rng.normal(size=(len(rows), 6))
    )


def toy_embeddings(screen, seed=0, noise=1.0, d=6):
    """One direction for each molecule and a noisy copy for each condition."""
    rng = np.random.default_rng(seed)
    z_drug = rng.normal(size=(len(screen.drug), d))[screen.drug_id.numpy()]
    return z_drug + noise * rng.normal(size=z_drug.shape), z_drug
