"""The files of the command line: a screen of any format, rows of readouts without labels, lists of molecules, tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from infocore_mini.validation import require

if TYPE_CHECKING:
    import pandas as pd

    from infocore_mini.readers import ReadScreen

FORMATS = """FILE is
  .h5ad         AnnData: X the readouts; obs has SMILES, cell_type, batch
  .gct, .gctx   one or several L1000 plates: each is a batch, the mean of its DMSO wells is subtracted
  any other     one or several tables, a well a row, in text or Parquet. Numeric columns are the readouts; columns that are
                named below, Metadata_..., or text describe the well"""


def read_screen(
    paths: Sequence[Path],
    *,
    smiles: str | None = None,
    batch: str | None = None,
    cell_line: str | None = None,
    controls: tuple[str, str] | None = None,
    exclude: Sequence[str] = (),
    nuisance: Sequence[str] = (),
) -> ReadScreen:
    """A screen by the reader for its format, which the name of the file tells; drug features are Mol2vec.

    Args:
        paths: of the files, all of one format; of AnnData one.
        smiles, batch: columns with the molecule and the experimental batch; None = those of the format.
        cell_line: likewise; "" = one for all rows of an AnnData file that has no such column.
        controls: column and value of a table's control wells, whose mean is subtracted batch by batch; None = nothing is.
        exclude: names or patterns of a table's columns that are no readouts.
        nuisance: further columns that describe the well; a plate among them is what control wells are subtracted by.

    Raises:
        ReadError: for a damaged file, or one without a column that is needed.
        ValueError: for what a file of this format cannot be asked; FileNotFoundError if it is not there.
    """
    from infocore_mini.platemap import standard_name
    from infocore_mini.readers import read_h5ad, read_l1000, read_profiles

    kind = _kind(paths)
    if kind == "table":  # where a compound has no other name than its SMILES, and a batch no other plate
        smiles, batch = smiles or "Metadata_smiles", batch or "Metadata_Plate"
        plate = next((column for column in nuisance if standard_name(column) == "plate"), batch)
        columns = dict(smiles=smiles, name=smiles, batch=batch, plate=plate, cell_line=cell_line)
        return read_profiles(paths, controls=controls, keep=nuisance, exclude=exclude, **columns)  # type: ignore[arg-type]
    require(not controls and not exclude, "controls, exclude", "some", f"none for a .{kind} file")
    if kind == "h5ad":
        line = "cell_type" if cell_line is None else cell_line or None
        return read_h5ad(paths[0], smiles=smiles or "SMILES", batch=batch or "batch", cell_line=line)
    require(not (smiles or batch or cell_line), "smiles, batch, cell_line", "some", f"none for a .{kind} file")
    return read_l1000(paths)


def read_rows(paths: Sequence[Path], features: Sequence[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Readouts that need no label of any kind, row by row as they lie in an AnnData file or in tables.

    Args:
        paths: of the files.
        features: (n_g,) names of the readouts.

    Returns:
        What else the files say of each row, and the readouts (n, n_g) in the order of ``features``.

    Raises:
        ReadError: for a damaged file, or one without one of the features.
    """
    import pandas as pd

    from infocore_mini.readers.tables import located, read_table, require_columns

    if _kind(paths) == "h5ad":
        import anndata

        data = anndata.read_h5ad(located(paths[0]))
        about, table = data.obs.reset_index(names="obs"), data.to_df().reset_index(drop=True)
        require_columns(table, list(features), paths[0])
    else:
        table = pd.concat([read_table(located(path), features) for path in paths], ignore_index=True)
        about = table.drop(columns=list(features))
    return about, table[list(features)]


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


def _kind(paths: Sequence[Path]) -> str:
    """The format, "h5ad", "gct" or "table", by the names of the files."""
    suffixes = {".h5ad": "h5ad", ".gct": "gct", ".gctx": "gct"}
    found = {
        next((suffixes[end.lower()] for end in path.suffixes if end.lower() in suffixes), "table") for path in paths
    }
    require(len(found) == 1, "FILE", f"formats {', '.join(sorted(found))}", "files of one format")
    [kind] = found
    require(kind != "h5ad" or len(paths) == 1, "FILE", f"{len(paths)} AnnData files", "one")
    return kind
