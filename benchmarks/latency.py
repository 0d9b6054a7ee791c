"""Times that a person waits: from a log line to its alert on the WebSocket, and for the receipt of a single event.

A whole stack, agents too, everything through the gateway. Alerts are awaited while other events come in at a steady
rate; single events are sent by many clients at once, each waiting for its own acknowledgement. There is no floor: what
is measured is the wait itself, in milliseconds.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, cycle
from typing import Any

import aiohttp
import orjson

from benchmarks.corpus import corpus
from shared.contracts.detections import CREATE_RULE
from shared.contracts.logs import INGEST_LOGS
from shared.contracts.system import WS_ALERTS
from tests.stack import Stack, data_folder, running_stack

_RULE = """\
title: A line that the benchmark waits for
id: 0b8f2f5e-5a0e-4d5c-9d0c-6a2c1f0f7e11
level: low
logsource: {product: linux}
detection: {selection: {message|contains: aurora-latency-probe}, condition: selection}
"""
_PIECES_A_SECOND = 10
_IN_FLIGHT = 8
_PAUSE_SECONDS = 1.0
_WAIT_SECONDS = 60.0


class _Client:
    """Requests and the alert stream of a running stack, as its administrator."""

    def __init__(self, session: aiohttp.ClientSession, stack: Stack) -> None:
        self._session = session
        self._url = stack.runtime.gateway
        self._headers = {"Authorization": f"Bearer {stack.admin_token()}"}
        self.seen: dict[str, float] = {}

    async def post(self, path: str, body: bytes, media_type: str) -> int:
        """The status, after the whole answer."""
        headers = {**self._headers, "Content-Type": media_type}
        async with self._session.post(self._url + path, data=body, headers=headers) as response:
            await response.read()
            return response.status

    async def listen(self, ready: asyncio.Event) -> None:
        """Notes when the alert of each host came; runs until cancelled."""
        async with self._session.ws_connect(self._url + WS_ALERTS.path, headers=self._headers) as socket:
            ready.set()
            async for message in socket:
                alert = orjson.loads(message.data)["data"]
                self.seen.setdefault(alert.get("entities", {}).get("host", ""), time.perf_counter())


@dataclass
class _Background:
    """Other events at a steady rate, in a few requests at a time: a machine that can't take it gets less."""

    client: _Client
    lines: Sequence[bytes]
    per_second: int
    media_type: str
    accepted: int = 0

    async def run(self) -> None:
        """Runs until cancelled."""
        endless = cycle(self.lines)
        size = self.per_second // _PIECES_A_SECOND
        places = asyncio.Semaphore(_IN_FLIGHT)
        due = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            while True:
                await places.acquire()
                group.create_task(self._send(b"\n".join(next(endless) for _ in range(size)), size, places))
                due = max(due + 1 / _PIECES_A_SECOND, time.perf_counter())
                await asyncio.sleep(due - time.perf_counter())

    async def _send(self, body: bytes, size: int, places: asyncio.Semaphore) -> None:
        try:
            path = f"{INGEST_LOGS.path}?source=background"
            # Not in one statement: what others add while this one waits would be lost.
            status = await self.client.post(path, body, self.media_type)
            self.accepted += size if status == 202 else 0
        finally:
            places.release()


async def _probe(client: _Client, count: int) -> list[float]:
    """Seconds from sending each probe to its alert."""
    sent: dict[str, float] = {}
    for number in range(count):
        host = f"probe-{number}"
        body = f"2026-03-01T12:00:00.000000+00:00 {host} app[1]: aurora-latency-probe".encode()
        sent[host] = time.perf_counter()
        status = await client.post(f"{INGEST_LOGS.path}?source=probe", body, "text/plain")
        if status != 202:
            raise RuntimeError(f"intake answered {status}")
        # Each alert is investigated too: a burst of them would measure the agents.
        await asyncio.sleep(_PAUSE_SECONDS)
    async with asyncio.timeout(_WAIT_SECONDS):
        while not sent.keys() <= client.seen.keys():  # noqa: ASYNC110 - what the listener has noted
            await asyncio.sleep(0.02)
    return [client.seen[host] - moment for host, moment in sent.items()]


async def _single_events(client: _Client, clients: int, each: int) -> tuple[list[float], float]:
    """Seconds of each acknowledgement, and acknowledgements a second."""
    waits: list[float] = []

    async def sender(number: int) -> None:
        for index in range(each):
            body = orjson.dumps({"message": f"one event {number} {index}"})
            began = time.perf_counter()
            if await client.post(f"{INGEST_LOGS.path}?source=single", body, "application/json") == 202:
                waits.append(time.perf_counter() - began)

    began = time.perf_counter()
    await asyncio.gather(*(sender(number) for number in range(clients)))
    return waits, len(waits) / (time.perf_counter() - began)


def _milliseconds(waits: Sequence[float], share: float) -> float:
    return round(statistics.quantiles(waits, n=100, method="inclusive")[round(share * 100) - 1] * 1000, 1)


async def run(probes: int = 40, per_second: int = 2_000, clients: int = 64, each: int = 20) -> dict[str, Any]:
    """Percentiles in milliseconds: line to alert under `per_second` other events, and receipts of single events."""
    work = corpus(20_000, 1000)
    lines = list(chain.from_iterable(body.split(b"\n") for body in work.bodies))
    timeout = aiohttp.ClientTimeout(total=None, sock_read=_WAIT_SECONDS)
    with data_folder() as folder, running_stack(folder) as stack:
        async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0)) as session:
            client, ready = _Client(session, stack), asyncio.Event()
            if (status := await client.post(CREATE_RULE.path, _RULE.encode(), "application/yaml")) != 201:
                raise RuntimeError(f"the rule was answered {status}")
            listening = asyncio.create_task(client.listen(ready))
            await ready.wait()
            background, began = _Background(client, lines, per_second, work.media_type), time.perf_counter()
            others = asyncio.create_task(background.run())
            to_alert = await _probe(client, probes)
            reached = background.accepted / (time.perf_counter() - began)
            others.cancel()
            await asyncio.wait([others])
            receipts, rate = await _single_events(client, clients, each)
            listening.cancel()
            await asyncio.wait([listening])
    return {
        "name": "latency",
        "unit": "ms to the alert (p50)",
        "corpus": work.name,
        "line_to_alert_p50_ms": _milliseconds(to_alert, 0.5),
        "line_to_alert_p99_ms": _milliseconds(to_alert, 0.99),
        "background_events_per_second": round(reached),
        "receipt_p50_ms": _milliseconds(receipts, 0.5),
        "receipt_p99_ms": _milliseconds(receipts, 0.99),
        "single_events_per_second": round(rate),
        "clients": clients,
        "receipts": len(receipts),
    }
