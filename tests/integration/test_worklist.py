"""The work list between storing and detection, on a real Postgres and, for reading again, the real engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
import pytest_asyncio

from services.siem.batch import Batch, StoredEvent
from services.siem.event import Event
from services.siem.logs.service import Logs, read_batch
from services.siem.logs.store import LogStore
from services.siem.logs.writer import Writer
from services.siem.worklist.service import Worklist
from shared.clickhouse import ClickHouse, Embedded
from shared.clock import new_id, utc_now
from shared.contracts.logs import IngestQuery
from shared.errors import CONFLICT, UNAVAILABLE, AuroraError
from shared.postgres import Database
from tests import stack
from tests.roles import migrated
from tests.stack import Servers

SIEM = Path(__file__).parents[2] / "services" / "siem"
EXECVE = b'type=EXECVE msg=audit(1772366400.120:77): argc=2 a0="cat" a1="/etc/shadow"'
SYSCALL = (
    b"type=SYSCALL msg=audit(1772366400.120:77): arch=c000003e syscall=59 success=yes exit=0 ppid=10 pid=11 auid=1000 "
    b'uid=0 comm="cat" exe="/usr/bin/cat" key="exec"'
)
# A lease that has run out is noticed at the next look; both are seconds.
_SOON = 10


@pytest_asyncio.fixture(loop_scope="session")
async def database(servers: Servers) -> AsyncIterator[Database]:
    """A siem schema of its own."""
    async with migrated(servers, "siem", SIEM / "migrations") as database:
        yield database


class Stored:
    """What was stored, by batch."""

    def __init__(self) -> None:
        self.batches: dict[int, list[StoredEvent]] = {}

    async def read(self, seq: int) -> list[StoredEvent]:
        return self.batches.get(seq, [])


def events(count: int) -> list[StoredEvent]:
    now = utc_now()
    return [StoredEvent(new_id(), now, "test", Event(now, "test", f"event {n}", {})) for n in range(count)]


async def started(database: Database, stored: Stored, *, alone: bool = True, max_events: int = 1000) -> Worklist:
    worklist = Worklist(database, stored.read, alone=alone, max_events=max_events)
    await worklist.start()
    return worklist


async def store(worklist: Worklist, stored: Stored, count: int = 1) -> int:
    """A batch that is stored and handed over; its number."""
    seq = await worklist.open(count)
    stored.batches[seq] = events(count)
    await worklist.stored(seq, stored.batches[seq])
    return seq


async def soon(worklist: Worklist) -> Batch:
    async with asyncio.timeout(_SOON):
        return await worklist.next()


async def finish(database: Database, worklist: Worklist, batch: Batch, *, commit: bool = True) -> None:
    async with database.transaction() as connection:
        await worklist.complete(connection, batch)
        assert commit, "rolled back"


async def nothing_left(database: Database) -> bool:
    return not await database.fetchval("SELECT count(*) FROM batches")


async def test_batches_come_in_the_order_stored_and_end_with_the_transaction(database: Database) -> None:
    stored = Stored()
    worklist = await started(database, stored)
    numbers = [await store(worklist, stored, 2) for _ in range(3)]
    batches = [await soon(worklist) for _ in range(3)]
    assert [batch.seq for batch in batches] == numbers
    assert [batch.events for batch in batches] == list(stored.batches.values())
    with pytest.raises(AssertionError, match="rolled back"):
        await finish(database, worklist, batches[0], commit=False)
    assert await database.fetchval("SELECT count(*) FROM batches") == 3
    for batch in batches:
        await finish(database, worklist, batch)
    assert await nothing_left(database)


async def test_a_batch_that_is_given_back_comes_again_after_the_others(database: Database) -> None:
    stored = Stored()
    worklist = await started(database, stored)
    first, second = await store(worklist, stored), await store(worklist, stored)
    await worklist.release(await soon(worklist))
    batch, again = await soon(worklist), await soon(worklist)
    assert (batch.seq, again.seq) == (second, first)
    assert (again.events, again.attempts) == (stored.batches[first], 1)


async def test_after_a_restart_what_was_left_is_read_again_at_once(database: Database) -> None:
    stored = Stored()
    killed = await started(database, stored)
    seq = await store(killed, stored, 3)
    handed_out = await soon(killed)
    batch = await soon(await started(database, stored))
    assert (batch.seq, batch.events) == (seq, handed_out.events)


async def test_a_batch_that_was_never_stored_is_forgotten(database: Database) -> None:
    stored = Stored()
    await (await started(database, stored)).open(5)
    restarted = await started(database, stored)
    seq = await store(restarted, stored)
    assert (await soon(restarted)).seq == seq
    assert await database.fetchval("SELECT array_agg(seq) FROM batches") == [seq]


async def test_a_failed_insert_is_looked_at_again_whatever_it_did(database: Database) -> None:
    stored = Stored()
    worklist = await started(database, stored)
    lost, kept = await worklist.open(1), await worklist.open(1)
    stored.batches[kept] = events(1)
    worklist.failed(lost)
    worklist.failed(kept)
    batch = await soon(worklist)
    assert (batch.seq, batch.events) == (kept, stored.batches[kept])
    await finish(database, worklist, batch)
    assert await nothing_left(database)


async def test_events_beyond_the_limit_wait_outside_of_memory(database: Database) -> None:
    stored = Stored()
    worklist = await started(database, stored, max_events=3)
    numbers = [await store(worklist, stored, 2) for _ in range(3)]
    stored.batches[numbers[0]] = []  # from memory, so it isn't read
    stored.batches[numbers[1]] = events(7)  # dropped from memory, so it is
    batches = [await soon(worklist) for _ in range(3)]
    assert [(batch.seq, len(batch.events)) for batch in batches] == [
        (numbers[0], 2),
        (numbers[1], 7),
        (numbers[2], 2),
    ]


async def test_another_process_leaves_a_living_writers_batches_alone(database: Database) -> None:
    stored = Stored()
    living = await started(database, stored, alone=False)
    other = await started(database, stored, alone=False)
    seq = await store(living, stored)
    own = await store(other, stored)
    assert (await soon(other)).seq == own
    assert (await soon(living)).seq == seq


async def test_a_writer_that_leaves_hands_its_batches_over_at_once(database: Database) -> None:
    stored = Stored()
    leaving = await started(database, stored, alone=False)
    seq = await store(leaving, stored)
    await leaving.close()
    assert (await soon(await started(database, stored, alone=False))).seq == seq


async def test_a_writer_that_lost_its_lease_neither_acknowledges_nor_completes(database: Database) -> None:
    stored = Stored()
    stalled = await started(database, stored, alone=False)
    evaluated = await store(stalled, stored)
    batch = await soon(stalled)
    written = await stalled.open(1)
    stored.batches[written] = events(1)
    # As if its process had been stopped for longer than the lease.
    await database.execute("UPDATE writers SET alive_until = now() - interval '1 second'")
    other = await started(database, stored, alone=False)
    assert {(await soon(other)).seq, (await soon(other)).seq} == {evaluated, written}
    with pytest.raises(AuroraError) as refused:
        await stalled.stored(written, stored.batches[written])
    assert refused.value.code is UNAVAILABLE
    with pytest.raises(AuroraError) as conflict:
        await finish(database, stalled, batch)
    assert conflict.value.code is CONFLICT
    await stalled.release(batch)
    own = await store(stalled, stored)
    assert (await soon(stalled)).seq == own


async def test_a_batch_is_read_again_as_it_was_parsed_first(database: Database) -> None:
    with stack.data_folder() as folder:
        clickhouse = await ClickHouse.open(Embedded(folder / "engine"))
        await clickhouse.apply(SIEM / "clickhouse")
        logs = LogStore(clickhouse)
        first = Worklist(database, partial(read_batch, logs), alone=True)
        await first.start()
        writer = Writer(logs, first, max_bytes=1_000_000)
        service = Logs(logs, writer)
        # The writer starts after both requests wait, so that one batch holds both.
        requests = [
            asyncio.create_task(service.ingest(b"\n".join([SYSCALL, EXECVE]), "text/plain", IngestQuery(source="a"))),
            asyncio.create_task(service.ingest(b'{"n": 1, "message": "json"}', "application/json", IngestQuery())),
            asyncio.create_task(service.ingest(EXECVE, "text/plain", IngestQuery(source="b", format="text"))),
        ]
        await asyncio.sleep(0)
        running = asyncio.create_task(writer.run())
        await asyncio.gather(*requests)
        running.cancel()
        in_memory = await soon(first)
        again = Worklist(database, partial(read_batch, logs), alone=True)
        await again.start()
        read = await soon(again)
        assert read.seq == in_memory.seq
        assert len(read.events) == 4

        def by_id(batch: Batch) -> list[StoredEvent]:
            return sorted(batch.events, key=lambda stored: stored.log_id)

        assert by_id(read) == by_id(in_memory)
        assert any(view.category == "process_creation" for stored in read.events for view in stored.event.views)
        await clickhouse.close()
