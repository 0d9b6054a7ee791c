"""The SQL of alerts. Every write runs in the caller's transaction, beside its event."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from services.siem.alerts.domain import alert_id
from services.siem.draft import MAX_EVIDENCE, MAX_OBSERVABLES, Draft
from shared.contracts.alerts import Alert, AlertQuery
from shared.contracts.common import SEVERITIES, Severity
from shared.postgres import Connection, Database, Record

_OPEN = "status NOT IN ('resolved', 'false_positive')"


def _alert(row: Record) -> Alert:
    return msgspec.convert({name: value for name, value in row.items() if name != "position"}, Alert)


async def count_open(database: Database) -> dict[Severity, int]:
    """Open alerts by severity; a severity without any is there with 0."""
    rows = await database.fetch(
        "SELECT severity, count(*) AS count FROM alerts WHERE status NOT IN ('resolved', 'false_positive') GROUP BY 1"
    )
    found = {row["severity"]: row["count"] for row in rows}
    return {severity: found.get(severity, 0) for severity in SEVERITIES}


async def find(database: Database | Connection, identifier: str) -> Alert | None:
    """One alert by its id."""
    row = await database.fetchrow("SELECT * FROM alerts WHERE id = $1", identifier)
    return None if row is None else _alert(row)


async def find_locked(connection: Connection, identifier: str) -> Alert | None:
    """One alert, locked until the transaction ends."""
    row = await connection.fetchrow("SELECT * FROM alerts WHERE id = $1 FOR UPDATE", identifier)
    return None if row is None else _alert(row)


async def find_open(database: Database | Connection, source: str, kind: str, source_ref: str) -> Alert | None:
    """The open alert of an identity."""
    row = await database.fetchrow(
        f"SELECT * FROM alerts WHERE source = $1 AND type = $2 AND source_ref = $3 AND {_OPEN}",  # noqa: S608 - constant
        source,
        kind,
        source_ref,
    )
    return None if row is None else _alert(row)


async def page(database: Database, query: AlertQuery, before: int | None) -> list[tuple[int, Alert]]:
    """Up to `limit` + 1 alerts, newest first, each with its position."""
    rows = await database.fetch(
        """SELECT * FROM alerts
           WHERE ($1::bigint IS NULL OR position < $1)
             AND ($2::text IS NULL OR severity = $2)
             AND ($3::text IS NULL OR status = $3)
             AND ($4::text IS NULL OR source = $4)
             AND ($5::text IS NULL OR rule_id = $5)
             AND ($6::text IS NULL OR lower(entities->>'host') = lower($6))
             AND ($7::text IS NULL OR strpos(lower(title), lower($7)) > 0)
             AND ($8::timestamptz IS NULL OR last_seen >= $8)
             AND ($9::timestamptz IS NULL OR last_seen < $9)
           ORDER BY position DESC LIMIT $10""",
        before,
        query.severity,
        query.status,
        query.source,
        query.rule_id,
        query.host,
        query.q,
        query.since,
        query.until,
        query.limit + 1,
    )
    return [(row["position"], _alert(row)) for row in rows]


async def count_on_open(connection: Connection, draft: Draft, now: datetime) -> Alert | None:
    """Adds the draft to the open alert of its identity; None when there is none."""
    row = await connection.fetchrow(
        f"""UPDATE alerts SET
              count = count + $4,
              first_seen = least(first_seen, $5),
              last_seen = greatest(last_seen, $6),
              updated_at = $7,
              evidence = jsonb_path_query_array(evidence || $8::jsonb, '$[0 to {MAX_EVIDENCE - 1}]'),
              observables = (SELECT jsonb_path_query_array(coalesce(jsonb_agg(DISTINCT item), '[]'),
                                                           '$[0 to {MAX_OBSERVABLES - 1}]')
                             FROM jsonb_array_elements(observables || $9::jsonb) AS item)
            WHERE source = $1 AND type = $2 AND source_ref = $3 AND {_OPEN}
            RETURNING *""",  # noqa: S608 - constants of this file only
        draft.source,
        draft.type,
        draft.source_ref,
        draft.count,
        draft.first_seen,
        draft.last_seen,
        now,
        draft.evidence,
        draft.observables,
    )
    return None if row is None else _alert(row)


async def insert(connection: Connection, draft: Draft, now: datetime) -> Alert:
    """Stores a new alert. Raises UniqueViolation when one of its identity is open."""
    number = await connection.fetchval(
        """INSERT INTO alert_numbers (year, last) VALUES ($1, 1)
           ON CONFLICT (year) DO UPDATE SET last = alert_numbers.last + 1 RETURNING last""",
        now.year,
    )
    identifier = alert_id(now.year, number)
    row = await connection.fetchrow(
        """INSERT INTO alerts (id, title, description, severity, source, type, source_ref, rule_id, mitre_techniques,
                               observables, entities, evidence, count, first_seen, last_seen, created_at, updated_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $16) RETURNING *""",
        identifier,
        draft.title,
        draft.description,
        draft.severity,
        draft.source,
        draft.type,
        draft.source_ref if draft.source_ref is not None else identifier,
        draft.rule_id,
        draft.mitre_techniques,
        draft.observables[:MAX_OBSERVABLES],
        draft.entities,
        draft.evidence[:MAX_EVIDENCE],
        draft.count,
        draft.first_seen,
        draft.last_seen,
        now,
    )
    return _alert(row)


async def update(connection: Connection, identifier: str, values: dict[str, Any], now: datetime) -> Alert:
    """Sets title, description, severity or status. Raises UniqueViolation when reopening meets an open twin."""
    row = await connection.fetchrow(
        """UPDATE alerts SET title = coalesce($2, title), description = coalesce($3, description),
                             severity = coalesce($4, severity), status = coalesce($5, status), updated_at = $6
           WHERE id = $1 RETURNING *""",
        identifier,
        values.get("title"),
        values.get("description"),
        values.get("severity"),
        values.get("status"),
        now,
    )
    return _alert(row)


async def resolve(connection: Connection, identifiers: Sequence[str], now: datetime) -> list[Alert]:
    """Resolves those that are open; they alone are given back."""
    rows = await connection.fetch(
        f"""UPDATE alerts SET status = 'resolved', updated_at = $2
            WHERE id = ANY($1) AND {_OPEN} RETURNING *""",  # noqa: S608 - a constant
        list(identifiers),
        now,
    )
    return [_alert(row) for row in rows]


async def acknowledge(connection: Connection, identifier: str, who: str, now: datetime) -> Alert:
    """Notes who took it; `new` becomes `triaged`."""
    row = await connection.fetchrow(
        """UPDATE alerts SET acknowledged_by = $2, acknowledged_at = $3, updated_at = $3,
                             status = CASE WHEN status = 'new' THEN 'triaged' ELSE status END
           WHERE id = $1 RETURNING *""",
        identifier,
        who,
        now,
    )
    return _alert(row)


async def set_investigation(
    connection: Connection, identifiers: Sequence[str], investigation_id: str, now: datetime
) -> list[Alert]:
    """Names the investigation on alerts that don't name it yet."""
    rows = await connection.fetch(
        """UPDATE alerts SET investigation_id = $2, updated_at = $3
           WHERE id = ANY($1) AND investigation_id IS DISTINCT FROM $2 RETURNING *""",
        list(identifiers),
        investigation_id,
        now,
    )
    return [_alert(row) for row in rows]
