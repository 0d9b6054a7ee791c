"""The HTTP edge of logs."""

from __future__ import annotations

from services.siem.logs.service import Logs
from shared.contracts.logs import INGEST_LOGS, SEARCH_LOGS, IngestQuery, IngestReceipt, LogPage, LogQuery
from shared.http import Call, Route, bind


def routes(logs: Logs) -> list[Route]:
    """Every log endpoint, bound."""

    async def search(call: Call[LogQuery, None]) -> LogPage:
        return await logs.search(call.query)

    async def ingest(call: Call[IngestQuery, bytes]) -> IngestReceipt:
        return await logs.ingest(call.body, call.request.content_type, call.query)

    return [bind(SEARCH_LOGS, search), bind(INGEST_LOGS, ingest)]
