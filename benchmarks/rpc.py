"""JSON-RPC calls a second, beside a bare WebSocket echo of the same bytes.

Both ends run in one process on one loop, so a figure is the CPU of both sides. The floor sends the bytes of one
`analyze_threat` request over a plain websockets connection and gets them back, with as many in flight; it parses
nothing, routes nothing and keeps no task a message. Rounds alternate, so that a busy machine slows both; CPU times are
there because they hold still on one.

Where the time of a call goes (py-spy, both ends): 34% frames in websockets, 38% shared/rpc itself (tasks, futures,
deadlines, params and results; garbage collection shows there too), 10% jsonrpcserver's steps, 9% asyncio, 5% JSON, 2%
jsonrpcclient. What was done about it: no jsonschema (157 -> 28 us a dispatch), no look at signatures (-> 7 us), one
timer for all deadlines, messages sent without a coroutine while buffers have room, one socket write a turn of the loop.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from collections.abc import Coroutine
from typing import Any

import msgspec
import uvloop
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as listen

from shared.contracts.agents import ANALYZE_THREAT, AnalyzeThreat, Assessment
from shared.contracts.common import Observable
from shared.identity import Principal, service_principal
from shared.rpc import CallContext, Peer, bind, serve

PARAMS = AnalyzeThreat(alert_id="ALRT-2026-05821", iocs=[Observable("ip", "45.33.32.156")])
ANSWER = Assessment(
    severity="high",
    confidence=0.89,
    mitre_techniques=["T1566.001"],
    iocs=[Observable("domain", "evil.example.com")],
)


async def _analyze(_params: AnalyzeThreat, _context: CallContext) -> Assessment:
    return ANSWER


def _anyone(_token: str) -> Principal:
    return service_principal("orchestrator")


async def _calls(peer: Peer, calls: int, in_flight: int) -> None:
    async def caller() -> None:
        for _ in range(calls // in_flight):
            await peer.call(ANALYZE_THREAT, PARAMS, timeout=60)

    await asyncio.gather(*(caller() for _ in range(in_flight)))


async def _echoes(socket: ClientConnection, message: bytes, calls: int, in_flight: int) -> None:
    for _ in range(in_flight):
        await socket.send(message, text=True)
    for received in range(calls):
        await socket.recv()
        if received < calls - in_flight:
            await socket.send(message, text=True)


async def _timed(work: Coroutine[Any, Any, None]) -> tuple[float, float]:
    """Seconds and CPU seconds of `work`."""
    began, cpu = time.perf_counter(), time.process_time()
    await work
    return time.perf_counter() - began, time.process_time() - cpu


async def _echo(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


async def run(calls: int = 5_000, in_flight: int = 100, rounds: int = 5) -> dict[str, Any]:
    """Medians over `rounds` alternating rounds: calls and floor a second, CPU microseconds of each, and `ratio` and
    `cpu_ratio`, of each round to its own floor."""
    message = msgspec.json.encode({"jsonrpc": "2.0", "method": ANALYZE_THREAT.name, "params": PARAMS, "id": 1})
    server = await serve([bind(ANALYZE_THREAT, _analyze)], host="127.0.0.1", port=0, authenticate=_anyone)
    measured: list[tuple[tuple[float, float], tuple[float, float]]] = []
    async with (
        listen(_echo, "127.0.0.1", 0, compression=None) as echo,
        connect(f"ws://127.0.0.1:{echo.sockets[0].getsockname()[1]}/", compression=None, proxy=None) as socket,
        Peer(f"ws://127.0.0.1:{server.port}/", lambda: "any") as peer,
    ):
        await _calls(peer, in_flight, in_flight)
        for _ in range(rounds):
            bare = await _timed(_echoes(socket, message, calls, in_flight))
            measured.append((await _timed(_calls(peer, calls, in_flight)), bare))
    await server.close()
    median = statistics.median
    return {
        "name": "rpc",
        "unit": "calls/s",
        "in_flight": in_flight,
        "request_bytes": len(message),
        "rounds": rounds,
        "calls_per_second": round(median(calls / ours[0] for ours, _ in measured)),
        "floor_per_second": round(median(calls / bare[0] for _, bare in measured)),
        "ratio": round(median(bare[0] / ours[0] for ours, bare in measured), 3),
        "cpu_us_per_call": round(median(ours[1] / calls * 1e6 for ours, _ in measured), 1),
        "floor_cpu_us": round(median(bare[1] / calls * 1e6 for _, bare in measured), 1),
        "cpu_ratio": round(median(bare[1] / ours[1] for ours, bare in measured), 3),
    }


def main() -> None:
    """Prints the figures as one JSON object. First argument: calls a round."""
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else 5_000
    print(json.dumps(uvloop.run(run(calls)), indent=2))


if __name__ == "__main__":
    main()
