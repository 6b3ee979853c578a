"""The files of the command line: a screen of any format, rows for a model, lists of molecules, tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infocore_mini.validation import require

if TYPE_CHECKING:
    import pandas as pd

    from infocore_mini.pretrained import TrainedOn
    from infocore_mini.readers import ReadScreen

FORMATS = """FILE is
  .h5ad         AnnData: X the readouts; obs has SMILES, cell_type, batch
  .gct, .gctx   one or several L1000 plates: each is a batch, the mean of its DMSO wells is subtracted
  any other     one or several tables, a well a row, in text or Parquet. Readouts are the numeric columns, but for those
                that are named below, describe a well by name (Metadata_..., plate, well, dose, id, cell count, ...), never
                vary or repeat another, count the rows, or have one value for each batch, plate, well, cell line or
                molecule. What is taken, and what is not and why, is printed; --features and --exclude overrule it"""


def read_screen(
    paths: Sequence[Path],
    *,
    smiles: str | None = None,
    batch: str | None = None,
    cell_line: str | None = None,
    plate: str | None = None,
    controls: tuple[str, str] | None = None,
    features: Sequence[str] = (),
    exclude: Sequence[str] = (),
    nuisance: Sequence[str] = (),
) -> ReadScreen:
    """A screen by the reader for its format, which the name of the file tells; drug features are Mol2vec.

    Args:
        paths: of the files, all of one format; of AnnData one.
        smiles, batch: columns with the molecule and the experimental batch; None = those of the format.
        cell_line: likewise; "" = one for all rows of an AnnData file that has no such column.
        plate: column of a table with the plate; None = the one among ``nuisance`` and ``batch`` that is called so.
        controls: column and value of a table's control wells, whose mean over the plate is subtracted, or over the batch
            where no plate is known; None = nothing is.
        features: names or patterns of a table's columns that are the readouts; () = as `read_profiles` finds them.
        exclude: names or patterns of a table's columns that are no readouts.
        nuisance: further columns that describe the well.

    Raises:
        ReadError: for a damaged file, or one without a column that is needed.
        ValueError: for what a file of this format cannot be asked; FileNotFoundError if it is not there.
    """
    from infocore_mini.readers import read_h5ad, read_l1000, read_profiles

    kind = kind_of(paths)
    if kind == "table":  # where a compound has no other name than its SMILES
        smiles, batch = smiles or "Metadata_smiles", batch or "Metadata_Plate"
        plate = _plate(plate, [*nuisance, batch])
        columns: dict[str, Any] = dict(smiles=smiles, name=smiles, batch=batch, plate=plate, cell_line=cell_line)
        columns |= dict(features=features or "intersection", exclude=exclude, keep=nuisance)
        return read_profiles(paths, controls=controls, **columns)
    given = bool(controls or plate or features or exclude)
    require(not given, "controls, plate, features, exclude", "some", f"none for a .{kind} file")
    if kind == "h5ad":
        line = "cell_type" if cell_line is None else cell_line or None
        return read_h5ad(paths[0], smiles=smiles or "SMILES", batch=batch or "batch", cell_line=line)
    require(not (smiles or batch or cell_line), "smiles, batch, cell_line", "some", f"none for a .{kind} file")
    return read_l1000(paths)


def read_rows(
    paths: Sequence[Path],
    trained_on: TrainedOn,
    *,
    smiles: str | None = None,
    batch: str | None = None,
    plate: str | None = None,
    controls: tuple[str, str] | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows as they lie in the files, with or without a molecule, and the readouts that a model was trained on.

    Args:
        paths: of the files, all of one format; of AnnData one.
        trained_on: names the readouts, and says how they were corrected.
        controls: column and value of a table's control wells, whose mean is subtracted as in training.
        plate, batch: columns of a table by which it is, as for `read_screen`.
        smiles: column of a table by which positive controls are told from the vehicle; None = Metadata_smiles, if any.

    Returns:
        What else the files say of each row, and the readouts (n, n_g) in the order of training, corrected as there.

    Raises:
        ReadError: for a damaged file, or one without a readout or a column that is needed.
        ValueError: for readouts that were corrected otherwise than those of training.
    """
    import pandas as pd

    from infocore_mini.readers import read_l1000_wells
    from infocore_mini.readers.h5ad import noted_corrections
    from infocore_mini.readers.tables import located, read_table, require_columns

    names, kind = list(trained_on.screen_features), kind_of(paths)
    require(len(names) > 0, "MODEL", "readouts without names", "a model of named columns")
    require(kind == "table" or not (controls or plate), "controls, plate", "some", f"none for a .{kind} file")
    done: tuple[str, ...] = ()
    if kind == "table":
        text = [column for column in (smiles, batch, plate, *(controls or ())[:1]) if column]
        table = pd.concat([read_table(located(path), names, text=text) for path in paths], ignore_index=True)
        about, table = table.drop(columns=names), table[names]
        if controls:
            table, done = _minus_controls(table, about, paths, smiles, batch, plate, controls)
    elif kind == "h5ad":
        import anndata

        data, done = anndata.read_h5ad(located(paths[0])), noted_corrections(paths[0])
        about, table = data.obs.reset_index(names="obs"), data.to_df().reset_index(drop=True)
    else:
        wells = read_l1000_wells(paths)
        wells = wells.minus_controls(", ".join(map(str, paths))) if trained_on.corrections else wells
        about, done = wells.info, wells.corrections
        table = pd.DataFrame(wells.profile, columns=list(wells.feature_names))
    require_columns(table, names, paths[0])
    how = (
        "--controls says which wells are subtracted, --plate (else --batch) by what; what was corrected otherwise, in "
        "Python, is read from an .h5ad file of `readers.to_anndata`"
    )
    trained_on.check_corrections(done, "FILE", how)
    return about, table[names]


def _minus_controls(
    table: pd.DataFrame,
    about: pd.DataFrame,
    paths: Sequence[Path],
    smiles: str | None,
    batch: str | None,
    plate: str | None,
    controls: tuple[str, str],
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Readouts minus the mean of the vehicle wells of their plate, or batch, as `read_profiles` has it, and its name."""
    import numpy as np
    import pandas as pd

    from infocore_mini.readers.profiles import CONTROL_TYPE, vehicles
    from infocore_mini.readers.tables import as_text, require_columns
    from infocore_mini.readers.wells import Wells

    source, smiles = ", ".join(map(str, paths)), smiles or "Metadata_smiles"
    batch = batch or "Metadata_Plate"
    plate = _plate(plate, [batch])
    by, column = ("plate", plate) if plate else ("batch", batch)
    require_columns(about, [column, controls[0]], source)
    molecule = about[smiles] if smiles in about else pd.Series("", index=about.index)
    info = pd.DataFrame({"name": molecule, "smiles": molecule, by: as_text(about[column])})
    if CONTROL_TYPE in about:
        info["control_type"] = about[CONTROL_TYPE]
    info["is_control"] = as_text(about[controls[0]]) == controls[1]
    info["is_control"] = vehicles(info, source)
    wells = Wells(table.to_numpy(np.float32), info, tuple(table)).minus_controls(source, by)
    return pd.DataFrame(wells.profile, columns=list(table)), wells.corrections


def _plate(plate: str | None, others: Sequence[str]) -> str | None:
    """The column with the plate: the one that is named, else the first of the others that is called so, if any."""
    from infocore_mini.platemap import standard_name

    return plate or next((column for column in others if standard_name(column) == "plate"), None)


def read_smiles(path: Path, column: str = "smiles") -> list[str]:
    """The SMILES of a list (.smi, .txt: one a line, perhaps with a name behind it) or of a table's column."""
    from infocore_mini.readers.tables import located, open_text, read_table

    found = located(path)
    if path.suffix.lower() in (".smi", ".txt"):
        with open_text(found) as lines:
            return [line.split()[0] for line in lines if line.strip()]
    return read_table(found, [column], text=[column])[column].dropna().tolist()


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Parquet, or text separated by commas where the name does not end in .parquet."""
    if path.suffix.lower() in (".parquet", ".pq"):
        table.to_parquet(path, index=False)
    else:
        table.to_csv(path, index=False)


def kind_of(paths: Sequence[Path]) -> str:
    """The format, "h5ad", "gct" or "table", by the names of the files."""
    suffixes = {".h5ad": "h5ad", ".gct": "gct", ".gctx": "gct"}
    found = {
        next((suffixes[end.lower()] for end in path.suffixes if end.lower() in suffixes), "table") for path in paths
    }
    require(len(found) == 1, "FILE", f"formats {', '.join(sorted(found))}", "files of one format")
    [kind] = found
    require(kind != "h5ad" or len(paths) == 1, "FILE", f"{len(paths)} AnnData files", "one")
    return kind
