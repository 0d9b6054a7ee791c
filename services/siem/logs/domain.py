"""The search language and the cursor of log search: text to terms, and nothing about how they are looked up.

    field:value     the ECS field equals the value, without regard to case; `*` stands for any text
    word            the word is somewhere in the message, the raw event or the command line
    "two words"     quotes keep spaces, and colons, together; as a value too: process.command_line:"curl *"

Every term must hold. `\\*`, `\\"` and `\\\\` stand for the character itself; any other backslash is a backslash. What
looks like a field but isn't (`example.org:8080`) goes into quotes; URLs, drive letters and IPv6 addresses needn't.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from shared.errors import AuroraError, field_error

MAX_TERMS = 32
_FIELD = re.compile(r"([A-Za-z_@][\w@-]*(?:\.[\w@-]+)+|[A-Za-z_@][\w@-]+(?=:(?!//|[\\:]))):")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"(?=\s|$)', re.DOTALL)
_BARE = re.compile(r"[^\s\"]+")
_PIECES = re.compile(r'\\[*"\\]|\*')
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: What the store can hold.
EARLIEST = datetime(1900, 1, 1, tzinfo=UTC)
LATEST = datetime(2299, 12, 31, 23, 59, 59, 999000, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Term:
    """`field` None: anywhere. `pieces` are the literal texts between the wildcards; one piece means no wildcard."""

    field: str | None
    pieces: tuple[str, ...]

    @property
    def exact(self) -> bool:
        """Whether there is no wildcard."""
        return len(self.pieces) == 1


def parse_query(text: str) -> list[Term]:
    """The terms of a search. Raises AURORA-4220 naming what can't be read."""
    terms: list[Term] = []
    place = _skip_space(text, 0)
    while place < len(text):
        name: str | None = None
        field = _FIELD.match(text, place)
        if field is not None:
            name, place = field.group(1), field.end()
        value = _QUOTED.match(text, place) or _BARE.match(text, place)
        if value is None:
            raise _unreadable(text, place, name)
        terms.append(Term(name, _pieces(value.group(1) if value.re is _QUOTED else value.group(0))))
        place = value.end()
        if place < len(text) and not text[place].isspace():
            raise _unreadable(text, place, name)
        place = _skip_space(text, place)
    if len(terms) > MAX_TERMS:
        raise field_error("query.q", f"at most {MAX_TERMS} terms")
    return terms


def _skip_space(text: str, place: int) -> int:
    while place < len(text) and text[place].isspace():
        place += 1
    return place


def _unreadable(text: str, place: int, name: str | None) -> AuroraError:
    if place < len(text) and text[place] == '"':
        return field_error("query.q", f"the quote at character {place + 1} isn't closed, or text touches it")
    return field_error("query.q", f"the field {name} needs a value")


def _pieces(value: str) -> tuple[str, ...]:
    pieces = [""]
    last = 0
    for match in _PIECES.finditer(value):
        pieces[-1] += value[last : match.start()]
        if match.group() == "*":
            pieces.append("")
        else:
            pieces[-1] += match.group()[1]
        last = match.end()
    pieces[-1] += value[last:]
    return tuple(pieces)


@dataclass(frozen=True, slots=True)
class Position:
    """Where a page ended: the time and the id of its last event."""

    timestamp: datetime
    id: str


def encode_cursor(position: Position) -> str:
    """An opaque cursor."""
    milliseconds = (position.timestamp - _EPOCH) // timedelta(milliseconds=1)
    return base64.urlsafe_b64encode(f"{milliseconds}:{position.id}".encode()).decode().rstrip("=")


def decode_cursor(cursor: str) -> Position:
    """The position of a cursor. Raises AURORA-4220 for one that isn't ours."""
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode("ascii")
        milliseconds, _, identifier = text.partition(":")
        timestamp = _EPOCH + timedelta(milliseconds=int(milliseconds))
    except (binascii.Error, ValueError, OverflowError) as error:
        raise field_error("query.cursor", "not a cursor that this list gave") from error
    if not identifier or not EARLIEST <= timestamp <= LATEST:
        raise field_error("query.cursor", "not a cursor that this list gave")
    return Position(timestamp, identifier)


def within_range(moment: datetime) -> datetime:
    """The time in UTC, moved to the nearest that can be stored; a time without a zone is UTC."""
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    if aware.year <= EARLIEST.year - 1:
        return EARLIEST
    return min(max(aware.astimezone(UTC), EARLIEST), LATEST) if aware.year <= LATEST.year + 1 else LATEST
