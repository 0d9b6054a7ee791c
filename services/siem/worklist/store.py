"""The SQL of the work list: writers that are alive, and the batches each of them owns.

Every comparison of times is made by the database's own clock, so that processes needn't agree on theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from shared.postgres import Connection, Database

#: Records of one serial that a shipper sends apart arrive within this time of one another.
APART_SECONDS = 2.0
#: What is looked at together.
APART_ROWS = 2_000


async def beat(database: Database, writer: UUID, seconds: float) -> None:
    """Says that the writer is alive for the next `seconds`, and clears away those long gone."""
    async with database.transaction() as connection:
        await connection.execute(
            """INSERT INTO writers (id, alive_until) VALUES ($1, now() + make_interval(secs => $2))
               ON CONFLICT (id) DO UPDATE SET alive_until = excluded.alive_until""",
            writer,
            seconds,
        )
        await connection.execute("DELETE FROM writers WHERE alive_until < now() - interval '1 hour'")


async def retire(database: Database, writer: UUID) -> None:
    """The writer is gone: its batches are anyone's."""
    await database.execute("DELETE FROM writers WHERE id = $1", writer)


async def retire_others(database: Database, writer: UUID) -> None:
    """Every other writer is gone."""
    await database.execute("DELETE FROM writers WHERE id <> $1", writer)


async def open_batch(database: Database, writer: UUID, rows: int, *, apart: bool = False) -> int:
    """A new batch of the writer; its number, committed. `apart`: it has audit records which others complete."""
    seq: int = await database.fetchval(
        "INSERT INTO batches (owner, rows, apart) VALUES ($1, $2, $3) RETURNING seq", writer, rows, apart
    )
    return seq


async def owns(database: Database, writer: UUID, seq: int) -> bool:
    """Whether the batch is still the writer's."""
    return bool(await database.fetchval("SELECT true FROM batches WHERE seq = $1 AND owner = $2", seq, writer))


async def take_orphan(database: Database, writer: UUID) -> int | None:
    """The oldest batch whose owner isn't alive, now the writer's; None when there is none."""
    seq: int | None = await database.fetchval(
        """UPDATE batches SET owner = $1 WHERE seq = (
             SELECT seq FROM batches AS batch
             WHERE owner <> $1 AND NOT EXISTS (
               SELECT 1 FROM writers WHERE writers.id = batch.owner AND writers.alive_until > now())
             ORDER BY seq LIMIT 1 FOR UPDATE SKIP LOCKED)
           RETURNING seq""",
        writer,
    )
    return seq


async def waiting(database: Database) -> tuple[int, int]:
    """How many batches are on the list, and how many events are in them."""
    (row,) = await database.fetch("SELECT count(*) AS batches, coalesce(sum(rows), 0)::bigint AS events FROM batches")
    return row["batches"], row["events"]


async def remove(database: Database | Connection, writer: UUID, seq: int) -> bool:
    """Takes the batch off the list; False when it isn't the writer's any more. One with audit records that others
    complete goes to the list of those that are looked at once more."""
    removed: int = await database.fetchval(
        """WITH gone AS (DELETE FROM batches WHERE seq = $1 AND owner = $2 RETURNING seq, rows, apart),
                again AS (INSERT INTO apart_batches (seq, rows, due)
                          SELECT seq, rows, now() + make_interval(secs => $3) FROM gone WHERE apart)
           SELECT count(*) FROM gone""",
        seq,
        writer,
        APART_SECONDS,
    )
    return bool(removed)


async def take_apart(connection: Connection) -> list[int]:
    """Batches whose audit records have had time to be completed, some thousand rows or one batch; off the list when
    the transaction commits."""
    rows = await connection.fetch(
        """WITH waiting AS (SELECT seq, rows FROM apart_batches WHERE due <= now()
                            ORDER BY due, seq LIMIT 100 FOR UPDATE SKIP LOCKED),
                counted AS (SELECT seq, sum(rows) OVER (ORDER BY seq) AS total, min(seq) OVER () AS first FROM waiting)
           DELETE FROM apart_batches WHERE seq IN (SELECT seq FROM counted WHERE total <= $1 OR seq = first)
           RETURNING seq""",
        APART_ROWS,
    )
    return [row["seq"] for row in rows]


async def put_off(database: Database, seqs: Sequence[int], seconds: float) -> None:
    """Looks at these batches' audit records later, each for itself: one of them may be what went wrong."""
    await database.execute(
        """UPDATE apart_batches SET due = now() + make_interval(secs => $2), rows = greatest(rows, $3)
           WHERE seq = ANY($1::bigint[])""",
        seqs,
        seconds,
        APART_ROWS,
    )
