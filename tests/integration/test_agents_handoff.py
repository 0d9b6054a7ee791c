"""Agents that ask agents: three real ports in one process, each of which asks the next."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import msgspec
import pytest

from services.agents.toolkit.agent import Agent, Skill, Surroundings, listen
from services.agents.toolkit.place import place_of
from services.agents.toolkit.sources import Sources
from services.agents.toolkit.tool import Tool
from services.agents.toolkit.work import Work
from shared import telemetry
from shared.client import Client
from shared.clock import new_id, utc_now
from shared.contracts.agents import (
    AGENT_CAPABILITIES,
    ANALYZE_THREAT,
    AnalyzeThreat,
    Assessment,
    Budget,
    Handoff,
    Recorded,
)
from shared.contracts.constants import ALERTS_READ, SIEM_READ
from shared.errors import VALIDATION, AuroraError
from shared.identity import Signer, Verifier, service_principal
from shared.keyring import KeyRing, new_private_key, service_jwk
from shared.rpc import CallContext, Fleet, PeerLimits
from tests import rpc_kit as kit
from tests.unit.agents.agent_kit import Told

NAMES = ("first", "second", "third")
ALERT = "ALRT-2026-000001"


@dataclass
class Seen:
    """What happened at one agent."""

    runs: list[str | None] = field(default_factory=list)
    cancelled: bool = False
    works: list[Work] = field(default_factory=list)


class Link:
    """An agent that asks another one, if it has one, or waits until it is let go."""

    description = "One of a chain"
    tools: Sequence[Tool[Any]] = ()
    skills: Sequence[Skill[Any, Any]] = ()

    def __init__(self, name: str, chain: Chain, asks: str | None) -> None:
        self.id = name
        self._chain = chain
        self._asks = asks

    async def analyze(self, params: AnalyzeThreat, work: Work) -> Assessment:
        """What the next one says, with a word of its own."""
        seen = self._chain.seen[self.id]
        seen.works.append(work)
        await self._chain.note(seen.runs.append, telemetry.traceparent())
        try:
            if self._asks is None:
                await self._chain.gate.wait()
                return Assessment(severity="high", confidence=0.9, mitre_techniques=["T1059"], iocs=[])
            answer = await work.hand_off(
                self._asks, ANALYZE_THREAT, params, reason="who it is", capabilities=[SIEM_READ], budget=Budget(10, 30)
            )
            if answer is None:
                return Assessment(
                    severity="info", confidence=0.0, mitre_techniques=[], iocs=[], not_checked=work.not_checked
                )
            await work.find(f"{self._asks} agrees", answer.result.confidence, answer.citation)
            return Assessment(
                severity=answer.result.severity,
                confidence=answer.result.confidence,
                mitre_techniques=answer.result.mitre_techniques,
                iocs=[],
                findings=work.findings,
            )
        except asyncio.CancelledError:
            seen.cancelled = True
            await self._chain.note(list, ())
            raise


class Chain:
    """Three agents, what they see, and the handoffs between them."""

    def __init__(self) -> None:
        self.seen = {name: Seen() for name in NAMES}
        self.handoffs: dict[str, Handoff] = {}
        self.gate = asyncio.Event()
        self.changed = asyncio.Condition()
        self.addresses: dict[str, str] = {}
        self.told = Told()
        self.top: Fleet
        self.around: Surroundings

    async def note(self, change: Any, value: Any) -> None:
        async with self.changed:
            change(value)
            self.changed.notify_all()

    async def until(self, condition: Any) -> None:
        async with asyncio.timeout(kit.SECONDS), self.changed:
            await self.changed.wait_for(condition)

    async def ask(self, handoff: Handoff) -> Assessment:
        return await self.top.call(
            "first", ANALYZE_THREAT, AnalyzeThreat(alert_id=ALERT), handoff=handoff, timeout=kit.SECONDS
        )


class Noting:
    """The fleet of one agent; what is handed on is noted."""

    def __init__(self, fleet: Fleet, chain: Chain) -> None:
        self._fleet = fleet
        self._chain = chain

    def place(self, agent: str) -> str | None:
        return self._fleet.place(agent)

    async def call(self, agent: str, method: Any, params: Any, *, handoff: Handoff, timeout: float) -> Any:
        self._chain.handoffs[agent] = handoff
        return await self._fleet.call(agent, method, params, handoff=handoff, timeout=timeout)


class Process:
    """What a port needs of its process, with real keys."""

    def __init__(self, keys: KeyRing) -> None:
        self._keys = keys

    def verifier(self, audience: str | None = None) -> Verifier:
        return Verifier(audience or "agents", self._keys)

    def mode(self) -> str:
        return "monitor"


@asynccontextmanager
async def chained(asks: dict[str, str | None]) -> AsyncIterator[Chain]:
    chain, pems = Chain(), {name: new_private_key() for name in ("orchestrator", "agents")}
    process = Process(KeyRing({"keys": [service_jwk(name, pem) for name, pem in pems.items()]}))
    async with AsyncExitStack() as stack:
        siem = await stack.enter_async_context(Client("http://nowhere.invalid"))
        fleets = []
        for name in ("orchestrator", "agents"):
            signer = Signer(name, pems[name])
            fleet = Fleet(partial(_token, signer), {}, PeerLimits(connect_seconds=1.0))
            stack.push_async_callback(fleet.close)
            fleets.append(fleet)
        chain.top, others = fleets
        around = chain.around = Surroundings(Sources(siem), chain.told.publish, Noting(others, chain))
        for name in NAMES:
            agent: Agent = Link(name, chain, asks[name])
            server, entry = await listen(process, agent, place_of("ws://127.0.0.1:0", None), around)
            stack.push_async_callback(server.close, 0.0)
            chain.addresses[name] = entry.url
        for fleet in fleets:
            fleet.follow({name: [url] for name, url in chain.addresses.items()})
        yield chain


def _token(signer: Signer, agent: str) -> str:
    return signer.own_token(f"agent:{agent}")


def made(**changes: Any) -> Handoff:
    given: dict[str, Any] = {
        "handoff_id": new_id(),
        "from_": "orchestrator",
        "to": "first",
        "deadline": kit.handoff().deadline,
        "capabilities": list(AGENT_CAPABILITIES),
        "budget": Budget(40, 60),
        "investigation_id": "investigation-1",
    }
    return Handoff(**{**given, **changes})


IN_A_ROW: dict[str, str | None] = {"first": "second", "second": "third", "third": None}


async def test_cancelling_the_first_call_cancels_the_last_handler() -> None:
    async with chained(IN_A_ROW) as chain:
        call = asyncio.create_task(chain.ask(made()))
        await chain.until(lambda: chain.seen["third"].runs)
        call.cancel()
        await chain.until(lambda: all(seen.cancelled for seen in chain.seen.values()))


async def test_a_deadline_at_the_top_ends_the_last_handler() -> None:
    async with chained(IN_A_ROW) as chain:
        # The last one ends earlier, so that those above may still say so, if they get to it.
        with suppress(AuroraError):
            await chain.ask(made(deadline=kit.handoff(seconds=0.5).deadline))
        await chain.until(lambda: chain.seen["third"].cancelled)


async def test_everything_gets_narrower_on_the_way_and_one_trace_goes_through() -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    async with chained(IN_A_ROW) as chain:
        chain.gate.set()
        top = made(traceparent=trace)
        answer = await chain.ask(top)
        second, third = chain.handoffs["second"], chain.handoffs["third"]
        spans = [seen.runs[0] or "" for seen in chain.seen.values()]
    assert [span.split("-")[1] for span in spans] == ["0af7651916cd43dd8448eb211c80319c"] * 3
    assert [(handoff.hops, handoff.path, handoff.from_) for handoff in (second, third)] == [
        (1, ["first"], "first"),
        (2, ["first", "second"], "second"),
    ]
    assert top.deadline >= second.deadline >= third.deadline
    assert (second.budget.tool_calls, third.budget.tool_calls) == (10, 10)
    assert second.capabilities == third.capabilities == [SIEM_READ]
    assert {handoff.investigation_id for handoff in (second, third)} == {"investigation-1"}
    assert [handoff.handoff_id.startswith(f"{top.handoff_id}~") for handoff in (second, third)] == [True, True]
    assert (answer.severity, answer.confidence) == ("high", 0.9)
    # The answer, and what it rests on itself.
    asked = {citation.arguments["agent"]: citation for citation in answer.citations}
    assert {name: (item.tool, item.agent) for name, item in asked.items()} == {
        "second": ("hand_off", "first"),
        "third": ("hand_off", "second"),
    }
    assert answer.findings[0].citations == [asked["second"].id]
    assert asked["second"].result["cited"] == [asked["third"].id]


async def test_a_handoff_is_told_with_the_way_it_came_and_its_trace() -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    async with chained(IN_A_ROW) as chain:
        chain.gate.set()
        top = made(traceparent=trace)
        await chain.ask(top)
        told = {call.agent: call for call in chain.told.calls}
    first, second = told["first"].handed_on, told["second"].handed_on
    assert first is not None
    assert second is not None
    assert told["first"].handoff_id == top.handoff_id
    assert (first.to, first.hops, first.path) == ("second", 1, ["first"])
    assert (second.to, second.hops, second.path) == ("third", 2, ["first", "second"])
    assert told["second"].handoff_id == first.handoff_id
    assert [(item.traceparent or "").split("-")[1] for item in (first, second)] == [trace.split("-")[1]] * 2


async def test_what_the_others_tools_brought_is_evidence_in_a_replay_too() -> None:
    async with chained(IN_A_ROW) as chain:
        chain.gate.set()
        answer = await chain.ask(made())
        recorded = Recorded(asked_at=utc_now(), citations=answer.citations, refusals=answer.refused)
        again = await chain.ask(made(recorded=recorded))
        assert msgspec.json.encode(again) == msgspec.json.encode(answer)
        assert len(answer.citations) == 2
        assert [len(seen.runs) for seen in chain.seen.values()] == [2, 1, 1]


async def test_an_agent_in_the_chain_is_not_asked_again() -> None:
    async with chained({"first": "second", "second": "first", "third": None}) as chain:
        await chain.ask(made())
        (work,) = chain.seen["second"].works
        assert len(chain.seen["first"].runs) == 1
    assert work.not_checked == ["first did not answer who it is: AURORA-4220 a cycle: first > second > first"]


async def test_an_agent_refuses_work_that_came_through_it_or_through_too_many() -> None:
    async with chained(IN_A_ROW) as chain:
        for path, hops, place in ((["first", "second"], 2, "path"), ([], 9, "hops")):
            with pytest.raises(AuroraError) as caught:
                await chain.ask(made(path=path, hops=hops))
            assert caught.value.code is VALIDATION
            assert caught.value.detail[0]["path"] == f"params._meta.{place}"
        assert chain.seen["first"].runs == []


async def test_a_handoff_that_is_sent_again_asks_nobody_again() -> None:
    async with chained(IN_A_ROW) as chain:
        chain.gate.set()
        top = made()
        first = await chain.ask(top)
        assert await chain.ask(top) == first
        assert [len(seen.runs) for seen in chain.seen.values()] == [1, 1, 1]


async def test_work_that_starts_again_is_answered_from_what_the_others_did() -> None:
    async with chained(IN_A_ROW) as chain:
        chain.gate.set()
        top = made()
        await chain.ask(top)
        # The first agent's process died and forgot; the same handoff is worked on once more.
        context = CallContext(service_principal("orchestrator"), top, top.handoff_id, None)
        work = Work("first", context, chain.around.sources, chain.around.publish, chain.around.others)
        answer = await Link("first", chain, "second").analyze(AnalyzeThreat(alert_id=ALERT), work)
        assert answer.confidence == 0.9
        assert [len(chain.seen[name].runs) for name in ("second", "third")] == [1, 1]


async def test_an_agent_that_is_not_there_is_noted_and_costs_nothing() -> None:
    async with chained({"first": "nobody", "second": None, "third": None}) as chain:
        answer = await chain.ask(made())
        (work,) = chain.seen["first"].works
    assert answer.not_checked == ["nobody did not answer who it is: it is not there"]
    assert work.citations == []


async def test_nobody_is_granted_what_the_caller_was_not_granted() -> None:
    async with chained({"first": "second", "second": None, "third": None}) as chain:
        chain.gate.set()
        await chain.ask(made(capabilities=[ALERTS_READ, "system:write"]))
        assert chain.handoffs["second"].capabilities == []


async def test_a_replay_takes_the_answer_from_the_record_and_asks_nobody() -> None:
    async with chained({"first": "second", "second": None, "third": None}) as chain:
        chain.gate.set()
        top = made()
        answer = await chain.ask(top)
        recorded = Recorded(asked_at=utc_now(), citations=answer.citations, refusals=answer.refused)
        again = await chain.ask(made(recorded=recorded))
        assert msgspec.json.encode(again) == msgspec.json.encode(answer)
        assert len(chain.seen["second"].runs) == 1
