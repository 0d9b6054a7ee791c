"""Text to the tokens of a search. Knows what a field, a value and a quote look like, and nothing about grammar.

`\\*`, `\\"` and `\\\\` stand for the character itself; any other backslash is a backslash, as in Windows paths. What
looks like a field but isn't (`example.org:8080`) goes into quotes; URLs, drive letters and IPv6 addresses needn't.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from shared.errors import AuroraError, field_error

Kind: TypeAlias = Literal["value", "field", "compare", "and", "or", "not", "(", ")", "end"]

_NAME = r"[A-Za-z_@][\w@-]*(?:\.[\w@-]+)"
_FIELD = re.compile(rf"({_NAME}+|[A-Za-z_@][\w@-]+(?=:(?!//|[\\:]))):\s*")
#: A name without a dot is compared only when a space sets it apart: `cat>file` is a word.
_COMPARE = re.compile(rf"(?:({_NAME}+|@timestamp|timestamp)\s*|([A-Za-z_@][\w@-]*)\s+)(<=|>=|<|>)\s*")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"(?=[\s)]|$)', re.DOTALL)
_BARE = re.compile(r'[^\s"()]+')
_WORDS: dict[str, Kind] = {"and": "and", "or": "or", "not": "not"}
#: As much as is shown of what can't be read.
_SHOWN = re.compile(r"\S{1,40}")
_PIECES = re.compile(r'\\[*"\\]|\*')


@dataclass(frozen=True, slots=True)
class Token:
    """`place` counts characters from 0. `text` is a field's name or what was written; `pieces` is a value between its
    wildcards; `operator` is that of a comparison."""

    kind: Kind
    place: int
    text: str = ""
    pieces: tuple[str, ...] = ()
    operator: str = ""


def tokens(text: str) -> Iterator[Token]:
    """The tokens of a search; the last is of kind `end`. Raises Unreadable."""
    place = 0
    wants_value = False
    while True:
        place = _skip_space(text, place)
        if place == len(text):
            yield Token("end", place)
            return
        token, place = _token(text, place, wants_value)
        wants_value = token.kind in ("field", "compare")
        yield token


class Unreadable(Exception):
    """What stands at `place` (from 0) can't be read; `message` says why."""

    def __init__(self, place: int, message: str) -> None:
        self.place = place
        self.message = message
        super().__init__(message)


def refused(text: str, why: Unreadable) -> AuroraError:
    """AURORA-4220 that names the character (people count from 1) and what stands there."""
    found = _SHOWN.match(text, why.place)
    stands = "the end" if found is None else found.group()
    return field_error("query.q", f"at character {why.place + 1}: {why.message} (here: {stands})")


def _token(text: str, place: int, wants_value: bool) -> tuple[Token, int]:
    character = text[place]
    if character == "(":
        return Token("(", place, "("), place + 1
    if character == ")":
        return Token(")", place, ")"), place + 1
    if not wants_value:
        if (found := _FIELD.match(text, place)) is not None:
            return Token("field", place, found.group(1)), found.end()
        if (found := _COMPARE.match(text, place)) is not None:
            name = found.group(1) or found.group(2)
            return Token("compare", place, name, operator=found.group(3)), found.end()
    return _value(text, place, may_be_word=not wants_value or text[place - 1].isspace())


def _value(text: str, place: int, *, may_be_word: bool) -> tuple[Token, int]:
    quoted = _QUOTED.match(text, place)
    found = quoted or _BARE.match(text, place)
    if found is None:
        raise Unreadable(place, "the quote isn't closed, or text touches it")
    end = found.end()
    if end < len(text) and text[end] in '("':
        raise Unreadable(end, "text touches a quote or a parenthesis: put all of it into quotes")
    written = found.group(0)
    if quoted is None and may_be_word and written.lower() in _WORDS:
        return Token(_WORDS[written.lower()], place, written), end
    if quoted is None and written.strip("<>=") == "":
        raise Unreadable(place, f"{written} needs a field before it, or quotes around it")
    value = written if quoted is None else quoted.group(1)
    return Token("value", place, written, _pieces(value)), end


def _skip_space(text: str, place: int) -> int:
    while place < len(text) and text[place].isspace():
        place += 1
    return place


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
