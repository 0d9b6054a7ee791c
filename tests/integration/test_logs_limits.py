"""What a search may cost, on the real engine."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from services.siem.logs.service import Logs, read_batch
from services.siem.logs.store import LogStore
from services.siem.logs.writer import Writer
from services.siem.worklist.service import Worklist
from shared.clickhouse import ClickHouse, Embedded
from shared.contracts.logs import LogQuery
from shared.errors import VALIDATION, AuroraError
from tests import stack
from tests.roles import migrated
from tests.stack import Servers

SIEM = Path(__file__).parents[2] / "services" / "siem"
ROWS = """INSERT INTO logs (id, batch, timestamp, ingested_at, source, dataset, message, raw, ecs)
SELECT toString(number), 1, fromUnixTimestamp(1772366400) + toIntervalSecond(number), now(), 'test', 'generic.text',
       repeat(hex(sipHash128(number)), 8), repeat(hex(sipHash128(number)), 32), '{}'
FROM numbers(200000)"""


async def test_a_search_that_takes_too_long_says_how_to_narrow_it(servers: Servers) -> None:
    with stack.data_folder() as folder:
        clickhouse = await ClickHouse.open(Embedded(folder / "engine"), read_seconds=0.02)
        try:
            await clickhouse.apply(SIEM / "clickhouse")
            await clickhouse.command(ROWS)
            store = LogStore(clickhouse)
            async with migrated(servers, "siem", SIEM / "migrations") as database:
                worklist = Worklist(database, partial(read_batch, store), alone=True)
                logs = Logs(store, Writer(store, worklist, max_bytes=1))
                with pytest.raises(AuroraError) as refused:
                    await logs.search(LogQuery(q="*a*b*c*d*e*f*nothing*"))
            assert refused.value.code is VALIDATION
            [problem] = refused.value.detail
            assert problem["path"] == "query.q"
            assert "time limit" in problem["message"]
            assert "since" in problem["message"]
        finally:
            await clickhouse.close()
