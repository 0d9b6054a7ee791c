"""The SQL of correlations: the matches they count, by group and event time, and the stretches that wait to be complete.

All in the caller's transaction, but for `prune`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import msgspec

from services.siem.correlations.measures import Entry
from services.siem.draft import Draft
from shared.contracts.alerts import AlertEvidence
from shared.contracts.wire import encode
from shared.postgres import Connection, Database

_HOLD_SECONDS = 3_600.0
_LOCK = 0x434F5252  # "CORR"


@dataclass(frozen=True, slots=True)
class Group:
    """One group of one correlation, as that is defined now."""

    correlation_id: str
    definition: str
    key: str


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of a group that has an event: `ends_at` is the first moment that isn't of it.

    `draft` is what the alert says of the event, `fields` what is looked at of it above. `run_id` names the run that
    counts into it, None what came live.
    """

    group: Group
    ends_at: datetime
    seconds: int
    values: dict[str, str]
    draft: Draft
    fields: dict[str, list[str]]
    run_id: UUID | None
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Due:
    """A stretch that is complete. `touched_at` is when its last live event was evaluated."""

    group: Group
    ends_at: datetime
    values: dict[str, str]
    draft: Draft
    fields: dict[str, list[str]]
    touched_at: datetime
    run_id: UUID | None


async def lock(connection: Connection) -> None:
    """Makes those who count take turns: two who complete a window at once would each see half of it."""
    await connection.execute("SELECT pg_advisory_xact_lock($1, hashtext(current_schema()))", _LOCK)


async def entries(
    connection: Connection, ranges: Sequence[tuple[Group, datetime, datetime]], limit: int
) -> dict[Group, list[Entry]]:
    """The entries of groups between two times, both included, in no order; of more than `limit` the latest."""
    rows = await connection.fetch(
        """SELECT wanted.place, event.reference, event.log_id, event.timestamp, event."values", event.cited, event.hit
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
        entry = Entry(row["reference"], row["log_id"], row["timestamp"], tuple(row["values"]), row["cited"], row["hit"])
        found[ranges[row["place"] - 1][0]].append(entry)
    return found


async def add(connection: Connection, rows: Iterable[tuple[Group, Entry, Sequence[AlertEvidence], datetime]]) -> None:
    """Stores entries, each with its evidence and when it expires; what is there already stays as it is."""
    await connection.executemany(
        """INSERT INTO correlation_events (correlation_id, definition, group_key, timestamp, reference, log_id,
                                           "values", evidence, cited, hit, expires_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT DO NOTHING""",
        [
            (*_key(group, entry), entry.values, evidence, entry.cited, entry.hit, expires_at)
            for group, entry, evidence, expires_at in rows
        ],
    )


async def mark(connection: Connection, entries: Iterable[tuple[Group, Entry]]) -> None:
    """Writes down what became of stored entries: whether they were in a window that fired, and whether they end one."""
    await connection.executemany(
        """UPDATE correlation_events SET cited = cited OR $7, hit = hit OR $8
           WHERE correlation_id = $1 AND definition = $2 AND group_key = $3 AND timestamp = $4 AND reference = $5
             AND log_id = $6""",
        [(*_key(group, entry), entry.cited, entry.hit) for group, entry in entries],
    )


async def evidence(connection: Connection, group: Group, cited: Sequence[Entry], most: int) -> list[AlertEvidence]:
    """The evidence of the first `most` of stored entries, in the order of time."""
    first = cited[:most]
    if not first:
        return []
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


async def touch(connection: Connection, stretches: Sequence[Stretch], now: datetime) -> set[tuple[Group, datetime]]:
    """Enters stretches that have an event; those that were read already, and stay so, by their ends.

    A run has them read again. A stretch that only a run touched waits for the run alone, not for what comes late.
    """
    rows = await connection.fetch(
        """INSERT INTO correlation_windows AS stored (correlation_id, definition, group_key, ends_at, seconds,
                                                      group_values, draft, fields, opened_at, touched_at, run_id,
                                                      expires_at)
           SELECT correlation_id, definition, group_key, ends_at, seconds, group_values::jsonb, draft::jsonb,
                  fields::jsonb, moment, moment, run_id, expires_at
           FROM (SELECT *, CASE WHEN run_id IS NULL THEN $11 ELSE to_timestamp(0) END AS moment
                 FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::int[], $6::text[], $7::text[],
                             $8::text[], $9::uuid[], $10::timestamptz[])
                      AS new (correlation_id, definition, group_key, ends_at, seconds, group_values, draft, fields,
                              run_id, expires_at)) AS new
           ON CONFLICT (correlation_id, definition, group_key, ends_at) DO UPDATE SET
             pending = stored.pending OR excluded.run_id IS NOT NULL,
             touched_at = greatest(stored.touched_at, excluded.touched_at),
             run_id = coalesce(excluded.run_id, stored.run_id),
             expires_at = greatest(stored.expires_at, excluded.expires_at)
           RETURNING correlation_id, definition, group_key, ends_at, pending""",
        [item.group.correlation_id for item in stretches],
        [item.group.definition for item in stretches],
        [item.group.key for item in stretches],
        [item.ends_at for item in stretches],
        [item.seconds for item in stretches],
        [encode(item.values).decode() for item in stretches],
        [encode(item.draft).decode() for item in stretches],
        [encode(item.fields).decode() for item in stretches],
        [item.run_id for item in stretches],
        [item.expires_at for item in stretches],
        now,
    )
    return {
        (Group(row["correlation_id"], row["definition"], row["group_key"]), row["ends_at"])
        for row in rows
        if not row["pending"]
    }


async def watermark(connection: Connection, lateness: float) -> datetime:
    """Nothing that happened before is expected any more: all that arrived was evaluated, and `lateness` seconds passed.

    It goes on when nothing arrives. A batch that can't be evaluated holds it back for an hour, not for ever.
    """
    moment: datetime = await connection.fetchval(
        """SELECT coalesce(min(created_at) FILTER (WHERE created_at > now() - make_interval(secs => $2)), now())
                  - make_interval(secs => $1) FROM batches""",
        lateness,
        _HOLD_SECONDS,
    )
    return moment


async def due(connection: Connection, watermark: datetime, limit: int) -> list[Due]:
    """Up to `limit` stretches that are complete, the oldest first.

    One that was behind the watermark when its first event came waits until nothing has come for it as long as lateness
    lasts, at most for as long as it spans. One that a run counts into waits until the run has passed it.
    """
    rows = await connection.fetch(
        """SELECT * FROM correlation_windows AS stretch
           WHERE pending AND ends_at <= $1
             AND (touched_at <= $1 OR opened_at + make_interval(secs => seconds) <= $1)
             AND NOT EXISTS (SELECT FROM runs WHERE runs.id = stretch.run_id AND runs.status IN ('queued', 'running')
                                                AND runs.position < stretch.ends_at)
           ORDER BY ends_at LIMIT $2""",
        watermark,
        limit,
    )
    return [
        Due(
            Group(row["correlation_id"], row["definition"], row["group_key"]),
            row["ends_at"],
            row["group_values"],
            msgspec.convert(row["draft"], Draft),
            row["fields"],
            row["touched_at"],
            row["run_id"],
        )
        for row in rows
    ]


async def done(connection: Connection, stretches: Sequence[Due]) -> None:
    """They were read: what comes for them now is late."""
    await connection.executemany(
        """UPDATE correlation_windows SET pending = false
           WHERE correlation_id = $1 AND definition = $2 AND group_key = $3 AND ends_at = $4""",
        [(item.group.correlation_id, item.group.definition, item.group.key, item.ends_at) for item in stretches],
    )


async def lose(connection: Connection, late: Mapping[str, int], capped: Mapping[str, int], now: datetime) -> None:
    """Counts what correlations, by their ids, could not count."""
    if not late and not capped:
        return
    hour = now.replace(minute=0, second=0, microsecond=0)
    await connection.executemany(
        """INSERT INTO correlation_losses AS stored (rule_id, hour, late, capped) VALUES ($1, $2, $3, $4)
           ON CONFLICT (rule_id, hour) DO UPDATE SET late = stored.late + excluded.late,
                                                     capped = stored.capped + excluded.capped""",
        [(rule_id, hour, late.get(rule_id, 0), capped.get(rule_id, 0)) for rule_id in sorted({*late, *capped})],
    )


async def prune(database: Database, now: datetime, losses_before: datetime) -> None:
    """Drops what no window can need any more, and counts of losses from before a time."""
    await database.execute("DELETE FROM correlation_events WHERE expires_at < $1", now)
    await database.execute("DELETE FROM correlation_windows WHERE expires_at < $1 AND NOT pending", now)
    await database.execute("DELETE FROM correlation_losses WHERE hour < $1", losses_before)
