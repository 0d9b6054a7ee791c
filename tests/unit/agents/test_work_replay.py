"""A replay answers from the record alone: the same calls, the same bytes, and a call that isn't recorded is named."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import msgspec
import orjson
import pytest

from services.agents.toolkit.sources import Sources
from services.agents.toolkit.tool import Tool, described
from services.agents.toolkit.version import version
from services.agents.toolkit.work import Work
from shared.client import Client
from shared.content import canonical, content_address, refusal_address
from shared.contracts.agents import ANALYZE_THREAT, NOT_RECORDED, AnalyzeThreat, Assessment, Handoff, Recorded
from shared.contracts.common import Observable
from shared.contracts.constants import SIEM_READ, Method
from shared.contracts.wire import encode
from shared.errors import ALERT_NOT_FOUND, AuroraError
from shared.rpc import CallContext
from tests.unit.agents.agent_kit import NOW, Told, context, work


@pytest.fixture
def told() -> Told:
    """A publisher that remembers."""
    return Told()


class Number(msgspec.Struct, frozen=True):
    value: int


class Once:
    """A tool's function that counts, waits as long as it is told, and refuses odd numbers above nine."""

    def __init__(self) -> None:
        self.ran = 0
        self.gates: dict[int, asyncio.Event] = {}

    async def __call__(self, arguments: Number, _sources: Sources) -> Any:
        self.ran += 1
        if arguments.value in self.gates:
            await self.gates[arguments.value].wait()
        if arguments.value > 9 and arguments.value % 2:
            raise AuroraError(ALERT_NOT_FOUND)
        return {"zebra": arguments.value, "ant": {"b": 1, "a": [arguments.value]}}


def tool(run: Any, permission: str | None = None) -> Tool[Number]:
    return Tool("count", "Counts", Number, permission, run)


def assessment(doing: Work) -> Assessment:
    made = Assessment(
        severity="low",
        confidence=0.5,
        mitre_techniques=[],
        iocs=[],
        citations=doing.citations,
        ruled_out=doing.ruled_out,
        not_checked=doing.not_checked,
    )
    return doing.settle(made)


def replayed(doing: Assessment) -> CallContext:
    """The same handoff with the calls of that assessment, as a store of JSON gives them back: in another order of
    keys."""
    stored = msgspec.convert(_shuffled(orjson.loads(encode(doing))), Assessment)
    call = context()
    assert call.handoff is not None
    recorded = Recorded(asked_at=NOW, citations=stored.citations, refusals=stored.refused)
    return msgspec.structs.replace(call, handoff=msgspec.structs.replace(call.handoff, recorded=recorded))


def _shuffled(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _shuffled(item) for key, item in sorted(value.items(), reverse=True)}
    return [_shuffled(item) for item in value] if isinstance(value, list) else value


async def test_calls_that_end_in_another_order_are_replayed_to_the_same_bytes() -> None:
    run = Once()
    run.gates[1] = asyncio.Event()
    doing = work(context(capabilities=(SIEM_READ,)))

    async def second() -> None:
        await doing.use(tool(run), Number(2))
        await doing.use(tool(run), Number(11))
        run.gates[1].set()

    await asyncio.gather(doing.use(tool(run), Number(1)), second())
    await doing.use(Tool("other", "Reads", Number, "alerts:read", run), Number(1))
    before = assessment(doing)
    assert [refusal.reason for refusal in before.refused] == [
        "AURORA-4042 Alert not found",
        "not granted (alerts:read)",
    ]

    again = work(replayed(before))
    ran = run.ran
    await asyncio.gather(again.use(tool(run), Number(1)), again.use(tool(run), Number(2)))
    await again.use(Tool("other", "Reads", Number, "alerts:read", run), Number(1))
    await again.use(tool(run), Number(11))
    assert run.ran == ran, "no tool was run"
    assert canonical(assessment(again)) == canonical(before)
    assert again.refusals == {"count": ALERT_NOT_FOUND}


async def test_what_a_replay_reads_has_the_order_of_keys_of_the_first_time() -> None:
    run = Once()
    doing = work()
    first = await doing.use(tool(run), Number(4))
    second = await work(replayed(assessment(doing))).use(tool(run), Number(4))
    assert first is not None
    assert second is not None
    assert list(first.result) == list(second.result) == ["ant", "zebra"]
    assert list(second.result["ant"]) == ["a", "b"]


async def test_a_call_that_is_not_recorded_is_not_made_but_named() -> None:
    run = Once()
    doing = work()
    await doing.use(tool(run), Number(1))
    again = work(replayed(assessment(doing)))
    assert await again.use(tool(run), Number(3)) is None
    assert run.ran == 1
    [missing] = again.refused
    assert (missing.tool, missing.arguments, missing.reason) == ("count", {"value": 3}, NOT_RECORDED)


class Neighbour:
    """Another agent, somewhere, that counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def place(self, agent: str) -> str | None:
        return f"ws://{agent}/"

    async def call(
        self, agent: str, _method: Method[Any, Any], _params: Any, *, handoff: Handoff, timeout: float
    ) -> Any:
        assert (handoff.to, timeout > 0) == (agent, True)
        self.asked += 1
        return Assessment(severity="high", confidence=0.9, mitre_techniques=["T1071"], iocs=[], verdict="malicious")


async def test_what_another_agent_answered_is_replayed_without_asking_it(told: Told) -> None:
    neighbour, params = Neighbour(), AnalyzeThreat(iocs=[Observable("ip", "192.0.2.7")])

    async def asking(call: CallContext) -> tuple[Work, Assessment]:
        doing = Work("triage", call, Sources(Client("http://nowhere.invalid")), told.publish, neighbour)
        answer = await doing.hand_off("threat_intel", ANALYZE_THREAT, params, reason="who knows it?")
        assert answer is not None
        await doing.find("another says so", 0.9, answer.citation)
        return doing, answer.result

    first, heard = await asking(context())
    again, heard_again = await asking(replayed(assessment(first)))
    assert neighbour.asked == 1
    assert (heard, first.findings) == (heard_again, again.findings)
    assert canonical(assessment(first)) == canonical(assessment(again))


async def test_a_replay_is_silent_and_keeps_the_time_of_the_question() -> None:
    run, told = Once(), Told()
    doing = work()
    await doing.use(tool(run), Number(1))
    again = work(replayed(assessment(doing)), told)
    found = await again.use(tool(run), Number(1))
    assert found is not None
    await again.find("it counts", 0.5, found)
    assert (told.thoughts, told.calls) == ([], [])
    assert again.asked_at == NOW


def test_a_question_was_asked_when_its_handoff_was_made() -> None:
    call = context(seconds=12.5)
    assert isinstance(call.handoff, Handoff)
    assert work(call).asked_at == call.handoff.deadline - timedelta(seconds=12.5)


async def test_the_same_call_at_the_same_time_is_made_once() -> None:
    run = Once()
    run.gates[1] = asyncio.Event()
    doing = work()
    calls = asyncio.gather(*(doing.use(tool(run), Number(1)) for _ in range(5)))
    run.gates[1].set()
    assert len({citation.id for citation in await calls if citation is not None}) == 1
    assert run.ran == 1


async def test_each_call_is_told_with_its_address_and_its_handoff_also_when_refused() -> None:
    run, told = Once(), Told()
    doing = work(context(tool_calls=2), told)
    for value in (1, 11, 3):
        await doing.use(tool(run), Number(value))
    one, two, three = told.calls
    assert one.id == content_address("count", {"value": 1}, one.result)
    assert (one.status, one.error, one.caller, one.handoff_id, one.investigation_id) == (
        ("completed", None, "service:orchestrator", "handoff-1", "investigation-1")
    )
    assert one.started_at is not None
    assert one.started_at <= one.finished_at
    assert (two.status, two.code, two.result) == ("refused", "AURORA-4042", None)
    assert (three.error, three.code) == ("the budget of tool calls is spent", None)
    assert [call.id for call in (two, three)] == [
        refusal_address(refusal) for refusal in sorted(doing.refused, key=lambda item: item.code is None)
    ]


def test_a_tool_says_what_it_takes_as_json_schema() -> None:
    shown = described(tool(Once(), SIEM_READ))
    assert (shown.name, shown.permission) == ("count", SIEM_READ)
    assert shown.arguments["$defs"]["Number"]["properties"] == {"value": {"type": "integer"}}


def test_the_version_names_the_code_and_stays_while_it_does() -> None:
    assert version() == version()
    assert len(version()) == 12
