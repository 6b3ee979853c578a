"""Doses of the simulated screens, and their values calibrated on real plates (``data/results/calibration.json``)."""

from __future__ import annotations

from dataclasses import dataclass, fields

from infocore_mini.validation import require


@dataclass(frozen=True)
class Doses:
    """How much of everything. Readout units: log2 expression (GE) or z-scores against DMSO (CP).

    Attributes:
        n_mechanisms: M, mechanisms shared by all molecules.
        structure: share of a mechanism's drive that substructures explain; the rest is particular to the molecule.
        effect: rms over features of the drug effect of the median molecule.
        potency_spread: standard deviation of ln potency; potency does not depend on structure.
        stress: mean share of a signature that lies along one axis common to all mechanisms, in either direction.
        one_sided: share of that axis on which all mechanisms agree in direction.
        context: share of each signature that is specific to the cell line.
        scaffold: how strongly a drug plate prefers molecules similar to its series; 0 = at random.
        batch_effect: rms over features of the shift that subtracting the control mean leaves behind.
        interaction: standard deviation of ln of how strongly a feature responds to drugs in a batch.
        plate_level: rms over features of the batch differences that subtracting the control mean removes.
        noise: median over features of the standard deviation of well noise.
        noise_spread: standard deviation over features of ln noise, half of its variance particular to the batch.
        common_noise: share of the noise variance in few directions particular to the batch (gradients over the plate);
            the mean over batches, of which a few have much and most little.
        flip_rate, flip_size: share of values that jump by an amount particular to feature and batch (in L1000 two genes
            share a bead colour and can be taken for each other), and the standard deviation of that amount.
        n_controls: vehicle wells in a batch, whose mean is subtracted.
    """

    n_mechanisms: int = 48
    structure: float = 0.5
    effect: float = 0.24
    potency_spread: float = 0.9
    stress: float = 0.5
    one_sided: float = 0.0
    context: float = 0.3
    scaffold: float = 1.5
    batch_effect: float = 0.17
    interaction: float = 0.6
    plate_level: float = 0.8
    noise: float = 0.28
    noise_spread: float = 0.45
    common_noise: float = 0.45
    flip_rate: float = 0.05
    flip_size: float = 2.2
    n_controls: int = 20

    def __post_init__(self) -> None:
        """A dose out of its range raises ValueError."""
        shares = ("structure", "stress", "one_sided", "context", "common_noise", "flip_rate")
        for field in fields(self):
            value = getattr(self, field.name)
            counts = field.name in ("n_mechanisms", "n_controls")
            require(value >= (1 if counts else 0), field.name, value, f"at least {1 if counts else 0}")
            require(field.name not in shares or value <= 1, field.name, value, "a share, 0 to 1")


GE_DOSES = Doses()
CP_DOSES = Doses(
    n_mechanisms=24,
    structure=0.5,
    effect=2.0,
    potency_spread=0.55,
    stress=0.65,
    one_sided=0.8,
    context=0.0,
    scaffold=5.0,
    batch_effect=0.35,
    interaction=0.1,
    plate_level=0.0,
    noise=0.8,
    noise_spread=0.3,
    common_noise=0.3,
    flip_rate=0.0,
    flip_size=0.0,
    n_controls=200,
)
