"""The parsed event: what every parser makes, and what search, storage and the Sigma engine read.

Owns the in-memory shape of one event and of its Sigma views. Refuses to know how an event was parsed, where it is
stored or which rule looks at it.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(slots=True)
class View:
    """What Sigma sees of an event: a log source and fields under the names Sigma rules use.

    An event may have several views (a Windows 4688 is both a security log entry and a process creation).
    `fields` maps the original or Sigma field name to a scalar (str, int, float, bool, None) or a list of scalars.
    """

    product: str | None
    category: str | None
    services: tuple[str, ...]
    fields: dict[str, Any]


@dataclass(slots=True)
class Event:
    """One event, parsed.

    `timestamp` is aware UTC; `dataset` names the format ("linux.auth", "auditd", "nginx.access", "windows.sysmon");
    `message` is one readable line; `ecs` is flat, dotted ECS 8 names -> scalar or list of scalars (never nested,
    without `@timestamp` and `message`); `raw` is the event as received (a JSON object in compact form).
    `apart` says that records which complete it came in another request, or may yet: until it is looked at beside them
    it has the view of its own record only.
    """

    timestamp: datetime
    dataset: str
    message: str
    ecs: dict[str, Any]
    views: list[View] = field(default_factory=list)
    raw: str = ""
    apart: bool = False
