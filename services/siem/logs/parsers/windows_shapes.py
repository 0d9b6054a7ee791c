"""Reads the three JSON shapes of Windows events into an Entry, and tells which shape a document has.

Owns the collectors' spellings (NXLog's `EventTypeOrignal`, evtx converters' `#attributes` and `@Name`, winlogbeat's
dotted names). Refuses to know what an event means.
"""

from typing import Any

from services.siem.event import Event
from services.siem.logs.parsers.interface import Context, Document
from services.siem.logs.parsers.values import flatten, integer
from services.siem.logs.parsers.windows import Entry, audit_outcome, event_of, level_name, scalars, when_of

#: Fields that a flat collector adds to every event: about the entry or the collector, not event data.
_ENVELOPE = frozenset((
    "@timestamp", "@version", "Channel", "EventID", "SourceName", "Provider", "ProviderName", "ProviderGuid",
    "Hostname", "Computer", "ComputerName", "Level", "Keywords", "Message", "TimeCreated", "EventTime",
    "EventReceivedTime", "SourceModuleName", "SourceModuleType", "port", "tags", "host", "Severity",
    "SeverityValue", "RecordNumber", "EventRecordID", "Task", "Opcode", "OpcodeValue", "Category", "Version",
    "ThreadID", "ExecutionProcessID", "ActivityID", "RelatedActivityID", "AccountType", "AccountName", "UserID",
    "Domain", "ERROR_EVT_UNRESOLVED", "EventTypeOrignal", "UserData", "type",
))  # fmt: skip
_CLASSIC_POWERSHELL = "windows powershell"
#: winlogbeat 6's names at the root -> those of version 7 and later under `winlog`.
_WINLOGBEAT_6 = {
    "log_name": "channel", "event_id": "event_id", "source_name": "provider_name", "computer_name": "computer_name",
    "record_number": "record_id", "event_data": "event_data", "user_data": "user_data", "keywords": "keywords",
    "task": "task", "opcode": "opcode", "level": "level", "process_id": "process.pid", "thread_id": "process.thread.id",
    "provider_guid": "provider_guid", "version": "version", "activity_id": "activity_id",
}  # fmt: skip
_NOT_ECS = ("message", "@timestamp", "winlog")
_AUDIT_TYPES = {"AUDIT_SUCCESS": "success", "AUDIT_FAILURE": "failure"}


def is_windows(document: Document) -> bool:
    """Whether a JSON object is a Windows event in one of the three shapes."""
    if "EventID" in document:
        return any(name in document for name in ("Channel", "SourceName", "ProviderName", "Provider_Name"))
    event = document.get("Event")
    if isinstance(event, dict):
        return isinstance(event.get("System"), dict)
    return _is_winlogbeat(document)


def _is_winlogbeat(document: Document) -> bool:
    if isinstance(document.get("winlog"), dict) or "winlog.event_id" in document:
        return True
    return "event_id" in document and "log_name" in document


def parse(document: Document, raw: str, context: Context) -> Event:
    """A Windows event in any of the three shapes."""
    if isinstance(document.get("Event"), dict):
        entry = _from_xml(document["Event"])
    elif _is_winlogbeat(document):
        entry = _from_winlogbeat(document)
    else:
        entry = _from_flat(document)
    return event_of(entry, raw, context)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None if value is None else str(value)


def _from_flat(document: Document) -> Entry:
    fields = scalars(document)
    channel = str(fields.get("Channel", ""))
    provider = _text(fields.get("SourceName") or fields.get("ProviderName") or fields.get("Provider_Name"))
    computer = _text(fields.get("Hostname") or fields.get("Computer") or fields.get("ComputerName"))
    message = _text(fields.get("Message"))
    # NXLog overwrites EventType with its own severity word and keeps the event's under this (misspelt) name, or the
    # other way round; only the one that isn't a severity is the event's.
    event_type = fields.get("EventType")
    if event_type in ("INFO", "ERROR", "WARNING") and "EventTypeOrignal" in fields:
        fields["EventType"] = fields["EventTypeOrignal"]
    outcome = _AUDIT_TYPES.get(str(event_type)) or audit_outcome(fields.get("Keywords"))
    if provider:
        fields.setdefault("Provider_Name", provider)
    if computer:
        fields.setdefault("Computer", computer)
    if message and channel.lower() == _CLASSIC_POWERSHELL:
        fields.setdefault("Data", message)  # where evtx has the text as unnamed data, these have only the rendering
    return Entry(
        channel=channel,
        event_id=integer(fields.get("EventID")),
        provider=provider,
        computer=computer,
        when=when_of(
            fields.get("TimeCreated") if "Z" in str(fields.get("TimeCreated")) else None,
            fields.get("UtcTime") and f"{fields['UtcTime']}Z",
            fields.get("@timestamp"),
            fields.get("TimeCreated"),
            fields.get("EventTime"),
        ),
        data={name: value for name, value in fields.items() if name not in _ENVELOPE},
        fields=fields,
        level=level_name(fields.get("Level") or fields.get("Severity")),
        record_id=fields.get("RecordNumber") or fields.get("EventRecordID"),
        outcome=outcome,
        message=message,
        writer=integer(fields.get("ExecutionProcessID")),
    )


def _attribute(section: Any, name: str) -> Any:
    """An XML attribute in either spelling of the converters: `{"#attributes": {name: ..}}` or `{"@name": ..}`."""
    if not isinstance(section, dict):
        return None
    attributes = section.get("#attributes")
    found = attributes.get(name) if isinstance(attributes, dict) else None
    return section.get(f"@{name}", section.get(name)) if found is None else found


def _content(value: Any) -> Any:
    """The text of an XML element that may carry attributes."""
    if isinstance(value, dict):
        return value.get("#text", value.get("text"))
    return value


def _from_xml(event: dict[str, Any]) -> Entry:
    system = event["System"] if isinstance(event.get("System"), dict) else {}
    data = _event_data(event.get("EventData"))
    user_data = event.get("UserData")
    if isinstance(user_data, dict):
        for name, section in user_data.items():
            data.update(_event_data(section) if isinstance(section, dict) else {name: section})
    provider = _text(_attribute(system.get("Provider"), "Name"))
    channel = _text(_content(system.get("Channel"))) or ""
    event_id = integer(_content(system.get("EventID")))
    computer = _text(_content(system.get("Computer")))
    head = {
        "EventID": event_id,
        "Channel": channel,
        "Provider_Name": provider,
        "Computer": computer,
        "Level": _content(system.get("Level")),
        "Task": _content(system.get("Task")),
        "Opcode": _content(system.get("Opcode")),
        "Keywords": _content(system.get("Keywords")),
        "EventRecordID": _content(system.get("EventRecordID")),
    }
    fields = {name: value for name, value in head.items() if value is not None and not isinstance(value, dict | list)}
    rendering = event.get("RenderingInfo")
    utc = data.get("UtcTime")
    return Entry(
        channel=channel,
        event_id=event_id,
        provider=provider,
        computer=computer,
        when=when_of(_attribute(system.get("TimeCreated"), "SystemTime"), utc and f"{utc}Z"),
        data=data,
        fields=fields | data,
        level=level_name(fields.get("Level")),
        record_id=fields.get("EventRecordID"),
        outcome=audit_outcome(fields.get("Keywords")),
        message=_text(_content(rendering.get("Message"))) if isinstance(rendering, dict) else None,
        writer=integer(_attribute(system.get("Execution"), "ProcessID")),
    )


def _event_data(section: Any) -> dict[str, Any]:
    """Event data by name, in every form converters give it: an object, a list of named `Data`, unnamed `Data`."""
    data: dict[str, Any] = {}
    if isinstance(section, list):
        section = {"Data": section}
    if not isinstance(section, dict):
        return data
    for name, value in section.items():
        if name == "Data":
            _read_data(value, data)
        elif name[:1] not in ("#", "@"):
            content = _content(value) if isinstance(value, dict) and ("#text" in value or "text" in value) else value
            if isinstance(content, dict | list):
                data.update(flatten({name: content}))
            elif content is not None:
                data[name] = content
    return data


def _read_data(value: Any, data: dict[str, Any]) -> None:
    unnamed: list[Any] = []
    for item in value if isinstance(value, list) else [value]:
        name = _attribute(item, "Name")
        content = _content(item)
        if content is None and isinstance(item, dict):
            content = item.get("Value")
        if isinstance(name, str) and name:
            data[name] = content if not isinstance(content, dict | list) else _text(content)
        elif isinstance(content, list):
            unnamed.extend(part if isinstance(part, str | int | float) else str(part) for part in content)
        elif content is not None:
            unnamed.append(content if not isinstance(content, dict) else str(content))
    if unnamed:
        data["Data"] = unnamed if len(unnamed) > 1 else unnamed[0]


def _upgraded(document: Document) -> Document:
    """A document of winlogbeat 6, which had its fields at the root, in the form of the later versions."""
    winlog = {new: document[old] for old, new in _WINLOGBEAT_6.items() if old in document}
    kept = {name: value for name, value in document.items() if name not in _WINLOGBEAT_6}
    return {**kept, "winlog": winlog}


def _from_winlogbeat(document: Document) -> Entry:
    if "log_name" in document and "winlog" not in document:
        document = _upgraded(document)
    winlog = document.get("winlog")
    winlog = winlog if isinstance(winlog, dict) else {}
    data: dict[str, Any] = {}
    for section in (winlog.get("event_data"), winlog.get("user_data")):
        if isinstance(section, dict):
            data.update(scalars(section))
    rest = {name: value for name, value in document.items() if name not in _NOT_ECS}
    rest["winlog"] = {name: value for name, value in winlog.items() if name not in ("event_data", "user_data")}
    flat = flatten(rest)
    ecs: dict[str, Any] = {}
    for name, value in flat.items():
        if name.startswith(("winlog.event_data.", "winlog.user_data.")):  # of a document with dotted names
            data[name.split(".", 2)[2]] = value
        elif name != "event.original":
            ecs[name] = value
    provider, computer = _text(flat.get("winlog.provider_name")), _text(flat.get("winlog.computer_name"))
    channel, event_id = str(flat.get("winlog.channel", "")), integer(flat.get("winlog.event_id"))
    head = {"EventID": event_id, "Channel": channel, "Provider_Name": provider, "Computer": computer}
    for name, sigma in (("winlog.task", "Task"), ("winlog.keywords", "Keywords"), ("log.level", "Level")):
        head[sigma] = flat.get(name)
    ecs.pop("winlog.event_id", None)  # a number here, a keyword in ECS: set again from the entry
    ecs.pop("event.code", None)
    return Entry(
        channel=channel,
        event_id=event_id,
        provider=provider,
        computer=computer,
        when=when_of(document.get("@timestamp")),
        data=data,
        fields={name: value for name, value in head.items() if value is not None} | data,
        level=level_name(flat.get("log.level")),
        record_id=flat.get("winlog.record_id"),
        outcome=audit_outcome(flat.get("winlog.keywords")),
        message=_text(document.get("message")) if not isinstance(document.get("message"), dict | list) else None,
        writer=integer(flat.get("winlog.process.pid")),
        ecs=ecs,
    )
