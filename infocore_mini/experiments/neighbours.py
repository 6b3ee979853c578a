"""Whom the nearest neighbours of readouts come from, before and after corrections: a diagnosis that chapters share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from infocore_mini.correct import Correction
from infocore_mini.evaluate.mixing import same_label_neighbours
from infocore_mini.screens import PairedScreen
from infocore_mini.sources import DataUnavailable

OWN_BATCH, SAME_DRUG = "own batch", "same drug in another batch"


def neighbours(z: NDArray, screen: PairedScreen) -> dict[str, float]:
    """Whom the readouts' nearest neighbours come from, by cosine.

    Args:
        z: (n_conditions, d) embeddings, or mean profiles.
        screen: conditions that lie in one experimental batch each.

    Returns:
        "same_batch": share of conditions whose nearest neighbour of another molecule is of their own experimental
        batch, and "same_batch_permuted" under labels permuted within the cell line; "same_drug": share of conditions
        whose nearest neighbour in another experimental batch is the same molecule, of those that have one there, and
        "same_drug_chance", the expected share in a random order.
    """
    batch_id, molecule = screen.batch_id.numpy(), screen.drug_id.numpy()
    of_batch = same_label_neighbours(z, batch_id, other_than=molecule, strata=screen.cell_line.numpy())
    hit, chance = same_drug_elsewhere(z, molecule, batch_id)
    return {
        "same_batch": of_batch.rate,
        "same_batch_permuted": of_batch.chance,
        "same_drug": hit,
        "same_drug_chance": chance,
    }


def same_drug_elsewhere(z: np.ndarray, molecule: NDArray, batch_id: NDArray) -> tuple[float, float]:
    """(hit, chance): how often the nearest row of another experimental batch, by cosine, is the same molecule.

    Rows whose molecule is in no other batch are not counted.

    Args:
        z: (n, d), no row of zeros. molecule, batch_id: (n,) codes.

    Raises:
        ValueError: if no molecule is in two batches.
    """
    _, pair, count = np.unique(np.stack([molecule, batch_id]), axis=1, return_inverse=True, return_counts=True)
    elsewhere = np.bincount(molecule)[molecule] - count[pair.reshape(-1)]
    others = len(batch_id) - np.bincount(batch_id)[batch_id]
    counted = elsewhere > 0
    if not counted.any():
        raise ValueError("molecule: none is in two batches, expected some")
    found = same_label_neighbours(z, molecule, other_than=batch_id, n_permutations=1)
    return found.rate * found.n / int(counted.sum()), float((elsewhere[counted] / others[counted]).mean())


def by_correction(
    screen: PairedScreen, corrections: Mapping[str, Sequence[Correction]], *, strata: str | None = None
) -> pd.DataFrame:
    """Percent of the wells whose nearest neighbour shares a label, as they come and after corrections fitted on them.

    Args:
        screen: its wells, each of its experimental batch; control wells, if any, are looked at among themselves.
        corrections: name -> corrections, one after the other; () = as the wells come.
        strata: column of ``info``, of controls too, within which labels are permuted; None = the cell line.

    Returns:
        A row a correction; columns (wells, what): treated wells, whose neighbours are sought among other molecules, with
        `OWN_BATCH`, "permuted", and, where molecules are in several batches, `SAME_DRUG` and "chance"; control wells
        with `OWN_BATCH` and "permuted".
    """
    rows = {}
    for name, steps in corrections.items():
        corrected = screen
        for step in steps:
            corrected = step.fit_transform(corrected)
        rows[name] = _of_wells(corrected, strata)
    return 100 * pd.DataFrame.from_dict(rows, orient="index")


def of_real_screens(
    screens: Mapping[str, Callable[..., PairedScreen]],
    corrections: Mapping[str, Sequence[Correction]],
    *,
    strata: str | None = None,
) -> tuple[pd.DataFrame, str]:
    """`by_correction` of real screens, and a notice that says what is shown; an empty table where a file is not at hand.

    Args:
        screens: name -> reader, called with ``drug`` alone.
        corrections, strata: as in `by_correction`.

    Returns:
        Rows (screen, correction), and the notice.
    """
    try:
        read = {name: reader(drug=_without_features) for name, reader in screens.items()}
    except DataUnavailable:
        notice = f"NOT AT HAND: {' and '.join(screens)} (set INFOCORE_DATA). Nothing is shown in their place."
        return pd.DataFrame(), notice
    tables = {name: by_correction(screen, corrections, strata=strata) for name, screen in read.items()}
    notice = "**Real data.** " + "; ".join(f"{name}: {screen!r}" for name, screen in read.items())
    return pd.concat(tables, names=["screen", "correction"]), notice


def _without_features(smiles: Sequence[str]) -> NDArray[np.float32]:
    """Of molecules that are told apart and not described."""
    return np.zeros((len(smiles), 1), dtype=np.float32)


def _of_wells(screen: PairedScreen, strata: str | None) -> dict[tuple[str, str], float]:
    profile, batch = screen.profile.numpy(), screen.profile_batch.numpy()
    molecule = screen.drug_id[screen.condition].numpy()
    within = screen.info[strata] if strata else screen.cell_line[screen.condition].numpy()
    found = same_label_neighbours(profile, batch, other_than=molecule, strata=within)
    row = {("treated wells", OWN_BATCH): found.rate, ("treated wells", "permuted"): found.chance}
    if pd.DataFrame({"molecule": molecule, "batch": batch}).groupby("molecule")["batch"].nunique().max() > 1:
        hit, chance = same_drug_elsewhere(profile, molecule, batch)
        row |= {("treated wells", SAME_DRUG): hit, ("treated wells", "chance"): chance}
    if screen.controls is not None:
        wells = screen.controls
        within = wells.info[strata] if strata else wells.cell_line.numpy()
        found = same_label_neighbours(wells.profile.numpy(), wells.batch_id.numpy(), strata=within)
        row |= {("control wells", OWN_BATCH): found.rate, ("control wells", "permuted"): found.chance}
    return row
