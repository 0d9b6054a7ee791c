"""The work list between storing and detection, on a real Postgres and, for reading again, the real engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from services.siem.batch import Batch, Evaluation, StoredEvent
from services.siem.logs.preparation import Body, Request, parse_again, prepare
from services.siem.logs.store import LogStore
from services.siem.match import Found
from services.siem.worklist.service import Worklist
from shared.clickhouse import ClickHouse, Embedded
from shared.clock import new_id, utc_now
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
        self.batches: dict[int, Evaluation] = {}

    async def read(self, seq: int) -> Evaluation | None:
        return self.batches.get(seq)

    async def forget(self, seq: int) -> None:
        self.batches.pop(seq, None)


def evaluation() -> Evaluation:
    """One that is done; what was found is of no interest here."""
    done: Evaluation = asyncio.get_running_loop().create_future()
    done.set_result(Found([], [], 1))
    return done


async def started(database: Database, stored: Stored, *, alone: bool = True, max_events: int = 1000) -> Worklist:
    worklist = Worklist(database, stored.read, stored.forget, alone=alone, max_events=max_events)
    await worklist.start()
    return worklist


async def store(worklist: Worklist, stored: Stored, count: int = 1) -> int:
    """A batch that is stored and handed over; its number."""
    seq = await worklist.open(count)
    stored.batches[seq] = evaluation()
    await worklist.stored(seq, count, [stored.batches[seq]])
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
    assert [(batch.size, batch.evaluations) for batch in batches] == [(2, [done]) for done in stored.batches.values()]
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
    assert (again.evaluations, again.attempts) == ([stored.batches[first]], 1)


async def test_after_a_restart_what_was_left_is_read_again_at_once(database: Database) -> None:
    stored = Stored()
    killed = await started(database, stored)
    seq = await store(killed, stored, 3)
    await soon(killed)
    stored.batches[seq] = again = evaluation()
    batch = await soon(await started(database, stored))
    assert (batch.seq, batch.evaluations) == (seq, [again])


async def test_a_batch_that_was_never_stored_is_forgotten(database: Database) -> None:
    stored = Stored()
    await (await started(database, stored)).open(5)
    restarted = await started(database, stored)
    seq = await store(restarted, stored)
    assert (await soon(restarted)).seq == seq
    assert await database.fetchval("SELECT array_agg(seq) FROM batches") == [seq]


async def test_a_failed_insert_is_taken_back_whatever_it_did(database: Database) -> None:
    stored = Stored()
    worklist = await started(database, stored)
    lost, kept = await worklist.open(1), await worklist.open(1)
    stored.batches[kept] = evaluation()
    worklist.failed(lost)
    worklist.failed(kept)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(2):
            await worklist.next()
    assert (stored.batches, await nothing_left(database)) == ({}, True)


async def test_beyond_the_limit_events_are_evaluated_again_when_their_turn_comes(database: Database) -> None:
    stored = Stored()
    worklist = await started(database, stored, max_events=3)
    numbers = [await store(worklist, stored, 2) for _ in range(3)]
    first, later = stored.batches[numbers[0]], evaluation()
    stored.batches[numbers[0]] = later  # from memory, so it isn't read
    stored.batches[numbers[1]] = later  # dropped from memory, so it is
    batches = [await soon(worklist) for _ in range(3)]
    assert [(batch.seq, batch.evaluations) for batch in batches] == [
        (numbers[0], [first]),
        (numbers[1], [later]),
        (numbers[2], [stored.batches[numbers[2]]]),
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
    stored.batches[written] = evaluation()
    # As if its process had been stopped for longer than the lease.
    await database.execute("UPDATE writers SET alive_until = now() - interval '1 second'")
    other = await started(database, stored, alone=False)
    assert {(await soon(other)).seq, (await soon(other)).seq} == {evaluated, written}
    with pytest.raises(AuroraError) as refused:
        await stalled.stored(written, 1, [stored.batches[written]])
    assert refused.value.code is UNAVAILABLE
    with pytest.raises(AuroraError) as conflict:
        await finish(database, stalled, batch)
    assert conflict.value.code is CONFLICT
    await stalled.release(batch)
    own = await store(stalled, stored)
    assert (await soon(stalled)).seq == own


async def test_a_batch_is_parsed_again_as_it_was_at_first() -> None:
    with stack.data_folder() as folder:
        clickhouse = await ClickHouse.open(Embedded(folder / "engine"))
        await clickhouse.apply(SIEM / "clickhouse")
        logs = LogStore(clickhouse)
        first: list[StoredEvent] = []
        rows: list[bytes] = []
        for content, source, form in (
            (Body(b"\n".join([SYSCALL, EXECVE]), "text/plain"), "a", None),
            (Body(b'{"n": 1, "message": "json"}', "application/json"), "b", None),
            (Body(EXECVE, "text/plain"), "c", "text"),
        ):
            for part, events in prepare(content, Request(new_id(), utc_now(), source, form, {})):
                first += events
                rows += part.rows
        await logs.insert(7, rows)
        again = parse_again(await logs.batch(7))

        def by_id(events: list[StoredEvent]) -> list[StoredEvent]:
            return sorted(events, key=lambda stored: stored.log_id)

        assert len(again) == 4
        assert [stored.event for stored in by_id(again)] == [stored.event for stored in by_id(first)]
        assert any(view.category == "process_creation" for stored in again for view in stored.event.views)
        await clickhouse.close()
