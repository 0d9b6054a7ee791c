"""What the ClickHouse facade promises, on the engine in this process and on the same engine behind HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import orjson
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.clickhouse import ClickHouse, Embedded, LimitExceededError, Server
from shared.errors import CLICKHOUSE_UNAVAILABLE, AuroraError
from tests import stack
from tests.clickhouse_http import clickhouse_server

MOMENT = datetime(2026, 2, 3, 4, 5, 6, 789000, tzinfo=UTC)
TABLE = """CREATE TABLE IF NOT EXISTS things (id UInt32, at DateTime64(3, 'UTC'), text String)
ENGINE = MergeTree ORDER BY id SETTINGS fsync_after_insert = 1, fsync_part_directory = 1"""


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=["in process", "over HTTP"])
async def clickhouse(request: pytest.FixtureRequest) -> AsyncIterator[ClickHouse]:
    """Both places; a read may take a second."""
    with stack.data_folder() as folder:
        if request.param == "in process":
            opened = await ClickHouse.open(Embedded(folder / "engine"), read_seconds=1)
            await opened.command(TABLE)
            yield opened
            await opened.close()
            return
        async with clickhouse_server(folder) as url:
            opened = await ClickHouse.open(Server(url), read_seconds=1)
            await opened.command(TABLE)
            yield opened
            await opened.close()


async def insert(clickhouse: ClickHouse, *rows: dict[str, object]) -> None:
    await clickhouse.insert_json_each_row("things", b"\n".join(orjson.dumps(row) for row in rows))


async def test_what_was_inserted_is_read_back(clickhouse: ClickHouse) -> None:
    await insert(clickhouse, {"id": 1, "at": "2026-02-03 04:05:06.789", "text": 'it\'s "quoted" \\ ü \x00'})
    [row] = await clickhouse.query("SELECT * FROM things WHERE id = {id:UInt32}", {"id": 1})
    assert row == {"id": 1, "at": MOMENT, "text": 'it\'s "quoted" \\ ü \x00'}


async def test_times_are_bound_and_read_in_utc_whatever_their_zone(clickhouse: ClickHouse) -> None:
    await insert(clickhouse, {"id": 2, "at": "2026-02-03 04:05:06.789", "text": ""})
    elsewhere = MOMENT.astimezone(timezone(timedelta(hours=5, minutes=30)))
    sql = "SELECT at FROM things WHERE id = 2 AND at = {at:DateTime64(3, 'UTC')}"
    assert await clickhouse.query(sql, {"at": elsewhere}) == [{"at": MOMENT}]
    assert await clickhouse.query(sql, {"at": elsewhere + timedelta(milliseconds=1)}) == []


async def test_a_list_is_bound_as_one_parameter(clickhouse: ClickHouse) -> None:
    values = ["a'b", "c,d", "]", "\\", "\n\t\x00"]
    rows = await clickhouse.query("SELECT {values:Array(String)} AS values", {"values": values})
    assert rows == [{"values": values}]


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=50))
async def test_any_text_is_bound_as_it_is(clickhouse: ClickHouse, text: str) -> None:
    assert await clickhouse.query("SELECT {text:String} AS text", {"text": text}) == [{"text": text}]


async def test_a_read_that_takes_too_long_is_ended(clickhouse: ClickHouse) -> None:
    with pytest.raises(LimitExceededError) as ended:
        await clickhouse.query("SELECT count() FROM numbers(1000000000000) WHERE sipHash64(number) = 1")
    assert ended.value.limit == "time"


async def test_a_read_that_needs_too_much_memory_is_ended(clickhouse: ClickHouse) -> None:
    with pytest.raises(LimitExceededError) as ended:
        await clickhouse.query("SELECT length(groupArray(repeat('x', 1000000))) FROM numbers(100000)")
    assert ended.value.limit == "memory"


@pytest.mark.parametrize("sql", ["SELECT secret FROM nowhere", "SELEC 1", "SELECT throwIf(1, 'secret')"])
async def test_what_the_engine_refuses_is_told_without_its_text(clickhouse: ClickHouse, sql: str) -> None:
    with pytest.raises(AuroraError) as refused:
        await clickhouse.query(sql)
    assert refused.value.code is CLICKHOUSE_UNAVAILABLE
    assert refused.value.detail == {"dependency": "clickhouse"}
    assert refused.value.retry_after
    assert await clickhouse.query("SELECT 1 AS one") == [{"one": 1}]


async def test_inserts_and_reads_run_side_by_side(clickhouse: ClickHouse) -> None:
    inserts = [insert(clickhouse, {"id": 1000 + n, "at": 0, "text": "side"}) for n in range(8)]
    reads = [clickhouse.query("SELECT 1 AS one") for _ in range(8)]
    await asyncio.gather(*inserts, *reads, clickhouse.ping())
    assert await clickhouse.query("SELECT count() AS count FROM things WHERE text = 'side'") == [{"count": 8}]


async def test_a_caller_that_leaves_does_not_break_the_lane(clickhouse: ClickHouse) -> None:
    slow = "SELECT count() AS c FROM numbers(1000000000000) WHERE sipHash64(number) = 1"
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await clickhouse.query(slow)
    assert await clickhouse.query("SELECT 1 AS one") == [{"one": 1}]


async def test_an_insert_is_synced_to_the_disk(clickhouse: ClickHouse) -> None:
    sql = "SELECT toUInt64(sum(value)) AS count FROM system.events WHERE event IN ('FileSync', 'DirectorySync')"
    [before] = await clickhouse.query(sql)
    await insert(clickhouse, {"id": 3, "at": 0, "text": "synced"})
    [after] = await clickhouse.query(sql)
    assert after["count"] >= before["count"] + 2


async def test_schema_files_are_applied_in_order_and_again(
    clickhouse: ClickHouse, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    (tmp_path / "0001_first.sql").write_text("CREATE TABLE IF NOT EXISTS first (x UInt8) ENGINE = MergeTree ORDER BY x")
    (tmp_path / "0002_second.sql").write_text("ALTER TABLE first ADD COLUMN IF NOT EXISTS y UInt8")
    await clickhouse.apply(tmp_path)
    await clickhouse.apply(tmp_path)
    assert await clickhouse.query("SELECT x, y FROM first") == []
    (tmp_path / "0003_third.sql").write_text("-- Only where: SELECT count() > 0 FROM first\nDROP TABLE first")
    (tmp_path / "0004_fourth.sql").write_text("-- Only where: SELECT 1\nINSERT INTO first VALUES (1, 2)")
    (tmp_path / "0005_fifth.sql").write_text("-- Only in this process, where: SELECT 1\nTRUNCATE TABLE first")
    await clickhouse.apply(tmp_path)
    left = [] if request.node.callspec.params["clickhouse"] == "in process" else [{"x": 1, "y": 2}]
    assert await clickhouse.query("SELECT x, y FROM first") == left
    (tmp_path / "third.sql").write_text("SELECT 1")
    with pytest.raises(ValueError, match=r"third\.sql"):
        await clickhouse.apply(tmp_path)


async def test_a_server_that_is_down_is_told_when_it_is_asked() -> None:
    away = await ClickHouse.open(Server("http://127.0.0.1:9/aurora"))
    for ask in (away.ping, lambda: away.query("SELECT 1 AS one"), lambda: away.command("SELECT 1")):
        with pytest.raises(AuroraError) as refused:
            await ask()
        assert refused.value.code is CLICKHOUSE_UNAVAILABLE
    await away.close()
