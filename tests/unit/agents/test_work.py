"""Tools run within the budget, the capabilities and the deadline; each run is a citation anyone can check."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import orjson
import pytest

from services.agents.toolkit.records import MAX_RESULT_BYTES, bound, record
from services.agents.toolkit.sources import Sources
from services.agents.toolkit.tool import Tool
from services.agents.toolkit.tools.alerts import GET_ALERT_TOOL, AlertArguments
from shared.client import Client
from shared.content import content_address
from shared.contracts.constants import SIEM_READ
from tests.unit.agents.agent_kit import NOW, Told, citation, context, unused_port, work


class Number(msgspec.Struct, frozen=True):
    value: int


async def _double(arguments: Number, _sources: Sources) -> Any:
    return {"double": arguments.value * 2}


async def _hang(_arguments: Number, _sources: Sources) -> Any:
    await asyncio.Event().wait()


DOUBLE = Tool("double", "Doubles", Number, None, _double)
READ = Tool("read", "Reads the logs", Number, SIEM_READ, _double)
HANG = Tool("hang", "Never ends", Number, None, _hang)


async def test_a_tool_run_becomes_a_citation_with_its_content_address() -> None:
    doing = work()
    found = await doing.use(DOUBLE, Number(2))
    assert found is not None
    assert found.result == {"double": 4}
    assert found.id == content_address("double", {"value": 2}, {"double": 4})
    assert doing.citations == [found]


async def test_the_same_call_is_answered_from_its_record_and_costs_nothing() -> None:
    doing = work(context(tool_calls=1))
    first = await doing.use(DOUBLE, Number(2))
    assert first is not None
    assert await doing.use(DOUBLE, Number(2)) is first
    assert doing.not_checked == []


async def test_beyond_the_budget_a_tool_is_not_run_and_the_assessment_says_so() -> None:
    doing = work(context(tool_calls=1))
    await doing.use(DOUBLE, Number(1))
    assert await doing.use(DOUBLE, Number(2)) is None
    assert doing.not_checked == ["double: the budget of tool calls is spent"]


async def test_a_tool_whose_permission_was_not_granted_is_not_run() -> None:
    doing = work(context(capabilities=()))
    assert await doing.use(READ, Number(1)) is None
    assert doing.not_checked == ["read: not granted (siem:read)"]


async def test_a_tool_that_hangs_ends_with_the_handoff() -> None:
    doing = work(context(seconds=0.05))
    async with asyncio.timeout(5):
        assert await doing.use(HANG, Number(1)) is None
        assert await doing.use(DOUBLE, Number(1)) is None
    assert doing.not_checked == ["hang: out of time", "double: out of time"]


async def test_a_source_that_is_down_makes_a_partial_answer_not_an_error() -> None:
    async with Client(f"http://127.0.0.1:{unused_port()}") as siem:
        doing = work(context(seconds=0.5), siem=siem)
        assert await doing.use(GET_ALERT_TOOL, AlertArguments("ALRT-2026-000001")) is None
    assert doing.not_checked == ["get_alert: out of time"]


async def test_a_finding_without_a_citation_is_refused() -> None:
    with pytest.raises(ValueError, match="citation"):
        await work().find("the sky is falling", 0.9)


async def test_those_who_watch_are_told_of_tools_and_findings() -> None:
    told = Told()
    doing = work(told=told)
    found = await doing.use(DOUBLE, Number(2))
    assert found is not None
    await doing.find("it doubles", 0.5, found)
    assert [(thought.kind, thought.tool_result_id) for thought in told.thoughts] == [
        ("tool", found.id),
        ("finding", found.id),
    ]
    assert {thought.investigation_id for thought in told.thoughts} == {"investigation-1"}


def test_the_address_of_a_result_depends_on_all_of_it_and_not_on_the_order_of_keys() -> None:
    one = content_address("t", {"a": 1, "b": 2}, {"x": [1, 2]})
    assert one == content_address("t", {"b": 2, "a": 1}, {"x": [1, 2]})
    assert (
        len({one, content_address("u", {"a": 1, "b": 2}, {"x": [1, 2]}), content_address("t", {"a": 1}, {"x": [1]})})
        == 3
    )
    assert one.startswith("tr_")


@pytest.mark.parametrize(
    "result",
    [
        {"events": [{"text": "x" * 5000} for _ in range(300)]},
        {"text": "y" * 500_000},
        {"nested": [[["z" * 3000] * 50] * 50]},
        {f"key {number}": "v" * 900 for number in range(500)},
    ],
)
def test_a_large_result_is_cut_to_its_bound_and_says_so(result: Any) -> None:
    cut = bound(result)
    assert len(orjson.dumps(cut)) <= MAX_RESULT_BYTES
    assert "truncated" in str(cut)


def test_a_result_that_fits_is_kept_as_it_is() -> None:
    result = {"events": [1, 2, 3]}
    assert bound(result) is result
    assert record("triage", "t", {}, result, NOW).result == result
    assert citation(result).id == citation(result).id
