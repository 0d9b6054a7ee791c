"""The durable list of batches between storing and detection: none is lost, and none is worked on twice at a time.

A batch is a row from before its events are stored until what follows from them is committed. This process hands its
own batches over from memory; those of a writer that died are read again from where they were stored. Knows neither
how events are stored nor what detection does with them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

from prometheus_client import Gauge

from services.siem.batch import Batch, Evaluation
from services.siem.worklist import store
from shared.clock import new_id
from shared.errors import CONFLICT, UNAVAILABLE, AuroraError
from shared.log import get_logger
from shared.postgres import Connection, Database
from shared.telemetry import REGISTRY

WAITING = Gauge("aurora_worklist_waiting_events", "Stored events in memory, not yet evaluated", registry=REGISTRY)
#: A writer that is silent for so long is dead: an alert waits at most this long for a killed process.
LEASE_SECONDS = 12.0
_BEAT_SECONDS = 3.0
_LOOK_SECONDS = 2.0
_FIRST_RETRY_SECONDS = 0.5
_LAST_RETRY_SECONDS = 30.0
_APART_RETRY_SECONDS = 5.0
_log = get_logger("worklist")


@dataclass(slots=True)
class _Entry:
    """A batch of ours; without `evaluations` it must be read again. Of a `refused` one nothing may stay stored."""

    seq: int
    size: int = 0
    evaluations: list[Evaluation] | None = None
    attempts: int = 0
    refused: bool = False


class Worklist:
    """The work list as one writer sees it.

    `read` has the stored events of a batch evaluated again; None when it was never stored. `forget` takes a batch out
    of the store again, if it is there. `alone` says that no other
    process can use the store, so whatever an earlier writer left is taken over at once. Beyond `max_events` waiting,
    what was found is dropped from memory, and the events are read again when their turn comes.
    """

    def __init__(
        self,
        database: Database,
        read: Callable[[int], Awaitable[Evaluation | None]],
        forget: Callable[[int], Awaitable[None]],
        *,
        alone: bool,
        max_events: int = 50_000,
    ) -> None:
        self._database = database
        self._read = read
        self._forget = forget
        self._alone = alone
        self._max_events = max_events
        self._writer = UUID(new_id())
        self._waiting: deque[_Entry] = deque()
        self._events_waiting = 0
        self._arrived = asyncio.Event()
        self._look_at = 0.0

    async def start(self) -> None:
        """Enters the writer. Call it before anything else, and keep `heartbeat` running."""
        await store.beat(self._database, self._writer, LEASE_SECONDS)
        if self._alone:
            await store.retire_others(self._database, self._writer)

    async def heartbeat(self) -> None:
        """Runs until cancelled."""
        while True:
            await asyncio.sleep(_BEAT_SECONDS)
            try:
                await store.beat(self._database, self._writer, LEASE_SECONDS)
            except AuroraError as error:
                _log.warning("heartbeat failed", reason=error.code.code)

    async def close(self) -> None:
        """Leaves what is waiting to the next writer at once."""
        try:
            await store.retire(self._database, self._writer)
        except AuroraError as error:
            _log.warning("batches wait for the lease to end", reason=error.code.code)

    async def waiting(self) -> tuple[int, int]:
        """How many batches, and events in them, are being stored or wait for detection, of all processes."""
        return await store.waiting(self._database)

    async def open(self, rows: int, *, apart: bool = False) -> int:
        """Enters a batch that is about to be stored; its number. `apart` says that it has audit records which others
        complete: `take_apart` gives it out once more after it is complete."""
        return await store.open_batch(self._database, self._writer, rows, apart=apart)

    async def stored(self, seq: int, rows: int, evaluations: list[Evaluation]) -> None:
        """The batch is stored: hand it to detection. Raises AURORA-5030 when the batch isn't ours any more.

        That check comes after the store, so whoever took the batch over either saw its events or makes this fail.
        """
        if not await store.owns(self._database, self._writer, seq):
            raise AuroraError(UNAVAILABLE, {"dependency": "postgres"}, retry_after=1)
        self._push(_Entry(seq, rows, evaluations))

    def failed(self, seq: int) -> None:
        """Storing failed, which may have stored the batch or not. Its senders are told so and send it again: what is
        stored of it all the same is taken back."""
        self._retry(_Entry(seq, refused=True))

    async def next(self) -> Batch:
        """Waits for a batch; those of dead writers first, then ours in the order stored."""
        while True:
            entry = await self._take()
            if entry.refused:
                await self._take_back(entry)
                continue
            if entry.evaluations is not None:
                return Batch(entry.seq, entry.size, entry.evaluations, entry.attempts)
            evaluation = await self._read_again(entry)
            if evaluation is not None:
                return Batch(entry.seq, entry.size, [evaluation], entry.attempts)

    async def again(self, batch: Batch) -> None:
        """Has the batch's events evaluated again, with the rules of now. Raises AURORA-5030 or 5032."""
        evaluation = await self._read(batch.seq)
        batch.evaluations = [] if evaluation is None else [evaluation]

    async def complete(self, connection: Connection, batch: Batch) -> None:
        """Takes the batch off the list in the caller's transaction. Raises AURORA-4090 when another has it now."""
        if not await store.remove(connection, self._writer, batch.seq):
            raise AuroraError(CONFLICT, {"batch": batch.seq}, message="Another process has taken the batch over")

    async def take_apart(self, connection: Connection) -> list[int]:
        """Batches whose audit records have had time to be completed; they are off the list when the caller commits."""
        return await store.take_apart(connection)

    async def put_off(self, seqs: Sequence[int]) -> None:
        """`take_apart` gives the batches out later, each alone."""
        await store.put_off(self._database, seqs, _APART_RETRY_SECONDS)

    async def release(self, batch: Batch) -> None:
        """Gives a batch back after a failure; it comes again after the others, later each time."""
        try:
            ours = await store.owns(self._database, self._writer, batch.seq)
        except AuroraError:
            ours = True  # the database is away, which is why it comes back
        if ours:
            self._retry(_Entry(batch.seq, batch.size, batch.evaluations, batch.attempts))

    def _push(self, entry: _Entry) -> None:
        if entry.evaluations is not None:
            if self._events_waiting and self._events_waiting + entry.size > self._max_events:
                entry.evaluations = None
            else:
                self._events_waiting += entry.size
                WAITING.set(self._events_waiting)
        self._waiting.append(entry)
        self._arrived.set()

    def _retry(self, entry: _Entry) -> None:
        delay = min(_FIRST_RETRY_SECONDS * 2**entry.attempts, _LAST_RETRY_SECONDS)
        entry.attempts += 1
        asyncio.get_running_loop().call_later(delay, self._push, entry)

    async def _take(self) -> _Entry:
        loop = asyncio.get_running_loop()
        while True:
            if loop.time() >= self._look_at:
                orphan = await self._orphan()
                if orphan is not None:
                    return _Entry(orphan)
                self._look_at = loop.time() + _LOOK_SECONDS
            if self._waiting:
                entry = self._waiting.popleft()
                if entry.evaluations is not None:
                    self._events_waiting -= entry.size
                    WAITING.set(self._events_waiting)
                return entry
            self._arrived.clear()
            try:
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self._arrived.wait()
            except TimeoutError:
                continue

    async def _orphan(self) -> int | None:
        try:
            seq = await store.take_orphan(self._database, self._writer)
        except AuroraError as error:
            _log.warning("can't look for batches", reason=error.code.code)
            return None
        if seq is not None:
            _log.info("batch taken over", batch=seq)
        return seq

    async def _take_back(self, entry: _Entry) -> None:
        try:
            # Whoever has taken it over meanwhile may have raised alerts that cite it.
            if await store.owns(self._database, self._writer, entry.seq):
                await self._forget(entry.seq)
                await store.remove(self._database, self._writer, entry.seq)
        except AuroraError as error:
            _log.warning("refused batch can't be taken back yet", batch=entry.seq, reason=error.code.code)
            self._retry(entry)

    async def _read_again(self, entry: _Entry) -> Evaluation | None:
        try:
            evaluation = await self._read(entry.seq)
            if evaluation is None:
                # Stored by nobody, so acknowledged to nobody.
                await store.remove(self._database, self._writer, entry.seq)
                _log.info("batch was never stored", batch=entry.seq)
        except AuroraError as error:
            _log.warning("batch can't be read yet", batch=entry.seq, reason=error.code.code)
            self._retry(entry)
            return None
        return evaluation
