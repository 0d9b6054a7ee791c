"""Alerts that belong together share an investigation, which goes on in rounds; the queue; and what people decide."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from datetime import timedelta
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from services.orchestrator.investigations import queue_store
from shared.clock import new_id, utc_now
from shared.contracts.agents import AGENT_THOUGHT, AnalyzeThreat, Assessment, Thought
from shared.contracts.alerts import ALERT_UPDATED, AlertChanged
from shared.contracts.common import Severity
from shared.contracts.events import CloudEvent
from shared.contracts.investigations import (
    INVESTIGATION_UPDATED,
    InvestigateRequest,
    Investigation,
    InvestigationDecision,
    InvestigationQuery,
)
from shared.contracts.wire import decode
from shared.errors import CONFLICT, NOT_FOUND, AuroraError
from shared.outbox import event_bytes
from shared.rpc import CallContext
from tests.orchestrator import ANALYST, Answer, Room, assessed, created, only, orchestrator
from tests.shapes import alert
from tests.stack import Servers

WHY = InvestigationDecision(reason="because")


@pytest_asyncio.fixture(loop_scope="session")
async def room(servers: Servers) -> AsyncIterator[Room]:
    """An orchestrator on a schema of its own."""
    async with orchestrator(servers) as room:
        yield room


def on(host: str, **changes: Any) -> dict[str, Any]:
    """What an alert says that was seen on this host."""
    return {"entities": {"host": host}, **changes}


async def everything(room: Room) -> list[Investigation]:
    return (await room.investigations.list_investigations(InvestigationQuery(limit=200))).items


async def seen_again(room: Room, alert_id: str, count: int, **changes: Any) -> None:
    """The event of an alert that counts more now, as the bus delivers it."""
    data = AlertChanged(alert(alert_id, count=count, **changes), ["count"])
    event = decode(event_bytes(ALERT_UPDATED, data, service="siem", event_id=new_id()), CloudEvent)
    await room.investigations.on_alert_update(event, data)


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(20):
        while not await condition():  # noqa: ASYNC110 - a row
            await asyncio.sleep(0.02)


def held(entered: asyncio.Event, go: asyncio.Event, agent: str, verdict: str = "malicious") -> Answer:
    """An answer that waits for a test."""

    async def answer(_params: AnalyzeThreat, _context: CallContext) -> Assessment:
        entered.set()
        await go.wait()
        return assessed(agent, verdict)

    return answer


async def test_alerts_of_one_host_share_an_investigation_and_those_of_another_host_do_not(room: Room) -> None:
    for number, host in enumerate(("web-1", "WEB-1", "web-2", "web-1"), start=1):
        await created(room, f"ALRT-2026-00000{number}", **on(host))
    first = await only(room, "ALRT-2026-000001")
    assert first.alert_ids == ["ALRT-2026-000001", "ALRT-2026-000002", "ALRT-2026-000004"]
    assert (await only(room, "ALRT-2026-000003")).alert_ids == ["ALRT-2026-000003"]
    async with room.working():
        ended = await room.ended(first.id)
    assert ended.verdict == "malicious"
    assert ended.round == 1, "they waited together, so one round was about all of them"
    [params] = [params for agent, _, params in room.specialists.asked if agent == "triage" and params.related]
    assert {params.alert_id, *params.related} == set(first.alert_ids)


async def test_an_alert_that_names_no_host_user_or_address_stays_alone(room: Room) -> None:
    await created(room, "ALRT-2026-000001", entities={})
    await created(room, "ALRT-2026-000002", entities={})
    assert [item.alert_ids for item in await everything(room)] == [["ALRT-2026-000002"], ["ALRT-2026-000001"]]


async def test_an_alert_of_another_time_does_not_join(room: Room) -> None:
    long_ago = utc_now() - timedelta(days=40)
    await created(room, "ALRT-2026-000001", **on("web-1"))
    await created(room, "ALRT-2026-000002", **on("web-1", first_seen=long_ago, last_seen=long_ago))
    near = long_ago + timedelta(minutes=20)
    await created(room, "ALRT-2026-000003", **on("web-1", first_seen=near, last_seen=near))
    assert [item.alert_ids for item in await everything(room)] == [
        ["ALRT-2026-000002", "ALRT-2026-000003"],
        ["ALRT-2026-000001"],
    ]


async def test_an_alert_that_joins_says_which_investigation_it_has(room: Room) -> None:
    await created(room, "ALRT-2026-000001", **on("web-1"))
    await created(room, "ALRT-2026-000002", **on("web-1"))
    first = await only(room, "ALRT-2026-000001")
    rows = await room.database.fetch("SELECT subject, payload FROM outbox ORDER BY seq")
    [payload] = [row["payload"] for row in rows if row["subject"] == INVESTIGATION_UPDATED.name]
    told = decode(bytes(decode(payload, CloudEvent).data), INVESTIGATION_UPDATED.data)
    assert (told.investigation.id, told.joined) == (first.id, ["ALRT-2026-000002"])


async def test_an_alert_that_comes_during_a_round_gets_the_next_one(room: Room) -> None:
    entered, go = asyncio.Event(), asyncio.Event()
    room.specialists.answers["endpoint_analyst"] = held(entered, go, "endpoint_analyst")
    await created(room, "ALRT-2026-000001", **on("web-1"))
    async with room.working(), asyncio.timeout(20):
        await entered.wait()
        await created(room, "ALRT-2026-000002", **on("web-1"))
        go.set()
        ended = await room.ended((await only(room, "ALRT-2026-000001")).id)
    assert (ended.round, ended.status) == (2, "completed")
    about = [(params.alert_id, params.related) for agent, _, params in room.specialists.asked if agent == "triage"]
    assert about == [("ALRT-2026-000001", []), ("ALRT-2026-000002", ["ALRT-2026-000001"])]
    assert [step.round for step in ended.steps] == [1, 1, 1, 2, 2, 2]


async def test_an_investigation_that_has_ended_goes_on_for_an_alert_that_joins(room: Room) -> None:
    await created(room, "ALRT-2026-000001", **on("web-1"))
    async with room.working():
        first = await room.ended((await only(room, "ALRT-2026-000001")).id)
        room.specialists.answers |= {agent: _benign(agent) for agent in room.team}
        await created(room, "ALRT-2026-000002", **on("web-1"))
        await until(lambda: _at_round(room, first.id, 2))
        ended = await room.ended(first.id)
    assert (ended.verdict, ended.confidence) == (first.verdict, first.confidence), (
        "an ordinary alert takes nothing back"
    )
    assert ended.first_verdict_at == first.first_verdict_at
    assert ended.alert_ids == ["ALRT-2026-000001", "ALRT-2026-000002"]


def _benign(agent: str) -> Answer:
    async def answer(_params: AnalyzeThreat, _context: CallContext) -> Assessment:
        return assessed(agent, "benign")

    return answer


async def _at_round(room: Room, identifier: str, number: int) -> bool:
    found = await room.investigations.get(identifier)
    return found.round >= number and found.completed_at is not None


async def test_an_alert_that_is_told_twice_joins_once(room: Room) -> None:
    await created(room, "ALRT-2026-000001", **on("web-1"))
    event, data = await created(room, "ALRT-2026-000002", **on("web-1"))
    await room.investigations.on_alert(event, data)
    await created(room, "ALRT-2026-000002", **on("web-1"))
    assert (await only(room, "ALRT-2026-000002")).alert_ids == ["ALRT-2026-000001", "ALRT-2026-000002"]


async def test_an_investigation_takes_fifty_alerts_and_asks_about_all_of_them_in_few_rounds(room: Room) -> None:
    for number in range(1000, 1052):
        await created(room, f"ALRT-2026-{number:06}", **on("web-1"))
    second, first = await everything(room)
    assert (len(first.alert_ids), len(second.alert_ids)) == (50, 2)
    async with room.working():
        ended = await room.ended(first.id)
    assert ended.round == 10
    asked = [
        params for agent, context, params in room.specialists.asked if agent == "triage" and _of(context, first.id)
    ]
    assert len(asked) == 10
    assert {params.alert_id for params in asked} < set(first.alert_ids)
    assert {name for params in asked for name in (params.alert_id, *params.related)} == set(first.alert_ids)


def _of(context: CallContext, identifier: str) -> bool:
    return context.handoff is not None and context.handoff.investigation_id == identifier


async def test_an_alert_that_is_seen_twice_as_often_lets_its_investigation_go_on(servers: Servers) -> None:
    async with orchestrator(servers, continue_seconds=0.0) as room, room.working():
        await created(room, "ALRT-2026-000001", **on("web-1", count=4))
        first = await room.ended((await only(room, "ALRT-2026-000001")).id)
        await seen_again(room, "ALRT-2026-000001", 7, **on("web-1"))
        assert (await room.investigations.get(first.id)).completed_at == first.completed_at
        await seen_again(room, "ALRT-2026-000001", 8, **on("web-1"))
        await until(lambda: _at_round(room, first.id, 2))
        again = await room.investigations.get(first.id)
    assert [step.agent for step in again.steps] == [*room.team, *room.team]
    assert again.alert_ids == first.alert_ids


async def test_an_alert_that_is_seen_again_at_once_is_not_asked_about_at_once(room: Room) -> None:
    await created(room, "ALRT-2026-000001", **on("web-1"))
    async with room.working():
        first = await room.ended((await only(room, "ALRT-2026-000001")).id)
        await seen_again(room, "ALRT-2026-000001", 2, **on("web-1"))
        await seen_again(room, "ALRT-2026-000001", 100, **on("web-1"))
        due = await room.database.fetchval("SELECT continue_at FROM investigations WHERE id = $1", first.id)
    assert first.completed_at is not None
    assert due == first.completed_at + timedelta(seconds=60)
    assert await queue_store.continue_due(room.database, due - timedelta(seconds=1)) == 0
    assert await queue_store.continue_due(room.database, due) == 1


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
    assert 0 <= waiting.estimate_seconds < 10


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
    room.specialists.answers["threat_intel"] = _benign("threat_intel")
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


STAGES = ("triage", "endpoint_analyst", "triage again", "report_writer")


@pytest.mark.parametrize("stage", STAGES)
async def test_a_worker_that_dies_at_any_stage_of_joined_alerts_loses_and_repeats_nothing(
    servers: Servers, stage: str
) -> None:
    async with orchestrator(servers, ("triage", "endpoint_analyst", "report_writer")) as room:
        reached, go = asyncio.Event(), asyncio.Event()
        _hold(room, stage, reached, go)
        await created(room, "ALRT-2026-000001", **on("web-1"))
        first = asyncio.create_task(room.workers().run())
        async with asyncio.timeout(20):
            if stage == "triage again":
                await until(lambda: _asked(room, "endpoint_analyst"))
                await created(room, "ALRT-2026-000002", **on("web-1"))
                go.set()
                go = asyncio.Event()
                _hold(room, "triage", reached, go)
            await reached.wait()
        first.cancel()  # without giving its lease back, as kill -9 does
        await asyncio.wait([first])
        await created(room, "ALRT-2026-000003", **on("web-1"))
        go.set()
        async with room.working():
            ended = await room.ended((await only(room, "ALRT-2026-000001")).id)
        asked = [(agent, handoff.handoff_id) for agent, c, _ in room.specialists.asked if (handoff := c.handoff)]
    assert (ended.status, ended.verdict) == ("completed", "malicious")
    assert "ALRT-2026-000003" in ended.alert_ids
    calls = [(step.round, step.agent, step.method) for step in ended.steps]
    assert len(calls) == len(set(calls))
    assert {step.status for step in ended.steps} == {"completed"}
    voted = [step for step in ended.steps if step.method == "analyze_threat"]
    assert len(set(asked)) == len(voted), "what was under way was asked again as the same handoff, nothing else was"
    assert len(asked) <= len(voted) + 1


def _hold(room: Room, stage: str, reached: asyncio.Event, go: asyncio.Event) -> None:
    if stage == "report_writer":

        async def before() -> None:
            reached.set()
            await go.wait()

        room.specialists.before_report = before
        return
    agent = "endpoint_analyst" if stage == "triage again" else stage
    room.specialists.answers[agent] = held(reached if stage != "triage again" else asyncio.Event(), go, agent)


async def _asked(room: Room, agent: str) -> bool:
    return agent in room.specialists.agents()


async def test_those_who_look_further_are_asked_once_at_everything_when_no_alert_waits(servers: Servers) -> None:
    async with orchestrator(servers, ("triage", "endpoint_analyst", "threat_hunter", "report_writer")) as room:
        entered, go = asyncio.Event(), asyncio.Event()
        room.specialists.answers["endpoint_analyst"] = held(entered, go, "endpoint_analyst")
        await created(room, "ALRT-2026-000001", **on("web-1"))
        async with room.working(), asyncio.timeout(20):
            await entered.wait()
            await created(room, "ALRT-2026-000002", **on("web-1"))
            go.set()
            ended = await room.ended((await only(room, "ALRT-2026-000001")).id)
    assert [(step.round, step.agent) for step in ended.steps] == [
        (1, "triage"),
        (1, "endpoint_analyst"),
        (2, "triage"),
        (2, "endpoint_analyst"),
        (2, "threat_hunter"),
        (2, "report_writer"),
    ]
    [params] = [params for agent, _, params in room.specialists.asked if agent == "threat_hunter"]
    assert (params.alert_id, params.related) == ("ALRT-2026-000002", ["ALRT-2026-000001"])
