"""The draft of a Sigma rule for one event: which view, which fields, and how its values are written. No I/O, no clock.

A value of an event may hold what Sigma reads as a wildcard; here it is written so that it means itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

import yaml

from services.siem.detections.engine.facts import scalar_texts
from services.siem.event import Event, View
from shared.contracts.detections import Level

#: What tells most of an event, in this order; names are those of Sigma's taxonomy.
TELLING = (
    "EventID",
    "Image",
    "OriginalFileName",
    "CommandLine",
    "ParentImage",
    "TargetFilename",
    "ImageLoaded",
    "TargetObject",
    "Details",
    "PipeName",
    "QueryName",
    "DestinationHostname",
    "DestinationPort",
    "ServiceName",
    "ServiceFileName",
    "ScriptBlockText",
    "TargetUserName",
    "type",
    "SYSCALL",
    "exe",
    "key",
    "name",
    "cs-method",
    "cs-uri-stem",
    "cs-uri-query",
    "cs-user-agent",
    "sc-status",
    "eventSource",
    "eventName",
)
MAX_DEFAULTS = 4
_MAX_VALUE = 2048
_WILD = "*?"


def view_of(event: Event, wanted: Sequence[str] | None) -> View | None:
    """The view to draft for: the first with every wanted field; none wanted, the first with a category or at all."""
    if wanted is not None:
        names = {name.lower() for name in wanted}
        return next((view for view in event.views if names <= {name.lower() for name in view.fields}), None)
    return next((view for view in event.views if view.category is not None), next(iter(event.views), None))


def chosen(view: View, wanted: Sequence[str] | None) -> dict[str, str]:
    """Field -> value: those asked for, else up to four telling ones, else the first short texts there are."""
    values = {name: text for name, value in view.fields.items() if (text := _text(value))}
    if wanted is not None:
        names = {name.lower() for name in wanted}
        return {name: text for name, text in values.items() if name.lower() in names}
    # A category says what the number of the event says, for every product that logs it.
    telling = [name for name in TELLING if name in values and (name != "EventID" or view.category is None)]
    names_found = telling or list(values)
    return {name: values[name] for name in names_found[:MAX_DEFAULTS]}


def _text(value: Any) -> str:
    text = next(iter(scalar_texts(value)), "")
    return text if len(text) <= _MAX_VALUE else ""


def draft(
    view: View, fields: dict[str, str], message: str, *, rule_id: str, title: str, level: Level, day: date
) -> str:
    """The YAML of a rule that matches what the view says in these fields; in the message, when there are none."""
    source = {"product": view.product, "category": view.category, "service": next(iter(view.services), None)}
    selection: Any = {name: escaped(text) for name, text in fields.items()} or [escaped(message[:_MAX_VALUE])]
    document = {
        "title": title,
        "id": rule_id,
        "status": "experimental",
        "description": f"Drafted from a stored event. {message[:200]}".strip(),
        "date": day.isoformat(),
        "logsource": {name: value for name, value in source.items() if value},
        "detection": {"selection": selection, "condition": "selection"},
        "falsepositives": ["Not reviewed yet"],
        "level": level,
    }
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)


def escaped(text: str) -> str:
    """The text as a Sigma value that means just this: wildcards and the backslashes that would be read away escaped."""
    written = []
    for place, character in enumerate(text):
        following = text[place + 1 : place + 2]
        if character in _WILD or (character == "\\" and (following in ("", "\\", *_WILD))):
            written.append("\\")
        written.append(character)
    return "".join(written)
