"""Files of intelligence are found in files, folders and archives, within bounds."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from cli import intelfiles
from cli.failure import Failure
from cli.intelfiles import IntelFile, count, read, source_of


def test_a_file_is_read_whatever_its_ending_and_a_folder_by_the_endings(tmp_path: Path) -> None:
    (tmp_path / "b.csv").write_text("x")
    (tmp_path / "a.JSON").write_text("{}")
    (tmp_path / "readme.md").write_text("no")
    odd = tmp_path / "feed"
    odd.write_text("y")
    assert [file.source for file in read([tmp_path])] == ["a", "b"]
    assert [file.body for file in read([odd])] == [b"y"]
    assert count([tmp_path, odd]) == 3


def test_an_archive_is_read_by_its_entries_in_order(tmp_path: Path) -> None:
    path = tmp_path / "feeds.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("day/2.json", "{}")
        archive.writestr("day/1.json", "[]")
        archive.writestr("notes.md", "no")
    assert list(read([path])) == [
        IntelFile(f"{path}/day/1.json", "1", b"[]"),
        IntelFile(f"{path}/day/2.json", "2", b"{}"),
    ]
    assert count([path]) == 2


def test_an_archive_that_unpacks_to_too_much_is_refused_before_it_fills_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.csv", b"\0" * 5_000_000)
    monkeypatch.setattr(intelfiles, "MAX_FILE_BYTES", 1_000_000)
    with pytest.raises(Failure, match="larger than"):
        list(read([path]))
    monkeypatch.setattr(intelfiles, "MAX_FILES", 0)
    with pytest.raises(Failure, match="more than"):
        list(read([_small(tmp_path)]))


def _small(folder: Path) -> Path:
    path = folder / "small.csv"
    path.write_text("x")
    return path


def test_what_only_claims_to_be_an_archive_is_a_failure_of_one_line(tmp_path: Path) -> None:
    path = tmp_path / "broken.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.csv", "x" * 1000)
    whole = bytearray(path.read_bytes())
    whole[40:60] = b"?" * 20
    path.write_bytes(whole)
    with pytest.raises(Failure, match="can't be read"):
        list(read([path]))


def test_a_source_is_named_as_the_api_takes_it() -> None:
    assert source_of("day/abuse ch+urlhaus.csv") == "abuse ch-urlhaus"
    assert source_of("\u202e.json") == "import"
