"""The HTTP edge of sources."""

from __future__ import annotations

from services.siem.sources.service import SourcesService
from shared.contracts.common import Page
from shared.contracts.sources import (
    GET_STATS,
    LIST_SOURCES,
    UPDATE_SOURCE,
    LogSourceState,
    SiemStats,
    SourcePolicy,
    SourceUpdate,
)
from shared.http import Call, Route, bind


def routes(sources: SourcesService) -> list[Route]:
    """Every source endpoint, bound."""

    async def list_sources(_call: Call[None, None]) -> Page[LogSourceState]:
        return await sources.list_sources()

    async def update(call: Call[None, SourceUpdate]) -> SourcePolicy:
        return await sources.update(call.path["name"], call.body, call.principal.name)

    async def stats(_call: Call[None, None]) -> SiemStats:
        return await sources.stats()

    return [bind(LIST_SOURCES, list_sources), bind(UPDATE_SOURCE, update), bind(GET_STATS, stats)]
