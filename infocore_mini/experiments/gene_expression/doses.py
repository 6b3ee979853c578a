"""The arrow from batch to structure: how strong it is in real and simulated screens, and what hangs on it.

The plan stands in ``experiments/pretraining/plan.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from infocore_mini.evaluate.seeds import t_interval
from infocore_mini.experiments.gene_expression import run as connectivity_map
from infocore_mini.experiments.names import METHOD_NAMES, listed
from infocore_mini.experiments.pretraining.report import MARGIN, Tables, stored_tables, told
from infocore_mini.experiments.pretraining.studies import OTHER_DOSES, REDUCED, STUDIES
from infocore_mini.experiments.records import Made, kept
from infocore_mini.experiments.results import checksums, save_results
from infocore_mini.experiments.retrieval.run import campaign_from_structure
from infocore_mini.readers import behaviour, growth, read_yeast_growth, read_zebrafish
from infocore_mini.screens import PairedScreen, Split
from infocore_mini.simulate.doses import GE_DOSES
from infocore_mini.simulate.screen import simulate_screen

# Dose of the arrow -> the study that trains at it; the calibrated dose is that of the main study.
STUDY_OF_DOSE: Mapping[float, str] = MappingProxyType(
    dict(sorted([(GE_DOSES.scaffold, "gene_expression"), *((dose, name) for name, dose in OTHER_DOSES.items())]))
)
SEEDS = (0, 1, 2, 3)  # of the sweep, and of the splits on which the arrow is measured


# ------------------------------------------------------------------ how strong the arrow is


def arrow(screen: PairedScreen, seeds: Sequence[int] = SEEDS) -> list[dict[str, float]]:
    """How far held-out structures give the experimental batch away, of each split by molecule.

    A linear discriminant of the batch on the drug features is fitted on training molecules, and its posterior of a
    batch ranks the test molecules of a cell line.

    Returns:
        For each seed "seed" and "auc": how often a test molecule of a batch is ranked above one of another batch, mean
        over batches by their number of conditions; 0.5 = structure tells nothing, 1 = all.
    """
    return [{"seed": seed, "auc": _auc(screen.split(seed))} for seed in seeds]


def _auc(split: Split) -> float:
    batch, posterior = (part.numpy() for part in campaign_from_structure(split))
    line = split.test.cell_line.numpy()
    found, weight = [], []
    for code, column in ((code, column) for code in np.unique(line) for column in range(batch.shape[1])):
        rows = line == code
        here = batch[rows, column]
        if 0 < here.sum() < len(here):
            found.append(roc_auc_score(here, posterior[rows, column]))
            weight.append(here.sum())
    return float(np.average(found, weights=weight))


def simulated_structures(dose: float, seed: int) -> PairedScreen:
    """Molecules and drug plates of the simulated screen at another dose of the arrow, with hardly any readout."""
    shape = {**REDUCED, "n_features": 2, "n_replicates": 1}
    return simulate_screen(seed, doses=replace(GE_DOSES, scaffold=dose), **shape).screen


_REAL: Mapping[str, tuple[Callable[[], PairedScreen], tuple[str, ...]]] = MappingProxyType(
    {
        "Connectivity Map": (connectivity_map.screen, connectivity_map.FILES),
        "three L1000 plates": (partial(STUDIES["l1000_plates"].screen, 0), STUDIES["l1000_plates"].files),
        "COMAS cell painting": (partial(STUDIES["comas"].screen, 0), STUDIES["comas"].files),
        "ToxCast": (partial(STUDIES["toxcast"].screen, 0), STUDIES["toxcast"].files),
        "zebrafish behaviour": (lambda: read_zebrafish().per_batch(), (behaviour.PROFILES,)),
        "yeast growth": (lambda: read_yeast_growth().per_batch(), (growth.GROWTH, growth.RACKS)),
    }
)


def store_arrow(output: Path, runs: Path, n_jobs: int = 1) -> Path:
    """Measure what is missing in the folder ``runs`` and write ``results/structure_arrow.json``; one process."""
    records = []
    for name, (read, files) in _REAL.items():

        def measured(read=read, files=files) -> Made:
            screen = read()
            about = {"n_molecules": len(screen.drug), "n_batches": screen.n_batches}
            return about | {"simulated": False, "splits": arrow(screen)}, checksums(files)

        records.append(kept(runs, "structure_arrow", {"screen": name, "seeds": SEEDS}, measured))
    for dose in STUDY_OF_DOSE:

        def drawn(dose=dose) -> Made:
            splits = [row for seed in SEEDS for row in arrow(simulated_structures(dose, seed), (seed,))]
            about = {"n_molecules": REDUCED["n_drugs"], "n_batches": REDUCED["n_batches"]}
            return about | {"simulated": True, "splits": splits}, {}

        records.append(kept(runs, "structure_arrow", {"dose": dose, "shape": dict(REDUCED), "seeds": SEEDS}, drawn))
    names = [*_REAL, *(f"simulated, dose {dose:g}" for dose in STUDY_OF_DOSE)]
    results = {name: record.result for name, record in zip(names, records, strict=True)}
    made = [record.provenance for record in records]
    return save_results("structure_arrow", {"seeds": SEEDS}, results, output_dir=output, runs=made)


def arrows(results: Mapping[str, Mapping]) -> pd.DataFrame:
    """How far structure gives the batch away, the strongest first: a row a screen.

    Args:
        results: of ``results/structure_arrow.json``.

    Returns:
        Columns: data, "real" or "simulated"; molecules; batches; auc (see `arrow`), percent, with low and high, its 95 %
        interval over the splits of one screen (corrected for shared molecules) or over simulated screens.
    """
    rows = {}
    for name, found in results.items():
        splits = pd.DataFrame(found["splits"])
        auc = t_interval(100 * splits["auc"], overlap=0.0 if found["simulated"] else connectivity_map.OVERLAP)
        rows[name.replace("dose", "strength")] = {  # the word of the pages
            "data": "simulated" if found["simulated"] else "real",
            "molecules": found["n_molecules"],
            "batches": found["n_batches"],
            "auc": auc.mean,
            "low": auc.low,
            "high": auc.high,
        }
    return pd.DataFrame.from_dict(rows, orient="index").sort_values("auc", ascending=False)


# ------------------------------------------------------------------ what hangs on it


def at_doses() -> dict[float, Tables]:
    """Dose -> CLIP and InfoCORE as stored, all with the seeds of the sweep."""
    found = {}
    for dose, name in STUDY_OF_DOSE.items():
        whole = stored_tables(name)
        found[dose] = Tables({arm: {seed: whole[arm][seed] for seed in SEEDS} for arm in ("clip", "infocore")})
    return found


def turning(by_dose: Mapping[float, Tables], margin: float = MARGIN) -> str:
    """Markdown, a line a library and top: at which doses InfoCORE is above, level with or below CLIP, and where it turns.

    The sign turns between two doses where one interval lies above zero and the other below, see the plan.
    """
    compared = {
        dose: told(tables, "infocore", "clip", margin).set_index(["library", "top"])["said"]
        for dose, tables in by_dose.items()
    }
    lines = [f"{METHOD_NAMES['infocore']} against {METHOD_NAMES['clip']}, by the strength of the arrow:\n"]
    for library, top in product(("whole", "batch"), (1, 5, 10)):
        course = {dose: said[library, top] for dose, said in compared.items()}
        at = {what: listed([f"{dose:g}" for dose in course if course[dose] == what]) for what in course.values()}
        each = "; ".join(
            f"{what if what == 'not told apart' else f'**{what}**'} at {doses}" for what, doses in at.items()
        )
        lines.append(f"- {library} library, top {top}: {each}. {_turn(course)}.")
    return "\n".join(lines)


def _turn(course: Mapping[float, str]) -> str:
    above = [dose for dose, what in course.items() if what == "above"]
    below = [dose for dose, what in course.items() if what == "below"]
    if above and below:
        low, high = (max(above), min(below)) if max(above) < min(below) else (max(below), min(above))
        return f"The sign turns between {low:g} and {high:g}"
    if above or below:
        return f"Never {'below' if above else 'above'}: no turn is seen"
    return "A turn cannot be placed"
