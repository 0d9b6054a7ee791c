"""Correlations of logins and transfers on a real siem: the rules, events for them, and waiting for what comes of it.

Asserts no outcome of its own.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.client import Client
from shared.clock import new_id
from shared.contracts.alerts import LIST_ALERTS, Alert, AlertQuery
from shared.contracts.feedback import DETECTION_METRICS, MetricsQuery, RuleMetrics
from shared.contracts.runs import GET_RUN, RUN_RULE, Run, RunRequest
from shared.postgres import Database
from tests.siem import Siem

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
#: Read of complete windows: what comes after may undo it.
LARGE, SINGLE, LEAK = (f"3c3f2c1e-5f61-4e0e-9a52-5c8f6a3f0c{number}" for number in ("07", "08", "10"))
SETTLED = f"""\
title: Large transfers
id: {LARGE}
name: large
level: high
correlation:
  type: value_avg
  rules: [transfer]
  group-by: [who]
  timespan: 10m
  condition: {{field: bytes, gt: 100}}
---
title: A login and large transfers on one device
id: {LEAK}
level: critical
correlation:
  type: temporal
  rules: [large, success]
  group-by: [device]
  timespan: 1h
  generate: true
---
title: One transfer alone
id: {SINGLE}
level: low
correlation:
  type: event_count
  rules: [transfer]
  group-by: [who]
  timespan: 10m
  condition: {{eq: 1}}
---
title: A transfer
id: 3c3f2c1e-5f61-4e0e-9a52-5c8f6a3f0c09
name: transfer
level: low
logsource: {{product: portal, service: auth}}
detection: {{selection: {{outcome: sent}}, condition: selection}}
"""
MANY, GUESSED, FAILED, SUCCESS = (f"3c3f2c1e-5f61-4e0e-9a52-5c8f6a3f0c0{number}" for number in (1, 2, 3, 4))


def login(minute: float, outcome: str, **fields: str) -> dict[str, Any]:
    moment = START + timedelta(minutes=minute)
    return {"@timestamp": moment.isoformat(), "event.dataset": "portal.auth", "outcome": outcome, **fields}


def sent(minute: float, who: str, size: int) -> dict[str, Any]:
    return {**login(minute, "sent", who=who, device=f"{who}1"), "bytes": size}


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


async def figures(client: Client, rule_id: str) -> RuleMetrics:
    answer = await client.call(DETECTION_METRICS, query=MetricsQuery(limit=200, since=START))
    return next(item for item in answer.items if item.rule_id == rule_id)


async def run_to_its_end(client: Client, rule_id: str, minutes: int) -> Run:
    wanted = RunRequest(since=START, until=START + timedelta(minutes=minutes))
    run = await client.call(RUN_RULE, path={"rule_id": rule_id}, body=wanted)
    async with asyncio.timeout(30):
        while run.status in ("queued", "running"):
            await asyncio.sleep(0.05)
            run = await client.call(GET_RUN, path={"run_id": run.id})
    assert run.status == "completed"
    return run


async def hits(database: Database, rule_id: str, who: str) -> set[tuple[str, datetime]]:
    rows = await database.fetch(
        "SELECT log_id, timestamp FROM matches WHERE rule_id = $1 AND group_values->>'who' = $2", rule_id, who
    )
    return {(row["log_id"], row["timestamp"]) for row in rows}


async def lateness_passes(database: Database) -> None:
    """Nothing came for an hour; returns when all windows that are complete were read."""
    await database.execute(
        """UPDATE correlation_windows SET touched_at = touched_at - interval '1 hour',
                                          opened_at = opened_at - interval '1 hour'"""
    )
    async with asyncio.timeout(20):
        while True:
            if not await database.fetchval("SELECT count(*) FROM correlation_windows WHERE pending"):
                return
            await asyncio.sleep(0.05)
