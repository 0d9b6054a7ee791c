"""The use-cases of logs: take events in, find them, and read a stored batch again for detection.

Intake parses, stores and answers; it never evaluates. Parsing a large body happens in a thread, so that small requests
and health probes are answered meanwhile.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import ParamSpec, Protocol, TypeVar

from services.siem.batch import StoredEvent
from services.siem.logs.parsers import FORMATS, Item, Rejected, parse_items, read_items
from services.siem.logs.rows import encode_row
from services.siem.logs.search import search_page
from services.siem.logs.store import LogStore, StoredRow
from services.siem.logs.writer import Prepared, Writer
from shared import telemetry
from shared.clickhouse import LimitExceededError, unavailable
from shared.clock import new_id, utc_now
from shared.contracts.logs import IngestProblem, IngestQuery, IngestReceipt, LogPage, LogQuery
from shared.errors import VALIDATION, AuroraError, field_error
from shared.log import get_logger

P = ParamSpec("P")
T = TypeVar("T")
MAX_PROBLEMS = 1000
#: A large request is parsed and stored in parts: it neither fills the memory nor stops others for long.
PART_ITEMS = 4_000
#: Parsing as much takes some milliseconds, as long as the loop may be busy.
_INLINE_BYTES = 32 * 1024
#: What a decoded document counts for against the limit of intake, beside its texts.
_DOCUMENT_BYTES = 256
_AUDIT_EVENT = re.compile(rb"msg=audit\([^)]*\)")
_log = get_logger("logs")


@dataclass(frozen=True, slots=True)
class _Request:
    """Where a body comes from, under which receipt and time it is stored, and the ids that tell it in logs."""

    receipt: str
    received_at: datetime
    source: str
    format: str | None
    trace: Mapping[str, str]
    keep_days: int | None = None


@dataclass(frozen=True, slots=True)
class StoredItems:
    """What became of items: the id of each that is durable, in their order, and why the others were rejected."""

    receipt: str
    ids: list[str | None]
    problems: dict[int, str]


class Rejections(Protocol):
    """Who keeps what intake refused."""

    async def record(
        self,
        items: Sequence[tuple[object, str]],
        *,
        source: str,
        format: str | None,  # noqa: A002 - the name it has in the API's query
        receipt: str,
    ) -> None:
        """Refused items, each with its reason. Never raises for a store that is away."""


class Retention(Protocol):
    """Who knows how long events are kept."""

    def days(self, source: str) -> int | None:
        """Days after arrival; None: as long as the table's default."""


class Logs:
    """Intake and search over one store."""

    def __init__(
        self, store: LogStore, writer: Writer, rejections: Rejections | None = None, retention: Retention | None = None
    ) -> None:
        self._store = store
        self._writer = writer
        self._rejections = rejections
        self._retention = retention
        self._one_at_a_time = asyncio.Lock()

    async def ingest(self, body: bytes, content_type: str, query: IngestQuery) -> IngestReceipt:
        """Stores the events of a body; its receipt, when they are durable.

        Raises AURORA-4290 when intake is at its limit, 4000 or 4150 for an unreadable body, 4220 when nothing in it
        was acceptable, 5030 or 5032 when a store is away: then the events may be stored or not.
        """
        if query.format is not None and query.format not in FORMATS:
            raise field_error("query.format", f"must be one of {', '.join(FORMATS)}")
        with self._writer.admitted(len(body)):
            request = self._request(query.source, query.format)
            accepted, problems = await self._store_parts(body, content_type, request)
        if not accepted:
            raise _nothing_acceptable(problems)
        return IngestReceipt(accepted, len(problems), problems[:MAX_PROBLEMS], request.receipt)

    async def store_items(
        self,
        items: Sequence[Item],
        *,
        source: str,
        format: str | None = None,  # noqa: A002 - the name it has in the API's query
        keep_rejected: bool = True,
    ) -> StoredItems:
        """Stores items that another door has read from its own format; which of them are durable now, and which aren't.

        What is rejected becomes a dead letter, unless `keep_rejected` is off. Raises AURORA-4290 when intake is at its
        limit, 5030 or 5032 when a store is away: then the events may be stored or not.
        """
        size = sum(map(_size_of, items))
        with self._writer.admitted(size):
            request = self._request(source, format)
            ids: list[str | None] = [None] * len(items)
            _, problems = await self._store_items(items, size > _INLINE_BYTES, request, ids, keep_rejected)
        return StoredItems(request.receipt, ids, {problem.index: problem.message for problem in problems})

    def _request(self, source: str, format: str | None) -> _Request:  # noqa: A002 - the name it has in the API's query
        days = None if self._retention is None else self._retention.days(source)
        return _Request(new_id(), utc_now(), source, format, telemetry.headers(), days)

    async def _store_parts(self, body: bytes, content_type: str, request: _Request) -> tuple[int, list[IngestProblem]]:
        """Returns when all parts are durable: how many events they hold, and what is wrong with the rest."""
        large = len(body) > _INLINE_BYTES
        items = await self._parse(large, read_items, body, content_type)
        return await self._store_items(items, large, request, [None] * len(items))

    async def _store_items(
        self,
        items: Sequence[Item],
        large: bool,
        request: _Request,
        ids: list[str | None],
        keep_rejected: bool = True,
    ) -> tuple[int, list[IngestProblem]]:
        accepted = 0
        problems: list[IngestProblem] = []
        durables: list[asyncio.Future[AuroraError | None]] = []
        for number, part in enumerate(parts_of(items)):
            if any(durable.done() and durable.result() is not None for durable in durables):
                break
            prepared, wrong = await self._parse(large, prepare, items, part, number, request)
            problems += wrong
            refused = {problem.index for problem in wrong}
            for index, stored in zip((i for i in part if i not in refused), prepared.events, strict=True):
                ids[index] = stored.log_id
            if prepared.rows:
                accepted += len(prepared.rows)
                durables.append(await self._writer.add(prepared))
        refusal = next((refusal for refusal in await asyncio.gather(*durables) if refusal is not None), None)
        if refusal is not None:
            raise refusal
        if problems and self._rejections is not None and keep_rejected:
            refused_items = [(items[problem.index], problem.message) for problem in problems]
            await self._rejections.record(
                refused_items, source=request.source, format=request.format, receipt=request.receipt
            )
        return accepted, problems

    async def _parse(self, large: bool, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs `work` here, or in the thread when it is large. One at a time: each takes the whole interpreter."""
        if not large:
            await self._writer.room()
            return work(*args, **kwargs)
        async with self._one_at_a_time:
            await self._writer.room()
            return await asyncio.to_thread(work, *args, **kwargs)

    async def search(self, query: LogQuery) -> LogPage:
        """A page of matching events, newest first. Raises AURORA-4220, also for a search that takes too long."""
        return await search_page(self._store, query)


def _size_of(item: Item) -> int:
    if isinstance(item, bytes | str):
        return len(item)
    texts = item.values() if isinstance(item, dict) else ()
    return _DOCUMENT_BYTES + sum(len(text) for text in texts if isinstance(text, str))


def parts_of(items: Sequence[Item]) -> Iterator[range]:
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


def prepare(items: Sequence[Item], part: range, number: int, request: _Request) -> tuple[Prepared, list[IngestProblem]]:
    """What of a part is to be stored, and what is wrong with the rest."""
    prepared = Prepared()
    problems: list[IngestProblem] = []
    results = parse_items(
        items[part.start : part.stop], source=request.source, received_at=request.received_at, format=request.format
    )
    for index, result in zip(part, results, strict=True):
        if isinstance(result, Rejected):
            problems.append(IngestProblem(index, result.message))
            continue
        stored = StoredEvent(new_id(), request.received_at, request.source, result, request.trace)
        row = encode_row(
            stored,
            receipt=request.receipt,
            part=number,
            row=index,
            forced_format=request.format or "",
            keep_days=request.keep_days,
        )
        prepared.events.append(stored)
        prepared.rows.append(row)
        prepared.size += len(row)
    return prepared, problems


def _nothing_acceptable(problems: list[IngestProblem]) -> AuroraError:
    if not problems:
        return field_error("body", "holds no events")
    listed = [{"path": f"body[{item.index}]", "message": item.message} for item in problems[:MAX_PROBLEMS]]
    return AuroraError(VALIDATION, listed)


async def read_batch(store: LogStore, seq: int) -> list[StoredEvent]:
    """The events of a stored batch, parsed as they were at first. Raises AURORA-5032."""
    try:
        rows = await store.batch(seq)
    except LimitExceededError as error:
        raise unavailable() from error
    return await asyncio.to_thread(parse_again, rows)


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
        )
        for row, result in zip(part, results, strict=True):
            if isinstance(result, Rejected):
                _log.error("a stored event can't be parsed again", log_id=row.id, reason=result.message)
                continue
            events.append(StoredEvent(row.id, row.ingested_at, row.source, result))
    return events
