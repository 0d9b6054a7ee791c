"""The tool that asks who opened a session: the login behind what ran in it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Literal

import msgspec

from services.agents.toolkit.sources import Sources
from services.agents.toolkit.tool import Tool
from shared.contracts.constants import SIEM_READ
from shared.contracts.logs import LogEvent, LogQuery, log_term
from shared.contracts.wire import format_time

_BEFORE = timedelta(hours=24)
_LIMIT = 20


class SessionArguments(msgspec.Struct, frozen=True, kw_only=True):
    """A session on a host, by the audit session or the logon id, as it was at a time."""

    host: str
    field: Literal["auditd.session", "winlog.logon.id"]
    value: str
    at: datetime


async def _session_origin(arguments: SessionArguments, sources: Sources) -> Any:
    q = f"{log_term('host.name', arguments.host)} {log_term(arguments.field, arguments.value)} source.ip:*"
    until = arguments.at + timedelta(seconds=1)
    events = await sources.logs(LogQuery(q=q, since=arguments.at - _BEFORE, until=until, limit=_LIMIT))
    logins = {(event.ecs["source.ip"], event.ecs.get("user.name")): event for event in events if _is_login(event)}
    return {
        "logins": [
            {
                "log_id": event.id,
                "timestamp": format_time(event.timestamp),
                "source_ip": str(event.ecs["source.ip"]),
                "user": str(event.ecs.get("user.name", "")),
                "message": event.message[:200],
            }
            for event in logins.values()
        ]
    }


def _is_login(event: LogEvent) -> bool:
    categories = event.ecs.get("event.category", [])
    return bool({"authentication", "session"}.intersection(categories)) and event.ecs.get("event.outcome") != "failure"


SESSION_ORIGIN = Tool(
    "session_origin", "Who opened a session, and from where", SessionArguments, SIEM_READ, _session_origin
)
