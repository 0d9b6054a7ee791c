"""All outside rules over stored rows in one run over the past, beside one query for each rule.

Ours is a run of all rules through a real siem's API. The floor are runs of one rule each, which is the rule's own
condition in ClickHouse over the range and an exact evaluation of the rows it lets through; a sample of the rules stands
for all, so the floor's seconds are their mean times the number of rules. Both must have found the same (rule, event)
pairs for the rules of the sample. The rows are the recorded sessions, again and again, a day apart. Meanwhile single
events are sent in, to see what a run does to intake.
"""

from __future__ import annotations

import asyncio
import json
import math
import multiprocessing
import random
import statistics
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson

from benchmarks.corpus import ROOT, corpus, sigma_rules
from services.siem.batch import StoredEvent
from services.siem.event import Event
from services.siem.logs.parsers import parse_items, read_items
from services.siem.logs.rows import encode_row, join_rows
from services.siem.logs.store import WRITE_SETTINGS
from shared.clickhouse import ClickHouse, Embedded
from shared.clock import new_id, utc_now
from shared.contracts.detections import IMPORT_RULES
from shared.contracts.runs import GET_RUN, RUN_ALL_RULES, RUN_RULE, Run
from shared.contracts.wire import decode
from shared.postgres import Database
from tests.siem import Siem, siem
from tests.stack import data_folder, embedded_servers

_SAMPLED_RULES = 60
_COMPARED_RULES = 20
_RULES_A_REQUEST = 200
_ROWS_A_BATCH = 10_000
#: Far from those that siem gives to what comes in meanwhile.
_FIRST_BATCH = 1_000_000_000
_LOOK_SECONDS = 0.05
_PROBE_SECONDS = 0.1
_SINCE = "2000-01-01T00:00:00Z"
#: A copy differs in its id, its receipt, its batch and its day.
_COPY = """
INSERT INTO logs SELECT * REPLACE (
    concat(leftPad(toString({copy:UInt32}), 4, 'c'), substring(id, 5)) AS id,
    concat(receipt, toString({copy:UInt32})) AS receipt,
    batch + 1000 * {copy:UInt32} AS batch,
    timestamp + toIntervalDay({copy:UInt32}) AS timestamp)
FROM (SELECT * FROM logs WHERE batch < {end:UInt32})
"""


def _encoded_rows() -> list[bytes]:
    work = corpus(100_000, 1000)
    received, rows = utc_now(), list[bytes]()
    for body in work.bodies:
        receipt = new_id()
        parsed = parse_items(read_items(body, work.media_type), source="benchmark", received_at=received)
        for number, event in enumerate(item for item in parsed if isinstance(item, Event)):
            stored = StoredEvent(new_id(), received, "benchmark", event)
            rows.append(encode_row(stored, receipt=receipt, part=0, row=number, forced_format=""))
    return rows


def _fill(folder: str, rows: int) -> None:
    """Runs in a process of its own, which leaves the engine to siem when it ends."""
    asyncio.run(_filled(Path(folder), rows))


async def _filled(folder: Path, rows: int) -> None:
    store = await ClickHouse.open(Embedded(folder), write_settings=WRITE_SETTINGS)
    await store.apply(ROOT / "services" / "siem" / "clickhouse")
    originals = _encoded_rows()[:rows]
    starts = range(0, len(originals), _ROWS_A_BATCH)
    for number, start in enumerate(starts):
        await store.insert_json_each_row(
            "logs", join_rows(_FIRST_BATCH + number, originals[start : start + _ROWS_A_BATCH])
        )
    for copy in range(1, math.ceil(rows / len(originals))):
        batches = min(len(starts), math.ceil((rows - copy * len(originals)) / _ROWS_A_BATCH))
        await store.command(_COPY, {"copy": copy, "end": _FIRST_BATCH + batches})
    await store.close()


async def _call(running: Siem, method: str, path: str, body: Any = None) -> Any:
    headers = {**running.headers(), "Content-Type": "application/json"}
    data = None if body is None else orjson.dumps(body)
    async with running.http().request(method, running.url + path, data=data, headers=headers) as response:
        answer = await response.read()
        if response.status >= 300:
            raise RuntimeError(f"{path} answered {response.status}: {answer[:200]!r}")
        return orjson.loads(answer)


async def _load(running: Siem) -> int:
    """Imports the outside rules; how many there are."""
    rules, stored = sigma_rules(), 0
    headers = {**running.headers(), "Content-Type": "application/yaml"}
    for start in range(0, len(rules), _RULES_A_REQUEST):
        body = "\n---\n".join(rules[start : start + _RULES_A_REQUEST]).encode()
        async with running.http().post(running.url + IMPORT_RULES.path, data=body, headers=headers) as response:
            report = orjson.loads(await response.read())
            stored += report["created"] + report["updated"] + report["unchanged"]
    return stored


async def _run(running: Siem, path: str) -> tuple[float, Run]:
    """Runs to its end; seconds of work, as siem wrote them down."""
    run = decode(orjson.dumps(await _call(running, "POST", path, {"since": _SINCE})), Run)
    while run.status in ("queued", "running"):
        await asyncio.sleep(_LOOK_SECONDS)
        run = decode(orjson.dumps(await _call(running, "GET", GET_RUN.path.format(run_id=run.id))), Run)
    if run.status != "completed" or run.started_at is None or run.finished_at is None or run.failures:
        raise RuntimeError(f"a run ended as {run.status}: {run.error}, {run.failures} failures")
    return (run.finished_at - run.started_at).total_seconds(), run


@asynccontextmanager
async def _probing(running: Siem, milliseconds: list[float]) -> AsyncIterator[None]:
    """Sends an event ten times a second meanwhile, and notes how long its receipt took."""

    async def probe() -> None:
        while True:
            began = time.perf_counter()
            line = "Nov 22 10:00:00 probe sshd[1]: Connection closed by 192.0.2.7 port 50022"
            status, _, _ = await running.ingest(line, content_type="text/plain")
            if status == 202:
                milliseconds.append((time.perf_counter() - began) * 1000)
            await asyncio.sleep(_PROBE_SECONDS)

    task = asyncio.create_task(probe(), name="probe")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _matches(database: Database) -> dict[str, set[str]]:
    """Rule -> the events it matched."""
    rows = await database.fetch("SELECT rule_id, array_agg(log_id) AS log_ids FROM matches GROUP BY rule_id")
    return {row["rule_id"]: set(row["log_ids"]) for row in rows}


async def _measure(running: Siem, database: Database, rounds: int) -> dict[str, Any]:
    loaded = await _load(running)
    served = [
        row["id"]
        for row in await database.fetch(
            "SELECT id FROM rules WHERE enabled AND problem IS NULL AND origin <> 'builtin' ORDER BY id"
        )
    ]
    chosen = random.Random(1)
    sample = chosen.sample(served, min(_SAMPLED_RULES, len(served)))
    ours, single, probes = [], [], list[float]()
    for _ in range(rounds):
        await database.execute("DELETE FROM matches")
        async with _probing(running, probes):
            seconds, whole = await _run(running, RUN_ALL_RULES.path)
        if whole.matches != whole.new_matches:
            raise RuntimeError(f"{whole.matches} matches, and {whole.new_matches} of them new")
        ours.append(seconds)
        found = await _matches(database)
        # Most rules match nothing; what some found is compared too, and isn't timed.
        matched = sorted(found.keys() & set(served))
        matching = chosen.sample(matched, min(_COMPARED_RULES, len(matched)))
        await database.execute("DELETE FROM matches")
        alone = {rule_id: (await _run(running, RUN_RULE.path.format(rule_id=rule_id)))[0] for rule_id in sample}
        single.append(statistics.mean(alone.values()) * len(served))
        for rule_id in set(matching) - set(sample):
            await _run(running, RUN_RULE.path.format(rule_id=rule_id))
        again = await _matches(database)
        compared = {*sample, *matching}
        if any(again.get(rule_id) != found.get(rule_id) for rule_id in compared):
            raise RuntimeError("a rule by itself and all rules at once found different events")
    return {
        "per_second": round(whole.events_read / statistics.median(ours)),
        "floor_per_second": round(whole.events_read / statistics.median(single)),
        "ratio": round(statistics.median(floor / mine for mine, floor in zip(ours, single, strict=True)), 1),
        "rows": whole.events_read,
        "rules_imported": loaded,
        "rules_served": len(served),
        "matches": whole.matches,
        "seconds": round(statistics.median(ours), 1),
        "sampled_rules": len(sample),
        "compared_rules": len(compared),
        "compared_matches": sum(len(again[rule_id]) for rule_id in compared & again.keys()),
        "floor_seconds_scaled_from_the_sample": round(statistics.median(single)),
        "receipt_p50_ms_meanwhile": round(statistics.median(probes), 1),
        "receipt_p99_ms_meanwhile": round(statistics.quantiles(probes, n=100)[98], 1),
    }


async def run(rows: int = 1_000_000, rounds: int = 5) -> dict[str, Any]:
    """Medians of `rounds`; `ratio` is how much faster one run of all rules is than a run of each."""
    with data_folder() as folder:
        place = folder / "siem"
        place.mkdir()
        filler = multiprocessing.get_context("spawn").Process(target=_fill, args=(str(place / "clickhouse"), rows))
        filler.start()
        await asyncio.to_thread(filler.join)
        async with embedded_servers(folder / "servers") as servers, siem(servers, place) as running:
            database = await Database.connect(running.environment["AURORA_POSTGRES_DSN"])
            try:
                figures = await _measure(running, database, rounds)
            finally:
                await database.close()
    return {"name": "retro", "unit": "events/s", "rounds": rounds, **figures}


def main() -> None:
    """Prints the figures as JSON. Arguments: rows, rounds."""
    print(json.dumps(asyncio.run(run(*map(int, sys.argv[1:]))), indent=2))


if __name__ == "__main__":
    main()
