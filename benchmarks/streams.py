"""Events to WebSockets: 200 idle ones, and 1,000 events a second fanned out to 20 others.

Each event is published to JetStream and acknowledged, read by the gateway and sent to the 20; the time of a delivery is
from before its publication until its frame is parsed here. Every socket must get every event, once and in order. The
sockets here parse only as much of a frame as that needs, so that the figures are the gateway's. JetStream is one of its
own that doesn't wait for the disk at each event: waiting, as the local stack's does, a disk may store less than this.
"""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import json
import secrets
import statistics
import struct
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil

from deploy.local import ports, wheels
from shared.bus import Bus
from shared.clock import new_id, utc_now
from shared.contracts.agents import AGENT_THOUGHT, Thought
from shared.contracts.system import WS_AGENT_THOUGHTS, WS_RECEIPTS
from shared.outbox import event_bytes
from tests.gateway import Gateway, gateway
from tests.stack import Servers, data_folder, embedded_servers

_PUBLISHERS = 64
_PATIENCE_SECONDS = 20


class _Socket(asyncio.Protocol):
    """A WebSocket that notes which sequences came when. `expected` of them set `done`."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        loop = asyncio.get_running_loop()
        self.opened: asyncio.Future[None] = loop.create_future()
        self.done: asyncio.Future[None] = loop.create_future()
        self.came: list[tuple[int, float]] = []
        self.expected = 0
        self.ended = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self.opened.done():
            head, found, rest = bytes(self._buffer).partition(b"\r\n\r\n")
            if not found:
                return
            if not head.startswith(b"HTTP/1.1 101"):
                self.opened.set_exception(RuntimeError(head.decode()))
                return
            self._buffer = bytearray(rest)
            self.opened.set_result(None)
        self._frames(time.perf_counter())

    def _frames(self, now: float) -> None:
        at, buffer = 0, self._buffer
        while len(buffer) - at >= 2:
            length, start = buffer[at + 1], at + 2
            if length == 126:
                if len(buffer) < at + 4:
                    break
                length, start = struct.unpack_from("!H", buffer, at + 2)[0], at + 4
            if len(buffer) < start + length:
                break
            self._frame(buffer[at] & 15, buffer[start : start + 40], now)
            at = start + length
        del buffer[:at]
        if self.expected and len(self.came) >= self.expected and not self.done.done():
            self.done.set_result(None)

    def _frame(self, kind: int, start: bytearray, now: float) -> None:
        if kind == 1:
            self.came.append((int(start[12 : start.index(b",")]), now))  # {"sequence":1,...
        elif kind == 9:
            assert self._transport is not None
            self._transport.write(b"\x8a\x80\0\0\0\0")
        else:
            self.ended = f"frame of kind {kind}: {bytes(start)!r}"
            if self.expected and not self.done.done():
                self.done.set_exception(RuntimeError(self.ended))

    def close(self) -> None:
        assert self._transport is not None
        self._transport.abort()


async def _open(through: Gateway, path: str) -> _Socket:
    where = urlsplit(through.url)
    key = base64.b64encode(secrets.token_bytes(16)).decode()
    request = (
        f"GET {path} HTTP/1.1\r\nHost: {where.netloc}\r\nAuthorization: Bearer {through.token}\r\n"
        f"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
    )
    loop, host, port = asyncio.get_running_loop(), str(where.hostname), int(where.port or 80)
    _, socket = await loop.create_connection(lambda: _Socket(request.encode()), host, port)
    async with asyncio.timeout(_PATIENCE_SECONDS):
        await socket.opened
    return socket


async def _publish(bus: Bus, count: int, rate: int) -> dict[int, float]:
    """When each event was sent off, by its sequence. They go at their times, some of them side by side."""
    sent: dict[int, float] = {}
    numbers = iter(range(count))
    began = time.perf_counter()

    async def publisher() -> None:
        for number in numbers:
            await asyncio.sleep(max(0.0, began + number / rate - time.perf_counter()))
            event_id = new_id()
            thought = Thought(
                agent="triage",
                handoff_id="h",
                investigation_id=None,
                kind="tool",
                text=f"looked at {number}",
                tool_result_id=None,
                timestamp=utc_now(),
            )
            payload = event_bytes(AGENT_THOUGHT, thought, service="benchmark", event_id=event_id)
            moment = time.perf_counter()
            sent[await bus.publish(AGENT_THOUGHT.subject("triage"), payload, event_id)] = moment

    await asyncio.gather(*(publisher() for _ in range(_PUBLISHERS)))
    return sent


async def _round(sockets: list[_Socket], bus: Bus, seconds: int, rate: int) -> tuple[list[float], int, float]:
    """The seconds of each delivery, how many never came or came twice or out of order, and the rate kept."""
    for socket in sockets:
        socket.came.clear()
        socket.expected, socket.done = seconds * rate, asyncio.get_running_loop().create_future()
    began = time.perf_counter()
    sent = await _publish(bus, seconds * rate, rate)
    kept = len(sent) / (time.perf_counter() - began)
    async with asyncio.timeout(_PATIENCE_SECONDS):
        await asyncio.gather(*(socket.done for socket in sockets))
    wrong = sum([sequence for sequence, _ in socket.came] != sorted(sent) for socket in sockets)
    return [moment - sent[sequence] for socket in sockets for sequence, moment in socket.came], wrong, kept


@asynccontextmanager
async def _jetstream(servers: Servers, folder: Path) -> AsyncIterator[Servers]:
    """The servers, with another NATS that leaves it to the system when the disk is written."""
    port = ports.choose()
    account = {"user": servers.nats_user, "password": servers.nats_password}
    settings = {"host": "127.0.0.1", "port": port, "jetstream": {"store_dir": str(folder)}, "authorization": account}
    file = folder / "nats.json"
    file.write_text(json.dumps(settings))
    child = await asyncio.create_subprocess_exec(
        str(wheels.nats_server()), "-c", str(file), stderr=asyncio.subprocess.DEVNULL
    )
    try:
        yield dataclasses.replace(servers, nats_url=f"nats://127.0.0.1:{port}")
    finally:
        child.terminate()
        await child.wait()


async def run(seconds: int = 5, rounds: int = 3, rate: int = 1_000, idle: int = 200, busy: int = 20) -> dict[str, Any]:
    """Medians over the rounds: `p50_ms` and `p99_ms` of a delivery, and the gateway's share of a core. `wrong` counts
    sockets that didn't get exactly what was published, over all rounds, and those that were closed."""
    p50, p99, wrong, rates = [], [], 0, []
    with data_folder() as root, tempfile.TemporaryDirectory() as name, tempfile.TemporaryDirectory() as store:
        async with (
            embedded_servers(root) as embedded,
            _jetstream(embedded, Path(store)) as servers,
            gateway(servers, Path(name)) as through,
        ):
            bus = await Bus.connect(
                servers.nats_url, user=servers.nats_user, password=servers.nats_password, name="benchmark"
            )
            resting = [await _open(through, WS_RECEIPTS.path) for _ in range(idle)]
            sockets = [await _open(through, WS_AGENT_THOUGHTS.path) for _ in range(busy)]
            process, cpu = psutil.Process(through.process.pid), []
            for _ in range(rounds):
                before, began = sum(process.cpu_times()[:2]), time.perf_counter()
                times, bad, kept = await _round(sockets, bus, seconds, rate)
                cpu.append((sum(process.cpu_times()[:2]) - before) / (time.perf_counter() - began))
                times.sort()
                p50.append(times[len(times) // 2])
                p99.append(times[int(len(times) * 0.99)])
                wrong += bad
                rates.append(kept)
            for socket in (*resting, *sockets):
                wrong += bool(socket.ended)
                socket.expected = 0
                socket.close()
            await bus.close()
    return {
        "name": "streams",
        "unit": f"events/s to {busy} of {idle + busy} sockets",
        "per_second": round(statistics.median(rates)),
        "p50_ms": round(statistics.median(p50) * 1000, 1),
        "p99_ms": round(statistics.median(p99) * 1000, 1),
        "wrong": wrong,
        "gateway_cores": round(statistics.median(cpu), 2),
    }


def main(arguments: list[str]) -> None:
    """Prints the figures as one JSON object. Arguments: seconds a round, rounds, events a second."""
    numbers = [int(argument) for argument in arguments[:3]]
    print(json.dumps(asyncio.run(run(**dict(zip(("seconds", "rounds", "rate"), numbers, strict=False)))), indent=2))


if __name__ == "__main__":
    main(sys.argv[1:])
