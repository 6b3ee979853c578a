"""Give the repository another address: ``make address TO=https://github.com/owner/name``.

pyproject.toml says what it is; pages, notebooks (their Colab cells and buttons), configuration and citation repeat it.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FORM = re.compile(r"https://github\.com/[\w.-]+/[\w.-]+")


def address(root: Path = ROOT) -> str:
    """The one in pyproject.toml, such as ``https://github.com/owner/name``."""
    return tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]["Repository"]


def published_at(repository: str) -> str:
    """Where GitHub publishes the pages of a repository, such as ``https://owner.github.io/name/``."""
    owner, name = repository.rstrip("/").split("/")[-2:]
    return f"https://{owner}.github.io/" + ("" if name == f"{owner}.github.io" else f"{name}/")


def files(root: Path = ROOT) -> list[Path]:
    """All files of text that the project keeps."""
    listed = subprocess.run(["git", "grep", "-Il", "", "--"], cwd=root, capture_output=True, text=True, check=True)
    return [root / line for line in listed.stdout.splitlines()]


def replace(new: str, root: Path = ROOT) -> list[Path]:
    """Put `new` in the place of the present address; the files that changed.

    Raises:
        ValueError: `new` is not the address of a repository on GitHub.
    """
    if not FORM.fullmatch(new):
        raise ValueError(f"TO: got {new!r}, expected https://github.com/owner/name")
    old, changed = address(root), []
    to = new.removeprefix("https://github.com/")
    # "github.com/owner/name", and "github/owner/name" as Colab has it, where no longer name goes on
    place = re.compile(rf"(\bgithub(?:\.com)?/){re.escape(old.removeprefix('https://github.com/'))}(?![\w-])")
    for path in files(root):
        text = path.read_text(encoding="utf-8")
        replaced = place.sub(lambda found: found.group(1) + to, text)
        if replaced != text:
            path.write_text(replaced, encoding="utf-8", newline="\n")
            changed.append(path)
    return changed


def main() -> int:
    """Replace, and name the files; 0 if all went well."""
    try:
        changed = replace(sys.argv[1] if len(sys.argv) == 2 else "")
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    print(*(path.relative_to(ROOT) for path in changed), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
