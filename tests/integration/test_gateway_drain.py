"""SIGTERM: what is in flight ends, what comes new is refused, and nothing holds the process up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import WSMsgType

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


async def test_requests_in_flight_are_answered_and_new_connections_are_refused(running: Gateway) -> None:
    slow = Slow()
    running.upstreams["siem"].answers[LIST_ALERTS] = slow
    async with asyncio.timeout(SECONDS):
        asking = asyncio.ensure_future(running.get(LIST_ALERTS.path))
        await slow.asked.wait()
        running.process.terminate()
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


async def test_sockets_get_1001_while_a_request_is_still_in_flight(running: Gateway) -> None:
    slow = Slow()
    running.upstreams["siem"].answers[LIST_ALERTS] = slow
    async with asyncio.timeout(SECONDS):
        asking = asyncio.ensure_future(running.get(LIST_ALERTS.path))
        url = running.url.replace("http", "ws") + "/api/v1/ws/alerts"
        async with running.http.ws_connect(url, headers=running.bearer()) as socket:
            await slow.asked.wait()
            running.process.terminate()
            message = await socket.receive()
            assert (message.type, message.data) == (WSMsgType.CLOSE, 1001)
        slow.let.set()
        assert (await asking)[0] == 200
        assert await running.process.wait() == 0


async def test_a_connection_that_rests_does_not_hold_the_process_up(running: Gateway) -> None:
    async with asyncio.timeout(SECONDS):
        assert (await running.get("/health/liveness"))[0] == 200
        running.process.terminate()
        assert await running.process.wait() == 0
