"""The use-cases of logs: take events in, find them, and read a stored batch again for detection.

Intake parses, stores and answers; it never evaluates. Parsing a large body happens in a thread, so that small requests
and health probes are answered meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from services.siem.batch import StoredEvent
from services.siem.logs import domain
from services.siem.logs.parsers import FORMATS, Rejected, parse_items, read_items
from services.siem.logs.rows import encode_row
from services.siem.logs.store import LogStore, Search, StoredRow
from services.siem.logs.writer import Prepared, Writer
from shared import telemetry
from shared.clickhouse import LimitExceededError, unavailable
from shared.clock import new_id, utc_now
from shared.contracts.common import Page
from shared.contracts.logs import IngestProblem, IngestQuery, IngestReceipt, LogEvent, LogQuery
from shared.errors import VALIDATION, AuroraError, field_error
from shared.log import get_logger

MAX_PROBLEMS = 1000
#: Parsing this much takes about as long as a busy loop may: 1 ms.
_INLINE_BYTES = 32 * 1024
_log = get_logger("logs")


@dataclass(frozen=True, slots=True)
class _Request:
    """Where a body comes from, under which receipt and time it is stored, and the ids that tell it in logs."""

    receipt: str
    received_at: datetime
    source: str
    format: str | None
    trace: Mapping[str, str]


class Logs:
    """Intake and search over one store."""

    def __init__(self, store: LogStore, writer: Writer) -> None:
        self._store = store
        self._writer = writer
        # One thread: parsing holds the interpreter, and more of them would only keep the event loop waiting longer.
        self._parser = ThreadPoolExecutor(1, thread_name_prefix="parse")

    async def ingest(self, body: bytes, content_type: str, query: IngestQuery) -> IngestReceipt:
        """Stores the events of a body; its receipt, when they are durable.

        Raises AURORA-4290 when intake is at its limit, 4000 or 4150 for an unreadable body, 4220 when nothing in it
        was acceptable, 5030 or 5032 when a store is away: then the events may be stored or not.
        """
        if query.format is not None and query.format not in FORMATS:
            raise field_error("query.format", f"must be one of {', '.join(FORMATS)}")
        with self._writer.admitted(len(body)):
            request = _Request(new_id(), utc_now(), query.source, query.format, telemetry.headers())
            if len(body) <= _INLINE_BYTES:
                prepared, problems = prepare(body, content_type, request)
            else:
                loop = asyncio.get_running_loop()
                prepared, problems = await loop.run_in_executor(self._parser, prepare, body, content_type, request)
            if not prepared.rows:
                raise _nothing_acceptable(problems)
            await self._writer.write(prepared)
        return IngestReceipt(len(prepared.rows), len(problems), problems[:MAX_PROBLEMS], request.receipt)

    async def search(self, query: LogQuery) -> Page[LogEvent]:
        """A page of matching events, newest first. Raises AURORA-4220, also for a search that takes too long."""
        search = Search(
            terms=domain.parse_query(query.q),
            source=query.source,
            receipt=query.receipt,
            since=None if query.since is None else domain.within_range(query.since),
            until=None if query.until is None else domain.within_range(query.until),
            after=None if query.cursor is None else domain.decode_cursor(query.cursor),
        )
        try:
            found = await self._store.page(search, query.limit + 1)
            events = await self._store.events(found[: query.limit])
        except LimitExceededError as error:
            advice = "narrow it with since, until or another term"
            raise field_error("query.q", f"the search ran into its {error.limit} limit: {advice}") from error
        more = len(found) > query.limit
        return Page(events, domain.encode_cursor(found[query.limit - 1]) if more else None)


def prepare(body: bytes, content_type: str, request: _Request) -> tuple[Prepared, list[IngestProblem]]:
    """What of a body is to be stored, and what is wrong with the rest. Raises as `read_items` does."""
    prepared = Prepared()
    problems: list[IngestProblem] = []
    items = read_items(body, content_type)
    results = parse_items(items, source=request.source, received_at=request.received_at, format=request.format)
    for index, result in enumerate(results):
        if isinstance(result, Rejected):
            problems.append(IngestProblem(index, result.message))
            continue
        stored = StoredEvent(new_id(), request.received_at, request.source, result, request.trace)
        row = encode_row(stored, receipt=request.receipt, row=index, forced_format=request.format or "")
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
    return await asyncio.to_thread(_parse_again, rows)


def _parse_again(rows: list[StoredRow]) -> list[StoredEvent]:
    events: list[StoredEvent] = []
    # Records of one request complete one another, so they are parsed together again.
    for _, group in groupby(rows, key=lambda row: row.receipt):
        request = list(group)
        first = request[0]
        results = parse_items(
            [row.raw for row in request],
            source=first.source,
            received_at=first.ingested_at,
            format=first.format or None,
        )
        for row, result in zip(request, results, strict=True):
            if isinstance(result, Rejected):
                _log.error("a stored event can't be parsed again", log_id=row.id, reason=result.message)
                continue
            events.append(StoredEvent(row.id, row.ingested_at, row.source, result))
    return events
