"""kill -9 of each process of the stack in the middle of a replay: nothing acknowledged is lost, nothing happens twice.

A sender keeps sending lines with markers of their own, one of each batch matching a rule; a killer ends one process
after the other and waits until the supervisor has it back. What must be there in the end follows from what was
acknowledged.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio

from cli import session
from cli.investigate import ENDED
from cli.paging import every
from cli.sending import send
from cli.session import Session
from shared.bus import SUBJECTS, Bus
from shared.contracts.alerts import ALERT_CREATED, LIST_ALERTS, Alert, AlertQuery
from shared.contracts.detections import CREATE_RULE
from shared.contracts.investigations import LIST_INVESTIGATIONS, Investigation, InvestigationQuery
from shared.contracts.logs import SEARCH_LOGS, IngestQuery, LogEvent, LogQuery
from shared.errors import AuroraError
from tests.stack import Stack, data_folder, running_stack, until
from tests.system.waiting import found

VICTIMS = ("gateway", "siem", "orchestrator", "agents", "nats", "postgres")
SOURCE = "crash"
RULE_ID = "5f1f2f0e-3a51-4a6f-8a35-1f6d6c1f9a10"
RULE = f"""title: The Word of the Crash Test
id: {RULE_ID}
status: experimental
logsource:
  product: linux
detection:
  keywords:
    - zanzibarquokka
  condition: keywords
level: medium
"""
#: A second rule on the same lines: its alerts join the investigations of the first one's.
COMPANY_ID = "5f1f2f0e-3a51-4a6f-8a35-1f6d6c1f9a11"
COMPANY = RULE.replace(RULE_ID, COMPANY_ID).replace("The Word", "The Same Word")
LINES = 8
#: A log source has its own pace; in seconds between two batches.
PACE = 0.05
MARKER = re.compile(r"marker-(\d+-\d+)")

pytestmark = pytest.mark.timeout(300)


@dataclass
class Sent:
    """What the sender knows. `host` is in each line: a new one makes a new alert."""

    host: str = "host-0"
    acknowledged: Counter[str] = field(default_factory=Counter)
    retried: set[str] = field(default_factory=set)
    batches: int = 0


@dataclass(frozen=True)
class Replay:
    """What was sent, and everything that is there after it."""

    sent: Sent
    events: list[LogEvent]
    alerts: list[Alert]
    company: list[Alert]
    investigations: list[Investigation]
    raised: list[str]


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """The stack that is hurt."""
    with data_folder() as folder, running_stack(folder) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def replay(stack: Stack) -> AsyncIterator[Replay]:
    """One replay through all kills, and what it left."""
    async with session.opened(session.find(stack.data_dir, None)) as api:
        for rule in (RULE, COMPANY):
            await api.call(CREATE_RULE, body=rule.encode())
        sent = Sent()
        async with asyncio.timeout(170), asyncio.TaskGroup() as group:
            sender = group.create_task(_send_on(api, sent), name="sender")
            for number, victim in enumerate(VICTIMS, start=1):
                await _hurt(stack, victim, sent, f"host-{number}")
            await _go_on(sent, 3)
            sender.cancel()
        yield await _outcome(stack, api, sent)


async def _send_on(api: Session, sent: Sent) -> None:
    while True:
        markers = [f"{sent.batches}-{number}" for number in range(LINES)]
        body = "\n".join(_line(sent.host, marker) for marker in markers) + " zanzibarquokka"

        def again(_error: AuroraError, markers: list[str] = markers) -> None:
            sent.retried.update(markers)

        receipt = await send(api, body.encode(), "text/plain", IngestQuery(source=SOURCE), waiting=again)
        assert (receipt.accepted, receipt.rejected) == (LINES, 0)
        sent.acknowledged.update(markers)
        sent.batches += 1
        await asyncio.sleep(PACE)


def _line(host: str, marker: str) -> str:
    return f"{datetime.now(UTC).isoformat()} {host} app[1]: marker-{marker}"


async def _hurt(stack: Stack, victim: str, sent: Sent, host: str) -> None:
    """kill -9 while lines of a new host come in; returns when it is back and intake goes on."""
    await _go_on(sent, 2)
    sent.host = host
    await _go_on(sent, 1)
    before = stack.runtime.services[victim].pid
    assert before is not None
    os.kill(before, signal.SIGKILL)
    await until(lambda: stack.runtime.services[victim].pid not in (None, before), f"the restart of {victim}", 60)
    await _go_on(sent, 2)


async def _go_on(sent: Sent, batches: int) -> None:
    goal = sent.batches + batches
    await until(lambda: sent.batches >= goal, f"{batches} more acknowledged batches", 60)


async def _outcome(stack: Stack, api: Session, sent: Sent) -> Replay:
    async def settled() -> tuple[list[Alert], list[Alert], list[Investigation]] | None:
        alerts = await every(api, LIST_ALERTS, AlertQuery(rule_id=RULE_ID))
        company = await every(api, LIST_ALERTS, AlertQuery(rule_id=COMPANY_ID))
        investigations = await every(api, LIST_INVESTIGATIONS, InvestigationQuery())
        ended = {alert for item in investigations if item.status in ENDED for alert in item.alert_ids}
        counted = all(sum(alert.count for alert in raised) >= sent.batches for raised in (alerts, company))
        named = {alert.investigation_id for alert in (*alerts, *company)}
        complete = counted and {alert.id for alert in (*alerts, *company)} <= ended and None not in named
        return (alerts, company, investigations) if complete else None

    alerts, company, investigations = await found(settled, "an end of every investigation", 90)
    events = await every(api, SEARCH_LOGS, LogQuery(source=SOURCE))
    return Replay(sent, events, alerts, company, investigations, await _raised(stack))


async def _raised(stack: Stack) -> list[str]:
    """The alert of each aurora.alerts.created event that is stored."""
    nats = stack.runtime.nats
    operator = msgspec.json.decode(Path(nats.credentials_file).read_bytes())  # noqa: ASYNC240 - a hundred bytes
    bus = await Bus.connect(nats.url, user=operator["username"], password=operator["password"], name="test")
    try:
        _, last = await bus.bounds()
        raised = []
        async with asyncio.timeout(30), aclosing(bus.read([SUBJECTS], since=0)) as events:
            async for event in events:
                if event.subject == ALERT_CREATED.name:
                    raised.append(msgspec.json.decode(event.payload)["data"]["alert"]["id"])
                if event.sequence >= last:
                    break
        return raised
    finally:
        await bus.close()


def test_every_acknowledged_event_is_searchable_and_none_is_there_twice_without_a_retry(replay: Replay) -> None:
    stored = Counter(match[1] for event in replay.events if (match := MARKER.search(event.message)))
    assert replay.sent.acknowledged.keys() <= stored.keys()
    twice = {marker for marker, count in stored.items() if count > 1}
    assert twice <= replay.sent.retried


def test_each_host_has_one_alert_that_counts_each_of_its_matches_once(replay: Replay) -> None:
    matches = Counter(event.ecs["host.name"] for event in replay.events if "zanzibarquokka" in event.message)
    assert set(matches) == {f"host-{number}" for number in range(len(VICTIMS) + 1)}
    assert sorted((alert.entities["host"], alert.count) for alert in replay.alerts) == sorted(matches.items())


def test_each_alert_was_told_once(replay: Replay) -> None:
    assert sorted(replay.raised) == sorted(alert.id for alert in (*replay.alerts, *replay.company))


def test_each_alert_has_one_investigation_and_a_verdict(replay: Replay) -> None:
    investigated = Counter(alert for item in replay.investigations for alert in item.alert_ids)
    assert investigated == Counter(alert.id for alert in (*replay.alerts, *replay.company))
    assert {alert.investigation_id for alert in replay.alerts} == {item.id for item in replay.investigations}
    assert [item.id for item in replay.investigations if item.verdict is None] == []


def test_alerts_of_one_host_share_an_investigation_that_asked_nobody_twice_in_a_round(replay: Replay) -> None:
    shared = {alert.entities["host"]: alert.investigation_id for alert in replay.alerts}
    assert {alert.entities["host"]: alert.investigation_id for alert in replay.company} == shared
    for item in replay.investigations:
        assert len(item.alert_ids) == 2
        asked = Counter((step.round, step.agent, step.method) for step in item.steps)
        assert max(asked.values()) == 1
        assert {step.status for step in item.steps} <= {"completed", "failed", "skipped"}
