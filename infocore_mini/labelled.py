"""What the command line audits: rows of a file of any format, as they lie there, with what is known of each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from infocore_mini.files import kind_of, read_screen
from infocore_mini.validation import require

if TYPE_CHECKING:
    import pandas as pd


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

    kind, left_out = kind_of(paths), pd.DataFrame(columns=LEFT_OUT_COLUMNS)
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
