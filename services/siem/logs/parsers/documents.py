"""What the parsers of products' JSON logs share: a table from the product's names to ECS, and the event made of it.

Owns how a table is applied. Refuses to know any product.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal, NamedTuple, TypeAlias

from services.siem.event import Event, View
from services.siem.logs.parsers.interface import MAX_SUMMARY, Context
from services.siem.logs.parsers.times import any_time
from services.siem.logs.parsers.values import integer, ip_address, one_line

Kind: TypeAlias = Literal["text", "number", "address", "list"]


class Column(NamedTuple):
    """One field: the product's dotted name, the ECS name, and what its value must be. A value that isn't is left to
    the product's own name."""

    name: str
    ecs: str
    kind: Kind = "text"


def fill(ecs: dict[str, Any], flat: dict[str, Any], columns: Iterable[Column]) -> None:
    """Set the ECS fields of a table; the first column that has a value for a field wins."""
    for name, field, kind in columns:
        value = flat.get(name)
        if value is None or field in ecs or (found := narrow(value, kind)) is None:
            continue
        ecs[field] = found


def narrow(value: Any, kind: Kind) -> Any:
    """The value as its kind, or None where it is empty or can't be one. A list keeps its first value, save as list."""
    if kind == "list":
        values = value if isinstance(value, list) else [value]
        return [str(each) for each in values if each not in (None, "")] or None
    if isinstance(value, list):
        value = value[0] if value else None
    if kind == "number":
        return integer(int(value) if isinstance(value, float) and value.is_integer() else value)
    if kind == "address":
        return ip_address(value) if isinstance(value, str) else None
    return None if value is None or value == "" else str(value)


def first_time(flat: dict[str, Any], names: Iterable[str], context: Context) -> datetime:
    """The first of the named fields that is a time, else the time of receipt."""
    return next((found for name in names if (found := any_time(flat.get(name))) is not None), context.received_at)


def text_of(flat: dict[str, Any], name: str) -> str:
    """A field as text; empty where it is absent."""
    value = flat.get(name)
    return "" if value is None else str(value)


def sentence(*parts: Any) -> str:
    """One readable line of what is known of its parts."""
    return one_line(" ".join(str(part) for part in parts if part not in (None, "", [])), MAX_SUMMARY)


def event_of(
    when: datetime, message: str, own: tuple[str, dict[str, Any]], ecs: dict[str, Any], views: list[View], raw: str
) -> Event:
    """The event: `own` is the product's prefix and its flat fields, kept beside the ECS ones under their own names."""
    prefix, flat = own
    for name, value in flat.items():
        ecs.setdefault(f"{prefix}.{name}", value)
    return Event(when, ecs["event.dataset"], message, ecs, views, raw)
