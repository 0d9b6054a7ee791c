"""How a contract becomes bytes: JSON with RFC 3339 UTC times in milliseconds (DECISIONS, "Requests and errors").

msgspec writes microseconds, so times are passed through to orjson's hook and cut there.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec
import orjson

T = TypeVar("T")
_OPTIONS = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_NON_STR_KEYS


def format_time(moment: datetime) -> str:
    """`2026-06-14T12:00:00.000Z`. Raises ValueError for a time without a zone."""
    if moment.tzinfo is None:
        raise ValueError("a time without a zone can't be sent")
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def _hook(value: Any) -> Any:
    if isinstance(value, datetime):
        return format_time(value)
    if isinstance(value, msgspec.Raw):
        return orjson.Fragment(bytes(value))
    raise TypeError(f"{type(value).__name__} can't be sent")


def to_builtins(value: Any) -> Any:
    """JSON-ready builtins of a contract, times as text."""
    return orjson.loads(encode(value))


def encode(value: Any) -> bytes:
    """The JSON of a contract or of plain data. Raises TypeError for what has no JSON form."""
    builtins = msgspec.to_builtins(value, builtin_types=(datetime, msgspec.Raw), str_keys=True)
    return orjson.dumps(builtins, default=_hook, option=_OPTIONS)


def decode(data: bytes | str, kind: type[T]) -> T:
    """Checked against the contract. Raises msgspec.ValidationError with the path, or msgspec.DecodeError."""
    return msgspec.json.decode(data, type=kind)
