"""One view of one event, as the matchers read it: texts of fields, prepared once and only when asked for.

Owns the conversion of event values to text, numbers and addresses. Refuses to know rules. Whatever a value is, nothing
here raises: what has no text (a mapping, for instance) simply matches nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

from services.siem.detections.engine.compiled import TimePart

# Lists within lists are flattened to this depth; what lies deeper was never a log field.
MAX_LIST_DEPTH = 4
# The longest text of a number, an address or a timestamp; longer ones are not parsed at all.
MAX_PARSED_CHARACTERS = 64
# Events of a kind have the same fields, so what follows from their names is remembered: for so many kinds, of so many
# fields at most.
REMEMBERED_SHAPES = 1024
REMEMBERED_NAMES = 128
# Integers within are printed without a second thought.
_PLAIN = 2**64
# What Latin-1 letters fold to, but for the micro sign and the sharp s, whose folds aren't Latin-1 letters.
_LATIN = bytes(ord(fold) if len(fold := chr(code).casefold()) == 1 and fold < "\u0100" else code for code in range(256))


class Texts(dict[str | None, tuple[str, ...]]):
    """Field (lower case; None = the whole event) -> its values as texts, filled on first use."""

    __slots__ = ("_fold", "_given", "_message", "_places")

    def __init__(self, given: Mapping[str, Any], places: Mapping[str, str], message: str, fold: bool) -> None:
        self._given = given
        self._places = places
        self._message = message
        self._fold = fold

    def __missing__(self, field: str | None) -> tuple[str, ...]:
        if field is None:
            texts = tuple(map(self._text, self._whole()))
        else:
            place = self._places.get(field)
            value = None if place is None else self._given[place]
            texts = (self._text(value),) if type(value) is str else tuple(map(self._text, scalar_texts(value)))
        self[field] = texts
        return texts

    def _text(self, text: str) -> str:
        return folded(text) if self._fold else encodable(text)

    def _whole(self) -> Iterator[str]:
        """Every text of the event, as a keyword sees it; the message only where no field holds it."""
        for place in self._places.values():
            yield from scalar_texts(self._given[place])
        if self._message and "message" not in self._places:
            yield self._message


class Facts:
    """The fields of a view, their texts folded and as they are, and what is already decided.

    `places` has each field's lower-case name and the name it was `given` under. Most views are decided by their values
    as they came, so the rest is made on first use.
    """

    __slots__ = ("_encoded", "_joined", "cased", "decided", "folded", "given", "message", "places")

    places: Mapping[str, str]
    folded: Texts
    cased: Texts
    decided: dict[object, bool]
    _encoded: dict[str | None, tuple[bytes, ...]]
    _joined: str

    def __init__(self, given: Mapping[str, Any], message: str) -> None:
        self.given = given
        self.message = message

    def __getattr__(self, name: str) -> Any:
        # Asked only for a slot that nothing was put into yet.
        made = _MADE[name](self)
        setattr(self, name, made)
        return made

    def bytes_of(self, field: str | None) -> tuple[bytes, ...]:
        """The unfolded values of a field as UTF-8, for RE2."""
        encoded = self._encoded.get(field)
        if encoded is None:
            encoded = self._encoded[field] = tuple(text.encode() for text in self.cased[field])
        return encoded

    def joined(self) -> str:
        """All values of the event in one folded text: what is in any of them is in it."""
        return self._joined

    def differ(self, field: str, other: str) -> bool:
        """Whether two fields have texts that can't be equal, at a glance; says no too often."""
        places = self.places
        if field not in places or other not in places:
            return True
        one, two = self.given[places[field]], self.given[places[other]]
        # Folding an ASCII text doesn't change its length.
        return type(one) is str and type(two) is str and len(one) != len(two) and one.isascii() and two.isascii()

    def is_null(self, field: str) -> bool:
        """Missing, null, or a list of nothing else."""
        place = self.places.get(field)
        value = None if place is None else self.given[place]
        return value is None or (isinstance(value, list | tuple) and not any(item is not None for item in value))


@lru_cache(maxsize=REMEMBERED_SHAPES)
def _remembered_places(names: tuple[str, ...]) -> Mapping[str, str]:
    return {name.lower(): name for name in names}


def places_of(names: tuple[str, ...]) -> Mapping[str, str]:
    """Each name under its lower-case form; of names that differ by case only the last."""
    return _remembered_places(names) if len(names) <= REMEMBERED_NAMES else {name.lower(): name for name in names}


def _join(facts: Facts) -> str:
    # In one go, and not by way of Texts: this runs for nearly every event where rules have keywords.
    texts = [value if type(value) is str else _joined_text(value) for value in facts.given.values()]
    if "message" not in facts.given:
        texts.append(facts.message)
    return folded("\0".join(texts))


def _joined_text(value: Any) -> str:
    return str(value) if type(value) is int and -_PLAIN < value < _PLAIN else "\0".join(scalar_texts(value))


_MADE: dict[str, Callable[[Facts], Any]] = {
    "places": lambda facts: places_of(tuple(facts.given)),
    "folded": lambda facts: Texts(facts.given, facts.places, facts.message, fold=True),
    "cased": lambda facts: Texts(facts.given, facts.places, facts.message, fold=False),
    "decided": lambda _: {},
    "_encoded": lambda _: {},
    "_joined": _join,
}


def folded(text: str) -> str:
    """The text without case, character by character, so that parts of it fold to parts of the result."""
    if text.isascii():
        return text.casefold()
    try:
        # One registered sign makes str.casefold take ten times as long; a table does the same.
        latin = text.encode("latin-1").translate(_LATIN).decode("latin-1")
    except UnicodeEncodeError:
        return encodable(text).casefold()
    return latin.replace("\xb5", "\u03bc").replace("\xdf", "ss")


def encodable(text: str) -> str:
    """The text without lone surrogates (JSON allows them): the automaton and RE2 want UTF-8."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


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
