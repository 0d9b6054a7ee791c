"""Tools that read logs: one event by its id, and a bounded search. Results are compact, raw text is cut."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from services.agents.toolkit.sources import Sources
from services.agents.toolkit.tool import Tool
from shared.contracts.constants import SIEM_READ
from shared.contracts.logs import LogEvent, LogQuery
from shared.contracts.wire import format_time

_MESSAGE = 600


class EventArguments(msgspec.Struct, frozen=True):
    """The id of a stored event."""

    log_id: str


class SearchArguments(msgspec.Struct, frozen=True, kw_only=True):
    """A search in the siem's language; `since` included, `until` not. Newest first."""

    q: str
    since: datetime | None = None
    until: datetime | None = None
    limit: Annotated[int, Meta(ge=1, le=200)] = 50


def compact(event: LogEvent) -> dict[str, Any]:
    """What judgement needs of an event: id, time, dataset, message, ECS fields."""
    return {
        "log_id": event.id,
        "timestamp": format_time(event.timestamp),
        "dataset": event.dataset,
        "message": event.message[:_MESSAGE],
        "ecs": event.ecs,
    }


async def _get_event(arguments: EventArguments, sources: Sources) -> Any:
    events = await sources.logs(LogQuery(q=f"id:{arguments.log_id}", limit=1))
    return {"events": [compact(event) for event in events]}


async def _search(arguments: SearchArguments, sources: Sources) -> Any:
    query = LogQuery(q=arguments.q, since=arguments.since, until=arguments.until, limit=arguments.limit)
    events = await sources.logs(query)
    return {"events": [compact(event) for event in events], "complete": len(events) < arguments.limit}


GET_EVENT = Tool("get_event", "Read one stored event", EventArguments, SIEM_READ, _get_event)
SEARCH = Tool("search_logs", "Search stored events", SearchArguments, SIEM_READ, _search)
