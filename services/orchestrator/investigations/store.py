"""The SQL of investigations, and the lease by which one process works on one."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec

from services.orchestrator.investigations.domain import Outcome
from shared.contracts.investigations import (
    Investigation,
    InvestigationQuery,
    InvestigationStatus,
    Step,
)
from shared.postgres import Connection, Database, Record

_FIELDS = set(Investigation.__struct_fields__) - {"steps", "position", "estimate_seconds"}


@dataclass(frozen=True, slots=True)
class NewInvestigation:
    """What to investigate. `automatic` ones exist once for an alert."""

    id: str
    alert_id: str
    automatic: bool
    agents: Sequence[str]
    requested_by: str
    reason: str
    traceparent: str | None


@dataclass(frozen=True, slots=True)
class Claimed:
    """An investigation that this process works on now."""

    id: str
    alert_id: str
    agents: list[str]
    reason: str
    requested_by: str
    traceparent: str | None


def with_steps(row: Record, steps: Sequence[Step]) -> Investigation:
    """The investigation of a row and its steps."""
    values = {name: value for name, value in row.items() if name in _FIELDS}
    return msgspec.convert({**values, "steps": list(steps)}, Investigation)


async def lock_alert(connection: Connection, alert_id: str) -> None:
    """Makes requests about one alert take turns until the transaction ends."""
    await connection.execute("SELECT pg_advisory_xact_lock(hashtext(current_schema()), hashtext($1))", alert_id)


async def of_alert(connection: Connection, alert_id: str, *, active: bool) -> str | None:
    """The id of an investigation of the alert: an active one only, or any."""
    identifier: str | None = await connection.fetchval(
        """SELECT id FROM investigations
           WHERE alert_ids @> jsonb_build_array($1::text) AND (NOT $2 OR status IN ('queued', 'running'))
           ORDER BY position DESC LIMIT 1""",
        alert_id,
        active,
    )
    return identifier


async def insert(connection: Connection, new: NewInvestigation, now: datetime) -> Investigation:
    """Queues an investigation. Raises UniqueViolation for a second automatic one of an alert."""
    row = await connection.fetchrow(
        """INSERT INTO investigations (id, alert_ids, status, automatic, agents, requested_by, reason, traceparent,
                                       created_at, due_at)
           VALUES ($1, $2, 'queued', $3, $4, $5, $6, $7, $8, $8) RETURNING *""",
        new.id,
        [new.alert_id],
        new.automatic,
        list(new.agents),
        new.requested_by,
        new.reason,
        new.traceparent,
        now,
    )
    return with_steps(row, [])


async def claim(database: Database, owner: str, now: datetime, lease_seconds: float) -> Claimed | None:
    """Takes the oldest investigation that waits or whose worker is gone."""
    async with database.transaction() as connection:
        row = await connection.fetchrow(
            """UPDATE investigations SET status = 'running', lease_owner = $1, lease_until = $3
               WHERE id = (SELECT id FROM investigations
                           WHERE status = 'queued' OR (status = 'running' AND lease_until < $2)
                           ORDER BY position LIMIT 1 FOR UPDATE SKIP LOCKED)
               RETURNING *""",
            owner,
            now,
            now + timedelta(seconds=lease_seconds),
        )
    if row is None:
        return None
    return Claimed(
        row["id"], row["alert_ids"][0], row["agents"], row["reason"], row["requested_by"], row["traceparent"]
    )


async def renew(
    database: Database, owner: str, identifiers: Collection[str], now: datetime, lease_seconds: float
) -> None:
    """Keeps what this process works on."""
    await database.execute(
        "UPDATE investigations SET lease_until = $3 WHERE lease_owner = $1 AND id = ANY($2) AND status = 'running'",
        owner,
        list(identifiers),
        now + timedelta(seconds=lease_seconds),
    )


async def give_back(database: Database, owner: str) -> None:
    """At an orderly stop: whoever is there next may take them at once."""
    await database.execute(
        "UPDATE investigations SET status = 'queued', lease_owner = NULL WHERE lease_owner = $1 AND status = 'running'",
        owner,
    )


async def complete(
    connection: Connection,
    identifier: str,
    owner: str,
    status: InvestigationStatus,
    outcome: Outcome,
    now: datetime,
) -> Record | None:
    """Writes the end. None when the lease went to another worker meanwhile: then that one's word counts."""
    return await connection.fetchrow(
        """UPDATE investigations SET status = $3, severity = $4, confidence = $5, verdict = $6, mitre_techniques = $7,
                  iocs = $8, summary = $9, findings = $10, citations = $11, ruled_out = $12, not_checked = $13,
                  completed_at = $14, lease_owner = NULL, lease_until = NULL
           WHERE id = $1 AND lease_owner = $2 AND status = 'running' RETURNING *""",
        identifier,
        owner,
        status,
        outcome.severity,
        outcome.confidence,
        outcome.verdict,
        outcome.mitre_techniques,
        outcome.iocs,
        outcome.summary,
        outcome.findings,
        outcome.citations,
        outcome.ruled_out,
        outcome.not_checked,
        now,
    )


async def find(database: Database, identifier: str) -> Record | None:
    """One row."""
    return await database.fetchrow("SELECT * FROM investigations WHERE id = $1", identifier)


async def page(database: Database, query: InvestigationQuery, before: int | None) -> Sequence[Record]:
    """Up to `limit` + 1 rows, newest first."""
    return await database.fetch(
        """SELECT * FROM investigations
           WHERE ($1::bigint IS NULL OR position < $1)
             AND ($2::text IS NULL OR status = $2)
             AND ($3::text IS NULL OR verdict = $3)
             AND ($4::text IS NULL OR alert_ids @> jsonb_build_array($4::text))
           ORDER BY position DESC LIMIT $5""",
        before,
        query.status,
        query.verdict,
        query.alert_id,
        query.limit + 1,
    )
