"""Files of intelligence from files, folders and zip archives, each as one body for an import.

Archives are read in memory, within bounds, and never unpacked. What a file means is the service's business.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cli.failure import Failure

SUFFIXES = (".json", ".stix", ".stix2", ".misp", ".csv", ".tsv", ".txt", ".list", ".ioc")
#: What one import takes, in bytes, and what an archive may hold together and in number.
MAX_FILE_BYTES = 64 * 1024 * 1024
MAX_TOTAL_BYTES = 1024 * 1024 * 1024
MAX_FILES = 10_000
_NOT_IN_NAMES = re.compile(r"[^\w.:/@ -]+")


@dataclass(frozen=True, slots=True)
class IntelFile:
    """One file; `name` is as the reader would name it, `source` what it is called when nobody says otherwise."""

    name: str
    source: str
    body: bytes


def read(paths: Sequence[Path]) -> Iterator[IntelFile]:
    """Every file of intelligence at the paths, in order; a path that is named itself whatever its ending. One at a
    time, so that only one is in memory. Raises Failure for what can't be read and for too much of it."""
    room, number = MAX_TOTAL_BYTES, 0
    for path in paths:
        try:
            for file in _files(path):
                room, number = room - len(file.body), number + 1
                if len(file.body) > MAX_FILE_BYTES:
                    raise Failure(f"{file.name} is larger than {MAX_FILE_BYTES} bytes: import it in parts")
                if room < 0 or number > MAX_FILES:
                    raise Failure(f"more than {MAX_FILES} files or {MAX_TOTAL_BYTES} bytes: import them in parts")
                yield file
        except (OSError, zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
            raise Failure(f"{path} can't be read: {error}") from error


def count(paths: Sequence[Path]) -> int:
    """How many files there are, without reading them; an archive that can't be read counts as one."""
    return sum(_count(path) for path in paths)


def source_of(name: str) -> str:
    """A name of a source that the API takes, from a file's."""
    return _NOT_IN_NAMES.sub("-", Path(name).stem).strip("- ")[:128] or "import"


def _count(path: Path) -> int:
    if path.is_dir():
        return sum(1 for _ in _inside(path))
    if zipfile.is_zipfile(path):
        try:
            with zipfile.ZipFile(path) as archive:
                return len(_entries(archive))
        except zipfile.BadZipFile:
            return 1
    return 1


def _files(path: Path) -> Iterator[IntelFile]:
    if path.is_dir():
        for file in _inside(path):
            yield IntelFile(str(file), source_of(file.name), _bytes(file))
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for entry in _entries(archive):
                with archive.open(entry) as stream:
                    body = stream.read(MAX_FILE_BYTES + 1)
                yield IntelFile(f"{path}/{entry.filename}", source_of(entry.filename), body)
    else:
        yield IntelFile(str(path), source_of(path.name), _bytes(path))


def _inside(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())


def _entries(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    found = [entry for entry in archive.infolist() if entry.filename.lower().endswith(SUFFIXES) and not entry.is_dir()]
    return sorted(found, key=lambda entry: entry.filename)


def _bytes(file: Path) -> bytes:
    with file.open("rb") as stream:
        return stream.read(MAX_FILE_BYTES + 1)
