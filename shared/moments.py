"""Times that a request names: within the years that every store and every sum can hold. Pure.

A time near the ends of the calendar overflows as soon as it is brought to UTC or a day is added to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import inspect

FIRST_YEAR, LAST_YEAR = 1000, 9998
MESSAGE = f"must be a time in the years {FIRST_YEAR} to {LAST_YEAR}"


def is_held(moment: datetime) -> bool:
    """Whether a time can be worked with."""
    return FIRST_YEAR <= moment.year <= LAST_YEAR


def not_held(value: Any, path: str) -> Iterator[str]:
    """The paths of times in a decoded value that can't be worked with. Looks only into what can have times."""
    if isinstance(value, datetime):
        if not is_held(value):
            yield path
    elif isinstance(value, msgspec.Struct):
        for name, field in zip(value.__struct_encode_fields__, value.__struct_fields__, strict=True):
            yield from not_held(getattr(value, field), f"{path}.{name}")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from not_held(item, f"{path}[{number}]")


@lru_cache(maxsize=512)
def has_times(kind: Any) -> bool:
    """Whether a value of this type can have a time in it."""
    return _has_times(inspect.type_info(kind), set())


def _has_times(kind: Any, seen: set[Any]) -> bool:
    if isinstance(kind, inspect.DateTimeType):
        return True
    parts: list[Any] = [getattr(kind, name, None) for name in ("type", "item_type")]
    parts += getattr(kind, "types", ())
    if isinstance(kind, inspect.StructType):
        if kind.cls in seen:
            return False
        seen.add(kind.cls)
        parts += [field.type for field in kind.fields]
    return any(_has_times(part, seen) for part in parts if isinstance(part, inspect.Type))
