"""How an event becomes a row of the table `logs`, and which ECS fields have a column of their own there.

Pure: no I/O. Refuses to know who reads the rows.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import orjson

from services.siem.batch import StoredEvent
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
}
_HOISTED = tuple(HOISTED.items())


def encode_row(stored: StoredEvent, *, receipt: str, part: int, row: int, forced_format: str) -> bytes:
    """One row as JSON without its opening brace, so that `join_rows` can put the batch's number before it.

    Raises TypeError for what has no JSON form.
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
    values["ecs"] = orjson.dumps(ecs).decode()
    values["raw"] = event.raw
    return orjson.dumps(values)[1:]


def join_rows(batch: int, rows: list[bytes]) -> bytes:
    """The rows of a batch, one JSON object a line. Rows are encoded before their batch has a number, and only once."""
    opening = b'{"batch":%d,' % batch
    return opening + (b"\n" + opening).join(rows)


def _time(moment: datetime) -> str:
    return moment.replace(tzinfo=None).isoformat(sep=" ", timespec="milliseconds")


def _text(value: Any) -> str:
    """As the store reads a value out of `ecs`: text as it is, anything else as its JSON."""
    return value if isinstance(value, str) else orjson.dumps(value).decode()
