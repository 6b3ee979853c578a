"""Harmony (Korsunsky et al. 2019), as the package harmonypy has it (extra ``correct``; GPL-3)."""

from __future__ import annotations

import numpy as np

from infocore_mini.correct.base import Correction, controls, joined, labels, measured, treated, with_profiles
from infocore_mini.screens import PairedScreen


class Harmony(Correction):
    """Soft clusters that mix the experimental batches, and a linear correction of each batch in each cluster.

    Transductive: ``transform`` corrects the wells it is given, control wells included, by each other, and ``fit``
    learns nothing. To compare a training and a test screen, transform them as one screen and split it afterwards;
    say then that the correction has seen the profiles of the test (it never sees molecules).

    Args:
        by: what to mix: "batch", "plate" or a column of ``screen.info``.
        theta: how strongly clusters are made to mix.
        n_clusters: number of clusters; None = a 30th of the wells, at least 2 and at most 100.
        seed: of the start of the clusters.
    """

    inductive = False

    def __init__(self, by: str = "batch", *, theta: float = 2.0, n_clusters: int | None = None, seed: int = 0) -> None:
        self.by, self.theta, self.n_clusters, self.seed = by, theta, n_clusters, seed

    def _fit(self, screen: PairedScreen) -> None:
        labels(screen, self.by)

    def _transform(self, screen: PairedScreen) -> PairedScreen:
        from harmonypy import run_harmony

        code, control_code, names = labels(screen, self.by)
        if len(names) < 2:
            raise ValueError(f"screen: got one value of {self.by!r}, expected at least 2 for Harmony to mix")
        found, wells = controls(screen), treated(screen)
        x = measured(wells if found is None else joined(wells, found), "Harmony")
        n_clusters = self.n_clusters or int(np.clip(len(x) // 30, 2, 100))
        label = {"label": np.concatenate([code, control_code]).astype(str)}
        settings = dict(theta=self.theta, nclust=n_clusters, random_state=self.seed, verbose=False, ncores=1)
        corrected = np.asarray(run_harmony(x.T, label, "label", **settings).Z_corr)
        n = len(screen.profile)
        return with_profiles(screen, corrected[:n], None if found is None else corrected[n:])
