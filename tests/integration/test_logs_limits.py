"""What a search may cost, on the real engine."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from services.siem.logs.search import search_page
from services.siem.logs.store import LogStore
from shared.clickhouse import ClickHouse, Embedded
from shared.contracts.logs import LogQuery
from shared.errors import VALIDATION, AuroraError
from tests import stack

SIEM = Path(__file__).parents[2] / "services" / "siem"
ROWS = """INSERT INTO logs (id, batch, timestamp, ingested_at, source, dataset, message, raw, ecs)
SELECT toString(number), 1, fromUnixTimestamp(1772366400) + toIntervalSecond(number), now(), 'test', 'generic.text',
       repeat(hex(sipHash128(number)), 8), repeat(hex(sipHash128(number)), 32), '{}'
FROM numbers(50000)"""


async def test_a_search_that_takes_too_long_says_how_to_narrow_it() -> None:
    with stack.data_folder() as folder:
        clickhouse = await ClickHouse.open(Embedded(folder / "engine"), read_seconds=0.02)
        try:
            await clickhouse.apply(SIEM / "clickhouse")
            await clickhouse.command(ROWS)
            store = LogStore(clickhouse)
            with pytest.raises(AuroraError) as refused:
                await search_page(store, LogQuery(q="*a*b*c*d*e*f*nothing*"))
            assert refused.value.code is VALIDATION
            [problem] = refused.value.detail
            assert problem["path"] == "query.q"
            assert "time limit" in problem["message"]
            assert "since" in problem["message"]
        finally:
            await clickhouse.close()


async def test_a_search_that_nobody_waits_for_is_stopped_in_the_engine() -> None:
    with stack.data_folder() as folder:
        clickhouse = await ClickHouse.open(Embedded(folder / "engine"), read_seconds=60)
        endless = "SELECT count() AS n FROM numbers(1000000000000) WHERE sipHash64(number) = 1"
        running = "SELECT count() AS n FROM system.processes WHERE query LIKE '%numbers(1000000000000)%'"
        others = " AND query NOT LIKE '%system.processes%'"
        try:
            asked = asyncio.create_task(clickhouse.query(endless))
            await _until_counted(clickhouse, running + others, 1)
            asked.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asked
            await _until_counted(clickhouse, running + others, 0)
        finally:
            await clickhouse.close()


async def _until_counted(clickhouse: ClickHouse, sql: str, wanted: int) -> None:
    async with asyncio.timeout(20):
        while True:
            [row] = await clickhouse.query(sql)
            if row["n"] == wanted:
                return
            await asyncio.sleep(0.02)
