"""Checks of what is trained on: the message names the argument, what came and what was expected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from infocore_mini.config import Config
from infocore_mini.nuisance import column_codes
from infocore_mini.screens import PairedScreen
from infocore_mini.training.pairs import NuisancePairs, NuisanceScreenPairs, Pairs, ScreenPairs
from infocore_mini.validation import as_matrix, require

OF_SCREENS = {"cell_line_heads": False, "mixup_concentration": 0, "clip_drug": None, "clip_screen": None}


def check_device(config: Config) -> None:
    """ValueError if the device is not there."""
    if config.device == "cpu":
        return
    n = torch.cuda.device_count()
    index = int(config.device.partition(":")[2] or 0)
    if index >= n:
        raise ValueError(f"device: got {config.device!r}, expected 'cpu': this machine has {n} GPUs that torch can use")


def check_pairs(
    drug: Any, screen: Any, batch_id: Any, molecule: Any, config: Config, nuisance: Mapping[str, Any] | None = None
) -> Pairs:
    """The arguments of ``train.pretrain`` on its device; ValueError names what does not fit."""
    check_device(config)
    drug = as_matrix("drug", drug)
    screen = None if screen is None else as_matrix("screen", screen)
    if screen is not None and len(screen) != len(drug):
        raise ValueError(f"screen: got {len(screen)} rows, expected {len(drug)} like drug")
    if len(drug) < 2:
        raise ValueError(f"drug: got {len(drug)} row, expected at least 2 to contrast")
    batch_id, n_batches = _labels("batch_id", batch_id, len(drug))
    further = {name: _labels(name, labels, len(drug))[0] for name, labels in (nuisance or {}).items()}
    for name, off in OF_SCREENS.items():
        if getattr(config, name) != off:
            raise ValueError(f"{name}: got {getattr(config, name)}, expected {off} (pretrain_screen reads it)")
    if config.sampling == "alternate":
        raise ValueError("sampling: got 'alternate', expected 'random' or 'one_batch' (pretrain_screen has cell lines)")
    soft = batch_id.ndim == 2
    _check_labels((batch_id.sum(0) > 0).nonzero().squeeze(1) if soft else batch_id, config, soft=soft)
    drug_id = None if molecule is None else _molecules(molecule, len(drug)).to(config.device)
    device = config.device
    views = drug.to(device), None if screen is None else screen.to(device)
    if not further or (config.method == "clip" and config.penalty is None):  # which reads no label
        return Pairs(*views, batch_id.to(device), n_batches, drug_id)
    labels = {"batch_id": batch_id} | further
    _check_nuisances(labels, config)
    if config.method == "ccl":  # candidates agree with the anchor in every label
        codes = torch.stack(list(labels.values()), 1).unique(dim=0, return_inverse=True)[1]
        _check_labels(codes, config, soft=False)
        return Pairs(*views, codes.to(device), int(codes.max()) + 1, drug_id)
    return NuisancePairs(*views, [label.to(device) for label in labels.values()], drug_id)


def _check_nuisances(labels: Mapping[str, Tensor], config: Config) -> None:
    """What several nuisances ask of the settings, and each of its labels; ValueError."""
    require(config.method != "ccl_k", "method", "'ccl_k'", "a method without a kernel with several nuisances")
    require(config.mixture == "arithmetic", "mixture", repr(config.mixture), "'arithmetic' with several nuisances")
    random = config.method == "ccl" or config.sampling == "random"
    require(random, "sampling", repr(config.sampling), "'random' with several nuisances")
    for name, label in labels.items():
        soft = label.ndim == 2
        require(not soft or config.method == "infocore", name, "soft labels", f"codes for method={config.method!r}")
        present = int((label.sum(0) > 0).sum()) if soft else len(label.unique())
        require(present > 1, name, "one level", "at least 2 of a nuisance")


def check_screen(screen: PairedScreen, config: Config, validation: PairedScreen | None, validate_every: int) -> None:
    """The arguments of ``train.pretrain_screen``; ValueError names what does not fit."""
    check_device(config)
    if len(screen.drug) < 2:
        raise ValueError(f"screen: got {len(screen.drug)} molecule, expected at least 2 to contrast")
    if config.sampling == "alternate" and config.queue_size < 2 * config.minibatch_size:
        raise ValueError(
            f"queue_size: got {config.queue_size}, expected at least 2 minibatch_size = {2 * config.minibatch_size}: "
            "each cell line's queue has half of it"
        )
    soft = screen.has_soft_labels
    _check_labels(screen.profile_batch if soft else screen.batch_id, config, soft=soft)
    if validate_every < 1:
        raise ValueError(f"validate_every: got {validate_every}, expected at least 1 epoch")
    if validation is None:
        return
    for name in ("batch_names", "cell_line_names", "feature_names", "corrections"):
        if getattr(screen, name) != getattr(validation, name):
            raise ValueError(f"validation: got other {name} than screen, expected a subset of the same screen")
    shared = np.intersect1d(screen.smiles, validation.smiles)
    if len(shared) and bool(torch.isin(validation.profile_batch, screen.profile_batch).any()):
        raise ValueError(
            f"validation: got {len(shared)} molecules of screen (first {shared[0]}) and experimental batches of it, "
            "expected other molecules or other batches"
        )
    in_lines = torch.stack([validation.cell_line, validation.drug_id], 1).unique(dim=0)[:, 0].bincount()
    if int(in_lines.max()) < 2:
        raise ValueError("validation: got one molecule a cell line, expected at least 2: retrieval has to rank some")


def screen_pairs(screen: PairedScreen, config: Config, nuisance: Sequence[str]) -> ScreenPairs:
    """What ``train.pretrain_screen`` trains on, on its device; ValueError names the column that does not fit."""
    require(not isinstance(nuisance, str), "nuisance", repr(nuisance), "a sequence of names")
    further = {name: torch.from_numpy(column_codes(screen.info, name)) for name in nuisance}
    if not further or (config.method == "clip" and config.penalty is None):  # which reads no label
        return ScreenPairs(screen, config.device)
    labels = {"batch_id": screen.profile_batch} | further
    _check_nuisances(labels, config)
    codes = torch.stack(list(labels.values()), 1)
    if config.method != "ccl":
        return NuisanceScreenPairs(screen, config.device, codes)
    joint = codes.unique(dim=0, return_inverse=True)[1]  # candidates agree with the anchor in every label
    names = tuple(map(str, range(int(joint.max()) + 1)))
    finer = replace(screen, profile_batch=joint, batch_names=names, controls=None)
    one_each = not finer.has_soft_labels
    require(one_each, "nuisance", "conditions of several values", "one of each condition for method='ccl'")
    _check_labels(finer.batch_id, config, soft=False)
    return ScreenPairs(finer, config.device)


def check_patience(patience: int | None, scored: bool) -> None:
    """ValueError unless it is a number of epochs of a run whose epochs are scored, or None."""
    fits = patience is None or (scored and patience >= 1)
    require(fits, "patience", patience, "at least 1 epoch, where epochs are scored, or None")


def _labels(name: str, value: Any, n: int) -> tuple[Tensor, int]:
    """(n,) int64 codes or (n, n_B) float32 soft labels, and n_B."""
    given = value if isinstance(value, Tensor) else np.asarray(value)
    if not isinstance(given, Tensor) and given.dtype.kind not in "iuf":
        raise ValueError(
            f"{name}: got values of type {given.dtype}, expected integer codes (the estimators take any labels)"
        )
    labels = torch.as_tensor(given)
    soft = labels.ndim == 2 and labels.is_floating_point()
    fits = labels.shape[:1] == (n,) and (soft or (labels.ndim == 1 and not labels.is_floating_point()))
    if not fits:
        raise ValueError(
            f"{name}: got shape {tuple(labels.shape)} of {labels.dtype}, "
            f"expected ({n},) integer codes or ({n}, n_B) float rows that sum to 1"
        )
    if not soft and int(labels.min()) < 0:
        raise ValueError(f"{name}: got {int(labels.min())}, expected codes >= 0")
    if soft and not bool(((labels.sum(1) - 1).abs() < 1e-4).all() and (labels >= 0).all()):
        raise ValueError(f"{name}: got soft labels whose rows are not distributions, expected rows >= 0 that sum to 1")
    return (labels.float(), labels.shape[1]) if soft else (labels.long(), int(labels.max()) + 1)


def _molecules(molecule: Any, n: int) -> Tensor:
    """(n,) codes of the molecules."""
    groups = np.asarray(molecule)
    if groups.shape != (n,):
        raise ValueError(f"molecule: got shape {groups.shape}, expected ({n},) like the rows of drug")
    return torch.from_numpy(np.unique(groups, return_inverse=True)[1].astype(np.int64))


def _check_labels(batch_id: Tensor, config: Config, *, soft: bool) -> None:
    """What the method asks of the experimental batches: codes of the rows, or with soft labels of all that they name."""
    if soft and (config.method == "ccl" or config.sampling == "one_batch"):
        raise ValueError("batch_id: got soft labels, expected integer codes for method='ccl' or sampling='one_batch'")
    if not soft and (config.method == "ccl" or config.sampling == "one_batch"):
        asks = "method='ccl'" if config.method == "ccl" else "sampling='one_batch'"
        least, largest = (
            config.smallest_minibatch if config.sampling == "one_batch" else 2,
            int(batch_id.bincount().max()),
        )
        if largest < least:
            got = "one row" if largest == 1 else f"at most {largest} rows"
            raise ValueError(f"batch_id: every experimental batch has {got}, expected {least} to contrast for {asks}")
    if (config.method != "clip" or config.penalty) and len(batch_id.unique()) < 2:
        asks = f"penalty={config.penalty!r}" if config.method == "clip" else f"method={config.method!r}"
        raise ValueError(f"batch_id: got one experimental batch, expected at least 2 for {asks} (CLIP needs none)")
    if config.framework == "moco" and config.queue_size < config.minibatch_size:
        raise ValueError(
            f"queue_size: got {config.queue_size}, expected at least minibatch_size = {config.minibatch_size}"
        )
