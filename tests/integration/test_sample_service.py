"""Samples on real Postgres and NATS: kept once, looked at until somebody has, whoever dies in between."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from services.orchestrator.samples import service
from services.orchestrator.samples.service import MOST_ATTEMPTS, SamplesService
from shared.bus import Bus
from shared.clock import new_id, utc_now
from shared.contracts.investigations import DispatchRecord, DispatchRequest
from shared.contracts.samples import SAMPLES_BUCKET, Sample, SampleReport, alias_of, masked
from shared.contracts.wire import to_builtins
from shared.errors import PAYLOAD_TOO_LARGE, UNAVAILABLE, VALIDATION, AuroraError
from shared.identity import Principal
from shared.objects import Objects
from shared.postgres import Database
from tests import stack
from tests.orchestrator import ANALYST
from tests.roles import migrated
from tests.stack import Servers, until

MIGRATIONS = Path(__file__).parents[2] / "services" / "orchestrator" / "migrations"


@dataclass
class Analyst:
    """Answers `triage_sample`; away for as many calls as `away` says, and silent while `silent`."""

    away: int = 0
    silent: bool = False
    asked: list[str] = field(default_factory=list)

    async def dispatch(self, request: DispatchRequest, caller: Principal) -> DispatchRecord:
        sha256 = request.params["sha256"]
        self.asked.append(sha256)
        if self.silent:
            await asyncio.Event().wait()
        if len(self.asked) <= self.away:
            raise AuroraError(UNAVAILABLE)
        return DispatchRecord(
            id=new_id(),
            agent=request.agent,
            method=request.method,
            params=request.params,
            reason=request.reason,
            status="completed",
            requested_by=caller.id,
            investigation_id=None,
            started_at=utc_now(),
            finished_at=utc_now(),
            result=to_builtins(SampleReport(sha256=sha256, stored=True)),
            error=None,
        )


@dataclass
class Room:
    database: Database
    objects: Objects

    def service(self, analyst: Analyst) -> SamplesService:
        return SamplesService(self.database, self.objects, analyst)


@pytest_asyncio.fixture(loop_scope="session")
async def room(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Room]:
    """A schema of its own; nothing waits."""
    monkeypatch.setattr(service, "_RETRY", timedelta(0))
    monkeypatch.setattr(service, "_POLL_SECONDS", 0.05)
    async with migrated(servers, "orchestrator", MIGRATIONS) as database:
        password = servers.password_file_of(stack.STORING_USER).read_text(encoding="utf-8").strip()
        bus = await Bus.connect(servers.nats_url, user=stack.STORING_USER, password=password, name="test-samples")
        try:
            yield Room(database, Objects(bus, SAMPLES_BUCKET))
        finally:
            await bus.close()


async def analysed(samples: SamplesService, sha256: str) -> Sample:
    """The sample once it was looked at, by a worker that runs until then."""
    working = asyncio.create_task(samples.analyse())
    try:
        async with asyncio.timeout(20):
            while (found := await samples.get(sha256)).analysis is None:  # noqa: ASYNC110 - a row has no event
                await asyncio.sleep(0.02)
    finally:
        working.cancel()
        await asyncio.wait([working])
    return found


def some_bytes() -> bytes:
    return b"a file that no other test stores " + new_id().encode()


async def pieces(data: bytes, length: int = 10) -> AsyncIterator[bytes]:
    """A body as it comes."""
    for start in range(0, len(data), length):
        yield data[start : start + length]


async def test_a_large_file_is_kept_as_it_came(room: Room) -> None:
    data = b"".join(some_bytes() + bytes(100_000 + number) for number in range(30))
    receipt, is_new = await room.service(Analyst()).store(pieces(data, 300_000), ANALYST)
    assert (receipt.sha256, receipt.size, is_new) == (hashlib.sha256(data).hexdigest(), len(data), True)
    assert await room.objects.get(receipt.sha256, len(data)) == masked(data)
    found = await room.service(Analyst()).get(receipt.sha256)
    assert (found.md5, found.sha1) == (hashlib.md5(data).hexdigest(), hashlib.sha1(data).hexdigest())


async def test_what_breaks_off_or_holds_nothing_is_not_kept(room: Room) -> None:
    data, samples = some_bytes(), room.service(Analyst())

    async def broken() -> AsyncIterator[bytes]:
        yield data
        raise AuroraError(PAYLOAD_TOO_LARGE)

    with pytest.raises(AuroraError) as too_large:
        await samples.store(broken(), ANALYST)
    assert too_large.value.code is PAYLOAD_TOO_LARGE
    assert await room.objects.size(hashlib.sha256(data).hexdigest()) is None
    with pytest.raises(AuroraError) as nothing:
        await samples.store(pieces(b""), ANALYST)
    assert nothing.value.code is VALIDATION


async def test_the_same_bytes_at_once_are_one_sample(room: Room) -> None:
    data, samples = some_bytes(), room.service(Analyst())
    stored = await asyncio.gather(*(samples.store(pieces(data), ANALYST) for _ in range(3)))
    assert sorted(is_new for _, is_new in stored) == [False, False, True]
    assert len({receipt.stored_at for receipt, _ in stored}) == 1
    sha256 = stored[0][0].sha256
    assert await room.objects.get(sha256, len(data)) == masked(data) != data
    found = await samples.get(sha256)
    assert await room.objects.get(alias_of(found.md5), 64) == sha256.encode()
    assert (found.stored_by, found.size) == (ANALYST.id, len(data))


async def test_an_analyst_that_is_away_is_asked_again(room: Room) -> None:
    analyst = Analyst(away=2)
    samples = room.service(analyst)
    receipt, _ = await samples.store(pieces(some_bytes()), ANALYST)
    found = await analysed(samples, receipt.sha256)
    assert len(analyst.asked) == 3
    assert found.analysis_error is None
    assert found.analysed_at is not None


async def test_an_analyst_that_never_answers_is_given_up_and_told(room: Room) -> None:
    analyst = Analyst(away=1000)
    samples = room.service(analyst)
    receipt, _ = await samples.store(pieces(some_bytes()), ANALYST)
    working = asyncio.create_task(samples.analyse())
    await until(lambda: len(analyst.asked) >= MOST_ATTEMPTS, "the last attempt")
    # Nothing is due any more: a worker that looks again finds nothing to ask for.
    async with asyncio.timeout(10):
        due = "SELECT due_at FROM samples WHERE sha256 = $1"
        while await room.database.fetchval(due, receipt.sha256):  # noqa: ASYNC110 - a row has no event
            await asyncio.sleep(0.02)
    working.cancel()
    await asyncio.wait([working])
    found = await samples.get(receipt.sha256)
    assert len(analyst.asked) == MOST_ATTEMPTS
    assert found.analysis is None
    assert "AURORA-5030" in (found.analysis_error or "")


async def test_storing_the_bytes_again_has_them_looked_at_when_nobody_did(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "MOST_ATTEMPTS", 1)
    data, away = some_bytes(), Analyst(away=1000)
    receipt, _ = await room.service(away).store(pieces(data), ANALYST)
    working = asyncio.create_task(room.service(away).analyse())
    async with asyncio.timeout(10):
        while (await room.service(away).get(receipt.sha256)).analysis_error is None:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.02)
    working.cancel()
    await asyncio.wait([working])
    again = room.service(Analyst())
    assert await again.store(pieces(data), ANALYST) == (receipt, False)
    assert (await analysed(again, receipt.sha256)).analysis_error is None


async def test_a_sample_whose_worker_died_is_taken_up_by_another(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "_CLAIM", timedelta(0))
    dying = Analyst(silent=True)
    samples = room.service(dying)
    receipt, _ = await samples.store(pieces(some_bytes()), ANALYST)
    working = asyncio.create_task(samples.analyse())
    await until(lambda: bool(dying.asked), "the first attempt")
    working.cancel()
    await asyncio.wait([working])
    found = await analysed(room.service(Analyst()), receipt.sha256)
    assert found.analysis is not None
    assert found.analysis.sha256 == receipt.sha256
