"""Group commit: whatever waits is stored together; on an idle service nothing waits.

Owns the bounded queue between intake and the store. A request is told that it is durable after its rows are in the
store, and its batch on the work list; when there is no room it is refused before any work is done.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Protocol

from prometheus_client import Counter, Gauge, Histogram

from services.siem.batch import Evaluation
from services.siem.logs.store import LogStore
from shared.errors import RATE_LIMITED, AuroraError
from shared.log import get_logger
from shared.telemetry import REGISTRY

STORED = Counter("aurora_logs_stored_total", "Events stored", registry=REGISTRY)
INSERT_SECONDS = Histogram("aurora_logs_insert_duration_seconds", "Time to store a batch", registry=REGISTRY)
IN_FLIGHT = Gauge("aurora_logs_in_flight_bytes", "Received and not yet durable", registry=REGISTRY)
#: A batch takes whole requests until it has so many rows or bytes.
BATCH_ROWS = 10_000
BATCH_BYTES = 16 * 1024 * 1024
#: Small inserts cost the engine up to four times as much a row, so a second insert runs beside the first only when
#: this many rows wait, or any wait this long.
_WORTH_A_SECOND = 4_000
_LONG_SECONDS = 0.25
_RETRY_SECONDS = 1
_log = get_logger("intake")


class Worklist(Protocol):
    """Where detection finds what was stored (the worklist feature)."""

    async def open(self, rows: int, *, apart: bool = False) -> int:
        """Enters a batch that is about to be stored, and whether it has audit records that others complete; its
        number."""

    async def stored(self, seq: int, rows: int, evaluations: list[Evaluation]) -> None:
        """The batch is stored; what its parts match is on its way."""

    def failed(self, seq: int) -> None:
        """The batch may be stored or not."""


@dataclass(slots=True)
class _Waiting:
    """Rows that are stored together, `size` bytes of them."""

    rows: list[bytes]
    size: int
    evaluation: Evaluation
    apart: bool
    durable: asyncio.Future[AuroraError | None]


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
        self._taken = asyncio.Condition()

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

    async def room(self) -> None:
        """Waits until so few rows wait that more may be prepared."""
        async with self._taken:
            await self._taken.wait_for(lambda: self._rows_waiting < BATCH_ROWS)

    async def add(
        self, rows: list[bytes], size: int, evaluation: Evaluation, *, apart: bool = False
    ) -> asyncio.Future[AuroraError | None]:
        """Queues rows, `size` bytes of them, and whether some are audit records that others complete. The future is
        done when they are durable and on the work list, or has what went wrong: then they may be stored or not."""
        durable: asyncio.Future[AuroraError | None] = asyncio.get_running_loop().create_future()
        async with self._changed:
            self._queue.append(_Waiting(rows, size, evaluation, apart, durable))
            self._rows_waiting += len(rows)
            self._changed.notify()
        return durable

    async def run(self) -> None:
        """Runs until cancelled; several may run at a time, each storing a batch of its own."""
        while True:
            batch = await self._turn()
            async with self._taken:
                self._taken.notify_all()
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
            rows += len(waiting.rows)
            size += waiting.size
            taken.append(waiting)
        self._rows_waiting -= rows
        return taken

    async def _store_together(self, batch: list[_Waiting]) -> None:
        rows = [row for waiting in batch for row in waiting.rows]
        refusal: AuroraError | None = None
        seq: int | None = None
        try:
            with INSERT_SECONDS.time():
                seq = await self._worklist.open(len(rows), apart=any(waiting.apart for waiting in batch))
                await self._store.insert(seq, rows)
                await self._worklist.stored(seq, len(rows), [waiting.evaluation for waiting in batch])
        except AuroraError as error:
            _log.warning("batch not stored", batch=seq, rows=len(rows), reason=error.code.code)
            refusal = AuroraError(error.code, error.detail, retry_after=error.retry_after or _RETRY_SECONDS)
            if seq is not None:
                self._worklist.failed(seq)
        else:
            STORED.inc(len(rows))
        for waiting in batch:
            if not waiting.durable.done():  # else its request has gone away
                waiting.durable.set_result(refusal)
