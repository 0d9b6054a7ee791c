"""Requests a second through the gateway, beside the same service called directly.

A gateway process, a service process made as every service is (signed identity checked, contract decoded), and here a
small load generator with a fixed number of connections, each of which waits for its answer. The floor calls the
service with an internal token. Rounds alternate, so that a busy machine slows both; CPU times are there because they
hold still on one.

Where the gateway's time goes (py-spy, two busy cores, 0.95 ms of CPU a request): writing the answer to the client 22%,
nearly all of it the system call; asking the service through aiohttp's client 14%; Redis 11%; trace, metrics and the log
line about 11%; the rest is aiohttp's server and the event loop. What was done about it: revocation and rate limit are
one round trip without a transaction (1.36 -> 1.02 ms), tokens are verified and signed once and remembered, small bodies
are passed on in one piece. One process is bound by its core; more of them share the load, since none keeps state.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
import psutil
import uvloop
from aiohttp import web

from deploy.local import ports
from shared import log
from shared.contracts.alerts import LIST_ALERTS
from shared.contracts.common import Page
from shared.http import Call, application, bind
from shared.http_server import Runner
from shared.identity import Principal, Signer, Verifier, bearer
from tests.gateway import Gateway, gateway
from tests.stack import data_folder, embedded_servers

_PATH = f"{LIST_ALERTS.path}?limit=50&severity=high"
_ITEM = {"id": "ALRT-2026-000001", "title": "Base64-encoded command", "severity": "high", "description": "x" * 600}


class _Client(asyncio.Protocol):
    """One connection that sends the same request again as soon as it is answered, until its share is done."""

    def __init__(self, request: bytes, count: int) -> None:
        self._request = request
        self._left = count
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head = self._buffer.find(b"\r\n\r\n")
        if head < 0:
            return
        at = self._buffer.find(b"Content-Length: ") + 16
        if len(self._buffer) < head + 4 + int(self._buffer[at : self._buffer.find(b"\r\n", at)]):
            return
        if not self._buffer.startswith(b"HTTP/1.1 200"):
            self.done.set_exception(RuntimeError(bytes(self._buffer[:200])))
            return
        self._buffer.clear()
        self._left -= 1
        assert self._transport is not None
        if self._left:
            self._transport.write(self._request)
        else:
            self._transport.close()
            self.done.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(exc or ConnectionResetError())


async def _load(url: str, token: str, requests: int, connections: int) -> float:
    """Seconds for so many requests."""
    where = urlsplit(url)
    request = f"GET {_PATH} HTTP/1.1\r\nHost: {where.netloc}\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    assert where.hostname is not None
    assert where.port is not None
    loop = asyncio.get_running_loop()
    share = requests // connections
    began = time.perf_counter()
    made = [
        await loop.create_connection(lambda: _Client(request, share), where.hostname, where.port)
        for _ in range(connections)
    ]
    await asyncio.gather(*(client.done for _, client in made))
    return time.perf_counter() - began


async def _serve(jwks: dict[str, Any], port: int) -> None:
    """The service behind the gateway; says when it listens and runs until it is killed."""
    verifier = Verifier("siem", jwks)

    async def authenticate(request: web.Request) -> Principal:
        return verifier.verify(bearer(request.headers.get("Authorization")))

    async def alerts(_call: Call[Any, Any]) -> Any:
        return Page([_ITEM])

    app = application("siem", [bind(LIST_ALERTS, alerts)], authenticate=authenticate, mode=lambda: "monitor")
    runner = Runner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    print("listening", flush=True)
    await asyncio.Event().wait()


@asynccontextmanager
async def _service(jwks_file: Path, port: int) -> AsyncIterator[str]:
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "benchmarks.gateway",
        "serve",
        str(jwks_file),
        str(port),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert child.stdout is not None
    try:
        assert await child.stdout.readline() == b"listening\n"
        yield f"http://127.0.0.1:{port}"
    finally:
        child.kill()
        await child.wait()


async def _rounds(through: Gateway, direct: str, requests: int, connections: int, rounds: int) -> list[Any]:
    internal = Signer("gateway", through.keys["gateway"])
    principal = Principal("user_benchmark", "user", "benchmark", "admin", frozenset({LIST_ALERTS.permission}))
    process = psutil.Process(through.process.pid)
    measured = []
    for _ in range(rounds + 1):
        floor = await _load(direct, internal.sign(principal, "siem", 600), requests, connections)
        cpu = sum(process.cpu_times()[:2])
        ours = await _load(through.url, through.token, requests, connections)
        measured.append((ours, floor, sum(process.cpu_times()[:2]) - cpu))
    return measured[1:]  # the first warms up


async def run(requests: int = 4_000, connections: int = 16, rounds: int = 5) -> dict[str, Any]:
    """Medians over `rounds` alternating rounds: requests a second through the gateway and directly, their `ratio`
    round by round, and the gateway's own CPU microseconds a request."""
    with data_folder() as root, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        keys = folder / "identity.jwks"
        async with embedded_servers(root) as servers:
            # The keys are made with the gateway, so the service behind it comes after it, on a port that it is told.
            port = ports.choose()
            settings = {"requests_per_minute": "1000000000", "siem_url": f"http://127.0.0.1:{port}"}
            async with gateway(servers, folder, **settings) as through, _service(keys, port) as direct:
                measured = await _rounds(through, direct, requests, connections, rounds)
    median = statistics.median
    return {
        "name": "gateway",
        "unit": "requests/s",
        "connections": connections,
        "rounds": rounds,
        "per_second": round(median(requests / ours for ours, _, _ in measured)),
        "floor_per_second": round(median(requests / floor for _, floor, _ in measured)),
        "ratio": round(median(floor / ours for ours, floor, _ in measured), 3),
        "gateway_cpu_us": round(median(cpu / requests * 1e6 for _, _, cpu in measured)),
    }


def main(arguments: list[str]) -> None:
    """Prints the figures as one JSON object. First argument: requests a round."""
    if arguments[:1] == ["serve"]:
        log.configure("siem")
        uvloop.run(_serve(orjson.loads(Path(arguments[1]).read_bytes()), int(arguments[2])))
        return
    requests = int(arguments[0]) if arguments else 4_000
    print(json.dumps(asyncio.run(run(requests)), indent=2))


if __name__ == "__main__":
    main(sys.argv[1:])
