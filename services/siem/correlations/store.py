"""The SQL of correlations: the matches they count, by group and event time. All in the caller's transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from services.siem.correlations.domain import Entry
from shared.contracts.alerts import AlertEvidence
from shared.postgres import Connection, Database

_LOCK = 0x434F5252  # "CORR"


@dataclass(frozen=True, slots=True)
class Group:
    """One group of one correlation, as that is defined now."""

    correlation_id: str
    definition: str
    key: str


async def lock(connection: Connection) -> None:
    """Makes those who count take turns: two who complete a window at once would each see half of it."""
    await connection.execute("SELECT pg_advisory_xact_lock($1, hashtext(current_schema()))", _LOCK)


async def add(connection: Connection, rows: Iterable[tuple[Group, Entry, Sequence[AlertEvidence], datetime]]) -> None:
    """Stores entries, each with its evidence and when it expires; what is there already stays as it is."""
    await connection.executemany(
        """INSERT INTO correlation_events (correlation_id, definition, group_key, timestamp, reference, log_id,
                                           "values", evidence, expires_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING""",
        [
            (
                group.correlation_id,
                group.definition,
                group.key,
                entry.timestamp,
                entry.reference,
                entry.log_id,
                entry.values,
                evidence,
                expires_at,
            )
            for group, entry, evidence, expires_at in rows
        ],
    )


async def entries(connection: Connection, group: Group, since: datetime, until: datetime, limit: int) -> list[Entry]:
    """The entries of a group between two times, both included; of more than `limit` the latest."""
    rows = await connection.fetch(
        """SELECT reference, log_id, timestamp, "values", cited FROM correlation_events
           WHERE correlation_id = $1 AND definition = $2 AND group_key = $3 AND timestamp BETWEEN $4 AND $5
           ORDER BY timestamp DESC LIMIT $6""",
        group.correlation_id,
        group.definition,
        group.key,
        since,
        until,
        limit,
    )
    return [
        Entry(row["reference"], row["log_id"], row["timestamp"], tuple(row["values"]), row["cited"])
        for row in reversed(rows)
    ]


async def cite(connection: Connection, group: Group, cited: Sequence[Entry]) -> list[AlertEvidence]:
    """Marks entries as cited; the evidence of all of them, in the order of time."""
    rows = await connection.fetch(
        """UPDATE correlation_events AS event SET cited = true
           FROM unnest($4::timestamptz[], $5::text[], $6::text[]) AS wanted (timestamp, reference, log_id)
           WHERE correlation_id = $1 AND definition = $2 AND group_key = $3 AND event.timestamp = wanted.timestamp
             AND event.reference = wanted.reference AND event.log_id = wanted.log_id
           RETURNING evidence""",
        group.correlation_id,
        group.definition,
        group.key,
        [entry.timestamp for entry in cited],
        [entry.reference for entry in cited],
        [entry.log_id for entry in cited],
    )
    found = [item for row in rows for item in msgspec.convert(row["evidence"], list[AlertEvidence])]
    return sorted(found, key=lambda item: (item.timestamp, item.log_id))


async def prune(database: Database, now: datetime) -> None:
    """Drops what no window can need any more."""
    await database.execute("DELETE FROM correlation_events WHERE expires_at < $1", now)
