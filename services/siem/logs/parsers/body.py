"""From the body of an intake request to its items: JSON (an object, an array, several in a row), NDJSON, text lines,
Windows event log files.

Owns media types and framing, that of lists of records in one object too. Refuses to know what an item means (parse.py).
"""

import json
import re
from typing import Any

import orjson

from services.siem.bounds import check_json
from services.siem.logs.parsers import evtx, zeek_header
from services.siem.logs.parsers.interface import Rejected
from shared.errors import MALFORMED_REQUEST, PAYLOAD_TOO_LARGE, UNSUPPORTED_MEDIA_TYPE, AuroraError

#: Items of one request; bounds the memory that a body of tiny items takes.
MAX_ITEMS = 200_000
_BOM = b"\xef\xbb\xbf"
#: CloudTrail's and Azure's names for the one list in a file.
_LISTS = ("Records", "records")
_SPACE = re.compile(r"\s*")
_NOT_AN_OBJECT = "must be a JSON object or a line of text"


def read_items(body: bytes, content_type: str) -> list[bytes | dict[str, Any] | Rejected]:
    """The items of a body, in order; blank lines are no items.

    A line of NDJSON that isn't an object becomes a Rejected at its place, as does an array's number or null; a string
    in an array is a line of text. Raises AuroraError: unsupported media type, malformed request for a body that can't
    be read as a whole (its `detail` has no content of the body), payload too large over MAX_ITEMS items or MAX_VALUES
    values in them.
    """
    reader = _READERS.get(content_type.partition(";")[0].strip().lower())
    if reader is None:
        raise AuroraError(UNSUPPORTED_MEDIA_TYPE, {"supported": sorted(_READERS)})
    return reader(body.removeprefix(_BOM))


def _lines(body: bytes) -> list[bytes]:
    if body.count(b"\n") >= MAX_ITEMS:
        raise AuroraError(PAYLOAD_TOO_LARGE, {"max_items": MAX_ITEMS})
    # Not splitlines(): the group separator within audit records must not end a line.
    return [line for line in (line.rstrip(b"\r") for line in body.split(b"\n")) if line.strip()]


def _text(body: bytes) -> list[bytes | dict[str, Any] | Rejected]:
    lines = _lines(body)
    return list(zeek_header.with_headers(lines, len(body)) if zeek_header.MARK in body else lines)


def _evtx(body: bytes) -> list[bytes | dict[str, Any] | Rejected]:
    return list(evtx.read_evtx(body))


def _ndjson(body: bytes) -> list[bytes | dict[str, Any] | Rejected]:
    check_json(body)
    items: list[bytes | dict[str, Any] | Rejected] = []
    for index, line in enumerate(_lines(body)):
        try:
            items.append(_item(orjson.loads(line), index))
        except orjson.JSONDecodeError as error:
            items.append(Rejected(index, f"not valid JSON at column {error.colno}", line))
    return items


def _json(body: bytes) -> list[bytes | dict[str, Any] | Rejected]:
    check_json(body)
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        return _several(body, error)
    if isinstance(document, dict):
        document = _listed(document)
    if not isinstance(document, list):
        raise AuroraError(MALFORMED_REQUEST, {"message": "the body must be a JSON object or an array"})
    if len(document) > MAX_ITEMS:
        raise AuroraError(PAYLOAD_TOO_LARGE, {"max_items": MAX_ITEMS})
    return [_item(item, index) for index, item in enumerate(document)]


def _listed(document: dict[str, Any]) -> list[Any]:
    """The records of an object that only holds a list of them, as clouds write their files; else the object alone."""
    if document.get("kind") == "EventList" and isinstance(items := document.get("items"), list):
        return items
    if len(document) == 1:
        ((name, items),) = document.items()
        if name in _LISTS and isinstance(items, list) and all(isinstance(item, dict) for item in items):
            return items
    return [document]


def _item(value: Any, index: int) -> bytes | dict[str, Any] | Rejected:
    if isinstance(value, dict):
        return value
    return value.encode() if isinstance(value, str) else Rejected(index, _NOT_AN_OBJECT)


def _no_constant(name: str) -> None:
    raise ValueError(name)


def _several(body: bytes, error: orjson.JSONDecodeError) -> list[bytes | dict[str, Any] | Rejected]:
    """JSON objects one after the other, as event log converters write them to files."""
    malformed = AuroraError(
        MALFORMED_REQUEST, {"message": "the body is not valid JSON", "line": error.lineno, "column": error.colno}
    )
    if not body.lstrip().startswith(b"{"):
        raise malformed
    decoder = json.JSONDecoder(parse_constant=_no_constant)
    items: list[bytes | dict[str, Any] | Rejected] = []
    try:
        text = body.decode("utf-8").strip()
        position = 0
        while position < len(text):
            document, position = decoder.raw_decode(text, position)
            if (space := _SPACE.match(text, position)) is not None:
                position = space.end()
            items.append(_item(document, len(items)))
            if len(items) > MAX_ITEMS:
                raise AuroraError(PAYLOAD_TOO_LARGE, {"max_items": MAX_ITEMS})
    except (ValueError, RecursionError):
        raise malformed from None
    return items


_READERS = {
    "application/json": _json,
    "application/x-ndjson": _ndjson,
    "application/ndjson": _ndjson,
    "application/jsonl": _ndjson,
    "text/plain": _text,
    evtx.MEDIA_TYPE: _evtx,
}
