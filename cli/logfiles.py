"""Log files as requests for intake: their items by look, in batches, each item with its place in the file.

Knows three looks (a JSON document, one JSON value a line, lines of text) and that the records of one audit event must
travel together. Where a file comes from is inputs.py's business, what an item means the service's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import IO, Literal

import msgspec

Look = Literal["json", "ndjson", "text"]
#: place (line, or number of the item in a JSON array; from 1) and bytes
Item = tuple[int, bytes]

CONTENT_TYPES: dict[Look, str] = {"json": "application/json", "ndjson": "application/x-ndjson", "text": "text/plain"}
BATCH_ITEMS = 1000
BATCH_BYTES = 1024 * 1024
#: A longer line, or a longer JSON document, is refused: it would have to be held in memory.
MAX_LINE = 256 * 1024 * 1024
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


class TooLongError(ValueError):
    """A line or a document that is longer than MAX_LINE."""


def batches(stream: IO[bytes], skip: int = 0) -> Iterator[Batch]:
    """The stream's items in batches, without the first `skip`.

    Raises OSError, EOFError for a cut gzip file, TooLongError.
    """
    look, items = _look_at(stream)
    yield from _batched(look, islice(items, skip, None))


def _look_at(stream: IO[bytes]) -> tuple[Look, Iterator[Item]]:
    lines = _lines(_bounded(stream))
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
    rest = stream.read(MAX_LINE + 1)
    if len(rest) > MAX_LINE:
        raise TooLongError(f"a document of more than {MAX_LINE} bytes: write one JSON object a line")
    whole = line + b"\n" + rest
    documents = _documents(whole)
    if documents is not None:
        return "json", iter(enumerate(documents, start=1))
    return "text", chain([first], ((place + number, line) for number, line in _lines(rest.split(b"\n"))))


def _bounded(stream: IO[bytes]) -> Iterator[bytes]:
    while line := stream.readline(MAX_LINE + 1):
        if len(line) > MAX_LINE:
            raise TooLongError(f"a line of more than {MAX_LINE} bytes")
        yield line


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
