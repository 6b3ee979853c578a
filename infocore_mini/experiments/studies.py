"""The pretraining studies of the book: which screen, which settings, which arms."""

from __future__ import annotations

from types import MappingProxyType

from infocore_mini.experiments.pretraining import METHODS, SETTINGS, Study, ablation_arms
from infocore_mini.molecules import REAL_FILES
from infocore_mini.readers import read_comas, read_toxcast
from infocore_mini.readers.cell_painting import COMAS
from infocore_mini.readers.toxcast import TOXCAST
from infocore_mini.screens import PairedScreen
from infocore_mini.simulate_screen import simulate_screen
from infocore_mini.sources import fetch, sha256_of

# GE shape of the paper, reduced to what two cores train in minutes; every dose is calibrated (experiments/calibration.py).
REDUCED = MappingProxyType(dict(n_drugs=4000, cell_lines=("A375", "MCF7", "PC3"), n_batches=60, n_replicates=3))
_ONE_LINE = {"cell_line_heads": False, "sampling": "random"}

# Assay calls are 0 or 1: neither noise nor clipping fits them.
_TOXCAST = {"clip_b": None, "noise_b": 0.0, "mixup_concentration": 0.0, "queue_size": 2048} | {
    "epochs": 30,
    "halve_at": (15, 20, 25),
}
# alpha = 0: the weight of a pair is the candidate's posterior alone, the strongest correction that there is.
_TOXCAST_ARMS = dict(METHODS) | {"infocore, alpha = 0": {"method": "infocore", "alpha": 0.0}}

# 811 molecules: small layers, small minibatches, a short queue. Cell-painting settings of appendix H.
_COMAS = {
    "alpha": 0.83,
    "clip_b": 10.0,
    "noise_b": 0.0,
    "mixup_concentration": 0.8,
    "hidden_a": (256, 256, 256),
    "hidden_b": (256, 256),
    "hidden_classifier": (256,),
    "minibatch_size": 64,
    "queue_size": 512,
}


def simulated_gene_expression(seed: int) -> PairedScreen:
    """The calibrated simulated screen at reduced GE shape."""
    return simulate_screen(seed, **REDUCED).screen


def comas(seed: int) -> PairedScreen:
    """The COMAS cell-painting screens; a molecule's profiles of each run or date are a condition of their own."""
    return read_comas().per_batch()


def toxcast(seed: int) -> PairedScreen:
    """ToxCast as a screen."""
    return read_toxcast()


STUDIES = {
    study.name: study
    for study in (
        Study("gene_expression", simulated_gene_expression, SETTINGS),
        Study("ablation", simulated_gene_expression, SETTINGS, arms=ablation_arms()),
        Study("toxcast", toxcast, dict(SETTINGS) | _ONE_LINE | _TOXCAST, arms=_TOXCAST_ARMS, minimum_library=5),
        Study("comas", comas, dict(SETTINGS) | _ONE_LINE | _COMAS, minimum_library=5),
    )
}
FILES = {"gene_expression": REAL_FILES, "ablation": REAL_FILES, "toxcast": (TOXCAST,), "comas": COMAS}


def checksums(study: Study) -> dict[str, str]:
    """File name -> sha256 of the data files behind a study."""
    return {name: sha256_of(fetch(name)) for name in FILES[study.name]}
