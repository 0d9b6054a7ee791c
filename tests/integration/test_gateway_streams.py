"""WebSockets of a real gateway on a real JetStream."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest_asyncio
from aiohttp import ClientWebSocketResponse, WSMsgType, WSServerHandshakeError

from shared.bus import Bus
from shared.clock import new_id, utc_now
from shared.contracts.agents import AGENT_THOUGHT, Thought
from shared.contracts.alerts import ALERT_CREATED, ALERT_UPDATED, AlertChanged
from shared.contracts.constants import Topic
from shared.contracts.investigations import INVESTIGATION_COMPLETED, InvestigationChanged
from shared.contracts.wire import to_builtins
from shared.outbox import event_bytes
from tests.gateway import Gateway, gateway
from tests.shapes import alert, investigation
from tests.stack import Servers

ALERTS = "/api/v1/ws/alerts"
THOUGHTS = "/api/v1/ws/agent-thoughts"
RECEIPTS = "/api/v1/ws/investigation-receipts"
PATIENCE = 15


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def running(servers: Servers, tmp_path_factory: Any) -> AsyncIterator[Gateway]:
    folder = tmp_path_factory.mktemp("gateway")
    settings = {
        "slow_reader_seconds": "0.5",
        "session_check_seconds": "0.5",
        "frontend_url": "https://soc.example.org",
    }
    async with gateway(servers, folder, **settings) as started:
        yield started


async def publish(bus: Bus, topic: Topic[Any], data: Any, *tokens: str) -> int:
    event_id = new_id()
    return await bus.publish(
        topic.subject(*tokens), event_bytes(topic, data, service="tests", event_id=event_id), event_id
    )


def thought(text: str = "looking") -> Thought:
    return Thought(
        agent="triage",
        handoff_id="h",
        investigation_id=None,
        kind="tool",
        text=text,
        tool_result_id=None,
        timestamp=utc_now(),
    )


async def frame(socket: ClientWebSocketResponse) -> Any:
    message = await socket.receive(timeout=PATIENCE)
    assert message.type is WSMsgType.TEXT, message
    return orjson.loads(message.data)


def connect(running: Gateway, path: str, **options: Any) -> Any:
    headers = {**running.bearer(), **options.pop("headers", {})}
    return running.http.ws_connect(running.url + path, headers=headers, **options)


async def refusal(running: Gateway, path: str, headers: dict[str, str]) -> tuple[int, aiohttp.typedefs.LooseHeaders]:
    try:
        async with running.http.ws_connect(running.url + path, headers=headers):
            return 101, {}
    except WSServerHandshakeError as error:
        return error.status, error.headers or {}


async def test_each_stream_shows_its_own_events_as_they_happen(running: Gateway, bus: Bus) -> None:
    raised, done = alert(), investigation()
    async with (
        connect(running, ALERTS) as alerts,
        connect(running, THOUGHTS) as thoughts,
        connect(running, RECEIPTS) as receipts,
    ):
        created = await publish(bus, ALERT_CREATED, AlertChanged(raised, []))
        said = await publish(bus, AGENT_THOUGHT, thought("hm"), "triage")
        updated = await publish(bus, ALERT_UPDATED, AlertChanged(raised, ["count"]))
        ended = await publish(bus, INVESTIGATION_COMPLETED, InvestigationChanged(done))
        first, second = await frame(alerts), await frame(alerts)
        assert (first["sequence"], first["type"]) == (created, "aurora.alerts.created")
        assert first["data"] == to_builtins(raised)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first["time"])
        assert (second["sequence"], second["type"]) == (updated, "aurora.alerts.updated")
        heard = await frame(thoughts)
        assert (heard["sequence"], heard["type"], heard["data"]["text"]) == (said, "aurora.agents.thoughts", "hm")
        receipt = await frame(receipts)
        assert (receipt["sequence"], receipt["type"]) == (ended, "aurora.investigations.completed")
        assert receipt["data"] == to_builtins(done)


async def test_a_client_resumes_after_what_it_has_seen(running: Gateway, bus: Bus) -> None:
    sequences = [await publish(bus, ALERT_CREATED, AlertChanged(alert(str(n)), [])) for n in range(3)]
    async with connect(running, f"{ALERTS}?since={sequences[0]}") as socket:
        assert [(await frame(socket))["sequence"] for _ in range(2)] == sequences[1:]
        following = await publish(bus, ALERT_CREATED, AlertChanged(alert(), []))
        assert (await frame(socket))["sequence"] == following


async def test_a_gap_is_told_first(running: Gateway, bus: Bus) -> None:
    kept = await publish(bus, ALERT_CREATED, AlertChanged(alert(), []))
    await bus._js.purge_stream("AURORA", seq=kept)
    after = await publish(bus, ALERT_CREATED, AlertChanged(alert(), []))
    async with connect(running, f"{ALERTS}?since=0") as socket:
        gap = await frame(socket)
        assert (gap["type"], gap["data"]) == ("aurora.stream.gap", {"requested": 0, "first_available": kept})
        assert gap["sequence"] == kept - 1
        assert [(await frame(socket))["sequence"] for _ in range(2)] == [kept, after]
    async with connect(running, f"{ALERTS}?since={after + 1000}") as socket:
        assert (await frame(socket))["data"] == {"requested": after + 1000, "first_available": kept}


async def test_the_handshake_carries_the_three_headers(running: Gateway, bus: Bus) -> None:
    async with connect(running, ALERTS, headers={"X-Request-ID": "ws-request-1"}) as socket:
        headers = socket._response.headers
        assert headers["X-API-Version"] == "1.0"
        assert headers["X-Request-ID"] == "ws-request-1"
        assert headers["X-AuroraSOC-Mode"] == "monitor"


async def test_a_refused_handshake_is_an_ordinary_refusal(running: Gateway) -> None:
    for path, headers, expected in (
        (ALERTS, {}, 401),
        (f"{ALERTS}?ticket=x", {}, 401),
        (f"{ALERTS}?since=-1", running.bearer(), 422),
        (f"{ALERTS}?other=1", running.bearer(), 422),
        (ALERTS, {**running.bearer(), "Origin": "https://evil.example.org"}, 403),
    ):
        status, answered = await refusal(running, path, headers)
        assert status == expected, path
        assert answered["X-API-Version"] == "1.0"  # type: ignore[index]
        assert answered["Content-Type"] == "application/json"  # type: ignore[index]
    status, body, _ = await running.get(ALERTS)
    assert (status, body["error"]["code"]) == (400, "AURORA-4000")


async def test_pages_of_this_host_and_of_the_frontend_may_connect(running: Gateway) -> None:
    for origin in (running.url, "https://soc.example.org"):
        assert (await refusal(running, ALERTS, {**running.bearer(), "Origin": origin}))[0] == 101


async def test_a_ticket_opens_one_socket(running: Gateway, bus: Bus) -> None:
    status, ticket, _ = await running.ask("POST", "/api/v1/ws/tickets")
    assert (status, ticket["expires_in"]) == (201, 30)
    path = f"{ALERTS}?ticket={ticket['ticket']}"
    assert (await refusal(running, path, {}))[0] == 101
    assert (await refusal(running, path, {}))[0] == 401


async def test_a_ticket_is_good_for_nothing_but_sockets(running: Gateway) -> None:
    _, ticket, _ = await running.ask("POST", "/api/v1/ws/tickets")
    async with running.http.get(f"{running.url}/api/v1/users/me?ticket={ticket['ticket']}") as response:
        assert response.status == 401


async def test_a_ticket_of_an_ended_session_opens_nothing(running: Gateway) -> None:
    mine = running.bearer((await running.sign_in())["access_token"])
    _, ticket, _ = await running.ask("POST", "/api/v1/ws/tickets", headers=mine)
    assert (await running.ask("POST", "/api/v1/auth/logout", headers=mine))[0] == 204
    assert (await refusal(running, f"{ALERTS}?ticket={ticket['ticket']}", {}))[0] == 401


async def test_a_slow_reader_is_closed_with_1013_and_counted(running: Gateway, bus: Bus) -> None:
    async def count() -> float:
        _, metrics, _ = await running.get("/metrics")
        found = re.search(rb'aurora_websocket_slow_readers_total\{stream="/api/v1/ws/agent-thoughts"\} (\S+)', metrics)
        return float(found[1]) if found else 0.0

    before = await count()
    start = await publish(bus, AGENT_THOUGHT, thought(), "triage")
    for _ in range(120):
        await publish(bus, AGENT_THOUGHT, thought("x" * 200_000), "triage")
    async with connect(running, f"{THOUGHTS}?since={start - 1}", max_msg_size=0) as socket:
        # Nothing is read until the gateway has given up on this client.
        async with asyncio.timeout(PATIENCE):
            while await count() == before:
                pass
        seen = 0
        while (message := await socket.receive(timeout=PATIENCE)).type is WSMsgType.TEXT:
            seen = orjson.loads(message.data)["sequence"]
        assert socket.close_code == 1013
    assert await count() == before + 1
    async with connect(running, f"{THOUGHTS}?since={seen}", max_msg_size=0) as socket:
        assert (await frame(socket))["sequence"] == seen + 1


async def test_a_client_that_talks_is_closed(running: Gateway, bus: Bus) -> None:
    for _ in range(20):  # often, since this ends the reader of the stream while it begins
        async with connect(running, ALERTS) as socket:
            await socket.send_str("hello")
            assert (await socket.receive(timeout=PATIENCE)).type is WSMsgType.CLOSE
            assert socket.close_code == 1008
    async with connect(running, ALERTS) as socket:
        await socket.send_str("x" * 5000)
        await socket.receive(timeout=PATIENCE)
        assert socket.close_code == 1009


async def test_a_stop_closes_sockets_with_1001_at_once(servers: Servers, tmp_path: Path) -> None:
    async with gateway(servers, tmp_path) as short, connect(short, ALERTS) as socket:
        short.process.terminate()
        async with asyncio.timeout(PATIENCE):
            message = await socket.receive()
            assert (message.type, socket.close_code) == (WSMsgType.CLOSE, 1001)
            assert await short.process.wait() == 0


async def test_a_socket_ends_with_its_session(servers: Servers, running: Gateway, bus: Bus) -> None:
    mine = running.bearer((await running.sign_in())["access_token"])
    async with connect(running, ALERTS, headers=mine) as socket:
        assert (await running.ask("POST", "/api/v1/auth/logout", headers=mine))[0] == 204
        message = await socket.receive(timeout=PATIENCE)
        assert (message.type, socket.close_code) == (WSMsgType.CLOSE, 1008)


async def test_a_socket_ends_with_its_token(running: Gateway) -> None:
    path = f"{ALERTS}?ticket="
    # The leeway that a token's check gives comes on top.
    mine = running.bearer(running.token_of("admin", exp=int(time.time()) + 2))
    _, ticket, _ = await running.ask("POST", "/api/v1/ws/tickets", headers=mine)
    async with (
        connect(running, ALERTS, headers=mine) as by_token,
        running.http.ws_connect(running.url + path + ticket["ticket"]) as by_ticket,
        connect(running, ALERTS) as other,
    ):
        for socket in (by_token, by_ticket):
            message = await socket.receive(timeout=PATIENCE)
            assert (message.type, socket.close_code) == (WSMsgType.CLOSE, 1008)
        assert not other.closed


async def test_a_socket_ends_with_its_key(running: Gateway) -> None:
    _, key, _ = await running.ask("POST", "/api/v1/auth/api-keys", json={"name": "socket", "scopes": ["alerts:read"]})
    async with running.http.ws_connect(running.url + ALERTS, headers={"X-API-Key": key["key"]}) as socket:
        assert (await running.ask("DELETE", f"/api/v1/auth/api-keys/{key['id']}"))[0] == 204
        message = await socket.receive(timeout=PATIENCE)
        assert (message.type, socket.close_code) == (WSMsgType.CLOSE, 1008)


async def test_many_clients_get_every_event_once_and_in_order_whenever_they_came(running: Gateway, bus: Bus) -> None:
    start = await publish(bus, AGENT_THOUGHT, thought("first"), "triage")
    stored = [await publish(bus, AGENT_THOUGHT, thought(f"stored {n}"), "triage") for n in range(150)]
    async with AsyncExitStack() as sockets:
        now = [await sockets.enter_async_context(connect(running, THOUGHTS)) for _ in range(5)]
        resumed = [
            await sockets.enter_async_context(connect(running, f"{THOUGHTS}?since={since}"))
            for since in (start, stored[74], stored[-1])
        ]
        live = [await publish(bus, AGENT_THOUGHT, thought(f"live {n}"), "triage") for n in range(100)]
        expected = [live] * 5 + [stored + live, stored[75:] + live, live]
        for socket, sequences in zip([*now, *resumed], expected, strict=True):
            assert [(await frame(socket))["sequence"] for _ in sequences] == sequences


async def test_what_was_stored_before_the_gateway_began_is_read_by_whoever_asks(
    servers: Servers, bus: Bus, tmp_path: Path
) -> None:
    start = await publish(bus, AGENT_THOUGHT, thought("first"), "triage")
    stored = [await publish(bus, AGENT_THOUGHT, thought(str(n)), "triage") for n in range(250)]
    async with gateway(servers, tmp_path) as later, connect(later, f"{THOUGHTS}?since={start}") as socket:
        assert [(await frame(socket))["sequence"] for _ in stored] == stored
        live = await publish(bus, AGENT_THOUGHT, thought("live"), "triage")
        assert (await frame(socket))["sequence"] == live


async def test_many_sockets_end_together_with_their_session(running: Gateway) -> None:
    # Each is checked by itself, all at the same moment: that must not take a connection each.
    mine = running.bearer((await running.sign_in())["access_token"])
    async with AsyncExitStack() as sockets:
        opened = [await sockets.enter_async_context(connect(running, RECEIPTS, headers=mine)) for _ in range(90)]
        assert (await running.ask("POST", "/api/v1/auth/logout", headers=mine))[0] == 204
        for socket in opened:
            assert (await socket.receive(timeout=PATIENCE)).type is WSMsgType.CLOSE
        assert {socket.close_code for socket in opened} == {1008}
