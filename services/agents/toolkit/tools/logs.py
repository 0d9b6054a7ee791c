"""Tools that read logs: one event by its id, and what a process or a session did. Results are compact, texts cut."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

import msgspec

from services.agents.toolkit.eventsigns import relevant
from services.agents.toolkit.sources import Sources
from services.agents.toolkit.tool import Tool
from shared.contracts.constants import SIEM_READ
from shared.contracts.logs import LogEvent, LogQuery, log_term
from shared.contracts.wire import format_time

_MESSAGE = 600
_PAGE = 200
_MAX_KEPT = 40
#: What a deeper look at one event may need, in characters of one field.
_FIELD = 8192
_BRIEF = 400
_SCRIPT_FIELD = "powershell.file.script_block_text"
_SCRIPT = 1500

ActivityField = Literal[
    "process.entity_id", "process.pid", "auditd.session", "winlog.logon.id", "powershell.file.script_block_id"
]


class EventArguments(msgspec.Struct, frozen=True, kw_only=True):
    """The id of a stored event; its time, where known, makes it quick to find."""

    log_id: str
    at: datetime | None = None


class ActivityArguments(msgspec.Struct, frozen=True, kw_only=True):
    """Whose events: those of a host whose `field` has the value; `since` included, `until` not."""

    host: str
    field: ActivityField
    value: str
    since: datetime
    until: datetime


def compact(event: LogEvent) -> dict[str, Any]:
    """What judgement needs of an event: id, time, dataset, message, ECS fields."""
    return {
        "log_id": event.id,
        "timestamp": format_time(event.timestamp),
        "dataset": event.dataset,
        "message": event.message[:_MESSAGE],
        "ecs": {name: _bounded(value, _FIELD) for name, value in event.ecs.items()},
    }


def _bounded(value: Any, length: int) -> Any:
    if isinstance(value, str) and len(value) > length:
        # The end too: padding must not hide what follows it.
        return f"{value[: length - length // 4]}…{value[-(length // 4) :]}"
    if isinstance(value, list):
        return [_bounded(item, length) for item in value[:50]]
    return value


async def _get_event(arguments: EventArguments, sources: Sources) -> Any:
    event = await sources.event(arguments.log_id, arguments.at)
    return {"events": [] if event is None else [compact(event)]}


async def _activity(arguments: ActivityArguments, sources: Sources) -> Any:
    q = f"{log_term('host.name', arguments.host)} {log_term(arguments.field, arguments.value)}"
    query = LogQuery(q=q, since=arguments.since, until=arguments.until, limit=_PAGE)
    found = await sources.pages(query, 2)
    telling: dict[bytes, dict[str, Any]] = {}
    others: dict[bytes, dict[str, Any]] = {}
    for event in reversed(found.events):
        kept = relevant(compact(event))
        if kept is not None:
            brief = _brief(event, kept.fields)
            key = msgspec.json.encode([brief["dataset"], brief["ecs"]])
            (telling if kept.telling else others).setdefault(key, brief)
    briefs = [*telling.values(), *others.values()]
    return {
        "seen": len(found.events),
        "events": sorted(briefs[:_MAX_KEPT], key=lambda brief: (brief["timestamp"], brief["log_id"])),
        "complete": found.complete and len(briefs) <= _MAX_KEPT,
    }


def _brief(event: LogEvent, fields: Mapping[str, Any]) -> dict[str, Any]:
    lengths = {_SCRIPT_FIELD: _SCRIPT}
    return {
        "log_id": event.id,
        "timestamp": format_time(event.timestamp),
        "dataset": event.dataset,
        "message": event.message[:200],
        "ecs": {name: _bounded(value, lengths.get(name, _BRIEF)) for name, value in fields.items()},
    }


GET_EVENT = Tool("get_event", "Read one stored event", EventArguments, SIEM_READ, _get_event)
ACTIVITY = Tool(
    "activity", "What a process or a session did, as far as it is telling", ActivityArguments, SIEM_READ, _activity
)
