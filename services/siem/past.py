"""Stored events, read again for a rule: what its matches looked like, one event by its id, how often it would match.

Owns the bounds of such reads. Knows neither why somebody asks nor what becomes of the answer.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.siem.batch import StoredEvent
from services.siem.detections.engine.compiled import CompiledRule
from services.siem.detections.engine.engine import Engine
from services.siem.evaluate import evaluate_rows, events_of
from services.siem.logs.domain import EARLIEST, LATEST
from services.siem.logs.store import LogStore, StoredRow
from services.siem.match import Match
from shared.clickhouse import LimitExceededError, unavailable

_PAGE = 1_000
_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Rate:
    """`matches` among `examined` events of [since, until). `complete` is false when a limit ended the count early."""

    since: datetime
    until: datetime
    examined: int
    matches: int
    complete: bool


class Past:
    """Reads of the log table, in pieces. Each method raises AURORA-5032 when the store is away."""

    def __init__(self, logs: LogStore, *, max_events: int = 100_000, max_seconds: float = 20.0) -> None:
        """`max_events` and `max_seconds` bound a count of matches."""
        self._logs = logs
        self._max_events = max_events
        self._max_seconds = max_seconds

    async def event(self, log_id: str) -> StoredEvent | None:
        """One event, parsed as at intake; None when there is none of this id."""
        rows = await self._rows(EARLIEST, LATEST, None, 1, [log_id])
        return await asyncio.to_thread(_parse, rows[0]) if rows else None

    async def matches(self, rule: CompiledRule, places: Sequence[tuple[datetime, str]]) -> list[Match]:
        """What the rule matched at these places, (event time, log id), of events that are still stored.

        An event that the rule matched under a former text only is shown with the fields of all its views.
        """
        engine = Engine([rule])
        found: list[Match] = []
        for start in range(0, len(places), _PAGE):
            piece = sorted(places[start : start + _PAGE])
            ids = [log_id for _, log_id in piece]
            rows = await self._rows(piece[0][0], piece[-1][0] + _MILLISECOND, None, len(ids), ids)
            matches, _ = await evaluate_rows(rows, engine)
            found += matches
            known = {match.log_id for match in matches}
            for row in rows:
                if row.id not in known and (stored := await asyncio.to_thread(_parse, row)) is not None:
                    found.append(_whole(rule.id, stored))
        return found

    async def rate(self, rule: CompiledRule, since: datetime, until: datetime) -> Rate:
        """How often the rule matches what is stored, a day at a time from the newest back, within the bounds."""
        engine = Engine([rule])
        deadline = time.monotonic() + self._max_seconds
        examined = matched = 0
        reached = until
        while reached > since:
            start = max(since, reached - timedelta(days=1))
            after: tuple[datetime, str] | None = None
            while rows := await self._rows(start, reached, after, _PAGE):
                matches, _ = await evaluate_rows(rows, engine)
                examined += len(rows)
                matched += len(matches)
                after = (rows[-1].timestamp, rows[-1].id)
                if examined >= self._max_events or time.monotonic() > deadline:
                    return Rate(start, until, examined, matched, complete=False)
            reached = start
        return Rate(since, until, examined, matched, complete=True)

    async def _rows(
        self,
        since: datetime,
        until: datetime,
        after: tuple[datetime, str] | None,
        limit: int,
        log_ids: Sequence[str] | None = None,
    ) -> list[StoredRow]:
        try:
            if log_ids is None:
                return await self._logs.rows(since, until, after, limit)
            condition = "id IN {wanted:Array(String)}"
            return await self._logs.rows(
                since, until, after, limit, condition=condition, values={"wanted": list(log_ids)}
            )
        except LimitExceededError as error:
            raise unavailable() from error


def _parse(row: StoredRow) -> StoredEvent | None:
    return next(iter(events_of([row])), None)


def _whole(rule_id: str, stored: StoredEvent) -> Match:
    return Match(
        rule_id=rule_id,
        log_id=stored.log_id,
        timestamp=stored.event.timestamp,
        ingested_at=stored.ingested_at,
        source=stored.source,
        message=stored.event.message,
        ecs=stored.event.ecs,
        fields={name: value for view in stored.event.views for name, value in view.fields.items()},
    )
