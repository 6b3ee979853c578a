"""PairedScreen: molecules, what they did to cells, and in which experimental batch it was seen.

One row of ``profile`` is one replicate. Replicates of the same drug in the same context form a *condition*,
which is what the paper calls a drug-cell line pair (appendix H): the unit of training and of retrieval.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from infocore_mini.featurisers import Featuriser, name_of
from infocore_mini.platemap import Columns, Controls
from infocore_mini.validation import as_matrix, require, require_labels, rows_in_order


@dataclass(frozen=True, eq=False)
class PairedScreen:
    """Molecules and their readouts, replicate by replicate. Build one with ``from_profiles``.

    Attributes:
        drug: (n_drugs, n_d) float32 drug features as featurised, one row per unique molecule.
        smiles: (n_drugs,) their SMILES.
        profile: (n_profiles, n_g) float32 readouts in the units of the assay, sorted by condition; NaN = not measured.
        condition: (n_profiles,) int64 condition of each replicate, ascending from 0.
        profile_batch: (n_profiles,) int64 code of each replicate's experimental batch.
        drug_id: (n_conditions,) int64 row of ``drug``.
        cell_line: (n_conditions,) int64 code of the cell line.
        batch_names, cell_line_names: what the codes stand for; every subset keeps them.
        feature_names: (n_g,) names of the readout's features, or ().
        info: what else is known of each profile, name -> (n_profiles,): `plate` (where it is not the experimental
            batch), `well`, `row`, `column`, `site`, `dose` (micromolar), `time` (hours), `cell_count` and columns of
            other names; see `platemap.Columns`.
        controls: the control wells, or None.  Other screens made of this one share all of them.
        corrections: what was done to the readouts, in order, as readers and `correct` write it; () = nothing that is known.
        featuriser: what turned SMILES into ``drug``, one of `featurisers.NAMES`; None = another function, or not known.

    Examples:
        Three wells, two of them replicates of one condition; the drug features here are counts of atoms:

        >>> from infocore_mini import PairedScreen
        >>> screen = PairedScreen.from_profiles(
        ...     smiles=["CCO", "CCO", "CN"],
        ...     drug=lambda smiles: [[text.count("C"), text.count("O"), text.count("N")] for text in smiles],
        ...     profile=[[0.5, 1.0], [0.7, 1.2], [2.0, 0.0]],
        ...     batch=["plate 1", "plate 1", "plate 2"],
        ... )
        >>> len(screen), screen.smiles.tolist(), screen.batch_id.tolist()
        (2, ['CCO', 'CN'], [0, 1])
        >>> screen.mean_profile()[0]
        tensor([0.6000, 1.1000])
    """

    drug: Tensor
    smiles: np.ndarray
    profile: Tensor
    condition: Tensor
    profile_batch: Tensor
    drug_id: Tensor
    cell_line: Tensor
    batch_names: tuple[str, ...]
    cell_line_names: tuple[str, ...]
    feature_names: tuple[str, ...] = ()
    info: Columns = field(default_factory=Columns)
    controls: Controls | None = None
    corrections: tuple[str, ...] = ()
    featuriser: str | None = None

    def __post_init__(self) -> None:
        """Shapes and codes that do not fit raise ValueError."""
        n_drugs, n_conditions, n_profiles = len(self.drug), len(self.drug_id), len(self.profile)
        require(n_profiles > 0, "profile", "no rows", "at least one replicate")
        require(len(self.smiles) == n_drugs, "smiles", f"{len(self.smiles)}", f"{n_drugs} like the rows of drug")
        codes = {
            "condition": (self.condition, n_profiles, n_conditions),
            "profile_batch": (self.profile_batch, n_profiles, self.n_batches),
            "drug_id": (self.drug_id, n_conditions, n_drugs),
            "cell_line": (self.cell_line, n_conditions, len(self.cell_line_names)),
        }
        for name, (code, length, n_codes) in codes.items():
            fits = code.shape == (length,) and code.dtype == torch.int64
            require(fits, name, f"{tuple(code.shape)} of {code.dtype}", f"({length},) of torch.int64")
            require(
                0 <= int(code.min()) and int(code.max()) < n_codes,
                name,
                f"up to {int(code.max())}",
                f"0..{n_codes - 1}",
            )
        step = self.condition.diff()
        dense = int(self.condition[0]) == 0 and int(self.condition[-1]) == n_conditions - 1
        require(dense and bool(((step == 0) | (step == 1)).all()), "condition", "gaps", "ascending codes without gaps")
        require(
            self.feature_names == () or len(self.feature_names) == self.profile.shape[1],
            "feature_names",
            f"{len(self.feature_names)} names",
            f"{self.profile.shape[1]} like the columns of profile",
        )
        if not isinstance(self.info, Columns):
            object.__setattr__(self, "info", Columns(self.info))
        self.info.check_rows(n_profiles)
        if self.controls is not None:
            self.controls.check(self.profile.shape[1], self.n_batches, len(self.cell_line_names), self.info)

    @classmethod
    def from_profiles(
        cls,
        *,
        smiles: Sequence[str],
        drug: Featuriser,
        profile: Any,
        batch: Sequence,
        cell_line: Sequence | None = None,
        condition: Sequence | None = None,
        feature_names: Sequence[str] = (),
        allow_missing: bool = False,
        info: Any = (),
        controls: Mapping[str, Any] | None = None,
    ) -> Self:
        """A screen from flat columns, one row per replicate profile.

        Args:
            smiles: (n_profiles,) molecule of each row; equal strings are one molecule.
            drug: featuriser, list of unique SMILES -> (n, n_d) features, such as ``featurize.mol2vec``.
            profile: (n_profiles, n_g) readouts: an array, or what gives rows when it is sliced, such as a dataset in a
                file; it is read once, by blocks.
            batch: (n_profiles,) label of the experimental batch.
            cell_line: (n_profiles,) label of the cell line; None = one.
            condition: (n_profiles,) label of what are replicates of each other, finer than molecule and cell
                line (a dose, a time point); None = molecule and cell line.
            feature_names: (n_g,) names of the columns of ``profile``, or ().
            allow_missing: NaN in ``profile`` stands for "not measured"; a row of nothing else is still an error.
            info: mapping or DataFrame of further columns, (n_profiles,) each, see the attribute.
            controls: control wells: their `profile`, `batch`, where need be `cell_line` and `info`, as above, in
                experimental batches and cell lines that also have other profiles.

        Raises:
            ValueError: naming the argument that is empty, of another length, or not finite.
        """
        import pandas as pd  # here, since a process that trains on tensors can do without its 70 MB

        n = len(smiles)
        require_labels("smiles", smiles)
        table = pd.DataFrame({"smiles": np.array(list(map(str, smiles)), dtype=object)})  # equal texts share memory
        for name, column in {"batch": batch, "cell_line": cell_line, "condition": condition}.items():
            values = np.asarray(np.zeros(n, dtype=int) if column is None else column)
            require(len(values) == n, name, f"{len(values)} rows", f"{n} like smiles")
            require_labels(name, values)
            table[name] = values
        info = Columns(info)
        info.check_rows(n)
        keys = ["smiles", "cell_line", "condition"]
        codes, names = {}, {}
        for name in ("smiles", "batch", "cell_line"):
            codes[name], names[name] = pd.factorize(table[name], sort=True)
        table["code"] = table.groupby(keys, sort=True).ngroup()
        order = np.argsort(table["code"].to_numpy(), kind="stable")
        first = table["code"].drop_duplicates().sort_values().index.to_numpy()  # one row of each condition
        unique_smiles = names["smiles"].to_numpy()
        place = np.empty(n, dtype=np.int64)  # of each row given
        place[order] = np.arange(n)
        cell_line_names = ("all",) if cell_line is None else tuple(map(str, names["cell_line"]))
        batch_names = tuple(map(str, names["batch"]))
        return cls(
            drug=as_matrix("drug", drug(unique_smiles.tolist())),
            smiles=unique_smiles,
            profile=rows_in_order("profile", profile, place, missing=allow_missing),
            condition=torch.from_numpy(table["code"].to_numpy()[order].astype(np.int64)),
            profile_batch=torch.from_numpy(codes["batch"][order].astype(np.int64)),
            drug_id=torch.from_numpy(codes["smiles"][first].astype(np.int64)),
            cell_line=torch.from_numpy(codes["cell_line"][first].astype(np.int64)),
            batch_names=batch_names,
            cell_line_names=cell_line_names,
            feature_names=tuple(feature_names),
            info=info.take(order),
            controls=None if controls is None else Controls.from_labels(controls, batch_names, cell_line_names),
            featuriser=name_of(drug),
        )

    # ------------------------------------------------------------------ what it holds

    def __len__(self) -> int:
        """Number of conditions."""
        return len(self.drug_id)

    def __repr__(self) -> str:
        return (
            f"PairedScreen({len(self.drug):,} molecules, {len(self):,} conditions, {len(self.profile):,} profiles of "
            f"{self.profile.shape[1]} features, {self.n_batches} experimental batches, "
            f"{len(self.cell_line_names)} cell lines)"
        )

    @property
    def n_batches(self) -> int:
        """n_B, also of a subset that does not hold every experimental batch."""
        return len(self.batch_names)

    @cached_property
    def n_replicates(self) -> Tensor:
        """(n_conditions,) int64 replicates of each condition."""
        return self.condition.bincount(minlength=len(self))

    @cached_property
    def first_profile(self) -> Tensor:
        """(n_conditions,) int64 row of ``profile`` at which each condition starts."""
        return self.n_replicates.cumsum(0) - self.n_replicates

    @cached_property
    def has_soft_labels(self) -> bool:
        """Whether the replicates of some condition lie in several experimental batches."""
        return bool((self.profile_batch != self.profile_batch[self.first_profile][self.condition]).any())

    @cached_property
    def batch_id(self) -> Tensor:
        """Experimental batch of each condition, as the losses take it.

        (n_conditions,) int64 if the replicates of each condition share one, else soft labels
        (n_conditions, n_B): the share of the replicates that comes from each. Training never asks for these.
        """
        if not self.has_soft_labels:
            return self.profile_batch[self.first_profile]
        shares = torch.zeros(len(self), self.n_batches)
        shares.index_put_(
            (self.condition, self.profile_batch), 1 / self.n_replicates[self.condition].float(), accumulate=True
        )
        return shares

    def membership(self) -> Tensor:
        """(n_conditions, n_B) boolean: experimental batches that hold a replicate of the condition."""
        member = torch.zeros(len(self), self.n_batches, dtype=torch.bool)
        member[self.condition, self.profile_batch] = True
        return member

    def mean_profile(self) -> Tensor:
        """(n_conditions, n_g) mean over replicates; NaN where none was measured."""
        if not bool(self.profile.isnan().any()):
            total = torch.zeros(len(self), self.profile.shape[1]).index_add_(0, self.condition, self.profile)
            return total / self.n_replicates[:, None]
        measured = (~self.profile.isnan()).float()
        total, count = (
            torch.zeros(len(self), self.profile.shape[1]).index_add_(0, self.condition, x)
            for x in (self.profile.nan_to_num(0.0), measured)
        )
        return total / count  # 0 / 0 = NaN

    # ------------------------------------------------------------------ other screens made of it

    def subset(self, drugs: Any) -> PairedScreen:
        """The screen of some molecules only.

        Args:
            drugs: row numbers of ``drug``, (n,) integers without repeats, or (n_drugs,) booleans.

        Raises:
            ValueError: if no condition is left, or a row number repeats or does not exist.
        """
        rows = torch.as_tensor(drugs)
        if rows.dtype == torch.bool:
            require(rows.shape == (len(self.drug),), "drugs", f"shape {tuple(rows.shape)}", f"({len(self.drug)},)")
            rows = rows.nonzero().squeeze(1)
        rows = rows.long()
        valid = len(rows) > 0 and 0 <= int(rows.min()) and int(rows.max()) < len(self.drug)
        require(valid and len(rows.unique()) == len(rows), "drugs", "unfit rows", f"unique rows of {len(self.drug)}")
        kept = torch.zeros(len(self.drug), dtype=torch.bool)
        kept[rows] = True
        return self._part(rows, kept[self.drug_id[self.condition]])

    def where(self, profiles: Any) -> PairedScreen:
        """The screen of some profiles only, without the conditions and molecules that have none left.

        Args:
            profiles: (n_profiles,) booleans.

        Raises:
            ValueError: if it is something else, or no profile is left.
        """
        kept = torch.as_tensor(profiles)
        fits = kept.dtype == torch.bool and kept.shape == (len(self.profile),) and bool(kept.any())
        require(fits, "profiles", f"{tuple(kept.shape)} of {kept.dtype}", f"({len(self.profile)},) booleans, some true")
        return self._part(self.drug_id[self.condition[kept]].unique(), kept)

    def _part(self, rows: Tensor, profiles: Tensor) -> PairedScreen:
        """Of the drugs in ``rows``, which are all that the profiles kept, (n_profiles,) booleans, are of."""
        new_drug = torch.full((len(self.drug),), -1)
        new_drug[rows] = torch.arange(len(rows))
        kept = self.condition[profiles].bincount(minlength=len(self)) > 0
        new_condition = kept.long().cumsum(0) - 1
        return replace(
            self,
            drug=self.drug[rows],
            smiles=self.smiles[rows.numpy()],
            profile=self.profile[profiles],
            condition=new_condition[self.condition[profiles]],
            profile_batch=self.profile_batch[profiles],
            drug_id=new_drug[self.drug_id[kept]],
            cell_line=self.cell_line[kept],
            info=self.info.take(profiles),
        )

    def per_batch(self) -> PairedScreen:
        """The same profiles with conditions cut by experimental batch, so that each lies in one (hard labels)."""
        code, condition = (self.condition * self.n_batches + self.profile_batch).unique(return_inverse=True)
        order = condition.argsort(stable=True)
        whole = code // self.n_batches
        return replace(
            self,
            profile=self.profile[order],
            condition=condition[order],
            profile_batch=self.profile_batch[order],
            drug_id=self.drug_id[whole],
            cell_line=self.cell_line[whole],
            info=self.info.take(order),
        )

    def split(self, seed: int) -> Split:
        """Train, validation and test screens, 64 / 16 / 20 % of the molecules at random: none is in two of them.

        Raises:
            ValueError: if there are too few molecules to give each part one.
        """
        n = len(self.drug)
        n_test, n_validation = round(0.2 * n), round(0.16 * n)
        require(min(n_test, n_validation) > 0, "screen", f"{n} molecules", "enough to hold out 16 % and 20 %")
        order = torch.from_numpy(np.random.default_rng(seed).permutation(n))
        parts = order.split([n - n_test - n_validation, n_validation, n_test])
        return Split(*(self.subset(part.sort().values) for part in parts))

    def with_drug(self, drug: Featuriser) -> PairedScreen:
        """The same screen under other drug features."""
        return replace(self, drug=as_matrix("drug", drug(self.smiles.tolist())), featuriser=name_of(drug))


class Split(NamedTuple):
    """Three screens without what they are split by in common: molecules, or see `splits.split`."""

    train: PairedScreen
    validation: PairedScreen
    test: PairedScreen
