"""Correlations on a real siem: their state survives kill -9, late events count, base rules stay silent, chains fire."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest_asyncio

from shared.clock import new_id
from shared.contracts.alerts import LIST_ALERTS, Alert, AlertQuery
from shared.contracts.detections import CREATE_RULE, IMPORT_RULES
from shared.contracts.runs import RUN_RULE, RunRequest
from tests.siem import Siem, siem
from tests.stack import Servers, data_folder

START = datetime(2026, 6, 14, 12, tzinfo=UTC)
RULES = """\
title: Failed logins of a user
id: 3c3f2c1e-5f61-4e0e-9a52-5c8f6a3f0c01
name: many_failed
level: medium
correlation:
  type: event_count
  rules: [failed]
  group-by: [who]
  timespan: 10m
  condition: {gte: 3}
  generate: false
---
title: Guessing succeeded
id: 3c3f2c1e-5f61-4e0e-9a52-5c8f6a3f0c02
level: critical
correlation:
  type: temporal_ordered
  rules: [many_failed, success]
  group-by: [user]
  aliases:
    user: {many_failed: who, success: account}
  timespan: 10m
  generate: true
---
title: One failed login
id: 3c3f2c1e-5f61-4e0e-9a52-5c8f6a3f0c03
name: failed
level: low
logsource: {product: portal, service: auth}
detection: {selection: {outcome: failed}, condition: selection}
---
title: A login
id: 3c3f2c1e-5f61-4e0e-9a52-5c8f6a3f0c04
name: success
level: low
logsource: {product: portal, service: auth}
detection: {selection: {outcome: success}, condition: selection}
---
title: Robots may
id: 3c3f2c1e-5f61-4e0e-9a52-5c8f6a3f0c05
logsource: {product: portal, service: auth}
filter:
  rules: [failed]
  robot: {who: robot}
  condition: not robot
"""
SPRAY = "3c3f2c1e-5f61-4e0e-9a52-5c8f6a3f0c06"
SPRAYED = f"""\
title: Many users from one address
id: {SPRAY}
level: high
correlation:
  type: value_count
  rules: [failed]
  group-by: [address]
  timespan: 5m
  condition: {{field: who, gte: 3}}
"""
MANY, GUESSED, FAILED, SUCCESS = (f"3c3f2c1e-5f61-4e0e-9a52-5c8f6a3f0c0{number}" for number in (1, 2, 3, 4))


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def running(servers: Servers) -> AsyncIterator[Siem]:
    """One siem for this file; users keep the tests apart."""
    with data_folder() as folder:
        async with siem(servers, folder) as started:
            async with started.client() as client:
                report = await client.call(IMPORT_RULES, body=RULES.encode())
            assert (report.created, report.errors, report.unserved) == (5, [], [])
            yield started


def login(minute: float, outcome: str, **fields: str) -> dict[str, Any]:
    moment = START + timedelta(minutes=minute)
    return {"@timestamp": moment.isoformat(), "event.dataset": "portal.auth", "outcome": outcome, **fields}


async def send(running: Siem, *events: dict[str, Any]) -> None:
    status, answer, _ = await running.ingest(list(events))
    assert (status, answer["accepted"]) == (202, len(events))


async def alerts(running: Siem, rule_id: str, ending: str) -> list[Alert]:
    async with running.client() as client:
        found = (await client.call(LIST_ALERTS, query=AlertQuery(rule_id=rule_id))).items
    return [alert for alert in found if alert.source_ref.endswith(ending)]


async def alert(running: Siem, rule_id: str, ending: str, count: int) -> Alert:
    """The one alert of a rule and group, once it counts so many."""
    async with asyncio.timeout(30):
        while True:
            found = await alerts(running, rule_id, ending)
            if found and found[0].count >= count:
                assert ([item.count for item in found]) == [count]
                return found[0]
            await asyncio.sleep(0.05)


async def settled(running: Siem) -> None:
    """Returns when everything sent before is evaluated: batches are taken in turn."""
    marker = new_id()
    await send(running, login(0, "success", account=marker, host=marker))
    await alert(running, SUCCESS, marker, 1)


async def test_a_window_that_fills_over_a_crash_and_out_of_order_fires_once_and_cites_its_events(
    running: Siem,
) -> None:
    await send(running, login(9, "failed", who="eve"), login(5, "failed", who="eve"))
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
