"""Latency at a fixed rate: a request is sent when its time has come, whether or not those before it were answered.

Each is timed from the moment it was due, so that a server that stalls is not spared what it kept waiting.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque

_CONNECTIONS = 64
_SECONDS = 4.0
_WARM_SECONDS = 0.5


class _Line(asyncio.Protocol):
    """A connection with at most one request under way. `answered` gets the seconds since it was due."""

    def __init__(self, free: deque[_Line], answered: list[float]) -> None:
        self._free = free
        self._answered = answered
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self._due = 0.0
        self._idle = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._free.append(self)
        self._idle.set()

    async def idle(self) -> None:
        async with asyncio.timeout(10):
            await self._idle.wait()

    def ask(self, request: bytes, due: float) -> None:
        assert self._transport is not None
        self._due = due
        self._idle.clear()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head = self._buffer.find(b"\r\n\r\n")
        if head < 0:
            return
        at = self._buffer.find(b"Content-Length: ") + 16
        if len(self._buffer) < head + 4 + int(self._buffer[at : self._buffer.find(b"\r\n", at)]):
            return
        if not self._buffer.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(bytes(self._buffer[:200]))
        self._buffer.clear()
        self._answered.append(time.perf_counter() - self._due)
        self._free.append(self)
        self._idle.set()

    def close(self) -> None:
        assert self._transport is not None
        self._transport.close()


async def p99_at_rate(host: str, port: int, request: bytes, rate: int) -> float:
    """The p99 in seconds of `rate` requests a second; of those that couldn't be sent in time too."""
    loop = asyncio.get_running_loop()
    free: deque[_Line] = deque()
    answered: list[float] = []
    made = [await loop.create_connection(lambda: _Line(free, answered), host, port) for _ in range(_CONNECTIONS)]
    began, waiting, sent, warm = time.perf_counter(), deque[float](), 0, 0
    while (now := time.perf_counter()) < began + _SECONDS:
        while began + sent / rate <= now:
            waiting.append(began + sent / rate)
            sent += 1
        while waiting and free:
            free.popleft().ask(request, waiting.popleft())
        if now < began + _WARM_SECONDS:
            warm = len(answered)
        await asyncio.sleep(0.0005)
    for _, line in made:
        await line.idle()
        line.close()
    # What was never sent was late all the same.
    ended = time.perf_counter()
    answered += [ended - due for due in waiting]
    kept = sorted(answered[warm:])
    return kept[int(len(kept) * 0.99)]
