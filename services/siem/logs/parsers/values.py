"""Makes values safe and bounded: text without control of the store, nesting flattened, sizes capped, types narrowed.

Owns what a field value may be. Refuses to know any format.
"""

import ipaddress
import math
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import orjson

from services.siem.event import Event
from services.siem.logs.parsers.interface import MAX_DEPTH, MAX_FIELDS, MAX_NAME, MAX_VALUE

_INT64 = 2**63
#: Deeper than orjson writes (254 levels), so that what it can't write is found by it first.
_DEEPEST = 260
#: Stands for NUL, which PostgreSQL's text can't hold.
_NUL = "\N{SYMBOL FOR NULL}"
_DUMP = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_SUBCLASS


def safe_text(value: str) -> str:
    """The text with NULs shown as U+2400 and lone surrogates as `\\udcXX`, so that every store takes it."""
    return value.encode("utf-8", "backslashreplace").decode("utf-8").replace("\0", _NUL)


def dump(document: Any) -> str:
    """Compact JSON that keeps the order of keys. Raises TypeError for what JSON or UTF-8 can't hold."""
    return orjson.dumps(document, option=_DUMP).decode()


def plain(value: Any, depth: int = 0) -> Any:
    """The value with nothing in it that JSON, UTF-8 or a store refuses; such things become text. Raises ValueError
    when it nests deeper than JSON parsers take."""
    if depth > _DEEPEST:
        raise ValueError("nested too deeply")
    if isinstance(value, dict):
        return {safe_text(str(key)): plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, depth + 1) for item in value]
    if isinstance(value, float):
        kept = math.isfinite(value)
    else:
        kept = value is None or (isinstance(value, int) and -_INT64 <= value < 2 * _INT64)
    return value if kept else safe_text(str(value))


def flatten(document: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested objects as dotted names -> scalar or list of scalars; at most MAX_FIELDS fields, nulls left out.

    Objects in a list give one list per dotted name, as search engines do it.
    """
    fields: dict[str, Any] = {}
    for name, value in _walk(document, prefix, 1):
        known = fields.get(name)
        if known is None:
            if len(fields) >= MAX_FIELDS:
                break
            fields[name] = value
        elif isinstance(known, list):
            known.extend(value if isinstance(value, list) else (value,))
        else:
            fields[name] = [known, *(value if isinstance(value, list) else (value,))]
    return fields


def _walk(value: dict[str, Any], prefix: str, depth: int) -> Iterator[tuple[str, Any]]:
    for key, item in value.items():
        name = f"{prefix}.{key}" if prefix else key
        if isinstance(item, dict):
            if depth >= MAX_DEPTH or len(name) > MAX_NAME:
                yield name[:MAX_NAME], dump(item)
            else:
                yield from _walk(item, name, depth + 1)
        elif isinstance(item, list):
            yield from _walk_list(item, name, depth)
        elif item is not None:
            yield name[:MAX_NAME], item


def _walk_list(items: list[Any], name: str, depth: int) -> Iterator[tuple[str, Any]]:
    items = items[:MAX_FIELDS]  # more of a list is kept in the raw event only
    scalars = [item for item in items if not isinstance(item, dict | list) and item is not None]
    too_deep = depth >= MAX_DEPTH or len(name) > MAX_NAME
    if scalars:
        yield name[:MAX_NAME], scalars
    for item in items:
        if isinstance(item, list) or (isinstance(item, dict) and too_deep):
            yield name[:MAX_NAME], dump(item)
        elif isinstance(item, dict):
            yield from _walk(item, name, depth + 1)


def bounded(fields: dict[str, Any]) -> dict[str, Any]:
    """At most MAX_FIELDS fields and MAX_VALUE characters in each value; the same dict where nothing had to go."""
    if len(fields) <= MAX_FIELDS and not any(_too_long(value) for value in fields.values()):
        return fields
    return {name: _cut(value) for name, value in list(fields.items())[:MAX_FIELDS]}


def bound_event(event: Event) -> None:
    """Apply `bounded` to the fields of an event and of its views, and cut its message."""
    event.message = event.message[:MAX_VALUE]
    event.ecs = bounded(event.ecs)
    for view in event.views:
        view.fields = bounded(view.fields)


def _too_long(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) > MAX_VALUE
    return isinstance(value, list) and (len(value) > MAX_FIELDS or any(map(_too_long, value)))


def _cut(value: Any) -> Any:
    if isinstance(value, str):
        return value[:MAX_VALUE]
    return [_cut(item) for item in value[:MAX_FIELDS]] if isinstance(value, list) else value


def integer(value: Any) -> int | None:
    """A whole number from a number, decimal text or `0x` text, within 64 bits; else None."""
    if isinstance(value, str):
        if len(value) > 20:
            return None
        try:
            value = int(value, 16) if value[:2] in ("0x", "0X") else int(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if -_INT64 <= value < _INT64 else None


@lru_cache(maxsize=8192)
def ip_address(text: str) -> str | None:
    """The canonical text of an IP address, without brackets, zone or IPv4-in-IPv6 prefix; None for anything else."""
    try:
        address = ipaddress.ip_address(text.strip("[]").partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def one_line(text: str, limit: int = MAX_VALUE) -> str:
    """The text with every run of white space as one space, cut to `limit` characters."""
    return " ".join(text[:limit].split())


def base_name(path: str) -> str:
    """The last part of a path, of either kind of slash."""
    return path[max(path.rfind("\\"), path.rfind("/")) + 1 :]
