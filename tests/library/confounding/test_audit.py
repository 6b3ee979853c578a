"""The audit as a whole: its verdicts where the truth was planted, what it is given, and what it refuses."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from infocore_mini import PairedScreen, audit
from infocore_mini.confounding import verdict
from infocore_mini.confounding.advice import next_steps
from infocore_mini.confounding.verdict import Family

N, BATCHES = 320, 8
BATCH = np.arange(N) % BATCHES
LABEL = np.arange(N) // BATCHES % 4


def noise(seed: int = 0, d: int = 8) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(N, d))


def verdicts(found, **where) -> set[str]:
    table = found.table
    for column, value in where.items():
        table = table[table[column] == value]
    assert len(table)
    return set(table["verdict"])


# ------------------------------------------------------------------ verdicts


def test_noise_is_clean_and_every_check_of_the_ladder_is_there():
    found = audit(noise(), {"batch": BATCH}, label=LABEL)
    assert found.verdict == "clean" and verdicts(found) == {"clean"}
    assert found.table["check"].tolist() == [
        "estimability",
        "neighbours",
        "kNN probe",
        "linear probe",
        "drift of a held-out value",
        "boosted trees",
        "injected shift",
    ]
    assert (found.table["n"] == N).all()


def test_a_shifted_batch_is_confounded_and_named():
    points = noise() + 0.8 * (BATCH == 3)[:, None]
    found = audit(points, {"batch": np.array(list("abcdefgh"))[BATCH]}, label=LABEL)
    assert found.verdict == "confounded"
    drift = found.table.set_index("check").loc["drift of a held-out value"]
    assert drift["verdict"] == "confounded" and drift["detail"] == "furthest: d"


def test_a_nuisance_that_is_related_to_the_label_alone_is_clean_once_the_label_is_given():
    rng = np.random.default_rng(2)
    batch = (LABEL + rng.choice(4, N, p=[0.55, 0.15, 0.15, 0.15])) % 4
    points = noise(3) + 2 * rng.normal(size=(4, 8))[LABEL]
    assert audit(points, {"batch": batch}).verdict == "confounded"
    assert audit(points, {"batch": batch}, label=LABEL).verdict == "clean"


def test_combat_on_all_rows_takes_the_probe_below_chance_and_is_called_over_corrected():
    pytest.importorskip("combatlearn", reason="the extra correct is not installed")
    from infocore_mini.correct import ComBat

    points = noise(4) + np.random.default_rng(5).normal(size=(BATCHES, 8))[BATCH]
    screen = PairedScreen.from_profiles(
        smiles=[f"{i:03d}" for i in range(N)], drug=lambda s: np.zeros((len(s), 1)), profile=points, batch=BATCH
    )
    assert audit(points, {"batch": BATCH}).verdict == "confounded"
    found = audit(ComBat().fit_transform(screen).profile, {"batch": BATCH})
    linear = found.table.set_index("check").loc["linear probe"]
    assert found.verdict == "over-corrected" and linear["verdict"] == "over-corrected"
    assert linear["observed"] < linear["low"] < 1 / BATCHES


def test_a_batch_that_is_the_label_cannot_be_told_from_it_and_the_pair_is_named():
    points = noise() + 3 * LABEL[:, None]
    found = audit(points, {"batch": LABEL}, label=np.array(["w", "x", "y", "z"])[LABEL])
    assert verdicts(found) == {"cannot tell"}
    assert "0 and 1" in found.table.set_index("rows").loc["design", "detail"]


def test_too_few_rows_to_see_a_shift_are_no_proof_that_there_is_none():
    few = np.arange(24)
    found = audit(noise()[few], {"batch": few % 8})
    assert found.verdict == "cannot tell" and verdicts(found, check="injected shift") == {"cannot tell"}


def test_controls_convict_a_plate_that_treated_rows_cannot():
    control = np.arange(N) % 5 == 0
    points = noise() + 1.5 * np.random.default_rng(1).normal(size=(4, 8))[LABEL]
    found = audit(points, {"plate": LABEL}, label=np.where(control, None, LABEL), controls=control)
    assert verdicts(found, rows="controls", check="linear probe") == {"confounded"}
    assert verdicts(found, rows="treated") == {"cannot tell"} and found.verdict == "confounded"


def test_the_value_that_drifts_among_controls_is_named_though_some_values_have_none():
    plate = np.array(list("abcd"))[LABEL]
    control = (np.arange(N) % 2 == 0) & (plate != "a")
    found = audit(noise() + 2 * (control & (plate == "c"))[:, None], {"plate": plate}, controls=control)
    row = found.table[(found.table["rows"] == "controls") & (found.table["check"] == "drift of a held-out value")].iloc[
        0
    ]
    assert row["detail"] == "furthest: c" and row["verdict"] == "confounded"


def test_controls_that_were_centred_by_plate_are_over_corrected_and_neither_confounded_nor_cleared():
    control, points = np.arange(N) % 4 < 2, noise()
    for plate in range(4):
        here = control & (LABEL == plate)
        points[here] -= points[here].mean(0)
    found = audit(points, {"plate": LABEL}, controls=control)
    row = found.table[(found.table["rows"] == "controls") & (found.table["check"] == "drift of a held-out value")].iloc[
        0
    ]
    assert row["observed"] < row["low"] and row["p_adjusted"] <= 0.05 and row["verdict"] == "over-corrected"
    assert "made alike with these very rows" in row["detail"] and "furthest" not in row["detail"]
    assert verdicts(found, rows="controls") <= {"over-corrected", "cannot tell"} and found.verdict == "over-corrected"
    steps = {(called, rows): step for called, rows, _, step in next_steps(found.table.to_dict("records"))}
    assert "fitted on these very wells" in steps["over-corrected", "controls"]


def test_replicates_are_no_batch():
    """Molecules differ and lie in one batch each: rows that moved alone would make every batch look like one."""
    molecule = np.arange(N) // 4
    batch = molecule % 4
    points = 0.3 * noise() + np.random.default_rng(7).normal(size=(N, 8))[molecule]
    assert audit(points, {"batch": batch}, molecule=molecule).verdict != "confounded"
    assert audit(points, {"batch": batch}).verdict == "confounded"


def test_a_correction_that_loses_replicates_is_called_over_corrected():
    molecule = np.arange(N) // 4
    plate = np.arange(N) % 4
    before = noise() + 1.5 * np.random.default_rng(7).normal(size=(N, 8))[molecule]
    kept = audit(before + 0.1 * noise(1), {"plate": plate}, molecule=molecule, before=before)
    assert verdicts(kept, rows="replicates") == {"clean"}
    lost = audit(noise(2), {"plate": plate}, molecule=molecule, before=before)
    assert lost.verdict == "over-corrected"
    assert verdicts(lost, check="nearest of another value is a replicate") == {"cannot tell"}


def test_a_cell_count_that_tells_the_label_better_convicts_the_embedding():
    rng = np.random.default_rng(0)
    count = 100 * (1 + LABEL) + rng.integers(0, 40, N)
    found = audit(noise(), {"batch": BATCH}, label=LABEL, cell_count=count)
    row = found.table[found.table["check"] == "label beyond a baseline"].iloc[0]
    assert row["verdict"] == "confounded" and row["expected"] > 0.9 and row["observed"] < 0.4
    effect = 3 * rng.normal(size=(4, 8))[LABEL]
    found = audit(noise() + effect, {"batch": BATCH}, label=LABEL, cell_count=rng.integers(0, 500, N))
    assert verdicts(found, check="label beyond a baseline") == {"clean"}


def test_a_position_effect_is_found_in_its_column():
    wells = np.array([f"{'ABCDEFGH'[i // 12 % 8]}{i % 12 + 1:02d}" for i in range(N)])
    points = noise() + 1.0 * (np.arange(N) % 12 == 0)[:, None]
    found = audit(points, {"batch": BATCH}, position=wells)
    assert "confounded" in verdicts(found, nuisance="column")
    assert verdicts(found, nuisance="row") == {"clean"}
    same = audit(points, {"batch": BATCH}, position=np.stack([np.arange(N) // 12 % 8, np.arange(N) % 12], 1))
    pd.testing.assert_frame_equal(found.table.drop(columns="detail"), same.table.drop(columns="detail"))


# ------------------------------------------------------------------ rules


def test_the_largest_of_related_checks_is_compared_with_the_largest():
    rng = np.random.default_rng(0)
    alike = rng.normal(size=200)
    alike[0] = 10
    family = Family({"a": alike, "b": 3 * alike + 1, "c": rng.normal(size=200), "constant": np.ones(200)})
    assert "constant" not in family.found
    assert family.p_values("a") == (1 / 200, 1 / 200) == family.p_values("b")
    alone, adjusted = family.p_values("c")
    assert adjusted >= alone and adjusted == np.mean(family.largest >= abs(family.distance["c"][0]) - 1e-9)


def test_p_values_are_two_sided_and_uniform_under_the_null():
    rng = np.random.default_rng(1)
    adjusted = [Family({"a": rng.normal(size=40), "b": rng.exponential(size=40)}).p_values("a")[1] for _ in range(2000)]
    best = [
        min(Family({"a": x[0], "b": x[1]}).p_values(k)[1] for k in "ab") for x in rng.exponential(size=(2000, 2, 40))
    ]
    assert np.mean(np.array(best) <= 0.05) == pytest.approx(0.05, abs=0.02)
    assert np.mean(np.array(adjusted) <= 0.05) < 0.05


@pytest.mark.parametrize(
    ("p_adjusted", "above", "power", "expected"),
    [
        (0.05, True, 0.0, "confounded"),
        (0.05, False, 1.0, "over-corrected"),
        (0.06, True, 0.8, "clean"),
        (0.06, False, 0.7, "cannot tell"),
    ],
)
def test_the_rules_for_labels(p_adjusted, above, power, expected):
    assert verdict.of_labels(p_adjusted, above, power) == expected


def test_the_worst_row_gives_the_verdict():
    assert verdict.of_all(["clean", "cannot tell", "over-corrected"]) == "over-corrected"
    assert verdict.of_all(["clean", "clean"]) == "clean"


# ------------------------------------------------------------------ what comes in and goes out


def test_one_seed_gives_one_table():
    first, again, other = (audit(noise(), {"batch": BATCH}, seed=seed) for seed in (0, 0, 1))
    pd.testing.assert_frame_equal(first.table, again.table)
    assert not first.table["p_value"].equals(other.table["p_value"])


def test_an_anndata_is_read_by_the_names_of_its_columns():
    anndata = pytest.importorskip("anndata", reason="the extra readers is not installed")
    obs = pd.DataFrame({"plate": BATCH.astype(str), "mechanism": LABEL.astype(str)}, index=[str(i) for i in range(N)])
    data = anndata.AnnData(noise(1).astype(np.float32), obs=obs, obsm={"X_model": noise()})
    named = audit(data, ["plate"], obsm="X_model", label="mechanism")
    plain = audit(noise(), {"plate": BATCH}, label=LABEL)
    pd.testing.assert_frame_equal(named.table, plain.table)
    with pytest.raises(ValueError, match=r"obsm: got 'X_umap', expected one of \['X_model'\]"):
        audit(data, ["plate"], obsm="X_umap")
    with pytest.raises(ValueError, match="label: got 'target', expected values, or with an AnnData one of plate"):
        audit(data, ["plate"], label="target")


def test_json_holds_the_table_without_nan():
    found = audit(noise(), {"batch": BATCH}, label=LABEL)
    record = json.loads(found.to_json(), parse_constant=lambda text: pytest.fail(text))
    assert record["verdict"] == "clean" and len(record["findings"]) == len(found.table)
    assert record["findings"][0]["p_value"] is None
    assert record["findings"][1]["observed"] == pytest.approx(found.table["observed"][1], rel=1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(nuisance={}), "nuisance: got nothing"),
        (dict(nuisance={"batch": np.zeros(N)}), r"nuisance\['batch'\]: got one value"),
        (dict(nuisance={"batch": BATCH[:9]}), r"nuisance\['batch'\]: got shape \(9,\)"),
        (dict(nuisance={"batch": [None] + [1] * (N - 1)}), r"nuisance\['batch'\]: got a missing label in row 0"),
        (dict(embedding=np.full((N, 2), np.nan)), "embedding: got NaN"),
        (dict(embedding=np.ones((N, 2))), "embedding: got equal rows"),
        (dict(embedding=noise()[:10], nuisance={"batch": BATCH[:10]}), "embedding: got 10 rows"),
        (dict(controls=np.arange(N) < 3), "controls: got 3 control wells"),
        (dict(controls=np.arange(N)), r"controls: got shape \(320,\) of int64"),
        (dict(position=["A01"] * (N - 1) + ["north"]), r"position: got a well \['north'\]"),
        (dict(cell_count=np.full(N, -1)), "cell_count: got a missing or negative count"),
        (dict(before=noise()[:5]), "before: got 5 rows"),
        (dict(label=LABEL[:9]), r"label: got shape \(9,\)"),
        (dict(molecule=[None] + [1] * (N - 1)), "molecule: got a missing label in row 0"),
        (dict(label="mechanism"), "label: got 'mechanism'"),
        (dict(obsm="X_pca"), "obsm: got 'X_pca', expected None"),
        (dict(n_permutations=0), "n_permutations"),
    ],
)
def test_what_does_not_fit_is_named(change, message):
    given = dict(embedding=noise(), nuisance={"batch": BATCH}) | change
    with pytest.raises(ValueError, match=message):
        audit(**given)
