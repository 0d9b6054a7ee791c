"""Sources, figures, dead letters and retention through siem's API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
import pytest_asyncio

from services.siem.rejections import store as letters
from services.siem.sources import store
from shared.clickhouse import ClickHouse
from shared.clock import new_id
from shared.contracts.constants import Endpoint
from shared.contracts.dead_letters import LIST_DEAD_LETTERS, REPLAY_DEAD_LETTER, DeadLetter, DeadLetterQuery
from shared.contracts.sources import (
    GET_STATS,
    LIST_SOURCES,
    UPDATE_SOURCE,
    LogSourceState,
    SiemStats,
    SourceUpdate,
)
from shared.errors import AuroraError
from shared.postgres import Database
from tests.siem import Siem, siem
from tests.stack import Servers, data_folder

NDJSON = "application/x-ndjson"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def running(servers: Servers) -> AsyncIterator[Siem]:
    """One siem for this file; sources keep apart by their names."""
    with data_folder() as folder:
        async with siem(servers, folder) as running:
            yield running


@pytest_asyncio.fixture(loop_scope="session")
async def database(running: Siem) -> AsyncIterator[Database]:
    """The schema of that siem."""
    database = await Database.connect(running.environment["AURORA_POSTGRES_DSN"], max_size=2)
    yield database
    await database.close()


async def call(running: Siem, endpoint: Endpoint[Any, Any, Any], **arguments: Any) -> Any:
    async with running.client() as client:
        return await client.call(endpoint, **arguments)


async def source_of(running: Siem, name: str) -> LogSourceState:
    page = await call(running, LIST_SOURCES)
    found: list[LogSourceState] = [item for item in page.items if item.name == name]
    assert len(found) == 1
    return found[0]


def event(message: str, *, ago: timedelta, **fields: Any) -> dict[str, Any]:
    return {"@timestamp": (datetime.now(UTC) - ago).isoformat(), "message": message, **fields}


async def letters_of(running: Siem, name: str) -> list[DeadLetter]:
    page = await call(running, LIST_DEAD_LETTERS, query=DeadLetterQuery(source=name))
    items: list[DeadLetter] = page.items
    return items


async def test_a_source_tells_how_it_is_doing(running: Siem) -> None:
    name = f"s{new_id()[-8:]}"
    late = [event("late", ago=timedelta(hours=1), host={"name": "web01"}) for _ in range(3)]
    ahead = event("ahead", ago=timedelta(hours=-2), user={"name": "ann"})
    assert (await running.ingest([*late, ahead], query={"source": name}))[0] == 202
    assert (await running.ingest("no format at all", content_type="text/plain", query={"source": name}))[0] == 202
    assert (await running.ingest(b'{"message": "fine"}\n{broken', content_type=NDJSON, query={"source": name}))[
        0
    ] == 202
    state = await source_of(running, name)
    assert (state.events_24h, state.events_7d, state.rejected, state.unparsed) == (6, 6, 1, 1)
    assert state.rate_per_minute == 0.1
    assert state.field_coverage["host.name"] == 0.5
    assert state.field_coverage["user.name"] == round(1 / 6, 4)
    assert state.clock_ahead == 1
    assert 2 * 3_600_000 - 60_000 < state.clock_ahead_ms <= 2 * 3_600_000
    assert state.lag_ms is not None
    assert state.first_seen is not None
    assert state.last_seen is not None
    assert state.first_seen <= state.last_seen
    assert state.retention_days == 365
    assert "generic.text" in state.datasets


async def test_figures_of_the_whole_are_told(running: Siem) -> None:
    before: SiemStats = await call(running, GET_STATS)
    name = f"s{new_id()[-8:]}"
    await running.ingest(b'{"message": "one"}\n{"message": "two"}\nnull', content_type=NDJSON, query={"source": name})
    after: SiemStats = await call(running, GET_STATS)
    assert after.events_total == before.events_total + 2
    assert after.events_last_hour >= 2
    assert (after.sources, after.dead_letters) == (before.sources + 1, before.dead_letters + 1)
    assert after.stored_bytes > 0
    assert after.rules_enabled > 0
    assert (after.waiting_events > 0) == (after.waiting_batches > 0)
    assert set(after.alerts_open) == {"info", "low", "medium", "high", "critical"}


async def test_what_intake_refused_is_kept_with_its_reason(running: Siem) -> None:
    name = f"s{new_id()[-8:]}"
    large = b'{"message": "' + b"x" * (300 * 1024) + b'"}'
    body = b'{"message": "fine"}\n{broken \xff\n' + large
    status, receipt, _ = await running.ingest(body, content_type=NDJSON, query={"source": name})
    assert (status, receipt["rejected"]) == (202, 2)
    kept = {letter.replayable: letter for letter in await letters_of(running, name)}
    assert kept[True].raw == "{broken \\xff"
    assert "not valid JSON" in kept[True].reason
    assert (len(kept[False].raw), kept[False].size > 300 * 1024) == (64 * 1024, True)
    assert {letter.receipt for letter in kept.values()} == {receipt["receipt"]}
    with pytest.raises(AuroraError, match="AURORA-4090"):
        await call(running, REPLAY_DEAD_LETTER, path={"dead_letter_id": kept[False].id})


async def test_a_replayed_item_is_stored_and_its_letter_is_gone(running: Siem, database: Database) -> None:
    name = f"s{new_id()[-8:]}"
    await running.ingest(b'{"message": "fine"}\n{"a": 1', content_type=NDJSON, query={"source": name})
    (letter,) = await letters_of(running, name)
    replayed = await call(running, REPLAY_DEAD_LETTER, path={"dead_letter_id": letter.id})
    found = await running.search(receipt=replayed.receipt)
    assert [(item.id, item.raw, item.source) for item in found] == [(replayed.log_id, '{"a": 1', name)]
    assert await letters_of(running, name) == []
    with pytest.raises(AuroraError, match="AURORA-4040"):
        await call(running, REPLAY_DEAD_LETTER, path={"dead_letter_id": letter.id})


async def test_an_item_that_is_refused_again_stays(running: Siem, database: Database) -> None:
    name = f"s{new_id()[-8:]}"
    refused = letters.Letter(new_id(), datetime.now(UTC), name, None, "r", "why", b"   ", 3, False, True)
    async with database.transaction() as connection:
        await letters.insert(connection, [refused])
    with pytest.raises(AuroraError, match="AURORA-4220"):
        await call(running, REPLAY_DEAD_LETTER, path={"dead_letter_id": refused.id})
    assert [letter.id for letter in await letters_of(running, name)] == [refused.id]


async def test_dead_letters_are_bounded_by_number_size_and_age(running: Siem, database: Database) -> None:
    name = f"s{new_id()[-8:]}"
    now = datetime.now(UTC)
    ages = [timedelta(days=40), *[timedelta(seconds=1)] * 4]
    made = [letters.Letter(new_id(), now - age, name, None, "r", "why", b"x" * 10, 10, False, True) for age in ages]
    async with database.transaction() as connection:
        await letters.insert(connection, made)
    await letters.prune(database, number=10_000, size=10**9, days=30)
    assert [letter.id for letter in await letters_of(running, name)] == [item.id for item in reversed(made[1:])]
    await letters.prune(database, number=3, size=10**9, days=30)
    assert [letter.id for letter in await letters_of(running, name)] == [item.id for item in reversed(made[2:])]
    await letters.prune(database, number=3, size=15, days=30)
    assert [letter.id for letter in await letters_of(running, name)] == [made[-1].id]


async def test_retention_is_set_and_ended(running: Siem) -> None:
    name = f"s/{new_id()[-8:]}"
    with pytest.raises(AuroraError, match="AURORA-4040"):
        await call(running, UPDATE_SOURCE, path={"name": name}, body=SourceUpdate(retention_days=7))
    await running.ingest([event("one", ago=timedelta())], query={"source": name})
    policy = await call(running, UPDATE_SOURCE, path={"name": name}, body=SourceUpdate(retention_days=7))
    assert (policy.name, policy.retention_days, policy.changed_by) == (name, 7, "test")
    await running.ingest([event("two", ago=timedelta())], query={"source": name})
    assert (await source_of(running, name)).retention_days == 7
    assert len(await running.search(source=name)) == 2
    await call(running, UPDATE_SOURCE, path={"name": name}, body=SourceUpdate(retention_days=None))
    assert (await source_of(running, name)).retention_days == 365


async def test_retention_holds_for_stored_and_for_new_events(servers: Servers) -> None:
    name = f"s{new_id()[-8:]}"
    with data_folder() as folder:
        async with siem(servers, folder, log_retention_days="30") as running:
            await running.ingest([event("old", ago=timedelta())], query={"source": name})
            await running.ingest([event("other", ago=timedelta())], query={"source": "other"})
            await call(running, UPDATE_SOURCE, path={"name": name}, body=SourceUpdate(retention_days=7))
            await running.ingest([event("new", ago=timedelta())], query={"source": name})
            await running.stop()
            clickhouse = await ClickHouse.open(running.place())
            try:
                assert await _days_kept(clickhouse) == {"new": 7, "old": 7, "other": 30}
                # The source's events arrived ten days ago; when the table is merged they go, and only they.
                await _age(clickhouse, name, days=10)
                await store.keep(clickhouse, name, 7)
                async with asyncio.timeout(30):
                    while set(await _days_kept(clickhouse)) != {"other"}:
                        await clickhouse.command("OPTIMIZE TABLE logs FINAL")
            finally:
                await clickhouse.close()


async def _days_kept(clickhouse: ClickHouse) -> dict[str, int]:
    rows = await clickhouse.query("SELECT message, dateDiff('day', ingested_at, keep_until) AS days FROM logs")
    return {row["message"]: row["days"] for row in rows}


async def _age(clickhouse: ClickHouse, name: str, *, days: int) -> None:
    rows = await clickhouse.query("SELECT * FROM logs WHERE source = {name:String}", {"name": name})
    assert len(rows) == 2
    aged = [{**row, "ingested_at": row["ingested_at"] - timedelta(days=days), "id": new_id()} for row in rows]
    text = [{key: _text(value) for key, value in row.items()} for row in aged]
    await clickhouse.command("ALTER TABLE logs DELETE WHERE source = {name:String}", {"name": name})
    await clickhouse.insert_json_each_row("logs", b"\n".join(orjson.dumps(row) for row in text))


def _text(value: Any) -> Any:
    return value.strftime("%Y-%m-%d %H:%M:%S") if isinstance(value, datetime) else value
