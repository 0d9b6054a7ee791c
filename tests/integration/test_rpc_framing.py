"""Whatever a frame holds: the server answers each request of it once, and lives."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed

from shared.rpc import Server, serve
from tests import rpc_kit as kit

CALM = settings(
    max_examples=80, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
LAST = "the-last-one"

IDS = st.one_of(
    st.none(),
    st.integers(-(2**31), 2**31),
    st.text(max_size=20),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
)
JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**60), 2**60),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(max_size=30),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=10), inner, max_size=4)),
    max_leaves=12,
)
NAMES = st.sampled_from(["sum", "subtract", "text", "get_data", "refuse", "rpc.discover", "rpc.cancel", "nothing"])
PARAMS = st.one_of(
    st.just({"values": [1, 2]}),
    st.just({"minuend": 3, "subtrahend": 1}),
    st.just({"characters": 5}),
    st.dictionaries(st.sampled_from(["values", "_meta", "id", "minuend", "characters"]), JSON, max_size=3),
    st.lists(JSON, max_size=3),
)
REQUESTS = st.fixed_dictionaries(
    {"jsonrpc": st.just("2.0"), "method": NAMES}, optional={"params": PARAMS, "id": IDS, "extra": JSON}
)
ALMOST = st.dictionaries(st.sampled_from(["jsonrpc", "method", "params", "id", "result", "error"]), JSON, max_size=5)


@dataclass
class Port:
    """A server on a loop of its own, since hypothesis calls plain functions."""

    loop: asyncio.Runner
    server: Server

    def said(self, *frames: str | bytes) -> list[Any]:
        """What the frames are answered with, on a connection of their own; it must live on after text frames."""
        return self.loop.run(self._said(frames))

    async def _said(self, frames: tuple[str | bytes, ...]) -> list[Any]:
        replies: list[Any] = []
        async with asyncio.timeout(kit.SECONDS), kit.raw(self.server) as socket:
            for frame in frames:
                await socket.send(frame)
            await socket.send(json.dumps({"jsonrpc": "2.0", "method": "sum", "params": {}, "id": LAST}))
            # Replies may overtake one another: the last one is waited for, and what was said before it.
            while not any(is_last(reply) for reply in replies):
                replies.append(json.loads(await socket.recv()))
            await socket.send(json.dumps({"jsonrpc": "2.0", "method": "sum", "params": {}, "id": LAST}))
            while not is_last(reply := json.loads(await socket.recv())):
                replies.append(reply)
        return [reply for reply in replies if not is_last(reply)]


def is_last(reply: Any) -> bool:
    return isinstance(reply, dict) and reply.get("id") == LAST


@pytest.fixture(scope="module")
def port() -> Iterator[Port]:
    with asyncio.Runner() as loop:

        async def started() -> Server:
            bindings = kit.Agent().bindings()
            return await serve(bindings, host=kit.HOST, port=0, authenticate=kit.authenticate)

        server = loop.run(started())
        yield Port(loop, server)
        loop.run(server.close(grace=0))


def wants_an_answer(message: Any) -> bool:
    """Whether JSON-RPC 2.0 answers it: all but valid notifications."""
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0" or not isinstance(message.get("method"), str):
        return True
    if "params" in message and not isinstance(message["params"], dict | list):
        return True
    return "id" in message


def identified(message: Any) -> Any:
    """The id under which it is answered."""
    found = message.get("id") if isinstance(message, dict) else None
    valid = found is None or (isinstance(found, int | float | str) and not isinstance(found, bool))
    proper = isinstance(message, dict) and message.get("jsonrpc") == "2.0" and isinstance(message.get("method"), str)
    return found if valid and proper else None


def key(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


@CALM
@given(text=st.text(max_size=200))
def test_any_text_is_answered_and_the_connection_lives(port: Port, text: str) -> None:
    replies = port.said(text)
    assert all(reply["jsonrpc"] == "2.0" for reply in replies if isinstance(reply, dict))


@CALM
@given(message=JSON)
def test_any_json_that_is_no_request_is_one_invalid_request(port: Port, message: Any) -> None:
    if isinstance(message, list) and message:
        return
    (reply,) = port.said(json.dumps(message))
    assert (reply["error"]["code"], reply["id"]) == (-32600, None)


@CALM
@given(message=st.one_of(REQUESTS, ALMOST))
def test_each_request_is_answered_once_under_its_id_and_a_notification_never(port: Port, message: Any) -> None:
    replies = port.said(json.dumps(message))
    assert len(replies) == (1 if wants_an_answer(message) else 0)
    for reply in replies:
        assert ("result" in reply) != ("error" in reply)
        assert reply["id"] in (identified(message), None)


@CALM
@given(messages=st.lists(st.one_of(REQUESTS, ALMOST, JSON), min_size=1, max_size=8))
def test_a_batch_is_answered_by_one_array_with_each_of_its_requests_once(port: Port, messages: list[Any]) -> None:
    answered = [message for message in messages if wants_an_answer(message)]
    replies = port.said(json.dumps(messages))
    if not answered:
        assert replies == []
        return
    (reply,) = replies
    assert len(reply) == len(answered)
    ids = [identified(message) for message in answered]
    told = [one["id"] for one in reply]
    # An id that isn't one, and whatever comes with it, is answered under null.
    assert not Counter(map(key, filter(None, told))) - Counter(map(key, filter(None, ids)))


@CALM
@given(data=st.binary(max_size=200))
def test_a_binary_frame_ends_its_connection_and_nothing_else(port: Port, data: bytes) -> None:
    async def sent() -> int | None:
        async with asyncio.timeout(kit.SECONDS), kit.raw(port.server) as socket:
            await socket.send(data)
            with pytest.raises(ConnectionClosed):
                await socket.recv()
            return socket.close_code

    assert port.loop.run(sent()) == 1003
    assert port.said() == []


@CALM
@given(data=st.binary(min_size=1, max_size=300))
def test_bytes_that_are_no_websocket_harm_nobody_else(port: Port, data: bytes) -> None:
    async def sent() -> None:
        async with asyncio.timeout(kit.SECONDS), kit.raw(port.server) as socket:
            # Past the library: straight onto the socket, behind a good handshake. Whatever it takes for half a frame.
            socket.transport.write(data)
            socket.transport.close()

    port.loop.run(sent())
    assert port.said() == []
