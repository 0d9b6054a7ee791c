"""One write to the socket for all messages of a turn of the event loop.

The WebSocket library writes each frame by itself, which with many small messages in flight is a seventh of all time.
Knows no frame: bytes in the order they came, sent at the end of the turn or as soon as they fill a buffer.
"""

from __future__ import annotations

import asyncio
from typing import Any

_FLUSH_BYTES = 16 * 1024


class CorkedTransport:
    """Stands before an asyncio transport and is used like it."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._waiting: list[bytes] = []
        self._bytes = 0
        #: Someone will `flush` in this turn: nothing else needs to.
        self.held = False
        self._unsent = transport.get_write_buffer_size

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Keeps the bytes for this turn's write."""
        if not self._waiting and not self.held:
            self._loop.call_soon(self.flush)
        self._waiting.append(data)
        self._bytes += len(data)
        # Kept short, so that the transport's own flow control sees what is really waiting.
        if self._bytes >= _FLUSH_BYTES:
            self.flush()

    def write_now(self, data: bytes) -> None:
        """Writes at once, behind what waits: for who knows that nothing else comes in this turn."""
        if self._waiting:
            self.write(data)
            self.flush()
        elif not self._transport.is_closing():
            self._transport.write(data)

    def get_write_buffer_size(self) -> int:
        """Bytes not yet taken by the socket."""
        return self._bytes + self._unsent()

    def write_eof(self) -> None:
        """Ends the stream behind what was written."""
        self.flush()
        self._transport.write_eof()

    def close(self) -> None:
        """Closes behind what was written."""
        self.flush()
        self._transport.close()

    def flush(self) -> None:
        """Writes what waits, at the end of a turn."""
        self.held = False
        waiting = self._waiting
        if waiting:
            data = waiting[0] if len(waiting) == 1 else b"".join(waiting)
            waiting.clear()
            self._bytes = 0
            if not self._transport.is_closing():
                self._transport.write(data)
