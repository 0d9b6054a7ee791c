"""The SQL of tool calls."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from services.orchestrator.handoffs import KeptCall
from shared.contracts.fleet import HandedOn, ToolCall, ToolCallQuery
from shared.postgres import Connection, Database, Record

_FIELDS = frozenset(ToolCall.__struct_fields__)
#: Rows that one statement deletes.
_BATCH = 2000
_INSERT = """
    INSERT INTO tool_calls (handoff_id, agent, id, tool, arguments, status, result, error, code, started_at,
                            finished_at, caller, investigation_id, handed_on, delivered)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
    ON CONFLICT (handoff_id, agent, id) """


def _call(row: Record) -> ToolCall:
    known = {name: value for name, value in row.items() if name in _FIELDS}
    handed_on = None if row["handed_on"] is None else msgspec.convert(row["handed_on"], HandedOn)
    return ToolCall(**{**known, "handed_on": handed_on})


def _values(call: ToolCall, *, delivered: bool) -> tuple[Any, ...]:
    return (
        call.handoff_id,
        call.agent,
        call.id,
        call.tool,
        call.arguments,
        call.status,
        call.result,
        call.error,
        call.code,
        call.started_at,
        call.finished_at,
        call.caller,
        call.investigation_id,
        call.handed_on,
        delivered,
    )


async def insert(database: Database, call: ToolCall) -> None:
    """Keeps a call that was told, once. Of one that an answer rests on it says when it began, by which handoff another
    agent was asked, and when it was refused, which the answer doesn't have."""
    await database.execute(
        _INSERT
        + """DO UPDATE SET started_at = coalesce(tool_calls.started_at, excluded.started_at),
                           handed_on = coalesce(tool_calls.handed_on, excluded.handed_on),
                           finished_at = CASE tool_calls.status WHEN 'refused' THEN excluded.finished_at
                                                                ELSE tool_calls.finished_at END""",
        *_values(call, delivered=False),
    )


async def insert_delivered(connection: Connection, calls: Sequence[ToolCall]) -> None:
    """Keeps the calls that an answer rests on: its word on when they were made counts."""
    await connection.executemany(
        _INSERT
        + """DO UPDATE SET delivered = true,
                           finished_at = CASE tool_calls.status WHEN 'refused' THEN tool_calls.finished_at
                                                                ELSE excluded.finished_at END""",
        [_values(call, delivered=True) for call in calls],
    )


async def page(database: Database, agent: str, query: ToolCallQuery, before: int | None) -> list[tuple[int, ToolCall]]:
    """Up to `limit` + 1 calls of an agent, newest first, each with its position."""
    rows = await database.fetch(
        """SELECT * FROM tool_calls
           WHERE agent = $1
             AND ($2::bigint IS NULL OR position < $2)
             AND ($3::text IS NULL OR id = $3)
             AND ($4::text IS NULL OR tool = $4)
             AND ($5::text IS NULL OR investigation_id = $5)
             AND ($6::text IS NULL OR handoff_id = $6)
             AND ($7::text IS NULL OR status = $7)
             AND ($8::timestamptz IS NULL OR finished_at >= $8)
             AND ($9::timestamptz IS NULL OR finished_at < $9)
           ORDER BY position DESC LIMIT $10""",
        agent,
        before,
        query.id,
        query.tool,
        query.investigation_id,
        query.handoff_id,
        query.status,
        query.since,
        query.until,
        query.limit + 1,
    )
    return [(row["position"], _call(row)) for row in rows]


async def of_handoff(database: Database, handoff_id: str) -> list[KeptCall]:
    """The calls of a handoff, in their order."""
    rows = await database.fetch("SELECT * FROM tool_calls WHERE handoff_id = $1 ORDER BY position", handoff_id)
    return [KeptCall(_call(row), row["delivered"]) for row in rows]


async def note_version(connection: Connection, handoff_id: str, version: str) -> None:
    """Keeps which version of its agent answers a handoff."""
    await connection.execute(
        "INSERT INTO answered_by (handoff_id, version) VALUES ($1, $2) ON CONFLICT DO NOTHING", handoff_id, version
    )


async def version(database: Database, handoff_id: str) -> str:
    """The version of the agent that answered a handoff; empty where nobody knows it."""
    return await database.fetchval("SELECT version FROM answered_by WHERE handoff_id = $1", handoff_id) or ""


async def forget(database: Database, before: datetime) -> int:
    """Deletes some of the calls that ended before; how many."""
    return await database.execute(
        """DELETE FROM tool_calls WHERE position IN
           (SELECT position FROM tool_calls WHERE finished_at < $1 ORDER BY finished_at LIMIT $2)""",
        before,
        _BATCH,
    )
