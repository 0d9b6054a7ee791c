"""Asking a real siem for rules, runs and coverage, and waiting for what comes of it. Asserts no outcome of its own."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from shared.clock import new_id
from shared.contracts.alerts import LIST_ALERTS, Alert, AlertQuery
from shared.contracts.coverage import GET_RULE_COVERAGE, CoverageGap, RuleCoverage
from shared.contracts.detections import CREATE_RULE
from shared.contracts.runs import GET_RUN, RUN_RULE, Run
from shared.contracts.wire import decode
from shared.postgres import Database
from tests.siem import Siem

SAMPLES = Path(__file__).parents[1] / "samples" / "recorded"
SINCE = "2020-01-01T00:00:00Z"
EARLIER = datetime(2026, 11, 20, tzinfo=UTC)


def rule(identifier: str, marker: str) -> str:
    return f"""\
title: A marker {marker}
id: {identifier}
status: test
level: high
logsource: {{product: linux, category: process_creation}}
detection:
  selection:
    CommandLine|contains: '{marker}'
  condition: selection
"""


def execution(marker: str, moment: datetime = EARLIER) -> str:
    serial = int(new_id().replace("-", "")[-8:], 16)
    stamp = f"node=web09 type={{}} msg=audit({moment.timestamp():.3f}:{serial}):"
    call = 'arch=c000003e syscall=59 success=yes exit=0 ppid=10 pid=11 uid=0 auid=0 comm="echo" exe="/bin/echo"'
    return f'{stamp.format("SYSCALL")} {call}\n{stamp.format("EXECVE")} argc=2 a0="/bin/echo" a1="{marker}"'


async def call(running: Siem, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    headers = {**running.headers(), "Content-Type": "application/json"}
    data = None if body is None else orjson.dumps(body)
    async with running.http().request(method, running.url + path, data=data, headers=headers) as response:
        return response.status, orjson.loads(await response.read())


async def create(running: Siem, identifier: str, marker: str) -> None:
    status, answer = await call(running, "POST", CREATE_RULE.path, {"sigma": rule(identifier, marker)})
    assert status == 201, answer


async def start(running: Siem, path: str, **body: str) -> Run:
    status, answer = await call(running, "POST", path, {"since": SINCE, **body})
    assert status == 202, answer
    return decode(orjson.dumps(answer), Run)


async def ended(running: Siem, run: Run) -> Run:
    async with asyncio.timeout(60):
        while run.status in ("queued", "running"):
            await asyncio.sleep(0.05)
            _, answer = await call(running, "GET", GET_RUN.path.format(run_id=run.id))
            run = decode(orjson.dumps(answer), Run)
    return run


async def run_over_all(running: Siem, rule_id: str) -> Run:
    return await ended(running, await start(running, RUN_RULE.path.format(rule_id=rule_id)))


async def alerts(running: Siem, **query: Any) -> list[Alert]:
    async with running.client() as client:
        return (await client.call(LIST_ALERTS, query=AlertQuery(**query))).items


async def evaluated(database: Database) -> None:
    """Waits until detection is done with all that was sent."""
    async with asyncio.timeout(30):
        while True:
            if not await database.fetchval("SELECT count(*) FROM batches"):
                return
            await asyncio.sleep(0.02)


async def send_samples(running: Siem, database: Database) -> None:
    """Sends the recorded intrusion, once for this file's siem, and waits for detection."""
    if await running.search("", source="samples", limit=1):
        return
    for name in ("audit.log", "auth.log", "nginx-access.log", "cron.log"):
        body = (SAMPLES / name).read_bytes()
        status, answer, _ = await running.ingest(body, content_type="text/plain", query={"source": "samples"})
        assert status == 202, answer
    await evaluated(database)


async def coverage(running: Siem, rule_id: str) -> RuleCoverage:
    _, answer = await call(running, "GET", GET_RULE_COVERAGE.path.format(rule_id=rule_id))
    return decode(orjson.dumps(answer), RuleCoverage)


async def told_gap(running: Siem, rule_id: str) -> CoverageGap:
    """The only gap of a rule, once an alert tells of it."""
    async with asyncio.timeout(20):
        while True:
            [gap] = (await coverage(running, rule_id)).gaps
            if gap.alert_id is not None:
                return gap
            await asyncio.sleep(0.05)


async def serve(database: Database, rule_id: str, enabled: bool) -> None:
    await database.execute(
        "UPDATE rules SET enabled = $2, revision = nextval('rule_revisions') WHERE id = $1", rule_id, enabled
    )
