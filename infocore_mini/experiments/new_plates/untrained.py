"""What needs no contrast: dumb baselines first, then the readout as it is, or its principal components.

A molecule has no readout of its own until it is measured. It is given the mean of training molecules that resemble it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from infocore_mini.featurize import morgan
from infocore_mini.screens import PairedScreen

NEIGHBOURS = 5  # training molecules that stand for a molecule, by Tanimoto similarity, weighted by its square
COMPONENTS = 50
Views = tuple[NDArray[np.float64], NDArray[np.float64]]  # of the screen and of the drug, a row a condition


def tanimoto(a: NDArray, b: NDArray) -> NDArray[np.float64]:
    """(n, m) bits that both have over bits that one has, of (n, k) and (m, k) zeros and ones; 0 where none has any."""
    both = a @ b.T
    return both / (a.sum(1)[:, None] + b.sum(1) - both).clip(1)


def predicted(train: PairedScreen, test: PairedScreen, readout: NDArray) -> NDArray[np.float64]:
    """(n_conditions, d) readout that each test condition's molecule would have, by its structure alone.

    Args:
        train, test: screens.
        readout: (conditions of train, d).
    """
    count = np.bincount(train.drug_id, minlength=len(train.drug))[:, None]
    total = np.zeros((len(train.drug), readout.shape[1]))
    np.add.at(total, train.drug_id.numpy(), readout)
    similarity = tanimoto(morgan(test.smiles.tolist()), morgan(train.smiles.tolist()))
    nearest = np.argsort(-similarity, axis=1, kind="stable")[:, :NEIGHBOURS]
    weight = np.take_along_axis(similarity, nearest, 1) ** 2 + 1e-9
    profile = ((total / count)[nearest] * weight[:, :, None]).sum(1) / weight.sum(1, keepdims=True)
    return profile[test.drug_id.numpy()]


def readout(train: PairedScreen, test: PairedScreen) -> Views:
    """Mean profiles, in deviations from the mean condition of training."""
    centre = train.mean_profile().numpy().mean(0)
    of_train, of_test = train.mean_profile().numpy() - centre, test.mean_profile().numpy() - centre
    return of_test, predicted(train, test, of_train)


def components(train: PairedScreen, test: PairedScreen) -> Views:
    """Principal components of the readout, of unit variance, fitted on training."""
    profile = train.mean_profile().numpy()
    model = PCA(min(COMPONENTS, *profile.shape), whiten=True, random_state=0).fit(profile)
    return model.transform(test.mean_profile().numpy()), predicted(train, test, model.transform(profile))


def batch_mean(train: PairedScreen, test: PairedScreen) -> Views:
    """The mean profile of a condition's batch in its place: what the batch alone gives away."""
    of_test, of_drug = readout(train, test)
    batch_id = test.batch_id.numpy()
    total = np.zeros((test.n_batches, of_test.shape[1]))
    np.add.at(total, batch_id, of_test)
    return (total / np.bincount(batch_id, minlength=test.n_batches).clip(1)[:, None])[batch_id], of_drug


def cell_count(train: PairedScreen, test: PairedScreen) -> Views:
    """Log cell counts, as directions on a half circle, so that cosine falls with their difference.

    Raises:
        ValueError: if the screen has none.
    """
    of_train, of_test = (_log_count(part) for part in (train, test))
    low, high = of_train.min(), of_train.max()

    def direction(count: NDArray) -> NDArray[np.float64]:
        angle = np.pi * ((count - low) / max(high - low, 1e-9)).clip(0, 1)
        return np.stack([np.cos(angle), np.sin(angle)], 1)

    return direction(of_test), direction(predicted(train, test, of_train[:, None])[:, 0])


def _log_count(part: PairedScreen) -> NDArray[np.float64]:
    if "cell_count" not in part.info:
        raise ValueError("screen: got no column cell_count in info, which this baseline needs")
    total = np.bincount(part.condition, weights=np.log1p(part.info["cell_count"]))
    return total / part.n_replicates.numpy()


UNTRAINED: Mapping[str, Callable[[PairedScreen, PairedScreen], Views]] = MappingProxyType(
    {"none": readout, "pca": components, "batch_mean": batch_mean, "cell_count": cell_count}
)
