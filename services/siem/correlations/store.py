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


async def entries(
    connection: Connection, ranges: Sequence[tuple[Group, datetime, datetime]], limit: int
) -> dict[Group, list[Entry]]:
    """The entries of groups between two times, both included, in no order; of more than `limit` the latest."""
    rows = await connection.fetch(
        """SELECT wanted.place, event.reference, event.log_id, event.timestamp, event."values", event.cited
           FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::timestamptz[])
                WITH ORDINALITY AS wanted (correlation_id, definition, group_key, since, until, place),
           LATERAL (SELECT * FROM correlation_events AS stored
                    WHERE stored.correlation_id = wanted.correlation_id AND stored.definition = wanted.definition
                      AND stored.group_key = wanted.group_key
                      AND stored.timestamp BETWEEN wanted.since AND wanted.until
                    ORDER BY stored.timestamp DESC LIMIT $6) AS event""",
        [group.correlation_id for group, _, _ in ranges],
        [group.definition for group, _, _ in ranges],
        [group.key for group, _, _ in ranges],
        [since for _, since, _ in ranges],
        [until for _, _, until in ranges],
        limit,
    )
    found: dict[Group, list[Entry]] = {group: [] for group, _, _ in ranges}
    for row in rows:
        entry = Entry(row["reference"], row["log_id"], row["timestamp"], tuple(row["values"]), row["cited"])
        found[ranges[row["place"] - 1][0]].append(entry)
    return found


async def add(connection: Connection, rows: Iterable[tuple[Group, Entry, Sequence[AlertEvidence], datetime]]) -> None:
    """Stores entries, each with its evidence and when it expires; what is there already stays as it is."""
    await connection.executemany(
        """INSERT INTO correlation_events (correlation_id, definition, group_key, timestamp, reference, log_id,
                                           "values", evidence, cited, expires_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING""",
        [
            (*_key(group, entry), entry.values, evidence, entry.cited, expires_at)
            for group, entry, evidence, expires_at in rows
        ],
    )


async def cite(connection: Connection, group: Group, cited: Sequence[Entry], most: int) -> list[AlertEvidence]:
    """Marks stored entries as cited; the evidence of the first `most`, in the order of time."""
    await connection.executemany(
        """UPDATE correlation_events SET cited = true
           WHERE correlation_id = $1 AND definition = $2 AND group_key = $3 AND timestamp = $4 AND reference = $5
             AND log_id = $6""",
        [_key(group, entry) for entry in cited],
    )
    first = cited[:most]
    rows = await connection.fetch(
        """SELECT evidence FROM correlation_events
           WHERE correlation_id = $1 AND definition = $2 AND group_key = $3 AND timestamp BETWEEN $4 AND $5
             AND (reference, log_id) IN (SELECT * FROM unnest($6::text[], $7::text[]))
           ORDER BY timestamp LIMIT $8""",
        group.correlation_id,
        group.definition,
        group.key,
        first[0].timestamp,
        first[-1].timestamp,
        [entry.reference for entry in first],
        [entry.log_id for entry in first],
        most,
    )
    return [item for row in rows for item in msgspec.convert(row["evidence"], list[AlertEvidence])]


def _key(group: Group, entry: Entry) -> tuple[str, str, str, datetime, str, str]:
    return group.correlation_id, group.definition, group.key, entry.timestamp, entry.reference, entry.log_id


async def prune(database: Database, now: datetime) -> None:
    """Drops what no window can need any more."""
    await database.execute("DELETE FROM correlation_events WHERE expires_at < $1", now)
