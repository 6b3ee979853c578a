"""The last rung of the ladder: boosted trees, which see differences of any shape, such as in variance alone."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier

from infocore_mini.confounding.checks import Geometry, balanced_accuracy
from infocore_mini.confounding.exchange import Exchange

TRAINED_ON = 2_000  # rows, at most
COMPONENTS = 32  # principal components of largest variance
VALUES = 50  # more values than that are not told apart by trees
SETTINGS = dict(max_iter=20, max_leaf_nodes=8, min_samples_leaf=10, learning_rate=0.2, early_stopping=False)


def boosted_trees(
    geometry: Geometry,
    exchanges: Mapping[str, Exchange],
    molecule: NDArray[np.int64] | None,
    n_permutations: int,
    seed: int,
) -> dict[str, NDArray[np.float64]]:
    """Balanced accuracy of boosted trees on rows that they were not trained on, and under permuted labels of these rows.

    Trees are trained once, on half of the molecules. Given them, the other half is exchangeable as all rows are, so that
    permuting its labels alone is exact, and as many permutations can be had as for the other checks.

    Args:
        geometry: of n rows.
        exchanges: nuisance -> which rows may exchange it. Left out are those of more than `VALUES` values, or of one in
            the trained half.
        molecule: (n,) codes, or None.
        n_permutations: beside the observed labels.
        seed: of the halves, the trees and the permutations.

    Returns:
        nuisance -> (1 + n_permutations,), the observed value first.
    """
    rng, n = np.random.default_rng(seed), len(geometry.white)
    group = np.arange(n) if molecule is None else molecule
    half = (rng.permutation(int(group.max()) + 1) % 2)[group]
    trained, scored = (np.sort(rng.permutation(np.flatnonzero(half == side))) for side in (0, 1))
    trained = np.sort(rng.permutation(trained)[:TRAINED_ON])
    features = geometry.white[:, :COMPONENTS].numpy()
    found = {}
    for name, exchange in exchanges.items():
        code, among = exchange.code, exchange.of(scored)
        n_values = int(code.max()) + 1
        if n_values > VALUES or len(np.unique(code[trained])) < 2 or among.n_movable < 2:
            continue
        trees = HistGradientBoostingClassifier(**SETTINGS, random_state=seed).fit(features[trained], code[trained])
        guess = torch.from_numpy(trees.predict(features[scored]))
        scores = [balanced_accuracy(guess[None], torch.from_numpy(code[scored])[None], n_values)]
        for _ in range(n_permutations):
            labels = torch.from_numpy(among.permuted(1, rng))
            scores.append(balanced_accuracy(guess[None], labels, n_values))
        found[name] = torch.cat(scores).double().numpy()
    return found
