"""A screen as `audit` takes it: readouts of treated and control wells, and what is known of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infocore_mini.screens import PairedScreen
from infocore_mini.validation import require

BATCH = "experimental batch"


def labelled_rows(
    screen: PairedScreen, *, nuisance: Sequence[str] = (), **columns: str
) -> tuple[NDArray[np.float32], dict[str, Any]]:
    """The wells of a screen, and the arguments of `audit` that tell of them.

    The experimental batch is the first nuisance, the molecules and the control wells, if there are some, are told by
    themselves. An embedding of the rows is audited with the same arguments.

    Args:
        screen: such as a reader gives, or a correction of it.
        nuisance: further ones, columns of its ``info`` or "cell_line".
        columns: likewise, by the argument of `audit` that takes them: label, library, position, cell_count.

    Returns:
        (n, n_g) readouts of the treated wells and behind them of the control wells, and the arguments.

    Raises:
        ValueError: for an argument that is none of these, or a column that the screen has not.

    Examples:
        >>> import numpy as np
        >>> from infocore_mini import PairedScreen, audit
        >>> from infocore_mini.confounding import labelled_rows
        >>> rng, plate = np.random.default_rng(0), np.arange(80) % 4
        >>> screen = PairedScreen.from_profiles(
        ...     smiles=["C" * (1 + i // 4) for i in range(80)],
        ...     drug=lambda smiles: [[len(text)] for text in smiles],
        ...     profile=rng.normal(size=(80, 5)) + plate[:, None],
        ...     batch=plate,
        ... )
        >>> readout, known = labelled_rows(screen)
        >>> sorted(known), audit(readout, **known).verdict
        (['controls', 'molecule', 'nuisance'], 'confounded')
    """
    unknown = set(columns) - {"label", "library", "position", "cell_count"}
    require(not unknown, "columns", ", ".join(sorted(unknown)), "label, library, position or cell_count")
    controls = screen.controls
    n_controls = 0 if controls is None else len(controls.profile)

    def of_all(of_treated: Any, of_controls: Any) -> NDArray[Any]:
        return np.concatenate([np.asarray(of_treated), np.zeros(0, int) if controls is None else of_controls])

    def column(name: str) -> NDArray[Any]:
        if name == "cell_line":
            return of_all(screen.cell_line[screen.condition], getattr(controls, "cell_line", None))
        there = name in screen.info and (controls is None or name in controls.info)
        require(there, "columns", repr(name), f"cell_line or one of {', '.join(screen.info)}")
        parts = [screen.info[name], np.zeros(0) if controls is None else controls.info[name]]
        return np.concatenate([part.astype(object) for part in parts])

    parts = [screen.profile.numpy()]
    readout = np.concatenate(parts if controls is None else [*parts, controls.profile.numpy()])
    batch_id = of_all(screen.profile_batch, getattr(controls, "batch_id", None))
    known: dict[str, Any] = {
        "nuisance": {BATCH: np.array(screen.batch_names)[batch_id]} | {name: column(name) for name in nuisance},
        "molecule": np.concatenate([screen.drug_id[screen.condition].numpy(), np.full(n_controls, -1)]),
        "controls": np.arange(len(readout)) >= len(screen.profile) if n_controls else None,
    }
    for argument, name in columns.items():
        values = column(name)
        if argument == "position":
            known[argument] = [str(well).rpartition(":")[2] for well in values]
        else:
            known[argument] = values.astype(float) if argument == "cell_count" else values.astype(str)
    return readout, known
