"""Search over generated events, each engine in a process of its own.

`words`: finding a word of ten hits, and one of a hundred, through the search language and its index, beside the same
condition without it; fetching the events that were found costs the same on both sides and is told apart. A page also
reads the place of each hit; the bare lookup is `count`.
`latest`: the latest 100 events of an hour out of ten times as many rows, beside the same out of few; as many rows fall
into the hour. Both go through the store's own SQL, with pages and wide columns. Rounds alternate.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from benchmarks.corpus import ROOT
from services.siem.logs.query import parse
from services.siem.logs.search import search_page
from services.siem.logs.store import LogStore, Search
from shared.clickhouse import ClickHouse, Embedded
from shared.contracts.logs import LogQuery

_SLICE = 250_000
_ROWS_AN_HOUR = 100_000
_START = datetime(2026, 3, 1, tzinfo=UTC)
#: Each search asks for another word, as the engine remembers which parts of the table a condition doesn't match.
_WORD = "KeyExchange7f3a"
_WORDS = 500
#: Of how many rows one has a word of this kind (the letter in it): ten and a hundred hits a word in 5 million rows.
_EVERY = {"n": 1_000, "m": 100}
#: What `words` times, and how often in a round.
_TIMES = {
    "indexed": 10,
    "unindexed": 2,
    "counted": 10,
    "scanned": 2,
    "substring": 2,
    "answered": 5,
    "indexed_100": 10,
    "answered_100": 5,
    "unindexed_100": 2,
}
#: Lines as a server writes them, of about 150 bytes, with hundreds of thousands of different words, and in some of
#: them one of those that are looked for.
_FILL = """
INSERT INTO logs (id, batch, receipt, timestamp, ingested_at, source, dataset, host_name, user_name, message,
                  process_command_line, ecs, raw)
WITH
    ['accepted', 'failed', 'opened', 'closed', 'started', 'stopped', 'denied', 'changed'] AS verbs,
    ['session', 'password', 'connection', 'service', 'request', 'key', 'policy', 'file'] AS nouns,
    sipHash64(number) AS h,
    concat(verbs[h % 8 + 1], ' ', nouns[intDiv(h, 8) % 8 + 1], ' for user', toString(h % 5000), ' from 10.',
           toString(h % 200), '.', toString(intDiv(h, 256) % 250), '.7 port ', toString(intDiv(h, 65536) % 60000),
           ' request ', lower(hex(intDiv(h, 1024) % 300000)),
           if(number % {rare:UInt64} = 17,
              concat(' ', {word:String}, 'n', toString(100 + intDiv(number, {rare:UInt64}) % {words:UInt64})), ''),
           if(number % {common:UInt64} = 18,
              concat(' ', {word:String}, 'm', toString(100 + intDiv(number, {common:UInt64}) % {words:UInt64})), '')
    ) AS line
SELECT leftPad(toString(number), 20, '0'), intDiv(number, 10000), 'r',
       fromUnixTimestamp64Milli(toInt64({start:Int64} + intDiv(number * 3600000, {hourly:UInt64})), 'UTC'), now(),
       'benchmark', 'linux.auth', concat('web', toString(h % 50)), concat('user', toString(h % 5000)), line,
       if(h % 10 = 0, concat('/usr/bin/', verbs[h % 8 + 1], ' --id ', toString(h % 100000)), ''),
       concat('{"host.name":"web', toString(h % 50), '"}'), concat('Mar  1 00:00:00 ', line)
FROM numbers({first:UInt64}, {count:UInt64})
"""


class _Engine:
    """A table of generated rows, and the searches that are timed on it."""

    def __init__(self, clickhouse: ClickHouse, rows: int) -> None:
        self._clickhouse = clickhouse
        self._store = LogStore(clickhouse)
        self._rows = rows
        self._asked = dict.fromkeys(_EVERY, 0)

    def _next(self, kind: str = "n") -> str:
        self._asked[kind] += 1
        return f"{_WORD.lower()}{kind}{100 + self._asked[kind] % _WORDS}"

    async def fill(self) -> float:
        """Seconds to make the rows."""
        began = time.perf_counter()
        constants = {
            "rare": _EVERY["n"],
            "common": _EVERY["m"],
            "word": _WORD,
            "words": _WORDS,
            "start": int(_START.timestamp() * 1000),
            "hourly": _ROWS_AN_HOUR,
        }
        for first in range(0, self._rows, _SLICE):
            count = min(_SLICE, self._rows - first)
            await self._clickhouse.command(_FILL, {**constants, "first": first, "count": count})
        return time.perf_counter() - began

    async def indexed(self, kind: str = "n") -> int:
        """Finds the page of the word as a search does; how many events are on it."""
        return len(await self._store.page(Search(parse(self._next(kind)), None, None, None, None, None), 200))

    async def indexed_100(self) -> int:
        """The same for a word that a hundred events of five million have."""
        return await self.indexed("m")

    async def answered(self, kind: str = "n") -> int:
        """The whole search, with the events."""
        return len((await search_page(self._store, LogQuery(q=self._next(kind), limit=200))).items)

    async def answered_100(self) -> int:
        """The same with a hundred events."""
        return await self.answered("m")

    async def unindexed_100(self) -> int:
        """`unindexed` for a word with a hundred hits."""
        return await self.unindexed("m")

    async def unindexed(self, kind: str = "n") -> int:
        """The same condition, page and order, in a form that no index helps with."""
        word = {"w": self._next(kind)}
        columns = ("message", "process_command_line")
        return await self._scan(" OR ".join(f"hasAllTokens(lowerUTF8({name}), {{w:String}})" for name in columns), word)

    async def counted(self) -> int:
        """The events with the word, by the index alone."""
        return await self._count("hasAllTokens({name}, {{w:String}})")

    async def scanned(self) -> int:
        """The same without the index."""
        return await self._count("hasAllTokens(lowerUTF8({name}), {{w:String}})")

    async def _count(self, form: str) -> int:
        where = " OR ".join(form.format(name=name) for name in ("message", "process_command_line"))
        [row] = await self._clickhouse.query(f"SELECT count() AS n FROM logs WHERE {where}", {"w": self._next()})
        return int(row["n"])

    async def substring(self) -> int:
        """The text anywhere in the same two columns."""
        pattern = {"p": f"%{self._next()}%"}
        return await self._scan("message ILIKE {p:String} OR process_command_line ILIKE {p:String}", pattern)

    async def _scan(self, where: str, values: dict[str, Any]) -> int:
        rows = await self._clickhouse.query(
            f"SELECT timestamp, id FROM logs WHERE {where} ORDER BY timestamp DESC, id DESC LIMIT 200",
            values,
        )
        return len(rows)

    async def latest(self) -> int:
        """The latest 100 of the hour in the middle; how many were found."""
        since = _START + timedelta(hours=self._rows // _ROWS_AN_HOUR // 2)
        return len(
            (await search_page(self._store, LogQuery(since=since, until=since + timedelta(hours=1), limit=100))).items
        )


def _process(pipe: Connection, folder: str, rows: int) -> None:
    asyncio.run(_serve(pipe, Path(folder), rows))


async def _serve(pipe: Connection, folder: Path, rows: int) -> None:
    """Fills, then runs what it is told by name so often; answers with seconds for one and what was found."""
    clickhouse = await ClickHouse.open(Embedded(folder), read_seconds=60)
    await clickhouse.apply(ROOT / "services" / "siem" / "clickhouse")
    engine = _Engine(clickhouse, rows)
    pipe.send(await engine.fill())
    while (order := await asyncio.to_thread(pipe.recv)) is not None:
        name, times = order
        run: Callable[[], Awaitable[int]] = getattr(engine, name)
        found = await run()  # warms
        began = time.perf_counter()
        for _ in range(times):
            await run()
        pipe.send(((time.perf_counter() - began) / times, found))
    await clickhouse.close()


class _Peer:
    """The process of one engine."""

    def __init__(self, folder: str, rows: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_process, args=(theirs, folder, rows), daemon=True)
        self._process.start()
        self.fill_seconds: float = self._pipe.recv()

    def seconds(self, name: str, times: int) -> tuple[float, int]:
        """Mean seconds of one search, and what it found."""
        self._pipe.send((name, times))
        seconds, found = self._pipe.recv()
        return seconds, found

    def stop(self) -> None:
        """Ends the process."""
        self._pipe.send(None)
        self._process.join(timeout=60)


async def words(rows: int = 5_000_000, rounds: int = 5) -> dict[str, Any]:
    """A word search over so many rows; `ratio` is how much faster the index makes it (median of the rounds)."""
    with tempfile.TemporaryDirectory() as folder:
        engine = _Peer(f"{folder}/clickhouse", rows)
        times: dict[str, list[float]] = {name: [] for name in _TIMES}
        found: dict[bool, set[int]] = {False: set(), True: set()}
        for _ in range(rounds):
            for name, often in _TIMES.items():
                seconds, number = engine.seconds(name, often)
                times[name].append(seconds)
                found[name.endswith("_100")].add(number)
        engine.stop()
        if any(len(numbers) != 1 for numbers in found.values()):
            raise RuntimeError(f"index and scan differ: {found}")
    return {
        "name": "words",
        "unit": "searches/s",
        "rows": rows,
        "found": max(found[False]),
        "found_100": max(found[True]),
        "rounds": rounds,
        **_figures(times["indexed"], times["unindexed"]),
        "ratio_100": _figures(times["indexed_100"], times["unindexed_100"])["ratio"],
        "count_ratio": _figures(times["counted"], times["scanned"])["ratio"],
        **{f"{name}_ms": _milliseconds(seconds) for name, seconds in times.items()},
        "rows_filled_per_second": round(rows / engine.fill_seconds),
    }


async def latest(rows: int = 10_000_000, rounds: int = 5) -> dict[str, Any]:
    """The latest 100 of an hour among so many rows, beside a tenth of them; `ratio` 1 means that rows don't matter."""
    with tempfile.TemporaryDirectory() as folder:
        small = _Peer(f"{folder}/small", rows // 10)
        large = _Peer(f"{folder}/large", rows)
        ours, bare = [], []
        for _ in range(rounds):
            bare.append(small.seconds("latest", 20)[0])
            ours.append(large.seconds("latest", 20)[0])
        small.stop()
        large.stop()
    return {
        "name": "latest",
        "unit": "searches/s",
        "rows": rows,
        "floor_rows": rows // 10,
        "rounds": rounds,
        **_figures(ours, bare),
        "ms": _milliseconds(ours),
        "floor_ms": _milliseconds(bare),
    }


def _figures(ours: list[float], bare: list[float]) -> dict[str, float]:
    return {
        "per_second": round(1 / statistics.median(ours), 1),
        "floor_per_second": round(1 / statistics.median(bare), 1),
        "ratio": round(statistics.median(floor / mine for mine, floor in zip(ours, bare, strict=True)), 2),
    }


def _milliseconds(seconds: list[float]) -> float:
    return round(statistics.median(seconds) * 1000, 1)


def main() -> None:
    """Prints the figures as JSON. Arguments: rows of `words`, rows of `latest`."""
    sizes = [int(argument) for argument in sys.argv[1:]] or [5_000_000, 10_000_000]
    print(json.dumps([asyncio.run(run(size)) for run, size in zip((words, latest), sizes, strict=False)], indent=2))


if __name__ == "__main__":
    main()
