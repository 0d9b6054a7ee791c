"""How much a body becomes in memory, told before it is decoded: two bytes of JSON may be an object of a hundred.

Pure. Owns the one limit on values of a request that intake and the doors share; refuses to know what a value means.
"""

from __future__ import annotations

from typing import Any

from google.protobuf.message import Message

from shared.errors import PAYLOAD_TOO_LARGE, AuroraError

#: JSON values of one request: twice as many as the largest body of usual events has.
MAX_VALUES = 3_000_000
#: Protobuf fields of one request: each costs several times as much as a JSON value.
MAX_FIELDS = 1_000_000
#: Levels that orjson writes; pickle goes a little deeper.
_DEEPEST = 254
#: As deep as protobuf itself reads.
_MAX_DEPTH = 100
_LONGEST_VARINT = 10
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED = {_FIXED64: 8, _FIXED32: 4}


def check_json(body: bytes) -> None:
    """Raises AURORA-4130 for JSON that may hold more than MAX_VALUES values."""
    if len(body) > MAX_VALUES and body.count(b",") + body.count(b"[") + body.count(b"{") > MAX_VALUES:
        raise AuroraError(PAYLOAD_TOO_LARGE, {"max_values": MAX_VALUES})


def is_too_deep(value: Any) -> bool:
    """Whether decoded JSON is nested deeper than what writes it again goes."""
    level = [value]
    for _ in range(_DEEPEST):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer if isinstance(outer, list) else ())
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True


def check_protobuf(body: bytes, kind: type[Message]) -> None:
    """Raises AURORA-4130 for a message of more than MAX_FIELDS fields, with all that it holds, and ValueError for
    bytes that are no message."""
    if len(body) > MAX_FIELDS:  # a field takes a byte at least
        _fields(body, 0, len(body), kind.DESCRIPTOR, 0, 0)


def _fields(body: bytes, place: int, end: int, kind: Any, count: int, depth: int) -> int:
    """`count` and the fields between the two places; `kind` is a Descriptor, of which protobuf has two classes."""
    if depth > _MAX_DEPTH:
        raise ValueError("nested too deeply")
    known = kind.fields_by_number
    while place < end:
        count += 1
        if count > MAX_FIELDS:
            raise AuroraError(PAYLOAD_TOO_LARGE, {"max_fields": MAX_FIELDS})
        key, place = _varint(body, place)
        wire = key & 7
        if wire == _VARINT:
            _, place = _varint(body, place)
        elif wire == _BYTES:
            size, place = _varint(body, place)
            field = known.get(key >> 3)
            if size and field is not None and field.message_type is not None:
                count = _fields(body, place, min(place + size, end), field.message_type, count, depth + 1)
            place += size
        elif wire in _FIXED:
            place += _FIXED[wire]
        else:
            raise ValueError("groups are not in these messages")
    return count


def _varint(body: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    for byte in body[place : place + _LONGEST_VARINT]:
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
        shift += 7
    raise ValueError("not a number")
