"""Processes out of events: one node for each start, and who started whom. Pure.

A process is known by its entity id where the sensor gives one (Sysmon's ProcessGuid), else by host and pid at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import msgspec

Relation = Literal["self", "ancestor", "descendant"]
_COMMAND = 2000


class Process(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One start of a process. `log_id` is the event that tells of it; `timestamp` RFC 3339."""

    log_id: str
    timestamp: str
    relation: Relation = "self"
    pid: int | None = None
    parent_pid: int | None = None
    entity_id: str | None = None
    parent_entity_id: str | None = None
    name: str = ""
    executable: str = ""
    command_line: str = ""
    parent_executable: str = ""
    parent_command_line: str = ""
    user: str = ""


def starts_in(events: Iterable[Mapping[str, Any]]) -> list[Process]:
    """The process starts among compact events, oldest first, each once."""
    found: dict[tuple[Any, ...], Process] = {}
    for event in sorted(events, key=lambda event: (event["timestamp"], event["log_id"])):
        process = process_of(event)
        if process is None:
            continue
        key = (process.entity_id,) if process.entity_id else (process.pid, process.command_line, process.timestamp)
        found.setdefault(key, process)
    return list(found.values())


def process_of(event: Mapping[str, Any]) -> Process | None:
    """The process start that an event tells of; None for any other event."""
    ecs = event["ecs"]
    if "start" not in _texts(ecs.get("event.type")) or "process" not in _texts(ecs.get("event.category")):
        return None
    command = _text(ecs.get("process.command_line"))
    executable = _text(ecs.get("process.executable"))
    if not command and not executable:
        return None
    return Process(
        log_id=event["log_id"],
        timestamp=event["timestamp"],
        pid=_number(ecs.get("process.pid")),
        parent_pid=_number(ecs.get("process.parent.pid")),
        entity_id=_text(ecs.get("process.entity_id")) or None,
        parent_entity_id=_text(ecs.get("process.parent.entity_id")) or None,
        name=_text(ecs.get("process.name")),
        executable=executable,
        command_line=command[:_COMMAND],
        parent_executable=_text(ecs.get("process.parent.executable")),
        parent_command_line=_text(ecs.get("process.parent.command_line"))[:_COMMAND],
        user=_text(ecs.get("user.name")) or _text(ecs.get("user.id")),
    )


def base_name(path: str) -> str:
    """The file name of a Linux or Windows path, lower case, without `.exe`."""
    return path.replace("\\", "/").rpartition("/")[2].strip('"').lower().removesuffix(".exe")


def _texts(value: Any) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else [_text(value)]


def _text(value: Any) -> str:
    if isinstance(value, list):
        value = value[0] if value else None
    return "" if value is None else str(value)


def _number(value: Any) -> int | None:
    text = _text(value)
    try:
        return int(text, 16) if text.lower().startswith("0x") else int(text)
    except ValueError:
        return None
