"""Takes command lines apart: base64 (UTF-8, UTF-16LE), hex, gzip, deflate, character codes, concatenation, format
strings, reversed and replaced text, variables of cmd and sh, characters that nobody sees; nested, bounded.

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
#: What PowerShell is told to decode is base64 however short it is.
_NAMED_BASE64 = re.compile(
    r"\s[-/]e(?:c|nc?\w{0,12})?\s+['\"]?([A-Za-z0-9+/]{4,15}={0,2})(?![A-Za-z0-9+/=])", re.IGNORECASE
)
_HEX = re.compile(r"\b(?:0x)?((?:[0-9a-fA-F]{2}){12,})\b")
_BACKSLASH_X = re.compile(r"(?:\\x[0-9a-fA-F]{2}){6,}")
_CHAR_CODES = re.compile(r"(?:\[char\]\s*(?:0x)?[0-9a-fA-F]{1,6}\s*\+?\s*){4,}", re.IGNORECASE)
_CODE = re.compile(r"\[char\]\s*(0x[0-9a-fA-F]{1,6}|\d{1,7})", re.IGNORECASE)
_CODE_LIST = re.compile(r"(?:\b\d{2,3}\b\s*,\s*){7,}\d{2,3}\b")
_JOINED = re.compile(r"""(?:(['"])[^'"]{0,400}\1\s*\+\s*){1,200}(['"])[^'"]{0,400}\2""")
_LITERAL = re.compile(r"""(['"])([^'"]{0,400})\1""")
_ESCAPES = re.compile(r"(?<=\w)[`^](?=\w)")
_FORMAT = re.compile(
    r"""(['"])((?:\{\d{1,2}\}[^'"{}]{0,60}){2,60})\1\s*-f\s*((?:(['"])[^'"]{0,400}\4\s*,?\s*){2,60})""", re.IGNORECASE
)
_PLACE = re.compile(r"\{(\d{1,2})\}")
_REVERSED = re.compile(r"""(['"])([^'"]{8,4000})\1\s*(?:\)\s*)?\[\s*-\s*1\s*\.\.|(['"])([^'"]{8,4000})\3\s*\[::-1\]""")
_REPLACED = re.compile(
    r"""(['"])([^'"]{4,4000})\1\s*\)?\s*(?:-c?replace\s*|\.replace\s*\(\s*)(['"])([^'"]{1,40})\3\s*,\s*(['"])([^'"]{0,40})\5""",
    re.IGNORECASE,
)
_SET = re.compile(r"""\bset\s+"?([A-Za-z_]\w{0,30})=([^&|"\r\n]{1,400})""", re.IGNORECASE)
_CMD_VARIABLE = re.compile(r"[%!]([A-Za-z_]\w{0,30})(?::~(-?\d{1,3})(?:,(-?\d{1,3}))?)?[%!]")
_SH_SET = re.compile(
    r"""(?:^|[;&\s])([A-Za-z_]\w{0,30})=(?:'([^']{1,400})'|"([^"$]{1,400})"|([\w./:-]{1,400}))(?=[;&\s])"""
)
_SH_VARIABLE = re.compile(r"\$\{?([A-Za-z_]\w{0,30})\}?")
_OCTAL = re.compile(r"(?:\\[0-3]?[0-7]{2}){6,}")
#: Characters that don't show: format characters such as zero-width spaces and direction marks, and soft hyphens.
_UNSEEN = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff]"
)


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
    tokens = [match.group() for match in _BASE64.finditer(text)]
    tokens += [
        match[1] for match in _NAMED_BASE64.finditer(text) if "powershell" in text.lower() or "pwsh" in text.lower()
    ]
    for found in tokens:
        token = found.rstrip("=").replace("-", "+").replace("_", "/")
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
        inside = ""
    if _readable(inside):
        yield "", inside
    elif (inflated := _inflated(data)) is not None:
        for encoding, text in _texts(inflated):
            yield f"+deflate{encoding}", text


def _unpacked(data: bytes) -> bytes | None:
    try:
        return zlib.decompressobj(wbits=47).decompress(data, MAX_OUTPUT)
    except zlib.error:
        return None


def _inflated(data: bytes) -> bytes | None:
    """Raw deflate, as PowerShell's DeflateStream reads it. It has no mark at its start, so only whole text counts."""
    try:
        unpacker = zlib.decompressobj(wbits=-15)
        text = unpacker.decompress(data, MAX_OUTPUT)
    except zlib.error:
        return None
    return text if len(text) >= _MIN_BASE64 and (unpacker.eof or unpacker.unconsumed_tail) else None


def _readable(text: str) -> bool:
    if len(text) < 3:
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


def _format_layers(text: str) -> Iterator[tuple[str, str]]:
    for match in _FORMAT.finditer(text):
        values = [value for _, value in _LITERAL.findall(match.group(3))]
        if all(int(place) < len(values) for place in _PLACE.findall(match.group(2))):
            yield "format string", _PLACE.sub(lambda place, values=values: values[int(place.group(1))], match.group(2))


def _turned_layers(text: str) -> Iterator[tuple[str, str]]:
    for match in _REVERSED.finditer(text):
        yield "reversed", (match.group(2) or match.group(4))[::-1]
    for match in _REPLACED.finditer(text):
        yield "replaced", match.group(2).replace(match.group(4), match.group(6))


def _variable_layers(text: str) -> Iterator[tuple[str, str]]:
    """The command with the values of the variables that it sets itself."""
    cmd = {name.lower(): value for name, value in _SET.findall(text)}
    if cmd:
        inside = _CMD_VARIABLE.sub(lambda use: _cut(cmd.get(use.group(1).lower()), use), text)
        yield "variables", inside
    sh = {name: single or double or bare for name, single, double, bare in _SH_SET.findall(text)}
    if sh:
        yield "variables", _SH_VARIABLE.sub(lambda use: sh.get(use.group(1), use.group()), text)


def _cut(value: str | None, use: re.Match[str]) -> str:
    """`%name:~start,length%` as cmd reads it; an unknown variable stays as it is written."""
    if value is None or use.group(2) is None:
        return use.group() if value is None else value
    rest = value[int(use.group(2)) :]
    return rest if use.group(3) is None else rest[: int(use.group(3))]


def _octal_layers(text: str) -> Iterator[tuple[str, str]]:
    for match in _OCTAL.finditer(text):
        codes = [int(code, 8) for code in match.group().split("\\")[1:]]
        for encoding, inside in _texts(bytes(code & 0xFF for code in codes)):
            yield f"octal{encoding}", inside


def _unseen_layers(text: str) -> Iterator[tuple[str, str]]:
    if _UNSEEN.search(text):
        yield "unseen characters", _UNSEEN.sub("", text)


_READERS: tuple[Callable[[str], Iterator[tuple[str, str]]], ...] = (
    _base64_layers,
    _hex_layers,
    _char_layers,
    _octal_layers,
    _joined_layers,
    _format_layers,
    _turned_layers,
    _variable_layers,
    _escape_layers,
    _unseen_layers,
)
