"""What the first tables stored stays searchable by fields and words, whatever was added to the table since."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest_asyncio

from services.siem.logs.search import search_page
from services.siem.logs.store import LogStore
from shared.clickhouse import ClickHouse, Embedded
from shared.contracts.logs import LogQuery
from shared.live_settings import RuntimeDefaults
from tests import stack

SCHEMA = Path(__file__).parents[2] / "services" / "siem" / "clickhouse"
FIELDS = {
    "event.category": ["authentication", "session"],
    "event.code": 4624,
    "event.action": "logged-in",
    "destination.ip": "10.0.0.1",
    "auditd.session": "17",
    "winlog.logon.id": "0x3e7",
    "host.name": "web01",
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def clickhouse() -> AsyncIterator[ClickHouse]:
    """A table as the first migration made it, with rows, brought up to date twice as by two starts."""
    with stack.data_folder() as folder:
        first = folder / "first"
        first.mkdir()
        shutil.copy(SCHEMA / "0001_logs.sql", first)
        opened = await ClickHouse.open(Embedded(folder / "engine"))
        await opened.apply(first)
        await opened.insert_json_each_row("logs", b"\n".join(row(number) for number in range(1000)))
        await opened.apply(SCHEMA)
        await opened.apply(SCHEMA)
        yield opened
        await opened.close()


def row(number: int) -> bytes:
    fields = {**FIELDS, "event.code": number}
    values = {
        "id": f"{number:06d}",
        "timestamp": f"2026-0{number % 2 + 3}-01 00:00:{number % 60:02d}.000",
        "ingested_at": f"2026-0{number % 2 + 3}-01 00:01:00.000",
        "host_name": "web01",
        "message": f"accepted number{number} once",
        "ecs": orjson.dumps(fields).decode(),
        "raw": "raw",
    }
    return orjson.dumps(values)


async def found(clickhouse: ClickHouse, q: str) -> list[str]:
    return [event.id for event in (await search_page(LogStore(clickhouse), LogQuery(q=q, limit=200))).items]


async def test_no_older_row_is_lost_or_doubled(clickhouse: ClickHouse) -> None:
    [counted] = await clickhouse.query("SELECT count() AS n, uniqExact(id) AS ids FROM logs")
    assert counted == {"n": 1000, "ids": 1000}
    tables = await clickhouse.query("SELECT name FROM system.tables WHERE database = currentDatabase()")
    assert tables == [{"name": "logs"}]


async def test_rows_without_a_policy_are_kept_for_the_default_of_sources(clickhouse: ClickHouse) -> None:
    kept = await clickhouse.query("SELECT DISTINCT dateDiff('day', ingested_at, keep_until) AS days FROM logs")
    assert kept == [{"days": RuntimeDefaults().log_retention_days}]


async def test_an_older_row_is_found_by_every_field_that_has_a_column_now(clickhouse: ClickHouse) -> None:
    async with asyncio.timeout(30):
        while True:
            # Filled in the background.
            if await found(clickhouse, "winlog.logon.id:0x3e7"):
                break
            await asyncio.sleep(0.05)
    assert await found(clickhouse, "event.code:77") == ["000077"]
    for term in ("event.category:session", "event.action:logged-in", "destination.ip:10.0.0.0/8", "auditd.session:17"):
        assert await found(clickhouse, f"{term} event.code:(8 or 9)") == ["000009", "000008"], term
    assert await found(clickhouse, "not event.category:authentication") == []


async def test_an_older_row_is_found_by_its_words(clickhouse: ClickHouse) -> None:
    assert await found(clickhouse, "NUMBER421") == ["000421"]
    assert await found(clickhouse, '"accepted number422"') == ["000422"]
    assert await found(clickhouse, "number42") == ["000042"]


async def test_a_page_reads_a_small_part_of_the_wide_columns(clickhouse: ClickHouse) -> None:
    [table] = await clickhouse.query("SELECT create_table_query AS q FROM system.tables WHERE name = 'logs'")
    assert "index_granularity = 1024" in table["q"]
    assert "TTL keep_until" in table["q"]
