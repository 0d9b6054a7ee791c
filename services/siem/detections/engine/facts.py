"""One view of one event, as the matchers read it: texts of fields, prepared once and only when asked for.

Owns the conversion of event values to text, numbers and addresses. Refuses to know rules. Whatever a value is, nothing
here raises: what has no text (a mapping, for instance) simply matches nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

from services.siem.detections.engine.compiled import TimePart

# Lists within lists are flattened to this depth; what lies deeper was never a log field.
MAX_LIST_DEPTH = 4
# The longest text of a number, an address or a timestamp; longer ones are not parsed at all.
MAX_PARSED_CHARACTERS = 64
# Integers within are printed without a second thought.
_PLAIN = 2**64


class Texts(dict[str | None, tuple[str, ...]]):
    """Field (lower case; None = the whole event) -> its values as texts, filled on first use."""

    __slots__ = ("_fields", "_fold", "_message")

    def __init__(self, fields: Mapping[str, Any], message: str, fold: bool) -> None:
        self._fields = fields
        self._message = message
        self._fold = fold

    def __missing__(self, field: str | None) -> tuple[str, ...]:
        if field is None:
            texts = tuple(self._text(text) for text in whole_texts(self._fields, self._message))
        else:
            value = self._fields.get(field)
            texts = (self._text(value),) if type(value) is str else tuple(map(self._text, scalar_texts(value)))
        self[field] = texts
        return texts

    def _text(self, text: str) -> str:
        return folded(text) if self._fold else encodable(text)


class Facts:
    """The fields of a view under lower-case names, their texts folded and as they are, and what is already decided."""

    __slots__ = ("_encoded", "_joined", "_message", "cased", "decided", "fields", "folded")

    def __init__(self, fields: Mapping[str, Any], message: str) -> None:
        self.fields = {name.lower(): value for name, value in fields.items()}
        self.folded = Texts(self.fields, message, fold=True)
        self.cased = Texts(self.fields, message, fold=False)
        self.decided: dict[object, bool] = {}
        self._message = message
        self._encoded: dict[str | None, tuple[bytes, ...]] = {}
        self._joined: str | None = None

    def bytes_of(self, field: str | None) -> tuple[bytes, ...]:
        """The unfolded values of a field as UTF-8, for RE2."""
        encoded = self._encoded.get(field)
        if encoded is None:
            encoded = self._encoded[field] = tuple(text.encode() for text in self.cased[field])
        return encoded

    def joined(self) -> str:
        """All values of the event in one folded text: what is in any of them is in it."""
        if self._joined is None:
            # As whole_texts, but in one go: this runs for nearly every event.
            texts = [_joined_text(value) for value in self.fields.values()]
            if "message" not in self.fields:
                texts.append(self._message)
            self._joined = folded("\0".join(texts))
        return self._joined

    def is_null(self, field: str) -> bool:
        """Missing, null, or a list of nothing else."""
        value = self.fields.get(field)
        return value is None or (isinstance(value, list | tuple) and not any(item is not None for item in value))


def folded(text: str) -> str:
    """The text without case, character by character, so that parts of it fold to parts of the result."""
    return encodable(text).casefold()


def encodable(text: str) -> str:
    """The text without lone surrogates (JSON allows them): the automaton and RE2 want UTF-8."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def whole_texts(fields: Mapping[str, Any], message: str) -> Iterator[str]:
    """Every text of an event, as a keyword search sees it; the message only where no field holds it."""
    for value in fields.values():
        yield from scalar_texts(value)
    if message and "message" not in fields:
        yield message


def _joined_text(value: Any) -> str:
    if type(value) is str:
        return value
    return str(value) if type(value) is int and -_PLAIN < value < _PLAIN else "\0".join(scalar_texts(value))


def scalar_texts(value: Any, depth: int = MAX_LIST_DEPTH) -> Iterator[str]:
    """Each scalar of a value as the text a Sigma value is compared with; whole floats read like integers."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, bool):
        yield "true" if value else "false"
    elif isinstance(value, int):
        # Python refuses to print integers beyond 4,300 digits; no log means one.
        yield str(value) if value.bit_length() < 1024 else hex(value)
    elif isinstance(value, float):
        yield str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    elif isinstance(value, list | tuple) and depth:
        for item in value:
            yield from scalar_texts(item, depth - 1)


def number(text: str) -> float | None:
    """The number a text spells, or None."""
    if len(text) > MAX_PARSED_CHARACTERS:
        return None
    try:
        # int first: a 64-bit id must not lose its last digits to a float.
        return int(text) if text.lstrip("+-").isdecimal() else float(text)
    except ValueError:
        return None


@lru_cache(maxsize=4096)
def address(text: str) -> IPv4Address | IPv6Address | None:
    """The IP address a text spells (an IPv4-mapped one as IPv4), or None."""
    if len(text) > MAX_PARSED_CHARACTERS:
        return None
    try:
        parsed = ip_address(text.strip())
    except ValueError:
        return None
    return getattr(parsed, "ipv4_mapped", None) or parsed


def time_part(text: str, part: TimePart) -> int | None:
    """That part of an ISO 8601 timestamp as written, without a shift of time zone (modifiers appendix 2.1)."""
    if len(text) > MAX_PARSED_CHARACTERS:
        return None
    try:
        moment = datetime.fromisoformat(text.strip().upper())
    except ValueError:
        return None
    return moment.isocalendar().week if part == "week" else int(getattr(moment, part))
