"""The use-cases of logs: take events in and find them.

Intake has what it received prepared (parsed and encoded) by a port, stores it and answers; it never evaluates.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from services.siem.batch import Evaluation
from services.siem.logs.parsers import FORMATS, Item
from services.siem.logs.preparation import Body, Part, Request
from services.siem.logs.search import search_page
from services.siem.logs.store import LogStore
from services.siem.logs.writer import Writer
from shared import telemetry
from shared.clock import new_id, utc_now
from shared.contracts.logs import IngestProblem, IngestQuery, IngestReceipt, LogPage, LogQuery
from shared.errors import VALIDATION, AuroraError, field_error

MAX_PROBLEMS = 1000
#: What a decoded document counts for against the limit of intake, beside its texts.
_DOCUMENT_BYTES = 256


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


class Preparer(Protocol):
    """Who parses and encodes what was received, and has it evaluated."""

    def prepare(
        self, content: Body | Sequence[Item], size: int, request: Request
    ) -> AsyncIterator[tuple[Part, Evaluation]]:
        """The parts of a request of about `size` bytes, in order. Raises AURORA-4000, 4130 or 4150 for content that
        can't be read as a whole, 5030 when nobody can prepare it now."""


@dataclass(slots=True)
class _Outcome:
    """What became of a request: each row's log id and each problem under the place of its item."""

    ids: dict[int, str]
    problems: dict[int, str]


class Logs:
    """Intake and search over one store."""

    def __init__(
        self,
        store: LogStore,
        writer: Writer,
        preparer: Preparer,
        rejections: Rejections | None = None,
        retention: Retention | None = None,
    ) -> None:
        self._store = store
        self._writer = writer
        self._preparer = preparer
        self._rejections = rejections
        self._retention = retention

    async def ingest(self, body: bytes, content_type: str, query: IngestQuery) -> IngestReceipt:
        """Stores the events of a body; its receipt, when they are durable.

        Raises AURORA-4290 when intake is at its limit, 4000 or 4150 for an unreadable body, 4220 when nothing in it
        was acceptable, 5030 or 5032 when a store is away: then the events may be stored or not.
        """
        if query.format is not None and query.format not in FORMATS:
            raise field_error("query.format", f"must be one of {', '.join(FORMATS)}")
        request = self._request(query.source, query.format)
        outcome = await self._store_all(Body(body, content_type), len(body), request)
        problems = [IngestProblem(index, message) for index, message in outcome.problems.items()]
        if not outcome.ids:
            raise _nothing_acceptable(problems)
        return IngestReceipt(len(outcome.ids), len(problems), problems[:MAX_PROBLEMS], request.receipt)

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
        request = self._request(source, format)
        outcome = await self._store_all(items, sum(map(_size_of, items)), request, keep_rejected)
        return StoredItems(request.receipt, [outcome.ids.get(place) for place in range(len(items))], outcome.problems)

    def _request(self, source: str, format: str | None) -> Request:  # noqa: A002 - the name it has in the API's query
        days = None if self._retention is None else self._retention.days(source)
        return Request(new_id(), utc_now(), source, format, telemetry.headers(), days)

    async def _store_all(
        self, content: Body | Sequence[Item], size: int, request: Request, keep_rejected: bool = True
    ) -> _Outcome:
        """Returns when all parts are durable."""
        ids: dict[int, str] = {}
        problems: dict[int, tuple[str, Item]] = {}
        durables: list[asyncio.Future[AuroraError | None]] = []
        with self._writer.admitted(size):
            await self._writer.room()
            async for part, evaluation in self._preparer.prepare(content, size, request):
                ids |= part.ids
                problems |= part.problems
                if part.rows:
                    durables.append(await self._writer.add(part.rows, part.size, evaluation, apart=part.apart))
            refusal = next((refusal for refusal in await asyncio.gather(*durables) if refusal is not None), None)
        if refusal is not None:
            raise refusal
        if problems and self._rejections is not None and keep_rejected:
            refused = [(item, message) for message, item in problems.values()]
            await self._rejections.record(
                refused, source=request.source, format=request.format, receipt=request.receipt
            )
        return _Outcome(ids, {place: message for place, (message, _) in problems.items()})

    async def search(self, query: LogQuery) -> LogPage:
        """A page of matching events, newest first. Raises AURORA-4220, also for a search that takes too long."""
        return await search_page(self._store, query)


def _size_of(item: Item) -> int:
    if isinstance(item, bytes | str):
        return len(item)
    texts = item.values() if isinstance(item, dict) else ()
    return _DOCUMENT_BYTES + sum(len(text) for text in texts if isinstance(text, str))


def _nothing_acceptable(problems: list[IngestProblem]) -> AuroraError:
    if not problems:
        return field_error("body", "holds no events")
    listed = [{"path": f"body[{item.index}]", "message": item.message} for item in problems[:MAX_PROBLEMS]]
    return AuroraError(VALIDATION, listed)
