"""Requests to other people's servers, against servers that misbehave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from shared.errors import AuroraError
from shared.outbound import Outbound, trusted_url

Handle = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def _server(
    answer: bytes, *, endless: bool = False, mute: bool = False
) -> AsyncIterator[tuple[str, list[bytes]]]:
    seen: list[bytes] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            seen.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(answer)
            while endless:
                writer.write(b"x" * 65536)
                await writer.drain()
            if mute:
                await reader.read()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/token", seen
    finally:
        server.close()


@asynccontextmanager
async def _outbound(timeout_seconds: float = 5) -> AsyncIterator[Outbound]:
    outbound = Outbound(timeout_seconds=timeout_seconds)
    try:
        yield outbound
    finally:
        await outbound.close()


BAD_ANSWERS = {
    "a redirect": b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
    "its own trouble": b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n",
    "too many requests": b"HTTP/1.1 429 No\r\nContent-Length: 0\r\n\r\n",
    "no HTTP": b"SSH-2.0-OpenSSH_9.2\r\n",
    "nothing": b"",
    "half of what it promises": b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
}


@pytest.mark.parametrize("what", BAD_ANSWERS)
async def test_a_server_that_misbehaves_is_unavailable(what: str) -> None:
    async with _server(BAD_ANSWERS[what]) as (url, _), _outbound() as outbound:
        with pytest.raises(AuroraError, match="AURORA-5030 Them") as refused:
            await outbound.post_form("Them", url, {"secret": "the secret"})
        assert "the secret" not in str(refused.value)


async def test_an_endless_answer_is_cut_off() -> None:
    async with _server(b"HTTP/1.1 200 OK\r\n\r\n", endless=True) as (url, _), _outbound() as outbound:
        with pytest.raises(AuroraError, match="AURORA-5030"):
            await outbound.post_form("Them", url, {})


async def test_a_server_that_says_nothing_is_given_up() -> None:
    async with _server(b"", mute=True) as (url, _), _outbound(0.2) as outbound, asyncio.timeout(10):
        with pytest.raises(AuroraError, match="AURORA-5030"):
            await outbound.post_form("Them", url, {})


async def test_a_refusal_is_an_answer() -> None:
    answer = b'HTTP/1.1 400 Bad\r\nContent-Length: 25\r\n\r\n{"error":"invalid_grant"}'
    async with _server(answer) as (url, seen), _outbound() as outbound:
        reply = await outbound.post_form("Them", url, {"code": "a b"})
    assert (reply.status, reply.body) == (400, b'{"error":"invalid_grant"}')
    assert b"Accept-Encoding: identity" in seen[0]


@pytest.mark.parametrize(
    "url", ["https://a.example.org/token", "http://127.0.0.1:1/x", "http://localhost", "http://[::1]:1/"]
)
def test_secrets_may_go_over_https_or_stay_on_loopback(url: str) -> None:
    assert trusted_url(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "http://a.example.org",
        "http://127.0.0.1.example.org",
        "ftp://127.0.0.1",
        "",
        "//a",
        "https://",
        "https://u:p@a",
        "https://a/#f",
    ],
)
def test_anywhere_else_they_may_not(url: str) -> None:
    with pytest.raises(ValueError, match=r"https|URL"):
        trusted_url(url)
