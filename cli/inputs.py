"""What `aurora ingest` is given, as log files: files, folders (recursively) and the members of zip archives.

Archives are streamed, never unpacked to disk, and bounded: a bomb is refused by what its directory says, which zipfile
holds each member to. Names are other people's text; whoever shows them escapes them.
"""

from __future__ import annotations

import gzip
import os
import stat
import sys
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, cast

STDIN = "-"
MAX_MEMBERS = 20_000
#: Bytes that an archive may unpack to, and how many times its own size.
MAX_UNPACKED = 32 * 1024 * 1024 * 1024
MAX_RATIO = 200
#: Below this an archive's ratio doesn't matter.
_SMALL_ARCHIVE = 64 * 1024 * 1024
_SNIFFED = 8 * 1024
_EVTX_MAGIC = b"ElfFile\0"


class Unreadable(Exception):
    """An input that can't be sent; the message says why."""


@dataclass(frozen=True, slots=True)
class Input:
    """One log file. `name` is for people; `member` names it within the archive `path`. Sizes in bytes."""

    path: Path
    name: str
    size: int
    mtime_ns: int
    member: str | None = None
    #: Found in a folder or an archive rather than named by the user: other files than logs are expected there.
    found: bool = False

    @property
    def identity(self) -> str:
        """The same for the same file in every run."""
        place = os.path.abspath(self.path)  # noqa: PTH100 - resolve() would follow links
        return place if self.member is None else f"{place}!{self.member}"

    @property
    def is_stdin(self) -> bool:
        """Whether it is what is piped in; that can't be read twice."""
        return str(self.path) == STDIN

    @property
    def packed(self) -> bool:
        """Whether it is a gzip file."""
        return self.name.lower().endswith(".gz")

    def open(self, stack: ExitStack) -> IO[bytes]:
        """Its content, unpacked. Raises OSError, EOFError while reading, or Unreadable."""
        stream: IO[bytes]
        if self.is_stdin:
            return sys.stdin.buffer
        if self.member is None:
            stream = stack.enter_context(self.path.open("rb"))
        else:
            try:
                archive = stack.enter_context(zipfile.ZipFile(self.path))
                stream = stack.enter_context(archive.open(self.member))
            except (zipfile.BadZipFile, NotImplementedError, RuntimeError, KeyError) as error:
                raise Unreadable(str(error)) from error
        return cast(IO[bytes], stack.enter_context(gzip.open(stream))) if self.packed else stream


STDIN_INPUT = Input(Path(STDIN), STDIN, 0, 0)


@dataclass(slots=True)
class Found:
    """Everything to send, in the order named, folders by name; and what is left out: (name, why)."""

    inputs: list[Input] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)


def find(paths: Sequence[Path]) -> Found:
    """The log files under these paths, each once; `-` is left to the caller."""
    found = Found()
    for path in paths:
        if path.is_dir():
            for file in _walk(path):
                _add(found, file, inside=True)
        elif str(path) != STDIN:
            _add(found, path, inside=False)
    found.inputs = list({entry.identity: entry for entry in found.inputs}.values())
    return found


def _walk(folder: Path) -> Iterator[Path]:
    for root, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            file = Path(root, name)
            if not file.is_symlink():
                yield file


def _add(found: Found, path: Path, *, inside: bool) -> None:
    try:
        status = path.stat()
        if inside and not stat.S_ISREG(status.st_mode):
            return
        if zipfile.is_zipfile(path):
            found.inputs += _members(path, status.st_mtime_ns, found)
        else:
            found.inputs.append(Input(path, str(path), status.st_size, status.st_mtime_ns, found=inside))
    except (OSError, Unreadable, zipfile.BadZipFile) as error:
        found.skipped.append((str(path), str(error)))


def _members(path: Path, mtime_ns: int, found: Found) -> list[Input]:
    with zipfile.ZipFile(path) as archive:
        members = [member for member in archive.infolist() if not member.is_dir()]
    unpacked = sum(member.file_size for member in members)
    packed = max(1, path.stat().st_size)
    if len(members) > MAX_MEMBERS:
        raise Unreadable(f"an archive of more than {MAX_MEMBERS} files")
    if unpacked > MAX_UNPACKED or (unpacked > _SMALL_ARCHIVE and unpacked > packed * MAX_RATIO):
        raise Unreadable(f"the archive would unpack to {unpacked} bytes")
    taken = []
    for member in members:
        name = f"{path}!{member.filename}"
        if member.flag_bits & 1:
            found.skipped.append((name, "encrypted"))
        elif member.filename.lower().endswith(".zip"):
            found.skipped.append((name, "an archive in an archive"))
        else:
            taken.append(Input(path, name, member.file_size, mtime_ns, member.filename, found=True))
    return taken


def is_evtx(entry: Input) -> bool:
    """Whether its name or its first bytes say that it is a Windows event log."""
    if entry.name.lower().removesuffix(".gz").endswith(".evtx"):
        return True
    return _beginning(entry).startswith(_EVTX_MAGIC)


def is_binary(entry: Input) -> bool:
    """Whether it holds a NUL where a log has text: an image or a database among the logs of a folder."""
    return b"\0" in _beginning(entry)


def _beginning(entry: Input) -> bytes:
    with ExitStack() as stack:
        return entry.open(stack).read(_SNIFFED)
