"""The files of the command line: a screen of any format, rows with labels or without, lists of molecules, tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

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
    from infocore_mini.platemap import standard_name
    from infocore_mini.readers import read_h5ad, read_l1000, read_profiles

    kind = _kind(paths)
    if kind == "table":  # where a compound has no other name than its SMILES
        smiles, batch = smiles or "Metadata_smiles", batch or "Metadata_Plate"
        plate = plate or next((column for column in [*nuisance, batch] if standard_name(column) == "plate"), None)
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


def read_as_trained(paths: Sequence[Path], trained_on: TrainedOn, **columns: Any) -> ReadScreen:
    """A screen as by `read_screen`, with the readouts that a model was trained on, and corrected as those were.

    Raises:
        ReadError, ValueError, FileNotFoundError: as `read_screen`; and if the readouts are corrected otherwise.
    """
    features = trained_on.screen_features if _kind(paths) == "table" else ()
    screen = read_screen(paths, features=features, **columns)
    how = (
        "--controls says which wells are subtracted, --plate (else --batch) by what; what was corrected otherwise, in "
        "Python, is read from an .h5ad file of `readers.to_anndata`"
    )
    trained_on.check_corrections(screen, "FILE", how)
    return screen


class Labelled(NamedTuple):
    """Rows to audit.

    Attributes:
        readout: (n, d) their numbers, which may be an embedding.
        known: what is known of them, as arguments of `audit`.
        left_out: columns name, reason, profiles: what the files hold besides.
    """

    readout: pd.DataFrame
    known: dict[str, Any]
    left_out: pd.DataFrame


def read_labelled(
    paths: Sequence[Path],
    *,
    smiles: str | None = None,
    batch: str | None = None,
    cell_line: str | None = None,
    controls: tuple[str, str] | None = None,
    exclude: Sequence[str] = (),
    nuisance: Sequence[str] = (),
    well: str | None = None,
    cell_count: str | None = None,
    label: str | None = None,
    library: str | None = None,
    features: Sequence[str] = (),
    obsm: str | None = None,
) -> Labelled:
    """Rows of readouts, or of an embedding, as they lie in the files, with what `audit` may be told of them.

    Args:
        paths: of the files, all of one format; of AnnData one.
        smiles: column with the molecule, by any name; None = that of the format, where there is one.
        batch, controls, exclude: as for `read_screen`, but nothing is subtracted; AnnData has controls, too.
        cell_line: column within which labels are exchanged, as they are within the library.
        nuisance, well, cell_count, label, library: further columns.
        features: names or patterns of a table's columns that are the readouts; () = as `read_profiles` finds them.
        obsm: entry of an AnnData file that is the embedding; None = X.

    Raises:
        ReadError: for a damaged file, or one without a column that is named. A well without an entry in one of them is
            left out, but for controls that need no molecule and no label.
        ValueError: for what a file of this format cannot be asked; FileNotFoundError if it is not there.
    """
    import numpy as np
    import pandas as pd

    from infocore_mini.confounding import labelled_rows
    from infocore_mini.readers.tables import LEFT_OUT_COLUMNS, as_text, report, require_columns

    kind, left_out = _kind(paths), pd.DataFrame(columns=LEFT_OUT_COLUMNS)
    require(kind == "h5ad" or obsm is None, "obsm", repr(obsm), "none but for an .h5ad file")
    optional = {"smiles": smiles, "well": well, "cell_count": cell_count, "label": label}
    named = {key: column for key, column in optional.items() if column}
    strata = [column for column in (library, cell_line) if column]
    if kind == "gct":
        asked = [
            *named.values(),
            *nuisance,
            *strata,
            *exclude,
            *features,
            *([batch] if batch else []),
            *(controls or ()),
        ]
        require(not asked, "columns", ", ".join(asked), "none for a .gct file")
        screen = read_screen(paths)
        profile, known = labelled_rows(screen, position="well")
        return Labelled(pd.DataFrame(profile, columns=list(screen.feature_names)), known, screen.left_out)
    nuisances = [batch or ("batch" if kind == "h5ad" else "Metadata_Plate"), *nuisance]
    needed = list(dict.fromkeys([*nuisances, *named.values(), *strata, *([controls[0]] if controls else [])]))
    if kind == "h5ad":
        require(not (exclude or features), "exclude, features", "some", "none for an .h5ad file")
        readout, about = _annotated(paths[0], obsm)
    else:
        text = [name for name in needed if name != cell_count]
        columns = {
            "name": named.get("smiles", "Metadata_smiles"),
            "batch": nuisances[0],
            "well": well,
            "cell_line": cell_line,
        }
        readout, about, left_out = _wells(paths, needed, text, exclude, features, columns)
    require_columns(about, needed, ", ".join(map(str, paths)))
    default = "SMILES" if kind == "h5ad" else "Metadata_smiles"
    if "smiles" not in named and default in about:
        named["smiles"] = default
    control = np.zeros(len(about), dtype=bool)
    if controls:
        control = (as_text(about[controls[0]]) == controls[1]).to_numpy(dtype=bool)
        require(control.any(), "controls", f"no row with {'='.join(controls)}", "one at least")
    elif "is_control" in about and about["is_control"].dtype == bool:
        control = about["is_control"].to_numpy()
    for column in dict.fromkeys([*nuisances, *strata, *named.values()]):
        there = about[column].notna().to_numpy() | (control & (column not in [*nuisances, *strata]))
        absent = report(about.index[~there], f"well without an entry under {column}")
        left_out = pd.concat([left_out, absent], ignore_index=True)
        readout, about, control = readout[there], about[there], control[there]
    arguments = {"smiles": "molecule", "well": "position"}  # the others are called the same
    known = {arguments.get(key, key): about[column].to_numpy() for key, column in named.items()}
    known["nuisance"] = {name: about[name].to_numpy() for name in nuisances}
    if strata:
        known["library"] = about[strata].astype(str).agg(" ".join, axis=1).to_numpy()
    if control.any():
        known["controls"] = control
    return Labelled(readout, known, left_out)


def _annotated(path: Path, obsm: str | None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """X, or another embedding, of an AnnData file, and its obs."""
    import anndata
    import pandas as pd

    from infocore_mini.readers.tables import located

    data = anndata.read_h5ad(located(path))
    require(obsm is None or obsm in data.obsm, "obsm", repr(obsm), f"one of {sorted(data.obsm)}")
    return (data.to_df() if obsm is None else pd.DataFrame(data.obsm[obsm])), data.obs


def _wells(
    paths: Sequence[Path],
    needed: list[str],
    text: list[str],
    exclude: Sequence[str],
    features: Sequence[str],
    columns: dict[str, str | None],
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """The readouts of tables that vary and miss nothing, what describes the wells, and what was left out."""
    import pandas as pd

    from infocore_mini.platemap import standard_name
    from infocore_mini.readers.readouts import read_readouts
    from infocore_mini.readers.tables import located, report
    from infocore_mini.readers.usable import without_idle_features, without_labels, without_missing
    from infocore_mini.readers.wells import Wells

    source = ", ".join(map(str, paths))
    parts = [read_readouts(located(path), needed, text, exclude, features) for path in paths]
    profile = pd.concat([pd.DataFrame(part.profile, columns=part.features) for part in parts], join="inner")
    about = pd.concat([part.info for part in parts], ignore_index=True)
    known = {standard_name(name): name for name in about if standard_name(name) in ("plate", "well")}
    known |= {key: name for key, name in columns.items() if name in about}
    rows = {"name": about.index.astype(str)} | {key: about[name] for key, name in known.items()}
    wells = Wells(profile.to_numpy(), pd.DataFrame(rows).assign(row=range(len(about))), tuple(profile.columns))
    wells, idle = without_idle_features(wells, source)
    if not features:
        wells, labels = without_labels(wells, source)
        idle = pd.concat([idle, labels], ignore_index=True)
    wells, incomplete = without_missing(wells, source)
    no_features = {name: reason for part in parts for name, reason in part.no_features.items()}
    unread = report(list(no_features), list(no_features.values()))
    left_out = pd.concat([unread, idle, incomplete], ignore_index=True)
    readout = pd.DataFrame(wells.profile, columns=list(wells.feature_names))
    return readout, about.iloc[wells.info["row"]].reset_index(drop=True), left_out


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
