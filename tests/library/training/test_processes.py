"""One process and two give the same losses for the same global minibatches."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).parent
LAUNCHERS = {1: [], 2: ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]}


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[int, dict]:
    folder, found = tmp_path_factory.mktemp("processes"), {}
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(HERE)}
    for count, launcher in LAUNCHERS.items():
        path = folder / f"{count}.json"
        command = [sys.executable, *launcher, str(HERE / "two_processes.py"), str(path)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600)
        assert done.returncode == 0, done.stderr[-3000:]
        found[count] = json.loads(path.read_text())
        assert found[count]["processes"] == count
    return found


@pytest.mark.parametrize("case", ["infocore simclr", "infocore moco", "clip simclr", "clip moco"])
def test_losses_of_fifty_steps_are_the_same(runs, case):
    one, two = (np.array(runs[count]["losses"][case]) for count in (1, 2))
    assert len(one) >= 50 and not np.allclose(one[0], one[-1], rtol=1e-3)  # it has trained
    np.testing.assert_allclose(two, one, rtol=1e-5, atol=1e-7)


def test_processes_agree_on_the_weights_under_dropout(runs):
    assert runs[2]["alike"]


def test_a_checkpoint_is_written_once_and_history_is_the_same(runs):
    for one, two in zip(runs[1]["history"], runs[2]["history"]):
        np.testing.assert_allclose(list(two.values()), list(one.values()), rtol=1e-5, atol=1e-7)
