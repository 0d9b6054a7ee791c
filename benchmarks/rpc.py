"""Handoffs a second, beside a bare WebSocket echo of the same bytes; and how long one takes alone.

Both ends run in one process on one loop, so a figure is the CPU of both sides; but for how long one takes alone, which
is between two processes, as agents are. The floor sends the bytes of one handoff's request over a plain websockets
connection and gets them back, with as many in flight; it parses nothing, routes nothing and keeps no task a message.
Rounds alternate, so that a busy machine slows both; CPU times are there because they hold still on one. Handoffs go as
the orchestrator sends them, through a fleet with everything in `_meta`, each under an id of its own, checked, run once
and their replies kept; `bare_` are requests without one.

How long one takes alone is measured in turns of twenty-five of each: the medians of all turns, and of the quietest
tenth, since on a machine with other work each wait for a core counts, and whoever takes longer meets more of them.

What bounds it: a handoff alone is 1.3 times the instructions of an echo (callgrind, both ends), 80 calls of Python
functions, a third of all in the interpreter. Making the handoff, its JSON both ways, the checks of `_meta` and params,
the kept reply, the frames: a few us each, none a tenth of the whole. What was done about it: no jsonschema (157 -> 28
us a dispatch), no look at signatures (-> 7), none of the library's steps for a plain request; whole text frames taken
from the socket past the library's parser, queue and reader task (an echo that way takes 15 us instead of 43, alone in
one process); handlers begun in place, without a task where they don't wait; one timer for all deadlines, and none for
such a handler; one socket write a turn of the loop; ids of a trace made when someone asks for them; no system call for
the running loop and for each masking key.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine
from datetime import timedelta
from typing import Any

import msgspec
import uvloop
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as listen

from shared import log
from shared.clock import new_id, utc_now
from shared.contracts.agents import AGENT_CAPABILITIES, ANALYZE_THREAT, AnalyzeThreat, Assessment, Handoff
from shared.contracts.common import Observable
from shared.identity import Principal, service_principal
from shared.rpc import CallContext, Fleet, Peer, bind, serve

AGENT = "triage"
_SERVE = "serve"
_TURN = 25
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
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


def _handoff(address: str) -> Handoff:
    """As the orchestrator makes it."""
    return Handoff(
        handoff_id=new_id(),
        from_="orchestrator",
        to=AGENT,
        deadline=utc_now() + timedelta(seconds=60),
        capabilities=list(AGENT_CAPABILITIES),
        reason="first look",
        traceparent=TRACE,
        investigation_id="01a2031d-81fb-73d4-b0e9-a263eed0507f",
        address=address,
    )


Call = Callable[[], Awaitable[object]]


async def _calls(call: Call, calls: int, in_flight: int) -> None:
    async def caller() -> None:
        for _ in range(calls // in_flight):
            await call()

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


async def _alone(message: bytes, calls: int, rounds: int) -> dict[str, list[float]]:
    """One call after the other, to a process of its own as an agent is: microseconds of a handoff and of an echo, the
    median of each turn."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.rpc", _SERVE, stdout=asyncio.subprocess.PIPE, stdin=asyncio.subprocess.PIPE
    )
    found: dict[str, list[float]] = {"alone_us": [], "floor_alone_us": [], "alone_ratio": []}
    try:
        if child.stdout is None:
            raise RuntimeError("no pipe")
        ports = json.loads(await child.stdout.readline())
        address = f"ws://127.0.0.1:{ports['rpc']}"
        fleet = Fleet(lambda _agent: "any", {AGENT: address})

        async def handoff() -> None:
            await fleet.call(AGENT, ANALYZE_THREAT, PARAMS, handoff=_handoff(address), timeout=60)

        async with connect(f"ws://127.0.0.1:{ports['echo']}/", compression=None, proxy=None) as socket:

            async def echo() -> None:
                await socket.send(message, text=True)
                await socket.recv()

            await _latencies(handoff, 100)
            for _ in range(rounds * calls // _TURN):
                floor, ours = await _latencies(echo, _TURN), await _latencies(handoff, _TURN)
                for name, value in (("alone_us", ours), ("floor_alone_us", floor), ("alone_ratio", ours / floor)):
                    found[name].append(value)
        await fleet.close()
    finally:
        child.kill()
        await child.wait()
    return found


async def _serve_both() -> None:
    """The other process: says its ports, and serves until it is killed."""
    log.configure("benchmark")
    server = await serve([bind(ANALYZE_THREAT, _analyze)], host="127.0.0.1", port=0, authenticate=_anyone)
    _as_in_a_service()
    async with listen(_echo, "127.0.0.1", 0, compression=None) as echo:
        print(json.dumps({"rpc": server.port, "echo": echo.sockets[0].getsockname()[1]}), flush=True)
        await asyncio.to_thread(sys.stdin.read)


async def _latencies(call: Call, calls: int) -> float:
    """The median of calls one after the other, in microseconds."""
    taken = []
    for _ in range(calls):
        began = time.perf_counter()
        await call()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken) * 1e6


async def _echo(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


async def run(calls: int = 5_000, in_flight: int = 100, rounds: int = 5) -> dict[str, Any]:
    """Medians over `rounds` alternating rounds: handoffs and floor a second, CPU microseconds of each, `ratio` and
    `cpu_ratio` of each round to its own floor; `alone_us` of one alone, and how many times the floor's that is, of all
    turns and of the `quiet_` ones; `load` of the machine in the last minute."""
    log.configure("benchmark")
    _as_in_a_service()
    server = await serve([bind(ANALYZE_THREAT, _analyze)], host="127.0.0.1", port=0, authenticate=_anyone)
    address = f"ws://127.0.0.1:{server.port}"
    fleet = Fleet(lambda _agent: "any", {AGENT: address})

    async def handoff() -> None:
        await fleet.call(AGENT, ANALYZE_THREAT, PARAMS, handoff=_handoff(address), timeout=60)

    meta = {"_meta": _handoff(address), **msgspec.to_builtins(PARAMS)}
    message = msgspec.json.encode({"jsonrpc": "2.0", "method": ANALYZE_THREAT.name, "params": meta, "id": new_id()})
    found: dict[str, list[float]] = {name: [] for name in _FIGURES}
    async with (
        listen(_echo, "127.0.0.1", 0, compression=None) as echo,
        connect(f"ws://127.0.0.1:{echo.sockets[0].getsockname()[1]}/", compression=None, proxy=None) as socket,
        Peer(address, lambda: "any") as peer,
    ):

        async def bare() -> None:
            await peer.call(ANALYZE_THREAT, PARAMS, timeout=60)

        for call in (handoff, bare):
            await _calls(call, in_flight, in_flight)
        for _ in range(rounds):
            floor = await _timed(_echoes(socket, message, calls, in_flight))
            ours = await _timed(_calls(handoff, calls, in_flight))
            plain = await _timed(_calls(bare, calls, in_flight))
            _note(found, calls, floor, ours, plain)
    await fleet.close()
    await server.close()
    found |= _with_quietest(await _alone(message, calls // 5, rounds))
    figures = {name: round(statistics.median(values), 3) for name, values in found.items()}
    return {
        "name": "rpc",
        "unit": "calls/s",
        "in_flight": in_flight,
        "request_bytes": len(message),
        "rounds": rounds,
        "load": round(os.getloadavg()[0], 1),
        **figures,
    }


def _with_quietest(alone: dict[str, list[float]]) -> dict[str, list[float]]:
    """Also the tenth of each that took least: what it takes where nothing else runs."""
    ours, floor = (sorted(alone[name])[: max(1, len(alone[name]) // 10)] for name in ("alone_us", "floor_alone_us"))
    ratio = statistics.median(ours) / statistics.median(floor)
    return {**alone, "quiet_alone_us": ours, "quiet_floor_alone_us": floor, "quiet_alone_ratio": [ratio]}


_FIGURES = (
    "calls_per_second",
    "floor_per_second",
    "ratio",
    "cpu_us_per_call",
    "floor_cpu_us",
    "cpu_ratio",
    "bare_per_second",
    "bare_ratio",
)
Timed = tuple[float, float]


def _note(found: dict[str, list[float]], calls: int, floor: Timed, ours: Timed, plain: Timed) -> None:
    """The figures of one round, in the order of `_FIGURES`."""
    values = (
        *(calls / ours[0], calls / floor[0], floor[0] / ours[0]),
        *(ours[1] / calls * 1e6, floor[1] / calls * 1e6, floor[1] / ours[1]),
        *(calls / plain[0], floor[0] / plain[0]),
    )
    for name, value in zip(_FIGURES, values, strict=True):
        found[name].append(value)


def _as_in_a_service() -> None:
    """The collector as shared/runtime.py sets it."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def main() -> None:
    """Prints the figures as one JSON object. First argument: calls a round."""
    if sys.argv[1:] == [_SERVE]:
        uvloop.run(_serve_both())
        return
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else 5_000
    print(json.dumps(uvloop.run(run(calls)), indent=2))


if __name__ == "__main__":
    main()
