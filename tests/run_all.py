"""Everything that continuous integration runs, in one go: ``make test``.

``python tests/run_all.py [SECONDS]`` counts the time from SECONDS since 1970, when make began its set-up, or from now.
Every step runs, also after a failure.  The last lines give the time, the counts, and what was skipped and why.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
REPORTS = ROOT / "_build" / "reports"
EXECUTED = ROOT / "_build" / "executed"
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
STRICT = "01_derivation"  # every output is compared; in the others, those of cells tagged nbval-check-output
sys.path.insert(0, str(ROOT / "book"))

import execute  # noqa: E402


def pytest_step(name: str, *arguments: str) -> list[str]:
    """A pytest run over two processes, each file in one of them or, where tests name a group, each group."""
    command = [sys.executable, "-m", "pytest", "-q", "--no-header", "-n", "2", "--dist", "loadgroup"]
    return [*command, f"--junitxml={REPORTS / name}.xml", *arguments]


def nbval_step(name: str, how: str, notebooks: list[Path]) -> list[str]:
    """Execute the staged notebooks, compare what comes with the stored outputs, and keep it for the book."""
    sanitize = str(ROOT / "tests" / "nbval_sanitize.cfg")
    options = ["-p", "keep_executed", "--nbval-current-env", "--nbval-sanitize-with", sanitize]
    command = pytest_step(name, how, *options, *map(str, notebooks))
    command[command.index("loadgroup")] = "loadfile"  # the cells of a notebook share a kernel
    return command


def steps() -> dict[str, list[str]]:
    """The commands by name, in their order; they work on the copies of the notebooks that `main` stages."""
    notebooks = [execute.work(path, EXECUTED) for path in NOTEBOOKS]
    lax = [path for path in notebooks if path.stem != STRICT]
    strict = [path for path in notebooks if path.stem == STRICT]
    return {
        "lint": [sys.executable, "-m", "ruff", "check", "."],
        "format": [sys.executable, "-m", "ruff", "format", "--check", "--quiet", "."],
        "types": [sys.executable, "-m", "mypy"],
        "compare stored outputs": nbval_step("nbval-lax", "--nbval-lax", lax),
        "compare stored outputs, strictly": nbval_step("nbval-strict", "--nbval", strict),
        "execute what is not executed": [sys.executable, "book/execute.py"],
        "build the book": [sys.executable, "book/build.py", "_build/executed"],
        "tests": pytest_step("tests", "tests"),
    }


def counts_and_skips() -> tuple[dict[str, int], list[str]]:
    """Totals over the reports of all pytest runs, and a line for each skipped test."""
    totals, skips = {"passed": 0, "failed": 0, "skipped": 0}, []
    for report in sorted(REPORTS.glob("*.xml")):
        for case in ElementTree.parse(report).iter("testcase"):
            skip = case.find("skipped")
            if skip is not None:
                totals["skipped"] += 1
                skips.append(
                    f"{case.get('classname')}::{case.get('name')}: {textwrap.shorten(skip.get('message'), 160)}"
                )
            elif case.find("failure") is not None or case.find("error") is not None:
                totals["failed"] += 1
            else:
                totals["passed"] += 1
    return totals, skips


def missing_data() -> list[str]:
    return [
        f"{name}: cannot be had here, so the notebook that reads it showed simulated data instead of the real table"
        for name, there in execute.available_data().items()
        if not there
    ]


def main() -> int:
    start = float(sys.argv[1]) if len(sys.argv) > 1 else time.time()
    os.environ |= execute.QUIET | {"PYTHONPATH": str(ROOT / "tests")}  # where the plugin keep_executed is
    shutil.rmtree(REPORTS, ignore_errors=True)
    REPORTS.mkdir(parents=True)
    for notebook in NOTEBOOKS:
        execute.stage(notebook, EXECUTED)
    failed = []
    for name, command in steps().items():
        print(f"\n=== {name}", flush=True)
        begin = time.monotonic()
        code = subprocess.run(command, cwd=ROOT).returncode
        print(f"=== {name}: {'FAILED' if code else 'ok'}, {time.monotonic() - begin:.0f} s", flush=True)
        if code:
            failed.append(name)

    totals, skips = counts_and_skips()
    skips += missing_data()
    seconds = round(time.time() - start)
    print(f"\nTotal time: {seconds // 60} min {seconds % 60} s, set-up included")
    if failed:
        print(f"Steps that failed: {', '.join(failed)}")
    print(f"{totals['passed']} passed, {totals['failed']} failed, {totals['skipped']} skipped")
    print(f"Skipped or replaced: {len(skips)}" + "".join(f"\n- {line}" for line in skips))
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
