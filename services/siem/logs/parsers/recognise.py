"""Which parser an item goes to: the table of formats, and how each is told from the others.

A record inside a syslog line or a shipper's JSON envelope is unwrapped, so that it becomes the same event however it
came; what the wrapping adds (host, facility) is kept. An unknown line is a "generic.text" event, never an error.
"""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import orjson

from services.siem.event import Event, View
from services.siem.logs.parsers import (
    access_log,
    auditd,
    azure,
    cef,
    cisco_asa,
    cisco_ios,
    cloudtrail,
    fortinet,
    generic_json,
    kubernetes,
    linux_syslog,
    okta,
    suricata,
    web_errors,
    windows_shapes,
    zeek,
)
from services.siem.logs.parsers.interface import Context, Document, DocumentParser, TextParser
from services.siem.logs.parsers.linux_syslog import Line
from services.siem.logs.parsers.times import iso
from services.siem.logs.parsers.values import dump, one_line

_ISO_START = re.compile(r"\[?(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)?)")
#: The kernel log's form of an audit record, when no auditd runs; and that of auditd's dispatcher.
_AUDIT_INSIDE = re.compile(r"(?:\[ *\d+\.\d+\] )?(?:audit: )?((?:node=\S+ )?type=\S+ (?:msg=)?audit\(.*)$")
#: A line with fewer brackets can't nest too deeply.
_DEEP = 250
_WEB_SERVERS = {"nginx": "nginx", "apache": "apache", "apache2": "apache", "httpd": "apache"}
_WEB_ERRORS: dict[str, TextParser] = {"nginx": web_errors.parse_nginx, "apache": web_errors.parse_apache}
#: Where shippers put the line they read.
_ENVELOPE = ("message", "log", "event.original", "line")


class Format(NamedTuple):
    """A format that a sender may ask for by name: how its lines and its JSON objects are read (None: it has none), and
    which objects it takes."""

    text: TextParser | None = None
    document: DocumentParser | None = None
    takes: Callable[[Document], bool] = bool


def text_event(line: str, context: Context) -> Event:
    """A line of no known format, with the ISO time it may start with."""
    found = _ISO_START.match(line)
    when = (iso(found[1]) if found else None) or context.received_at
    message = one_line(line)
    view = View(None, None, (), {"message": message})
    return Event(when, "generic.text", message, {"event.dataset": "generic.text"}, [view], line)


def syslog(line: str, context: Context) -> Event | None:
    """A syslog line, or the record of another format that it carries; None when it has no syslog header."""
    parts = linux_syslog.read_line(line, context.received_at)
    return None if parts is None else _unwrapped(parts, line, context)


def _unwrapped(parts: Line, raw: str, context: Context) -> Event:
    event: Event | None = None
    context = Context(context.source, parts.timestamp or context.received_at)
    if (audit := _AUDIT_INSIDE.match(parts.message)) is not None:
        event = auditd.parse(audit[1], context)
    elif (server := _WEB_SERVERS.get(parts.program)) is not None:
        event = access_log.parse_as(server, parts.message, context) or _WEB_ERRORS[server](parts.message, context)
    elif parts.message.startswith("{") and (document := read_object(parts.message)) is not None:
        event = _read_known(document, raw, context) or generic_json.parse(document, raw, context)
        if parts.program:
            event.ecs.setdefault("process.name", parts.program)
    if event is None:
        return linux_syslog.event_of(parts, raw, context)
    event.raw = raw
    if parts.host:
        event.ecs.setdefault("host.name", parts.host)
    return event


FORMAT_TABLE: dict[str, Format] = {
    "syslog": Format(syslog),
    "auditd": Format(auditd.parse),
    "nginx": Format(access_log.parse_nginx),
    "apache": Format(access_log.parse_apache),
    "nginx_error": Format(web_errors.parse_nginx),
    "apache_error": Format(web_errors.parse_apache),
    "cisco_ios": Format(cisco_ios.parse),
    "cisco_asa": Format(cisco_asa.parse),
    "fortinet": Format(fortinet.parse),
    "cef": Format(cef.parse_cef),
    "leef": Format(cef.parse_leef),
    "windows": Format(document=windows_shapes.parse, takes=windows_shapes.is_windows),
    "suricata": Format(document=suricata.parse, takes=suricata.takes),
    "zeek": Format(zeek.parse_line, zeek.parse, zeek.takes),
    "cloudtrail": Format(document=cloudtrail.parse, takes=cloudtrail.takes),
    "azure": Format(document=azure.parse, takes=azure.takes),
    "okta": Format(document=okta.parse, takes=okta.takes),
    "kubernetes": Format(document=kubernetes.parse, takes=kubernetes.takes),
    "json": Format(document=generic_json.parse),
    "text": Format(text_event),
}

#: Formats whose objects are told apart by what they hold, in the order they are asked.
_DOCUMENTS = ("windows", "suricata", "zeek", "cloudtrail", "okta", "kubernetes", "azure")


def read_object(line: str) -> Document | None:
    """The JSON object that a line is; None for anything else and for one nested deeper than can be written again."""
    try:
        document = orjson.loads(line)
        if line.count("{") + line.count("[") > _DEEP:
            dump(document)
    except (orjson.JSONDecodeError, TypeError):
        return None
    return document if isinstance(document, dict) else None


def recognise_text(line: str, context: Context) -> Event | None:
    """The event of a line of any format but JSON and plain text; None for those."""
    if line.startswith(("type=", "node=")) and (record := auditd.parse(line, context)) is not None:
        return record
    for parser in _IN_TURN:
        if (event := parser(line, context)) is not None:
            return event
    return None


#: The order matters: a device's line may have a syslog header of its own and is known by what follows it (an ASA's code
#: is also of the IOS form, so it is asked first); what a web server writes has no header at all.
_IN_TURN: tuple[Callable[[str, Context], Event | None], ...] = (
    cef.parse_cef,
    cef.parse_leef,
    cisco_asa.parse,
    cisco_ios.parse,
    fortinet.parse,
    syslog,
    access_log.parse,
    web_errors.parse_apache,
    web_errors.parse_nginx,
    zeek.parse_line,
)


def _read_known(document: Document, raw: str, context: Context) -> Event | None:
    """The event of an object of one of _DOCUMENTS, or None."""
    for name in _DOCUMENTS:
        entry = FORMAT_TABLE[name]
        if entry.document is not None and entry.takes(document):
            return entry.document(document, raw, context)
    return None


def recognise_document(document: Document, raw: str, context: Context) -> Event:
    """The event of a JSON object: a product's, the journal's, what a shipper put into one, or generic."""
    if (known := _read_known(document, raw, context)) is not None:
        return known
    if "MESSAGE" in document and ("__REALTIME_TIMESTAMP" in document or "SYSLOG_IDENTIFIER" in document):
        return linux_syslog.from_journal(document, raw, context)
    event = generic_json.parse(document, raw, context)
    line = _shipped_line(document)
    shipped = None if line is None else _read_shipped(line, context)
    return event if shipped is None else _within(event, shipped)


def _read_shipped(line: str, context: Context) -> Event | None:
    """What a shipper read: a product's object as text, or a line of any format."""
    if line.startswith("{") and (document := read_object(line)) is not None:
        return _read_known(document, line, context)
    return recognise_text(line, context)


def _shipped_line(document: Document) -> str | None:
    for name in _ENVELOPE:
        value: Any = document.get(name)
        if isinstance(value, str) and value:
            return value.rstrip("\r\n")
    return None


def _within(envelope: Event, shipped: Event) -> Event:
    """A shipped line's event with what its envelope knows: the host it was read on wins over the line's own."""
    shipped.raw = envelope.raw
    for name, value in envelope.ecs.items():
        if name.startswith("host."):
            shipped.ecs[name] = value
        else:
            shipped.ecs.setdefault(name, value)
    shipped.views.append(envelope.views[0])
    return shipped
