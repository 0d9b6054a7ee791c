"""What a client may rely on of the connection under its requests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import BaseTestServer, TestServer

from shared.contracts.alerts import CREATE_ALERT, Alert, AlertCreate
from shared.errors import RATE_LIMITED, AuroraError
from shared.http import ANONYMOUS, Call, application, bind
from shared.identity import Principal


async def _refuse(_request: web.Request) -> Principal:
    raise AuroraError(RATE_LIMITED, retry_after=1)


async def _create(_call: Call[None, AlertCreate]) -> Alert:
    raise AssertionError(f"{ANONYMOUS.name} can't come here")


@pytest_asyncio.fixture(loop_scope="session")
async def server() -> AsyncIterator[BaseTestServer]:
    """An application that refuses each request before it reads the body."""
    routes = [bind(CREATE_ALERT, _create)]
    async with TestServer(application("siem", routes, authenticate=_refuse, mode=lambda: "monitor")) as server:
        yield server


async def test_a_request_refused_before_its_body_was_read_closes_its_connection(server: BaseTestServer) -> None:
    async with aiohttp.ClientSession() as session:
        for _ in range(20):
            async with session.post(server.make_url(CREATE_ALERT.path), data=b"x" * 900_000) as response:
                assert response.status == 429
                assert response.headers["Connection"] == "close"


async def test_a_request_without_a_body_keeps_its_connection(server: BaseTestServer) -> None:
    async with aiohttp.ClientSession() as session, session.get(server.make_url("/nowhere")) as response:
        assert response.status == 404
        assert "Connection" not in response.headers
