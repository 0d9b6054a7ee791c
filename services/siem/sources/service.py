"""The use-cases of sources: how each is doing, how long its events are kept, and the figures of the whole.

Rules, alerts, the work list and dead letters are others' matter: their figures come through `Others`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from services.siem.sources import domain, store
from shared.clickhouse import ClickHouse, LimitExceededError, unavailable
from shared.clock import utc_now
from shared.contracts.common import Page, Severity
from shared.contracts.sources import LogSourceState, SiemStats, SourcePolicy, SourceUpdate
from shared.errors import NOT_FOUND, AuroraError
from shared.log import get_logger
from shared.postgres import Database

_WEEK_DAYS = 7
_REFRESH_SECONDS = 10.0
#: A batch may reach the log table some time after its rows got their time of arrival.
_OVERLAP = timedelta(minutes=10)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_log = get_logger("sources")


@dataclass(frozen=True, slots=True)
class Others:
    """Figures of other features: `rejected` by source over some days, `waiting` batches and events."""

    rejected: Callable[[int], Awaitable[Mapping[str, int]]]
    dead_letters: Callable[[], Awaitable[int]]
    rules_enabled: Callable[[], Awaitable[int]]
    alerts_open: Callable[[], Awaitable[dict[Severity, int]]]
    waiting: Callable[[], Awaitable[tuple[int, int]]]


class Retention:
    """How long each source's events are kept, as intake asks for it: from memory."""

    def __init__(self, database: Database, default: Callable[[], int]) -> None:
        self._database = database
        self.default = default
        self._days: Mapping[str, int] = {}

    def days(self, source: str) -> int:
        """The source's own, else the default of now."""
        return self._days.get(source) or self.default()

    async def refresh(self) -> None:
        """Reads the policies anew. Raises AURORA-5030."""
        self._days = await store.policies(self._database)

    async def run(self) -> None:
        """Takes over what other processes changed, until cancelled."""
        while True:
            await asyncio.sleep(_REFRESH_SECONDS)
            try:
                await self.refresh()
            except AuroraError as error:
                _log.warning("retention not read", reason=error.code.code)


class SourcesService:
    """Sources of the log table."""

    def __init__(self, database: Database, clickhouse: ClickHouse, retention: Retention, others: Others) -> None:
        self._database = database
        self._clickhouse = clickhouse
        self._retention = retention
        self._others = others

    async def list_sources(self) -> Page[LogSourceState]:
        """Every source, the last seen first. Raises AURORA-5030, 5032."""
        try:
            await self._look()
            weeks, days = await store.week(self._clickhouse), await store.day(self._clickhouse)
        except LimitExceededError as error:
            raise unavailable() from error
        rejected = await self._others.rejected(_WEEK_DAYS)
        known, default_days = await store.known(self._database), self._retention.default()
        items = [
            domain.state(
                source, weeks.get(source.name), days.get(source.name), rejected.get(source.name, 0), default_days
            )
            for source in known
        ]
        return Page(items, None, len(items))

    async def _look(self) -> None:
        """Remembers which sources there are, so that one that falls silent, or whose events are gone, stays known."""
        last = await store.last_look(self._database)
        since = _EPOCH if last is None else last - _OVERLAP
        seen = await store.seen_since(self._clickhouse, since)
        if seen:
            await store.remember(self._database, seen)

    async def update(self, name: str, body: SourceUpdate, who: str) -> SourcePolicy:
        """Says how long events are kept, those that are stored too. Raises AURORA-4040, 5030, 5032."""
        now = utc_now()
        try:
            await self._look()
        except LimitExceededError as error:
            raise unavailable() from error
        async with self._database.transaction() as connection:
            days = await store.set_policy(connection, name, body.retention_days, self._retention.default(), who, now)
            if days is None:
                raise AuroraError(NOT_FOUND)
        # What arrives from now on has the new end; then what is stored gets it too.
        await self._retention.refresh()
        await store.keep(self._clickhouse, name, days)
        return SourcePolicy(name=name, retention_days=days, changed_by=who, changed_at=now)

    async def stats(self) -> SiemStats:
        """The figures of the whole. Raises AURORA-5030, 5032."""
        midnight = utc_now().replace(hour=0, minute=0, second=0, microsecond=0)
        try:
            await self._look()
            total, stored_bytes = await store.size(self._clickhouse)
            today, last_hour = await store.arrivals(self._clickhouse, midnight)
        except LimitExceededError as error:
            raise unavailable() from error
        batches, events = await self._others.waiting()
        return SiemStats(
            events_total=total,
            events_today=today,
            events_last_hour=last_hour,
            stored_bytes=stored_bytes,
            sources=await store.count(self._database),
            rules_enabled=await self._others.rules_enabled(),
            alerts_open=await self._others.alerts_open(),
            waiting_batches=batches,
            waiting_events=events,
            dead_letters=await self._others.dead_letters(),
        )
