"""SigmaHQ's rules and regression events and OTRF's recordings, for the tests that hold the engine to them.

The data lies beside the repository (`../shared/data`) where there is any; without it the tests that ask skip. Archives
are read in place. Owns reading; refuses to know what is asserted.
"""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path, PurePosixPath

import pytest

from services.siem.detections.engine import CompiledRule, compile_rule, split_documents
from services.siem.event import Event
from services.siem.logs.parsers import Item, parse_items, read_items

DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"
RECEIVED = datetime(2027, 1, 1, tzinfo=UTC)
MEDIA_TYPES = {".json": "application/json", ".raw": "text/plain"}


def members(archive: str, *suffixes: str) -> Iterator[tuple[PurePosixPath, bytes]]:
    """The files of an archive that end in one of `suffixes`; skips the test where the archive isn't."""
    path = DATA / archive
    if not path.is_file():
        pytest.skip(f"../shared/data/{archive} isn't here")
    with tarfile.open(path) as tar:
        for member in tar:
            if member.isfile() and member.name.endswith(suffixes) and (file := tar.extractfile(member)) is not None:
                yield PurePosixPath(member.name), file.read()


@cache
def compiled_rules() -> tuple[CompiledRule, ...]:
    """Every rule of SigmaHQ, compiled; one that is refused fails the test that asks."""
    texts = [content.decode() for _, content in members("sigma-rules.tar.xz", ".yml")]
    return tuple(compile_rule(document) for text in texts for _, document in split_documents(text))


@cache
def regression_events() -> dict[str, list[Event]]:
    """Rule id -> the parsed events it must match."""
    return {
        path.stem: parsed(read_items(content, MEDIA_TYPES[path.suffix]))
        for path, content in members("sigma-regression-dev.tar.xz", *MEDIA_TYPES)
    }


def recorded_events(step: int) -> Iterator[Event]:
    """Every `step`-th event of OTRF's recordings."""
    for _, content in members("security-datasets-dev.tar", ".zip"):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for name in archive.namelist():
                if name.endswith(".json") and not name.startswith("__MACOSX"):
                    yield from parsed(read_items(archive.read(name), "application/x-ndjson")[::step])


def parsed(items: Sequence[Item]) -> list[Event]:
    """The events of items as a sender would post them."""
    results = parse_items(items, source="outside", received_at=RECEIVED)
    return [result for result in results if isinstance(result, Event)]
