"""Centring: what all profiles of an experimental batch have in common is taken away."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from infocore_mini.correct.base import Correction
from infocore_mini.screens import PairedScreen


class BatchCentring(Correction):
    """Subtracts from every profile the mean over the profiles of its experimental batch, feature by feature.

    The means are those of the screen given to ``fit``, such as the training molecules, so that held-out molecules of
    the same batches are corrected without having been looked at. What the molecules of a batch have in common goes
    with the batch effect: where batches hold one class of molecules, so does part of the biology. A batch that ``fit``
    did not see cannot be corrected; fit on its own profiles, which need no labels of molecules (see `PlateCentring`).
    """

    inductive = False

    mean_: Tensor  # (n_B, n_g); NaN where the batch has no profile, or none was measured

    def _fit(self, screen: PairedScreen) -> None:
        measured = (~screen.profile.isnan()).double()
        total, count = (
            torch.zeros(screen.n_batches, screen.profile.shape[1], dtype=torch.float64).index_add_(
                0, screen.profile_batch, x
            )
            for x in (screen.profile.nan_to_num(0.0).double(), measured)
        )
        self.mean_, self.batch_names_ = (total / count).float(), screen.batch_names

    def _transform(self, screen: PairedScreen) -> PairedScreen:
        if screen.batch_names != self.batch_names_:
            raise ValueError("screen: got other batch_names than fit, expected a part of the same screen")
        unseen = self.mean_[screen.profile_batch].isnan().all(1)
        if bool(unseen.any()):
            name = screen.batch_names[int(screen.profile_batch[unseen][0])]
            raise ValueError(f"screen: got experimental batch {name!r}, expected those that fit has seen")
        controls = screen.controls
        if controls is not None:
            controls = replace(controls, profile=controls.profile - self.mean_[controls.batch_id].nan_to_num(0.0))
        return replace(screen, profile=screen.profile - self.mean_[screen.profile_batch], controls=controls)
