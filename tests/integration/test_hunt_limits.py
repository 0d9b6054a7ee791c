"""What a run of a hunt may take: its limits, reads that take too long, and a cancel while the engine works."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest_asyncio

from services.siem.hunts.runs import HuntRuns, Limits
from services.siem.hunts.service import HuntsService
from services.siem.hunts.sigma import Looked
from shared.clickhouse import LimitExceededError
from shared.contracts.hunts import HuntCreate, HuntRunDetail, HuntRunRequest
from shared.contracts.logs import LogEvent, LogPage, LogQuery
from shared.errors import field_error
from shared.postgres import Database
from tests.roles import migrated
from tests.stack import Servers

MIGRATIONS = Path(__file__).parents[2] / "services" / "siem" / "migrations"
UNTIL = datetime(2026, 3, 2, tzinfo=UTC)
SINCE = UNTIL - timedelta(hours=16)
RANGE = HuntRunRequest(since=SINCE, until=UNTIL)
HOUR = timedelta(hours=1)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def database(servers: Servers) -> AsyncIterator[Database]:
    async with migrated(servers, "siem", MIGRATIONS) as database:
        yield database


@dataclass
class Past:
    """An event each hour, of which a read takes at most `longest`; `asked` are the ranges of the reads."""

    longest: timedelta = timedelta(days=1)
    holds: asyncio.Event | None = None
    asked: list[timedelta] = field(default_factory=list)
    stopped: bool = False

    async def search(self, query: LogQuery, /) -> LogPage:
        assert query.since is not None
        assert query.until is not None
        since, until = query.since, query.until
        self.asked.append(until - since)
        if self.holds is not None and until > since:
            self.holds.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.stopped = True
                raise
        if until - since > self.longest:
            raise field_error("query.q", "too long") from LimitExceededError("time")
        hours = [SINCE + number * HOUR for number in range(16)]
        return LogPage([event(hour) for hour in reversed(hours) if since <= hour < until], None)

    async def check(self, sigma: str) -> None:
        """Every text is a rule here."""

    async def slow(self, sigma: str) -> list[str]:
        return []

    async def matching(self, sigma: str, since: datetime, until: datetime) -> AsyncIterator[Looked]:
        for number in range(16):
            yield Looked(since + (number + 1) * HOUR, 100, [])


def event(moment: datetime) -> LogEvent:
    return LogEvent(
        id=f"{moment:%H}",
        timestamp=moment,
        ingested_at=moment,
        source="test",
        dataset="test",
        message="m",
        ecs={},
        raw="m",
        receipt="r",
    )


@asynccontextmanager
async def working(database: Database, past: Past, limits: Limits | None = None) -> AsyncIterator[HuntsService]:
    hunts = HuntsService(database, past, past, lambda _query: [])
    async with asyncio.TaskGroup() as tasks:
        work = tasks.create_task(HuntRuns(database, hunts, past, past, limits).run())
        yield hunts
        work.cancel()


async def run_of(hunts: HuntsService, *, sigma: bool = False) -> HuntRunDetail:
    body = HuntCreate(name="h", sigma="a rule") if sigma else HuntCreate(name="h", query="m")
    hunt = await hunts.create(body, "test")
    run = await hunts.run(hunt.id, RANGE, "test")
    async with asyncio.timeout(30):
        while True:
            seen = await hunts.get_run(run.id)
            if seen.status not in ("queued", "running"):
                return seen
            await asyncio.sleep(0.02)


async def test_a_range_that_takes_too_long_is_read_in_parts(database: Database) -> None:
    past = Past(longest=timedelta(hours=3))
    async with working(database, past) as hunts:
        run = await run_of(hunts)
    assert (run.status, run.hits, run.complete, run.error) == ("completed", 16, True, None)
    assert past.asked == [timedelta(0), 16 * HOUR, 8 * HOUR, 4 * HOUR, *[2 * HOUR] * 8]


async def test_a_range_that_can_not_be_cut_further_ends_the_run_with_the_reason(database: Database) -> None:
    async with working(database, Past(longest=timedelta(0))) as hunts:
        run = await run_of(hunts)
    assert (run.status, run.error) == ("failed", "AURORA-4220 Validation error: too long")


async def test_a_run_ends_at_its_limits_with_what_it_has_and_is_compared_with_nothing(database: Database) -> None:
    async with working(database, Past(), Limits(rows=400)) as hunts:
        run = await run_of(hunts, sigma=True)
    assert (run.status, run.complete, run.diff) == ("completed", False, None)
    assert run.error == "ended at its limit of 400 events read: 25% of the range is done, oldest first"
    async with working(database, Past(longest=timedelta(hours=4)), Limits(seconds=0)) as hunts:
        run = await run_of(hunts)
    assert (run.hits, run.error) == (4, "ended at its limit of 0 s: 25% of the range is done, newest first")


async def test_a_cancel_stops_what_the_engine_does(database: Database) -> None:
    past = Past(holds=asyncio.Event())
    assert past.holds is not None
    async with working(database, past) as hunts:
        hunt = await hunts.create(HuntCreate(name="h", query="m"), "test")
        run = await hunts.run(hunt.id, RANGE, "test")
        async with asyncio.timeout(30):
            await past.holds.wait()
            assert (await hunts.cancel(run.id)).status == "cancelled"
            while True:
                if past.stopped:
                    break
                await asyncio.sleep(0.02)
