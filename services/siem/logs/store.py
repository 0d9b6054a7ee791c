"""The SQL of logs: a batch of rows in, a batch out again, and search. Values are always bound, never written in.

Every search is two queries: the first finds the ids of a page in narrow columns, the second fetches the wide ones.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson

from services.siem.logs.domain import EPOCH, Position
from services.siem.logs.query import Binder, Node, condition, value_of
from services.siem.logs.rows import join_rows
from shared.clickhouse import ClickHouse, LimitExceededError, unavailable
from shared.contracts.logs import LogEvent, TimeCount, ValueCount

_ROW = (
    "id, timestamp, receipt, part, row, ingested_at, source, format, dataset, raw, "
    "dataset = 'auditd' AND logsource = '' AS apart"
)
_WIDE = "id, timestamp, ingested_at, source, dataset, message, ecs, raw, receipt"
_SERIAL = re.compile(r"audit\([\d.]+:(\d{1,19})\)")
_MILLISECOND = timedelta(milliseconds=1)
#: One syscall makes fewer.
_MAX_SERIAL_RECORDS = 64
_RAW = frozenset({"raw", "event.original"})
#: For the engine that rows are inserted into. Text indexes are built when parts are merged: at every insert they would
#: cost a third of its rate, and parts that aren't merged yet are small enough to be read.
WRITE_SETTINGS = {"exclude_materialize_skip_indexes_on_insert": "message_words,command_line_words"}


@dataclass(frozen=True, slots=True)
class Search:
    """What to find, newest first. `since` is included, `until` isn't; `after` is where the last page ended."""

    query: Node
    source: str | None
    receipt: str | None
    since: datetime | None
    until: datetime | None
    after: Position | None


@dataclass(slots=True)
class StoredRow:
    """What is needed to parse an event again just as it was parsed first, and its place in time.

    `siblings` are the audit records, itself among them, that complete it: those that were parsed together with it, or
    where it is `apart`, those of its serial that came from its source in whichever request.
    """

    id: str
    timestamp: datetime
    receipt: str
    part: int
    row: int
    ingested_at: datetime
    source: str
    format: str
    dataset: str
    raw: str
    apart: bool = False
    siblings: Sequence[StoredRow] = ()


class LogStore:
    """The table `logs`."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse

    async def insert(self, batch: int, rows: list[bytes]) -> None:
        """Stores encoded rows under a batch; they are durable when this returns."""
        await self._clickhouse.insert_json_each_row("logs", join_rows(batch, rows))

    async def batch(self, seq: int) -> list[StoredRow]:
        """The rows of a batch in the order received; none when it was never stored."""
        rows = await self._clickhouse.query(
            f"SELECT {_ROW} FROM logs WHERE batch = {{seq:UInt64}} "  # noqa: S608 - a constant
            "ORDER BY receipt, part, row",
            {"seq": seq},
        )
        return [StoredRow(**row) for row in rows]

    async def apart(self, seqs: Sequence[int]) -> list[StoredRow]:
        """The audit records of batches that others complete, with the siblings that are stored by now."""
        rows = await self._clickhouse.query(
            f"SELECT {_ROW} FROM logs WHERE batch IN {{seqs:Array(UInt64)}} AND apart ORDER BY timestamp, id",  # noqa: S608 - a constant
            {"seqs": list(seqs)},
        )
        found = [StoredRow(**row) for row in rows]
        await self._add_serials(found)
        return found

    async def forget(self, seq: int) -> None:
        """Takes the rows of a batch out again, if there are any. Raises AURORA-5032."""
        try:
            found = await self._clickhouse.query("SELECT 1 FROM logs WHERE batch = {seq:UInt64} LIMIT 1", {"seq": seq})
        except LimitExceededError as error:
            raise unavailable() from error
        if found:
            await self._clickhouse.command("DELETE FROM logs WHERE batch = {seq:UInt64}", {"seq": seq})

    async def rows(
        self,
        since: datetime,
        until: datetime,
        after: tuple[datetime, str] | None,
        limit: int,
        *,
        condition: str = "1",
        values: Mapping[str, Any] | None = None,
    ) -> list[StoredRow]:
        """Up to `limit` rows of [since, until) in the order of (timestamp, id), those behind `after` only.

        `condition` is SQL made of constants and of `{name:Type}` places bound to `values`. Raises LimitExceededError.
        """
        behind = "" if after is None else "AND (timestamp, id) > ({after:DateTime64(3, 'UTC')}, {after_id:String})"
        first = max(since, after[0]) if after is not None else since
        bound = {**(values or {}), "first": first, "until": until, "limit": limit}
        if after is not None:
            bound |= {"after": after[0], "after_id": after[1]}
        found = await self._clickhouse.query(
            f"SELECT {_ROW} FROM logs "  # noqa: S608 - made of constants, values are bound
            "WHERE timestamp >= {first:DateTime64(3, 'UTC')} AND timestamp < {until:DateTime64(3, 'UTC')} "
            f"{behind} AND ({condition}) ORDER BY timestamp, id LIMIT {{limit:UInt32}}",
            bound,
        )
        rows = [StoredRow(**row) for row in found]
        await self._add_siblings([row for row in rows if row.dataset == "auditd" and not row.apart])
        await self._add_serials([row for row in rows if row.apart])
        return rows

    async def _add_siblings(self, rows: Sequence[StoredRow]) -> None:
        """Audit records complete one another, so each gets the records that were parsed together with it."""
        if not rows:
            return
        found = await self._clickhouse.query(
            f"SELECT {_ROW} FROM logs "  # noqa: S608 - a constant
            "WHERE receipt IN {receipts:Array(String)} AND part IN {parts:Array(UInt32)} AND dataset = 'auditd' "
            "ORDER BY receipt, part, row",
            {"receipts": sorted({row.receipt for row in rows}), "parts": sorted({row.part for row in rows})},
        )
        parts: dict[tuple[str, int], list[StoredRow]] = {}
        for values in found:
            sibling = StoredRow(**values)
            parts.setdefault((sibling.receipt, sibling.part), []).append(sibling)
        for row in rows:
            row.siblings = parts.get((row.receipt, row.part), [])

    async def _add_serials(self, rows: Sequence[StoredRow]) -> None:
        """Each gets the records of its serial, which share source and time, from whichever request; bounded."""
        if not rows:
            return
        serials = {row.id: _serial(row.raw) for row in rows}
        found = await self._clickhouse.query(
            f"SELECT {_ROW} FROM logs "  # noqa: S608 - a constant
            "PREWHERE timestamp BETWEEN {first:DateTime64(3, 'UTC')} AND {last:DateTime64(3, 'UTC')} "
            "AND toUnixTimestamp64Milli(timestamp) IN {times:Array(Int64)} AND dataset = 'auditd' "
            "WHERE source IN {sources:Array(String)} "
            "AND JSONExtractUInt(ecs, 'auditd.serial') IN {serials:Array(UInt64)} "
            "ORDER BY receipt, part, row "
            f"LIMIT {_MAX_SERIAL_RECORDS} BY source, timestamp, host_name, JSONExtractUInt(ecs, 'auditd.serial')",
            {
                "first": min(row.timestamp for row in rows),
                "last": max(row.timestamp for row in rows),
                "times": sorted({(row.timestamp - EPOCH) // _MILLISECOND for row in rows}),
                "sources": sorted({row.source for row in rows}),
                "serials": sorted(set(serials.values())),
            },
        )
        groups: dict[tuple[str, datetime, int], list[StoredRow]] = {}
        for values in found:
            sibling = StoredRow(**values)
            groups.setdefault((sibling.source, sibling.timestamp, _serial(sibling.raw)), []).append(sibling)
        for row in rows:
            row.siblings = groups.get((row.source, row.timestamp, serials[row.id]), [])

    async def page(self, search: Search, limit: int) -> list[Position]:
        """Where up to `limit` matching events are, newest first. Raises LimitExceededError."""
        binder = Binder()
        where = _where(search, binder)
        rows = await self._clickhouse.query(
            f"SELECT timestamp, id FROM logs WHERE {where} "  # noqa: S608 - made of constants, values are bound
            "ORDER BY timestamp DESC, id DESC LIMIT {limit:UInt32}",
            {**binder.values, "limit": limit},
        )
        return [Position(row["timestamp"], row["id"]) for row in rows]

    async def events(self, positions: Sequence[Position], fields: frozenset[str] | None = None) -> list[LogEvent]:
        """The events at these places, newest first; with `fields` only these of `ecs`, and of `raw` where named."""
        if not positions:
            return []
        wide = _WIDE if fields is None or fields & _RAW else _WIDE.replace(" raw,", " '' AS raw,")
        rows = await self._clickhouse.query(
            f"SELECT {wide} FROM logs "  # noqa: S608 - a constant
            # Each time by itself: the engine reads these events' granules then, not all between first and last.
            "WHERE timestamp IN {times:Array(DateTime64(3, 'UTC'))} AND id IN {ids:Array(String)} "
            "ORDER BY timestamp DESC, id DESC",
            {
                "times": sorted({position.timestamp for position in positions}),
                "ids": [position.id for position in positions],
            },
        )
        return [LogEvent(**{**row, "ecs": _fields(orjson.loads(row["ecs"]), fields)}) for row in rows]

    async def span(self, search: Search) -> tuple[datetime, datetime] | None:
        """The times of the first and the last match. Raises LimitExceededError."""
        binder = Binder()
        where = _where(search, binder)
        [row] = await self._clickhouse.query(
            f"SELECT count() AS n, min(timestamp) AS first, max(timestamp) AS last FROM logs WHERE {where}",  # noqa: S608 - made of constants, values are bound
            binder.values,
        )
        return (row["first"], row["last"]) if row["n"] else None

    async def histogram(self, search: Search, seconds: int, most: int) -> list[TimeCount]:
        """Matches in intervals of so many seconds, oldest first, at most `most`. Raises LimitExceededError."""
        binder = Binder()
        length = binder.bind(seconds * 1000)
        where = _where(search, binder)
        rows = await self._clickhouse.query(
            f"SELECT toInt64(floor(toUnixTimestamp64Milli(timestamp) / {length})) AS number, count() AS n "  # noqa: S608 - made of constants, values are bound
            f"FROM logs WHERE {where} GROUP BY number ORDER BY number LIMIT {{most:UInt32}}",
            {**binder.values, "most": most},
        )
        return [TimeCount(EPOCH + timedelta(seconds=row["number"] * seconds), row["n"]) for row in rows]

    async def top(self, search: Search, field: str) -> list[ValueCount]:
        """The ten most frequent values of a field, each of a list counted. Raises LimitExceededError."""
        binder = Binder()
        value = f"toString({value_of(field, binder)})"
        where = _where(search, binder)
        listed = f"JSONExtract({value}, 'Array(String)')"
        each = f"arrayJoin(if(startsWith({value}, '[') AND notEmpty({listed}), {listed}, [{value}]))"
        rows = await self._clickhouse.query(
            f"SELECT substringUTF8({each}, 1, 512) AS value, count() AS n FROM logs "  # noqa: S608 - made of constants, values are bound
            f"WHERE {where} GROUP BY value HAVING notEmpty(value) ORDER BY n DESC, value LIMIT 10",
            binder.values,
        )
        return [ValueCount(row["value"], row["n"]) for row in rows]


def _serial(raw: str) -> int:
    match = _SERIAL.search(raw)
    return 0 if match is None else int(match[1])


def _fields(ecs: dict[str, Any], fields: frozenset[str] | None) -> dict[str, Any]:
    return ecs if fields is None else {name: value for name, value in ecs.items() if name in fields}


def _where(search: Search, binder: Binder) -> str:
    """All conditions of a search, none of them NULL."""
    conditions = [condition(search.query, binder)]
    if search.source is not None:
        conditions.append(f"source = {binder.bind(search.source)}")
    if search.receipt is not None:
        conditions.append(f"receipt = {binder.bind(search.receipt)}")
    if search.since is not None:
        conditions.append(f"timestamp >= {binder.bind(search.since)}")
    if search.until is not None:
        conditions.append(f"timestamp < {binder.bind(search.until)}")
    if search.after is not None:
        moment, identifier = binder.bind(search.after.timestamp), binder.bind(search.after.id)
        # The first condition says nothing new, but lets the engine skip by its primary key.
        conditions.append(f"timestamp <= {moment} AND (timestamp, id) < ({moment}, {identifier})")
    return " AND ".join(f"({one})" for one in conditions)
