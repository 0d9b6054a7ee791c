"""Group commit: whatever waits is stored together; on an idle service nothing waits.

Owns the bounded queue between intake and the store. A request is told that it is durable after its rows are in the
store, and its batch on the work list; when there is no room it is refused before any work is done.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Protocol

from prometheus_client import Counter, Gauge, Histogram

from services.siem.batch import StoredEvent
from services.siem.logs.store import LogStore
from shared.errors import RATE_LIMITED, AuroraError
from shared.log import get_logger
from shared.telemetry import REGISTRY

STORED = Counter("aurora_logs_stored_total", "Events stored", registry=REGISTRY)
INSERT_SECONDS = Histogram("aurora_logs_insert_duration_seconds", "Time to store a batch", registry=REGISTRY)
IN_FLIGHT = Gauge("aurora_logs_in_flight_bytes", "Received and not yet durable", registry=REGISTRY)
#: A batch takes whole requests until it has so many rows or bytes.
BATCH_ROWS = 20_000
BATCH_BYTES = 16 * 1024 * 1024
#: Small inserts cost the engine up to four times as much a row, so a second insert runs beside the first only when
#: this many rows wait, or any wait this long.
_WORTH_A_SECOND = 4_000
_LONG_SECONDS = 0.03
_RETRY_SECONDS = 1
_log = get_logger("intake")


class Worklist(Protocol):
    """Where detection finds what was stored (the worklist feature)."""

    async def open(self, rows: int) -> int:
        """Enters a batch that is about to be stored; its number."""

    async def stored(self, seq: int, events: list[StoredEvent]) -> None:
        """The batch is stored."""

    def failed(self, seq: int) -> None:
        """The batch may be stored or not."""


@dataclass(slots=True)
class Prepared:
    """The accepted events of one request: parsed, and encoded as rows."""

    events: list[StoredEvent] = field(default_factory=list)
    rows: list[bytes] = field(default_factory=list)
    size: int = 0


@dataclass(slots=True)
class _Waiting:
    prepared: Prepared
    durable: asyncio.Future[None]


class Writer:
    """The queue and the loops that empty it. `max_bytes` bounds the bodies in memory, received and not yet durable."""

    def __init__(self, store: LogStore, worklist: Worklist, *, max_bytes: int) -> None:
        self._store = store
        self._worklist = worklist
        self._max_bytes = max_bytes
        self._in_flight = 0
        self._queue: deque[_Waiting] = deque()
        self._rows_waiting = 0
        self._inserting = 0
        self._changed = asyncio.Condition()

    @contextmanager
    def admitted(self, size: int) -> Iterator[None]:
        """Holds room for a body of `size` bytes. Raises AURORA-4290 with a retry time when there is none."""
        if self._in_flight and self._in_flight + size > self._max_bytes:
            raise AuroraError(RATE_LIMITED, message="Intake is at its limit", retry_after=_RETRY_SECONDS)
        self._in_flight += size
        IN_FLIGHT.set(self._in_flight)
        try:
            yield
        finally:
            self._in_flight -= size
            IN_FLIGHT.set(self._in_flight)

    async def write(self, prepared: Prepared) -> None:
        """Returns when the events are durable and on the work list. Raises AURORA-5032 or 5030: perhaps stored."""
        durable = asyncio.get_running_loop().create_future()
        async with self._changed:
            self._queue.append(_Waiting(prepared, durable))
            self._rows_waiting += len(prepared.rows)
            self._changed.notify()
        await durable

    async def run(self) -> None:
        """Runs until cancelled; several may run at a time, each storing a batch of its own."""
        while True:
            batch = await self._turn()
            await self._store_together(batch)
            async with self._changed:
                self._inserting -= 1
                self._changed.notify()

    async def _turn(self) -> list[_Waiting]:
        """What this writer stores next, as soon as that is worth an insert."""
        async with self._changed:
            while True:
                await self._changed.wait_for(lambda: bool(self._queue))
                with suppress(TimeoutError):
                    async with asyncio.timeout(_LONG_SECONDS):
                        await self._changed.wait_for(self._worth_an_insert)
                if self._queue:  # the other writer may have been faster
                    self._inserting += 1
                    return self._next_batch()

    def _worth_an_insert(self) -> bool:
        return not self._inserting or self._rows_waiting >= _WORTH_A_SECOND

    def _next_batch(self) -> list[_Waiting]:
        taken: list[_Waiting] = []
        rows = size = 0
        while self._queue and (not taken or (rows < BATCH_ROWS and size < BATCH_BYTES)):
            waiting = self._queue.popleft()
            rows += len(waiting.prepared.rows)
            size += waiting.prepared.size
            taken.append(waiting)
        self._rows_waiting -= rows
        return taken

    async def _store_together(self, batch: list[_Waiting]) -> None:
        events = [event for waiting in batch for event in waiting.prepared.events]
        rows = [row for waiting in batch for row in waiting.prepared.rows]
        refusal: AuroraError | None = None
        seq: int | None = None
        try:
            with INSERT_SECONDS.time():
                seq = await self._worklist.open(len(rows))
                await self._store.insert(seq, rows)
                await self._worklist.stored(seq, events)
        except AuroraError as error:
            _log.warning("batch not stored", batch=seq, rows=len(rows), reason=error.code.code)
            refusal = error
            if seq is not None:
                self._worklist.failed(seq)
        else:
            STORED.inc(len(rows))
        for waiting in batch:
            _answer(waiting.durable, refusal)


def _answer(durable: asyncio.Future[None], refusal: AuroraError | None) -> None:
    if durable.done():  # its request has gone away
        return
    if refusal is None:
        durable.set_result(None)
    else:
        durable.set_exception(AuroraError(refusal.code, refusal.detail, retry_after=refusal.retry_after or 1))
