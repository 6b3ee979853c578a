"""Kept runs: named by their settings, whole or not at all, computed once, each with its own provenance."""

from __future__ import annotations

import json
import multiprocessing
import time
from pathlib import Path

import pytest

from infocore_mini.experiments.records import kept, path_of

SETTINGS = {"seed": 0, "layers": (8, 4), "rate": 0.1}


def never():
    raise AssertionError("computed again")


def test_a_run_is_kept_with_its_settings_and_its_own_provenance(tmp_path):
    made = kept(tmp_path / "runs", "toy", SETTINGS, lambda: ({"x": 1.5}, {"a.csv": "0" * 64}))
    assert kept(tmp_path / "runs", "toy", SETTINGS, never) == made
    held = json.loads(path_of(tmp_path / "runs", "toy", SETTINGS).read_text())
    assert (held["kind"], held["settings"]["layers"], held["result"]) == ("toy", [8, 4], {"x": 1.5})
    assert held["provenance"]["data_sha256"] == {"a.csv": "0" * 64} and held["provenance"]["packages"]["torch"]


def test_seconds_are_those_of_the_run(tmp_path):
    record = kept(tmp_path, "toy", SETTINGS, lambda: (time.sleep(0.3), {}))
    assert 0.3 <= record.provenance["seconds"] < 5


@pytest.mark.parametrize("change", [{"seed": 1}, {"rate": 0.2}, {"layers": (8,)}, {"more": None}])
def test_another_setting_is_another_run(tmp_path, change):
    kept(tmp_path, "toy", SETTINGS, lambda: (1, {}))
    assert kept(tmp_path, "toy", SETTINGS | change, lambda: (2, {})).result == 2
    assert kept(tmp_path, "other", SETTINGS, lambda: (3, {})).result == 3


def test_the_order_of_settings_is_none():
    backwards = dict(reversed(SETTINGS.items()))
    assert path_of(Path(), "toy", SETTINGS) == path_of(Path(), "toy", backwards)


def test_without_a_folder_nothing_is_kept_and_the_result_is_the_same(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    alone = kept(None, "toy", SETTINGS, lambda: ({"pair": (1, 2)}, {}))
    assert alone.result == {"pair": [1, 2]} and not list(tmp_path.iterdir())
    assert kept(tmp_path, "toy", SETTINGS, lambda: ({"pair": (1, 2)}, {})).result == alone.result


def test_what_a_killed_write_leaves_is_not_read(tmp_path, monkeypatch):
    with monkeypatch.context() as killed:
        killed.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            kept(tmp_path, "toy", SETTINGS, lambda: (1, {}))
    assert not path_of(tmp_path, "toy", SETTINGS).exists()
    assert kept(tmp_path, "toy", SETTINGS, lambda: (2, {})).result == 2


@pytest.mark.parametrize("text", ["", '{"kind": "toy"', '{"kind": "toy", "settings": {}}', "[1]"])
def test_a_damaged_record_is_refused_by_its_path(tmp_path, text):
    path = path_of(tmp_path, "toy", SETTINGS)
    path.write_text(text)
    with pytest.raises(ValueError, match=f"{path.name}: got a damaged file .*, expected the record of a run"):
        kept(tmp_path, "toy", SETTINGS, never)


def test_a_foreign_record_is_refused_by_its_path(tmp_path):
    kept(tmp_path, "toy", {"seed": 1}, lambda: (1, {}))
    path = path_of(tmp_path, "toy", {"seed": 2})
    path_of(tmp_path, "toy", {"seed": 1}).rename(path)
    with pytest.raises(ValueError, match=f"{path.name}: got a run of other settings"):
        kept(tmp_path, "toy", {"seed": 2}, never)


def slow(folder: Path) -> int:
    def make():
        with (folder / "log").open("a") as log:
            log.write("computed\n")
        time.sleep(0.5)
        return 7, {}

    return kept(folder, "toy", SETTINGS, make).result


def test_two_processes_that_want_one_run_compute_it_once(tmp_path):
    context = multiprocessing.get_context("fork")
    with context.Pool(2) as pool:
        assert pool.map(slow, [tmp_path, tmp_path], chunksize=1) == [7, 7]
    assert (tmp_path / "log").read_text() == "computed\n"
