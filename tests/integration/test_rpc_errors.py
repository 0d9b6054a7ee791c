"""What a caller is told when a call fails: codes, data, and never the text of an exception."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from websockets.asyncio.client import ClientConnection

from shared.contracts.agents import ANALYZE_THREAT, AnalyzeThreat, Assessment
from shared.contracts.common import Observable
from shared.errors import ALERT_NOT_FOUND, INTERNAL, METHOD_NOT_ALLOWED, PAYLOAD_TOO_LARGE, VALIDATION, AuroraError
from shared.rpc import CallContext, PeerLimits, RpcLimits, bind, serve
from tests import rpc_kit as kit
from tests.rpc_kit import SECONDS, Agent, ask, peer_of, raw, serving


@pytest_asyncio.fixture
async def socket() -> AsyncIterator[ClientConnection]:
    async with serving(Agent()) as server, raw(server) as connection:
        yield connection


async def test_the_pages_request_gets_the_pages_answer() -> None:
    async def analyze(params: AnalyzeThreat, _context: CallContext) -> Assessment:
        assert params.alert_id == "ALRT-2026-05821"
        return Assessment(
            severity="high",
            confidence=0.89,
            mitre_techniques=["T1566.001"],
            iocs=[Observable("domain", "evil.example.com")],
        )

    server = await serve([bind(ANALYZE_THREAT, analyze)], host=kit.HOST, port=0, authenticate=kit.authenticate)
    async with raw(server) as connection:
        reply = await ask(
            connection,
            """{
            "jsonrpc": "2.0",
            "method": "analyze_threat",
            "params": {
            "alert_id": "ALRT-2026-05821",
            "iocs": [{"type": "ip", "value": "45.33.32.156"}]
            },
            "id": "req-001"
            }""",
        )
        missing = await ask(connection, {"jsonrpc": "2.0", "method": "analyse_threat", "id": "req-001"})
    await server.close()
    assert reply["jsonrpc"] == "2.0"
    assert reply["id"] == "req-001"
    assert "error" not in reply
    page = {
        "severity": "high",
        "confidence": 0.89,
        "mitre_techniques": ["T1566.001"],
        "iocs": [{"type": "domain", "value": "evil.example.com"}],
    }
    assert reply["result"] | page == reply["result"]
    assert missing == {"jsonrpc": "2.0", "error": {"code": -32601, "message": "Method not found"}, "id": "req-001"}


@pytest.mark.parametrize(
    ("params", "path"),
    [
        ({"minuend": "many", "subtrahend": 1}, "params.minuend"),
        ({"minuend": 1}, "params"),
        ({"minuend": 1, "subtrahend": 2, "third": 3}, "params"),
        ({"minuend": 1, "subtrahend": 2, "_meta": {"handoff_id": 5}}, "params._meta.handoff_id"),
        ({"minuend": 1, "subtrahend": 2, "_meta": "x"}, "params._meta"),
    ],
)
async def test_invalid_params_name_the_field(socket: ClientConnection, params: dict[str, Any], path: str) -> None:
    error = (await ask(socket, {"jsonrpc": "2.0", "method": "subtract", "params": params, "id": 1}))["error"]
    assert error["code"] == -32602
    assert error["message"] == "Invalid params"
    assert error["data"]["code"] == "AURORA-4220"
    assert [problem["path"] for problem in error["data"]["detail"]] == [path]


async def test_a_deadline_without_a_time_zone_is_refused(socket: ClientConnection) -> None:
    meta = {"handoff_id": "h", "from": "a", "to": "b", "deadline": "2026-11-02T10:00:00"}
    error = (await ask(socket, {"jsonrpc": "2.0", "method": "sum", "params": {"_meta": meta}, "id": 1}))["error"]
    assert [problem["path"] for problem in error["data"]["detail"]] == ["params._meta.deadline"]


async def test_an_unexpected_exception_says_nothing_of_itself(socket: ClientConnection) -> None:
    reply = await ask(socket, {"jsonrpc": "2.0", "method": "fail", "id": 1})
    assert reply == {"jsonrpc": "2.0", "error": {"code": -32603, "message": "Internal error"}, "id": 1}


async def test_a_refusal_carries_its_aurora_code(socket: ClientConnection) -> None:
    reply = await ask(socket, {"jsonrpc": "2.0", "method": "refuse", "id": 1})
    assert reply["error"] == {
        "code": -32013,
        "message": "Alert not found",
        "data": {"code": "AURORA-4042", "detail": {"alert_id": "ALRT-2026-000001"}},
    }


async def test_a_detail_that_cannot_be_said_becomes_an_internal_error(socket: ClientConnection) -> None:
    reply = await ask(socket, {"jsonrpc": "2.0", "method": "stutter", "params": {"characters": 0}, "id": 1})
    assert reply == {"jsonrpc": "2.0", "error": {"code": -32603, "message": "Internal error"}, "id": 1}


async def test_a_detail_beyond_a_frame_is_left_out() -> None:
    async with serving(Agent(), RpcLimits(max_frame=10_000)) as server, raw(server) as socket:
        reply = await ask(socket, {"jsonrpc": "2.0", "method": "stutter", "params": {"characters": 20_000}, "id": 1})
    assert reply["error"] == {"code": -32013, "message": "Alert not found"}


async def test_a_long_field_name_is_not_sent_back_whole(socket: ClientConnection) -> None:
    params = {"minuend": 1, "subtrahend": 2, "x" * 100_000: 3}
    error = (await ask(socket, {"jsonrpc": "2.0", "method": "subtract", "params": params, "id": 1}))["error"]
    assert len(error["data"]["detail"][0]["message"]) <= 512


async def test_a_peer_raises_what_the_agent_refused_with() -> None:
    async with serving(Agent()) as server, peer_of(server) as peer:
        with pytest.raises(AuroraError) as refused:
            await peer.call(kit.REFUSE, kit.Empty(), timeout=SECONDS)
        with pytest.raises(AuroraError) as failed:
            await peer.call(kit.FAIL, kit.Empty(), timeout=SECONDS)
        with pytest.raises(AuroraError) as unknown:
            await peer.call(kit.UNKNOWN, kit.Empty(), timeout=SECONDS)
    assert refused.value.code is ALERT_NOT_FOUND
    assert refused.value.detail == {"alert_id": "ALRT-2026-000001"}
    assert failed.value.code is INTERNAL
    assert unknown.value.code is METHOD_NOT_ALLOWED


async def test_a_result_that_breaks_the_contract_is_an_internal_error_of_the_call() -> None:
    wrong = kit.method("get_data", kit.Empty, dict[str, int])
    async with serving(Agent()) as server, peer_of(server) as peer:
        with pytest.raises(AuroraError) as failed:
            await peer.call(wrong, kit.Empty(), timeout=SECONDS)
    assert failed.value.code is INTERNAL


async def test_params_that_a_struct_does_not_allow_come_back_as_a_validation_error() -> None:
    loose = kit.method("subtract", kit.Numbers, int)
    async with serving(Agent()) as server, peer_of(server) as peer:
        with pytest.raises(AuroraError) as failed:
            await peer.call(loose, kit.Numbers([1]), timeout=SECONDS)
    assert failed.value.code is VALIDATION
    assert failed.value.detail == [{"path": "params", "message": "Object contains unknown field `values`"}]


async def test_a_result_beyond_a_frame_is_an_error_and_the_connection_lives() -> None:
    async with serving(Agent(), RpcLimits(max_frame=10_000)) as server, peer_of(server) as peer:
        with pytest.raises(AuroraError) as failed:
            await peer.call(kit.TEXT, kit.Size(20_000), timeout=SECONDS)
        assert await peer.call(kit.TEXT, kit.Size(5), timeout=SECONDS) == "xxxxx"
    assert failed.value.code is PAYLOAD_TOO_LARGE


async def test_params_beyond_a_frame_are_not_sent() -> None:
    async with serving(Agent()) as server, peer_of(server, PeerLimits(max_frame=1000)) as peer:
        with pytest.raises(AuroraError) as failed:
            await peer.call(kit.SUM, kit.Numbers([1] * 1000), timeout=SECONDS)
    assert failed.value.code is PAYLOAD_TOO_LARGE


async def test_the_results_of_a_batch_that_do_not_fit_become_errors() -> None:
    requests = [
        {"jsonrpc": "2.0", "method": "text", "params": {"characters": 4000}, "id": number} for number in range(5)
    ]
    async with serving(Agent(), RpcLimits(max_frame=10_000)) as server, raw(server) as socket:
        replies = await ask(socket, requests)
    assert [reply["id"] for reply in replies] == [0, 1, 2, 3, 4]
    assert ["result" in reply for reply in replies] == [True, True, False, False, False]
    assert {reply["error"]["code"] for reply in replies[2:]} == {-32018}


async def test_replies_overtake_one_another() -> None:
    agent = Agent()
    async with serving(agent) as server, raw(server) as socket:
        await socket.send('{"jsonrpc": "2.0", "method": "wait", "params": {"gate": "slow"}, "id": 1}')
        assert (await ask(socket, '{"jsonrpc": "2.0", "method": "get_data", "id": 2}'))["id"] == 2
        await agent.open("slow")
        assert (await kit.receive(socket))["id"] == 1


async def test_hundreds_of_calls_share_one_connection() -> None:
    async with serving(Agent()) as server, peer_of(server) as peer:
        calls = (peer.call(kit.SUM, kit.Numbers([n, 1]), timeout=SECONDS) for n in range(500))
        assert await asyncio.gather(*calls) == [n + 1 for n in range(500)]
