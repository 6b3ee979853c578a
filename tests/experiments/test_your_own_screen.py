"""The last chapter: its tables are wrong in the ways it says, and its sentences turn with the numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from infocore_mini import audit
from infocore_mini.confounding.rows import BATCH
from infocore_mini.experiments.results import StoredResult, stored
from infocore_mini.experiments.your_own_screen import figures, sentences, tables
from infocore_mini.readers import read_profiles
from infocore_mini.sources import DataUnavailable


@pytest.fixture(scope="module")
def simulated() -> pd.DataFrame:
    def refuse(name):
        raise DataUnavailable(name)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "fetch", refuse)
        table, banner = tables.measured_or_simulated(seed=0)
    assert banner.startswith("SIMULATED SCREEN")
    return table


def test_the_stand_in_has_two_collections_of_two_runs_each(simulated):
    assert simulated.columns[:4].tolist() == tables.KNOWN and len(tables.readouts(simulated)) == 100
    runs = simulated.groupby("collection")["run"].unique()
    assert sorted(map(len, runs)) == [2, 2] and len(set(np.concatenate(list(runs)))) == 4
    assert (simulated.groupby("smiles")["run"].nunique() == 2).all()


def test_one_run_each_cannot_be_told(simulated):
    part = tables.one_run_each(simulated)
    assert (part.groupby("run")["collection"].nunique() == 1).all() and part["run"].nunique() == 2
    found = audit(part[tables.readouts(part)], {"run": part["run"]}, label=part["collection"])
    assert found.verdict == "cannot tell"


def test_every_fault_of_the_untidy_table_is_listed_or_mended(simulated, tmp_path):
    table = tables.untidy(simulated, seed=0)
    table.to_csv(tmp_path / "untidy.csv", index=False)
    columns = dict(smiles="smiles", name="smiles", batch="run", plate="plate", controls=None)
    screen = read_profiles(tmp_path / "untidy.csv", **columns, separate=["collection"])
    reasons = " | ".join(screen.left_out["reason"])
    for reason in ("invalid SMILES 'not known'", "no SMILES", "missing values", "never varies", "feature equal to"):
        assert reason in reasons
    assert not [smiles for smiles in screen.smiles if smiles.endswith(".Cl")] and len(screen.merged) > 50
    assert screen.profile.isfinite().all() and len(screen.feature_names) == 18


def test_combat_on_all_rows_keeps_the_rows_and_puts_the_probe_below_chance(simulated):
    before, after = tables.combat_on_all_rows(simulated)
    assert before[["smiles", "run"]].equals(after[["smiles", "run"]]) and before["run"].nunique() == 2
    names = tables.readouts(after)
    found = audit(after[names], {"run": after["run"]}, molecule=after["smiles"], before=before[names])
    linear = sentences.checks_of(found, "run").loc[("treated", "linear probe")]
    assert linear["observed"] < linear["expected"]
    said = sentences.only_looks_clean(found, "run")
    assert "less than permuted labels give" in said and f"*{linear['verdict']}*" in said


def test_the_figure_draws_what_was_observed_and_permuted():
    rng, n = np.random.default_rng(0), 200
    batch, molecule = np.arange(n) % 2, np.arange(n) // 2
    points = rng.normal(size=(n, 4))
    audits = {"shifted": audit(points + batch[:, None], {BATCH: batch}, molecule=molecule)}
    audits["level"] = audit(points, {BATCH: batch}, molecule=molecule)
    drawn = figures.observed_and_permuted(audits, BATCH)
    assert [ax.get_title() for ax in drawn.axes] == ["shifted", "level"]
    for ax, found in zip(drawn.axes, audits.values(), strict=True):
        table = sentences.checks_of(found, BATCH).loc["treated"].reindex(figures.SHOWN)
        [dots] = ax.lines
        np.testing.assert_allclose(dots.get_xdata(), 100 * table["observed"].to_numpy(float))
    said = sentences.before_and_after(audits)
    assert "The level is nearer to chance than the shifted" in said
    assert "no nearer" in sentences.before_and_after(dict(reversed(audits.items())))


@pytest.mark.parametrize(("low", "verdict"), [(0.01, "above chance"), (0.0, "not told from chance")])
def test_retrieval_is_put_beside_chance(low, verdict):
    row = {
        "cell_line": "mean",
        "library": "whole",
        "top": 1,
        "accuracy": 0.04,
        "low": low,
        "high": 0.08,
        "chance": 0.007,
    }
    said = sentences.retrieved(pd.DataFrame([row]), 147)
    assert verdict in said and "4.0 %" in said and "0.7 %" in said and "147 molecules" in said


def test_sentences_on_the_stored_studies_say_what_is_stored():
    calibration, screens = stored("audit_calibration"), stored("audit_screens")
    table = pd.DataFrame(calibration.results["table"]).set_index(["case", "design"])
    said = sentences.error_and_power(calibration)
    for design in ("balanced", table.loc["shift", "share"].idxmin()):
        assert f"{table.loc[('shift', design), 'share']:.1%}" in said
    assert ("Cases that do not hold what was planned: none" in said) == bool(table["holds"].all())
    done = [row for row in screens.results["table"] if row["verdict"] != "not possible"]
    said = sentences.of_real_screens(screens)
    assert f"Of {len(screens.results['table'])} pairs" in said and f"confounded* {len(done)} times" in said
    one = {"screen": "a", "treated: linear probe": 0.1, "treated: linear probe, expected": 0.2}
    rows = [one | {"correction": "none", "verdict": "confounded", "treated: verdict": "confounded"}]
    rows += [one | {"correction": "ComBat", "verdict": "clean", "treated: verdict": "clean"}]
    rows += [one | {"correction": "mean", "verdict": "confounded", "treated: verdict": "over-corrected"}]
    said = sentences.of_real_screens(StoredResult("audit_screens", {}, {"table": rows}, {}))
    assert "1 of 2 corrected readouts is called clean" in said and "In 1 of 2 corrected ones" in said
