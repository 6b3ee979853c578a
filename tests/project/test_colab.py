"""Colab keeps its own numpy, pandas and torch, and its cell says so where it does not."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from types import ModuleType

import nbformat
import pytest
from conftest import NOTEBOOKS, ROOT
from packaging.requirements import Requirement

# What its image holds, and torch as it will be over the next releases.
HELD = {
    name: [version] for name, version in (line.split("==") for line in (ROOT / "tests/colab.txt").read_text().split())
}
HELD["torch"] = [f"2.{minor}.0" for minor in range(9, 16)]


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def wanted(extra: str) -> list[Requirement]:
    """The requirements of an extra, with those of the extras that it names."""
    own, extras = project(), project()["optional-dependencies"]
    names = {extra}
    for _ in extras:
        names |= {name for found in names for line in map(Requirement, extras[found]) for name in line.extras}
    lines = [*own["dependencies"], *(line for name in sorted(names) for line in extras[name])]
    return [line for line in map(Requirement, lines) if line.name != own["name"]]


def replaced(requirements: Iterable[Requirement], by: str = "infocore-mini") -> list[str]:
    """Which requirements, these or those of the installed packages behind them, do not let in what Colab holds."""
    waiting, seen, faults = [(by, line) for line in requirements], set(), []
    while waiting:
        by, line = waiting.pop()
        if line.marker and not line.marker.evaluate({"extra": ""}):
            continue
        if line.name in HELD:
            faults += [f"{by}: {line} not {held}" for held in HELD[line.name] if held not in line.specifier]
        elif line.name not in seen:
            seen.add(line.name)
            waiting += [(line.name, Requirement(text)) for text in importlib.metadata.requires(line.name) or []]
    return faults


def test_nothing_that_the_notebooks_need_replaces_what_colab_holds():
    assert replaced(wanted("experiments")) == []


@pytest.mark.parametrize("line", ["torch>=2.4,<2.14", "pandas>=2.3", "numpy>=2.1"])
def test_a_bound_that_replaces_it_is_found(line: str):
    assert replaced([*wanted("experiments"), Requirement(line)])


def colab_cells() -> set[str]:
    cells = [cell for path in NOTEBOOKS for cell in nbformat.read(path, as_version=4).cells]
    return {cell.source for cell in cells if "colab" in cell.metadata.get("tags", [])}


@pytest.mark.parametrize(("after", "said"), [("2.0.2", ""), ("2.4.6", "numpy 2.0.2 became 2.4.6")])
def test_the_cell_says_what_was_replaced(after: str, said: str, monkeypatch, capsys):
    [source] = colab_cells()  # the same in every notebook
    versions = {"numpy": "2.0.2", "pandas": "2.2.2", "torch": "2.9.0"}

    def install(command, check):
        assert check and command[:4] == [sys.executable, "-m", "pip", "install"]
        assert Requirement(command[-1]).extras == {"experiments"}
        versions["numpy"] = after

    monkeypatch.setitem(sys.modules, "google.colab", ModuleType("google.colab"))
    monkeypatch.setattr(subprocess, "run", install)
    monkeypatch.setattr(importlib.metadata, "version", versions.get)
    exec(source, {})
    out = capsys.readouterr().out
    assert said in out and bool(out) == bool(said)
    assert ("Restart" in out) == bool(said)


def test_the_cell_does_nothing_elsewhere(monkeypatch):
    [source] = colab_cells()
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("installed"))
    exec(source, {})
