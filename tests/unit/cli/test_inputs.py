"""What `aurora ingest` finds under its paths, and what it remembers of having sent it."""

from __future__ import annotations

import gzip
import zipfile
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest

from cli import inputs
from cli.failure import Failure
from cli.ingest_state import State
from cli.inputs import Input


def content(entry: Input) -> bytes:
    with ExitStack() as stack:
        return entry.open(stack).read()


def test_folders_are_walked_by_name_and_archives_are_opened(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "two.log").write_bytes(b"two\n")
    (tmp_path / "a.log.gz").write_bytes(gzip.compress(b"one\n"))
    with zipfile.ZipFile(tmp_path / "c.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("folder/three.log", "three\n")
        archive.writestr("../four\x1b[31m.log.gz", gzip.compress(b"four\n"))
        archive.writestr("inner.zip", b"PK")
    (tmp_path / "link.log").symlink_to(tmp_path / "b" / "two.log")
    found = inputs.find([tmp_path, tmp_path / "b" / "two.log"])
    assert sorted(content(entry) for entry in found.inputs) == [b"four\n", b"one\n", b"three\n", b"two\n"]
    assert found.skipped == [(f"{tmp_path / 'c.zip'}!inner.zip", "an archive in an archive")]


def test_an_archive_that_would_unpack_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "_SMALL_ARCHIVE", 1024)
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", b"\0" * 10_000_000)
    assert inputs.find([bomb]) == inputs.Found([], [(str(bomb), "the archive would unpack to 10000000 bytes")])
    monkeypatch.setattr(inputs, "MAX_MEMBERS", 0)
    assert "more than 0 files" in inputs.find([bomb]).skipped[0][1]


def test_a_damaged_archive_is_named_and_stops_nothing_else(tmp_path: Path) -> None:
    damaged, good = tmp_path / "damaged.zip", tmp_path / "good.log"
    with zipfile.ZipFile(damaged, "w") as archive:
        archive.writestr("a.log", b"text " * 100)
    packed = bytearray(damaged.read_bytes())
    damaged.write_bytes(packed[:200] + packed[220:])
    good.write_text("fine\n")
    found = inputs.find([damaged, good])
    assert [entry.name for entry in found.inputs if entry.path == good] == [str(good)]


def test_event_logs_and_files_that_are_no_logs_are_told_by_their_content(tmp_path: Path) -> None:
    files = {"a.evtx": b"", "b.log": b"ElfFile\0rest", "c.png": b"\x89PNG\0\0", "d.log": b"text\n"}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    entries = inputs.find([tmp_path]).inputs
    assert [(inputs.is_evtx(entry), inputs.is_binary(entry)) for entry in entries] == [
        (True, False), (True, True), (False, True), (False, False),
    ]  # fmt: skip


@pytest.fixture
def entry(tmp_path: Path) -> Input:
    return Input(tmp_path / "app.log", "app.log", 100, 1)


def test_a_run_goes_on_where_the_last_one_ended(tmp_path: Path, entry: Input) -> None:
    file = tmp_path / "new" / "state.jsonl"
    with State(file, "a stack", restart=False) as state:
        begun = state.of(entry)
        state.keep(msgspec.structs.replace(begun, items=2000, receipt="r1"))
    with file.open("ab") as stream:
        stream.write(b'{"key": "half a li')
    with State(file, "a stack", restart=False) as state:
        assert (state.of(entry).items, state.of(entry).run, state.of(entry).receipt) == (2000, begun.run, "r1")
        state.keep(msgspec.structs.replace(begun, items=3000, done=True))
    with State(file, "a stack", restart=False) as state:
        assert state.of(entry).done
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_changed_file_another_target_and_a_restart_begin_anew(tmp_path: Path, entry: Input) -> None:
    file = tmp_path / "state.jsonl"
    with State(file, "a stack", restart=False) as state:
        begun = msgspec.structs.replace(state.of(entry), items=7, done=True)
        state.keep(begun)
        changed = Input(entry.path, entry.name, entry.size, entry.mtime_ns + 1)
        assert state.of(changed).items == 0
        state.keep(begun)
    for target, restart in (("another stack", False), ("a stack", True)):
        with State(file, target, restart=restart) as state:
            again = state.of(entry)
            assert (again.items, again.done, again.run == begun.run) == (0, False, False)


def test_stdin_is_never_remembered(tmp_path: Path) -> None:
    with State(tmp_path / "state", "a stack", restart=False) as state:
        state.keep(msgspec.structs.replace(state.of(inputs.STDIN_INPUT), done=True))
        assert not state.of(inputs.STDIN_INPUT).done


def test_two_runs_do_not_share_a_state_file(tmp_path: Path) -> None:
    with (
        State(tmp_path / "state", "a stack", restart=False),
        pytest.raises(Failure, match="another"),
        State(tmp_path / "state", "a stack", restart=False),
    ):
        pass


def test_a_long_journal_is_shortened_at_the_start_of_a_run(
    tmp_path: Path, entry: Input, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "state"
    with State(file, "a stack", restart=False) as state:
        begun = state.of(entry)
        for items in range(100):
            state.keep(msgspec.structs.replace(begun, items=items))
    monkeypatch.setattr("cli.ingest_state._COMPACT_BYTES", 1000)
    with State(file, "a stack", restart=False) as state:
        assert state.of(entry).items == 99
    assert len(file.read_bytes().splitlines()) == 1
