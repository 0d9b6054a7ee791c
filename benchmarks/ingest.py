"""Events a second over HTTP to durable, beside the same rows inserted straight into chDB.

Ours: requests through the gateway on a few connections; an event counts when its request was answered 202, which means
fsynced. Every outside rule is loaded when the archive is there, and detection works meanwhile on the same cores. The
orchestrator stands still at first, for the recorded attacks raise alerts, and their investigations would be measured
too; then it is let go, and more rounds show what a whole stack takes in meanwhile. The floor: the rows, made
beforehand, inserted by two writers in a process of its own, with the same table and the same fsync, merged before the
next round of ours. Rounds alternate, so that a busy machine slows both.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks.corpus import ROOT, Corpus, corpus, sigma_rules
from services.siem.batch import StoredEvent
from services.siem.event import Event
from services.siem.logs.parsers import parse_items, read_items
from services.siem.logs.rows import encode_row, join_rows
from services.siem.logs.store import WRITE_SETTINGS
from shared.clickhouse import ClickHouse, Embedded
from shared.clock import new_id, utc_now
from shared.contracts.detections import IMPORT_RULES
from shared.contracts.logs import INGEST_LOGS
from shared.contracts.system import GET_METRICS
from shared.identity import Signer
from tests.stack import Stack, data_folder, running_stack

_CONNECTIONS = 4
_RULES_A_REQUEST = 200
_DRAIN_SECONDS = 300
_ROWS_A_BATCH = 10_000


def _encoded_rows(bodies: list[bytes], media_type: str) -> list[bytes]:
    received, rows = utc_now(), list[bytes]()
    for body in bodies:
        receipt = new_id()
        parsed = parse_items(read_items(body, media_type), source="benchmark", received_at=received)
        for number, event in enumerate(item for item in parsed if isinstance(item, Event)):
            stored = StoredEvent(new_id(), received, "benchmark", event)
            rows.append(encode_row(stored, receipt=receipt, part=0, row=number, forced_format=""))
    return rows


def _floor_process(pipe: Connection, folder: str, bodies: list[bytes], media_type: str) -> None:
    """Makes the rows and the table, then inserts them each time it is told to; answers with the seconds it took."""
    asyncio.run(_floor_rounds(pipe, Path(folder), _encoded_rows(bodies, media_type)))


async def _floor_rounds(pipe: Connection, folder: Path, rows: list[bytes]) -> None:
    store = await ClickHouse.open(Embedded(folder), write_settings=WRITE_SETTINGS)
    await store.apply(ROOT / "services" / "siem" / "clickhouse")
    blocks = [
        join_rows(number, rows[start : start + _ROWS_A_BATCH])
        for number, start in enumerate(range(0, len(rows), _ROWS_A_BATCH))
    ]
    pipe.send("ready")
    while await asyncio.to_thread(pipe.recv):
        began = time.perf_counter()
        await asyncio.gather(*(store.insert_json_each_row("logs", block) for block in blocks))
        seconds = time.perf_counter() - began
        merging = "SELECT count() AS merging FROM system.merges"
        while (await store.query(merging))[0]["merging"]:  # noqa: ASYNC110 - the engine tells nobody
            await asyncio.sleep(0.05)
        pipe.send(seconds)
    await store.close()


class _Floor:
    """The floor's process."""

    def __init__(self, work: Corpus, folder: Path) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        arguments = (theirs, str(folder), work.bodies, work.media_type)
        self._process = context.Process(target=_floor_process, args=arguments, daemon=True)
        self._process.start()

    def ready(self) -> None:
        """Waits until rows and table are made."""
        self._pipe.recv()

    def round(self) -> float:
        """Seconds to insert all rows once."""
        self._pipe.send(True)
        return float(self._pipe.recv())

    def stop(self) -> None:
        """Ends the process."""
        self._pipe.send(False)
        self._process.join(timeout=30)


class _Ours:
    """Requests to the gateway of a running stack."""

    def __init__(self, session: aiohttp.ClientSession, stack: Stack) -> None:
        self._session = session
        self._stack = stack
        self._url = stack.runtime.gateway
        self._token = ""

    def sign_in(self) -> None:
        """Takes a new access token; one lasts longer than a round."""
        self._token = self._stack.admin_token()

    def _headers(self, media_type: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}", "Content-Type": media_type}

    async def load(self, rules: list[str]) -> int:
        """Imports the rules; how many were stored."""
        stored = 0
        for start in range(0, len(rules), _RULES_A_REQUEST):
            body = "\n---\n".join(rules[start : start + _RULES_A_REQUEST]).encode()
            headers = self._headers("application/yaml")
            async with self._session.post(self._url + IMPORT_RULES.path, data=body, headers=headers) as response:
                report = await response.json()
                stored += report["created"] + report["updated"] + report["unchanged"]
        return stored

    async def round(self, work: Corpus) -> float:
        """Seconds until every event is acknowledged. Raises RuntimeError for a request that isn't."""
        waiting = list(work.bodies)
        headers = self._headers(work.media_type)

        async def sender() -> None:
            while waiting:
                await self._send(waiting.pop(), headers)

        began = time.perf_counter()
        await asyncio.gather(*(sender() for _ in range(_CONNECTIONS)))
        return time.perf_counter() - began

    async def _send(self, body: bytes, headers: dict[str, str]) -> None:
        while True:
            url = f"{self._url}{INGEST_LOGS.path}?source=benchmark"
            async with self._session.post(url, data=body, headers=headers) as response:
                if response.status == 202:
                    return
                if response.status != 429:
                    raise RuntimeError(f"intake answered {response.status}: {await response.text()}")
                await asyncio.sleep(float(response.headers["Retry-After"]))

    async def evaluated(self) -> float:
        """How many events detection has evaluated since siem started."""
        headers = {"Authorization": f"Bearer {siem_token(self._stack)}"}
        url = self._stack.runtime.services["siem"].url + GET_METRICS.path
        async with self._session.get(url, headers=headers) as response:
            text = await response.text()
        for line in text.splitlines():
            if line.startswith("aurora_detection_events_total "):
                return float(line.split()[1])
        return 0.0

    @contextmanager
    def orchestrator_stopped(self) -> Iterator[None]:
        """Nothing is investigated meanwhile; alerts wait in the stream."""
        pid = self._stack.runtime.services["orchestrator"].pid
        if pid is None:
            raise RuntimeError("the orchestrator doesn't run")
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    async def drained(self, events: float) -> float:
        """Seconds until detection has evaluated so many events in all."""
        began = time.perf_counter()
        async with asyncio.timeout(_DRAIN_SECONDS):
            while await self.evaluated() < events:  # noqa: ASYNC110 - a counter of another process
                await asyncio.sleep(0.1)
        return time.perf_counter() - began


def siem_token(stack: Stack) -> str:
    """An internal token for siem, signed as the operator of the stack."""
    key = (stack.data_dir / "secrets" / "operator.key").read_text(encoding="utf-8")
    return Signer("operator", key).own_token("siem")


async def run(events: int = 20_000, per_request: int = 1_000, rounds: int = 5) -> dict[str, Any]:
    """Medians of `rounds` alternating rounds; `ratio` is that of each round to its own floor, the median of those.

    `investigated_` are the same with an orchestrator that investigates what was found.
    """
    work = corpus(events, per_request)
    with data_folder() as folder, tempfile.TemporaryDirectory() as floor_folder:
        floor = _Floor(work, Path(floor_folder) / "clickhouse")
        with running_stack(folder) as stack:
            async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=300)) as session:
                figures = await _measure(_Ours(session, stack), floor, work, rounds)
        floor.stop()
    return {
        "name": "ingest",
        "unit": "events/s",
        "corpus": work.name,
        "bytes_per_event": round(work.size / work.events),
        "events_per_round": work.events,
        "rounds": rounds,
        **figures,
    }


async def _measure(ours: _Ours, floor: _Floor, work: Corpus, rounds: int) -> dict[str, Any]:
    ours.sign_in()
    rules = await ours.load(sigma_rules())
    floor.ready()
    with ours.orchestrator_stopped():
        alone = await _rounds(ours, floor, work, rounds)
    together = await _rounds(ours, floor, work, rounds)
    return {"rules_imported": rules, **alone, **{f"investigated_{name}": figure for name, figure in together.items()}}


async def _rounds(ours: _Ours, floor: _Floor, work: Corpus, rounds: int) -> dict[str, Any]:
    mine, bare, whole = [], [], []
    for _ in range(rounds):
        ours.sign_in()
        bare.append(work.events / floor.round())
        before = await ours.evaluated()
        seconds = await ours.round(work)
        mine.append(work.events / seconds)
        whole.append(work.events / (seconds + await ours.drained(before + work.events)))
    return {
        "per_second": round(statistics.median(mine)),
        "evaluated_per_second": round(statistics.median(whole)),
        "floor_per_second": round(statistics.median(bare)),
        "ratio": round(statistics.median(one / other for one, other in zip(mine, bare, strict=True)), 3),
    }


def main() -> None:
    """Prints the figures as one JSON object. First argument: events a round."""
    events = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    print(json.dumps(asyncio.run(run(events)), indent=2))


if __name__ == "__main__":
    main()
