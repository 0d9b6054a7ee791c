"""Takes command lines apart: base64 (UTF-8, UTF-16LE), hex, gzip, character codes, concatenation; nested, bounded.

Pure. Attackers write the input, so depth, length and the number of layers are limited, and nothing is ever run.
"""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from collections.abc import Callable, Iterator

import msgspec

MAX_DEPTH = 6
MAX_LAYERS = 24
MAX_INPUT = 64 * 1024
MAX_OUTPUT = 64 * 1024
_MIN_BASE64 = 16
_PRINTABLE = 0.85


class Layer(msgspec.Struct, frozen=True):
    """One decoded text: how it was hidden, what is inside, and how deep (1 = in the command line itself)."""

    encoding: str
    text: str
    depth: int


_BASE64 = re.compile(rf"[A-Za-z0-9+/_-]{{{_MIN_BASE64},}}={{0,2}}")
_HEX = re.compile(r"\b(?:0x)?((?:[0-9a-fA-F]{2}){12,})\b")
_BACKSLASH_X = re.compile(r"(?:\\x[0-9a-fA-F]{2}){6,}")
_CHAR_CODES = re.compile(r"(?:\[char\]\s*(?:0x)?[0-9a-fA-F]{1,6}\s*\+?\s*){4,}", re.IGNORECASE)
_CODE = re.compile(r"\[char\]\s*(0x[0-9a-fA-F]{1,6}|\d{1,7})", re.IGNORECASE)
_CODE_LIST = re.compile(r"(?:\b\d{2,3}\b\s*,\s*){7,}\d{2,3}\b")
_JOINED = re.compile(r"""(?:(['"])[^'"]{0,400}\1\s*\+\s*){1,200}(['"])[^'"]{0,400}\2""")
_LITERAL = re.compile(r"""(['"])([^'"]{0,400})\1""")
_ESCAPES = re.compile(r"(?<=\w)[`^](?=\w)")


def decode(command: str) -> list[Layer]:
    """Every text hidden in a command line, outermost first; empty when nothing is."""
    found: list[Layer] = []
    seen = {command}
    waiting = [(command[:MAX_INPUT], 1)]
    while waiting and len(found) < MAX_LAYERS:
        text, depth = waiting.pop(0)
        for encoding, inside in _layers(text):
            if inside in seen or len(found) >= MAX_LAYERS:
                continue
            seen.add(inside)
            found.append(Layer(encoding, inside, depth))
            if depth < MAX_DEPTH:
                waiting.append((inside, depth + 1))
    return found


def _layers(text: str) -> Iterator[tuple[str, str]]:
    for reader in _READERS:
        for encoding, inside in reader(text):
            if inside.strip() and inside != text:
                yield encoding, inside[:MAX_OUTPUT]


def _base64_layers(text: str) -> Iterator[tuple[str, str]]:
    for match in _BASE64.finditer(text):
        token = match.group().rstrip("=").replace("-", "+").replace("_", "/")
        if len(token) % 4 == 1:
            continue
        try:
            data = base64.b64decode(token + "=" * (-len(token) % 4), validate=True)
        except (binascii.Error, ValueError):
            continue
        for encoding, inside in _texts(data):
            yield f"base64{encoding}", inside


def _texts(data: bytes) -> Iterator[tuple[str, str]]:
    """The readings of bytes that look like text: as they are, as UTF-16LE, or unpacked first."""
    if data[:2] == b"\x1f\x8b" or data[:1] == b"\x78":
        unpacked = _unpacked(data)
        if unpacked is not None:
            for encoding, inside in _texts(unpacked):
                yield f"+gzip{encoding}", inside
            return
    if len(data) >= 4 and data[1::2].count(0) > len(data) // 2 * 0.7:
        inside = data[: len(data) // 2 * 2].decode("utf-16-le", "replace")
        if _readable(inside):
            yield "+utf-16le", inside
        return
    try:
        inside = data.decode("utf-8")
    except UnicodeDecodeError:
        return
    if _readable(inside):
        yield "", inside


def _unpacked(data: bytes) -> bytes | None:
    unpacker = zlib.decompressobj(wbits=47)
    try:
        return unpacker.decompress(data, MAX_OUTPUT)
    except zlib.error:
        return None


def _readable(text: str) -> bool:
    if len(text) < 4:
        return False
    good = sum(character.isprintable() or character in "\r\n\t" for character in text)
    # Random bytes now and then read as letters of many scripts; commands are mostly ASCII.
    plain = sum(character.isascii() for character in text)
    return good / len(text) >= _PRINTABLE and plain / len(text) >= _PRINTABLE


def _hex_layers(text: str) -> Iterator[tuple[str, str]]:
    for match in _HEX.finditer(text):
        for encoding, inside in _texts(bytes.fromhex(match.group(1))):
            yield f"hex{encoding}", inside
    for match in _BACKSLASH_X.finditer(text):
        for encoding, inside in _texts(bytes.fromhex(match.group().replace("\\x", ""))):
            yield f"hex{encoding}", inside


def _char_layers(text: str) -> Iterator[tuple[str, str]]:
    for match in _CHAR_CODES.finditer(text):
        yield from _from_codes([int(code, 0) for code in _CODE.findall(match.group())])
    for match in _CODE_LIST.finditer(text):
        yield from _from_codes([int(code) for code in re.findall(r"\d+", match.group())])


def _from_codes(codes: list[int]) -> Iterator[tuple[str, str]]:
    if all(0 < code < 0x110000 and not 0xD800 <= code < 0xE000 for code in codes):
        inside = "".join(map(chr, codes))
        if _readable(inside):
            yield "character codes", inside


def _joined_layers(text: str) -> Iterator[tuple[str, str]]:
    for match in _JOINED.finditer(text):
        yield "concatenation", "".join(part for _, part in _LITERAL.findall(match.group()))


def _escape_layers(text: str) -> Iterator[tuple[str, str]]:
    # One caret or backtick is punctuation; several inside words are there to hide them.
    if len(_ESCAPES.findall(text)) >= 3:
        yield "escape characters", _ESCAPES.sub("", text)


_READERS: tuple[Callable[[str], Iterator[tuple[str, str]]], ...] = (
    _base64_layers,
    _hex_layers,
    _char_layers,
    _joined_layers,
    _escape_layers,
)
