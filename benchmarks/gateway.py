"""Requests a second through the gateway, beside the same service called directly and through one nginx worker.

A gateway process, a service process made as every service is (signed identity checked, contract decoded), and wrk with
64 connections. Direct and nginx calls carry an internal token, the gateway's an access token: it checks that, the
session, the permission and the limit, signs the caller anew and logs a line. Rounds alternate, so that a busy machine
slows all; CPU times are there because they hold still on one. Two p99 are told: wrk's own, where each way has as many
requests in flight as it can take, so that the slower one's are more seldom and wait longer; and those at equal load, of
requests sent at a fixed rate, whether or not the ones before were answered.

Needs `wrk` and, for its row, `nginx` on the PATH (Debian: apt-get install wrk nginx-light). Without wrk it says so.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
import psutil
import uvloop
from aiohttp import web

from benchmarks.paced import p99_at_rate
from deploy.local import ports
from shared import log
from shared.contracts.alerts import LIST_ALERTS
from shared.contracts.common import Page
from shared.http import Call, application, bind
from shared.http_server import Runner
from shared.identity import Principal, Signer, Verifier, bearer
from tests.gateway import gateway
from tests.stack import data_folder, embedded_servers

_PATH = f"{LIST_ALERTS.path}?limit=50&severity=high"
_ITEM = {"id": "ALRT-2026-000001", "title": "Base64-encoded command", "severity": "high", "description": "x" * 600}
_NGINX = """
daemon off; worker_processes 1; pid nginx.pid; error_log stderr crit;
events {{ worker_connections 1024; }}
http {{
  access_log access.log;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
  upstream service {{ server 127.0.0.1:{service}; keepalive 64; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass http://service; proxy_http_version 1.1; proxy_set_header Connection ""; }}
  }}
}}
"""


@dataclass(frozen=True)
class Way:
    """One way to the service: where to, with which token, through which process."""

    url: str
    token: str
    process: psutil.Process


async def _wrk(way: Way, connections: int, seconds: int) -> tuple[float, float, float]:
    """Requests a second, CPU seconds of the way's process for each request, p99 in ms. Every answer must be 2xx."""
    before = sum(way.process.cpu_times()[:2])
    authorization = f"Authorization: Bearer {way.token}"
    arguments = ["wrk", "-t1", "--latency", f"-c{connections}", f"-d{seconds}s", "-H", authorization, way.url + _PATH]
    child = await asyncio.create_subprocess_exec(*arguments, stdout=asyncio.subprocess.PIPE)
    told = (await child.communicate())[0].decode()
    if child.returncode or "Non-2xx" in told or "Socket errors" in told:
        raise RuntimeError(told)
    requests = int(re.search(r"(\d+) requests in", told)[1])  # type: ignore[index]
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", told)[1])  # type: ignore[index]
    late, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)\b", told).groups()  # type: ignore[union-attr]
    p99 = float(late) * {"us": 0.001, "ms": 1, "s": 1000}[unit]
    return rate, (sum(way.process.cpu_times()[:2]) - before) / requests, p99


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
async def _process(*arguments: str, folder: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    with (folder / "child.log").open("ab") as log_file:
        child = await asyncio.create_subprocess_exec(*arguments, stdout=asyncio.subprocess.PIPE, stderr=log_file)
    try:
        yield child
    finally:
        child.terminate()  # not killed: nginx must end its worker, which holds the pipe
        await child.wait()


@asynccontextmanager
async def _service(jwks_file: Path, port: int, token: str) -> AsyncIterator[Way]:
    arguments = (sys.executable, "-m", "benchmarks.gateway", "serve", str(jwks_file), str(port))
    async with _process(*arguments, folder=jwks_file.parent) as child:
        assert child.stdout is not None
        assert await child.stdout.readline() == b"listening\n"
        yield Way(f"http://127.0.0.1:{port}", token, psutil.Process(child.pid))


@asynccontextmanager
async def _nginx(service: Way, folder: Path) -> AsyncIterator[Way | None]:
    """The same service through one nginx worker; None where there is no nginx."""
    binary = shutil.which("nginx")
    if binary is None:
        yield None
        return
    port = ports.choose()
    (folder / "nginx.conf").write_text(_NGINX.format(service=urlsplit(service.url).port, port=port))
    async with _process(binary, "-p", str(folder), "-c", str(folder / "nginx.conf"), folder=folder) as child:
        workers = await _workers(psutil.Process(child.pid))
        yield Way(f"http://127.0.0.1:{port}", service.token, workers[0])


async def _workers(master: psutil.Process) -> list[psutil.Process]:
    for _ in range(200):
        if workers := master.children():
            return workers
        await asyncio.sleep(0.05)
    raise RuntimeError("nginx didn't start")


async def _rounds(ways: dict[str, Way], connections: int, seconds: int, rounds: int) -> dict[str, list[Any]]:
    measured: dict[str, list[Any]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, way in ways.items():
            result = await _wrk(way, connections, seconds if number else 1)
            if number:  # the first warms up
                measured[name].append(result)
    return measured


async def _equal_load(ways: dict[str, Way], rate: int, rounds: int) -> dict[str, float]:
    """The median p99 in milliseconds of each way at so many requests a second."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            where = urlsplit(way.url)
            head = f"GET {_PATH} HTTP/1.1\r\nHost: {where.netloc}\r\nAuthorization: Bearer {way.token}\r\n\r\n"
            found[name].append(await p99_at_rate(str(where.hostname), int(where.port or 80), head.encode(), rate))
    return {name: round(statistics.median(values) * 1000, 2) for name, values in found.items()}


def _warm_authentication(signer: Signer, jwks: dict[str, Any], principal: Principal) -> float:
    """Seconds that one request's warm authentication takes: the caller's token looked up, and one for the service."""
    verifier, token, times = Verifier("siem", jwks), signer.sign(principal, "siem", 600), 20_000
    verifier.verify(token)
    signer.token_for(principal, "siem")
    began = time.perf_counter()
    for _ in range(times):
        verifier.verify(bearer(f"Bearer {token}"))
        signer.token_for(principal, "siem")
    return (time.perf_counter() - began) / times


def _figures(measured: dict[str, list[Any]]) -> dict[str, Any]:
    median = statistics.median
    figures: dict[str, Any] = {}
    for name, results in measured.items():
        rates, cpu, late = zip(*results, strict=True)
        figures[f"{name}_per_second"] = round(median(rates))
        figures[f"{name}_cpu_us"] = round(median(cpu) * 1e6)
        figures[f"{name}_p99_ms_in_closed_loop"] = round(median(late), 2)
    ours = [rate for rate, *_ in measured["gateway"]]
    for name in measured.keys() - {"gateway"}:
        floors = [rate for rate, *_ in measured[name]]
        figures[f"of_{name}"] = round(median(a / b for a, b in zip(ours, floors, strict=True)), 3)
    return figures


async def run(
    connections: int = 64, seconds: int = 3, rounds: int = 5, paces: Sequence[int] = (400, 1000)
) -> dict[str, Any]:
    """Medians over alternating rounds: requests a second of each way and CPU microseconds of its process for each, the
    gateway's share of the others (`of_direct`, `of_nginx`), p99 in ms in a closed loop and at each pace, in requests
    a second."""
    if shutil.which("wrk") is None:
        return {"name": "gateway", "unit": "requests/s", "skipped": "wrk isn't on the PATH"}
    with data_folder() as root, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with embedded_servers(root) as servers:
            # The keys are made with the gateway, so the service behind it comes after it, on a port that it is told.
            port = ports.choose()
            settings = {"requests_per_minute": "1000000", "siem_url": f"http://127.0.0.1:{port}"}
            async with gateway(servers, folder, **settings) as through:
                signer = Signer("gateway", through.keys["gateway"])
                principal = Principal("user_bench", "user", "bench", "admin", frozenset({LIST_ALERTS.permission}))
                token, jwks_file = signer.sign(principal, "siem", 900), folder / "identity.jwks"
                async with _service(jwks_file, port, token) as direct, _nginx(direct, folder) as nginx:
                    ours = Way(through.url, through.token, psutil.Process(through.process.pid))
                    ways = {"direct": direct, "gateway": ours} | ({} if nginx is None else {"nginx": nginx})
                    figures = _figures(await _rounds(ways, connections, seconds, rounds))
                    both = {"direct": direct, "gateway": ours}
                    late = {pace: await _equal_load(both, pace, rounds) for pace in paces}
                    warm = _warm_authentication(signer, orjson.loads(jwks_file.read_bytes()), principal)
    return {
        "name": "gateway",
        "unit": "requests/s",
        "connections": connections,
        "rounds": rounds,
        "per_second": figures.pop("gateway_per_second"),
        "floor_per_second": figures.pop("direct_per_second"),
        "ratio": figures.pop("of_direct"),
        **figures,
        **{f"{name}_p99_ms_at_{pace}_per_second": value for pace in paces for name, value in late[pace].items()},
        "warm_authentication_share": round(warm / (figures["gateway_cpu_us"] / 1e6), 4),
    }


def main(arguments: list[str]) -> None:
    """Prints the figures as one JSON object. Arguments: seconds a round, rounds."""
    if arguments[:1] == ["serve"]:
        log.configure("siem")
        uvloop.run(_serve(orjson.loads(Path(arguments[1]).read_bytes()), int(arguments[2])))
        return
    seconds, rounds = (*map(int, arguments[:2]), *(3, 5)[len(arguments[:2]) :])
    print(json.dumps(asyncio.run(run(seconds=seconds, rounds=rounds)), indent=2))


if __name__ == "__main__":
    main(sys.argv[1:])
