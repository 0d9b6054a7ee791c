"""What `aurora ingest` has sent already: a journal with one line a batch, so that a run goes on where the last ended.

A file is known by its path, size and time; one that changed is sent from its start. Each file's sending has a random
id, from which the batches' idempotency keys are made: a batch whose answer was lost isn't stored twice.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO

import msgspec

from cli.failure import Failure
from cli.inputs import Input
from shared.clock import new_id

#: A longer journal is rewritten with its last lines at the start of a run.
_COMPACT_BYTES = 4 * 1024 * 1024


class Entry(msgspec.Struct, frozen=True):
    """How far one file was sent: `items` of them, in the run `run`; `receipt` is the last batch's."""

    key: str
    size: int
    mtime_ns: int
    run: str
    items: int = 0
    done: bool = False
    receipt: str = ""


class State:
    """The journal of one target. `target` holds what makes the same file another delivery: stack, source, format."""

    def __init__(self, file: Path | None, target: str, *, restart: bool) -> None:
        self._file = file
        self._target = target
        self._entries: dict[str, Entry] = {}
        self._stream: IO[bytes] | None = None
        self._restart = restart

    def __enter__(self) -> State:
        if self._file is not None:
            try:
                self._open(self._file)
            except OSError as error:
                raise Failure(f"the state file {self._file} can't be used: {error.strerror}") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._stream is not None:
            self._stream.close()

    def _open(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        self._stream = os.fdopen(descriptor, "r+b", buffering=0)
        try:
            fcntl.flock(self._stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._stream.close()
            raise Failure(f"another `aurora ingest` uses {file}: wait for it, or name another with --state") from None
        self._stream.seek(0)
        lines = self._stream.read()
        for entry in _entries(lines):
            self._entries[entry.key] = entry
        if lines and not lines.endswith(b"\n"):  # a run was killed while it wrote
            self._stream.write(b"\n")
        if len(lines) > _COMPACT_BYTES:
            self._stream.truncate(0)
            self._stream.write(b"".join(map(_line, self._entries.values())))

    def of(self, entry: Input) -> Entry:
        """How far this file was sent; a new entry for one that is new, changed, or to be sent again."""
        key = f"{self._target} {entry.identity}"
        known = None if entry.is_stdin else self._entries.get(key)
        if known is not None and (known.size, known.mtime_ns) == (entry.size, entry.mtime_ns) and not self._restart:
            return known
        begun = Entry(key, entry.size, entry.mtime_ns, new_id())
        self.keep(begun)
        return begun

    def keep(self, entry: Entry) -> None:
        """Remembers this beyond the process."""
        self._entries[entry.key] = entry
        if self._stream is None:
            return
        try:
            self._stream.write(_line(entry))
        except OSError as error:
            raise Failure(f"the state file {self._file} can't be written: {error.strerror}") from error


def _line(entry: Entry) -> bytes:
    return msgspec.json.encode(entry) + b"\n"


def _entries(lines: bytes) -> Iterator[Entry]:
    for line in lines.splitlines():
        try:
            yield msgspec.json.decode(line, type=Entry)
        except msgspec.DecodeError:  # the half line of a run that was killed
            continue
