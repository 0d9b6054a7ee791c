"""What would break a client of released shapes (tests/released_api.py writes them): a list of sentences, empty when a
version only adds.

What clients send must still be taken: nothing gone, nothing narrower, nothing newly required. What they are sent must
still be there: nothing gone, nothing wider, nothing newly left out. New words of an enumeration are additions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

Way = Literal["sent", "answered"]
Shapes = Mapping[str, Mapping[str, str]]
_PLAIN = frozenset({"string", "integer", "number", "boolean", "null", "any"})


def breaks(released: Mapping[str, Any], today: Mapping[str, Any]) -> list[str]:
    """One sentence for each break."""
    return sorted(set(_Comparison(released["shapes"], today["shapes"]).operations(released, today)))


class _Comparison:
    def __init__(self, before: Shapes, now: Shapes) -> None:
        self._before, self._now = before, now
        self._seen: set[tuple[str, str, Way]] = set()

    def operations(self, released: Mapping[str, Any], today: Mapping[str, Any]) -> Iterator[str]:
        for name, before in released["operations"].items():
            now = today["operations"].get(name)
            if now is None:
                yield f"{name} is gone"
                continue
            if now["permission"] != before["permission"]:
                yield f"{name} asks for {now['permission']} instead of {before['permission']}"
            yield from self._fields(before["parameters"], now["parameters"], name, "sent")
            yield from self._bodies(before, now, name)
            for status, contents in before["answers"].items():
                if status not in now["answers"]:
                    yield f"{name} no longer answers {status}"
                    continue
                yield from self._contents(contents, now["answers"][status], f"{name} {status}", "answered")

    def _bodies(self, before: Mapping[str, Any], now: Mapping[str, Any], name: str) -> Iterator[str]:
        if "body" in now and "body" not in before:
            yield f"{name} newly needs a body"
        was, is_ = (one.get("body", one.get("body?", {})) for one in (before, now))
        yield from self._contents(was, is_, f"{name} body", "sent")

    def _contents(self, before: Mapping[str, str], now: Mapping[str, str], at: str, way: Way) -> Iterator[str]:
        for media, kind in before.items():
            if media not in now:
                yield f"{at} is no longer {media}"
            else:
                yield from self._types(kind, now[media], at, way)

    def _fields(self, before: Mapping[str, str], now: Mapping[str, str], at: str, way: Way) -> Iterator[str]:
        known, needed = _by_name(before), {name for name in now if not name.endswith("?")}
        there = _by_name(now)
        for name, kind in known.items():
            if name not in there:
                yield f"{at}: {name} is gone"
                continue
            if way == "answered" and name in before and name not in needed:
                yield f"{at}: {name} may be left out"
            yield from self._types(kind, there[name], f"{at}: {name}", way)
        if way == "sent":
            yield from (f"{at}: {name} is newly required" for name in needed if name not in before)

    def _types(self, before: str, now: str, at: str, way: Way) -> Iterator[str]:
        """`given` are the options that must each have a place among `taken`."""
        given, taken = (options(before), options(now)) if way == "sent" else (options(now), options(before))
        for option in given:
            place = next((other for other in taken if _fits(option, other, way)), None)
            if place is None:
                yield f"{at} was {before} and is {now}"
                return
            was, is_ = (option, place) if way == "sent" else (place, option)
            yield from self._inside(was, is_, at, way)

    def _inside(self, before: str, now: str, at: str, way: Way) -> Iterator[str]:
        if before[0] == now[0] and before[0] in "[{":
            yield from self._types(before[1:-1], now[1:-1], at, way)
        elif _is_shape(before) and _is_shape(now) and (before, now, way) not in self._seen:
            self._seen.add((before, now, way))
            if before in self._before and now in self._now:
                yield from self._fields(self._before[before], self._now[now], f"{before} {way}", way)


def options(text: str) -> list[str]:
    """The options of a type, as they are written."""
    found, depth, start = [], 0, 0
    for position, character in enumerate(text):
        depth += (character in "[{") - (character in "]}")
        if depth == 0 and text.startswith(" | ", position):
            found.append(text[start:position])
            start = position + 3
    return [*found, text[start:]]


def _by_name(fields: Mapping[str, str]) -> dict[str, str]:
    return {name.removesuffix("?"): kind for name, kind in fields.items()}


def _is_shape(option: str) -> bool:
    return option not in _PLAIN and option[0].isalpha() and option not in ("true", "false")


def _is_word(option: str) -> bool:
    return option not in _PLAIN and not _is_shape(option) and option[0] not in "[{"


def _fits(option: str, place: str, way: Way) -> bool:
    """Whether everything of this option has a place there, as far as the outside tells."""
    if option == place or place == "any" or (option, place) == ("integer", "number"):
        return True
    if _is_word(option):
        return place == "string" or (way == "answered" and _is_word(place))
    if option[0] in "[{":
        return option[0] == place[0]
    return _is_shape(option) and (_is_shape(place) or place[0] == "{")
