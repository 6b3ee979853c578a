"""The calibration: the simulator stands where its record says; the record is that of the real plates."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest

from infocore_mini.experiments import results
from infocore_mini.experiments.calibration import figures
from infocore_mini.experiments.calibration.diagnostics import Plate, diagnose, structure_dependence
from infocore_mini.experiments.calibration.plates import real_plates
from infocore_mini.experiments.calibration.report import agreement, verdict
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


def test_the_simulated_plates_agree_with_the_real_ones_but_for_what_the_page_says(stored):
    table = agreement(stored["gene_expression"])
    assert len(table) == 18 and table[["distance", "limit"]].notna().all(axis=None)
    apart = table.index[~table["agrees"]]
    said = verdict(table)
    assert said.startswith(f"**{18 - len(apart)} of 18 diagnostics agree**")
    assert {name for name in table.index if f"*{name.replace('_', ' ')}* (" in said} == set(apart)


def test_agreement_is_measured_in_what_plates_and_draws_differ_anyhow():
    plates = [{"rms": value} for value in (1.0, 2.0, 4.0)]
    draws = [{"rms": 3.0, "rate": value} for value in (0.4, 0.5, 0.6)]
    record = {"real": {"rms": 7 / 3, "rate": 0.2}, "real_plates": plates, "simulated": draws}
    table = agreement(record)
    between = np.std([1, 2, 4], ddof=1)
    assert table.loc["rms", "distance"] == pytest.approx((3 - 7 / 3) / between)
    assert table.loc["rms", "limit"] == pytest.approx(
        (4 - 1.5) / between
    )  # the third plate from the mean of the others
    assert table.loc["rate", "distance"] == pytest.approx(3.0)
    assert table.loc["rate", "limit"] == pytest.approx(4.303 * (4 / 3) ** 0.5, abs=1e-3)
    assert table["agrees"].tolist() == [True, True]


@pytest.mark.parametrize("name", ["control_sd", "treated_rms_50", "replicate_other", "structure_auc"])
def test_another_simulator_would_be_found(stored, name):
    record = stored["gene_expression"]
    other = record | {"simulated": [draw | {name: 2 * draw[name]} for draw in record["simulated"]]}
    assert agreement(record).loc[name, "agrees"] and not agreement(other).loc[name, "agrees"]


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
