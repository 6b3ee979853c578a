"""Run studies of the book and store their results: ``python -m infocore_mini.experiments STUDY [STUDY ...]``.

Every run is kept with its provenance in the folder of runs; a study that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from infocore_mini.experiments.audit import calibration as audit_calibration
from infocore_mini.experiments.audit import screens as audit_screens
from infocore_mini.experiments.audit import trained as audit_trained
from infocore_mini.experiments.calibration import run as calibration
from infocore_mini.experiments.derivation import training as derivation
from infocore_mini.experiments.fairness import run as fairness
from infocore_mini.experiments.gene_expression import doses
from infocore_mini.experiments.gene_expression import run as connectivity_map
from infocore_mini.experiments.molecules import run as molecules
from infocore_mini.experiments.molecules import tables
from infocore_mini.experiments.new_plates import folds as new_plates_folds
from infocore_mini.experiments.new_plates import phases as new_plates_phases
from infocore_mini.experiments.new_plates import run as new_plates
from infocore_mini.experiments.nuisances import run as nuisances
from infocore_mini.experiments.performance import full_shape
from infocore_mini.experiments.pretraining import encoder, inputs
from infocore_mini.experiments.pretraining import run as pretraining
from infocore_mini.experiments.pretraining.studies import STUDIES as PRETRAINING
from infocore_mini.experiments.property import protocols
from infocore_mini.experiments.property import run as property_prediction
from infocore_mini.experiments.simulation import studies as simulation

Store = Callable[[Path, Path, int], Path]  # folder of results, folder of runs, processes -> the file written
STUDIES: Mapping[str, Store] = {
    **{name: partial(pretraining.store, study) for name, study in PRETRAINING.items()},
    **{name: partial(property_prediction.store, name) for name in property_prediction.STUDIES},
    "property_protocols": protocols.store,
    "critics": derivation.store,
    "connectivity_map": connectivity_map.store,
    "probed_inputs": inputs.store,
    "structure_arrow": doses.store_arrow,
    "simulation": simulation.store,
    "simulation_sweeps": simulation.store_sweeps,
    "fairness": fairness.store,
    "calibration": calibration.store,
    "audit_calibration": audit_calibration.store,
    "audit_screens": audit_screens.store,
    "audit_trained": audit_trained.store,
    "nuisances": nuisances.store,
    "full_shape": full_shape.store,
    "encoder": encoder.store,
    new_plates_folds.STUDY: new_plates_folds.store,
    **new_plates_phases.STORES,
    **{f"new_plates_{name}": partial(new_plates.store, name) for name in new_plates_folds.SCREENS},
    "mol2vec": molecules.store,
    "broad_smiles": tables.store,
}


def main(arguments: list[str] | None = None) -> None:
    """Run and store the studies that the command line names, one after the other."""
    parser = argparse.ArgumentParser(prog="python -m infocore_mini.experiments", description=__doc__.splitlines()[0])
    parser.add_argument("study", nargs="+", choices=sorted(STUDIES), metavar="STUDY", help=", ".join(sorted(STUDIES)))
    parser.add_argument("--output", type=Path, default=Path("data"), help="folder that gets results/STUDY.json")
    parser.add_argument("--runs", type=Path, default=Path("_build/runs"), help="folder of single runs")
    parser.add_argument("--jobs", type=int, default=2, help="processes, one thread each")
    parser.add_argument("--device", default="cpu", help="that pretraining studies train on, such as cuda")
    options = parser.parse_args(arguments)
    elsewhere = [name for name in options.study if name not in PRETRAINING]
    if options.device != "cpu" and elsewhere:
        parser.error(
            f"--device: got {options.device} for {', '.join(elsewhere)}, expected cpu: not a study of pretraining"
        )
    for name in options.study:
        store = (
            partial(pretraining.store, PRETRAINING[name].on(options.device)) if name in PRETRAINING else STUDIES[name]
        )
        print(store(options.output, options.runs, options.jobs))


if __name__ == "__main__":
    main()
