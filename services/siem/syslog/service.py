"""Lines on their way from syslog's sockets to intake: gathered for up to 100 ms, stored, tried again until durable.

Owns the bounded queue in between. A TCP sender waits when it is full, since its connection isn't read; a datagram that
finds it full is dropped, and counted.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any, Protocol

from prometheus_client import Counter, Gauge

from shared.errors import AuroraError
from shared.log import get_logger
from shared.telemetry import REGISTRY

RECEIVED = Counter("aurora_syslog_received_total", "Lines taken from senders", ["transport"], registry=REGISTRY)
DROPPED = Counter("aurora_syslog_dropped_total", "Lines that were lost", ["reason"], registry=REGISTRY)
CUT = Counter("aurora_syslog_cut_total", "Lines that were longer than the limit and cut", registry=REGISTRY)
REFUSED = Counter("aurora_syslog_refused_total", "Senders turned away", ["reason"], registry=REGISTRY)
WAITING = Gauge("aurora_syslog_waiting_bytes", "Lines received and not yet durable", registry=REGISTRY)

_GATHER_SECONDS = 0.1
_BATCH_LINES = 4_000
_BATCH_BYTES = 4 * 1024 * 1024
_RETRY_SECONDS = 1.0
#: Drops are logged at most this often, with their number.
_TELL_SECONDS = 10.0
_log = get_logger("syslog")


class Stored(Protocol):
    """What intake says of lines: what is wrong with those it didn't take."""

    @property
    def problems(self) -> Any: ...


class Intake(Protocol):
    """Stores lines of one source; durable when it returns. Raises AuroraError when intake is full or a store away."""

    async def store_items(self, items: Sequence[bytes], *, source: str) -> Stored: ...


class Collector:
    """The queue and the loop that empties it. `max_bytes` bounds what waits, with what is being stored."""

    def __init__(self, intake: Intake, *, max_bytes: int) -> None:
        self._intake = intake
        self._max_bytes = max_bytes
        self._queue: deque[tuple[str, bytes]] = deque()
        self._bytes = 0
        self._queued_bytes = 0
        self._changed = asyncio.Condition()
        self._arrived = asyncio.Event()
        self._enough = asyncio.Event()
        self._dropped = 0
        self._told_at = float("-inf")

    async def put(self, source: str, lines: Sequence[bytes]) -> None:
        """Queues lines of a stream; returns when they are in, which may take as long as a store is away."""
        for line in lines:
            async with self._changed:
                await self._changed.wait_for(lambda: self._bytes < self._max_bytes)
            self._append(source, line)
        RECEIVED.labels("tcp").inc(len(lines))

    def offer(self, source: str, line: bytes) -> None:
        """Queues a datagram, or drops it when the queue is full."""
        RECEIVED.labels("udp").inc()
        if self._bytes >= self._max_bytes:
            DROPPED.labels("full").inc()
            self._dropped += 1
            self._tell_of_drops()
            return
        self._append(source, line)

    def _append(self, source: str, line: bytes) -> None:
        self._queue.append((source, line))
        self._queued_bytes += len(line)
        self._count(len(line))
        self._arrived.set()
        if len(self._queue) >= _BATCH_LINES or self._queued_bytes >= _BATCH_BYTES:
            self._enough.set()

    def _count(self, size: int) -> None:
        self._bytes += size
        WAITING.set(self._bytes)

    def _tell_of_drops(self) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._told_at >= _TELL_SECONDS:
            _log.warning("datagrams dropped: intake is full", lines=self._dropped)
            self._told_at, self._dropped = now, 0

    async def run(self) -> None:
        """Stores what waits; runs until cancelled."""
        while True:
            await self._arrived.wait()
            try:
                async with asyncio.timeout(_GATHER_SECONDS):
                    await self._enough.wait()
            except TimeoutError:
                pass  # the gathering time is over
            await self._store(self._next_batch())

    async def drained(self) -> None:
        """Returns when nothing waits any more."""
        async with self._changed:
            await self._changed.wait_for(lambda: not self._bytes)

    def _next_batch(self) -> dict[str, list[bytes]]:
        by_source: dict[str, list[bytes]] = {}
        lines = size = 0
        while self._queue and lines < _BATCH_LINES and size < _BATCH_BYTES:
            source, line = self._queue.popleft()
            by_source.setdefault(source, []).append(line)
            lines, size = lines + 1, size + len(line)
        self._queued_bytes -= size
        if not self._queue:
            self._arrived.clear()
        if len(self._queue) < _BATCH_LINES and self._queued_bytes < _BATCH_BYTES:
            self._enough.clear()
        return by_source

    async def _store(self, by_source: dict[str, list[bytes]]) -> None:
        async with asyncio.TaskGroup() as tasks:
            for source, lines in by_source.items():
                tasks.create_task(self._store_of(source, lines), name=f"store {source}")
        self._count(-sum(len(line) for lines in by_source.values() for line in lines))
        async with self._changed:
            self._changed.notify_all()

    async def _store_of(self, source: str, lines: list[bytes]) -> None:
        """Tries until the lines are durable: syslog has no way to give them back."""
        while True:
            try:
                stored = await self._intake.store_items(lines, source=source)
            except AuroraError as error:
                if not error.code.retryable:
                    DROPPED.labels("refused").inc(len(lines))
                    _log.error("lines refused", source=source, lines=len(lines), reason=error.code.code)
                    return
                _log.warning("lines wait", source=source, lines=len(lines), reason=error.code.code)
                await asyncio.sleep(error.retry_after or _RETRY_SECONDS)
            else:
                if stored.problems:
                    DROPPED.labels("rejected").inc(len(stored.problems))
                    _log.warning("lines rejected", source=source, lines=len(stored.problems))
                return
