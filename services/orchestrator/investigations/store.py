"""The SQL of investigations: rows, their alerts, and what people decide of them. The queue's is in queue_store.py."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec

from services.orchestrator.investigations.domain import MAX_ALERTS, MAX_ROUNDS
from services.orchestrator.investigations.subject import Subject, severity_rank
from shared.contracts.investigations import (
    Decision,
    Investigation,
    InvestigationQuery,
    InvestigationStatus,
    Step,
)
from shared.postgres import Connection, Database, Record

#: `position` of a row is its place in the list; the place in the queue is worked out when somebody looks.
_FIELDS = set(Investigation.__struct_fields__) - {"steps", "position", "estimate_seconds"}
_MAX_DECISIONS = 50


@dataclass(frozen=True, slots=True)
class NewInvestigation:
    """What to investigate. `automatic` ones exist once for an alert, and others may join them by their `group_key`."""

    id: str
    subject: Subject
    automatic: bool
    agents: Sequence[str]
    requested_by: str
    reason: str
    traceparent: str | None
    group_key: str | None
    priority: int
    due_at: datetime


def with_steps(row: Record, steps: Sequence[Step]) -> Investigation:
    """The investigation of a row and its steps."""
    values = {name: value for name, value in row.items() if name in _FIELDS}
    return msgspec.convert({**values, "steps": list(steps)}, Investigation)


async def lock_alert(connection: Connection, alert_id: str) -> None:
    """Makes requests about one alert take turns until the transaction ends."""
    await connection.execute("SELECT pg_advisory_xact_lock(hashtext(current_schema()), hashtext($1))", alert_id)


async def lock_group(connection: Connection, group_key: str) -> None:
    """Makes alerts of one group take turns until the transaction ends."""
    await connection.execute(
        "SELECT pg_advisory_xact_lock(hashtext(current_schema()), hashtext('group ' || $1))", group_key
    )


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
                                       created_at, group_key, seen_from, seen_until, priority, due_at)
           VALUES ($1, $2, 'queued', $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) RETURNING *""",
        new.id,
        [new.subject.id],
        new.automatic,
        list(new.agents),
        new.requested_by,
        new.reason,
        new.traceparent,
        now,
        new.group_key,
        new.subject.first_seen,
        new.subject.last_seen,
        new.priority,
        new.due_at,
    )
    await _insert_alert(connection, new.id, new.subject)
    return with_steps(row, [])


async def _insert_alert(connection: Connection, identifier: str, subject: Subject) -> None:
    await connection.execute(
        "INSERT INTO investigation_alerts (investigation_id, alert_id, subject, severity_rank) VALUES ($1, $2, $3, $4)",
        identifier,
        subject.id,
        subject,
        severity_rank(subject.severity),
    )


async def joinable(
    connection: Connection, group_key: str, subject: Subject, now: datetime, near: timedelta, ended: timedelta
) -> str | None:
    """The automatic investigation that an alert of this group joins, locked: its alerts were seen within `near` of this
    one, and it is open or ended no longer than `ended` ago."""
    identifier: str | None = await connection.fetchval(
        """SELECT id FROM investigations
           WHERE group_key = $1 AND automatic
             AND seen_from <= $3::timestamptz + $5::interval
             AND seen_until >= $2::timestamptz - $5::interval
             AND (status IN ('queued', 'running')
                  OR (status IN ('completed', 'review_required', 'failed')
                      AND completed_at > $4::timestamptz - $6::interval))
             AND round < $7 AND jsonb_array_length(alert_ids) < $8
           ORDER BY position DESC LIMIT 1 FOR UPDATE""",
        group_key,
        subject.first_seen,
        subject.last_seen,
        now,
        near,
        ended,
        MAX_ROUNDS,
        MAX_ALERTS,
    )
    return identifier


async def join(connection: Connection, identifier: str, subject: Subject, priority: int, due_at: datetime) -> Record:
    """Adds an alert; one that has ended waits for a worker again, with what it found so far."""
    await _insert_alert(connection, identifier, subject)
    return await connection.fetchrow(
        """UPDATE investigations SET
              alert_ids = alert_ids || jsonb_build_array($2::text),
              seen_from = least(seen_from, $3), seen_until = greatest(seen_until, $4),
              priority = greatest(priority, $5),
              due_at = CASE WHEN status = 'queued' THEN least(due_at, $6) ELSE $6 END,
              status = CASE WHEN status = 'running' THEN 'running' ELSE 'queued' END,
              completed_at = NULL, continue_at = NULL
           WHERE id = $1 RETURNING *""",
        identifier,
        subject.id,
        subject.first_seen,
        subject.last_seen,
        priority,
        due_at,
    )


async def fired_again(connection: Connection, subject: Subject, now: datetime, pause: timedelta) -> bool:
    """Keeps what an alert says since it was seen again; whether that is news.

    Its automatic investigation goes on when it was asked about that alert before: `pause` after its end, which each
    further round doubles, so ever more seldom; and not at all after the last round.
    """
    row = await connection.fetchrow(
        """SELECT i.id, i.round, a.asked_count FROM investigations i
           JOIN investigation_alerts a ON a.investigation_id = i.id
           WHERE a.alert_id = $1 AND i.automatic AND i.status NOT IN ('cancelled')
             AND coalesce((a.subject->>'count')::bigint, 1) < $2
           ORDER BY i.position DESC LIMIT 1 FOR UPDATE OF i""",
        subject.id,
        subject.count,
    )
    if row is None:
        return False
    again = row["asked_count"] > 0 and row["round"] < MAX_ROUNDS
    await connection.execute(
        "UPDATE investigation_alerts SET refired = $4, subject = $3 WHERE investigation_id = $1 AND alert_id = $2",
        row["id"],
        subject.id,
        subject,
        again,
    )
    if again:
        await connection.execute(
            """UPDATE investigations SET continue_at = greatest($2, completed_at + $3::interval * power(2, round - 1))
               WHERE id = $1 AND completed_at IS NOT NULL""",
            row["id"],
            now,
            pause,
        )
    return True


async def find(database: Database | Connection, identifier: str) -> Record | None:
    """One row."""
    return await database.fetchrow("SELECT * FROM investigations WHERE id = $1", identifier)


async def find_locked(connection: Connection, identifier: str) -> Record | None:
    """One row, locked until the transaction ends."""
    return await connection.fetchrow("SELECT * FROM investigations WHERE id = $1 FOR UPDATE", identifier)


async def decide(
    connection: Connection, row: Record, decision: Decision, status: InvestigationStatus, due_at: datetime | None
) -> Record:
    """Writes what somebody decided: the status that follows, and that no worker holds it any more."""
    parked = decision.action == "park"
    return await connection.fetchrow(
        """UPDATE investigations SET status = $2, decisions = $3, parked_at = $4, parked_by = $5,
                  due_at = coalesce($6, due_at), completed_at = $7, continue_at = NULL, lease_owner = NULL,
                  lease_until = NULL
           WHERE id = $1 RETURNING *""",
        row["id"],
        status,
        [*row["decisions"][-_MAX_DECISIONS + 1 :], decision],
        decision.at if parked else None,
        decision.by if parked else None,
        due_at,
        decision.at if status == "cancelled" else None,
    )


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
