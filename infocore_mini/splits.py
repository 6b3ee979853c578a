"""Splits of a screen for the question asked of it: new molecules, new scaffolds, new experimental batches, or both."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from infocore_mini.screens import PairedScreen, Split

OF_MOLECULES = ("molecule", "scaffold")
TRAIN, VALIDATION, TEST = range(3)
_NAMES = ("train", "validation", "test")


class ScreenSplit(Split):
    """Train, validation and test screens, with an account of them.

    Attributes:
        report: one row for each part and one for what was dropped; columns profiles, conditions, molecules, batches,
            and how many of its molecules (by group) and experimental batches training has too.
        dropped: columns reason, profiles: what lies in no part, because its molecule belongs to one part and its
            experimental batch to another.
    """

    report: pd.DataFrame
    dropped: pd.DataFrame


def split(
    screen: PairedScreen,
    by: str | Sequence[str] = "molecule",
    *,
    seed: int,
    held_out: float = 0.2,
    validation: float = 0.16,
    validation_by: str | Sequence[str] | None = None,
    groups: ArrayLike | None = None,
    together: ArrayLike | None = None,
) -> ScreenSplit:
    """Train, validation and test screens that share nothing of what they are split by.

    By several things at once, ``by=("molecule", "batch")``, is the double hold-out: test profiles are of held-out
    molecules on held-out batches, training profiles of other molecules on other batches; what is neither is dropped.
    To drop little, batches are drawn first, and of the molecules those are held out that lie most on them; where all
    molecules lie on all batches, that is at random.

    Args:
        screen: what to split.
        by: "molecule"; "scaffold" (Murcko's, of the parents); "batch"; "plate" (the experimental batch where the
            screen has no such column); "cell_line"; a column of ``screen.info``; or several of these.
        seed: of the draw.
        held_out: share that goes to test: of the molecules, or of the profiles for what is no molecule's. A group that
            is too large for the room left goes to training.
        validation: share that goes to validation.
        validation_by: those of ``by`` in which validation differs from training, too; None = all. "molecule" takes
            it from the experimental batches of training.
        groups: (n_drugs,) labels of molecules that stay together; None = ``identity.molecule_groups(screen)``: salts,
            tautomers and stereoisomers. Only asked for where molecules are split.
        together: (n_B,) labels of experimental batches that stay together, such as those of `replicate_batches`.

    Raises:
        ValueError: for an unknown or incomplete column, labels of another length, shares that leave nothing, or a
            part that would be empty.
        InvalidSmiles: if molecules are split, ``groups`` is None and some are no SMILES.

    Examples:
        >>> import numpy as np
        >>> from infocore_mini import PairedScreen
        >>> from infocore_mini.splits import split
        >>> screen = PairedScreen.from_profiles(
        ...     smiles=["C" * (i // 4 + 1) for i in range(40)],  # 10 alkanes, each on 4 plates
        ...     drug=lambda smiles: [[len(text), 1] for text in smiles],
        ...     profile=np.zeros((40, 3)),
        ...     batch=[i % 4 for i in range(40)],
        ... )
        >>> train, validation, test = split(screen, by=("molecule", "batch"), seed=0, held_out=0.25, validation=0.25)
        >>> set(train.smiles) & set(test.smiles), set(train.profile_batch.tolist()) & set(test.profile_batch.tolist())
        (set(), set())
    """
    axes = [by] if isinstance(by, str) else list(by)
    apart = (
        axes if validation_by is None else [validation_by] if isinstance(validation_by, str) else list(validation_by)
    )
    if not axes or len(set(axes)) < len(axes):
        raise ValueError(f"by: got {by!r}, expected one name or several, each once")
    if not apart or not set(apart) <= set(axes):
        raise ValueError(f"validation_by: got {validation_by!r}, expected some of {', '.join(axes)}")
    if not (held_out > 0 and validation > 0 and held_out + validation < 1):
        raise ValueError(f"held_out, validation: got {held_out}, {validation}, expected shares that leave a rest")
    if not set(axes) & set(OF_MOLECULES) and groups is None:
        groups = np.arange(len(screen.drug))
    molecule = _molecules(screen, groups)
    drug = screen.drug_id[screen.condition].numpy()
    rng = np.random.default_rng(seed)
    part_of: dict[str, NDArray[np.int64]] = {}  # of each profile, by each axis
    for axis in sorted(axes, key=OF_MOLECULES.__contains__):  # molecules last
        code = _codes(screen, axis, molecule, together)
        size = np.bincount(code[np.unique(drug, return_index=True)[1]] if axis in OF_MOLECULES else code)
        agreed = [_agreed(part_of, part, apart, len(code)) for part in range(3)]
        lean = np.array([np.bincount(code, weights=mask) for mask in agreed]) / np.bincount(code)
        shares = {TEST: held_out, VALIDATION: validation if axis in apart else 0.0}
        part_of[axis] = _assigned(size, lean, shares, rng)[code]
    chosen = [_agreed(part_of, part, apart, len(drug)) for part in range(3)]
    for name, mask in zip(_NAMES, chosen):
        if not mask.any():
            counts = ", ".join(f"{len(np.unique(_codes(screen, axis, molecule, together)))} by {axis}" for axis in axes)
            raise ValueError(
                f"screen: got {counts}, which leaves no profile for {name}; expected more, or other shares"
            )
    found = ScreenSplit(*(screen.where(mask) for mask in chosen))
    found.report = _report(screen, chosen, molecule)
    found.dropped = _dropped({axis: part_of[axis] for axis in axes}, ~np.any(chosen, axis=0))
    return found


def replicate_batches(
    screen: PairedScreen, *, overlap: float = 0.5, groups: ArrayLike | None = None
) -> NDArray[np.int64]:
    """Experimental batches that repeat each other's molecules, under one label: for ``split(together=...)``.

    Two belong together if of the molecules of either at least the share ``overlap`` is in both (Jaccard), or if others
    link them so.

    Args:
        screen: what they lie in.
        overlap: share in (0, 1].
        groups: (n_drugs,) labels of molecules that count as one; None = every row of ``drug`` is its own.

    Returns:
        (n_B,) int64 labels from 0; a batch without profiles has its own.

    Raises:
        ValueError: if ``overlap`` is out of range or ``groups`` of another length.
    """
    if not 0 < overlap <= 1:
        raise ValueError(f"overlap: got {overlap}, expected a share in (0, 1]")
    molecule = _molecules(screen, np.arange(len(screen.drug)) if groups is None else groups)
    pairs = np.unique(
        np.stack([screen.profile_batch.numpy(), molecule[screen.drug_id[screen.condition].numpy()]]), axis=1
    )
    member = csr_array((np.ones(pairs.shape[1]), tuple(pairs)), shape=(screen.n_batches, int(molecule.max()) + 1))
    shared = (member @ member.T).tocoo()
    count = np.bincount(pairs[0], minlength=screen.n_batches)
    linked = shared.data >= overlap * (count[shared.row] + count[shared.col] - shared.data)
    graph = csr_array((shared.data[linked], (shared.row[linked], shared.col[linked])), shape=shared.shape)
    return connected_components(graph, directed=False)[1].astype(np.int64)


def _molecules(screen: PairedScreen, groups: ArrayLike | None) -> NDArray[np.int64]:
    """(n_drugs,) codes of the groups."""
    if groups is None:
        from infocore_mini.identity import molecule_groups  # here, since other splits need no chemistry

        return molecule_groups(screen)
    return _labels("groups", groups, len(screen.drug), "n_drugs")


def _labels(name: str, given: ArrayLike, n: int, what: str) -> NDArray[np.int64]:
    labels = np.asarray(given)
    if labels.shape != (n,):
        raise ValueError(f"{name}: got shape {labels.shape}, expected ({what},) = ({n},)")
    if pd.isna(labels).any():
        raise ValueError(f"{name}: got a missing label in row {int(pd.isna(labels).argmax())}, expected one in each")
    return pd.factorize(labels, sort=True)[0].astype(np.int64)


def _codes(screen: PairedScreen, axis: str, molecule: NDArray, together: ArrayLike | None) -> NDArray[np.int64]:
    """(n_profiles,) what each profile is by one axis: codes from 0 without gaps."""
    drug = screen.drug_id[screen.condition].numpy()
    if axis == "molecule":
        values: ArrayLike = molecule[drug]
    elif axis == "scaffold":
        values = _with_scaffolds(screen, molecule)[drug]
    elif axis == "cell_line":
        values = screen.cell_line[screen.condition].numpy()
    elif axis in screen.info:
        values = screen.info[axis]
    elif axis in ("batch", "plate"):
        values = screen.profile_batch.numpy()
        values = values if together is None else _labels("together", together, screen.n_batches, "n_B")[values]
    else:
        known = [*OF_MOLECULES, "batch", "plate", "cell_line", *screen.info]
        raise ValueError(f"by: got {axis!r}, expected some of {', '.join(dict.fromkeys(known))}")
    return _labels(f"by={axis!r}", values, len(drug), "n_profiles")


def _with_scaffolds(screen: PairedScreen, molecule: NDArray) -> NDArray[np.int64]:
    """(n_drugs,) codes of scaffolds; those that a group of molecules links are one."""
    from infocore_mini.featurize import murcko_scaffold
    from infocore_mini.identity import parent_smiles

    scaffold = pd.factorize(
        np.array(murcko_scaffold(parent_smiles(screen.smiles.tolist(), stereo=False)), dtype=object)
    )[0]
    n_molecules, n_scaffolds = int(molecule.max()) + 1, int(scaffold.max()) + 1
    n = n_molecules + n_scaffolds
    links = csr_array((np.ones(len(molecule)), (molecule, n_molecules + scaffold)), shape=(n, n))
    return connected_components(links, directed=False)[1][molecule].astype(np.int64)


def _agreed(part_of: dict[str, NDArray], part: int, apart: Sequence[str], n: int) -> NDArray[np.bool_]:
    """(n_profiles,) whether a profile lies in a part by every axis so far."""
    agreed = np.ones(n, dtype=bool)
    for axis, found in part_of.items():
        agreed &= found == (TRAIN if part == VALIDATION and axis not in apart else part)
    return agreed


def _assigned(size: NDArray, lean: NDArray, shares: dict[int, float], rng: np.random.Generator) -> NDArray[np.int64]:
    """The part of each group: at random, those first that lean to a part, as far as there is room for half of them."""
    part = np.full(len(size), TRAIN)
    order = rng.permutation(len(size))
    for which, share in shares.items():
        room = share * size.sum()
        for group in order[np.argsort(-lean[which, order], kind="stable")]:
            if part[group] == TRAIN and size[group] / 2 < room:
                part[group] = which
                room -= size[group]
    return part


def _report(screen: PairedScreen, chosen: Sequence[NDArray[np.bool_]], molecule: NDArray) -> pd.DataFrame:
    columns = {
        "conditions": screen.condition.numpy(),
        "molecules": molecule[screen.drug_id[screen.condition].numpy()],
        "batches": screen.profile_batch.numpy(),
    }
    rows = {}
    for name, mask in {**dict(zip(_NAMES, chosen)), "dropped": ~np.any(chosen, axis=0)}.items():
        counts = {what: len(np.unique(values[mask])) for what, values in columns.items()}
        shared = {
            f"{what} of train": len(np.intersect1d(columns[what][mask], columns[what][chosen[TRAIN]]))
            for what in ("molecules", "batches")
        }
        rows[name] = {"profiles": int(mask.sum()), **counts, **shared}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("part")


def _dropped(part_of: dict[str, NDArray], mask: NDArray[np.bool_]) -> pd.DataFrame:
    table = pd.DataFrame({axis: np.array(_NAMES)[part[mask]] for axis, part in part_of.items()})
    counts = table.value_counts()
    reasons = [", ".join(f"{axis} in {name}" for axis, name in zip(part_of, names)) for names in counts.index]
    return pd.DataFrame({"reason": np.array(reasons, dtype=object), "profiles": counts.to_numpy()})
