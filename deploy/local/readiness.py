"""Is it serving? One question to each kind of server in its own protocol, on a bare connection.

No driver is used: the answer must not depend on a pool, and a server that recovers says so in its first bytes. Each
probe is bounded and answers False for anything but a clear yes.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from deploy.local.ports import HOST

_SECONDS = 2.0
_POSTGRES_PROTOCOL = 3 << 16


@asynccontextmanager
async def _connection(host: str, port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    async with asyncio.timeout(_SECONDS):
        reader, writer = await asyncio.open_connection(host, port)
        try:
            yield reader, writer
        finally:
            writer.close()


async def postgres_serves(port: int) -> bool:
    """True when it asks for our authentication ("R"); while it recovers it answers with an error ("E").

    Any user name will do: with SCRAM an unknown one is asked for a password too.
    """
    parameters = b"user\0probe\0database\0postgres\0\0"
    startup = struct.pack("!II", len(parameters) + 8, _POSTGRES_PROTOCOL) + parameters
    try:
        async with _connection(HOST, port) as (reader, writer):
            writer.write(startup)
            return await reader.readexactly(1) == b"R"
    except (OSError, asyncio.IncompleteReadError):
        return False


async def nats_serves(port: int) -> bool:
    """True when it greets; it does so only after JetStream has recovered."""
    try:
        async with _connection(HOST, port) as (reader, _):
            return (await reader.readline()).startswith(b"INFO ")
    except (OSError, asyncio.LimitOverrunError, ValueError):
        return False


async def valkey_serves(port: int, password: str) -> bool:
    """True when it knows the password and answers a PING; while it loads its file it answers LOADING."""
    try:
        async with _connection(HOST, port) as (reader, writer):
            writer.write(f"AUTH {password}\r\nPING\r\n".encode())
            return await reader.readline() == b"+OK\r\n" and await reader.readline() == b"+PONG\r\n"
    except OSError:
        return False


async def http_serves(url: str) -> bool:
    """True when GET `url` answers 200."""
    parts = urlsplit(url)
    request = f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n"
    try:
        async with _connection(parts.hostname or HOST, parts.port or 80) as (reader, writer):
            writer.write(request.encode())
            status = (await reader.readline()).split(b" ", 2)
            return len(status) > 1 and status[1] == b"200"
    except (OSError, ValueError):
        return False


async def serves(url: str, *, password: str = "") -> bool:
    """Whether what listens at `url` serves, asked in the protocol of the URL's scheme.

    `password` is for the Redis protocol. Services and agents are asked for their readiness over HTTP.
    """
    parts = urlsplit(url)
    port = parts.port or 0
    if parts.scheme == "postgresql":
        return await postgres_serves(port)
    if parts.scheme == "nats":
        return await nats_serves(port)
    if parts.scheme == "redis":
        return await valkey_serves(port, password)
    return await http_serves(f"http://{parts.netloc}/health/readiness")
