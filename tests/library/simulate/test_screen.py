"""The simulated screen: what is drawn, and that every dose does what it says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from rdkit import Chem
from sklearn.linear_model import Ridge

from infocore_mini.featurize import morgan
from infocore_mini.simulate import molecules as molecules_module
from infocore_mini.simulate.molecules import SCAFFOLDS, SUBSTITUENTS, drug_like, sample_molecules, substructure_counts
from infocore_mini.simulate.screen import GE_DOSES, Doses, simulate_screen
from infocore_mini.sources import DataUnavailable

# nothing that belongs to a batch but the shift itself
CALM = replace(GE_DOSES, interaction=0, common_noise=0, flip_rate=0, noise_spread=0, n_controls=500, scaffold=0)


def bits(smiles):
    return morgan(smiles, n_bits=64)


def small(seed=0, **changes):
    shape = dict(n_drugs=120, cell_lines=("A375", "PC3"), n_batches=8, n_features=80, n_replicates=2, drug=bits)
    return simulate_screen(seed, **(shape | changes))


@pytest.fixture
def no_real_list(monkeypatch):
    def unavailable(name):
        raise DataUnavailable(f"{name}: none in this test")

    monkeypatch.setattr(molecules_module, "_real_smiles", unavailable)


# ---- what is drawn -----------------------------------------------------------------------------------------------


def test_seed_decides_everything():
    one, again, other = small(3), small(3), small(4)
    for name in ("drug", "profile", "profile_batch", "drug_id", "cell_line"):
        assert torch.equal(getattr(one.screen, name), getattr(again.screen, name)), name
    assert list(one.screen.smiles) == list(again.screen.smiles)
    assert torch.equal(one.control, again.control)
    assert not torch.equal(one.screen.profile, other.screen.profile)
    assert list(one.screen.smiles) != list(other.screen.smiles)


def test_drawing_leaves_the_global_stream_alone():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    small()
    assert torch.equal(torch.rand(3), expected)


def test_every_plate_is_a_batch_in_every_cell_line():
    simulated = small()
    screen = simulated.screen
    assert (len(screen.drug), len(screen), len(screen.profile)) == (120, 240, 480)
    assert screen.profile.shape[1] == 80 and screen.profile.dtype == torch.float32
    assert simulated.loading.shape == (120, GE_DOSES.n_mechanisms)
    assert simulated.signature.shape == (2, GE_DOSES.n_mechanisms, 80)
    assert simulated.control.shape == (8, GE_DOSES.n_controls, 80)
    assert simulated.shift.shape == simulated.response.shape == (8, 80)
    assert simulated.plate.bincount().tolist() == [30] * 4
    assert screen.batch_id.bincount().tolist() == [30] * 8
    assert torch.equal(screen.batch_id, simulated.plate[screen.drug_id] * 2 + screen.cell_line)
    assert screen.batch_names[3] == "P001_PC3"


def test_replicates_over_several_batches_give_soft_labels():
    screen = small(n_batches=16, replicate_batches=2, n_replicates=3).screen
    shares = screen.batch_id
    assert shares.shape == (240, 16)
    assert torch.allclose(shares.sort(1).values[:, -2:], torch.tensor([1 / 3, 2 / 3]).expand(240, 2))
    assert screen.batch_names[:3] == ("P000_A375_X1", "P000_A375_X2", "P000_PC3_X1")


def test_some_pairs_and_an_uneven_number_of_batches():
    simulated = small(cell_lines=("A", "B", "C"), n_batches=10, n_conditions=150)
    screen = simulated.screen
    assert len(screen) == 150
    assert len(screen.drug_id.unique()) == 120  # no molecule without a condition
    assert screen.n_batches == 10 and len(screen.profile_batch.unique()) == 10
    line_of_batch = torch.arange(10) % 3
    assert torch.equal(line_of_batch[screen.profile_batch], screen.cell_line[screen.condition])


def test_effect_is_the_mean_of_what_was_measured():
    quiet = replace(CALM, noise=1e-3, batch_effect=0, plate_level=0)
    simulated = small(doses=quiet)
    conditions = torch.arange(0, len(simulated.screen), 7)
    effect = simulated.effect(conditions)
    measured = simulated.screen.mean_profile()[conditions]
    assert torch.allclose(effect, measured, atol=5e-3)
    assert effect.abs().max() > 0.1


# ---- doses -------------------------------------------------------------------------------------------------------


def same_batch_rate(simulated):
    """Over wells of the first cell line, whose nearest neighbour among other molecules lies in their batch."""
    screen = simulated.screen
    chosen = screen.cell_line[screen.condition] == 0
    drug, batch_id = screen.drug_id[screen.condition][chosen], screen.profile_batch[chosen]
    x = torch.nn.functional.normalize(screen.profile[chosen], dim=1)
    nearest = (x @ x.T).masked_fill(drug[:, None] == drug, -torch.inf).argmax(1)
    return (batch_id[nearest] == batch_id).double().mean().item()


def test_without_batch_effect_neighbours_are_at_chance():
    absent, present = (same_batch_rate(small(doses=replace(CALM, batch_effect=dose))) for dose in (0.0, 0.4))
    assert absent == pytest.approx(0.25, abs=0.08)  # 4 plates, 240 wells
    assert present > 0.9


@pytest.mark.parametrize(
    "dose", [dict(interaction=1.0), dict(common_noise=0.9), dict(flip_rate=0.1), dict(n_controls=2)]
)
def test_other_marks_of_a_batch(dose):
    base = replace(CALM, batch_effect=0)
    assert same_batch_rate(small(doses=replace(base, **dose))) > same_batch_rate(small(doses=base)) + 0.05


def test_control_subtraction_removes_the_plate_level():
    without, with_level = (small(doses=replace(GE_DOSES, plate_level=dose)) for dose in (0.0, 3.0))
    assert torch.allclose(without.screen.profile, with_level.screen.profile, atol=1e-4)
    assert (with_level.control.mean(1).std(0).mean()) > 2 > without.control.mean(1)[::2].std(0).mean()


def test_effect_dose_is_the_rms_of_the_median_molecule():
    for dose in (0.1, 0.5):
        simulated = small(doses=replace(GE_DOSES, effect=dose))
        effect = simulated.loading @ simulated.signature[0]
        assert effect.square().mean(1).sqrt().median().item() == pytest.approx(dose, rel=1e-3)
    assert small(doses=replace(GE_DOSES, effect=0.0)).loading.abs().max() == 0


def test_structure_dose_decides_what_substructures_explain():
    def explained(structure):
        doses = replace(GE_DOSES, structure=structure, potency_spread=0)
        simulated = small(n_drugs=800, n_features=4, doses=doses)
        x, y = np.log1p(substructure_counts(list(simulated.screen.smiles))), simulated.loading.numpy()
        predicted = Ridge(alpha=30).fit(x[:600], y[:600]).predict(x[600:])
        return 1 - np.square(y[600:] - predicted).sum() / np.square(y[600:] - y[:600].mean(0)).sum()

    assert explained(0.0) < 0.0 < 0.15 < explained(1.0)


def test_context_dose_separates_cell_lines():
    def similarity(context):
        one, other = small(n_features=300, doses=replace(GE_DOSES, context=context)).signature
        return torch.cosine_similarity(one, other).mean().item()

    assert similarity(0.0) == pytest.approx(1, abs=1e-5)
    assert similarity(1.0) == pytest.approx(0, abs=0.1)


def test_stress_can_push_all_molecules_one_way():
    def mean_share(one_sided):
        doses = replace(GE_DOSES, stress=0.6, one_sided=one_sided, potency_spread=0)
        simulated = small(n_features=300, doses=doses)
        effect = simulated.loading @ simulated.signature[0]
        return (effect.mean(0).square().sum() / effect.square().mean(0).sum()).item()

    assert mean_share(1.0) > mean_share(0.0) + 0.2


def test_one_dose_leaves_other_draws_alone():
    one, other = small(), small(doses=replace(GE_DOSES, batch_effect=0.5, scaffold=0.0))
    assert torch.equal(one.loading, other.loading)
    assert torch.equal(one.signature, other.signature)
    assert torch.allclose(one.shift / GE_DOSES.batch_effect, other.shift / 0.5, atol=1e-5)


# ---- bad arguments -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("n_drugs", 0),
        ("n_drugs", 3),  # fewer than plates
        ("n_features", 0),
        ("n_replicates", 0),
        ("cell_lines", ()),
        ("n_batches", 1),
        ("n_conditions", 100),
        ("n_conditions", 241),
        ("replicate_batches", 3),
    ],
)
def test_arguments_out_of_range_are_named(argument, value):
    with pytest.raises(ValueError, match=f"^{argument}: got .*expected"):
        small(**{argument: value})


@pytest.mark.parametrize(("dose", "value"), [("structure", 1.2), ("noise", -1), ("n_mechanisms", 0), ("flip_rate", 2)])
def test_doses_out_of_range_are_named(dose, value):
    with pytest.raises(ValueError, match=f"^{dose}: got {value}, expected"):
        Doses(**{dose: value})


# ---- molecules ---------------------------------------------------------------------------------------------------


def test_fallback_molecules_parse_and_are_unique(no_real_list):
    drawn = sample_molecules(3000, 0)
    assert not drawn.real and "enumerated" in drawn.source
    assert len(set(drawn.smiles)) == 3000
    assert all(drug_like(text) == text for text in drawn.smiles)
    assert drawn == sample_molecules(3000, 0) != sample_molecules(3000, 1)


def test_every_scaffold_and_substituent_is_a_molecule():
    for scaffold in SCAFFOLDS:
        for substituent in SUBSTITUENTS:
            for a, b in ((substituent, "C"), ("C", substituent)):
                assert Chem.MolFromSmiles(scaffold.format(a=a, b=b)) is not None, (scaffold, a, b)
    assert len(set(SCAFFOLDS)) == 25 and len(set(SUBSTITUENTS)) == 40


def test_the_fallback_carries_a_screen_and_says_so(no_real_list):
    simulated = small()
    assert not simulated.molecules.real
    assert len(simulated.screen) == 240


def test_more_molecules_than_there_are(no_real_list, monkeypatch):
    monkeypatch.setattr(molecules_module, "SCAFFOLDS", SCAFFOLDS[:1])
    with pytest.raises(ValueError, match="n: got 5,000, expected at most"):
        sample_molecules(5000, 0)


@pytest.mark.parametrize("real", [True, False])
def test_a_demand_beyond_the_lists_is_refused_before_a_molecule_is_parsed(monkeypatch, real):
    def listed(name):
        if not real:
            raise DataUnavailable(name)
        return ["CCCCCCCCCCO"] * 30

    monkeypatch.setattr(molecules_module, "_real_smiles", listed)
    monkeypatch.setattr(molecules_module, "drug_like", lambda text: pytest.fail("a molecule was parsed"))
    with pytest.raises(ValueError, match=f"n: got 1,000,000,000, expected at most the {60 if real else '40,000'} "):
        sample_molecules(10**9, 0)


def test_real_molecules_are_drug_like():
    drawn = sample_molecules(500, 0)
    assert drawn.real and "broad_smiles" in drawn.source
    assert len(set(drawn.smiles)) == 500
    assert all(drug_like(text) == text for text in drawn.smiles)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("CC(=O)Oc1ccccc1C(O)=O |a:1|", "CC(=O)Oc1ccccc1C(=O)O"),  # ChemAxon's extension dropped
        ("C[C@H](N)Cc1ccc(O)cc1", "CC(N)Cc1ccc(O)cc1"),  # stereochemistry dropped
        ("CC(=O)Oc1ccccc1C(O)=O.[Na]", None),  # two fragments
        ("CCO", None),  # too small
        ("C" * 61, None),  # too large
        ("c1ccccc1[Pt]c1ccccc1", None),  # not an organic element
        ("c1ccccc1(", None),  # no molecule
    ],
)
def test_drug_like(text, expected):
    assert drug_like(text) == expected


def test_unparsable_smiles_are_listed():
    with pytest.raises(ValueError, match="smiles: got 1 that RDKit cannot parse \\(1: 'nonsense'\\)"):
        substructure_counts(["CCO", "nonsense"])
