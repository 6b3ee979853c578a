"""Build the Jupyter Book from notebooks that are executed already: ``python book/build.py _build/executed``.

Sources are gathered in a folder of their own, so that executed copies stand where the table of contents
expects the notebooks and the working tree stays as it is.  Every Sphinx warning is an error.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import colab
import yaml
from lighten import lighten
from vendor import COMPONENTS, mathjax_path

from infocore_mini.experiments import board, front, revisions, which_method
from infocore_mini.experiments.__main__ import STUDIES
from infocore_mini.experiments.results import costs

ROOT = Path(__file__).resolve().parents[1]
PARAMETERS = re.compile(r'<dl>\s*((?:<dd><em class="sig-param">.*?</dd>\s*)+)</dl>', re.S)


def gather(notebooks: Path, stage: Path, root: Path = ROOT) -> None:
    """Copy configuration, pages and the notebooks of the folder `notebooks` to `stage`, which is emptied first."""
    mathjax = mathjax_path()  # fetches it beneath book/, so before that is copied
    shutil.rmtree(stage, ignore_errors=True)
    shutil.copytree(root / "book", stage / "book", ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    (stage / "notebooks").mkdir()
    for notebook in notebooks.glob("[0-9][0-9]_*.ipynb"):
        shutil.copy(notebook, stage / "notebooks")
    (stage / "book" / "front.md").write_text(front.in_five_lines() + "\n", encoding="utf-8")
    (stage / "book" / "board.md").write_text(board.page(), encoding="utf-8")
    (stage / "book" / "board_made.txt").write_text(board.hardware() + "\n", encoding="utf-8")
    revisions.overview().to_csv(stage / "book" / "revisions.csv", index=False)
    (stage / "book" / "revisions_items.md").write_text(revisions.page(), encoding="utf-8")
    (stage / "book" / "which_method_items.md").write_text(which_method.page() + "\n", encoding="utf-8")
    costs(STUDIES).to_csv(stage / "book" / "costs.csv", index=False)
    shutil.copy(root / "_toc.yml", stage)
    config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))
    if mathjax:
        config["sphinx"]["config"]["mathjax_path"] = mathjax
        config["sphinx"]["config"]["mathjax3_config"] = {"loader": {"load": list(COMPONENTS)}}
    (stage / "_config.yml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")


def build(stage: Path, output: Path) -> subprocess.CompletedProcess:
    """Build the book in `stage` into ``output/_build/html``, from scratch: an incremental build hides old warnings."""
    command = [Path(sys.executable).with_name("jupyter-book"), "build", stage, "--path-output", output]
    env = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(ROOT / "book"), os.environ.get("PYTHONPATH", "")])
    }  # citations
    strictly = ["--all", "-n", "-W", "--keep-going", "-q"]
    done = subprocess.run([*command, *strictly], capture_output=True, text=True, env=env)
    mend(output / "_build" / "html")
    lighten(output / "_build" / "html")
    if not done.returncode:
        colab.write(stage / "notebooks", output / "_build" / "html", stage / "book" / "references.bib")
    return done


def mend(html: Path) -> None:
    """Write anew what a screen reader stumbles over: lists of parameters without words, and of references that hold none."""
    for page in html.glob("**/*.html"):
        text = page.read_text(encoding="utf-8").replace('role="doc-biblioentry"', 'role="listitem"')
        page.write_text(PARAMETERS.sub(_as_plain_list, text), encoding="utf-8")


def _as_plain_list(found: re.Match) -> str:
    items = found[1].replace("<dd>", "<li>").replace("</dd>", "</li>")
    return f'<ul class="sig-params">{items}</ul>'


def main() -> int:
    """Gather the pages and build them; 0 if all went well."""
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_dir():
        print(f"usage: {sys.argv[0]} FOLDER_OF_EXECUTED_NOTEBOOKS (got {sys.argv[1:]})", file=sys.stderr)
        return 2
    stage = ROOT / "_build" / "stage"
    gather(Path(sys.argv[1]), stage)
    done = build(stage, ROOT)
    if done.returncode:
        print(done.stdout, done.stderr, sep="\n", file=sys.stderr)
        return 1
    print(f"The book is at {ROOT / '_build' / 'html' / 'index.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
