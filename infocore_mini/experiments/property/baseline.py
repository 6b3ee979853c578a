"""The baseline of property prediction, an encoder that was not pretrained; and what its ToxCast score depends on."""

from __future__ import annotations

from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor, nn

from infocore_mini.encoders import MLP, Scaler
from infocore_mini.evaluate.property import FineTuning, chosen, fine_tune
from infocore_mini.experiments.property.sets import checksums_behind, prepared
from infocore_mini.experiments.records import Made, Record, kept
from infocore_mini.featurize import Parts, murcko_scaffold

# One drug encoder for every screen and for the baseline, so that only its start differs; width to fit two cores.
BODY = MappingProxyType(dict(hidden_drug=(256, 256, 256), embedding_dim=256, layer_norm=True, dropout=0.1))
CLIP_DRUG = 2.5  # of Mol2vec, in standard deviations (appendix H)
FINE_TUNING = FineTuning()
# More steps in an epoch: fewer epochs, larger minibatches; for HIV also fewer learning rates, to fit two cores.
LARGE = MappingProxyType(
    {
        "Tox21": FineTuning(epochs=(5, 10), minibatch_size=256),
        "ToxCast": FineTuning(epochs=(5, 10), minibatch_size=256),
        "HIV": FineTuning(learning_rates=(3e-4, 1e-3), epochs=(2, 5, 8), minibatch_size=256),
    }
)


def untrained(features: Tensor, parts: Parts, seed: int) -> tuple[Tensor, nn.Module]:
    """Features scaled as the training part has them, (n, n_d), and a drug encoder of random weights."""
    scaler = Scaler(features.shape[1], clip_after=CLIP_DRUG).fit(features[parts.train])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        options = dict(layer_norm=BODY["layer_norm"], dropout=BODY["dropout"])
        return scaler(features), MLP(features.shape[1], BODY["hidden_drug"], BODY["embedding_dim"], **options)


# The baseline on ToxCast under other splits and another reading of missing entries: split, missing entries read as.
_TOXCAST_VARIANTS = MappingProxyType(
    {
        "as in the board": ("scaffold", "missing"),
        "missing read as inactive": ("scaffold", "inactive"),
        "scaffolds, random order": ("random scaffolds", "missing"),
        "molecules at random": ("random molecules", "missing"),
    }
)


def run_toxcast_variants(seeds: tuple[int, ...], folder: Path | None) -> list[Record]:
    """What the score of the baseline on ToxCast depends on; kept in ``folder``, None = nowhere.

    Returns:
        Records whose results are {"variant", "seed", "test"}, as fractions.
    """
    data = prepared("ToxCast")
    tuning = replace(LARGE["ToxCast"], learning_rates=(1e-3,))
    splits = {"random scaffolds": random_scaffolds, "random molecules": random_molecules}

    def one(split: str, missing: str, seed: int) -> Made:
        parts = splits[split](data.smiles, seed) if split in splits else data.parts
        target = np.nan_to_num(data.target) if missing == "inactive" else data.target
        x, body = untrained(data.mol2vec, parts, seed)
        best = chosen(fine_tune(body, x, target, parts, data.kind, config=tuning, seed=seed))
        return {"test": best.test}, checksums_behind(["ToxCast"], [])

    records = []
    for variant, (split, missing) in _TOXCAST_VARIANTS.items():
        for seed in seeds:
            settings = {"split": split, "missing": missing, "seed": seed, "tuning": asdict(tuning), "body": dict(BODY)}
            record = kept(folder, "toxcast_variant", settings, partial(one, split, missing, seed))
            records.append(replace(record, result={"variant": variant, "seed": seed} | record.result))
    return records


def random_molecules(smiles: np.ndarray, seed: int) -> Parts:
    """80 / 10 / 10 % of the molecules at random."""
    order = np.random.default_rng(seed).permutation(len(smiles))
    tenth = len(order) // 10
    return Parts(*(np.sort(part) for part in (order[2 * tenth :], order[tenth : 2 * tenth], order[:tenth])))


def random_scaffolds(smiles: np.ndarray, seed: int) -> Parts:
    """Scaffolds in random order, into test and validation while a tenth of the molecules has room, else into training."""
    scaffold, group = np.unique(murcko_scaffold(smiles), return_inverse=True)
    parts: list[list[int]] = [[], [], []]
    for code in np.random.default_rng(seed).permutation(len(scaffold)):
        rows = np.flatnonzero(group == code)
        fits = [part for part in parts[1:] if len(part) + len(rows) <= len(smiles) // 10]
        (fits[-1] if fits else parts[0]).extend(rows)
    return Parts(*(np.sort(part) for part in parts))
