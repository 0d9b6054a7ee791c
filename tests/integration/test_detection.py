"""The detection loop on a real Postgres: what commits together, and what never holds up the rest."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio

from services.siem.alerts.service import AlertsService
from services.siem.batch import Batch, Evaluation, StoredEvent
from services.siem.detections.engine import CompiledRule, Engine, compile_rule
from services.siem.detections.evaluation import Detection, Outcome
from services.siem.detections.service import RulesService
from services.siem.evaluate import evaluate_event
from services.siem.event import Event, View
from services.siem.match import Failure, Found, Match
from shared.bus import Bus
from shared.clock import new_id
from shared.contracts.alerts import AlertQuery
from shared.contracts.detections import DETECTION_FAILED
from shared.errors import UNAVAILABLE, AuroraError
from shared.outbox import Outbox
from shared.postgres import Connection, Database
from tests.roles import migrated
from tests.stack import Servers, until

MIGRATIONS = Path(__file__).parents[2] / "services" / "siem" / "migrations"
NOW = datetime(2026, 6, 14, 12, tzinfo=UTC)
RULE = """\
title: A word
id: 5f1c86a0-0a4e-4a4c-8f6c-0d3c1f8f6e11
level: low
logsource: {product: linux}
detection: {selection: {word: needle}, condition: selection}
"""


class Given:
    """A work list that the tests fill themselves, and an engine that evaluates what is read again: all of it."""

    def __init__(self) -> None:
        self.engine = Engine()
        self.version = 0
        self.events: dict[int, list[StoredEvent]] = {}
        self.completed: list[int] = []
        self.broken = False
        self.waiting: asyncio.Queue[Batch] = asyncio.Queue()

    async def next(self) -> Batch:
        return await self.waiting.get()

    async def complete(self, connection: Connection, batch: Batch) -> None:
        assert await connection.fetchval("SELECT true")
        if self.broken:
            raise AuroraError(UNAVAILABLE)
        self.completed.append(batch.seq)

    async def release(self, batch: Batch) -> None:
        self.waiting.put_nowait(Batch(batch.seq, batch.size, batch.evaluations, batch.attempts + 1))

    async def again(self, batch: Batch) -> None:
        results = [evaluate_event(event, self.engine) for event in self.events[batch.seq]]
        matches = [match for result in results if not isinstance(result, Failure) for match in result]
        failures = [result for result in results if isinstance(result, Failure)]
        batch.evaluations = [done(Found(matches, failures, self.version))]

    def add(self, rule: CompiledRule) -> None:
        self.version += 1
        self.engine.add(rule)

    def remove(self, rule_id: str) -> None:
        self.version += 1
        self.engine.remove(rule_id)

    def batch(self, *words: str, seq: int = 1) -> Batch:
        """Events that were evaluated before there was any rule."""
        self.events[seq] = events(*words)
        return Batch(seq, len(words), [done(Found([], [], 0))])


def done(found: Found) -> Evaluation:
    evaluation: Evaluation = asyncio.get_running_loop().create_future()
    evaluation.set_result(found)
    return evaluation


@pytest_asyncio.fixture(loop_scope="session")
async def database(servers: Servers) -> AsyncIterator[Database]:
    async with migrated(servers, "siem", MIGRATIONS) as database:
        yield database


def events(*words: str) -> list[StoredEvent]:
    stored = []
    for word in words:
        view = View("linux", None, (), {"word": word})
        event = Event(NOW, "generic.json", word, {"host.name": "web01"}, [view], raw=word)
        stored.append(StoredEvent(new_id(), NOW, "test", event))
    return stored


async def _ready(database: Database, bus: Bus, given: Given) -> tuple[Detection, AlertsService]:
    outbox = Outbox(database, bus, "siem")
    alerts = AlertsService(database, outbox)
    await RulesService(database).create(RULE)
    return Detection(database, given, alerts, outbox, evaluator=given), alerts


async def test_alerts_and_the_batchs_completion_commit_together_or_not_at_all(database: Database, bus: Bus) -> None:
    given = Given()
    detection, alerts = await _ready(database, bus, given)
    given.broken = True
    with pytest.raises(AuroraError):
        await detection.evaluate(given.batch("needle"))
    assert (await alerts.list_alerts(AlertQuery())).items == []
    assert await database.fetchval("SELECT count(*) FROM outbox") == 0
    given.broken = False
    await detection.evaluate(given.batch("needle", "hay", "needle"))
    [alert] = (await alerts.list_alerts(AlertQuery())).items
    assert (alert.count, alert.severity, given.completed) == (2, "low", [1])


async def test_a_match_that_is_found_again_counts_once_whatever_found_it(database: Database, bus: Bus) -> None:
    given = Given()
    detection, alerts = await _ready(database, bus, given)
    stored = given.batch("needle", "needle")
    await detection.evaluate(stored)
    await detection.evaluate(stored)
    engine = Engine([compile_rule(RULE)])
    found = [match for event in given.events[1] for match in matches_of(event, engine)]
    async with database.transaction() as connection:
        outcome = await detection.commit(connection, found, [], UUID(new_id()))
    [alert] = (await alerts.list_alerts(AlertQuery())).items
    assert (alert.count, outcome) == (2, Outcome(0, []))
    assert await database.fetchval("SELECT count(*) FROM matches WHERE alert_id = $1 AND run_id IS NULL", alert.id) == 2


def matches_of(event: StoredEvent, engine: Engine) -> list[Match]:
    found = evaluate_event(event, engine)
    assert not isinstance(found, Failure)
    return found


async def test_a_rule_that_was_removed_by_another_process_is_no_longer_matched(database: Database, bus: Bus) -> None:
    given = Given()
    detection, alerts = await _ready(database, bus, given)
    await database.execute("UPDATE rules SET enabled = false, revision = nextval('rule_revisions')")
    await detection.evaluate(given.batch("needle"))
    assert (await alerts.list_alerts(AlertQuery())).items == []


async def test_an_event_that_breaks_the_engine_is_told_and_holds_nothing_up(
    database: Database, bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Engine.matches

    def breaking(self: Engine, event: Event) -> Any:
        if event.message == "broken":
            raise ZeroDivisionError
        return whole(self, event)

    monkeypatch.setattr(Engine, "matches", breaking)
    given = Given()
    detection, alerts = await _ready(database, bus, given)
    await detection.evaluate(given.batch("broken", "needle"))
    assert len((await alerts.list_alerts(AlertQuery())).items) == 1
    told = await database.fetchval("SELECT count(*) FROM outbox WHERE subject = $1", DETECTION_FAILED.name)
    assert (told, given.completed) == (1, [1])


async def test_a_batch_that_breaks_stays_on_the_list_and_the_next_goes_on(
    database: Database, bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = Given()
    detection, alerts = await _ready(database, bus, given)
    whole = AlertsService.raise_all
    broken = [True]

    async def raise_all(self: AlertsService, connection: Connection, drafts: Any) -> Any:
        if broken and broken.pop():
            raise ZeroDivisionError
        return await whole(self, connection, drafts)

    monkeypatch.setattr(AlertsService, "raise_all", raise_all)
    for seq in (1, 2):
        given.waiting.put_nowait(given.batch("needle", seq=seq))
    running = asyncio.create_task(detection.run())
    await until(lambda: len(given.completed) == 2, "both batches")
    running.cancel()
    await asyncio.wait([running])
    assert given.completed == [2, 1]
    [alert] = (await alerts.list_alerts(AlertQuery())).items
    assert alert.count == 2
