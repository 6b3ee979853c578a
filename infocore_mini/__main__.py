"""The command line: ``infocore-mini train | embed | retrieve FILE``, the library's own functions by their names.

A command is a function that adds its arguments and one that runs it; ``COMMANDS`` lists them. What only a run needs is
imported there, so that ``--help`` need not wait for it.
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from infocore_mini.files import FORMATS, read_rows, read_screen, read_smiles, write_table
from infocore_mini.validation import require

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

    from infocore_mini.pretrained import Pretrained
    from infocore_mini.readers import ReadScreen

_ABOUT = """Embeddings of molecules and screens that do not learn the experimental batch.

  infocore-mini train screen.h5ad -o model.safetensors
  infocore-mini embed new_plate.h5ad -m model.safetensors -o embeddings.csv
  infocore-mini retrieve new_plate.h5ad -m model.safetensors --library candidates.smi

`infocore-mini train --help` says what a file has to hold."""

_EXIT = "exit status: 0 = done, 1 = the data, a setting or a file did not fit, 2 = the command was not understood"

_TRAIN = f"""Train on a screen and save the model.

The molecules are parted at random: 64 % to train on, 16 % to choose the epoch by, 20 % to measure the printed accuracy on.
It is how often the molecule behind a readout is found, among all those molecules and among those of its batch.

  infocore-mini train screen.h5ad -o model.safetensors
  infocore-mini train wells.csv -o model.safetensors --smiles smiles --batch plate --controls role=dmso
  infocore-mini train wells.csv -o model.safetensors --smiles smiles --batch day --nuisance plate --nuisance cell_count
  infocore-mini train screen.h5ad -o clip.safetensors --method clip --set embedding_dim=64 --set hidden_drug=256,256

{FORMATS}"""

_EMBED = """Write the embedding of each readout of a file, or of each molecule of a list.

A readout needs no label of its experimental batch, which may be new. The columns of training are found by name, the others
come along. Only if training subtracted control wells does FILE need what it needed there; then a row of the result is a
condition, the mean over replicates.

  infocore-mini embed new_plate.h5ad -m model.safetensors -o readouts.parquet
  infocore-mini embed candidates.smi -m model.safetensors -o molecules.csv --molecules"""

_RETRIEVE = """List the molecules whose embeddings are nearest to each readout of a file.

FILE is read as by `infocore-mini embed`.

  infocore-mini retrieve new_plate.h5ad -m model.safetensors --library candidates.smi --top 5
  infocore-mini retrieve new_plate.csv -m model.safetensors -o found.csv"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: None = those of the process.

    Returns:
        The exit status: 0, or 1 where the data, a setting or a file do not fit, with a line on the standard error.

    Raises:
        SystemExit: with status 2 where the command was not understood, 0 after help.
    """
    from infocore_mini import __version__

    style: dict[str, Any] = dict(formatter_class=argparse.RawDescriptionHelpFormatter, epilog=_EXIT)
    parser = argparse.ArgumentParser("infocore-mini", description=_ABOUT, **style)
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, command in COMMANDS.items():
        summary = command.about.partition("\n")[0]
        added = commands.add_parser(name, help=summary, description=command.about, **style)
        command.add(added)
        added.set_defaults(run=command.run)
    options = parser.parse_args(arguments)
    try:
        options.run(options)
    except (ValueError, OSError, FloatingPointError) as error:
        print(f"infocore-mini: {error}", file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        print(f"infocore-mini: {error}; pip install 'infocore-mini[readers]' brings it", file=sys.stderr)
        return 1
    return 0


# ------------------------------------------------------------------ the commands


def _add_train(parser: argparse.ArgumentParser) -> None:
    _add_file(parser)
    _add_output(parser, "the model, one safetensors file", required=True)
    parser.add_argument("--method", choices=("infocore", "clip", "ccl"), default="infocore", help="default: infocore")
    parser.add_argument("--alpha", type=float, default=0.33, help="1 = CLIP, less = stronger correction; default: 0.33")
    nuisance = "column that must not be learnt either: labels, or numbers, which are binned; may be repeated"
    parser.add_argument("--nuisance", action="append", default=[], metavar="COLUMN", help=nuisance)
    parser.add_argument("--epochs", type=int, default=60, help="passes over the screen; default: 60")
    parser.add_argument(
        "--patience", type=int, metavar="EPOCHS", help="stop when so many have passed since the best one"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the parts and of training; default: 0")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N; default: cpu")
    further = "a further setting of infocore_mini.Config; may be repeated"
    parser.add_argument("--set", type=_setting, action="append", default=[], metavar="NAME=VALUE", help=further)
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def _train(options: argparse.Namespace) -> None:
    from pydantic import ValidationError

    from infocore_mini.config import Config
    from infocore_mini.evaluate.retrieval import screen_retrieval
    from infocore_mini.parameters import ParameterError, explain
    from infocore_mini.platemap import standard_name
    from infocore_mini.train import pretrain_screen

    _check_output(options)
    named = {name: getattr(options, name) for name in ("method", "alpha", "epochs", "seed", "device")}
    try:
        config = Config(**named | dict(options.set))
    except ValidationError as error:
        raise ParameterError(explain(error)) from None
    screen = _screen(options)
    names = screen.feature_names
    print(f"{screen}\nreadouts: {', '.join(names[:8])}{', ...' if len(names) > 8 else ''} ({len(names)})")
    for reason, n in screen.left_out["reason"].value_counts().items():
        print(f"left out for {reason}: {n}")
    split = screen.split(options.seed)
    run = dict(validation=split.validation, validate_every=1, patience=options.patience, progress=not options.quiet)
    nuisance = [standard_name(column) for column in options.nuisance]
    model = pretrain_screen(split.train, config, nuisance=nuisance, **run)
    model.trained_on = replace(model.trained_on, featuriser="mol2vec")
    found = screen_retrieval(*model.embed(split.test), split.test, minimum_library=2)
    shown = found.loc[found["cell_line"] == "mean", ["library", "top", "accuracy", "low", "high", "chance"]]
    print(f"\nretrieval of the {len(split.test.drug)} molecules that were left for it, with 95 % bootstrap intervals:")
    print(shown.to_string(index=False, float_format="{:.3f}".format))
    model.save(options.output)
    print(f"\nwritten: {options.output}")


def _add_embed(parser: argparse.ArgumentParser) -> None:
    _add_file(parser)
    _add_model(parser)
    _add_output(parser, "the table, .parquet or text separated by commas", required=True)
    parser.add_argument("--molecules", action="store_true", help="FILE is a list of SMILES, or a table with them")


def _embed(options: argparse.Namespace) -> None:
    import pandas as pd

    from infocore_mini.pretrained import Pretrained

    _check_output(options)
    model = Pretrained.load(options.model, options.device)
    if options.molecules:
        smiles = [text for path in options.file for text in read_smiles(path, options.smiles or "smiles")]
        about, z = pd.DataFrame({"smiles": smiles}), _embed_smiles(model, smiles)
    else:
        about, z = _embed_readouts(model, options)
    columns = [f"z{i}" for i in range(z.shape[1])]
    write_table(pd.concat([about, pd.DataFrame(z.numpy(), columns=columns)], axis=1), options.output)
    print(f"written: {options.output} ({len(z)} rows)")


def _add_retrieve(parser: argparse.ArgumentParser) -> None:
    _add_file(parser)
    _add_model(parser)
    _add_output(parser, "the table, .parquet or text separated by commas; without it, it is printed", required=False)
    library = "list of SMILES, or a table with them; default: the molecules of training"
    parser.add_argument("--library", type=Path, help=library)
    parser.add_argument("--top", type=int, default=10, help="molecules for each readout; default: 10")


def _retrieve(options: argparse.Namespace) -> None:
    import numpy as np

    from infocore_mini.evaluate.ranking import nearest
    from infocore_mini.pretrained import Pretrained

    _check_output(options)
    model = Pretrained.load(options.model, options.device)
    known = list(model.trained_on.molecules)
    library = known if options.library is None else read_smiles(options.library, options.smiles or "smiles")
    require(len(library) > 0, "--library", "none, and a model of unnamed molecules", "a list of SMILES")
    fits = 1 <= options.top <= len(library)
    require(fits, "--top", options.top, f"1 to {len(library)}, the molecules of the library")
    about, z = _embed_readouts(model, options)
    row, cosine = nearest(z, _embed_smiles(model, library), n=options.top, progress=sys.stderr.isatty())
    found = about.loc[about.index.repeat(options.top)].reset_index(names="query")
    found["rank"] = np.tile(np.arange(1, options.top + 1), len(about))
    found["molecule"], found["cosine"] = np.array(library, dtype=object)[row.ravel()], cosine.ravel()
    if options.output is None:
        print(found.to_csv(index=False, float_format="%.4f"), end="")
    else:
        write_table(found, options.output)
        print(f"written: {options.output} ({len(found)} rows)")


class Command(NamedTuple):
    """A command: what its help says first, what adds its arguments, what runs it."""

    about: str
    add: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], None]


COMMANDS = {
    "train": Command(_TRAIN, _add_train, _train),
    "embed": Command(_EMBED, _add_embed, _embed),
    "retrieve": Command(_RETRIEVE, _add_retrieve, _retrieve),
}


# ------------------------------------------------------------------ arguments that several have


def _add_file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", type=Path, nargs="+", help="the data; plates and tables may be several")
    columns = parser.add_argument_group("columns of FILE, where they have other names")
    columns.add_argument("--smiles", metavar="NAME", help="the molecule; default: SMILES (.h5ad), Metadata_smiles")
    columns.add_argument("--batch", metavar="NAME", help="the experimental batch; default: batch, Metadata_Plate")
    columns.add_argument("--cell-line", metavar="NAME", help="the cell line; default: cell_type (.h5ad), else none")
    controls = "control wells of a table, whose mean is subtracted batch by batch; default: nothing is subtracted"
    columns.add_argument("--controls", type=_column_and_value, metavar="NAME=VALUE", help=controls)
    exclude = "columns of a table that are no readouts, by name or pattern; may be repeated"
    columns.add_argument("--exclude", action="append", default=[], metavar="PATTERN", help=exclude)


def _add_model(parser: argparse.ArgumentParser) -> None:
    wrote = "file that `infocore-mini train`, or an estimator that was fitted on SMILES, wrote"
    parser.add_argument("-m", "--model", metavar="MODEL", type=Path, required=True, help=wrote)
    parser.add_argument("--device", help="cpu, cuda or cuda:N; default: where it was trained if that is here, else cpu")


def _add_output(parser: argparse.ArgumentParser, what: str, *, required: bool) -> None:
    parser.add_argument("-o", "--output", type=Path, required=required, metavar="FILE", help=what)
    parser.add_argument("--force", action="store_true", help="replace the output if it is there")


def _setting(text: str) -> tuple[str, Any]:
    """("halve_at", (10, 20)) of "halve_at=10,20"; what is no Python literal is text."""
    name, value = _column_and_value(text)
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value


def _column_and_value(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise argparse.ArgumentTypeError(f"got {text!r}, expected NAME=VALUE")
    return name, value


def _check_output(options: argparse.Namespace) -> None:
    """ValueError, before anything is computed, if the output cannot be written or would replace a file."""
    path = options.output
    if path is not None:
        require(path.parent.is_dir(), "--output", path, "a file in an existing folder")
        require(options.force or not path.exists(), "--output", f"{path}, which exists", "a new file, or --force")


# ------------------------------------------------------------------ models


def _embed_smiles(model: Pretrained, smiles: list[str]) -> Tensor:
    from infocore_mini.featurize import mol2vec

    made_of, heads = model.trained_on.featuriser, model.config.cell_line_heads
    require(made_of == "mol2vec", "MODEL", f"drug features {made_of}", "Mol2vec, as `infocore-mini train` takes them")
    require(not heads, "MODEL", "a head for each cell line", "one for all: a molecule has no cell line here")
    return model.embed_drug(mol2vec(smiles))


def _embed_readouts(model: Pretrained, options: argparse.Namespace) -> tuple[pd.DataFrame, Tensor]:
    """What the file says of each row, and z_screen; of each condition where training corrected the readouts."""
    import pandas as pd

    if not model.trained_on.corrections:
        names = model.trained_on.screen_features
        require(len(names) > 0, "MODEL", "readouts without names", "a model of named columns")
        about, table = read_rows(options.file, names)
        return about, model.embed_screen(table)
    screen = _screen(options)
    lines = [screen.cell_line_names[code] for code in screen.cell_line.tolist()]
    about = pd.DataFrame({"smiles": screen.smiles[screen.drug_id.numpy()], "cell_line": lines})
    return about, model.embed(screen)[0]


def _screen(options: argparse.Namespace) -> ReadScreen:
    names = ("smiles", "batch", "cell_line", "controls", "exclude", "nuisance")
    return read_screen(options.file, **{name: value for name, value in vars(options).items() if name in names})


if __name__ == "__main__":
    sys.exit(main())
