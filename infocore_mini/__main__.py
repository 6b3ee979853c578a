"""The command line: ``infocore-mini audit | train | embed | retrieve FILE``, the library's own functions by their names.

A command is a function that adds its arguments and one that runs it; ``COMMANDS`` lists them. What only a run needs is
imported there, so that ``--help`` need not wait for it.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from infocore_mini.files import (
    FORMATS,
    read_rows,
    read_screen,
    read_smiles,
    write_table,
)
from infocore_mini.labelled import read_labelled
from infocore_mini.options import add_file, add_model, add_output, add_readouts, check_output, setting
from infocore_mini.validation import require

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

    from infocore_mini.pretrained import Pretrained

_ABOUT = """Embeddings of molecules and screens that do not learn the experimental batch.

  infocore-mini audit screen.h5ad -o audit.html
  infocore-mini train screen.h5ad -o model.safetensors
  infocore-mini embed new_plate.h5ad -m model.safetensors -o embeddings.csv
  infocore-mini retrieve new_plate.h5ad -m model.safetensors --library candidates.smi

`infocore-mini train --help` says what a file has to hold."""

_EXIT = "exit status: 0 = done, 1 = the data, a setting or a file did not fit, 2 = the command was not understood"

_AUDIT = f"""Say whether readouts, or an embedding, hold the experimental batch, and write a report.

The verdict is clean, confounded, over-corrected or cannot tell; the report shows each check, its null and what to do next.
Rows are audited as they lie in FILE, nothing is subtracted, and SMILES need not be SMILES: any name of what was put on a well
tells its replicates. Name what else could have left a mark (--nuisance, --well, --cell-count), what it must not be mistaken
for (--label, --library), and the control wells.

  infocore-mini audit wells.csv -o audit.html --smiles smiles --batch plate --controls role=dmso --well well
  infocore-mini audit embeddings.csv -o audit.html --smiles smiles --batch plate --features "z*"
  infocore-mini audit screen.h5ad --obsm X_pca --nuisance day --json > audit.json

{FORMATS}"""

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
come along. Only if training subtracted control wells does FILE need some: --controls says which, --plate (else --batch) by what
they are subtracted.

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
        sys.stdout.flush()
    except BrokenPipeError:  # who read the output, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (ValueError, OSError, FloatingPointError) as error:
        print(f"infocore-mini: {error}", file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        print(f"infocore-mini: {error}; pip install 'infocore-mini[readers]' brings it", file=sys.stderr)
        return 1
    return 0


# ------------------------------------------------------------------ the commands


def _add_audit(parser: argparse.ArgumentParser) -> None:
    add_file(parser, subtracted=False)
    add_output(parser, "the report, one HTML page that opens offline", required=False)
    columns = parser.add_argument_group("further columns of FILE")
    nuisance = "what else must not be known, such as the plate, day or operator; may be repeated"
    columns.add_argument("--nuisance", action="append", default=[], metavar="NAME", help=nuisance)
    columns.add_argument("--well", metavar="NAME", help='the position on the plate, such as "B07"')
    columns.add_argument("--cell-count", metavar="NAME", help="the number of cells")
    columns.add_argument("--label", metavar="NAME", help="biology that batches differ in, such as the mechanism")
    columns.add_argument("--library", metavar="NAME", help="within which plates can be compared, such as the plate map")
    add_readouts(parser)
    parser.add_argument("--obsm", metavar="KEY", help="the embedding of an AnnData file; default: its X")
    parser.add_argument("--seed", type=int, default=0, help="of the permutations; default: 0")
    parser.add_argument("--json", action="store_true", help="print verdict and findings as JSON instead")


def _audit(options: argparse.Namespace) -> None:
    from infocore_mini import audit
    from infocore_mini.confounding.advice import next_steps
    from infocore_mini.confounding.verdict import ORDER

    check_output(options)
    names = "smiles batch cell_line controls exclude nuisance well cell_count label library features obsm".split()
    read = read_labelled(options.file, **{name: getattr(options, name) for name in names})
    found = audit(read.readout, **read.known, seed=options.seed)
    if options.output:
        found.report(options.output)
    if options.json:
        print(found.to_json())
        return
    _print_read(list(map(str, read.readout.columns)), read.left_out)
    print(f"\n{found.verdict}")
    loud = found.table[found.table["verdict"] != "clean"]
    loud = loud.sort_values("verdict", key=lambda verdicts: verdicts.map(ORDER.index), kind="stable")
    if len(loud):
        shown = ["verdict", "rows", "nuisance", "check", "observed", "expected", "p_adjusted", "n"]
        print(loud[shown].to_string(index=False, float_format="{:.3g}".format, na_rep=""))
    for verdict, rows, nuisances, step in next_steps(loud.to_dict("records")):
        print(f"\n{verdict} ({rows}: {', '.join(nuisances)}): {step}")
    if options.output:
        print(f"\nwritten: {options.output}")


def _add_train(parser: argparse.ArgumentParser) -> None:
    add_file(parser)
    add_readouts(parser)
    add_output(parser, "the model, one safetensors file", required=True)
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
    parser.add_argument("--set", type=setting, action="append", default=[], metavar="NAME=VALUE", help=further)
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def _train(options: argparse.Namespace) -> None:
    from pydantic import ValidationError

    from infocore_mini.config import Config
    from infocore_mini.evaluate.retrieval import screen_retrieval
    from infocore_mini.parameters import ParameterError, explain
    from infocore_mini.platemap import standard_name
    from infocore_mini.train import pretrain_screen

    check_output(options)
    named = {name: getattr(options, name) for name in ("method", "alpha", "epochs", "seed", "device")}
    try:
        config = Config(**named | dict(options.set))
    except ValidationError as error:
        raise ParameterError(explain(error)) from None
    names = "smiles batch cell_line plate controls features exclude nuisance".split()
    screen = read_screen(options.file, **{name: getattr(options, name) for name in names})
    print(screen)
    _print_read(screen.feature_names, screen.left_out)
    print(f"corrected by: {', then '.join(screen.corrections) or 'nothing'}")
    split = screen.split(options.seed)
    run = dict(validation=split.validation, validate_every=1, patience=options.patience, progress=not options.quiet)
    nuisance = ["plate" if column == options.plate else standard_name(column) for column in options.nuisance]
    model = pretrain_screen(split.train, config, nuisance=nuisance, **run)
    found = screen_retrieval(*model.embed(split.test), split.test, minimum_library=2)
    shown = found.loc[found["cell_line"] == "mean", ["library", "top", "accuracy", "low", "high", "chance"]]
    print(f"\nretrieval of the {len(split.test.drug)} molecules that were left for it, with 95 % bootstrap intervals:")
    print(shown.to_string(index=False, float_format="{:.3f}".format))
    model.save(options.output)
    print(f"\nwritten: {options.output}")


def _add_embed(parser: argparse.ArgumentParser) -> None:
    add_file(parser, cell_line=False)
    add_model(parser)
    add_output(parser, "the table, .parquet or text separated by commas", required=True)
    parser.add_argument("--molecules", action="store_true", help="FILE is a list of SMILES, or a table with them")


def _embed(options: argparse.Namespace) -> None:
    import pandas as pd

    from infocore_mini.pretrained import Pretrained

    check_output(options)
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
    add_file(parser, cell_line=False)
    add_model(parser)
    add_output(parser, "the table, .parquet or text separated by commas; without it, it is printed", required=False)
    library = "list of SMILES, or a table with them; default: the molecules of training"
    parser.add_argument("--library", type=Path, help=library)
    parser.add_argument("--top", type=int, default=10, help="molecules for each readout; default: 10")


def _retrieve(options: argparse.Namespace) -> None:
    import numpy as np

    from infocore_mini.evaluate.ranking import nearest
    from infocore_mini.pretrained import Pretrained

    check_output(options)
    model = Pretrained.load(options.model, options.device)
    known = list(model.trained_on.molecules)
    library = known if options.library is None else read_smiles(options.library, options.smiles or "smiles")
    require(len(library) > 0, "--library", "none, and a model of unnamed molecules", "a list of SMILES")
    fits = 1 <= options.top <= len(library)
    require(fits, "--top", options.top, f"1 to {len(library)}, the molecules of the library")
    z_library = _embed_smiles(model, library)
    about, z = _embed_readouts(model, options)
    row, cosine = nearest(z, z_library, n=options.top, progress=sys.stderr.isatty())
    found = about.loc[about.index.repeat(options.top)].reset_index(names="query")
    found["rank"] = np.tile(np.arange(1, options.top + 1), len(about))
    found["molecule"], found["cosine"] = np.array(library, dtype=object)[row.ravel()], cosine.ravel()
    if options.output is None:
        print(found.assign(cosine=found["cosine"].round(4)).to_csv(index=False), end="")
    else:
        write_table(found, options.output)
        print(f"written: {options.output} ({len(found)} rows)")


class Command(NamedTuple):
    """A command: what its help says first, what adds its arguments, what runs it."""

    about: str
    add: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], None]


COMMANDS = {
    "audit": Command(_AUDIT, _add_audit, _audit),
    "train": Command(_TRAIN, _add_train, _train),
    "embed": Command(_EMBED, _add_embed, _embed),
    "retrieve": Command(_RETRIEVE, _add_retrieve, _retrieve),
}


# ------------------------------------------------------------------ models


def _embed_smiles(model: Pretrained, smiles: list[str]) -> Tensor:
    from infocore_mini.featurisers import NAMES, by_name

    made_of, heads = model.trained_on.featuriser, model.config.cell_line_heads
    expected = (
        f"those of featurize.{', '.join(NAMES)}: train on a screen that a reader or PairedScreen.from_profiles made with "
        "one of them, or fit an estimator on SMILES; other features of molecules go into model.embed_drug, in Python"
    )
    if made_of is None:
        raise ValueError(f"MODEL: got drug features that it cannot make of SMILES, expected {expected}")
    require(not heads, "MODEL", "a head for each cell line", "one for all: a molecule has no cell line here")
    return model.embed_drug(by_name(made_of)(smiles))


def _embed_readouts(model: Pretrained, options: argparse.Namespace) -> tuple[pd.DataFrame, Tensor]:
    """What the file says of each row, and z_screen."""
    columns = {name: getattr(options, name) for name in ("smiles", "batch", "plate", "controls")}
    about, table = read_rows(options.file, model.trained_on, **columns)
    return about, model.embed_screen(table)


def _print_read(names: Sequence[str], left_out: pd.DataFrame) -> None:
    """Which columns are readouts, and what was not taken."""
    print(f"readouts: {', '.join(names[:8])}{', ...' if len(names) > 8 else ''} ({len(names)})")
    for reason, n in left_out["reason"].value_counts().items():
        rows = left_out[left_out["reason"] == reason]
        nameless = f"(no name), {rows['profiles'].sum()} profiles"
        some = [nameless if name == "(no name)" else str(name) for name in rows["name"]]
        print(f"left out for {reason}: {n} ({', '.join(some[:4])}{', ...' if n > 4 else ''})")


if __name__ == "__main__":
    sys.exit(main())
