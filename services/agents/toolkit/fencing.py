"""Untrusted text in claims: bounded, on one line, without control characters, and marked as a quotation.

Log fields, file names and decoded commands are written by attackers. A claim quotes them; it never contains them bare.
"""

from __future__ import annotations

import json
import unicodedata

_LENGTH = 200
#: Invisible, control, and direction-changing characters, and spaces that are none: they could make a quotation read as
#: something else.
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs"})


def quote(text: object, length: int = _LENGTH) -> str:
    """`"text"`: backslashes and quotes escaped, hidden characters as \\uXXXX, cut to `length` characters."""
    whole = str(text)
    cut = "".join(_escaped(character) for character in whole[:length])
    return f'"{cut}…"' if len(whole) > length else f'"{cut}"'


def _escaped(character: str) -> str:
    if character in ('"', "\\"):
        return "\\" + character
    if character != " " and unicodedata.category(character) in _HIDDEN:
        point = ord(character)
        return f"\\u{point:04x}" if point <= 0xFFFF else f"\\U{point:08x}"
    return character


def visible(document: str) -> str:
    """A JSON document that says the same with its hidden characters written as JSON escapes."""
    return "".join(map(_written, document))


def _written(character: str) -> str:
    if character.isascii() and character.isprintable():
        return character
    if unicodedata.category(character) in _HIDDEN:
        return json.dumps(character)[1:-1]
    return character
