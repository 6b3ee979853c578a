"""The calibration: the simulator stands where its record says; the record is that of the real plates."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest

from infocore_mini.experiments import results
from infocore_mini.experiments.calibration import figures
from infocore_mini.experiments.calibration.diagnostics import Plate, diagnose, structure_dependence
from infocore_mini.experiments.calibration.plates import real_plates
from infocore_mini.experiments.calibration.report import agreement
from infocore_mini.featurize import morgan
from infocore_mini.simulate.screen import CP_DOSES, GE_DOSES, simulate_screen
from infocore_mini.sources import DataUnavailable


@pytest.fixture(scope="module")
def stored():
    return results.stored("calibration").results


def test_scaffold_dose_ties_plates_to_structure():
    def dependence(scaffold):
        simulated = simulate_screen(
            seed=0,
            n_drugs=400,
            cell_lines=("A375", "PC3"),
            n_batches=8,
            n_features=4,
            n_replicates=2,
            drug=lambda smiles: morgan(smiles, n_bits=64),
            doses=replace(GE_DOSES, scaffold=scaffold),
        )
        return structure_dependence(
            [
                Plate(np.zeros((0, 4)), np.zeros((0, 4)), rows, simulated.screen.smiles[rows], rows)
                for rows in (np.flatnonzero(simulated.plate == code) for code in range(4))
            ]
        )

    at_random, ordered = dependence(0.0), dependence(8.0)
    assert at_random["structure_auc"] == pytest.approx(0.5, abs=0.02)
    assert at_random["structure_neighbour"] == pytest.approx(0.0, abs=0.08)
    assert ordered["structure_auc"] > 0.54
    assert ordered["structure_neighbour"] > 0.2


def test_stored_doses_are_the_defaults(stored):
    assert stored["gene_expression"]["doses"] == asdict(GE_DOSES)
    assert stored["cell_painting"]["doses"] == asdict(CP_DOSES)


def test_simulated_plates_agree_with_real_ones(stored):
    table = agreement(stored["gene_expression"])
    assert len(table) == 18 and table[["low", "high"]].notna().all(axis=None)
    assert table.agrees.all(), table[~table.agrees]


def test_learnability_lies_in_the_range_of_the_paper(stored):
    for row in stored["gene_expression"]["learnability"]:
        assert 2 < row["whole_1"] < 15 and 10 < row["batch_1"] < 40
        assert row["oracle_whole_1"] > row["whole_1"] and row["plate_from_drug"] > 2 * row["chance_plate"]


def test_diagnostics_of_the_real_plates_are_as_stored(stored):
    try:
        real = real_plates()
    except DataUnavailable as reason:
        pytest.skip(f"data: {reason}")
    assert diagnose(real) == pytest.approx(stored["gene_expression"]["real"], rel=1e-3)


def test_figures_show_simulated_beside_real(stored):
    for name in ("gene_expression", "cell_painting"):
        figure = figures.real_and_simulated(stored[name])
        labels = {text.get_text() for ax in figure.axes if ax.get_legend() for text in ax.get_legend().get_texts()}
        assert {"real", "simulated"} <= labels
        assert all(ax.get_xlabel() for ax in figure.axes)
