"""The SQL of logs: a batch of rows in, a batch out again, and search. Values are always bound, never written in.

Every search is two queries: the first finds the ids of a page in narrow columns, the second fetches the wide ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from services.siem.logs.domain import Position, Term
from services.siem.logs.rows import HOISTED, join_rows
from shared.clickhouse import ClickHouse
from shared.contracts.logs import LogEvent

#: Fields that aren't in `ecs`; `event.dataset` is, but has a column too.
_COLUMNS = {
    **HOISTED,
    "message": "message",
    "raw": "raw",
    "event.original": "raw",
    "dataset": "dataset",
    "event.dataset": "dataset",
    "source": "source",
    "receipt": "receipt",
}
_IDS = ("id", "_id")
_WORDS_IN = ("message", "raw", "process_command_line")
_ROW = "id, timestamp, receipt, part, row, ingested_at, source, format, dataset, raw"
_WIDE = "id, timestamp, ingested_at, source, dataset, message, ecs, raw, receipt"


@dataclass(frozen=True, slots=True)
class Search:
    """What to find, newest first. `since` is included, `until` isn't; `after` is where the last page ended."""

    terms: Sequence[Term]
    source: str | None
    receipt: str | None
    since: datetime | None
    until: datetime | None
    after: Position | None


@dataclass(slots=True)
class StoredRow:
    """What is needed to parse an event again just as it was parsed first, and its place in time.

    `siblings` are the audit records, itself among them, that were parsed together with it.
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
        await self._add_siblings([row for row in rows if row.dataset == "auditd"])
        return rows

    async def _add_siblings(self, rows: Sequence[StoredRow]) -> None:
        """Audit records complete one another, so each gets the records that were parsed together with it."""
        if not rows:
            return
        found = await self._clickhouse.query(
            f"SELECT {_ROW} FROM logs "  # noqa: S608 - a constant
            "WHERE receipt IN {receipts:Array(String)} AND dataset = 'auditd' ORDER BY receipt, part, row",
            {"receipts": sorted({row.receipt for row in rows})},
        )
        parts: dict[tuple[str, int], list[StoredRow]] = {}
        for values in found:
            sibling = StoredRow(**values)
            parts.setdefault((sibling.receipt, sibling.part), []).append(sibling)
        for row in rows:
            row.siblings = parts.get((row.receipt, row.part), [])

    async def page(self, search: Search, limit: int) -> list[Position]:
        """Where up to `limit` matching events are, newest first. Raises LimitExceededError."""
        conditions = _Conditions()
        conditions.add_search(search)
        rows = await self._clickhouse.query(
            f"SELECT timestamp, id FROM logs WHERE {conditions.sql()} "  # noqa: S608 - made of constants, values are bound
            "ORDER BY timestamp DESC, id DESC LIMIT {limit:UInt32}",
            {**conditions.values, "limit": limit},
        )
        return [Position(row["timestamp"], row["id"]) for row in rows]

    async def events(self, positions: Sequence[Position]) -> list[LogEvent]:
        """The events at these places, newest first."""
        if not positions:
            return []
        rows = await self._clickhouse.query(
            f"SELECT {_WIDE} FROM logs "  # noqa: S608 - a constant
            "WHERE timestamp BETWEEN {first:DateTime64(3, 'UTC')} AND {last:DateTime64(3, 'UTC')} "
            "AND id IN {ids:Array(String)} ORDER BY timestamp DESC, id DESC",
            {
                "first": positions[-1].timestamp,
                "last": positions[0].timestamp,
                "ids": [position.id for position in positions],
            },
        )
        return [LogEvent(**{**row, "ecs": orjson.loads(row["ecs"])}) for row in rows]


class _Conditions:
    """Conditions that must all hold, and the values bound to their `{name:Type}` places."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self._conditions: list[str] = ["1"]

    def sql(self) -> str:
        return " AND ".join(f"({condition})" for condition in self._conditions)

    def add_search(self, search: Search) -> None:
        if search.source is not None:
            self._conditions.append(f"source = {self._bind(search.source)}")
        if search.receipt is not None:
            self._conditions.append(f"receipt = {self._bind(search.receipt)}")
        if search.since is not None:
            self._conditions.append(f"timestamp >= {self._bind(search.since)}")
        if search.until is not None:
            self._conditions.append(f"timestamp < {self._bind(search.until)}")
        if search.after is not None:
            moment, identifier = self._bind(search.after.timestamp), self._bind(search.after.id)
            # The first condition says nothing new, but lets the engine skip by its primary key.
            self._conditions.append(f"timestamp <= {moment} AND (timestamp, id) < ({moment}, {identifier})")
        self._conditions.extend(self._term(term) for term in search.terms)

    def _bind(self, value: str | datetime) -> str:
        name = f"v{len(self.values)}"
        self.values[name] = value
        kind = "String" if isinstance(value, str) else "DateTime64(3, 'UTC')"
        return f"{{{name}:{kind}}}"

    def _term(self, term: Term) -> str:
        if term.field is None:
            return self._words(term)
        if term.field in _IDS and term.exact:
            return f"id = {self._bind(term.pieces[0])}"
        column = _COLUMNS.get(term.field)
        value = column if column is not None else f"JSONExtract(ecs, {self._bind(term.field)}, 'String')"
        matches = self._comparison(term)
        listed = f"arrayExists(x -> {matches('x')}, JSONExtract({value}, 'Array(String)'))"
        return f"{matches(value)} OR (startsWith({value}, '[') AND {listed})"

    def _comparison(self, term: Term) -> Callable[[str], str]:
        """From the SQL of a value to the SQL of its comparison."""
        if term.pieces == ("", ""):
            return lambda value: f"notEmpty({value})"
        if term.exact:
            text = self._bind(term.pieces[0])
            return lambda value: f"lowerUTF8({value}) = lowerUTF8({text})"
        pattern = self._bind(_like(term.pieces))
        return lambda value: f"{value} ILIKE {pattern}"

    def _words(self, term: Term) -> str:
        pattern = self._bind(_like(("", *term.pieces, "")))
        conditions = [f"{column} ILIKE {pattern}" for column in _WORDS_IN]
        encoded = _like(("", *(orjson.dumps(piece).decode()[1:-1] for piece in term.pieces), ""))
        if encoded != _like(("", *term.pieces, "")):
            # A raw JSON event has quotes and backslashes in their escaped form.
            conditions.append(f"raw ILIKE {self._bind(encoded)}")
        return " OR ".join(conditions)


def _like(pieces: Sequence[str]) -> str:
    escaped = (piece.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") for piece in pieces)
    return "%".join(escaped)
