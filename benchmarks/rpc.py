"""JSON-RPC calls a second, beside a bare WebSocket echo of the same bytes.

Both ends run in one process on one loop, so a figure is the CPU of both sides. The floor sends the bytes of one
`analyze_threat` request over a plain websockets connection and gets them back, with as many in flight; it parses
nothing, routes nothing and keeps no task a message. Rounds alternate, so that a busy machine slows both.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from typing import Any

import msgspec
import uvloop
from websockets.asyncio.client import connect
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


async def _calls_per_second(peer: Peer, calls: int, in_flight: int) -> float:
    async def caller() -> None:
        for _ in range(calls // in_flight):
            await peer.call(ANALYZE_THREAT, PARAMS, timeout=60)

    began = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(in_flight)))
    return calls / (time.perf_counter() - began)


async def _echoes_per_second(port: int, message: bytes, calls: int, in_flight: int) -> float:
    async with connect(f"ws://127.0.0.1:{port}/", compression=None, proxy=None) as socket:
        began = time.perf_counter()
        for _ in range(in_flight):
            await socket.send(message, text=True)
        for received in range(calls):
            await socket.recv()
            if received < calls - in_flight:
                await socket.send(message, text=True)
        return calls / (time.perf_counter() - began)


async def _echo(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


async def run(calls: int = 5_000, in_flight: int = 100, rounds: int = 5) -> dict[str, Any]:
    """Medians of `rounds` alternating rounds: `calls_per_second`, `floor_per_second` and `ratio` (of each
    round to its own floor, the median of those)."""
    message = msgspec.json.encode({"jsonrpc": "2.0", "method": ANALYZE_THREAT.name, "params": PARAMS, "id": 1})
    server = await serve([bind(ANALYZE_THREAT, _analyze)], host="127.0.0.1", port=0, authenticate=_anyone)
    ours, floor = [], []
    async with (
        listen(_echo, "127.0.0.1", 0, compression=None) as echo,
        Peer(f"ws://127.0.0.1:{server.port}/", lambda: "any") as peer,
    ):
        port = echo.sockets[0].getsockname()[1]
        for _ in range(rounds):
            floor.append(await _echoes_per_second(port, message, calls, in_flight))
            ours.append(await _calls_per_second(peer, calls, in_flight))
    await server.close()
    return {
        "name": "rpc",
        "unit": "calls/s",
        "in_flight": in_flight,
        "request_bytes": len(message),
        "rounds": rounds,
        "calls_per_second": round(statistics.median(ours)),
        "floor_per_second": round(statistics.median(floor)),
        "ratio": round(statistics.median(mine / bare for mine, bare in zip(ours, floor, strict=True)), 3),
    }


def main() -> None:
    """Prints the figures as one JSON object. First argument: calls a round."""
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else 5_000
    print(json.dumps(uvloop.run(run(calls)), indent=2))


if __name__ == "__main__":
    main()
