"""Group commit: batches end by rows and by bytes, and no slow insert holds others up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from services.siem.batch import Evaluation
from services.siem.logs.writer import BATCH_BYTES, BATCH_ROWS, Writer
from services.siem.match import Found
from shared.errors import CLICKHOUSE_UNAVAILABLE, RATE_LIMITED, AuroraError


class Store:
    """What the writer has for the store and the work list: `inserted` are the batches, held back until `open_up`."""

    def __init__(self) -> None:
        self.inserted: list[list[bytes]] = []
        self.marked: list[bool] = []
        self.failed_batches: list[int] = []
        self.error: AuroraError | None = None
        self._gate = asyncio.Event()
        self._arrived = asyncio.Condition()

    async def open(self, rows: int, *, apart: bool = False) -> int:
        self.marked.append(apart)
        return len(self.marked)

    async def insert(self, batch: int, rows: list[bytes]) -> None:
        async with self._arrived:
            self.inserted.append(rows)
            self._arrived.notify_all()
        await self._gate.wait()
        if self.error is not None:
            raise self.error

    async def stored(self, seq: int, rows: int, evaluations: list[Evaluation]) -> None:
        """Nothing to do."""

    def failed(self, seq: int) -> None:
        self.failed_batches.append(seq)

    def open_up(self) -> None:
        """Inserts end from now on."""
        self._gate.set()

    async def batches(self, count: int) -> list[int]:
        """The rows of each batch, once so many were begun."""
        async with asyncio.timeout(10), self._arrived:
            await self._arrived.wait_for(lambda: len(self.inserted) >= count)
        return [len(rows) for rows in self.inserted]


@asynccontextmanager
async def writing(writers: int) -> AsyncIterator[tuple[Store, Writer]]:
    store = Store()
    writer = Writer(store, store, max_bytes=1000)  # type: ignore[arg-type]  # of the log store it needs insert alone
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(writer.run()) for _ in range(writers)]
        try:
            yield store, writer
        finally:
            for task in running:
                task.cancel()


async def add(writer: Writer, rows: int, *, size: int = 1, apart: bool = False) -> asyncio.Future[AuroraError | None]:
    evaluation: asyncio.Future[Found | None] = asyncio.get_running_loop().create_future()
    return await writer.add([b"row"] * rows, size, evaluation, apart=apart)


async def done(*durables: asyncio.Future[AuroraError | None]) -> list[AuroraError | None]:
    async with asyncio.timeout(10):
        return await asyncio.gather(*durables)


async def test_what_waits_is_stored_together_until_a_batch_has_its_rows() -> None:
    async with writing(1) as (store, writer):
        durables = [await add(writer, 1)]
        await store.batches(1)
        durables += [await add(writer, BATCH_ROWS // 2) for _ in range(5)]
        store.open_up()
        assert await done(*durables) == [None] * 6
        assert await store.batches(4) == [1, BATCH_ROWS, BATCH_ROWS, BATCH_ROWS // 2]


async def test_a_batch_ends_when_it_has_its_bytes() -> None:
    async with writing(1) as (store, writer):
        durables = [await add(writer, 1)]
        await store.batches(1)
        durables += [await add(writer, 10, size=BATCH_BYTES // 2) for _ in range(3)]
        store.open_up()
        await done(*durables)
        assert await store.batches(3) == [1, 20, 10]


async def test_what_comes_during_a_slow_insert_is_stored_beside_it() -> None:
    async with writing(2) as (store, writer):
        first = await add(writer, 1)
        await store.batches(1)
        others = [await add(writer, 2), await add(writer, 3)]
        assert await store.batches(2) == [1, 5], "begun while the first is still under way, and together"
        assert not first.done()
        store.open_up()
        assert await done(first, *others) == [None, None, None]


async def test_a_batch_says_if_any_of_it_is_to_be_completed_by_others() -> None:
    async with writing(1) as (store, writer):
        durables = [await add(writer, 1)]
        await store.batches(1)
        durables += [await add(writer, 1), await add(writer, 1, apart=True)]
        store.open_up()
        await done(*durables)
        assert store.marked == [False, True]


async def test_nobody_is_told_of_a_batch_that_failed_as_durable() -> None:
    async with writing(1) as (store, writer):
        store.error = AuroraError(CLICKHOUSE_UNAVAILABLE)
        store.open_up()
        (refusal,) = await done(await add(writer, 1))
        assert refusal is not None
        assert refusal.code is CLICKHOUSE_UNAVAILABLE
        assert store.failed_batches == [1]


async def test_a_body_that_finds_no_room_is_refused_before_it_is_read() -> None:
    async with writing(1) as (_, writer):
        with writer.admitted(800), pytest.raises(AuroraError) as refused, writer.admitted(300):
            pass
        assert refused.value.code is RATE_LIMITED
        assert refused.value.retry_after
        with writer.admitted(5000):
            pass  # one that is larger than all the room is taken when nothing else is there
