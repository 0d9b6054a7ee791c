"""The SQL of the audit log: rows are added and read, never changed."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from shared.contracts.audit import AuditQuery, AuditRecord
from shared.postgres import Connection, Database


async def add(connection: Connection, record: AuditRecord) -> bool:
    """Adds the row and fills in the actor's name, as it is now: accounts are deleted. False when it was there already,
    as after a commit that nobody heard of."""
    row = await connection.fetchrow(
        """INSERT INTO audit (id, at, action, outcome, actor, actor_name, target, address, request_id, detail)
           VALUES ($1, $2, $3, $4, $5,
             coalesce((SELECT username FROM users WHERE id = $5), (SELECT name FROM api_keys WHERE id = $10)),
             $6, $7, $8, $9)
           ON CONFLICT (id) DO NOTHING RETURNING actor_name""",
        UUID(record.id),
        record.at,
        record.action,
        record.outcome,
        record.actor,
        record.target,
        record.address,
        record.request_id,
        record.detail,
        _key_id(record.actor),
    )
    if row is not None:
        record.actor_name = row["actor_name"]
    return row is not None


def _key_id(actor: str | None) -> UUID | None:
    try:
        return UUID(actor or "")
    except ValueError:
        return None


async def page(database: Database, query: AuditQuery, before: int | None) -> list[tuple[int, AuditRecord]]:
    """Up to one more than asked for, newest first, each with its position; those before the position `before`."""
    rows = await database.fetch(
        """SELECT seq, id, at, action, outcome, actor, actor_name, target, address, request_id, detail FROM audit
           WHERE ($1::bigint IS NULL OR seq < $1)
             AND ($2::text IS NULL OR actor = $2 OR actor_name = $2)
             AND ($3::text IS NULL OR action = $3 OR starts_with(action, $3 || '.'))
             AND ($4::text IS NULL OR outcome = $4)
             AND ($5::text IS NULL OR target = $5)
             AND ($6::text IS NULL OR address = $6)
             AND ($7::timestamptz IS NULL OR at >= $7)
             AND ($8::timestamptz IS NULL OR at < $8)
           ORDER BY seq DESC LIMIT $9""",
        before,
        query.actor,
        query.action,
        query.outcome,
        query.target,
        query.address,
        query.since,
        query.until,
        query.limit + 1,
    )
    return [(row["seq"], _record(row)) for row in rows]


def _record(row: Any) -> AuditRecord:
    values = {name: value for name, value in row.items() if name != "seq"}
    return AuditRecord(**{**values, "id": str(values["id"])})
