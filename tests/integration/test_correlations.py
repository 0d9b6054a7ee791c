"""Correlations on a real siem: their state survives kill -9, late events count, base rules stay silent, chains fire.

What they find are matches as those of any rule; windows that must be complete wait for the watermark.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from uuid import UUID

import pytest
import pytest_asyncio

from services.siem.correlations import store
from services.siem.correlations.service import Correlations
from services.siem.detections.domain import draft_of
from services.siem.detections.engine import compile_rule
from services.siem.detections.engine.ruleset import Ruleset
from services.siem.match import Match
from shared.clock import new_id, utc_now
from shared.contracts.common import PageQuery
from shared.contracts.detections import CREATE_RULE, IMPORT_RULES
from shared.contracts.feedback import (
    LIST_FEEDBACK,
    SUBMIT_FEEDBACK,
    FeedbackCreate,
)
from shared.contracts.runs import RUN_RULE, RunRequest
from shared.contracts.suppressions import (
    CREATE_SUPPRESSION,
    LIST_SUPPRESSED,
    PREVIEW_SUPPRESSION,
    SuppressionCreate,
)
from shared.errors import CONFLICT, VALIDATION, AuroraError
from shared.postgres import Connection, Database
from tests.correlations import (
    FAILED,
    GUESSED,
    LARGE,
    LEAK,
    MANY,
    RULES,
    SETTLED,
    SINGLE,
    SPRAY,
    SPRAYED,
    START,
    SUCCESS,
    alert,
    alerts,
    figures,
    hits,
    lateness_passes,
    login,
    run_to_its_end,
    send,
    sent,
    settled,
)
from tests.siem import Siem, siem
from tests.stack import Servers, data_folder


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def running(servers: Servers) -> AsyncIterator[Siem]:
    """One siem for this file; users keep the tests apart."""
    with data_folder() as folder:
        async with siem(servers, folder) as started:
            async with started.client() as client:
                report = await client.call(IMPORT_RULES, body=f"{RULES}---\n{SETTLED}".encode())
            assert (report.created, report.errors, report.unserved) == (9, [], [])
            yield started


@pytest_asyncio.fixture(loop_scope="session")
async def database(running: Siem) -> AsyncIterator[Database]:
    """The siem's own tables."""
    database = await Database.connect(running.environment["AURORA_POSTGRES_DSN"])
    yield database
    await database.close()


async def test_windows_that_fill_over_a_crash_and_out_of_order_fire_once_and_cite_their_events(
    running: Siem, database: Database
) -> None:
    await send(running, login(9, "failed", who="eve"), login(5, "failed", who="eve"))
    await send(running, sent(1, "ivy", 250), sent(1, "joe", 250))
    await settled(running)
    await running.kill()
    await running.start()
    await send(running, login(1, "failed", who="EVE"), login(40, "failed", who="eve"))
    fired = await alert(running, MANY, ":eve", 3)
    assert (fired.severity, fired.title) == ("medium", "Failed logins of a user")
    assert (fired.first_seen, fired.last_seen) == (START + timedelta(minutes=1), START + timedelta(minutes=9))
    assert [(item.rule_id, item.timestamp) for item in fired.evidence] == [
        (FAILED, START + timedelta(minutes=minute)) for minute in (1, 5, 9)
    ]
    await send(running, login(9.5, "failed", who="eve"))
    assert (await alert(running, MANY, ":eve", 4)).id == fired.id
    assert await alerts(running, FAILED, "") == []
    # An average is read of the whole window, not of its first event.
    await send(running, login(30, "success", account="joe", device="joe1"))
    await send(running, sent(9.9, "ivy", 1), sent(3, "ivy", 1), sent(4, "joe", 1), sent(5, "joe", 200))
    await settled(running)
    assert await alerts(running, LARGE, ":joe") == []
    await lateness_passes(database)
    fired = await alert(running, LARGE, ":joe", 3)
    assert (fired.first_seen, fired.last_seen) == (START + timedelta(minutes=1), START + timedelta(minutes=5))
    assert await alerts(running, LARGE, ":ivy") == []
    leak = await alert(running, LEAK, ":joe1", 2)
    assert (leak.severity, len(leak.evidence)) == ("critical", 4)


async def test_a_chain_fires_when_its_first_link_comes_last(running: Siem) -> None:
    await send(running, login(12, "success", account="mallory"), login(13, "success", account="somebody"))
    await settled(running)
    await send(running, *[login(minute, "failed", who="mallory") for minute in (9, 5, 1)])
    guessed = await alert(running, GUESSED, ":mallory", 2)
    assert guessed.severity == "critical"
    assert [item.rule_id for item in guessed.evidence] == [FAILED, FAILED, FAILED, SUCCESS]
    assert await alerts(running, GUESSED, ":somebody") == []


async def test_what_a_filter_excludes_is_counted_nowhere(running: Siem) -> None:
    await send(running, *[login(minute, "failed", who="robot") for minute in range(4)])
    await settled(running)
    assert await alerts(running, MANY, ":robot") == []


async def test_a_run_over_the_past_counts_what_was_matched_before_the_correlation_was_there(running: Siem) -> None:
    await send(running, *[login(minute, "failed", who=f"user{minute}", address="192.0.2.7") for minute in range(3)])
    await settled(running)
    async with running.client() as client:
        await client.call(CREATE_RULE, body=SPRAYED.encode())
        wanted = RunRequest(since=START, until=START + timedelta(minutes=5))
        await client.call(RUN_RULE, path={"rule_id": SPRAY}, body=wanted)
    sprayed = await alert(running, SPRAY, ":192.0.2.7", 3)
    assert [item.rule_id for item in sprayed.evidence] == [FAILED] * 3


async def test_a_window_that_fires_is_a_match_which_is_measured_judged_and_hidden_by_its_group(
    running: Siem, database: Database
) -> None:
    async with running.client() as client:
        before = await figures(client, MANY)
        # A preview looks at the last 30 days.
        day = (utc_now() - START) // timedelta(minutes=1) - 1440
        await send(running, *[login(day + minute, "failed", who="ann") for minute in (1, 2, 3)])
        fired = await alert(running, MANY, ":ann", 3)
        [(log_id, moment)] = await hits(database, MANY, "ann")
        assert (log_id, moment) == (fired.evidence[-1].log_id, START + timedelta(minutes=day + 3))
        after = await figures(client, MANY)
        assert (after.matches - before.matches, after.alerts - before.alerts) == (1, 1)
        assert after.latency_p95_ms is not None
        assert 0 < after.noise <= 1
        path = {"rule_id": MANY}
        verdict = FeedbackCreate(verdict="true_positive", log_id=log_id)
        await client.call(SUBMIT_FEEDBACK, path=path, body=verdict)
        wanted = SuppressionCreate(fields={"who": ["AN*"]}, reason="she forgets it")
        with pytest.raises(AuroraError) as refused:
            await client.call(CREATE_SUPPRESSION, path=path, body=wanted)
        assert refused.value.code == CONFLICT, running.lines()[-3:]
        verdict = FeedbackCreate(verdict="false_positive", log_id=log_id)
        await client.call(SUBMIT_FEEDBACK, path=path, body=verdict)
        assert (await client.call(LIST_FEEDBACK, path=path, query=PageQuery())).labels.false_positive == 1
        other = SuppressionCreate(fields={"host.name": ["x"]}, reason="x")
        with pytest.raises(AuroraError) as unknown:
            await client.call(PREVIEW_SUPPRESSION, path=path, body=other)
        assert (unknown.value.code, unknown.value.detail[0]["path"]) == (VALIDATION, "body.fields.host.name")
        preview = await client.call(PREVIEW_SUPPRESSION, path=path, body=wanted)
        assert (preview.would_hide, preview.complete, preview.samples) == (1, True, [log_id])
        made = await client.call(CREATE_SUPPRESSION, path=path, body=wanted)
        await send(running, login(day + 4, "failed", who="Ann"), *[login(5, "failed", who="bob") for _ in range(3)])
        await alert(running, MANY, ":bob", 3)
        assert (await alert(running, MANY, ":ann", 3)).id == fired.id
        place = {"rule_id": MANY, "suppression_id": made.id}
        [hidden] = (await client.call(LIST_SUPPRESSED, path=place, query=PageQuery())).items
        assert (hidden.timestamp, hidden.group) == (START + timedelta(minutes=day + 4), {"who": "Ann"})
        assert (await figures(client, MANY)).suppressed == 1


async def test_a_run_over_the_past_finds_what_live_evaluation_found_of_events_out_of_order(
    running: Siem, database: Database
) -> None:
    minutes = [0, 1, 2.5, 4, 9, 9.5, 13, 30, 31, 32, 33.5]
    random.Random(11).shuffle(minutes)
    for start in range(0, len(minutes), 3):
        part = [login(minute, "failed", who="zoe", address=new_id()) for minute in minutes[start : start + 3]]
        await send(
            running, *part, *[{**event, "outcome": "sent", "bytes": 90 + place} for place, event in enumerate(part)]
        )
        await settled(running)
    await lateness_passes(database)
    again = {MANY: new_id(), LARGE: new_id(), SINGLE: new_id()}
    documents = [part for part in f"{RULES}---\n{SETTLED}".split("---\n") if any(rule in part for rule in again)]
    async with running.client() as client:
        for document in documents:
            old = next(rule for rule in again if f"id: {rule}" in document)
            text = document.replace(old, again[old]).replace("name: many_failed\n", "").replace("name: large\n", "")
            await client.call(CREATE_RULE, body=text.encode())
            await run_to_its_end(client, again[old], 60)
        await lateness_passes(database)
        live = {rule: await hits(database, rule, "zoe") for rule in again}
        assert len(live[MANY]) > 3
        assert live == {rule: await hits(database, copy, "zoe") for rule, copy in again.items()}
        for rule, copy in again.items():
            shown, found = [await alerts(running, one, ":zoe") for one in (rule, copy)]
            assert [(item.count, {part.log_id for part in item.evidence}) for item in found] == [
                (item.count, {part.log_id for part in item.evidence}) for item in shown
            ]
        matched = (await figures(client, again[MANY])).matches
        run = await run_to_its_end(client, again[MANY], 60)
        assert (run.new_matches, run.alerts) == (0, 0)
        assert (await figures(client, again[MANY])).matches == matched


async def test_what_comes_after_a_window_was_read_is_counted_as_late_until_a_run_reads_it_again(
    running: Siem, database: Database
) -> None:
    await send(running, sent(2, "kim", 1))
    await settled(running)
    await lateness_passes(database)
    assert (await alert(running, SINGLE, ":kim", 1)).severity == "low"
    async with running.client() as client:
        before = (await figures(client, LARGE)).late
        await send(running, sent(3, "kim", 900))
        await settled(running)
        assert (await figures(client, LARGE)).late == before + 1
        assert await alerts(running, LARGE, ":kim") == []
        for _ in range(2):
            await run_to_its_end(client, LARGE, 10)
            fired = await alert(running, LARGE, ":kim", 2)
            assert (fired.first_seen, fired.last_seen) == tuple(START + timedelta(minutes=at) for at in (2, 3))
        assert len(await hits(database, LARGE, "kim")) == 1


@asynccontextmanager
async def undone(database: Database) -> AsyncIterator[Connection]:
    """A transaction whose effects nobody sees."""
    with suppress(_UndoneError):
        async with database.transaction() as connection:
            yield connection
            raise _UndoneError


class _UndoneError(Exception):
    """Ends a transaction."""


class _NothingHidden:
    async def hidden(self, connection: Connection, matches: list[Match]) -> Mapping[tuple[str, str], UUID]:
        return {}


async def test_the_watermark_follows_the_clock_and_waits_an_hour_for_a_batch_that_is_not_evaluated(
    database: Database,
) -> None:
    async def moment(connection: Connection, waiting: timedelta) -> timedelta:
        await connection.execute("DELETE FROM batches")
        await connection.execute(
            "INSERT INTO batches (owner, rows, created_at) VALUES ($1, 1, now() - $2::interval)", UUID(int=1), waiting
        )
        now: datetime = await connection.fetchval("SELECT now()")
        return now - await store.watermark(connection, 60)

    async with undone(database) as connection:
        assert await moment(connection, timedelta(minutes=5)) == timedelta(minutes=6)
        assert await moment(connection, timedelta(hours=2)) == timedelta(minutes=1)
        await connection.execute("DELETE FROM batches")
        now: datetime = await connection.fetchval("SELECT now()")
        assert now - await store.watermark(connection, 60) == timedelta(minutes=1)


async def test_a_group_with_more_events_than_are_read_at_once_is_counted_at_its_rule(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.siem.correlations.service.MAX_WINDOW_EVENTS", 3)
    ruleset = Ruleset([compile_rule(document) for document in RULES.split("---\n")])
    counting = Correlations(ruleset, draft_of, _NothingHidden(), lateness=60)
    now = utc_now()
    async with undone(database) as connection:
        for second in range(5):
            match = Match(
                rule_id=FAILED,
                log_id=new_id(),
                timestamp=START + timedelta(seconds=second),
                ingested_at=now,
                source="",
                message="",
                ecs={},
                fields={"who": "crowd"},
            )
            await counting.take(connection, [match], None)
        capped = "SELECT capped FROM correlation_losses WHERE rule_id = $1 ORDER BY hour DESC"
        assert await connection.fetchval(capped, MANY) >= 2


async def test_what_no_window_needs_any_more_is_dropped(database: Database) -> None:
    await store.prune(database, utc_now() + timedelta(days=30), utc_now() + timedelta(hours=1))
    for table in ("correlation_events", "correlation_windows", "correlation_losses"):
        kept = "WHERE NOT pending" if table == "correlation_windows" else ""
        found = await database.fetchval(f"SELECT count(*) FROM {table} {kept}")
        assert found == 0, table
