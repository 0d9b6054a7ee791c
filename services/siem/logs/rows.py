"""How an event becomes a row of the table `logs`, and which ECS fields have a column of their own there.

Pure: no I/O. Refuses to know who reads the rows.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import orjson

from services.siem.batch import StoredEvent
from services.siem.detections.engine.facts import scalar_texts
from services.siem.event import Event, View
from services.siem.logs.domain import within_range

#: ECS field -> its column. A search on these fields reads one narrow column instead of all of `ecs`.
HOISTED: dict[str, str] = {
    "host.name": "host_name",
    "user.name": "user_name",
    "source.ip": "source_ip",
    "process.name": "process_name",
    "process.pid": "process_pid",
    "process.parent.pid": "process_parent_pid",
    "process.entity_id": "process_entity_id",
    "process.parent.entity_id": "process_parent_entity_id",
    "process.command_line": "process_command_line",
    "event.category": "event_category",
    "event.code": "event_code",
    "event.action": "event_action",
    "destination.ip": "destination_ip",
    "auditd.session": "auditd_session",
    "winlog.logon.id": "winlog_logon_id",
}
_HOISTED = tuple(HOISTED.items())
#: Integers below it are written as they are.
_PLAIN = 10**15


def encode_row(
    stored: StoredEvent, *, receipt: str, part: int, row: int, forced_format: str, keep_days: int | None = None
) -> bytes:
    """One row as JSON without its opening brace, so that `join_rows` can put the batch's number before it.

    `keep_days` after its arrival the row goes; None: when the table's default says so. Raises TypeError for what has
    no JSON form.
    """
    event = stored.event
    ecs = event.ecs
    values: dict[str, Any] = {column: _text(ecs[name]) for name, column in _HOISTED if name in ecs}
    values["id"] = stored.log_id
    values["receipt"] = receipt
    values["part"] = part
    values["row"] = row
    values["timestamp"] = _time(within_range(event.timestamp))
    values["ingested_at"] = _time(stored.ingested_at)
    values["source"] = stored.source
    values["format"] = forced_format
    values["dataset"] = event.dataset
    values["message"] = event.message
    # Empty: a filter by it lets the event through, whose views are made from records that came elsewhere.
    values["logsource"] = "" if event.apart else " ".join(sorted({_logsource(view) for view in event.views}))
    if derived := _derived(event):
        values["derived"] = derived
    values["ecs"] = orjson.dumps(ecs).decode()
    values["raw"] = event.raw
    if keep_days is not None:
        end = stored.ingested_at + timedelta(days=keep_days)
        values["keep_until"] = end.strftime("%Y-%m-%d %H:%M:%S")
    return orjson.dumps(values)[1:]


def join_rows(batch: int, rows: list[bytes]) -> bytes:
    """The rows of a batch, one JSON object a line. Rows are encoded before their batch has a number, and only once."""
    opening = b'{"batch":%d,' % batch
    return opening + (b"\n" + opening).join(rows)


def _logsource(view: View) -> str:
    names = (view.product or "", view.category or "", *view.services)
    return f"|{'|'.join(name.lower().replace(' ', '_') for name in names)}|"


def _derived(event: Event) -> str:
    """What views say that isn't in `raw` letter by letter: decoded, joined or renamed values, and any non-ASCII text
    (whose letters may fold to ASCII ones), case-folded. The message has a column of its own, unless it isn't ASCII."""
    raw = event.raw
    texts: dict[str, None] = {}
    # Views share most of their values, and most are plain.
    for view in event.views:
        for value in view.fields.values():
            if type(value) is str:
                texts[value] = None
            elif type(value) is int and -_PLAIN < value < _PLAIN:
                texts[str(value)] = None
            else:
                texts |= dict.fromkeys(scalar_texts(value))
    if not event.message.isascii():
        texts[event.message] = None
    # As it came is the usual case, and the cheapest to see.
    missing = [text for text in texts if text not in raw or not text.isascii()]
    left = [text for text in missing if not text.isascii() or not _findable(text, raw)]
    return "\n".join(text.encode("utf-8", "replace").decode().casefold() for text in left)


def _findable(text: str, raw: str) -> bool:
    """Whether an ASCII text is in `raw` as JSON writes it, or in other letters' case.

    Bytes fold ASCII only, as the store's search does: a Kelvin sign in `raw` is no k there.
    """
    escaped = orjson.dumps(text)[1:-1]
    return escaped.decode() in raw or escaped.lower() in raw.encode("utf-8", "replace").lower()


def _time(moment: datetime) -> str:
    return moment.replace(tzinfo=None).isoformat(sep=" ", timespec="milliseconds")


def _text(value: Any) -> str:
    """As the store reads a value out of `ecs`: text as it is, anything else as its JSON."""
    return value if isinstance(value, str) else orjson.dumps(value).decode()
