"""Alerts that belong together share an investigation, which goes on in rounds, also when a worker dies."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
import pytest_asyncio

from services.orchestrator.investigations import queue_store
from shared.clock import utc_now
from shared.contracts.events import CloudEvent
from shared.contracts.investigations import INVESTIGATION_UPDATED
from shared.contracts.wire import decode
from shared.rpc import CallContext
from tests.orchestrator import (
    Room,
    benign,
    created,
    everything,
    held,
    on,
    only,
    orchestrator,
    seen_again,
    until,
)
from tests.stack import Servers


@pytest_asyncio.fixture(loop_scope="session")
async def room(servers: Servers) -> AsyncIterator[Room]:
    """An orchestrator on a schema of its own."""
    async with orchestrator(servers) as room:
        yield room


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
    assert about == [("ALRT-2026-000001", []), ("ALRT-2026-000001", ["ALRT-2026-000002"])]
    assert [step.round for step in ended.steps] == [1, 1, 1, 2, 2, 2]


async def test_an_investigation_that_has_ended_goes_on_for_an_alert_that_joins(room: Room) -> None:
    await created(room, "ALRT-2026-000001", **on("web-1"))
    async with room.working():
        first = await room.ended((await only(room, "ALRT-2026-000001")).id)
        await created(room, "ALRT-2026-000002", **on("web-1"))
        await until(lambda: _at_round(room, first.id, 2))
        ended = await room.ended(first.id)
    assert (ended.verdict, ended.confidence) == (first.verdict, first.confidence)
    assert ended.first_verdict_at == first.first_verdict_at
    assert ended.alert_ids == ["ALRT-2026-000001", "ALRT-2026-000002"]


async def test_what_is_said_of_all_alerts_takes_the_place_of_what_was_said_of_the_first(room: Room) -> None:
    entered, go = asyncio.Event(), asyncio.Event()
    room.specialists.answers |= {agent: benign(agent) for agent in room.team}
    room.specialists.answers["endpoint_analyst"] = held(entered, go, "endpoint_analyst", "benign")
    await created(room, "ALRT-2026-000001", **on("web-1"))
    async with room.working(), asyncio.timeout(20):
        await entered.wait()
        room.specialists.answers.clear()
        await created(room, "ALRT-2026-000002", **on("web-1", severity="critical"))
        go.set()
        ended = await room.ended((await only(room, "ALRT-2026-000001")).id)
    assert (ended.verdict, ended.contradictions) == ("malicious", [])
    asked = [params for agent, _, params in room.specialists.asked if agent == "triage"]
    assert (asked[-1].alert_id, asked[-1].related) == ("ALRT-2026-000002", ["ALRT-2026-000001"])


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
    assert ended.round == 5
    asked = [
        params for agent, context, params in room.specialists.asked if agent == "triage" and _of(context, first.id)
    ]
    assert [1 + len(params.related) for params in asked] == [11, 11, 11, 11, 6]
    assert {params.alert_id for params in asked} < set(first.alert_ids)
    assert {name for params in asked for name in (params.alert_id, *params.related)} == set(first.alert_ids)


def _of(context: CallContext, identifier: str) -> bool:
    return context.handoff is not None and context.handoff.investigation_id == identifier


async def test_an_alert_that_is_seen_again_lets_its_investigation_go_on(servers: Servers) -> None:
    async with orchestrator(servers, continue_seconds=0.0) as room, room.working():
        await created(room, "ALRT-2026-000001", **on("web-1", count=4))
        first = await room.ended((await only(room, "ALRT-2026-000001")).id)
        await seen_again(room, "ALRT-2026-000001", 4, **on("web-1"))
        assert (await room.investigations.get(first.id)).completed_at == first.completed_at
        await seen_again(room, "ALRT-2026-000001", 5, **on("web-1"))
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
    assert due == first.completed_at + timedelta(seconds=room.settings.continue_seconds)
    assert await queue_store.continue_due(room.database, due - timedelta(seconds=1)) == 0
    assert await queue_store.continue_due(room.database, due) == 1


async def test_the_more_rounds_there_were_the_longer_an_alert_that_is_seen_again_waits(room: Room) -> None:
    await created(room, "ALRT-2026-000001", **on("web-1"))
    async with room.working():
        first = await room.ended((await only(room, "ALRT-2026-000001")).id)
        await created(room, "ALRT-2026-000002", **on("web-1"))
        await until(lambda: _at_round(room, first.id, 2))
        again = await room.ended(first.id)
        await seen_again(room, "ALRT-2026-000002", 2, **on("web-1"))
        due = await room.database.fetchval("SELECT continue_at FROM investigations WHERE id = $1", first.id)
    assert again.completed_at is not None
    assert due == again.completed_at + timedelta(seconds=2 * room.settings.continue_seconds)


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
    assert (params.alert_id, params.related) == ("ALRT-2026-000001", ["ALRT-2026-000002"])
