"""Arguments that several commands of the command line have."""

from __future__ import annotations

import argparse
import ast
from pathlib import Path
from typing import Any

from infocore_mini.validation import require


def add_file(parser: argparse.ArgumentParser, *, subtracted: bool = True, cell_line: bool = True) -> None:
    """FILE and its columns; whether control wells are ``subtracted``, or looked at as they are, and cell lines are told."""
    parser.add_argument("file", metavar="FILE", type=Path, nargs="+", help="the data; plates and tables may be several")
    columns = parser.add_argument_group("columns of FILE, where they have other names")
    columns.add_argument("--smiles", metavar="NAME", help="the molecule; default: SMILES (.h5ad), Metadata_smiles")
    columns.add_argument("--batch", metavar="NAME", help="the experimental batch; default: batch, Metadata_Plate")
    if cell_line:
        columns.add_argument("--cell-line", metavar="NAME", help="the cell line; default: cell_type (.h5ad), else none")
    controls = "control wells, which are also looked at alone; default: is_control (.h5ad), else none"
    if subtracted:
        controls = "control wells of a table, whose mean over the plate is subtracted; default: nothing is subtracted"
        plate = "the plate; default: what else is named and called so, else the batch stands for it"
        columns.add_argument("--plate", metavar="NAME", help=plate)
    columns.add_argument("--controls", type=column_and_value, metavar="NAME=VALUE", help=controls)


def add_readouts(parser: argparse.ArgumentParser) -> None:
    """Which columns of a table are readouts, where the rule of ``files.FORMATS`` does not know."""
    columns = parser.add_argument_group("readouts of a table, where the rule above does not find them")
    features = "they are these columns alone, by name or pattern, whatever they are called and hold; may be repeated"
    columns.add_argument("--features", action="append", default=[], metavar="PATTERN", help=features)
    exclude = "columns that are none, by name or pattern; may be repeated"
    columns.add_argument("--exclude", action="append", default=[], metavar="PATTERN", help=exclude)


def add_model(parser: argparse.ArgumentParser) -> None:
    """The file of a model, and the device."""
    wrote = "file that `infocore-mini train` wrote, or `save` of pretrain_screen's model or of an estimator fitted on SMILES"
    parser.add_argument("-m", "--model", metavar="MODEL", type=Path, required=True, help=wrote)
    parser.add_argument("--device", help="cpu, cuda or cuda:N; default: where it was trained if that is here, else cpu")


def add_output(parser: argparse.ArgumentParser, what: str, *, required: bool) -> None:
    """The file to write; ``what`` it is."""
    parser.add_argument("-o", "--output", type=Path, required=required, metavar="FILE", help=what)
    parser.add_argument("--force", action="store_true", help="replace the output if it is there")


def setting(text: str) -> tuple[str, Any]:
    """("halve_at", (10, 20)) of "halve_at=10,20"; what is no Python literal is text."""
    name, value = column_and_value(text)
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value


def column_and_value(text: str) -> tuple[str, str]:
    """("role", "dmso") of "role=dmso"."""
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise argparse.ArgumentTypeError(f"got {text!r}, expected NAME=VALUE")
    return name, value


def check_output(options: argparse.Namespace) -> None:
    """ValueError, before anything is computed, if the output cannot be written or would replace a file."""
    path = options.output
    if path is not None:
        require(path.parent.is_dir(), "--output", path, "a file in an existing folder")
        require(options.force or not path.exists(), "--output", f"{path}, which exists", "a new file, or --force")
