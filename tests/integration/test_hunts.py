"""Hunts through siem's API: saved, run, compared with the run before, scheduled, cancelled, taken up after a crash."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from msgspec import UNSET

from services.siem.hunts import store
from shared.clock import new_id
from shared.contracts.common import PageQuery
from shared.contracts.constants import Endpoint
from shared.contracts.hunts import (
    CANCEL_HUNT_RUN,
    CREATE_HUNT,
    GET_HUNT_RUN,
    LIST_HUNT_RUNS,
    LIST_HUNTS,
    RUN_HUNT,
    UPDATE_HUNT,
    Hunt,
    HuntCreate,
    HuntParameter,
    HuntRunDetail,
    HuntRunRequest,
    HuntUpdate,
)
from shared.errors import AuroraError
from shared.postgres import Database
from tests.siem import Siem, siem
from tests.stack import Servers, data_folder

NOW = datetime.now(UTC)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def running(servers: Servers) -> AsyncIterator[Siem]:
    """One siem for this file; hunts and events keep apart by their markers."""
    with data_folder() as folder:
        async with siem(servers, folder) as running:
            yield running


@pytest_asyncio.fixture(loop_scope="session")
async def database(running: Siem) -> AsyncIterator[Database]:
    """The schema of that siem."""
    database = await Database.connect(running.environment["AURORA_POSTGRES_DSN"], max_size=4)
    yield database
    await database.close()


async def call(running: Siem, endpoint: Endpoint[Any, Any, Any], **arguments: Any) -> Any:
    async with running.client() as client:
        return await client.call(endpoint, **arguments)


async def store_events(running: Siem, marker: str, count: int) -> None:
    moment = (datetime.now(UTC) - timedelta(minutes=5)).isoformat()
    events = [{"@timestamp": moment, "message": f"{marker} {n}", "host": {"name": marker}} for n in range(count)]
    status, body, _ = await running.ingest(events)
    assert status == 202, body


async def ended(running: Siem, run_id: str) -> HuntRunDetail:
    async with asyncio.timeout(60):
        while True:
            run: HuntRunDetail = await call(running, GET_HUNT_RUN, path={"run_id": run_id})
            if run.status not in ("queued", "running"):
                return run
            await asyncio.sleep(0.05)


async def saved(running: Siem, **values: Any) -> Hunt:
    hunt: Hunt = await call(running, CREATE_HUNT, body=HuntCreate(**{"name": "a hunt", **values}))
    return hunt


async def run_of(running: Siem, hunt: Hunt, **values: Any) -> HuntRunDetail:
    run = await call(running, RUN_HUNT, path={"hunt_id": hunt.id}, body=HuntRunRequest(**values))
    return await ended(running, run.id)


async def test_a_hunt_finds_its_events_and_tells_what_is_new(running: Siem) -> None:
    marker = f"m{new_id()[-8:]}"
    await store_events(running, marker, 250)
    hunt = await saved(running, query="host.name:{{host}}", parameters=[HuntParameter(name="host")])
    first = await run_of(running, hunt, parameters={"host": marker})
    assert (first.status, first.hits, first.complete, first.diff) == ("completed", 250, True, None)
    assert {hit.message.split()[0] for hit in first.found} == {marker}
    assert first.progress == 1.0
    assert first.duration_ms is not None
    await store_events(running, marker, 2)
    second = await run_of(running, hunt, parameters={"host": marker})
    assert second.diff is not None
    assert (second.hits, second.diff.compared_to, second.diff.new_count, second.diff.gone_count) == (
        252,
        first.id,
        2,
        0,
    )
    assert set(second.diff.new_ids) == {hit.log_id for hit in second.found} - {hit.log_id for hit in first.found}
    page = await call(running, LIST_HUNT_RUNS, path={"hunt_id": hunt.id}, query=PageQuery(limit=1))
    assert [run.id for run in page.items] == [second.id]
    assert page.next_cursor is not None


async def test_a_parameter_can_not_change_the_question(running: Siem) -> None:
    marker = f"m{new_id()[-8:]}"
    await store_events(running, marker, 1)
    hunt = await saved(running, query="host.name:{{host}}", parameters=[HuntParameter(name="host")])
    for value in ("*", f'x" OR "{marker}', f"{marker[:-1]}*"):
        run = await run_of(running, hunt, parameters={"host": value})
        assert (run.status, run.hits) == ("completed", 0)


SIGMA = """\
title: A marker in a command line
id: 4e4e6f0c-1d4e-4a57-8b7a-2f3f6a0b8c11
status: test
level: low
logsource: {{product: linux, category: process_creation}}
detection:
  selection:
    CommandLine|contains: {marker}
  condition: selection
"""


async def test_a_sigma_rule_hunts_in_the_past(running: Siem) -> None:
    marker = f"m{new_id()[-8:]}"
    stamp = f"node=web09 type={{}} msg=audit({int(NOW.timestamp()) - 300}.573:71):"
    call_record = 'arch=c000003e syscall=59 success=yes exit=0 ppid=10 pid=11 uid=0 auid=0 comm="echo" exe="/bin/echo"'
    lines = [
        f"{stamp.format('SYSCALL')} {call_record}",
        f'{stamp.format("EXECVE")} argc=2 a0="/bin/echo" a1="{marker}"',
    ]
    status, body, _ = await running.ingest("\n".join(lines), content_type="text/plain")
    assert status == 202, body
    await store_events(running, marker, 3)
    hunt = await saved(running, sigma=SIGMA.format(marker=marker), mitre_techniques=["T1059.004"])
    run = await run_of(running, hunt)
    assert (run.status, run.hits, run.error) == ("completed", 1, None)
    assert (run.sigma, run.slow) == (hunt.sigma, UNSET)


async def test_a_hunt_that_no_index_helps_with_is_done_and_named_slow(running: Siem) -> None:
    marker = f"m{new_id()[-8:]}"
    await store_events(running, marker, 3)
    query = await run_of(running, await saved(running, query=f"*{marker[:-1]}*"))
    assert (query.status, query.hits, query.slow) == ("completed", 3, [f"*{marker[:-1]}*"])
    no_text = (
        f"title: t\nlogsource: {{product: linux}}\ndetection:\n  a: {{host.name|re: '^{marker}$'}}\n  condition: not a"
    )
    sigma = await run_of(running, await saved(running, sigma=no_text))
    assert (sigma.status, sigma.error) == ("completed", None)
    assert isinstance(sigma.slow, list)
    assert "each event of its log source is read" in sigma.slow[0]


async def test_a_hunt_that_can_not_be_asked_is_refused_with_the_place(running: Siem) -> None:
    for values, code, path in (
        ({"query": 'host.name:"open'}, "AURORA-4220", "body.query"),
        ({"query": "host.name:{{x}}"}, "AURORA-4220", "body.query"),
        ({"query": "word", "sigma": "title: x"}, "AURORA-4220", "body"),
        ({"query": "word", "schedule": "61 * * * *"}, "AURORA-4220", "body.schedule"),
        (
            {"query": "{{x}}", "parameters": [HuntParameter(name="x")], "schedule": "0 4 * * *"},
            "AURORA-4220",
            "body.schedule",
        ),
        ({"sigma": "title: no detection"}, "AURORA-4222", None),
    ):
        with pytest.raises(AuroraError) as refused:
            await saved(running, **values)
        assert refused.value.code.code == code
        if path is not None:
            assert refused.value.detail[0]["path"] == path


async def test_hunts_are_listed_newest_first_and_changed(running: Siem) -> None:
    older, newer = await saved(running, query="one"), await saved(running, query="two", schedule="0 4 * * *")
    page = await call(running, LIST_HUNTS, query=PageQuery(limit=2))
    assert [hunt.id for hunt in page.items] == [newer.id, older.id]
    assert newer.next_run_at is not None
    change = HuntUpdate(name="renamed", query="three", schedule=None)
    changed = await call(running, UPDATE_HUNT, path={"hunt_id": newer.id}, body=change)
    assert (changed.name, changed.query, changed.schedule, changed.next_run_at) == ("renamed", "three", None, None)
    with pytest.raises(AuroraError, match="AURORA-4220"):
        await call(running, UPDATE_HUNT, path={"hunt_id": newer.id}, body=HuntUpdate(sigma="title: x"))
    with pytest.raises(AuroraError, match="AURORA-4040"):
        await call(running, UPDATE_HUNT, path={"hunt_id": "nowhere"}, body=HuntUpdate(name="x"))


async def test_a_due_hunt_is_started_once(running: Siem, database: Database) -> None:
    hunt = await saved(running, query=f"m{new_id()[-8:]}", schedule="0 4 1 1 *")
    async with database.transaction() as mine, database.transaction() as another:
        await mine.execute("UPDATE hunts SET next_run_at = now() - interval '1 minute' WHERE id = $1", hunt.id)
        # What one process has locked, another does not see.
        assert await store.take_due(another) is None
    async with asyncio.timeout(30):
        while True:
            runs = (await call(running, LIST_HUNT_RUNS, path={"hunt_id": hunt.id}, query=PageQuery())).items
            if runs:
                break
            await asyncio.sleep(0.1)
    await ended(running, runs[0].id)
    again = (await call(running, LIST_HUNT_RUNS, path={"hunt_id": hunt.id}, query=PageQuery())).items
    assert [run.created_by for run in again] == ["schedule"]
    assert await database.fetchval("SELECT next_run_at > now() FROM hunts WHERE id = $1", hunt.id)


async def test_a_run_of_a_process_that_died_is_taken_up_again(running: Siem, database: Database) -> None:
    hunt = await saved(running, query="nothing")
    done = await run_of(running, hunt)
    dead = "UPDATE hunt_runs SET status = 'running', owner = 'gone', lease_until = now(), attempts = $2 WHERE id = $1"
    await database.execute(dead, done.id, 1)
    assert (await ended(running, done.id)).status == "completed"
    await database.execute(dead, done.id, 3)
    failed = await ended(running, done.id)
    assert failed.status == "failed"
    assert failed.error is not None
    assert "process ended" in failed.error


async def test_a_run_is_cancelled(running: Siem, database: Database) -> None:
    hunt = await saved(running, query="nothing")
    done = await run_of(running, hunt)
    with pytest.raises(AuroraError, match="AURORA-4090"):
        await call(running, CANCEL_HUNT_RUN, path={"run_id": done.id})
    held = "UPDATE hunt_runs SET status = 'running', owner = 'x', lease_until = now() + interval '1 hour' WHERE id = $1"
    await database.execute(held, done.id)
    cancelled = await call(running, CANCEL_HUNT_RUN, path={"run_id": done.id})
    assert (cancelled.status, cancelled.finished_at is not None) == ("cancelled", True)
    work = store.Work(done.id, hunt.id, "nothing", None, done.since, done.until, 1)
    assert not await store.keep(database, work, "x", 60, 0.5, 1), "its worker must learn that it may stop"
