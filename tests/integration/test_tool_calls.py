"""Tool calls on a real Postgres: told and delivered in either order, looked up, and deleted when their time is over."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from services.orchestrator.fleet import store
from services.orchestrator.fleet.service import FleetService
from services.orchestrator.handoffs import Stored
from shared.bus import Discard
from shared.clock import new_id, utc_now
from shared.content import content_address, refusal_address
from shared.contracts.agent_cards import RegisteredAgent, Registration
from shared.contracts.agents import AGENT_IDS, AgentDescription, AgentTool, Budget, Handoff
from shared.contracts.claims import Citation, Refusal
from shared.contracts.common import Page, PageQuery
from shared.contracts.constants import Method
from shared.contracts.events import CloudEvent
from shared.contracts.fleet import TOOL_CALLED, HandedOn, ToolCall, ToolCallQuery
from shared.contracts.investigations import DispatchRecord
from shared.contracts.wire import decode, to_builtins
from shared.errors import AGENT_NOT_FOUND, UNAVAILABLE, AuroraError
from shared.outbox import event_bytes
from shared.postgres import Database
from tests.orchestrator import MIGRATIONS
from tests.roles import migrated
from tests.stack import Servers

TOOL = AgentTool(name="get_alert", description="Read one alert", arguments={"type": "object"}, permission="alerts:read")


class Agents:
    """Agents that describe themselves, one of them, and count how often they are asked."""

    def __init__(self) -> None:
        self.up = True
        self.hangs = False
        self.asked = 0

    def has(self, agent: str) -> bool:
        return self.up and agent == "triage"

    def names(self) -> list[str]:
        return ["triage"] if self.up else []

    def under_way(self, agent: str, url: str) -> int:
        return 3 if (agent, url) == ("triage", "wss://a:1/") else 0

    async def call(
        self, agent: str, _method: Method[Any, Any], _params: Any, *, handoff: Handoff, timeout: float
    ) -> Any:
        if not self.up or self.hangs:
            raise AuroraError(UNAVAILABLE)
        assert handoff.to == agent
        assert timeout > 0
        self.asked += 1
        return AgentDescription(agent, "First look", ["analyze_threat"], ["get_alert"], "v1", [TOOL])


@dataclass
class Room:
    database: Database
    agents: Agents
    fleet: FleetService

    async def told(self, call: ToolCall) -> None:
        payload = event_bytes(TOOL_CALLED, call, service="agents", event_id=new_id())
        event = decode(payload, CloudEvent)
        await self.fleet.on_tool_call(event, decode(bytes(event.data), ToolCall))

    async def answered(self, dispatch: Stored) -> None:
        async with self.database.transaction() as connection:
            await self.fleet.keep(connection, dispatch)

    async def calls(self, **query: Any) -> list[ToolCall]:
        return (await self.fleet.tool_calls("triage", ToolCallQuery(**query))).items


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def database(servers: Servers) -> AsyncIterator[Database]:
    async with migrated(servers, "orchestrator", MIGRATIONS) as migrated_database:
        yield migrated_database


@pytest.fixture
def room(database: Database) -> Room:
    agents = Agents()
    return Room(database, agents, FleetService(database, agents, 90))


def made(handoff_id: str, number: int = 1, *, at: datetime | None = None, reason: str | None = None) -> ToolCall:
    """A call that ended at `at`, refused for the reason if there is one."""
    arguments, result, finished = {"number": number}, {"seen": number}, at or utc_now()
    refusal = Refusal(tool="get_alert", arguments=arguments, reason=reason or "")
    return ToolCall(
        id=content_address("get_alert", arguments, result) if reason is None else refusal_address(refusal),
        agent="triage",
        tool="get_alert",
        arguments=arguments,
        status="completed" if reason is None else "refused",
        result=result if reason is None else None,
        error=reason,
        started_at=finished - timedelta(milliseconds=20),
        finished_at=finished,
        caller="service:orchestrator",
        handoff_id=handoff_id,
        investigation_id=f"i-{handoff_id}",
    )


def answer(*calls: ToolCall) -> Stored:
    """The dispatch whose answer rests on these calls."""
    now = utc_now()
    citations = [
        Citation(
            id=call.id,
            agent=call.agent,
            tool=call.tool,
            arguments=call.arguments,
            result=call.result,
            executed_at=call.finished_at,
        )
        for call in calls
        if call.status == "completed"
    ]
    refused = [
        Refusal(tool=call.tool, arguments=call.arguments, reason=call.error or "")
        for call in calls
        if call.status == "refused"
    ]
    handoff = Handoff(
        handoff_id=calls[0].handoff_id,
        from_="orchestrator",
        to="triage",
        deadline=now,
        budget=Budget(),
        address="ws://a",
    )
    record = DispatchRecord(
        id=calls[0].handoff_id,
        agent="triage",
        method="analyze_threat",
        params={},
        reason="",
        status="completed",
        requested_by="user_ada",
        investigation_id=calls[0].investigation_id,
        started_at=now,
        finished_at=now + timedelta(seconds=3),
        result=to_builtins({"citations": citations, "refused": refused}),
        error=None,
    )
    return Stored(record, handoff, [])


@pytest.mark.parametrize("first", ["told", "delivered"])
async def test_a_call_that_is_told_and_delivered_is_kept_once_with_all_its_times(room: Room, first: str) -> None:
    handoff_id = new_id()
    done, refused = made(handoff_id), made(handoff_id, 2, reason="out of time")
    if first == "told":
        await room.told(done)
        await room.told(refused)
    await room.answered(answer(done, refused))
    for _ in range(2):  # an event may come twice
        await room.told(done)
        await room.told(refused)
    assert sorted(await room.calls(handoff_id=handoff_id), key=lambda call: call.status) == [done, refused]
    kept = await room.fleet.of_handoff(handoff_id)
    assert [one.delivered for one in kept] == [True, True]


@pytest.mark.parametrize("first", ["told", "delivered"])
async def test_by_which_handoff_another_agent_was_asked_is_kept_though_the_answer_does_not_say(
    room: Room, first: str
) -> None:
    handoff_id = new_id()
    handed_on = HandedOn(
        handoff_id=f"{handoff_id}~1", to="threat_intel", hops=1, path=["triage"], traceparent="00-1-2-01"
    )
    asked = msgspec.structs.replace(made(handoff_id), handed_on=handed_on)
    if first == "told":
        await room.told(asked)
    await room.answered(answer(asked))
    await room.told(asked)
    assert [call.handed_on for call in await room.calls(handoff_id=handoff_id)] == [handed_on]


async def test_what_an_answer_rests_on_is_kept_also_when_nothing_was_told(room: Room) -> None:
    call = made(new_id())
    await room.answered(answer(call))
    [kept] = await room.calls(handoff_id=call.handoff_id)
    assert kept == msgspec.structs.replace(call, started_at=None)


async def test_a_record_that_is_not_what_its_address_says_is_not_kept(room: Room) -> None:
    call = made(new_id())
    with pytest.raises(Discard):
        await room.told(msgspec.structs.replace(call, result={"seen": "something else"}))
    assert await room.calls(handoff_id=call.handoff_id) == []


async def test_calls_are_found_by_each_filter_and_walked_newest_first(room: Room) -> None:
    handoff_id, noon = new_id(), utc_now() - timedelta(days=1)
    calls = [made(handoff_id, number, at=noon + timedelta(seconds=number)) for number in range(5)]
    calls.append(made(handoff_id, 7, at=noon + timedelta(seconds=7), reason="not granted (alerts:read)"))
    for call in calls:
        await room.told(call)
    assert await room.calls(id=calls[2].id, handoff_id=handoff_id) == [calls[2]]
    assert await room.calls(status="refused", investigation_id=f"i-{handoff_id}") == [calls[5]]
    assert await room.calls(tool="another", handoff_id=handoff_id) == []
    since, until = noon + timedelta(seconds=1), noon + timedelta(seconds=3)
    assert await room.calls(handoff_id=handoff_id, since=since, until=until) == [calls[2], calls[1]]
    seen, cursor = [], None
    while True:
        query = ToolCallQuery(handoff_id=handoff_id, limit=2, cursor=cursor)
        page = await room.fleet.tool_calls("triage", query)
        seen += page.items
        if (cursor := page.next_cursor) is None:
            break
    assert seen == calls[::-1]


async def test_calls_are_deleted_when_they_are_older_than_they_are_kept(room: Room) -> None:
    handoff_id, now = new_id(), utc_now()
    old, new = made(handoff_id, 1, at=now - timedelta(days=91)), made(handoff_id, 2, at=now - timedelta(days=89))
    for call in (old, new):
        await room.told(call)
    while await store.forget(room.database, now - timedelta(days=90)):
        pass
    assert await room.calls(handoff_id=handoff_id) == [new]


async def test_the_version_that_answered_is_that_of_the_instance_it_was_sent_to(room: Room) -> None:
    now = utc_now()
    room.fleet.follow(
        [
            Registration("one", "v1", now, [RegisteredAgent("triage", "ws://a/", "d")]),
            Registration("two", "v2", now, [RegisteredAgent("triage", "ws://b/", "d")]),
        ]
    )
    call = made(new_id())
    await room.answered(answer(call))
    assert await room.fleet.version_then(call.handoff_id) == "v1"
    assert await room.fleet.version_then(new_id()) == ""


async def test_an_agent_describes_itself_once_for_the_processes_that_serve_it(room: Room) -> None:
    registration = Registration("one", "v1", utc_now(), [RegisteredAgent("triage", "ws://a/", "d")])
    room.fleet.follow([registration])
    assert (await room.fleet.tools("triage", PageQuery())).items == [TOOL]
    assert (await room.fleet.tools("triage", PageQuery())).items == [TOOL]
    assert room.agents.asked == 1
    room.fleet.follow([msgspec.structs.replace(registration, instance="two")])
    await room.fleet.tools("triage", PageQuery())
    assert room.agents.asked == 2


async def test_an_instance_is_shown_with_its_card_its_start_and_what_is_under_way_there(room: Room) -> None:
    began = utc_now()
    places = (("one", "wss://a:1/"), ("two", "ws://b:2"))
    room.fleet.follow([Registration(name, "v1", began, [RegisteredAgent("triage", url, "d")]) for name, url in places])
    triage = next(agent for agent in (await room.fleet.agents(PageQuery())).items if agent.id == "triage")
    assert [(item.instance, item.card, item.under_way, item.started_at) for item in triage.instances] == [
        ("one", "https://a:1/.well-known/agent-card.json", 3, began),
        ("two", "http://b:2/.well-known/agent-card.json", 0, began),
    ]


async def test_agents_and_their_tools_are_listed_in_pages(room: Room) -> None:
    room.fleet.follow([Registration("one", "v1", utc_now(), [RegisteredAgent("triage", "ws://a/", "d")])])
    first = await room.fleet.agents(PageQuery(limit=5))
    rest = await room.fleet.agents(PageQuery(limit=200, cursor=first.next_cursor))
    assert [agent.id for agent in (*first.items, *rest.items)] == list(AGENT_IDS)
    assert (len(first.items), rest.next_cursor) == (5, None)
    assert await room.fleet.tools("triage", PageQuery(limit=1)) == Page([TOOL], None)


async def test_an_agent_that_hangs_is_still_known_by_its_tools(room: Room) -> None:
    room.fleet.follow([Registration("one", "v1", utc_now(), [RegisteredAgent("triage", "ws://a/", "d")])])
    await room.fleet.tools("triage", PageQuery())
    room.fleet.follow([])
    room.agents.hangs = True
    assert (await room.fleet.tools("triage", PageQuery())).items == [TOOL]
    assert (await room.fleet.agents(PageQuery(limit=1))).items[0].status == "down"


async def test_programs_that_use_the_tools_have_calls_though_they_made_none(room: Room) -> None:
    assert (await room.fleet.tool_calls("mcp", ToolCallQuery(tool=new_id()))).items == []


async def test_an_agent_that_left_is_shown_with_what_it_said_last(room: Room) -> None:
    room.fleet.follow([Registration("one", "v1", utc_now(), [RegisteredAgent("triage", "ws://a/", "d")])])
    await room.fleet.tools("triage", PageQuery())
    room.agents.up = False
    room.fleet.follow([])
    listed = {agent.id: agent for agent in (await room.fleet.agents(PageQuery())).items}
    assert list(listed) == list(AGENT_IDS)
    triage = listed["triage"]
    assert (triage.status, triage.instances, triage.description, triage.version) == ("down", [], "First look", "v1")
    assert triage.last_seen is not None
    assert listed["threat_intel"].last_seen is None
    assert (await room.fleet.tools("triage", PageQuery())).items == [TOOL]
    with pytest.raises(AuroraError) as never:
        await room.fleet.tools("threat_intel", PageQuery())
    assert never.value.code is UNAVAILABLE


async def test_an_agent_that_nobody_knows_has_neither_tools_nor_calls(room: Room) -> None:
    with pytest.raises(AuroraError) as tools:
        await room.fleet.tools("nobody", PageQuery())
    with pytest.raises(AuroraError) as calls:
        await room.fleet.tool_calls("nobody", ToolCallQuery())
    assert tools.value.code is calls.value.code is AGENT_NOT_FOUND
