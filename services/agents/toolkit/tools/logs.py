"""Tools that read logs: one event by its id, and what a process or a session did. Results are compact, texts cut."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import msgspec

from services.agents.toolkit.eventsigns import is_telling, relevant
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
    if isinstance(value, str):
        return value[:length]
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
    kept: dict[bytes, dict[str, Any]] = {}
    for event in reversed(found.events):
        brief = _brief(event)
        if brief is not None:
            kept.setdefault(msgspec.json.encode([brief["dataset"], brief["ecs"]]), brief)
    first = sorted(kept.values(), key=lambda brief: not is_telling(brief))[:_MAX_KEPT]
    return {
        "seen": len(found.events),
        "events": sorted(first, key=lambda brief: (brief["timestamp"], brief["log_id"])),
        "complete": found.complete and len(kept) <= _MAX_KEPT,
    }


def _brief(event: LogEvent) -> dict[str, Any] | None:
    """The event with the fields that say what was done; None for one that says nothing of interest."""
    fields = relevant(compact(event))
    if fields is None:
        return None
    return {
        "log_id": event.id,
        "timestamp": format_time(event.timestamp),
        "dataset": event.dataset,
        "message": event.message[:200],
        "ecs": {name: _bounded(value, _SCRIPT if name == _SCRIPT_FIELD else _BRIEF) for name, value in fields.items()},
    }


GET_EVENT = Tool("get_event", "Read one stored event", EventArguments, SIEM_READ, _get_event)
ACTIVITY = Tool(
    "activity", "What a process or a session did, as far as it is telling", ActivityArguments, SIEM_READ, _activity
)
