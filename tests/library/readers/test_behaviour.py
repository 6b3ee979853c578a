"""The reader of zebrafish behaviour: on a made-up table of its layout, and on the real one where it is."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from infocore_mini.evaluate.mixing import same_label_neighbours
from infocore_mini.readers import ReadError, read_zebrafish
from infocore_mini.readers.behaviour import FEATURES, PROFILES
from infocore_mini.sources import DataUnavailable, fetch


def lengths(smiles):
    return np.array([[len(text)] for text in smiles], dtype=np.float32)


@pytest.fixture
def small(tmp_path):
    table = pd.DataFrame({"name": ["Ethanol", "Control", "Café", "Mystery", "Lost"], "cid": [702, None, 2519, 9, 702]})
    table["library"] = ["LOPAC", "LOPAC", "EOP", "EOP", None]
    table["concentration"] = ["15 uM", "15 uM", "?", "30 uM", "10 uM"]
    table["pharma"] = ["X", "Control", "Y", "Z", "X"]
    values = pd.DataFrame(np.arange(5 * 24).reshape(5, 24) / 7, columns=FEATURES)
    table = pd.concat([table, values], axis=1).assign(daymean_averageWaking=0.0)
    table.to_csv(tmp_path / "fish.csv", index=False, encoding="latin-1", na_rep="NA")
    (tmp_path / "smiles.tsv").write_text("cid\tsmiles\n702\tOCC\n2519\tCn1cnc2c1c(=O)n(C)c(=O)n2C\n")
    return tmp_path / "fish.csv", tmp_path / "smiles.tsv"


def test_a_library_is_an_experimental_batch_and_its_control_wells_are_kept(small):
    screen = read_zebrafish(small[0], smiles=small[1], drug=lengths)
    assert screen.batch_names == ("EOP", "LOPAC") and screen.feature_names == FEATURES and len(FEATURES) == 24
    assert dict(zip(screen.info["name"], screen.info["dose"], strict=True)) == pytest.approx(
        {"Ethanol": 15, "Café": np.nan}, nan_ok=True
    )
    assert len(screen.controls) == 1
    assert screen.left_out.values.tolist() == [["Lost", "of no named library", 1], ["Mystery", "no SMILES", 1]]


def test_a_concentration_that_is_none_and_a_missing_feature_are_named(small):
    text = small[0].read_text(encoding="latin-1")
    small[0].write_text(text.replace("30 uM", "a lot"), encoding="latin-1")
    with pytest.raises(ReadError, match="'a lot' under concentration"):
        read_zebrafish(small[0], smiles=small[1], drug=lengths)
    small[0].write_text(text.replace("day2_sleep,", "day3_sleep,"), encoding="latin-1")
    with pytest.raises(ReadError, match="no column day2_sleep"):
        read_zebrafish(small[0], smiles=small[1], drug=lengths)


@pytest.fixture(scope="module")
def real():
    try:
        fetch(PROFILES)
    except DataUnavailable as reason:
        pytest.skip(f"data: {reason}")
    return read_zebrafish(drug=lengths)


def test_the_real_screen_has_the_size_its_card_says(real):
    assert (len(real.smiles), len(real.profile), real.n_batches) == (3087, 5113, 15)
    assert real.left_out.groupby("reason")["profiles"].sum().to_dict() == {"no SMILES": 351, "of no named library": 123}
    libraries = pd.DataFrame({"molecule": real.drug_id[real.condition], "library": real.profile_batch})
    assert (libraries.groupby("molecule")["library"].nunique() > 1).sum() > 1000


def test_the_library_is_seen_in_the_nearest_neighbours_and_all_the_more_after_subtracting_its_mean(real):
    """The mean of a library is that of its few strong compounds: subtracted, it gives the many weak ones one direction."""
    profile, batch = real.profile.numpy(), real.profile_batch.numpy()
    molecule = real.drug_id[real.condition].numpy()
    mean, median = (
        np.stack([middle(profile[batch == code], axis=0) for code in range(15)])[batch]
        for middle in (np.mean, np.median)
    )
    raw, by_mean, by_median = (
        same_label_neighbours(x, batch, other_than=molecule, n_permutations=19)
        for x in (profile, profile - mean, profile - median)
    )
    assert raw.rate == pytest.approx(0.423, abs=0.005) and raw.chance == pytest.approx(0.262, abs=0.01)
    assert by_mean.rate == pytest.approx(0.806, abs=0.005)
    assert by_median.rate == pytest.approx(0.428, abs=0.005)
