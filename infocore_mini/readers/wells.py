"""What the readers share: wells as they lie in a file, the checks on them, and the step from wells to a screen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rdkit import Chem, rdBase

from infocore_mini.correct import ControlMean
from infocore_mini.featurisers import Featuriser
from infocore_mini.identity import canonical, one_spelling
from infocore_mini.platemap import TAKEN
from infocore_mini.screens import PairedScreen
from infocore_mini.smiles import MAX_SMILES
from infocore_mini.validation import Spare

from .tables import LEFT_OUT_COLUMNS, listed, report, require

MERGED_COLUMNS = ["smiles", "spelling", "profiles"]


@dataclass(frozen=True, eq=False, repr=False)
class ReadScreen(PairedScreen):
    """A PairedScreen read from files, with a list of what the files hold and the screen does not.

    Attributes:
        left_out: columns name, reason, profiles: each molecule or kind of well left out, why, and how many profiles
            it had.
        merged: columns smiles, spelling, profiles: each SMILES that the files have for a molecule, as salt, tautomer or
            stereoisomer, beside the one that the screen knows it by, and how many profiles it had.
    """

    left_out: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=LEFT_OUT_COLUMNS))
    merged: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=MERGED_COLUMNS))


@dataclass(frozen=True, eq=False)
class Wells:
    """Wells of a screen, control wells among them.

    Attributes:
        profile: (n_wells, n_g) float32 readouts.
        info: n_wells rows with the columns `name` (of the molecule), `smiles` (as in the file; missing = unknown),
            `batch`, `is_control` and what else the reader found, such as `cell_line`, `dose`, `time`, `well`.
        feature_names: (n_g,) names of the readouts.
        corrections: what was done to them since they were in the file, as in `PairedScreen`.
    """

    profile: NDArray[np.float32]
    info: pd.DataFrame
    feature_names: tuple[str, ...]
    corrections: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Number of wells."""
        return len(self.info)

    def where(self, kept: NDArray[np.bool_]) -> Wells:
        """The wells at which `kept`, (n_wells,) booleans, is true."""
        return replace(self, profile=self.profile[kept], info=self.info[kept].reset_index(drop=True))

    def minus_controls(self, source: str, plate: str = "batch", *, copy: bool = True) -> Wells:
        """The same wells after the mean over the control wells of each one's plate is subtracted.

        Args:
            source: what to name in an error.
            plate: column of `info` that says which wells are corrected together.
            copy: False overwrites `profile`, which saves its memory.

        A readout that no control well of a plate has is missing on that plate.

        Raises:
            ReadError: if a plate has no control well, or a well no plate.
        """
        codes, plates = pd.factorize(self.info[plate])
        control = self.info["is_control"].to_numpy(dtype=bool)
        homeless = self.info["name"][codes < 0]
        require(
            len(homeless) == 0, source, f"no {plate} for the wells of {listed(homeless)}", f"a {plate} for each well"
        )
        bare = plates[np.bincount(codes[control], minlength=len(plates)) == 0]
        require(len(bare) == 0, source, f"no control well on {listed(bare)}", "at least one on every plate")
        profile = self.profile.copy() if copy else self.profile
        for code in range(len(plates)):
            on_plate = codes == code
            there = profile[on_plate & control]
            measured = ~np.isnan(there)
            with np.errstate(invalid="ignore"):  # 0 / 0 = NaN
                mean = there.sum(0, dtype=np.float64, where=measured) / measured.sum(0)
            profile[on_plate] -= mean.astype(np.float32)
        return replace(self, profile=profile, corrections=(*self.corrections, repr(ControlMean(plate))))

    def screen(
        self,
        drug: Featuriser,
        source: str,
        *,
        separate: Sequence[str] = (),
        left_out: pd.DataFrame | None = None,
        allow_missing: bool = False,
        copy: bool = True,
    ) -> ReadScreen:
        """The screen of the treated wells, its molecules under canonical SMILES; wells without one are listed.

        Salts, tautomers and stereoisomers of one molecule are one (`identity.one_spelling`), so that no split parts
        them, none is another's negative and each is found where the molecule is; they are listed, too. Stereoisomers
        stay conditions of their own, since they may act in other ways.
        It keeps the further columns of `info`, and the control wells of its experimental batches and cell lines.

        Args:
            drug: featuriser, see `PairedScreen.from_profiles`.
            source: what to name in an error.
            separate: columns of `info`, such as "dose", that tell conditions apart beside molecule and cell line.
            left_out: what has been left out so far.
            allow_missing: NaN in `profile` stands for "not measured".
            copy: False puts the rows of `profile` in order where they lie, which saves its memory.

        Returns:
            A screen whose conditions are molecule x cell line x what `separate` names.

        Raises:
            ReadError: if a name in `separate` is unknown, or no well is left.
        """
        unknown = [name for name in separate if name not in self.info]
        require(not unknown, "separate", listed(unknown), f"some of {listed(self.info.columns)}")
        control = self.info["is_control"].to_numpy(dtype=bool)
        canonical, reason = canonical_smiles(self.info["smiles"][~control])
        usable = (reason == "").to_numpy()
        missing = report(self.info["name"][~control][~usable], reason[~usable])
        rows = np.flatnonzero(~control)[usable]
        require(len(rows) > 0, source, f"no well with a usable SMILES among {len(self)}", "at least one")
        molecules, merged = _as_one(canonical[usable])
        kept = self.info.iloc[rows]
        keys = [*(kept[name].to_numpy() for name in separate), molecules["isomer"].to_numpy()]
        condition = pd.DataFrame(dict(enumerate(keys))).groupby(list(range(len(keys))), dropna=False).ngroup()
        shared = [name for name in ("batch", "cell_line") if name in kept]
        alone = control & ~self.info[shared].isin({name: kept[name].unique() for name in shared}).all(axis=1).to_numpy()
        unused = report(self.info["name"][alone], "control well without a molecule in its batch and cell line")
        controls = np.flatnonzero(control & ~alone)
        treated: Rows | Spare
        untreated: Rows | Spare
        if copy or not self.profile.flags.c_contiguous:
            treated, untreated = Rows(self.profile, rows), Rows(self.profile, controls)
        else:
            treated, untreated = Spare(self.profile).apart(rows, controls)
        screen = ReadScreen.from_profiles(
            smiles=molecules["smiles"].tolist(),
            drug=drug,
            profile=treated,
            batch=kept["batch"].tolist(),
            cell_line=kept["cell_line"].tolist() if "cell_line" in kept else None,
            condition=condition.tolist(),
            feature_names=self.feature_names,
            allow_missing=allow_missing,
            info=_plate_map(kept),
            controls=self._controls(controls, untreated) if len(controls) else None,
        )
        return replace(
            screen,
            left_out=pd.concat([left_out, missing, unused], ignore_index=True),
            merged=merged,
            corrections=self.corrections,
        )

    def _controls(self, rows: NDArray[np.intp], profile: Any) -> dict[str, Any]:
        """Control wells in some rows, `profile` their readouts, as `PairedScreen.from_profiles` takes them."""
        info = self.info.iloc[rows]
        labels = {name: info[name].tolist() for name in ("batch", "cell_line") if name in info}
        return {"profile": profile, "info": _plate_map(info), **labels}


class Rows:
    """Some rows of a matrix, taken from it when a slice of them is asked for.

    Args:
        matrix: (n, n_g) array, or what gives an array when it is sliced.
        rows: (n_rows,) ascending row numbers.
    """

    def __init__(self, matrix: Any, rows: NDArray[np.intp]) -> None:
        self.shape = (len(rows), matrix.shape[1])
        self._matrix, self._rows = matrix, rows

    def __getitem__(self, at: slice) -> NDArray[np.float32]:
        """(n, n_g) a block of the rows."""
        rows = self._rows[at]
        first, last = int(rows[0]), int(rows[-1])
        return self._matrix[first : last + 1][rows - first]


def _plate_map(info: pd.DataFrame) -> pd.DataFrame:
    """What is known of wells beside what a screen holds itself; dates, and columns of several types, as text."""
    columns = info.drop(columns=[name for name in TAKEN if name in info])
    kinds = {name: pd.api.types.infer_dtype(columns[name], skipna=True) for name in columns}
    to_text = ("mixed", "mixed-integer", "bytes", "date", "datetime", "datetime64", "time", "timedelta")
    odd = [name for name, kind in kinds.items() if kind in to_text]
    return columns.assign(**{name: columns[name].map(str, na_action="ignore").astype(object) for name in odd})


# ---- molecules ---------------------------------------------------------------------------------------------------


def canonical_smiles(smiles: Iterable[object]) -> tuple[pd.Series, pd.Series]:
    """The canonical SMILES of each entry, by `identity.canonical`, and the reason where there is none ("" else).

    Args:
        smiles: n SMILES; a missing value, or text that is no molecule, gets the canonical SMILES "".

    Returns:
        Two series of n strings.
    """
    given = pd.Series(list(smiles), dtype=object)
    with rdBase.BlockLogs():
        found = {text: _canonical(text) for text in given.dropna().unique()}
    read = [found.get(text, ("", "no SMILES")) for text in given]
    canonical = pd.Series([text for text, _ in read], dtype=object)
    return canonical, pd.Series([reason for _, reason in read], dtype=object)


def _as_one(spellings: pd.Series) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The molecule of each row, `smiles`, which `isomer` of it that is, and what was merged, as in `ReadScreen`."""
    count = spellings.value_counts(sort=False)
    found = pd.DataFrame({"smiles": one_spelling(count.index, count), "isomer": count.index}, index=count.index)
    several = found["smiles"].map(found["smiles"].value_counts()) > 1
    written = found.index[several]
    found.loc[several, "isomer"] = one_spelling(written, count[written], stereo=True)
    merged = found.loc[several, ["smiles"]].assign(spelling=written, profiles=count[written])
    rows = found.astype(object).take(found.index.get_indexer(pd.Index(spellings)))
    return rows, merged.sort_values(["smiles", "spelling"], ignore_index=True)


def _canonical(text: object) -> tuple[str, str]:
    if len(str(text)) > MAX_SMILES:
        return "", f"SMILES of {len(str(text)):,} characters, at most {MAX_SMILES:,} are read"
    molecule = Chem.MolFromSmiles(str(text))
    if molecule is None or molecule.GetNumAtoms() == 0:
        return "", f"invalid SMILES {text!r}"
    return canonical(molecule), ""
