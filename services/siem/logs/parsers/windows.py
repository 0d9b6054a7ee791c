"""One entry of a Windows event log, and the event it becomes: ECS fields, a readable message, Sigma views.

What an event id means is in windows_sysmon.py and windows_security.py, which Sigma log sources it belongs to in
windows_logsource.py, and the JSON shapes it comes in are read by windows_shapes.py. The text renderings of the event
log are shown, never read: the fields are.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from services.siem.event import Event, View
from services.siem.logs.parsers import windows_security, windows_sysmon
from services.siem.logs.parsers.interface import MAX_SUMMARY, Context
from services.siem.logs.parsers.times import has_zone, iso
from services.siem.logs.parsers.values import flatten, integer, one_line
from services.siem.logs.parsers.windows_fields import Kind, apply
from services.siem.logs.parsers.windows_logsource import categories_of, services_of

_SYSMON = "microsoft-windows-sysmon/operational"
_KINDS: dict[str, dict[int, Kind]] = {
    _SYSMON: windows_sysmon.KINDS,
    "security": windows_security.SECURITY,
    "system": windows_security.SYSTEM,
    "microsoft-windows-powershell/operational": windows_security.POWERSHELL,
    "powershellcore/operational": windows_security.POWERSHELL,
}
_DATASETS = {
    _SYSMON: "windows.sysmon",
    "security": "windows.security",
    "system": "windows.system",
    "application": "windows.application",
    "windows powershell": "windows.powershell",
    "microsoft-windows-powershell/operational": "windows.powershell",
    "powershellcore/operational": "windows.powershell",
}
#: Channels whose entries are written by the process that they are about, so that its id is that of the writer.
_OWN_PROCESS = frozenset(
    ("microsoft-windows-powershell/operational", "powershellcore/operational", "windows powershell")
)
_LEVELS = {0: "information", 1: "critical", 2: "error", 3: "warning", 4: "information", 5: "verbose"}
_INTEGRITY = {"S-1-16-4096": "Low", "S-1-16-8192": "Medium", "S-1-16-12288": "High", "S-1-16-16384": "System"}
#: The audit bits of `Keywords`, and NXLog's and winlogbeat's words for them.
_AUDIT_SUCCESS, _AUDIT_FAILURE = 0x20000000000000, 0x10000000000000
_MESSAGE_LIMIT = 2048


@dataclass(slots=True)
class Entry:
    """One entry of a Windows event log, whatever shape it came in. `data` is its event data under Windows' names,
    `fields` what Sigma sees of it, `ecs` what the collector itself put into ECS, `writer` the id of the process that
    wrote it."""

    channel: str
    event_id: int | None
    provider: str | None
    computer: str | None
    when: datetime | None
    data: dict[str, Any]
    fields: dict[str, Any]
    level: str | None = None
    record_id: Any = None
    outcome: str | None = None
    message: str | None = None
    writer: int | None = None
    ecs: dict[str, Any] = field(default_factory=dict)


def event_of(entry: Entry, raw: str, context: Context) -> Event:
    """The event of an entry: dataset, ECS fields and one view per Sigma category (or one without any)."""
    channel = entry.channel.lower()
    kind = _KINDS.get(channel, {}).get(entry.event_id if entry.event_id is not None else -1)
    ecs = _common(entry, channel)
    if kind is not None:
        ecs["event.category"] = list(kind.category)
        ecs["event.type"] = list(kind.type)
        ecs["event.action"] = kind.action
    apply(kind.fields if kind is not None else windows_security.COMMON, entry.data, ecs)
    if channel == _SYSMON and entry.event_id == 12:
        _registry_type(entry.data.get("EventType"), ecs)
    if channel in _OWN_PROCESS and entry.writer:
        ecs.setdefault("process.pid", entry.writer)
    ecs.update(entry.ecs)
    services = services_of(entry.channel)
    categories = categories_of(entry.channel, entry.event_id, entry.fields)
    views = [View("windows", category, services, entry.fields) for category in categories or (None,)]
    if entry.event_id == 4688 and channel == "security":
        views.append(View("windows", "process_creation", services, _process_creation(entry)))
    return Event(entry.when or context.received_at, ecs["event.dataset"], _message(entry, kind), ecs, views, raw)


def _common(entry: Entry, channel: str) -> dict[str, Any]:
    ecs: dict[str, Any] = {
        "event.dataset": _DATASETS.get(channel, "windows.eventlog"),
        "event.module": "windows",
        "winlog.channel": entry.channel,
    }
    if entry.event_id is not None:
        ecs["event.code"] = ecs["winlog.event_id"] = str(entry.event_id)
    known = {
        "event.provider": entry.provider,
        "winlog.provider_name": entry.provider,
        "host.name": entry.computer,
        "winlog.computer_name": entry.computer,
        "log.level": entry.level,
        "winlog.record_id": entry.record_id,
        "event.outcome": entry.outcome,
    }
    ecs.update((name, value) for name, value in known.items() if value is not None and value != "")
    return ecs


def _registry_type(event_type: Any, ecs: dict[str, Any]) -> None:
    if event_type == "CreateKey":
        ecs["event.type"] = ["creation"]
    elif event_type in ("DeleteKey", "DeleteValue"):
        ecs["event.type"] = ["deletion"]


def _process_creation(entry: Entry) -> dict[str, Any]:
    """A 4688 under Sysmon's names, so that rules for process creation see it."""
    data = entry.data
    domain, name = data.get("SubjectDomainName"), data.get("SubjectUserName")
    fields = {
        "EventID": entry.event_id,
        "Channel": entry.channel,
        "Provider_Name": entry.provider,
        "Computer": entry.computer,
        "Image": data.get("NewProcessName"),
        "CommandLine": data.get("CommandLine"),
        "ProcessId": integer(data.get("NewProcessId")),
        "ParentImage": data.get("ParentProcessName"),
        "ParentProcessId": integer(data.get("ProcessId")),
        "User": f"{domain}\\{name}" if domain and name else name,
        "LogonId": data.get("SubjectLogonId"),
        "IntegrityLevel": _INTEGRITY.get(str(data.get("MandatoryLabel"))),
    }
    return {key: value for key, value in fields.items() if value is not None}


def _message(entry: Entry, kind: Kind | None) -> str:
    if entry.message:
        return one_line(entry.message, _MESSAGE_LIMIT)
    title = kind.title if kind else f"{entry.provider or entry.channel} {entry.event_id}"
    told: list[str] = []
    length = 0
    for name, value in entry.data.items():
        if value not in (None, "", "-"):
            told.append(f"{name}={value}")
            length += len(told[-1])
            if length > MAX_SUMMARY:
                break
    return one_line(f"{title}: {' '.join(told)}", MAX_SUMMARY)


def audit_outcome(keywords: Any) -> str | None:
    """ "success" or "failure" from the audit bits of `Keywords` (number, hex text or winlogbeat's words); else None."""
    if isinstance(keywords, list):
        words = [str(word).lower() for word in keywords]
        return "success" if "audit success" in words else "failure" if "audit failure" in words else None
    try:
        bits = int(keywords, 0) if isinstance(keywords, str) and len(keywords) <= 20 else integer(keywords)
    except ValueError:
        return None
    if bits is None:
        return None
    return "success" if bits & _AUDIT_SUCCESS else "failure" if bits & _AUDIT_FAILURE else None


def level_name(level: Any) -> str | None:
    """The name of a numeric event level; other names as they are."""
    number = integer(level)
    if number is not None:
        return _LEVELS.get(number)
    return str(level).lower() if isinstance(level, str) and level else None


def when_of(*candidates: Any) -> datetime | None:
    """The first time that names its zone; else the first time at all, taken as UTC."""
    fallback = None
    for value in candidates:
        if value is not None and (found := iso(value)) is not None:
            if has_zone(value):
                return found
            fallback = fallback or found
    return fallback


def scalars(section: Mapping[str, Any]) -> dict[str, Any]:
    """A section's fields without nulls; nested ones flattened."""
    kinds = set(map(type, section.values()))
    if dict in kinds or (list in kinds and _has_nested_list(section)):
        return flatten(dict(section))
    if type(None) in kinds:
        return {name: value for name, value in section.items() if value is not None}
    return dict(section)


def _has_nested_list(section: Mapping[str, Any]) -> bool:
    lists = [value for value in section.values() if type(value) is list]
    return any(isinstance(item, dict | list) or item is None for items in lists for item in items)
