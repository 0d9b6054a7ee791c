"""The order of the queue, what people decide about an investigation, and what its end holds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import msgspec
import pytest
import pytest_asyncio

from shared.clock import new_id, utc_now
from shared.contracts.agents import AGENT_THOUGHT, AnalyzeThreat, Assessment, Thought
from shared.contracts.common import Severity
from shared.contracts.events import CloudEvent
from shared.contracts.investigations import (
    InvestigateRequest,
    InvestigationDecision,
)
from shared.contracts.wire import decode
from shared.errors import CONFLICT, NOT_FOUND, AuroraError
from shared.rpc import CallContext
from tests.orchestrator import (
    ANALYST,
    Room,
    benign,
    created,
    everything,
    held,
    on,
    only,
    orchestrator,
    seen_again,
)
from tests.stack import Servers

WHY = InvestigationDecision(reason="because")


@pytest_asyncio.fixture(loop_scope="session")
async def room(servers: Servers) -> AsyncIterator[Room]:
    """An orchestrator on a schema of its own."""
    async with orchestrator(servers) as room:
        yield room


async def test_the_queue_goes_by_severity_and_says_the_place(room: Room) -> None:
    severities: tuple[Severity, ...] = ("low", "critical", "medium", "critical")
    for number, severity in enumerate(severities, start=1):
        await created(room, f"ALRT-2026-00000{number}", **on(f"host-{number}", severity=severity))
    asked = await room.investigations.investigate(InvestigateRequest(alert_id="ALRT-2026-000005"), ANALYST)
    places = {item.alert_ids[0][-1]: item.position for item in await everything(room)}
    assert places == {"2": 1, "4": 2, "5": 3, "3": 4, "1": 5}, "5 is of level high and was asked for"
    assert (asked.priority, asked.estimate_seconds) == (7, None), "nothing has ended yet"
    async with room.working():
        ended = [await room.ended(item.id) for item in await everything(room)]
    assert all(item.position is None and item.estimate_seconds is None for item in ended)
    order = sorted(ended, key=lambda item: item.steps[0].started_at or utc_now())
    assert [item.alert_ids[0][-1] for item in order] == ["2", "4", "5", "3", "1"]
    await created(room, "ALRT-2026-000006", **on("host-6"))
    waiting = await only(room, "ALRT-2026-000006")
    assert waiting.position == 1
    assert waiting.estimate_seconds is not None
    assert waiting.estimate_seconds >= 0


async def test_a_worse_alert_that_joins_moves_its_investigation_forward(room: Room) -> None:
    await created(room, "ALRT-2026-000001", **on("web-1", severity="low"))
    await created(room, "ALRT-2026-000002", **on("web-2", severity="medium"))
    await created(room, "ALRT-2026-000003", **on("web-1", severity="critical"))
    joined = await only(room, "ALRT-2026-000001")
    assert (joined.position, joined.priority) == (1, 8)


async def test_a_parked_investigation_keeps_what_it_found_and_goes_on_where_it_was(room: Room) -> None:
    entered, go = asyncio.Event(), asyncio.Event()
    room.specialists.answers["endpoint_analyst"] = held(entered, go, "endpoint_analyst")
    await created(room, "ALRT-2026-000001", **on("web-1"))
    identifier = (await only(room, "ALRT-2026-000001")).id
    async with room.working(), asyncio.timeout(20):
        await entered.wait()
        parked = await room.decisions.park(identifier, WHY, ANALYST)
        assert (parked.status, parked.parked_by, parked.position) == ("queued", ANALYST.id, None)
        assert (await room.decisions.park(identifier, WHY, ANALYST)).decisions == parked.decisions
        # Nobody takes it while others are worked on.
        await created(room, "ALRT-2026-000002", **on("web-2"))
        go.set()
        await room.ended((await only(room, "ALRT-2026-000002")).id)
        still = await room.investigations.get(identifier)
        assert (still.status, still.parked_at) == ("queued", parked.parked_at)
        resumed = await room.decisions.resume(identifier, WHY, ANALYST)
        assert resumed.parked_at is None
        ended = await room.ended(identifier)
    assert (ended.status, ended.verdict, ended.round) == ("completed", "malicious", 1)
    assert [(item.action, item.by, item.reason) for item in ended.decisions] == [
        ("park", ANALYST.id, "because"),
        ("resume", ANALYST.id, "because"),
    ]
    about = [(agent, params.alert_id) for agent, _, params in room.specialists.asked]
    assert about.count(("triage", "ALRT-2026-000001")) == 1, "what was answered isn't asked again"


async def test_cancelling_reaches_the_specialist_that_works_and_ends_the_investigation(room: Room) -> None:
    entered, stopped = asyncio.Event(), asyncio.Event()

    async def working(_params: AnalyzeThreat, _context: CallContext) -> Assessment:
        entered.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            stopped.set()
            raise
        raise AssertionError

    room.specialists.answers["endpoint_analyst"] = working
    await created(room, "ALRT-2026-000001", **on("web-1"))
    identifier = (await only(room, "ALRT-2026-000001")).id
    async with room.working(), asyncio.timeout(20):
        await entered.wait()
        cancelled = await room.decisions.cancel(identifier, WHY, ANALYST)
        await stopped.wait()
        # The worker is free again.
        del room.specialists.answers["endpoint_analyst"]
        await created(room, "ALRT-2026-000002", **on("web-2"))
        await room.ended((await only(room, "ALRT-2026-000002")).id)
    assert (cancelled.status, cancelled.decisions[0].action) == ("cancelled", "cancel")
    assert cancelled.completed_at is not None
    steps = {step.agent: (step.status, step.error) for step in (await room.investigations.get(identifier)).steps}
    assert steps["triage"] == ("completed", None)
    assert steps["endpoint_analyst"] == ("skipped", "cancelled")
    assert (await room.decisions.cancel(identifier, WHY, ANALYST)).decisions == cancelled.decisions


async def test_a_cancelled_investigation_takes_no_alert_and_does_not_go_on(room: Room) -> None:
    await created(room, "ALRT-2026-000001", **on("web-1"))
    identifier = (await only(room, "ALRT-2026-000001")).id
    await room.decisions.cancel(identifier, WHY, ANALYST)
    await created(room, "ALRT-2026-000002", **on("web-1"))
    await seen_again(room, "ALRT-2026-000001", 100, **on("web-1"))
    assert (await only(room, "ALRT-2026-000002")).id != identifier
    assert (await room.investigations.get(identifier)).status == "cancelled"


@pytest.mark.parametrize("action", ["park", "resume", "cancel"])
async def test_what_can_not_be_decided_any_more_is_refused(room: Room, action: str) -> None:
    decide = getattr(room.decisions, action)
    with pytest.raises(AuroraError) as unknown:
        await decide(new_id(), WHY, ANALYST)
    assert unknown.value.code is NOT_FOUND
    await created(room, "ALRT-2026-000001", **on("web-1"))
    identifier = (await only(room, "ALRT-2026-000001")).id
    async with room.working():
        await room.ended(identifier)
    with pytest.raises(AuroraError) as late:
        await decide(identifier, WHY, ANALYST)
    assert late.value.code is CONFLICT


async def test_of_an_attack_a_response_is_planned_and_a_report_is_written(servers: Servers) -> None:
    team = ("triage", "endpoint_analyst", "threat_hunter", "incident_responder", "report_writer")
    async with orchestrator(servers, team) as room:
        await created(room, "ALRT-2026-000001", **on("web-1"))
        async with room.working():
            ended = await room.ended((await only(room, "ALRT-2026-000001")).id)
        [request], [report] = room.specialists.plans, room.specialists.reports
    assert [(step.agent, step.method) for step in ended.steps[-2:]] == [
        ("incident_responder", "plan_response"),
        ("report_writer", "write_report"),
    ]
    assert (request.verdict, [prior.agent for prior in request.prior]) == ("malicious", list(team[:3]))
    assert (report.investigation_id, report.plan) == (ended.id, ended.plan)
    assert ended.plan is not None
    assert ended.plan.not_planned == ["nothing that was cited"]
    assert ended.report is not None
    assert ended.report.markdown == "# Report"


async def test_specialists_who_disagree_are_shown_with_what_they_say(room: Room) -> None:
    room.specialists.answers["threat_intel"] = benign("threat_intel")
    await created(room, "ALRT-2026-000001", **on("web-1"))
    async with room.working():
        ended = await room.ended((await only(room, "ALRT-2026-000001")).id)
    [row] = ended.contradictions
    assert row.agents == ["endpoint_analyst", "triage", "threat_intel"]
    assert [claim.partition(" ")[0] for claim in row.claims] == ["malicious", "malicious", "benign"]


async def test_whoever_watches_sees_whom_the_orchestrator_asks_and_the_verdict_so_far(room: Room) -> None:
    _, last = await room.bus.bounds()
    await created(room, "ALRT-2026-000001", **on("web-1"))
    identifier = (await only(room, "ALRT-2026-000001")).id
    async with room.working():
        await room.ended(identifier)
    thoughts: list[Thought] = []
    subject = AGENT_THOUGHT.subject("orchestrator")
    async with asyncio.timeout(20), aclosing(room.bus.read([subject], since=last)) as events:
        async for event in events:
            thought = msgspec.convert(msgspec.json.decode(decode(event.payload, CloudEvent).data), Thought)
            thoughts += [thought] if thought.investigation_id == identifier else []
            if thoughts and thoughts[-1].kind == "finished":
                break
    assert thoughts[0].text == "round 1, wave 1, about ALRT-2026-000001: asking triage analyze_threat"
    assert [item.text.partition(" (")[0] for item in thoughts if item.kind == "finding"][-1] == "so far malicious"
    assert any("wave 2" in item.text and "threat_intel" in item.text for item in thoughts)


async def test_one_that_was_queued_before_alerts_were_kept_is_investigated_by_their_ids(room: Room) -> None:
    await created(room, "ALRT-2026-000001", **on("web-1"))
    # As the migration makes it of a row from before.
    await room.database.execute("UPDATE investigation_alerts SET subject = jsonb_build_object('id', alert_id)")
    async with room.working():
        ended = await room.ended((await only(room, "ALRT-2026-000001")).id)
    assert (ended.verdict, ended.round) == ("malicious", 1)
