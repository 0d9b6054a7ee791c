"""CEF and LEEF, the two forms in which security products write to a SIEM, alone or inside a syslog line.

Owns their framing and escapes, and the table of their keys; what one product means by a custom field stays with it.
Sources: ArcSight's "Common Event Format" (version 26) and IBM's "Log Event Extended Format" (1.0 and 2.0).
"""

import re
from datetime import datetime
from typing import Any

from services.siem.event import Event, View
from services.siem.logs.parsers import linux_syslog
from services.siem.logs.parsers.cef_keys import ALLOWED, CEF, DENIED, FIREWALLS, LEEF, TIMES
from services.siem.logs.parsers.documents import Column, fill, sentence, text_of
from services.siem.logs.parsers.interface import MAX_FIELDS, Context
from services.siem.logs.parsers.network_views import firewall_view
from services.siem.logs.parsers.times import MONTHS, any_time
from services.siem.logs.parsers.values import integer

#: What may stand before: a syslog header, whose end is a space, or its bare <PRI>.
_CEF = re.compile(r"(?:^|[\s>])CEF: ?\d(?:\.\d)?\|")
_LEEF = re.compile(r"(?:^|[\s>])LEEF: ?([12])\.0\|")
_HEADER = 512
_PART = re.compile(r"((?:[^|\\]|\\.)*)\|")
#: A key begins after a space; an equals sign within a value is escaped.
_KEY = re.compile(r"(?:^|(?<= ))([\w.\[\]-]{1,128})(?<!\\)=")
_ESCAPES = {"\\n": "\n", "\\r": "\r", "\\=": "=", "\\\\": "\\", "\\|": "|"}
_ESCAPED = re.compile(r"\\[nr=\\|]")
_HEX = re.compile(r"(?:0?x)([0-9A-Fa-f]{1,4})")
_WRITTEN = re.compile(
    r"(?:(?P<month>[A-Z][a-z]{2}) (?P<day>\d{1,2}),? (?P<year>\d{4})) (?P<clock>\d\d:\d\d:\d\d)(?:\.(?P<milli>\d{3}))?"
    r"(?: (?P<zone>UTC|GMT|Z|[+-]\d\d:?\d\d))?"
)
_SEVERITIES = {"low": 2, "medium": 5, "high": 7, "very-high": 9, "unknown": 0}


def parse_cef(line: str, context: Context) -> Event | None:
    """A CEF message, or None."""
    start = _CEF.search(line, 0, _HEADER) if "CEF:" in line[:_HEADER] else None
    if start is None:
        return None
    header, at = _parts(line, start.end(), 6)
    if header is None:
        return None
    vendor, product, version, code, name, severity = header
    fields = _extension(line[at:])
    _name_custom(fields)
    own = {"DeviceVendor": vendor, "DeviceProduct": product, "DeviceVersion": version, "DeviceEventClassID": code,
           "Name": name, "Severity": severity}  # fmt: skip
    return _event("cef", own, fields, CEF, line, line[: start.start()], context)


def parse_leef(line: str, context: Context) -> Event | None:
    """A LEEF message, or None."""
    start = _LEEF.search(line, 0, _HEADER) if "LEEF:" in line[:_HEADER] else None
    if start is None:
        return None
    header, at = _parts(line, start.end(), 4)
    if header is None:
        return None
    vendor, product, version, code = header
    separator = "\t"
    if start[1] == "2":
        named, after = _parts(line, at, 1)
        if named is not None and "=" not in named[0]:
            separator, at = _separator(named[0]), after
    fields: dict[str, Any] = {}
    for pair in line[at:].split(separator)[: MAX_FIELDS // 3]:
        name, equals, value = pair.partition("=")
        if equals and name.strip() and value:
            fields[name.strip()[:128]] = value
    own = {"DeviceVendor": vendor, "DeviceProduct": product, "DeviceVersion": version, "DeviceEventClassID": code}
    if "sev" in fields:
        own["Severity"] = str(fields["sev"])
    return _event("leef", own, fields, LEEF, line, line[: start.start()], context)


def _parts(line: str, at: int, count: int) -> tuple[list[str] | None, int]:
    """The next `count` parts that end with a pipe, unescaped, and where they end; None when there are fewer."""
    parts = []
    for _ in range(count):
        part = _PART.match(line, at)
        if part is None:
            return None, at
        parts.append(_plain(part[1]).strip())
        at = part.end()
    return parts, at


def _plain(text: str) -> str:
    return _ESCAPED.sub(lambda found: _ESCAPES[found[0]], text) if "\\" in text else text


def _separator(named: str) -> str:
    """The character between LEEF 2.0's pairs: itself, or its number as `x09` or `0x09`; a tab where none is given."""
    number = _HEX.fullmatch(named)
    if number is not None and len(named) > 1:
        code = int(number[1], 16)
        return chr(code) if 0 < code < 0xD800 else "\t"
    return named[:1] or "\t"


def _extension(text: str) -> dict[str, Any]:
    keys = list(_KEY.finditer(text))[: MAX_FIELDS // 3]
    fields: dict[str, Any] = {}
    for index, key in enumerate(keys):
        end = keys[index + 1].start() if index + 1 < len(keys) else len(text)
        if (value := text[key.end() : end].strip()) != "":
            fields[key[1]] = _plain(value).replace("\n", " ").replace("\r", " ")
    return fields


def _name_custom(fields: dict[str, Any]) -> None:
    """`cs1Label=Rule cs1=x`: the value also under its label."""
    for label in [name for name in fields if name.endswith("Label")]:
        value, name = fields.get(label.removesuffix("Label")), str(fields[label])[:128]
        if value is not None and name:
            fields.setdefault(name, value)


def _event(
    form: str,
    own: dict[str, str],
    fields: dict[str, Any],
    columns: tuple[Column, ...],
    line: str,
    before: str,
    context: Context,
) -> Event:
    vendor, product = _slug(own["DeviceVendor"]), _slug(own["DeviceProduct"])
    ecs: dict[str, Any] = {
        "event.dataset": form,
        "event.module": form,
        "observer.vendor": own["DeviceVendor"],
        "observer.product": own["DeviceProduct"],
        "observer.version": own["DeviceVersion"],
        "event.code": own["DeviceEventClassID"],
    }
    if "Name" in own:
        ecs["event.action"] = own["Name"]
    severity = text_of(own, "Severity").lower()
    if (number := _SEVERITIES.get(severity, integer(severity))) is not None:
        ecs["event.severity"] = number
    fill(ecs, fields, columns)
    parts = linux_syslog.read_line(f"{before} x", context.received_at) if before else None
    if parts is not None and parts.host and parts.host != "x":
        ecs.setdefault("host.name", parts.host)
    for name, value in fields.items():
        ecs.setdefault(f"{form}.{name}", value)
    fields = own | fields
    decision = text_of(fields, "act").lower() or text_of(fields, "action").lower()
    allowed = True if decision in ALLOWED else False if decision in DENIED else None
    if (vendor, product) in FIREWALLS and "source.ip" in ecs:
        ecs["event.category"] = ["network"]
        views = [firewall_view(vendor, (product,), ecs, fields, allowed)]
    else:
        views = [View(vendor or form, None, tuple(name for name in (product, form) if name), fields)]
    when = _time(fields) or (parts.timestamp if parts is not None else None) or context.received_at
    named = own.get("Name") or own["DeviceEventClassID"]
    shown = sentence(own["DeviceVendor"], f"{own['DeviceProduct']}:", named, fields.get("msg"), _ends(ecs))
    return Event(when, form, shown, ecs, views, line)


def _slug(name: str) -> str:
    """A vendor's or product's name as Sigma writes them: small letters, other characters as one underscore."""
    return re.sub(r"[^a-z0-9]+", "_", name[:64].lower()).strip("_")


def _ends(ecs: dict[str, Any]) -> str:
    source, destination = ecs.get("source.ip"), ecs.get("destination.ip")
    return f"{source or '-'} -> {destination or '-'}" if source or destination else ""


def _time(fields: dict[str, Any]) -> datetime | None:
    """The first time of the event's own: epoch, ISO, or `Nov 22 2026 10:00:00.123 UTC`; without a zone as UTC."""
    for name in TIMES:
        value = fields.get(name)
        if value is None:
            continue
        if (when := any_time(value)) is not None:
            return when
        if (written := _WRITTEN.fullmatch(value)) is not None and (when := _written(written)) is not None:
            return when
    return None


def _written(found: re.Match[str]) -> datetime | None:
    month, zone = MONTHS.get(found["month"], 0), found["zone"] or "Z"
    zone = "+00:00" if zone in ("UTC", "GMT", "Z") else zone
    iso_text = f"{found['year']}-{month:02}-{int(found['day']):02}T{found['clock']}.{found['milli'] or '000'}{zone}"
    return any_time(iso_text)
