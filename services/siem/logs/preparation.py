"""From what was received to rows ready to be stored, and from stored rows back to events: the CPU work of intake.

Owns how a request is cut into parts that are parsed together. Knows neither the store nor who waits for an answer, so
that it can run in another process.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby

from services.siem.batch import StoredEvent
from services.siem.bounds import is_too_deep
from services.siem.logs.parsers import Item, Rejected, parse_items, read_items
from services.siem.logs.rows import encode_row
from services.siem.logs.store import StoredRow
from shared.clock import new_id
from shared.log import get_logger

#: A large request is parsed and stored in parts: it neither fills the memory nor stops others for long.
PART_ITEMS = 1_000
_AUDIT_EVENT = re.compile(rb"msg=audit\([^)]*\)")
_log = get_logger("logs")


@dataclass(frozen=True, slots=True)
class Request:
    """Where items come from, under which receipt and time they are stored, and the ids that tell them in logs.

    `format` is the one that was asked for; `keep_days` None means the table's default.
    """

    receipt: str
    received_at: datetime
    source: str
    format: str | None
    trace: Mapping[str, str]
    keep_days: int | None = None


@dataclass(frozen=True, slots=True)
class Body:
    """A body as it was received, not yet read."""

    data: bytes
    content_type: str


@dataclass(slots=True)
class Part:
    """Rows of one part of a request. `ids` has each row's log id under the place of its item in the request; `problems`
    the reason for each item that isn't taken, with the item where it could be read."""

    rows: list[bytes] = field(default_factory=list)
    size: int = 0
    ids: dict[int, str] = field(default_factory=dict)
    problems: dict[int, tuple[str, Item]] = field(default_factory=dict)
    #: Whether some of the rows are audit records that others complete.
    apart: bool = False


def prepare(content: Body | Sequence[Item], request: Request) -> Iterator[tuple[Part, list[StoredEvent]]]:
    """The parts of a request, each with its events in the order of its rows.

    Raises AuroraError for a body that can't be read as a whole, before the first part.
    """
    items = read_items(content.data, content.content_type) if isinstance(content, Body) else content
    for number, part in enumerate(_parts_of(items)):
        yield _prepare_part(items, part, number, request)


def _prepare_part(
    items: Sequence[Item], places: range, number: int, request: Request
) -> tuple[Part, list[StoredEvent]]:
    part, events = Part(), list[StoredEvent]()
    results = parse_items(
        items[places.start : places.stop],
        source=request.source,
        received_at=request.received_at,
        format=request.format,
        continued=True,
    )
    for place, result in zip(places, results, strict=True):
        if isinstance(result, Rejected):
            part.problems[place] = result.message, _kept(items[place], result)
            continue
        stored = StoredEvent(new_id(), request.received_at, request.source, result, request.trace)
        row = encode_row(
            stored,
            receipt=request.receipt,
            part=number,
            row=place,
            forced_format=request.format or "",
            keep_days=request.keep_days,
        )
        part.rows.append(row)
        part.size += len(row)
        part.apart = part.apart or result.apart
        part.ids[place] = stored.log_id
        events.append(stored)
    return part, events


def _kept(item: Item, refusal: Rejected) -> Item:
    """The refused item, or the refusal alone of an object that is nested too deeply to be written down."""
    return refusal if isinstance(item, dict) and is_too_deep(item) else item


def _parts_of(items: Sequence[Item]) -> Iterator[range]:
    """Places of the items that are parsed together. The records of one audit event stay together."""
    start = 0
    while start < len(items):
        end = min(start + PART_ITEMS, len(items))
        while end < min(start + 2 * PART_ITEMS, len(items)) and _belong_together(items[end - 1], items[end]):
            end += 1
        yield range(start, end)
        start = end


def _belong_together(first: Item, second: Item) -> bool:
    event = _audit_event(first)
    return event is not None and event == _audit_event(second)


def _audit_event(item: Item) -> bytes | None:
    match = _AUDIT_EVENT.search(item) if isinstance(item, bytes) else None
    return None if match is None else match.group()


def parse_again(rows: Sequence[StoredRow]) -> list[StoredEvent]:
    """The events of rows in the order of (receipt, part, row), parsed as they were at first."""
    events: list[StoredEvent] = []
    # Audit records complete one another, so what was parsed together is parsed together again.
    for _, group in groupby(rows, key=lambda row: (row.receipt, row.part)):
        part = list(group)
        first = part[0]
        results = parse_items(
            [row.raw for row in part],
            source=first.source,
            received_at=first.ingested_at,
            format=first.format or None,
            continued=True,
        )
        for row, result in zip(part, results, strict=True):
            if isinstance(result, Rejected):
                _log.error("a stored event can't be parsed again", log_id=row.id, reason=result.message)
                continue
            events.append(StoredEvent(row.id, row.ingested_at, row.source, result))
    return events
