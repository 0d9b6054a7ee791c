"""Where tools read: the siem's alerts and logs over HTTP, in the agents' own name. Agents hold no store."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from shared.client import Client
from shared.contracts.alerts import GET_ALERT, LIST_ALERTS, Alert, AlertQuery
from shared.contracts.logs import SEARCH_LOGS, LogEvent, LogQuery


@dataclass(frozen=True, slots=True)
class Found:
    """Events, newest first; `complete` is false when there are more."""

    events: list[LogEvent]
    complete: bool


class Sources:
    """The estate as agents may see it."""

    def __init__(self, siem: Client) -> None:
        self._siem = siem

    async def alert(self, alert_id: str) -> Alert:
        """Raises AURORA-4042."""
        return await self._siem.call(GET_ALERT, path={"alert_id": alert_id})

    async def alerts(self, query: AlertQuery) -> list[Alert]:
        """The first page, newest first."""
        return (await self._siem.call(LIST_ALERTS, query=query)).items

    async def logs(self, query: LogQuery) -> list[LogEvent]:
        """The first page, newest first."""
        return (await self._siem.call(SEARCH_LOGS, query=query)).items

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
