"""A short way for what nearly every message is: text in one frame, while nothing else is on the way.

The library reads each frame in steps of a generator, puts it into a queue and wakes a task to take it out: a third of a
handoff's time, and a turn of the loop. Here such a message goes from the socket to `take` at once. Everything else is
handed to the library, in whole frames and in order: the handshake, fragments, control frames, binary, long messages,
whatever breaks the protocol, and messages that `take` doesn't want now. So every rule stays the library's; this file
only knows where a frame ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from websockets.asyncio.connection import Connection
from websockets.frames import DATA_OPCODES, Frame
from websockets.protocol import Event, State

from shared.rpc.cork import CorkedTransport
from shared.rpc.frames import MASKED, TEXT, extent, masking_keys, payload, text_frame

#: Longer ones are rare, and cheaper to collect where the library does.
_SHORT_BYTES = 64 * 1024
#: Messages taken in one turn of the loop; the others are left to the reader's task, which lets others run between.
_AT_ONCE = 128
_BLANK_LINE = b"\r\n\r\n"


class Shortcut(Connection):
    """What both sides' connections have before the library's own. `inbound` is the mask bit of what comes."""

    inbound: int
    _take: Callable[[str], bool] | None = None

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._longest = 0
        self._keys = masking_keys()
        self._aligned: bool | None = None
        self._rest = b""
        self._owed = 0
        self._fragmented = False
        #: Messages that the library has, until they are dealt with.
        self.behind = 0

    def take_by(self, take: Callable[[str], bool], max_size: int) -> None:
        """`take` gets a message of at most `max_size` bytes at once, or says that it wants it through the queue. It
        must not wait."""
        self._take = take
        self._longest = min(max_size, _SHORT_BYTES)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        corked = CorkedTransport(cast(asyncio.Transport, transport))
        super().connection_made(cast(asyncio.Transport, corked))

    def write_text(self, message: bytes) -> None:
        """Writes UTF-8 bytes as one frame. Only while the connection is open."""
        key = None if self.inbound else next(self._keys)
        self.transport.write(text_frame(message, key))

    def process_event(self, event: Event) -> None:
        """Called by the library for what it read."""
        super().process_event(event)
        if isinstance(event, Frame) and event.opcode in DATA_OPCODES:
            self._fragmented = not event.fin
            self.behind += event.fin

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        if not self._aligned or self.state is not State.OPEN:
            self._find_alignment(data)
            super().data_received(self._rest + data)
            self._rest = b""
            return
        cork = cast(CorkedTransport, self.transport)
        cork.hold()
        try:
            self._cut(self._rest + data if self._rest else data)
        finally:
            cork.flush()

    def _find_alignment(self, data: bytes) -> None:
        """Whether frames begin with what comes next: the handshake ends with a blank line. If a piece goes on behind
        it, or the line itself came in pieces, this connection stays with the library."""
        if self._aligned is None:
            end = data.find(_BLANK_LINE)
            self._aligned = None if end < 0 else end + len(_BLANK_LINE) == len(data)
        elif self.state is State.CONNECTING:
            self._aligned = False

    def _cut(self, data: bytes) -> None:
        end, left, at = len(data), _AT_ONCE, min(self._owed, len(data))
        self._rest = b""
        if at:
            self._owed -= at
            super().data_received(data[:at])
        while at < end:
            found = extent(data, at)
            if found is None or (self._is_short(data, at, found) and found[1] > end):
                self._rest = data[at:]
                return
            if left and self._is_short(data, at, found) and self._taken(data, at, found):
                left -= 1
            else:
                self._owed = max(0, found[1] - end)
                super().data_received(data[at : found[1]])
            at = found[1]

    def _is_short(self, data: bytes, at: int, found: tuple[int, int]) -> bool:
        return (
            data[at] == TEXT
            and data[at + 1] & MASKED == self.inbound
            and found[1] - found[0] <= self._longest
            and not (self.behind or self._fragmented)
            and self._take is not None
            and self.state is State.OPEN
        )

    def _taken(self, data: bytes, at: int, found: tuple[int, int]) -> bool:
        try:
            text = payload(data, at, *found).decode()
        except UnicodeDecodeError:
            return False
        return self._take is not None and self._take(text)
