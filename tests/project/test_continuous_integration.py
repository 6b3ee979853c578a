"""The workflows on GitHub: they run what make runs, from pinned actions, and may do no more than they must."""

from __future__ import annotations

import re
from pathlib import Path

import colab
import pytest
import yaml
from conftest import ROOT

WORKFLOWS = {path.name: path.read_text() for path in sorted((ROOT / ".github" / "workflows").glob("*.yml"))}
MAY_WRITE = {
    ("book.yml", "deploy"): {"pages": "write", "id-token": "write"},
    ("book.yml", "colab"): {"contents": "write"},  # no branch but its own: see the test below
    ("release.yml", "publish"): {"id-token": "write"},
}
PINNED = re.compile(r"^\s*(?:- )?uses: [\w.-]+/[\w.-]+@[0-9a-f]{40} # v\d+(\.\d+)*$")


def faults(name: str, text: str, makefile: str) -> list[str]:
    workflow, found = yaml.safe_load(text), []
    triggers = workflow[True]  # "on" is a truth value in YAML
    if "pull_request_target" in triggers or "secrets." in text:
        found.append("others' code could reach what is secret")
    if workflow.get("permissions") != {"contents": "read"}:
        found.append(f"all jobs may {workflow.get('permissions')}")
    found += [line.strip() for line in text.splitlines() if "uses:" in line and not PINNED.match(line)]
    for title, job in workflow["jobs"].items():
        if job.get("permissions", {}) != MAY_WRITE.get((name, title), {}):
            found.append(f"{title} may {job.get('permissions')}")
        if "timeout-minutes" not in job:
            found.append(f"{title} may run for six hours")
        for step in job["steps"]:
            if "checkout@" in step.get("uses", "") and step.get("with", {}).get("persist-credentials") is not False:
                found.append(f"{title} keeps the credentials of its checkout")
            command = step.get("run", "")
            if "${{" in command:
                found.append(f"{title} puts what others may write into a shell: {command}")
            target = re.match(r"make (\S+)", command)
            if target and not re.search(rf"^{target.group(1)}:", makefile, re.M):
                found.append(f"no target of the Makefile: {command}")
    return found


@pytest.mark.parametrize("name", WORKFLOWS)
def test_workflow(name: str, root: Path):
    assert faults(name, WORKFLOWS[name], (root / "Makefile").read_text()) == []


def test_every_push_runs_make_test():
    workflow = yaml.safe_load(WORKFLOWS["test.yml"])
    assert set(workflow[True]) == {"push", "pull_request"}
    [job] = workflow["jobs"].values()
    assert [step["run"] for step in job["steps"] if "run" in step] == ["make test"]


def test_what_colab_opens_is_what_the_book_wrote_and_no_other_branch_is_pushed():
    jobs = yaml.safe_load(WORKFLOWS["book.yml"])["jobs"]
    uploaded = [step["with"] for step in jobs["build"]["steps"] if "upload-artifact@" in step.get("uses", "")]
    assert {sent["name"]: sent["path"] for sent in uploaded} == {"notebooks": f"_build/html/{colab.FOLDER}"}
    fetched, pushed = jobs["colab"]["steps"]
    assert fetched["with"]["name"] == "notebooks"
    assert fetched["with"]["path"] == pushed["working-directory"], "what is pushed is what was fetched"
    pushes = [line.split() for line in pushed["run"].splitlines() if line.startswith("git push")]
    assert [words[-1] for words in pushes] == [colab.BRANCH]
    assert f"--initial-branch {colab.BRANCH}" in pushed["run"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("contents: read", "contents: write", "all jobs may"),
        ("@11bd71901bbe5b1630ceea73d27597364c9af683 # v4.2.2", "@v4", "uses: actions/checkout@v4"),
        ("persist-credentials: false", "fetch-depth: 0", "keeps the credentials"),
        ("timeout-minutes: 120", "env: {}", "six hours"),
        ("make test", "make tests", "no target"),
        ("make test", "echo ${{ github.head_ref }}", "into a shell"),
        ("[push, pull_request]", "[pull_request_target]", "secret"),
        ("    steps:", "    permissions: {packages: write}\n    steps:", "test may"),
    ],
)
def test_a_planted_fault_is_found(old: str, new: str, said: str, root: Path):
    text = WORKFLOWS["test.yml"]
    assert old in text
    found = faults("test.yml", text.replace(old, new), (root / "Makefile").read_text())
    assert len(found) == 1 and said in found[0]
