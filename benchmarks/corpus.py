"""The events the benchmarks send: recorded sessions that nobody here wrote when they are there, else the samples.

`../shared/data` beside the checkout holds the outside data; nothing of it is copied.
"""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, cycle, islice
from pathlib import Path

ROOT = Path(__file__).parents[1]
OUTSIDE = ROOT.parent / "shared" / "data"


@dataclass(frozen=True, slots=True)
class Corpus:
    """`bodies` are requests of `events` events together; `media_type` fits all of them."""

    name: str
    media_type: str
    bodies: list[bytes]
    events: int

    @property
    def size(self) -> int:
        """Bytes of all bodies."""
        return sum(len(body) for body in self.bodies)


def corpus(events: int, per_request: int) -> Corpus:
    """`events` events in requests of `per_request`."""
    archive = OUTSIDE / "security-datasets-dev.tar"
    if archive.exists():
        name, media_type, lines = "recorded Windows sessions", "application/x-ndjson", _windows_lines(archive)
    else:
        name, media_type, lines = "samples", "text/plain", _sample_lines()
    taken = list(islice(lines, events))
    bodies = [b"\n".join(taken[start : start + per_request]) for start in range(0, len(taken), per_request)]
    return Corpus(name, media_type, bodies, len(taken))


def _windows_lines(archive: Path) -> Iterator[bytes]:
    with tarfile.open(archive) as tar:
        members = sorted((member for member in tar if member.name.endswith(".zip")), key=lambda member: member.name)
        for member in members:
            content = tar.extractfile(member)
            if content is not None:
                yield from _zipped_lines(content.read())


def _zipped_lines(data: bytes) -> Iterator[bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for name in archive.namelist():
            yield from (line for line in archive.read(name).splitlines() if line.startswith(b"{"))


def _sample_lines() -> Iterator[bytes]:
    files = sorted((ROOT / "samples" / "recorded").glob("*.log"))
    lines = list(chain.from_iterable(file.read_bytes().split(b"\n") for file in files))
    return cycle([line for line in lines if line.strip()])


def sigma_rules() -> list[str]:
    """Every rule of the outside archive as YAML text; none when it isn't there."""
    archive = OUTSIDE / "sigma-rules.tar.xz"
    if not archive.exists():
        return []
    with tarfile.open(archive) as tar:
        files = [member for member in tar if member.name.endswith(".yml")]
        return [content.read().decode() for member in files if (content := tar.extractfile(member)) is not None]
