"""Clients that are slow on purpose: heads and bodies that dribble, answers that nobody takes."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from shared import http_server
from shared.contracts.alerts import CREATE_ALERT, LIST_ALERTS, AlertCreate, AlertQuery
from shared.http import ANONYMOUS, Call, application, bind
from shared.http_server import Runner
from shared.identity import Principal
from shared.patience import PatienceSettings

#: Short, so that a test is; each test's own wait is bounded by far more.
SETTINGS = PatienceSettings(head_seconds=0.4, body_seconds=0.4, body_least_bytes=64, reader_seconds=0.4)
SECONDS = 20
PIECE = b"x" * 65536
HEAD = b"GET /api/v1/alerts HTTP/1.1\r\nHost: h\r\n"
POST = b"POST /api/v1/alerts HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n"


async def _authenticate(_request: web.Request) -> Principal:
    return Principal(ANONYMOUS.id, "user", "anyone", "analyst", frozenset({"alerts:read", "alerts:write"}))


async def _create(call: Call[None, AlertCreate]) -> Any:
    return {"title": call.body.title}


class Listing:
    """Answers with more than any buffer holds when it is asked for `q=much`, and tells how it ended."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()

    async def __call__(self, call: Call[AlertQuery, None]) -> Any:
        if call.query.q != "much":
            return {"items": []}
        response = web.StreamResponse()
        await response.prepare(call.request)
        try:
            while True:
                await response.write(PIECE)
        finally:
            self.ended.set()


@pytest_asyncio.fixture(loop_scope="session")
async def listing() -> Listing:
    return Listing()


@pytest_asyncio.fixture(loop_scope="session")
async def port(listing: Listing) -> AsyncIterator[int]:
    routes = [bind(LIST_ALERTS, listing), bind(CREATE_ALERT, _create)]
    app = application("siem", routes, authenticate=_authenticate, mode=lambda: "monitor")
    runner = Runner(app, patience=SETTINGS, access_log=None, handle_signals=False, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


class Log:
    """What the server logs, by level."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.heard = asyncio.Event()

    def __getattr__(self, level: str) -> Any:
        def say(message: str, **_context: Any) -> None:
            self.said.append(f"{level}: {message}")
            self.heard.set()

        return say


async def test_a_client_that_leaves_in_the_middle_of_its_body_is_no_error(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = Log()
    monkeypatch.setattr(http_server, "_log", log)
    async with _connected(port) as (_, writer):
        writer.write(POST + PIECE)
        await writer.drain()
        writer.transport.abort()
        await log.heard.wait()
    assert log.said == ["info: client went away"]


@asynccontextmanager
async def _connected(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    async with asyncio.timeout(SECONDS):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            yield reader, writer
        finally:
            writer.transport.abort()


async def _dribble(writer: asyncio.StreamWriter, reader: asyncio.StreamReader, byte: bytes) -> bytes:
    """Sends the byte again and again, each long before any limit, until the connection ends; what was answered."""
    answer = asyncio.ensure_future(reader.read())
    while not answer.done():
        writer.write(byte)
        await asyncio.wait([answer], timeout=0.05)
    try:
        return answer.result()
    except ConnectionError:
        return b""


async def test_a_connection_that_says_nothing_is_closed(port: int) -> None:
    async with _connected(port) as (reader, _):
        assert await _until_closed(reader) == b""


async def test_a_head_that_dribbles_is_cut(port: int) -> None:
    async with _connected(port) as (reader, writer):
        writer.write(HEAD + b"X-Slow: ")
        assert await _dribble(writer, reader, b"a") == b""


async def test_a_second_head_that_dribbles_is_cut_too(port: int) -> None:
    async with _connected(port) as (reader, writer):
        writer.write(HEAD + b"\r\n")
        assert b" 200 OK" in await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(len(b'{"items":[]}'))
        writer.write(HEAD + b"X-Slow: ")
        assert await _dribble(writer, reader, b"a") == b""


async def test_a_connection_that_rests_between_two_requests_is_kept(port: int) -> None:
    async with _connected(port) as (reader, writer):
        for _ in range(2):
            writer.write(HEAD + b"\r\n")
            assert b" 200 OK" in await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(len(b'{"items":[]}'))
            rest = asyncio.ensure_future(reader.read(1))
            done, _ = await asyncio.wait([rest], timeout=4 * SETTINGS.head_seconds)
            assert not done, "it was closed"
            rest.cancel()
            await asyncio.gather(rest, return_exceptions=True)


async def test_a_body_that_dribbles_is_cut(port: int) -> None:
    async with _connected(port) as (reader, writer):
        writer.write(POST + b'{"title": "')
        assert await _dribble(writer, reader, b"a") == b""


async def test_a_slow_body_that_keeps_coming_arrives(port: int) -> None:
    async with _connected(port) as (reader, writer):
        body = b'{"title": "' + b"a" * 500 + b'"}'
        writer.write(POST.replace(b"100000", str(len(body)).encode()))
        answer = asyncio.ensure_future(reader.readuntil(b"\r\n\r\n"))
        for start in range(0, len(body), 40):
            writer.write(body[start : start + 40])
            await asyncio.wait([answer], timeout=0.1)
        assert b" 201 Created" in await answer or b" 200 OK" in answer.result()


async def test_an_answer_that_nobody_takes_is_let_go(port: int, listing: Listing) -> None:
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(SECONDS):
            await loop.sock_connect(client, ("127.0.0.1", port))
            await loop.sock_sendall(client, HEAD.replace(b"alerts", b"alerts?q=much") + b"\r\n")
            await listing.ended.wait()


async def test_an_answer_that_is_taken_slowly_goes_on(port: int, listing: Listing) -> None:
    async with _connected(port) as (reader, writer):
        writer.write(HEAD.replace(b"alerts", b"alerts?q=much") + b"\r\n")
        for _ in range(20):
            await reader.readexactly(256 * 1024)
            await asyncio.wait([asyncio.ensure_future(listing.ended.wait())], timeout=0.1)
        assert not listing.ended.is_set()


async def _until_closed(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read()
    except ConnectionError:
        return b""
