"""The SQL of runs: the queue with its leases, the rules to evaluate, and a prefilter as a ClickHouse condition."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from services.siem.runs.domain import Prefilter, progress
from shared.contracts.runs import Run, RunQuery, RunStatus
from shared.postgres import Connection, Database, Record

_OPEN = "status IN ('queued', 'running')"
#: Makes those who ask for runs take turns, so that the bound on open ones holds.
_LOCK = 0x52554E53  # "RUNS"


@dataclass(slots=True)
class Claimed:
    """A run that this process works on. It has read all up to (position, position_id); `rules` is None at first."""

    id: UUID
    rule_id: str | None
    since: datetime
    until: datetime
    position: datetime
    position_id: str
    rules: list[str] | None


@dataclass(frozen=True, slots=True)
class Step:
    """What a page of events added to a run, and where it ended."""

    position: datetime
    position_id: str
    events: int
    matches: int
    new_matches: int
    failed_at: Sequence[datetime]


def _run(row: Record) -> Run:
    done = row["status"] == "completed"
    values = {name: row[name] for name in Run.__struct_fields__ if name not in ("id", "progress")}
    share = 1.0 if done else round(progress(row["since"], row["until"], row["position"]), 4)
    return Run(id=str(row["id"]), progress=share, **values)


async def lock(connection: Connection) -> None:
    """Until the transaction ends no other run is entered."""
    await connection.execute("SELECT pg_advisory_xact_lock($1, hashtext(current_schema()))", _LOCK)


async def count_open(connection: Connection) -> int:
    """How many runs wait or are being worked on."""
    return int(await connection.fetchval(f"SELECT count(*) FROM runs WHERE {_OPEN}"))  # noqa: S608 - a constant


async def insert(
    connection: Connection,
    identifier: UUID,
    rule_id: str | None,
    span: tuple[datetime, datetime],
    who: str,
    now: datetime,
) -> Run:
    """Enters a run."""
    row = await connection.fetchrow(
        """INSERT INTO runs (id, rule_id, since, until, position, requested_by, created_at)
           VALUES ($1, $2, $3, $4, $3, $5, $6) RETURNING *""",
        identifier,
        rule_id,
        *span,
        who,
        now,
    )
    return _run(row)


async def find(database: Database, identifier: UUID) -> Run | None:
    """One run."""
    row = await database.fetchrow("SELECT * FROM runs WHERE id = $1", identifier)
    return None if row is None else _run(row)


async def page(database: Database, rule_id: str, query: RunQuery, before: int | None) -> list[tuple[int, Run]]:
    """Up to `limit` + 1 runs that evaluate the rule, newest first, each with its position."""
    rows = await database.fetch(
        """SELECT * FROM runs
           WHERE (rule_id = $1 OR (rule_id IS NULL AND $1 = ANY(rules))) AND ($2::bigint IS NULL OR number < $2)
           ORDER BY number DESC LIMIT $3""",
        rule_id,
        before,
        query.limit + 1,
    )
    return [(row["number"], _run(row)) for row in rows]


async def rule_state(database: Database, rule_id: str) -> tuple[bool, str | None] | None:
    """Whether a rule is enabled, and why it can't be served; None when there is no such rule."""
    row = await database.fetchrow("SELECT enabled, problem FROM rules WHERE id = $1", rule_id)
    return None if row is None else (row["enabled"], row["problem"])


async def free_leases(database: Database) -> None:
    """No other process lives: what one left is anyone's."""
    await database.execute("UPDATE runs SET lease_until = NULL WHERE status = 'running'")


async def claim(database: Database, owner: UUID, lease_seconds: float) -> Claimed | None:
    """The oldest run that waits or whose owner is gone, now the owner's."""
    row = await database.fetchrow(
        """UPDATE runs SET status = 'running', owner = $1, lease_until = now() + make_interval(secs => $2),
                           started_at = coalesce(started_at, date_trunc('milliseconds', clock_timestamp()))
           WHERE id = (SELECT id FROM runs
                       WHERE status = 'queued' OR (status = 'running' AND coalesce(lease_until < now(), true))
                       ORDER BY number LIMIT 1 FOR UPDATE SKIP LOCKED)
           RETURNING id, rule_id, since, until, position, position_id, rules""",
        owner,
        lease_seconds,
    )
    return None if row is None else Claimed(**dict(row.items()))


async def extend(database: Database, run_id: UUID, owner: UUID, lease_seconds: float) -> bool:
    """Keeps a run for its owner; False when it was cancelled or is another's now."""
    return bool(
        await database.execute(
            """UPDATE runs SET lease_until = now() + make_interval(secs => $3)
               WHERE id = $1 AND owner = $2 AND status = 'running'""",
            run_id,
            owner,
            lease_seconds,
        )
    )


async def served(database: Database, rule_ids: Sequence[str] | None) -> list[str]:
    """The rules that are enabled and can be served: of these, or all."""
    rows = await database.fetch(
        """SELECT id FROM rules
           WHERE enabled AND problem IS NULL AND ($1::text[] IS NULL OR id = ANY($1)) ORDER BY id""",
        rule_ids,
    )
    return [row["id"] for row in rows]


async def still_served(connection: Connection, rule_ids: Iterable[str]) -> set[str]:
    """Those of the rules that are served, and stay so until the transaction ends."""
    rows = await connection.fetch(
        "SELECT id FROM rules WHERE id = ANY($1) AND enabled AND problem IS NULL ORDER BY id FOR SHARE",
        sorted(rule_ids),
    )
    return {row["id"] for row in rows}


async def set_rules(database: Database | Connection, run_id: UUID, rule_ids: Sequence[str]) -> None:
    """Writes down which rules the run evaluates."""
    await database.execute("UPDATE runs SET rules = $2 WHERE id = $1", run_id, list(rule_ids))


async def advance(connection: Connection, run_id: UUID, owner: UUID, step: Step, lease_seconds: float) -> bool:
    """Adds a step to a run; False when it was cancelled or is another's now."""
    return bool(
        await connection.execute(
            """UPDATE runs SET position = $3, position_id = $4, events_read = events_read + $5, matches = matches + $6,
                               new_matches = new_matches + $7, failures = failures + cardinality($8::timestamptz[]),
                               failed_times = failed_times + coalesce(
                                 (SELECT range_agg(tstzrange(moment, moment + interval '1 millisecond'))
                                  FROM unnest($8::timestamptz[]) AS moment), '{}'),
                               lease_until = now() + make_interval(secs => $9)
               WHERE id = $1 AND owner = $2 AND status = 'running'""",
            run_id,
            owner,
            step.position,
            step.position_id,
            step.events,
            step.matches,
            step.new_matches,
            list(step.failed_at),
            lease_seconds,
        )
    )


async def finish(
    connection: Connection, run_id: UUID, status: RunStatus, now: datetime, error: str | None = None
) -> Run | None:
    """Ends an open run; None when it isn't open."""
    row = await connection.fetchrow(
        f"""UPDATE runs SET status = $2, finished_at = $3, error = $4, owner = NULL, lease_until = NULL,
              alerts = (SELECT count(DISTINCT alert_id) FROM matches WHERE run_id = runs.id)
            WHERE id = $1 AND {_OPEN} RETURNING *""",  # noqa: S608 - a constant
        run_id,
        status,
        now,
        error,
    )
    return None if row is None else _run(row)


def condition(prefilter: Prefilter) -> tuple[str, dict[str, Any]]:
    """A prefilter over columns of `logs`, and the values bound in it.

    Events that were stored before the columns were there say nothing in `logsource`: they pass.
    """
    values: dict[str, Any] = {f"source{number}": source for number, source in enumerate(prefilter.sources)}
    parts = [f"position(logsource, {{{name}:String}}) > 0" for name in values]
    if prefilter.needles:
        values["needles"] = list(prefilter.needles)
        found = " OR ".join(
            f"multiSearchAnyCaseInsensitive({column}, {{needles:Array(String)}})"
            for column in ("raw", "derived", "message")
        )
        parts.append(f"({found})")
    return f"logsource = '' OR ({' AND '.join(parts) or '1'})", values
