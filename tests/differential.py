"""The same matches, three ways: as events come in, rule by rule, and over the past through stored rows.

Owns the comparison over OTRF's recordings and SigmaHQ's regression events, for a test that samples them and a command
that takes them all. Runs in a process of its own, since one process opens one ClickHouse.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import random
import zipfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

from services.siem.batch import StoredEvent
from services.siem.detections.engine import CompiledRule, Engine, decode, encode
from services.siem.event import Event
from services.siem.logs.domain import EARLIEST, LATEST
from services.siem.logs.parsers import Item, parse_items, read_items
from services.siem.logs.rows import encode_row, join_rows
from services.siem.logs.store import LogStore
from services.siem.past_engine import PastEngine
from services.siem.runs.domain import prefilter
from services.siem.runs.store import condition
from shared.clickhouse import ClickHouse, Embedded
from shared.clock import new_id
from tests.outside_rules import MEDIA_TYPES, RECEIVED, compiled_rules, members

_SCHEMA = Path(__file__).parents[1] / "services" / "siem" / "clickhouse"
_PAGE_ROWS = 10_000
#: A loop over single rules is slow: its events are shared among processes in such pieces.
_PIECE_EVENTS = 500

Pairs = set[tuple[str, str]]
"""(rule id, log id)"""


@dataclass(frozen=True, slots=True)
class Compared:
    """What was compared. `differences` are (rule id, log id, which way has it or lacks it): none, if all is well."""

    events: int
    rules: int
    rules_alone: int
    matches: int
    rules_that_matched: int
    differences: list[tuple[str, str, str]]


def compare(step: int, alone: int | None) -> Compared:
    """Every `step`-th event of each recording and all regression events, under all of SigmaHQ's rules.

    `alone` is how many rules, chosen at random, are also tried by themselves; None: all of them.
    """
    rules = [encode(rule) for rule in compiled_rules()]
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        return pool.submit(_compare, rules, step, alone).result()


def _compare(encoded: list[bytes], step: int, alone: int | None) -> Compared:
    rules = [rule for rule in map(decode, encoded) if rule.condition is not None]
    sets = [_stored(items) for items in _recordings(step)]
    events = [event for part in sets for event in part]
    engine = Engine(rules)
    live = {(rule_id, stored.log_id) for stored in events for rule_id in engine.evaluate(stored.event)}
    matched = {rule_id for rule_id, _ in live}
    # Those that match nothing are compared too, but those that match something always are.
    others = [rule for rule in rules if rule.id not in matched]
    chosen = others if alone is None else random.Random(1).sample(others, min(alone, len(others)))
    single = [*chosen, *(rule for rule in rules if rule.id in matched)]
    ids = {rule.id for rule in single}
    found = {"one by one": (_one_by_one(single, events), {pair for pair in live if pair[0] in ids})}
    with TemporaryDirectory() as folder:
        past, dropped = asyncio.run(_over_the_past(Path(folder), rules, sets, live))
    found["over the past"] = past, live
    differences = [
        (*pair, f"{name} {'only' if pair in other else 'lacks it'}")
        for name, (other, expected) in found.items()
        for pair in sorted(other ^ expected)
    ]
    differences += [(*pair, "its prefilter drops it") for pair in sorted(dropped)]
    return Compared(len(events), len(rules), len(single), len(live), len(matched), differences)


def _recordings(step: int) -> Iterator[list[Item]]:
    for _, content in members("security-datasets-dev.tar", ".zip"):
        with zipfile.ZipFile(BytesIO(content)) as archive:
            for name in archive.namelist():
                if name.endswith((".json", ".log")) and not name.startswith("__MACOSX"):
                    media_type = "application/x-ndjson" if name.endswith(".json") else "text/plain"
                    yield list(read_items(archive.read(name), media_type)[::step])
    for path, content in members("sigma-regression-dev.tar.xz", *MEDIA_TYPES):
        yield list(read_items(content, MEDIA_TYPES[path.suffix]))


def _stored(items: Sequence[Item]) -> list[StoredEvent]:
    results = parse_items(items, source="outside", received_at=RECEIVED)
    return [StoredEvent(new_id(), RECEIVED, "outside", result) for result in results if isinstance(result, Event)]


def _one_by_one(rules: Sequence[CompiledRule], events: Sequence[StoredEvent]) -> Pairs:
    encoded = [encode(rule) for rule in rules]
    pieces = [events[start : start + _PIECE_EVENTS] for start in range(0, len(events), _PIECE_EVENTS)]
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(mp_context=spawn, initializer=_begin, initargs=(encoded,)) as pool:
        return set().union(*pool.map(_try_each, pieces))


_engines: list[Engine] = []


def _begin(encoded: list[bytes]) -> None:
    _engines[:] = [Engine([decode(rule)], index=False) for rule in encoded]


def _try_each(events: Sequence[StoredEvent]) -> Pairs:
    return {
        (rule_id, stored.log_id)
        for stored in events
        for engine in _engines
        for rule_id in engine.evaluate(stored.event)
    }


async def _over_the_past(
    folder: Path, rules: Sequence[CompiledRule], sets: Sequence[Sequence[StoredEvent]], live: Pairs
) -> tuple[Pairs, Pairs]:
    """What all rules match of the stored rows, and which live matches the rule's own prefilter would have left out."""
    clickhouse = await ClickHouse.open(Embedded(folder / "clickhouse"), read_seconds=60)
    try:
        await clickhouse.apply(_SCHEMA)
        store = LogStore(clickhouse)
        for number, events in enumerate(sets):
            if events:
                await clickhouse.insert_json_each_row("logs", join_rows(number, _rows(events)))
        past = await _matches(store, PastEngine(rules))
        return past, {pair for rule in rules for pair in await _dropped(clickhouse, rule, live)}
    finally:
        await clickhouse.close()


def _rows(events: Sequence[StoredEvent]) -> list[bytes]:
    receipt = new_id()
    return [
        encode_row(stored, receipt=receipt, part=0, row=place, forced_format="") for place, stored in enumerate(events)
    ]


async def _matches(store: LogStore, engine: PastEngine) -> Pairs:
    pairs: Pairs = set()
    after = None
    try:
        while rows := await store.rows(EARLIEST, LATEST, after, _PAGE_ROWS):
            matches, failures = await engine.evaluate(rows)
            assert failures == []
            pairs |= {(match.rule_id, match.log_id) for match in matches}
            after = rows[-1].timestamp, rows[-1].id
    finally:
        await engine.close()
    return pairs


async def _dropped(clickhouse: ClickHouse, rule: CompiledRule, live: Pairs) -> Pairs:
    wanted = {pair for pair in live if pair[0] == rule.id}
    if not wanted:
        return wanted
    where, values = condition(prefilter(rule))
    bound = {**values, "ids": [log_id for _, log_id in wanted]}
    rows = await clickhouse.query(f"SELECT id FROM logs WHERE id IN {{ids:Array(String)}} AND ({where})", bound)
    return wanted - {(rule.id, row["id"]) for row in rows}
