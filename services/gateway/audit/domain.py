"""What an audit record may hold, and which acts are kept once a minute. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MAX_TEXT = 512
_MAX_ITEMS = 50
_MAX_DEPTH = 4
#: What a stranger can do without end, without an account: of these the first one a minute from an address is kept.
FIRST_OF_A_MINUTE = frozenset({"authentication.failed", "session.throttled"})


def text(value: str | None) -> str | None:
    """As it can be stored: bounded, and without what a text column refuses."""
    return None if value is None else _storable(value)


def detail(value: Mapping[str, object] | None) -> dict[str, Any]:
    """Plain data of bounded size. What is no JSON is kept as its text."""
    bounded = _bounded(dict(value or {}), _MAX_DEPTH)
    return bounded if isinstance(bounded, dict) else {}


def _storable(value: str) -> str:
    return value[:MAX_TEXT].encode("utf-8", "replace").decode().replace("\0", "\ufffd")


def _bounded(value: object, depth: int) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    if depth and isinstance(value, Mapping):
        entries = list(value.items())[:_MAX_ITEMS]
        return {_storable(str(name)): _bounded(inner, depth - 1) for name, inner in entries}
    if depth and isinstance(value, list | tuple | set | frozenset):
        return [_bounded(inner, depth - 1) for inner in list(value)[:_MAX_ITEMS]]
    return _storable(str(value))


class Minute:
    """Remembers what was seen in the running minute: nothing of the one before, and a bounded number."""

    def __init__(self, most: int = 10_000) -> None:
        self._most = most
        self._number = -1
        self._seen: set[tuple[str, str | None]] = set()

    def first(self, action: str, address: str | None, now: float) -> bool:
        """Whether this is the minute's first. False too when too many different ones came. `now` is in seconds."""
        number = int(now // 60)
        if number != self._number:
            self._number, self._seen = number, set()
        key = (action, address)
        if key in self._seen or len(self._seen) >= self._most:
            return False
        self._seen.add(key)
        return True
