"""A gateway process and its connections: SIGTERM lets what is in flight end, and who is slow on purpose is cut."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import WSMsgType, web

from shared.contracts.alerts import LIST_ALERTS
from shared.http import Call
from tests.gateway import Gateway, gateway
from tests.stack import Servers, data_folder, embedded_servers

DRAIN_SECONDS = 2
#: More than any of this takes; nothing waits for it.
SECONDS = 30


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def servers() -> AsyncIterator[Servers]:
    with data_folder() as folder:
        async with embedded_servers(folder) as running:
            yield running


@pytest_asyncio.fixture(loop_scope="session")
async def running(servers: Servers, tmp_path: Path) -> AsyncIterator[Gateway]:
    async with gateway(servers, tmp_path, drain_seconds=str(DRAIN_SECONDS)) as running:
        yield running


class Slow:
    """An answer that comes when it is let."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.let = asyncio.Event()

    async def __call__(self, _call: Call[Any, Any]) -> Any:
        self.asked.set()
        await self.let.wait()
        return {"items": [], "next_cursor": None}


async def _refused(url: str) -> None:
    """Returns once nobody takes connections there."""
    address = urlsplit(url)
    assert address.hostname is not None
    while True:
        try:
            _, writer = await asyncio.open_connection(address.hostname, address.port)
        except ConnectionRefusedError:
            return
        writer.close()
        await asyncio.wait([asyncio.ensure_future(writer.wait_closed())])


async def test_what_is_in_flight_is_answered_sockets_get_1001_and_new_connections_are_refused(running: Gateway) -> None:
    slow = Slow()
    running.upstreams["siem"].answers[LIST_ALERTS] = slow
    url = running.url.replace("http", "ws") + "/api/v1/ws/alerts"
    async with asyncio.timeout(SECONDS), running.http.ws_connect(url, headers=running.bearer()) as stream:
        asking = asyncio.ensure_future(running.get(LIST_ALERTS.path))
        await slow.asked.wait()
        # A connection that rests holds nothing up.
        assert (await running.get("/health/liveness"))[0] == 200
        running.process.terminate()
        message = await stream.receive()
        assert (message.type, message.data) == (WSMsgType.CLOSE, 1001)
        await _refused(running.url)
        assert not asking.done()
        slow.let.set()
        status, body, headers = await asking
        assert (status, body["items"]) == (200, [])
        assert headers["X-API-Version"] == "1.0"
        assert await running.process.wait() == 0


async def test_a_request_that_never_ends_is_cut_when_the_time_to_drain_is_over(running: Gateway) -> None:
    slow = Slow()
    running.upstreams["siem"].answers[LIST_ALERTS] = slow
    try:
        async with asyncio.timeout(SECONDS):
            asking = asyncio.ensure_future(running.get(LIST_ALERTS.path))
            await slow.asked.wait()
            running.process.terminate()
            assert await running.process.wait() == 0
            with pytest.raises(aiohttp.ClientError):
                await asking
    finally:
        slow.let.set()


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def impatient(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    folder = Path(tmp_path_factory.mktemp("impatient"))
    async with gateway(servers, folder, head_seconds="0.5", body_seconds="0.5", reader_seconds="0.5") as running:
        yield running


async def _dribbled(running: Gateway, head: bytes) -> None:
    """Returns once the gateway has cut a connection on which one byte follows another."""
    address = urlsplit(running.url)
    assert address.hostname is not None
    async with asyncio.timeout(SECONDS):
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        writer.write(head)
        cut = asyncio.ensure_future(reader.read())
        while not cut.done():
            writer.write(b"a")
            await asyncio.wait([cut], timeout=0.05)
        assert not isinstance(cut.exception(), TimeoutError)
        assert cut.exception() is not None or cut.result() == b""
        writer.transport.abort()


async def test_a_head_that_dribbles_is_cut(impatient: Gateway) -> None:
    await _dribbled(impatient, b"GET /health HTTP/1.1\r\nHost: h\r\nX-Slow: ")


@pytest.mark.parametrize("length", [b"1000", b"10000000"], ids=["kept", "streamed"])
async def test_a_body_that_dribbles_through_to_a_service_is_cut(impatient: Gateway, length: bytes) -> None:
    head = b"POST /api/v1/siem/logs/ingest HTTP/1.1\r\nHost: h\r\nContent-Type: text/plain\r\nAuthorization: Bearer "
    await _dribbled(impatient, head + impatient.token.encode() + b"\r\nContent-Length: " + length + b"\r\n\r\n")


async def test_an_answer_that_nobody_takes_ends_at_the_service_too(impatient: Gateway) -> None:
    ended = asyncio.Event()

    async def endless(call: Call[Any, Any]) -> Any:
        response = web.StreamResponse()
        await response.prepare(call.request)
        try:
            while True:
                await response.write(b"x" * 65536)
        finally:
            ended.set()

    impatient.upstreams["siem"].answers[LIST_ALERTS] = endless
    address = urlsplit(impatient.url)
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        loop = asyncio.get_running_loop()
        head = f"GET {LIST_ALERTS.path} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {impatient.token}\r\n\r\n"
        async with asyncio.timeout(SECONDS):
            await loop.sock_connect(client, (address.hostname, address.port))
            await loop.sock_sendall(client, head.encode())
            await ended.wait()
