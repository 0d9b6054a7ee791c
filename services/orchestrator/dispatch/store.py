"""The SQL of dispatches."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any

import msgspec

from services.orchestrator.handoffs import NewDispatch, Stored
from shared.contracts.agents import Budget, Handoff
from shared.contracts.investigations import DispatchQuery, DispatchRecord, StepStatus
from shared.postgres import Connection, Database, Record

#: What else is kept of a dispatch that ended.
Keep = Callable[[Connection, Stored], Awaitable[None]]


def _stored(row: Record) -> Stored:
    record = DispatchRecord(
        id=row["id"],
        agent=row["agent"],
        method=row["method"],
        params=row["params"],
        reason=row["reason"],
        status=row["status"],
        requested_by=row["requested_by"],
        investigation_id=row["investigation_id"],
        started_at=row["started_at"] or row["created_at"],
        finished_at=row["finished_at"],
        result=row["result"],
        error=row["error"],
        round=row["round"],
    )
    handoff = None if row["handoff"] is None else msgspec.convert(row["handoff"], Handoff)
    budget = None if row["budget"] is None else msgspec.convert(row["budget"], Budget)
    return Stored(record, handoff, row["capabilities"], budget)


async def insert(database: Database | Connection, dispatch: NewDispatch, now: datetime) -> None:
    """Stores it as pending, or as skipped; nothing when the round of its investigation has a call to that agent and
    method already."""
    await database.execute(
        """INSERT INTO dispatches (id, investigation_id, agent, method, params, reason, capabilities, status,
                                   requested_by, created_at, round, budget, error, finished_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, CASE WHEN $12::text IS NULL THEN 'pending' ELSE 'skipped' END, $8, $9,
                   $10, $11, $12, CASE WHEN $12::text IS NULL THEN NULL ELSE $9::timestamptz END)
           ON CONFLICT (investigation_id, round, agent, method) WHERE investigation_id IS NOT NULL DO NOTHING""",
        dispatch.id,
        dispatch.investigation_id,
        dispatch.agent,
        dispatch.method,
        dispatch.params,
        dispatch.reason,
        list(dispatch.capabilities),
        dispatch.requested_by,
        now,
        dispatch.round,
        dispatch.budget,
        dispatch.skipped,
    )


async def start(database: Database, identifier: str, handoff: Handoff, now: datetime) -> None:
    """Notes the handoff before it is sent."""
    await database.execute(
        """UPDATE dispatches SET status = 'running', handoff = $2, started_at = coalesce(started_at, $3)
           WHERE id = $1 AND status IN ('pending', 'running')""",
        identifier,
        handoff,
        now,
    )


async def finish(
    database: Database,
    identifier: str,
    status: StepStatus,
    result: Any,
    error: str | None,
    now: datetime,
    keep: Keep | None = None,
) -> Stored:
    """Notes what came back, unless its investigation was cancelled meanwhile; and in the same transaction what `keep`
    keeps of it."""
    async with database.transaction() as connection:
        row = await connection.fetchrow(
            """UPDATE dispatches SET status = $2, result = $3, error = $4, finished_at = $5
               WHERE id = $1 AND status IN ('pending', 'running') RETURNING *""",
            identifier,
            status,
            result,
            error,
            now,
        )
        if row is None:
            return _stored(await connection.fetchrow("SELECT * FROM dispatches WHERE id = $1", identifier))
        if keep is not None:
            await keep(connection, _stored(row))
    return _stored(row)


async def halt(connection: Connection, investigation_id: str, skipped: str | None, now: datetime) -> None:
    """Stops what isn't finished of an investigation: for good with the reason, or (None) until it goes on."""
    await connection.execute(
        """UPDATE dispatches SET status = CASE WHEN $2::text IS NULL THEN 'pending' ELSE 'skipped' END, error = $2,
                                 finished_at = CASE WHEN $2::text IS NULL THEN NULL ELSE $3::timestamptz END
           WHERE investigation_id = $1 AND status IN ('pending', 'running')""",
        investigation_id,
        skipped,
        now,
    )


async def find(database: Database, identifier: str) -> Stored | None:
    """One dispatch."""
    row = await database.fetchrow("SELECT * FROM dispatches WHERE id = $1", identifier)
    return None if row is None else _stored(row)


async def of_investigations(database: Database | Connection, identifiers: Sequence[str]) -> list[Stored]:
    """The steps of some investigations, oldest first."""
    rows = await database.fetch(
        "SELECT * FROM dispatches WHERE investigation_id = ANY($1) ORDER BY position", list(identifiers)
    )
    return [_stored(row) for row in rows]


async def page(database: Database, query: DispatchQuery, before: int | None) -> list[tuple[int, DispatchRecord]]:
    """Up to `limit` + 1 dispatches, newest first, each with its position."""
    rows = await database.fetch(
        """SELECT * FROM dispatches
           WHERE ($1::bigint IS NULL OR position < $1)
             AND ($2::text IS NULL OR agent = $2)
             AND ($3::text IS NULL OR status = $3)
           ORDER BY position DESC LIMIT $4""",
        before,
        query.agent,
        query.status,
        query.limit + 1,
    )
    return [(row["position"], _stored(row).record) for row in rows]
