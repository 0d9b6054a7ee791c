"""The tool that looks for what makes a program or an account come back: services, tasks, autostart entries, cron files,
keys, units and accounts that were made or changed on a host within a time."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from services.agents.toolkit.sources import Sources
from services.agents.toolkit.tool import Tool
from shared.contracts.constants import SIEM_READ
from shared.contracts.logs import LogEvent, LogQuery, log_term
from shared.contracts.wire import format_time

_PAGE = 200
_MAX_EVENTS = 24
_MAX_TEXT = 400
_SEARCH = (
    'event.action:("service-installed" or "scheduled-task-created" or "scheduled-task-updated")'
    " or (event.category:iam event.type:user event.type:creation)"
    ' or (event.action:("registry-value-set" or "registry-value-modified") registry.path:"*\\\\CurrentVersion\\\\Run*")'
    ' or (event.category:file event.type:(creation or change) file.path:("/etc/cron*" or "/var/spool/cron/*" or'
    ' "*/authorized_keys*" or "/etc/systemd/*" or "/usr/lib/systemd/*" or "/lib/systemd/*"))'
)
_FIELDS = (
    "event.action", "event.category", "event.type", "event.outcome", "host.name", "user.name", "user.audit.name",
    "user.target.name", "service.name", "winlog.task_name", "winlog.channel", "registry.path", "registry.data.strings",
    "file.path", "process.executable", "process.command_line",
)  # fmt: skip


class FootholdArguments(msgspec.Struct, frozen=True, kw_only=True):
    """A host; `since` included, `until` not."""

    host: Annotated[str, Meta(min_length=1, max_length=256)]
    since: datetime
    until: datetime


async def _footholds(arguments: FootholdArguments, sources: Sources) -> Any:
    q = f"{log_term('host.name', arguments.host)} ({_SEARCH})"
    query = LogQuery(q=q, since=arguments.since, until=arguments.until, limit=_PAGE)
    found = await sources.pages(query, 1)
    # The same file is written more than once; the first time counts.
    distinct: dict[str, dict[str, Any]] = {}
    for event in reversed(found.events):
        brief = _brief(event)
        distinct.setdefault(msgspec.json.encode(brief["ecs"]).decode(), brief)
    kept = list(distinct.values())[:_MAX_EVENTS]
    return {"events": kept, "complete": found.complete and len(kept) == len(distinct)}


def _brief(event: LogEvent) -> dict[str, Any]:
    return {
        "log_id": event.id,
        "timestamp": format_time(event.timestamp),
        "dataset": event.dataset,
        "message": event.message[:200],
        "ecs": {name: _cut(event.ecs[name]) for name in _FIELDS if name in event.ecs},
    }


def _cut(value: Any) -> Any:
    return value[:_MAX_TEXT] if isinstance(value, str) else value


#: {events: [compact events], complete}
FOOTHOLDS = Tool(
    "footholds", "What was set up on a host so that it comes back", FootholdArguments, SIEM_READ, _footholds
)
