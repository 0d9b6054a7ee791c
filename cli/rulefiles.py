"""Files of Sigma rules, from a folder, an archive or one file, and the bodies they are imported in.

Archives are read in memory and never unpacked. A body holds many files; `Chunk.place` finds the file and the line that
the report of the service speaks of. What a rule means is the service's business.
"""

from __future__ import annotations

import bisect
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cli.failure import Failure

SUFFIXES = (".yml", ".yaml")
CHUNK_FILES = 100
CHUNK_BYTES = 8 * 1024 * 1024
#: A file of rules, and all of them together, are no larger than this in bytes: an archive can't fill the memory.
MAX_FILE_BYTES = 16 * 1024 * 1024
MAX_TOTAL_BYTES = 512 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class RuleFile:
    """One file; `name` is as the reader would name it."""

    name: str
    text: str


@dataclass(slots=True)
class Chunk:
    """The files of one request. `first_lines` has, for each, the line of the body where its marker stands."""

    names: list[str] = field(default_factory=list)
    first_lines: list[int] = field(default_factory=list)
    _parts: list[str] = field(default_factory=list)
    _lines: int = 0
    _bytes: int = 0

    def add(self, file: RuleFile) -> None:
        """Appends a file as documents of their own."""
        text = f"---\n{file.text.removeprefix(chr(0xFEFF))}\n"
        self.names.append(file.name)
        self.first_lines.append(self._lines + 1)
        self._parts.append(text)
        self._lines += text.count("\n")
        self._bytes += len(text)

    @property
    def full(self) -> bool:
        """Whether it is time to send it."""
        return len(self.names) >= CHUNK_FILES or self._bytes >= CHUNK_BYTES

    def body(self) -> bytes:
        """The request's body: a stream of YAML documents."""
        return "".join(self._parts).encode()

    def place(self, line: int | None) -> tuple[str, int]:
        """The file, and the line in it (from 1), of a line of the body."""
        index = bisect.bisect_right(self.first_lines, line or 1) - 1
        return self.names[index], max(1, (line or 1) - self.first_lines[index])


def chunks(files: Iterable[RuleFile]) -> Iterator[Chunk]:
    """The files, in bodies of a size that is answered quickly."""
    chunk = Chunk()
    for file in files:
        chunk.add(file)
        if chunk.full:
            yield chunk
            chunk = Chunk()
    if chunk.names:
        yield chunk


def read(path: Path) -> list[RuleFile]:
    """Every rule file at a path, in the order of their names. Raises Failure for what can't be read."""
    try:
        found = sorted(_texts(path))
    except (OSError, tarfile.TarError, zipfile.BadZipFile, EOFError) as error:
        raise Failure(f"{path} can't be read: {error}") from error
    if not found:
        raise Failure(f"{path} holds no rule files ({', '.join(SUFFIXES)})")
    return [RuleFile(name, data.decode("utf-8", "replace")) for name, data in found]


def _texts(path: Path) -> Iterator[tuple[str, bytes]]:
    room = MAX_TOTAL_BYTES
    for name, data in _files(path):
        room -= len(data)
        if len(data) > MAX_FILE_BYTES or room < 0:
            raise Failure(f"{name} is too large: {MAX_FILE_BYTES} bytes a file and {MAX_TOTAL_BYTES} together at most")
        yield name, data


def _files(path: Path) -> Iterator[tuple[str, bytes]]:
    if path.is_dir():
        for file in path.rglob("*"):
            if file.suffix in SUFFIXES and file.is_file():
                yield str(file), file.read_bytes()
    elif path.suffix in SUFFIXES:
        yield str(path), path.read_bytes()
    elif zipfile.is_zipfile(path):
        yield from _zipped(path)
    else:
        yield from _tarred(path)


def _zipped(path: Path) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            if not entry.is_dir() and entry.filename.endswith(SUFFIXES):
                with archive.open(entry) as stream:
                    yield f"{path}/{entry.filename}", stream.read(MAX_FILE_BYTES + 1)


def _tarred(path: Path) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(path) as archive:
        for member in archive:
            stream = archive.extractfile(member) if member.isfile() and member.name.endswith(SUFFIXES) else None
            if stream is not None:
                yield f"{path}/{member.name}", stream.read(MAX_FILE_BYTES + 1)
