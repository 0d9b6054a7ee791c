"""Bounds of a port: sizes, counts, times, and who gets in at all."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from shared.errors import RATE_LIMITED, AuroraError
from shared.rpc import HttpAnswer, PeerLimits, RpcLimits, Server
from tests import rpc_kit as kit
from tests.rpc_kit import SECONDS, Agent, address, ask, is_silent, peer_of, raw, receive, serving


async def http(server: Server, head: str) -> tuple[int, dict[str, str], Any]:
    """Sends a request head as it is; status, headers (lower case) and decoded body of the answer."""
    reader, writer = await asyncio.open_connection(kit.HOST, server.port)
    writer.write(head.replace("\n", "\r\n").encode() + b"\r\n\r\n")
    async with asyncio.timeout(SECONDS):
        answer = (await reader.read()).decode()
    writer.close()
    top, _, body = answer.partition("\r\n\r\n")
    status, *lines = top.split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return int(status.split()[1]), headers, json.loads(body)


async def test_a_binary_frame_closes_with_1003() -> None:
    async with serving(Agent()) as server, raw(server) as socket:
        await socket.send(b'{"jsonrpc": "2.0", "method": "get_data", "id": 1}')
        with pytest.raises(ConnectionClosed):
            await receive(socket)
        assert socket.close_code == 1003


async def test_a_frame_beyond_the_limit_closes_with_1009() -> None:
    async with serving(Agent(), RpcLimits(max_frame=2000)) as server, raw(server) as socket:
        await socket.send(json.dumps({"jsonrpc": "2.0", "method": "x" * 2000, "id": 1}))
        with pytest.raises(ConnectionClosed):
            await receive(socket)
        assert socket.close_code == 1009


async def test_text_that_is_not_utf8_closes_with_1007() -> None:
    async with serving(Agent()) as server, raw(server) as socket:
        await socket.send(b'{"jsonrpc": "2.0", "method": "\xff"}', text=True)
        with pytest.raises(ConnectionClosed):
            await receive(socket)
        assert socket.close_code == 1007


async def test_a_batch_beyond_the_limit_is_refused_whole() -> None:
    request = {"jsonrpc": "2.0", "method": "get_data", "id": 1}
    async with serving(Agent()) as server, raw(server) as socket:
        refusal = await ask(socket, [request] * 101)
        assert len(await ask(socket, [request] * 100)) == 100
    assert refusal["id"] is None
    assert refusal["error"]["data"] == {"code": "AURORA-4130", "detail": {"max_batch": 100}}


async def test_requests_beyond_the_limit_are_refused_as_retryable() -> None:
    agent = Agent()
    async with serving(agent, RpcLimits(max_in_flight=2)) as server, raw(server) as socket:
        for number in (1, 2):
            await socket.send(json.dumps({"jsonrpc": "2.0", "method": "wait", "params": {"gate": "a"}, "id": number}))
        reply = await ask(socket, {"jsonrpc": "2.0", "method": "get_data", "id": 3})
        assert reply["error"] == {
            "code": -32016,
            "message": "Rate limit exceeded",
            "data": {"code": "AURORA-4290", "detail": {"max_in_flight": 2}, "retry_after": 0.1},
        }
        await agent.open("a")
        assert {(await receive(socket))["id"] for _ in range(2)} == {1, 2}
        assert (await ask(socket, {"jsonrpc": "2.0", "method": "get_data", "id": 4}))["id"] == 4


async def test_open_batches_beyond_the_limit_are_refused() -> None:
    agent = Agent()
    batch = [{"jsonrpc": "2.0", "method": "wait", "params": {"gate": "a"}, "id": 1}]
    async with serving(agent, RpcLimits(max_batches=1)) as server, raw(server) as socket:
        await socket.send(json.dumps(batch))
        assert (await ask(socket, batch))["error"]["data"]["code"] == "AURORA-4290"
        await agent.open("a")
        assert [reply["id"] for reply in await receive(socket)] == [1]


async def test_handoffs_beyond_the_limit_are_refused() -> None:
    agent = Agent()
    async with serving(agent, RpcLimits(max_handoffs=1)) as server, peer_of(server) as peer:
        first = asyncio.create_task(peer.call(kit.WAIT, kit.Wait("a"), handoff=kit.handoff("first"), timeout=SECONDS))
        await agent.until("a")
        with pytest.raises(AuroraError) as refused:
            await peer.call(kit.WAIT, kit.Wait("a"), handoff=kit.handoff("second"), timeout=SECONDS)
        assert refused.value.code is RATE_LIMITED
        assert refused.value.retry_after == 1.0
        await agent.open("a")
        assert await first == 1


async def test_a_peer_keeps_within_its_own_limit() -> None:
    agent = Agent()
    async with serving(agent) as server, peer_of(server, PeerLimits(max_in_flight=2)) as peer:
        calls = [asyncio.create_task(peer.call(kit.WAIT, kit.Wait("a"), timeout=SECONDS)) for _ in range(5)]
        await agent.until("a", runs=2)
        async with raw(server) as socket:
            assert await is_silent(socket)
        assert agent.runs == {"a": 2}
        await agent.open("a")
        assert sorted(await asyncio.gather(*calls)) == [1, 2, 3, 4, 5]


async def test_a_reader_that_does_not_read_is_held_back_and_loses_nothing() -> None:
    request = json.dumps({"jsonrpc": "2.0", "method": "text", "params": {"characters": 50_000}, "id": 1})
    count = 100
    async with (
        serving(Agent()) as server,
        connect(
            address(server), additional_headers={"Authorization": f"Bearer {kit.TOKEN}"}, max_queue=1, proxy=None
        ) as socket,
    ):
        for _ in range(count):
            await socket.send(request)
        for _ in range(count):
            assert len((await receive(socket))["result"]) == 50_000


@pytest.mark.parametrize(
    ("token", "code", "challenge"),
    [
        (None, "AURORA-4010", "Bearer"),
        ("Basic eDp5", "AURORA-4010", "Bearer"),
        ("Bearer ", "AURORA-4010", "Bearer"),
        ("Bearer wrong", "AURORA-4012", 'Bearer error="invalid_token"'),
        ("Bearer expired", "AURORA-4011", 'Bearer error="invalid_token"'),
    ],
)
async def test_a_handshake_without_a_valid_token_is_401(token: str | None, code: str, challenge: str) -> None:
    headers = {"X-Request-ID": "handshake-0001"} | ({} if token is None else {"Authorization": token})
    async with serving(Agent(), headers=lambda: {"X-AuroraSOC-Mode": "monitor"}) as server:
        with pytest.raises(InvalidStatus) as refused:
            await connect(address(server), additional_headers=headers, proxy=None)
    response = refused.value.response
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == challenge
    assert response.headers["Content-Type"] == "application/json"
    assert response.headers["X-Request-ID"] == "handshake-0001"
    assert response.headers["X-API-Version"] == "1.0"
    assert response.headers["X-AuroraSOC-Mode"] == "monitor"
    error = json.loads(response.body or b"")["error"]
    assert error["code"] == code
    assert error["detail"] is None
    assert error["request_id"] == "handshake-0001"


async def test_a_failure_while_authenticating_says_nothing_of_itself() -> None:
    async with serving(Agent()) as server:
        with pytest.raises(InvalidStatus) as refused:
            await connect(address(server), additional_headers={"Authorization": "Bearer broken"}, proxy=None)
    assert refused.value.response.status_code == 500
    assert b"fire" not in (refused.value.response.body or b"")


async def test_the_handshake_answers_with_the_headers_of_every_response() -> None:
    async with serving(Agent()) as server, raw(server) as socket:
        assert socket.response is not None
        assert socket.response.headers["X-API-Version"] == "1.0"
        assert len(socket.response.headers["X-Request-ID"]) == 36


async def test_connections_beyond_the_limit_get_503() -> None:
    async with serving(Agent(), RpcLimits(max_connections=1)) as server, raw(server):
        with pytest.raises(InvalidStatus) as refused:
            async with raw(server):
                pass
    assert refused.value.response.status_code == 503
    assert refused.value.response.headers["Retry-After"] == "1"


async def test_named_paths_answer_plain_gets_without_a_token() -> None:
    async def ready() -> HttpAnswer:
        return HttpAnswer(200, b'{"status": "ready"}')

    async with serving(Agent(), http_get={"/health/readiness": ready}) as server:
        status, headers, body = await http(server, "GET /health/readiness?x=1 HTTP/1.1\nHost: a")
        posted, post_headers, _ = await http(server, "POST /health/readiness HTTP/1.1\nHost: a")
        missing, _, envelope = await http(server, "GET /else HTTP/1.1\nHost: a")
    assert (status, body) == (200, {"status": "ready"})
    assert headers["content-type"] == "application/json"
    assert headers["x-api-version"] == "1.0"
    assert (posted, post_headers["allow"]) == (405, "GET")
    assert (missing, envelope["error"]["code"]) == (404, "AURORA-4040")


async def test_a_plain_get_of_the_socket_is_told_to_upgrade() -> None:
    async with serving(Agent()) as server:
        status, headers, body = await http(server, f"GET / HTTP/1.1\nHost: a\nAuthorization: Bearer {kit.TOKEN}")
    assert status == 426
    assert headers["upgrade"] == "websocket"
    assert body["error"]["code"] == "AURORA-4000"


async def test_a_second_authorization_header_counts_as_none() -> None:
    twice = f"GET / HTTP/1.1\nHost: a\nAuthorization: Bearer {kit.TOKEN}\nAuthorization: Bearer wrong"
    async with serving(Agent()) as server:
        status, _, body = await http(server, twice)
    assert (status, body["error"]["code"]) == (401, "AURORA-4010")


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner, max_size=5),
    max_leaves=15,
)
_near_request = st.fixed_dictionaries(
    {},
    optional={
        "jsonrpc": st.just("2.0") | _json,
        "method": st.sampled_from(["sum", "subtract", "text", "fail", "rpc.cancel", "rpc.x", ""]) | _json,
        "params": st.dictionaries(st.sampled_from(["values", "minuend", "_meta", "id", "self"]), _json) | _json,
        "id": st.integers() | st.text(max_size=5) | st.none() | _json,
        "result": _json,
    },
)
_frame = (
    st.text(max_size=200)
    | _json.map(json.dumps)
    | _near_request.map(json.dumps)
    | st.lists(_near_request | _json, max_size=4).map(json.dumps)
    | st.integers(1, 3000).map(lambda depth: "[" * depth)
    | st.integers(1, 3000).map(lambda depth: '{"a":' * depth)
    | _near_request.map(lambda message: json.dumps(message)[:-1])
)


async def _answers_to_the_last(server: Server, frames: list[str]) -> None:
    async with raw(server) as socket:
        for frame in frames:
            await socket.send(frame)
        await socket.send('{"jsonrpc": "2.0", "method": "get_data", "id": "the-last"}')
        for _ in range(len(frames) + 1):
            reply = await receive(socket)
            for one in reply if isinstance(reply, list) else [reply]:
                assert one["jsonrpc"] == "2.0"
                assert ("result" in one) != ("error" in one)
            if isinstance(reply, dict) and reply["id"] == "the-last":
                return
    raise AssertionError("the last request was not answered")


def test_no_frame_kills_a_connection() -> None:
    with asyncio.Runner() as runner:
        serve_it = serving(Agent())
        server = runner.run(serve_it.__aenter__())

        @settings(max_examples=300, deadline=None)
        @given(frames=st.lists(_frame, min_size=1, max_size=5))
        def any_frames(frames: list[str]) -> None:
            runner.run(_answers_to_the_last(server, frames))

        any_frames()
        runner.run(serve_it.__aexit__(None, None, None))
