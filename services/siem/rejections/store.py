"""The SQL of dead letters and of the counts of refused items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from shared.contracts.dead_letters import DeadLetter
from shared.postgres import Connection, Database, Record


@dataclass(frozen=True, slots=True)
class Letter:
    """A refused item. `raw` may be cut (`is_whole` False) from `size` bytes; `is_document` tells JSON from text."""

    id: str
    at: datetime
    source: str
    format: str | None
    receipt: str
    reason: str
    raw: bytes
    size: int
    is_document: bool
    is_whole: bool


_COLUMNS = "id, at, source, format, receipt, reason, raw, size, is_document, is_whole"


def _shown(row: Record) -> DeadLetter:
    return DeadLetter(
        id=row["id"],
        at=row["at"],
        source=row["source"],
        format=row["format"],
        receipt=row["receipt"],
        reason=row["reason"],
        raw=row["raw"].decode("utf-8", "backslashreplace"),
        size=row["size"],
        replayable=row["is_whole"],
    )


async def count(connection: Connection, source: str, day: date, number: int) -> None:
    """Counts refused items."""
    await connection.execute(
        """INSERT INTO rejections (source, day, count) VALUES ($1, $2, $3)
           ON CONFLICT (source, day) DO UPDATE SET count = rejections.count + excluded.count""",
        source,
        day,
        number,
    )


async def insert(connection: Connection, letters: Sequence[Letter]) -> None:
    """Keeps dead letters."""
    await connection.executemany(
        f"INSERT INTO dead_letters ({_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",  # noqa: S608
        [
            (
                letter.id,
                letter.at,
                letter.source,
                letter.format,
                letter.receipt,
                letter.reason,
                letter.raw,
                letter.size,
                letter.is_document,
                letter.is_whole,
            )
            for letter in letters
        ],
    )


async def prune(database: Database, *, number: int, size: int, days: int) -> int:
    """Drops the oldest beyond `number` letters or `size` bytes of text, and those older than `days`; how many."""
    return await database.execute(
        """DELETE FROM dead_letters WHERE at < now() - make_interval(days => $3) OR position IN (
             SELECT position FROM (
               SELECT position, row_number() OVER newest AS place, sum(length(raw)) OVER newest AS bytes
               FROM dead_letters WINDOW newest AS (ORDER BY position DESC)) AS kept
             WHERE place > $1 OR bytes > $2)""",
        number,
        size,
        days,
    )


async def page(database: Database, source: str | None, limit: int, after: int | None) -> list[tuple[int, DeadLetter]]:
    """Dead letters with their positions, newest first."""
    rows = await database.fetch(
        f"""SELECT position, {_COLUMNS} FROM dead_letters
            WHERE ($1::text IS NULL OR source = $1) AND ($2::bigint IS NULL OR position < $2)
            ORDER BY position DESC LIMIT $3""",  # noqa: S608 - a constant
        source,
        after,
        limit,
    )
    return [(row["position"], _shown(row)) for row in rows]


async def lock(connection: Connection, identifier: str) -> Letter | None:
    """One dead letter, which nobody else replays until the transaction ends."""
    row = await connection.fetchrow(f"SELECT {_COLUMNS} FROM dead_letters WHERE id = $1 FOR UPDATE", identifier)  # noqa: S608
    return None if row is None else Letter(**dict(row))


async def delete(connection: Connection, identifier: str) -> None:
    """Drops a dead letter."""
    await connection.execute("DELETE FROM dead_letters WHERE id = $1", identifier)


async def waiting(database: Database) -> int:
    """How many dead letters there are."""
    number: int = await database.fetchval("SELECT count(*) FROM dead_letters")
    return number


async def counts(database: Database, since: date) -> Mapping[str, int]:
    """Refused items by source, from a day on."""
    rows = await database.fetch(
        "SELECT source, sum(count)::bigint AS count FROM rejections WHERE day >= $1 GROUP BY source", since
    )
    return {row["source"]: row["count"] for row in rows}
