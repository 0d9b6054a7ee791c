"""The tool that asks how often something was seen on this estate, when first and last, and where."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any

import msgspec

from services.agents.toolkit.sources import Sources
from services.agents.toolkit.tool import Tool
from shared.contracts.constants import SIEM_READ
from shared.contracts.logs import LogEvent, LogQuery
from shared.contracts.wire import format_time

_LIMIT = 200
#: Fields whose values are counted: they tell ordinary use from an attack.
_COUNTED = (
    "event.action",
    "event.outcome",
    "host.name",
    "user.name",
    "source.ip",
    "http.response.status_code",
    "user_agent.original",
)
_DISTINCT = ("url.path", "user.name", "process.command_line")
_TOP = 12


class SightingsArguments(msgspec.Struct, frozen=True, kw_only=True):
    """A search; `since` included, `until` not."""

    q: str
    since: datetime
    until: datetime


def _value(event: LogEvent, field: str) -> str | None:
    value = event.ecs.get(field)
    if isinstance(value, list):
        value = value[0] if value else None
    return None if value is None else str(value)[:200]


async def _sightings(arguments: SightingsArguments, sources: Sources) -> Any:
    query = LogQuery(q=arguments.q, since=arguments.since, until=arguments.until, limit=_LIMIT)
    events = await sources.logs(query)
    times = sorted(event.timestamp for event in events)
    counts = {name: Counter(value for event in events if (value := _value(event, name))) for name in _COUNTED}
    return {
        "count": len(events),
        "at_least": len(events) == _LIMIT,
        "first_seen": format_time(times[0]) if times else None,
        "last_seen": format_time(times[-1]) if times else None,
        "values": {name: dict(counter.most_common(_TOP)) for name, counter in counts.items() if counter},
        "distinct": {name: len({_value(event, name) for event in events} - {None}) for name in _DISTINCT},
    }


SIGHTINGS = Tool("sightings", "How often, when and where something was seen", SightingsArguments, SIEM_READ, _sightings)
