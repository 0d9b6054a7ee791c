"""Frames of RFC 6455, as far as a short way past the library needs them: where one ends, and text in one frame.

Pure: bytes in, bytes out. Judges nothing: whatever isn't plain text in one frame is the library's to read or refuse.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from struct import Struct

try:
    from websockets.speedups import apply_mask
except ImportError:  # a platform without the library's compiled part
    from websockets.utils import apply_mask

__all__ = ["KEY_BYTES", "MASKED", "TEXT", "apply_mask", "extent", "masking_keys", "text_frame"]

#: The first byte of a text message in one frame: FIN, no extension, opcode 1 (RFC 6455, 5.2).
TEXT = 0x81
MASKED = 0x80
KEY_BYTES = 4
_KEYS_AT_ONCE = 256
_head16 = Struct("!BBH").pack
_head64 = Struct("!BBQ").pack


def extent(data: bytes, at: int) -> tuple[int, int]:
    """Where the payload of the frame at `at` begins and ends. The end may lie beyond the data; so does the beginning
    where not even the frame's head has come, and then neither is more than a guess."""
    begin = at + 2
    if len(data) < begin:
        return begin, begin
    second = data[at + 1]
    length = second & 0x7F
    if length >= 126:
        begin += 2 if length == 126 else 8
        length = int.from_bytes(data[at + 2 : begin])
    if second >= MASKED:
        begin += KEY_BYTES
    return begin, begin + length


def text_frame(message: bytes, key: bytes | None) -> bytes:
    """UTF-8 bytes as one text frame, masked with `key` (4 bytes) where there is one."""
    length, masked = len(message), 0 if key is None else MASKED
    if length < 126:
        head = bytes((TEXT, masked | length))
    elif length < 65536:
        head = _head16(TEXT, masked | 126, length)
    else:
        head = _head64(TEXT, masked | 127, length)
    return head + message if key is None else b"".join((head, key, apply_mask(message, key)))


def masking_keys() -> Iterator[bytes]:
    """Keys that nobody can foresee, as RFC 6455, 10.3 wants them. Asked for together: each by itself is a system call.
    One iterator a connection, so that no two processes share what was read before a fork."""
    while True:
        pool = os.urandom(KEY_BYTES * _KEYS_AT_ONCE)
        for at in range(0, len(pool), KEY_BYTES):
            yield pool[at : at + KEY_BYTES]
