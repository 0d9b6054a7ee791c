"""Where tools read: the siem's alerts and logs over HTTP, in the agents' own name. Agents hold no store."""

from __future__ import annotations

from shared.client import Client
from shared.contracts.alerts import GET_ALERT, Alert
from shared.contracts.logs import SEARCH_LOGS, LogEvent, LogQuery


class Sources:
    """The estate as agents may see it."""

    def __init__(self, siem: Client) -> None:
        self._siem = siem

    async def alert(self, alert_id: str) -> Alert:
        """Raises AURORA-4042."""
        return await self._siem.call(GET_ALERT, path={"alert_id": alert_id})

    async def logs(self, query: LogQuery) -> list[LogEvent]:
        """The first page, newest first."""
        return (await self._siem.call(SEARCH_LOGS, query=query)).items
