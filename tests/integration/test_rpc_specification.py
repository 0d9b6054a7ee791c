"""The JSON-RPC 2.0 specification, section 7, example by example, from a plain WebSocket.

Params by position are the one thing that Aurora's methods don't take (section 4.2 leaves that to the method); those
examples are refused with -32602 and told why.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from websockets.asyncio.client import ClientConnection

from tests.rpc_kit import Agent, ask, is_silent, raw, serving

PARSE_ERROR = {"jsonrpc": "2.0", "error": {"code": -32700, "message": "Parse error"}, "id": None}
INVALID_REQUEST = {"jsonrpc": "2.0", "error": {"code": -32600, "message": "Invalid Request"}, "id": None}


def result(value: Any, request_id: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "result": value, "id": request_id}


def not_found(request_id: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "error": {"code": -32601, "message": "Method not found"}, "id": request_id}


@pytest_asyncio.fixture
async def socket() -> AsyncIterator[ClientConnection]:
    async with serving(Agent()) as server, raw(server) as connection:
        yield connection


async def test_named_parameters_are_taken_in_any_order(socket: ClientConnection) -> None:
    first = '{"jsonrpc": "2.0", "method": "subtract", "params": {"subtrahend": 23, "minuend": 42}, "id": 3}'
    second = '{"jsonrpc": "2.0", "method": "subtract", "params": {"minuend": 42, "subtrahend": 23}, "id": 4}'
    assert await ask(socket, first) == result(19, 3)
    assert await ask(socket, second) == result(19, 4)


@pytest.mark.parametrize(("values", "request_id"), [("[42, 23]", 1), ("[23, 42]", 2)])
async def test_positional_parameters_are_refused_with_a_reason(
    socket: ClientConnection, values: str, request_id: int
) -> None:
    message = f'{{"jsonrpc": "2.0", "method": "subtract", "params": {values}, "id": {request_id}}}'
    reply = await ask(socket, message)
    assert reply["id"] == request_id
    assert reply["error"]["code"] == -32602
    assert reply["error"]["data"] == {
        "code": "AURORA-4220",
        "detail": [{"path": "params", "message": "Expected `object`, got `array`"}],
    }


@pytest.mark.parametrize(
    "text",
    [
        '{"jsonrpc": "2.0", "method": "update", "params": [1,2,3,4,5]}',
        '{"jsonrpc": "2.0", "method": "foobar"}',
        '{"jsonrpc": "2.0", "method": "notify_hello", "params": {}}',
        '{"jsonrpc": "2.0", "method": "fail"}',
        '{"jsonrpc": "2.0", "method": "refuse"}',
        '{"jsonrpc": "2.0", "method": "subtract", "params": {"minuend": "many"}}',
        '{"jsonrpc": "2.0", "method": "subtract", "params": [1]}',
    ],
)
async def test_a_notification_is_never_answered_also_not_on_error(socket: ClientConnection, text: str) -> None:
    await socket.send(text)
    assert await is_silent(socket)


async def test_a_call_of_a_method_that_does_not_exist(socket: ClientConnection) -> None:
    assert await ask(socket, '{"jsonrpc": "2.0", "method": "foobar", "id": "1"}') == not_found("1")


async def test_a_call_with_invalid_json(socket: ClientConnection) -> None:
    assert await ask(socket, '{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]') == PARSE_ERROR


async def test_a_call_with_an_invalid_request_object(socket: ClientConnection) -> None:
    assert await ask(socket, '{"jsonrpc": "2.0", "method": 1, "params": "bar"}') == INVALID_REQUEST


async def test_a_batch_with_invalid_json(socket: ClientConnection) -> None:
    text = '[{"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"}, {"jsonrpc": "2.0", "method"]'
    assert await ask(socket, text) == PARSE_ERROR


async def test_a_call_with_an_empty_array(socket: ClientConnection) -> None:
    assert await ask(socket, "[]") == INVALID_REQUEST


async def test_an_invalid_batch_that_is_not_empty(socket: ClientConnection) -> None:
    assert await ask(socket, "[1]") == [INVALID_REQUEST]


async def test_an_invalid_batch(socket: ClientConnection) -> None:
    assert await ask(socket, "[1,2,3]") == [INVALID_REQUEST, INVALID_REQUEST, INVALID_REQUEST]


async def test_a_mixed_batch(socket: ClientConnection) -> None:
    replies = await ask(
        socket,
        [
            {"jsonrpc": "2.0", "method": "sum", "params": {"values": [1, 2, 4]}, "id": "1"},
            {"jsonrpc": "2.0", "method": "notify_hello", "params": {}},
            {"jsonrpc": "2.0", "method": "subtract", "params": {"minuend": 42, "subtrahend": 23}, "id": "2"},
            {"foo": "boo"},
            {"jsonrpc": "2.0", "method": "foo.get", "params": {"name": "myself"}, "id": "5"},
            {"jsonrpc": "2.0", "method": "get_data", "id": "9"},
        ],
    )
    assert replies == [result(7, "1"), result(19, "2"), INVALID_REQUEST, not_found("5"), result(["hello", 5], "9")]


async def test_a_batch_of_notifications_sends_nothing(socket: ClientConnection) -> None:
    await socket.send(
        '[{"jsonrpc": "2.0", "method": "notify_sum", "params": [1,2,4]},'
        ' {"jsonrpc": "2.0", "method": "notify_hello", "params": {}}]'
    )
    assert await is_silent(socket)


async def test_a_null_id_is_a_request(socket: ClientConnection) -> None:
    assert await ask(socket, '{"jsonrpc": "2.0", "method": "get_data", "id": null}') == result(["hello", 5], None)


@pytest.mark.parametrize("request_id", ["", "req-001", "\u00fc\u4e2d", 0, -7, 2**70, 1.5, None])
async def test_an_id_comes_back_as_it_was(socket: ClientConnection, request_id: Any) -> None:
    reply = await ask(socket, {"jsonrpc": "2.0", "method": "get_data", "id": request_id})
    assert reply == result(["hello", 5], request_id)


@pytest.mark.parametrize(
    "message",
    [
        {"jsonrpc": "2.0", "method": "get_data", "id": True},
        {"jsonrpc": "2.0", "method": "get_data", "id": [1]},
        {"jsonrpc": "2.0", "method": "get_data", "id": {}},
        {"jsonrpc": "2.0", "method": "get_data", "id": "x" * 257},
        {"jsonrpc": "2.0", "method": "get_data", "params": None, "id": 1},
        {"jsonrpc": "2.0", "method": "get_data", "params": 5, "id": 1},
        {"jsonrpc": "2.0", "method": None, "id": 1},
        {"jsonrpc": "2.0", "id": 1},
        {"jsonrpc": "1.0", "method": "get_data", "id": 1},
        {"jsonrpc": 2.0, "method": "get_data", "id": 1},
        {"method": "get_data", "id": 1},
        {"jsonrpc": "2.0", "result": 5, "id": 1},
    ],
)
async def test_what_is_not_a_request_object_is_an_invalid_request(
    socket: ClientConnection, message: dict[str, Any]
) -> None:
    assert await ask(socket, message) == INVALID_REQUEST


async def test_a_reserved_name_that_is_not_ours_is_not_found(socket: ClientConnection) -> None:
    assert await ask(socket, {"jsonrpc": "2.0", "method": "rpc.describe", "id": 1}) == not_found(1)


async def test_absent_and_empty_params_are_alike(socket: ClientConnection) -> None:
    variants: list[dict[str, Any]] = [{}, {"params": {}}, {"params": []}]
    for params in variants:
        assert await ask(socket, {"jsonrpc": "2.0", "method": "get_data", "id": 1, **params}) == result(["hello", 5], 1)


async def test_the_params_named_like_the_machinery_reach_the_method(socket: ClientConnection) -> None:
    params = {"self": 1, "arrival": 2, "context": 3, "positional": 4, "values": [1, 2]}
    assert await ask(socket, {"jsonrpc": "2.0", "method": "sum", "params": params, "id": 1}) == result(3, 1)
