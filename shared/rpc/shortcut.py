"""A short way for what nearly every message is: text in one frame, while nothing else is on the way.

The library reads each frame in steps of a generator, puts it into a queue and wakes a task to take it out: a third of a
handoff's time, and a turn of the loop. Here such a message goes from the socket to `take` at once. Everything else is
handed to the library, in whole frames and in order: the handshake, fragments, control frames, binary, long messages,
whatever breaks the protocol, and what comes while our own answers aren't read. So every rule stays the library's; this
file only knows where a frame ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from websockets.asyncio.connection import Connection
from websockets.frames import DATA_OPCODES, Frame
from websockets.protocol import Event, State

from shared.rpc.cork import CorkedTransport
from shared.rpc.frames import KEY_BYTES, MASKED, TEXT, apply_mask, extent, masking_keys, text_frame

#: Below this the buffer has room, far from the mark (32 KiB) at which the library makes senders wait.
_ROOM_BYTES = 16 * 1024
#: Longer ones are rare, and cheaper to collect where the library does.
_SHORT_BYTES = 64 * 1024
#: Messages taken in one turn of the loop, so that a burst lets others run.
_AT_ONCE = 128
_BLANK_LINE = b"\r\n\r\n"


class Shortcut(Connection):
    """What both sides' connections have before the library's own. `inbound` is the mask bit of what comes."""

    inbound: int
    _take: Callable[[str], object] | None = None

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

    def take_by(self, take: Callable[[str], object], max_size: int) -> None:
        """`take` gets messages of at most `max_size` bytes at once. It must not wait."""
        self._take = take
        self._longest = min(max_size, _SHORT_BYTES)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        self._cork = CorkedTransport(cast(asyncio.Transport, transport))
        super().connection_made(cast(asyncio.Transport, self._cork))

    def post(self, message: bytes, *, alone: bool = False) -> bool:
        """Writes UTF-8 bytes as one frame, if the connection is open and its buffers have room; whether it did."""
        if self.protocol.state is not State.OPEN or self._cork.get_write_buffer_size() >= _ROOM_BYTES:
            return False
        frame = text_frame(message, None if self.inbound else next(self._keys))
        if alone:
            self._cork.write_now(frame)
        else:
            self._cork.write(frame)
        return True

    def process_event(self, event: Event) -> None:
        """Called by the library for what it read."""
        super().process_event(event)
        if isinstance(event, Frame) and event.opcode in DATA_OPCODES:
            self._fragmented = not event.fin
            self.behind += event.fin

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        if self._rest:
            data, self._rest = self._rest + data, b""
        if not self._aligned or self.protocol.state is not State.OPEN:
            self._find_alignment(data)
            super().data_received(data)
            return
        self._cork.held = True
        try:
            self._cut(data)
        finally:
            self._cork.flush()

    def _find_alignment(self, data: bytes) -> None:
        """Whether frames begin with what comes next: the handshake ends with a blank line. If a piece goes on behind
        it, or the line itself came in pieces, this connection stays with the library."""
        if self._aligned is None:
            end = data.find(_BLANK_LINE)
            self._aligned = None if end < 0 else end + len(_BLANK_LINE) == len(data)
        elif self.state is State.CONNECTING:
            self._aligned = False

    def _cut(self, data: bytes) -> None:
        end, left, at = len(data), _AT_ONCE, 0
        if self._owed:
            at = min(self._owed, end)
            self._owed -= at
            super().data_received(data[:at])
        idle = not (self.behind or self._fragmented)
        while at < end:
            begin, stop = extent(data, at)
            short = idle and data[at] == TEXT and stop - begin <= self._longest
            if begin > end or (short and stop > end):
                self._rest = data[at:]
                return
            if short and not left:
                self._rest = data[at:]
                self.transport.pause_reading()
                self.loop.call_soon(self._go_on)
                return
            if short and self._is_taken(data, at, begin, stop):
                left -= 1
            else:
                self._owed = max(0, stop - end)
                super().data_received(data[at:stop])
                idle = not (self.behind or self._fragmented) and self.protocol.state is State.OPEN
            at = stop

    def _go_on(self) -> None:
        if not self.transport.is_closing():
            # The library pauses only while it has messages, and then nothing is left here.
            self.transport.resume_reading()
            self.data_received(b"")

    def _is_taken(self, data: bytes, at: int, begin: int, end: int) -> bool:
        take = self._take
        if (
            take is None
            or data[at + 1] & MASKED != self.inbound
            # A peer that only sends is held back by its own unread answers: by who reads the library's queue.
            or self._cork.get_write_buffer_size() >= _ROOM_BYTES
        ):
            return False
        message = data[begin:end]
        try:
            text = (apply_mask(message, data[begin - KEY_BYTES : begin]) if self.inbound else message).decode()
        except UnicodeDecodeError:
            return False
        take(text)
        return True
