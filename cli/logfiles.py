"""Log files as requests for intake: their items by look, in batches, each item with its place in the file.

Knows three looks (a JSON document, one JSON value a line, lines of text), gzip, and that the records of one audit
event must travel together. What an item means is the service's business.
"""

from __future__ import annotations

import gzip
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import IO, Literal, cast

import msgspec

Look = Literal["json", "ndjson", "text"]
#: place (line, or number of the item in a JSON array; from 1) and bytes
Item = tuple[int, bytes]

CONTENT_TYPES: dict[Look, str] = {"json": "application/json", "ndjson": "application/x-ndjson", "text": "text/plain"}
BATCH_ITEMS = 1000
BATCH_BYTES = 1024 * 1024
#: An audit event isn't cut in two, unless it has more records than this beyond a full batch.
_LONGEST_EVENT = 500
_AUDIT_ID = re.compile(rb"msg=audit\(([\d.]+:\d+)\)")


@dataclass(slots=True)
class Batch:
    """The items of one request. `places` has the place of each."""

    look: Look
    items: list[bytes] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    size: int = 0

    def body(self) -> bytes:
        """The request's body."""
        if self.look == "json":
            return b"[" + b",".join(self.items) + b"]"
        return b"\n".join(self.items)


def size_of(path: Path) -> int | None:
    """Bytes that `batches` will go through; None when that isn't known beforehand."""
    return None if str(path) == "-" or path.suffix == ".gz" else path.stat().st_size


def batches(path: Path) -> Iterator[Batch]:
    """The file's items in batches; `-` is stdin. Raises OSError, or EOFError for a cut gzip file."""
    with _open(path) as stream:
        look, items = _look_at(stream)
        yield from _batched(look, items)


def _open(path: Path) -> IO[bytes]:
    if str(path) == "-":
        return sys.stdin.buffer
    return cast(IO[bytes], gzip.open(path)) if path.suffix == ".gz" else path.open("rb")


def _look_at(stream: IO[bytes]) -> tuple[Look, Iterator[Item]]:
    lines = _lines(stream)
    first = next(lines, None)
    if first is None:
        return "text", iter(())
    place, line = first
    start = line.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    if start == b"{" and _is_json(line):
        return "ndjson", chain([first], lines)
    if start not in (b"{", b"["):
        return "text", chain([first], lines)
    # A document over several lines, or text that begins with a bracket: only the whole of it tells.
    rest = stream.read()
    whole = line + b"\n" + rest
    documents = _documents(whole)
    if documents is not None:
        return "json", iter(enumerate(documents, start=1))
    return "text", chain([first], ((place + number, line) for number, line in _lines(rest.split(b"\n"))))


def _lines(stream: Iterable[bytes]) -> Iterator[Item]:
    """Line number (from 1) and line without its end; blank lines are left out, as the service does."""
    for number, line in enumerate(stream, start=1):
        text = line.rstrip(b"\r\n")
        if text.strip():
            yield number, text


def _is_json(line: bytes) -> bool:
    try:
        msgspec.json.decode(line)
    except msgspec.DecodeError:
        return False
    return True


def _documents(whole: bytes) -> list[bytes] | None:
    text = whole.removeprefix(b"\xef\xbb\xbf").strip()
    if not text.startswith(b"["):
        return [text] if _is_json(text) else None
    try:
        return [bytes(item) for item in msgspec.json.decode(text, type=list[msgspec.Raw])]
    except msgspec.DecodeError:
        return None


def _batched(look: Look, items: Iterator[Item]) -> Iterator[Batch]:
    batch = Batch(look)
    for place, data in items:
        if _full(batch) and not _continues(batch, data):
            yield batch
            batch = Batch(look)
        batch.items.append(data)
        batch.places.append(place)
        batch.size += len(data) + 1
    if batch.items:
        yield batch


def _full(batch: Batch) -> bool:
    return len(batch.items) >= BATCH_ITEMS or batch.size >= BATCH_BYTES


def _continues(batch: Batch, data: bytes) -> bool:
    ours, last = _AUDIT_ID.search(data), _AUDIT_ID.search(batch.items[-1])
    same_event = ours is not None and last is not None and ours[1] == last[1]
    return same_event and len(batch.items) < BATCH_ITEMS + _LONGEST_EVENT
