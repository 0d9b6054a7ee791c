"""A recorded intrusion as its manifest describes it: the files, their lines in the order of time, what each stage is.

Reads samples/manifest.json and the recordings; sends nothing. Times are only read to bring the lines of several files
into one order; what a line means is the service's business.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from cli.failure import Failure

MANIFEST = "manifest.json"
#: Lines of one file within so many seconds of the recording travel together.
WINDOW_SECONDS = 2.0
_AUDIT = re.compile(rb"msg=audit\((\d+\.\d+):")
_ISO = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\S*) ")
_ACCESS = re.compile(rb"\[(\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})\]")


class File(msgspec.Struct):
    """A recording, and how it is sent."""

    path: str
    source: str
    content_type: str
    lines: int
    format: str | None = None


class Part(msgspec.Struct):
    """Lines of one file (first and last, from 1) that belong to a stage of the intrusion."""

    stage: str
    path: str
    lines: list[tuple[int, int]]
    what: str
    techniques: list[str]


class Manifest(msgspec.Struct):
    """What of samples/manifest.json is needed here."""

    host: str
    files: list[File]
    attack: list[Part]


@dataclass(frozen=True, slots=True)
class Batch:
    """Lines of one file that are sent together."""

    file: File
    lines: list[bytes]


@dataclass(slots=True)
class Stage:
    """What belongs to one stage over all files."""

    name: str
    what: str
    techniques: set[str] = field(default_factory=set)


class Recording:
    """The recording of one folder. Raises Failure when it isn't there or isn't as the manifest says."""

    def __init__(self, folder: Path) -> None:
        try:
            self.manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
            self._lines = {file.path: _lines(folder / file.path) for file in self.manifest.files}
        except OSError as error:
            raise Failure(f"the recording can't be read: {error.filename} ({error.strerror})") from error
        except msgspec.DecodeError as error:
            raise Failure(f"{folder / MANIFEST} isn't a manifest: {error}") from error
        for file in self.manifest.files:
            if len(self._lines[file.path]) != file.lines:
                raise Failure(f"{folder / file.path} has {len(self._lines[file.path])} lines, not {file.lines}")

    @property
    def total(self) -> int:
        """Lines of all files."""
        return sum(file.lines for file in self.manifest.files)

    def batches(self) -> Iterator[Batch]:
        """Every line once, in the order of the recorded time; the records of one audit event stay together."""
        windows: dict[float, dict[str, list[bytes]]] = defaultdict(lambda: defaultdict(list))
        for file in self.manifest.files:
            time = 0.0
            for line in self._lines[file.path]:
                time = time_of(line) or time
                windows[time // WINDOW_SECONDS][file.path].append(line)
        for _, files in sorted(windows.items()):
            for file in self.manifest.files:
                if file.path in files:
                    yield Batch(file, files[file.path])

    def stages(self) -> dict[str, Stage]:
        """The stages of the intrusion, in order."""
        stages: dict[str, Stage] = {}
        for part in self.manifest.attack:
            stage = stages.setdefault(part.stage, Stage(part.stage, part.what))
            stage.techniques.update(part.techniques)
        return stages

    def stages_of_lines(self) -> Mapping[tuple[str, str], set[str]]:
        """(source, line as sent) -> the stages it belongs to; a line of the background has none and isn't in it."""
        files = {file.path: file for file in self.manifest.files}
        found: dict[tuple[str, str], set[str]] = defaultdict(set)
        for part in self.manifest.attack:
            for first, last in part.lines:
                for line in self._lines[part.path][first - 1 : last]:
                    found[files[part.path].source, line.decode("utf-8", "replace")].add(part.stage)
        return found


def _lines(path: Path) -> list[bytes]:
    return path.read_bytes().removesuffix(b"\n").split(b"\n")


def time_of(line: bytes) -> float | None:
    """When an audit record, a syslog line with an ISO time or an access log line was written, in epoch seconds."""
    if match := _AUDIT.search(line):
        return float(match[1])
    if match := _ISO.match(line):
        return datetime.fromisoformat(match[1].decode()).astimezone(UTC).timestamp()
    if match := _ACCESS.search(line):
        return datetime.strptime(match[1].decode(), "%d/%b/%Y:%H:%M:%S %z").timestamp()
    return None
