"""How well the inputs themselves tell the experimental batch: what a probe of an embedding is to be compared with."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from infocore_mini.experiments.pretraining.run import Study, batch_probe
from infocore_mini.experiments.pretraining.studies import STUDIES
from infocore_mini.experiments.records import Made, kept
from infocore_mini.experiments.results import save_results
from infocore_mini.screens import PairedScreen

FOLDS = 5  # of the probes
PROBED = ("gene_expression", "cell_painting", "comas")


def probe_inputs(study: Study, seed: int) -> dict[str, float | None]:
    """Accuracy of linear probes for the batch on the test conditions of a seed, before any training; see `batch_probe`.

    Returns:
        "screen": on mean profiles, standardised as training does; "drug": on drug features, likewise; "chance": of the
        most frequent batch, mean over the cell lines.
    """
    split = study.screen(seed).split(seed)
    test, train = split.test, split.train
    profile, drug = train.mean_profile(), train.drug
    screen = (test.mean_profile() - profile.mean(0)) / (profile.std(0) + 1e-6)
    features = ((test.drug - drug.mean(0)) / (drug.std(0) + 1e-6))[test.drug_id]
    return {
        "screen": batch_probe(screen, test, folds=FOLDS),
        "drug": batch_probe(features, test, folds=FOLDS),
        "chance": _most_frequent(test),
    }


def _most_frequent(screen: PairedScreen) -> float:
    """Of the batches that `batch_probe` asks for: those with a row for every fold."""
    shares = []
    for line in screen.cell_line.unique():
        count = screen.batch_id[screen.cell_line == line].bincount()
        count = count[count >= FOLDS]
        if len(count) > 1:
            shares.append(float(count.max() / count.sum()))
    return float(np.mean(shares))


def store(output: Path, runs: Path, n_jobs: int = 1) -> Path:
    """Probe what is missing in the folder ``runs`` and write ``results/probed_inputs.json``; one process."""

    def probed(study: Study, seed: int) -> Made:
        return probe_inputs(study, seed), study.checksums()

    records = {
        (name, seed): kept(
            runs,
            "probed_inputs",
            {"screen": STUDIES[name].make_screen.__name__, "shape": dict(STUDIES[name].shape), "seed": seed},
            partial(probed, STUDIES[name], seed),
        )
        for name in PROBED
        for seed in STUDIES[name].seeds
    }
    results = [{"study": name, "seed": seed, **record.result} for (name, seed), record in records.items()]
    made = [record.provenance for record in records.values()]
    return save_results("probed_inputs", {"studies": PROBED}, results, output_dir=output, runs=made)
