"""Corrections do what their formula says, on plates they have seen and on new ones, and never see a molecule."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from infocore_mini import PairedScreen
from infocore_mini.correct import (
    BatchCentring,
    CellCountRegression,
    ComBat,
    ControlMean,
    Harmony,
    PlateCentring,
    RobustZ,
    Sphering,
    Stabilised,
)

ALL = [
    BatchCentring(),
    PlateCentring(),
    CellCountRegression(),
    ComBat(),
    ControlMean(),
    Harmony(),
    RobustZ(),
    Sphering(),
    Stabilised(),
]
N_PLATES, N_WELLS, N_CONTROLS, N_FEATURES = 6, 30, 20, 5


@pytest.fixture(scope="module")
def screen() -> PairedScreen:
    """Simulated: plates shift and stretch every feature; one feature in three follows the number of cells."""
    rng = np.random.default_rng(0)
    shift, stretch = rng.normal(scale=3, size=(N_PLATES, N_FEATURES)), rng.uniform(0.5, 2, size=(N_PLATES, N_FEATURES))

    def wells(n):
        plate = np.repeat(np.arange(N_PLATES), n)
        count = rng.integers(50, 500, n * N_PLATES).astype(float)
        x = rng.normal(size=(n * N_PLATES, N_FEATURES)) + np.outer(np.log1p(count), [0, 2, 0, 0, -1])
        names = [f"plate {code}" for code in plate]
        return shift[plate] + stretch[plate] * x, names, {"cell_count": count, "plate": names}

    (profile, batch, info), (control, control_batch, control_info) = wells(N_WELLS), wells(N_CONTROLS)
    return PairedScreen.from_profiles(
        smiles=[f"molecule {i % 25:02}" for i in range(len(batch))],
        drug=lambda smiles: np.eye(len(smiles)),
        profile=profile,
        batch=batch,
        info=info,
        controls={"profile": control, "batch": control_batch, "info": control_info},
    )


def on(screen: PairedScreen, plates) -> PairedScreen:
    """The profiles of some plates; control wells stay, as in every part."""
    return screen.where(np.isin(screen.profile_batch.numpy(), plates))


def of_plate(screen: PairedScreen, plate: int) -> tuple[np.ndarray, np.ndarray]:
    return screen.profile[screen.profile_batch == plate].numpy(), screen.controls.profile[
        screen.controls.batch_id == plate
    ].numpy()


def test_controls_have_mean_0_on_every_plate_after_control_mean(screen):
    found = ControlMean().fit(on(screen, [0, 1])).transform(screen)
    for plate in range(N_PLATES):
        (before, controls), (after, at_zero) = of_plate(screen, plate), of_plate(found, plate)
        np.testing.assert_allclose(at_zero.mean(0), 0, atol=1e-5)
        np.testing.assert_allclose(after, before - controls.mean(0), atol=1e-4)


def test_all_wells_have_mean_0_on_every_plate_after_plate_centring(screen):
    found = PlateCentring().fit_transform(screen)
    for plate in range(N_PLATES):
        np.testing.assert_allclose(np.concatenate(of_plate(found, plate)).mean(0), 0, atol=1e-5)
    bare = PlateCentring().fit_transform(replace(screen, controls=None))
    assert bare.controls is None
    for plate in range(N_PLATES):
        np.testing.assert_allclose(bare.profile[bare.profile_batch == plate].mean(0), 0, atol=1e-5)


@pytest.mark.parametrize("wells", ["controls", "all"])
def test_robust_z_is_median_and_deviation(screen, wells):
    """As pycytominer's RobustMAD: (x - median) / (1.4826 * MAD)."""
    found = RobustZ(wells=wells, floor=1e-6).fit(on(screen, [0, 1, 2])).transform(screen)
    for plate in range(N_PLATES):
        profile, controls = of_plate(screen, plate)
        known = controls if wells == "controls" else np.concatenate([profile, controls])
        centre = np.median(known, 0)
        expected = (profile - centre) / (1.4826 * np.median(np.abs(known - centre), 0))
        np.testing.assert_allclose(of_plate(found, plate)[0], expected, rtol=1e-4, atol=1e-4)


def test_a_spread_of_0_does_not_blow_up(screen):
    control = screen.controls.profile.clone()
    control[screen.controls.batch_id == 4, 0] = 1.0  # on one plate
    control[:, 1] = 2.0  # everywhere
    control[torch.arange(len(control)) % 3 > 0, 2] = 3.0  # most wells equal
    flat = replace(screen, controls=replace(screen.controls, profile=control))
    found = RobustZ(floor=0.1).fit_transform(flat)
    assert bool(found.profile.isfinite().all()) and float(found.profile.abs().max()) < 1000
    here = screen.profile_batch == 4
    np.testing.assert_allclose(found.profile[here, 1], screen.profile[here, 1] - 2.0, atol=1e-5)


def test_missing_readouts_stay_missing_and_touch_no_other(screen):
    profile, control = screen.profile.clone(), screen.controls.profile.clone()
    profile[3, 1] = control[5, 2] = torch.nan
    holed = replace(screen, profile=profile, controls=replace(screen.controls, profile=control))
    for correction in (ControlMean(), PlateCentring(), RobustZ()):
        found = correction.fit_transform(holed)
        assert found.profile.isnan().nonzero().tolist() == [[3, 1]]
        assert found.controls.profile.isnan().nonzero().tolist() == [[5, 2]]
    for correction in (Sphering(), ComBat(), Harmony()):
        with pytest.raises(ValueError, match="got readouts that are NaN"):
            correction.fit_transform(holed)


def test_controls_have_the_identity_as_covariance_after_sphering(screen):
    centred = ControlMean().fit_transform(screen)
    found = Sphering(ridge=0).fit_transform(centred)
    np.testing.assert_allclose(np.cov(found.controls.profile.numpy(), rowvar=False), np.eye(N_FEATURES), atol=1e-4)
    np.testing.assert_allclose(found.controls.profile.mean(0), 0, atol=1e-5)


def test_the_ridge_of_sphering_is_added_to_each_eigenvalue(screen):
    found = Sphering(ridge=0.5).fit_transform(screen)
    before = np.linalg.eigvalsh(np.cov(screen.controls.profile.numpy(), rowvar=False))
    after = np.linalg.eigvalsh(np.cov(found.controls.profile.numpy(), rowvar=False))
    np.testing.assert_allclose(np.sort(after), np.sort(before / (before + 0.5 * before.mean())), rtol=1e-4)


def test_sphering_without_a_ridge_needs_enough_controls(screen):
    same = replace(screen, controls=replace(screen.controls, profile=screen.controls.profile[:, [0]].repeat(1, 5)))
    with pytest.raises(ValueError, match="ridge: got 0, expected more"):
        Sphering(ridge=0).fit(same)
    assert bool(Sphering().fit_transform(same).profile.isfinite().all())


def test_no_slope_in_the_cell_count_is_left_and_the_mean_stays(screen):
    for wells in ("controls", "all"):
        found = CellCountRegression(wells).fit_transform(screen)
        count, x, before = (
            [np.log1p(screen.controls.info["cell_count"])],
            [found.controls.profile],
            [screen.controls.profile],
        )
        if wells == "all":
            count.append(np.log1p(screen.info["cell_count"]))
            x.append(found.profile)
            before.append(screen.profile)
        count, x, before = (np.concatenate(part) for part in (count, x, before))
        np.testing.assert_allclose((count - count.mean()) @ x / len(x), 0, atol=1e-4)
        np.testing.assert_allclose(x.mean(0), before.mean(0), atol=1e-4)


def test_combat_takes_location_and_scale_of_the_batches_out(screen):
    found = ComBat().fit_transform(screen)

    def spread_of_plates(part, statistic):
        return np.std([statistic(np.concatenate(of_plate(part, plate)), 0) for plate in range(N_PLATES)], axis=0)

    assert (spread_of_plates(found, np.mean) < 0.1 * spread_of_plates(screen, np.mean)).all()
    assert (spread_of_plates(found, np.std) < 0.5 * spread_of_plates(screen, np.std)).all()


def test_combat_knows_the_batches_of_training_alone(screen):
    train = on(screen, [0, 1, 2])
    correction = ComBat().fit(train)
    found = correction.transform(on(screen, [1, 2]))
    whole = correction.transform(train)
    np.testing.assert_allclose(found.profile, on(whole, [1, 2]).profile, atol=1e-5)
    assert sorted(set(found.controls.batch_id.tolist())) == [0, 1, 2]
    with pytest.raises(ValueError, match="3 experimental batches that fit has not seen \\(first 'plate 3'\\)"):
        correction.transform(screen)


def test_stabilised_statistics_lie_between_the_plates_own_and_those_of_training(screen):
    train, new = on(screen, [0, 1, 2, 3]), on(screen, [5])
    own = np.concatenate([new.profile, screen.controls.profile[screen.controls.batch_id == 5]])
    wells = [np.concatenate(of_plate(train, plate)[:2]) for plate in range(4)]
    mean = np.mean([part.mean(0) for part in wells], axis=0)
    variance = np.concatenate([part - part.mean(0) for part in wells]).var(0)
    for prior in (1e-6, 10.0, 1e9):
        n = len(own)
        centre = (n * own.mean(0) + prior * mean) / (n + prior)
        scale = np.sqrt((n * own.var(0) + prior * variance) / (n + prior))
        found = Stabilised(prior_wells=prior).fit(train).transform(new).profile
        np.testing.assert_allclose(found, (new.profile.numpy() - centre) / scale, rtol=1e-3, atol=1e-4)
    with pytest.raises(ValueError, match="prior_wells: got 0, expected a number > 0"):
        Stabilised(prior_wells=0)


def test_harmony_mixes_plates(screen):
    found = Harmony().fit_transform(screen)
    spread = [
        np.std([of_plate(part, plate)[0].mean(0) for plate in range(N_PLATES)], axis=0) for part in (screen, found)
    ]
    assert spread[1].mean() < 0.5 * spread[0].mean()
    np.testing.assert_array_equal(found.profile, Harmony().fit_transform(screen).profile)


@pytest.mark.parametrize("correction", [c for c in ALL if c.inductive], ids=lambda c: type(c).__name__)
def test_a_new_plate_is_transformed_as_if_it_came_alone_and_training_never_sees_it(screen, correction):
    fitted = correction.fit(on(screen, [0, 1, 2, 3]))
    whole, alone = fitted.transform(screen), fitted.transform(on(screen, [5]))
    np.testing.assert_allclose(on(whole, [5]).profile, alone.profile, atol=1e-5)
    control = screen.controls.profile.clone()
    control[screen.controls.batch_id > 3] += 100.0  # control wells of other batches than those of training
    other = correction.fit(replace(on(screen, [0, 1, 2, 3]), controls=replace(screen.controls, profile=control)))
    np.testing.assert_allclose(other.transform(on(screen, [0])).profile, on(whole, [0]).profile, atol=1e-5)


@pytest.mark.parametrize("correction", ALL, ids=lambda c: type(c).__name__)
def test_a_correction_is_written_down(screen, correction):
    steps = correction.fit(screen).transform(replace(screen, corrections=("before",))).corrections
    assert steps == ("before", repr(correction)) and repr(correction).startswith(f"{type(correction).__name__}(")


@pytest.mark.parametrize("correction", ALL, ids=lambda c: type(c).__name__)
def test_no_correction_reads_molecules_and_all_else_stays(screen, correction):
    before = screen.profile.clone()
    found = correction.fit_transform(screen)
    renamed = replace(screen, drug=screen.drug.flip(0), smiles=screen.smiles[::-1], drug_id=screen.drug_id.flip(0))
    np.testing.assert_array_equal(correction.fit_transform(renamed).profile, found.profile)
    assert torch.equal(screen.profile, before) and found.profile.dtype == torch.float32
    assert found.info == screen.info and torch.equal(found.condition, screen.condition)
    assert found.controls.info == screen.controls.info and len(found.controls) == len(screen.controls)
    assert not torch.equal(found.controls.profile, screen.controls.profile)


@pytest.mark.parametrize(
    "correction", [ControlMean(), RobustZ(), Sphering(), CellCountRegression()], ids=lambda c: type(c).__name__
)
def test_what_needs_controls_says_so(screen, correction):
    with pytest.raises(ValueError, match="got no control wells, which"):
        correction.fit(replace(screen, controls=None))


def test_a_plate_without_controls_is_named(screen):
    there = screen.controls.batch_id != 2
    some = replace(screen.controls, profile=screen.controls.profile[there], batch_id=screen.controls.batch_id[there],
                   cell_line=screen.controls.cell_line[there], info=screen.controls.info.take(there))  # fmt: skip
    with pytest.raises(ValueError, match="1 of 6 values of 'plate' without a control well \\(first 'plate 2'\\)"):
        ControlMean("plate").fit_transform(replace(screen, controls=some))


@pytest.mark.parametrize("correction", ALL, ids=lambda c: type(c).__name__)
def test_transform_wants_a_fit_and_its_features(screen, correction):
    with pytest.raises(ValueError, match="before fit"):
        type(correction)().transform(screen)
    fitted = correction.fit(screen)
    fewer = replace(
        screen, profile=screen.profile[:, 1:], controls=replace(screen.controls, profile=screen.controls.profile[:, 1:])
    )
    with pytest.raises(ValueError, match="screen: got 4 features or other names, expected the 5 of fit"):
        fitted.transform(fewer)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: RobustZ(floor=0), "floor: got 0"),
        (lambda: RobustZ(wells="some"), "wells: got 'some'"),
        (lambda: CellCountRegression("some"), "wells: got 'some'"),
        (lambda: Sphering(ridge=-1), "ridge: got -1"),
    ],
)
def test_settings_are_checked(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_unknown_columns_and_missing_counts_are_told(screen):
    with pytest.raises(ValueError, match="by: got 'lane', expected batch, plate or a column of info"):
        ControlMean("lane").fit(screen)
    with pytest.raises(ValueError, match="got no column cell_count"):
        CellCountRegression().fit(replace(screen, controls=replace(screen.controls, info={})))
    with pytest.raises(ValueError, match="got wells without 'plate'"):
        ControlMean("plate").fit(replace(screen, controls=replace(screen.controls, info={})))
