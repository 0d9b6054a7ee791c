"""The patterns of STIX indicators: comparisons with AND and OR, as alternatives of what must be seen together. Pure.

Takes a pattern apart in linear time and within bounds; what can't be looked up by a value (ranges, regular expressions,
NOT, how often, within what time) is named, never guessed. Knows no objects, only patterns.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

_MAX_PATTERN = 16 * 1024
_MAX_DEPTH = 20
_MAX_WAYS = 200
_TOKEN = re.compile(
    r"\s*(?:(?P<text>[bht]?'(?:[^'\\]|\\.)*')"
    r"|(?P<path>[a-zA-Z][a-zA-Z0-9-]*:(?:[a-zA-Z0-9_.*-]|'[^']{0,64}'|\[(?:\d+|\*|'[^']{0,64}')\])+)"
    r"|(?P<number>-?\d+(?:\.\d+)?)"
    r"|(?P<word>[A-Za-z_]+)"
    r"|(?P<mark>!=|<>|<=|>=|[=<>()\[\],]))"
)
#: Most patterns of feeds are one comparison: these are read twenty times as fast.
_ONE = re.compile(r"\[\s*([a-zA-Z][a-zA-Z0-9-]*:[a-zA-Z0-9_.'-]{1,200}?)\s*=\s*'([^'\\]*)'\s*\]")
_ESCAPE = re.compile(r"\\(.)")
_OPERATORS = ("=", "IN", "ISSUBSET", "!=", "<>", "<", ">", "<=", ">=", "LIKE", "MATCHES", "ISSUPERSET")
#: Qualifiers of observations; they say when or how often, which a value doesn't show.
_QUALIFIERS = frozenset({"WITHIN", "REPEATS", "START", "STOP"})
_UNITS = frozenset({"SECONDS", "TIMES"})
_WILD = re.compile(r"[%_]")


class PatternError(Exception):
    """The pattern can't be read. The message says why, in our words."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One `path = value`, or `path LIKE value` with % and _ in it; `value` None for what can't be looked up by one, and
    `operator` is then what it is compared by."""

    path: str
    value: str | None
    operator: str = "="


Way = tuple[Comparison, ...]


@dataclass(frozen=True, slots=True)
class Pattern:
    """The alternatives of a pattern, each the comparisons that must hold together, and the qualifiers that aren't
    looked at."""

    ways: list[Way]
    qualifiers: list[str]


def taken_apart(pattern: str) -> Pattern:
    """A pattern by its alternatives. Raises PatternError."""
    if len(pattern) > _MAX_PATTERN:
        raise PatternError("the pattern is longer than 16 KiB")
    if "\x00" in pattern:
        raise PatternError("the pattern has a character U+0000")
    one = _ONE.fullmatch(pattern)
    if one is not None:
        return Pattern([(Comparison(*one.groups()),)], [])
    reader = _Reader(list(_tokens(pattern)))
    ways = reader.observations(0)
    if not reader.at_end():
        raise PatternError("the pattern can't be read to its end")
    return Pattern(ways, reader.qualifiers)


def _tokens(pattern: str) -> Iterator[tuple[str, str]]:
    place, end = 0, len(pattern.rstrip())
    while place < end:
        match = _TOKEN.match(pattern, place)
        if match is None:
            raise PatternError("the pattern has a character that patterns don't have")
        yield match.lastgroup or "", match.group(match.lastgroup or 0)
        place = match.end()


class _Reader:
    """Recursive descent over the tokens. Outside of brackets AND and FOLLOWEDBY join observations."""

    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self._tokens = tokens
        self._place = 0
        self.qualifiers: list[str] = []

    def at_end(self) -> bool:
        return self._place >= len(self._tokens)

    def _next(self) -> tuple[str, str]:
        return ("", "") if self.at_end() else self._tokens[self._place]

    def _take(self, *texts: str) -> bool:
        kind, text = self._next()
        if kind != "text" and text.upper() in texts:
            self._place += 1
            return True
        return False

    def _expect(self, text: str) -> None:
        if not self._take(text):
            raise PatternError(f"{text} is missing")

    def observations(self, depth: int) -> list[Way]:
        ways = self._observation(depth)
        while True:
            if self._take("OR"):
                ways = _bounded([*ways, *self._observation(depth)])
            elif (in_turn := self._take("FOLLOWEDBY")) or self._take("AND"):
                self.qualifiers += ["FOLLOWEDBY"] * in_turn
                ways = _both(ways, self._observation(depth))
            else:
                return ways

    def _observation(self, depth: int) -> list[Way]:
        if depth > _MAX_DEPTH:
            raise PatternError("the pattern is nested too deep")
        if self._take("("):
            ways = self.observations(depth + 1)
            self._expect(")")
        else:
            self._expect("[")
            ways = self._any(depth + 1)
            self._expect("]")
        while (word := self._next()[1].upper()) in _QUALIFIERS:
            self.qualifiers.append(word)
            self._place += 1
            if self._next()[0] in ("number", "text"):
                self._place += 1
            self._take(*_UNITS)
        return ways

    def _any(self, depth: int) -> list[Way]:
        ways = self._all(depth)
        while self._take("OR"):
            ways = _bounded([*ways, *self._all(depth)])
        return ways

    def _all(self, depth: int) -> list[Way]:
        ways = self._one(depth)
        while self._take("AND"):
            ways = _both(ways, self._one(depth))
        return ways

    def _one(self, depth: int) -> list[Way]:
        if depth > _MAX_DEPTH:
            raise PatternError("the pattern is nested too deep")
        if self._take("("):
            ways = self._any(depth + 1)
            self._expect(")")
            return ways
        self._take("EXISTS")
        kind, path = self._next()
        if kind != "path":
            raise PatternError("a comparison begins with the path of an object")
        self._place += 1
        return self._compared(path)

    def _compared(self, path: str) -> list[Way]:
        negated = self._take("NOT")
        operator = self._next()[1].upper()
        if not self._take(*_OPERATORS):
            return [(Comparison(path, None, "EXISTS"),)]
        values = self._values() if operator == "IN" else [self._value()]
        if negated:
            return [(Comparison(path, None, "NOT"),)]
        if operator == "LIKE" and _WILD.search(values[0]):
            return [(Comparison(path, values[0], "LIKE"),)]
        if operator in ("=", "IN", "ISSUBSET", "LIKE"):
            return _bounded([(Comparison(path, value),) for value in values])
        return [(Comparison(path, None, operator),)]

    def _values(self) -> list[str]:
        self._expect("(")
        values = [self._value()]
        while self._take(","):
            values.append(self._value())
        self._expect(")")
        return values

    def _value(self) -> str:
        kind, text = self._next()
        if kind not in ("text", "number", "word"):
            raise PatternError("a value is missing")
        self._place += 1
        return _ESCAPE.sub(r"\1", text[text.index("'") + 1 : -1]) if kind == "text" else text


def _both(ones: list[Way], others: list[Way]) -> list[Way]:
    if len(ones) * len(others) > _MAX_WAYS:
        raise PatternError(f"the pattern has more than {_MAX_WAYS} alternatives")
    return [(*one, *other) for one, other in product(ones, others)]


def _bounded(ways: list[Way]) -> list[Way]:
    if len(ways) > _MAX_WAYS:
        raise PatternError(f"the pattern has more than {_MAX_WAYS} alternatives")
    return ways
