"""From the items of a request to events: `parse_items`, the one entrance to the parsers.

Owns the order of things: an item is checked and made safe, read by its format, joined with its audit siblings, held
against the clock of receipt, bounded.
Pure: no I/O and no clock. Parsing the raw text of an event again, with the same source and time of receipt, gives the
same event; detection after a restart relies on it.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import TypeAlias

import orjson

from services.siem.event import Event
from services.siem.logs.parsers import auditd_join
from services.siem.logs.parsers.clock import flag_skew
from services.siem.logs.parsers.interface import MAX_ITEM, Context, Document, Rejected
from services.siem.logs.parsers.recognise import (
    FORMAT_TABLE,
    read_object,
    recognise_document,
    recognise_text,
    text_event,
)
from services.siem.logs.parsers.values import bound_event, dump, plain, safe_text
from shared.errors import field_error

#: The names that `format` may have.
FORMATS: tuple[str, ...] = tuple(FORMAT_TABLE)
Item: TypeAlias = bytes | str | Document | Rejected

#: An event whose raw text is shorter can't hold a value or a number of fields over the limits.
_SMALL = 8000
_TOO_LARGE = f"larger than {MAX_ITEM // 1024} KiB"
_BREAKS = str.maketrans("\r\n", "  ")


def parse_items(
    items: Sequence[Item],
    *,
    source: str,
    received_at: datetime,
    format: str | None = None,  # noqa: A002  the name it has in the API's query
    continued: bool = False,
) -> list[Event | Rejected]:
    """One result per item, in the same order: its event, or why it isn't taken.

    A `Rejected` among the items passes through under its new index. Audit records of one serial are completed from one
    another. `received_at` is aware UTC. `format` forces one of FORMATS; what doesn't fit it is kept in the form it is
    recognised as, marked `event.kind: pipeline_error`. `continued` says that records of the same serials may come in
    other requests; an event that they complete is left `apart`, for `join_apart`.

    Raises AuroraError (validation) for an unknown format.
    """
    if format is not None and format not in FORMAT_TABLE:
        raise field_error("format", f"must be one of {', '.join(FORMATS)}")
    context = Context(source, received_at)
    results: list[Event | Rejected] = []
    for index, item in enumerate(items):
        result = _parse_item(item, context, format)
        results.append(Rejected(index, result) if isinstance(result, str) else result)
    events = [result for result in results if isinstance(result, Event)]
    auditd_join.join(events, continued=continued)
    for event in events:
        flag_skew(event, received_at)
        if len(event.raw) > _SMALL:
            bound_event(event)
    return results


def _parse_item(item: Item, context: Context, wanted: str | None) -> Event | str:
    """The item's event, or the reason for its rejection."""
    if isinstance(item, dict):
        return _parse_object(item, context, wanted)
    if isinstance(item, bytes | str):
        return _parse_line(item, context, wanted)
    return item.message if isinstance(item, Rejected) else "neither a JSON object nor text"


def _parse_line(item: bytes | str, context: Context, wanted: str | None) -> Event | str:
    if len(item) > MAX_ITEM:
        return _TOO_LARGE
    text = item.decode("utf-8", "backslashreplace") if isinstance(item, bytes) else item
    encoded = text.rstrip("\r\n").encode("utf-8", "backslashreplace")
    if len(encoded) > MAX_ITEM:
        return _TOO_LARGE
    raw = encoded.decode("utf-8")
    if not raw.strip():
        return "empty"
    if raw.lstrip()[:1] == "{" and wanted != "text" and (document := read_object(raw)) is not None:
        return _read_document(document, raw, context, wanted)
    line = raw
    if "\n" in line or "\r" in line or "\0" in line:
        line = safe_text(line.translate(_BREAKS))
    event = _read_line(line, context, wanted)
    event.raw = raw
    return event


def _read_line(line: str, context: Context, wanted: str | None) -> Event:
    if wanted is None:
        return recognise_text(line, context) or text_event(line, context)
    parser = FORMAT_TABLE[wanted].text
    event = parser(line, context) if parser is not None else None
    return event if event is not None else _misfit(text_event(line, context), wanted)


def _parse_object(document: Document, context: Context, wanted: str | None) -> Event | str:
    try:
        raw = dump(document)
        # JSON shows a NaN as null, so one is found by reading back what was written.
        strange = "null" in raw and orjson.loads(raw) != document
    except TypeError:
        strange = True
    if strange:
        try:
            document = plain(document)
            raw = dump(document)
        except (ValueError, TypeError):
            return "nested too deeply"
    if len(raw.encode("utf-8")) > MAX_ITEM:
        return _TOO_LARGE
    return _read_document(document, raw, context, wanted)


def _read_document(document: Document, raw: str, context: Context, wanted: str | None) -> Event | str:
    if not document:
        return "empty"
    if wanted == "text":
        return text_event(raw, context)
    if "\\u0000" in raw:
        document = plain(document)
    if wanted is None:
        return recognise_document(document, raw, context)
    entry = FORMAT_TABLE[wanted]
    if entry.document is not None and entry.takes(document):
        return entry.document(document, raw, context)
    event = recognise_document(document, raw, context)
    # An object that carries a line of the wanted format is what shippers send.
    return event if entry.text is not None and event.dataset != "generic.json" else _misfit(event, wanted)


def _misfit(event: Event, wanted: str) -> Event:
    event.ecs["event.kind"] = "pipeline_error"
    event.ecs["error.message"] = f"not of the format {wanted}"
    return event
