"""Where tools read: the siem's alerts and logs over HTTP, in the agents' own name. Agents hold no store."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

import msgspec

from shared.client import Client
from shared.contracts.alerts import GET_ALERT, LIST_ALERTS, Alert, AlertQuery
from shared.contracts.common import Observable
from shared.contracts.intel import (
    LIST_VULNERABILITIES,
    LOOKUP_INTEL,
    IntelLookup,
    IntelMatches,
    IntelVulnerability,
    VulnerabilityQuery,
)
from shared.contracts.logs import SEARCH_LOGS, LogEvent, LogPage, LogQuery


@dataclass(frozen=True, slots=True)
class Found:
    """Events, newest first; `complete` is false when there are more."""

    events: list[LogEvent]
    complete: bool


#: Events of one process are kept this long, by count: specialists look at the same ones within seconds.
_KEPT_EVENTS = 2000
_SKEW = timedelta(seconds=1)


class Samples(Protocol):
    """Stored files, as far as a look at one without running it goes."""

    async def triage(self, file_hash: str) -> dict[str, Any] | None:
        """What the bytes under an MD5, SHA-1 or SHA-256 are; None when none are stored. Raises AURORA-5030."""

    async def has(self, file_hash: str) -> bool:
        """Whether bytes are stored under that hash. Raises AURORA-5030."""


class Sources:
    """The estate as agents may see it."""

    def __init__(self, siem: Client, samples: Samples | None = None) -> None:
        self._siem = siem
        self._samples = samples
        self._events: dict[str, LogEvent] = {}

    async def alert(self, alert_id: str) -> Alert:
        """Raises AURORA-4042."""
        return await self._siem.call(GET_ALERT, path={"alert_id": alert_id})

    async def alerts(self, query: AlertQuery) -> list[Alert]:
        """The first page, newest first."""
        return (await self._siem.call(LIST_ALERTS, query=query)).items

    async def event(self, log_id: str, at: datetime | None) -> LogEvent | None:
        """A stored event; its time, where known, makes it quick to find. A stored event never changes."""
        if log_id not in self._events:
            since, until = (None, None) if at is None else (at - _SKEW, at + _SKEW)
            for event in await self.logs(LogQuery(q=f"id:{log_id}", since=since, until=until, limit=1)):
                self._events[log_id] = event
                if len(self._events) > _KEPT_EVENTS:
                    del self._events[next(iter(self._events))]
        return self._events.get(log_id)

    async def intel(self, observables: list[Observable], at: datetime) -> IntelMatches:
        """What imported intelligence says of these, as it was at a time."""
        return await self._siem.call(LOOKUP_INTEL, body=IntelLookup(observables=observables, at=at))

    async def vulnerabilities(self, query: VulnerabilityQuery) -> list[IntelVulnerability]:
        """The first page, newest first."""
        return (await self._siem.call(LIST_VULNERABILITIES, query=query)).items

    async def logs(self, query: LogQuery) -> list[LogEvent]:
        """The first page, newest first."""
        return (await self._siem.call(SEARCH_LOGS, query=query)).items

    async def sample(self, file_hash: str) -> dict[str, Any] | None:
        """As `Samples.triage`; None too where no samples are kept."""
        return None if self._samples is None else await self._samples.triage(file_hash)

    async def has_sample(self, file_hash: str) -> bool:
        """As `Samples.has`; false where no samples are kept."""
        return self._samples is not None and await self._samples.has(file_hash)

    async def page(self, query: LogQuery) -> LogPage:
        """The first page, with the counts that the query asks for."""
        return await self._siem.call(SEARCH_LOGS, query=query)

    async def pages(self, query: LogQuery, most: int) -> Found:
        """Up to `most` pages of `query.limit` events."""
        events: list[LogEvent] = []
        for _ in range(most):
            page = await self._siem.call(SEARCH_LOGS, query=query)
            events += page.items
            if page.next_cursor is None:
                return Found(events, complete=True)
            query = msgspec.structs.replace(query, cursor=page.next_cursor)
        return Found(events, complete=False)
